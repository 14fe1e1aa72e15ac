//! Why a command failed: an exit code, an error with its causes, and hints.
//!
//! Every command returns one. `?` converts every error that has a row in the table of
//! `exit`; mistakes on the command line are made here. `cli::run` alone prints it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use super::exit::{Exit, ToExit, hint_of_system};
use crate::app::errors::{is_of_disk, system_cause};
use crate::text::with_causes;

/// A failed command. Its text is what the user reads: `error: ` with what
/// happened and why, then each hint on a line of its own.
#[derive(Debug)]
pub(super) struct CommandError {
    exit: Exit,
    error: Box<dyn Error>,
    hints: Vec<String>,
}

impl CommandError {
    pub(super) fn new(exit: Exit, error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            exit,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// The command line requests something impossible.
    pub(super) fn usage(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// An error of the system, with what it happened to.
    pub(super) fn io(what: impl fmt::Display, source: io::Error) -> Self {
        let what = what.to_string();
        Self::new(Exit::Environment, IoError { what, source })
    }

    /// The same for a file.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::io(format!("`{}`", path.display()), source)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn exit(&self) -> Exit {
        match system_cause(self.error.as_ref()) {
            Some(kind) if is_of_disk(kind) => Exit::Environment,
            _ => self.exit,
        }
    }

    /// Advice from the causes, if the error itself has none.
    fn hint_of_system(&self) -> Option<&'static str> {
        hint_of_system(system_cause(self.error.as_ref())?)
    }
}

impl<E: ToExit + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self {
            exit: error.exit(),
            hints: error.hints(),
            error: Box::new(error),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", with_causes(self.error.as_ref()))?;
        for hint in &self.hints {
            write!(f, "\nhelp: {hint}")?;
        }
        match self.hint_of_system() {
            Some(hint) if self.hints.is_empty() => write!(f, "\nhelp: {hint}"),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct IoError {
    what: String,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_causes_and_one_hint_a_line() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = CommandError::file(Path::new("a/b"))(denied);
        assert_eq!(error.exit(), Exit::Environment);
        assert_eq!(
            error.to_string(),
            "error: `a/b`: permission denied\n\
             help: check the permissions of the file or folder"
        );
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = CommandError::io("stdout", full)
            .hint("first")
            .hint("second");
        let text = error.to_string();
        assert!(text.ends_with("\nhelp: first\nhelp: second"), "{text}");
        let twice = IoError {
            what: "no entry: entity not found".to_owned(),
            source: io::Error::from(io::ErrorKind::NotFound),
        };
        assert_eq!(with_causes(&twice), "no entry: entity not found");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = CommandError::new(Exit::Configuration, full);
        assert_eq!(error.exit(), Exit::Environment);
        let usage = CommandError::usage("name a package");
        assert_eq!(usage.to_string(), "error: name a package");
    }
}
