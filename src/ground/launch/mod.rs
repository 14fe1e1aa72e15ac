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
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

use super::confine;
use super::link::{MAX_REPORT_BYTES, Report};
use super::sandbox::{Level, Root};
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

/// Bytes of what roots share that are sent at a time: far less than a socket holds.
const PIECE_BYTES: usize = 32 << 10;

/// Maximum number of launchers with something that roots share: for each, a process
/// waits.
const MAX_SHARED: usize = 32;

/// A process that is to become a command, or to start it, once it has received a
/// [`Plan`].
pub(super) struct Launched {
    pub socket: UnixStream,
    pub stdout: PipeReader,
    pub stderr: PipeReader,
    /// The commands that the process can run after this one, for [`keep`]; `None`: it ends.
    pub remains: Option<Serves>,
}

/// The processes of this program that start commands.
struct Running {
    launchers: BTreeMap<Serves, Launcher>,
    /// Processes that wait for another command.
    idle: Vec<(Serves, UnixStream)>,
}

/// What a launcher is for, with the path of the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Serves {
    /// Commands without namespaces.
    Machine(PathBuf),
    /// Launchers in namespaces.
    Namespaces(PathBuf),
    /// Commands whose roots share what has this digest.
    Shared(PathBuf, [u8; 32]),
}

/// A launcher; it ends when the connection is closed.
struct Launcher {
    connection: OwnedFd,
    /// `None`: it is the child of another launcher.
    child: Option<Child>,
}

/// How long the launchers may take to end, once nothing runs.
const END: Duration = Duration::from_millis(500);

static RUNNING: Mutex<Running> = Mutex::new(Running {
    launchers: BTreeMap::new(),
    idle: Vec::new(),
});

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process of the launcher for the command of `plan`.
///
/// # Errors
///
/// The launcher cannot be started, or has ended.
pub(super) fn launch(program: &Path, plan: &Plan) -> io::Result<Launched> {
    let (stdout, output) = io::pipe()?;
    let (stderr, error) = io::pipe()?;
    let outputs = [output.as_fd(), error.as_fd()];
    let remains = plan
        .needs_no_process()
        .then(|| Serves::of(program, &plan.place));
    let socket = match &remains {
        Some(serves) => worker(serves, program, &plan.place, &outputs)?,
        None => start(program, &plan.place, Purpose::Command, &outputs)?,
    };
    Ok(Launched {
        socket,
        stdout,
        stderr,
        remains,
    })
}

/// Keeps a process that [`remains`](Launched::remains) for another command.
pub(super) fn keep(serves: Serves, socket: UnixStream) {
    let mut running = running();
    // It ends with its connection, if its launcher was given up meanwhile.
    if running.launchers.contains_key(&serves) {
        running.idle.push((serves, socket));
    }
}

/// A process for a command whose output is `terminal`, as [`launch`] has it.
///
/// # Errors
///
/// As [`launch`].
pub(super) fn launch_on(
    terminal: &OwnedFd,
    program: &Path,
    place: &Place,
) -> io::Result<UnixStream> {
    let outputs = [terminal.as_fd(), terminal.as_fd()];
    start(program, place, Purpose::Command, &outputs)
}

