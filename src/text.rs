//! Untrusted text, made safe to display, to store, and to write into scripts.
//!
//! Names, descriptions, logs and messages of servers may contain characters that
//! control a terminal, and URLs may contain logins. Every room that displays or
//! stores such text removes both here, so that no two rooms disagree about what is
//! harmless.

/// The replacement for a character that controls a terminal.
const MARK: char = '\u{fffd}';

/// The replacement for a login.
const HIDDEN: &str = "***";

/// Whether `c` controls a terminal: a control character, or one that changes the
/// direction of text, so that a name or address looks like another one.
///
/// Source: Unicode 16, UAX #9, section 2; the deprecated U+206A to U+206F are
/// refused with them.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        )
}

/// `text` without characters that control a terminal, except line ends and tabs.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut shown = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        let kept = match c {
            '\n' | '\t' => true,
            '\r' => rest.peek() == Some(&'\n'),
            c => !steers(c),
        };
        shown.push(if kept { c } else { MARK });
    }
    shown
}

/// `text` on one line, so that untrusted text cannot pass for a line of ours.
#[must_use]
pub fn one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if steers(c) { MARK } else { c });
    shown.collect()
}

/// What of a line's escape sequences is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// Those that set colours; they are reset at the end.
    Colours,
    None,
}

/// A line that a program printed, as a terminal would show it: what comes after a carriage
/// return replaces what was before it. It controls no terminal.
#[must_use]
pub fn printed_line(line: &str, escapes: Escapes) -> String {
    let mut parts = line.rsplit('\r').filter(|part| !part.is_empty());
    let mut rest = parts.next().unwrap_or_default().chars();
    let (mut text, mut coloured) = (String::new(), false);
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            let sequence = escape(&mut rest);
            if escapes == Escapes::Colours && is_colour(&sequence) {
                coloured = true;
                text.push(c);
                text.push_str(&sequence);
            }
        } else if c == '\t' || !steers(c) {
            text.push(c);
        }
    }
    if coloured {
        text.push_str("\u{1b}[0m");
    }
    text
}

/// Longest sequence for a colour that is passed on, in bytes; real ones have about 20.
const MAX_COLOUR: usize = 64;

/// Whether a sequence selects colours and styles, and nothing else: one with a private
/// mark, such as `[>4;2m`, sets modes of the keyboard or makes the terminal answer, and
/// control characters inside of a sequence are obeyed.
///
/// Source: ECMA-48, section 8.3.117 (SGR); xterm, "Control Sequences".
fn is_colour(sequence: &str) -> bool {
    let parameters = sequence.strip_prefix('[').and_then(|s| s.strip_suffix('m'));
    sequence.len() <= MAX_COLOUR
        && parameters.is_some_and(|text| {
            text.bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b':' | b';'))
        })
}

/// The rest of an escape sequence, up to its end.
///
/// Source: ECMA-48, sections 5.4 and 5.6.
fn escape(rest: &mut std::str::Chars<'_>) -> String {
    let mut sequence = String::new();
    let mut is_string = false;
    for c in rest.by_ref() {
        sequence.push(c);
        if sequence.len() == 1 {
            is_string = matches!(c, ']' | 'P' | 'X' | '^' | '_');
            if is_string || c == '[' {
                continue;
            }
        }
        let ends = match is_string {
            // The bell, or the second half of `ESC \`.
            true => c == '\u{7}' || c == '\\' && sequence.ends_with("\u{1b}\\"),
            false => ('@'..='~').contains(&c),
        };
        if ends {
            break;
        }
    }
    sequence
}

