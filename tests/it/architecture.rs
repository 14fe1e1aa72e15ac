//! The import order of `src/`, and what each layer may touch, held by a test.
//!
//! Reads the sources as text: comments, literals and inline test modules are
//! blanked, then every path (`a::b::c`, grouped `use` trees included) is
//! looked up in the tables below. What hides behind a method, such as
//! `Path::exists`, is left to review.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the lowest up: each may import only those before it.
const ORDER: &[&str] = &[
    "oci",
    "content",
    "yaml",
    "pipeline",
    "graph",
    "action",
    "package",
    "sbom",
    "signing",
    "verify",
    "workspace",
    "archive",
    "cas",
    "layout",
    "registry",
    "rehearsal",
    "remote",
    "signers",
    "source",
    "release",
    "exec",
    "app",
    "cli",
    "main",
];

/// Values in, values out: no file, socket, process, clock or environment.
const DOMAIN: &[&str] = &[
    "pipeline", "graph", "action", "package", "sbom", "signing", "verify",
];

/// Path beginnings that mean a domain module reaches into the world.
const WORLD: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["tokio"],
    &["reqwest"],
    &["rustix"],
    &["tempfile"],
];

/// The modules that may read the environment.
const READS_ENVIRONMENT: &[&str] = &["cli", "main"];

#[test]
fn every_module_imports_only_what_stands_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(!files.is_empty(), "no sources under {}", src.display());
    files.sort();

    let mut found = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap().to_path_buf();
        if relative == Path::new("lib.rs") {
            continue;
        }
        found.extend(violations(&relative, &fs::read_to_string(&file).unwrap()));
    }
    assert!(
        found.is_empty(),
        "the import order is broken (see adr/0002):\n{}",
        found.join("\n")
    );
}

#[test]
fn a_planted_upward_import_is_found() {
    for text in [
        "use crate::cas::Cas;",
        "use crate::{oci::Digest, cas::Cas};",
        "fn f() -> crate::cas::Cas { x }",
        "use super::super::cas::Cas;",
        "use jackal::cas::Cas;",
    ] {
        let found = violations(Path::new("action/encode.rs"), text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("`cas`"), "{found:?}");
    }
}

#[test]
fn a_planted_reach_into_the_world_is_found() {
    for text in [
        "use std::fs;",
        "use std::{io, fs::File};",
        "let t = Instant::now();",
        "let t = ::std::time::SystemTime::now();",
        "async fn f() { tokio::spawn(g()); }",
        "let q = '\"'; std::env::var(\"HOME\");",
    ] {
        let found = violations(Path::new("sbom/mod.rs"), text);
        assert!(!found.is_empty(), "{text}");
    }
    let found = violations(Path::new("cas/mod.rs"), "use std::env;");
    assert_eq!(found.len(), 1, "{found:?}");
    let found = violations(Path::new("sneaky/mod.rs"), "");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn downward_imports_comments_literals_and_tests_are_left_alone() {
    let text = r##"
        //! Unlike [`crate::cas`], never calls std::fs.
        /* tokio::spawn /* nested */ reqwest::get */
        use crate::oci::{Digest, Descriptor};
        use super::Action;
        use crate::{content as moving, yaml};
        const A: &str = "https://crate::cas \" std::fs";
        const B: &str = r#"std::net "quoted" "#;
        fn f<'a>(x: &'a str) -> char { '{' }
        #[cfg(test)]
        mod tests {
            use crate::cas::Cas;
            fn g() { std::fs::read("{").unwrap(); }
        }
    "##;
    let found = violations(Path::new("action/encode.rs"), text);
    assert!(found.is_empty(), "{found:?}");
    let after = format!("{text}\nuse crate::cas::Cas;");
    assert_eq!(violations(Path::new("action/encode.rs"), &after).len(), 1);
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let text = "fn f() { std::env::var_os(\"NO_COLOR\"); }";
    assert!(violations(Path::new("cli/mod.rs"), text).is_empty());
    assert_eq!(violations(Path::new("app/build.rs"), text).len(), 1);
    let constant = "const OS: &str = std::env::consts::OS;";
    assert!(violations(Path::new("oci/platform.rs"), constant).is_empty());
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src/ is readable") {
        let path = entry.expect("src/ is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// What is wrong in the file at `relative` (to `src/`), one line each.
fn violations(relative: &Path, text: &str) -> Vec<String> {
    let parts: Vec<String> = relative
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let module = parts[0].as_str();
    let file = relative.display();
    let Some(rank) = rank(module) else {
        return vec![format!("{file}: `{module}` has no place in ORDER")];
    };
    // How many `super` lead from this file to the crate root.
    let depth = parts.iter().filter(|part| *part != "mod").count();

    let mut found = Vec::new();
    for path in paths(&without_tests(&tokens(text))) {
        let shown = path.join("::");
        if let Some(target) = root_module(&path, depth) {
            match self::rank(target) {
                None => found.push(format!("{file}: `{shown}`: `{target}` is not in ORDER")),
                Some(other) if other > rank => {
                    found.push(format!("{file}: `{module}` imports `{target}` (`{shown}`)"));
                }
                Some(_) => {}
            }
        }
        let starts =
            |with: &[&str]| path.len() >= with.len() && path.iter().zip(with).all(|(a, b)| a == b);
        let is_path = path.len() > 1;
        if DOMAIN.contains(&module) {
            if is_path && WORLD.iter().any(|with| starts(with)) {
                found.push(format!("{file}: domain code may not use `{shown}`"));
            }
        } else if !READS_ENVIRONMENT.contains(&module)
            && starts(&["std", "env"])
            && !starts(&["std", "env", "consts"])
        {
            found.push(format!(
                "{file}: only `cli` reads the environment (`{shown}`)"
            ));
        }
    }
    found
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// The top-level module that `path` leads into, if it leaves the file's own.
fn root_module(path: &[String], depth: usize) -> Option<&str> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let target = match path[0].as_str() {
        "crate" | "jackal" => path.get(1),
        "super" if supers >= depth => path.get(supers),
        _ => None,
    }?;
    (target != "self" && target != "*").then_some(target)
}

/// Identifiers, `::` and single punctuation marks; no comments, no literals.
fn tokens(text: &str) -> Vec<String> {
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
fn without_tests(tokens: &[String]) -> Vec<String> {
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

/// Every path in the code, `use` groups multiplied out.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if is_word(&tokens[i]) {
            i = path(tokens, i, &[], &mut out);
        } else {
            i += 1;
        }
    }
    out
}

/// Reads the path at `i`, pushes what it names, returns where it ends.
fn path(tokens: &[String], mut i: usize, prefix: &[String], out: &mut Vec<Vec<String>>) -> usize {
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
                if is(i, "as") {
                    i += 2;
                    continue;
                }
                let next = path(tokens, i, &parts, out);
                i = next.max(i + 1);
            }
            return i + 1;
        } else {
            break;
        }
    }
    if parts.len() > prefix.len() {
        out.push(parts);
    }
    i
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
