//! Zip archives such as wheels, by their list of files at the end.
//!
//! Reads one entry of the list after the other and holds none, so that a hostile list
//! takes no memory. Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};

use super::super::body::Body;
use super::super::layer::{Content, Entry, LayerError, NodeKind, clean};
use super::super::media::Media;
use super::super::zip::{Place, find};
use super::{Counted, Keep, Take, is_damage};
use crate::archive::{MAX_PATH_BYTES, Unzstd};

/// Maximum number of files: each takes a search, even if the list names one of them a
/// million times.
const MAX_FILES: u32 = 400_000;

const SIGNATURE: &[u8] = b"PK\x05\x05";
const LISTED: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Length of a file in the list without its name, and of the header before its content.
const LISTED_LENGTH: usize = 46;
const LOCAL_LENGTH: u64 = 30;

fn damaged(what: &'static str) -> LayerError {
    io::Error::new(io::ErrorKind::InvalidData, what).into()
}

/// A little-endian number of `length` bytes; 0 beyond the end.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A file in the list.
struct Listed {
    flags: u64,
    method: u64,
    compressed: u64,
    size: u64,
    mode: u32,
    at: u64,
    name: String,
}

/// Walks the files of the zip archive `body`, which unpack to at most `left` bytes.
///
/// # Errors
///
/// It is damaged, or `keep` or `take` fails.
pub(super) fn walk(
    body: &mut Body<'_>,
    left: &Cell<u64>,
    keep: Keep<'_>,
    take: Take<'_>,
) -> Result<(), LayerError> {
    let Place {
        start: mut at,
        size,
        before: shift,
    } = find(body)?;
    let end = at + size;
    // A damaged file does not hide the ones after it.
    let mut fault = None;
    let mut files = 0;
    let mut inflater = Decompress::new(false);
    while at < end {
        files += 1;
        if files > MAX_FILES {
            return Err(damaged("it has more than 400,000 files"));
        }
        body.seek(SeekFrom::Start(at))?;
        let read = listed(&mut BufReader::with_capacity(512, &mut *body))?;
        let Some((listed, next)) = read else {
            break;
        };
        if next > end - at {
            return Err(damaged("its list of files is cut"));
        }
        at += next;
        let name = listed.name.replace('\\', "/");
        let Some(path) = clean(&name) else {
            continue;
        };
        let kind = match listed.mode & 0o170_000 {
            _ if name.ends_with('/') => NodeKind::Directory,
            0o120_000 => match target(body, &listed, shift, left, &mut inflater) {
                Ok(target) => NodeKind::Symlink(target),
                Err(error) => {
                    fault = Some(error);
                    continue;
                }
            },
            _ => NodeKind::File,
        };
        let mut content = None;
        if kind == NodeKind::File {
            let kept = open(body, &listed, shift, &mut inflater).map_err(LayerError::from);
            let kept =
                kept.and_then(|plain| keep(&path, listed.size, &mut Counted::new(plain, left)));
            content = match kept {
                Ok(kept) => kept,
                Err(LayerError::Read(error)) if is_damage(&error) && left.get() > 0 => {
                    let reason = error.to_string();
                    fault = Some(error);
                    Some(Content::Unreadable(reason))
                }
                Err(error) => return Err(error),
            };
        }
        let content = content.map(Arc::new);
        let (size, mode) = (listed.size, listed.mode & 0o7777);
        take(Entry {
            path,
            kind,
            size,
            mode,
            // Files are unpacked no further than is needed.
            owner: (0, 0),
            media: Media::default(),
            digest: None,
            content,
        })?;
    }
    match fault {
        Some(fault) => Err(fault.into()),
        None => Ok(()),
    }
}

