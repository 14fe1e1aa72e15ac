//! Two helpers between this program and the commands it starts, both of which are this
//! program itself: `internal command` becomes the command, and `internal guard` kills
//! commands if this program dies.
//!
//! The standard library can set neither a session nor a umask for a child without
//! unsafe code; a program can for itself. See adr/0041, "Commands start through the
//! program itself".

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::apart::{self, UMASK};

/// The byte that a command waits for.
pub(crate) const BEGIN: &[u8] = b"!";

/// Becomes the program in `argv`, in a session of its own: without a controlling
/// terminal, so that a question to the user fails at once, and with the umask that
/// every command sees. Returns why it could not.
///
/// It waits for a byte on its input, which is sent once the guard watches it: a program
/// that is killed before that leaves a closed input, and no command begins.
#[must_use]
pub fn become_command(argv: &[OsString], mut input: impl Read) -> io::Error {
    let Some((program, arguments)) = argv.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    // It leads no session yet: it has just been started.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    apart::close_inherited();
    if let Err(error) = input.read_exact(&mut [0; BEGIN.len()]) {
        return error;
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).exec()
}

/// Reads process groups, `+1234` when one begins and `-1234` when it has ended, and
/// kills those that are left when the input ends.
pub fn guard(input: impl BufRead) {
    for pid in left(input) {
        end(pid);
    }
}

fn left(input: impl BufRead) -> HashSet<Pid> {
    let mut groups = HashSet::new();
    for line in input.lines().map_while(Result::ok) {
        let (sign, number) = line.split_at_checked(1).unwrap_or_default();
        let Some(pid) = number.parse().ok().and_then(Pid::from_raw) else {
            continue;
        };
        match sign {
            "+" => drop(groups.insert(pid)),
            _ => drop(groups.remove(&pid)),
        }
    }
    groups
}

/// Kills a process group, or its first process if the group does not exist yet.
fn end(pid: Pid) {
    if kill_process_group(pid, Signal::KILL).is_err() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The guard of this process, once a command was started.
static GUARD: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();

/// A command that the guard watches.
pub(crate) struct Guarded(Pid);

impl Guarded {
    /// Lets the guard watch the command `pid`, which leads its group.
    pub(crate) fn new(program: &Path, pid: Pid) -> Self {
        GUARD.get_or_init(|| start(program));
        notify('+', pid);
        Self(pid)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        notify('-', self.0);
    }
}

/// Starts the guard. Without one, commands outlive a program that is killed.
fn start(program: &Path) -> Option<Mutex<ChildStdin>> {
    let mut command = Command::new(program);
    command
        .args(["internal", "guard"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().ok()?.stdin.take().map(Mutex::new)
}

fn notify(sign: char, pid: Pid) {
    if let Some(Some(guard)) = GUARD.get() {
        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        // If the guard has died, commands run without it.
        let _ = guard.write_all(format!("{sign}{}\n", pid.as_raw_nonzero()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_ended_is_left() {
        let found = left(&b"+12\n+13\nx\n\n+0\n-12\n+14\n"[..]);
        let mut found: Vec<i32> = found.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        found.sort_unstable();
        assert_eq!(found, [13, 14]);
    }
}
