//! Why a command has no result, and what class of failure that is.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::archive::PathError;
use crate::cas::CasError;
use crate::cas::tree::TreeError;
use crate::disk::DiskError;
use crate::ground::process::ProcessError;
use crate::ground::{Again, Class, Failure, of_cas, of_io, of_tree, shown};

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started or waited for.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It exited with a nonzero code.
    #[error("command exited with code {code}")]
    Exit { code: i32, log: String },
    /// A signal from elsewhere ended it.
    #[error("command was killed by signal {signal}")]
    Signaled { signal: i32, log: String },
    #[error("command timed out after {after:?} and was killed")]
    TimedOut {
        log: String,
        after: Duration,
        /// What was running then, as command lines.
        running: Vec<String>,
    },
    #[error("command was cancelled")]
    Cancelled { log: String },
    /// A service was not ready.
    #[error("the command did not start")]
    Unready {
        /// The condition for a retry.
        again: Option<Again>,
        log: String,
    },
    /// An output is missing after success.
    #[error("output `{path}` is missing after the command")]
    Missing { path: String },
    /// An output has another type than declared.
    #[error("output `{path}` is {found}, expected {expected}: a `/` at the end declares a folder")]
    WrongKind {
        path: String,
        found: &'static str,
        expected: &'static str,
    },
    /// The command succeeded, but its outputs cannot be kept.
    #[error(transparent)]
    Unkept(Box<Unkept>),
    /// Something in an output that the task did not make.
    #[error(
        "`{path}`{} is in the way of the output `{output}`, and this task did not make it: move \
         it or declare another path; --clean-outputs removes what Git does not track",
        and_others(*.others)
    )]
    Foreign {
        /// Relative to the workspace.
        path: String,
        output: String,
        /// How many more there are.
        others: usize,
    },
    /// A repository of Git in an output.
    #[error(
        "`{path}` is not put into the workspace, as Git would run programs that it names: let the \
         command remove it"
    )]
    OfGit {
        /// Relative to the workspace.
        path: String,
    },
    /// An input, output or work folder that leads out of the stage.
    #[error("invalid input, output or working directory `{path}`")]
    Path {
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A tree could not be stored or restored.
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Cas(#[from] CasError),
    #[error(transparent)]
    Io(#[from] DiskError),
    /// Work on a blocking thread was cancelled.
    #[error("a background task was cancelled: run the build again")]
    BrokenOff,
}

pub(super) fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    }
}

/// An error about the outputs of a command that succeeded.
#[derive(Debug)]
pub struct Unkept {
    pub(crate) error: RunError,
    /// The files that it made elsewhere.
    pub(crate) left: Vec<String>,
    pub(crate) log: String,
}

impl fmt::Display for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unkept {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let whole = Self::caused_by(class(&error), &error);
        let (class, again, log) = match error {
            RunError::TimedOut { log, .. } => (Class::Timeout, Some(Again::Timeout), log),
            RunError::Exit { code, log } => (Class::Task, Some(Again::Exit(code)), log),
            RunError::Signaled { signal, log } => {
                (Class::Task, Some(Again::Exit(128 + signal)), log)
            }
            RunError::Cancelled { log } => (Class::Cancelled, None, log),
            RunError::Unready { again, log } => (Class::Task, again, log),
            RunError::Unkept(unkept) => (whole.class, None, unkept.log),
            _ => return whole,
        };
        Self {
            class,
            again,
            log: shown(&log),
            ..whole
        }
    }
}

/// The class of an error that is not the command's own.
fn class(error: &RunError) -> Class {
    match error {
        RunError::BrokenOff => Class::Environment,
        RunError::Unkept(unkept) => class(&unkept.error),
        RunError::Io(error) => of_io(&error.source),
        RunError::Tree(error) => of_tree(error),
        RunError::Cas(error) => of_cas(error),
        RunError::Path { .. } | RunError::Foreign { .. } | RunError::OfGit { .. } => {
            Class::Configuration
        }
        _ => Class::Task,
    }
}
