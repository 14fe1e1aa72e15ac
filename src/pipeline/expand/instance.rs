//! What a task instance is once nothing is left to evaluate.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pipeline::model::{Resources, Retries, Sandbox, Secret};

/// One instance of a task, with plain values only.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// `task`, or `task[axis=value,...]` with axes sorted.
    pub id: String,
    /// The task it is an instance of.
    pub task: String,
    /// Whether it is known before the run that it does not run.
    pub skipped: bool,
    /// After which outcomes of the instances before it runs.
    pub runs_after: RunsAfter,
    /// What it does.
    pub kind: RenderedKind,
    /// Input globs, in order; `!` excludes.
    pub input_globs: Vec<String>,
    /// Values asked for as `param:NAME` and `env:NAME`, under those names; a
    /// value that is not set is left out.
    pub input_values: BTreeMap<String, String>,
    /// Instances whose outputs are inputs, sorted.
    pub input_tasks: Vec<String>,
    /// Every instance that goes before this one, for whatever reason, sorted.
    pub depends_on: Vec<String>,
    /// Declared outputs.
    pub outputs: Vec<RenderedOutput>,
    /// Variables, those of the pipeline included.
    pub env: BTreeMap<String, String>,
    /// Variables whose names alone are declared, sorted.
    pub pass_through: Vec<String>,
    /// Programs whose digests enter the key.
    pub tools: Vec<String>,
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
    /// Among ready tasks the larger goes first.
    pub priority: i32,
    /// Words it can be selected by.
    pub tags: Vec<String>,
    /// The pool it takes a slot of.
    pub pool: Option<String>,
    /// The lock it holds.
    pub mutex: Option<String>,
    /// Whether its result is kept.
    pub cache: bool,
    /// Part of its key: the file's and its own.
    pub salts: Vec<String>,
    /// Mutable references are asked again when they were last asked longer ago.
    pub fresh: Option<Duration>,
    /// Whether its failure leaves the run successful.
    pub continue_on_error: bool,
    /// Directory it runs in, relative to the file; `.` when not given.
    pub workdir: String,
    /// `os/arch[/variant]` or `any`, when the file says.
    pub platform: Option<String>,
}

/// The outcomes of earlier instances after which one runs. Without `always()`
/// or its like in the condition that is success alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunsAfter {
    /// All succeeded.
    pub success: bool,
    /// One failed.
    pub failure: bool,
    /// One was skipped and none failed.
    pub skipped: bool,
}

/// A declared output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedOutput {
    /// Its path relative to the task's directory, without a trailing slash.
    pub path: String,
    /// The same path relative to the pipeline file.
    pub full: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether it may be missing after success.
    pub optional: bool,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedKind {
    /// Makes a component tar.
    Component {
        /// Package definition file; empty when `inline` is given.
        definition: String,
        /// Component in it.
        name: String,
        /// Text of a definition that holds this one component.
        inline: Option<String>,
    },
    /// Fetches images.
    Images {
        /// Which.
        from: ImagesSource,
        /// Platform to choose.
        platform: Option<String>,
    },
    /// Builds an image.
    Image {
        /// What it builds upon.
        base: ImageSource,
        /// Its platform.
        platform: Option<String>,
        /// Layers, lowest first.
        layers: Vec<ImageLayer>,
        /// Its configuration.
        config: RenderedConfig,
    },
    /// Lists contents.
    Sbom {
        /// Instances listed.
        of: Vec<String>,
        /// Formats to write.
        formats: Vec<String>,
    },
    /// Puts a package together.
    Package {
        /// Package definition file.
        definition: String,
        /// Values for its variables.
        set: BTreeMap<String, String>,
        /// Component instances.
        components: Vec<String>,
        /// Image instances.
        images: Vec<String>,
        /// Sbom instances.
        sboms: Vec<String>,
    },
    /// Signs packages.
    Sign(Box<RenderedSign>),
    /// Publishes packages.
    Publish {
        /// Instances that make them.
        packages: Vec<String>,
        /// Where to, each gets all of them.
        to: Vec<String>,
        /// Instances that sign them.
        signatures: Vec<String>,
        /// Instead of version and flavor.
        tags: Vec<String>,
        /// Whether tags that name something else are moved.
        move_tags: bool,
        /// Whether files too large for a layer are put into several.
        split_layers: bool,
    },
    /// Runs a program.
    Run {
        /// Program and arguments; one script when `shell` is given.
        argv: Vec<String>,
        /// Shell that reads the script.
        shell: Option<String>,
    },
}

/// What a `sign` instance does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedSign {
    /// Package instances.
    pub subjects: Vec<String>,
    /// The key; `None`: a certificate.
    pub key: Option<String>,
    /// The file with its password.
    pub password_file: Option<String>,
    /// Whom the certificate must name.
    pub identity: Option<String>,
    /// Who must vouch for that.
    pub issuer: Option<String>,
    /// A private deployment.
    pub trust_config: Option<String>,
    /// What is said of the packages besides.
    pub annotations: BTreeMap<String, String>,
    /// Who builds, as provenance says.
    pub builder: Option<String>,
    /// Whether it is attested how they were made.
    pub provenance: bool,
    /// Whether it is attested what is inside.
    pub sbom: bool,
    /// Whether a key's signature is written into them.
    pub in_package: bool,
}

/// Which images an `images` instance fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagesSource {
    /// Those of a package definition file.
    Definition(String),
    /// These.
    List(Vec<ImageSource>),
}

/// One image by where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Nothing: an image without layers.
    Scratch,
    /// A registry.
    Reference(String),
    /// An instance of this pipeline.
    Task(String),
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// What it holds.
    pub from: LayerSource,
    /// Where that goes.
    pub to: String,
    /// `uid:gid`.
    pub owner: Option<String>,
    /// Permission bits of every file.
    pub mode: Option<u32>,
}

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// Files at a path relative to the pipeline file.
    Path(String),
    /// The outputs of an instance.
    Task(String),
}

/// The configuration of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderedConfig {
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Variables in the image.
    pub env: BTreeMap<String, String>,
    /// User to run as.
    pub user: Option<String>,
    /// Directory to start in.
    pub workdir: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports, such as `8080/tcp`.
    pub ports: Vec<String>,
}
