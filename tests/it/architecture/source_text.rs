//! Rust sources read as text: tokens, and the paths among them.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the crate, `tests.rs` left out, in the order of their names.
pub(super) fn rust_files() -> (PathBuf, Vec<PathBuf>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(!files.is_empty(), "no sources under {}", src.display());
    files.sort();
    (src, files)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src/ is readable") {
        let path = entry.expect("src/ is readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Identifiers, `::` and single punctuation marks; no comments, no literals.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut open = 0;
            while i < chars.len() {
                match (chars[i], at(i + 1)) {
                    ('/', '*') => (open, i) = (open + 1, i + 2),
                    ('*', '/') => (open, i) = (open - 1, i + 2),
                    _ => i += 1,
                }
                if open == 0 {
                    break;
                }
            }
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A character literal closes; a lifetime does not.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
            if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                i += hashes + 1;
                while i < chars.len()
                    && !(chars[i] == '"' && (1..=hashes).all(|n| at(i + n) == '#'))
                {
                    i += 1;
                }
                i += hashes + 1;
            } else {
                out.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            out.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.to_string());
            }
            i += 1;
        }
    }
    out
}

/// `tokens` without each `#[cfg(test)] mod name { ... }`.
pub(super) fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let marked = tokens[i..].iter().zip(MARK).filter(|(a, b)| a == b).count() == MARK.len();
        if marked && tokens.get(i + 9).is_some_and(|token| token == "{") {
            i += 10;
            let mut open = 1;
            while i < tokens.len() && open > 0 {
                match tokens[i].as_str() {
                    "{" => open += 1,
                    "}" => open -= 1,
                    _ => {}
                }
                i += 1;
            }
        } else {
            out.push(tokens[i].clone());
            i += 1;
        }
    }
    out
}

/// A path in the code, and the name it has from there on.
pub(super) struct Named {
    /// Its segments, as written.
    pub(super) parts: Vec<String>,
    /// The last segment, or what follows `as`.
    pub(super) name: String,
}

/// Every path in the code, `use` groups multiplied out.
pub(super) fn paths(tokens: &[String]) -> Vec<Named> {
    paths_where(tokens, |_| true)
}

/// The paths of `use` declarations alone.
pub(super) fn uses(tokens: &[String]) -> Vec<Named> {
    paths_where(tokens, |before| before.is_some_and(|token| token == "use"))
}

fn paths_where(tokens: &[String], wanted: impl Fn(Option<&String>) -> bool) -> Vec<Named> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if is_word(&tokens[i]) && tokens[i] != "use" && wanted(tokens[..i].last()) {
            i = path(tokens, i, &[], &mut out);
        } else {
            i += 1;
        }
    }
    out
}

/// Reads the path at `i`, pushes what it names, returns where it ends.
fn path(tokens: &[String], mut i: usize, prefix: &[String], out: &mut Vec<Named>) -> usize {
    let is = |i: usize, what: &str| tokens.get(i).is_some_and(|token| token == what);
    let mut parts = prefix.to_vec();
    while let Some(token) = tokens.get(i) {
        if is_word(token) || token == "*" {
            parts.push(token.clone());
            i += 1;
            if !is(i, "::") {
                break;
            }
            i += 1;
        } else if token == "{" && parts.len() > prefix.len() {
            i += 1;
            while i < tokens.len() && !is(i, "}") {
                let next = path(tokens, i, &parts, out);
                i = next.max(i + 1);
            }
            return i + 1;
        } else {
            break;
        }
    }
    if parts.len() > prefix.len() {
        if parts.len() > 1 {
            parts.pop_if(|last| last == "self");
        }
        let mut name = parts.last().cloned().unwrap_or_default();
        if is(i, "as") {
            name.clone_from(&tokens[i + 1]);
            i += 2;
        }
        out.push(Named { parts, name });
    }
    i
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
