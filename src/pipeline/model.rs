//! The checked pipeline: what the planner reads.
//!
//! Only `check` makes these values, so references lead to tasks that exist and
//! the tasks form no cycle. Templates are parsed, but not yet evaluated.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expression::{Expression, Template};
use super::matrix::{Matrix, Row};

/// The name of a task within its file.
pub type TaskId = String;

/// A checked pipeline file.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
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
    /// What the cache may hold, as far as the file says.
    pub cache_limits: CacheLimits,
    /// Named limits.
    pub pools: BTreeMap<String, u32>,
    /// The tasks.
    pub tasks: BTreeMap<TaskId, Task>,
}

/// What the cache may hold after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheLimits {
    /// In bytes.
    pub max_size: Option<u64>,
    /// Since the last use.
    pub max_age: Option<Duration>,
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
    /// Its type.
    pub kind: ParamType,
    /// Whether the run must give it.
    pub required: bool,
    /// The value when the run gives none.
    pub default: Option<String>,
    /// A regular expression the value must match.
    pub pattern: Option<String>,
    /// The values allowed; empty allows all.
    pub allowed: Vec<String>,
    /// For people.
    pub description: Option<String>,
}

/// A task as written, before its matrix is expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// Tasks that go first, for order only.
    pub depends_on: Vec<TaskRef>,
    /// Globs, `param:` and `env:` inputs, as templates.
    pub inputs: Vec<Template>,
    /// Tasks whose outputs are inputs.
    pub input_tasks: Vec<TaskRef>,
    /// Declared outputs of a `run` task.
    pub outputs: Vec<Output>,
    /// Own variables.
    pub env: Vec<(String, Template)>,
    /// Variables passed by name.
    pub pass_through_env: Vec<String>,
    /// Programs whose digests enter the key.
    pub tools: Vec<String>,
    /// The matrix as written.
    pub matrix: Option<Matrix>,
    /// Values of each instance; one empty row without a matrix.
    pub rows: Vec<Row>,
    /// When false, the task is skipped.
    pub condition: Option<Expression>,
    /// `os/arch[/variant]` or `any`.
    pub platform: Option<Template>,
    /// Whether and how results are kept.
    pub cache: Caching,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// Time between asking a command to stop and killing it.
    pub grace: Duration,
    /// Whether its command is kept to what it declares.
    pub sandbox: Sandbox,
    /// What follows a failed attempt.
    pub retries: Retries,
    /// Values that the command sees and nobody else does.
    pub secrets: Vec<(String, Secret)>,
    /// What it occupies while it runs.
    pub resources: Resources,
    /// Among ready tasks the larger goes first; 0 when not given.
    pub priority: i32,
    /// Words that `--task tag:WORD` selects by.
    pub tags: Vec<String>,
    /// The pool it takes a slot of.
    pub pool: Option<String>,
    /// A lock across the run.
    pub mutex: Option<Template>,
    /// Its failure does not fail the run.
    pub continue_on_error: bool,
    /// Directory it runs in, relative to the file.
    pub workdir: Option<Template>,
    /// For people.
    pub description: Option<String>,
}

/// Whether and how a task's results are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caching {
    /// Whether they are.
    pub keep: bool,
    /// Part of the key.
    pub salt: String,
    /// Mutable references are asked again when they were last asked longer ago.
    pub fresh: Option<Duration>,
    /// A task with secrets is kept as well.
    pub with_secrets: bool,
}

impl Caching {
    /// As a task without the key has it.
    #[must_use]
    pub fn kept() -> Self {
        Self {
            keep: true,
            salt: String::new(),
            fresh: None,
            with_secrets: false,
        }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// Before the second attempt; doubles from then on.
    pub backoff: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// After these failures only; empty: after any that another attempt may mend.
    pub only: Vec<RetryOn>,
}

impl Retries {
    /// So many attempts after the first, waiting 1 s, 2 s, 4 s ... at most 30 s.
    #[must_use]
    pub fn plain(attempts: u32) -> Self {
        Self {
            attempts,
            backoff: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            only: Vec::new(),
        }
    }
}

/// A failure after which a task may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// The network broke off, or a server had a fault of its own.
    Network,
    /// The attempt took too long.
    Timeout,
    /// The command ended with this code.
    Exit(i32),
}

