//! `internal launcher`: a process with one thread, which starts a copy of itself for
//! each command. A copy costs a fraction of a new start of this program.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use fork::Fork;
use rustix::fs::Mode;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use rustix::process::{WaitOptions, wait};

use super::super::apart::{self, UMASK};
use super::super::child;
use super::super::link::{Report, during};
use super::super::sandbox;
use super::super::services::{self, Control};
use super::observe::observe;
use super::plan::{Place, Plan, Purpose};
use super::supervise::supervise;
use super::{CLOSED, INSIDE, NAME, NAMESPACES};

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
    serve(stage == INSIDE, refused.as_deref())
}

/// The connections of a process that is to be started: its input, output and error
/// output.
type Streams = [OwnedFd; 3];

fn serve(inside: bool, refused: Option<&str>) -> ExitCode {
    loop {
        // Those that have ended since.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let (purpose, streams) = match receive() {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(_) => return ExitCode::FAILURE,
        };
        match fork::fork() {
            Ok(Fork::Child) => {
                let connected = connect(streams);
                let done = match (connected, refused) {
                    (Err(error), _) => Err(during("connect the command")(error)),
                    (_, Some(why)) => Err(why.to_owned()),
                    _ if inside => {
                        sandbox::within(purpose == Purpose::Connected, || match purpose {
                            Purpose::Trial => sandbox::try_root().map(|()| Report::Exit(0)),
                            Purpose::Command | Purpose::Connected => command(true),
                        })
                    }
                    _ => command(false).map(Some),
                };
                if let Some(report) = done.unwrap_or_else(|why| Some(Report::Refused(why))) {
                    report.send();
                }
                return ExitCode::SUCCESS;
            }
            // The caller finds the connection closed.
            Ok(Fork::Parent(_)) | Err(_) => {}
        }
    }
    // The last ones end as well.
    while let Ok(Some(_)) = wait(WaitOptions::empty()) {}
    ExitCode::SUCCESS
}

/// The next request; `None`: the program that makes them has ended.
fn receive() -> io::Result<Option<(Purpose, Streams)>> {
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
    let mut streams = Vec::new();
    for message in passed.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            streams.extend(files);
        }
    }
    let purpose = Purpose::of(byte[0]);
    let request = purpose.zip(streams.try_into().ok());
    request
        .map(Some)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn connect(streams: Streams) -> io::Result<()> {
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

/// Runs the command of a plan; in namespaces, as their first process, if it is `inside`
/// them.
fn command(inside: bool) -> Result<Report, String> {
    let plan = plan()?;
    match (&plan.place, inside) {
        (Place::Within(root), true) => sandbox::init(root, |cwd| {
            // When this process ends, the system ends the rest.
            let Plan {
                argv, env, input, ..
            } = &plan;
            match plan.services.is_empty() {
                true => child::run(argv, env, cwd, *input, |_| ()),
                false => {
                    let start = |argv: &[String], streams: Option<services::Streams>| {
                        let input = plan.input_of(streams.is_some());
                        child::start(argv, env, cwd, input, streams)
                    };
                    plan.beside_services(&start, || (), Control::Input)
                }
            }
        }),
        (Place::Here { cwd, rules }, false) => supervise(&plan, cwd, rules.as_ref()),
        (Place::Open { cwd, seen }, false) => observe(&plan, cwd, seen),
        (Place::Within(_), false) => Err("it needs namespaces".to_owned()),
        (_, true) => Err("it needs a root".to_owned()),
    }
}
