//! Where the directory of a zip archive is. All readers of zip archives look for it
//! here, so that none shows files that another does not.
//!
//! Source: PKWARE's APPNOTE.TXT 6.3.10, section 4.3.

use std::io::{self, Read, Seek, SeekFrom};

use memchr::memmem;

/// The record at the end of an archive: its size without the comment, in bytes.
const END_BYTES: u64 = 22;

/// What points from there to the record of a large archive, in bytes.
const LOCATOR_BYTES: u64 = 20;

/// The record of a large archive, in bytes.
const LARGE_END_BYTES: usize = 56;

/// Where the directory is.
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) size: u64,
    /// How many bytes stand before the archive, which its own positions do not count.
    pub(super) before: u64,
}

/// Finds the directory.
///
/// # Errors
///
/// There is none, or `archive` fails.
pub(super) fn find(archive: &mut (impl Read + Seek)) -> io::Result<Place> {
    let length = archive.seek(SeekFrom::End(0))?;
    // A comment of up to 65,535 bytes may follow the record.
    let tail_at = length.saturating_sub(END_BYTES + u64::from(u16::MAX));
    archive.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    let most = END_BYTES + u64::from(u16::MAX);
    archive.take(most).read_to_end(&mut tail)?;
    let whole = |at: &usize| {
        let record = tail.get(*at..*at + END_BYTES as usize);
        record.is_some_and(|record| {
            *at + END_BYTES as usize + usize::from(word(record, 20)) <= tail.len()
        })
    };
    let mut found = memmem::rfind_iter(&tail, b"PK\x05\x06");
    let at = found.find(whole).ok_or_else(damaged)?;
    let record = &tail[at..];
    let (mut size, mut offset) = (u64::from(double(record, 12)), u64::from(double(record, 16)));
    let mut end = tail_at + at as u64;
    let is_large = [size, offset].contains(&u64::from(u32::MAX)) || word(record, 10) == u16::MAX;
    if is_large && let Some((large, at)) = large_end(archive, end)? {
        (size, offset, end) = (quad(&large, 40), quad(&large, 48), at);
    }
    let start = end.checked_sub(size).ok_or_else(damaged)?;
    if size == 0 || start == offset {
        return Ok(Place {
            start,
            size,
            before: 0,
        });
    }
    // Either bytes stand before the archive, or between its directory and its end.
    let mut mark = [0; 4];
    archive.seek(SeekFrom::Start(offset))?;
    let counted = archive.read_exact(&mut mark).is_ok() && mark == *b"PK\x01\x02";
    if counted {
        let size = size.min(end.saturating_sub(offset));
        return Ok(Place {
            start: offset,
            size,
            before: 0,
        });
    }
    let before = start.checked_sub(offset).ok_or_else(damaged)?;
    Ok(Place {
        start,
        size,
        before,
    })
}

/// The record of a large archive, and where it is, if there is one before the record at
/// `end`.
fn large_end(
    archive: &mut (impl Read + Seek),
    end: u64,
) -> io::Result<Option<([u8; LARGE_END_BYTES], u64)>> {
    let Some(at) = end.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let mut locator = [0; LOCATOR_BYTES as usize];
    archive.seek(SeekFrom::Start(at))?;
    archive.read_exact(&mut locator)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Its position does not count what stands before the archive.
    let near = at.checked_sub(LARGE_END_BYTES as u64);
    for place in [Some(quad(&locator, 8)), near].into_iter().flatten() {
        let mut record = [0; LARGE_END_BYTES];
        archive.seek(SeekFrom::Start(place))?;
        if archive.read_exact(&mut record).is_ok() && record.starts_with(b"PK\x06\x06") {
            return Ok(Some((record, place)));
        }
    }
    Ok(None)
}

pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its directory is damaged")
}

/// The number of two bytes at `at`, which must be there.
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn double(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) | u32::from(word(bytes, at + 2)) << 16
}

pub(super) fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from(double(bytes, at)) | u64::from(double(bytes, at + 4)) << 32
}
