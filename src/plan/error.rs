//! Why there is no plan.

use crate::graph::GraphError;
use crate::oci::{ReferenceError, TAG_RULE};
use crate::package::manifest::ArtifactError;
use crate::package::{ArchiveNameError, RepoUrlError};
use crate::release::DestinationError;

/// Why a definition has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An image that cannot be named.
    #[error("`{by}` lists the image `{image}`: {source}")]
    Reference {
        /// The component or task.
        by: String,
        /// As written.
        image: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// An override that makes no reference.
    #[error("`{image}` would be pulled from `{to}`: {source}; correct --registry-override")]
    Override {
        /// The image.
        image: String,
        /// What the override makes of it.
        to: String,
        /// What is wrong with that.
        source: ReferenceError,
    },
    /// A repository that cannot be named.
    #[error("component `{component}`: {source}")]
    Repository {
        /// The component.
        component: String,
        /// What is wrong.
        source: RepoUrlError,
    },
    /// A task that signs nothing where one that signs is wanted.
    #[error("`{task}` lists `{of}` under `signatures`, which is no `sign` task")]
    NoSignature {
        /// The task.
        task: String,
        /// What it names.
        of: String,
    },
    /// A package that is to be published with others that are signed.
    #[error("`{task}` has `signatures` and none of them signs `{of}`: add it to their `subjects`")]
    Unsigned {
        /// The task.
        task: String,
        /// The package's task.
        of: String,
    },
    /// A package that two tasks sign, each in its own way.
    #[error(
        "`{of}` is signed by several of the `signatures` of `{task}`, and goes out in one form: leave one of them"
    )]
    SignedTwice {
        /// The task.
        task: String,
        /// The package's task.
        of: String,
    },
    /// An identity that names nobody.
    #[error("`{task}`: {what}")]
    Identity {
        /// The task.
        task: String,
        /// What is wrong.
        what: String,
    },
    /// An image on the disk that is not named.
    #[error(
        "task `{task}` takes `{image}`, which names no image: add its reference, as in \
         oci:DIR:example.com/app:1.0"
    )]
    Unnamed {
        /// The task.
        task: String,
        /// As written.
        image: String,
    },
    /// A component that the definition lacks.
    #[error("task `{task}` makes the component `{name}`, which `{definition}` does not have")]
    NoComponent {
        /// The task.
        task: String,
        /// The definition's path.
        definition: String,
        /// The component.
        name: String,
    },
    /// A place that nothing can be published to.
    #[error("task `{task}`: {source}")]
    Destination {
        /// The task.
        task: String,
        /// `to` or `mirrors`.
        key: &'static str,
        /// What is wrong.
        source: Box<DestinationError>,
    },
    /// A tag that registries do not take.
    #[error("task `{task}` publishes under the tag `{tag}`, expected {TAG_RULE}")]
    Tag {
        /// The task.
        task: String,
        /// As rendered.
        tag: String,
    },
    /// A package without a name to publish it under.
    #[error("task `{task}` publishes `{of}`, and has no `tags`: {source}")]
    Untagged {
        /// The task.
        task: String,
        /// The package's task.
        of: String,
        /// What is wrong with its version.
        source: Box<ArtifactError>,
    },
    /// A registry is to be asked, and none may be.
    #[error(
        "task `{task}` publishes to a registry, which --offline forbids: leave one of them out"
    )]
    Offline {
        /// The task.
        task: String,
    },
    /// A task that makes no package is to be published.
    #[error("task `{task}` publishes `{of}`, which makes no package")]
    NoPackage {
        /// The task.
        task: String,
        /// What it names.
        of: String,
    },
    /// A definition that was not read.
    #[error(
        "task `{task}` names the definition `{definition}`, which is not there: correct the path"
    )]
    NoDefinition {
        /// The task.
        task: String,
        /// The definition's path.
        definition: String,
    },
    /// A task that makes no image is used as one.
    #[error("task `{task}` takes `{of}` for one image or component, which it does not make")]
    NoImage {
        /// The task.
        task: String,
        /// What it names.
        of: String,
    },
    /// A layer from a task without outputs.
    #[error("task `{task}` makes a layer from `{of}`, which declares no `outputs`: add them there")]
    NoOutputs {
        /// The task.
        task: String,
        /// What it names.
        of: String,
    },
    /// An owner that is not two numbers.
    #[error("task `{task}` gives a layer the owner `{owner}`: write numbers, such as '1000:1000'")]
    Owner {
        /// The task.
        task: String,
        /// As written.
        owner: String,
    },
    /// A package that would lack a component's files.
    #[error(
        "task `{task}` packs no tar for the component `{component}`: name its task in `components`"
    )]
    ComponentLeftOut {
        /// The task.
        task: String,
        /// The component.
        component: String,
    },
    /// A key of `set` that sets nothing.
    #[error(
        "task `{task}` sets `{key}`, which is none of name, version, description, architecture \
         and no template of its definition: write ###JACKAL_PKG_TMPL_{key}### there, or remove it"
    )]
    Set {
        /// The task.
        task: String,
        /// The key.
        key: String,
    },
    /// Two SBOM documents would have one file name.
    #[error("the SBOMs of `{0}` and `{1}` would have the same file name: rename one")]
    SbomNames(String, String),
    /// The platform cannot be written.
    #[error("`{0}` is not a platform: write os/arch, such as linux/amd64")]
    Platform(String),
    /// The archive has no name.
    #[error(transparent)]
    Archive(#[from] ArchiveNameError),
    /// A task that is asked for and not there.
    #[error("there is no task `{task}`: {near}`jackal graph` shows all of them")]
    NoTask {
        /// As asked for.
        task: String,
        /// What may have been meant, as a question.
        near: String,
    },
    /// The steps make no graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl PlanError {
    /// The task and the key that it is about, as far as one is to blame.
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
            Self::Set { task, .. } => (task, "set"),
            Self::Unnamed { task, .. }
            | Self::Offline { task }
            | Self::NoImage { task, .. }
            | Self::NoOutputs { task, .. }
            | Self::Owner { task, .. }
            | Self::ComponentLeftOut { task, .. } => (task, ""),
            _ => return None,
        })
    }
}
