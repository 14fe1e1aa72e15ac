//! The files of a package's tar, by rules that exclude ambiguous tars.
//!
//! Uses the bounded reader of tars. A package contains only regular files with safe
//! names; anything that another program could read differently is refused.

use std::io::{self, Read};

use crate::archive::{SafePath, Skip, TarKind, TarReader};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Safe to join to a folder.
    pub name: SafePath,
    /// Length of the content in bytes.
    pub size: u64,
    /// Offset of the content in the tar.
    pub offset: u64,
}

/// Why a walk stopped.
#[derive(Debug)]
pub(super) enum WalkError {
    /// The bytes cannot be read, or are not a valid tar of a package.
    Io(io::Error),
    /// A name leads out of the package.
    Unsafe(String),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The files of a tar in order; reading it yields the content of the last one returned.
pub(super) struct Walk<F>(TarReader<F>);

impl<F: Skip> Walk<F> {
    /// Walks `inner`, which is at the start of the tar.
    pub(super) fn new(inner: F) -> Self {
        Self(TarReader::skipping(inner))
    }

    pub(super) fn into_inner(self) -> F {
        self.0.into_inner()
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, WalkError> {
        while let Some(entry) = self.0.next()? {
            match entry.kind {
                TarKind::File => {}
                TarKind::Sparse => {
                    return Err(refused("it has a sparse file, which packages do not use"));
                }
                TarKind::Symlink | TarKind::Hardlink => {
                    return Err(refused("it has a link, which packages do not use"));
                }
                TarKind::Special => {
                    return Err(refused(
                        "it has a device or pipe, which packages do not use",
                    ));
                }
                // Readers skip the rest (docs/spec/package.md, "Archive"). They disagree
                // on where the next header is if it has content.
                TarKind::Directory | TarKind::Global | TarKind::Unknown if entry.stated == 0 => {
                    continue;
                }
                TarKind::Directory | TarKind::Global | TarKind::Unknown => {
                    return Err(refused("an entry that is not a regular file has content"));
                }
            }
            let name = String::from_utf8(entry.name).map_err(|error| {
                WalkError::Unsafe(String::from_utf8_lossy(error.as_bytes()).into_owned())
            })?;
            if name.ends_with('/') {
                return Err(refused("a regular file is named like a folder"));
            }
            // Terminals interpret control characters in any message about it.
            let name = match SafePath::parse(&name) {
                Ok(safe) if !name.contains(char::is_control) => safe,
                _ => return Err(WalkError::Unsafe(name.escape_debug().to_string())),
            };
            return Ok(Some(Entry {
                name,
                size: entry.size,
                offset: entry.offset,
            }));
        }
        match self.0.lacks_padding() {
            true => Err(refused("it ends within a block")),
            false => Ok(None),
        }
    }
}

impl<F: Skip> Read for Walk<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn refused(what: &str) -> WalkError {
    WalkError::Io(io::Error::new(io::ErrorKind::InvalidData, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{EntryKind, Stream, header_bytes};

    fn walk(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, WalkError> {
        let mut walk = Walk::new(Stream(bytes));
        let mut found = Vec::new();
        while let Some(entry) = walk.next()? {
            let mut content = Vec::new();
            walk.read_to_end(&mut content)?;
            assert_eq!(bytes[entry.offset as usize..][..content.len()], content);
            found.push((entry.name.to_string(), content));
        }
        Ok(found)
    }

    fn raw(kind: u8, name: &str, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    #[test]
    fn files_are_found_under_short_and_long_names() {
        let long = format!("{}/x", "d".repeat(300));
        let mut tar = raw(b'5', "folder/", 0);
        tar.extend(header_bytes(&long, 0o644, 3, EntryKind::File).unwrap());
        tar.extend([b"abc".as_slice(), &[0; 509]].concat());
        let mut gnu = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        let other = format!("{}/y", "e".repeat(300));
        gnu.append_data(&mut header, &other, &b"z"[..]).unwrap();
        tar.extend(gnu.into_inner().unwrap());
        let expected = [(long, b"abc".to_vec()), (other, b"z".to_vec())];
        assert_eq!(walk(&tar).unwrap(), expected);
    }

    #[test]
    fn ambiguous_archives_are_refused() {
        let record = |text: &str| {
            let mut tar = raw(b'x', "x", text.len() as u64);
            tar.extend(text.as_bytes());
            tar.resize(1024, 0);
            tar.extend(raw(b'0', "a", 0));
            tar
        };
        assert_eq!(walk(&record("9 path=b\n")).unwrap()[0].0, "b");
        for tar in [
            raw(b'S', "sparse", 0),
            raw(b'5', "folder", 512),
            raw(b'1', "link", 0),
            raw(b'2', "symlink", 0),
            raw(b'3', "device", 0),
            raw(b'4', "device", 0),
            raw(b'6', "pipe", 0),
            raw(b'0', "a/", 0),
            raw(b'0', "a", u64::MAX >> 1),
            raw(b'x', "x", 2 << 20),
            record("19 GNU.sparse.a=bc\n"),
            record("11 size=-1\n"),
            record("99 path=b\n"),
            vec![7; 512],
            raw(b'0', "a", 0)[..100].to_vec(),
        ] {
            assert!(walk(&tar).is_err());
        }
        for name in [
            "../a",
            "/a",
            "a/../b",
            "C:\\a",
            "\\\\host\\a",
            "a\x1b[2J",
            "a\n",
        ] {
            assert!(matches!(
                walk(&raw(b'0', name, 0)),
                Err(WalkError::Unsafe(_))
            ));
        }
    }

    #[test]
    fn no_damage_to_one_byte_panics() {
        let mut tar = header_bytes(&"n".repeat(200), 0o644, 3, EntryKind::File).unwrap();
        tar.extend([b"abc".as_slice(), &[0; 509]].concat());
        for at in 0..tar.len() {
            let mut broken = tar.clone();
            broken[at] ^= 0x35;
            let _ = walk(&broken);
            let _ = walk(&tar[..at]);
        }
    }
}
