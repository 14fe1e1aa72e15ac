//! Unfinished files and folders, and the removal of those without an owner.
//!
//! A killed process cannot remove its own files, so the next process does. The owner
//! holds a lock on its file, or on a file inside its folder. Until that lock is taken,
//! a lock on the surrounding folder protects it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempDir};

use super::{DiskError, PRIVATE, SHARED, at};

/// Prefix of the names of unfinished files and folders.
pub(crate) const PREFIX: &str = ".jackal-tmp-";

/// The file in an unfinished folder that the owner locks.
const ALIVE: &str = "alive";

/// If the surrounding folder cannot be locked (NFS), unlocked files are kept for this
/// long after their last change, because the owner may be about to lock them.
const YOUNG: Duration = Duration::from_secs(60);

/// Makes an unfinished file in `folder`, removed when dropped.
pub(super) fn temporary_file(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let _making = shared(folder);
    #[expect(clippy::disallowed_methods, reason = "the one place that makes them")]
    let temp = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    // Without file locks, nothing is reaped either.
    let _ = temp.as_file().try_lock();
    Ok(temp)
}

/// Prevents reaping in `folder` until it is dropped; `None` if folders cannot be
/// locked.
fn shared(folder: &Path) -> Option<File> {
    let gate = File::open(folder).ok()?;
    gate.lock_shared().ok().map(|()| gate)
}

/// A folder for unfinished files, removed with its content when dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    next: AtomicU64,
    _alive: File,
}

/// How many times [`abandon_folders`] tries to remove a folder that other threads
/// still write to, a millisecond apart.
const ATTEMPTS: u32 = 50;

