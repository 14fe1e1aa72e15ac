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

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was looked at since it was opened.
#[derive(Debug)]
pub struct Recording(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    looks: Mutex<Looks>,
    /// What happened depends on more than files.
    void: AtomicBool,
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub struct Looks {
    pub paths: HashMap<PathBuf, Looked>,
    /// The work that [`read_by`] named, in the order in which it was first named.
    pub readers: Vec<String>,
    /// Whether some work reads a file at a path that nothing looked at.
    pub unseen: bool,
}

/// How one path was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Whether something was there.
    pub present: bool,
    /// Something that is none of the following was asked, such as what is in a file.
    pub closely: bool,
    /// That it is there was asked, with its kind and its mode.
    pub listed: bool,
    /// What is in it was asked, as an input of work, or as what work has made.
    pub digested: bool,
    /// Whether it is as work has left it was asked.
    pub placed: bool,
    /// The work whose input it is, by its place in [`Looks::readers`].
    pub readers: Vec<u32>,
}

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Anything,
    Listed,
    Digest,
    Placed,
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

    /// What was looked at so far, once; `None`: files alone do not decide what happens.
    #[must_use]
    pub fn taken(&self) -> Option<Looks> {
        let mut looks = self.0.looks();
        let void = self.0.void.load(Ordering::SeqCst);
        (!void).then(|| std::mem::take(&mut *looks))
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
    /// Whether this thread compares what work has left.
    static PLACING: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, which compares what other work has left with what it should be, and brings it
/// to that state: what it looks at matters to nothing else.
pub fn placing<T>(work: impl FnOnce() -> T) -> T {
    let outer = PLACING.replace(true);
    let done = work();
    PLACING.set(outer);
    done
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
    note_as(Question::Anything, paths, present);
}

/// Notes that a walk found these: that they are there matters, and their kinds and modes, but
/// not what is in them.
pub fn note_listed<P: AsRef<Path>>(paths: impl Iterator<Item = P> + Clone) {
    note_as(Question::Listed, paths, true);
}

/// Notes that what is in these matters, as inputs of work that [`read_by`] names, or as what
/// work has made.
pub fn note_digested<P: AsRef<Path>>(paths: impl Iterator<Item = P> + Clone) {
    note_as(Question::Digest, paths, true);
}

/// Notes that the work called `reader` has these files as inputs.
pub fn read_by<'p>(reader: &str, paths: impl Iterator<Item = &'p Path> + Clone) {
    each(|notes| notes.looks().read_by(reader, paths.clone()));
}

fn note_as<P: AsRef<Path>>(
    question: Question,
    paths: impl Iterator<Item = P> + Clone,
    present: bool,
) {
    trace(paths.clone());
    let question = match question {
        Question::Anything if PLACING.get() => Question::Placed,
        question => question,
    };
    each(|notes| {
        let mut looks = notes.looks();
        for path in paths.clone() {
            // A file that appeared or vanished meanwhile has no state to be compared with.
            if !looks.add(path.as_ref(), question, present) {
                notes.void.store(true, Ordering::SeqCst);
            }
        }
    });
}

impl Notes {
    fn looks(&self) -> MutexGuard<'_, Looks> {
        // Each look is noted as a whole, so a poisoned lock is harmless.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    /// `false`: whether something is there has changed.
    fn add(&mut self, path: &Path, question: Question, present: bool) -> bool {
        let known = match self.paths.get_mut(path) {
            Some(known) => known,
            None => self.paths.entry(path.to_owned()).or_insert(Looked {
                present,
                ..Looked::default()
            }),
        };
        match question {
            Question::Anything => known.closely = true,
            Question::Listed => known.listed = true,
            Question::Digest => known.digested = true,
            Question::Placed => known.placed = true,
        }
        known.present == present
    }

    fn read_by<'p>(&mut self, reader: &str, paths: impl Iterator<Item = &'p Path>) {
        // A reader that looks once more is the last one, or names itself again.
        let place = match self.readers.last().is_some_and(|last| last == reader) {
            true => self.readers.len() - 1,
            false => {
                self.readers.push(reader.to_owned());
                self.readers.len() - 1
            }
        };
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        for path in paths {
            match self.paths.get_mut(path) {
                Some(known) if known.readers.last() == Some(&place) => {}
                Some(known) => known.readers.push(place),
                None => self.unseen = true,
            }
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
        let looks = recording.0.looks();
        let own = looks.paths.iter();
        let own = own.filter(|(path, _)| path.starts_with(dir.path()));
        let noted: HashMap<_, _> = own
            .map(|(path, look)| (path.clone(), look.present))
            .collect();
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
        let mut looks = Looks::default();
        let path = Path::new("/f");
        assert!(looks.add(path, Question::Anything, false));
        assert!(looks.add(path, Question::Listed, false));
        assert!(!looks.add(path, Question::Anything, true));
    }

    #[test]
    fn what_a_look_asks_is_noted_and_who_reads_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let recording = Recording::open();
        note_listed([at("a"), at("b")].iter());
        note_digested([at("a")].iter());
        note(&at("b"), true);
        placing(|| note(&at("c"), false));
        let read = |reader: &str, name: &str| read_by(reader, std::iter::once(at(name).as_path()));
        read("one", "a");
        read("other", "a");
        read("other", "a");
        let looks = recording.taken().unwrap();
        let of = |name: &str| looks.paths.get(&at(name)).unwrap();
        assert!(of("a").listed && of("a").digested && !of("a").closely);
        let names = of("a").readers.iter();
        let names = names.map(|at| looks.readers[*at as usize].as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["one", "other"]);
        assert!(of("b").listed && of("b").closely && of("b").readers.is_empty());
        assert!(of("c").placed && !of("c").closely && !of("c").present);
    }
}
