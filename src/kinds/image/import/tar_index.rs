//! Where the files of a tar are: names, offsets, lengths, and links between them.
//!
//! Reads headers only. Reads them itself, because long names and extended
//! headers come from outside and must not decide how much memory is used.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{EntryType, Header, PaxExtensions};

use crate::archive::{PathError, SafePath};
use crate::kinds::image::import::ImportError;

const BLOCK: u64 = 512;

/// Longest extended header, in bytes; names of 4096 bytes fit many times.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// Longest names of all entries together, in bytes: they are held in memory.
const MAX_NAME_BYTES: usize = 32 << 20;

/// Longest chain of links; real archives have one.
const MAX_LINKS: usize = 8;

/// Where an entry's bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub offset: u64,
    pub size: u64,
}

enum Entry {
    File(Place),
    Link(String),
}

pub(crate) struct TarIndex {
    entries: HashMap<String, Entry>,
}

/// What extended headers say about the entry that follows them.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl TarIndex {
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Io {
            path: path.to_owned(),
            source,
        };
        let malformed = |what: String| ImportError::Malformed {
            path: path.to_owned(),
            what,
        };
        let length = file.metadata().map_err(failed)?.len();
        let mut entries = HashMap::new();
        let (mut at, mut names, mut extended) = (0, 0, Extended::default());
        while at + BLOCK <= length {
            let mut header = Header::new_old();
            file.read_exact_at(header.as_mut_bytes(), at)
                .map_err(failed)?;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                break;
            }
            if checksum(&header) != header.cksum().ok() {
                // A file that is no tar at all fails at its first header.
                return Err(match at {
                    0 => ImportError::NoImage(path.to_owned()),
                    _ => malformed(format!("no tar header at byte {at}")),
                });
            }
            let kind = header.entry_type();
            let own = matches!(
                kind,
                EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink
            );
            let stated = header.entry_size().map_err(failed)?;
            let size = match extended.size {
                // Links, folders and devices have no content, whatever they state.
                _ if header_only(kind) => 0,
                Some(size) if !own => size,
                _ => stated,
            };
            let offset = at + BLOCK;
            let next = size
                .checked_next_multiple_of(BLOCK)
                .and_then(|padded| offset.checked_add(padded));
            // The last padding may be missing; the bytes may not.
            let next = match next {
                Some(next) if size <= length - offset => next,
                _ => return Err(malformed(format!("ends within the entry at byte {at}"))),
            };
            at = next;
            if own {
                let bytes = extension(file, Place { offset, size })
                    .map_err(failed)?
                    .ok_or_else(|| malformed("an extended header over 1 MiB".to_owned()))?;
                extended.take(kind, &bytes).map_err(malformed)?;
                continue;
            }
            let Extended { name, link, .. } = std::mem::take(&mut extended);
            let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
            let entry = match kind {
                EntryType::Regular | EntryType::Continuous => Entry::File(Place { offset, size }),
                EntryType::Link | EntryType::Symlink => {
                    let stored = header.link_name_bytes().map(|link| link.into_owned());
                    let link = text(link.or(stored).unwrap_or_default()).map_err(malformed)?;
                    let from = text(name.clone()).map_err(malformed)?;
                    Entry::Link(target(kind, &from, &link).map_err(malformed)?)
                }
                EntryType::GNUSparse => {
                    return Err(malformed("a sparse entry, expected plain ones".to_owned()));
                }
                _ => continue,
            };
            let name = match SafePath::parse(&text(name).map_err(malformed)?) {
                Ok(name) => name.as_str().to_owned(),
                Err(PathError::Empty) => continue,
                Err(error) => return Err(malformed(error.to_string())),
            };
            names += name.len() + size_of::<(String, Entry)>();
            if let Entry::Link(link) = &entry {
                names += link.len();
            }
            if names > MAX_NAME_BYTES {
                return Err(malformed("more entries than any image has".to_owned()));
            }
            if let Some(twice) = entries.insert(name.clone(), entry) {
                drop(twice);
                return Err(malformed(format!("`{name}` is there twice")));
            }
        }
        Ok(Self { entries })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The file that `name` leads to, and where it is.
    pub(crate) fn follow<'a>(
        &'a self,
        path: &Path,
        name: &'a str,
    ) -> Result<(&'a str, Place), ImportError> {
        let mut current = name;
        for _ in 0..=MAX_LINKS {
            match self.entries.get(current) {
                Some(Entry::File(place)) => return Ok((current, *place)),
                Some(Entry::Link(target)) => current = target,
                None => {
                    return Err(ImportError::Missing {
                        path: path.to_owned(),
                        entry: current.to_owned(),
                    });
                }
            }
        }
        Err(ImportError::Malformed {
            path: path.to_owned(),
            what: format!("`{name}` is a link that leads to links only"),
        })
    }
}

impl Extended {
    fn take(&mut self, kind: EntryType, bytes: &[u8]) -> Result<(), String> {
        let trimmed = || {
            bytes
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or(bytes)
                .to_vec()
        };
        match kind {
            EntryType::GNULongName => self.name = Some(trimmed()),
            EntryType::GNULongLink => self.link = Some(trimmed()),
            _ => {
                for record in PaxExtensions::new(bytes) {
                    let record = record.map_err(|error| format!("an extended header: {error}"))?;
                    let value = record.value_bytes();
                    match record.key_bytes() {
                        b"path" => self.name = Some(value.to_vec()),
                        b"linkpath" => self.link = Some(value.to_vec()),
                        b"size" => {
                            let size = str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                            self.size =
                                Some(size.ok_or("an extended header without a sound size")?);
                        }
                        key if key.starts_with(b"GNU.sparse") => {
                            return Err("a sparse entry, expected plain ones".to_owned());
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn header_only(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Directory
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo
    )
}

fn extension(file: &File, place: Place) -> io::Result<Option<Vec<u8>>> {
    if place.size > MAX_EXTENSION_BYTES {
        return Ok(None);
    }
    // Fits: at most a mebibyte.
    let mut bytes = vec![0; place.size as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    Ok(Some(bytes))
}

/// The sum that a sound header holds, with its own field counted as spaces.
fn checksum(header: &Header) -> Option<u32> {
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    Some(sum(&bytes[..148]) + 8 * 32 + sum(&bytes[156..]))
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "an entry whose name is not UTF-8".to_owned())
}

/// The name that a link means: a hard link's is whole, a symbolic one's
/// begins in the folder of `from`.
fn target(kind: EntryType, from: &str, link: &str) -> Result<String, String> {
    let outside = || {
        let short = |text: &str| text.chars().take(100).collect::<String>();
        format!(
            "link `{}` to `{}`, which is not in the archive",
            short(from),
            short(link)
        )
    };
    let mut names: Vec<&str> = Vec::new();
    if kind == EntryType::Symlink {
        if link.starts_with('/') {
            return Err(outside());
        }
        let folder = from.trim_end_matches('/').rsplit_once('/');
        names.extend(folder.map_or("", |(folder, _)| folder).split('/'));
        names.retain(|name| !matches!(*name, "" | "."));
    }
    for name in link.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop().ok_or_else(outside)?;
            }
            name => names.push(name),
        }
    }
    SafePath::parse(&names.join("/"))
        .map(|path| path.as_str().to_owned())
        .map_err(|_| outside())
}
