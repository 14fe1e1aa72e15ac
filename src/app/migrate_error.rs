//! Why a package was not written in another form.

use std::path::PathBuf;

use super::read_error::PackageReadError;
use crate::cas::CasError;
use crate::disk::DiskError;
use crate::kinds::package::export::ExportError;
use crate::package::manifest::ArtifactError;
use crate::package::{ArchiveNameError, ChecksumsError, EditError};

/// Why a package was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum PackageMigrateError {
    #[error(transparent)]
    Read(#[from] PackageReadError),
    #[error(transparent)]
    Cas(#[from] CasError),
    #[error(transparent)]
    Io(#[from] DiskError),
    #[error(transparent)]
    Name(#[from] ArchiveNameError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Definition(#[from] EditError),
    #[error("its files cannot be listed")]
    Checksums(#[from] ChecksumsError),
    /// Something is in the place of the archive.
    #[error("`{0}` already exists: choose another place with --output, or remove it")]
    Exists(PathBuf),
    /// Files have to change that a signature covers.
    #[error(
        "the package is signed, and its files have older names: a signature cannot be kept, so ask its publisher for a package in today's form"
    )]
    Signed,
    /// The package cannot become an artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The older program could not have made it.
    #[error("no program of {version} made packages with {what}")]
    Newer { version: String, what: String },
}
