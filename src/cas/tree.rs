//! Trees: the content of one output path of a command, independent of the machine.
//!
//! Built on the blob store: file content is stored as blobs, and the encoded tree is a
//! blob that names them. A tree has names, content, executable bits, link targets and
//! folders, including empty ones; never owners, times or other mode bits. A tree that
//! could write outside its destination is refused before anything is written.

mod disk;
mod encode;
mod staging;

use std::collections::HashSet;
use std::path::PathBuf;

use crate::archive::{self, MAX_PATH_BYTES, SafePath};
use crate::codec::CodecError;
use crate::disk::DiskError;
use crate::oci::Digest;

use super::CasError;

pub(crate) use disk::place_entry;
pub use disk::{load, place, restore, store};
pub use encode::MAX_TREE_BYTES;
pub(crate) use staging::{Staging, make_parents};

/// The content of one path: a folder, or a single file or link with an empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// In byte order of their paths, each after its folder.
    pub entries: Vec<TreeEntry>,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative to the tree's own path, with `/` between names.
    pub path: String,
    pub kind: TreeKind,
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeKind {
    File {
        /// Of its bytes.
        digest: Digest,
        /// Length in bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    Symlink {
        /// A relative path that stays inside the tree.
        target: String,
    },
    Directory,
}

/// Why a tree cannot be stored, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error(transparent)]
    Io(#[from] DiskError),
    #[error(transparent)]
    Cas(#[from] CasError),
    /// It is not a file, folder or link.
    #[error("`{0}` is a device, socket or pipe; only files, folders and links can be outputs")]
    Special(PathBuf),
    /// A name or link target that is not UTF-8.
    #[error("the name or link target of `{0}` is not UTF-8: rename it")]
    NotUtf8(PathBuf),
    /// A link whose target may be outside the tree.
    #[error(
        "link `{path}` points to `{target}`, which may be outside the tree: use a relative target inside it"
    )]
    Escapes { path: String, target: String },
    /// The names are too many or too long.
    #[error("the list of files has {0} bytes, expected at most {MAX_TREE_BYTES}: split the output")]
    TooLarge(usize),
    /// The bytes are not a tree.
    #[error("tree is malformed")]
    Encoding(#[from] CodecError),
    /// A tree that breaks the rules.
    #[error("tree is malformed at `{at}`: expected {expected}")]
    Malformed { at: String, expected: &'static str },
}

impl Tree {
    /// The entry of a tree that is a single file or link.
    #[must_use]
    pub fn single(&self) -> Option<&TreeEntry> {
        match self.entries.as_slice() {
            [only] if only.path.is_empty() => Some(only),
            _ => None,
        }
    }

    /// What is at `path`, as a tree of its own; the whole tree for an empty path.
    #[must_use]
    pub fn below(&self, path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(self.clone());
        }
        let within = |entry: &TreeEntry| {
            let rest = entry.path.strip_prefix(path)?;
            let folder = entry.kind == TreeKind::Directory;
            let below = match rest {
                // The folder itself is no entry of its tree.
                "" if folder => return None,
                "" => "",
                rest => rest.strip_prefix('/')?,
            };
            Some(TreeEntry {
                path: below.to_owned(),
                kind: entry.kind.clone(),
            })
        };
        self.entries.iter().find(|entry| entry.path == path)?;
        Some(Self {
            entries: self.entries.iter().filter_map(within).collect(),
        })
    }

    /// The blobs of all files, without duplicates.
    #[must_use]
    pub fn blobs(&self) -> Vec<(Digest, u64)> {
        let mut seen = HashSet::new();
        let file = |entry: &TreeEntry| match entry.kind {
            TreeKind::File { digest, size, .. } => Some((digest, size)),
            _ => None,
        };
        let all = self.entries.iter().filter_map(file);
        all.filter(|blob| seen.insert(*blob)).collect()
    }

    /// Length of all files together, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let file = |entry: &TreeEntry| match entry.kind {
            TreeKind::File { size, .. } => size,
            _ => 0,
        };
        self.entries.iter().map(file).sum()
    }

    /// Checks that the tree follows the rules.
    ///
    /// # Errors
    ///
    /// [`TreeError::Malformed`] and [`TreeError::Escapes`] name the entry.
    pub fn check(&self) -> Result<(), TreeError> {
        let mut folders = HashSet::from([""]);
        let mut last: Option<&str> = None;
        for entry in &self.entries {
            let path = entry.path.as_str();
            let bad = |expected| TreeError::Malformed {
                at: path.chars().take(200).collect(),
                expected,
            };
            if path.is_empty() {
                if self.single().is_none() || entry.kind == TreeKind::Directory {
                    return Err(bad(
                        "an entry without a path to be the only one, and not a folder",
                    ));
                }
            } else {
                let safe = SafePath::parse(path).is_ok_and(|safe| safe.as_str() == path);
                if !safe {
                    return Err(unsafe_name(path));
                }
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                if !folders.contains(parent) {
                    return Err(bad("its folder before it"));
                }
            }
            if last.is_some_and(|last| last >= path) {
                return Err(bad("each path once, in byte order"));
            }
            last = Some(path);
            match &entry.kind {
                TreeKind::Directory => {
                    folders.insert(path);
                }
                TreeKind::Symlink { target } if !stays_inside(path, target) => {
                    return Err(TreeError::Escapes {
                        path: path.to_owned(),
                        target: target.chars().take(200).collect(),
                    });
                }
                TreeKind::Symlink { .. } | TreeKind::File { .. } => {}
            }
        }
        Ok(())
    }
}

