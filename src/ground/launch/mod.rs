//! Starts commands through a process of this program, the launcher.
//!
//! The standard library can set neither a session nor namespaces for a child without
//! unsafe code; a process with one thread can for itself, and copy itself for each
//! command. See adr/0051, "Commands start from a launcher".

mod observe;
mod plan;
mod serve;
mod supervise;

use std::collections::BTreeMap;
use std::io::{self, IoSlice, PipeReader, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

use super::confine;
use super::link::{MAX_REPORT_BYTES, Report};
use super::sandbox::Level;
pub(crate) use observe::Seen;
use plan::Purpose;
pub(crate) use plan::{Place, Plan};
pub use serve::launcher;

/// The helper, as `internal` names it.
const NAME: &str = "launcher";
/// Asks it to leave the namespaces of this machine.
const NAMESPACES: &str = "namespaces";
/// Says that it has closed what it inherited.
const CLOSED: &str = "closed";
/// Says that it has left them.
const INSIDE: &str = "inside";

/// A process that is to become a command, once it has received a [`Plan`].
pub(super) struct Launched {
    pub socket: UnixStream,
    pub stdout: PipeReader,
    pub stderr: PipeReader,
}

/// The launchers of this process, by program and whether they are in namespaces.
type Launchers = BTreeMap<(PathBuf, bool), Launcher>;

/// A launcher; it ends when the connection is closed.
struct Launcher {
    connection: OwnedFd,
    child: Child,
}

/// How long the launchers may take to end, once nothing runs.
const END: Duration = Duration::from_millis(500);

static LAUNCHERS: Mutex<Launchers> = Mutex::new(BTreeMap::new());

/// A process of the launcher for a command in `place`.
///
/// # Errors
///
/// The launcher cannot be started, or has ended.
pub(super) fn launch(program: &Path, place: &Place) -> io::Result<Launched> {
    let (namespaces, purpose) = needed(place);
    start(program, namespaces, purpose)
}

/// The same for a command whose output is `terminal`.
///
/// # Errors
///
/// As [`launch`].
pub(super) fn launch_on(
    terminal: &OwnedFd,
    program: &Path,
    place: &Place,
) -> io::Result<UnixStream> {
    let (socket, input) = UnixStream::pair()?;
    let (namespaces, purpose) = needed(place);
    let terminal = terminal.as_fd();
    request(
        program,
        namespaces,
        purpose,
        &[input.as_fd(), terminal, terminal],
    )?;
    Ok(socket)
}

/// Whether a command in `place` needs namespaces, and what for.
fn needed(place: &Place) -> (bool, Purpose) {
    match place {
        Place::Within(root) if root.network => (true, Purpose::Connected),
        Place::Within(_) => (true, Purpose::Command),
        Place::Here { .. } | Place::Open { .. } => (false, Purpose::Command),
    }
}

fn start(program: &Path, namespaces: bool, purpose: Purpose) -> io::Result<Launched> {
    let (socket, input) = UnixStream::pair()?;
    let (stdout, output) = io::pipe()?;
    let (stderr, error) = io::pipe()?;
    let streams = [input.as_fd(), output.as_fd(), error.as_fd()];
    request(program, namespaces, purpose, &streams)?;
    Ok(Launched {
        socket,
        stdout,
        stderr,
    })
}

/// Has the launcher start a process that is connected to `streams`.
fn request(
    program: &Path,
    namespaces: bool,
    purpose: Purpose,
    streams: &[BorrowedFd<'_>; 3],
) -> io::Result<()> {
    let mut launchers = LAUNCHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (program.to_owned(), namespaces);
    // One that was killed is replaced, once.
    let mut again = true;
    loop {
        let launcher = match launchers.get(&key) {
            Some(launcher) => launcher,
            None => launchers
                .entry(key.clone())
                .or_insert(begin(program, namespaces)?),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut passed = SendAncillaryBuffer::new(&mut space);
        passed.push(SendAncillaryMessage::ScmRights(streams));
        let byte = [purpose.byte()];
        let message = [IoSlice::new(&byte)];
        match sendmsg(
            &launcher.connection,
            &message,
            &mut passed,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) if again => {
                again = false;
                launchers.remove(&key);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends the launchers and waits for them, so that what commands cost counts as this
/// program's.
pub fn finish() {
    let launchers = std::mem::take(&mut *LAUNCHERS.lock().unwrap_or_else(PoisonError::into_inner));
    let end = Instant::now() + END;
    for mut launcher in launchers.into_values() {
        drop(launcher.connection);
        // One whose command does not end even by a signal is left behind.
        while let Ok(None) = launcher.child.try_wait()
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn begin(program: &Path, namespaces: bool) -> io::Result<Launcher> {
    let (own, other) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut command = Command::new(program);
    command
        .arg0(NAME)
        .args(["internal", NAME])
        .args(namespaces.then_some(NAMESPACES))
        // It stays in this program's folder: paths of a plan may be relative to it.
        .env_clear()
        .stdin(Stdio::from(other))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // The terminal's signals are for the program that started it.
        .process_group(0);
    Ok(Launcher {
        connection: own,
        child: command.spawn()?,
    })
}

/// The strongest level that this machine has, for commands that `program`, this
/// program, starts; found out once, by a trial: what containers and security modules
/// refuse differs, and no setting tells all of it.
#[must_use]
pub fn best(program: Option<&Path>) -> Level {
    static ANSWERS: Mutex<BTreeMap<Option<PathBuf>, Level>> = Mutex::new(BTreeMap::new());
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let program = program.map(Path::to_owned);
    *answers.entry(program.clone()).or_insert_with(|| {
        if program.is_some_and(|program| try_namespaces(&program)) {
            Level::Namespaces
        } else if confine::supported() {
            Level::Landlock
        } else {
            Level::Free
        }
    })
}

fn try_namespaces(program: &Path) -> bool {
    let tried = || -> io::Result<Option<Report>> {
        let launched = start(program, true, Purpose::Trial)?;
        let mut text = Vec::new();
        let mut report = launched.socket.take(MAX_REPORT_BYTES);
        report.read_to_end(&mut text)?;
        Ok(Report::parse(&text).last)
    };
    matches!(tried(), Ok(Some(Report::Exit(0))))
}
