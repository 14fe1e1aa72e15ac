//! Working folders, one for each running command, removed when it ends.
//!
//! Some are used again: file systems take long to find room for new folders while others
//! were removed a moment ago. See adr/0059, "What commands share is made once".
//!
//! A stage is in the session folder of the store, so the stages of killed processes,
//! including read-only folders, are removed when the store is opened again.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    Dir, IFlags, Mode, OFlags, Stat, Timespec, Timestamps, fgetxattr, flistxattr, fstat, futimens,
    ioctl_getflags, lstat,
};

use crate::disk::{self, DiskError, at, remove};

/// Maximum length of the names or of one value of extended attributes that are compared,
/// in bytes; a label of a security module has less than a hundred.
const MAX_ATTRIBUTES: usize = 4 << 10;

/// Seconds from 1970 to 1980, the first year that zip archives can hold: the time of all
/// that is staged.
pub const STAGED_AT: &str = "315532800";

/// How long ago a folder must have been looked at for a later change to have another time:
/// the longest tick of a clock is a hundredth of a second.
const TICK: Duration = Duration::from_millis(20);

/// A private folder on the file system of the store, empty at first; removed when
/// dropped.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    /// The folders that were made in it, as they were then.
    parts: Vec<Part>,
    stamp: Stamp,
    /// When it was given out.
    pub(super) lent: Instant,
}

/// A folder of a stage, when it was new.
#[derive(Debug)]
struct Part {
    name: &'static str,
    facts: Facts,
    stamp: Stamp,
}

/// The state of a folder when it was looked at. The system gives it another time for any
/// change of what is in it or of itself, and lets no command choose that time.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    state: [i128; 4],
    read: Instant,
}

/// All that a command can change about a folder, except for its times.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    device: u64,
    inode: u64,
    mode: u32,
    links: i128,
    owner: (u32, u32),
    /// A folder that once held many entries stays long.
    size: i64,
    /// `None`: the file system has none.
    flags: Option<u32>,
    /// Extended attributes, with access lists among them.
    attributes: Vec<(CString, Vec<u8>)>,
}

impl Stage {
    /// Makes one at `path`, with the empty folders `parts`.
    pub(super) fn make(path: PathBuf, parts: &[&'static str]) -> Result<Self, DiskError> {
        fs::create_dir(&path).map_err(at(&path))?;
        let stamp = Stamp::of_path(&path).map_err(at(&path))?;
        let mut stage = Self {
            path,
            parts: Vec::new(),
            stamp,
            lent: Instant::now(),
        };
        for name in parts {
            let path = stage.path.join(name);
            fs::create_dir(&path).map_err(at(&path))?;
            let made = opened(&path).and_then(|folder| {
                futimens(&folder, &staged_times())?;
                let (facts, stamp) = Facts::of(&folder)?;
                Ok(Part { name, facts, stamp })
            });
            stage.parts.push(made.map_err(at(&path))?);
        }
        stage.stamp = Stamp::of_path(&stage.path).map_err(at(&stage.path))?;
        Ok(stage)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Empties it. Fails if it is then not what it was when it was new, or has no parts.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        let lent = self.lent;
        if self.parts.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !self.stamp.holds(&lstat(&self.path)?, lent) {
            let now = Stamp::of_path(&self.path)?;
            let mut names = fs::read_dir(&self.path)?;
            let is_part = |entry: fs::DirEntry| {
                let name = entry.file_name();
                self.parts.iter().any(|part| name == part.name)
            };
            if !names.try_fold(true, |all, entry| {
                Ok::<_, io::Error>(all && is_part(entry?))
            })? {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            self.stamp.renew(now);
        }
        for part in &mut self.parts {
            let path = self.path.join(part.name);
            if !part.stamp.holds(&lstat(&path)?, lent) {
                part.renew(&path)?;
            }
        }
        Ok(())
    }
}

impl Part {
    /// Makes the folder at `path` what it was.
    fn renew(&mut self, path: &Path) -> io::Result<()> {
        if !is_empty(path)? {
            disk::empty(path)?;
        }
        let folder = opened(path)?;
        let (facts, mut stamp) = Facts::of(&folder)?;
        if facts != self.facts {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let found = fstat(&folder)?;
        let time = staged_times().last_modification;
        if (found.st_mtime, found.st_mtime_nsec) != (time.tv_sec, time.tv_nsec as _) {
            futimens(&folder, &staged_times())?;
            stamp = Stamp::of(&fstat(&folder)?);
        }
        self.stamp.renew(stamp);
        Ok(())
    }
}

impl Stamp {
    fn of(found: &Stat) -> Self {
        Self {
            state: [
                found.st_dev.into(),
                found.st_ino.into(),
                found.st_ctime.into(),
                found.st_ctime_nsec.into(),
            ],
            read: Instant::now(),
        }
    }

    fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&lstat(path)?))
    }

