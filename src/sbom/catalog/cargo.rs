//! Rust crates, from the list that cargo-auditable embeds in executables.

use serde::Deserialize;
use serde_json::json;

use super::{Cataloguer, Finds, Found, Scope};
use crate::oci::Digest;
use crate::sbom::binary::Facts;
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: CARGO,
    scope: Scope::Everywhere,
    finds: Finds::InExecutables(find),
};

const CARGO: Ecosystem = Ecosystem {
    kind: "rust-crate",
    language: "rust",
    found_by: "cargo-auditable-binary-cataloger",
    metadata_type: "rust-cargo-audit-entry",
};

/// The list that cargo-auditable writes.
#[derive(Deserialize)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    dependencies: Vec<u32>,
}

/// Finds the run-time crates of one executable.
fn find(view: &View, path: &str, facts: &Facts, found: &mut Found) {
    let parsed = facts.audit.as_deref();
    let parsed: Option<List> = parsed.and_then(|json| serde_json::from_slice(json).ok());
    let items = parsed.map_or_else(Vec::new, |list| list.packages);
    // A path may be long, and each crate has it.
    let file = &Digest::of(path.as_bytes()).hex()[..16];
    // For dependencies between the crates of one executable.
    let mark = |item: &Crate| format!("{file}\0{}\0{}", item.name, item.version);
    for item in &items {
        let (name, version) = (item.name.as_str(), item.version.as_str());
        if name.is_empty() || item.kind == "build" {
            continue;
        }
        let package = found.reading(|found| {
            let mut package = Package::new(CARGO, name, version);
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            package.purl = purl("cargo", "", name, version, &[]);
            package.provides.push(mark(item));
            let needs = item.dependencies.iter();
            package.requires = needs
                .filter_map(|index| items.get(usize::try_from(*index).ok()?))
                .map(mark)
                .take_while(|need| found.text(need.len()))
                .collect();
            package.describe(&json!({"name": name, "version": version, "source": item.source}));
            package
        });
        found.push(package);
        if found.is_full() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Tree, packages};
    use super::*;
    use crate::sbom::body::in_memory;
    use crate::sbom::budget::HELD_BYTES;
    use crate::sbom::document::{Document, ScanTarget};
    use crate::sbom::layer::{Content, scan, tar_of};

    #[test]
    fn run_time_crates_and_their_edges_are_found() {
        let list = br#"{"packages":[{"name":"a","version":"1.0.0","dependencies":[1,2,9]},
            {"name":"b","version":"2.0.0"},{"name":"c","version":"3.0.0","kind":"build"}]}"#;
        let mut layer = scan(&tar_of(&[("a", b"")])[..], |_| None, &in_memory).unwrap();
        let facts = Facts {
            audit: Some(list.to_vec()),
            ..Facts::default()
        };
        layer.entries[0].content = Some(std::sync::Arc::new(Content::Executable(facts)));
        let source = ScanTarget {
            id: "s".into(),
            name: String::new(),
            version: String::new(),
            kind: "image",
            metadata: Value::Null,
        };
        let mut view = View::new(true, HELD_BYTES);
        view.stack(layer).unwrap();
        let mut found = Found::default();
        packages(&view, Tree::Image, &mut found).unwrap();
        let found = found.finish().unwrap();
        let document = Document::new(source, Value::Null, found).unwrap();
        let names: Vec<&str> = document.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let edges = document.relationships.iter();
        let edges: Vec<_> = edges.filter(|edge| edge.kind == "dependency-of").collect();
        assert_eq!(edges.len(), 1);
        assert_eq!(edges[0].parent, document.packages[1].id());
    }
}
