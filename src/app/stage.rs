//! A folder that a package is extracted to before it gets its name.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::read_error::{PackageReadError, write_error};
use crate::disk::{self, TemporaryFolder};
use crate::layout::{self, LayoutError};
use crate::source::Opened;
use crate::verify::{Scope, VerifiedPackage};

/// A folder beside the one to be made, on the same file system; it goes away
/// unless it is kept.
pub(super) struct Stage<'o> {
    /// Around it, so that nothing of a package meets what marks this one.
    around: TemporaryFolder,
    files: PathBuf,
    opened: &'o Opened,
}

impl<'o> Stage<'o> {
    pub(super) fn beside(to: &Path, opened: &'o Opened) -> Result<Self, PackageReadError> {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(write_error(parent))?;
        // What a run left that was killed.
        let _ = disk::reap(parent);
        let around =
            TemporaryFolder::new(parent).map_err(|error| write_error(parent)(error.source))?;
        let files = around.path().join("files");
        fs::create_dir(&files).map_err(write_error(&files))?;
        Ok(Self {
            around,
            files,
            opened,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.files
    }

    /// Writes `names` into the stage and verifies the written files.
    pub(super) fn fetch(&self, names: &[String]) -> Result<VerifiedPackage, PackageReadError> {
        let opened = self.opened;
        let evidence = opened.package.read_some(names, &mut |name, _| {
            let path = self.path().join(name);
            let io = |source| LayoutError::Output {
                path: PathBuf::from(&opened.name),
                entry: name.to_owned(),
                source,
            };
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(io)?;
            }
            let file = disk::create(&path).map_err(io)?;
            let file = BufWriter::with_capacity(1 << 20, file);
            Ok(Box::new(Stoppable(file, &opened.stop)))
        })?;
        Ok(opened.judge(evidence, Scope::Given)?)
    }

    pub(super) fn unpack(&self, name: &str, folder: &Path) -> Result<(), PackageReadError> {
        let tar = self.path().join(name);
        fs::create_dir_all(folder).map_err(write_error(folder))?;
        let file = File::open(&tar).map_err(write_error(&tar))?;
        Ok(layout::unpack_tar(
            Path::new(name),
            Stoppable(BufReader::with_capacity(1 << 20, file), &self.opened.stop),
            folder,
        )?)
    }

    /// Renames the stage to `to`, replacing an existing folder.
    pub(super) fn keep(self, to: &Path) -> Result<(), PackageReadError> {
        // The old folder moves aside first; it is removed with the stage.
        let old = self.around.path().join("old");
        match fs::rename(to, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(write_error(to)(error));
            }
            _ => {}
        }
        if let Err(error) = fs::rename(&self.files, to) {
            // The error that matters is the one that stopped us.
            let _ = fs::rename(&old, to);
            return Err(write_error(to)(error));
        }
        drop(self.around);
        Ok(())
    }
}

/// A stream that fails once a signal has asked to stop.
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
