//! Debian packages, from dpkg's status database.

mod copyright;
mod file;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::system::System;
use super::{Cataloguer, Fields, Finds, Found, Scope, split, stanzas};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::license_text;
use crate::sbom::purl::{distro_of, purl};
use crate::sbom::squash::View;

pub(super) use file::FILES;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: DPKG,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            (name == "status" && (folder.ends_with("lib/dpkg") || folder.ends_with("lib/opkg")))
                || (is_single(folder) && !name.ends_with(".md5sums"))
                || (name.ends_with(".control") && folder.ends_with("lib/opkg/info"))
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

/// Where databases are, from the root of the system.
const FOLDERS: [&str; 5] = [
    "var/lib/dpkg",
    "var/lib/dpkg/status.d",
    "usr/lib/opkg",
    "var/lib/opkg",
    "usr/lib/opkg/info",
];

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

    /// The source package as package URLs name it.
    fn upstream(&self) -> String {
        match self.source() {
            (source, "") => source.to_owned(),
            (source, version) => format!("{source}@{version}"),
        }
    }

    /// A package with what its fields say.
    fn package(&self, found: &mut Found) -> Package {
        let name = self.get("Package");
        let mut package = Package::new(DPKG, name, self.get("Version"));
        package.provides = names(self.get("Provides"), found);
        package.provides.push(name.to_owned());
        package.requires = names(self.get("Depends"), found);
        let earlier = names(self.get("Pre-Depends"), found);
        package.requires.extend(earlier);
        package
    }
}

/// Files of a package by path: MD5 sum, if known, and whether it is configuration.
type Files = BTreeMap<String, (String, bool)>;

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 400;

/// Finds all packages of one status file.
fn find(view: &View, path: &str, found: &mut Found) {
    let (folder, _) = split(path);
    let system = System::of(view, folder, &FOLDERS);
    let info = match is_single(folder) || folder.ends_with("/info") {
        true => folder.to_owned(),
        false => format!("{folder}/info"),
    };
    let text = view.text(path).unwrap_or_default();
    for stanza in stanzas(&text).map(Stanza) {
        let name = stanza.get("Package");
        if name.is_empty() || stanza.get("Status").contains("deinstall") {
            continue;
        }
        let package = found.reading(|found| one(&system, (path, &info), &stanza, found));
        if found.is_full() {
            return;
        }
        found.push(package);
    }
}

/// One package of the list at `path`, whose files are listed in the folder `info`.
fn one(
    system: &System<'_>,
    (path, info): (&str, &str),
    stanza: &Stanza<'_>,
    found: &mut Found,
) -> Package {
    let view = system.view;
    let name = stanza.get("Package");
    let mut package = stanza.package(found);
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let files = files(view, info, stanza, &mut package, found);
    package.owns = files.keys().map(|path| system.absolute(path)).collect();
    for name in package.provides.iter_mut().chain(&mut package.requires) {
        *name = system.name(name);
    }
    let copyright = system.path(&format!("usr/share/doc/{name}/copyright"));
    if let Some(text) = view.text(&copyright) {
        let location = view.location(&copyright, Evidence::Supporting);
        package.locations.extend(location.clone());
        copyright::take(&text, &mut package, found);
        // What names none may have the text of one.
        if let Some(at) = location.filter(|_| package.licenses.is_empty()) {
            let bytes = view.bytes(&copyright).unwrap_or_default();
            let ids = license_text::recognize(&bytes);
            let licenses = ids.lines().map(|id| License::concluded(id, at.clone()));
            package.licenses.extend(licenses);
        }
    }
    if !stanza.get("License").is_empty() && found.text(stanza.get("License").len()) {
        let license = stanza.get("License").to_owned();
        package.licenses.insert(License::new(license));
    }
    package.purl = package_url(stanza, &system.distro);
    if !found.is_full() {
        package.describe(&facts(stanza, &files));
    }
    package
}

