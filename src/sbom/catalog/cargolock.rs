//! Rust crates that `Cargo.lock` lists, those of the workspace included.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, items, pairs, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: LOCKED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "Cargo.lock",
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, LOCKED, found, read),
    },
};

const LOCKED: Ecosystem = Ecosystem {
    kind: "rust-crate",
    language: "rust",
    found_by: "rust-cargo-lock-cataloger",
    metadata_type: "rust-cargo-lock-entry",
};

fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let toml = data::toml(source)?;
    // Cargo of 2015 had the crate of the workspace in a table of its own.
    let root = toml.get("root").into_iter();
    let crates: Vec<&Value> = items(&toml, "package").iter().chain(root).collect();
    let mut versions: HashMap<&str, Vec<&str>> = HashMap::new();
    for item in &crates {
        let of_name = versions.entry(text(item, "name")).or_default();
        of_name.push(text(item, "version"));
    }
    // Until version 2 of the format, checksums were in a table of their own.
    let sums: HashMap<&str, &str> = pairs(&toml, "metadata")
        .filter_map(|(key, sum)| Some((key.strip_prefix("checksum ")?, sum.as_str()?)))
        .collect();
    for item in crates {
        let (name, version) = (text(item, "name"), text(item, "version"));
        if name.is_empty() {
            continue;
        }
        let source = text(item, "source");
        let listed = found.reading(|found| {
            let mut package = lock.package(LOCKED, name, version);
            if !source.is_empty() {
                package.purl = purl("cargo", "", name, version, &[]);
            }
            package
                .provides
                .push(lock.key(&format!("{name} {version}")));
            let needs = texts(item, "dependencies").map(|need| needed(need, &versions));
            let needs: Vec<String> = needs.collect();
            package.requires = lock.keys(needs.iter().map(String::as_str), found);
            let sum = match text(item, "checksum") {
                "" => {
                    let key = format!("{name} {version} ({source})");
                    sums.get(key.as_str()).copied().unwrap_or_default()
                }
                sum => sum,
            };
            let needs: Vec<&str> = texts(item, "dependencies").collect();
            package.describe(&json!({
                "name": name, "version": version, "source": source, "checksum": sum,
                "dependencies": needs,
            }));
            package
        });
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

/// Name and version of a need such as `name`, `name 1.2.3` or `name 1.2.3 (source)`: a
/// crate that has one version only need not say it.
fn needed(need: &str, versions: &HashMap<&str, Vec<&str>>) -> String {
    let mut words = need.split(' ');
    let name = words.next().unwrap_or_default();
    let only = || versions.get(name).and_then(|all| all.first()).copied();
    let version = words.next().or_else(only).unwrap_or_default();
    format!("{name} {version}")
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn crates_and_what_they_need_are_listed() {
        let file = br#"
[[package]]
name = "app"
version = "0.1.0"
dependencies = ["log", "rand 0.8.5", "rand 0.7.0 (registry+https://x)"]

[[package]]
name = "log"
version = "0.4.1"
source = "registry+https://x"
checksum = "ab"

[[package]]
name = "rand"
version = "0.8.5"
source = "registry+https://x"

[[package]]
name = "rand"
version = "0.7.0"
source = "registry+https://x"

[metadata]
"checksum rand 0.7.0 (registry+https://x)" = "cd"
"#;
        let found = find_in(&CATALOGUER, &[("a/Cargo.lock", file)]);
        assert_eq!(found.len(), 4);
        assert_eq!(
            (found[0].name.as_str(), found[0].purl.as_str()),
            ("app", "")
        );
        assert_eq!(found[0].requires.len(), 3);
        let provided = found[1..].iter().flat_map(|package| &package.provides);
        let provided: Vec<&String> = provided.collect();
        assert!(
            found[0]
                .requires
                .iter()
                .all(|need| provided.contains(&need))
        );
        assert_eq!(found[1].purl, "pkg:cargo/log@0.4.1");
        let facts = |at: usize| found[at].metadata.as_ref().unwrap().get();
        let expected = r#"{"checksum":"ab","dependencies":[],"name":"log","source":"registry+https://x","version":"0.4.1"}"#;
        assert_eq!(facts(1), expected);
        assert!(facts(3).contains(r#""checksum":"cd""#));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let found = findings(&CATALOGUER, &[("Cargo.lock", b"[[package")]);
        let reason = "rust-cargo-lock-cataloger: it is not valid TOML";
        assert_eq!(found.unknowns[0].reason, reason);
    }
}
