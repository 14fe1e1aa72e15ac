//! Rust crates, from the list that cargo-auditable embeds in executables.

use serde_json::{Value, json};

use super::{Cataloguer, Finds};
use crate::sbom::binary::Facts;
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: CARGO,
    finds: Finds::InExecutables(find),
};

const CARGO: Ecosystem = Ecosystem {
    kind: "rust-crate",
    language: "rust",
    found_by: "cargo-auditable-binary-cataloger",
    metadata_type: "rust-cargo-audit-entry",
};

/// Finds the run-time crates of one executable.
fn find(view: &View, path: &str, facts: &Facts) -> Vec<Package> {
    let mut found = Vec::new();
    let parsed = facts
        .audit
        .as_deref()
        .and_then(|json| serde_json::from_slice(json).ok());
    let parsed: Value = parsed.unwrap_or_default();
    let items = parsed["packages"].as_array().map_or(&[][..], Vec::as_slice);
    for item in items {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        if name.is_empty() || text("kind") == "build" {
            continue;
        }
        let mut package = Package::new(CARGO, name, version);
        package
            .locations
            .extend(view.location(path, Evidence::Primary));
        package.purl = purl("cargo", "", name, version, &[]);
        package.provides.push(mark(path, item));
        let needs = item["dependencies"].as_array().into_iter().flatten();
        package.requires = needs
            .filter_map(|index| items.get(usize::try_from(index.as_u64()?).ok()?))
            .map(|need| mark(path, need))
            .collect();
        package.describe(&json!({"name": name, "version": version, "source": text("source")}));
        found.push(package);
    }
    found
}

/// Name for dependencies between the crates of one executable.
fn mark(path: &str, item: &Value) -> String {
    let text = |key: &str| item[key].as_str().unwrap_or_default();
    format!("{path}\0{}\0{}", text("name"), text("version"))
}

#[cfg(test)]
mod tests {
    use super::super::packages;
    use super::*;
    use crate::sbom::document::{Document, Source};
    use crate::sbom::layer::{Content, scan, tar_of};

    #[test]
    fn run_time_crates_and_their_edges_are_found() {
        let list = br#"{"packages":[{"name":"a","version":"1.0.0","dependencies":[1,2,9]},
            {"name":"b","version":"2.0.0"},{"name":"c","version":"3.0.0","kind":"build"}]}"#;
        let mut layer = scan(&tar_of(&[("a", b"")])[..], |_| false).unwrap();
        let facts = Facts {
            go: None,
            audit: Some(list.to_vec()),
        };
        layer.entries[0].content = Some(std::sync::Arc::new(Content::Executable(facts)));
        let source = Source {
            id: "s".into(),
            name: String::new(),
            version: String::new(),
            kind: "image",
            metadata: Value::Null,
        };
        let found = packages(&View::squash(vec![layer], true));
        let document = Document::new(source, Value::Null, found);
        let names: Vec<&str> = document.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let edges = document.relationships.iter();
        let edges: Vec<_> = edges.filter(|edge| edge.kind == "dependency-of").collect();
        assert_eq!(edges.len(), 1);
        assert_eq!(edges[0].parent, document.packages[1].id());
    }
}
