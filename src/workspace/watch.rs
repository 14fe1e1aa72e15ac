//! What changes in folders, as Linux reports it (inotify): one watch a folder.
//!
//! Folders and files that `.gitignore` excludes have no watch, so that dependencies and
//! build outputs cost none. It says which paths to look at again, and never what is in
//! them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignore::gitignore::Gitignore;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;

use super::git::checkout;
use super::walk::walk;

/// How long nothing must change before changes are reported: an editor may write a file
/// beside another one, and rename it.
const QUIET: Duration = Duration::from_millis(40);

/// How long changes may go on before they are reported.
const LONGEST: Duration = Duration::from_millis(500);

/// Bytes read at once: about 1,000 events.
const BUFFER_BYTES: usize = 64 << 10;

/// A file counts once it is complete: while it is written, nothing is reported.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// Why folders cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The user has no watches left.
    #[error(
        "cannot watch `{}`, after {count} other folders: the limit `fs.inotify.max_user_watches` is reached",
        path.display()
    )]
    Watches {
        path: PathBuf,
        /// How many folders have one.
        count: usize,
    },
    /// The user has no inotify instance left.
    #[error("cannot watch files: the limit `fs.inotify.max_user_instances` is reached")]
    Instances,
    #[error("cannot watch `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn unreadable(source: io::Error) -> WatchError {
    let path = PathBuf::from("inotify");
    WatchError::Io { path, source }
}

/// One event, as the kernel writes it.
///
/// Source: inotify(7), "Reading events from an inotify file descriptor".
struct Event<'b> {
    watch: i32,
    what: ReadFlags,
    /// Of the file in the watched folder.
    name: &'b [u8],
}

impl<'b> Event<'b> {
    /// The first event of `bytes`, and what comes after it.
    fn split(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (watch, rest) = bytes.split_first_chunk()?;
        let (what, rest) = rest.split_first_chunk()?;
        let (_cookie, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let (name, rest) = rest.split_at_checked(length)?;
        let end = name.iter().position(|byte| *byte == 0);
        let event = Self {
            watch: i32::from_ne_bytes(*watch),
            what: ReadFlags::from_bits_retain(u32::from_ne_bytes(*what)),
            name: &name[..end.unwrap_or(name.len())],
        };
        Some((event, rest))
    }
}

/// What changed since the last report.
#[derive(Debug, Default)]
pub struct Changes {
    /// Paths that were written, made, renamed or removed. Those in a removed folder are
    /// listed one by one.
    pub paths: BTreeSet<PathBuf>,
    /// Those of them that exist, did not before, and are not ignored.
    pub fresh: BTreeSet<PathBuf>,
    /// Events were lost: anything may have changed.
    pub lost: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.lost
    }
}

/// A folder that is watched with all that is in it.
struct Root {
    at: PathBuf,
    /// The highest folder whose `.gitignore` counts.
    top: PathBuf,
}

pub struct Watcher {
    /// Not a pipe, but as a pipe it is read.
    inotify: Receiver,
    roots: Vec<Root>,
    /// The folders of each watch: there is one a folder, which may have several paths.
    folders: HashMap<i32, BTreeSet<PathBuf>>,
    watches: BTreeMap<PathBuf, i32>,
    /// Files and folders that are not ignored.
    listed: BTreeSet<PathBuf>,
    /// Folders in which everything counts.
    single: BTreeSet<PathBuf>,
    /// The rules in each folder.
    rules: HashMap<PathBuf, Option<Arc<Gitignore>>>,
    gathered: Changes,
    /// Which files are ignored may have changed.
    outdated: bool,
}

impl Watcher {
    /// Watches everything at and below `roots`. Must be called in the runtime that waits
    /// for changes.
    ///
    /// # Errors
    ///
    /// [`WatchError`]
    pub fn new(roots: Vec<PathBuf>) -> Result<Self, WatchError> {
        let wrong = |errno: Errno| match errno {
            Errno::MFILE => WatchError::Instances,
            other => unreadable(other.into()),
        };
        let opened = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(wrong)?;
        let inotify = Receiver::from_owned_fd_unchecked(opened).map_err(unreadable)?;
        let root = |at: PathBuf| Root {
            top: checkout(&at).map_or_else(|| at.clone(), |found| found.root),
            at,
        };
        let mut watcher = Self {
            inotify,
            roots: roots.into_iter().map(root).collect(),
            folders: HashMap::new(),
            watches: BTreeMap::new(),
            listed: BTreeSet::new(),
            single: BTreeSet::new(),
            rules: HashMap::new(),
            gathered: Changes::default(),
            outdated: false,
        };
        watcher.walk_again()?;
        watcher.gathered = Changes::default();
        Ok(watcher)
    }

