//! The temporary folder for extracting a package, before it gets its name.
//!
//! The only way from a package to files on disk. Files in the stage are created in an
//! [`Enclosure`], and the stage replaces only folders that jackal made itself.

use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::read_error::{PackageReadError, write_error};
use crate::archive::{Contents, SafePath};
use crate::disk::{self, Enclosure, Made, Rights, TemporaryFolder};
use crate::layout::{self, LayoutError};
use crate::package::Dialect;
use crate::source::Opened;
use crate::verify::{Scope, VerifiedPackage};

/// What a stage may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    /// A folder that jackal made, in which nothing was changed: it is removed.
    ReplaceOurs,
}

impl Existing {
    /// Whether a stage may be kept as `to`. Checked early, so that no work is lost.
    pub(super) fn check(self, to: &Path) -> Result<(), PackageReadError> {
        match fs::symlink_metadata(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(write_error(to)(error)),
            Ok(_) if self == Self::Refuse => Err(PackageReadError::Exists(to.to_owned())),
            Ok(_) => ours(to, to),
        }
    }
}

/// Fails if `at`, which messages call `to`, exists and was not made by jackal.
fn ours(at: &Path, to: &Path) -> Result<(), PackageReadError> {
    let (path, file) = match disk::made(at).map_err(write_error(to))? {
        Made::Ours => return Ok(()),
        Made::Changed(file) => (to, file),
        Made::Foreign => (to, None),
    };
    let file = file.and_then(|file| file.strip_prefix(at).ok().map(|below| to.join(below)));
    Err(PackageReadError::Foreign {
        path: path.to_owned(),
        file,
    })
}

/// A folder beside the target, on the same file system; it is removed unless it is
/// kept.
pub(super) struct Stage<'o> {
    /// The folder around it, so that no file of the package can collide with the lock
    /// file.
    around: TemporaryFolder,
    files: PathBuf,
    inside: Enclosure,
    /// Numbers the folders that tars are unpacked in.
    unpacked: AtomicUsize,
    opened: &'o Opened,
    /// Folders above the one to be made that were missing, the highest first.
    above: Vec<PathBuf>,
}

impl<'o> Stage<'o> {
    pub(super) fn beside(to: &Path, opened: &'o Opened) -> Result<Self, PackageReadError> {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let missing = parent.ancestors().take_while(|folder| !folder.exists());
        let mut above: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        above.reverse();
        fs::create_dir_all(parent).map_err(write_error(parent))?;
        // Left behind by a killed run.
        let _ = disk::reap(parent);
        let around =
            TemporaryFolder::new(parent).map_err(|error| write_error(parent)(error.source))?;
        let files = around.path().join("files");
        fs::create_dir(&files).map_err(write_error(&files))?;
        let inside = Enclosure::open(&files).map_err(write_error(&files))?;
        Ok(Self {
            around,
            files,
            inside,
            unpacked: AtomicUsize::new(0),
            opened,
            above,
        })
    }

    /// Writes `names` into the stage and verifies the written files.
    pub(super) fn fetch(&self, names: &[String]) -> Result<VerifiedPackage, PackageReadError> {
        let opened = self.opened;
        let sizes = opened.package.files()?;
        let needed = names.iter().filter_map(|name| sizes.get(name)).copied();
        let needed = needed.fold(0, u64::saturating_add);
        if let Some(free) = disk::free_bytes(&self.files).filter(|free| *free < needed) {
            return Err(PackageReadError::Full {
                path: PathBuf::from(&opened.name),
                needed,
                free,
            });
        }
        let evidence = opened.package.read_some(names, &mut |name, _| {
            let file = SafePath::parse(name)
                .map_err(io::Error::other)
                .and_then(|at| self.inside.file(&at, Rights::Plain))
                .map_err(|source| LayoutError::Output {
                    path: PathBuf::from(&opened.name),
                    entry: name.to_owned(),
                    source,
                })?;
            let file = BufWriter::with_capacity(1 << 20, file);
            Ok(Box::new(Stoppable(file, &opened.stop)))
        })?;
        Ok(opened.judge(evidence, Scope::Given)?)
    }

