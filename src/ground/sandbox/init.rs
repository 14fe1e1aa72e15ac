//! The root of a sandbox: the part that commands share, which is made once, and what the
//! first process of each sandbox adds. When that process ends, the system ends the rest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use nix::sys::signal::Signal;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind_recursive,
    mount_move, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{DumpableBehavior, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::super::child;
use super::super::confine;
use super::super::link::during;
use super::mounts::{MOUNTS, read_only, system};
use super::overlay::MOUNTING;
use super::root::{Mount, PRIVATE, Root, Shared};
use super::{enter, filter};

/// Parts of `/proc` that change the system, or tell of more than this sandbox. To a
/// command of root, their files are its own.
const READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Where what is in the store of a root is, until the command has its own.
const STORE: &str = "/dev/shm";
const TERMINALS: &str = "/dev/pts";
/// Where the part of the root is that is to be shown in the folders of a command.
const ASIDE: &str = TERMINALS;
/// Where processes are shown first.
const FIRST: &str = STORE;

/// The part of a root that many commands see, made once: the mounts of the process that
/// made it, which each command gets a copy of. Nothing in it can be written to.
pub(in crate::ground) struct Template {
    store: PathBuf,
    network: bool,
    /// What is to be shown in the folders of a command: where it is until then, and its
    /// path.
    aside: Vec<(PathBuf, PathBuf)>,
    /// The namespaces of the process that made it.
    processes: File,
    mounts: File,
}

impl Template {
    /// Makes it on the empty folder `at`, and enters it.
    ///
    /// # Errors
    ///
    /// What could not be made, and why.
    pub(in crate::ground) fn make(at: &Path, shared: &Shared) -> Result<Self, String> {
        let namespace = |kind: &str| {
            let opened = File::open(Path::new("/proc/self/ns").join(kind));
            opened.map_err(during("find namespaces"))
        };
        let (processes, own) = (namespace("pid")?, namespace("mnt")?);
        let plain = MountFlags::NOSUID | MountFlags::NODEV;
        // What commands left in their folders must not lead to another table.
        let table = File::open(MOUNTS).map_err(during("list mounts"))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        // Before the new root is in it.
        let store = open_tree(CWD, &shared.store, flags).map_err(io::Error::from);
        let store = store.map_err(during(format!("mount {}", shared.store.display())))?;
        let at = fs::canonicalize(at).map_err(during(format!("find {}", at.display())))?;
        let made = mount("tmpfs", &at, "tmpfs", plain, c"mode=0755");
        system(made, "mount", &at)?;
        let place = Place::open(&at)?;
        place.fill(shared)?;
        let mut mounts: Vec<_> = shared.mounts().iter().collect();
        mounts.sort_by(|one, other| one.to.cmp(&other.to));
        let is_below = |mount: &&Mount| {
            let mut folders = shared.folders.iter();
            folders.any(|folder| mount.to.starts_with(folder))
        };
        let (below, mounts): (Vec<_>, Vec<_>) = mounts.into_iter().partition(is_below);
        let mut sealed = Vec::new();
        for each in mounts {
            place.bind(&each.from, &each.to)?;
            sealed.push(place.of(&each.to));
        }
        let mut aside = Vec::new();
        if !below.is_empty() {
            let made = mount(
                "tmpfs",
                named(&place.folder_for(Path::new(ASIDE))?),
                "tmpfs",
                plain,
                c"",
            );
            system(made, "mount", ASIDE)?;
        }
        for (number, each) in below.into_iter().enumerate() {
            let at = Path::new(ASIDE).join(number.to_string());
            place.bind(&each.from, &at)?;
            sealed.push(place.of(&at));
            aside.push((at, each.to.clone()));
        }
        for folder in &shared.folders {
            place.folder_for(folder)?;
        }
        place.devices()?;
        // To mount another of the kind, one must be in sight.
        show_processes(&named(&place.folder_for(Path::new("/proc"))?))?;
        read_only(&sealed, table)?;
        let to = place.folder_for(Path::new(STORE))?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        system(
            move_mount(&store, c"", &to, c"", flags),
            "mount",
            &shared.store,
        )?;
        system(
            mount_remount(&at, plain | MountFlags::RDONLY | MountFlags::BIND, c""),
            "make read-only",
            &at,
        )?;
        system(rustix::process::chdir(&at), "enter", &at)?;
        system(rustix::process::pivot_root(".", "."), "make the root", &at)?;
        system(unmount(".", UnmountFlags::DETACH), "leave", "/")?;
        system(rustix::process::chdir("/"), "enter", "/")?;
        filter::apply()?;
        Ok(Self {
            store: shared.store.clone(),
            network: shared.network(),
            aside,
            processes,
            mounts: own,
        })
    }

    /// Makes the next process that this one starts one that may start others like this one.
    pub(in crate::ground) fn beside(&self) -> Result<(), String> {
        enter::beside(&self.processes)
    }

    /// Makes the next process that this one starts the first of its namespaces.
    pub(in crate::ground) fn next(&self) -> Result<(), String> {
        enter::next(&self.processes)
    }

    /// Makes this process, the first of its namespace of processes, see only `root`, and
    /// drops all its rights.
    pub(in crate::ground) fn enter(&self, root: &Root) -> Result<(), String> {
        self.surround(root)?;
        self.begin()
    }

    /// Makes this process, and those that it starts, see only `root`, except for processes.
    pub(in crate::ground) fn surround(&self, root: &Root) -> Result<(), String> {
        enter::leave_rest(self.network)?;
        let place = Place::open(Path::new("/"))?;
        let mut mounts: Vec<_> = root.mounts.iter().collect();
        mounts.sort_by(|one, other| one.to.cmp(&other.to));
        for each in mounts {
            place.bind(&self.stored(&each.from)?, &each.to)?;
        }
        for overlay in &root.overlays {
            let overlay = overlay.moved(&|path| self.stored(path))?;
            let shown = place.folder_for(&overlay.to)?;
            system(overlay.mount(&named(&shown)), MOUNTING, &overlay.to)?;
        }
        for (at, to) in &self.aside {
            place.bind(at, to)?;
        }
        if !self.aside.is_empty() {
            system(unmount(ASIDE, UnmountFlags::DETACH), "leave", ASIDE)?;
        }
        place.keep(&root.private)?;
        system(unmount(STORE, UnmountFlags::DETACH), "leave", &self.store)?;
        own_devices()
    }

    /// Undoes [`surround`](Self::surround): this process sees what it saw before.
    pub(in crate::ground) fn leave(&self) -> Result<(), String> {
        enter::back(&self.mounts)
    }

    /// Shows this process, the first of its namespace of processes, those that are in it,
    /// and drops all its rights.
    pub(in crate::ground) fn begin(&self) -> Result<(), String> {
        let _ = rustix::process::setsid();
        own_processes()?;
        drop_rights()?;
        if self.network {
            // Sockets without a file belong to the network, which is the machine's.
            confine::leave_sockets().map_err(|error| format!("leave sockets: {error}"))?;
        }
        Ok(())
    }

    /// Where `path` of this machine, which is in the store, is now.
    fn stored(&self, path: &Path) -> Result<PathBuf, String> {
        let below = path.strip_prefix(&self.store);
        let below = below.map_err(|_| format!("find {}: it is elsewhere", path.display()))?;
        Ok(Path::new(STORE).join(below))
    }
}

/// Ends all other processes of the namespace that this process is the first of.
pub(in crate::ground) fn end() {
    // They become its children at the latest when their parents have ended.
    while child::has_children() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), Signal::SIGKILL);
        let _ = rustix::process::wait(WaitOptions::empty());
    }
}

