//! Writes trees as YAML: block style, one document, the same bytes each time.
//!
//! Lists are not indented below their key. Strings are plain unless a YAML reader
//! could take them for something else; those are double-quoted.

use serde_json::Value as Json;

/// A value of a definition, with its keys in the order of writing.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Text(String),
    /// A number, boolean or null, in its source text.
    Literal(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// The same value in JSON.
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => text.as_str().into(),
            // Numbers that JSON does not have become strings.
            Self::Literal(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
            }
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect(),
        }
    }
}

/// The YAML text of `tree`.
#[must_use]
pub fn emit(tree: &Tree) -> String {
    let mut text = String::new();
    match tree {
        Tree::Map(pairs) if !pairs.is_empty() => map(&mut text, pairs, 0, false),
        Tree::List(items) if !items.is_empty() => list(&mut text, items, 0, false),
        other => {
            leaf(&mut text, other, 0);
        }
    }
    text
}

/// Writes `pairs` with keys at column `indent`; `inline` if the line of the
/// first key has already begun.
fn map(text: &mut String, pairs: &[(String, Tree)], indent: usize, inline: bool) {
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 || !inline {
            pad(text, indent);
        }
        scalar(text, key);
        text.push(':');
        match value {
            Tree::Map(pairs) if !pairs.is_empty() => {
                text.push('\n');
                map(text, pairs, indent + 2, false);
            }
            Tree::List(items) if !items.is_empty() => {
                text.push('\n');
                list(text, items, indent, false);
            }
            other => {
                text.push(' ');
                leaf(text, other, indent + 2);
            }
        }
    }
}

fn list(text: &mut String, items: &[Tree], indent: usize, inline: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !inline {
            pad(text, indent);
        }
        text.push_str("- ");
        match item {
            Tree::Map(pairs) if !pairs.is_empty() => map(text, pairs, indent + 2, true),
            Tree::List(items) if !items.is_empty() => list(text, items, indent + 2, true),
            other => leaf(text, other, indent + 2),
        }
    }
}

/// Writes the rest of a line, or a block.
fn leaf(text: &mut String, tree: &Tree, indent: usize) {
    match tree {
        Tree::Text(value) if fits_block(value) => block(text, value, indent),
        Tree::Text(value) => {
            scalar(text, value);
            text.push('\n');
        }
        Tree::Literal(value) => {
            text.push_str(value);
            text.push('\n');
        }
        Tree::List(_) => text.push_str("[]\n"),
        Tree::Map(_) => text.push_str("{}\n"),
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a literal block preserves `value`: no line may look like indentation,
/// and no character like another line end.
fn fits_block(value: &str) -> bool {
    value.contains('\n')
        && !value.contains(|c| c != '\n' && c != '\t' && is_special(c))
        && value
            .split('\n')
            .all(|line| line.is_empty() || !line.trim().is_empty())
        && value
            .split('\n')
            .find(|line| !line.is_empty())
            .is_some_and(|line| !line.starts_with([' ', '\t']))
}

fn block(text: &mut String, value: &str, indent: usize) {
    let body = value.strip_suffix('\n');
    text.push_str(match body {
        None => "|-\n",
        Some(body) if body.ends_with('\n') => "|+\n",
        Some(_) => "|\n",
    });
    for line in body.unwrap_or(value).split('\n') {
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn scalar(text: &mut String, value: &str) {
    if !needs_quotes(value) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_special(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Whether a reader would take a plain `value` for something else.
fn needs_quotes(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "" | "true" | "false" | "y" | "n" | "yes" | "no" | "on" | "off" | "null" | "~" | "-" | "?"
    ) || is_number(&lower)
        || value.starts_with([
            '*', '&', '[', '{', '}', ']', ',', '!', '|', '>', '%', '\'', '"', '@', '`', ' ', '=',
            '<', '~',
        ])
        || ["- ", "? ", ":", "---", "..."]
            .iter()
            .any(|start| value.starts_with(start))
        || value.ends_with([':', ' '])
        || value.contains(['#', '\\'])
        || value.contains(": ")
        || value.contains(is_special)
}

/// Whether some YAML reader takes `lower` for a number, including base 60.
fn is_number(lower: &str) -> bool {
    let plain = lower.replace('_', "");
    let digits = plain.trim_start_matches(['+', '-']);
    let based = ["0x", "0o", "0b"]
        .iter()
        .any(|prefix| digits.starts_with(prefix));
    let sixty = digits.contains(':')
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b':' || b == b'.');
    matches!(digits, ".inf" | ".nan")
        || based
        || sixty
        || (digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> String {
        emit(&Tree::Map(vec![("k".into(), Tree::Text(value.into()))]))
    }

    #[test]
    fn only_strings_that_look_like_something_else_are_quoted() {
        for plain in ["6.4.0", "v1", "a b", "a:b", "/tmp/x", "-x", "é", "nginx:1"] {
            assert_eq!(one(plain), format!("k: {plain}\n"));
        }
        for quoted in [
            "", "1.10", "0x1F", "1e3", "Yes", "null", "~", "*a", "a: b", "a #b", "a:", " a",
            "1:30", "- a", "-", "1_000",
        ] {
            assert_eq!(one(quoted), format!("k: \"{quoted}\"\n"));
        }
        assert_eq!(one("a\\b\t\u{1}"), "k: \"a\\\\b\\t\\u0001\"\n");
    }

    #[test]
    fn lines_become_a_block_that_keeps_their_end() {
        assert_eq!(one("a\nb"), "k: |-\n  a\n  b\n");
        assert_eq!(one("a\n\nb\n"), "k: |\n  a\n\n  b\n");
        assert_eq!(one("a\n\n"), "k: |+\n  a\n\n");
        assert_eq!(one(" a\nb"), "k: \" a\\nb\"\n");
        assert_eq!(one("\n"), "k: \"\\n\"\n");
    }

    #[test]
    fn lists_stand_at_their_keys_column() {
        let list = Tree::List(vec![
            Tree::Map(vec![
                ("name".into(), Tree::Text("x".into())),
                ("on".into(), Tree::List(vec![Tree::Literal("1".into())])),
            ]),
            Tree::Map(vec![]),
        ]);
        let tree = Tree::Map(vec![("components".into(), list)]);
        assert_eq!(
            emit(&tree),
            "components:\n- name: x\n  \"on\":\n  - 1\n- {}\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_string_is_read_back_as_itself(value in "([a-z0-9.:#\"'\\\\ \\-\n\t~&*!|>%@`?\\[\\]{},]|\\PC){0,12}") {
            let source = crate::yaml::SourceText::new("x", one(&value) + "z: 1\n");
            let node = crate::yaml::parse_first(&source).unwrap().unwrap();
            let read = node.get("k").unwrap();
            proptest::prop_assert_eq!(read.scalar(), Some(value.as_str()));
            proptest::prop_assert_eq!(read.plain_type(), None);
        }
    }
}
