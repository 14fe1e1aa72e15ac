//! YAML as Helm writes it into a packaged chart: sorted keys, two spaces, long
//! lines folded after column 80.
//!
//! Source: `sigs.k8s.io/yaml`, which sorts like `gopkg.in/yaml.v2` and uses its
//! emitter. Strings that would be read as another type are quoted.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// Column after which a line is folded at the next space.
const WIDTH: usize = 80;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Text(String),
    /// A number, written unchanged.
    Number(String),
    Bool(bool),
    Null,
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// The type of a plain scalar for Go's YAML reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Text,
    Null,
    Bool(bool),
    Number,
    Timestamp,
    Merge,
}

/// The type of `text` without quotes.
pub(crate) fn plain(text: &str) -> Plain {
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let decimal = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?";
        let other = r"[-+]?0[xX][0-9a-fA-F]+|[-+]?0[oO][0-7]+|[-+]?0[bB][01]+";
        let special = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)";
        Regex::new(&format!("^({decimal}|{other}|{special})$")).ok()
    });
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let clock = r"[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?";
        Regex::new(&format!("^[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}({clock})?$")).ok()
    });
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        "<<" => return Plain::Merge,
        _ => {}
    }
    let is =
        |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|p| p.is_match(text));
    let digits = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if is(&TIME, text) {
        Plain::Timestamp
    } else if digits && is(&NUMBER, &text.replace('_', "")) {
        Plain::Number
    } else {
        Plain::Text
    }
}

/// Whether an old reader would parse `text` as minutes and seconds.
fn base60(text: &str) -> bool {
    static BASE60: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$").ok());
    BASE60
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

pub(crate) fn emit(value: &Yaml) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a value at `indent`. The first line has already been started; for maps and
/// lists it continues with the first key or dash.
fn write(value: &Yaml, indent: usize, out: &mut String) {
    match value {
        Yaml::Map(pairs) if !pairs.is_empty() => {
            let mut pairs: Vec<&(String, Yaml)> = pairs.iter().collect();
            pairs.sort_by(|a, b| natural(&a.0, &b.0));
            for (place, (key, value)) in pairs.into_iter().enumerate() {
                if place > 0 {
                    line(indent, out);
                }
                scalar(key, indent, true, out);
                out.push(':');
                match value {
                    Yaml::Map(pairs) if !pairs.is_empty() => {
                        line(indent + 2, out);
                        write(value, indent + 2, out);
                    }
                    // A list has the indentation of its key.
                    Yaml::List(items) if !items.is_empty() => {
                        line(indent, out);
                        write(value, indent, out);
                    }
                    _ => {
                        out.push(' ');
                        write(value, indent + 2, out);
                    }
                }
            }
        }
        Yaml::List(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    line(indent, out);
                }
                out.push_str("- ");
                write(item, indent + 2, out);
            }
        }
        Yaml::Map(_) => out.push_str("{}"),
        Yaml::List(_) => out.push_str("[]"),
        Yaml::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Yaml::Null => out.push_str("null"),
        Yaml::Number(text) => out.push_str(text),
        Yaml::Text(text) => scalar(text, indent, false, out),
    }
}

