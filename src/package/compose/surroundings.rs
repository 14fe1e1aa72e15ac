//! What composition needs from outside: imported definitions and values of
//! templates.
//!
//! Callers implement this with a disk, a registry and a terminal; tests with
//! values in memory.

use crate::yaml::SourceText;

/// Source of imported definitions and of template values.
///
/// Folders are relative to the package's folder, cleaned, with `/`.
pub trait Surroundings {
    /// The definition at `path`, a folder or a file, with the name that messages use.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn definition(&mut self, path: &str) -> Result<SourceText, ImportError>;

    /// The definition of the skeleton package at `url`.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError>;

    /// The folder with the files of a skeleton's component. Its name becomes part
    /// of the package, so it must be the same on every machine.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn skeleton_files(&mut self, url: &SkeletonUrl, component: &str)
    -> Result<String, ImportError>;

    /// Whether commands of the skeleton package at `url` may run when the package is
    /// built.
    fn trusts_commands(&mut self, url: &SkeletonUrl) -> bool {
        let _ = url;
        false
    }

    /// What is at `path`.
    fn look(&mut self, path: &str) -> Look;

    /// The version in the `Chart.yaml` of the chart at `path`, a folder or an archive.
    fn chart_version(&mut self, _path: &str) -> Option<String> {
        None
    }

    /// Why a build would refuse what is at `path`, which the key `key` names. Only
    /// lint asks.
    fn refusal(&mut self, _key: &str, _path: &str) -> Option<String> {
        None
    }

    /// Whether a task may make what is at `path`. Only lint asks.
    fn is_made(&mut self, _path: &str) -> bool {
        false
    }

    /// A value for a template without one, such as the answer to a prompt.
    fn answer(&mut self, template: &str) -> Option<String>;
}

/// What is at a path that a definition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    File,
    Folder,
    Absent,
    /// A definition may not name it: why, and the next step.
    Refused(String, String),
}

/// Location of a skeleton package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkeletonUrl {
    /// In a registry: the part after `oci://`.
    Registry(String),
    /// In a local OCI image layout.
    Layout {
        /// Folder of the layout.
        folder: String,
        /// Tag of the package in the layout.
        tag: String,
    },
}

impl std::fmt::Display for SkeletonUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(rest) => write!(f, "oci://{rest}"),
            Self::Layout { folder, tag } => write!(f, "oci:{folder}:{tag}"),
        }
    }
}

/// Why something cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The folder has no definition.
    #[error("no definition in `{0}`")]
    NoDefinition(String),
    /// The URL has no package, or not a skeleton.
    #[error("no published skeleton package at `{0}`")]
    NoSkeleton(String),
    /// It exists but cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// It is on a registry, and none is asked.
    #[error("skeleton packages are not read here")]
    Unread,
}
