//! `internal launcher`: a process with one thread, which starts a copy of itself for
//! each command. A copy costs a fraction of a new start of this program.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use fork::Fork;
use rustix::fs::Mode;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use rustix::process::{WaitOptions, wait};

use super::super::apart::{self, UMASK};
use super::super::child;
use super::super::link::{Report, during};
use super::super::sandbox::{self, Root, Shared, Template};
use super::super::services::{Control, Streams};
use super::observe::observe;
use super::plan::{Place, Plan, Purpose};
use super::supervise::{self, supervise};
use super::{CLOSED, INSIDE, NAME, NAMESPACES, PIECE_BYTES};

/// Maximum length of a plan, in bytes: a command line and its variables.
const MAX_PLAN_BYTES: usize = 64 << 20;

/// Starts commands as its input says, until that ends; in namespaces, if `args` say so.
/// `program` is this program.
#[must_use]
pub fn launcher(program: &Path, args: &[OsString]) -> ExitCode {
    let stage = args
        .first()
        .and_then(|arg| arg.to_str())
        .unwrap_or_default();
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    apart::close_inherited();
    let mut refused = None;
    // Commands could reach what this program's caller left open, through their parents: a
    // new start closes it.
    if stage.is_empty() && apart::has_inherited() {
        let mut command = Command::new(program);
        let again = command.arg0(NAME).args(["internal", NAME, CLOSED]).exec();
        refused = Some(during("start again")(again));
    }
    if stage == NAMESPACES {
        let left = sandbox::leave(program).map(|()| {
            // From here on, its own file is the one that is mounted read-only.
            let mut command = Command::new(program);
            command.arg0(NAME).args(["internal", NAME, INSIDE]).exec()
        });
        refused = Some(left.map_or_else(|why| why, during("start again")));
    }
    serve(&Starts::Launchers, refused.as_deref())
}

/// The connections of a process that is to be started: its input, output and error
/// output.
type Ends = [OwnedFd; 3];

/// What a launcher starts.
enum Starts {
    /// Commands on this machine, or launchers of commands in namespaces.
    Launchers,
    /// Commands in namespaces with this part of a root, or the reason why not.
    Commands(Result<Template, String>),
}

fn serve(starts: &Starts, refused: Option<&str>) -> ExitCode {
    loop {
        // Those that have ended since.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let (purpose, streams) = match receive() {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(_) => return ExitCode::FAILURE,
        };
        let refused = match (refused, starts) {
            (Some(why), _) => Some(why.to_owned()),
            (None, Starts::Commands(Ok(template))) if purpose == Purpose::Worker => {
                template.beside().err()
            }
            (None, Starts::Commands(Ok(template))) => template.next().err(),
            (None, Starts::Commands(Err(why))) => Some(why.clone()),
            (None, Starts::Launchers) => None,
        };
        match fork::fork() {
            Ok(Fork::Child) => return copied(purpose, streams, starts, refused),
            // The caller finds the connection closed.
            Ok(Fork::Parent(_)) | Err(_) => {}
        }
    }
    // The last ones end as well.
    while let Ok(Some(_)) = wait(WaitOptions::empty()) {}
    ExitCode::SUCCESS
}

/// Does what a copy of a launcher is for.
fn copied(purpose: Purpose, streams: Ends, starts: &Starts, refused: Option<String>) -> ExitCode {
    if let Err(error) = connect(streams) {
        Report::Refused(during("connect the command")(error)).send();
        return ExitCode::SUCCESS;
    }
    if purpose == Purpose::Shared {
        return shared(refused);
    }
    match (purpose, &refused, starts) {
        (Purpose::Worker, None, Starts::Launchers) => return work(&once_here),
        (Purpose::Worker, None, Starts::Commands(Ok(template))) => {
            return work(&|plan, streams| once_within(template, plan, streams));
        }
        _ => {}
    }
    let done = match (refused, starts) {
        (Some(why), _) => Err(why),
        (None, Starts::Launchers) => on_this_machine(),
        (None, Starts::Commands(Ok(template))) => within(template, purpose),
        (None, Starts::Commands(Err(why))) => Err(why.clone()),
    };
    done.unwrap_or_else(Report::Refused).send();
    ExitCode::SUCCESS
}

/// Becomes a launcher of commands that share a part of their roots, unless it was
/// `refused`.
fn shared(refused: Option<String>) -> ExitCode {
    let received = receive_shared();
    let made = refused.map_or(received, Err).and_then(|(at, shared)| {
        sandbox::apart(|| serve(&Starts::Commands(Template::make(&at, &shared)), None))
    });
    // It says why to those that want commands.
    made.unwrap_or_else(|why| serve(&Starts::Launchers, Some(&why)))
}

