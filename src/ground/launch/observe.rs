//! A command that is observed while it runs: which files and programs it uses.
//!
//! The command is traced. A filter stops it only at system calls that take a path. See
//! adr/0054, "A tracer finds what a command uses".

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use fork::Fork;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use serde::{Deserialize, Serialize};

use super::super::child::{self, Input};
use super::super::folders::lexical;
use super::super::link::{Report, during};
use super::super::services::{Control, Streams};
use super::plan::Plan;
use crate::disk;

/// Maximum length of a path, in bytes, as the kernel has it.
const MAX_PATH: usize = 4096;

/// What a command used, as absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Files and links that were there when it opened them or asked about them.
    pub read: BTreeSet<PathBuf>,
    /// Programs that it started.
    pub started: BTreeSet<PathBuf>,
}

/// A system call that takes a path.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// Which argument is the descriptor of the folder that the path is relative to;
    /// `None`: the working directory.
    folder: Option<usize>,
    path: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Opens it, with the flags in this argument.
    Open(usize),
    Ask,
    Start,
}

/// The system calls that are looked at, by number.
fn calls() -> BTreeMap<i64, Call> {
    let at = |what| Call {
        folder: Some(0),
        path: 1,
        what,
    };
    let mut calls = BTreeMap::from([
        (libc::SYS_openat, at(What::Open(2))),
        // Its flags are in memory; what it creates was not there before.
        (libc::SYS_openat2, at(What::Ask)),
        (libc::SYS_newfstatat, at(What::Ask)),
        (libc::SYS_statx, at(What::Ask)),
        (libc::SYS_faccessat, at(What::Ask)),
        (libc::SYS_faccessat2, at(What::Ask)),
        (libc::SYS_readlinkat, at(What::Ask)),
        (libc::SYS_execveat, at(What::Start)),
    ]);
    let plain = |what| Call {
        folder: None,
        path: 0,
        what,
    };
    calls.insert(libc::SYS_execve, plain(What::Start));
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        (libc::SYS_open, plain(What::Open(1))),
        (libc::SYS_stat, plain(What::Ask)),
        (libc::SYS_lstat, plain(What::Ask)),
        (libc::SYS_access, plain(What::Ask)),
        (libc::SYS_readlink, plain(What::Ask)),
    ]);
    calls
}

/// Runs a command and writes what it used to the file at `to`.
pub(super) fn observe(plan: &Plan, cwd: &Path, to: &Path) -> Result<Report, String> {
    // It leads no session yet: it has just been started.
    let _ = rustix::process::setsid();
    let calls = calls();
    let first = match fork::fork().map_err(during("start the command"))? {
        Fork::Child => become_traced(plan, cwd, &calls)?,
        Fork::Parent(pid) => Pid::from_raw(pid),
    };
    if let Some(pid) = rustix::process::Pid::from_raw(first.as_raw()) {
        // With this process, all that it traces ends.
        child::end_with_input(pid, |_| ());
    }
    let mut seen = Seen::default();
    let report = trace(first, &calls, &mut seen);
    let report = report.map_err(|error| format!("trace the command: {error}"))?;
    let document = serde_json::to_vec(&seen).map_err(|error| error.to_string())?;
    let written = disk::write(to, &document);
    written.map_err(|error| format!("write what was seen: {error}"))?;
    Ok(report)
}

/// Becomes the command, or the process that starts it beside its services, traced by the
/// process that started this one.
fn become_traced(plan: &Plan, cwd: &Path, calls: &BTreeMap<i64, Call>) -> Result<Pid, String> {
    let wrong = |error: nix::Error| format!("trace the command: {error}");
    ptrace::traceme().map_err(wrong)?;
    // The tracer sets its options meanwhile.
    raise(Signal::SIGSTOP).map_err(wrong)?;
    let rules = calls.keys().map(|call| (*call, Vec::new())).collect();
    let program = std::env::consts::ARCH.try_into().and_then(|machine| {
        SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Trace(0),
            machine,
        )
    });
    let program = program.and_then(BpfProgram::try_from);
    let program = program.map_err(|error| format!("filter system calls: {error}"))?;
    apply_filter(&program).map_err(|error| format!("filter system calls: {error}"))?;
    let Plan { argv, env, .. } = plan;
    if !plan.services.is_empty() {
        let start = |argv: &[String], streams: Option<Streams>| {
            child::start(argv, env, cwd, Input::Empty, streams)
        };
        let report = plan.beside_services(&start, || (), Control::None)?;
        let code = match report {
            Report::Exit(code) => code,
            Report::Signal(signal) => 128 + signal,
            other => {
                other.send();
                child::NOT_STARTED
            }
        };
        std::process::exit(code);
    }
    let Some(mut command) = child::command(argv, env, cwd) else {
        return Err("the command is empty".to_owned());
    };
    let error = command.exec();
    let _ = writeln!(std::io::stderr(), "cannot start `{}`: {error}", argv[0]);
    std::process::exit(child::NOT_STARTED);
}

