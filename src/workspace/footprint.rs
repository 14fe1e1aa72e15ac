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

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};

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
pub struct Footprint {
    states: BTreeMap<PathBuf, BTreeMap<OsString, State>>,
    /// What links lead to: whoever looked at the link may have asked anything of it.
    behind_links: HashSet<PathBuf>,
}

/// Something whose state is not the one of a footprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its place among all entries of the footprint.
    pub at: usize,
    pub path: PathBuf,
    before: State,
    now: State,
}

impl Difference {
    /// Whether something is there now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.now != ABSENT
    }

    /// Whether it was and is a file with the same mode: a walk would find the same.
    #[must_use]
    pub fn is_of_file(&self) -> bool {
        self.has_type(FileType::RegularFile)
    }

    /// Whether it was and is the same folder.
    #[must_use]
    pub fn is_of_folder(&self) -> bool {
        let [before, now] = [&self.before, &self.now].map(Stat::identity_in);
        before == now && self.has_type(FileType::Directory)
    }

    fn has_type(&self, wanted: FileType) -> bool {
        let [before, now] = [&self.before, &self.now].map(Stat::mode_in);
        before == now && FileType::from_raw_mode(now) == wanted
    }
}

/// A digest of the names in a folder, each with its type; `None`: it cannot be read.
#[must_use]
pub fn names_in(folder: &Path) -> Option<u64> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let kind = entry.file_type().ok()?;
        let kind = [kind.is_file(), kind.is_dir(), kind.is_symlink()].map(u8::from);
        names.push((entry.file_name(), kind));
    }
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (name, kind) in names {
        let name = name.as_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name).update(&kind);
    }
    let mut digest = [0; 8];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Some(u64::from_le_bytes(digest))
}

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
        self.states.iter().all(|(folder, entries)| {
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
        let known = self.states.get(folder).and_then(|known| known.get(name));
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
                    self.behind_links.insert(target.clone());
                    self.add(&target, None, began, links.checked_sub(1)?, folders)?;
                }
                stat.bytes()
            }
            None => ABSENT,
        };
        let known = self.states.entry(folder.to_owned()).or_default();
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

    /// All paths, in the order in which they are written.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let all = self.states.iter();
        all.flat_map(|(folder, entries)| entries.keys().map(|name| folder.join(name)))
    }

    /// Those that were folders, in the same order.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let all = self.states.iter();
        all.flat_map(|(folder, entries)| {
            let folders = entries.iter().filter(|(_, state)| {
                FileType::from_raw_mode(Stat::mode_in(state)) == FileType::Directory
            });
            folders.map(|(name, _)| folder.join(name))
        })
    }

    /// Whether a link leads to `path`.
    #[must_use]
    pub fn is_behind_link(&self, path: &Path) -> bool {
        self.behind_links.contains(path)
    }

    /// Takes over the states of another one, which was taken later.
    pub fn update(&mut self, later: Self) {
        for (folder, entries) in later.states {
            self.states.entry(folder).or_default().extend(entries);
        }
        self.behind_links.extend(later.behind_links);
    }

    /// Reads what [`write`](Self::write) wrote, without what links lead to.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn read(from: &mut Reader<&[u8]>) -> Result<Self, CodecError> {
        let mut states: BTreeMap<PathBuf, BTreeMap<OsString, State>> = BTreeMap::new();
        for _ in 0..from.u64("a count of folders")? {
            let folder = Path::new(OsStr::from_bytes(from.slice(MAX_PATH, "a folder")?));
            let entries = states.entry(folder.to_owned()).or_default();
            for _ in 0..from.u64("a count of names")? {
                let name = OsStr::from_bytes(from.slice(MAX_PATH, "a name")?);
                entries.insert(name.to_owned(), from.array("a state")?);
            }
        }
        Ok(Self {
            states,
            behind_links: HashSet::new(),
        })
    }

    /// Writes it, for [`differences`].
    pub fn write(&self, out: &mut Writer) {
        out.u64(self.states.len() as u64);
        for (folder, entries) in &self.states {
            out.bytes(folder.as_os_str().as_encoded_bytes());
            out.u64(entries.len() as u64);
            for (name, state) in entries {
                out.bytes(name.as_encoded_bytes());
                out.array(state);
            }
        }
    }
}

