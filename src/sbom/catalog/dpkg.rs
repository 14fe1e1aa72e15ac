//! Debian packages, from dpkg's status database.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cataloguer, Fields, Finds, Found, Scope, split, stanzas};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::{distro_of, purl};
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: DPKG,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            (name == "status" && folder.ends_with("lib/dpkg"))
                || (is_single(folder) && !name.ends_with(".md5sums"))
        },
        supports: |folder, name| match name {
            "copyright" => folder.contains("usr/share/doc/"),
            name if name.ends_with(".md5sums") || name.ends_with(".conffiles") => {
                folder.ends_with("lib/dpkg/info") || is_single(folder)
            }
            _ => false,
        },
        longest: 32 << 20,
        find,
    },
};

const DPKG: Ecosystem = Ecosystem {
    kind: "deb",
    language: "",
    found_by: "dpkg-db-cataloger",
    metadata_type: "dpkg-db-entry",
};

/// Whether each file in `folder` describes one package. Distroless images have
/// such a folder instead of one status file.
fn is_single(folder: &str) -> bool {
    folder.ends_with("lib/dpkg/status.d")
}

/// The fields of one package.
struct Stanza<'t>(Fields<'t>);

impl Stanza<'_> {
    fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The source package and its version; empty if they are the package's own.
    fn source(&self) -> (&str, &str) {
        match self.get("Source").split_once(" (") {
            Some((source, version)) => (source, version.trim_end_matches(')')),
            None => (self.get("Source"), ""),
        }
    }
}

/// Files of a package by path: MD5 sum, if known, and whether it is configuration.
type Files = BTreeMap<String, (String, bool)>;

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 400;

/// Finds all packages of one status file.
fn find(view: &View, path: &str, found: &mut Found) {
    let distro = view.distro();
    let (folder, _) = split(path);
    let info = if is_single(folder) {
        folder.to_owned()
    } else {
        format!("{folder}/info")
    };
    let text = view.text(path).unwrap_or_default();
    for stanza in stanzas(&text).map(Stanza) {
        let name = stanza.get("Package");
        if name.is_empty() || stanza.get("Status").contains("deinstall") {
            continue;
        }
        let package = found.reading(|found| one(view, (path, &info), &stanza, distro, found));
        if found.is_full() {
            return;
        }
        found.push(package);
    }
}

/// One package of the list at `path`, whose files are listed in the folder `info`.
fn one(
    view: &View,
    (path, info): (&str, &str),
    stanza: &Stanza<'_>,
    distro: &Value,
    found: &mut Found,
) -> Package {
    let name = stanza.get("Package");
    let mut package = Package::new(DPKG, name, stanza.get("Version"));
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let files = files(view, info, stanza, &mut package, found);
    package.owns = files.keys().cloned().collect();
    licenses(view, name, &mut package, found);
    package.purl = package_url(stanza, distro);
    package.provides = names(stanza.get("Provides"), found);
    package.provides.push(name.to_owned());
    package.requires = names(stanza.get("Depends"), found);
    let earlier = names(stanza.get("Pre-Depends"), found);
    package.requires.extend(earlier);
    if !found.is_full() {
        package.describe(&facts(stanza, &files));
    }
    package
}

/// The files of a package, by its lists in the folder `info`. Notes the lists
/// as locations.
fn files(
    view: &View,
    info: &str,
    stanza: &Stanza<'_>,
    package: &mut Package,
    found: &mut Found,
) -> Files {
    let (name, arch) = (stanza.get("Package"), stanza.get("Architecture"));
    let mut files = Files::new();
    for (suffix, config) in [("md5sums", false), ("conffiles", true)] {
        let file = [
            format!("{info}/{name}:{arch}.{suffix}"),
            format!("{info}/{name}.{suffix}"),
        ]
        .into_iter()
        .find(|path| view.is_kept(path));
        let Some(file) = file else { continue };
        package
            .locations
            .extend(view.location(&file, Evidence::Supporting));
        for line in view.text(&file).unwrap_or_default().lines() {
            if !found.text(FILE_COST + line.len()) {
                return files;
            }
            if config {
                files.insert(line.trim().to_owned(), (String::new(), true));
            } else if let Some((sum, path)) = line.split_once(char::is_whitespace) {
                let path = format!("/{}", path.trim().trim_start_matches("./"));
                files.insert(path, (sum.to_owned(), false));
            }
        }
    }
    for line in stanza.get("Conffiles").lines() {
        if !found.text(FILE_COST + line.len()) {
            return files;
        }
        let mut words = line.split_whitespace();
        if let (Some(path), Some(sum)) = (words.next(), words.next()) {
            files.insert(path.to_owned(), (sum.to_owned(), true));
        }
    }
    files
}

/// Takes the licences that the copyright file names.
fn licenses(view: &View, name: &str, package: &mut Package, found: &mut Found) {
    let copyright = format!("usr/share/doc/{name}/copyright");
    let Some(text) = view.text(&copyright) else {
        return;
    };
    package
        .locations
        .extend(view.location(&copyright, Evidence::Supporting));
    for line in text.lines() {
        let named = line.starts_with("License: ") || line.contains("/usr/share/common-licenses/");
        if named && !found.text(2 * line.len()) {
            return;
        }
        if let Some(license) = line
            .strip_prefix("License: ")
            .and_then(|rest| rest.split_whitespace().next())
        {
            package.licenses.insert(License(license.to_owned()));
        }
        if let Some((_, rest)) = line.split_once("/usr/share/common-licenses/") {
            let word: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-.+".contains(*c))
                .collect();
            let word = word.trim_end_matches('.');
            if !word.is_empty() {
                package.licenses.insert(License(word.to_owned()));
            }
        }
    }
}

