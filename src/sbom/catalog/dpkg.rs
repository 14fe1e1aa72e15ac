//! Debian packages, from dpkg's status database.

use serde_json::json;

use super::stanzas;
use crate::sbom::document::{Evidence, Kind, License, Package};
use crate::sbom::purl::{distro_of, purl};
use crate::sbom::squash::View;

/// Finds all packages of all status files.
#[expect(clippy::too_many_lines, reason = "to be shortened")]
pub(super) fn find(view: &View) -> Vec<Package> {
    let distro = view.distro();
    let (id, word) = distro_of(&distro);
    let debian = id == "debian"
        || distro["idLike"]
            .as_array()
            .is_some_and(|ids| ids.iter().any(|id| id == "debian"));
    let mut found = Vec::new();
    for path in view.texts() {
        let (parent, base) = path.rsplit_once('/').unwrap_or(("", path));
        let single = parent.ends_with("lib/dpkg/status.d");
        if !(single || (parent.ends_with("lib/dpkg") && base == "status"))
            || base.ends_with(".md5sums")
        {
            continue;
        }
        let Some(text) = view.text(path) else {
            continue;
        };
        let info = if single {
            parent.to_owned()
        } else {
            format!("{parent}/info")
        };
        for stanza in stanzas(&text) {
            let get = |key: &str| stanza.get(key).map_or("", String::as_str);
            let name = get("Package");
            if name.is_empty() || get("Status").contains("deinstall") {
                continue;
            }
            let (version, arch) = (get("Version"), get("Architecture"));
            let (source, source_version) = match get("Source").split_once(" (") {
                Some((source, version)) => (source, version.trim_end_matches(')')),
                None => (get("Source"), ""),
            };
            let mut package = Package::new(
                Kind::Deb,
                name,
                version,
                "dpkg-db-cataloger",
                "dpkg-db-entry",
            );
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            let mut files = std::collections::BTreeMap::new();
            for (suffix, config) in [("md5sums", false), ("conffiles", true)] {
                let file = [
                    format!("{info}/{name}:{arch}.{suffix}"),
                    format!("{info}/{name}.{suffix}"),
                ]
                .into_iter()
                .find(|path| view.bytes(path).is_some());
                let Some(file) = file else { continue };
                package
                    .locations
                    .extend(view.location(&file, Evidence::Supporting));
                for line in view.text(&file).unwrap_or_default().lines() {
                    if config {
                        files.insert(line.trim().to_owned(), (String::new(), true));
                    } else if let Some((sum, path)) = line.split_once(char::is_whitespace) {
                        let path = format!("/{}", path.trim().trim_start_matches("./"));
                        files.insert(path, (sum.to_owned(), false));
                    }
                }
            }
            for line in get("Conffiles").lines() {
                let mut words = line.split_whitespace();
                if let (Some(path), Some(sum)) = (words.next(), words.next()) {
                    files.insert(path.to_owned(), (sum.to_owned(), true));
                }
            }
            package.owns = files.keys().cloned().collect();
            let copyright = format!("usr/share/doc/{name}/copyright");
            if let Some(text) = view.text(&copyright) {
                package
                    .locations
                    .extend(view.location(&copyright, Evidence::Supporting));
                for line in text.lines() {
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
            if debian {
                let upstream = if source_version.is_empty() {
                    source.to_owned()
                } else {
                    format!("{source}@{source_version}")
                };
                let qualifiers = [("arch", arch), ("distro", &word), ("upstream", &upstream)];
                package.purl = purl("deb", &id, name, version, &qualifiers);
            }
            package.provides = names(get("Provides"));
            package.provides.push(name.to_owned());
            package.requires = names(get("Depends"));
            package.requires.extend(names(get("Pre-Depends")));
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
            let mut metadata = json!({
                "package": name, "source": source, "version": version,
                "sourceVersion": source_version, "architecture": arch,
                "maintainer": get("Maintainer"),
                "installedSize": get("Installed-Size").parse::<u64>().unwrap_or(0),
                "files": files,
            });
            for (key, field) in [
                ("provides", "Provides"),
                ("depends", "Depends"),
                ("preDepends", "Pre-Depends"),
            ] {
                if !get(field).is_empty() {
                    let list: Vec<&str> = get(field).split(',').map(str::trim).collect();
                    metadata[key] = json!(list);
                }
            }
            package.describe(&metadata);
            found.push(package);
        }
    }
    found
}

/// Bare names of a dependency field, alternatives counted one by one.
fn names(field: &str) -> Vec<String> {
    field
        .split([',', '|'])
        .filter_map(|item| item.trim().split([' ', '(', ':']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::view_of;
    use super::*;

    #[test]
    fn installed_packages_come_with_source_files_and_licences() {
        let view = view_of(&[
            ("etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
            (
                "var/lib/dpkg/status",
                b"Package: a\nStatus: install ok installed\nSource: s (2)\nVersion: 1:1+b\nArchitecture: amd64\nDepends: c (>= 1) | d\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
            ),
            ("var/lib/dpkg/info/a:amd64.md5sums", b"d41d  usr/bin/a\n"),
            ("usr/share/doc/a/copyright", b"License: GPL-2+\n"),
        ]);
        let found = find(&view);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].purl,
            "pkg:deb/debian/a@1:1%2Bb?arch=amd64&distro=debian-12&upstream=s%402"
        );
        assert_eq!(found[0].owns, ["/usr/bin/a"]);
        assert_eq!(found[0].requires, ["c", "d"]);
        assert_eq!(found[0].locations.len(), 3);
        assert_eq!(found[0].licenses.first().unwrap().spdx(), "GPL-2.0+");
    }
}
