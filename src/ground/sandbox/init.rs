//! The first process of a sandbox. Makes the root, starts the command and collects what
//! ends; when it ends itself, the system ends the rest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::super::confine;
use super::super::link::{Report, during};
use super::filter;
use super::overlay::MOUNTING;
use super::root::Root;

/// Parts of `/proc` that change the system, or tell of more than this sandbox. To a
/// command of root, their files are its own.
const READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Becomes the first process of its namespace, in `root`, and runs a command there.
pub(in crate::ground) fn init(
    root: &Root,
    command: impl FnOnce(&Path) -> Result<Report, String>,
) -> Result<Report, String> {
    make(root)?;
    drop_rights()?;
    if root.network {
        // Sockets without a file belong to the network, which is the machine's.
        confine::leave_sockets().map_err(|error| format!("leave sockets: {error}"))?;
    }
    command(&root.cwd)
}

/// Makes a root without a command.
pub(in crate::ground) fn try_root() -> Result<(), String> {
    make(&Root::trial())
}

/// Makes the root and enters it.
fn make(root: &Root) -> Result<(), String> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    // What commands left in their folders must not lead to another table.
    let table = File::open(MOUNTS).map_err(during("list mounts"))?;
    let at = fs::canonicalize(&root.at);
    let at = at.map_err(during(format!("find {}", root.at.display())))?;
    let made = mount("tmpfs", &at, "tmpfs", plain, c"mode=0755");
    system(made, "mount", &at)?;
    let place = Place::open(&at)?;
    for (path, text) in &root.files {
        let made = place.file(path).and_then(|made| {
            let mut made = made.ok_or(io::ErrorKind::AlreadyExists)?;
            made.write_all(text.as_bytes())
        });
        made.map_err(during(format!("write {}", path.display())))?;
    }
    for (target, path) in &root.links {
        let made = place
            .parent(path)
            .and_then(|(parent, name)| Ok(rustix::fs::symlinkat(target, &parent, name)?));
        made.map_err(during(format!("link {}", path.display())))?;
    }
    let mut mounts: Vec<_> = root.mounts.iter().collect();
    mounts.sort_by(|one, other| one.to.cmp(&other.to));
    let mut sealed = Vec::new();
    for each in mounts {
        place.bind(&each.from, &each.to)?;
        sealed.extend((!each.writable).then(|| place.of(&each.to)));
    }
    for overlay in &root.overlays {
        let shown = place.folder_for(&overlay.to)?;
        system(overlay.mount(&named(&shown)), MOUNTING, &overlay.to)?;
    }
    place.devices()?;
    sealed.extend(place.processes()?);
    read_only(&sealed, table)?;
    system(
        mount_remount(&at, plain | MountFlags::RDONLY | MountFlags::BIND, c""),
        "make read-only",
        &at,
    )?;
    system(rustix::process::chdir(&at), "enter", &at)?;
    system(rustix::process::pivot_root(".", "."), "make the root", &at)?;
    system(unmount(".", UnmountFlags::DETACH), "leave", "/")?;
    system(rustix::process::chdir("/"), "enter", "/")
}

/// Makes mounts of this process invisible to others.
pub(super) fn keep_mounts() -> rustix::io::Result<()> {
    let kept = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", kept)
}

pub(super) fn system(
    done: rustix::io::Result<()>,
    what: &str,
    path: impl AsRef<Path>,
) -> Result<(), String> {
    let path = path.as_ref().display();
    done.map_err(|error| format!("{what} {path}: {}", io::Error::from(error)))
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

    /// Terminals and shared memory of its own; the other devices are mounts.
    fn devices(&self) -> Result<(), String> {
        let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
        let shared = self.folder_for(Path::new("/dev/shm"))?;
        let made = mount(
            "tmpfs",
            named(&shared),
            "tmpfs",
            plain | MountFlags::NODEV,
            c"mode=1777",
        );
        system(made, "mount", "/dev/shm")?;
        let terminals = self.folder_for(Path::new("/dev/pts"))?;
        let options = c"newinstance,ptmxmode=0666,mode=620";
        system(
            mount("devpts", named(&terminals), "devpts", plain, options),
            "mount",
            "/dev/pts",
        )?;
        for (target, name) in [
            ("pts/ptmx", "/dev/ptmx"),
            ("/proc/self/fd", "/dev/fd"),
            ("/proc/self/fd/0", "/dev/stdin"),
            ("/proc/self/fd/1", "/dev/stdout"),
            ("/proc/self/fd/2", "/dev/stderr"),
        ] {
            symlink(target, self.of(name)).map_err(during(format!("link {name}")))?;
        }
        for name in ["/run", "/var/tmp"] {
            self.folder_for(Path::new(name))?;
        }
        Ok(())
    }

    /// Returns the parts that are to become read-only.
    fn processes(&self) -> Result<Vec<PathBuf>, String> {
        let proc = self.of("/proc");
        let folder = self.folder_for(Path::new("/proc"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let made = mount("proc", named(&folder), "proc", flags, c"");
        system(made, "mount", "/proc")?;
        let parts = READ_ONLY.map(|name| proc.join(name)).into_iter();
        let parts: Vec<PathBuf> = parts.filter(|part| part.exists()).collect();
        for part in &parts {
            system(mount_bind_recursive(part, part), "mount", part)?;
        }
        Ok(parts)
    }
}

/// The mounts of this process.
pub(super) const MOUNTS: &str = "/proc/self/mountinfo";

/// Makes the mounts at `paths`, which have no links, and those below them, read-only;
/// `table` lists all mounts. A mount keeps the flags that it has here: a process may not
/// clear those of another user's.
pub(super) fn read_only(paths: &[impl AsRef<Path>], table: File) -> Result<(), String> {
    let all = mounts(table).map_err(during("list mounts"))?;
    for top in paths.iter().map(AsRef::as_ref) {
        if !all.iter().any(|mounted| mounted == top) {
            return Err(format!("make read-only {}: it is no mount", top.display()));
        }
    }
    let held = |mounted: &&PathBuf| paths.iter().any(|top| mounted.starts_with(top.as_ref()));
    for mounted in all.iter().filter(held) {
        let kept = rustix::fs::statvfs(mounted)
            .map_or_else(|_| MountFlags::empty(), |facts| flags_of(facts.f_flag));
        let flags = MountFlags::BIND | MountFlags::RDONLY | kept;
        let done = mount_remount(mounted, flags, c"");
        system(done, "make read-only", mounted)?;
    }
    Ok(())
}

fn flags_of(found: StatVfsMountFlags) -> MountFlags {
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = pairs
        .iter()
        .filter(|(found_as, _)| found.contains(*found_as));
    kept.map(|(_, flag)| *flag).collect()
}

fn mounts(mut table: File) -> io::Result<Vec<PathBuf>> {
    let mut text = String::new();
    table.read_to_string(&mut text)?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<PathBuf> = points.map(|point| PathBuf::from(unescape(point))).collect();
    found.dedup();
    Ok(found)
}

/// A path of the mount table, in which some characters are octal numbers.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (code, character)| {
        text.replace(code, character)
    })
}

/// Drops all rights of this process, and of what it starts.
fn drop_rights() -> Result<(), String> {
    let rights = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let dropped = rustix::thread::clear_ambient_capability_set()
        .and_then(|()| set_capabilities(None, rights))
        .and_then(|()| rustix::thread::set_no_new_privs(true))
        .and_then(|()| rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable));
    dropped
        .map_err(io::Error::from)
        .map_err(during("drop rights"))?;
    filter::apply()
}
