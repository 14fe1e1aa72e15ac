//! npm packages installed in the tree: every `package.json` with a name.

use serde_json::{Value, json};

use crate::sbom::document::{Evidence, Kind, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// Finds one package per named `package.json`.
pub(super) fn find(view: &View) -> Vec<Package> {
    view.texts()
        .filter(|path| *path == "package.json" || path.ends_with("/package.json"))
        .filter_map(|path| one(view, path))
        .collect()
}

fn one(view: &View, path: &str) -> Option<Package> {
    let json: Value = serde_json::from_slice(view.bytes(path)?).ok()?;
    let text = |key: &str| json[key].as_str().unwrap_or_default();
    let (name, version) = (text("name"), text("version"));
    if name.is_empty() {
        return None;
    }
    let mut package = Package::new(
        Kind::Npm,
        name,
        version,
        "javascript-package-cataloger",
        "javascript-npm-package",
    );
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let old = json["licenses"].as_array().into_iter().flatten();
    for value in std::iter::once(&json["license"]).chain(old) {
        if let Some(license) = value.as_str().or_else(|| value["type"].as_str()) {
            package.licenses.insert(License(license.to_owned()));
        }
    }
    let (scope, base) = name.rsplit_once('/').unwrap_or(("", name));
    package.purl = purl("npm", scope, base, version, &[]);
    let author = json["author"]
        .as_str()
        .or_else(|| json["author"]["name"].as_str());
    let url = json["repository"]
        .as_str()
        .or_else(|| json["repository"]["url"].as_str());
    package.describe(&json!({
        "name": name, "version": version, "author": author.unwrap_or_default(),
        "homepage": text("homepage"), "description": text("description"),
        "url": url.unwrap_or_default(),
        "private": json["private"].as_bool().unwrap_or(false),
    }));
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::super::view_of;
    use super::*;

    #[test]
    fn a_scoped_package_is_found_and_a_nameless_stub_is_not() {
        let found = find(&view_of(&[
            (
                "n/a/package.json",
                br#"{"name":"@s/a","version":"1.0.0","license":"mit","private":3}"#,
            ),
            ("n/b/package.json", br#"{"type":"module"}"#),
            ("n/c/package.json", b"{broken"),
        ]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:npm/%40s/a@1.0.0");
        assert_eq!(found[0].licenses.first().unwrap().spdx(), "MIT");
    }
}
