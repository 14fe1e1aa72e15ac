//! Python distributions installed in the tree.

use serde_json::{Value, json};

use super::{Cataloguer, Finds, Found, Scope, data};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::license_text;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PYTHON,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| match name {
            "METADATA" => is_info(folder, "dist-info"),
            "PKG-INFO" => is_info(folder, "egg-info"),
            name => name.ends_with(".egg-info"),
        },
        supports: |folder, name| {
            let known = matches!(
                name,
                "RECORD" | "installed-files.txt" | "top_level.txt" | "direct_url.json"
            );
            known && (is_info(folder, "dist-info") || is_info(folder, "egg-info"))
        },
        longest: 16 << 20,
        find: |view, path, found: &mut Found| {
            let package = found.reading(|found| one(view, path, found));
            if let Some(package) = package {
                found.push(package);
            }
        },
    },
};

const PYTHON: Ecosystem = Ecosystem {
    kind: "python",
    language: "python",
    found_by: "python-installed-package-cataloger",
    metadata_type: "python-package",
};

fn is_info(folder: &str, suffix: &str) -> bool {
    folder.to_ascii_lowercase().ends_with(suffix)
}

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 600;

/// Maximum number of headers of one description: a distribution has about a hundred.
const MAX_HEADERS: usize = 20_000;

/// The licences whose text is the value of `License`; empty if it is a name, or unknown.
fn stated_licenses(text: &str) -> Vec<License> {
    let mut headers = text.lines().take_while(|line| !line.is_empty());
    let is_key = |line: &&str| {
        let key = line.split_once(':').map(|(key, _)| key);
        key.is_some_and(|key| key.eq_ignore_ascii_case("License"))
    };
    if headers.find(is_key).is_none() {
        return Vec::new();
    }
    let rest = headers.take_while(|line| line.starts_with([' ', '\t']));
    let rest: Vec<&str> = rest.collect();
    let ids = license_text::recognize(rest.join("\n").as_bytes());
    let ids = ids.lines().filter(|id| !id.contains(':'));
    ids.map(License::new).collect()
}

fn one(view: &View, path: &str, found: &mut Found) -> Option<Package> {
    let text = view.text(path)?;
    let headers: Vec<(&str, &str)> = text
        .lines()
        // A line of blanks goes on with the value above, such as the text of a licence.
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .take(MAX_HEADERS)
        .collect();
    let get = |key: &str| {
        headers
            .iter()
            .rev()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map_or("", |(_, v)| *v)
    };
    let (name, version) = (get("Name"), get("Version"));
    if name.is_empty() || name == "Python" {
        return None;
    }
    let normal = normal(name);
    let mut package = Package::new(PYTHON, &normal, version);
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let info = path.rsplit_once('/').map_or("", |(info, _)| info);
    let (site, files) = if path.ends_with(".egg-info") {
        (info, Vec::new())
    } else {
        let site = info.rsplit_once('/').map_or("", |(site, _)| site);
        (site, recorded(view, info, site, &mut package, found))
    };
    if !get("License-Expression").is_empty() {
        let expression = get("License-Expression").to_owned();
        package.licenses.insert(License::new(expression));
    }
    let stated = stated_licenses(&text);
    if stated.is_empty() && !get("License").is_empty() {
        package
            .licenses
            .insert(License::new(get("License").to_owned()));
    }
    package.licenses.extend(stated);
    let mut metadata = json!({
        "name": name, "version": version, "author": get("Author"),
        "authorEmail": get("Author-email"), "platform": get("Platform"),
        "sitePackagesRootPath": format!("/{site}"),
    });
    if !files.is_empty() {
        metadata["files"] = json!(files);
    }
    if !get("Requires-Python").is_empty() {
        metadata["requiresPython"] = json!(get("Requires-Python"));
    }
    let requires: Vec<&str> = headers
        .iter()
        .filter(|(k, _)| k.eq_ignore_ascii_case("Requires-Dist"))
        .map(|(_, v)| *v)
        .collect();
    if !requires.is_empty() {
        metadata["requiresDist"] = json!(requires);
    }
    let extras = headers
        .iter()
        .filter(|(k, _)| k.eq_ignore_ascii_case("Provides-Extra"));
    let extras: Vec<&str> = extras.map(|(_, v)| *v).collect();
    if !extras.is_empty() {
        metadata["providesExtra"] = json!(extras);
    }
    let mut origin = String::new();
    if !path.ends_with(".egg-info") {
        let modules = top_level(view, info, &mut package);
        if !modules.is_empty() {
            metadata["topLevelPackages"] = json!(modules);
        }
        if let Some(url) = direct_url(view, info, &mut package) {
            if let (Some(vcs), Some(commit)) = (url["vcs"].as_str(), url["commitId"].as_str()) {
                let url = url["url"].as_str().unwrap_or_default();
                origin = format!("{vcs}+{url}@{commit}");
            }
            metadata["directUrlOrigin"] = url;
        }
    }
    package.purl = purl("pypi", "", &normal, version, &[("vcs_url", &origin)]);
    package.describe(&metadata);
    package.provides.push(normal);
    // Requirements with an `extra` marker do not apply to this installation.
    package.requires = requires
        .iter()
        .filter(|r| !r.contains("extra "))
        .map(|r| bare(r))
        .collect();
    Some(package)
}

