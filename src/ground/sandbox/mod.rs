//! The sandbox of a command: what enforces it, and the root that the command sees.
//!
//! With namespaces, a command has a root of its own, the same on every machine: its
//! workspace at [`WORK`], the system read-only, and private processes, devices,
//! temporary files and network. The program plans that root; `enter` and `init` make it,
//! in processes of its launcher. See adr/0044, "Commands run in namespaces".

mod enter;
mod filter;
mod init;
mod mounts;
mod overlay;
mod root;

use std::fmt;

pub(in crate::ground) use enter::{apart, leave, succeeded};
pub(in crate::ground) use init::{Template, end};
pub(crate) use overlay::Overlay;
pub(crate) use root::{HOME, PRIVATE, Root, Shared, TEMPORARY, WORK};

/// What enforces that a command uses what it declares, from the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A root, processes and a network of its own.
    Namespaces,
    /// Rules for files, at the paths of this machine.
    Landlock,
    Free,
}

impl Level {
    /// The strongest first.
    pub(crate) const ALL: [Self; 3] = [Self::Namespaces, Self::Landlock, Self::Free];

    /// Those that enforce more, the strongest first.
    pub(crate) fn above(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |level| *level < self)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Landlock => "landlock",
            Self::Free => "none",
        })
    }
}
