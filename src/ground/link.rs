//! The messages between this program and the process that starts a command for it, over
//! the socket that is the input of that process.
//!
//! To the process: the plan of the command as one line of JSON, and [`STOP`] if the
//! command is to end. The end of the input means that this program is gone. From the
//! process: what is running, if the command is to end, and how it ended; each a [`Report`]
//! as a line.

use std::io;

use serde::{Deserialize, Serialize};

/// Asks the command to end, as the signal TERM does.
pub(crate) const STOP: u8 = b'T';

/// Maximum length of all reports, in bytes: a command may reach the socket of a sandbox
/// that it broke out of.
pub(crate) const MAX_REPORT_BYTES: u64 = 16 << 10;

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Report {
    Exit(i32),
    Signal(i32),
    /// What is running, as command lines.
    Running(Vec<String>),
    /// The command was not started: what failed, and why.
    Refused(String),
}

impl Report {
    /// Sends it over this process's input.
    pub(crate) fn send(&self) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        // If the program has ended, nothing reads the report.
        let _ = rustix::io::write(rustix::stdio::stdin(), &line);
    }

    /// What was running, and the last report, if there is one: of a command that was not
    /// started, that.
    pub(crate) fn parse(text: &[u8]) -> (Vec<String>, Option<Self>) {
        let lines = text.split(|byte| *byte == b'\n');
        let (mut running, mut last) = (Vec::new(), None);
        for report in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
            match report {
                Self::Running(lines) => running = lines,
                _ if matches!(last, Some(Self::Refused(_))) => {}
                report => last = Some(report),
            }
        }
        (running, last)
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
        let make = vec!["make".to_owned()];
        assert_eq!(
            Report::parse(both.as_bytes()),
            (make.clone(), Some(Report::Exit(3)))
        );
        assert_eq!(Report::parse(running.as_bytes()), (make, None));
        assert_eq!(Report::parse(b"{\"exit\""), (Vec::new(), None));
    }
}
