//! Why a release was not completed.

use std::io;

use super::journal::JournalError;
use crate::layout::LayoutError;
use crate::oci::Digest;
use crate::registry::RegistryError;
use crate::signers::SignerError;
use crate::source::RemoteError;

/// Why a release was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A tag already names another package.
    #[error(
        "{place} already names another package for {architecture}: found {found}, publishing {wanted}; publish under another version"
    )]
    Taken {
        place: String,
        /// The entry of its index.
        architecture: String,
        /// The manifest that it names.
        found: Digest,
        wanted: Digest,
    },
    /// Two artifacts of a release have the same place and architecture.
    #[error(
        "two different packages have the destination {place}, architecture {architecture}: remove one"
    )]
    Twice { place: String, architecture: String },
    /// The registry refused or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image layout cannot be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A blob could not be copied.
    #[error("{place}")]
    Copy { place: String, source: io::Error },
    /// Attached bundles cannot be read.
    #[error("{place}: cannot read the bundles attached to it")]
    Unreadable {
        place: String,
        source: Box<RemoteError>,
    },
    #[error("{place}: signing failed, and its tag was not moved")]
    Sign {
        place: String,
        source: Box<SignerError>,
    },
    /// A required signature does not verify.
    #[error("{place}: signature verification failed, and its tag was not moved: {why}")]
    Unproven {
        place: String,
        /// The refusals of `verify`.
        why: String,
    },
    /// A registry does not list what was attached.
    #[error(
        "{place}: {lost} of {all} attached signatures and attestations cannot be read back, and its tag was not moved; publish again, and if that does not help, check the registry with `jackal doctor`"
    )]
    Unlisted {
        place: String,
        lost: usize,
        all: usize,
    },
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A transfer task panicked or was cancelled.
    #[error("transfer failed: {0}")]
    Stopped(String),
}