/// The text of the file called `name` in the folder `info`. Notes it as evidence.
fn beside(view: &View, info: &str, name: &str, package: &mut Package) -> Option<String> {
    let path = format!("{info}/{name}");
    let text = view.text(&path)?;
    package
        .locations
        .extend(view.location(&path, Evidence::Supporting));
    Some(text)
}

/// Maximum number of modules that one distribution lists.
const MAX_MODULES: usize = 10_000;

/// The modules that `top_level.txt` lists.
fn top_level(view: &View, info: &str, package: &mut Package) -> Vec<String> {
    let text = beside(view, info, "top_level.txt", package).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(MAX_MODULES).map(str::to_owned).collect()
}

/// Where a distribution came from that is not from an index. Source: packaging.python.org,
/// "Recording the Direct URL Origin of installed distributions".
fn direct_url(view: &View, info: &str, package: &mut Package) -> Option<Value> {
    let text = beside(view, info, "direct_url.json", package)?;
    let json = data::json(&text).ok()?;
    let mut origin = json!({"url": json["url"].as_str()?});
    for (key, from) in [("commitId", "commit_id"), ("vcs", "vcs")] {
        if let Some(text) = json["vcs_info"][from].as_str() {
            origin[key] = json!(text);
        }
    }
    Some(origin)
}

/// The files of a distribution that an old tool installed, which lists them relative to
/// its own folder.
fn installed(
    view: &View,
    info: &str,
    site: &str,
    package: &mut Package,
    found: &mut Found,
) -> Vec<Value> {
    let text = beside(view, info, "installed-files.txt", package).unwrap_or_default();
    let own = info.rsplit('/').next().unwrap_or(info);
    let mut files = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !found.text(FILE_COST + 2 * (info.len() + line.len())) {
            break;
        }
        let file = match line.strip_prefix("../") {
            Some(file) => file.to_owned(),
            None => format!("{own}/{line}"),
        };
        let full = format!("{site}/{file}");
        package
            .owns
            .extend(view.resolve(&full).map(|real| format!("/{real}")));
        files.push(json!({"path": file}));
    }
    files
}

/// The files that RECORD lists. Notes them in `package`, too.
fn recorded(
    view: &View,
    info: &str,
    site: &str,
    package: &mut Package,
    found: &mut Found,
) -> Vec<Value> {
    let Some(text) = beside(view, info, "RECORD", package) else {
        return installed(view, info, site, package, found);
    };
    let mut files = Vec::new();
    for line in text.lines() {
        if !found.text(FILE_COST + 2 * (site.len() + line.len())) {
            break;
        }
        let mut fields = line.rsplitn(3, ',');
        let (size, sum) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let Some(file) = fields.next().map(|file| file.trim_matches('"')) else {
            continue;
        };
        let mut entry = json!({"path": file});
        if let Some((algorithm, value)) = sum.split_once('=') {
            entry["digest"] = json!({"algorithm": algorithm, "value": value});
        }
        if !size.is_empty() {
            entry["size"] = json!(size);
        }
        files.push(entry);
        let full = if file.starts_with('/') {
            file.to_owned()
        } else {
            format!("{site}/{file}")
        };
        package
            .owns
            .extend(view.resolve(&full).map(|real| format!("/{real}")));
    }
    files
}

