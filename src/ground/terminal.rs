//! A command on a terminal of its own, which this program connects with the user's.
//!
//! On the user's terminal itself, a command could type into it, and could not control
//! jobs.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use super::launch::{self, Plan};
use super::link::{MAX_REPORT_BYTES, Report};

/// The signal of a command that ended without a report: something killed what started it.
const KILLED: i32 = 9;

/// A running command and this program's end of its terminal. Dropping it ends the
/// command.
#[derive(Debug)]
pub struct Session {
    /// What is written here is typed; what is read was printed.
    pub terminal: File,
    socket: UnixStream,
    /// The names of the services beside the command.
    services: Vec<String>,
}

impl Session {
    pub(super) fn open(program: &Path, plan: &Plan) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let own = openpt(flags)?;
        grantpt(&own)?;
        unlockpt(&own)?;
        let other: OwnedFd = ioctl_tiocgptpeer(&own, flags)?;
        let mut socket = launch::launch_on(&other, program, &plan.place)?;
        let mut line = serde_json::to_vec(plan)?;
        line.push(b'\n');
        socket.write_all(&line)?;
        Ok(Self {
            terminal: File::from(own),
            socket,
            services: plan.services.iter().map(|each| each.name.clone()).collect(),
        })
    }

    /// Waits for the end of the command, and returns its exit code: 128 and the number of the
    /// signal that ended it. An error says why it could not start.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub fn wait(&mut self) -> io::Result<i32> {
        let mut report = Vec::new();
        let mut from = (&mut self.socket).take(MAX_REPORT_BYTES);
        from.read_to_end(&mut report)?;
        let report = Report::parse(&report);
        match (report.last, report.lost.iter().find(|lost| !lost.later)) {
            (Some(Report::Refused(why)), _) => Err(io::Error::other(why)),
            (_, Some(lost)) => {
                let names = self.services.get(lost.service);
                let name = names.map_or("", String::as_str);
                Err(io::Error::other(format!(
                    "the service `{name}` {}",
                    lost.how
                )))
            }
            (Some(Report::Exit(code)), _) => Ok(code),
            (Some(Report::Signal(signal)), _) => Ok(128 + signal),
            _ => Ok(128 + KILLED),
        }
    }
}