/// A path that is not made of plain names.
fn unsafe_name(path: &str) -> TreeError {
    TreeError::Malformed {
        at: path.chars().take(200).collect(),
        expected: "plain names with single slashes between them",
    }
}

/// Whether a link at `path` with this `target` stays inside the folder that `path` is
/// relative to, even through other such links.
#[must_use]
pub fn stays_inside(path: &str, target: &str) -> bool {
    target.len() <= MAX_PATH_BYTES && archive::stays_inside(path, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: TreeKind) -> TreeEntry {
        let path = path.to_owned();
        TreeEntry { path, kind }
    }

    fn link(path: &str, target: &str) -> TreeEntry {
        let target = target.to_owned();
        entry(path, TreeKind::Symlink { target })
    }

    #[test]
    fn a_part_of_a_tree_is_a_tree() {
        let file = || TreeKind::File {
            digest: Digest::of(b""),
            size: 0,
            executable: false,
        };
        let tree = Tree {
            entries: vec![
                entry("a", TreeKind::Directory),
                entry("a.txt", file()),
                entry("a/b", file()),
                entry("e", TreeKind::Directory),
            ],
        };
        let part = |path| tree.below(path).map(|part| part.entries);
        assert_eq!(part("a"), Some(vec![entry("b", file())]));
        assert_eq!(part("a/b"), Some(vec![entry("", file())]));
        assert_eq!(part("e"), Some(Vec::new()));
        assert_eq!(part(""), Some(tree.entries.clone()));
        assert_eq!(part("a/c"), None);
    }

    #[test]
    fn links_that_could_leave_are_refused_even_through_other_links() {
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b", "./c/d"),
            ("", "x.so.1"),
        ] {
            assert!(stays_inside(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "/etc"),
            ("a", "../x"),
            ("", "../x"),
            ("a/b", "../../x"),
            // `l` may be a link to a shallower folder.
            ("a/b", "l/.."),
            ("a", ""),
        ] {
            assert!(!stays_inside(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn a_tree_that_would_write_through_a_link_or_outside_is_refused() {
        let file = || TreeKind::File {
            digest: Digest::of(b""),
            size: 0,
            executable: false,
        };
        for entries in [
            vec![entry("../a", file())],
            vec![entry("/a", file())],
            vec![entry("a//b", file())],
            vec![entry("a/b", file())],
            vec![link("a", "b"), entry("a/b", file())],
            vec![entry("b", file()), entry("a", file())],
            vec![entry("a", file()), entry("a", file())],
            vec![entry("", TreeKind::Directory)],
            vec![entry("", file()), entry("a", file())],
            vec![link("a", "/etc")],
        ] {
            let tree = Tree { entries };
            assert!(tree.check().is_err(), "{tree:?}");
        }
        let entries = vec![
            entry("a", TreeKind::Directory),
            entry("a.txt", file()),
            entry("a/b", file()),
        ];
        Tree { entries }.check().unwrap();
    }
}
