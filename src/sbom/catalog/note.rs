//! Notes in ELF files about the package that they are part of.
//!
//! Source: the ELF package metadata specification. Files with equal notes are one
//! package.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::found::NOTE_TYPE;
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, License, Location, Package};
use crate::sbom::layer::Content;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: NOTE,
    scope: Scope::Everywhere,
    finds: Finds::OfTree(find),
};

const NOTE: Ecosystem = Ecosystem {
    kind: "binary",
    language: "",
    found_by: "elf-binary-package-cataloger",
    metadata_type: NOTE_TYPE,
};

fn find(view: &View, found: &mut Found) {
    let mut notes: BTreeMap<Vec<u8>, Vec<Location>> = BTreeMap::new();
    view.each(|path, content| {
        if let Content::Executable(facts) = content
            && let Some(note) = &facts.note
            && let Some(at) = view.location(path, Evidence::Primary)
            && found.text(2 * path.len() + 2 * note.len())
        {
            notes.entry(note.clone()).or_default().push(at);
        }
    });
    for (note, at) in notes {
        if let Some(mut package) = package(&note) {
            package.locations = at;
            found.push(package);
        }
    }
}

fn package(note: &[u8]) -> Option<Package> {
    let note: Value = serde_json::from_slice(note).ok()?;
    let get = |key: &str| note[key].as_str().unwrap_or_default();
    let (name, version) = (get("name"), get("version"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let platform = first(&[get("osCpe"), get("osCPE")]);
    let (os, release) = match get("os") {
        "" => from_platform(platform),
        os => (os, get("osVersion")),
    };
    let distro = match release {
        "" => os.to_owned(),
        release => format!("{os}-{release}"),
    };
    let mut ecosystem = NOTE;
    let purl = match get("type") {
        kind @ ("alpm" | "apk" | "deb" | "rpm") => {
            ecosystem.kind = match kind {
                "alpm" => "alpm",
                "apk" => "apk",
                "deb" => "deb",
                _ => "rpm",
            };
            purl(kind, os, name, version, &[("distro", &distro)])
        }
        _ => purl("generic", get("system"), name, version, &[]),
    };
    let mut package = Package::new(ecosystem, name, version);
    package.purl = purl;
    if !get("license").is_empty() {
        package
            .licenses
            .insert(License::new(get("license").to_owned()));
    }
    let keys = [
        "type",
        "architecture",
        "os",
        "osVersion",
        "system",
        "vendor",
        "sourceRepo",
        "commit",
    ];
    let keys = keys.iter().filter(|key| !get(key).is_empty());
    let mut facts: Map<String, Value> = keys
        .map(|key| ((*key).to_owned(), json!(get(key))))
        .collect();
    if !platform.is_empty() {
        facts.insert("osCPE".to_owned(), json!(platform));
    }
    package.describe(&Value::Object(facts));
    Some(package)
}

fn first<'t>(texts: &[&'t str]) -> &'t str {
    texts
        .iter()
        .find(|text| !text.is_empty())
        .copied()
        .unwrap_or_default()
}

/// The distribution and its version in a CPE, of the old form or the new one.
fn from_platform(cpe: &str) -> (&str, &str) {
    let rest = cpe
        .strip_prefix("cpe:2.3:o:")
        .or(cpe.strip_prefix("cpe:/o:"));
    let mut parts = rest.unwrap_or_default().split(':').skip(1);
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;
    use crate::sbom::binary::tests::elf;

    fn file(json: &str) -> Vec<u8> {
        let mut note = vec![
            4,
            0,
            0,
            0,
            json.len() as u8 + 1,
            0,
            0,
            0,
            0x7e,
            0x1a,
            0xfe,
            0xca,
        ];
        note.extend(b"FDO\0");
        note.extend(json.as_bytes());
        note.push(0);
        elf(&[(".note.package", &note)])
    }

    #[test]
    fn notes_name_packages_of_systems_and_others() {
        let rpm = file(
            r#"{"type":"rpm","name":"bash","version":"5-3.fc40","osCpe":"cpe:/o:fedoraproject:fedora:40"}"#,
        );
        let plain = file(r#"{"name":"plain","version":"1","system":"sys","license":"MIT"}"#);
        let files: &[(&str, &[u8])] = &[
            ("bin/bash", &rpm),
            ("opt/a", &plain),
            ("opt/b", &plain),
            ("opt/c", &file(r#"{"name":"none"}"#)),
            ("opt/d", &file(r#"{"name":7,"version":"#)),
        ];
        let found = findings(&CATALOGUER, files).packages;
        let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:generic/sys/plain@1",
                "pkg:rpm/fedora/bash@5-3.fc40?distro=fedora-40",
            ]
        );
        assert_eq!(found[0].locations.len(), 2);
        assert_eq!(found[1].ecosystem.kind, "rpm");
    }

    #[test]
    fn a_note_says_more_than_a_landmark_in_its_file() {
        let mut file = file(r#"{"type":"rpm","name":"nginx","version":"1.2.3-1"}"#);
        file.extend(b"\0nginx version: nginx/1.25.3\0");
        let found = findings(&CATALOGUER, &[("sbin/nginx", &file)]).packages;
        let versions: Vec<&str> = found
            .iter()
            .map(|package| package.version.as_str())
            .collect();
        assert_eq!(versions, ["1.2.3-1"]);
    }
}