/// The folders of this process.
static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every folder of this process, which is about to exit without running
/// destructors. A thread that requests a folder afterwards blocks forever.
pub fn abandon_folders() {
    let folders = folders();
    for folder in &*folders {
        for _ in 0..ATTEMPTS {
            match fs::symlink_metadata(folder).and_then(|_| remove(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
    std::mem::forget(folders);
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Listed until it is removed: the process may be stopped while a long removal
        // is in progress. If removal fails, it is reaped later.
        let _ = remove(self.folder.path());
        folders().remove(self.folder.path());
    }
}

impl TemporaryFolder {
    /// Makes one in `folder`.
    ///
    /// # Errors
    ///
    /// [`DiskError`]: it cannot be made.
    pub fn new(folder: &Path) -> Result<Self, DiskError> {
        // Locked, so that `abandon_folders` knows every folder.
        let mut folders = folders();
        let _making = shared(folder);
        let mut named = tempfile::Builder::new();
        #[expect(clippy::disallowed_methods, reason = "the one place that makes them")]
        let made = named
            .prefix(PREFIX)
            .tempdir_in(folder)
            .map_err(at(folder))?;
        let alive = create(&made.path().join(ALIVE)).map_err(at(made.path()))?;
        let _ = alive.try_lock();
        folders.insert(made.path().to_owned());
        Ok(Self {
            folder: made,
            next: AtomicU64::new(0),
            _alive: alive,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new path in it.
    pub fn next_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path().join(number.to_string())
    }
}

/// Makes the file `path`, which must not exist: for unfinished files in a
/// [`TemporaryFolder`].
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], or the file cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    create_as(path, SHARED)
}

/// The same for a file with `mode`, less the user's umask.
///
/// # Errors
///
/// As [`create`].
pub fn create_as(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// The same for a file that only its owner may read.
///
/// # Errors
///
/// As [`create`].
pub fn create_private(path: &Path) -> io::Result<File> {
    create_as(path, PRIVATE)
}

/// Makes a temporary folder where the system keeps them.
///
/// # Errors
///
/// [`DiskError`]: it cannot be made.
pub fn scratch_folder() -> Result<TemporaryFolder, DiskError> {
    TemporaryFolder::new(&temporary_files())
}

/// Where temporary files are that need not be beside another file.
#[must_use]
pub fn temporary_files() -> PathBuf {
    tempfile::env::temp_dir()
}

/// Makes temporary files in `folder` from now on; `false` if that was said before.
#[must_use]
pub fn keep_temporary_files_in(folder: &Path) -> bool {
    tempfile::env::override_temp_dir(folder).is_ok()
}

/// Opens `path` as NFS requires for an exclusive lock: for writing as well.
fn writable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Removes the unfinished files and folders in `folder` that have no owner.
///
/// Reads the whole folder: if many files are created, call it once for all of them.
///
/// # Errors
///
/// The folder cannot be read.
pub fn reap(folder: &Path) -> io::Result<()> {
    let unfinished = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    };
    let mut found = fs::read_dir(folder)?
        .filter(|entry| entry.as_ref().map_or(true, unfinished))
        .peekable();
    if found.peek().is_none() {
        return Ok(());
    }
    // While this lock is held, an unlocked file has no owner.
    let gate = File::open(folder)?;
    let alone = gate.lock().is_ok();
    let mut dead = Vec::new();
    for entry in found {
        let entry = entry?;
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        let age = facts.modified().ok().and_then(|at| at.elapsed().ok());
        if !alone && age.is_none_or(|age| age <= YOUNG) {
            continue;
        }
        let path = entry.path();
        let held = match facts.is_dir() {
            true => writable(&path.join(ALIVE)),
            false => writable(&path),
        };
        match held {
            Ok(file) if file.try_lock().is_ok() => dead.push((path, Some(file))),
            // Its process ended before it could lock it.
            Err(error) if facts.is_dir() && error.kind() == io::ErrorKind::NotFound => {
                dead.push((path, None));
            }
            _ => {}
        }
    }
    // Removal may take long; the locks keep other reapers away.
    drop(gate);
    for (path, _lock) in &dead {
        // Keep those of other users; ignore those that another process removed.
        let _ = remove(path);
    }
    Ok(())
}

/// Reaps `folder` and every folder below it.
///
/// # Errors
///
/// A folder cannot be read.
pub fn reap_below(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        reap(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let unfinished = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes());
            if !unfinished && entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Removes the file, link or folder at `path`, without following links; it may be
/// missing.
///
/// A folder without write permission is opened up first: module caches and
/// package managers leave such folders behind.
///
/// # Errors
///
/// Something in it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    empty(path)?;
    fs::remove_dir(path)
}

/// Removes what is in the folder `top`. Folders in it move to its top before their own
/// turn, so that neither the stack nor paths grow with their depth. Everything is reached
/// from descriptors: a process that is still there must not lead this one elsewhere.
///
/// # Errors
///
/// Something in it cannot be removed.
pub fn empty(top: &Path) -> io::Result<()> {
    let top = rustix::fs::open(top, AT_PLACE, Mode::empty())?;
    let mut moved: u64 = 0;
    let mut folders = vec![None];
    while let Some(folder) = folders.pop() {
        let place = match &folder {
            None => top.try_clone()?,
            Some(name) => rustix::fs::openat(&top, name, AT_PLACE, Mode::empty())?,
        };
        open_up(&place)?;
        let listed = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&place, ".", listed, Mode::empty())?;
        for entry in Dir::new(opened)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let facts = rustix::fs::statat(&place, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(facts.st_mode)
                }
                kind => kind,
            };
            if kind != FileType::Directory {
                rustix::fs::unlinkat(&place, name, AtFlags::empty())?;
                continue;
            }
            if folder.is_none() {
                folders.push(Some(name.to_owned()));
                continue;
            }
            // To move a folder is to write its `..`.
            open_up(&rustix::fs::openat(&place, name, AT_PLACE, Mode::empty())?)?;
            let to = loop {
                moved += 1;
                let to = CString::new(format!("{PREFIX}removed-{moved}"))?;
                match rustix::fs::statat(&top, &to, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => break to,
                    found => drop(found?),
                }
            };
            rustix::fs::renameat(&place, name, &top, &to)?;
            folders.push(Some(to));
        }
        if let Some(name) = &folder {
            rustix::fs::unlinkat(&top, name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// How a folder is opened without reading it, and not through a link.
const AT_PLACE: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Lets its owner change what is in the folder.
fn open_up(folder: &OwnedFd) -> io::Result<()> {
    const ALL: u32 = 0o700;
    if rustix::fs::fstat(folder)?.st_mode & ALL == ALL {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    fs::set_permissions(path, Permissions::from_mode(ALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_without_an_owner_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(format!("{PREFIX}{name}"));
        for name in ["dead", "alive"] {
            File::create(path(name)).unwrap();
        }
        let other = folder.path().join("other");
        File::create(&other).unwrap();
        for name in ["dead-folder", "empty-folder", "kept-folder"] {
            fs::create_dir(path(name)).unwrap();
        }
        File::create(path("dead-folder").join(ALIVE)).unwrap();
        fs::write(path("dead-folder").join("1"), "part").unwrap();
        let closed = path("dead-folder").join("closed");
        fs::create_dir_all(closed.join("below")).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
        let kept = File::create(path("kept-folder").join(ALIVE)).unwrap();
        kept.lock().unwrap();
        let alive = File::open(path("alive")).unwrap();
        alive.lock().unwrap();
        let file = temporary_file(folder.path(), 0o644).unwrap();
        let made = TemporaryFolder::new(folder.path()).unwrap();
        reap(folder.path()).unwrap();
        for name in ["dead", "dead-folder", "empty-folder"] {
            assert!(!path(name).exists(), "{name}");
        }
        for path in [&path("kept-folder"), &path("alive"), &other] {
            assert!(path.exists());
        }
        assert!(file.path().exists() && made.path().exists());
    }

    #[test]
    fn folders_of_any_depth_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        let mut deep = top.clone();
        // A long path at a time, which then moves below another.
        for round in 0..200 {
            let chain = "d/".repeat(100);
            let next = folder.path().join(format!("next-{round}"));
            fs::create_dir_all(next.join(&chain)).unwrap();
            fs::write(next.join("file"), "x").unwrap();
            fs::rename(&deep, next.join(&chain).join("d")).unwrap();
            deep = next;
        }
        fs::create_dir(deep.join(format!("{PREFIX}removed-1"))).unwrap();
        remove(&deep).unwrap();
        assert!(!deep.exists());
    }

    #[test]
    fn nothing_is_reaped_while_a_file_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let making = shared(folder.path()).unwrap();
        let unlocked = folder.path().join(format!("{PREFIX}unlocked"));
        File::create(&unlocked).unwrap();
        std::thread::scope(|scope| {
            let reaper = scope.spawn(|| reap(folder.path()));
            let locked = File::open(&unlocked).unwrap();
            locked.lock().unwrap();
            drop(making);
            reaper.join().unwrap().unwrap();
            assert!(unlocked.exists());
        });
        reap(folder.path()).unwrap();
        assert!(!unlocked.exists());
    }
}
