//! The messages between this program and the process that starts a command for it, over
//! the socket that is the input of that process.
//!
//! To the process: the plan of the command as one line of JSON, and [`STOP`] if the
//! command is to end. The end of the input means that this program is gone. From the
//! process: what is running, if the command is to end, and how it ended; each a [`Report`]
//! as a line.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// Asks the command to end, as the signal TERM does.
pub(crate) const STOP: u8 = b'T';

/// Maximum length of all reports, in bytes: a command may reach the socket of a sandbox
/// that it broke out of.
pub(crate) const MAX_REPORT_BYTES: u64 = 16 << 10;

/// How the command ended, or what is to be known of it before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Report {
    Exit(i32),
    Signal(i32),
    /// What is running, as command lines.
    Running(Vec<String>),
    /// A service ended, or was not ready; then the command was not started.
    Lost(Lost),
    /// The command was not started: what failed, and why.
    Refused(String),
}

/// A service that a command had to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Its place among the services of the command.
    pub service: usize,
    pub how: How,
    /// Whether it was ready, and the command had started.
    pub later: bool,
}

/// Why a service is not ready, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Exit(i32),
    Signal(i32),
    /// Its time was up.
    Late,
    /// The command was stopped before.
    Stopped,
    /// Another program answered before it was started.
    Taken,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::Late | Self::Stopped => f.write_str("was not ready"),
            Self::Taken => f.write_str("was not started: its port is in use"),
        }
    }
}

/// All that was reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reports {
    /// What was running when the command was to end.
    pub running: Vec<String>,
    /// Services that ended, or were not ready.
    pub lost: Vec<Lost>,
    /// How the command ended, or why it was not started.
    pub last: Option<Report>,
}

impl Report {
    /// Sends it over this process's input.
    pub(crate) fn send(&self) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        // If the program has ended, nothing reads the report.
        let _ = rustix::io::write(rustix::stdio::stdin(), &line);
    }

    /// Whether `text` ends with the last report about a command.
    pub(crate) fn is_last(text: &[u8]) -> bool {
        text.ends_with(b"\n") && Self::parse(text).last.is_some()
    }

    /// What was reported, with the last report of an end; of a command that was not
    /// started, that.
    pub(crate) fn parse(text: &[u8]) -> Reports {
        let lines = text.split(|byte| *byte == b'\n');
        let mut found = Reports::default();
        for report in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
            match report {
                Self::Running(lines) => found.running = lines,
                Self::Lost(lost) => found.lost.push(lost),
                _ if matches!(found.last, Some(Self::Refused(_))) => {}
                report => found.last = Some(report),
            }
        }
        found
    }
}

/// An error with what failed.
pub(crate) fn during(what: impl Into<String>) -> impl FnOnce(io::Error) -> String {
    let what = what.into();
    move |error| format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_running_is_told_from_how_the_command_ended() {
        let running = r#"{"running":["make"]}"#;
        let both = format!("{running}\n{{\"exit\":3}}\n");
        let mut expected = Reports {
            running: vec!["make".to_owned()],
            last: Some(Report::Exit(3)),
            ..Reports::default()
        };
        assert_eq!(Report::parse(both.as_bytes()), expected);
        expected.last = None;
        assert_eq!(Report::parse(running.as_bytes()), expected);
        assert_eq!(Report::parse(b"{\"exit\""), Reports::default());
    }
}
