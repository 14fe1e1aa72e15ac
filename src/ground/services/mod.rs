//! Services: commands that run beside the command of a task, in its sandbox.
//!
//! The process that starts the command starts them before it, waits until each is ready,
//! and stops them after it. One loop without threads does all of this, since the process
//! copies itself to ask for a port, and to confine what it starts. See adr/0055,
//! "Services run beside a command".

mod output;
mod probe;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fork::Fork;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Caught};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, setpgid, wait,
};
use serde::{Deserialize, Serialize};

use super::child::{self, NOT_STARTED};
use super::link::{How, Lost, Report, STOP, during};
use super::running;
use output::Output;

/// The first wait between two probes, and the longest: each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long a process may take to end once it was killed.
const KILLED: Duration = Duration::from_secs(5);

/// The longest wait for a signal: if one was missed, the loop goes on after this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command that runs beside another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceCommand {
    /// Begins each line of its output.
    pub name: String,
    pub argv: Vec<String>,
    pub probe: Probe,
    /// Time in which it must be ready.
    pub limit: Duration,
}

/// What shows that a service is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Probe {
    /// This address of the machine's own accepts connections.
    Tcp { host: String, port: u16 },
    /// This address of the machine's own answers with a status from 200 to 399.
    Http {
        host: String,
        port: u16,
        path: String,
    },
    /// This command exits with code 0.
    Run(Vec<String>),
}

impl Probe {
    /// Whether its address accepts connections; `None`: it has none.
    fn connection(&self) -> Option<Self> {
        match self {
            Self::Tcp { host, port } | Self::Http { host, port, .. } => Some(Self::Tcp {
                host: host.clone(),
                port: *port,
            }),
            Self::Run(_) => None,
        }
    }
}

/// Where the output of a process goes.
pub(super) type Streams = [OwnedFd; 2];

/// Starts a process; without streams, it is the command itself. `None`: it could not
/// start, and its error output says why.
pub(super) type Start<'a> = &'a dyn Fn(&[String], Option<Streams>) -> Result<Option<Pid>, String>;

/// Whether this process receives requests over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Input,
    None,
}

/// Runs `argv` beside `services`; then `end` ends what is left.
///
/// # Errors
///
/// A process cannot be started or waited for.
pub(super) fn run(
    services: &[ServiceCommand],
    grace: Duration,
    argv: &[String],
    (start, end): (Start<'_>, fn()),
    control: Control,
) -> Result<Report, String> {
    let mut crew = Crew {
        services,
        grace,
        start,
        signals: signals()?,
        control,
        stopped: false,
        children: Vec::new(),
    };
    let report = crew.all(argv);
    end();
    match report {
        Ok(report) => Ok(report),
        Err(Halt::Gone) => std::process::exit(1),
        Err(Halt::Wrong(why)) => Err(why),
    }
}

/// Ends of children arrive as something to read, not as a signal.
fn signals() -> Result<SignalFd, String> {
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let made = SignalFd::with_flags(&ends(), flags);
    made.map_err(|error| format!("wait for services: {error}"))
}

fn ends() -> SigSet {
    SigSet::from(Caught::SIGCHLD)
}

/// Why the loop cannot go on.
enum Halt {
    /// The program that asked for the command is gone.
    Gone,
    Wrong(String),
}

/// A process that this one has started.
struct Child {
    /// It leads a group. `None`: it could not start.
    pid: Option<Pid>,
    output: Vec<Output>,
    ended: Option<Report>,
}

/// The services that have started, in their order; and after them a probe, or the
/// command.
struct Crew<'a> {
    services: &'a [ServiceCommand],
    grace: Duration,
    start: Start<'a>,
    signals: SignalFd,
    control: Control,
    /// The command is to end.
    stopped: bool,
    children: Vec<Child>,
}

