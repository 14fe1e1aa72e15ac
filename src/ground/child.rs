//! A command as the child of the process that starts it, reports how it ended, and ends
//! what is left of it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, wait};

use super::link::{Report, STOP, during};
use super::running;

/// The exit code of a command that could not be started, as a shell has it.
const NOT_STARTED: i32 = 127;

/// The variables of a command.
pub(crate) type Variables = BTreeMap<String, String>;

/// Runs `argv` in `cwd`, in a group of its own, until it ends or the program that asked
/// for it is gone. Then `end` ends everything that it left behind.
///
/// # Errors
///
/// It was started, and cannot be waited for.
pub(super) fn run(
    argv: &[String],
    env: &Variables,
    cwd: &Path,
    end: fn(Pid),
) -> Result<Report, String> {
    let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
    let path = found(program, env, cwd);
    let start = |command: &mut Command| {
        command
            .args(arguments)
            .env_clear()
            .envs(env)
            .current_dir(cwd)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
    };
    let mut started = start(Command::new(&path).arg0(program));
    if let Err(error) = &started
        && error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
    {
        // A script that names no interpreter.
        started = start(Command::new("/bin/sh").arg(&path));
    }
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot start `{program}`: {error}");
            return Ok(Report::Exit(NOT_STARTED));
        }
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("the command has no number")?;
    std::thread::spawn(move || {
        listen(pid);
        end(pid);
        // It ends this process, and with it a sandbox.
        std::process::exit(1);
    });
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => {
                end(pid);
                return Ok(report(status));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(during("wait for the command")(error.into())),
        }
    }
}

/// The program as the variables' `PATH` has it: a program that is given as a path starts
/// without a copy of this process.
fn found(program: &str, env: &Variables, cwd: &Path) -> PathBuf {
    if program.contains('/') {
        return program.into();
    }
    let folders = env.get("PATH").into_iter().flat_map(|path| path.split(':'));
    let executable = |path: &PathBuf| {
        let facts = std::fs::metadata(path);
        facts.is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    let mut places = folders.map(|folder| cwd.join(folder).join(program));
    places.find(executable).unwrap_or_else(|| program.into())
}

fn report(status: WaitStatus) -> Report {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Report::Exit(code),
        (None, signal) => Report::Signal(signal.unwrap_or(0)),
    }
}

/// Reports what is running and forwards the request to stop to the command; returns at the end of the input.
fn listen(command: Pid) {
    let mut byte = [0];
    while let Ok(1) = io::stdin().lock().read(&mut byte) {
        if byte[0] == STOP {
            Report::Running(running::below(getpid())).send();
            let _ = kill_process_group(command, Signal::TERM);
        }
    }
}
