//! Gentoo packages, from portage's folders: one for each package, whose name is in that of
//! the folder.
//!
//! Source: Package Manager Specification, "VDB" of portage.

use serde_json::json;

use super::system::System;
use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PORTAGE,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| name == "CONTENTS" && package_of(folder).is_some(),
        supports: |folder, name| matches!(name, "LICENSE" | "SIZE") && package_of(folder).is_some(),
        longest: 32 << 20,
        find,
    },
};

const PORTAGE: Ecosystem = Ecosystem {
    kind: "portage",
    language: "",
    found_by: "portage-cataloger",
    metadata_type: "portage-db-entry",
};

/// Where the folders of packages are.
const FOLDER: &str = "var/db/pkg";

/// Longest licence that is read, in bytes: expressions have some hundred.
const MAX_LICENSE: usize = 10_000;

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 500;

/// The root of the folders, category, name and version of the package whose folder is
/// `folder`.
fn package_of(folder: &str) -> Option<(&str, &str, &str, &str)> {
    let (rest, package) = folder.rsplit_once('/')?;
    let (parent, category) = rest.rsplit_once('/')?;
    let before = parent.strip_suffix(FOLDER)?;
    let known = before.is_empty() || before.ends_with('/');
    // The version begins at the last dash before a digit, apart from a revision.
    let stem = match package.rsplit_once("-r") {
        Some((stem, revision)) if revision.bytes().all(|c| c.is_ascii_digit()) => stem,
        _ => package,
    };
    let dash = stem.rfind('-').filter(|_| known)?;
    let version = &package[dash + 1..];
    let numbered = version.starts_with(|c: char| c.is_ascii_digit());
    numbered.then_some((parent, category, &package[..dash], version))
}

fn find(view: &View, path: &str, found: &mut Found) {
    let (folder, _) = split(path);
    let Some((parent, category, name, version)) = package_of(folder) else {
        return;
    };
    let system = System::of(view, parent, &[FOLDER]);
    let name = format!("{category}/{name}");
    let package = found.reading(|found| {
        let mut package = Package::new(PORTAGE, &name, version);
        package.purl = purl("ebuild", "", &name, version, &[]);
        package
            .locations
            .extend(view.location(path, Evidence::Primary));
        let mut support = |file: &str| {
            let path = format!("{folder}/{file}");
            let text = view.text(&path)?;
            let location = view.location(&path, Evidence::Supporting);
            package.locations.extend(location);
            Some(text.trim().to_owned())
        };
        let license = support("LICENSE").filter(|text| text.len() <= MAX_LICENSE);
        let size = support("SIZE").and_then(|size| size.parse::<u64>().ok());
        let license = license.unwrap_or_default();
        if !license.is_empty() {
            package.licenses.insert(License::new(expression(&license)));
        }
        let mut files = Vec::new();
        for line in view.text(path).unwrap_or_default().lines() {
            if !found.text(FILE_COST + 2 * line.len()) {
                return None;
            }
            let Some((kind, rest)) = line.split_once(' ') else {
                continue;
            };
            // A path may have blanks; its sum and time have none.
            let mut words = rest.rsplitn(3, ' ');
            let words = (words.next(), words.next(), words.next());
            if let ("obj", (Some(_), Some(sum), Some(path))) = (kind, words) {
                files.push(json!({"path": path, "digest": {"algorithm": "md5", "value": sum}}));
                package.owns.push(system.absolute(path));
            }
        }
        package.describe(&json!({
            "installedSize": size.unwrap_or(0), "licenses": license, "files": files,
        }));
        Some(package)
    });
    if let Some(package) = package.filter(|_| !found.is_full()) {
        found.push(package);
    }
}

/// The licences of portage as SPDX writes them: all of a list, or one of a group after
/// two bars.
fn expression(text: &str) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = vec![(" AND ", Vec::new())];
    let mut next = " AND ";
    for word in text.split_whitespace() {
        match word {
            "||" => next = " OR ",
            "(" => {
                groups.push((next, Vec::new()));
                next = " AND ";
            }
            ")" if groups.len() > 1 => {
                let closed = groups
                    .pop()
                    .map(|(by, words)| (words.len(), words.join(by)));
                if let (Some((count, inner)), Some((_, words))) = (closed, groups.last_mut())
                    && count > 0
                {
                    words.push(if count > 1 {
                        format!("({inner})")
                    } else {
                        inner
                    });
                }
            }
            // Conditions on how the package was built.
            word if word.ends_with('?') || word == ")" => {}
            word => {
                if let Some((_, words)) = groups.last_mut() {
                    words.push(word.to_owned());
                }
            }
        }
    }
    let whole = groups.swap_remove(0);
    match &whole.1[..] {
        [only] => {
            let inner = only
                .strip_prefix('(')
                .and_then(|only| only.strip_suffix(')'));
            inner.unwrap_or(only).to_owned()
        }
        words => words.join(whole.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn a_folder_is_a_package() {
        let files: &[(&str, &[u8])] = &[
            ("etc/os-release", b"ID=gentoo\n"),
            (
                "var/db/pkg/app-misc/foo-bar-1.2-r1/CONTENTS",
                b"dir /usr/bin\nobj /usr/bin/a b d41d 1650000000\nsym /usr/bin/f -> foo 1650000000\n",
            ),
            ("var/db/pkg/app-misc/foo-bar-1.2-r1/LICENSE", b"GPL-2 || ( MIT BSD )\n"),
            ("var/db/pkg/app-misc/foo-bar-1.2-r1/SIZE", b"777\n"),
            ("var/db/pkg/app-misc/none/CONTENTS", b""),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].version.as_str()),
            ("app-misc/foo-bar", "1.2-r1")
        );
        assert_eq!(found[0].purl, "pkg:ebuild/app-misc%2Ffoo-bar@1.2-r1");
        assert_eq!(found[0].owns, ["/usr/bin/a b"]);
        assert_eq!(
            found[0].licenses.first().unwrap().value,
            "GPL-2 AND (MIT OR BSD)"
        );
        assert_eq!(found[0].locations.len(), 3);
        let facts = found[0].metadata.as_ref().unwrap().get();
        assert!(facts.contains(r#""installedSize":777"#), "{facts}");
    }

    #[test]
    fn groups_of_licences_end() {
        assert_eq!(expression("|| ( A B )"), "A OR B");
        assert_eq!(expression("x? ( A ) B"), "A AND B");
        assert_eq!(expression(") ) ("), "");
        assert_eq!(expression(&"( ".repeat(5000)), "");
    }
}