    /// The number of watched folders.
    #[must_use]
    pub fn count(&self) -> usize {
        self.folders.len()
    }

    /// Watches what is directly in `folder`, ignored or not.
    ///
    /// # Errors
    ///
    /// [`WatchError`]
    pub fn add(&mut self, folder: &Path) -> Result<(), WatchError> {
        if self.watches.contains_key(folder) {
            return Ok(());
        }
        self.watch(folder)?;
        self.single.insert(folder.to_owned());
        Ok(())
    }

    /// Whether `path` exists, as far as is known, and no rule ignores it.
    #[must_use]
    pub fn lists(&self, path: &Path) -> bool {
        let within = || {
            path.parent()
                .is_some_and(|folder| self.single.contains(folder))
        };
        self.listed.contains(path) || within()
    }

    /// All files and folders that are not ignored.
    pub fn listed(&self) -> impl Iterator<Item = &Path> {
        self.listed.iter().map(PathBuf::as_path)
    }

    /// Waits for changes, and until they have settled. Nothing is lost if it is dropped.
    ///
    /// # Errors
    ///
    /// [`WatchError`]
    pub async fn changes(&mut self) -> Result<Changes, WatchError> {
        let mut first = None;
        loop {
            self.read()?;
            if self.outdated {
                self.outdated = false;
                self.rules.clear();
                self.walk_again()?;
            }
            let settled = match (self.gathered.is_empty(), first) {
                (true, _) => None,
                (false, None) => {
                    first = Some(Instant::now());
                    Some(QUIET)
                }
                (false, Some(first)) => Some(QUIET.min(LONGEST.saturating_sub(first.elapsed()))),
            };
            let ready = self.inotify.readable();
            match settled {
                None => ready.await.map_err(unreadable)?,
                Some(settled) => match tokio::time::timeout(settled, ready).await {
                    Ok(ready) => ready.map_err(unreadable)?,
                    Err(_) => return Ok(std::mem::take(&mut self.gathered)),
                },
            }
        }
    }