/// The normalised name at the start of a requirement.
fn bare(requirement: &str) -> String {
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(requirement.len());
    normal(&requirement[..end])
}

/// Lower case, runs of `-`, `_` and `.` as one dash (PEP 503).
pub(super) fn normal(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if !"-_.".contains(c) {
            text.push(c.to_ascii_lowercase());
        } else if !text.ends_with('-') {
            text.push('-');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn names_are_normalised_and_records_resolved() {
        let files: &[(&str, &[u8])] = &[
            (
                "usr/lib/site/A_b.dist-info/METADATA",
                b"Name: A_.b\r\nVersion: 1\r\nLicense: MIT\r\n        \r\n        text\r\nRequires-Dist: C.d>=1\r\nRequires-Dist: e; extra == 'x'\r\n\r\nName: no\n",
            ),
            ("usr/lib/site/A_b.dist-info/RECORD", b"../../bin/a,sha256=xx,12\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found[0].purl, "pkg:pypi/a-b@1");
        assert_eq!(found[0].owns, ["/usr/bin/a"]);
        assert_eq!(found[0].requires, ["c-d"]);
    }

    #[test]
    fn a_licence_that_is_written_as_a_text_is_known_by_it() {
        let text = "Name: a\nVersion: 1\nLicense: The Licence of A\n        \n        Permission to \
            use, copy, modify, and/or distribute this software for any purpose\n        with or \
            without fee is hereby granted, provided that the above copyright notice appear \
            in all copies.\nSummary: Permission is hereby granted, free of charge\n";
        let other = b"Name: b\nVersion: 1\nLicense: Own\n        All rights reserved\n";
        let files: &[(&str, &[u8])] = &[
            ("s/a-1.dist-info/METADATA", text.as_bytes()),
            ("s/b-1.dist-info/METADATA", other),
        ];
        let found = find_in(&CATALOGUER, files);
        let values = |at: usize| -> Vec<&str> {
            let licenses = found[at].licenses.iter();
            licenses.map(|one| one.value.as_str()).collect()
        };
        assert_eq!((values(0), values(1)), (vec!["ISC"], vec!["Own"]));
    }

    #[test]
    fn the_files_beside_the_description_are_read() {
        let files: &[(&str, &[u8])] = &[
            (
                "s/a-1.dist-info/METADATA",
                b"Name: a\nVersion: 1\nAuthor-Email: e\nProvides-Extra: x\nProvides-Extra: y\n",
            ),
            ("s/a-1.dist-info/top_level.txt", b"a\n_a\n\n"),
            (
                "s/a-1.dist-info/direct_url.json",
                br#"{"url":"https://x/y","vcs_info":{"vcs":"git","commit_id":"12"}}"#,
            ),
            ("s/b-1.egg-info/PKG-INFO", b"Name: b\nVersion: 1\n"),
            (
                "s/b-1.egg-info/installed-files.txt",
                b"../b/x,y.py\nPKG-INFO\n",
            ),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(
            found[0].purl,
            "pkg:pypi/a@1?vcs_url=git%2Bhttps:%2F%2Fx%2Fy%4012"
        );
        assert_eq!(found[0].locations.len(), 3);
        let facts = |at: usize| -> Value {
            serde_json::from_str(found[at].metadata.as_ref().unwrap().get()).unwrap()
        };
        assert_eq!(facts(0)["topLevelPackages"], json!(["a", "_a"]));
        assert_eq!(facts(0)["authorEmail"], "e");
        assert_eq!(facts(0)["providesExtra"], json!(["x", "y"]));
        let origin = json!({"url": "https://x/y", "vcs": "git", "commitId": "12"});
        assert_eq!(facts(0)["directUrlOrigin"], origin);
        let list = json!([{"path": "b/x,y.py"}, {"path": "b-1.egg-info/PKG-INFO"}]);
        assert_eq!(facts(1)["files"], list);
        assert!(
            found[1]
                .owns
                .contains(&"/s/b-1.egg-info/PKG-INFO".to_owned())
        );
    }
}
