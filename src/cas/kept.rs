//! Folders that outlive a run: the trees of tasks that are brought up to date instead
//! of made from nothing.
//!
//! A kept folder is used by one process at a time. The file that says what it belongs
//! to is missing while it is in use, so what a killed process leaves is not taken for
//! sound. Folders are evicted with blobs, the least recently used first.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::{self, at, remove};

use super::store::{Cas, CasError};

/// The file that a process locks while it uses the folder.
pub(super) const LOCK: &str = "lock";

/// The file that says what the folder belongs to.
pub(super) const OF: &str = "of";

/// The file with the size of the folder, in bytes.
const SIZE: &str = "size";

/// Age of a recorded size after which the folder is measured again: to measure one
/// costs a `stat` for each of its files.
pub(super) const MEASURED_FOR: Duration = Duration::from_secs(3600);

/// A kept folder that this process uses. It is removed when it is dropped, unless
/// [`keep`](Self::keep) is called.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    identity: String,
    is_new: bool,
    is_sound: bool,
    _lock: File,
}

impl Kept {
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Keeps it for the next use.
    ///
    /// # Errors
    ///
    /// The file that says so cannot be written.
    pub fn keep(mut self) -> Result<(), CasError> {
        disk::write_hint(&self.path.join(OF), self.identity.as_bytes())?;
        self.is_sound = true;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_sound {
            // If this fails, the next user of the folder empties it.
            let _ = remove(&self.path);
        }
    }
}

/// A kept folder as eviction sees it.
pub(super) struct KeptFolder {
    path: PathBuf,
    pub(super) bytes: u64,
    /// Since its last use; `None`: nothing in it is of use.
    pub(super) age: Option<Duration>,
}

