//! The texts of errors: each says what failed and leaves the reason to its source.
//!
//! `with_causes` prints the chain, so a text that repeats its source is printed twice.

use std::fs;

use super::source_text::rust_files;

#[test]
fn no_error_repeats_its_source_in_its_own_text() {
    let (src, files) = rust_files();
    let mut found = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap().display().to_string();
        let repeated = repeating(&fs::read_to_string(&file).unwrap());
        found.extend(
            repeated
                .into_iter()
                .map(|what| format!("{relative}: {what}")),
        );
    }
    assert!(
        found.is_empty(),
        "leave the cause to `source`; `with_causes` prints it:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_planted_repetition_is_found() {
    for text in [
        "#[error(\"cannot read {0}\")]\n Io(#[from] DiskError),",
        "#[error(\"`{path}`: {source}\")]\n /// Why, with a (bracket.\n Io { path: P, source: io::Error },",
        "#[error(\"`{path}`: {cause:?}\")]\n Io { path: P, #[source] cause: E },",
        "#[error(\n \"{a}: {}\", .source\n)]\n #[x] Io {\n /// A, b\n a: A,\n source: Box<E>,\n },",
        "#[error(\"`{path}`: {source}\")]\npub struct E { pub path: P, pub source: S }",
    ] {
        assert_eq!(repeating(text).len(), 1, "{text}");
    }
    for text in [
        "#[error(transparent)]\n Io(#[from] DiskError),",
        "#[error(\"cannot read `{path}` ({})\", advice(.source))]\n Io { path: P, source: E },",
        "#[error(\"unknown {0}\")]\n Unknown(String),",
        "#[error(\"nothing\")]\n Nothing,\n #[error(\"{source}\")]\n Names { source: String },",
    ] {
        let found = repeating(text);
        // A field named `source` is the cause, whatever its type.
        assert_eq!(found.len(), usize::from(text.contains("Names")), "{text}");
    }
}

#[test]
fn no_failure_drops_the_causes_of_its_error() {
    let (src, files) = rust_files();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let dropped = text.split("Failure::new(").skip(1).filter(|after| {
            enclosed(after).is_some_and(|(arguments, _)| arguments.trim_end().ends_with(", error"))
        });
        let relative = file.strip_prefix(&src).unwrap().display();
        found.extend(dropped.map(|_| relative.to_string()));
    }
    assert!(
        found.is_empty(),
        "use `Failure::caused_by`, which keeps the causes: {found:?}"
    );
}

/// The variants (or structs) whose `#[error(..)]` prints their source.
fn repeating(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("#[error(") {
        let Some((format, after)) = enclosed(after) else {
            break;
        };
        rest = after;
        let (name, fields) = declared(after.trim_start_matches(']'));
        if source_of(fields).is_some_and(|source| prints(format, &source)) {
            found.push(format!("`{name}` has the text {}", format.trim()));
        }
    }
    found
}

/// The text up to the bracket that closes what is open at its start, and what follows.
fn enclosed(text: &str) -> Option<(&str, &str)> {
    let mut open = 1;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                while let Some((_, c)) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '/' if text[at..].starts_with("//") => {
                chars.by_ref().find(|(_, c)| *c == '\n')?;
            }
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[..at], &text[at + c.len_utf8()..]));
        }
    }
    None
}

/// The name of the variant or struct that begins here, and its fields.
fn declared(mut text: &str) -> (&str, &str) {
    loop {
        text = text.trim_start();
        if text.starts_with("//") {
            text = text.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(attribute) = text.strip_prefix("#[") {
            text = enclosed(attribute).map_or("", |(_, after)| after);
        } else if let Some(after) = ["pub(crate) ", "pub(super) ", "pub ", "struct "]
            .iter()
            .find_map(|word| text.strip_prefix(word))
        {
            text = after;
        } else {
            break;
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(0);
    let (name, after) = text.split_at(end);
    let fields = after
        .trim_start()
        .strip_prefix(['(', '{'])
        .and_then(enclosed);
    (name, fields.map_or("", |(fields, _)| fields))
}

/// The name or number of the field that is the cause.
fn source_of(fields: &str) -> Option<String> {
    let code: Vec<&str> = fields
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join(" ");
    let marked = code
        .split_once("#[source]")
        .or_else(|| code.split_once("#[from]"));
    if let Some((before, after)) = marked {
        let field = after.split([',', ':']).next().unwrap_or_default();
        return match after.split_once(':') {
            Some((name, kind)) if !kind.starts_with(':') && !field.contains('<') => {
                name.split_whitespace().last().map(str::to_owned)
            }
            _ => Some(before.matches(',').count().to_string()),
        };
    }
    let named = |word: &&str| *word == "source";
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words
        .map(|word| word.trim_end_matches(':'))
        .find(named)
        .map(str::to_owned)
}

/// Whether the arguments of `#[error(..)]` print the field, and not only something
/// that a function makes of it.
fn prints(format: &str, field: &str) -> bool {
    let direct = ["}", ":"].map(|end| format!("{{{field}{end}"));
    let argument = format.rsplit('"').next().unwrap_or_default();
    direct.iter().any(|inline| format.contains(inline))
        || argument
            .split(',')
            .any(|word| word.trim().trim_start_matches('.') == field)
}
