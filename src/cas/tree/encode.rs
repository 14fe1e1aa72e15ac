//! The one encoding of a tree, so that equal trees have equal digests.
//!
//! Magic, version, count, then each entry: kind, path, and what the kind has.
//! Numbers are little-endian; every text has its length before it. Decoding
//! takes nothing else, and never panics.

use crate::oci::Digest;

use super::{Tree, TreeEntry, TreeError, TreeKind};

const MAGIC: &[u8; 4] = b"JKTR";
const VERSION: u32 = 1;

const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const SYMLINK: u8 = 2;
const DIRECTORY: u8 = 3;

/// Fewest bytes an entry takes: its kind and the length of its path.
const MIN_ENTRY_BYTES: usize = 5;

/// Largest encoded tree: 32 MiB, some 300,000 files, so that a few fit in memory.
pub const MAX_TREE_BYTES: usize = 32 << 20;

impl Tree {
    /// The one encoding of this tree.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            bytes.push(match entry.kind {
                TreeKind::File {
                    executable: false, ..
                } => FILE,
                TreeKind::File {
                    executable: true, ..
                } => EXECUTABLE,
                TreeKind::Symlink { .. } => SYMLINK,
                TreeKind::Directory => DIRECTORY,
            });
            text(&mut bytes, &entry.path);
            match &entry.kind {
                TreeKind::File { digest, size, .. } => {
                    bytes.extend(digest.as_bytes());
                    bytes.extend(size.to_le_bytes());
                }
                TreeKind::Symlink { target } => text(&mut bytes, target),
                TreeKind::Directory => {}
            }
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, and checks it.
    ///
    /// # Errors
    ///
    /// [`TreeError::TooLarge`], [`TreeError::Malformed`], or as [`check`](Self::check).
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        if bytes.len() > MAX_TREE_BYTES {
            return Err(TreeError::TooLarge(bytes.len()));
        }
        let mut reader = Reader { bytes, at: 0 };
        if reader.array::<4>("the first bytes of a tree, `JKTR`")? != *MAGIC {
            return Err(malformed(0, "the first bytes of a tree, `JKTR`"));
        }
        if u32::from_le_bytes(reader.array("a version")?) != VERSION {
            return Err(malformed(4, "version 1 of the tree format"));
        }
        let count = u64::from_le_bytes(reader.array("the number of entries")?);
        let room = (bytes.len() / MIN_ENTRY_BYTES) as u64;
        let count = usize::try_from(count.min(room + 1))
            .ok()
            .filter(|_| count <= room)
            .ok_or_else(|| malformed(8, "no more entries than there are bytes for"))?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(reader.entry()?);
        }
        if reader.at != bytes.len() {
            return Err(malformed(reader.at, "the end"));
        }
        let tree = Self { entries };
        tree.check()?;
        Ok(tree)
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    // Paths and targets have at most 4096 bytes; a longer one is cut off here
    // from ever being read back as something else, since its length is wrong.
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn malformed(at: usize, expected: &'static str) -> TreeError {
    TreeError::Malformed {
        at: format!("byte {at}"),
        expected,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], TreeError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| malformed(self.at, expected))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], TreeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    fn text(&mut self) -> Result<String, TreeError> {
        let at = self.at;
        let length = u32::from_le_bytes(self.array("the length of a text")?);
        let length = usize::try_from(length).map_err(|_| malformed(at, "a shorter text"))?;
        let bytes = self.take(length, "a text of the length given")?;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed(at, "UTF-8"))?;
        Ok(text.to_owned())
    }

    fn entry(&mut self) -> Result<TreeEntry, TreeError> {
        let at = self.at;
        let [kind] = self.array("the kind of an entry")?;
        let path = self.text()?;
        let kind = match kind {
            FILE | EXECUTABLE => TreeKind::File {
                digest: Digest::from_bytes(self.array("a digest")?),
                size: u64::from_le_bytes(self.array("a size")?),
                executable: kind == EXECUTABLE,
            },
            SYMLINK => TreeKind::Symlink {
                target: self.text()?,
            },
            DIRECTORY => TreeKind::Directory,
            _ => return Err(malformed(at, "a kind from 0 to 3")),
        };
        Ok(TreeEntry { path, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Tree {
        let entry = |path: &str, kind| TreeEntry {
            path: path.to_owned(),
            kind,
        };
        let file = |executable| TreeKind::File {
            digest: Digest::of(b"x"),
            size: 1,
            executable,
        };
        let target = "../b".to_owned();
        Tree {
            entries: vec![
                entry("a", TreeKind::Directory),
                entry("a/l", TreeKind::Symlink { target }),
                entry("b", file(false)),
                entry("c", file(true)),
            ],
        }
    }

    #[test]
    fn a_tree_is_read_back_as_it_was_and_no_shorter_or_longer_text_is_one() {
        let bytes = sample().encode();
        assert_eq!(Tree::decode(&bytes).unwrap(), sample());
        for end in 0..bytes.len() {
            assert!(Tree::decode(&bytes[..end]).is_err(), "{end}");
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert!(Tree::decode(&longer).is_err());
        let empty = Tree::default();
        assert_eq!(Tree::decode(&empty.encode()).unwrap(), empty);
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(at in 0usize..200, byte: u8, tail: Vec<u8>) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(tree) = Tree::decode(&bytes) {
                prop_assert_eq!(tree.encode(), bytes);
            }
            let _ = Tree::decode(&tail);
        }
    }
}
