//! Looks at files and folders, and notes at which.
//!
//! What a run looked at, besides the cache, decides what it did. If nothing of that has
//! changed, the next run would do the same: see adr/0075, "A build with nothing to do is
//! remembered". So the rooms that find and read the sources and tools of a plan look at
//! them through these functions; they do the same as those of `std::fs`. Nothing is noted
//! unless a [`Recording`] is open.
//!
//! It is one for the process, since a function that forgot to pass a recording on would
//! make a false hit. Several at once each note everything.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What was looked at since it was opened.
#[derive(Debug)]
pub struct Recording(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// Whether something was there, by path.
    paths: Mutex<HashMap<PathBuf, bool>>,
    /// What happened depends on more than files.
    void: AtomicBool,
}

static RECORDINGS: Mutex<Vec<Arc<Notes>>> = Mutex::new(Vec::new());

/// How many there are: without any, a look takes no lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Recording {
    /// Notes what is looked at from now on.
    #[must_use]
    pub fn open() -> Self {
        let notes = Arc::new(Notes::default());
        let mut all = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&notes));
        COUNT.store(all.len(), Ordering::SeqCst);
        Self(notes)
    }

    /// What was looked at, and whether something was there; `None`: files alone do not
    /// decide what happens.
    #[must_use]
    pub fn close(self) -> Option<HashMap<PathBuf, bool>> {
        let mut paths = self.0.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let void = self.0.void.load(Ordering::SeqCst);
        (!void).then(|| std::mem::take(&mut *paths))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut all = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|notes| !Arc::ptr_eq(notes, &self.0));
        COUNT.store(all.len(), Ordering::SeqCst);
    }
}

thread_local! {
    /// The paths that this thread looked at, while they are traced.
    static TRACE: RefCell<Option<HashSet<PathBuf>>> = const { RefCell::new(None) };
}

/// What `work` returns, and all paths that it looked at on this thread.
pub fn traced<T>(work: impl FnOnce() -> T) -> (T, HashSet<PathBuf>) {
    let outer = TRACE.replace(Some(HashSet::new()));
    let done = work();
    let paths = TRACE.replace(outer).unwrap_or_default();
    trace(paths.iter());
    (done, paths)
}

/// Does `work`, whose looks are not among those of [`traced`]: something else says whether
/// what it finds is still so.
pub fn untraced<T>(work: impl FnOnce() -> T) -> T {
    let outer = TRACE.replace(None);
    let done = work();
    TRACE.set(outer);
    done
}

fn is_traced() -> bool {
    TRACE.with_borrow(Option::is_some)
}

fn trace<P: AsRef<Path>>(paths: impl Iterator<Item = P>) {
    TRACE.with_borrow_mut(|trace| {
        if let Some(trace) = trace {
            trace.extend(paths.map(|path| path.as_ref().to_owned()));
        }
    });
}

fn each(with: impl Fn(&Notes)) {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return;
    }
    let all = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
    for notes in all.iter() {
        with(notes);
    }
}

/// Notes that what happens depends on more than files: a server, the clock, an answer of
/// the user, or what another program says.
pub fn beyond_files() {
    each(|notes| notes.void.store(true, Ordering::SeqCst));
}

/// Notes that `path` was looked at, and whether something was there.
pub fn note(path: &Path, present: bool) {
    note_all(std::iter::once(path), present);
}

/// The same for many.
pub fn note_all<P: AsRef<Path>>(paths: impl Iterator<Item = P> + Clone, present: bool) {
    trace(paths.clone());
    each(|notes| {
        paths
            .clone()
            .for_each(|path| notes.add(path.as_ref(), present))
    });
}

impl Notes {
    fn add(&self, path: &Path, present: bool) {
        let mut noted = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that appeared or vanished meanwhile has no state to be compared with.
        match noted.get(path) {
            Some(known) if *known != present => self.void.store(true, Ordering::SeqCst),
            Some(_) => {}
            None => drop(noted.insert(path.to_owned(), present)),
        }
    }
}

fn noted<T>(path: &Path, found: io::Result<T>) -> io::Result<T> {
    if COUNT.load(Ordering::SeqCst) > 0 || is_traced() {
        // A link to nothing is there itself, and what cannot be read is there too.
        note(path, found.is_ok() || path.symlink_metadata().is_ok());
    }
    found
}

/// [`fs::metadata`]
///
/// # Errors
///
/// The same.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    noted(path, fs::metadata(path))
}

/// [`fs::symlink_metadata`]
///
/// # Errors
///
/// The same.
pub fn symlink_metadata(path: &Path) -> io::Result<Metadata> {
    noted(path, fs::symlink_metadata(path))
}

/// [`fs::canonicalize`]
///
/// # Errors
///
/// The same.
pub fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    noted(path, fs::canonicalize(path))
}

/// [`fs::read_link`]
///
/// # Errors
///
/// The same.
pub fn read_link(path: &Path) -> io::Result<PathBuf> {
    noted(path, fs::read_link(path))
}

/// [`fs::read_dir`]
///
/// # Errors
///
/// The same.
pub fn read_dir(path: &Path) -> io::Result<ReadDir> {
    noted(path, fs::read_dir(path))
}

/// [`File::open`]
///
/// # Errors
///
/// The same.
pub fn open(path: &Path) -> io::Result<File> {
    noted(path, File::open(path))
}

/// [`Path::exists`]
#[must_use]
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// [`Path::is_file`]
#[must_use]
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.is_file())
}

/// [`Path::is_dir`]
#[must_use]
pub fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_noted_whether_it_is_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("nothing", at("link")).unwrap();
        let recording = Recording::open();
        let _ = (
            exists(&at("absent")),
            is_dir(dir.path()),
            exists(&at("link")),
        );
        let _ = (read_dir(dir.path()), open(&at("absent/below")));
        // Other tests look at theirs meanwhile.
        let mut noted = recording.0.paths.lock().unwrap().clone();
        noted.retain(|path, _| path.starts_with(dir.path()));
        let expected = [
            (dir.path().to_owned(), true),
            (at("absent"), false),
            (at("absent/below"), false),
            (at("link"), true),
        ];
        assert_eq!(noted, expected.into());
    }

    #[test]
    fn what_appears_meanwhile_makes_the_recording_worthless() {
        let notes = Notes::default();
        let path = Path::new("/f");
        notes.add(path, false);
        notes.add(path, false);
        assert!(!notes.void.load(Ordering::SeqCst));
        notes.add(path, true);
        assert!(notes.void.load(Ordering::SeqCst));
    }
}