/// What does not have the state that a footprint says, in its order; `None`: more than
/// `most`. It is compared while it is read, so that it needs no memory.
///
/// # Errors
///
/// [`CodecError`]: it is damaged.
pub fn differences(
    from: &mut Reader<&[u8]>,
    most: usize,
) -> Result<Option<Vec<Difference>>, CodecError> {
    let (mut found, mut at) = (Vec::new(), 0);
    for _ in 0..from.u64("a count of folders")? {
        let path = Path::new(OsStr::from_bytes(from.slice(MAX_PATH, "a folder")?));
        let folder = Opened::at(path);
        for _ in 0..from.u64("a count of names")? {
            let name = from.slice(MAX_PATH, "a name")?;
            let before: State = from.array("a state")?;
            let now = folder.state(name);
            if now != before {
                if found.len() == most {
                    return Ok(None);
                }
                found.push(Difference {
                    at,
                    path: path.join(OsStr::from_bytes(name)),
                    before,
                    now,
                });
            }
            at += 1;
        }
    }
    Ok(Some(found))
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
        let found = differences(&mut Reader::new(bytes), 0);
        found.unwrap().is_some()
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
                differences(&mut Reader::new(&bytes[..at]), 0).is_err(),
                "{at}"
            );
            assert!(
                Footprint::read(&mut Reader::new(&bytes[..at])).is_err(),
                "{at}"
            );
        }
    }

    #[test]
    fn differences_say_what_it_was_and_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["edited", "gone", "made", "same"] {
            fs::write(at(name), "x").unwrap();
        }
        fs::create_dir(at("folder")).unwrap();
        let paths = ["edited", "folder", "gone", "made", "same"].map(at);
        let print = Footprint::as_found(paths.clone(), LATER).unwrap();
        assert_eq!(print.paths().collect::<Vec<_>>(), paths);
        assert_eq!(print.folders().collect::<Vec<_>>(), [at("folder")]);
        let mut writer = Writer::default();
        print.write(&mut writer);
        let bytes = writer.into_bytes();
        fs::write(at("edited"), "longer").unwrap();
        fs::write(at("folder/new"), "").unwrap();
        for name in ["gone", "made"] {
            fs::remove_file(at(name)).unwrap();
        }
        fs::create_dir(at("made")).unwrap();
        let found = differences(&mut Reader::new(&bytes), 4).unwrap().unwrap();
        let say = |one: &Difference| (one.at, one.is_there(), one.is_of_file(), one.is_of_folder());
        assert_eq!(
            found.iter().map(say).collect::<Vec<_>>(),
            [
                (0, true, true, false),
                (1, true, false, true),
                (2, false, false, false),
                (3, true, false, false),
            ]
        );
        let many = differences(&mut Reader::new(&bytes), 3);
        assert_eq!(many.unwrap(), None);
        // Taken again, it holds again.
        let mut all = Footprint::read(&mut Reader::new(&bytes)).unwrap();
        all.update(Footprint::as_found(paths, LATER).unwrap());
        assert!(all.is_unchanged());
    }

    #[test]
    fn a_digest_of_names_is_of_their_types_too() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "").unwrap();
        let before = names_in(dir.path()).unwrap();
        fs::write(at("a"), "other").unwrap();
        assert_eq!(names_in(dir.path()), Some(before));
        fs::write(at("b"), "").unwrap();
        assert_ne!(names_in(dir.path()), Some(before));
        fs::remove_file(at("b")).unwrap();
        fs::remove_file(at("a")).unwrap();
        fs::create_dir(at("a")).unwrap();
        assert_ne!(names_in(dir.path()), Some(before));
        assert_eq!(names_in(&at("absent")), None);
    }
}