    /// Reads every event that has arrived.
    fn read(&mut self) -> Result<(), WatchError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match self.inotify.try_read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(unreadable(error)),
            };
            let mut rest = &buffer[..count];
            while let Some((event, after)) = Event::split(rest) {
                self.take(event.watch, event.what, event.name)?;
                rest = after;
            }
        }
    }

    fn take(&mut self, watch: i32, what: ReadFlags, name: &[u8]) -> Result<(), WatchError> {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.gathered.lost = true;
            self.outdated = true;
            return Ok(());
        }
        if what.contains(ReadFlags::IGNORED) {
            for folder in self.folders.remove(&watch).unwrap_or_default() {
                self.watches.remove(&folder);
                self.single.remove(&folder);
                if self.roots.iter().any(|root| root.at == folder) {
                    self.gathered.lost = true;
                }
            }
            return Ok(());
        }
        // Without a name it is the folder itself, which its own folder reports as well.
        if name.is_empty() {
            return Ok(());
        }
        let name = OsStr::from_bytes(name);
        let folders = self.folders.get(&watch).cloned().unwrap_or_default();
        for folder in folders {
            let path = folder.join(name);
            if name == ".gitignore" {
                self.outdated = true;
            }
            if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                self.gone(&path);
            } else if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                self.arrived(&path, what.contains(ReadFlags::ISDIR))?;
            }
            self.gathered.paths.insert(path);
        }
        Ok(())
    }

    /// Forgets a path and everything below it.
    fn gone(&mut self, path: &Path) {
        let below = |all: &BTreeSet<PathBuf>| -> Vec<PathBuf> {
            let all = all.range(path.to_owned()..);
            all.take_while(|other| other.starts_with(path))
                .cloned()
                .collect()
        };
        for path in below(&self.listed) {
            self.listed.remove(&path);
            self.gathered.fresh.remove(&path);
            self.gathered.paths.insert(path);
        }
        let watches = self.watches.range(path.to_owned()..);
        let watches = watches.take_while(|(other, _)| other.starts_with(path));
        let watches: Vec<_> = watches
            .map(|(path, watch)| (path.clone(), *watch))
            .collect();
        for (path, watch) in watches {
            // A folder that was moved would report changes under its old path.
            self.watches.remove(&path);
            self.single.remove(&path);
            if let Some(folders) = self.folders.get_mut(&watch) {
                folders.remove(&path);
                if folders.is_empty() {
                    self.folders.remove(&watch);
                    // It has no watch any more if it was removed.
                    let _ = inotify::remove_watch(&self.inotify, watch);
                }
            }
        }
    }

    /// Lists a new path and everything below it, unless it is ignored.
    fn arrived(&mut self, path: &Path, is_folder: bool) -> Result<(), WatchError> {
        let mut open = vec![(path.to_owned(), is_folder)];
        while let Some((path, is_folder)) = open.pop() {
            if self.is_ignored(&path, is_folder) {
                continue;
            }
            if is_folder {
                // Before it is read: what is made in between is then seen twice.
                self.watch(&path)?;
                for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                    let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    open.push((entry.path(), is_folder));
                }
            }
            self.list(path);
        }
        Ok(())
    }

    fn list(&mut self, path: PathBuf) {
        if self.listed.insert(path.clone()) {
            self.gathered.fresh.insert(path.clone());
        }
        self.gathered.paths.insert(path);
    }

    /// Walks the roots again, and reports what is new or gone.
    fn walk_again(&mut self) -> Result<(), WatchError> {
        let mut found = BTreeSet::new();
        let roots: Vec<PathBuf> = self.roots.iter().map(|root| root.at.clone()).collect();
        for root in roots {
            self.watch(&root)?;
            let (entries, _) = walk(&root);
            for entry in entries {
                let path = root.join(&entry.path);
                if entry.kind == super::Kind::Directory {
                    self.watch(&path)?;
                }
                found.insert(path);
            }
        }
        let old = std::mem::take(&mut self.listed);
        for path in old.difference(&found) {
            self.gathered.fresh.remove(path);
            self.gathered.paths.insert(path.clone());
        }
        for path in found.difference(&old) {
            self.gathered.fresh.insert(path.clone());
            self.gathered.paths.insert(path.clone());
        }
        self.listed = found;
        Ok(())
    }

    fn watch(&mut self, folder: &Path) -> Result<(), WatchError> {
        let added = inotify::add_watch(&self.inotify, folder, EVENTS);
        match added {
            Ok(watch) => {
                self.folders
                    .entry(watch)
                    .or_default()
                    .insert(folder.to_owned());
                self.watches.insert(folder.to_owned(), watch);
                Ok(())
            }
            Err(Errno::NOSPC) => Err(WatchError::Watches {
                path: folder.to_owned(),
                count: self.folders.len(),
            }),
            // It is gone already, or nothing in it can be an input.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(()),
            Err(error) => Err(WatchError::Io {
                path: folder.to_owned(),
                source: error.into(),
            }),
        }
    }

    /// Whether a `.gitignore` excludes a path whose folder is not excluded. The nearest
    /// one with a rule for it decides.
    fn is_ignored(&mut self, path: &Path, is_folder: bool) -> bool {
        if path.file_name() == Some(OsStr::new(".git")) {
            return true;
        }
        let Some(root) = self.roots.iter().find(|root| path.starts_with(&root.at)) else {
            return true;
        };
        for folder in path.ancestors().skip(1) {
            let rules = self.rules.entry(folder.to_owned()).or_insert_with(|| {
                let file = folder.join(".gitignore");
                file.is_file().then(|| Arc::new(Gitignore::new(file).0))
            });
            if let Some(rules) = rules {
                let matched = rules.matched(path, is_folder);
                if !matched.is_none() {
                    return matched.is_ignore();
                }
            }
            if folder == root.top {
                break;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes until `enough` of their paths, which are relative to `root`.
    async fn until(
        watcher: &mut Watcher,
        root: &Path,
        enough: impl Fn(&BTreeSet<String>) -> bool,
    ) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        while !enough(&all) {
            let changes = watcher.changes().await.unwrap();
            assert!(!changes.lost);
            let paths = changes.paths.iter();
            let paths = paths.map(|path| path.strip_prefix(root).unwrap());
            all.extend(paths.map(|path| path.to_str().unwrap().to_owned()));
        }
        all
    }

    fn watched() -> (tempfile::TempDir, Watcher) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("src/deep")).unwrap();
        fs::create_dir(root.join("build")).unwrap();
        fs::write(root.join("src/a"), "a").unwrap();
        fs::write(root.join("src/deep/b"), "b").unwrap();
        fs::write(root.join(".gitignore"), "build/\n*.log\n").unwrap();
        let watcher = Watcher::new(vec![root.to_owned()]).unwrap();
        (dir, watcher)
    }

    #[tokio::test]
    async fn each_way_to_save_a_file_is_a_change_of_its_path() {
        let (dir, mut watcher) = watched();
        let root = dir.path();
        assert_eq!(watcher.count(), 3, "an ignored folder has no watch");
        let a = |all: &BTreeSet<String>| all.contains("src/a");
        fs::write(root.join("src/a"), "written").unwrap();
        until(&mut watcher, root, a).await;
        fs::write(root.join("src/.a.new"), "renamed").unwrap();
        fs::rename(root.join("src/.a.new"), root.join("src/a")).unwrap();
        until(&mut watcher, root, a).await;
        assert!(!watcher.lists(&root.join("src/.a.new")));
        fs::remove_file(root.join("src/a")).unwrap();
        fs::write(root.join("src/a"), "made again").unwrap();
        until(&mut watcher, root, a).await;
        assert!(watcher.lists(&root.join("src/a")));
    }

    #[tokio::test]
    async fn new_and_removed_folders_are_known_with_what_is_in_them() {
        let (dir, mut watcher) = watched();
        let root = dir.path();
        fs::create_dir_all(root.join("new/x/y")).unwrap();
        fs::write(root.join("new/x/y/f"), "f").unwrap();
        until(&mut watcher, root, |all| all.contains("new/x/y/f")).await;
        assert!(watcher.lists(&root.join("new/x/y/f")));
        fs::write(root.join("new/x/y/f"), "g").unwrap();
        until(&mut watcher, root, |all| all.contains("new/x/y/f")).await;
        fs::rename(root.join("src"), root.join("moved")).unwrap();
        let moved = until(&mut watcher, root, |all| all.contains("moved/deep/b")).await;
        assert!(moved.contains("src/deep/b"), "{moved:?}");
        fs::write(root.join("moved/deep/b"), "c").unwrap();
        let written = until(&mut watcher, root, |all| all.contains("moved/deep/b")).await;
        assert!(!written.contains("src/deep/b"), "{written:?}");
    }

    #[tokio::test]
    async fn what_is_ignored_is_not_listed_until_the_rules_change() {
        let (dir, mut watcher) = watched();
        let root = dir.path();
        fs::write(root.join("src/x.log"), "x").unwrap();
        fs::write(root.join("src/c"), "c").unwrap();
        until(&mut watcher, root, |all| all.contains("src/c")).await;
        assert!(!watcher.lists(&root.join("src/x.log")));
        fs::write(root.join("build/o"), "o").unwrap();
        fs::write(root.join(".gitignore"), "").unwrap();
        until(&mut watcher, root, |all| all.contains("build/o")).await;
        assert!(watcher.lists(&root.join("src/x.log")));
        fs::write(root.join("build/p"), "p").unwrap();
        until(&mut watcher, root, |all| all.contains("build/p")).await;
    }

    #[tokio::test]
    async fn in_a_folder_that_is_added_everything_counts() {
        let (dir, mut watcher) = watched();
        let root = dir.path();
        watcher.add(&root.join("build")).unwrap();
        fs::write(root.join("build/x.log"), "x").unwrap();
        until(&mut watcher, root, |all| all.contains("build/x.log")).await;
        assert!(watcher.lists(&root.join("build/x.log")));
    }
}
