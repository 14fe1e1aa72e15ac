//! A folder that no path can leave: entries with untrusted names are created below
//! it.
//!
//! Everything is opened relative to descriptors, from the folder down. The kernel
//! resolves each path below the folder without following links (`openat2`, Linux
//! 5.6); where it cannot, each folder on the path is opened in turn without following
//! links. So neither a name, nor a link planted by an archive, nor a folder that
//! another process swaps for a link can lead elsewhere.
//!
//! Nothing is replaced unless a function says so: a file, link or folder that exists is
//! an error.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::archive::SafePath;

/// How folders on a path are opened: to pass through them, never to read them.
const ON_THE_WAY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open folder, for creating entries below it.
#[derive(Debug)]
pub struct Enclosure {
    top: OwnedFd,
    /// Whether the kernel resolves paths below a folder. Tests turn it off.
    beneath: bool,
}

/// Whether a file may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Mode 0644, less the user's umask.
    Plain,
    /// Mode 0755, less the user's umask.
    Executable,
}

/// How to treat missing folders in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Fail,
}

impl Enclosure {
    /// Opens the folder at `path`, which is not a link.
    ///
    /// # Errors
    ///
    /// It is not a folder, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            top: rustix::fs::openat(CWD, path, ON_THE_WAY, Mode::empty())?,
            beneath: true,
        })
    }

    /// Makes the folder `at`, and those above it that are missing.
    ///
    /// # Errors
    ///
    /// Something else has its name or that of a folder above it, or it cannot be made.
    pub fn folder(&self, at: &SafePath) -> io::Result<()> {
        self.reach(at.as_str(), Missing::Make).map(drop)
    }

    /// Makes the folder `at`, which must not exist, and opens it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or it cannot be made.
    pub fn new_folder(&self, at: &SafePath) -> io::Result<Self> {
        let (above, name) = self.above(at, Missing::Make)?;
        rustix::fs::mkdirat(&above, name, Mode::from(0o755))?;
        Ok(Self {
            top: rustix::fs::openat(&above, name, ON_THE_WAY, Mode::empty())?,
            beneath: self.beneath,
        })
    }

    /// Makes the file `at`, which must not exist, and the folders above it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or it cannot be made.
    pub fn file(&self, at: &SafePath, rights: Rights) -> io::Result<File> {
        let (above, name) = self.above(at, Missing::Make)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = match rights {
            Rights::Plain => 0o644,
            Rights::Executable => 0o755,
        };
        let made = rustix::fs::openat(&above, name, flags | OFlags::CLOEXEC, Mode::from(mode))?;
        Ok(File::from(made))
    }

    /// Opens the regular file `at` for reading.
    ///
    /// # Errors
    ///
    /// It is missing, not a regular file, or its path contains a link.
    pub fn read(&self, at: &SafePath) -> io::Result<File> {
        let (above, name) = self.above(at, Missing::Fail)?;
        // A pipe would keep the reader waiting for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&above, name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("not a regular file")),
        }
    }

    /// Makes the symbolic link `at`, which leads to `target`. Nothing here follows it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or it cannot be made.
    pub fn link(&self, at: &SafePath, target: &[u8]) -> io::Result<()> {
        let (above, name) = self.above(at, Missing::Make)?;
        Ok(rustix::fs::symlinkat(
            OsStr::from_bytes(target),
            &above,
            name,
        )?)
    }

    /// Removes the file or link `at`.
    ///
    /// # Errors
    ///
    /// It is missing, a folder, or cannot be removed.
    pub fn remove(&self, at: &SafePath) -> io::Result<()> {
        let (above, name) = self.above(at, Missing::Fail)?;
        Ok(rustix::fs::unlinkat(&above, name, AtFlags::empty())?)
    }

    /// Opens the folder `at`.
    ///
    /// # Errors
    ///
    /// It is missing, not a folder, or its path contains a link.
    pub fn inside(&self, at: &SafePath) -> io::Result<Self> {
        Ok(Self {
            top: self.reach(at.as_str(), Missing::Fail)?,
            beneath: self.beneath,
        })
    }

    /// The type of what is at `at`; of a link, that of the link itself.
    ///
    /// # Errors
    ///
    /// It is missing, or its path contains a link.
    pub fn kind(&self, at: &SafePath) -> io::Result<FileType> {
        let (above, name) = self.above(at, Missing::Fail)?;
        let facts = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(facts.st_mode))
    }

    /// The target of the link `at`.
    ///
    /// # Errors
    ///
    /// It is missing, not a link, or its path contains a link.
    pub fn target(&self, at: &SafePath) -> io::Result<Vec<u8>> {
        let (above, name) = self.above(at, Missing::Fail)?;
        Ok(rustix::fs::readlinkat(&above, name, Vec::new())?.into_bytes())
    }

    /// The names in the folder, in no order.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&self.top, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(open)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.as_bytes(), b"." | b"..") {
                names.push(OsStr::from_bytes(name.as_bytes()).to_owned());
            }
        }
        Ok(names)
    }

    /// Makes the folder `at`, and those above it, in the place of files and links that
    /// have their names.
    ///
    /// # Errors
    ///
    /// One of them cannot be removed or made.
    pub fn replace_with_folder(&self, at: &SafePath) -> io::Result<()> {
        let ends = at.as_str().match_indices('/').map(|(end, _)| end);
        for end in ends.chain([at.as_str().len()]) {
            let path = SafePath::parse(&at.as_str()[..end]).map_err(io::Error::other)?;
            match self.kind(&path) {
                Ok(FileType::Directory) => continue,
                Ok(_) => self.remove(&path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.folder(&path)?;
        }
        Ok(())
    }

    /// Removes what is at `at` with its content, if it exists.
    ///
    /// # Errors
    ///
    /// Something in it cannot be removed, or its path contains a link.
    pub fn remove_all(&self, at: &SafePath) -> io::Result<()> {
        match self.above(at, Missing::Fail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok((above, name)) => super::remove(&path_of(&above).join(name)),
        }
    }

    /// Gives the folder itself this mode.
    ///
    /// # Errors
    ///
    /// It belongs to someone else.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        // A descriptor that is only passed through has no other way to it.
        fs::set_permissions(path_of(&self.top), fs::Permissions::from_mode(mode))
    }

    /// Moves the file or folder `from` to `to` in the enclosure `into`, where nothing
    /// may have that name. Both are on one file system.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or it cannot be moved.
    pub fn move_into(&self, from: &SafePath, into: &Self, to: &SafePath) -> io::Result<()> {
        let (old, old_name) = self.above(from, Missing::Fail)?;
        let (new, new_name) = into.above(to, Missing::Make)?;
        rename_new((old.as_fd(), old_name), (new.as_fd(), new_name))
    }

    /// The folder around `at`, and the name in it.
    fn above<'p>(&self, at: &'p SafePath, missing: Missing) -> io::Result<(OwnedFd, &'p str)> {
        match at.as_str().rsplit_once('/') {
            Some((above, name)) => Ok((self.reach(above, missing)?, name)),
            None => Ok((self.top.try_clone()?, at.as_str())),
        }
    }

    /// Opens the folder at `path`, a safe path or the beginning of one.
    fn reach(&self, path: &str, missing: Missing) -> io::Result<OwnedFd> {
        if self.beneath {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // Also fails if the kernel or a system call filter does not support it.
            // The steps below distinguish the reasons.
            if let Ok(folder) = rustix::fs::openat2(&self.top, path, flags, Mode::empty(), resolve)
            {
                return Ok(folder);
            }
        }
        let mut folder = self.top.try_clone()?;
        for name in path.split('/') {
            let next = match rustix::fs::openat(&folder, name, ON_THE_WAY, Mode::empty()) {
                Err(Errno::NOENT) if missing == Missing::Make => {
                    match rustix::fs::mkdirat(&folder, name, Mode::from(0o755)) {
                        // Another thread may make the same folder.
                        Err(error) if error != Errno::EXIST => return Err(error.into()),
                        _ => {}
                    }
                    rustix::fs::openat(&folder, name, ON_THE_WAY, Mode::empty())
                }
                next => next,
            };
            folder = match next {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let message = format!("`{name}` on its path is not a folder");
                    return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
                }
                next => next?,
            };
        }
        Ok(folder)
    }
}