/// The next file of the list, and what it takes there; `None` at the signature that may
/// follow the files.
fn listed(input: &mut impl Read) -> Result<Option<(Listed, u64)>, LayerError> {
    let mut head = [0; LISTED_LENGTH];
    input.read_exact(&mut head)?;
    if head.starts_with(SIGNATURE) {
        return Ok(None);
    }
    if !head.starts_with(LISTED) {
        return Err(damaged("its list of files is malformed"));
    }
    let field = |at, length| number(&head, at, length);
    let [name, extra, comment] = [28, 30, 32].map(|at| field(at, 2));
    if name > MAX_PATH_BYTES as u64 {
        return Err(damaged("a path in it is longer than 4096 bytes"));
    }
    let mut text = Vec::new();
    input.take(name).read_to_end(&mut text)?;
    let mut extras = Vec::new();
    input.take(extra).read_to_end(&mut extras)?;
    let mut listed = Listed {
        flags: field(8, 2),
        method: field(10, 2),
        compressed: field(20, 4),
        size: field(24, 4),
        mode: (field(38, 4) >> 16) as u32,
        at: field(42, 4),
        name: String::from_utf8_lossy(&text).into_owned(),
    };
    listed.enlarge(&extras);
    let length = LISTED_LENGTH as u64 + name + extra + comment;
    Ok(Some((listed, length)))
}

impl Listed {
    /// Numbers of more than 32 bits are in an extra field.
    fn enlarge(&mut self, mut extras: &[u8]) {
        while extras.len() >= 4 {
            let (kind, length) = (number(extras, 0, 2), number(extras, 2, 2) as usize);
            let field = extras.get(4..4 + length).unwrap_or_default();
            if kind == 1 {
                let mut at = 0;
                for value in [&mut self.size, &mut self.compressed, &mut self.at] {
                    if *value == 0xffff_ffff {
                        *value = number(field, at, 8);
                        at += 8;
                    }
                }
                return;
            }
            extras = extras.get(4 + length..).unwrap_or_default();
        }
    }
}

/// Decompresses with an inflater that the next file uses again: one for each would leave
/// memory in pieces that are too small for the next.
struct Inflate<'i, R> {
    input: R,
    inflater: &'i mut Decompress,
}

impl<R: BufRead> Read for Inflate<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let packed = self.input.fill_buf()?;
            let is_end = packed.is_empty();
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let status = self
                .inflater
                .decompress(packed, buffer, FlushDecompress::None)?;
            let read = (self.inflater.total_in() - before.0) as usize;
            let written = (self.inflater.total_out() - before.1) as usize;
            self.input.consume(read);
            if written > 0 || status == Status::StreamEnd || buffer.is_empty() {
                return Ok(written);
            }
            if is_end || read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The content of a file.
fn open<'b>(
    body: &'b mut Body<'_>,
    listed: &Listed,
    shift: u64,
    inflater: &'b mut Decompress,
) -> io::Result<Box<dyn Read + 'b>> {
    let unsupported = |what: &'static str| Err(io::Error::new(io::ErrorKind::Unsupported, what));
    if listed.flags & 1 != 0 {
        return unsupported("a file in it is encrypted");
    }
    let at = listed.at.saturating_add(shift);
    body.seek(SeekFrom::Start(at))?;
    let mut head = [0; LOCAL_LENGTH as usize];
    body.read_exact(&mut head)?;
    if !head.starts_with(LOCAL) {
        let what = "a file in it is not at its place";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let names = number(&head, 26, 2) + number(&head, 28, 2);
    body.seek(SeekFrom::Start(at + LOCAL_LENGTH + names))?;
    let packed = BufReader::with_capacity(8 << 10, body.take(listed.compressed));
    Ok(match listed.method {
        0 => Box::new(packed),
        8 => {
            inflater.reset(false);
            let input = packed;
            Box::new(Inflate { input, inflater })
        }
        12 => Box::new(bzip2::bufread::BzDecoder::new(packed)),
        93 => Box::new(Unzstd::new(packed)?),
        _ => return unsupported("a file in it is compressed by an unknown method"),
    })
}

/// The target of a symbolic link.
fn target(
    body: &mut Body<'_>,
    listed: &Listed,
    shift: u64,
    left: &Cell<u64>,
    inflater: &mut Decompress,
) -> io::Result<String> {
    let plain = open(body, listed, shift, inflater)?;
    let mut text = Vec::new();
    let most = MAX_PATH_BYTES as u64;
    Counted::new(plain, left)
        .take(most)
        .read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
