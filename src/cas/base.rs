//! Bases: folders with staged inputs that many commands read, and none changes.
//!
//! A base is a kept folder that is complete from the start. Processes share a lock on it
//! while commands see it, so that it is not evicted under them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::disk::{self, at};

use super::kept::{LOCK, MEASURED_FOR, OF, age, is_at};
use super::store::{Cas, CasError};

/// The layout of a base. After a change, existing bases are not used any more.
const IDENTITY: &str = "base 1";

/// The file that says in which run of the system overlays were refused.
const REFUSED: &str = "refused";

/// A base that this process uses; it is not evicted meanwhile.
#[derive(Debug)]
pub struct Base {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Base {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Cas {
    /// The base called `name`, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn base(&self, name: &str) -> Result<Option<Base>, CasError> {
        let path = self.kept_root().join(folder(name));
        let lock = path.join(LOCK);
        let file = match File::open(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(at(&lock))?,
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            // It is being made or removed.
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(at(&lock)(error).into()),
        }
        let of = path.join(OF);
        let is_whole = fs::read_to_string(&of).is_ok_and(|found| found == IDENTITY);
        if !is_whole || !is_at(&file, &lock) {
            return Ok(None);
        }
        if age(&of).is_some_and(|age| age > MEASURED_FOR) {
            // Its age is only when it was used last.
            let now = File::options().append(true).open(&of);
            let _ = now.and_then(|of| of.set_modified(SystemTime::now()));
        }
        Ok(Some(Base {
            name: name.to_owned(),
            path,
            _lock: file,
        }))
    }

    /// Makes the base `name`: `fill` puts everything into an empty folder. `None`:
    /// another process makes it, or it was evicted at once.
    ///
    /// # Errors
    ///
    /// Those of `fill`, or the folder cannot be made.
    pub fn make_base<E: From<CasError>>(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Option<Base>, E> {
        let Some(kept) = self.kept(&folder(name), IDENTITY)? else {
            return Ok(None);
        };
        if kept.is_new() {
            fill(kept.path())?;
        }
        kept.keep()?;
        Ok(self.base(name)?)
    }

    fn bases(&self) -> PathBuf {
        self.root().join("bases")
    }

    /// The base that `task` used last.
    ///
    /// # Errors
    ///
    /// As [`base`](Self::base).
    pub fn last_base(&self, task: &str) -> Result<Option<Base>, CasError> {
        match fs::read_to_string(self.bases().join(task)) {
            Ok(name) if name.bytes().all(|byte| byte.is_ascii_hexdigit()) => self.base(&name),
            _ => Ok(None),
        }
    }

    /// Records that `task` used the base `name`. A lost record costs another base.
    pub fn note_base(&self, task: &str, name: &str) {
        let file = self.bases().join(task);
        if !fs::read_to_string(&file).is_ok_and(|known| known == name) {
            let _ = disk::write_hint(&file, name.as_bytes());
        }
    }

    /// Whether the system refused overlays in this cache since it was started, or no
    /// base can be made.
    #[must_use]
    pub fn refuses_overlays(&self) -> bool {
        let refused = || fs::read_to_string(self.bases().join(REFUSED)).ok();
        self.is_read_only() || refused().is_some_and(|run| run == system_run())
    }

    /// Records that the system refused an overlay.
    pub fn note_refused_overlay(&self) {
        let _ = disk::write_hint(&self.bases().join(REFUSED), system_run().as_bytes());
    }
}

fn folder(name: &str) -> String {
    format!("base-{name}")
}

/// Identifies the time since the system was started.
fn system_run() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::Limits;

    #[test]
    fn a_base_is_shared_and_is_not_evicted_while_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        assert!(cas.base("aa").unwrap().is_none());
        let made = cas.make_base("aa", |folder| {
            fs::write(folder.join("f"), "1").unwrap();
            Ok::<(), CasError>(())
        });
        let made = made.unwrap().unwrap();
        let again = cas.base("aa").unwrap().unwrap();
        cas.note_base("task", "aa");
        assert!(cas.last_base("task").unwrap().is_some());
        let limits = Limits {
            max_bytes: Some(0),
            max_age: None,
        };
        drop(again);
        assert_eq!(cas.prune(limits).unwrap().folders, 0);
        assert!(made.path().join("f").exists());
        drop(made);
        assert_eq!(cas.prune(limits).unwrap().folders, 1);
        assert!(cas.last_base("task").unwrap().is_none());
    }

    #[test]
    fn a_base_that_could_not_be_filled_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let error = || CasError::Full { needed: 1, free: 0 };
        assert!(cas.make_base("aa", |_| Err(error())).is_err());
        assert!(cas.base("aa").unwrap().is_none());
    }
}
