//! The bytes of inputs, verified while they are read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

use super::{Inputs, in_tree};
use crate::action::InputNode;
use crate::cas::is_damage;
use crate::content::VerifyReader;
use crate::oci::Descriptor;
use crate::workspace::Stat;

impl Inputs {
    /// Opens the file at `path`. If its content does not match its digest, reading
    /// fails at the end.
    pub(crate) fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        let file = match self.tree.get(path) {
            Some(InputNode::File(file)) => file,
            _ => return Err(not_found(path)),
        };
        let Some(on_disk) = self.on_disk.get(&in_tree(path)) else {
            return Ok(Box::new(self.cas.open_blob(&file.digest)?));
        };
        let expected = Descriptor::blob(file.digest, file.size);
        Ok(Box::new(Checked {
            file: VerifyReader::new(self.opened(on_disk)?, &expected),
            path: on_disk,
            changed: &self.changed,
        }))
    }

    /// Opens the blob called `name`.
    pub(crate) fn open_blob(&self, name: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        let file = self.tree.blob(name).ok_or_else(|| not_found(name))?;
        Ok(Box::new(self.cas.open_blob(&file.digest)?))
    }

    /// The file at `path`, or the blob of that name, for random access, after its
    /// digest has been verified. [`Seekable::settle`] checks a file of the checkout
    /// again.
    pub(crate) fn seekable(&self, path: &str) -> io::Result<Seekable> {
        if let Some(on_disk) = self.on_disk.get(&in_tree(path)) {
            let mut file = self.opened(on_disk)?;
            let stat = Stat::of(&file.metadata()?);
            io::copy(&mut self.open(path)?, &mut io::sink())?;
            file.rewind()?;
            return Ok(Seekable {
                file,
                stat: Some((stat, on_disk.clone(), Arc::clone(&self.changed))),
            });
        }
        // Verified while it is copied.
        let mut content = match self.tree.get(path) {
            Some(InputNode::File(_)) => self.open(path)?,
            _ => self.open_blob(path)?,
        };
        let mut file = tempfile::tempfile_in(self.cas.root())?;
        io::copy(&mut content, &mut file)?;
        file.rewind()?;
        Ok(Seekable { file, stat: None })
    }

    fn opened(&self, path: &Path) -> io::Result<File> {
        // Opening must not block on a pipe that has replaced the file. Links are
        // followed: the target must have the digest in any case.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(note_changed(&self.changed, path))
            }
            opened => opened,
        }
    }

    /// The file that no longer matches the action, if any.
    pub(crate) fn changed(&self) -> Option<PathBuf> {
        let changed = self.changed.lock();
        changed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("`{path}` is not an input of the action"),
    )
}

type Changed = Mutex<Option<PathBuf>>;

pub(super) fn note_changed(changed: &Changed, path: &Path) -> io::Error {
    let mut first = changed.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert_with(|| path.to_owned());
    io::Error::other(format!("`{}` changed while it was read", path.display()))
}

/// A verified file for random access.
pub(crate) struct Seekable {
    pub(crate) file: File,
    stat: Option<(Stat, PathBuf, Arc<Changed>)>,
}

impl Seekable {
    /// An unnamed file, which nothing else can write to.
    pub(crate) fn scratch(file: File) -> Self {
        Self { file, stat: None }
    }

    /// Fails if the file has changed since it was verified.
    pub(crate) fn settle(&self) -> io::Result<()> {
        match &self.stat {
            Some((stat, path, changed)) if Stat::of(&self.file.metadata()?) != *stat => {
                Err(note_changed(changed, path))
            }
            _ => Ok(()),
        }
    }
}

/// A file of the checkout whose digest is verified at its end.
struct Checked<'a> {
    file: VerifyReader<File>,
    path: &'a Path,
    changed: &'a Changed,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer);
        read.map_err(|error| match is_damage(&error) {
            true => note_changed(self.changed, self.path),
            false => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::Cas;
    use crate::ground::folders::Folders;
    use crate::ground::site::{Site, SiteOptions};
    use crate::registry::{Options, Registry};
    use crate::workspace::Links;

    fn inputs(dir: &Path) -> Inputs {
        let cas = Arc::new(Cas::open(dir.join("cache")).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, dir, SiteOptions::default());
        let mut inputs = Inputs::new(&site.cas);
        let folders = Folders::from(dir.to_owned());
        inputs.source(&site, &folders, "f", Links::Kept).unwrap();
        inputs
    }

    fn read(inputs: &Inputs) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        inputs.open("f")?.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn a_file_that_no_longer_matches_the_tree_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for other in [Some("old!"), Some("OLD"), Some("ol"), None] {
            std::fs::write(&file, "old").unwrap();
            let inputs = inputs(dir.path());
            assert_eq!(read(&inputs).unwrap(), b"old");
            assert_eq!(inputs.changed(), None);
            match other {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            assert!(read(&inputs).is_err(), "{other:?}");
            assert!(inputs.seekable("f").is_err(), "{other:?}");
            assert_eq!(inputs.changed(), Some(file.clone()));
        }
    }

    #[test]
    fn a_seekable_file_that_is_written_to_later_does_not_settle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let inputs = inputs(dir.path());
        let seekable = inputs.seekable("f").unwrap();
        seekable.settle().unwrap();
        std::fs::write(dir.path().join("f"), "newer").unwrap();
        assert!(seekable.settle().is_err());
        assert!(inputs.changed().is_some());
    }
}
