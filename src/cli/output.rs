//! What the program says, on stdout and stderr.
//!
//! Packages, registries and logs are strangers' work, and terminals obey what is
//! printed: nothing that steers one leaves here. A command's own colours are the
//! exception, which `progress` lets through.

use std::io::Write as _;

use super::Exit;
use super::build::Refused;

/// A word on stderr; a closed one has nobody to tell.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", tame(text));
}

/// Prints `text` as it is, but for what steers a terminal.
pub(super) fn print(text: &str) -> Result<(), Refused> {
    let mut out = std::io::stdout().lock();
    out.write_all(tame(text).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| (Exit::Environment, format!("stdout: {error}")))
}

/// `text` on one line: what a stranger wrote cannot pass for another line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
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
    fn what_steers_a_terminal_is_replaced_and_lines_stay() {
        assert_eq!(tame("a\tb\r\nc\n"), "a\tb\r\nc\n");
        assert_eq!(
            tame("\x1b[2J\u{9b}1mx\ry\x07"),
            "\u{fffd}[2J\u{fffd}1mx\u{fffd}y\u{fffd}"
        );
        assert_eq!(one_line("a\nb\tc"), "a\u{fffd}b\u{fffd}c");
    }
}