impl Crew<'_> {
    fn all(&mut self, argv: &[String]) -> Result<Report, Halt> {
        let lost = self.start_services()?;
        let report = match lost {
            Some(lost) => Report::Lost(lost),
            None => self.command(argv)?,
        };
        self.stop_services()?;
        Ok(report)
    }

    /// Starts each service once the one before is ready. Returns the first that is not.
    fn start_services(&mut self) -> Result<Option<Lost>, Halt> {
        for (index, service) in self.services.iter().enumerate() {
            let lost = |how| {
                Ok(Some(Lost {
                    service: index,
                    how,
                    later: false,
                }))
            };
            // What answers before it has started is another program.
            if let Some(probe) = service.probe.connection() {
                let end = Instant::now() + service.limit;
                if self.probe(&probe, &service.name, end)?.is_ok() {
                    return lost(How::Taken);
                }
            }
            let output = Output::of_service(&service.name).map_err(during("make a pipe"));
            self.add(&service.argv, output.map_err(Halt::Wrong)?)?;
            if let Err(how) = self.wait_until_ready(service)? {
                // One that ended is the cause, whichever it is.
                let ended = self.children.iter().position(|child| child.ended.is_some());
                let service = ended.unwrap_or(index);
                return Ok(Some(Lost {
                    service,
                    how,
                    later: false,
                }));
            }
        }
        Ok(None)
    }

    /// Probes the service that was started last.
    fn wait_until_ready(&mut self, service: &ServiceCommand) -> Result<Result<(), How>, Halt> {
        let end = Instant::now() + service.limit;
        let mut wait = FIRST_WAIT;
        // Of the last probe that printed something: one may be ended before it does.
        let mut words = Vec::new();
        loop {
            let next = (Instant::now() + wait).min(end);
            while Instant::now() < next && !self.stopped && self.first_ended().is_none() {
                self.turn(next)?;
            }
            let ready = self.probe(&service.probe, &service.name, end)?;
            // It may have ended while another program answered in its place.
            self.turn(Instant::now())?;
            if let Some(how) = self.first_ended() {
                return Ok(Err(how));
            }
            match ready {
                Ok(()) => return Ok(Ok(())),
                Err(output) if words.is_empty() || !output.iter().all(Output::is_empty) => {
                    words = output;
                }
                Err(_) => {}
            }
            if self.stopped || Instant::now() >= end {
                words.iter_mut().for_each(Output::finish);
                let stopped = self.stopped;
                return Ok(Err(if stopped { How::Stopped } else { How::Late }));
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// How the first child ended that did.
    fn first_ended(&self) -> Option<How> {
        let ended = self.children.iter().find_map(|child| child.ended.as_ref());
        ended.map(how)
    }

    /// Probes once. An error has what the probe printed.
    fn probe(
        &mut self,
        probe: &Probe,
        name: &str,
        end: Instant,
    ) -> Result<Result<(), Vec<Output>>, Halt> {
        let (output, streams) = Output::of_probe(name)
            .map_err(during("make a pipe"))
            .map_err(Halt::Wrong)?;
        let pid = match probe {
            Probe::Run(argv) => self.begin(|crew| (crew.start)(argv, Some(streams)))?,
            _ => self.begin(|_| fork_probe(probe, streams).map(Some))?,
        };
        let services = self.children.len();
        self.children.push(Child {
            pid,
            output,
            ended: pid.is_none().then_some(Report::Exit(NOT_STARTED)),
        });
        self.turn(Instant::now())?;
        let go_on = |crew: &Self| {
            let mut earlier = crew.children[..services].iter();
            !crew.stopped && earlier.all(|child| child.ended.is_none())
        };
        while self.children[services].ended.is_none() && Instant::now() < end && go_on(self) {
            self.turn(end)?;
        }
        self.end(services, Duration::ZERO)?;
        let Some(done) = self.children.pop() else {
            return Err(Halt::Wrong("a probe is missing".to_owned()));
        };
        Ok(match done.ended {
            Some(Report::Exit(0)) => Ok(()),
            _ => Err(done.output),
        })
    }

    /// Runs the command, and reports services that end before it.
    fn command(&mut self, argv: &[String]) -> Result<Report, Halt> {
        self.add(argv, (Vec::new(), None))?;
        let mut reported = vec![false; self.services.len()];
        let own = self.children.len() - 1;
        loop {
            for (index, child) in self.children[..own].iter().enumerate() {
                if let Some(ended) = child.ended.as_ref().filter(|_| !reported[index]) {
                    let (service, how) = (index, how(ended));
                    output::note(&format!(
                        "the service `{}` {how}",
                        self.services[index].name
                    ));
                    let later = true;
                    Report::Lost(Lost {
                        service,
                        how,
                        later,
                    })
                    .send();
                    reported[index] = true;
                }
            }
            if let Some(report) = self.children[own].ended.take() {
                self.children.pop();
                return Ok(report);
            }
            self.turn(Instant::now() + PATIENCE)?;
        }
    }

    /// Stops the services, the last one first.
    fn stop_services(&mut self) -> Result<(), Halt> {
        for index in (0..self.children.len()).rev() {
            self.end(index, self.grace)?;
            for output in &mut self.children[index].output {
                output.finish();
            }
        }
        Ok(())
    }

    /// Ends a child: it may use `grace` for it.
    fn end(&mut self, index: usize, grace: Duration) -> Result<(), Halt> {
        let Some(pid) = self.children[index].pid else {
            return Ok(());
        };
        let steps = [(Signal::TERM, grace), (Signal::KILL, KILLED)];
        for (signal, time) in steps.into_iter().filter(|(_, time)| !time.is_zero()) {
            let end = Instant::now() + time;
            if self.children[index].ended.is_none() {
                let _ = kill_process_group(pid, signal);
                // A copy of this process may not lead its group yet.
                let _ = kill_process(pid, signal);
            }
            while self.children[index].ended.is_none() && Instant::now() < end {
                self.turn(end)?;
            }
        }
        Ok(())
    }

    /// Starts a process with this output.
    fn add(
        &mut self,
        argv: &[String],
        (output, streams): (Vec<Output>, Option<Streams>),
    ) -> Result<(), Halt> {
        let pid = self.begin(|crew| (crew.start)(argv, streams))?;
        self.children.push(Child {
            pid,
            output,
            ended: pid.is_none().then_some(Report::Exit(NOT_STARTED)),
        });
        // What ended meanwhile sent no signal that could be read.
        self.turn(Instant::now())
    }

    /// Starts a process, which receives signals.
    fn begin(
        &self,
        start: impl FnOnce(&Self) -> Result<Option<Pid>, String>,
    ) -> Result<Option<Pid>, Halt> {
        let wrong = |error| Halt::Wrong(format!("wait for services: {error}"));
        ends().thread_unblock().map_err(wrong)?;
        let started = start(self);
        ends().thread_block().map_err(wrong)?;
        started.map_err(Halt::Wrong)
    }

    /// Waits until something happens, `until` at most, and takes note of it.
    fn turn(&mut self, until: Instant) -> Result<(), Halt> {
        self.wait(until)?;
        while let Ok(Some(_)) = self.signals.read_signal() {}
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let mut children = self.children.iter_mut();
            if let Some(child) = children.find(|child| child.pid == Some(pid)) {
                child.ended = Some(child::report(status));
                // What it left behind would be no service: nothing watches it.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        for output in self.children.iter_mut().flat_map(|child| &mut child.output) {
            output.read();
        }
        Ok(())
    }

    /// Waits for a signal, for output, or for a request.
    fn wait(&mut self, until: Instant) -> Result<(), Halt> {
        let input = rustix::stdio::stdin();
        let open = self.children.iter().flat_map(|child| &child.output);
        let open = open.filter_map(Output::source);
        let listens = self.control == Control::Input;
        let sources: Vec<BorrowedFd<'_>> = listens
            .then_some(input)
            .into_iter()
            .chain([self.signals.as_fd()])
            .chain(open)
            .collect();
        let mut sources: Vec<PollFd<'_>> = sources
            .into_iter()
            .map(|source| PollFd::new(source, PollFlags::POLLIN))
            .collect();
        let time = until
            .saturating_duration_since(Instant::now())
            .min(PATIENCE);
        // A time that is cut to whole milliseconds would end too early, again and again.
        let time = time.as_micros().div_ceil(1000);
        let time = u16::try_from(time).unwrap_or(u16::MAX);
        match poll(&mut sources, PollTimeout::from(time)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(Halt::Wrong(format!("wait for services: {error}"))),
        }
        let asked = listens && sources[0].revents().is_some_and(|found| !found.is_empty());
        drop(sources);
        match asked {
            true => self.receive(),
            false => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<(), Halt> {
        let mut byte = [0];
        match rustix::io::read(rustix::stdio::stdin(), &mut byte) {
            Ok(1) if byte[0] == STOP => {
                Report::Running(running::below(getpid())).send();
                self.stopped = true;
                // After the services comes the command, if it runs; a probe just ends.
                let command = self.children.get(self.services.len());
                if let Some(pid) = command.and_then(|command| command.pid) {
                    let _ = kill_process_group(pid, Signal::TERM);
                }
                Ok(())
            }
            Ok(1..) | Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(0) | Err(_) => Err(Halt::Gone),
        }
    }
}

fn how(ended: &Report) -> How {
    match ended {
        Report::Signal(signal) => How::Signal(*signal),
        Report::Exit(code) => How::Exit(*code),
        _ => How::Exit(NOT_STARTED),
    }
}

/// Asks for a port or an address in a copy of this process.
fn fork_probe(probe: &Probe, [stdout, stderr]: Streams) -> Result<Pid, String> {
    match fork::fork().map_err(during("start a probe"))? {
        Fork::Child => {
            let _ = setpgid(None, None);
            let _ = rustix::stdio::dup2_stdout(stdout);
            let _ = rustix::stdio::dup2_stderr(stderr);
            std::process::exit(probe::ask(probe));
        }
        Fork::Parent(pid) => Pid::from_raw(pid).ok_or_else(|| "the probe has no number".to_owned()),
    }
}
