//! A hidden folder beside what is about to be replaced: new bytes wait in it
//! until all are there, old ones are thrown into it.
//!
//! It is locked while in use; one without an owner is removed by whoever next
//! restores something beside it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::cas::remove;

use super::{TreeError, at};

/// How the names of such folders begin.
const PREFIX: &str = ".jackal-staging-";

/// The folder; removed, with what was thrown into it, when dropped.
pub(crate) struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes one in `folder`, and removes those that dead processes left there.
    pub(crate) fn beside(folder: &Path) -> Result<Self, TreeError> {
        // Whoever makes or reaps one holds this, so none is seen without its lock.
        let gate = File::open(folder).map_err(at(folder))?;
        gate.lock().map_err(at(folder))?;
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let entry = entry.map_err(at(folder))?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes())
            {
                let dead = File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok());
                if dead {
                    let _ = remove(&entry.path());
                }
            }
        }
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(folder)
            .map_err(at(folder))?
            .keep();
        let lock = File::open(&path).and_then(|lock| lock.lock().map(|()| lock));
        match lock {
            Ok(_lock) => Ok(Self { path, _lock }),
            Err(error) => {
                let _ = remove(&path);
                Err(at(&path)(error))
            }
        }
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Moves what stands at `old`, if anything does, out of the way.
    pub(crate) fn discard(&self, old: &Path, name: &str) -> Result<(), TreeError> {
        match fs::rename(old, self.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.map_err(at(old)),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What resists is reaped by the next one beside it.
        let _ = remove(&self.path);
    }
}

/// Puts `new`, which stands in `staging`, at `to`; what was there is discarded.
///
/// In one step where the file system can exchange two names.
pub(crate) fn swap(staging: &Staging, new: &Path, to: &Path) -> Result<(), TreeError> {
    match renameat_with(CWD, new, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // Nothing to exchange with, or no exchange here.
        Err(_) => {
            staging.discard(to, "old")?;
            fs::rename(new, to).map_err(at(to))
        }
    }
}

/// Makes the folders above `root/path`; a link or file among them is an error.
pub(crate) fn make_parents(root: &Path, path: &str) -> Result<(), TreeError> {
    let mut folder = root.to_owned();
    let mut names = path.split('/').peekable();
    while let (Some(name), Some(_)) = (names.next(), names.peek()) {
        folder.push(name);
        make_folder(&folder)?;
    }
    Ok(())
}

/// Makes one folder, unless it is there.
pub(super) fn make_folder(folder: &Path) -> Result<(), TreeError> {
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
