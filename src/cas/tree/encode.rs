//! The canonical encoding of trees, so that equal trees have equal digests.
//!
//! Magic number, count, then for each entry its type, path, and the fields of the type.
//! Decoding accepts nothing else and never panics.

use crate::codec::{CodecError, Reader, Writer};

use super::{Tree, TreeEntry, TreeError, TreeKind};

/// Magic number of trees; changes with the encoding.
const MAGIC: &[u8; 8] = b"jktree\x02\n";

const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const SYMLINK: u8 = 2;
const DIRECTORY: u8 = 3;

/// Maximum size of an encoded tree: 32 MiB, about 300,000 files, so that several fit in
/// memory.
pub const MAX_TREE_BYTES: usize = 32 << 20;

impl Tree {
    /// The canonical encoding of this tree.
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

    /// Decodes the output of [`encode`](Self::encode) and checks it.
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
    fn a_tree_survives_a_round_trip_and_other_lengths_are_refused() {
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