/// Mounts `/proc` at `at`.
fn show_processes(at: &Path) -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    system(mount("proc", at, "proc", flags, c""), "mount", "/proc")
}

/// What device files of programs may have.
const DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
/// The same for files without devices.
const FILES: MountFlags = DEVICES.union(MountFlags::NODEV);

/// Terminals and shared memory of its own for the command.
fn own_devices() -> Result<(), String> {
    let made = mount("tmpfs", STORE, "tmpfs", FILES, c"mode=1777");
    system(made, "mount", STORE)?;
    let options = c"newinstance,ptmxmode=0666,mode=620";
    let made = mount("devpts", TERMINALS, "devpts", DEVICES, options);
    system(made, "mount", TERMINALS)
}

/// Processes of its own for the command.
fn own_processes() -> Result<(), String> {
    // One can be mounted only while another is in sight.
    show_processes(Path::new(FIRST))?;
    system(unmount("/proc", UnmountFlags::DETACH), "leave", "/proc")?;
    system(mount_move(FIRST, "/proc"), "mount", "/proc")?;
    for part in READ_ONLY.map(|name| Path::new("/proc").join(name)) {
        match mount_bind_recursive(&part, &part) {
            Err(Errno::NOENT) => continue,
            done => system(done, "mount", &part)?,
        }
        let flags = MountFlags::BIND | MountFlags::RDONLY | FILES;
        system(mount_remount(&part, flags, c""), "make read-only", &part)?;
    }
    Ok(())
}

/// The folder on which a root is made. Places in it are reached from its descriptor, and
/// no link is followed: folders that were mounted there hold what commands left.
struct Place<'a> {
    at: &'a Path,
    top: OwnedFd,
}

