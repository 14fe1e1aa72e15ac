//! Why a package cannot be read at all.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::SeekableError;

/// Why a package cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// There is no such file or folder.
    #[error("`{0}` is not there: correct the path")]
    Absent(PathBuf),
    /// The disk refused, or the stream is damaged.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The package, or the file in it.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The disk takes no file there.
    #[error("`{path}` cannot be written: {source}; name another place, or let jackal write there")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file name that is not relative, or leads out of the package.
    #[error("`{path}` holds an entry named `{entry}`, which leads out of the package")]
    Unsafe {
        /// The package.
        path: PathBuf,
        /// The entry's name.
        entry: String,
    },
    /// A name is there twice, so that readers could see different packages.
    #[error("`{path}` holds `{entry}` twice")]
    Twice {
        /// The package.
        path: PathBuf,
        /// The entry's name.
        entry: String,
    },
    /// More than a limit allows.
    #[error("`{path}`: {what}")]
    TooLarge {
        /// The package.
        path: PathBuf,
        /// Which limit.
        what: String,
    },
    /// A compressed frame is damaged, or the table that finds it.
    #[error("`{path}` cannot be read: {source}")]
    Frames {
        /// The package.
        path: PathBuf,
        /// What happened.
        source: SeekableError,
    },
    /// The package has no such file.
    #[error("`{path}` holds no file `{entry}`: `jackal package inspect files` lists what it has")]
    NoMember {
        /// The package.
        path: PathBuf,
        /// The name asked for.
        entry: String,
    },
    /// What was read could not be passed on.
    #[error("`{entry}` of `{path}` cannot be written: {source}")]
    Output {
        /// The package.
        path: PathBuf,
        /// The entry's name.
        entry: String,
        /// What happened.
        source: io::Error,
    },
    /// Something in a tar that is not unpacked.
    #[error("`{path}` holds `{entry}`, {what}: it is not unpacked")]
    Foreign {
        /// The tar.
        path: PathBuf,
        /// The entry's name.
        entry: String,
        /// What it is.
        what: &'static str,
    },
    /// The header of a split package is not one.
    #[error("`{path}` is not the header of a split package: {what}")]
    SplitHeader {
        /// The header, `.part000`.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A part of a split package is not there.
    #[error(
        "`{path}` is missing: the package was split into {count} parts, put all beside each other"
    )]
    PartMissing {
        /// The part.
        path: PathBuf,
        /// How many the header says there are.
        count: usize,
    },
    /// The parts together are too short or too long.
    #[error(
        "the parts of `{path}` are {found} bytes together, but its header says {expected}: copy them again"
    )]
    PartsSize {
        /// The package.
        path: PathBuf,
        /// From the header.
        expected: u64,
        /// Of all parts.
        found: u64,
    },
    /// The parts together have other bytes than the header says.
    #[error(
        "the parts of `{path}` digest to {found}, but its header says {expected}: copy them again"
    )]
    PartsSum {
        /// The package.
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

    pub(crate) fn too_large(path: &Path, what: impl Into<String>) -> Self {
        Self::TooLarge {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