/// The folder on which a part of roots is made, and that part.
fn receive_shared() -> Result<(PathBuf, Shared), String> {
    let read = |error: io::Error| during("read what roots share")(error);
    let mut length = [0; 8];
    rustix::io::read(rustix::stdio::stdin(), &mut length).map_err(|error| read(error.into()))?;
    let length = u64::from_le_bytes(length).min(MAX_PLAN_BYTES as u64);
    let mut text = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    while (text.len() as u64) < length {
        match rustix::io::read(rustix::stdio::stdin(), &mut piece) {
            Ok(0) => return Err(read(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(read(error.into())),
        }
    }
    serde_json::from_slice(&text).map_err(|error| read(error.into()))
}

/// The next request; `None`: the program that makes them has ended.
fn receive() -> io::Result<Option<(Purpose, Ends)>> {
    let Some((byte, streams)) = receive_files::<3>()? else {
        return Ok(None);
    };
    let purpose = Purpose::of(byte).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((purpose, streams)))
}

/// A byte, and the files that came with it; `None`: the input has ended.
fn receive_files<const COUNT: usize>() -> io::Result<Option<(u8, [OwnedFd; COUNT])>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut passed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        rustix::stdio::stdin(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut passed,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut files = Vec::new();
    for message in passed.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    let files = files.try_into();
    let files = files.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((byte[0], files)))
}

fn connect(streams: Ends) -> io::Result<()> {
    let [input, output, error] = streams;
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(error)?;
    Ok(())
}

/// The plan at the beginning of the input. What follows it stays there: requests are
/// waited for on the descriptor.
fn plan() -> Result<Plan, String> {
    let wrong = during("read the plan");
    let line = first_line(rustix::stdio::stdin()).map_err(wrong)?;
    serde_json::from_slice(&line).map_err(|error| format!("read the plan: {error}"))
}

fn first_line(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while line.len() < MAX_PLAN_BYTES {
        let (seen, _) = recv(socket, &mut piece[..], RecvFlags::PEEK)?;
        let end = memchr::memchr(b'\n', &piece[..seen]);
        let wanted = end.map_or(seen, |end| end + 1);
        let (taken, _) = recv(socket, &mut piece[..wanted], RecvFlags::empty())?;
        line.extend(&piece[..taken]);
        if taken == 0 || end.is_some_and(|end| taken > end) {
            return Ok(line);
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// Runs the command of a plan without namespaces.
fn on_this_machine() -> Result<Report, String> {
    let plan = plan()?;
    match &plan.place {
        Place::Here { cwd, rules } => supervise(&plan, cwd, rules.as_ref()),
        Place::Open { cwd, seen } => observe(&plan, cwd, seen),
        Place::Within(_) => Err("it needs namespaces".to_owned()),
    }
}

/// Runs the command of a plan as the first process of its namespaces; of a trial, nothing.
fn within(template: &Template, purpose: Purpose) -> Result<Report, String> {
    if purpose == Purpose::Trial {
        template.enter(&Root::trial())?;
        return Ok(Report::Exit(0));
    }
    let plan = plan()?;
    let Place::Within(root) = &plan.place else {
        return Err("it needs a root".to_owned());
    };
    template.enter(root)?;
    if plan.services.is_empty() {
        return first(&plan, root, None);
    }
    let env = &plan.env;
    let start = |argv: &[String], streams: Option<Streams>| {
        let input = plan.input_of(streams.is_some());
        child::start(argv, env, &root.cwd, input, streams)
    };
    plan.beside_services(&start, sandbox::end, Control::Input)
}

/// Runs the command of a plan, whose root this process is in, as the first process of its
/// namespaces.
fn first(plan: &Plan, root: &Root, streams: Option<Streams>) -> Result<Report, String> {
    let Plan {
        argv, env, input, ..
    } = plan;
    child::run(argv, env, &root.cwd, *input, streams, |_| sandbox::end())
}

/// What a process that runs several commands does for one of them. `None`: another process
/// has reported how it ended.
type Once<'a> = &'a dyn Fn(&Plan, Streams) -> Result<Option<Report>, String>;

/// Runs commands, each after the end of the one before.
fn work(once: Once<'_>) -> ExitCode {
    supervise::prepare();
    loop {
        let streams = match receive_files::<2>() {
            Ok(Some((_, streams))) => streams,
            // A request to stop may come when the command has ended.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
            Ok(None) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::FAILURE,
        };
        let done = plan().and_then(|plan| match plan.needs_no_process() {
            true => once(&plan, streams),
            false => Err("it needs a process of its own".to_owned()),
        });
        match done {
            Ok(Some(report)) => report.send(),
            Ok(None) => {}
            Err(why) => {
                // What failed may have been done in part: the next one starts elsewhere.
                Report::Refused(why).send();
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Runs one command without a sandbox.
fn once_here(plan: &Plan, streams: Streams) -> Result<Option<Report>, String> {
    match &plan.place {
        Place::Here { cwd, rules: None } => supervise::once(plan, cwd, streams).map(Some),
        _ => Err("it needs a sandbox".to_owned()),
    }
}

/// Runs one command in a root of its own.
///
/// This process makes what of the root another one can make for it, and then starts the
/// first process: what a copy of this process touches costs more than what this process
/// does.
fn once_within(
    template: &Template,
    plan: &Plan,
    streams: Streams,
) -> Result<Option<Report>, String> {
    let Place::Within(root) = &plan.place else {
        return Err("it needs no root".to_owned());
    };
    template.next()?;
    template.surround(root)?;
    match fork::fork().map_err(during("start the first process"))? {
        Fork::Child => {
            let done = template
                .begin()
                .and_then(|()| first(plan, root, Some(streams)));
            done.unwrap_or_else(Report::Refused).send();
            std::process::exit(0);
        }
        Fork::Parent(pid) => {
            drop(streams);
            // It has reported, or else never will: in either case, not this process.
            if !sandbox::succeeded(pid) || template.leave().is_err() {
                std::process::exit(1);
            }
            Ok(None)
        }
    }
}
