//! Whole files: written under a temporary name, then renamed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::look;
use super::temporary::{reap, temporary_file};
use super::{DiskError, PRIVATE, SHARED, at, folder_of};

/// A file that gets its name once it is complete; dropping it earlier discards it.
pub struct NewFile {
    temp: NamedTempFile,
    to: PathBuf,
}

impl NewFile {
    /// Starts the file that will be named `to`, and creates its folder if necessary.
    ///
    /// # Errors
    ///
    /// [`DiskError`]: the folder or the file cannot be made.
    pub fn begin(to: &Path) -> Result<Self, DiskError> {
        Self::with_mode(to, SHARED)
    }

    /// The same for a file with `mode`, less the user's umask.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn with_mode(to: &Path, mode: u32) -> Result<Self, DiskError> {
        let folder = folder_of(to);
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self {
            temp: temporary_file(folder, mode).map_err(at(to))?,
            to: to.to_owned(),
        })
    }

    #[must_use]
    pub fn file(&self) -> &File {
        self.temp.as_file()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Gives the file its name, replacing an existing file of that name. Durable on return.
    ///
    /// # Errors
    ///
    /// [`DiskError`]: the file cannot be flushed or renamed.
    pub fn keep(self) -> Result<(), DiskError> {
        let Self { temp, to } = self;
        let folder = folder_of(&to);
        temp.as_file().sync_all().map_err(at(&to))?;
        temp.persist(&to).map_err(|failed| at(&to)(failed.error))?;
        sync_folder(folder)
    }

    /// Gives the file its name unless a file of that name exists. Durable on return.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or as [`keep`](Self::keep).
    pub fn keep_new(self) -> Result<(), DiskError> {
        let Self { temp, to } = self;
        temp.as_file().sync_all().map_err(at(&to))?;
        temp.persist_noclobber(&to)
            .map_err(|failed| at(&to)(failed.error))?;
        sync_folder(folder_of(&to))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temp.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Flushes a folder, so that a rename in it survives a power failure.
fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(at(folder))
}

/// Replaces the content of the file `to` with `bytes`. Durable on return.
///
/// Removes unfinished files of killed processes in its folder.
///
/// # Errors
///
/// [`DiskError`]; the old file then stays as it was.
pub fn write(to: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    filled(to, SHARED, bytes)?.keep()
}

/// The same for a file that only its owner may read.
///
/// # Errors
///
/// As [`write`].
pub fn write_private(to: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    filled(to, PRIVATE, bytes)?.keep()
}

/// Writes the file `to` if no file has that name. Durable on return.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], or as [`write`].
pub fn write_new(to: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    filled(to, SHARED, bytes)?.keep_new()
}

fn filled(to: &Path, mode: u32, bytes: &[u8]) -> Result<NewFile, DiskError> {
    let mut file = NewFile::with_mode(to, mode)?;
    let folder = folder_of(to);
    reap(folder).map_err(at(folder))?;
    file.write_all(bytes).map_err(at(to))?;
    Ok(file)
}

/// Opens `path` for writing from its start: a file, created if necessary, or a device
/// or pipe such as `/dev/stdout`. The write is not atomic.
///
/// # Errors
///
/// [`DiskError`]: it cannot be opened.
pub fn stream(path: &Path) -> Result<File, DiskError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(SHARED);
    options.open(path).map_err(at(path))
}

/// Opens a lock or log for reading and appending, creating it if necessary.
///
/// # Errors
///
/// The file cannot be opened.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).append(true).create(true).mode(PRIVATE);
    options.open(path)
}

/// The text of the regular file `path`, of at most `limit` bytes.
///
/// For files of a checkout, which may be untrusted: one may be a link to an endless
/// device, or a pipe without a writer.
///
/// # Errors
///
/// It is another kind of file, larger, not UTF-8, or cannot be read.
pub fn read_text(path: &Path, limit: u64) -> Result<String, DiskError> {
    if !look::metadata(path).map_err(at(path))?.is_file() {
        return Err(at(path)(io::Error::other("not a regular file")));
    }
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| at(path)(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")))
}

/// The bytes of a file of at most `limit` bytes, which may be a pipe.
///
/// # Errors
///
/// It cannot be read, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
    let mut bytes = Vec::new();
    let file = look::open(path).map_err(at(path))?;
    let mut file = file.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let what = format!("larger than {limit} bytes");
    Err(at(path)(io::Error::new(io::ErrorKind::FileTooLarge, what)))
}

/// Replaces the content of the file `to` with `bytes`, which may be lost in a power
/// failure: for caches, which only this user reads, and whose readers detect damaged files.
///
/// # Errors
///
/// [`DiskError`]; the old file then stays as it was.
pub fn write_hint(to: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let NewFile { mut temp, to } = NewFile::with_mode(to, PRIVATE)?;
    temp.write_all(bytes).map_err(at(&to))?;
    temp.persist(&to).map_err(|failed| at(&to)(failed.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::create;
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_with_the_mode_it_is_written_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/f");
        write_private(&path, b"key").unwrap();
        assert_eq!(mode(&path), 0o600);
        write(&path, b"text").unwrap();
        assert_eq!(mode(&path) & 0o077, 0o644 & mode(&path) & 0o077);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let other = folder.path().join("other");
        drop(create(&other).unwrap());
        assert_eq!(mode(&path), mode(&other));
        write_hint(&path, b"hint").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(
            fs::read_dir(folder.path().join("below")).unwrap().count(),
            1
        );
    }

    #[test]
    fn an_unfinished_file_leaves_nothing_and_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write(&path, b"old").unwrap();
        let mut new = NewFile::begin(&path).unwrap();
        new.write_all(b"new").unwrap();
        drop(new);
        let error = write_new(&path, b"new").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_regular_files_within_their_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write(&path, "héllo".as_bytes()).unwrap();
        assert_eq!(read_text(&path, 6).unwrap(), "héllo");
        // The limit may be inside a character.
        for limit in [0, 1, 5] {
            let error = read_text(&path, limit).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge, "{limit}");
        }
        let link = folder.path().join("l");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(read_text(&link, 10).is_err());
        assert!(read_text(folder.path(), 10).is_err());
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f/g");
        fs::write(folder.path().join("f"), "a file").unwrap();
        let error = write(&path, b"").unwrap_err();
        let text = crate::text::with_causes(&error);
        assert!(text.contains("/f`: "), "{text}");
    }
}