/// The package URL; empty for distributions that are not known to be Debian's.
fn package_url(stanza: &Stanza<'_>, distro: &Value) -> String {
    let (id, word) = distro_of(distro);
    let like = distro["idLike"].as_array().into_iter().flatten();
    if id != "debian" && !like.into_iter().any(|id| id == "debian") {
        return String::new();
    }
    let (source, version) = stanza.source();
    let upstream = if version.is_empty() {
        source.to_owned()
    } else {
        format!("{source}@{version}")
    };
    let qualifiers = [
        ("arch", stanza.get("Architecture")),
        ("distro", &word),
        ("upstream", &upstream),
    ];
    let (name, version) = (stanza.get("Package"), stanza.get("Version"));
    purl("deb", &id, name, version, &qualifiers)
}

fn facts(stanza: &Stanza<'_>, files: &Files) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, (sum, config))| {
            let mut file = json!({"path": path, "isConfigFile": config});
            if !sum.is_empty() {
                file["digest"] = json!({"algorithm": "md5", "value": sum});
            }
            file
        })
        .collect();
    let (source, source_version) = stanza.source();
    let mut facts = json!({
        "package": stanza.get("Package"), "source": source, "version": stanza.get("Version"),
        "sourceVersion": source_version, "architecture": stanza.get("Architecture"),
        "maintainer": stanza.get("Maintainer"),
        "installedSize": stanza.get("Installed-Size").parse::<u64>().unwrap_or(0),
        "files": files,
    });
    for (key, field) in [
        ("provides", "Provides"),
        ("depends", "Depends"),
        ("preDepends", "Pre-Depends"),
    ] {
        if !stanza.get(field).is_empty() {
            let list: Vec<&str> = stanza.get(field).split(',').map(str::trim).collect();
            facts[key] = json!(list);
        }
    }
    facts
}

/// Bare names of a dependency field, alternatives counted one by one.
fn names(field: &str, found: &mut Found) -> Vec<String> {
    field
        .split([',', '|'])
        .filter_map(|item| item.trim().split([' ', '(', ':']).next())
        .filter(|name| !name.is_empty())
        // Once more in the facts, as a value of JSON.
        .take_while(|name| found.text(100 + name.len()))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn installed_packages_come_with_source_files_and_licences() {
        let files: &[(&str, &[u8])] = &[
            ("etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
            (
                "var/lib/dpkg/status",
                b"Package: a\nStatus: install ok installed\nSource: s (2)\nVersion: 1:1+b\nArchitecture: amd64\nDepends: c (>= 1) | d\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
            ),
            ("var/lib/dpkg/info/a:amd64.md5sums", b"d41d  usr/bin/a\n"),
            ("usr/share/doc/a/copyright", b"License: GPL-2+\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].purl,
            "pkg:deb/debian/a@1:1%2Bb?arch=amd64&distro=debian-12&upstream=s%402"
        );
        assert_eq!(found[0].owns, ["/usr/bin/a"]);
        assert_eq!(found[0].requires, ["c", "d"]);
        assert_eq!(found[0].locations.len(), 3);
        assert_eq!(
            found[0].licenses.first().unwrap().spdx(),
            "GPL-2.0-or-later"
        );
    }

    /// The error of a scan of these files.
    fn refused(files: &[(&str, &[u8])]) -> String {
        use crate::sbom::{budget::HELD_BYTES, layer};
        let tar = layer::tar_of(files);
        let scan = layer::scan(
            &tar[..],
            super::super::wanted_of_images,
            &crate::sbom::body::in_memory,
        )
        .unwrap();
        let mut view = View::new(true, HELD_BYTES);
        view.stack(scan).unwrap();
        let mut found = Found::within(1 << 20);
        super::super::packages(&view, super::super::Tree::Image, &mut found).unwrap();
        found.finish().unwrap_err().to_string()
    }

    #[test]
    fn lists_that_take_much_memory_are_refused() {
        let head = "Package: a\nStatus: install ok installed\nVersion: 1\n";
        let packages: String = (0..4_000)
            .map(|number| format!("Package: a{number}\nVersion: 1\n\n"))
            .collect();
        let depends = format!("{head}Depends: {}\n", "a,".repeat(20_000));
        let sums = "d a\n".repeat(10_000);
        let sums: String = sums
            .lines()
            .enumerate()
            .map(|(number, line)| format!("{line}{number}\n"))
            .collect();
        let licenses = "License: x\n".repeat(40_000);
        for files in [
            &[("var/lib/dpkg/status", packages.as_bytes())][..],
            &[("var/lib/dpkg/status", depends.as_bytes())],
            &[
                ("var/lib/dpkg/status", head.as_bytes()),
                ("var/lib/dpkg/info/a.md5sums", sums.as_bytes()),
            ],
            &[
                ("var/lib/dpkg/status", head.as_bytes()),
                ("usr/share/doc/a/copyright", licenses.as_bytes()),
            ],
        ] {
            let error = refused(files);
            assert!(error.contains("lists of packages are too long"), "{error}");
        }
    }
}
