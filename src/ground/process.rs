//! Runs one command in its own process group, or in a sandbox, and makes sure that all
//! of it ends.
//!
//! The command sees only the given variables. Timeout and cancellation work the same
//! way: TERM to the group, a grace period, KILL to the group. When the command ends,
//! remaining processes of its group are killed as well.

mod output;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::disk;
use crate::ground::apart;
use crate::ground::child::Input;
use crate::ground::confine::{ConfineError, Confinement};
use crate::ground::launch::{self, Place, Plan};
use crate::ground::link::{Lost, MAX_REPORT_BYTES, Report, Reports, STOP};
use crate::ground::sandbox::Root;
use crate::ground::services::ServiceCommand;
use crate::ground::terminal::Session;
use output::Output;

/// How long a command may take to end once it was killed.
const KILLED: Duration = Duration::from_secs(5);

/// Sets the usual umask where a thread cannot have its own.
const UMASK_SHELL: [&str; 4] = ["/bin/sh", "-c", "umask 022; exec \"$@\"", "sh"];

#[derive(Clone, Debug)]
pub struct Process {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
    /// Wall-clock limit; `None`: no limit.
    pub timeout: Option<Duration>,
    /// Time between TERM and KILL.
    pub grace: Duration,
    /// The files it may use; `None`: no restriction.
    pub confinement: Option<Confinement>,
    /// The root that it sees, for which it needs `through`; `None`: that of this
    /// machine, with `confinement`.
    pub root: Option<Root>,
    /// A file for what it uses, for which it needs `through`, and to which neither
    /// `confinement` nor `root` apply; `None`: it is not observed.
    pub observed: Option<PathBuf>,
    /// What runs beside it, for which it needs `through`.
    pub services: Vec<ServiceCommand>,
    /// This program, through which the command starts; `None`: it starts as it is, with
    /// the terminal of the user.
    pub through: Option<PathBuf>,
}

/// The stream of a piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A piece of output in order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Since the start of the command.
    pub at: Duration,
    pub stream: Stream,
    /// The bytes, which need not be whole lines.
    pub bytes: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// It was ended by a signal that we did not send.
    Signaled(i32),
    TimedOut,
    Cancelled,
    /// A service was not ready, and the command did not start.
    Unready,
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub ending: Ending,
    /// Its output, in order of arrival.
    pub log: Vec<Piece>,
    /// Number of output bytes after that which did not fit in the log.
    pub dropped: u64,
    /// What came after those.
    pub end: Vec<Piece>,
    pub wall: Duration,
    /// If it was stopped, what was running then: command lines, the innermost first.
    pub running: Vec<String>,
    /// Its services that ended before it, or were not ready.
    pub lost: Vec<Lost>,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("command is empty, expected a program and its arguments")]
    Empty,
    /// The system refused to start it.
    #[error("cannot start `{program}`")]
    Start {
        program: String,
        source: std::io::Error,
    },
    /// It could not be confined, and was not started.
    #[error(
        "cannot confine the command with Landlock: set `sandbox: none` for the task, or use another machine"
    )]
    Confine(#[source] ConfineError),
    /// Its sandbox could not be made.
    #[error(
        "cannot make the sandbox of the command: {0}; set `sandbox: none` for the task, or use another machine"
    )]
    Sandbox(String),
    /// The process that was to start it did not.
    #[error("cannot start the command: {0}; build again")]
    Launch(String),
    /// Waiting for it failed.
    #[error("cannot wait for the command")]
    Wait(#[source] std::io::Error),
}

/// How often a command is started whose process is killed before it takes the plan.
const STARTS: usize = 3;