/// Ends the line, unless a block has ended it, and indents the next.
fn line(indent: usize, out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

fn column(out: &str) -> usize {
    let begin = out.rfind('\n').map_or(0, |at| at + 1);
    out[begin..].chars().count()
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn breaks(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The styles for strings.
struct Styles {
    plain: bool,
    single: bool,
    block: bool,
}

fn styles(text: &str) -> Styles {
    let chars: Vec<char> = text.chars().collect();
    let space = |at: usize| chars.get(at) == Some(&' ');
    let mut indicator = text.starts_with("---") || text.starts_with("...");
    let (mut special, mut broken, mut break_space, mut space_break) = (false, false, false, false);
    for (at, c) in chars.iter().enumerate() {
        let followed = chars.get(at + 1).is_none_or(|c| matches!(c, ' ' | '\t'));
        indicator |= match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => at == 0,
            '#' => at == 0 || matches!(chars[at - 1], ' ' | '\t') || breaks(chars[at - 1]),
            ':' => followed,
            '?' | '-' => at == 0 && followed,
            _ => false,
        };
        special |= !printable(*c);
        broken |= breaks(*c);
        if at > 0 {
            break_space |= *c == ' ' && breaks(chars[at - 1]);
            space_break |= breaks(*c) && chars[at - 1] == ' ';
        }
    }
    let last = chars.len().saturating_sub(1);
    let edge = |at: usize| space(at) || chars.get(at).is_some_and(|c| breaks(*c));
    let mixed = space_break || special;
    Styles {
        plain: !(edge(0) || edge(last) || break_space || mixed || broken || indicator),
        single: !(break_space || mixed),
        block: !(space(last) || mixed || chars.is_empty()),
    }
}

fn scalar(text: &str, indent: usize, key: bool, out: &mut String) {
    let styles = styles(text);
    // `<<` is special only as a key, and no string here is a key.
    let is_text = matches!(plain(text), Plain::Text | Plain::Merge) && !base60(text);
    if text.contains('\n') && styles.block && !key {
        block(text, indent, out);
    } else if text.contains('\n') || !is_text || !(styles.plain || styles.single) {
        double(text, indent, key, out);
    } else if styles.plain {
        folded(text, indent, key, out, |c, out| out.push(c));
    } else {
        out.push('\'');
        folded(text, indent, key, out, |c, out| {
            if c == '\'' {
                out.push('\'');
            }
            out.push(c);
        });
        out.push('\'');
    }
}

/// Writes characters, and folds the line at the first single space after the width.
fn folded(
    text: &str,
    indent: usize,
    key: bool,
    out: &mut String,
    letter: impl Fn(char, &mut String),
) {
    let chars: Vec<char> = text.chars().collect();
    let mut after_space = false;
    for (at, c) in chars.iter().enumerate() {
        let inner = at > 0 && at + 1 < chars.len();
        if *c == ' ' {
            let alone = !after_space && chars.get(at + 1) != Some(&' ');
            if !key && alone && inner && column(out) > WIDTH {
                line(indent, out);
            } else {
                out.push(' ');
            }
            after_space = true;
        } else {
            letter(*c, out);
            after_space = false;
        }
    }
}

fn double(text: &str, indent: usize, key: bool, out: &mut String) {
    out.push('"');
    let chars: Vec<char> = text.chars().collect();
    let mut after_space = false;
    for (at, c) in chars.iter().enumerate() {
        let escaped = match c {
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ => "",
        };
        let plain_space = *c == ' ';
        if plain_space {
            let inner = at > 0 && at + 1 < chars.len();
            if !key && !after_space && inner && column(out) > WIDTH {
                line(indent, out);
                if chars.get(at + 1) == Some(&' ') {
                    out.push('\\');
                }
            } else {
                out.push(' ');
            }
        } else if !escaped.is_empty() && *c != '\u{a0}' {
            out.push_str(escaped);
        } else if printable(*c) {
            out.push(*c);
        } else {
            // Writing to a `String` cannot fail.
            let number = u32::from(*c);
            let _ = match number {
                0..=0xff => write!(out, "\\x{number:02X}"),
                0x100..=0xffff => write!(out, "\\u{number:04X}"),
                _ => write!(out, "\\U{number:08X}"),
            };
        }
        after_space = plain_space;
    }
    out.push('"');
}

fn block(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !text.ends_with('\n') {
        out.push('-');
    } else if text == "\n" || text.ends_with("\n\n") {
        out.push('+');
    }
    for part in text.split_inclusive('\n') {
        if out.ends_with('\n') {
            if part != "\n" {
                out.extend(std::iter::repeat_n(' ', indent));
            }
        } else if part == "\n" {
            out.push('\n');
        } else {
            line(indent, out);
        }
        out.push_str(part);
    }
}

/// The order of keys: letters after other characters, numbers by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for at in 0..a.len().min(b.len()) {
        let (left, right) = (a[at], b[at]);
        if left == right {
            continue;
        }
        match (left.is_alphabetic(), right.is_alphabetic()) {
            (true, true) => return left.cmp(&right),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // A zero counts only after a nonzero digit.
        let counted = (left == '0' || right == '0')
            && a[..at]
                .iter()
                .rev()
                .take_while(|c| c.is_ascii_digit())
                .any(|c| *c != '0');
        let number = |chars: &[char]| {
            let digits = chars[at..].iter().take_while(|c| c.is_ascii_digit());
            digits.fold((u64::from(counted), 0_usize), |(value, count), c| {
                let digit = u64::from(*c) - u64::from('0');
                (value.wrapping_mul(10).wrapping_add(digit), count + 1)
            })
        };
        let (one, other) = (number(&a), number(&b));
        return one.cmp(&other).then(left.cmp(&right));
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Yaml {
        Yaml::Text(text.into())
    }

    #[test]
    fn scalars_are_quoted_where_another_type_would_be_read() {
        for (value, written) in [
            ("1.16.0", "1.16.0"),
            ("1.16", "\"1.16\""),
            ("v1", "v1"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("1:30", "\"1:30\""),
            (">=1.20.0-0", "'>=1.20.0-0'"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("'q'", "'''q'''"),
            ("a\tb", "\"a\\tb\""),
            ("ünï", "ünï"),
            ("~1.2", "~1.2"),
            ("https://x.y/z", "https://x.y/z"),
        ] {
            assert_eq!(emit(&text(value)), format!("{written}\n"), "{value:?}");
        }
    }

    #[test]
    fn long_lines_are_folded_and_several_lines_are_a_block() {
        let long = "word ".repeat(20).trim_end().to_owned();
        let map = Yaml::Map(vec![
            ("description".into(), text(&long)),
            (
                "annotations".into(),
                Yaml::Map(vec![
                    ("b/changes".into(), text("- one\n- two\n")),
                    ("a".into(), text("x\n\ny")),
                ]),
            ),
            ("list".into(), Yaml::List(vec![text("a"), text("b c")])),
        ]);
        let first = "word ".repeat(13);
        let written = emit(&map);
        let expected = format!(
            "annotations:\n  a: |-\n    x\n\n    y\n  b/changes: |\n    - one\n    - two\n\
             description: {first}word\n  word word word word word word\nlist:\n- a\n- b c\n"
        );
        // `description: ` and 14 words end at column 82, past the width.
        assert_eq!(written, expected);
    }

    #[test]
    fn keys_are_sorted_as_go_sorts_them() {
        let mut keys = ["b", "a10", "a2", "a.b", "ab", "B"];
        keys.sort_by(|a, b| natural(a, b));
        assert_eq!(keys, ["B", "a.b", "a2", "a10", "ab", "b"]);
    }
}
