//! Why a task failed, and what kind of failure that is.

use std::fmt;

use super::executors::{
    ComponentError, FetchError, ImagesError, ImportError, PackageError, SbomError,
};
use super::lockfile::LockfileError;
use crate::cas::CasError;
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
    /// Somebody stopped it.
    Cancelled,
}

/// Why a task failed.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is.
    pub class: Class,
    /// Whether another attempt may succeed.
    pub transient: bool,
    /// What happened and what to do, in one text.
    pub message: String,
    /// What the command had printed, if there was one.
    pub log: String,
}

impl Failure {
    /// A failure that no further attempt mends.
    pub fn new(class: Class, message: impl fmt::Display) -> Self {
        Self {
            class,
            transient: false,
            message: message.to_string(),
            log: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kind of an I/O error: damaged bytes are not the disk's refusal.
fn of_io(error: &std::io::Error) -> Class {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Class::Verification,
        _ => Class::Environment,
    }
}

/// Writes an error with everything that caused it.
fn whole(error: &dyn std::error::Error) -> String {
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

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(of_io(&error), error)
    }
}

impl From<CasError> for Failure {
    fn from(error: CasError) -> Self {
        let message = whole(&error);
        Self::new(of_io(&error.into()), message)
    }
}

impl From<LockfileError> for Failure {
    fn from(error: LockfileError) -> Self {
        let class = match &error {
            LockfileError::Io { .. } => Class::Environment,
            LockfileError::Malformed { .. } => Class::Configuration,
        };
        Self::new(class, whole(&error))
    }
}

impl From<WalkError> for Failure {
    fn from(error: WalkError) -> Self {
        Self::new(Class::Environment, whole(&error))
    }
}

impl From<ComponentError> for Failure {
    fn from(error: ComponentError) -> Self {
        let class = match &error {
            ComponentError::Io { .. } => Class::Environment,
            _ => Class::Configuration,
        };
        Self::new(class, whole(&error))
    }
}
impl From<FetchError> for Failure { fn from(e: FetchError) -> Self { Self::new(Class::Environment, whole(&e)) } }
impl From<ImagesError> for Failure { fn from(e: ImagesError) -> Self { Self::new(Class::Environment, whole(&e)) } }
impl From<ImportError> for Failure { fn from(e: ImportError) -> Self { Self::new(Class::Environment, whole(&e)) } }
impl From<PackageError> for Failure { fn from(e: PackageError) -> Self { Self::new(Class::Environment, whole(&e)) } }
impl From<SbomError> for Failure { fn from(e: SbomError) -> Self { Self::new(Class::Environment, whole(&e)) } }
impl From<super::executors::ExportError> for Failure { fn from(e: super::executors::ExportError) -> Self { Self::new(Class::Environment, whole(&e)) } }