/// The files of a package, by its lists in the folder `info`. Notes everything that
/// the folder has about the package as locations.
fn files(
    view: &View,
    info: &str,
    stanza: &Stanza<'_>,
    package: &mut Package,
    found: &mut Found,
) -> Files {
    let (name, arch) = (stanza.get("Package"), stanza.get("Architecture"));
    let mut files = Files::new();
    let start = format!("{name}.");
    // `python3` has no part in the lists of `python3.11`.
    let own = view
        .names(info, &start)
        .filter(|file| !file[start.len()..].contains('.'));
    for file in own {
        if !found.text(TEXT_COST + 2 * (info.len() + file.len())) {
            return files;
        }
        let read = [".md5sums", ".conffiles"]
            .iter()
            .any(|end| file.ends_with(end));
        let evidence = if read {
            Evidence::Supporting
        } else {
            Evidence::Beside
        };
        let location = view.location(&format!("{info}/{file}"), evidence);
        package.locations.extend(location);
    }
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
            if config {
                if !found.text(FILE_COST + line.len()) {
                    return files;
                }
                files.insert(line.trim().to_owned(), (String::new(), true));
            } else if sums(line, &mut files, found).is_none() {
                return files;
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

/// What a location takes in addition to its paths, in bytes.
const TEXT_COST: usize = 200;

/// Takes a line of a list of MD5 sums; `None`: there is no room.
fn sums(line: &str, files: &mut Files, found: &mut Found) -> Option<()> {
    if !found.text(FILE_COST + line.len()) {
        return None;
    }
    if let Some((sum, path)) = line.split_once(char::is_whitespace) {
        let path = format!("/{}", path.trim().trim_start_matches("./"));
        files.insert(path, (sum.to_owned(), false));
    }
    Some(())
}

/// The package URL; empty for distributions that are not known to be Debian's.
fn package_url(stanza: &Stanza<'_>, distro: &Value) -> String {
    let (id, word) = distro_of(distro);
    let like = distro["idLike"].as_array().into_iter().flatten();
    if id != "debian" && !like.into_iter().any(|id| id == "debian") {
        return String::new();
    }
    let upstream = stanza.upstream();
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
            ("var/lib/dpkg/info/a.list", b"/\n"),
            ("var/lib/dpkg/info/a.b.list", b"/\n"),
            ("etc/debian_version", b"12.11\n"),
            (
                "usr/share/doc/a/copyright",
                b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: GPL-2+\nLicense: none\n",
            ),
            ("usr/share/doc/b/copyright", b"License: GPL-2+\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].purl,
            "pkg:deb/debian/a@1:1%2Bb?arch=amd64&distro=debian-12.11&upstream=s%402"
        );
        assert_eq!(found[0].owns, ["/usr/bin/a"]);
        assert_eq!(found[0].requires, ["c", "d"]);
        assert_eq!(found[0].locations.len(), 4);
        assert_eq!(found[0].licenses.len(), 1);
        assert_eq!(found[0].licenses.first().unwrap().value, "GPL-2+");
    }

    #[test]
    fn a_root_inside_a_component_is_a_system_of_its_own() {
        let files: &[(&str, &[u8])] = &[
            ("files/0/etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
            ("files/0/etc/debian_version", b"trixie/sid\n"),
            (
                "files/0/var/lib/dpkg/status",
                b"Package: a\nStatus: install ok installed\nVersion: 1\nConffiles:\n /etc/a d41d\n",
            ),
            (
                "files/0/usr/share/doc/a/copyright",
                b"see /usr/share/common-licenses/GPL-3.\nLicense: x\n",
            ),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found[0].purl, "pkg:deb/debian/a@1?distro=debian-12");
        assert_eq!(found[0].owns, ["/files/0/etc/a"]);
        let licenses: Vec<_> = found[0]
            .licenses
            .iter()
            .map(|own| own.value.as_str())
            .collect();
        assert!(licenses[0].starts_with("sha256:"), "{licenses:?}");
        assert!(found[0].licenses.first().unwrap().concluded);
        let facts = found[0].metadata.as_ref().unwrap().get();
        assert!(facts.contains(r#""path":"/etc/a""#), "{facts}");
    }

    #[test]
    fn opkg_has_a_database_like_it() {
        let files: &[(&str, &[u8])] = &[
            ("usr/lib/opkg/status", b"Package: a\nVersion: 1\n"),
            (
                "usr/lib/opkg/info/b.control",
                b"Package: b\nVersion: 2\nLicense: MIT\n",
            ),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].licenses.first().unwrap().value, "MIT");
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
        let licenses = format!(
            "Format: copyright-format\n{}",
            "License: x\n".repeat(40_000)
        );
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
