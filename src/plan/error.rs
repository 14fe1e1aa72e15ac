//! Why a pipeline or definition has no plan.

use std::path::PathBuf;

use crate::codes::Code;
use crate::graph::GraphError;
use crate::oci::{ReferenceError, TAG_RULE};
use crate::package::manifest::ArtifactError;
use crate::package::{ArchiveNameError, RepoUrlError};
use crate::release::DestinationError;

/// Why a pipeline or definition has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The name of an image is not a reference.
    #[error("`{by}` lists the image `{image}`")]
    Reference {
        /// The component or task.
        by: String,
        image: String,
        source: ReferenceError,
    },
    /// The result of an override is not a reference.
    #[error("--registry-override turns `{image}` into `{to}`")]
    Override {
        image: String,
        /// The result of the override.
        to: String,
        source: ReferenceError,
    },
    /// The URL of a repository is invalid.
    #[error("component `{component}`")]
    Repository {
        component: String,
        source: RepoUrlError,
    },
    /// `signatures` names another task than a `sign` task.
    #[error("`{task}` lists `{of}` under `signatures`, but it is not a `sign` task")]
    NoSignature { task: String, of: String },
    /// Some packages of a release are signed, and one is not.
    #[error(
        "no task in the `signatures` of `{task}` signs `{of}`: add it to the `subjects` of one"
    )]
    Unsigned { task: String, of: String },
    /// Two tasks sign the same package.
    #[error("several tasks in the `signatures` of `{task}` sign `{of}`: keep one of them")]
    SignedTwice { task: String, of: String },
    /// An identity that no certificate can have.
    #[error("`{task}`: {what}")]
    Identity { task: String, what: String },
    /// The name of an image on disk is missing.
    #[error(
        "task `{task}` uses `{image}` without the reference of the image: add it, as in \
         oci:DIR:example.com/app:1.0"
    )]
    Unnamed { task: String, image: String },
    /// A package lacks an image.
    #[error(
        "the component `{component}` declares the image `{image}`, but no task in the `images` of `{task}` provides it: add an `images` task, or set `name: {image}` on the `image` task that builds it"
    )]
    ImageLeftOut {
        task: String,
        component: String,
        image: String,
    },
    /// Two tasks build images of one name.
    #[error(
        "`{one}` and `{other}` both provide the image `{name}`: list one of them, or give one another `name`"
    )]
    ImageNames {
        one: String,
        other: String,
        name: String,
    },
    /// Two tasks have one name.
    #[error(
        "two tasks are called `{task}`: that of {} and that of {}: give one another name, or its file another folder", .one.display(), .other.display()
    )]
    SameTask {
        task: String,
        one: PathBuf,
        other: PathBuf,
    },
    /// Tasks of two files write the same path.
    #[error(
        "the output `{output}` of `{task}` overlaps an output of `{of}`, of another file: give each output one task"
    )]
    OutputOverlap {
        task: String,
        output: String,
        of: String,
    },
    /// Two packages have the same archive.
    #[error(
        "`{one}` and `{other}` would both write `{}`: give one of the packages another name, version or flavor", archive.display()
    )]
    SameArchive {
        one: String,
        other: String,
        archive: PathBuf,
    },
    /// The definition has no such component.
    #[error("task `{task}` names the component `{name}`, but `{definition}` has no such component")]
    NoComponent {
        task: String,
        definition: String,
        name: String,
    },
    #[error("task `{task}`")]
    Destination {
        task: String,
        /// `to` or `mirrors`.
        key: &'static str,
        source: Box<DestinationError>,
    },
    #[error("task `{task}` publishes under the tag `{tag}`: expected {TAG_RULE}")]
    Tag { task: String, tag: String },
    /// A package has no tag, and its version cannot be one.
    #[error("task `{task}` publishes `{of}` without `tags`")]
    Untagged {
        task: String,
        of: String,
        /// What is wrong with its version.
        source: Box<ArtifactError>,
    },
    /// What a task got from the network would be published.
    #[error(
        "task `{publish}` publishes what is made by `{task}`, which uses the network, where nothing pins what it gets: fetch it by digest, as in the `files` of a component, or add `allowUnpinned: true` at the top of the pipeline file"
    )]
    Unpinned { task: String, publish: String },
    /// A task needs a registry in an offline build.
    #[error(
        "task `{task}` publishes to a registry, which --offline forbids: remove --offline, or the task"
    )]
    Offline { task: String },
    /// A task that makes no package is published or signed.
    #[error("task `{task}` needs a package from `{of}`, but it is not a `package` task")]
    NoPackage { task: String, of: String },
    /// The definition of a task was not read.
    #[error(
        "task `{task}` names the definition `{definition}`, which does not exist: correct the path"
    )]
    NoDefinition { task: String, definition: String },
    /// A task makes no image or component where one is needed.
    #[error("task `{task}` needs one image or component from `{of}`, which does not make one")]
    NoImage { task: String, of: String },
    /// A layer is made from a task without outputs.
    #[error(
        "task `{task}` makes a layer from `{of}`, which has no `outputs`: declare them in `{of}`"
    )]
    NoOutputs { task: String, of: String },
    /// The owner of a layer is not two numbers.
    #[error(
        "task `{task}` has a layer with the owner `{owner}`: write two numbers, such as '1000:1000'"
    )]
    Owner { task: String, owner: String },
    /// A package does not contain the tar of one of its components.
    #[error(
        "task `{task}` lacks the component `{component}`: add the component's task to `components`"
    )]
    ComponentLeftOut { task: String, component: String },
    /// A key of `set` has no effect.
    #[error(
        "task `{task}` sets `{key}`, which is neither name, version, description or architecture \
         nor a template of its definition: add ###JACKAL_PKG_TMPL_{key}### to the definition, or \
         remove the key"
    )]
    Set { task: String, key: String },
    /// Two SBOM documents would have one file name.
    #[error("the SBOMs of `{0}` and `{1}` would have the same file name: rename one")]
    SbomNames(String, String),
    #[error("`{0}` is not a platform: write os/arch, such as linux/amd64")]
    Platform(String),
    /// No file name can be made for the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveNameError),
    /// `--task` names no task.
    #[error("no task named `{task}`: {near}`jackal graph` lists all tasks")]
    NoTask {
        task: String,
        /// A suggestion that names a similar task, or nothing.
        near: String,
    },
    /// A target names nothing.
    #[error("`{target}` is no folder, file or task: {near}`jackal list` lists all tasks")]
    NoTarget {
        target: String,
        /// A suggestion, or nothing.
        near: String,
    },
    /// A path that a task reads closes a cycle.
    #[error(
        "`{task}` reads `{path}`, which `{of}` makes, and `{of}` waits for `{task}` ({}): read \
         another path, or let a third task make what both need",
        .cycle.join(" -> ")
    )]
    PathCycle {
        /// The task that reads.
        task: String,
        /// The task that writes.
        of: String,
        /// Relative to the pipeline's folder.
        path: PathBuf,
        /// Each task waits for the next.
        cycle: Vec<String>,
    },
    /// A command reads what it writes itself.
    #[error(
        "`{task}` reads `{path}`, which is its own output: a task that changes its sources is \
         no build step; write to another path, or start the command without jackal"
    )]
    OwnOutput {
        task: String,
        /// Relative to the pipeline's folder.
        path: PathBuf,
    },
    /// Archives would go into a folder that a command writes.
    #[error(
        "the output `{output}/` of `{task}` is also the folder that packages are written to: \
         choose another one with `-o DIR`, or another output"
    )]
    ArchiveInOutput { task: String, output: String },
    /// The steps form a cycle.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl PlanError {
    /// The task and the key that it is about, if there is one.
    #[must_use]
    pub fn about(&self) -> Option<(&str, &str)> {
        Some(match self {
            Self::Destination { task, key, .. } => (task, key),
            Self::Tag { task, .. } => (task, "tags"),
            Self::NoPackage { task, .. } | Self::Untagged { task, .. } => (task, "packages"),
            Self::NoSignature { task, .. }
            | Self::Unsigned { task, .. }
            | Self::SignedTwice { task, .. } => (task, "signatures"),
            Self::NoDefinition { task, .. } | Self::NoComponent { task, .. } => {
                (task, "definition")
            }
            Self::Identity { task, .. } => (task, "identity"),
            Self::ImageLeftOut { task, .. } => (task, "images"),
            Self::ArchiveInOutput { task, .. } | Self::OutputOverlap { task, .. } => {
                (task, "outputs")
            }
            Self::PathCycle { task, .. } | Self::OwnOutput { task, .. } => (task, "inputs"),
            Self::Set { task, .. } => (task, "set"),
            Self::Unpinned { task, .. } => (task, "network"),
            Self::Unnamed { task, .. }
            | Self::Offline { task }
            | Self::NoImage { task, .. }
            | Self::NoOutputs { task, .. }
            | Self::Owner { task, .. }
            | Self::ComponentLeftOut { task, .. } => (task, ""),
            _ => return None,
        })
    }

    /// What kind of mistake it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::SameTask { .. } => Code::DuplicateTask,
            Self::OutputOverlap { .. } => Code::OutputOverlap,
            Self::PathCycle { .. } | Self::OwnOutput { .. } => Code::DependencyCycle,
            _ => Code::InvalidPlan,
        }
    }

    /// A second task and key that it is about.
    #[must_use]
    pub fn also_about(&self) -> Option<(&str, &str)> {
        match self {
            Self::PathCycle { of, .. } => Some((of, "outputs")),
            _ => None,
        }
    }
}
