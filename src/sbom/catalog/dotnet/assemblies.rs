//! Joins the assemblies that lie in a tree to the libraries they belong to.
//!
//! An assembly is found as a package by its own version resource. If a `*.deps.json`
//! explains it, it is no package but a part of one.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{ASSEMBLIES, INSTALLED, end_of};
use crate::sbom::catalog::Found;
use crate::sbom::document::Package;

/// Syft's name of the facts of an assembly.
const ASSEMBLY: &str = "dotnet-portable-executable-entry";

/// The fact of a library that has those of its assemblies.
const FACT: &str = "executables";

/// Where assemblies are of which no package is listed; only until [`join`].
const EXPLAINED: &str = "explained";

/// Notes the assemblies of a library in its `facts`, for [`join`] to fill in, and where
/// others are that are `explained`.
pub(super) fn note<'a>(
    facts: &mut Value,
    assemblies: impl Iterator<Item = &'a str>,
    explained: impl Iterator<Item = &'a str>,
) {
    let explained: Vec<&str> = explained.collect();
    if !explained.is_empty() {
        facts[EXPLAINED] = json!(explained);
    }
    let noted: Map<String, Value> = assemblies
        .map(|file| (file.to_owned(), Value::Null))
        .collect();
    if !noted.is_empty() {
        facts[FACT] = json!(noted);
    }
}

/// Moves the facts of assemblies from packages of their own to the libraries that have
/// them, among the packages after `first`.
pub(in crate::sbom::catalog) fn join(found: &mut Found, first: usize) {
    let mut packages = std::mem::take(&mut found.packages);
    let assemblies = packages[first..].iter().filter_map(|package| {
        let is_one = package.ecosystem.metadata_type == ASSEMBLY;
        let path = &package.locations.first()?.path;
        Some((path.clone(), package.metadata.clone()?)).filter(|_| is_one)
    });
    let assemblies: HashMap<String, Box<RawValue>> = assemblies.collect();
    let mut joined = HashSet::new();
    for package in &mut packages[first..] {
        if package.ecosystem.metadata_type == INSTALLED.metadata_type {
            fill_in(package, &assemblies, &mut joined, found);
        }
    }
    let mut rest = packages.split_off(first);
    rest.retain(|package| {
        let path = package.locations.first().map_or("", |at| at.path.as_str());
        package.ecosystem.metadata_type != ASSEMBLY || !joined.contains(path)
    });
    packages.append(&mut rest);
    found.packages = packages;
}

/// Fills in the facts of the assemblies that `package` noted; notes in `joined` where
/// these are.
fn fill_in(
    package: &mut Package,
    assemblies: &HashMap<String, Box<RawValue>>,
    joined: &mut HashSet<String>,
    found: &mut Found,
) {
    let facts = package.metadata.as_ref();
    let facts = facts.and_then(|facts| serde_json::from_str::<Value>(facts.get()).ok());
    let Some(Value::Object(mut facts)) = facts else {
        return;
    };
    let (noted, explained) = match (facts.remove(FACT), facts.remove(EXPLAINED)) {
        (None, None) => return,
        other => other,
    };
    let path = package.locations.first().map_or("", |at| at.path.as_str());
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for place in explained.iter().filter_map(Value::as_array).flatten() {
        let path = format!("{folder}/{}", place.as_str().unwrap_or_default());
        // Only what is there is held.
        if assemblies.contains_key(&path) {
            joined.insert(path);
        }
    }
    let mut known = Map::new();
    let noted = noted.as_ref().and_then(Value::as_object).cloned();
    for file in noted.into_iter().flatten().map(|(file, _)| file) {
        for (_, depth) in ASSEMBLIES {
            let path = format!("{folder}/{}", end_of(&file, depth));
            // Many libraries may name one assembly.
            let one = assemblies.get(&path);
            let one = one.filter(|facts| found.text(facts.get().len()));
            let value = one.and_then(|facts| serde_json::from_str(facts.get()).ok());
            if let Some(value) = value {
                joined.insert(path);
                known.insert(file, value);
                break;
            }
        }
    }
    if !known.is_empty() {
        facts.insert(FACT.to_owned(), Value::Object(known));
    }
    package.describe(&Value::Object(facts));
}