/// Follows the command and all it starts until it ends.
fn trace(first: Pid, calls: &BTreeMap<i64, Call>, seen: &mut Seen) -> nix::Result<Report> {
    // It has stopped itself.
    waitpid(first, None)?;
    ptrace::setoptions(
        first,
        Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            // Without it, a new program receives a signal.
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_EXITKILL,
    )?;
    ptrace::cont(first, None)?;
    let mut known = BTreeSet::from([first]);
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(nix::Error::EINTR) => continue,
            status => status?,
        };
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, code) if pid == first => return Ok(Report::Exit(code)),
            WaitStatus::Signaled(pid, signal, _) if pid == first => {
                return Ok(Report::Signal(signal as i32));
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == libc::PTRACE_EVENT_SECCOMP {
                    look(pid, calls, seen);
                }
                (pid, None)
            }
            // A new process stops before it begins.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) if known.insert(pid) => (pid, None),
            WaitStatus::Stopped(pid, signal) => {
                known.insert(pid);
                (pid, Some(signal))
            }
            _ => continue,
        };
        // One that was killed meanwhile reports that next.
        let _ = ptrace::cont(pid, signal);
    }
}

/// Notes what the system call, at which `pid` stands, is about.
fn look(pid: Pid, calls: &BTreeMap<i64, Call>, seen: &mut Seen) {
    let Some((number, arguments)) = call_of(pid) else {
        return;
    };
    let Some(call) = calls.get(&number) else {
        return;
    };
    if let What::Open(flags) = call.what {
        let flags = i32::try_from(arguments[flags]).unwrap_or(0);
        if flags & libc::O_ACCMODE == libc::O_WRONLY || flags & libc::O_TRUNC != 0 {
            return;
        }
    }
    let folder = match call.folder.map(|at| arguments[at]) {
        // As the kernel does, only the lower half of the number counts.
        Some(number) => match i32::try_from(number & 0xffff_ffff) {
            Ok(number) => format!("/proc/{pid}/fd/{number}"),
            Err(_) => format!("/proc/{pid}/cwd"),
        },
        None => format!("/proc/{pid}/cwd"),
    };
    let Some(path) = text_at(pid, arguments[call.path]).filter(|path| !path.is_empty()) else {
        return;
    };
    let path = match path.starts_with('/') {
        true => PathBuf::from(path),
        false => match fs::read_link(folder) {
            Ok(folder) => folder.join(path),
            Err(_) => return,
        },
    };
    let path = lexical(&path);
    if call.what == What::Start {
        // A search along PATH tries more than there is.
        if path.is_file() {
            seen.started.insert(path);
        }
        return;
    }
    match fs::symlink_metadata(&path) {
        Ok(facts) if facts.is_symlink() => {
            // What it leads to is used as well.
            if let Ok(target) = fs::canonicalize(&path)
                && target.is_file()
            {
                seen.read.insert(target);
            }
            seen.read.insert(path);
        }
        Ok(facts) if facts.is_file() => drop(seen.read.insert(path)),
        _ => {}
    }
}

/// The number and the first arguments of the system call.
#[cfg(target_arch = "x86_64")]
fn call_of(pid: Pid) -> Option<(i64, [u64; 4])> {
    let held = ptrace::getregs(pid).ok()?;
    let number = i64::from_ne_bytes(held.orig_rax.to_ne_bytes());
    Some((number, [held.rdi, held.rsi, held.rdx, held.r10]))
}

/// The number and the first arguments of the system call.
#[cfg(target_arch = "aarch64")]
fn call_of(pid: Pid) -> Option<(i64, [u64; 4])> {
    let held = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(pid).ok()?;
    let number = i64::from_ne_bytes(held.regs[8].to_ne_bytes());
    Some((
        number,
        [held.regs[0], held.regs[1], held.regs[2], held.regs[3]],
    ))
}

/// Nothing: how arguments are passed is not known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn call_of(_: Pid) -> Option<(i64, [u64; 4])> {
    None
}

/// The text at an address of the process; `None`: it cannot be read.
fn text_at(pid: Pid, address: u64) -> Option<String> {
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.seek(SeekFrom::Start(address)).ok()?;
    let mut text = Vec::new();
    let mut piece = [0; 256];
    while text.len() < MAX_PATH {
        // What follows the text may not be readable.
        let count = memory.read(&mut piece).ok().filter(|count| *count > 0)?;
        match piece[..count].iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend(&piece[..end]);
                return String::from_utf8(text).ok();
            }
            None => text.extend(&piece[..count]),
        }
    }
    None
}
