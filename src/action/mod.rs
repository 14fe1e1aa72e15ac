//! Actions: tasks made ready to run, and the keys that remember their results.
//!
//! Sits above the OCI words and below the stores: `exec` builds an [`Action`]
//! from a task and from digests the stores computed, and runs it only when no
//! [`ActionResult`] is kept under its [`ActionKey`].
//!
//! A key covers what can change an output's bytes, and never an absolute path
//! of the machine, a modification time, an owner, the clock, or a map's order.
//! Nothing here opens a file.

mod encode;
mod explain;
mod result;

use std::collections::{BTreeMap, BTreeSet};

use crate::oci::{Digest, Platform};

pub use encode::{ActionKey, ActionKeyError, KEY_FORMAT};
pub use explain::{Change, DirtyReason, Explained, Subject, diff};
pub use result::{ActionResult, MAX_RESULT_BYTES, Output, ResultError};

/// One unit of work with everything that can change its outputs' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The verb that runs it: `run`, `component`, `images`, ...
    pub kind: String,
    /// What the outputs are for; `None`: any platform.
    pub platform: Option<Platform>,
    /// Version of the format the verb writes, raised when its bytes change.
    pub format: u32,
    /// The user's own word, changed to forget earlier results.
    pub salt: String,
    /// Resolved tools by name, with the digest of each executable.
    pub tools: BTreeMap<String, Digest>,
    /// Program and arguments; the order is part of the key.
    pub argv: Vec<String>,
    /// Declared variables: visible to the command, name and value in the key.
    pub env: BTreeMap<String, String>,
    /// Variables visible to the command of which only the name is in the key.
    pub pass_through: BTreeSet<String>,
    /// What the action reads; the order does not matter.
    pub inputs: Vec<Input>,
    /// Declared output paths, as written.
    pub outputs: Vec<String>,
    /// Further settings of the verb, in the verb's own order.
    pub settings: Vec<(String, String)>,
}

impl Action {
    /// An action of one verb that reads nothing, writes nothing and has no settings.
    #[must_use]
    pub fn new(kind: &str, format: u32) -> Self {
        Self {
            kind: kind.to_owned(),
            platform: None,
            format,
            salt: String::new(),
            tools: BTreeMap::new(),
            argv: Vec::new(),
            env: BTreeMap::new(),
            pass_through: BTreeSet::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// The first value of the setting called `name`.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        settings.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}

/// One thing an action reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Path relative to the workspace, with `/`; for a blob, the name of its
    /// producer, such as `task:bundle`.
    pub path: String,
    /// What stands there.
    pub kind: InputKind,
}

/// What stands at an input's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// A regular file.
    File {
        /// Of its bytes.
        digest: Digest,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link, not followed.
    Symlink {
        /// Its target, as stored in the link.
        target: String,
    },
    /// A directory that has no input in it.
    Directory,
    /// Bytes another action wrote: the digest of its output.
    Blob {
        /// Of its bytes.
        digest: Digest,
    },
}
