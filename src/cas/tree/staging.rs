//! A hidden folder beside the target: holds new files until all are written, and old
//! files until they are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::cas::CasError;
use crate::disk::{self, TemporaryFolder};

use super::TreeError;
use crate::disk::{DiskError, at};

/// The folder, which is removed with its content when dropped.
pub(crate) struct Staging(TemporaryFolder);

impl Staging {
    /// Creates one in `folder`, and removes those of killed processes.
    pub(crate) fn beside(folder: &Path) -> Result<Self, TreeError> {
        disk::reap(folder).map_err(at(folder))?;
        Ok(Self(TemporaryFolder::new(folder).map_err(CasError::from)?))
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Moves `old` out of the way if it exists.
    pub(crate) fn discard(&self, old: &Path, name: &str) -> Result<(), DiskError> {
        match fs::rename(old, self.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.map_err(at(old)),
        }
    }
}

/// Moves `new`, which is in `staging`, to `to`, and discards an existing entry there.
///
/// Atomic if the file system can exchange two names.
pub(crate) fn swap(staging: &Staging, new: &Path, to: &Path) -> Result<(), DiskError> {
    match renameat_with(CWD, new, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // The target does not exist, or the file system cannot exchange names.
        Err(_) => {
            staging.discard(to, "old")?;
            fs::rename(new, to).map_err(at(to))
        }
    }
}

/// Creates the folders above `root/path`; a link or file among them is an error.
pub(crate) fn make_parents(root: &Path, path: &str) -> Result<(), DiskError> {
    let mut folder = root.to_owned();
    let mut names = path.split('/').peekable();
    while let (Some(name), Some(_)) = (names.next(), names.peek()) {
        folder.push(name);
        make_folder(&folder)?;
    }
    Ok(())
}

/// Creates a folder unless it exists.
pub(super) fn make_folder(folder: &Path) -> Result<(), DiskError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(folder).map_err(at(folder))?;
            if metadata.is_dir() {
                return Ok(());
            }
            Err(at(folder)(io::ErrorKind::NotADirectory.into()))
        }
        outcome => outcome.map_err(at(folder)),
    }
}
