//! Marks: a result is not made from what its key names alone.
//!
//! Everything made from a marked result has its marks: in its key, in the run record and
//! in provenance. A marked result never travels with a package.

use std::ops::{BitOr, BitOrAssign};

/// Why a result may differ the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A task continued from what it kept of an earlier run.
    Incremental,
    /// A task used the network, and nothing pins what it got.
    Unpinned,
}

impl Mark {
    pub(crate) const ALL: [Self; 2] = [Self::Incremental, Self::Unpinned];

    /// As keys, records and provenance have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Unpinned => "unpinned",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.name() == name)
    }

    /// The key of a pipeline that makes it no obstacle to publishing.
    pub(crate) fn allowed_by(self) -> &'static str {
        match self {
            Self::Incremental => "trustIncremental",
            Self::Unpinned => "allowUnpinned",
        }
    }
}

/// The marks of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    incremental: bool,
    unpinned: bool,
}

impl Marks {
    /// `mark`, if `given`.
    pub(crate) fn with(mark: Mark, given: bool) -> Self {
        match mark {
            Mark::Incremental => Self {
                incremental: given,
                ..Self::default()
            },
            Mark::Unpinned => Self {
                unpinned: given,
                ..Self::default()
            },
        }
    }

    pub(crate) fn has(self, mark: Mark) -> bool {
        match mark {
            Mark::Incremental => self.incremental,
            Mark::Unpinned => self.unpinned,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn all(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.into_iter().filter(move |mark| self.has(*mark))
    }

    /// Those that are not among `others`.
    pub(crate) fn without(self, others: Self) -> Self {
        Self {
            incremental: self.incremental && !others.incremental,
            unpinned: self.unpinned && !others.unpinned,
        }
    }
}

impl BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            incremental: self.incremental || other.incremental,
            unpinned: self.unpinned || other.unpinned,
        }
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
