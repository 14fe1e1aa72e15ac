//! Adds files to the front of an archive without repacking it, and removes the files
//! they replace if those fill whole frames.

use std::io::{self, Read, Seek as _, SeekFrom, Write};

use super::LayoutError;
use super::open::{PackageFile, Packing};
use crate::archive::{EntryKind, SeekableError, SeekableWriter, header_bytes};

/// Size of a tar block, in bytes.
const BLOCK: u64 = 512;

/// The outcome of splicing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    Done,
    /// A file to replace shares a frame with other files, so the archive must be
    /// repacked. Nothing was written.
    Repack,
}

/// Writes the archive of `package` to `out`, with `files` first and without the files
/// `without`.
///
/// # Errors
///
/// [`LayoutError`]: it cannot be read, or `out` failed; or it is a folder.
pub fn splice(
    package: &PackageFile,
    without: &[&str],
    files: &[(String, Vec<u8>)],
    out: &mut impl Write,
) -> Result<Spliced, LayoutError> {
    let Some((packing, mut bytes)) = package.packing().zip(package.bytes()) else {
        let error = io::Error::other("expected an archive, found a folder");
        return Err(LayoutError::io(package.path(), error));
    };
    let io = |error| LayoutError::io(package.path(), error);
    let frames = |error: SeekableError| LayoutError::frames(package.path(), error);
    let Some(gaps) = gaps(package, without)? else {
        return Ok(Spliced::Repack);
    };
    let mut first = Vec::new();
    for (name, content) in files {
        let header = header_bytes(name, 0o644, content.len() as u64, EntryKind::File);
        let header = header.map_err(|error| io(io::Error::other(error)))?;
        let padding = content.len().next_multiple_of(BLOCK as usize) - content.len();
        first.push([header, content.clone(), vec![0; padding]]);
    }
    match packing {
        Packing::Plain => {
            let parts = first.iter().flatten();
            parts
                .into_iter()
                .try_for_each(|part| out.write_all(part))
                .map_err(io)?;
            let mut at = 0;
            for (start, end) in gaps {
                io::copy(&mut (&mut bytes).take(start - at), out).map_err(io)?;
                bytes.seek(SeekFrom::Start(end)).map_err(io)?;
                at = end;
            }
            io::copy(&mut bytes, out).map_err(io)?;
        }
        Packing::Zstd if !gaps.is_empty() => return Ok(Spliced::Repack),
        Packing::Zstd => {
            let mut stream = SeekableWriter::new(&mut *out).map_err(frames)?;
            for part in first.iter().flatten() {
                stream.compressed(part).map_err(frames)?;
            }
            stream.into_inner();
            io::copy(&mut bytes, out).map_err(io)?;
        }
        Packing::Seekable(table) => {
            let within = |(start, end): &(u64, u64), at: u64, len: u64| {
                (
                    at >= *start && at + len <= *end,
                    at < *end && at + len > *start,
                )
            };
            let mut kept = Vec::new();
            for frame in table.frames() {
                let mut hit = gaps.iter().map(|gap| within(gap, frame.at, frame.len));
                match hit.find(|(_, touches)| *touches) {
                    None => kept.push(frame),
                    Some((true, _)) => {}
                    Some((false, _)) => return Ok(Spliced::Repack),
                }
            }
            let mut stream = SeekableWriter::new(out).map_err(frames)?;
            for [header, content, padding] in &first {
                // As in an export, so that the bytes are the same.
                stream.compressed(header).map_err(frames)?;
                stream
                    .compressed(&[&content[..], padding].concat())
                    .map_err(frames)?;
            }
            for frame in kept {
                bytes
                    .seek(SeekFrom::Start(frame.compressed_at))
                    .map_err(io)?;
                stream
                    .copy_frame(&mut bytes, frame.compressed, frame.len)
                    .map_err(frames)?;
            }
            stream.finish().map_err(frames)?;
        }
    }
    Ok(Spliced::Done)
}

/// The ranges of the files `without` in the tar, including headers, in order; `None`: a
/// file has extended headers.
fn gaps(package: &PackageFile, without: &[&str]) -> Result<Option<Vec<(u64, u64)>>, LayoutError> {
    let mut members: Vec<_> = package.members()?.iter().collect();
    members.sort_by_key(|(_, member)| member.offset);
    let (mut gaps, mut at) = (Vec::new(), 0);
    for (name, member) in members {
        let end = (member.offset + member.size).next_multiple_of(BLOCK);
        if without.contains(&name.as_str()) {
            if member.offset.checked_sub(at) != Some(BLOCK) {
                return Ok(None);
            }
            gaps.push((at, end));
        }
        at = end;
    }
    Ok(Some(gaps))
}
