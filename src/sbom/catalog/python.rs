//! Python distributions installed in the tree.

use serde_json::json;

use crate::sbom::document::{Evidence, Kind, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// Finds one package per `dist-info` or `egg-info`.
pub(super) fn find(view: &View) -> Vec<Package> {
    view.texts()
        .filter(|path| {
            let lower = path.to_ascii_lowercase();
            lower.ends_with("dist-info/metadata")
                || lower.ends_with("egg-info/pkg-info")
                || path.ends_with(".egg-info")
        })
        .filter_map(|path| one(view, path))
        .collect()
}

fn one(view: &View, path: &str) -> Option<Package> {
    let text = view.text(path)?;
    let headers: Vec<(&str, &str)> = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .collect();
    let get = |key: &str| {
        headers
            .iter()
            .rev()
            .find(|(k, _)| *k == key)
            .map_or("", |(_, v)| *v)
    };
    let (name, version) = (get("Name"), get("Version"));
    if name.is_empty() || name == "Python" {
        return None;
    }
    let normal = normal(name);
    let mut package = Package::new(
        Kind::Python,
        &normal,
        version,
        "python-installed-package-cataloger",
        "python-package",
    );
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let info = path.rsplit_once('/').map_or("", |(info, _)| info);
    let site = if path.ends_with(".egg-info") {
        info
    } else {
        info.rsplit_once('/').map_or("", |(site, _)| site)
    };
    let mut files = Vec::new();
    let record = format!("{info}/RECORD");
    if let (false, Some(record_text)) = (path.ends_with(".egg-info"), view.text(&record)) {
        package
            .locations
            .extend(view.location(&record, Evidence::Supporting));
        for line in record_text.lines() {
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
    }
    for key in ["License-Expression", "License"] {
        if !get(key).is_empty() {
            package.licenses.insert(License(get(key).to_owned()));
        }
    }
    package.purl = purl("pypi", "", &normal, version, &[]);
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
        .filter(|(k, _)| *k == "Requires-Dist")
        .map(|(_, v)| *v)
        .collect();
    if !requires.is_empty() {
        metadata["requiresDist"] = json!(requires);
    }
    package.describe(&metadata);
    package.provides.push(normal);
    // Needs behind an `extra` marker are not needs of this installation.
    package.requires = requires
        .iter()
        .filter(|r| !r.contains("extra "))
        .map(|r| bare(r))
        .collect();
    Some(package)
}

/// The normalised name at the start of a requirement.
fn bare(requirement: &str) -> String {
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(requirement.len());
    normal(&requirement[..end])
}

/// Lower case, runs of `-`, `_` and `.` as one dash (PEP 503).
fn normal(name: &str) -> String {
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
    use super::super::view_of;
    use super::*;

    #[test]
    fn names_are_normalised_and_records_resolved() {
        let found = find(&view_of(&[
            (
                "usr/lib/site/A_b.dist-info/METADATA",
                b"Name: A_.b\r\nVersion: 1\r\nLicense: MIT\r\nRequires-Dist: C.d>=1\r\nRequires-Dist: e; extra == 'x'\r\n\r\nName: no\n",
            ),
            ("usr/lib/site/A_b.dist-info/RECORD", b"../../bin/a,sha256=xx,12\n"),
        ]));
        assert_eq!(found[0].purl, "pkg:pypi/a-b@1");
        assert_eq!(found[0].owns, ["/usr/bin/a"]);
        assert_eq!(found[0].requires, ["c-d"]);
    }
}
