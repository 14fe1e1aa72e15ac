//! Task instances: tasks with nothing left to evaluate.

use std::collections::{BTreeMap, BTreeSet};

use crate::pipeline::model::Toolchain;
use crate::pipeline::settings::Settings;
use crate::pipeline::verb::Verb;

/// One instance of a task, with plain values only.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// `task`, or `task[axis=value,...]` with axes sorted.
    pub id: String,
    /// The start of the names of its steps where it has several; the ID, except in
    /// implied pipelines.
    pub steps: String,
    /// Its condition is false, so it does not run.
    pub skipped: bool,
    /// The outcomes of earlier instances after which it runs.
    pub runs_after: RunsAfter,
    /// What it does.
    pub verb: Verb,
    /// The keys that are the same for all verbs.
    pub settings: Settings,
    /// Input globs, in order; `!` excludes.
    pub input_globs: Vec<String>,
    /// Those of them that may match nothing.
    pub optional_globs: BTreeSet<String>,
    /// The values of inputs `param:NAME` and `env:NAME`, under those names; one that
    /// is not set is left out.
    pub input_values: BTreeMap<String, String>,
    /// Instances whose outputs are inputs, sorted.
    pub input_tasks: Vec<String>,
    /// Every instance that must end before this one starts, sorted.
    pub depends_on: Vec<String>,
    /// Those of them whose results it does not read.
    pub order_only: BTreeSet<String>,
    /// Declared outputs.
    pub outputs: Vec<RenderedOutput>,
    /// Variables, those of the pipeline included.
    pub env: BTreeMap<String, String>,
    /// Names of variables that are passed through, those of the pipeline included,
    /// sorted.
    pub pass_through: Vec<String>,
    /// Toolchains that the pipeline declares.
    pub toolchains: BTreeMap<String, Toolchain>,
    /// Texts that its key contains: the file's salt and its own.
    pub salts: Vec<String>,
    /// The directory it runs in, relative to the file; `.` by default.
    pub workdir: String,
    /// `os/arch[/variant]` or `any`, when the file says.
    pub platform: Option<String>,
}

impl Instance {
    /// An instance that runs after the success of `depends_on`, with nothing else set.
    #[must_use]
    pub fn new(id: String, mut depends_on: Vec<String>, verb: Verb) -> Self {
        depends_on.sort();
        depends_on.dedup();
        Self {
            steps: id.clone(),
            id,
            skipped: false,
            runs_after: RunsAfter::SUCCESS,
            verb,
            settings: Settings::unset(),
            input_globs: Vec::new(),
            optional_globs: BTreeSet::new(),
            input_values: BTreeMap::new(),
            input_tasks: Vec::new(),
            depends_on,
            order_only: BTreeSet::new(),
            outputs: Vec::new(),
            env: BTreeMap::new(),
            pass_through: Vec::new(),
            toolchains: BTreeMap::new(),
            salts: Vec::new(),
            workdir: ".".to_owned(),
            platform: None,
        }
    }
}

/// The outcomes of earlier instances after which one runs: success alone, unless
/// its condition calls `always()` or the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunsAfter {
    /// All succeeded.
    pub success: bool,
    /// One failed, or was skipped because of a failure.
    pub failure: bool,
    /// One was skipped and none failed.
    pub skipped: bool,
}

impl RunsAfter {
    /// Without a condition that asks for outcomes.
    pub const SUCCESS: Self = Self {
        success: true,
        failure: false,
        skipped: false,
    };
}

/// A declared output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedOutput {
    /// Its path relative to the pipeline file's folder, without a trailing slash.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether it may be missing after success.
    pub optional: bool,
}
