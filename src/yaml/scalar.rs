//! Scalars as a person writes them.

/// `text` as a scalar that every reader of YAML takes for this text: plain where that is
/// safe, else in single quotes. A text with control characters has no such form.
#[must_use]
pub fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+*".contains(c);
    let first = text.trim_start_matches('-');
    let begins = first.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match begins && text.chars().all(plain) && !word.contains(&text.to_lowercase().as_str()) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_a_plain_word_is_quoted() {
        for (text, expected) in [
            ("src/**", "src/**"),
            ("--locked", "--locked"),
            ("../lib/*.c", "'../lib/*.c'"),
            ("no", "'no'"),
            ("1.0", "'1.0'"),
            ("*.py", "'*.py'"),
            ("it's", "'it''s'"),
            ("a: b", "'a: b'"),
            ("", "''"),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
