//! Files that are not whole yet, beside those that they become.
//!
//! A process that is killed cannot remove its own, so the next one does: whoever
//! still writes holds a lock on his file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

/// How such files are called.
const PREFIX: &str = ".jackal-tmp-";

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

/// For writing as well: NFS locks no others.
fn writable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Removes the files in `folder` that dead processes left: once for many files that
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
        let age = entry.metadata().and_then(|facts| facts.modified());
        let age = age.ok().and_then(|at| at.elapsed().ok());
        let dead = age.is_some_and(|age| age > YOUNG)
            && writable(&entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if dead {
            // Somebody else may have done so.
            let _ = fs::remove_file(entry.path());
        }
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
        let alive = File::open(path("alive")).unwrap();
        alive.lock().unwrap();
        let made = temporary(folder.path()).unwrap();
        reap(folder.path()).unwrap();
        assert!(!path("dead").exists());
        assert!(path("alive").exists() && path("young").exists() && other.exists());
        made.as_file().set_modified(old).unwrap();
        reap(folder.path()).unwrap();
        assert!(made.path().exists());
    }
}