/// Kills the group when dropped, so that no exit path leaves it running.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        // An error means that the group is already gone.
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Process {
    /// Runs the command until it ends, times out, or `cancel` completes.
    ///
    /// Dropping the future kills the group at once.
    ///
    /// # Errors
    ///
    /// [`ProcessError`]: it did not start, or could not be waited for.
    pub async fn run(&self, cancel: impl Future<Output = ()>) -> Result<Finished, ProcessError> {
        let program = self.argv.first().ok_or(ProcessError::Empty)?;
        let start = Instant::now();
        let refused = |source| ProcessError::Start {
            program: program.clone(),
            source,
        };
        self.startable().map_err(refused)?;
        if let Some(through) = &self.through {
            return self.run_through(through, start, cancel).await;
        }
        if !self.services.is_empty() {
            return Err(refused(std::io::ErrorKind::Unsupported.into()));
        }
        let mut child = match self.confinement.is_none() && apart::has_usual_umask() {
            true => self.command(false).spawn().map_err(refused)?,
            false => self.spawn_apart(refused).await?,
        };
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Group(id.and_then(Pid::from_raw));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut output = Output::of(stdout, stderr, start);
        let terminate = async || group.signal(Signal::TERM);
        let kill = async || group.signal(Signal::KILL);
        let wait = child.wait();
        let watch = self.watch(wait, terminate, kill, cancel);
        let (ending, status) = output.during(watch).await;
        drop(group);
        let status = status.transpose().map_err(ProcessError::Wait)?;
        let ending = ending.or(status.map(ended)).unwrap_or(Ending::Cancelled);
        Ok(output.finish(ending).await)
    }

    /// Runs the command in a process of the launcher, another one if the first was killed
    /// before it took the plan.
    async fn run_through(
        &self,
        through: &Path,
        start: Instant,
        cancel: impl Future<Output = ()>,
    ) -> Result<Finished, ProcessError> {
        let mut cancel = std::pin::pin!(cancel);
        for _ in 0..STARTS {
            let once = self.run_once_through(through, start, cancel.as_mut());
            if let Some(finished) = once.await? {
                return Ok(finished);
            }
        }
        Err(self.cannot_start("what was to start it was killed each time".to_owned()))
    }

    /// As [`run_through`](Self::run_through), in one process: it receives the plan and the
    /// request to stop over a socket, and ends when this program does. `None`: it ended
    /// before it took the plan.
    async fn run_once_through(
        &self,
        through: &Path,
        start: Instant,
        cancel: impl Future<Output = ()>,
    ) -> Result<Option<Finished>, ProcessError> {
        let refused = |source| ProcessError::Start {
            program: through.display().to_string(),
            source,
        };
        let plan = self.plan();
        let launched = launch::launch(through, &plan).map_err(refused)?;
        launched.socket.set_nonblocking(true).map_err(refused)?;
        let socket = UnixStream::from_std(launched.socket).map_err(refused)?;
        let stdout = pipe::Receiver::from_owned_fd(launched.stdout.into()).map_err(refused)?;
        let stderr = pipe::Receiver::from_owned_fd(launched.stderr.into()).map_err(refused)?;
        let mut output = Output::of(Some(stdout), Some(stderr), start);
        let mut line = serde_json::to_vec(&plan).map_err(|error| refused(error.into()))?;
        line.push(b'\n');
        // Dropping it, on any path, ends the command.
        let (from, to) = socket.into_split();
        let to = tokio::sync::Mutex::new(Some(to));
        let send = async |bytes: &[u8]| {
            if let Some(to) = to.lock().await.as_mut() {
                // If the process has already ended, its report says why.
                let _ = to.write_all(bytes).await;
            }
        };
        output.during(send(&line)).await;
        let remains = launched.remains.is_some();
        let report = async {
            let mut report = Vec::new();
            let mut from = from.take(MAX_REPORT_BYTES);
            while !(remains && Report::is_last(&report)) && from.read_buf(&mut report).await? > 0 {}
            Ok::<_, std::io::Error>((report, from.into_inner()))
        };
        let terminate = async || send(&[STOP]).await;
        let kill = async || drop(to.lock().await.take());
        let watch = self.watch(report, terminate, kill, cancel);
        let (ending, report) = output.during(watch).await;
        // The kernel resets a connection only if something in it was not received: the plan.
        // A process that has run other commands may have been killed for one of them.
        if let (None, true, Some(Err(error))) = (&ending, remains, &report)
            && error.kind() == std::io::ErrorKind::ConnectionReset
        {
            return Ok(None);
        }
        // A connection that breaks brings no report.
        let (report, from) = report.and_then(Result::ok).unzip();
        let Reports {
            running,
            mut lost,
            last,
        } = Report::parse(&report.unwrap_or_default());
        if let (Some(serves), None, Some(Report::Exit(_) | Report::Signal(_))) =
            (launched.remains, ending, &last)
            && let (Some(from), Some(to)) = (from, to.into_inner())
            && let Ok(socket) = from.reunite(to)
            && let Ok(socket) = socket.into_std()
            && socket.set_nonblocking(false).is_ok()
        {
            launch::keep(serves, socket);
        }
        lost.retain(|lost| lost.service < self.services.len());
        let ending = match (ending, last) {
            (Some(ending), _) => ending,
            (None, Some(Report::Exit(code))) => Ending::Exited(code),
            (None, Some(Report::Signal(signal))) => Ending::Signaled(signal),
            (None, Some(Report::Refused(why))) => return Err(self.cannot_start(why)),
            (None, _) if lost.iter().any(|lost| !lost.later) => Ending::Unready,
            (None, _) => {
                let why = "its first process ended without a report".to_owned();
                return Err(self.cannot_start(why));
            }
        };
        Ok(Some(Finished {
            running,
            lost,
            ..output.finish(ending).await
        }))
    }

    fn plan(&self) -> Plan {
        let cwd = self.cwd.clone();
        let place = match (&self.observed, &self.root) {
            (Some(seen), _) => Place::Open {
                cwd,
                seen: seen.clone(),
            },
            (None, Some(root)) => Place::Within(root.clone()),
            (None, None) => Place::Here {
                cwd,
                rules: self.confinement.clone(),
            },
        };
        Plan {
            argv: self.argv.clone(),
            env: self.env.clone(),
            place,
            input: Input::Empty,
            services: self.services.clone(),
            grace: self.grace,
        }
    }

    /// Starts the command on a terminal of its own.
    ///
    /// # Errors
    ///
    /// [`ProcessError`]: there is no terminal, or nothing to start it through.
    pub(crate) fn on_terminal(&self) -> Result<Session, ProcessError> {
        let refused = |source| ProcessError::Start {
            program: self.argv.first().cloned().unwrap_or_default(),
            source,
        };
        let through = self.through.as_deref();
        let through = through.ok_or_else(|| refused(std::io::ErrorKind::Unsupported.into()))?;
        let plan = Plan {
            input: Input::Terminal,
            ..self.plan()
        };
        Session::open(through, &plan).map_err(refused)
    }

    fn cannot_start(&self, why: String) -> ProcessError {
        match self.root.is_some() || self.confinement.is_some() {
            true => ProcessError::Sandbox(why),
            false => ProcessError::Launch(why),
        }
    }

    /// Whether the program is a file that can be executed, judging by its path. When it
    /// is started through this program, a failure would appear only in its log.
    fn startable(&self) -> std::io::Result<()> {
        let program = self.argv.first().map_or("", String::as_str);
        // In an overlay, it may be in a lower folder.
        let over = self
            .root
            .as_ref()
            .is_some_and(|root| !root.overlays.is_empty());
        if self.through.is_none() || !program.contains('/') || over {
            return Ok(());
        }
        let facts = std::fs::metadata(self.cwd.join(program))?;
        match disk::is_program(&facts) {
            true => Ok(()),
            false => Err(std::io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// The command, under a shell that sets the usual umask if it is `masked`.
    fn command(&self, masked: bool) -> Command {
        let before: &[&str] = match masked {
            true => &UMASK_SHELL,
            false => &[],
        };
        let argv = self.argv.iter().map(String::as_str);
        let mut words = before.iter().copied().chain(argv);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Starts the command on a thread that ends at once: restrictions on a thread are
    /// permanent, so the thread cannot be reused.
    async fn spawn_apart(
        &self,
        refused: impl FnOnce(std::io::Error) -> ProcessError,
    ) -> Result<Child, ProcessError> {
        let runtime = tokio::runtime::Handle::current();
        let (answer, started) = tokio::sync::oneshot::channel();
        let process = self.clone();
        let body = move || {
            let _entered = runtime.enter();
            let masked = !apart::has_usual_umask() && apart::set_umask().is_err();
            let confined = process
                .confinement
                .iter()
                .try_for_each(Confinement::enforce);
            let child = confined.map(|()| process.command(masked).spawn());
            // The caller has stopped waiting: dropping the child kills it.
            let _ = answer.send(child);
        };
        if let Err(source) = std::thread::Builder::new().spawn(body) {
            return Err(refused(source));
        }
        match started.await {
            Ok(Ok(spawned)) => spawned.map_err(refused),
            Ok(Err(source)) => Err(ProcessError::Confine(source)),
            Err(_) => Err(refused(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits until the command has ended, times out, or `cancel` completes. Returns how
    /// it ended, if not by itself, and what `end` brought, if it came.
    async fn watch<T>(
        &self,
        end: impl Future<Output = T>,
        terminate: impl AsyncFnOnce(),
        kill: impl AsyncFnOnce(),
        cancel: impl Future<Output = ()>,
    ) -> (Option<Ending>, Option<T>) {
        let limit = async {
            match self.timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut end = std::pin::pin!(end);
        let ending = tokio::select! {
            biased;
            ended = &mut end => return (None, Some(ended)),
            () = cancel => Ending::Cancelled,
            () = limit => Ending::TimedOut,
        };
        terminate().await;
        let ended = match tokio::time::timeout(self.grace, &mut end).await {
            Ok(ended) => Some(ended),
            Err(_) => {
                kill().await;
                // One that does not end even so is left behind.
                tokio::time::timeout(KILLED, end).await.ok()
            }
        };
        (Some(ending), ended)
    }
}

fn ended(status: std::process::ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signaled(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout_ms: u64) -> Finished {
        run(script, timeout_ms, None)
    }

    fn run(script: &str, timeout_ms: u64, confinement: Option<Confinement>) -> Finished {
        let process = Process {
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: BTreeMap::from([
                ("FOO".into(), "one".into()),
                ("PATH".into(), "/usr/bin:/bin".into()),
            ]),
            cwd: std::env::temp_dir(),
            timeout: Some(Duration::from_millis(timeout_ms)),
            grace: Duration::from_millis(100),
            confinement,
            root: None,
            observed: None,
            services: Vec::new(),
            through: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime
            .block_on(process.run(std::future::pending()))
            .unwrap()
    }

    fn text(finished: &Finished, stream: Stream) -> String {
        let pieces = finished.log.iter().filter(|p| p.stream == stream);
        let bytes = pieces.flat_map(|p| p.bytes.clone()).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_command_sees_only_its_own_variables_and_both_streams_are_kept() {
        let finished = shell("echo $FOO$HOME; echo bad >&2; exit 3", 20_000);
        assert_eq!(finished.ending, Ending::Exited(3));
        assert_eq!(text(&finished, Stream::Stdout), "one\n");
        assert_eq!(text(&finished, Stream::Stderr), "bad\n");
    }

    #[test]
    fn a_confined_command_sees_nothing_of_other_processes_for_any_user() {
        if !crate::ground::confine::supported() {
            return;
        }
        // Nextest and cargo give this process variables; one of them is enough.
        let script = "for p in $PPID 1; do for f in environ mem maps auxv fd/0 root/etc cwd/.; do \
                      cat /proc/$p/$f && echo LEAK $p/$f; ls /proc/$p/$f && echo LEAK $p/$f; done; done; \
                      [ $(id -u) != 0 ] || ! cat /proc/$PPID/cmdline || echo LEAK cmdline; \
                      [ $(id -u) != 0 ] || cat /proc/kcore | head -c 1 | wc -c; \
                      cat /proc/self/environ | tr '\\0' '\\n' | grep FOO; grep -c . /proc/self/maps /proc/cpuinfo";
        let finished = run(script, 20_000, Some(Confinement::default()));
        let out = text(&finished, Stream::Stdout);
        assert!(!out.contains("LEAK"), "{out}");
        // Its own entries, and those about the system, can be read.
        assert!(
            out.contains("FOO=one") && out.contains("/proc/cpuinfo:"),
            "{out}"
        );
    }

    #[test]
    fn a_command_has_the_usual_umask_and_its_wrapper_says_nothing() {
        let plain = |masked| {
            let process = Process {
                argv: vec![
                    "sh".into(),
                    "-c".into(),
                    "umask; echo $0 $1".into(),
                    "a b".into(),
                ],
                env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
                cwd: std::env::temp_dir(),
                timeout: None,
                grace: Duration::ZERO,
                confinement: None,
                root: None,
                observed: None,
                services: Vec::new(),
                through: None,
            };
            let command = process.command(masked).into_std().output();
            String::from_utf8(command.unwrap().stdout).unwrap()
        };
        assert_eq!(plain(true), "0022\na b\n");
        // On a thread of its own, whatever the umask of this process.
        let made = std::thread::spawn(|| {
            apart::set_umask().ok()?;
            let shell = std::process::Command::new("/bin/sh")
                .args(["-c", "umask"])
                .output();
            Some(String::from_utf8(shell.ok()?.stdout).unwrap())
        });
        if let Some(made) = made.join().unwrap() {
            assert_eq!(made, "0022\n");
        }
    }

    #[test]
    fn a_timeout_kills_grandchildren_that_ignore_term() {
        let finished = shell(
            "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait",
            1500,
        );
        assert_eq!(finished.ending, Ending::TimedOut);
        let pid = text(&finished, Stream::Stdout).trim().to_owned();
        assert!(!pid.is_empty());
        // The signal is sent; the kernel may need a moment to carry it out.
        let end = Instant::now() + Duration::from_secs(10);
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z") && !stat.contains(") X")
        };
        while lives() {
            assert!(Instant::now() < end, "{pid} still lives");
            std::thread::yield_now();
        }
    }

    #[test]
    fn processes_that_a_command_leaves_behind_do_not_delay_it() {
        let finished = shell("sleep 60 & exit 0", 20_000);
        assert_eq!(finished.ending, Ending::Exited(0));
        assert!(finished.wall < Duration::from_secs(10));
    }
}
