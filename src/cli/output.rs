//! Text on stdout and stderr.
//!
//! Packages, registries and logs may hold control characters, which terminals
//! obey. They are replaced here, except for colours in logs of commands, which
//! `progress` lets through.

use std::io::{ErrorKind, IsTerminal as _, Write};

use super::command_error::CommandError;

/// Prints a message on stderr. If that is closed, the message is lost.
pub(super) fn note(text: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        escape_controls(&without_logins(text))
    );
}

/// Reports on stderr that the program waits, and why.
pub(super) fn waiting(text: &str) {
    let mut err = std::io::stderr().lock();
    // Overwrites the live progress line, which is drawn again.
    let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(err, "{clear}{}", one_line(&without_logins(text)));
}

/// Prints `text` on stdout; on a terminal, without control characters.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let text = match out.is_terminal() {
        true => escape_controls(text),
        false => text.to_owned(),
    };
    print_bytes(&mut out, text.as_bytes())
}

/// Writes `bytes` as they are. A reader that closed the pipe has all it wants, so
/// that is no error.
pub(super) fn print_bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), CommandError> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::io("stdout", error))
        }
        _ => Ok(()),
    }
}

/// `text` on one line, so that foreign text cannot pass for a line of ours.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// `text` without the logins that URLs may hold.
pub(super) fn without_logins(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = |c: char| matches!(c, '/' | '?' | '#' | '`' | '"' | '\'') || c.is_whitespace();
        let host = after.split(end).next().unwrap_or(after);
        let login = host
            .rfind('@')
            .filter(|at| !host[*at..].starts_with("@sha256:"));
        rest = match login {
            Some(at) => {
                shown.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

/// `text` without control characters other than line ends and tabs.
fn escape_controls(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut escaped = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        let harmless = match c {
            '\n' | '\t' => true,
            '\r' => rest.peek() == Some(&'\n'),
            c => !c.is_control(),
        };
        escaped.push(if harmless { c } else { '\u{fffd}' });
    }
    escaped
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
    fn a_reader_that_has_enough_is_no_error() {
        print_bytes(&mut Refusing(ErrorKind::BrokenPipe), b"x").unwrap();
        let full = print_bytes(&mut Refusing(ErrorKind::StorageFull), b"x");
        assert!(full.unwrap_err().to_string().starts_with("error: stdout: "));
    }

    #[test]
    fn logins_in_addresses_are_left_out() {
        for (text, shown) in [
            ("`oci://u:secret@h:1/x`: no", "`oci://***@h:1/x`: no"),
            (
                "https://u:a@b@h/x?y, oci://h/x@sha256:0",
                "https://***@h/x?y, oci://h/x@sha256:0",
            ),
            ("https://token@h/x", "https://***@h/x"),
            ("oci://h@sha256:0", "oci://h@sha256:0"),
            ("oci://h/x:1 and u:p@h", "oci://h/x:1 and u:p@h"),
        ] {
            assert_eq!(without_logins(text), shown);
        }
    }

    #[test]
    fn control_characters_are_replaced_and_lines_stay() {
        assert_eq!(escape_controls("a\tb\r\nc\n"), "a\tb\r\nc\n");
        assert_eq!(
            escape_controls("\x1b[2J\u{9b}1mx\ry\x07"),
            "\u{fffd}[2J\u{fffd}1mx\u{fffd}y\u{fffd}"
        );
        assert_eq!(one_line("a\nb\tc"), "a\u{fffd}b\u{fffd}c");
    }
}
