//! Memory and disks that ran out.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::disk;
use crate::ground::{Cause, CauseKind};

/// What programs print that get no memory, in lower case.
const WITHOUT_MEMORY: [&str; 8] = [
    "cannot allocate memory",
    "heap out of memory",
    "java.lang.outofmemoryerror",
    "memory allocation of",
    "memoryerror",
    "std::bad_alloc",
    "virtual memory exhausted",
    "(signal: 9, sigkill",
];

/// What programs print of a full disk, in lower case.
const WITHOUT_SPACE: [&str; 3] = ["no space left on device", "enospc", "disk quota exceeded"];

/// Processes that the kernel had killed for lack of memory before the first command.
static KILLED_BEFORE: OnceLock<Option<u64>> = OnceLock::new();

/// Notes what the kernel has done before the first command.
pub(super) fn begin() {
    KILLED_BEFORE.get_or_init(killed_so_far);
}

/// Processes that the kernel has killed for lack of memory since it started.
fn killed_so_far() -> Option<u64> {
    counter(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn counter(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let number = lines.find_map(|line| line.strip_prefix("oom_kill "))?;
    number.trim().parse().ok()
}

/// Lack of memory, if a command that `signal` ended, or what it printed, shows it.
pub(super) fn killed(signal: i32, log: &str) -> Option<Cause> {
    let before = KILLED_BEFORE.get().copied().flatten();
    let by_kernel = matches!((before, killed_so_far()), (Some(old), Some(new)) if new > old);
    let (limit, whose) = match limit_in(Path::new("/")) {
        Some(limit) => (limit, "the limit of this machine's control group"),
        None => (
            rustix::system::sysinfo().totalram,
            "the memory of this machine",
        ),
    };
    let message = out_of_memory(signal, log, by_kernel)?;
    Some(Cause {
        kind: CauseKind::OutOfMemory,
        message: format!("{message} ({whose} is {} MiB)", limit >> 20),
        help:
            "set `resources: { memory: SIZE }` so that fewer tasks run beside it, or lower --jobs"
                .to_owned(),
    })
}

fn out_of_memory(signal: i32, log: &str, by_kernel: bool) -> Option<&'static str> {
    let log = log.to_lowercase();
    let says = WITHOUT_MEMORY.iter().any(|text| log.contains(text));
    let was_killed = signal == libc::SIGKILL || log.lines().any(|line| line.trim() == "killed");
    match (was_killed, says, by_kernel) {
        (true, _, true) | (false, true, true) => {
            Some("the kernel killed a process for lack of memory")
        }
        (_, true, false) => Some("memory ran out"),
        (true, false, false) => Some("memory may have run out"),
        (false, false, _) => None,
    }
}

/// The lowest limit on memory of the control groups that this process is in, below
/// `root`.
fn limit_in(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (top, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(path.trim_start_matches('/'));
        for folder in group.ancestors() {
            let text = fs::read_to_string(root.join(top).join(folder).join(file));
            limits.extend(text.ok().and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    // Without a limit, the first version says a number that no machine has.
    limits.into_iter().min().filter(|limit| *limit < 1 << 60)
}

/// A full disk, if the log tells of one.
pub(super) fn disk_full(log: &str, cache: &Path) -> Option<Cause> {
    let log = log.to_lowercase();
    if !WITHOUT_SPACE.iter().any(|text| log.contains(text)) {
        return None;
    }
    let free = disk::free_bytes(cache).map_or_else(String::new, |free| {
        format!(", which has {} MiB free now", free >> 20)
    });
    Some(Cause {
        kind: CauseKind::DiskFull,
        message: format!(
            "a disk is full; commands write to the disk of the cache, `{}`{free}",
            cache.display()
        ),
        help: "free some space, or choose another folder with --cache-dir".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_memory_is_told_from_other_ends() {
        let killed = Some("the kernel killed a process for lack of memory");
        let perhaps = Some("memory may have run out");
        for (signal, log, by_kernel, expected) in [
            (9, "", true, killed),
            (9, "", false, perhaps),
            (-127, "sh: line 1\nKilled\n", false, perhaps),
            (
                1,
                "c++: fatal error: std::bad_alloc",
                false,
                Some("memory ran out"),
            ),
            (-127, "JavaScript heap out of memory", true, killed),
            (15, "", true, None),
            (1, "Killed 3 targets", true, None),
        ] {
            assert_eq!(
                out_of_memory(signal, log, by_kernel),
                expected,
                "{signal} {log}"
            );
        }
        assert_eq!(counter("pgfault 3\noom_kill 12\n"), Some(12));
    }

    #[test]
    fn the_lowest_limit_above_this_process_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(limit_in(dir.path()), None);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(limit_in(dir.path()), None);
        write("sys/fs/cgroup/a/memory.max", "1048576\n");
        write("sys/fs/cgroup/memory.max", "4194304\n");
        assert_eq!(limit_in(dir.path()), Some(1 << 20));
        write("proc/self/cgroup", "5:cpu,memory:/c\n");
        write(
            "sys/fs/cgroup/memory/c/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(limit_in(dir.path()), None);
    }

    #[test]
    fn a_full_disk_is_named_with_what_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let found = disk_full("cp: write error: No space left on device", dir.path()).unwrap();
        assert!(found.message.contains("MiB free now"), "{}", found.message);
        assert_eq!(disk_full("fine", dir.path()), None);
    }
}
