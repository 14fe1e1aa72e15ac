//! Why a task failed, with the class of the failure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{InputError, SettingsError};
use crate::cas::tree::TreeError;
use crate::cas::{CasError, is_damage};
use crate::codes::Code;
use crate::ground::lockfile::LockfileError;
use crate::ground::source::LocalSourceError;
use crate::junit::Report;
use crate::registry::{DownloadError, is_temporary};
use crate::release::StoredError;
use crate::text::{with_causes, without_logins};
use crate::workspace::WalkError;

/// The kind of a failure; `cli` gives each its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The task itself failed.
    Task,
    /// The definition or pipeline is invalid.
    Configuration,
    /// The disk or the network failed.
    Environment,
    /// Content does not match its digest or signature.
    Verification,
    Timeout,
    /// A tag names another package and must not be moved.
    Conflict,
    /// A signal stopped it.
    Cancelled,
}

/// Failures that a retry may fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A connection failed, or the server had an error.
    Network,
    Timeout,
    /// The command exited with this code; for a signal, 128 plus its number, as in a
    /// shell.
    Exit(i32),
}

/// What probably made a command fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cause {
    /// For programs that read the run record.
    pub kind: CauseKind,
    pub message: String,
    /// The next step; empty if the message says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// The kind of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// A file of the workspace is not among the inputs.
    UndeclaredInput,
    /// A file of this machine, outside of the workspace, is not in the sandbox.
    UndeclaredFile,
    /// An installed program is not among the tools.
    UndeclaredTool,
    /// A program is not installed.
    MissingTool,
    /// A tool is a script, and may start a program that is not declared.
    ScriptTool,
    /// Tests failed, by their reports.
    FailedTests,
    /// The task has no network.
    NoNetwork,
    OutOfMemory,
    DiskFull,
    /// An output is missing, or is not what was declared.
    MissingOutput,
    /// What was running when the time was up.
    Running,
    /// A service ended before the command, or was not ready.
    Service,
}

impl CauseKind {
    /// All kinds, as the run record writes them.
    pub const WORDS: [&str; 12] = [
        "undeclared-input",
        "undeclared-file",
        "undeclared-tool",
        "missing-tool",
        "script-tool",
        "failed-tests",
        "no-network",
        "out-of-memory",
        "disk-full",
        "missing-output",
        "running",
        "service",
    ];

    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::UndeclaredInput => Code::UndeclaredInput,
            Self::UndeclaredFile => Code::UndeclaredFile,
            Self::UndeclaredTool => Code::UndeclaredTool,
            Self::MissingTool => Code::MissingTool,
            Self::ScriptTool => Code::ScriptTool,
            Self::FailedTests => Code::FailedTests,
            Self::NoNetwork => Code::NoNetwork,
            Self::OutOfMemory => Code::OutOfMemory,
            Self::DiskFull => Code::DiskFull,
            Self::MissingOutput => Code::MissingOutput,
            Self::Running => Code::Running,
            Self::Service => Code::Service,
        }
    }
}

#[derive(Debug)]
pub struct Failure {
    pub class: Class,
    /// The condition for a retry; `None`: a retry would fail the same way.
    pub again: Option<Again>,
    /// The error with all of its causes.
    pub message: String,
    /// The system error, if that is the cause; the command line chooses advice by it.
    pub system: Option<std::io::ErrorKind>,
    /// What probably made a command fail; the message mentions each.
    pub causes: Vec<Cause>,
    /// Where the folder of the command is kept.
    pub stage: Option<Box<PathBuf>>,
    /// The output of the command, if one ran.
    pub log: String,
    /// The source file that changed while it was read.
    pub changed: Option<Box<PathBuf>>,
    /// What the tests of the command reported.
    pub reported: Option<Box<Reported>>,
    /// Whether the task was ended because its inputs changed: it runs again.
    pub recalled: bool,
}

