//! Why a task failed, and what kind of failure that is.

use std::fmt;
use std::path::PathBuf;

use crate::action::{InputError, SettingsError};
use crate::cas::tree::TreeError;
use crate::cas::{CasError, is_damage};
use crate::ground::lockfile::LockfileError;
use crate::ground::source::SourceError;
use crate::registry::DownloadError;
use crate::release::StoredError;
use crate::workspace::WalkError;

/// The kind of a failure; `cli` gives each its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The task itself failed.
    Task,
    /// The definition or pipeline asks for what cannot be.
    Configuration,
    /// The disk or the network refused.
    Environment,
    /// Bytes are not the expected ones.
    Verification,
    /// It took too long.
    Timeout,
    /// A tag names something else, and may not be moved.
    Conflict,
    /// A signal stopped it.
    Cancelled,
}

/// What another attempt could mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A connection, or a fault of the server.
    Network,
    /// An attempt that took too long.
    Timeout,
    /// A command that ended with this code; one that a signal ended has the
    /// code that a shell gives it, 128 and the signal.
    Exit(i32),
}

/// Why a task failed.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is.
    pub class: Class,
    /// What another attempt could mend; `None`: it would fail the same way.
    pub again: Option<Again>,
    /// What happened, with every cause.
    pub message: String,
    /// What the system reported, if that is the cause: the command line gives
    /// advice by it.
    pub cause: Option<std::io::ErrorKind>,
    /// What the command had printed, if there was one.
    pub log: String,
    /// The source that was written to while it was read.
    pub changed: Option<PathBuf>,
}

impl Failure {
    /// A failure that no further attempt mends.
    pub fn new(class: Class, message: impl fmt::Display) -> Self {
        Self {
            class,
            again: None,
            message: message.to_string(),
            cause: None,
            log: String::new(),
            changed: None,
        }
    }

    /// A source is no longer what the action's key names.
    pub(crate) fn changed(path: PathBuf) -> Self {
        let message = format!(
            "`{}` changed while it was read: make sure that nothing writes to it, then build again",
            path.display()
        );
        Self {
            changed: Some(path),
            ..Self::new(Class::Task, message)
        }
    }
}

impl Failure {
    /// A failure with the text of `error` and its causes. A full or read-only disk
    /// is the environment's fault, whatever was being written.
    pub(crate) fn caused_by(class: Class, error: &(dyn std::error::Error + 'static)) -> Self {
        let cause = system_cause(error);
        let class = match cause {
            Some(kind) if is_of_disk(kind) => Class::Environment,
            _ => class,
        };
        Self {
            cause,
            ..Self::new(class, whole(error))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The kind of an I/O error: damaged bytes are not the disk's refusal.
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

/// Writes an error with everything that caused it.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What the system reported, if that is the cause of `error`.
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

/// Whether a server that answered so may answer otherwise later.
pub(crate) fn passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Gives each error its class, and writes it with everything that caused it.
macro_rules! failures {
    ($($error:ty: $class:expr $(, again: $again:expr)?;)*) => {$(
        impl From<$error> for $crate::ground::Failure {
            fn from(error: $error) -> Self {
                use $crate::ground::Class;
                let class: fn(&$error) -> Class = $class;
                #[allow(unused_mut, reason = "only some errors can be mended")]
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
        LockfileError::Io { .. } => Class::Environment,
        LockfileError::Malformed { .. } => Class::Configuration,
    };
    WalkError: |_| Class::Environment;
    TreeError: of_tree;
    SourceError: |error| match error {
        SourceError::Outside(_) => Class::Configuration,
        _ => Class::Environment,
    };
    DownloadError: |error| match error {
        DownloadError::Address(_) => Class::Configuration,
        DownloadError::Digest { .. } => Class::Verification,
        _ => Class::Environment,
    }, again: |error| match error {
        DownloadError::Transport { .. } => Some(Again::Network),
        DownloadError::Status { status, .. } => passing(*status).then_some(Again::Network),
        _ => None,
    };
}

/// Longest log shown, in bytes: 1 MiB of its end, which tells most. A record
/// of a thousand tasks must still be readable.
const SHOWN_LOG_BYTES: usize = 1 << 20;

/// The end of a log, at a line's beginning.
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
        TreeError::Io { source, .. } => of_io(source),
        TreeError::Encoding(_) | TreeError::Malformed { .. } => Class::Verification,
        // What a command left, and what a tree cannot hold.
        _ => Class::Task,
    }
}

pub(crate) fn of_cas(error: &CasError) -> Class {
    match error {
        CasError::Io { source, .. } => of_io(source),
        CasError::TooLarge(..) => Class::Environment,
        CasError::Missing(_) | CasError::Mismatch { .. } => Class::Verification,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

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
            assert_eq!(failure.cause, Some(kind));
        }
        let other = Error::from(ErrorKind::InvalidInput);
        let failure = Failure::caused_by(Class::Configuration, &other);
        assert_eq!(failure.class, Class::Configuration);
    }
}
