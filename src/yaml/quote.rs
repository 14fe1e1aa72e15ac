//! Texts as scalars of YAML that every reader takes for the same text.

/// `text` as a double-quoted scalar of YAML, which every reader takes for this text.
///
/// Source: YAML 1.2.2, section 5.7; JSON strings are a subset, apart from characters
/// that YAML does not print.
#[must_use]
pub fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if is_plain(c) => quoted.push(c),
            c if u32::from(c) > 0xffff => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether YAML prints a character as it is and never takes it for a line break.
fn is_plain(c: char) -> bool {
    !crate::text::steers(c) && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A script of several lines as a scalar of YAML, `indent` spaces deep.
#[must_use]
pub fn literal_block(script: &str, indent: usize) -> String {
    if !script.chars().all(|c| c == '\n' || is_plain(c)) {
        return double_quoted(script);
    }
    let lines = script.trim_end_matches('\n').split('\n');
    let lines: String = lines
        .map(|line| format!("\n{:indent$}{line}", ""))
        .collect();
    format!("|{}", lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{SourceText, parse_first};

    fn read(yaml: &str) -> String {
        let node = parse_first(&SourceText::new("x", format!("a:\n  b: {yaml}\n  c: 1\n")));
        let node = node.unwrap().unwrap();
        let a = node.get("a").unwrap();
        assert_eq!(a.get("c").and_then(|c| c.scalar()), Some("1"), "{yaml}");
        a.get("b").unwrap().scalar().unwrap().to_owned()
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_back_from_yaml(text in "\\PC{0,20}|[\\x00-\\x7f\\u{85}\\u{2028}\\u{feff}\"'\\\\#:{}%$\n]{0,30}") {
            proptest::prop_assert_eq!(read(&double_quoted(&text)), text);
        }

        #[test]
        fn any_script_is_read_back_from_yaml(text in "x[a-z '\"#:\n\\\\\t]{0,40}y") {
            let read = read(&literal_block(&text, 4));
            proptest::prop_assert_eq!(read.trim_end_matches('\n'), text);
        }
    }
}
