//! Snaps: the packages of Ubuntu that one was made of.

use serde_json::{Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, items, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: SNAP,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            let is = |end: &str| folder == end || folder.ends_with(&format!("/{end}"));
            name == "manifest.yaml" && is("snap") || name == "dpkg.yaml" && is("usr/share/snappy")
        },
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, SNAP, found, read),
    },
};

const SNAP: Ecosystem = Ecosystem {
    kind: "deb",
    language: "",
    found_by: "snap-cataloger",
    metadata_type: "snap-entry",
};

fn read(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    // A base of snaps lists all that it has.
    let (kind, key) = match yaml["primed-stage-packages"].is_array() {
        true => ("app", "primed-stage-packages"),
        false => ("base", "packages"),
    };
    let usual = items(&yaml, "architectures").first();
    let usual = usual.and_then(Value::as_str).unwrap_or_default();
    let parts = items(&yaml, key).iter().filter_map(Value::as_str);
    // `libc6:amd64=2.31`
    for (name, version) in parts.filter_map(|part| part.split_once('=')) {
        let (name, arch) = name.split_once(':').unwrap_or((name, usual));
        let mut package = file.package(SNAP, name, version);
        package.purl = purl("deb", "ubuntu", name, version, &[("arch", arch)]);
        package.describe(&json!({
            "snapType": kind, "base": text(&yaml, "base"), "snapName": text(&yaml, "name"),
            "snapVersion": text(&yaml, "version"), "architecture": arch,
        }));
        found.push(package);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn snaps_and_their_bases_list_what_they_have() {
        let app = b"name: a\nversion: '1'\nbase: core20\narchitectures: [amd64]\nprimed-stage-packages:\n- x=1:2\n- y\n";
        let files: &[(&str, &[u8])] = &[
            ("snap/manifest.yaml", app),
            (
                "usr/share/snappy/dpkg.yaml",
                b"packages:\n- z:arm64=3\n- [1]\n",
            ),
            ("b/snap/manifest.yaml", b"a: [b"),
            ("c/manifest.yaml", app),
        ];
        let found = find_in(&CATALOGUER, files);
        let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/ubuntu/x@1:2?arch=amd64",
                "pkg:deb/ubuntu/z@3?arch=arm64"
            ]
        );
        assert!(
            found[0]
                .metadata
                .as_ref()
                .unwrap()
                .get()
                .contains("\"core20\"")
        );
    }
}
