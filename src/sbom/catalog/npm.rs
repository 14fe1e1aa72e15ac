//! npm packages installed in the tree: every `package.json` with a name.

use serde_json::{Value, json};

use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: NPM,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name == "package.json",
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            if let Some(package) = one(view, path) {
                found.push(package);
            }
        },
    },
};

const NPM: Ecosystem = Ecosystem {
    kind: "npm",
    language: "javascript",
    found_by: "javascript-package-cataloger",
    metadata_type: "javascript-npm-package",
};

fn one(view: &View, path: &str) -> Option<Package> {
    let json: Value = serde_json::from_slice(&view.bytes(path)?).ok()?;
    let text = |key: &str| json[key].as_str().unwrap_or_default();
    let (name, version) = (text("name"), text("version"));
    if name.is_empty() {
        return None;
    }
    let mut package = Package::new(NPM, name, version);
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let old = json["licenses"].as_array().into_iter().flatten();
    for value in std::iter::once(&json["license"]).chain(old) {
        if let Some(license) = value.as_str().or_else(|| value["type"].as_str()) {
            package.licenses.insert(License::new(license.to_owned()));
        }
    }
    let (scope, base) = name.rsplit_once('/').unwrap_or(("", name));
    package.purl = purl("npm", scope, base, version, &[]);
    let url = json["repository"]
        .as_str()
        .or_else(|| json["repository"]["url"].as_str());
    package.describe(&json!({
        "name": name, "version": version, "author": people(&json),
        "homepage": text("homepage"), "description": text("description"),
        "url": url.unwrap_or_default(),
        "private": json["private"].as_bool().unwrap_or(false),
    }));
    Some(package)
}

/// The author, the contributors and the maintainers.
fn people(json: &Value) -> String {
    let lists = ["contributors", "maintainers"].map(|key| json[key].as_array());
    let lists = lists.into_iter().flatten().flatten();
    let all = std::iter::once(&json["author"]).chain(lists).map(person);
    let all: Vec<String> = all.filter(|person| !person.is_empty()).collect();
    all.join(", ")
}

/// `Name <address> (page)`, which may be an object of these.
fn person(value: &Value) -> String {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    match value {
        Value::String(text) => text.clone(),
        _ => {
            let mut person = text("name").to_owned();
            for (key, start, end) in [("email", " <", ">"), ("url", " (", ")")] {
                if !text(key).is_empty() {
                    person += start;
                    person += text(key);
                    person += end;
                }
            }
            person
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn authors_are_all_who_made_it() {
        let file = br#"{"name":"a","author":{"name":"A","email":"a@b","url":"u"},
            "contributors":["B <b@c>",{"name":"C"},{}],"maintainers":[{"name":"D","web":"w"}, 3]}"#;
        let found = find_in(&CATALOGUER, &[("n/a/package.json", file)]);
        let facts = found[0].metadata.as_ref().unwrap().get();
        assert!(facts.contains("\"A <a@b> (u), B <b@c>, C, D\""), "{facts}");
    }

    #[test]
    fn a_scoped_package_is_found_and_a_nameless_stub_is_not() {
        let files: &[(&str, &[u8])] = &[
            (
                "n/a/package.json",
                br#"{"name":"@s/a","version":"1.0.0","license":"mit","private":3}"#,
            ),
            ("n/b/package.json", br#"{"type":"module"}"#),
            ("n/c/package.json", b"{broken"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:npm/%40s/a@1.0.0");
        assert_eq!(found[0].licenses.first().unwrap().spdx(), "MIT");
    }
}
