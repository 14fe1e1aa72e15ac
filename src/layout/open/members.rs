//! The files of a package, listed by name.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization as _;

/// One file of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Length in bytes.
    pub size: u64,
    /// Offset of the content in the tar; 0 in a folder.
    pub offset: u64,
}

/// Files by name, without names that collide on some file systems.
#[derive(Default)]
pub(super) struct Members {
    pub(super) by_name: BTreeMap<String, Member>,
    /// Folded forms of names, where different from the name.
    folded: BTreeSet<String>,
    /// Length of all names in bytes.
    pub(super) bytes: usize,
}

impl Members {
    /// Returns whether the name was free.
    pub(super) fn insert(&mut self, name: &str, member: Member) -> bool {
        self.bytes += name.len();
        // As on file systems that ignore case or normalise accents.
        let folded: String = name.nfc().collect::<String>().to_lowercase();
        let taken = match folded == name {
            true => self.folded.contains(name),
            false => self.by_name.contains_key(&folded) || !self.folded.insert(folded),
        };
        !taken && self.by_name.insert(name.to_owned(), member).is_none()
    }
}