/// A path to the folder that `folder` is, wherever that is now.
fn path_of(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Renames `from` to `to`, which must not exist.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], or it cannot be renamed.
pub fn rename_unless_exists(from: &Path, to: &Path) -> io::Result<()> {
    rename_new((CWD, from), (CWD, to))
}

fn rename_new<P: rustix::path::Arg + Copy>(
    (old, from): (BorrowedFd<'_>, P),
    (new, to): (BorrowedFd<'_>, P),
) -> io::Result<()> {
    match rustix::fs::renameat_with(old, from, new, to, RenameFlags::NOREPLACE) {
        // The file system or the kernel does not support it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        done => return Ok(done?),
    }
    match rustix::fs::statat(new, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(old, from, new, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn safe(text: &str) -> SafePath {
        SafePath::parse(text).unwrap()
    }

    /// Both ways to resolve a path, in a folder beside one that nothing may reach.
    fn each(check: impl Fn(&Enclosure, &Path, &Path)) {
        for beneath in [true, false] {
            let around = tempfile::tempdir().unwrap();
            let (inside, outside) = (around.path().join("in"), around.path().join("out"));
            fs::create_dir(&inside).unwrap();
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("mine"), "mine").unwrap();
            let enclosure = Enclosure {
                beneath,
                ..Enclosure::open(&inside).unwrap()
            };
            check(&enclosure, &inside, &outside);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
            assert_eq!(fs::read(outside.join("mine")).unwrap(), b"mine");
        }
    }

    #[test]
    fn files_folders_and_links_are_made_and_read_again() {
        each(|enclosure, inside, _| {
            let mut file = enclosure.file(&safe("a/b/run"), Rights::Executable);
            file.as_mut().unwrap().write_all(b"hi").unwrap();
            enclosure.file(&safe("a/plain"), Rights::Plain).unwrap();
            enclosure.folder(&safe("a/b/c")).unwrap();
            enclosure.folder(&safe("a/b/c")).unwrap();
            enclosure.link(&safe("a/l"), b"/etc/passwd").unwrap();
            let mode = |path: &str| {
                let facts = fs::metadata(inside.join(path)).unwrap();
                facts.permissions().mode() & 0o111
            };
            assert!(mode("a/b/run") & 0o100 == 0o100 && mode("a/plain") == 0);
            let mut text = String::new();
            let read = enclosure.read(&safe("a/b/run"));
            read.unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hi");
            assert!(enclosure.read(&safe("a/l")).is_err());
            assert!(enclosure.read(&safe("a/b")).is_err());
            enclosure.remove(&safe("a/l")).unwrap();
            assert!(enclosure.remove(&safe("a/b")).is_err());
        });
    }

    #[test]
    fn nothing_is_made_through_a_link_or_in_the_place_of_something() {
        each(|enclosure, inside, outside| {
            symlink(outside, inside.join("abs")).unwrap();
            symlink("../out", inside.join("up")).unwrap();
            symlink("abs", inside.join("twice")).unwrap();
            symlink("../out/mine", inside.join("file")).unwrap();
            symlink("../out/new", inside.join("dangling")).unwrap();
            for way in ["abs", "up", "twice", "file", "dangling"] {
                for name in [way.to_owned(), format!("{way}/x"), format!("{way}/x/y")] {
                    let name = safe(&name);
                    assert!(enclosure.file(&name, Rights::Plain).is_err(), "{name}");
                    assert!(enclosure.link(&name, b"x").is_err(), "{name}");
                    assert!(enclosure.folder(&name).is_err(), "{name}");
                    assert!(enclosure.new_folder(&name).is_err(), "{name}");
                    assert!(enclosure.read(&name).is_err(), "{name}");
                }
            }
            assert!(enclosure.remove(&safe("abs/mine")).is_err());
            assert!(enclosure.remove_all(&safe("abs/mine")).is_err());
            assert!(enclosure.inside(&safe("abs")).is_err());
            assert!(enclosure.kind(&safe("abs/mine")).is_err());
            assert!(Enclosure::open(&inside.join("abs")).is_err());
            enclosure.remove_all(&safe("twice")).unwrap();
            enclosure.replace_with_folder(&safe("abs/x/y")).unwrap();
            assert!(inside.join("abs/x/y").is_dir());
            assert_eq!(enclosure.target(&safe("up")).unwrap(), b"../out");
            enclosure.remove_all(&safe("abs")).unwrap();
            enclosure.remove_all(&safe("abs/x")).unwrap();
            let names = enclosure.names().unwrap();
            assert!(
                names.len() == 3 && !names.contains(&"abs".into()),
                "{names:?}"
            );
        });
    }

    #[test]
    fn a_folder_that_becomes_a_link_meanwhile_is_not_followed() {
        each(|enclosure, inside, outside| {
            enclosure.folder(&safe("d")).unwrap();
            fs::rename(inside.join("d"), inside.join("old")).unwrap();
            symlink(outside, inside.join("d")).unwrap();
            assert!(enclosure.file(&safe("d/x"), Rights::Plain).is_err());
        });
    }

    #[test]
    fn a_folder_is_moved_only_to_a_free_name() {
        each(|enclosure, inside, _| {
            enclosure.file(&safe("a/f"), Rights::Plain).unwrap();
            enclosure.folder(&safe("empty")).unwrap();
            let moved = enclosure.move_into(&safe("a"), enclosure, &safe("empty"));
            assert_eq!(
                moved.unwrap_err().kind(),
                io::ErrorKind::AlreadyExists,
                "an empty folder as well"
            );
            enclosure
                .move_into(&safe("a"), enclosure, &safe("to/a"))
                .unwrap();
            assert!(inside.join("to/a/f").is_file());
        });
    }
}
