//! The first process of a sandbox. Makes the root, starts the command and collects what
//! ends; when it ends itself, the system ends the rest.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::super::child::{self, Input, Variables};
use super::super::link::{Report, during};
use super::filter;
use super::overlay::{MOUNTING, Overlay};
use super::root::Root;
use crate::disk;

/// Parts of `/proc` that change the system, or tell of more than this sandbox. To a
/// command of root, their files are its own.
const READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Runs a command as the first process of its namespace, in `root`.
pub(in crate::ground) fn init(
    argv: &[String],
    env: &Variables,
    root: &Root,
    input: Input,
) -> Result<Report, String> {
    make(root)?;
    drop_rights()?;
    // When this process ends, the system ends the rest.
    child::run(argv, env, &root.cwd, input, |_| ())
}

/// Makes a root without a command.
pub(in crate::ground) fn try_root() -> Result<(), String> {
    make(&Root::trial())
}

/// Makes the root and enters it.
fn make(root: &Root) -> Result<(), String> {
    let at = root.at.as_path();
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    let made = mount("tmpfs", at, "tmpfs", plain, c"mode=0755");
    system(made, "mount", at)?;
    let place = Place(at);
    for (path, text) in &root.files {
        let to = place.parents(path)?;
        let made = disk::create(&to).and_then(|mut made| made.write_all(text.as_bytes()));
        made.map_err(during(format!("write {}", path.display())))?;
    }
    for (target, path) in &root.links {
        let to = place.parents(path)?;
        symlink(target, &to).map_err(during(format!("link {}", path.display())))?;
    }
    let mut mounts: Vec<_> = root.mounts.iter().collect();
    mounts.sort_by(|one, other| one.to.cmp(&other.to));
    let mut sealed = Vec::new();
    for each in mounts {
        let shown = place.bind(&each.from, &each.to)?;
        sealed.extend((!each.writable).then_some(shown));
    }
    for overlay in &root.overlays {
        place.overlay(overlay)?;
    }
    place.devices()?;
    sealed.extend(place.processes()?);
    read_only(&sealed)?;
    system(
        mount_remount(at, plain | MountFlags::RDONLY | MountFlags::BIND, c""),
        "make read-only",
        at,
    )?;
    system(rustix::process::chdir(at), "enter", at)?;
    system(rustix::process::pivot_root(".", "."), "make the root", at)?;
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

/// The folder on which a root is made.
struct Place<'a>(&'a Path);

impl Place<'_> {
    /// Where `path`, which is absolute, is for now.
    fn of(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The same, with the folders above it.
    fn parents(&self, path: impl AsRef<Path>) -> Result<PathBuf, String> {
        let to = self.of(path);
        self.folder(to.parent().unwrap_or(self.0))?;
        Ok(to)
    }

    fn folder(&self, path: &Path) -> Result<(), String> {
        fs::create_dir_all(path).map_err(during(format!("create {}", path.display())))
    }

    /// Shows `from` at `to`; returns where that is for now.
    fn bind(&self, from: &Path, to: &Path) -> Result<PathBuf, String> {
        let facts = fs::metadata(from).map_err(during(format!("find {}", from.display())))?;
        let shown = self.parents(to)?;
        if facts.is_dir() {
            self.folder(&shown)?;
        } else if !shown.exists() {
            disk::create(&shown).map_err(during(format!("create {}", to.display())))?;
        }
        system(mount_bind_recursive(from, &shown), "mount", to)?;
        Ok(shown)
    }

    fn overlay(&self, overlay: &Overlay) -> Result<(), String> {
        let shown = self.of(&overlay.to);
        self.folder(&shown)?;
        system(overlay.mount(&shown), MOUNTING, &overlay.to)
    }

    /// Terminals and shared memory of its own; the other devices are mounts.
    fn devices(&self) -> Result<(), String> {
        let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
        let shared = self.of("/dev/shm");
        self.folder(&shared)?;
        let made = mount(
            "tmpfs",
            &shared,
            "tmpfs",
            plain | MountFlags::NODEV,
            c"mode=1777",
        );
        system(made, "mount", "/dev/shm")?;
        let terminals = self.of("/dev/pts");
        self.folder(&terminals)?;
        let options = c"newinstance,ptmxmode=0666,mode=620";
        system(
            mount("devpts", &terminals, "devpts", plain, options),
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
            self.folder(&self.of(name))?;
        }
        Ok(())
    }

    /// Returns the parts that are to become read-only.
    fn processes(&self) -> Result<Vec<PathBuf>, String> {
        let proc = self.of("/proc");
        self.folder(&proc)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        system(mount("proc", &proc, "proc", flags, c""), "mount", "/proc")?;
        let parts = READ_ONLY.map(|name| proc.join(name)).into_iter();
        let parts: Vec<PathBuf> = parts.filter(|part| part.exists()).collect();
        for part in &parts {
            system(mount_bind_recursive(part, part), "mount", part)?;
        }
        Ok(parts)
    }
}

/// Makes the mounts at `paths`, and those below them, read-only. A mount keeps the flags
/// that it has here: a process may not clear those of another user's.
pub(super) fn read_only(paths: &[impl AsRef<Path>]) -> Result<(), String> {
    let found =
        |path: &Path| fs::canonicalize(path).map_err(during(format!("find {}", path.display())));
    let tops: Result<Vec<PathBuf>, String> =
        paths.iter().map(|path| found(path.as_ref())).collect();
    for mounted in mounts_below(&tops?).map_err(during("list mounts"))? {
        let kept = rustix::fs::statvfs(&mounted)
            .map_or_else(|_| MountFlags::empty(), |facts| flags_of(facts.f_flag));
        let flags = MountFlags::BIND | MountFlags::RDONLY | kept;
        system(
            mount_remount(&mounted, flags, c""),
            "make read-only",
            &mounted,
        )?;
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

/// The mounts at one of `tops` and below it.
fn mounts_below(tops: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<PathBuf> = points
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| tops.iter().any(|top| point.starts_with(top)))
        .collect();
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
