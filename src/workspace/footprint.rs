//! What a run looked at, with the state of each file and folder: if all are as they were,
//! the next run has the same outcome.
//!
//! The state is what a stat call says: contents are not read. A footprint is taken after
//! the run, and only if everything in it is older than the run: then it had this state
//! during the whole run. Links are entries of their own, as is what they lead to.
//!
//! Source of the rules: adr/0075, "A build with nothing to do is remembered".

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use super::walk::Stat;
use crate::codec::{CodecError, Reader, Writer};

/// The state of one path: a [`Stat`] as bytes; of one that does not exist, zeros.
type State = [u8; Stat::BYTES];

const ABSENT: State = [0; Stat::BYTES];

/// Maximum length of a path, in bytes: 64 KiB, far more than Linux's `PATH_MAX`.
const MAX_PATH: u64 = 64 << 10;

/// Maximum number of links that lead to each other, as in Linux.
const MAX_LINKS: usize = 40;

/// The states of everything that a run looked at, by folder.
#[derive(Clone, Debug, Default)]
pub struct Footprint(BTreeMap<PathBuf, BTreeMap<OsString, State>>);

impl Footprint {
    /// The states of `paths` after a run that began at `began`, in nanoseconds since the
    /// epoch. Each path comes with whether something was there during the run. `None`:
    /// something has changed since then, or so shortly before that it cannot be told.
    #[must_use]
    pub fn take(paths: HashMap<PathBuf, bool>, began: i64) -> Option<Self> {
        let paths = paths.into_iter();
        Self::of(paths.map(|(path, present)| (path, Some(present))), began)
    }

    /// The same, where only the state after the run is known.
    #[must_use]
    pub fn as_found(paths: impl IntoIterator<Item = PathBuf>, began: i64) -> Option<Self> {
        Self::of(paths.into_iter().map(|path| (path, None)), began)
    }

    fn of(paths: impl Iterator<Item = (PathBuf, Option<bool>)>, began: i64) -> Option<Self> {
        let mut footprint = Self::default();
        let mut folders = HashSet::new();
        for (path, present) in paths {
            footprint.add(&path, present, began, MAX_LINKS, &mut folders)?;
        }
        Some(footprint)
    }

    /// Whether everything still has the state that it says.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.0.iter().all(|(folder, entries)| {
            let folder = Opened::at(folder);
            let mut entries = entries.iter();
            entries.all(|(name, expected)| folder.state(name.as_bytes()) == *expected)
        })
    }

    /// Adds `path`, and the links on the way to it.
    fn add(
        &mut self,
        path: &Path,
        present: Option<bool>,
        began: i64,
        links: usize,
        folders: &mut HashSet<PathBuf>,
    ) -> Option<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            // The root, or a path that ends in `..`: what is on the way to it counts.
            return path
                .parent()
                .map_or(Some(()), |up| self.above(up, began, links, folders));
        };
        self.above(folder, began, links, folders)?;
        let known = self.0.get(folder).and_then(|known| known.get(name));
        if known.is_some() {
            return Some(());
        }
        let found = fs::symlink_metadata(path).ok();
        if present.is_some_and(|present| present != found.is_some()) {
            return None;
        }
        let found = match found {
            Some(found) => {
                let stat = Stat::of(&found);
                stat.is_settled(began).then_some(())?;
                if found.file_type().is_symlink() {
                    let target = folder.join(fs::read_link(path).ok()?);
                    self.add(&target, None, began, links.checked_sub(1)?, folders)?;
                }
                stat.bytes()
            }
            None => ABSENT,
        };
        let known = self.0.entry(folder.to_owned()).or_default();
        known.insert(name.to_owned(), found);
        Some(())
    }

    /// Adds the links among `folder` and those above it.
    fn above(
        &mut self,
        folder: &Path,
        began: i64,
        links: usize,
        folders: &mut HashSet<PathBuf>,
    ) -> Option<()> {
        for folder in folder.ancestors() {
            if !folders.insert(folder.to_owned()) {
                break;
            }
            if folder.is_symlink() {
                self.add(folder, None, began, links, folders)?;
            }
        }
        Some(())
    }

    /// Writes it, for [`is_unchanged`].
    pub fn write(&self, out: &mut Writer) {
        out.u64(self.0.len() as u64);
        for (folder, entries) in &self.0 {
            out.bytes(folder.as_os_str().as_encoded_bytes());
            out.u64(entries.len() as u64);
            for (name, state) in entries {
                out.bytes(name.as_encoded_bytes());
                out.array(state);
            }
        }
    }
}

