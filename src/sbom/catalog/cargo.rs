//! Rust crates, from the list that cargo-auditable embeds in executables.

use serde_json::{Value, json};

use crate::sbom::document::{Evidence, Kind, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// Finds the run-time crates of every auditable executable.
pub(super) fn find(view: &View) -> Vec<Package> {
    let mut found = Vec::new();
    for (path, facts) in view.executables() {
        let parsed = facts
            .audit
            .as_deref()
            .and_then(|json| serde_json::from_slice(json).ok());
        let parsed: Value = parsed.unwrap_or_default();
        for item in parsed["packages"].as_array().into_iter().flatten() {
            let text = |key: &str| item[key].as_str().unwrap_or_default();
            let (name, version) = (text("name"), text("version"));
            if name.is_empty() || text("kind") == "build" {
                continue;
            }
            let mut package = Package::new(
                Kind::Rust,
                name,
                version,
                "cargo-auditable-binary-cataloger",
                "rust-cargo-audit-entry",
            );
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            package.purl = purl("cargo", "", name, version, &[]);
            package.describe(&json!({"name": name, "version": version, "source": text("source")}));
            found.push(package);
        }
    }
    found
}
