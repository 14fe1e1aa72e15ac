//! A command without a sandbox of its own: with a session, and within the rules that are
//! given.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use fork::Fork;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group,
    set_child_subreaper, set_dumpable_behavior, wait,
};

use super::super::child::{self, Input, Variables};
use super::super::confine::Confinement;
use super::super::link::{Report, during};
use crate::text::with_causes;

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
    // Its descriptors and its memory are not for the command.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let Some(rules) = rules else {
        return child::run(argv, env, cwd, input, end);
    };
    // The rules are for the command alone: they keep it from this process.
    match fork::fork().map_err(during("start the command"))? {
        Fork::Child => {
            let failed = confined(argv, env, cwd, rules, input);
            failed.send();
            std::process::exit(child::NOT_STARTED);
        }
        Fork::Parent(pid) => {
            let pid = Pid::from_raw(pid).ok_or("the command has no number")?;
            child::follow(pid, end)
        }
    }
}

/// Becomes the command; returns only why it could not.
fn confined(
    argv: &[String],
    env: &Variables,
    cwd: &Path,
    rules: &Confinement,
    input: Input,
) -> Report {
    let Some(mut command) = child::command(argv, env, cwd) else {
        return Report::Refused("the command is empty".to_owned());
    };
    if input == Input::Terminal
        && let Err(error) = child::control(&mut command)
    {
        return Report::Refused(format!("take the terminal: {error}"));
    }
    if let Err(error) = rules.enforce() {
        let error = with_causes(&error);
        return Report::Refused(format!("confine it with Landlock: {error}"));
    }
    let error = command.exec();
    if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) {
        let _ = child::shell(&command, argv, env, cwd).exec();
    }
    let _ = writeln!(std::io::stderr(), "cannot start `{}`: {error}", argv[0]);
    Report::Exit(child::NOT_STARTED)
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