/// Why a task is ended, or not started, whose inputs changed.
pub(crate) const RECALLED: &str = "its inputs changed";

/// Reports of tests that a command left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// `None`: it left none.
    pub report: Option<Arc<Report>>,
    /// About files that are no reports.
    pub warnings: Vec<String>,
    /// Patterns that match nothing.
    pub missing: Vec<String>,
}

impl Failure {
    pub fn new(class: Class, message: impl fmt::Display) -> Self {
        Self {
            class,
            again: None,
            // Records and events keep it.
            message: without_logins(&message.to_string()),
            system: None,
            causes: Vec::new(),
            stage: None,
            log: String::new(),
            changed: None,
            reported: None,
            recalled: false,
        }
    }

    /// The inputs of the task changed while it ran.
    pub(crate) fn recalled() -> Self {
        Self {
            recalled: true,
            ..Self::new(Class::Cancelled, RECALLED)
        }
    }

    /// A fault of jackal itself.
    pub(crate) fn internal(what: impl fmt::Display) -> Self {
        Self::new(Class::Task, format_args!("internal error: {what}"))
    }

    /// A source file no longer matches the action's key.
    pub(crate) fn changed(path: PathBuf) -> Self {
        let message = format!(
            "`{}` changed while it was read: make sure that nothing writes to it, then build again",
            path.display()
        );
        Self {
            changed: Some(Box::new(path)),
            ..Self::new(Class::Task, message)
        }
    }
}

