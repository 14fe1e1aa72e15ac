//! Members of zip files.
//!
//! A zip has two descriptions of every member, in its directory and before the data,
//! and the same data may have several. Anything that readers could disagree about is
//! refused: duplicate names, shared data, wrong sizes.

use std::io::{self, Read, Seek, SeekFrom};

use super::{MemberError, Taking};
use crate::action::Output;
use crate::archive::MAX_PATH_BYTES;

/// Maximum number of members of a zip: two hundred thousand. The directory is held in
/// memory.
const MAX_MEMBERS: u64 = 200_000;

/// Longest record that ends a zip, with the longest comment, and the records before it
/// that large zips have, in bytes.
const MAX_END: u64 = 22 + (64 << 10) + 20;

/// Extracts what `taking` wants from the zip `content`.
pub(super) fn extract(
    mut taking: Taking<'_>,
    mut content: impl Read + Seek,
) -> Result<Output, MemberError> {
    let name = taking.archive.to_owned();
    let io = |source: io::Error| MemberError::Io {
        archive: name.clone(),
        source,
    };
    let zip = |error: zip::result::ZipError| io(io::Error::other(error));
    let stated = stated_members(&mut content).map_err(io)?;
    if stated > MAX_MEMBERS {
        return Err(MemberError::TooMany(name.clone()));
    }
    content.rewind().map_err(io)?;
    let mut archive = zip::ZipArchive::new(content).map_err(zip)?;
    if archive.len() as u64 > MAX_MEMBERS {
        return Err(MemberError::TooMany(name.clone()));
    }
    if archive.has_duplicate_names() {
        return Err(taking.foreign(b"a name", "in the archive twice"));
    }
    if archive.has_overlapping_entries().map_err(zip)? {
        return Err(taking.foreign(b"a member", "stored inside the data of another member"));
    }
    // All sizes before the first byte.
    let (mut wanted, mut total) = (Vec::new(), 0_u64);
    for index in 0..archive.len() {
        let member = archive.by_index_data(index).map_err(zip)?;
        let path = member.name().map_err(zip)?.into_owned();
        if let Some(below) = taking.below(path.as_bytes())? {
            total = total.saturating_add(member.size());
            taking.fits(total)?;
            wanted.push((index, path, below));
        }
    }
    for (index, path, below) in wanted {
        let path = path.as_bytes();
        let mut member = archive.by_index(index).map_err(zip)?;
        let (mode, size) = (member.unix_mode().unwrap_or(0o644), member.size());
        if member.is_dir() {
            taking.folder(below)?;
        } else if member.is_symlink() {
            let mut target = Vec::new();
            let read = (&mut member)
                .take(MAX_PATH_BYTES as u64 + 1)
                .read_to_end(&mut target);
            read.map_err(io)?;
            if target.len() as u64 > MAX_PATH_BYTES as u64 {
                return Err(taking.foreign(path, "a link whose target is longer than 4096 bytes"));
            }
            taking.link(below, &target)?;
        } else if !member.is_file() {
            let what = "neither a file, a folder nor a symbolic link";
            return Err(taking.foreign(path, what));
        } else {
            taking.file(below, mode & 0o100 != 0, size, &mut member, &io)?;
        }
    }
    taking.finish()
}

/// The number of members that the end of a zip states. It is read before the
/// directory, which holds every member in memory.
fn stated_members(content: &mut (impl Read + Seek)) -> io::Result<u64> {
    let length = content.seek(SeekFrom::End(0))?;
    content.seek(SeekFrom::Start(length.saturating_sub(MAX_END)))?;
    let mut end = Vec::new();
    content.take(MAX_END).read_to_end(&mut end)?;
    let Some(at) = memchr::memmem::rfind(&end, b"PK\x05\x06") else {
        return Ok(0); // The reader of zips says what is missing.
    };
    let number = |bytes: &[u8], at: usize, length: usize| {
        let bytes = bytes.get(at..at + length).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let members = number(&end, at + 10, 2);
    let locator = at
        .checked_sub(20)
        .filter(|at| end[*at..].starts_with(b"PK\x06\x07"));
    let Some(locator) = locator.filter(|_| members == 0xffff) else {
        return Ok(members);
    };
    content.seek(SeekFrom::Start(number(&end, locator + 8, 8)))?;
    let mut record = Vec::new();
    content.take(56).read_to_end(&mut record)?;
    Ok(number(&record, 32, 8))
}
