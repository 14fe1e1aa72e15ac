//! Sources and tools are looked at through `disk::look`, which notes them: what is not noted
//! is not compared by the next build. See adr/0075, "A build with nothing to do is remembered".

use std::fs;

use super::source_text::{rust_files, tokens, without_tests};

/// Rooms and files that find and read what a plan is made of.
const LOOKING: &[&str] = &[
    "app/build_options.rs",
    "app/compose.rs",
    "app/find.rs",
    "app/units.rs",
    "ground/lockfile.rs",
    "ground/source.rs",
    "ground/tools/",
    "kinds/chart/dependencies.rs",
    "kinds/chart/package.rs",
    "kinds/kustomization/",
    "kinds/run/command/materialise.rs",
    "kinds/run/inputs.rs",
    "plan/",
    "workspace/",
];

/// Files that keep facts of their own in the cache, the comparison itself, and `--watch`.
const APART: &[&str] = &[
    "kinds/package/exports.rs",
    "kinds/package/marked.rs",
    "workspace/footprint.rs",
    "workspace/stat_cache.rs",
    "workspace/watch.rs",
];

/// Functions of `std::fs` and methods of paths with a counterpart in `disk::look`.
const FUNCTIONS: [&str; 8] = [
    "metadata",
    "symlink_metadata",
    "canonicalize",
    "read_link",
    "read_dir",
    "read",
    "read_to_string",
    "exists",
];

/// Methods that are of paths alone.
const METHODS: [&str; 6] = [
    "exists",
    "try_exists",
    "symlink_metadata",
    "canonicalize",
    "read_dir",
    "read_link",
];

#[test]
fn sources_and_tools_are_looked_at_through_one_module() {
    let (src, files) = rust_files();
    let mut found = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap().display().to_string();
        let is = |names: &[&str]| names.iter().any(|name| relative.starts_with(name));
        if is(LOOKING) && !is(APART) && !relative.ends_with("tests.rs") {
            let unnoted = unnoted(&fs::read_to_string(&file).unwrap());
            found.extend(
                unnoted
                    .into_iter()
                    .map(|what| format!("{relative}: {what}")),
            );
        }
    }
    assert!(found.is_empty(), "use `disk::look`:\n{}", found.join("\n"));
}

#[test]
fn a_planted_look_is_found() {
    for text in [
        "fn f() { std::fs::metadata(path) }",
        "fn f() { fs::read_dir(&path) }",
        "fn f() { File::open(path) }",
        "fn f() { path.join(name).exists() }",
    ] {
        assert_eq!(unnoted(text).len(), 1, "{text}");
    }
    for text in [
        "fn f() { look::metadata(path) }",
        "fn f() { look::exists(path); found.metadata() }",
        "#[cfg(test)] mod tests { fn f() { fs::metadata(path) } }",
    ] {
        assert_eq!(unnoted(text).len(), 0, "{text}");
    }
}

fn unnoted(text: &str) -> Vec<String> {
    let tokens = without_tests(&tokens(text));
    let at = |at: usize| tokens.get(at).map_or("", String::as_str);
    let called = (0..tokens.len()).filter(|place| at(place + 1) == "(");
    let unnoted = called.filter(|place| {
        let (name, before) = (at(*place), place.checked_sub(1).map_or("", at));
        let of = place.checked_sub(2).map_or("", at);
        match before {
            "::" => (of == "fs" && FUNCTIONS.contains(&name)) || (of == "File" && name == "open"),
            "." => METHODS.contains(&name),
            _ => false,
        }
    });
    unnoted.map(|place| at(place).to_owned()).collect()
}