/// Whether a command is kept to what its task declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// It is; a kernel that cannot do so fails the task.
    Strict,
    /// It is, where the kernel can.
    Warn,
    /// It may use whatever the user may.
    None,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A variable of the run.
    Env(String),
    /// A file, relative to the pipeline file; a line break at its end is cut.
    File(String),
}

/// What a task occupies while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Processors; 1 when not given.
    pub cpu: u32,
    /// Bytes.
    pub memory: u64,
}

/// A reference to instances of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRef {
    /// The task, which exists.
    pub task: TaskId,
    /// Text of a [`super::matrix::Selector`] once rendered.
    pub selector: Template,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskKind {
    /// Makes a component tar.
    Component {
        /// Package definition file.
        definition: Template,
        /// Component in it.
        name: Template,
    },
    /// Fetches images.
    Images {
        /// Where their references stand.
        from: ImagesFrom,
        /// Platform to choose.
        platform: Option<Template>,
    },
    /// Builds an image from layers.
    Image {
        /// `scratch`, a reference or a task.
        base: Template,
        /// Platform of the image.
        platform: Option<Template>,
        /// Layers, lowest first.
        layers: Vec<Layer>,
        /// Entrypoint.
        entrypoint: Vec<Template>,
        /// Default arguments.
        cmd: Vec<Template>,
        /// Variables in the image.
        env: Vec<(String, Template)>,
        /// User to run as.
        user: Option<Template>,
        /// Directory to start in.
        workdir: Option<Template>,
        /// Labels.
        labels: Vec<(String, Template)>,
        /// Ports, such as `8080/tcp`.
        ports: Vec<Template>,
    },
    /// Lists contents.
    Sbom {
        /// Subjects.
        of: Vec<TaskRef>,
        /// Formats to write.
        formats: Vec<String>,
    },
    /// Puts a package together.
    Package {
        /// Package definition file.
        definition: Template,
        /// Values for its variables.
        set: Vec<(String, Template)>,
        /// Component tasks.
        components: Vec<TaskRef>,
        /// Image tasks.
        images: Vec<TaskRef>,
        /// Sbom tasks.
        sboms: Vec<TaskRef>,
    },
    /// Signs packages, and attests what they are made of.
    Sign(Box<Sign>),
    /// Publishes packages, all of them or none.
    Publish {
        /// Package tasks.
        packages: Vec<TaskRef>,
        /// `oci://HOST/PATH` or `oci-layout:FOLDER`.
        to: Template,
        /// More of these.
        mirrors: Vec<Template>,
        /// Tasks that sign them.
        signatures: Vec<TaskRef>,
        /// Instead of version and flavor.
        tags: Vec<Template>,
        /// Whether tags that name something else are moved.
        move_tags: bool,
        /// Whether files too large for a layer are put into several.
        split_layers: bool,
    },
    /// Runs a program.
    Run {
        /// Program and arguments; one script when `shell` is given.
        argv: Vec<Template>,
        /// Shell that reads the script.
        shell: Option<String>,
    },
}

/// What a `sign` task does.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// Package tasks.
    pub subjects: Vec<TaskRef>,
    /// The key; `None`: a certificate.
    pub key: Option<Template>,
    /// The file with its password.
    pub password_file: Option<Template>,
    /// Whom the certificate must name.
    pub identity: Option<Template>,
    /// Who must vouch for that.
    pub issuer: Option<Template>,
    /// A private deployment.
    pub trust_config: Option<Template>,
    /// What is said of the packages besides.
    pub annotations: Vec<(String, Template)>,
    /// Who builds, as provenance says.
    pub builder: Option<Template>,
    /// Whether it is attested how they were made.
    pub provenance: bool,
    /// Whether it is attested what is inside.
    pub sbom: bool,
    /// Whether a key's signature is written into them.
    pub in_package: bool,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `task:NAME` or a path.
    pub from: Template,
    /// Where it goes.
    pub to: Template,
    /// `uid:gid`.
    pub owner: Option<Template>,
    /// Permission bits of every file.
    pub mode: Option<u32>,
}

/// Where an `images` task finds its references.
#[derive(Debug, Clone, PartialEq)]
pub enum ImagesFrom {
    /// A package definition file, whose images are meant.
    Definition(Template),
    /// The references themselves; `task:NAME` is an image built here.
    List(Vec<Template>),
}

/// A declared output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its path; a trailing slash means a directory.
    pub path: Template,
    /// Whether it may be missing after success.
    pub optional: bool,
}
