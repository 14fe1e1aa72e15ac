//! Actions: tasks that are ready to run, and the keys of their results.
//!
//! Sits above the OCI words and below the stores: each kind of work builds an
//! [`Action`] from its settings and inputs, and it runs only if no [`ActionResult`] is
//! stored under its [`ActionKey`].
//!
//! A key covers everything that can change an output's bytes, and never an absolute
//! path, a modification time, an owner, the clock, or the order of a map. Nothing here
//! opens a file.

mod encode;
mod explain;
mod inputs;
mod past;
mod result;
mod settings;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::oci::{Digest, Platform};

pub use encode::ActionKey;
pub use explain::{DirtyReason, FieldChange, changes};
pub use inputs::{InputDirectory, InputError, InputFile, InputNode, InputTree};
pub use past::{Advice, MAX_RUNS, Past, PastRun, Without};
pub use result::{ActionResult, Output};
pub use settings::{Fields, Settings, SettingsError};
pub(crate) use settings::{below, fields};
pub use wire::{WireError, decode, encode};

/// One unit of work with everything that can change its outputs' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The kind of work: `run`, `component`, `image-build`, ...
    pub kind: String,
    /// Platform of the outputs; `None`: any.
    pub platform: Option<Platform>,
    /// Version of the format that the verb writes; incremented when its bytes change.
    pub format: u32,
    /// A string that the user changes to discard earlier results.
    pub salt: String,
    /// Resolved tools by name, with the digest of each executable.
    pub tools: BTreeMap<String, Digest>,
    /// Program and arguments; the order is part of the key.
    pub argv: Vec<String>,
    /// Declared variables: visible to the command, name and value in the key.
    pub env: BTreeMap<String, String>,
    /// Variables visible to the command; only their names are in the key.
    pub pass_through: BTreeSet<String>,
    /// The files that the action reads. Shared, because actions are copied and trees
    /// are large.
    pub inputs: Arc<InputTree>,
    /// Declared output paths, as written.
    pub outputs: Vec<String>,
    /// Further settings of the verb, in the verb's own order.
    pub settings: Settings,
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
            inputs: Arc::default(),
            outputs: Vec::new(),
            settings: Settings::default(),
        }
    }
}
