//! Files that appear completely or not at all, and the removal of unfinished ones.
//!
//! The lowest store: all other stores and all commands write files through it, so that
//! modes and durability are decided in one place.
//!
//! - **Mode.** A file is made with mode 0644, or 0600 if it is private, or for the
//!   readers of what it is made of, and loses the bits in the user's umask. A umask can only remove permissions: 0002 does not
//!   make files writable for the group.
//! - **Durability.** [`NewFile::keep`] and [`write`] flush the file, rename it and
//!   flush its folder: a name that survives a power failure has its content.
//!   [`write_hint`] flushes nothing. It is for files that are cheap to lose, and whose
//!   readers treat a damaged or empty file as missing.
//! - **Leftovers.** Unfinished files and folders share a prefix and are locked while
//!   their process runs; [`reap`] removes those without an owner.
//! - **Owners.** Folders whose content is trusted, such as caches, are private:
//!   [`private_folder`] refuses one that others may change.
//! - **Untrusted names.** Entries named by archives are created in an [`Enclosure`];
//!   [`made()`] distinguishes extracted folders from the user's. [`stays_within`] says
//!   whether a checkout's links lead a path elsewhere.
//! - **Looks.** What is looked at through [`look`] is noted, for the next run.
//!
//! It never decides what is in a file or what it is called. `clippy.toml` forbids
//! the other ways to write one.

mod enclosure;
pub mod look;
mod made;
mod owner;
mod temporary;
mod whole;
mod within;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::text::with_causes;

pub use enclosure::{Enclosure, Rights, rename_unless_exists};
pub use made::{Made, made, note_made};
pub use owner::{Foreign, Owner, OwnerError, make_private, owner, private_folder};
pub(crate) use temporary::PREFIX as TEMPORARY_PREFIX;
pub use temporary::{
    TemporaryFolder, abandon_folders, create, create_as, create_private, empty,
    keep_temporary_files_in, reap, reap_below, remove, scratch_folder, temporary_files,
};
pub use whole::{
    NewFile, append, read, read_text, stream, write, write_hint, write_new, write_private,
};
pub use within::{LeadsOut, stays_within};

/// Mode of a file that everyone may read.
const SHARED: u32 = 0o644;

/// Mode of a file that only its owner may read, such as a signing key.
const PRIVATE: u32 = 0o600;

/// Whether what is there is a file that can be started, by somebody.
#[must_use]
pub(crate) fn is_program(facts: &fs::Metadata) -> bool {
    facts.is_file() && facts.permissions().mode() & 0o111 != 0
}

/// Whether an error says that nothing can be written here, rather than that something
/// is wrong: what is only a hint may be lost then.
#[must_use]
pub fn refuses_writing(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    )
}

#[derive(Debug, thiserror::Error)]
#[error("`{path}`")]
pub struct DiskError {
    /// The file or folder concerned.
    pub path: PathBuf,
    /// The operating system's reason.
    pub source: io::Error,
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        Self::new(error.source.kind(), with_causes(&error))
    }
}

/// Lets `?` turn a [`DiskError`] into the variant `Io { path, source }` of an error,
/// whose own text says what was done with the file, or into another such variant.
macro_rules! from_disk_error {
    ($error:ident) => {
        $crate::disk::from_disk_error!($error::Io);
    };
    ($error:ident::$variant:ident) => {
        impl From<$crate::disk::DiskError> for $error {
            fn from(error: $crate::disk::DiskError) -> Self {
                let $crate::disk::DiskError { path, source } = error;
                Self::$variant { path, source }
            }
        }
    };
}

pub(crate) use from_disk_error;

/// How many bytes this user may still write to the file system of `path`; `None`: it is
/// not known.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Whether files in `folder` can be made and replaced.
///
/// # Errors
///
/// Why they cannot.
pub fn writable(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Names the path in an I/O error.
pub fn at(path: &Path) -> impl Fn(io::Error) -> DiskError + Copy + '_ {
    move |source| DiskError {
        path: path.to_owned(),
        source,
    }
}

/// The folder that `path` is in; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
