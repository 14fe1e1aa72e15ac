//! A command without a sandbox of its own: with a session, and within the rules that are
//! given.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use fork::Fork;
use rustix::process::{
    DumpableBehavior, Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper,
    set_dumpable_behavior,
};

use super::super::child::{self, Input, Variables};
use super::super::confine::Confinement;
use super::super::link::{Report, during};
use super::super::services::{Control, Streams};
use super::plan::Plan;
use crate::text::with_causes;

/// How often what is left of a command is killed, a millisecond apart: each time, the
/// children of what was killed may have become this process's own.
const MAX_ROUNDS: usize = 1000;

/// Runs a command, and ends all that is left of it.
pub(super) fn supervise(
    plan: &Plan,
    cwd: &Path,
    rules: Option<&Confinement>,
) -> Result<Report, String> {
    prepare();
    let Plan { argv, env, .. } = plan;
    let start = |argv: &[String], streams: Option<Streams>| {
        let input = plan.input_of(streams.is_some());
        match rules {
            Some(rules) => start_confined(argv, (env, cwd), rules, input, streams).map(Some),
            None => child::start(argv, env, cwd, input, streams),
        }
    };
    if !plan.services.is_empty() {
        return plan.beside_services(&start, end_children, Control::Input);
    }
    match start(argv, None)? {
        Some(pid) => child::follow(pid, end),
        None => Ok(Report::Exit(child::NOT_STARTED)),
    }
}

/// Runs a command without rules, with `streams` as its outputs, and ends all that is left
/// of it. More may follow.
pub(super) fn once(plan: &Plan, cwd: &Path, streams: Streams) -> Result<Report, String> {
    let Plan {
        argv, env, input, ..
    } = plan;
    child::run(argv, env, cwd, *input, Some(streams), end)
}

/// Makes this process one that has nothing of its starter's, and collects what commands
/// leave behind.
pub(super) fn prepare() {
    // It leads no session yet: it has just been started. The command is to have no
    // terminal: a question to the user would stop a build.
    let _ = rustix::process::setsid();
    // What a command leaves behind becomes this process's child, and can be ended.
    let _ = set_child_subreaper(Some(getpid()));
    // Its descriptors and its memory are not for the command.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Starts a process within the rules: they are for it alone, and keep it from this
/// process.
fn start_confined(
    argv: &[String],
    (env, cwd): (&Variables, &Path),
    rules: &Confinement,
    input: Input,
    streams: Option<Streams>,
) -> Result<Pid, String> {
    match fork::fork().map_err(during("start the command"))? {
        Fork::Child => {
            let is_command = streams.is_none();
            let failed = match connect(streams) {
                Ok(()) => confined(argv, env, cwd, rules, input),
                Err(error) => Report::Refused(format!("connect the command: {error}")),
            };
            // The end of another process is not that of the command.
            if is_command || matches!(failed, Report::Refused(_)) {
                failed.send();
            }
            std::process::exit(child::NOT_STARTED);
        }
        Fork::Parent(pid) => {
            Pid::from_raw(pid).ok_or_else(|| "the command has no number".to_owned())
        }
    }
}

fn connect(streams: Option<Streams>) -> std::io::Result<()> {
    let Some([stdout, stderr]) = streams else {
        return Ok(());
    };
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    Ok(())
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
    end_children();
}

/// Kills the children of this process, and those that become its own by that.
fn end_children() {
    for _ in 0..MAX_ROUNDS {
        // To list them costs more than all else here, and most commands leave nothing.
        if !child::has_children() {
            break;
        }
        for pid in children() {
            let _ = kill_process(pid, Signal::KILL);
        }
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