#[cfg(test)]
mod tests {
    use super::super::super::find_in;
    use super::super::CATALOGUER;
    use super::*;
    use crate::sbom::document::Ecosystem;

    fn assembly(library: &Package, at: usize) -> Package {
        let ecosystem = Ecosystem {
            metadata_type: ASSEMBLY,
            ..INSTALLED
        };
        let mut package = Package::new(ecosystem, "L", "1.0");
        package.locations.push(library.locations[at].clone());
        package.describe(&json!({"productName": format!("P{at}")}));
        package
    }

    /// A scan joins what it finds, so that nothing is noted afterwards.
    fn note_again(library: &mut Package, assemblies: &[&str]) {
        let mut facts = serde_json::from_str(library.metadata.as_ref().unwrap().get()).unwrap();
        note(
            &mut facts,
            assemblies.iter().copied(),
            ["M.dll"].into_iter(),
        );
        library.describe(&facts);
    }

    fn joined(packages: Vec<Package>, first: usize) -> Vec<Package> {
        let mut found = Found::default();
        found.packages = packages;
        join(&mut found, first);
        found.packages
    }

    #[test]
    fn what_a_library_explains_is_no_package() {
        let text = br#"{"targets": {"t": {"L/1": {"runtime": {"lib/net8.0/L.dll": {}, "lib/net8.0/M.dll": {}},
            "resources": {"lib/net8.0/de/L.resources.dll": {}}}}}, "libraries": {"L/1": {}}}"#;
        let files: &[(&str, &[u8])] = &[
            ("app/A.deps.json", text),
            ("app/L.dll", b"MZ"),
            ("app/M.dll", b"MZ"),
            ("app/de/L.resources.dll", b"MZ"),
        ];
        let mut packages = find_in(&CATALOGUER, files);
        assert_eq!(packages[0].locations.len(), 4);
        note_again(
            &mut packages[0],
            &["lib/net8.0/L.dll", "lib/net8.0/de/L.resources.dll"],
        );
        let first = assembly(&packages[0], 1);
        let german = assembly(&packages[0], 3);
        let mut other = assembly(&packages[0], 1);
        other.locations[0].path = "/other/L.dll".to_owned();
        let unlisted = assembly(&packages[0], 2);
        packages.extend([first, german, unlisted, other]);
        let packages = joined(packages, 0);
        let places: Vec<_> = packages
            .iter()
            .map(|one| one.locations[0].path.as_str())
            .collect();
        assert_eq!(places, ["/app/A.deps.json", "/other/L.dll"]);
        let facts: Value =
            serde_json::from_str(packages[0].metadata.as_ref().unwrap().get()).unwrap();
        let expected = json!({"lib/net8.0/L.dll": {"productName": "P1"}, "lib/net8.0/de/L.resources.dll": {"productName": "P3"}});
        assert_eq!(facts[FACT], expected);
    }

    #[test]
    fn assemblies_before_the_tree_stay() {
        let text =
            br#"{"targets": {"t": {"L/1": {"runtime": {"L.dll": {}}}}}, "libraries": {"L/1": {}}}"#;
        let mut packages = find_in(&CATALOGUER, &[("L.dll", b"MZ"), ("A.deps.json", text)]);
        note_again(&mut packages[0], &["L.dll"]);
        packages.insert(0, assembly(&packages[0], 1));
        let packages = joined(packages, 1);
        assert_eq!(packages.len(), 2);
        assert!(!packages[1].metadata.as_ref().unwrap().get().contains(FACT));
    }
}
