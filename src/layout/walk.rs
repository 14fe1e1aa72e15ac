//! Walks the entries of a tar from hands that are not trusted.
//!
//! Only what packages are made of is taken: regular files, under safe names.
//! Long names are bounded; whatever could be read in two ways is refused.

use std::io::{self, Read};

use super::bytes::Forward;
use crate::archive::SafePath;

/// Bytes of a tar block.
const BLOCK: u64 = 512;

/// Longest extended header, in bytes: 1 MiB. Ours are below 10 KiB.
const MAX_EXTENDED_BYTES: u64 = 1 << 20;

/// Most entries of any kind; each costs a header.
const MAX_ENTRIES: usize = 2_000_000;

/// One regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Safe to join below a folder.
    pub name: SafePath,
    /// Length of the content in bytes.
    pub size: u64,
    /// Where the content starts in the tar.
    pub offset: u64,
}

/// Why a walk stopped.
#[derive(Debug)]
pub(super) enum WalkError {
    /// The bytes cannot be read, or are no tar.
    Io(io::Error),
    /// A name that leads out.
    Unsafe(String),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The entries of a tar, front to back.
pub(super) struct Walk<F> {
    inner: F,
    at: u64,
    /// Content and padding of the last entry that were not read.
    left: u64,
    padding: u64,
    entries: usize,
    ended: bool,
}

impl<F: Forward> Walk<F> {
    /// Walks `inner`, which stands at the tar's start.
    pub(super) fn new(inner: F) -> Self {
        Self {
            inner,
            at: 0,
            left: 0,
            padding: 0,
            entries: 0,
            ended: false,
        }
    }

    /// What was walked.
    pub(super) fn into_inner(self) -> F {
        self.inner
    }

    /// The next regular file; its content is what reading now yields.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, WalkError> {
        let (mut long_name, mut long_size) = (None::<Vec<u8>>, None::<u64>);
        while let Some(header) = self.header()? {
            let size = header.entry_size()?;
            let kind = header.entry_type();
            match kind.as_byte() {
                b'x' => {
                    let records = self.extended(size)?;
                    for (key, value) in Records(&records) {
                        match key {
                            b"path" => long_name = Some(value.to_vec()),
                            b"size" => long_size = Some(decimal(value)?),
                            _ if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
                            _ => {}
                        }
                    }
                    if !Records(&records).all_sound() {
                        return Err(damaged("an extended header is malformed"));
                    }
                }
                b'L' => {
                    let mut name = self.extended(size)?;
                    if let Some(end) = name.iter().position(|byte| *byte == 0) {
                        name.truncate(end);
                    }
                    long_name = Some(name);
                }
                b'g' => {
                    let records = self.extended(size)?;
                    if Records(&records).any(|(key, _)| key == b"path" || key == b"size") {
                        return Err(damaged("a global header renames or resizes every file"));
                    }
                }
                b'K' => drop(self.extended(size)?),
                b'0' | b'\0' | b'7' => {
                    let size = long_size.unwrap_or(size);
                    let name = match long_name.take() {
                        Some(name) => name,
                        None => header.path_bytes().into_owned(),
                    };
                    let name = String::from_utf8(name).map_err(|error| {
                        WalkError::Unsafe(String::from_utf8_lossy(error.as_bytes()).into_owned())
                    })?;
                    if name.ends_with('/') {
                        return Err(damaged("a regular file is named like a folder"));
                    }
                    // Terminals obey control characters, in any message about it.
                    let name = match SafePath::parse(&name) {
                        Ok(safe) if !name.contains(char::is_control) => safe,
                        _ => return Err(WalkError::Unsafe(name.escape_debug().to_string())),
                    };
                    self.begin(size)?;
                    let offset = self.at;
                    return Ok(Some(Entry { name, size, offset }));
                }
                b'S' => return Err(sparse()),
                b'1' | b'2' => return Err(damaged("it holds a link, which no package does")),
                b'3' | b'4' | b'6' => {
                    return Err(damaged("it holds a device or pipe, which no package does"));
                }
                // Readers pass over the rest (docs/spec/package.md, "Archive").
                // With content, readers would disagree on where the next header
                // is.
                _ if size > 0 || long_size.is_some_and(|size| size > 0) => {
                    return Err(damaged("an entry that is no regular file has content"));
                }
                _ => (long_name, long_size) = (None, None),
            }
        }
        if long_name.is_some() || long_size.is_some() {
            return Err(damaged("it ends after an extended header"));
        }
        Ok(None)
    }

    fn begin(&mut self, size: u64) -> Result<(), WalkError> {
        let whole = size
            .checked_next_multiple_of(BLOCK)
            .filter(|whole| self.at.checked_add(*whole).is_some())
            .ok_or_else(|| damaged("a size is beyond all disks"))?;
        (self.left, self.padding) = (size, whole - size);
        Ok(())
    }

    fn finish_entry(&mut self) -> io::Result<()> {
        let rest = self.left + self.padding;
        self.inner.pass(rest)?;
        self.at += rest;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn extended(&mut self, size: u64) -> Result<Vec<u8>, WalkError> {
        if size > MAX_EXTENDED_BYTES {
            return Err(damaged("an extended header is larger than 1 MiB"));
        }
        self.begin(size)?;
        let mut bytes = Vec::new();
        (&mut *self).take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Option<tar::Header>, WalkError> {
        self.finish_entry()?;
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.inner.read(&mut block[filled..])? {
                0 if filled == 0 => {
                    self.ended = true;
                    return Ok(None);
                }
                0 => return Err(damaged("it ends within a header")),
                count => filled += count,
            }
        }
        self.at += BLOCK;
        if block == [0; BLOCK as usize] {
            self.ended = true;
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(damaged("it has more than two million entries"));
        }
        let header = tar::Header::from_byte_slice(&block).clone();
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                u32::from(if (148..156).contains(&at) {
                    b' '
                } else {
                    *byte
                })
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(damaged(
                "a header's checksum is wrong: this is no tar, or damaged",
            ));
        }
        Ok(Some(header))
    }
}

impl<F: Forward> Read for Walk<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            let message = "the archive ends within a file";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.left -= count as u64;
        self.at += count as u64;
        Ok(count)
    }
}

/// `length key=value` records of an extended header.
struct Records<'b>(&'b [u8]);

impl Records<'_> {
    /// Whether the records end where the header ends.
    fn all_sound(mut self) -> bool {
        while self.next().is_some() {}
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let space = self.0.iter().position(|byte| *byte == b' ')?;
        let length = std::str::from_utf8(&self.0[..space]).ok()?;
        let length: usize = length.parse().ok()?;
        let record = self.0.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        self.0 = &self.0[length..];
        Some((&record[..equals], &record[equals + 1..]))
    }
}

fn decimal(text: &[u8]) -> Result<u64, WalkError> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| damaged("an extended header has a malformed size"))
}

fn damaged(what: &str) -> WalkError {
    WalkError::Io(io::Error::new(io::ErrorKind::InvalidData, what))
}

fn sparse() -> WalkError {
    damaged("it has a sparse file, which packages do not use")
}

#[cfg(test)]
mod tests {
    use super::super::bytes::Stream;
    use super::*;
    use crate::archive::{EntryKind, header_bytes};

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
    fn what_could_be_read_in_two_ways_is_refused() {
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
