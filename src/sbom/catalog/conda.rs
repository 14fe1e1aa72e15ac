//! Packages of conda that are installed in a prefix: `conda-meta/*.json`.

use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::oci::Digest;
use crate::sbom::document::{Ecosystem, License, Package};
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: CONDA,
    // Prefixes of conda are in images more often than elsewhere.
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            (folder == "conda-meta" || folder.ends_with("/conda-meta")) && name.ends_with(".json")
        },
        supports: |_, _| false,
        longest: 16 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, CONDA, found, |file, text, found| {
                found
                    .reading(|found| one(view, file, text, found))
                    .map(|package| {
                        package.into_iter().for_each(|package| found.push(package));
                    })
            });
        },
    },
};

const CONDA: Ecosystem = Ecosystem {
    kind: "conda",
    language: "",
    found_by: "conda-meta-cataloger",
    metadata_type: "conda-metadata-entry",
};

/// Facts that are texts, and those that are numbers.
const TEXTS: [&str; 14] = [
    "arch",
    "name",
    "version",
    "build",
    "channel",
    "subdir",
    "noarch",
    "license",
    "license_family",
    "md5",
    "sha256",
    "fn",
    "url",
    "extracted_package_dir",
];
const NUMBERS: [&str; 3] = ["build_number", "size", "timestamp"];

/// What a path takes while it is held as a value of JSON, in bytes.
const PATH_COST: usize = 600;

fn one(
    view: &View,
    file: &Lock<'_>,
    source: &str,
    found: &mut Found,
) -> Result<Option<Package>, Reason> {
    let json = data::json(source)?;
    let (name, version) = (text(&json, "name"), text(&json, "version"));
    if name.is_empty() {
        return Ok(None);
    }
    let mut package = file.package(CONDA, name, version);
    if !text(&json, "license").is_empty() {
        package
            .licenses
            .insert(License::new(text(&json, "license").to_owned()));
    }
    let mut facts = Map::new();
    for key in TEXTS {
        if !text(&json, key).is_empty() || matches!(key, "name" | "version" | "build") {
            facts.insert(key.to_owned(), json!(text(&json, key)));
        }
    }
    for key in NUMBERS {
        let number = json[key].as_i64().unwrap_or(0);
        if number != 0 || key == "build_number" {
            facts.insert(key.to_owned(), json!(number));
        }
    }
    let depends: Vec<&str> = texts(&json, "depends").collect();
    if !depends.is_empty() {
        facts.insert("depends".to_owned(), json!(depends));
    }
    if json["link"]["source"].is_string() {
        let kind = json["link"]["type"].as_i64().unwrap_or(0);
        let link = json!({"source": json["link"]["source"], "type": kind});
        facts.insert("link".to_owned(), link);
    }
    files(view, file, &json, &mut facts, found)
        .into_iter()
        .for_each(|path| package.owns.push(path));
    package.describe(&Value::Object(facts));
    // Only packages of the same prefix can need each other.
    let prefix = Digest::of(file.folder().as_bytes()).hex();
    let key = |name: &str| format!("{}\0{name}", &prefix[..16]);
    package.provides.push(key(name));
    let requires = depends
        .iter()
        .filter_map(|one| one.split_whitespace().next());
    package.requires = requires.map(key).collect();
    Ok(Some(package))
}

/// Notes the files of the package in `facts`; returns their paths in the tree.
fn files(
    view: &View,
    file: &Lock<'_>,
    json: &Value,
    facts: &mut Map<String, Value>,
    found: &mut Found,
) -> Vec<String> {
    let prefix = file
        .folder()
        .rsplit_once('/')
        .map_or("", |(prefix, _)| prefix);
    let mut owns = Vec::new();
    let mut files = Vec::new();
    for path in texts(json, "files") {
        if !found.text(PATH_COST + 2 * (prefix.len() + path.len())) {
            return owns;
        }
        files.push(path);
        let real = view.resolve(&format!("{prefix}/{path}"));
        owns.extend(real.map(|real| format!("/{real}")));
    }
    if !files.is_empty() {
        facts.insert("files".to_owned(), json!(files));
    }
    let mut paths = Vec::new();
    for entry in lock::items(&json["paths_data"], "paths") {
        if !found.text(PATH_COST + 2 * text(entry, "_path").len()) {
            return owns;
        }
        paths.push(json!({
            "_path": text(entry, "_path"), "path_type": text(entry, "path_type"),
            "sha256": text(entry, "sha256"), "sha256_in_prefix": text(entry, "sha256_in_prefix"),
            "size_in_bytes": entry["size_in_bytes"].as_i64().unwrap_or(0),
        }));
    }
    if pairs(json, "paths_data").next().is_some() {
        let version = json["paths_data"]["paths_version"].as_i64().unwrap_or(0);
        let data = json!({"paths_version": version, "paths": paths});
        facts.insert("paths_data".to_owned(), data);
    }
    owns
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn a_prefix_has_packages_with_files() {
        let files: &[(&str, &[u8])] = &[
            (
                "opt/c/conda-meta/zlib-1.2.json",
                br#"{"name": "zlib", "version": "1.2", "build": "h1", "build_number": 3, "license": "Zlib",
                    "depends": ["libzlib 1.2", "gone >=1"], "files": ["lib/libz.so"], "size": 7, "arch": 5,
                    "link": {"source": "/pkgs/zlib", "type": 1},
                    "paths_data": {"paths_version": 1, "paths": [{"_path": "lib/libz.so", "path_type": "hardlink", "size_in_bytes": 9, "x": 1}]}}"#,
            ),
            ("opt/c/conda-meta/libzlib-1.2.json", br#"{"name": "libzlib", "version": "1.2"}"#),
            ("opt/c/conda-meta/history", b"no"),
            ("opt/x/meta/no.json", br#"{"name": "no"}"#),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 2);
        let zlib = &found[1];
        assert_eq!(
            (zlib.purl.as_str(), &zlib.owns[..]),
            ("", &["/opt/c/lib/libz.so".to_owned()][..])
        );
        assert_eq!(zlib.requires[0], found[0].provides[0]);
        let facts: Value = serde_json::from_str(zlib.metadata.as_ref().unwrap().get()).unwrap();
        let expected = json!({
            "name": "zlib", "version": "1.2", "build": "h1", "build_number": 3, "license": "Zlib",
            "depends": ["libzlib 1.2", "gone >=1"], "files": ["lib/libz.so"], "size": 7,
            "link": {"source": "/pkgs/zlib", "type": 1},
            "paths_data": {"paths_version": 1, "paths": [{"_path": "lib/libz.so", "path_type": "hardlink",
                "sha256": "", "sha256_in_prefix": "", "size_in_bytes": 9}]},
        });
        assert_eq!(facts, expected);
        assert_eq!(
            findings(&CATALOGUER, &[("conda-meta/a.json", b"{")])
                .unknowns
                .len(),
            1
        );
    }
}
