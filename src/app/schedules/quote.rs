//! Texts of a pipeline as values in the files of schedulers, so that none can end its
//! value or be evaluated there. Words of shells are in `text`, scalars of YAML in `yaml`.

use crate::text::{is_plain_word, one_line, steers};

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
    if is_plain_word(text) && !text.contains('%') {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            c if !steers(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// `text` in a comment, or in a value that is not split: on one line, which no
/// backslash continues.
pub(super) fn remark(text: &str) -> String {
    one_line(text).replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_evaluated() {
        assert_eq!(github("a ${{ secrets.X }}"), "a ${{ '${{' }} secrets.X }}");
        assert_eq!(kubernetes("$(HOME) $$"), "$$(HOME) $$$$");
        assert_eq!(systemd("a\"b\\ %h $X\n;"), "\"a\\\"b\\\\ %%h $$X\\n;\"");
        assert_eq!(remark("a\nb\\"), "a\u{fffd}b/");
    }
}
