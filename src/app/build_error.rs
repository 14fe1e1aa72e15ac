//! Why a definition or pipeline could not be read, planned or built.

use std::io;
use std::path::PathBuf;

use crate::cas::CasError;
use crate::disk::{self, LeadsOut};
use crate::graph::GraphError;
use crate::ground::Class;
use crate::ground::commit::CommitError;
use crate::ground::revision::RevisionError;
use crate::oci::ReferenceError;
use crate::package::DifferentialError;
use crate::package::manifest::ArtifactError;
use crate::pipeline::{self, ExpandError, Place};
use crate::plan::PlanError;
use crate::registry::ConnectionError;
use crate::source::RemoteError;
use crate::text::with_causes;
use crate::workspace::{WalkError, WatchError};
use crate::yaml::{Mistakes, SourceText};

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Mistakes in a file.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// An import could not be read; the place is that of the `import`.
    #[error(transparent)]
    Import(Mistakes),
    /// Files cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A definition cannot be planned.
    #[error("{at}{}", and(.also.as_ref()))]
    Plan {
        /// In the definition or pipeline file.
        at: Place,
        /// The other place that it is about.
        also: Option<Place>,
        source: Box<PlanError>,
    },
    /// The sources are in the folder of the cache.
    #[error(
        "the sources in `{}` are in the folder of the cache, `{}`: give the cache a folder of its own with `--cache-dir`",
        workspace.display(), cache.display()
    )]
    InCache { workspace: PathBuf, cache: PathBuf },
    /// A pipeline parameter has a wrong value.
    #[error("{0}")]
    Params(String),
    /// A value for a template that nothing has.
    #[error("no template named `{name}` in the packages that are built; {help}")]
    NoTemplate { name: String, help: String },
    /// The tasks of a pipeline cannot be expanded.
    #[error("{at}")]
    Expand {
        /// In the pipeline file.
        at: Place,
        source: Box<ExpandError>,
    },
    /// The registry could not be asked for SBOMs.
    #[error(transparent)]
    Attached(crate::registry::RegistryError),
    /// `--cache-from` is malformed.
    #[error("--cache-from: expected oci://HOST/PATH:TAG, found `{given}`")]
    CacheFrom {
        given: String,
        /// What is wrong with the reference; `None`: it has another scheme.
        source: Option<ReferenceError>,
    },
    #[error(
        "--against: expected oci://HOST/PATH, oci://HOST/PATH/NAME:TAG, or `published`, found `{given}`{why}"
    )]
    AgainstForm {
        given: String,
        /// What is wrong with it; may be empty.
        why: String,
    },
    /// `--against published`, and nothing is published.
    #[error(
        "--against published: no task of the pipelines publishes one of these packages to a registry"
    )]
    NowhereToCompare,
    /// What was published cannot be read.
    #[error("--against")]
    Against(#[source] Box<RemoteError>),
    /// What changed since a revision cannot be listed.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The differential package would make no sense.
    #[error("--differential")]
    Differential(#[from] DifferentialError),
    /// There is no place for a shell.
    #[error("--shell {task}: expected one task with the verb `run`")]
    Shell { task: String },
    /// A dependency cycle, or a dependency that does not exist.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A task on the command line does not exist.
    #[error(transparent)]
    Task(PlanError),
    /// A package cannot be published.
    #[error("{}", unpublishable(.0))]
    Unpublishable(Box<PlanError>),
    /// A folder has no package.
    #[error("no package in `{0}`: it has no jackal.yaml")]
    NoPackage(PathBuf),
    /// A pipeline uses facts about the commit that Git could not report.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A pipeline file, where a package is expected.
    #[error("`{0}` is a pipeline file, not a package")]
    IsPipeline(PathBuf),
    /// The checkout leads the folder for archives out of the workspace.
    #[error("the folder for archives is refused")]
    OutputLeadsOut(#[source] LeadsOut),
    /// The checkout leads an image layout out of the workspace.
    #[error("task `{task}` publishes to an image layout that is refused")]
    LayoutLeadsOut { task: String, source: LeadsOut },
    /// A pattern of `include` matches nothing.
    #[error("{file}: `{pattern}` in `include` matches no YAML file: correct it, or remove it")]
    Include { file: String, pattern: String },
    /// A file or folder does not exist.
    #[error("no such file or directory: `{0}`")]
    Absent(PathBuf),
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The workspace cannot be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The registry client cannot be configured.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The lock file could not be saved.
    #[error("{0}")]
    Save(String),
}

disk::from_disk_error!(BuildError);

/// The error without the name of the implied task, which the user did not write.
fn unpublishable(error: &PlanError) -> String {
    match error {
        PlanError::Untagged { source, .. } => with_causes(&source),
        PlanError::Offline { .. } => {
            "publishing to a registry requires the network, which --offline disables".to_owned()
        }
        other => other.to_string(),
    }
}

impl BuildError {
    /// Why the package has no tag to be published under, if that is the reason.
    #[must_use]
    pub fn untagged(&self) -> Option<&ArtifactError> {
        match self {
            Self::Unpublishable(error) => match &**error {
                PlanError::Untagged { source, .. } => Some(source),
                _ => None,
            },
            _ => None,
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Mistakes(_)
            | Self::Plan { .. }
            | Self::Task(_)
            | Self::Shell { .. }
            | Self::Unpublishable(_)
            | Self::Params(_)
            | Self::NoTemplate { .. }
            | Self::Expand { .. }
            | Self::Graph(_)
            | Self::Differential(_)
            | Self::CacheFrom { .. }
            | Self::AgainstForm { .. }
            | Self::NowhereToCompare
            | Self::InCache { .. }
            | Self::Revision(_)
            | Self::Include { .. }
            | Self::NoPackage(_)
            | Self::IsPipeline(_)
            | Self::OutputLeadsOut(_)
            | Self::LayoutLeadsOut { .. }
            | Self::Connection(_) => Class::Configuration,
            _ => Class::Environment,
        }
    }
}

/// A pipeline cannot be planned; locates the key that is wrong.
pub(super) fn locate_error(text: &SourceText, error: PlanError) -> BuildError {
    BuildError::Plan {
        at: place(text, error.about()),
        also: (error.also_about()).map(|about| place(text, Some(about))),
        source: Box::new(error),
    }
}

fn and(also: Option<&Place>) -> String {
    also.map_or_else(String::new, |also| format!(" and {also}"))
}

pub(super) fn place(text: &SourceText, about: Option<(&str, &str)>) -> Place {
    match about {
        Some((instance, key)) => pipeline::place(text, instance, key),
        None => Place {
            file: text.name.clone(),
            span: None,
        },
    }
}
