//! What is taken back from the user's folders: files that results put there.
//!
//! Each kind compares what it delivered with what is there; files are removed only
//! here, so that a rehearsal cannot remove any.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{DiskError, at};

/// What is removed from folders of the user, and what is not.
#[derive(Debug, Default)]
pub struct Withdrawal {
    rehearsed: bool,
    /// Files and links that results put there, and that were as then.
    pub removed: Vec<PathBuf>,
    /// Those that have changed since, or that Git tracks.
    pub kept: Vec<PathBuf>,
}

impl Withdrawal {
    /// One that only tells what it would remove.
    #[must_use]
    pub fn rehearsed() -> Self {
        Self {
            rehearsed: true,
            ..Self::default()
        }
    }

    /// Removes a file or link.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), DiskError> {
        if !self.rehearsed {
            fs::remove_file(path).map_err(at(path))?;
        }
        self.removed.push(path.to_owned());
        Ok(())
    }

    /// Leaves a file, link or folder to the user.
    pub(crate) fn leave(&mut self, path: &Path) {
        self.kept.push(path.to_owned());
    }

    /// Removes a folder if nothing is left in it; tells whether it is gone.
    pub(crate) fn folder(&self, path: &Path) -> Result<bool, DiskError> {
        if self.rehearsed {
            return Ok(false);
        }
        match fs::remove_dir(path) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(true),
                // A link that the user put there is not followed, and stays.
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => Ok(false),
                _ => Err(at(path)(error)),
            },
        }
    }

    /// Forgets a record of what was delivered.
    pub(crate) fn record(&self, path: &Path) -> Result<(), DiskError> {
        match self.rehearsed {
            true => Ok(()),
            false => fs::remove_file(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(at(path)(error)),
            }),
        }
    }
}
