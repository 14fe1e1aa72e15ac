//! Why a package could not be read, verified or written to a folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::layout::LayoutError;
use crate::source::{HeartbeatError, JudgeError, OpenError, PackageSourceError};
use crate::text::one_line;
use crate::verify::Refusal;
use crate::yaml::Mistakes;

/// Why a package was not read.
#[derive(Debug, thiserror::Error)]
pub enum PackageReadError {
    /// The file or folder is not a readable package.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The package cannot be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// The package was read and must not be trusted; every reason is given.
    #[error("{}", Refusal::list(.0))]
    Refused(Vec<Refusal>),
    /// What has this name is no package.
    #[error("`{name}`")]
    NotPackage {
        /// As the user called it.
        name: String,
        /// What it lacks.
        source: Refusal,
    },
    /// It has no checksums, and what is made of it needs them.
    #[error(
        "`{0}` has no checksums.txt, as packages from before v0.25.1, so nobody could verify what is made of it: write it in today's form first, with `jackal package migrate {0}`"
    )]
    NoChecksums(String),
    /// There is no heartbeat that can be trusted.
    #[error(transparent)]
    Heartbeat(#[from] HeartbeatError),
    /// The verified definition is malformed.
    #[error("cannot read the definition")]
    Definition(#[from] Mistakes),
    /// The package has no SBOMs.
    #[error("`{0}` has no SBOMs: it was created with --skip-sbom, or has nothing to catalog")]
    NoSbom(String),
    /// No SBOM of the package is called so.
    #[error("`{package}` has no SBOM `{wanted}`: it has {}", first_of(.names))]
    NoDocument {
        package: String,
        wanted: String,
        names: Vec<String>,
    },
    /// The package does not list this path.
    #[error("`{0}` has no file or folder `{1}`")]
    NoFile(String, String),
    #[error("`{0}` already exists")]
    Exists(PathBuf),
    /// The target exists and must not be replaced.
    #[error("`{}` {}, so it is not replaced", .path.display(), foreign(.path, .file.as_deref()))]
    Foreign {
        path: PathBuf,
        /// What was changed in it.
        file: Option<PathBuf>,
    },
    /// A verified document is malformed.
    #[error("`{package}`: cannot read {entry}: {what}")]
    Document {
        package: PathBuf,
        /// The file in it.
        entry: String,
        what: String,
    },
    /// A name in the package is not safe as a folder name.
    #[error("the package name `{0}` cannot be used as a folder name")]
    Name(String),
    /// A signal stopped the command.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The announced size of the package exceeds the free space on the disk.
    #[error("writing `{path}` requires {needed} bytes, but the file system has only {free} left")]
    Full {
        path: PathBuf,
        needed: u64,
        free: u64,
    },
    #[error("cannot write `{path}`")]
    Write {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
}

/// Most names that an error lists.
const LISTED: usize = 10;

fn first_of(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("`{}`", one_line(name)));
    crate::text::first_of(quoted, LISTED)
}

fn foreign(path: &Path, file: Option<&Path>) -> String {
    match file {
        Some(file) => {
            let below = file.strip_prefix(path).unwrap_or(file);
            format!("has changed since jackal made it (`{}`)", below.display())
        }
        None => "was not made by jackal, or has changed since".to_owned(),
    }
}

impl From<PackageSourceError> for PackageReadError {
    fn from(error: PackageSourceError) -> Self {
        match error {
            PackageSourceError::Layout(error) => Self::Layout(error),
            other => Self::Open(Box::new(other.into())),
        }
    }
}

impl From<OpenError> for PackageReadError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Source(PackageSourceError::Layout(error)) => Self::Layout(error),
            other => Self::Open(Box::new(other)),
        }
    }
}

impl From<JudgeError> for PackageReadError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Source(error) => error.into(),
            JudgeError::Refused(refusals) => Self::Refused(refusals),
            JudgeError::NotPackage { name, source } => Self::NotPackage { name, source },
        }
    }
}

pub(super) fn write_error(path: &Path) -> impl FnOnce(io::Error) -> PackageReadError + '_ {
    move |source| PackageReadError::Write {
        path: path.to_owned(),
        source,
    }
}
