//! What a tool resolves to.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// The folders that a command needs on its `PATH` to find it.
    pub(crate) folders: Vec<PathBuf>,
    /// Files and folders that it reads, at their own paths.
    pub(crate) readable: Vec<PathBuf>,
    /// Variables that it needs.
    pub(crate) env: BTreeMap<String, String>,
    /// How it was resolved, for a person; a line each.
    pub(crate) reasons: Vec<String>,
    /// Whether it is a script outside of the system, and may look for its program where
    /// no sandbox has it.
    pub(crate) may_be_shim: bool,
}
