//! No two files import each other, directly or through others.
//!
//! Imports are followed through re-exports to the file that has the item. A module
//! and the modules nested in it may import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source_text::{Named, paths, rust_files, tokens, uses, without_tests};

/// The cycles that are left. Entries may only go away.
#[rustfmt::skip] // an entry a line
const LEFT: &[&[&str]] = &[
];

#[test]
fn files_do_not_import_each_other_in_a_cycle() {
    let (src, files) = rust_files();
    let sources: Vec<(String, String)> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
            (name.to_owned(), fs::read_to_string(file).unwrap())
        })
        .collect();
    let found = cycles(&sources);
    let known: BTreeSet<Vec<String>> = LEFT
        .iter()
        .map(|cycle| cycle.iter().map(|file| (*file).to_owned()).collect())
        .collect();
    let list = |cycles: BTreeSet<&Vec<String>>| {
        let lines = cycles.iter().map(|cycle| format!("    &{cycle:?},\n"));
        lines.collect::<String>()
    };
    let new = list(found.difference(&known).collect());
    let gone = list(known.difference(&found).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "cycles that LEFT does not have:\n{new}\
         entries of LEFT that are no cycle now (remove them, or enter what is left):\n{gone}"
    );
}

#[test]
fn a_planted_cycle_is_found_through_a_re_export() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let mut sources = vec![
        file("lib.rs", "pub mod a;"),
        file("a/mod.rs", "mod x; mod y; pub use y::{Y as Renamed};"),
        file("a/x.rs", "use super::Renamed; pub struct X;"),
        file(
            "a/y.rs",
            "pub struct Y; #[cfg(test)] mod tests { use super::super::x::X; }",
        ),
    ];
    assert!(cycles(&sources).is_empty());
    sources[3].1.push_str("fn f() -> crate::a::x::X { X }");
    let found: Vec<_> = cycles(&sources).into_iter().collect();
    assert_eq!(found, [["a/x.rs", "a/y.rs"]]);
}

#[test]
fn a_module_and_what_is_nested_in_it_are_no_cycle() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let sources = [
        file("a/mod.rs", "mod x; use x::deep::D; pub struct A;"),
        file("a/x.rs", "pub mod deep; use super::A;"),
        file("a/x/deep.rs", "use crate::a::A; pub struct D;"),
    ];
    assert!(cycles(&sources).is_empty());
}

/// A module's path from the crate root.
type Module = Vec<String>;

/// What is known of a module from its text.
struct Source {
    file: String,
    /// Every path in it.
    paths: Vec<Named>,
    /// What its `use` declarations bring in.
    uses: Vec<Named>,
}

/// Files that reach each other, each group sorted.
fn cycles(sources: &[(String, String)]) -> BTreeSet<Vec<String>> {
    let modules: BTreeMap<Module, Source> = sources
        .iter()
        .map(|(file, text)| {
            let tokens = without_tests(&tokens(text));
            let source = Source {
                file: file.clone(),
                paths: paths(&tokens),
                uses: uses(&tokens),
            };
            (module_of(file), source)
        })
        .collect();
    let edges: BTreeMap<&Module, BTreeSet<Module>> = modules
        .iter()
        .map(|(module, source)| {
            let targets = source
                .paths
                .iter()
                .filter_map(|named| resolve(&modules, module, &named.parts, 0))
                .filter(|target| !target.starts_with(module) && !module.starts_with(target))
                .collect();
            (module, targets)
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = edges
        .keys()
        .map(|module| (*module, reachable(&edges, module)))
        .collect();
    reached
        .iter()
        .filter(|(module, targets)| targets.contains(*module))
        .map(|(module, targets)| {
            let back = |other: &&&Module| reached[**other].contains(module);
            let mut files: Vec<String> = targets
                .iter()
                .filter(back)
                .map(|other| modules[*other].file.clone())
                .collect();
            files.sort();
            files
        })
        .collect()
}

fn module_of(file: &str) -> Module {
    let stem = file.strip_suffix(".rs").unwrap();
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" => Vec::new(),
        _ => stem.split('/').map(str::to_owned).collect(),
    }
}

fn reachable<'a>(
    edges: &'a BTreeMap<&Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if found.insert(target) {
                open.push(target);
            }
        }
    }
    found
}

/// Re-exports followed in a row before giving up: they may name each other.
const MAX_RE_EXPORTS: usize = 16;

/// The module that has what `parts`, written in `from`, names.
fn resolve(
    modules: &BTreeMap<Module, Source>,
    from: &Module,
    parts: &[String],
    depth: usize,
) -> Option<Module> {
    let (head, mut rest) = parts.split_first()?;
    let mut at = from.clone();
    match head.as_str() {
        "crate" | "jackal" => at.clear(),
        "self" => {}
        "super" => {
            at.pop();
            while rest.first().is_some_and(|part| part == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        child => {
            at.push(child.to_owned());
            modules.get(&at)?;
        }
    }
    while let Some((name, after)) = rest.split_first() {
        at.push(name.clone());
        if modules.contains_key(&at) {
            rest = after;
            continue;
        }
        at.pop();
        let source = modules.get(&at)?;
        let re_exported = source
            .uses
            .iter()
            .find(|named| named.name == *name && name != "*");
        if let Some(named) = re_exported.filter(|_| depth < MAX_RE_EXPORTS) {
            let whole = [named.parts.as_slice(), after].concat();
            return resolve(modules, &at, &whole, depth + 1).or(Some(at));
        }
        break;
    }
    Some(at)
}