impl Failure {
    /// A failure with the message of `error` and its causes. A full or read-only disk
    /// is the environment's fault, whatever was being written.
    pub(crate) fn caused_by(class: Class, error: &(dyn std::error::Error + 'static)) -> Self {
        let cause = system_cause(error);
        let class = match cause {
            Some(kind) if is_of_disk(kind) => Class::Environment,
            _ => class,
        };
        Self {
            system: cause,
            ..Self::new(class, with_causes(error))
        }
    }
}

impl Failure {
    /// The same, with where the mistake is: a place and what separates it.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    /// The same, with what was found of its causes.
    pub(crate) fn because(mut self, causes: Vec<Cause>) -> Self {
        let texts = causes.iter();
        let texts = texts.map(|cause| format!("{} [{}]", cause.message, cause.kind.code()));
        let texts: Vec<String> = texts.collect();
        if !texts.is_empty() {
            self.message = format!("{}: {}", self.message, without_logins(&texts.join("; ")));
        }
        self.causes.extend(causes);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The class of an I/O error: corrupt data is a verification failure, not an
/// environment failure.
pub(crate) fn of_io(error: &std::io::Error) -> Class {
    match is_damage(error) {
        true => Class::Verification,
        false => Class::Environment,
    }
}

/// Whether only the disk can be the reason for an error of this kind.
pub(crate) fn is_of_disk(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// The system error that caused `error`, if any.
pub(crate) fn system_cause(
    error: &(dyn std::error::Error + 'static),
) -> Option<std::io::ErrorKind> {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    let cause = chain.find_map(|error| error.downcast_ref::<std::io::Error>())?;
    Some(cause.kind())
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::caused_by(of_io(&error), &error)
    }
}

/// Converts errors to failures: each has a class, and the message includes all causes.
macro_rules! failures {
    ($($error:ty: $class:expr $(, again: $again:expr)?;)*) => {$(
        impl From<$error> for $crate::ground::Failure {
            fn from(error: $error) -> Self {
                use $crate::ground::Class;
                let class: fn(&$error) -> Class = $class;
                #[allow(unused_mut, reason = "only some errors are retried")]
                let mut failure = Self::caused_by(class(&error), &error);
                $(
                    use $crate::ground::Again;
                    let mends: fn(&$error) -> Option<Again> = $again;
                    failure = Self { again: mends(&error), ..failure };
                )?
                failure
            }
        }
    )*};
}

pub(crate) use failures;

failures! {
    InputError: |_| Class::Configuration;
    SettingsError: |_| Class::Task;
    CasError: of_cas;
    StoredError: |error| match error {
        StoredError::Cas(error) => of_cas(error),
        StoredError::Io(error) => of_io(error),
        _ => Class::Configuration,
    };
    LockfileError: |error| match error {
        LockfileError::Io { .. } | LockfileError::Write { .. } => Class::Environment,
        LockfileError::Malformed { .. } | LockfileError::Newer { .. } => Class::Configuration,
    };
    WalkError: of_walk;
    TreeError: of_tree;
    LocalSourceError: |error| match error {
        LocalSourceError::Outside(_)
        | LocalSourceError::LeadsOut { .. }
        | LocalSourceError::Absent(_) => Class::Configuration,
        LocalSourceError::Walk(error) => of_walk(error),
        LocalSourceError::Io { .. } => Class::Environment,
    };
    DownloadError: |error| match error {
        DownloadError::Address(_) | DownloadError::TooLarge { .. } => Class::Configuration,
        DownloadError::Digest { .. } => Class::Verification,
        _ => Class::Environment,
    }, again: |error| match error {
        DownloadError::Transport { .. } => Some(Again::Network),
        DownloadError::Status { status, .. } => is_temporary(*status).then_some(Again::Network),
        _ => None,
    };
}

/// Maximum length of a shown log, in bytes: the last 1 MiB, so that a record of a
/// thousand tasks stays readable.
const SHOWN_LOG_BYTES: usize = 1 << 20;

/// The end of a log, starting at a line.
pub(crate) fn shown(log: &str) -> String {
    if log.len() <= SHOWN_LOG_BYTES {
        return log.to_owned();
    }
    let mut start = log.len() - SHOWN_LOG_BYTES;
    while !log.is_char_boundary(start) {
        start += 1;
    }
    let rest = &log[start..];
    let line = rest.find('\n').map_or(rest, |at| &rest[at + 1..]);
    format!("[{} bytes before]\n{line}", log.len() - line.len())
}

pub(crate) fn of_tree(error: &TreeError) -> Class {
    match error {
        TreeError::Cas(error) => of_cas(error),
        TreeError::Io(error) => of_io(&error.source),
        TreeError::Encoding(_) | TreeError::Malformed { .. } => Class::Verification,
        // What a command left, and what a tree cannot hold.
        _ => Class::Task,
    }
}

/// The user can correct the content of the checkout, but not a failure of the disk.
fn of_walk(error: &WalkError) -> Class {
    match error {
        WalkError::Walk(_) | WalkError::Io { .. } => Class::Environment,
        _ => Class::Configuration,
    }
}

pub(crate) fn of_cas(error: &CasError) -> Class {
    match error {
        CasError::Io { source, .. } => of_io(source),
        CasError::TooLarge(..)
        | CasError::Full { .. }
        | CasError::Foreign(_)
        | CasError::ReadOnly(_) => Class::Environment,
        CasError::Missing(_) | CasError::Mismatch { .. } => Class::Verification,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn the_kinds_of_causes_are_listed_as_they_are_written() {
        for word in CauseKind::WORDS {
            let kind: CauseKind = serde_json::from_value(word.into()).unwrap();
            assert_eq!(serde_json::to_value(kind).unwrap(), word);
            assert_eq!(kind.code().name(), word);
        }
    }

    #[test]
    fn a_disk_that_refuses_is_no_mistake_of_the_user() {
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem,
        ] {
            let error = crate::archive::TarError::Write(kind.into());
            let failure = Failure::caused_by(Class::Configuration, &error);
            assert_eq!(failure.class, Class::Environment, "{kind}");
            assert_eq!(failure.system, Some(kind));
        }
        let other = Error::from(ErrorKind::InvalidInput);
        let failure = Failure::caused_by(Class::Configuration, &other);
        assert_eq!(failure.class, Class::Configuration);
    }
}
