//! A command as the child of the process that starts it, reports how it ended, and ends
//! what is left of it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, wait};
use serde::{Deserialize, Serialize};

use crate::disk;

use super::link::{Report, STOP, during};
use super::running;

/// The exit code of a command that could not be started, as a shell has it.
pub(super) const NOT_STARTED: i32 = 127;

/// The variables of a command.
pub(crate) type Variables = BTreeMap<String, String>;

/// What a command reads as its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Input {
    Empty,
    /// The terminal that is its output, which it controls.
    Terminal,
}

/// Runs `argv` in `cwd` as [`start`] does, until it ends or the program that asked for it
/// is gone. Then `end` ends everything that it left behind.
///
/// # Errors
///
/// It was started, and cannot be waited for.
pub(super) fn run(
    argv: &[String],
    env: &Variables,
    cwd: &Path,
    input: Input,
    streams: Option<[OwnedFd; 2]>,
    end: fn(Pid),
) -> Result<Report, String> {
    // Of the streams, only the command has a copy from here on.
    match start(argv, env, cwd, input, streams)? {
        Some(pid) => follow(pid, end),
        None => Ok(Report::Exit(NOT_STARTED)),
    }
}

/// Starts `argv` in `cwd`, in a group of its own, with its outputs to `streams`, or to
/// those of this process. `None`: it cannot start, and its error output says why.
///
/// # Errors
///
/// It has no program, or cannot be connected.
pub(super) fn start(
    argv: &[String],
    env: &Variables,
    cwd: &Path,
    input: Input,
    streams: Option<[OwnedFd; 2]>,
) -> Result<Option<Pid>, String> {
    let mut command = command(argv, env, cwd).ok_or("the command is empty")?;
    if input == Input::Terminal {
        control(&mut command).map_err(during("take the terminal"))?;
    }
    let connect = |command: &mut Command| -> io::Result<()> {
        if let Some([stdout, stderr]) = &streams {
            command.stdout(stdout.try_clone()?);
            command.stderr(stderr.try_clone()?);
        }
        Ok(())
    };
    connect(&mut command).map_err(during("connect the command"))?;
    let mut started = command.spawn();
    if let Err(error) = &started
        && error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
    {
        let mut shell = shell(&command, argv, env, cwd);
        connect(&mut shell).map_err(during("connect the command"))?;
        started = shell.spawn();
    }
    match started {
        Ok(child) => {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            pid.map(Some)
                .ok_or_else(|| "the command has no number".to_owned())
        }
        Err(error) => {
            let text = format!("cannot start `{}`: {error}\n", argv[0]);
            let _ = match &streams {
                Some([_, stderr]) => rustix::io::write(stderr, text.as_bytes()).is_ok(),
                None => io::stderr().write_all(text.as_bytes()).is_ok(),
            };
            Ok(None)
        }
    }
}

/// The signal CHLD, kept from this process while it waits for the end of children.
struct Ends(SignalFd);

impl Ends {
    fn awaited() -> nix::Result<Self> {
        let mask = Self::mask();
        mask.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&mask, flags)?))
    }

    fn mask() -> SigSet {
        let mut mask = SigSet::empty();
        mask.add(nix::sys::signal::Signal::SIGCHLD);
        mask
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // The next command would start with it.
        let _ = Self::mask().thread_unblock();
    }
}

/// Waits for the command `pid`, a child of this process that leads a group, as [`run`]
/// does. This process ends when the program that asked for the command is gone.
///
/// # Errors
///
/// It cannot be waited for.
pub(super) fn follow(pid: Pid, end: fn(Pid)) -> Result<Report, String> {
    let ends = Ends::awaited().map_err(|error| during("wait for the command")(error.into()))?;
    let input = rustix::stdio::stdin();
    loop {
        if let Some(status) = reaped(pid).map_err(during("wait for the command"))? {
            end(pid);
            return Ok(report(status));
        }
        let asked = PollFd::from_borrowed_fd(input, PollFlags::IN);
        let mut both = [asked, PollFd::new(&ends.0, PollFlags::IN)];
        // An interrupted call is made again.
        let _ = poll(&mut both, None);
        while let Ok(Some(_)) = ends.0.read_signal() {}
        if both[0].revents().is_empty() {
            continue;
        }
        let mut byte = [0];
        match rustix::io::read(input, &mut byte) {
            Ok(1) if byte[0] == STOP => stop(pid),
            Ok(1) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => {
                end(pid);
                std::process::exit(1);
            }
        }
    }
}

