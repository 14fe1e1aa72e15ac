//! Why a release was not completed.

use std::io;

use super::journal::JournalError;
use crate::layout::LayoutError;
use crate::oci::Digest;
use crate::registry::RegistryError;
use crate::signers::SignerError;
use crate::source::RemoteError;

/// Why a release did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A tag is taken.
    #[error(
        "{place} already names another package for {architecture}: found {found}, publishing {wanted}; publish under another version"
    )]
    Taken {
        /// The tag.
        place: String,
        /// The entry of its index.
        architecture: String,
        /// What it names.
        found: Digest,
        /// What was to be published.
        wanted: Digest,
    },
    /// Two artifacts of one release are for one entry of one tag.
    #[error(
        "two different packages have the destination {place}, architecture {architecture}: remove one"
    )]
    Twice {
        /// The tag.
        place: String,
        /// The entry.
        architecture: String,
    },
    /// The registry refused or is away.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout refused.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A blob did not get into a layout.
    #[error("{place}: {source}")]
    Copy {
        /// The layout.
        place: String,
        /// What happened.
        source: io::Error,
    },
    /// What is attached cannot be read.
    #[error("{place}: cannot read the bundles attached to it: {source}")]
    Unreadable {
        /// The tag.
        place: String,
        /// What happened.
        source: Box<RemoteError>,
    },
    /// Nobody signed.
    #[error("{place}: signing failed, and its tag was not moved: {source}")]
    Sign {
        /// The tag.
        place: String,
        /// Why not.
        source: Box<SignerError>,
    },
    /// What must be proven is not.
    #[error("{place}: signature verification failed, and its tag was not moved: {why}")]
    Unproven {
        /// The tag.
        place: String,
        /// The refusals of `verify`.
        why: String,
    },
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task of ours died.
    #[error("transfer failed: {0}")]
    Stopped(String),
}
