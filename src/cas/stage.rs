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

use rustix::fs::{
    Dir, IFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fgetxattr, flistxattr, fstat,
    futimens, ioctl_getflags,
};

use crate::disk::{self, DiskError, at, remove};

/// Maximum length of the names or of one value of extended attributes that are compared,
/// in bytes; a label of a security module has less than a hundred.
const MAX_ATTRIBUTES: usize = 4 << 10;

/// A private folder on the file system of the store, empty at first; removed when
/// dropped.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    /// The folders that were made in it, as they were then.
    parts: Vec<Part>,
}

/// A folder of a stage, when it was new.
#[derive(Debug)]
struct Part {
    name: &'static str,
    facts: Facts,
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
        let mut stage = Self {
            path,
            parts: Vec::new(),
        };
        for name in parts {
            let path = stage.path.join(name);
            fs::create_dir(&path).map_err(at(&path))?;
            let facts = opened(&path).and_then(|folder| Facts::of(&folder));
            let facts = facts.map_err(at(&path))?;
            stage.parts.push(Part { name, facts });
        }
        Ok(stage)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Empties it. Fails if it is then not what it was when it was new, or has no parts.
    pub(super) fn renew(&self) -> io::Result<()> {
        if self.parts.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
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
        for part in &self.parts {
            let path = self.path.join(part.name);
            if !is_empty(&path)? {
                disk::empty(&path)?;
            }
            let folder = opened(&path)?;
            if Facts::of(&folder)? != part.facts {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            };
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            futimens(&folder, &times)?;
        }
        Ok(())
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
    fn of(folder: &fs::File) -> io::Result<Self> {
        let facts = fstat(folder)?;
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
        Ok(Self {
            device: facts.st_dev,
            inode: facts.st_ino,
            mode: facts.st_mode,
            links: facts.st_nlink.into(),
            owner: (facts.st_uid, facts.st_gid),
            size: facts.st_size,
            flags: ioctl_getflags(folder).ok().as_ref().map(IFlags::bits),
            attributes,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // If this fails, the folder is removed when the store is next opened.
        let _ = remove(&self.path);
    }
}
