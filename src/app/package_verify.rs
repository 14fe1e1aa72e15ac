//! `jackal package verify`: is every file the one that the definition vouches for?

use std::path::Path;

use crate::layout::{self, LayoutError};
use crate::verify::{self, Refusal, VerifiedPackage};

/// Why a package is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// It was read and must not be trusted; every reason is given.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refusal>),
}

/// Reads and verifies the package at `path`: a folder, a tar or a Zstandard tar.
///
/// # Errors
///
/// [`VerifyError`]
pub fn package_verify(path: &Path) -> Result<VerifiedPackage, VerifyError> {
    verify::verify(layout::read(path)?).map_err(VerifyError::Refused)
}
