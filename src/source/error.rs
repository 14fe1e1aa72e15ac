//! Why a package was not found, opened or read.

use crate::cas::{CasError, SinkError};
use crate::layout::LayoutError;
use crate::oci::{Digest, ReferenceError};
use crate::registry::{ConnectionError, DownloadError, RegistryError};

/// Why a package was not found.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The registry refused or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The index has no entry for the architecture.
    #[error(
        "{reference} has no package for {wanted}, only for {}; choose one with --architecture", shown(.found)
    )]
    Platform {
        reference: String,
        wanted: String,
        /// The architectures that exist.
        found: Vec<String>,
    },
    /// It is not a valid package.
    #[error("{reference} is not a package: {what}")]
    Shape { reference: String, what: String },
}

fn shown(found: &[String]) -> String {
    match found {
        [] => "nothing".to_owned(),
        found => found.join(", "),
    }
}

/// Why a package was not read.
#[derive(Debug, thiserror::Error)]
pub enum PackageSourceError {
    /// A file of the package, or of the archive, cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry refused, cannot be reached, or sent something else.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The cache failed while a file was stored in it.
    #[error("cannot store it in the cache")]
    Sink(#[from] SinkError),
}

impl From<RegistryError> for PackageSourceError {
    fn from(error: RegistryError) -> Self {
        Self::Remote(error.into())
    }
}

/// Why no package was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL has an unknown scheme.
    #[error("`{name}` cannot be opened: expected {expected}")]
    Scheme {
        /// As the user gave it.
        name: String,
        /// What names of packages look like.
        expected: String,
    },
    /// The image layout has no such package.
    #[error("`{name}`: the image layout {what}")]
    NoneInLayout {
        /// As the user gave it.
        name: String,
        /// What is missing, or what there is.
        what: String,
    },
    /// Such names have no tags.
    #[error("`{name}` has no tags to list: expected {expected}")]
    NoTags {
        /// As the user gave it.
        name: String,
        /// What names of places with tags look like.
        expected: String,
    },
    #[error("`{text}`")]
    Name {
        /// As the user gave it.
        text: String,
        source: ReferenceError,
    },
    /// A download has no checksum.
    #[error(
        "`{0}` is downloaded from a web server and needs a checksum: add --shasum, or @sha256:<hex> at the end of the URL"
    )]
    NoSum(String),
    /// A checksum was given for a path.
    #[error("--shasum cannot be used with the path `{0}`: `package verify` checks its files")]
    Sum(String),
    /// The tag names another digest, and the requested digest does not exist.
    #[error(
        "`{name}` has digest {found}, and the digest {wanted} of --shasum was not found; if the package was meant to change, correct the digest"
    )]
    OtherDigest {
        /// As the user gave it.
        name: String,
        /// What the tag names.
        found: Digest,
        wanted: Digest,
    },
    /// Two different digests were given.
    #[error("`{0}` and --shasum name different digests: remove one of them")]
    TwoDigests(String),
    /// No tag was given and there is no `latest`.
    #[error(
        "`{0}` has no tag, and the repository has no `latest`: see `jackal package list-tags {0}`, then add :TAG or @DIGEST"
    )]
    NoTag(String),
    #[error(transparent)]
    Source(#[from] PackageSourceError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The settings for registries are invalid.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Cas(#[from] CasError),
    /// There is no cache folder for downloads.
    #[error("HOME is not set, so there is no cache folder: add --cache-dir")]
    NoCache,
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
}

impl From<RemoteError> for OpenError {
    fn from(error: RemoteError) -> Self {
        Self::Source(error.into())
    }
}
