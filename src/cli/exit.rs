//! The one table of exit codes.
//!
//! Source: docs/spec/pipeline.md, "Exit codes".

use std::process::ExitCode;

/// How a command ended, when not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A task failed, or `dev lint` found an error.
    Task = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A definition or pipeline is wrong.
    Configuration = 3,
    /// The disk or the network refused.
    Environment = 4,
    /// Verification failed: what was found must not be trusted.
    Verification = 5,
    /// Something took too long.
    Timeout = 6,
    /// A tag names another package, and may not be moved.
    Conflict = 7,
    /// A signal stopped the run (128 + SIGINT).
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
