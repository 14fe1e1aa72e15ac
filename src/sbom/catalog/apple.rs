//! Packages of Swift and Objective-C that a project locks: `Package.resolved` of Swift's
//! package manager, and `Podfile.lock` of CocoaPods.

use serde_json::json;

use super::data::{self, Reason};
use super::lock::{self, Lock, items, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::{purl, with_subpath};

pub(super) const SWIFT: Cataloguer = Cataloguer {
    ecosystem: RESOLVED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| matches!(name, "Package.resolved" | ".package.resolved"),
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, RESOLVED, found, resolved),
    },
};

pub(super) const PODS: Cataloguer = Cataloguer {
    ecosystem: POD,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "Podfile.lock",
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, POD, found, pods),
    },
};

const RESOLVED: Ecosystem = Ecosystem {
    kind: "swift",
    language: "swift",
    found_by: "swift-package-manager-cataloger",
    metadata_type: "swift-package-manager-lock-entry",
};

const POD: Ecosystem = Ecosystem {
    kind: "pod",
    language: "swift",
    found_by: "cocoapods-cataloger",
    metadata_type: "cocoa-podfile-lock-entry",
};

fn resolved(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    // Version 1 of the format has the pins inside, with other names.
    for pin in items(&json, "pins")
        .iter()
        .chain(items(&json["object"], "pins"))
    {
        let pick = |first, second| match text(pin, first) {
            "" => text(pin, second),
            value => value,
        };
        let (name, url) = (
            pick("identity", "package"),
            pick("location", "repositoryURL"),
        );
        let state = &pin["state"];
        // A branch is no version.
        let version = text(state, "version");
        let mut package = file.package(RESOLVED, name, version);
        package.purl = purl("swift", &place(url), name, version, &[]);
        package.describe(&json!({"revision": text(state, "revision")}));
        found.push(package);
    }
    Ok(())
}

/// The host and the folders of a repository, without its own name, from a URL or a form
/// such as `git@host:folder/name`.
fn place(url: &str) -> String {
    let place = match url.split_once("://") {
        Some((_, place)) => place.to_owned(),
        None => url.replacen(':', "/", 1),
    };
    let (place, _) = place.rsplit_once('/').unwrap_or((&place, ""));
    place
        .rsplit_once('@')
        .map_or(place, |(_, host)| host)
        .to_owned()
}

fn pods(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    for entry in items(&yaml, "PODS") {
        // A pod with dependencies is a mapping to their list.
        let keys = entry.as_object().into_iter().flatten();
        let mut keys = keys.map(|(key, needs)| (key.as_str(), Some(needs)));
        let Some((pod, needs)) = keys.next().or(entry.as_str().map(|pod| (pod, None))) else {
            continue;
        };
        let (name, version) = split(pod);
        let (root, part) = name.split_once('/').unwrap_or((name, ""));
        let mut package = file.package(POD, name, version);
        package.purl = with_subpath(purl("cocoapods", "", root, version, &[]), part);
        package.describe(&json!({"checksum": text(&yaml["SPEC CHECKSUMS"], root)}));
        package.provides.push(file.key(name));
        let needs = needs
            .and_then(|needs| needs.as_array())
            .into_iter()
            .flatten();
        let needs = needs.filter_map(|need| Some(split(need.as_str()?).0));
        package.requires = file.keys(needs, found);
        found.push(package);
    }
    Ok(())
}

/// Splits `Name (1.0)`; the version may be missing.
fn split(pod: &str) -> (&str, &str) {
    let (name, version) = pod.split_once(" (").unwrap_or((pod, ""));
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    let version = if is_version { version } else { "" };
    (name.trim(), version.trim_end_matches(')'))
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn pins_of_all_formats_are_found() {
        let files: &[(&str, &[u8])] = &[
            (
                "a/Package.resolved",
                br#"{"object": {"pins": [{"package": "Alg", "repositoryURL": "https://github.com/apple/alg.git",
                    "state": {"branch": null, "revision": "b1", "version": "1.0.0"}}]}, "version": 1}"#,
            ),
            (
                "b/Package.resolved",
                br#"{"pins": [{"identity": "num", "location": "git@github.com:apple/num.git", "state": {"revision": "0a", "branch": "main"}}], "version": 3}"#,
            ),
        ];
        let found = find_in(&SWIFT, files);
        assert_eq!(found[0].purl, "pkg:swift/github.com/apple/Alg@1.0.0");
        assert_eq!(found[1].purl, "pkg:swift/github.com/apple/num");
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"revision":"0a"}"#
        );
        assert_eq!(
            findings(&SWIFT, &[("Package.resolved", b"{")])
                .unknowns
                .len(),
            1
        );
    }

    #[test]
    fn pods_need_each_other() {
        let text = b"PODS:\n  - A (1.10):\n    - B/Core (~> 1.2)\n  - B/Core (1.2)\n  - \"C/D+e (2.0)\"\n  - D (from `x`)\n\
            SPEC CHECKSUMS:\n  A: aa\n  B: bb\n";
        let found = find_in(&PODS, &[("ios/Podfile.lock", text)]);
        let purls: Vec<_> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:cocoapods/A@1.10",
                "pkg:cocoapods/B@1.2#Core",
                "pkg:cocoapods/C@2.0#D%2Be",
                "pkg:cocoapods/D"
            ]
        );
        assert_eq!(found[0].requires, found[1].provides);
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"checksum":"bb"}"#
        );
    }
}
