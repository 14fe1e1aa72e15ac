//! The checked pipeline: what the planner reads.
//!
//! Only `check` makes these values, so references lead to tasks that exist and
//! the tasks form no cycle. Templates are parsed, but not yet evaluated.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{Expression, Template};
use super::limits::{CacheLimits, Defaults};
use super::matrix::Row;
use super::record::Written;
use super::settings::Settings;
use super::verb::Verb;
use crate::cron::Cron;

/// The name of a task within its file.
pub type TaskId = String;

/// A checked pipeline file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipeline {
    /// Part of the names of images that are built here.
    pub name: String,
    /// Patterns of pipeline files that belong to the same graph, relative to the file.
    pub include: Vec<String>,
    /// Typed inputs of the run.
    pub params: BTreeMap<String, Param>,
    /// Variables of every task.
    pub env: Vec<(String, Template)>,
    /// Variables every task sees without their values entering a key.
    pub pass_through_env: Vec<String>,
    /// Inputs of every `run` task: globs, `param:` and `env:`, as templates.
    pub global_inputs: Vec<Template>,
    /// Part of every key of this file.
    pub salt: String,
    /// Limits on the cache that the file sets.
    pub cache_limits: CacheLimits,
    /// Whether `publish` and builds under `CI=true` take what tasks made from what
    /// they kept.
    pub trust_incremental: bool,
    /// Whether `publish` takes what is made from what tasks got from the network.
    pub allow_unpinned: bool,
    /// Toolchains that tasks name in `tools`.
    pub toolchains: BTreeMap<String, Toolchain>,
    /// How many tasks may use each pool at once.
    pub pools: BTreeMap<String, u32>,
    /// By name.
    pub tasks: BTreeMap<TaskId, Task>,
    /// By name.
    pub schedules: BTreeMap<String, Schedule>,
}

/// When a scheduler elsewhere should run what. jackal itself starts nothing by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub cron: Cron,
    /// The IANA name of the time zone of these times.
    pub timezone: String,
    pub runs: Scheduled,
    pub params: BTreeMap<String, String>,
    /// A description for readers of the file.
    pub description: Option<String>,
}

/// What a schedule runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// Tasks of its file; none: all of them.
    Tasks(Vec<String>),
    /// What words select, as on the command line at the root of the workspace.
    Targets(Vec<String>),
}

/// The settings of a workspace.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceSettings {
    /// Patterns of what belongs to no package or pipeline of the workspace.
    pub exclude: Vec<String>,
    /// Patterns of pipeline files that have another name than the usual one.
    pub include: Vec<String>,
    /// The folder for archives, relative to the file.
    pub output: Option<String>,
    /// Defaults for the tasks of every pipeline.
    pub(super) defaults: Defaults,
    /// Toolchains for every pipeline.
    pub(super) toolchains: BTreeMap<String, Toolchain>,
}

impl WorkspaceSettings {
    /// What its templates use of the commit, such as `git.sha`.
    #[must_use]
    pub fn git_names(&self) -> BTreeSet<String> {
        // The pattern names all fields, so that one that becomes a template is not forgotten.
        let Defaults {
            platform,
            timeout: _,
            retries: _,
            cache: _,
            shell: _,
        } = &self.defaults;
        let names = platform.iter().flat_map(Template::names);
        names.filter(|name| name.starts_with("git.")).collect()
    }
}

/// A toolchain of the pipeline. Paths are relative to the file, or to the user's home
/// after `~/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// What commands may read, at its own path.
    pub mounts: Vec<String>,
    /// What its tasks' keys contain.
    pub identity: Identity,
    /// Folders for `PATH`.
    pub path: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
}

/// What identifies a toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The content of what it mounts.
    Content,
    /// These files.
    Files(Vec<String>),
    /// What a command prints.
    Command(Vec<String>),
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// Any text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// What texts it accepts.
    pub kind: ParamType,
    /// Whether the run must give it.
    pub required: bool,
    /// The value when the run gives none.
    pub default: Option<String>,
    /// A regular expression the value must match.
    pub pattern: Option<String>,
    /// The values allowed; empty allows all.
    pub allowed: Vec<String>,
    /// A description for readers of the file.
    pub description: Option<String>,
}

/// A task as written, before its matrix is expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique in the file.
    pub id: TaskId,
    /// What it does.
    pub verb: Verb<Written>,
    /// The keys that are the same for all verbs.
    pub settings: Settings<Written>,
    /// Globs, `param:` and `env:` inputs, as templates.
    pub inputs: Vec<Template>,
    /// Globs that may match nothing.
    pub optional_inputs: Vec<Template>,
    /// Tasks whose outputs are inputs, as templates of selectors.
    pub input_tasks: Vec<Template>,
    /// Declared outputs.
    pub outputs: Vec<Output>,
    /// Its own variables; a later one may use an earlier one.
    pub env: Vec<(String, Template)>,
    /// The values of each instance; one empty row without a matrix.
    pub rows: Vec<Row>,
    /// When false, the task is skipped.
    pub condition: Option<Expression>,
    /// `os/arch[/variant]` or `any`.
    pub platform: Option<Template>,
}

/// A declared output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// A trailing slash means a directory.
    pub path: Template,
    /// Whether it may be missing after success.
    pub optional: bool,
}