fn start(
    program: &Path,
    place: &Place,
    purpose: Purpose,
    [output, error]: &[BorrowedFd<'_>; 2],
) -> io::Result<UnixStream> {
    let (socket, input) = UnixStream::pair()?;
    let streams = [input.as_fd(), *output, *error];
    let serves = Serves::of(program, place);
    let mut running = running();
    match place {
        Place::Within(root) => running.request_within(serves, root, purpose, &streams)?,
        Place::Here { .. } | Place::Open { .. } => running.request(&serves, purpose, &streams)?,
    }
    Ok(socket)
}

/// A process that has received `outputs` for a command at `place`, one of those that it
/// `serves`.
fn worker(
    serves: &Serves,
    program: &Path,
    place: &Place,
    outputs: &[BorrowedFd<'_>; 2],
) -> io::Result<UnixStream> {
    loop {
        let idle = {
            let mut running = running();
            let place = running.idle.iter().rposition(|(own, _)| own == serves);
            place.map(|place| running.idle.swap_remove(place).1)
        };
        let (socket, is_new) = match idle {
            Some(socket) => (socket, false),
            None => {
                let null = std::fs::File::options().write(true).open("/dev/null")?;
                let outputs = [null.as_fd(), null.as_fd()];
                (start(program, place, Purpose::Worker, &outputs)?, true)
            }
        };
        match send(&socket, Purpose::Command.byte(), outputs) {
            Ok(()) => return Ok(socket),
            // It was killed meanwhile.
            Err(_) if !is_new => {}
            Err(error) => return Err(error),
        }
    }
}

impl Serves {
    /// What starts commands at `place`.
    fn of(program: &Path, place: &Place) -> Self {
        match place {
            Place::Within(root) => Self::Shared(program.to_owned(), root.shared.digest()),
            Place::Here { .. } | Place::Open { .. } => Self::Machine(program.to_owned()),
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(..))
    }

    fn program(&self) -> &Path {
        match self {
            Self::Machine(program) | Self::Namespaces(program) | Self::Shared(program, _) => {
                program
            }
        }
    }
}

impl Running {
    /// Has the launcher that `serves` roots with the same part start a process for one in
    /// `root`.
    fn request_within(
        &mut self,
        serves: Serves,
        root: &Root,
        purpose: Purpose,
        streams: &[BorrowedFd<'_>; 3],
    ) -> io::Result<()> {
        if let Some(launcher) = self.launchers.get(&serves) {
            match send(&launcher.connection, purpose.byte(), streams) {
                Err(error) if is_ended(&error) => {}
                sent => return sent,
            }
        }
        let shared = self.launchers.keys().filter(|serves| serves.is_shared());
        if shared.count() >= MAX_SHARED {
            // Each ends when its last command has ended.
            self.launchers.retain(|serves, _| !serves.is_shared());
            self.idle.retain(|(serves, _)| !serves.is_shared());
        }
        let (own, other) = connection()?;
        let ends = [other.as_fd(); 3];
        self.request(
            &Serves::Namespaces(serves.program().to_owned()),
            Purpose::Shared,
            &ends,
        )?;
        drop(other);
        let text = serde_json::to_vec(&(&root.at, &root.shared))?;
        let flags = SendFlags::NOSIGNAL;
        rustix::net::send(&own, &(text.len() as u64).to_le_bytes(), flags)?;
        for piece in text.chunks(PIECE_BYTES) {
            rustix::net::send(&own, piece, flags)?;
        }
        send(&own, purpose.byte(), streams)?;
        let launcher = Launcher {
            connection: own,
            child: None,
        };
        self.launchers.insert(serves, launcher);
        Ok(())
    }

    /// Has the launcher start a process that is connected to `streams`.
    fn request(
        &mut self,
        serves: &Serves,
        purpose: Purpose,
        streams: &[BorrowedFd<'_>; 3],
    ) -> io::Result<()> {
        // One that was killed is replaced, once.
        let mut again = true;
        loop {
            let launcher = match self.launchers.get(serves) {
                Some(launcher) => launcher,
                None => {
                    let begun = begin(serves)?;
                    self.launchers.entry(serves.clone()).or_insert(begun)
                }
            };
            match send(&launcher.connection, purpose.byte(), streams) {
                Err(error) if again && is_ended(&error) => {
                    again = false;
                    self.launchers.remove(serves);
                }
                sent => return sent,
            }
        }
    }
}

fn is_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// Sends a byte with open files.
fn send(to: impl AsFd, byte: u8, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut passed = SendAncillaryBuffer::new(&mut space);
    passed.push(SendAncillaryMessage::ScmRights(files));
    let byte = [byte];
    let message = [IoSlice::new(&byte)];
    sendmsg(to, &message, &mut passed, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Ends the launchers and waits for them, so that what commands cost counts as this
/// program's.
pub fn finish() {
    let (launchers, idle) = {
        let mut running = running();
        let idle = std::mem::take(&mut running.idle);
        (std::mem::take(&mut running.launchers), idle)
    };
    drop(idle);
    let end = Instant::now() + END;
    // Those that are children of others end before them.
    let children: Vec<Child> = launchers
        .into_values()
        .filter_map(|launcher| launcher.child)
        .collect();
    for mut child in children {
        // One whose command does not end even by a signal is left behind.
        while let Ok(None) = child.try_wait()
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn begin(serves: &Serves) -> io::Result<Launcher> {
    let namespaces = !matches!(serves, Serves::Machine(_));
    let (own, other) = connection()?;
    let mut command = Command::new(serves.program());
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
        child: Some(command.spawn()?),
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
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        let outputs = [null.as_fd(), null.as_fd()];
        let place = Place::Within(Root::trial());
        let socket = start(program, &place, Purpose::Trial, &outputs)?;
        let mut text = Vec::new();
        let mut report = socket.take(MAX_REPORT_BYTES);
        report.read_to_end(&mut text)?;
        Ok(Report::parse(&text).last)
    };
    matches!(tried(), Ok(Some(Report::Exit(0))))
}