    /// Unpacks the tar `name`, which was fetched, and removes it. Its content is in a
    /// separate folder until it is moved to its place, which must not exist.
    ///
    /// The tar of a component becomes the folder of the component beside it; any other
    /// one becomes a folder with its name, without the extension.
    pub(super) fn unpack(&self, name: &str) -> Result<(), PackageReadError> {
        let twice = || LayoutError::Twice {
            path: PathBuf::from(&self.opened.name),
            entry: name.to_owned(),
        };
        let bare = name.strip_suffix(".tar").unwrap_or(name);
        let tar = SafePath::parse(name).map_err(|_| twice())?;
        let to = SafePath::parse(bare).map_err(|_| twice())?;
        let at = |error| write_error(&self.files.join(name))(error);
        let contents = Dialect::tar_contents(name).unwrap_or(Contents::Documents);

        let own = self.around.path().join(format!(
            "unpacked-{}",
            self.unpacked.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir(&own).map_err(at)?;
        let own = Enclosure::open(&own).map_err(at)?;
        let top = match contents {
            Contents::Component(component) => component,
            Contents::Documents => "documents",
        };
        let top = SafePath::parse(top).map_err(|_| twice())?;
        let file = self.inside.read(&tar).map_err(at)?;
        let file = Stoppable(BufReader::with_capacity(1 << 20, file), &self.opened.stop);
        let shown = Path::new(name);
        match contents {
            // Its entries begin with the component's name.
            Contents::Component(_) => layout::unpack_tar(shown, file, &own, contents)?,
            Contents::Documents => {
                let documents = own.new_folder(&top).map_err(at)?;
                layout::unpack_tar(shown, file, &documents, contents)?;
            }
        }
        self.inside.remove(&tar).map_err(at)?;
        match own.move_into(&top, &self.inside, &to) {
            // A component without files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(twice().into()),
            moved => moved.map_err(at),
        }
    }

    /// Renames the stage, or the folder `only` in it, to `to`.
    pub(super) fn keep(
        mut self,
        only: Option<&str>,
        to: &Path,
        existing: Existing,
    ) -> Result<(), PackageReadError> {
        let from = only.map_or_else(|| self.files.clone(), |only| self.files.join(only));
        // Without it, the next run does not know that it may replace the folder.
        let _ = disk::note_made(&from);
        let old = self.around.path().join("old");
        if existing == Existing::ReplaceOurs {
            // The old folder is moved aside first, and removed with the stage.
            match fs::rename(to, &old) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(write_error(to)(error)),
                // Checked only now that no name leads to it any more.
                Ok(()) => {
                    if let Err(error) = ours(&old, to) {
                        self.put_back(&old, to)?;
                        return Err(error);
                    }
                }
            }
        }
        if let Err(error) = disk::rename_unless_exists(&from, to) {
            self.put_back(&old, to)?;
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => PackageReadError::Exists(to.to_owned()),
                _ => write_error(to)(error),
            });
        }
        self.above.clear();
        Ok(())
    }

    /// Gives the old folder its name back, if it was moved aside. If that fails, it
    /// stays where it is, and the error says so.
    fn put_back(&self, old: &Path, to: &Path) -> Result<(), PackageReadError> {
        if fs::symlink_metadata(old).is_err() || disk::rename_unless_exists(old, to).is_ok() {
            return Ok(());
        }
        // Move it out of the folder that is removed with the stage.
        let mut aside = to.as_os_str().to_owned();
        aside.push(".old");
        let aside = PathBuf::from(aside);
        disk::rename_unless_exists(old, &aside).map_err(write_error(&aside))
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // `around` is in the last of them, and is removed after this.
        if self.above.is_empty() {
            return;
        }
        let _ = disk::remove(self.around.path());
        for folder in self.above.iter().rev() {
            // Keep it if something else has appeared in it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A stream that fails after a signal.
struct Stoppable<'s, T>(T, &'s AtomicBool);

impl<T> Stoppable<'_, T> {
    fn goes_on(&self) -> io::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(io::Error::other("stopped")),
            false => Ok(()),
        }
    }
}

impl<T: Read> Read for Stoppable<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.goes_on()?;
        self.0.read(buffer)
    }
}

impl<T: Write> Write for Stoppable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.goes_on()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
