//! The cpio archive in an `.rpm`: the "new ASCII" format, front to back.
//!
//! Source: cpio(5), "New ASCII Format".

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::super::layer::{Content, Entry, LayerError, NodeKind, clean};
use super::super::media::Media;
use super::{Keep, Take};
use crate::archive::MAX_PATH_BYTES;

/// Maximum number of hard links that wait for their content: a package has a few.
const MAX_WAITING: usize = 10_000;

const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

fn damaged(what: &'static str) -> LayerError {
    io::Error::new(io::ErrorKind::InvalidData, what).into()
}

/// The header of an entry.
struct Header {
    inode: u32,
    mode: u32,
    links: u32,
    size: u64,
    name: usize,
}

impl Header {
    const LENGTH: usize = 110;

    fn read(input: &mut impl Read) -> Result<Self, LayerError> {
        let mut bytes = [0; Self::LENGTH];
        input.read_exact(&mut bytes)?;
        if !matches!(&bytes[..6], b"070701" | b"070702") {
            return Err(damaged("an entry of its payload has an unknown format"));
        }
        let field = |index: usize| {
            let at = 6 + 8 * index;
            let text = std::str::from_utf8(&bytes[at..at + 8]).ok();
            let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
            number.ok_or_else(|| damaged("a number in its payload is malformed"))
        };
        Ok(Self {
            inode: field(0)?,
            mode: field(1)?,
            links: field(4)?,
            size: field(6)?.into(),
            name: field(11)? as usize,
        })
    }
}

fn made(path: &str, mode: u32, kind: NodeKind, size: u64, content: Option<Arc<Content>>) -> Entry {
    Entry {
        path: path.to_owned(),
        kind,
        size,
        mode: mode & 0o7777,
        // Digests of files in archives inside are left out.
        owner: (0, 0),
        media: Media::default(),
        digest: None,
        content,
    }
}

/// Walks the entries of the cpio archive `input`.
///
/// # Errors
///
/// It is damaged, or `keep` or `take` fails.
pub(super) fn walk(mut input: impl Read, keep: Keep<'_>, take: Take<'_>) -> Result<(), LayerError> {
    // Hard links come before the content, which is at the last of them.
    let mut waiting: BTreeMap<u32, Vec<(String, u32)>> = BTreeMap::new();
    let mut count = 0;
    loop {
        let header = Header::read(&mut input)?;
        if header.name > MAX_PATH_BYTES + 3 {
            return Err(damaged("a path in its payload is longer than 4096 bytes"));
        }
        let name = text(&mut input, header.name)?;
        pad(&mut input, Header::LENGTH + header.name)?;
        if name == "TRAILER!!!" {
            break;
        }
        let mut content = (&mut input).take(header.size);
        let mut entry =
            |path: &str, kind, size, content| take(made(path, header.mode, kind, size, content));
        if let Some(path) = clean(&name) {
            match header.mode & TYPE {
                DIRECTORY => entry(&path, NodeKind::Directory, 0, None)?,
                LINK if header.size > MAX_PATH_BYTES as u64 => {
                    return Err(damaged("a link in its payload is longer than 4096 bytes"));
                }
                LINK => {
                    let mut target = Vec::new();
                    content.read_to_end(&mut target)?;
                    let target = String::from_utf8_lossy(&target).into_owned();
                    entry(&path, NodeKind::Symlink(target), 0, None)?;
                }
                FILE if header.links > 1 && header.size == 0 => {
                    count += 1;
                    if count > MAX_WAITING {
                        return Err(damaged("its payload has too many hard links"));
                    }
                    let names = waiting.entry(header.inode).or_default();
                    names.push((path, header.mode));
                }
                FILE => {
                    let kept = keep(&path, header.size, &mut content)?;
                    let kept = kept.map(Arc::new);
                    entry(&path, NodeKind::File, header.size, kept)?;
                    for (link, _) in waiting.remove(&header.inode).unwrap_or_default() {
                        entry(&link, NodeKind::Hardlink(path.clone()), 0, None)?;
                    }
                }
                _ => entry(&path, NodeKind::Other, 0, None)?,
            }
        }
        let unread = content.limit();
        if io::copy(&mut content, &mut io::sink())? != unread {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        pad(&mut input, (header.size % 4) as usize)?;
    }
    // Files without content never had a last one.
    for (_, names) in waiting {
        let mut names = names.into_iter();
        let Some((path, mode)) = names.next() else {
            continue;
        };
        let kept = keep(&path, 0, &mut io::empty())?;
        let kept = kept.map(Arc::new);
        take(made(&path, mode, NodeKind::File, 0, kept))?;
        for (link, mode) in names {
            take(made(&link, mode, NodeKind::Hardlink(path.clone()), 0, None))?;
        }
    }
    // Checks what is behind, such as a checksum.
    io::copy(&mut input, &mut io::sink())?;
    Ok(())
}

/// `length` bytes as text, without the NUL at the end.
fn text(input: &mut impl Read, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Skips what fills `length` bytes up to four.
fn pad(input: &mut impl Read, length: usize) -> io::Result<()> {
    input.read_exact(&mut [0; 3][..length.next_multiple_of(4) - length])
}