/// The first of many things, and how many more there are: `a, b and 3 more`.
#[must_use]
pub fn first_of<T: ToString>(things: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut things = things.into_iter();
    let named = things.by_ref().take(most).map(|thing| thing.to_string());
    let named = named.collect::<Vec<_>>().join(", ");
    match things.count() {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The first `longest` characters of an untrusted message, as part of a line.
#[must_use]
pub fn excerpt(text: &str, longest: usize) -> String {
    let shown = text.chars().filter(|c| !steers(*c));
    shown.take(longest).collect()
}

/// `text` without the logins that URLs in it may hold.
#[must_use]
pub fn without_logins(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = |c: char| {
            matches!(c, '/' | '?' | '#' | '\\' | '`' | '"' | '\'' | '<' | '>') || c.is_whitespace()
        };
        let authority = after.split(end).next().unwrap_or(after);
        rest = match login_of(authority) {
            Some(length) => {
                shown.push_str(HIDDEN);
                &after[length..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

/// An address as a user gave it, with or without a scheme, without its login.
#[must_use]
pub fn shown_address(given: &str) -> String {
    const SCHEME: &str = "a://";
    match given.contains("://") {
        true => without_logins(given),
        false => without_logins(&format!("{SCHEME}{given}")).split_off(SCHEME.len()),
    }
}

/// `url` as it may be kept and passed on: without a login. An SSH address keeps its
/// user, who is part of it, and no password.
#[must_use]
pub fn public_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some(length) = login_of(authority) else {
        return url.to_owned();
    };
    let user = match scheme.ends_with("ssh") {
        true => rest[..length].split(':').next().unwrap_or_default(),
        false => "",
    };
    let at = if user.is_empty() { length + 1 } else { length };
    format!("{scheme}://{user}{}", &rest[at..])
}

/// The login that `url` holds.
#[must_use]
pub fn login_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    login_of(authority).map(|length| &rest[..length])
}

/// The length of the login at the start of an authority; `None`: it has none.
fn login_of(authority: &str) -> Option<usize> {
    let at = authority.rfind('@')?;
    // `oci://host@sha256:...` names a digest.
    match authority[at..].starts_with("@sha256:") {
        true => authority[..at].rfind('@'),
        false => Some(at),
    }
}

/// Whether shells, and systemd apart from `%`, take `text` for one word as it is.
#[must_use]
pub fn is_plain_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// `text` as one word of a POSIX shell, so that nothing in it is a command.
#[must_use]
pub fn shell_word(text: &str) -> String {
    match is_plain_word(text) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A command line of a POSIX shell with these words.
#[must_use]
pub fn shell_line<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let words = words.into_iter().map(|word| shell_word(word.as_ref()));
    words.collect::<Vec<_>>().join(" ")
}

/// An error with its causes on one line: what failed, then why.
///
/// Each error of this crate leaves its cause to `source`. Some of other crates repeat
/// it in their own text; what was written already is left out.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&error| error.source()) {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_come_with_the_number_of_the_others() {
        for (count, expected) in [(0, ""), (1, "0"), (3, "0, 1, 2"), (5, "0, 1, 2 and 2 more")] {
            assert_eq!(first_of(0..count, 3), expected);
        }
    }

    #[test]
    fn a_word_is_written_as_a_shell_reads_it() {
        for (word, expected) in [
            ("make", "make"),
            ("a b", "'a b'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("", "''"),
            ("-DX=1,2", "-DX=1,2"),
            ("100%", "100%"),
            ("$(x)", "'$(x)'"),
            ("\u{fc}", "'\u{fc}'"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
        assert_eq!(shell_line(["a", "b c"]), "a 'b c'");
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
            ("oci://u:p@h@sha256:0", "oci://***@h@sha256:0"),
            ("git+https://u:p@h", "git+https://***@h"),
            ("a://u@h b://v@i", "a://***@h b://***@i"),
            ("oci://h/x:1 and u:p@h", "oci://h/x:1 and u:p@h"),
        ] {
            assert_eq!(without_logins(text), shown);
        }
    }

    #[test]
    fn an_address_without_a_scheme_is_shown_without_its_login() {
        for (given, shown) in [
            ("u:p@h:1/x", "***@h:1/x"),
            ("oci://u:p@h/x", "oci://***@h/x"),
            ("h/x:1@sha256:0", "h/x:1@sha256:0"),
            ("dist/p.tar.zst", "dist/p.tar.zst"),
        ] {
            assert_eq!(shown_address(given), shown);
        }
    }

    #[test]
    fn a_public_url_has_no_login() {
        for (url, public) in [
            ("https://u:p@h:1/x@v1", "https://h:1/x@v1"),
            ("http://token@h", "http://h"),
            ("http://u:p@h?q=a@b", "http://h?q=a@b"),
            ("oci://u:p@h/x@sha256:0", "oci://h/x@sha256:0"),
            ("https://h/x@y", "https://h/x@y"),
            ("ssh://git@h/x", "ssh://git@h/x"),
            ("ssh://git:p@h/x", "ssh://git@h/x"),
            ("a/b@c", "a/b@c"),
        ] {
            assert_eq!(public_url(url), public);
        }
        assert_eq!(login_in("https://u:p@q@h/x"), Some("u:p@q"));
        assert_eq!(login_in("https://h/x@y"), None);
    }

    #[test]
    fn a_printed_line_is_what_a_terminal_shows() {
        for (line, plain, coloured) in [
            (
                "a\u{1b}[31mred\u{1b}[0m",
                "ared",
                "a\u{1b}[31mred\u{1b}[0m\u{1b}[0m",
            ),
            ("\u{1b}[2J\u{1b}[1;1Hb\u{7}", "b", "b"),
            ("10 %\r20 %\r", "20 %", "20 %"),
            (
                "\u{1b}]0;title\u{7}x\u{1b}]8;;http://h\u{1b}\\y",
                "xy",
                "xy",
            ),
            ("open\u{1b}[", "open", "open"),
            // What begins like a colour, but sets modes, asks for an answer, or hides
            // control characters.
            ("a\u{1b}[>4;2mb\u{1b}[?4mc", "abc", "abc"),
            ("a\u{1b}[\u{8}\u{8}mb\u{1b}[\u{9d}0;mc", "abc", "abc"),
            (
                "a\u{1b}[38:2::1:2:3mb",
                "ab",
                "a\u{1b}[38:2::1:2:3mb\u{1b}[0m",
            ),
            ("a\u{202e}b\tc", "ab\tc", "ab\tc"),
        ] {
            assert_eq!(printed_line(line, Escapes::None), plain);
            assert_eq!(printed_line(line, Escapes::Colours), coloured);
        }
    }

    #[test]
    fn characters_that_steer_are_replaced_and_lines_stay() {
        assert_eq!(harmless("a\tb\r\nc\n"), "a\tb\r\nc\n");
        assert_eq!(
            harmless("\x1b[2J\u{9b}1mx\ry\x07"),
            "\u{fffd}[2J\u{fffd}1mx\u{fffd}y\u{fffd}"
        );
        assert_eq!(one_line("a\nb\tc"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(excerpt("a\x1bb\u{202e}cd", 3), "abc");
        for c in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars() {
            assert!(steers(c), "{c:?}");
            assert_eq!(harmless(&format!("a{c}b")), "a\u{fffd}b");
        }
        // Letters of right-to-left scripts, joiners and emoji are text.
        assert_eq!(harmless("שלום 👩\u{200d}💻 é"), "שלום 👩\u{200d}💻 é");
    }
}
