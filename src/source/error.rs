//! Why a package was not found, opened or read.

use crate::cas::CasError;
use crate::layout::LayoutError;
use crate::oci::{Digest, ReferenceError};
use crate::registry::{ConnectionError, DownloadError, RegistryError};

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The registry refused, or is away.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The index is for others.
    #[error(
        "{reference} has no package for {wanted}, only for {}; choose one with --architecture", shown(.found)
    )]
    Platform {
        /// What was asked for.
        reference: String,
        /// The architecture.
        wanted: String,
        /// Those that are there.
        found: Vec<String>,
    },
    /// It is something else, or not as packages are.
    #[error("{reference} is not a package: {what}")]
    Shape {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        what: String,
    },
}

fn shown(found: &[String]) -> String {
    match found {
        [] => "nothing".to_owned(),
        found => found.join(", "),
    }
}

/// Why a package was not read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file of the package, or of the archive, cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry refused, cannot be reached, or sent something else.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl From<RegistryError> for SourceError {
    fn from(error: RegistryError) -> Self {
        Self::Remote(error.into())
    }
}

/// Why no package was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It begins like an address, and is none that packages come from.
    #[error("`{0}` cannot be opened: expected oci://, https://, http:// or a path")]
    Scheme(String),
    /// The reference is malformed.
    #[error("`{text}`: {source}")]
    Name {
        /// As given.
        text: String,
        /// What is wrong.
        source: ReferenceError,
    },
    /// Nobody would notice another file.
    #[error(
        "`{0}` is downloaded from a web server and needs a checksum: add --shasum, or @sha256:<hex> at the end of the URL"
    )]
    NoSum(String),
    /// A checksum for what has none.
    #[error("--shasum cannot be used with the path `{0}`: `package verify` checks its files")]
    Sum(String),
    /// The tag names something else, and the digest nothing.
    #[error(
        "`{name}` is {found}, but --shasum is {wanted}, which was not found; if the package was meant to change, correct the digest"
    )]
    OtherDigest {
        /// As given.
        name: String,
        /// What the tag names.
        found: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// Two digests.
    #[error("`{0}` and --shasum name different digests: remove one of them")]
    TwoDigests(String),
    /// Nothing stands there under the tag that is taken for granted.
    #[error(
        "`{0}` has no tag, and the repository has no `latest`: see `jackal package list-tags {0}`, then add :TAG or @DIGEST"
    )]
    NoTag(String),
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Registries cannot be reached as told.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The cache refused.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// There is no place for downloads.
    #[error("HOME is not set, so there is no cache folder: add --cache-dir")]
    NoCache,
    /// Threads cannot be started.
    #[error("threads cannot start: {0}")]
    Threads(std::io::Error),
}

impl From<RemoteError> for OpenError {
    fn from(error: RemoteError) -> Self {
        Self::Source(error.into())
    }
}
