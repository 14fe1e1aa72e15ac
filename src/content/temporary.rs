//! Files that are not whole yet, beside those that they become.
//!
//! A process that is killed cannot remove its own, so the next one does: whoever
//! still writes holds a lock on his file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

/// How such files are called.
const PREFIX: &str = ".jackal-tmp-";

/// The file in such a folder that its maker holds the lock of.
const ALIVE: &str = "alive";

/// How long after its last byte a file without a lock is left alone: its maker may
/// be about to take it.
const YOUNG: Duration = Duration::from_secs(60);

/// Makes a file in `folder` that is removed unless it gets another name.
///
/// # Errors
///
/// The disk refused.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let temp = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    // Where there are no locks, nobody takes it for dead either.
    let _ = temp.as_file().try_lock();
    Ok(temp)
}

/// A folder for many files that are not whole yet.
pub struct TemporaryFolder {
    folder: TempDir,
    _alive: File,
}

/// How often a folder is removed that others write to.
const ATTEMPTS: u32 = 50;

/// Those of this process, for its sudden end.
static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the folders that this process would remove at its end, for whoever
/// ends it just after; nobody gets another one meanwhile.
pub fn abandon_folders() {
    let folders = folders();
    for folder in &*folders {
        // Others may be writing there still.
        for _ in 0..ATTEMPTS {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
    std::mem::forget(folders);
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Known until it is gone: it may be large, and somebody may end the program.
        let _ = fs::remove_dir_all(self.folder.path());
        folders().remove(self.folder.path());
    }
}

impl TemporaryFolder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Makes a folder in `folder` that is removed with all that is still in it.
///
/// # Errors
///
/// The disk refused.
pub fn temporary_folder(folder: &Path) -> io::Result<TemporaryFolder> {
    // Held, so that there is none that `abandon_folders` does not know.
    let mut folders = folders();
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?;
    let alive = File::create_new(made.path().join(ALIVE))?;
    let _ = alive.try_lock();
    folders.insert(made.path().to_owned());
    Ok(TemporaryFolder {
        folder: made,
        _alive: alive,
    })
}

/// For writing as well: NFS locks no others.
fn writable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Removes the files and folders in `folder` that dead processes left: once for many files that
/// are made there, as it looks at all that is in it.
///
/// # Errors
///
/// The folder cannot be read.
pub fn reap(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        let age = facts.modified().ok().and_then(|at| at.elapsed().ok());
        if age.is_none_or(|age| age <= YOUNG) {
            continue;
        }
        let path = entry.path();
        let held = match facts.is_dir() {
            true => writable(&path.join(ALIVE)),
            false => writable(&path),
        };
        // Somebody else may have removed it.
        let _ = match held {
            Ok(file) if file.try_lock().is_err() => Ok(()),
            Ok(_) if facts.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            // Its maker ended before he could hold it.
            Err(error) if facts.is_dir() && error.kind() == io::ErrorKind::NotFound => {
                fs::remove_dir_all(path)
            }
            Err(_) => Ok(()),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_writers_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(format!("{PREFIX}{name}"));
        let old = std::time::SystemTime::now() - 2 * YOUNG;
        for name in ["dead", "alive"] {
            File::create(path(name)).unwrap().set_modified(old).unwrap();
        }
        File::create(path("young")).unwrap();
        let other = folder.path().join("other");
        File::create(&other).unwrap().set_modified(old).unwrap();
        for name in ["dead-folder", "empty-folder", "kept-folder"] {
            fs::create_dir(path(name)).unwrap();
        }
        File::create(path("dead-folder").join(ALIVE)).unwrap();
        fs::write(path("dead-folder").join("1"), "part").unwrap();
        let kept = File::create(path("kept-folder").join(ALIVE)).unwrap();
        kept.lock().unwrap();
        for name in ["dead-folder", "empty-folder", "kept-folder"] {
            File::open(path(name)).unwrap().set_modified(old).unwrap();
        }
        let alive = File::open(path("alive")).unwrap();
        alive.lock().unwrap();
        let made = temporary(folder.path()).unwrap();
        reap(folder.path()).unwrap();
        for name in ["dead", "dead-folder", "empty-folder"] {
            assert!(!path(name).exists(), "{name}");
        }
        assert!(path("kept-folder").exists());
        assert!(path("alive").exists() && path("young").exists() && other.exists());
        made.as_file().set_modified(old).unwrap();
        reap(folder.path()).unwrap();
        assert!(made.path().exists());
    }
}
