//! Who may read what was made of files of the checkout.
//!
//! An archive must not show to others what they cannot read in the checkout. This is
//! no part of a key: the bytes are the same, and only the file on this disk has a mode.
//! It is known whether a result was made now or before, because the inputs of every
//! step are listed in every run.

/// The readers of a file besides its owner: the read bits of group and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readers(u32);

impl Default for Readers {
    fn default() -> Self {
        Self(0o044)
    }
}

impl Readers {
    /// Those of a file or folder with this mode.
    pub(crate) fn of(mode: u32) -> Self {
        Self(mode & Self::default().0)
    }

    /// Those who may read both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nobody but the owner may read it.
    pub(crate) fn only_owner(self) -> bool {
        self.0 == 0
    }

    /// The mode of a file for these readers, less the user's umask.
    pub(crate) fn mode(self) -> u32 {
        0o600 | self.0
    }
}
