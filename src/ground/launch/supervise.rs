//! A command without a sandbox of its own: with a session, and within the rules that are
//! given.

use std::path::Path;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait,
};

use super::super::child::{self, Input, Variables};
use super::super::confine::Confinement;
use super::super::link::Report;

/// How often what is left of a command is killed, a millisecond apart: each time, the
/// children of what was killed may have become this process's own.
const MAX_ROUNDS: usize = 1000;

/// Runs a command, and ends all that is left of it.
pub(super) fn supervise(
    argv: &[String],
    env: &Variables,
    cwd: &Path,
    rules: Option<&Confinement>,
    input: Input,
) -> Result<Report, String> {
    // It leads no session yet: it has just been started. The command is to have no
    // terminal: a question to the user would stop a build.
    let _ = rustix::process::setsid();
    // What a command leaves behind becomes this process's child, and can be ended.
    let _ = set_child_subreaper(Some(getpid()));
    if let Some(rules) = rules {
        let enforced = rules.enforce();
        enforced.map_err(|error| format!("confine it with Landlock: {error}"))?;
    }
    child::run(argv, env, cwd, input, end)
}

/// Kills the group of the command, and what left it.
fn end(command: Pid) {
    let _ = kill_process_group(command, Signal::KILL);
    for _ in 0..MAX_ROUNDS {
        let left = children();
        if left.is_empty() {
            break;
        }
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The children of this process.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads.flatten().filter_map(|thread| {
        let list = thread.path().join("children");
        std::fs::read_to_string(list).ok()
    });
    let lists: Vec<String> = lists.collect();
    let numbers = lists.iter().flat_map(|list| list.split_whitespace());
    numbers
        .filter_map(|number| Pid::from_raw(number.parse().ok()?))
        .collect()
}
