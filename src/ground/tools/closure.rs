//! What a tool resolves to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::oci::Digest;

/// A tool: the program that is started, and what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// The program: found on `PATH`, or what a shim found there starts.
    pub(crate) path: PathBuf,
    /// Which folder of `PATH` it was found in; 0: its path was given.
    pub(crate) place: usize,
    /// Identifies everything that it is known to read, by contents and versions.
    pub(crate) digest: Digest,
    /// The folders that a command needs on its `PATH` to find it, with their places.
    pub(crate) folders: Vec<(usize, PathBuf)>,
    /// Files and folders that it reads, at their own paths.
    pub(crate) readable: Vec<PathBuf>,
    /// Variables that it needs.
    pub(crate) env: BTreeMap<String, String>,
    /// The names of the programs that `version` is the version of.
    pub(super) mains: &'static [&'static str],
    /// Its version, if that is known.
    pub(crate) version: Option<String>,
    /// Whether the folder that a command starts in has an influence.
    pub(super) by_folder: bool,
    /// How it was resolved, for a person; a line each.
    pub(crate) reasons: Vec<String>,
    /// Whether it is a script outside of the system, and may look for its program where
    /// no sandbox has it.
    pub(crate) may_be_shim: bool,
}

impl Tool {
    /// Whether `version` is that of the program called `name`.
    pub(super) fn is_main(&self, name: &str) -> bool {
        self.mains.iter().any(|main| name.starts_with(main))
    }
}

/// What is known of a tree in one of its states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) digest: Digest,
    /// The libraries elsewhere that its programs load.
    pub(crate) libraries: Vec<PathBuf>,
    /// Metadata of all files, digested.
    pub(super) seen: Digest,
}
