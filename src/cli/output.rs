//! What the program says, on stdout and stderr.
//!
//! Packages, registries and logs are strangers' work, and terminals obey what is
//! printed: nothing that steers one leaves here. A command's own colours are the
//! exception, which `progress` lets through.

use std::io::{IsTerminal as _, Write as _};

use super::command_error::CommandError;

/// A word on stderr; a closed one has nobody to tell.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", tame(&without_logins(text)));
}

/// Tells on stderr that, and why, the program waits.
pub(super) fn waiting(text: &str) {
    let mut err = std::io::stderr().lock();
    // Over the line of a build that is being drawn, which comes again.
    let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(err, "{clear}{}", one_line(&without_logins(text)));
}

/// Prints `text` as it is; on a terminal, but for what steers it.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let text = match out.is_terminal() {
        true => tame(text),
        false => text.to_owned(),
    };
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| CommandError::io("stdout", error))
}

/// `text` on one line: what a stranger wrote cannot pass for another line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// `text` with the logins in addresses, as somebody may have given them, left out.
fn without_logins(text: &str) -> String {
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

/// `text` of many lines.
fn tame(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut tamed = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        let harmless = match c {
            '\n' | '\t' => true,
            '\r' => rest.peek() == Some(&'\n'),
            c => !c.is_control(),
        };
        tamed.push(if harmless { c } else { '\u{fffd}' });
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_steers_a_terminal_is_replaced_and_lines_stay() {
        assert_eq!(tame("a\tb\r\nc\n"), "a\tb\r\nc\n");
        assert_eq!(
            tame("\x1b[2J\u{9b}1mx\ry\x07"),
            "\u{fffd}[2J\u{fffd}1mx\u{fffd}y\u{fffd}"
        );
        assert_eq!(one_line("a\nb\tc"), "a\u{fffd}b\u{fffd}c");
    }
}
