//! The one encoding of a tree, so that equal trees have equal digests.
//!
//! Magic, count, then each entry: kind, path, and what the kind has. Decoding
//! accepts nothing else, and never panics.

use crate::codec::{CodecError, Reader, Writer};

use super::{Tree, TreeEntry, TreeError, TreeKind};

/// Begins every tree; changes with the encoding.
const MAGIC: &[u8; 8] = b"jktree\x02\n";

const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const SYMLINK: u8 = 2;
const DIRECTORY: u8 = 3;

/// Largest encoded tree: 32 MiB, some 300,000 files, so that a few fit in memory.
pub const MAX_TREE_BYTES: usize = 32 << 20;

impl Tree {
    /// The one encoding of this tree.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC);
        writer.u64(self.entries.len() as u64);
        for entry in &self.entries {
            writer.byte(match entry.kind {
                TreeKind::File {
                    executable: false, ..
                } => FILE,
                TreeKind::File {
                    executable: true, ..
                } => EXECUTABLE,
                TreeKind::Symlink { .. } => SYMLINK,
                TreeKind::Directory => DIRECTORY,
            });
            writer.text(&entry.path);
            match &entry.kind {
                TreeKind::File { digest, size, .. } => {
                    writer.digest(digest);
                    writer.u64(*size);
                }
                TreeKind::Symlink { target } => writer.text(target),
                TreeKind::Directory => {}
            }
        }
        writer.into_bytes()
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
        let mut reader = Reader::new(bytes);
        reader.magic(MAGIC, "the first bytes of a tree, `jktree`")?;
        let entries = reader.list(entry)?;
        reader.end()?;
        let tree = Self { entries };
        tree.check()?;
        Ok(tree)
    }
}

fn entry(reader: &mut Reader<&[u8]>) -> Result<TreeEntry, CodecError> {
    let at = reader.at();
    let kind = reader.byte("the kind of an entry")?;
    let text = |reader: &mut Reader<_>, what| reader.text(MAX_TREE_BYTES as u64, what);
    let path = text(reader, "a path")?;
    let kind = match kind {
        FILE | EXECUTABLE => TreeKind::File {
            digest: reader.digest()?,
            size: reader.u64("a size")?,
            executable: kind == EXECUTABLE,
        },
        SYMLINK => TreeKind::Symlink {
            target: text(reader, "a link target")?,
        },
        DIRECTORY => TreeKind::Directory,
        _ => return Err(CodecError::malformed(at, "a kind from 0 to 3")),
    };
    Ok(TreeEntry { path, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
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
