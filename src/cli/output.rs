//! Text on stdout and stderr.
//!
//! Packages, registries and logs may hold characters that control a terminal.
//! They are replaced here, except for colours in logs of commands, which
//! `progress` lets through.

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::json;

use super::command_error::CommandError;
use super::environment::variable;
use super::paint::Paint;
use crate::app::rfc3339;
use crate::text::harmless;

pub(super) use crate::text::{one_line, without_logins};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Level {
    /// Why a command failed. No flag or file of a checkout leaves out warnings.
    #[value(skip)]
    Error,
    /// Why a command failed, and what may be wrong
    Warn,
    /// And what was done
    Info,
    /// And with which settings
    Debug,
    /// The same as debug
    Trace,
}

impl Level {
    /// The level of a message: its first word says it.
    fn of(text: &str) -> Self {
        match text.split_once(':') {
            Some(("error", _)) => Self::Error,
            Some(("warning", _)) => Self::Warn,
            _ => Self::Info,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug | Self::Trace => "DEBUG",
        }
    }
}

/// The last level that is shown, as a number.
static SHOWN: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Whether messages are written as JSON, one a line.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Shows messages up to `level` from now on.
pub(super) fn show_from(level: Level) {
    SHOWN.store(level as u8, Ordering::Relaxed);
}

/// Whether messages of `level` are shown.
pub(super) fn shows(level: Level) -> bool {
    level as u8 <= SHOWN.load(Ordering::Relaxed)
}

/// Writes messages as JSON from now on.
pub(super) fn write_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Prints a message on stderr, if its level is shown. If stderr is closed, the message is
/// lost.
pub(super) fn note(text: &str) {
    note_at(Level::of(text), text);
}

/// Prints which settings are used, for `--log-level debug`.
pub(super) fn debug(text: &str) {
    note_at(Level::Debug, text);
}

fn note_at(level: Level, text: &str) {
    if !shows(level) {
        return;
    }
    let text = inert(harmless(&without_logins(text)));
    let text = match AS_JSON.load(Ordering::Relaxed) {
        true => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let time = rfc3339(now.map_or(0, |since| since.as_secs().cast_signed()));
            json!({"time": time, "level": level.word(), "msg": text}).to_string()
        }
        false => Paint::of_stderr().message(&text),
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Text in which GitHub Actions finds no command: one begins a line, or has an older form
/// that counts anywhere.
pub(super) fn inert(text: String) -> String {
    if variable("GITHUB_ACTIONS").is_none() {
        return text;
    }
    let line = |line: &str| match line.trim_start().strip_prefix("::") {
        Some(rest) => format!(":\u{200b}:{rest}"),
        None => line.to_owned(),
    };
    let text = text.replace("##[", "##\u{200b}[");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Prints the beginning of a line on stderr, which the user's answer follows.
pub(super) fn prompt(text: &str) {
    let mut err = std::io::stderr().lock();
    // If the question cannot be shown, reading the answer fails as well.
    let _ = write!(err, "{}", one_line(&without_logins(text)));
    let _ = err.flush();
}

/// Reports on stderr that the program waits, and why.
pub(super) fn waiting(text: &str) {
    if !shows(Level::Info) {
        return;
    }
    let mut err = std::io::stderr().lock();
    // Overwrites the live progress line, which is drawn again.
    let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(err, "{clear}{}", one_line(&without_logins(text)));
}

/// Prints `text` on stdout; on a terminal, without control characters.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    print_bytes(without_logins(text).as_bytes())
}

/// Prints `bytes` on stdout as they are; on a terminal, as [`print`] does.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.is_terminal() {
        true => write_bytes(
            &mut out,
            harmless(&String::from_utf8_lossy(bytes)).as_bytes(),
        ),
        false => write_bytes(&mut out, bytes),
    }
}

/// Writes `bytes` as they are. A reader that closed the pipe has all it wants, so
/// that is no error.
fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), CommandError> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::io("stdout", error))
        }
        _ => Ok(()),
    }
}

/// Lines of cells in columns of equal width. The last column has any width.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (1..N).map(|next| width(next - 1)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths.iter().chain([&0]));
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  "))
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses every byte for one reason.
    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [["a", "bb", "c"], ["\u{fc}\u{fc}", "b", "ccc"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "a   bb  c\n\u{fc}\u{fc}  b   ccc\n");
        assert_eq!(columns::<2>(&[]), "");
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        write_bytes(&mut Refusing(ErrorKind::BrokenPipe), b"x").unwrap();
        let full = write_bytes(&mut Refusing(ErrorKind::StorageFull), b"x");
        assert!(full.unwrap_err().to_string().starts_with("error: stdout: "));
    }
}
