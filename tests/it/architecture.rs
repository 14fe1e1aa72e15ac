//! The import order of `src/`, and what each layer may touch.
//!
//! Reads the sources as text: comments, literals and inline test modules are
//! blanked, then every path (`a::b::c`, grouped `use` trees included) is
//! looked up in the tables below. Methods such as `Path::exists` are not seen and
//! are left to review.

mod cycles;
mod errors;
mod looks;
mod source_text;

use std::fs;
use std::path::Path;

use source_text::{paths, rust_files, tokens, without_tests};

/// Modules from the lowest up: each may import only those before it.
const ORDER: &[&str] = &[
    "text",
    "codes",
    "oci",
    "content",
    "codec",
    "archive",
    "yaml",
    "cron",
    "page",
    "junit",
    "pipeline",
    "graph",
    "action",
    "package",
    "sbom",
    "signing",
    "verify",
    "disk",
    "workspace",
    "cas",
    "layout",
    "registry",
    "rehearsal",
    "remote",
    "signers",
    "source",
    "release",
    "ground",
    "kinds",
    "plan",
    "run",
    "app",
    "cli",
    "main",
];

/// Values in, values out: no file, socket, process, clock or environment.
const DOMAIN: &[&str] = &[
    "cron", "page", "junit", "pipeline", "graph", "action", "package", "sbom", "signing", "verify",
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

/// All that `cli` may import: `app` returns or re-exports what else it needs.
const CLI_IMPORTS: &[&str] = &[
    "cli", "app", "oci", "content", "yaml", "codec", "disk", "text",
];

/// The modules that may read the environment.
const READS_ENVIRONMENT: &[&str] = &["cli", "main"];

#[test]
fn every_module_imports_only_modules_below_it() {
    let (src, files) = rust_files();
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
        "the import order is broken (see adr/0029, \"rooms\"):\n{}",
        found.join("\n")
    );
}

#[test]
fn the_map_lists_every_room_in_its_order() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let map = fs::read_to_string(map).unwrap();
    let (_, rooms) = map.split_once("## Rooms").unwrap();
    let rows = rooms.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<&str> = rows
        .filter_map(|row| row.split_once("` |"))
        .map(|(room, _)| room)
        .take(ORDER.len())
        .collect();
    let order: Vec<&str> = ORDER.iter().rev().copied().collect();
    assert_eq!(listed, order, "the table of docs/architecture.md");
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
fn the_command_line_imports_operations_and_words_only() {
    let text = "use crate::cas::Cas; use crate::oci::Digest; use crate::app; use super::Exit;";
    let found = violations(Path::new("cli/cache.rs"), text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("`cas`"), "{found:?}");
    assert!(violations(Path::new("app/cache.rs"), text).is_empty());
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let text = "fn f() { std::env::var_os(\"NO_COLOR\"); }";
    assert!(violations(Path::new("cli/mod.rs"), text).is_empty());
    assert_eq!(violations(Path::new("app/build.rs"), text).len(), 1);
    let constant = "const OS: &str = std::env::consts::OS;";
    assert!(violations(Path::new("oci/platform.rs"), constant).is_empty());
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
    for named in paths(&without_tests(&tokens(text))) {
        let path = named.parts;
        let shown = path.join("::");
        if let Some(target) = root_module(&path, depth) {
            match self::rank(target) {
                None => found.push(format!("{file}: `{shown}`: `{target}` is not in ORDER")),
                Some(other) if other > rank => {
                    found.push(format!("{file}: `{module}` imports `{target}` (`{shown}`)"));
                }
                Some(_) if module == "cli" && !CLI_IMPORTS.contains(&target) => {
                    found.push(format!(
                        "{file}: `cli` imports `{target}` (`{shown}`), not `app`"
                    ));
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