/// How `pid` ended, if it has; collects all other processes that have ended.
fn reaped(pid: Pid) -> io::Result<Option<WaitStatus>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            // A command may have asked to be traced: its signals come here first.
            Ok(Some((ended, status))) if ended == pid && status.stopped() => resume(pid, status),
            Ok(Some((ended, status))) if ended == pid => return Ok(Some(status)),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets a traced child that has stopped go on, with the signal that it got. Without that,
/// it would stay as it is.
fn resume(pid: Pid, status: WaitStatus) {
    let signal = status.stopping_signal();
    let signal = signal.and_then(|signal| nix::sys::signal::Signal::try_from(signal).ok());
    let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    let _ = nix::sys::ptrace::cont(pid, signal);
}

/// Whether this process still has children, once those that have ended are collected.
pub(super) fn has_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Gives the command the terminal that is the output of this process, as the leader of a
/// session, and its group: a shell that controls jobs makes a group of its own, and
/// expects to start in the foreground.
pub(super) fn control(command: &mut Command) -> io::Result<()> {
    // It fails if this process leads one already.
    let _ = rustix::process::setsid();
    let terminal = rustix::stdio::stdout();
    rustix::process::ioctl_tiocsctty(terminal)?;
    let input = rustix::io::fcntl_dupfd_cloexec(terminal, 3)?;
    let own = rustix::process::getpgrp().as_raw_nonzero().get();
    command.stdin(Stdio::from(input)).process_group(own);
    Ok(())
}

/// The command, in a group of its own and with an empty input; `None`: it is empty.
pub(super) fn command(argv: &[String], env: &Variables, cwd: &Path) -> Option<Command> {
    let (program, arguments) = argv.split_first()?;
    let mut command = Command::new(found(program, env, cwd));
    command.arg0(program).args(arguments);
    prepared(&mut command, env, cwd);
    Some(command)
}

/// The shell with the program of `command`, which is a script that names no interpreter.
pub(super) fn shell(command: &Command, argv: &[String], env: &Variables, cwd: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg(command.get_program()).args(&argv[1..]);
    prepared(&mut shell, env, cwd);
    shell
}

fn prepared<'c>(command: &'c mut Command, env: &Variables, cwd: &Path) -> &'c mut Command {
    command
        .env_clear()
        .envs(env)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .process_group(0)
}

/// Ends this process when the program that asked for the command is gone, after `end`
/// has ended the command; forwards its request to stop until then.
pub(super) fn end_with_input(command: Pid, end: fn(Pid)) {
    std::thread::spawn(move || {
        listen(command);
        end(command);
        std::process::exit(1);
    });
}

/// The program as the variables' `PATH` has it: a program that is given as a path starts
/// without a copy of this process.
fn found(program: &str, env: &Variables, cwd: &Path) -> PathBuf {
    if program.contains('/') {
        return program.into();
    }
    let folders = env.get("PATH").into_iter().flat_map(|path| path.split(':'));
    let executable = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|f| disk::is_program(&f));
    let mut places = folders.map(|folder| cwd.join(folder).join(program));
    places.find(executable).unwrap_or_else(|| program.into())
}

/// How a child ended.
pub(super) fn report(status: WaitStatus) -> Report {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Report::Exit(code),
        (None, signal) => Report::Signal(signal.unwrap_or(0)),
    }
}

/// Forwards requests to stop to the command; returns at the end of the input.
fn listen(command: Pid) {
    let mut byte = [0];
    while let Ok(1) = rustix::io::read(rustix::stdio::stdin(), &mut byte) {
        if byte[0] == STOP {
            stop(command);
        }
    }
}

/// Reports what is running, and asks the command to end.
fn stop(command: Pid) {
    Report::Running(running::below(getpid())).send();
    let _ = kill_process_group(command, Signal::TERM);
}