/// How a folder is opened: as a place only, and not through a link.
const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The path by which a mount names what is open.
fn named(opened: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", opened.as_raw_fd()).into()
}

impl<'a> Place<'a> {
    fn open(at: &'a Path) -> Result<Self, String> {
        let top = rustix::fs::open(at, FOLDER, Mode::empty()).map_err(io::Error::from);
        let top = top.map_err(during(format!("open {}", at.display())))?;
        Ok(Self { at, top })
    }

    /// Where `path`, which is absolute, is for now.
    fn of(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.at.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The folder at `path`, made if it is absent.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.top.try_clone()?;
        for part in path.components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            };
            folder = match rustix::fs::openat(&folder, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755))?;
                    rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    fn folder_for(&self, path: &Path) -> Result<OwnedFd, String> {
        let made = self.folder(path);
        made.map_err(during(format!("create {}", path.display())))
    }

    /// The folder that `path` is in, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.folder(parent)?, name))
    }

    /// A new file at `path`; `None`: there is one.
    fn file(&self, path: &Path) -> io::Result<Option<File>> {
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(made) => Ok(Some(File::from(made))),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows `from` at `to`.
    fn bind(&self, from: &Path, to: &Path) -> Result<(), String> {
        let facts = fs::metadata(from).map_err(during(format!("find {}", from.display())))?;
        let shown = match facts.is_dir() {
            true => self.folder_for(to)?,
            false => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = self.file(to).and_then(|_| {
                    let (parent, name) = self.parent(to)?;
                    Ok(rustix::fs::openat(&parent, name, flags, Mode::empty())?)
                });
                let made = made.map_err(during(format!("create {}", to.display())))?;
                let facts = rustix::fs::fstat(&made).map_err(io::Error::from);
                let facts = facts.map_err(during(format!("find {}", to.display())))?;
                if FileType::from_raw_mode(facts.st_mode) == FileType::Symlink {
                    return Err(format!("mount {}: there is a link", to.display()));
                }
                made
            }
        };
        system(mount_bind_recursive(from, named(&shown)), "mount", to)
    }

    /// Makes the files and links of `shared`.
    fn fill(&self, shared: &Shared) -> Result<(), String> {
        for (path, text) in shared.files() {
            self.write(path, text)?;
        }
        for (target, path) in shared.links() {
            let made = self
                .parent(path)
                .and_then(|(parent, name)| Ok(rustix::fs::symlinkat(target, &parent, name)?));
            made.map_err(during(format!("link {}", path.display())))?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        let made = self.file(path).and_then(|made| {
            let mut made = made.ok_or(io::ErrorKind::AlreadyExists)?;
            made.write_all(text.as_bytes())
        });
        made.map_err(during(format!("write {}", path.display())))
    }

    /// Keeps files in memory that only this process, and what it starts, can see.
    fn keep(&self, files: &[(PathBuf, String)]) -> Result<(), String> {
        if files.is_empty() {
            return Ok(());
        }
        let plain = MountFlags::NOSUID | MountFlags::NODEV;
        // The descriptor must be open while its name is used.
        let folder = self.folder_for(Path::new(PRIVATE))?;
        system(
            mount("tmpfs", named(&folder), "tmpfs", plain, c"mode=0755"),
            "mount",
            PRIVATE,
        )?;
        for (path, text) in files {
            self.write(path, text)?;
        }
        let sealed = plain | MountFlags::RDONLY | MountFlags::BIND;
        system(
            mount_remount(PRIVATE, sealed, c""),
            "make read-only",
            PRIVATE,
        )
    }

    /// Places for what each command has for itself; the other devices are mounts.
    fn devices(&self) -> Result<(), String> {
        for name in [STORE, TERMINALS, "/run", "/var/tmp"] {
            self.folder_for(Path::new(name))?;
        }
        for (target, name) in [
            ("pts/ptmx", "/dev/ptmx"),
            ("/proc/self/fd", "/dev/fd"),
            ("/proc/self/fd/0", "/dev/stdin"),
            ("/proc/self/fd/1", "/dev/stdout"),
            ("/proc/self/fd/2", "/dev/stderr"),
        ] {
            symlink(target, self.of(name)).map_err(during(format!("link {name}")))?;
        }
        Ok(())
    }
}

/// Drops all rights of this process, and of what it starts. The filter of system calls is
/// that of the process that started this one, and with it the end of new privileges.
fn drop_rights() -> Result<(), String> {
    let rights = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let dropped = rustix::thread::clear_ambient_capability_set()
        .and_then(|()| set_capabilities(None, rights))
        .and_then(|()| rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable));
    dropped
        .map_err(io::Error::from)
        .map_err(during("drop rights"))
}
