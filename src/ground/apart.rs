//! What a thread gives up before it starts a command, so that the command and its
//! children start without it.
//!
//! Used by `process` and `confine`, on a thread created for one command: it gets its
//! own umask, cannot see other processes, and keeps only those of root's rights that
//! concern files. It never affects the whole process.

use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, capabilities, set_capabilities};

/// The umask of every command. With the user's own, outputs would differ between
/// users, and no key covers it.
pub(crate) const UMASK: u32 = 0o022;

/// The rights of root that a confined command keeps: those over files, users and its
/// own processes. Without the others, Landlock keeps it from the memory and
/// environment of other processes; the kernel does not ask Landlock about a process
/// that may monitor performance (`CAP_PERFMON`) or administer the system.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT);

/// Whether the user's umask is [`UMASK`] already; read once.
pub(crate) fn has_usual_umask() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    // Asking the system for it would change it for a moment.
    let read = || {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    };
    *ANSWER.get_or_init(|| read() == Some(UMASK))
}

/// Sets the usual umask for the processes that the calling thread starts.
///
/// # Errors
///
/// The system does not let a thread have its own, as in some containers.
pub(crate) fn set_umask() -> io::Result<()> {
    unshare(UnshareFlags::FS)?;
    rustix::process::umask(Mode::from_bits_truncate(UMASK));
    Ok(())
}

/// Closes the files that the caller of this program left open when a command starts: no
/// key covers what the command would read from them.
pub(crate) fn close_inherited() {
    const FIRST_AFTER_STDERR: i32 = 3;
    close_fds::set_fds_cloexec(FIRST_AFTER_STDERR, &[]);
}

/// Whether this process has files open beside its input and outputs.
pub(crate) fn has_inherited() -> bool {
    // The listing has a descriptor of its own.
    fs::read_dir("/proc/self/fd").is_ok_and(|open| open.count() > 4)
}

/// Hides processes that a confined command may not trace, which are all but its own:
/// their command lines may hold secrets. Only root may do this; for other users,
/// nothing changes.
pub(crate) fn hide_processes() {
    let hidden = || -> io::Result<()> {
        unshare(UnshareFlags::NEWNS)?;
        let inward = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", inward)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", "/proc", "proc", flags, c"hidepid=ptraceable")?;
        Ok(())
    };
    let _ = hidden();
}

/// Drops root's rights other than [`KEPT`]. Programs cannot get them back: the thread
/// has `no_new_privs` set.
///
/// # Errors
///
/// The system refused.
pub(crate) fn drop_rights() -> io::Result<()> {
    let CapabilitySets { permitted, .. } = capabilities(None)?;
    let kept = permitted & KEPT;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "it is unsound for the table of file descriptors alone, which is not unshared here"
    )]
    let done = rustix::thread::unshare(flags);
    Ok(done?)
}
