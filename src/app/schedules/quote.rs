//! Texts of a pipeline as values in the files of schedulers, so that none can end its
//! value or be evaluated there.

/// `text` as a double-quoted scalar of YAML, which every reader takes for this text.
///
/// Source: YAML 1.2.2, section 5.7; JSON strings are a subset, apart from characters
/// that YAML does not print.
pub(super) fn yaml(text: &str) -> String {
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
pub(super) fn yaml_script(script: &str, indent: usize) -> String {
    if !script.chars().all(|c| c == '\n' || is_plain(c)) {
        return yaml(script);
    }
    let lines = script.trim_end_matches('\n').split('\n');
    let lines: String = lines
        .map(|line| format!("\n{:indent$}{line}", ""))
        .collect();
    format!("|{}", lines)
}

/// `text` as one word of a POSIX shell.
pub(super) fn shell(text: &str) -> String {
    match is_word(text) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Whether a text is a word by itself for shells and systemd.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// The words of a command line of a POSIX shell.
pub(super) fn shell_line(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| shell(word)).collect();
    words.join(" ")
}

/// `text` where GitHub evaluates `${{ }}`.
pub(super) fn github(text: &str) -> String {
    text.replace("${{", "${{ '${{' }}")
}

/// `text` where Kubernetes expands `$(NAME)`: `$$` stands for `$`.
pub(super) fn kubernetes(text: &str) -> String {
    text.replace('$', "$$")
}

/// `text` as one word of a command line of systemd.
///
/// Source: systemd.service(5), "Command Lines"; systemd.syntax(7), "Quoting".
pub(super) fn systemd(text: &str) -> String {
    if is_word(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            c if !crate::text::steers(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// `text` in a comment, or in a value that is not split: on one line, which no
/// backslash continues.
pub(super) fn remark(text: &str) -> String {
    crate::text::one_line(text).replace('\\', "/")
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
            proptest::prop_assert_eq!(read(&yaml(&text)), text);
        }

        #[test]
        fn any_script_is_read_back_from_yaml(text in "x[a-z '\"#:\n\\\\\t]{0,40}y") {
            let read = read(&yaml_script(&text, 4));
            proptest::prop_assert_eq!(read.trim_end_matches('\n'), text);
        }
    }

    #[test]
    fn nothing_of_a_text_is_evaluated() {
        assert_eq!(github("a ${{ secrets.X }}"), "a ${{ '${{' }} secrets.X }}");
        assert_eq!(kubernetes("$(HOME) $$"), "$$(HOME) $$$$");
        assert_eq!(shell("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(systemd("a\"b\\ %h $X\n;"), "\"a\\\"b\\\\ %%h $$X\\n;\"");
        assert_eq!(remark("a\nb\\"), "a\u{fffd}b/");
    }
}
