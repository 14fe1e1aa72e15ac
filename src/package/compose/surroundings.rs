//! What a definition needs from outside: the definitions it imports, and
//! answers to its questions.
//!
//! Whoever composes implements this over a disk, a registry and a terminal, or
//! over nothing at all.

use crate::yaml::SourceText;

/// Where imports come from and who answers for templates.
///
/// Folders are relative to the package's own, cleaned, with `/`.
pub trait Surroundings {
    /// The definition that lies in `folder`, named as messages shall call it.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError>;

    /// The definition of the skeleton package at `url`.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError>;

    /// The folder in which the files of a skeleton's component can be read. Its
    /// name gets into the package, so it must be the same on every machine.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    fn skeleton_files(&mut self, url: &SkeletonUrl, component: &str)
    -> Result<String, ImportError>;

    /// Whether there is a file or folder at `path`.
    fn exists(&mut self, path: &str) -> bool;

    /// A value for a template that has none yet.
    fn answer(&mut self, template: &str) -> Option<String>;
}

/// Where a skeleton package is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkeletonUrl {
    /// In a registry: what stands behind `oci://`.
    Registry(String),
    /// In an OCI image layout on the disk.
    Layout {
        /// The layout's folder.
        folder: String,
        /// Its tag there.
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
    #[error("there is no definition in `{0}`")]
    NoDefinition(String),
    /// What the URL names is no skeleton package, or not there.
    #[error("published skeleton package for `{0}` does not exist")]
    NoSkeleton(String),
    /// It is there, and cannot be used.
    #[error("{0}")]
    Unusable(String),
}