    /// Whether the folder with the metadata `found`, given out at `lent`, is as it was.
    fn holds(&self, found: &Stat, lent: Instant) -> bool {
        // Whole seconds are the time of a file system with nothing finer.
        let [.., nanoseconds] = self.state;
        let is_settled = nanoseconds != 0 && lent.saturating_duration_since(self.read) > TICK;
        is_settled && self.state == Self::of(found).state
    }

    /// Takes `now` instead, unless that is the same state, which was read before.
    fn renew(&mut self, now: Self) {
        if self.state != now.state {
            *self = now;
        }
    }
}

/// The times of all that is staged.
#[must_use]
pub fn staged_times() -> Timestamps {
    let time = Timespec {
        tv_sec: const {
            match i64::from_str_radix(STAGED_AT, 10) {
                Ok(seconds) => seconds,
                Err(_) => panic!("a number"),
            }
        },
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Opens a folder, not through a link.
fn opened(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn is_empty(path: &Path) -> io::Result<bool> {
    // One that cannot be opened is not as it was.
    for entry in Dir::new(opened(path)?)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Facts {
    fn of(folder: &fs::File) -> io::Result<(Self, Stamp)> {
        let facts = fstat(folder)?;
        let stamp = Stamp::of(&facts);
        let mut names = vec![0; MAX_ATTRIBUTES];
        let length = match flistxattr(folder, &mut names[..]) {
            Err(rustix::io::Errno::OPNOTSUPP) => 0,
            length => length?,
        };
        let mut attributes = Vec::new();
        for name in names[..length].split_inclusive(|byte| *byte == 0) {
            let name = CStr::from_bytes_with_nul(name).map_err(io::Error::other)?;
            let mut value = vec![0; MAX_ATTRIBUTES];
            let length = fgetxattr(folder, name, &mut value[..])?;
            value.truncate(length);
            attributes.push((name.to_owned(), value));
        }
        let own = Self {
            device: facts.st_dev,
            inode: facts.st_ino,
            mode: facts.st_mode,
            links: facts.st_nlink.into(),
            owner: (facts.st_uid, facts.st_gid),
            size: facts.st_size,
            flags: ioctl_getflags(folder).ok().as_ref().map(IFlags::bits),
            attributes,
        };
        Ok((own, stamp))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // If this fails, the folder is removed when the store is next opened.
        let _ = remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A stage that is given out when all clocks have ticked.
    fn settled(folder: &Path) -> Stage {
        let mut stage = Stage::make(folder.join("stage"), &["a", "b"]).unwrap();
        stage.lent = Instant::now() + 2 * TICK;
        stage
    }

    #[test]
    fn a_stage_that_nothing_touched_is_not_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = settled(dir.path());
        // A look at it would find this.
        stage.parts[0].facts.mode ^= 1;
        stage.renew().unwrap();
        stage.lent = Instant::now();
        assert!(stage.renew().is_err());
    }

    #[test]
    fn a_stage_that_was_touched_is_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = settled(dir.path());
        let part = stage.path().join("a");
        let changed = || {
            lstat(&part)
                .map(|found| (found.st_ctime, found.st_ctime_nsec))
                .unwrap()
        };
        let before = changed();
        // Until the clock ticks, no change has another time.
        while changed() == before {
            fs::write(part.join("left"), "x").unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&part, mode).unwrap();
        }
        stage.renew().unwrap();
        assert_eq!(fs::read_dir(&part).unwrap().count(), 0);
        let time = fs::metadata(&part).unwrap().modified().unwrap();
        let staged = Duration::from_secs(STAGED_AT.parse().unwrap());
        assert_eq!(time, std::time::SystemTime::UNIX_EPOCH + staged);
        let before = changed();
        while changed() == before {
            fs::set_permissions(&part, fs::Permissions::from_mode(0o777)).unwrap();
        }
        stage.lent = Instant::now() + 2 * TICK;
        assert!(stage.renew().is_err());
    }
}
