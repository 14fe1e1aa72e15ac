//! Mounts of this process: which there are, and how they become read-only.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};

use super::super::link::during;

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
