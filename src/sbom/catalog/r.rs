//! Packages of R that are installed: each has a `DESCRIPTION`.

use serde_json::{Map, Value, json};

use super::lock::{self, Lock};
use super::{Cataloguer, Fields, Finds, Found, Scope, stanzas};
use crate::sbom::document::{Ecosystem, License, Package};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: R,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name == "DESCRIPTION",
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, R, found, |file, text, found| {
                // Packages in source form have several; the first one is the package.
                let package = stanzas(text).next().and_then(|fields| one(file, &fields));
                package.into_iter().for_each(|package| found.push(package));
                Ok(())
            });
        },
    },
};

const R: Ecosystem = Ecosystem {
    kind: "R-package",
    language: "R",
    found_by: "r-package-cataloger",
    metadata_type: "r-description",
};

fn one(file: &Lock<'_>, fields: &Fields<'_>) -> Option<Package> {
    let get = |key: &str| fields.get(key).map_or("", String::as_str);
    let (name, version) = (get("Package"), get("Version"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let mut package = file.package(R, name, version);
    package.purl = purl("cran", "", name, version, &[]);
    package.licenses = licenses(get("License")).map(License::new).collect();
    let mut facts = Map::new();
    for (key, field) in [
        ("title", "Title"),
        ("description", "Description"),
        ("author", "Author"),
        ("maintainer", "Maintainer"),
        ("repository", "Repository"),
        ("built", "Built"),
    ] {
        if !get(field).is_empty() {
            // The lines of a description are one paragraph.
            let value = match key {
                "description" => json!(get(field).replace('\n', " ")),
                _ => json!(get(field)),
            };
            facts.insert(key.to_owned(), value);
        }
    }
    for (key, field) in [
        ("url", "URL"),
        ("imports", "Imports"),
        ("depends", "Depends"),
        ("suggests", "Suggests"),
    ] {
        let list: Vec<&str> = list(get(field)).collect();
        if !list.is_empty() {
            facts.insert(key.to_owned(), json!(list));
        }
    }
    if get("NeedsCompilation") == "yes" {
        facts.insert("needsCompilation".to_owned(), json!(true));
    }
    package.describe(&Value::Object(facts));
    Some(package)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    let items = text.split(',').map(str::trim);
    items.filter(|item| !item.is_empty())
}

/// The alternatives of a licence field, without files that add to them, and
/// `GPL (>= 2)` as `GPL-2+`.
fn licenses(field: &str) -> impl Iterator<Item = String> {
    field.split('|').filter_map(|one| {
        let one = one.split('+').next().unwrap_or(one).trim();
        let Some((name, condition)) = one.split_once('(') else {
            return (!one.is_empty() && !one.starts_with("file ")).then(|| one.to_owned());
        };
        let condition = condition.trim().trim_end_matches(')').trim();
        match condition.strip_prefix(">=") {
            Some(version) => Some(format!("{}{}+", name.trim(), version.trim())),
            None => Some(one.to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    fn licenses_of(field: &str) -> Vec<String> {
        licenses(field).collect()
    }

    #[test]
    fn an_installed_package_is_found_and_other_descriptions_are_not() {
        let files: &[(&str, &[u8])] = &[
            (
                "lib/R/MASS/DESCRIPTION",
                b"Package: MASS\nVersion: 7.3-58\nDescription: Support\n Functions\nURL: http://a,\n  http://b\n\
                  Depends: R (>= 3.3.0), stats\nLicense: GPL-2 | GPL-3\nNeedsCompilation: yes\n",
            ),
            ("a/DESCRIPTION", b"A text about something.\n"),
            ("b/DESCRIPTION", b"Package: x\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:cran/MASS@7.3-58");
        assert_eq!(found[0].licenses.len(), 2);
        let facts: Value = serde_json::from_str(found[0].metadata.as_ref().unwrap().get()).unwrap();
        assert_eq!(facts["depends"], json!(["R (>= 3.3.0)", "stats"]));
        assert_eq!(facts["url"], json!(["http://a", "http://b"]));
        assert_eq!(facts["description"], json!("Support Functions"));
        assert_eq!(facts["needsCompilation"], json!(true));
    }

    #[test]
    fn licence_fields_have_alternatives_and_files() {
        assert_eq!(licenses_of("GPL (>= 2)"), ["GPL2+"]);
        assert_eq!(licenses_of("MIT + file LICENSE"), ["MIT"]);
        assert_eq!(
            licenses_of("file LICENSE | Part of R 4.2"),
            ["Part of R 4.2"]
        );
        assert!(licenses_of("").is_empty());
    }
}