impl KeptFolder {
    /// Removes it; `false`: a process uses it.
    pub(super) fn evict(&self) -> Result<bool, CasError> {
        match lock(&self.path)? {
            Some(_lock) => {
                remove(&self.path).map_err(at(&self.path))?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl Cas {
    pub(super) fn kept_root(&self) -> PathBuf {
        self.root().join("kept")
    }

    /// The kept folder `name`, with what it holds if that belongs to `identity`, else
    /// empty. `None`: another process uses it.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or emptied; [`CasError::ReadOnly`].
    pub fn kept(&self, name: &str, identity: &str) -> Result<Option<Kept>, CasError> {
        self.writable()?;
        let path = self.kept_root().join(name);
        fs::create_dir_all(&path).map_err(at(&path))?;
        let Some(lock) = lock(&path)? else {
            return Ok(None);
        };
        let of = path.join(OF);
        let is_new = !fs::read_to_string(&of).is_ok_and(|found| found == identity);
        if is_new {
            empty(&path)?;
        } else {
            fs::remove_file(&of).map_err(at(&of))?;
        }
        Ok(Some(Kept {
            path,
            identity: identity.to_owned(),
            is_new,
            is_sound: false,
            _lock: lock,
        }))
    }

    /// Removes the kept folder `name`, unless a process uses it.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn forget_kept(&self, name: &str) -> Result<(), CasError> {
        let path = self.kept_root().join(name);
        if path.exists()
            && let Some(_lock) = lock(&path)?
        {
            remove(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Every kept folder. Sizes are at most an hour old, unless they are to be
    /// `measured`.
    pub(super) fn kept_folders(&self, measured: bool) -> Result<Vec<KeptFolder>, CasError> {
        let root = self.kept_root();
        let listed = match fs::read_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(at(&root))?,
        };
        let mut found = Vec::new();
        for entry in listed {
            let path = entry.map_err(at(&root))?.path();
            let age = age(&path.join(OF));
            let known = age.filter(|_| !measured).and_then(|_| recorded(&path));
            let bytes = known.unwrap_or_else(|| measure(&path));
            if known.is_none() && age.is_some() && !self.is_read_only() {
                // Without it, the folder is measured again.
                let _ = disk::write_hint(&path.join(SIZE), bytes.to_string().as_bytes());
            }
            found.push(KeptFolder { path, bytes, age });
        }
        Ok(found)
    }
}

/// Locks a folder for this process; `None`: another one has it.
fn lock(folder: &Path) -> Result<Option<File>, CasError> {
    let path = folder.join(LOCK);
    loop {
        let file = match disk::append(&path) {
            // Whoever held it has removed the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(at(folder))?;
                continue;
            }
            opened => opened.map_err(at(&path))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(at(&path)(error).into()),
        }
        // It may be the file of a folder that was removed meanwhile.
        if is_at(&file, &path) {
            return Ok(Some(file));
        }
    }
}

/// Whether `file` is what is at `path` now.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let inode = |facts: fs::Metadata| facts.ino();
    let there = fs::metadata(path).map(inode);
    file.metadata()
        .map(inode)
        .is_ok_and(|own| there.is_ok_and(|there| there == own))
}

/// Removes everything but the lock.
fn empty(folder: &Path) -> Result<(), CasError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if entry.file_name() != LOCK {
            remove(&entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

/// Since the file was written; `None`: it is missing.
pub(super) fn age(file: &Path) -> Option<Duration> {
    let written = fs::metadata(file).and_then(|facts| facts.modified()).ok()?;
    // A clock that went backwards makes it new.
    Some(written.elapsed().unwrap_or_default())
}

fn recorded(folder: &Path) -> Option<u64> {
    let file = folder.join(SIZE);
    age(&file).filter(|age| *age < MEASURED_FOR)?;
    fs::read_to_string(file).ok()?.parse().ok()
}

/// The bytes of all files below `folder`; what cannot be read counts nothing.
fn measure(folder: &Path) -> u64 {
    let (mut bytes, mut open) = (0, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => open.push(entry.path()),
                Ok(facts) => bytes += facts.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::Limits;

    fn cas() -> (tempfile::TempDir, Cas) {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        (dir, cas)
    }

    fn fill(cas: &Cas, name: &str, identity: &str) {
        let kept = cas.kept(name, identity).unwrap().unwrap();
        fs::write(kept.path().join("f"), "1234").unwrap();
        kept.keep().unwrap();
    }

    #[test]
    fn a_folder_is_found_again_only_if_it_was_kept_for_the_same() {
        let (_dir, cas) = cas();
        fill(&cas, "a", "one");
        let kept = cas.kept("a", "one").unwrap().unwrap();
        assert!(!kept.is_new() && kept.path().join("f").exists());
        // One process at a time.
        assert!(cas.kept("a", "one").unwrap().is_none());
        kept.keep().unwrap();
        let other = cas.kept("a", "two").unwrap().unwrap();
        assert!(other.is_new() && !other.path().join("f").exists());
    }

    #[test]
    fn what_is_not_kept_is_gone_and_what_a_killed_process_leaves_is_not_used() {
        let (_dir, cas) = cas();
        fill(&cas, "a", "one");
        let kept = cas.kept("a", "one").unwrap().unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(!path.exists());
        fill(&cas, "a", "one");
        // As a killed process would leave it.
        fs::remove_file(path.join(OF)).unwrap();
        let kept = cas.kept("a", "one").unwrap().unwrap();
        assert!(kept.is_new() && !path.join("f").exists());
    }

    #[test]
    fn kept_folders_count_and_are_evicted_unless_they_are_in_use() {
        let (_dir, cas) = cas();
        fill(&cas, "a", "one");
        fill(&cas, "b", "one");
        let held = cas.usage().unwrap();
        assert_eq!(held.folders, 2);
        assert!(held.bytes >= 8, "{held:?}");
        let kept = cas.kept("a", "one").unwrap().unwrap();
        let limits = Limits {
            max_bytes: Some(0),
            max_age: None,
        };
        assert_eq!(cas.prune(limits).unwrap().folders, 1);
        assert!(kept.path().join("f").exists());
        assert!(cas.kept("b", "one").unwrap().unwrap().is_new());
    }
}
