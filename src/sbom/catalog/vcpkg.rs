//! Projects and packages of vcpkg, for C and C++: what a `vcpkg.json` says about itself.
//!
//! It names what it needs without versions; those are in a repository elsewhere.

use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: VCPKG,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "vcpkg.json",
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| lock::read(view, path, VCPKG, found, manifest),
    },
};

const VCPKG: Ecosystem = Ecosystem {
    kind: "vcpkg",
    language: "c++",
    found_by: "vcpkg-manifest-cataloger",
    metadata_type: "",
};

fn manifest(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    let name = text(&json, "name");
    if name.is_empty() {
        return Ok(());
    }
    let keys = [
        "version",
        "version-semver",
        "version-date",
        "version-string",
    ];
    let version = keys
        .map(|key| text(&json, key))
        .into_iter()
        .find(|version| !version.is_empty());
    let version = version.unwrap_or_default();
    let port = json["port-version"].as_u64().unwrap_or(0);
    let (full, revision) = match port {
        0 => (version.to_owned(), String::new()),
        port => (format!("{version}#{port}"), port.to_string()),
    };
    let mut package = file.package(VCPKG, name, &full);
    package.purl = purl("vcpkg", "", name, version, &[("port_revision", &revision)]);
    if !text(&json, "license").is_empty() {
        package
            .licenses
            .insert(License::new(text(&json, "license").to_owned()));
    }
    let mut facts = Map::new();
    for key in ["description", "maintainers"] {
        // One text or a list of them.
        let one = json[key].as_str().into_iter();
        let list: Vec<&str> = one.chain(texts(&json, key)).collect();
        if !list.is_empty() {
            facts.insert(key.to_owned(), json!(list));
        }
    }
    for key in ["documentation", "supports"] {
        if !text(&json, key).is_empty() {
            facts.insert(key.to_owned(), json!(text(&json, key)));
        }
    }
    facts.insert("full-version".to_owned(), json!(full));
    facts.insert("version".to_owned(), json!(version));
    facts.insert("port-version".to_owned(), json!(port));
    facts.insert("name".to_owned(), json!(name));
    package.describe(&Value::Object(facts));
    found.push(package);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn a_manifest_describes_itself() {
        let files: &[(&str, &[u8])] = &[
            ("a/vcpkg.json", br#"{"name": "a", "version": "1.2", "port-version": 4, "license": "MIT", "description": "d", "dependencies": ["z"]}"#),
            ("b/vcpkg.json", br#"{"name": "b", "version-date": "2024-01-02", "license": null}"#),
            ("c/vcpkg.json", br#"{"dependencies": ["z"]}"#),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].version.as_str(), found[0].purl.as_str()),
            ("1.2#4", "pkg:vcpkg/a@1.2?port_revision=4")
        );
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"description":["d"],"full-version":"1.2#4","name":"a","port-version":4,"version":"1.2"}"#
        );
        assert_eq!(found[1].purl, "pkg:vcpkg/b@2024-01-02");
        assert_eq!(
            findings(&CATALOGUER, &[("vcpkg.json", b"{")])
                .unknowns
                .len(),
            1
        );
    }
}
