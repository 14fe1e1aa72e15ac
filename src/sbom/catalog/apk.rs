//! Alpine packages, from apk's installed database.

use serde_json::json;

use super::system::System;
use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::{distro_of, purl};
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: APK,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| name == "installed" && folder.ends_with("lib/apk/db"),
        supports: |_, _| false,
        longest: 32 << 20,
        find,
    },
};

const APK: Ecosystem = Ecosystem {
    kind: "apk",
    language: "",
    found_by: "apk-db-cataloger",
    metadata_type: "apk-db-entry",
};

/// Where databases are, from the root of the system.
const FOLDERS: [&str; 2] = ["usr/lib/apk/db", "lib/apk/db"];

/// Finds all packages of one installed database.
fn find(view: &View, path: &str, found: &mut Found) {
    let system = System::of(view, split(path).0, &FOLDERS);
    let (id, word) = distro_of(&system.distro);
    let text = view.text(path).unwrap_or_default();
    for stanza in text.split("\n\n") {
        let package = found.reading(|found| one(stanza, &id, &word, found));
        if found.is_full() {
            return;
        }
        if let Some(mut package) = package {
            for path in &mut package.owns {
                *path = system.absolute(path);
            }
            for name in package.provides.iter_mut().chain(&mut package.requires) {
                *name = system.name(name);
            }
            let location = view.location(path, Evidence::Primary);
            package.locations.extend(location);
            found.push(package);
        }
    }
}

/// Longest licence that is read, in characters: expressions have some hundred.
const MAX_LICENSE: usize = 10_000;

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 200;

fn one(stanza: &str, id: &str, distro: &str, found: &mut Found) -> Option<Package> {
    let lines = || stanza.lines().filter_map(|line| line.split_once(':'));
    let get = |key: &str| {
        lines()
            .find(|(k, _)| *k == key)
            .map_or("", |(_, value)| value)
    };
    let (name, version, arch, origin) = (get("P"), get("V"), get("A"), get("o"));
    if name.is_empty() {
        return None;
    }
    let mut package = Package::new(APK, name, version);
    let mut folder = "";
    let mut files = Vec::new();
    for (key, value) in lines() {
        if key == "F" {
            folder = value;
        }
        if key == "F" || key == "R" {
            // A folder may have a long name, and a million files.
            if !found.text(FILE_COST + 2 * (folder.len() + value.len())) {
                return None;
            }
            let joined = if key == "F" {
                format!("/{value}")
            } else {
                format!("/{folder}/{value}")
            };
            let path = joined.replace("//", "/");
            files.push(json!({"path": path}));
            if key == "R" {
                package.owns.push(path);
            }
        }
    }
    let whole = License::new(get("L").chars().take(MAX_LICENSE).collect::<String>());
    if whole.spdx().is_empty() {
        package.licenses = whole
            .value
            .split_whitespace()
            .map(|l| License::new(l.to_owned()))
            .collect();
    } else {
        package.licenses.insert(whole);
    }
    let upstream = if origin == name { "" } else { origin };
    if !id.is_empty() {
        let qualifiers = [("arch", arch), ("distro", distro), ("upstream", upstream)];
        package.purl = purl("apk", id, name, version, &qualifiers);
    }
    let mut words = |key: &str| {
        get(key)
            .split_whitespace()
            .take_while(|word| found.text(2 * FILE_COST + word.len()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let bare = |item: &String| item.split(['<', '>', '=', '~']).next().map(str::to_owned);
    let (needs, gives) = (words("D"), words("p"));
    package.requires = needs.iter().filter_map(bare).collect();
    package.provides = gives.iter().filter_map(bare).collect();
    package.provides.push(name.to_owned());
    package.describe(&json!({
        "package": name, "originPackage": origin, "maintainer": get("m"), "version": version,
        "architecture": arch, "url": get("U"), "description": get("T"),
        "size": get("S").parse::<u64>().unwrap_or(0),
        "installedSize": get("I").parse::<u64>().unwrap_or(0),
        "pullDependencies": needs, "provides": gives, "pullChecksum": get("C"),
        "gitCommitOfApkPort": get("c"), "files": files,
    }));
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn packages_come_with_origin_files_and_needs() {
        let files: &[(&str, &[u8])] = &[
            ("etc/os-release", b"ID=alpine\nVERSION_ID=3.19.1\n"),
            (
                "lib/apk/db/installed",
                b"P:musl-utils\nV:1.2-r4\nA:x86_64\no:musl\nL:MIT AND BSD-2-Clause\nD:so:libc.so.1>1\nF:usr/bin\nR:ldd\n\n",
            ),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(
            found[0].purl,
            "pkg:apk/alpine/musl-utils@1.2-r4?arch=x86_64&distro=alpine-3.19.1&upstream=musl"
        );
        assert_eq!(found[0].owns, ["/usr/bin/ldd"]);
        assert_eq!(found[0].requires, ["so:libc.so.1"]);
        assert_eq!(found[0].licenses.len(), 1);
    }

    #[test]
    fn a_release_is_known_by_the_sources_of_packages() {
        let files: &[(&str, &[u8])] = &[
            (
                "root/etc/apk/repositories",
                b"https://dl-cdn.alpinelinux.org/alpine/v3.19/main\n",
            ),
            ("root/lib/apk/db/installed", b"P:a\nV:1-r0\nF:usr\nR:b\n\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found[0].purl, "pkg:apk/alpine/a@1-r0?distro=alpine-3.19");
        assert_eq!(found[0].owns, ["/root/usr/b"]);
    }

    #[test]
    fn a_long_folder_of_many_files_is_refused() {
        use crate::sbom::{budget::HELD_BYTES, layer};
        let folder = "f".repeat(10_000);
        let text = format!("P:a\nV:1\nF:{folder}\n{}", "R:r\n".repeat(1_000));
        let tar = layer::tar_of(&[("lib/apk/db/installed", text.as_bytes())]);
        let mut view = View::new(true, HELD_BYTES);
        let scan = layer::scan(
            &tar[..],
            super::super::wanted_of_images,
            &crate::sbom::body::in_memory,
        )
        .unwrap();
        view.stack(scan).unwrap();
        let mut found = Found::within(1 << 20);
        super::super::packages(&view, super::super::Tree::Image, &mut found).unwrap();
        assert!(found.finish().is_err());
    }
}