/// Whether everything has the state that a footprint says. It is compared while it is
/// read, so that it needs no memory.
///
/// # Errors
///
/// [`CodecError`]: it is damaged.
pub fn is_unchanged(from: &mut Reader<&[u8]>) -> Result<bool, CodecError> {
    for _ in 0..from.u64("a count of folders")? {
        let folder = Path::new(OsStr::from_bytes(from.slice(MAX_PATH, "a folder")?));
        let folder = Opened::at(folder);
        for _ in 0..from.u64("a count of names")? {
            let name = from.slice(MAX_PATH, "a name")?;
            let expected: State = from.array("a state")?;
            if folder.state(name) != expected {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A folder whose entries are looked at: shorter paths are cheaper to follow.
struct Opened(Option<OwnedFd>);

impl Opened {
    /// Without the folder, nothing is in it.
    fn at(folder: &Path) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self(openat(CWD, folder, flags, Mode::empty()).ok())
    }

    fn state(&self, name: &[u8]) -> State {
        let found = self.0.as_ref().and_then(|folder| {
            let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
            found.ok()
        });
        found.map_or(ABSENT, |found| Stat::from(&found).bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const LATER: i64 = i64::MAX;

    fn taken(paths: &[(&Path, bool)], began: i64) -> Option<Vec<u8>> {
        let paths = paths.iter();
        let paths = paths.map(|(path, present)| ((*path).to_owned(), *present));
        let footprint = Footprint::take(paths.collect(), began)?;
        let mut writer = Writer::default();
        footprint.write(&mut writer);
        Some(writer.into_bytes())
    }

    fn holds(bytes: &[u8]) -> bool {
        is_unchanged(&mut Reader::new(bytes)).unwrap()
    }

    #[test]
    fn one_that_was_not_written_notices_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let print = || Footprint::as_found(["link", "absent"].map(at), LATER).unwrap();
        fs::write(at("file"), "x").unwrap();
        symlink("file", at("link")).unwrap();
        let before = print();
        assert!(before.is_unchanged());
        fs::write(at("file"), "longer").unwrap();
        assert!(!before.is_unchanged(), "what a link leads to");
        let before = print();
        fs::write(at("absent"), "").unwrap();
        assert!(!before.is_unchanged(), "what was absent");
        let before = print();
        fs::remove_file(at("link")).unwrap();
        assert!(!before.is_unchanged(), "the link itself");
        let changed = Stat::of(&fs::metadata(at("file")).unwrap()).ctime;
        assert!(Footprint::as_found([at("file")], changed).is_none());
    }

    #[test]
    fn links_and_what_they_lead_to_are_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("real/deep")).unwrap();
        fs::write(at("real/deep/f"), "").unwrap();
        symlink("real", at("link")).unwrap();
        symlink("link/deep/f", at("file")).unwrap();
        let before = taken(&[(&at("file"), true)], LATER).unwrap();
        assert!(holds(&before));
        // The same file behind another folder.
        fs::rename(at("real"), at("other")).unwrap();
        assert!(!holds(&before));
        fs::remove_file(at("link")).unwrap();
        symlink("other", at("link")).unwrap();
        assert!(!holds(&before));
    }

    #[test]
    fn what_is_as_young_as_the_run_or_has_vanished_gives_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        let changed = Stat::of(&fs::metadata(&file).unwrap()).ctime;
        assert!(taken(&[(&file, true)], changed).is_none());
        assert!(taken(&[(&file, true)], LATER).is_some());
        assert!(taken(&[(&file, false)], LATER).is_none());
        fs::remove_file(&file).unwrap();
        assert!(taken(&[(&file, true)], LATER).is_none());
        let absent = taken(&[(&file, false)], LATER).unwrap();
        assert!(holds(&absent));
        fs::write(&file, "").unwrap();
        assert!(!holds(&absent));
    }

    #[test]
    fn a_cut_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = taken(&[(dir.path(), true)], LATER).unwrap();
        for at in 0..bytes.len() {
            assert!(
                is_unchanged(&mut Reader::new(&bytes[..at])).is_err(),
                "{at}"
            );
        }
    }
}
