//! Why a package cannot be read at all.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{ContainedFault, SeekableError};
use crate::text::shown_address;

/// Why a package cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The path does not exist.
    #[error("no such file or directory: `{}`", shown_address(&.0.to_string_lossy()))]
    Absent(PathBuf),
    /// The folder is no OCI image layout.
    #[error("`{0}` is not an OCI image layout: it has no file `oci-layout`")]
    NoLayout(PathBuf),
    /// A read failed, or the stream is damaged.
    #[error("`{path}` cannot be read")]
    Io {
        /// The package, or the file in it.
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "cannot write `{path}` (choose another place, or give jackal permission to write there)"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// A file name that is not relative, or leads out of the package.
    #[error("`{path}` has an entry named `{entry}`, which leads out of the package")]
    Unsafe { path: PathBuf, entry: String },
    /// Two entries have the same name, so that readers could see different packages.
    #[error("`{path}` has two entries named `{entry}`")]
    Twice { path: PathBuf, entry: String },
    /// A file that would be replaced, and that this program did not write.
    #[error(
        "`{path}` is in the way: it is not a list of bundles, and those of the archive go there; move or remove it"
    )]
    InTheWay {
        /// The file of bundles.
        path: PathBuf,
    },
    #[error("`{path}`: {what}")]
    TooLarge { path: PathBuf, what: String },
    /// A compressed frame or the seek table is damaged.
    #[error("`{path}` cannot be read")]
    Frames {
        path: PathBuf,
        source: SeekableError,
    },
    /// The package has no such file.
    #[error("`{path}` has no file `{entry}`: list its files with `jackal package inspect files`")]
    NoMember { path: PathBuf, entry: String },
    #[error("cannot write `{entry}` of `{path}`")]
    Output {
        path: PathBuf,
        entry: String,
        source: io::Error,
    },
    /// An entry that is never unpacked.
    #[error("cannot unpack `{entry}` of `{path}`: it is {what}")]
    Foreign {
        path: PathBuf,
        entry: String,
        what: &'static str,
    },
    /// The header of a split package is malformed.
    #[error("`{path}` is not the header of a split package: {what}")]
    SplitHeader {
        /// The header, `.part000`.
        path: PathBuf,
        what: String,
    },
    /// A part of a split package is missing.
    #[error("part `{path}` is missing: the package has {count} parts, which must be in one folder")]
    PartMissing {
        path: PathBuf,
        /// Number of parts, from the header.
        count: usize,
    },
    /// The parts together are too short or too long.
    #[error(
        "the parts of `{path}` have {found} bytes in total, expected {expected}: copy them again"
    )]
    PartsSize {
        path: PathBuf,
        /// From the header.
        expected: u64,
        /// Of all parts.
        found: u64,
    },
    /// The parts do not match the header.
    #[error(
        "digest mismatch: the parts of `{path}` have SHA-256 {found}, expected {expected}: copy them again"
    )]
    PartsSum {
        path: PathBuf,
        /// From the header, hex.
        expected: String,
        /// Of all parts, hex.
        found: String,
    },
}

impl LayoutError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn frames(path: &Path, source: SeekableError) -> Self {
        match source {
            SeekableError::Io(source) => Self::io(path, source),
            source => Self::Frames {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn contained(path: &Path, fault: ContainedFault) -> Self {
        let path = path.to_owned();
        match fault {
            ContainedFault::Unsafe(entry) => Self::Unsafe { path, entry },
            ContainedFault::Twice(entry) => Self::Twice { path, entry },
            ContainedFault::Foreign { entry, what } => Self::Foreign { path, entry, what },
            ContainedFault::TooLarge(what) => Self::too_large(&path, what),
        }
    }

    pub(crate) fn too_large(path: &Path, what: impl Into<String>) -> Self {
        Self::TooLarge {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
