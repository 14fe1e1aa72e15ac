//! Why the store could not do something.

use std::io;
use std::path::PathBuf;

use crate::disk::{self, Foreign, OwnerError};
use crate::oci::Digest;

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    #[error("cannot use the cache at `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// Other users may write to it.
    #[error(
        "cache folder {0}: remove write permission for others with `chmod go-w`, choose a folder of your own with --cache-dir, or use this one read-only with --shared-cache"
    )]
    Foreign(Foreign),
    /// It is not this user's, so nothing is stored in it.
    #[error("the cache at `{0}` is read-only: choose a folder of your own with --cache-dir")]
    ReadOnly(PathBuf),
    /// Nothing is stored under the digest, or the blob is damaged.
    #[error("blob {0} is not in the cache")]
    Missing(Digest),
    /// A length, and the limit it exceeds.
    #[error("content has {0} bytes, expected at most {1}")]
    TooLarge(u64, u64),
    /// The content does not match its descriptor.
    #[error("content is {found} ({found_size} bytes), expected {expected} ({expected_size} bytes)")]
    Mismatch {
        /// Digest of the content that was read.
        found: Digest,
        /// Number of bytes read, at most one more than expected.
        found_size: u64,
        expected: Digest,
        /// Announced length.
        expected_size: u64,
    },
    /// The announced length exceeds the free space on the disk.
    #[error(
        "{needed} bytes are needed, but the file system of the cache has only {free} left; free some space, or choose another folder with --cache-dir"
    )]
    Full {
        /// Announced length.
        needed: u64,
        free: u64,
    },
}

disk::from_disk_error!(CasError);

impl From<OwnerError> for CasError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Foreign(error) => Self::Foreign(error),
            OwnerError::Io(error) => error.into(),
        }
    }
}

impl From<CasError> for io::Error {
    fn from(error: CasError) -> Self {
        let kind = match &error {
            CasError::Io { source, .. } => source.kind(),
            CasError::Foreign(_) => io::ErrorKind::PermissionDenied,
            CasError::ReadOnly(_) => io::ErrorKind::ReadOnlyFilesystem,
            CasError::Missing(_) => io::ErrorKind::NotFound,
            CasError::Full { .. } => io::ErrorKind::StorageFull,
            CasError::Mismatch { .. } | CasError::TooLarge(..) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Whether `error` means that content is damaged or missing in the cache, as opposed to
/// unreadable storage.
#[must_use]
pub fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    let inner = error.get_ref();
    let cas = inner.and_then(|error| error.downcast_ref::<CasError>());
    matches!(error.kind(), InvalidData | UnexpectedEof) || matches!(cas, Some(CasError::Missing(_)))
}
