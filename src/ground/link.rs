//! The messages between this program and the process that starts a command for it, over
//! the socket that is the input of that process.
//!
//! To the process: the plan of the command as one line of JSON, and [`STOP`] if the
//! command is to end. The end of the input means that this program is gone. From the
//! process: one [`Report`] as a line.

use std::io;

use serde::{Deserialize, Serialize};

/// Asks the command to end, as the signal TERM does.
pub(crate) const STOP: u8 = b'T';

/// Maximum length of a report, in bytes: a command may reach the socket of a sandbox
/// that it broke out of.
pub(crate) const MAX_REPORT_BYTES: u64 = 4 << 10;

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Report {
    Exit(i32),
    Signal(i32),
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

    /// The report in `text`; `None`: there is none.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// An error with what failed.
pub(crate) fn during(what: impl Into<String>) -> impl FnOnce(io::Error) -> String {
    let what = what.into();
    move |error| format!("{what}: {error}")
}
