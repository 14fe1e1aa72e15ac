//! Why a definition or pipeline could not be read, planned or built.

use std::path::PathBuf;

use crate::cas::CasError;
use crate::graph::GraphError;
use crate::ground::Class;
use crate::ground::lockfile::LockfileError;
use crate::oci::ReferenceError;
use crate::package::DifferentialError;
use crate::pipeline::{self, ExpandError};
use crate::plan::PlanError;
use crate::registry::ConnectionError;
use crate::workspace::WalkError;
use crate::yaml::{Mistakes, SourceText};

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Mistakes in a file.
    #[error("{0}")]
    Mistakes(#[from] Mistakes),
    /// Something imported could not be had, told where it is named.
    #[error("{0}")]
    Import(Mistakes),
    /// A definition that has no plan.
    #[error("{at}: {source}")]
    Plan {
        /// The definition; the line and column, where one is to blame.
        at: String,
        /// Why.
        source: Box<PlanError>,
    },
    /// Values of parameters.
    #[error("{0}")]
    Params(String),
    /// Instances that cannot be made.
    #[error("{at}: {source}")]
    Expand {
        /// The pipeline file, with the line and column to blame.
        at: String,
        /// Why.
        source: Box<ExpandError>,
    },
    /// A package with results that cannot be named.
    #[error("--cache-from `{0}`: {1}; expected oci://HOST/PATH:TAG")]
    CacheFrom(String, ReferenceError),
    /// There can be no differential package.
    #[error("--differential: {0}")]
    Differential(#[from] DifferentialError),
    /// Tasks that wait for each other, or are not there.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A task that is asked for and not there.
    #[error("{0}")]
    Task(PlanError),
    /// A package that cannot be published.
    #[error("{}", unpublishable(.0))]
    Unpublishable(Box<PlanError>),
    /// There is nothing to build.
    #[error("`{0}` holds no jackal.yaml: name a folder with a package, or create one")]
    NoPackage(PathBuf),
    /// A folder or file that is not there.
    #[error("`{0}` is not there: correct the path")]
    Absent(PathBuf),
    /// The disk refused.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The workspace cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockfileError),
    /// Registries cannot be reached as told.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The run could not keep what it learned.
    #[error("{0}")]
    Save(String),
}

/// Without the task, which the user did not write.
fn unpublishable(error: &PlanError) -> String {
    match error {
        PlanError::Untagged { source, .. } => source.to_string(),
        PlanError::Offline { .. } => {
            "a registry is to be published to, which --offline forbids".to_owned()
        }
        other => other.to_string(),
    }
}

impl BuildError {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Mistakes(_)
            | Self::Plan { .. }
            | Self::Task(_)
            | Self::Unpublishable(_)
            | Self::Params(_)
            | Self::Expand { .. }
            | Self::Graph(_)
            | Self::Differential(_)
            | Self::CacheFrom(..)
            | Self::NoPackage(_)
            | Self::Lock(LockfileError::Malformed { .. })
            | Self::Connection(_) => Class::Configuration,
            _ => Class::Environment,
        }
    }
}

/// Why a pipeline has no plan, with the place of the key to blame.
pub(super) fn blamed(text: &SourceText, error: PlanError) -> BuildError {
    BuildError::Plan {
        at: place(text, error.about()),
        source: Box::new(error),
    }
}

pub(super) fn place(text: &SourceText, about: Option<(&str, &str)>) -> String {
    match about {
        Some((instance, key)) => pipeline::place(text, instance, key),
        None => text.name.clone(),
    }
}
