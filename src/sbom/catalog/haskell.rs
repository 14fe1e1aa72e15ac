//! Packages of Haskell that a project declares: `stack.yaml`, `stack.yaml.lock` and
//! `cabal.project.freeze`.

use serde_json::json;

use super::data::{self, Reason};
use super::lock::{self, Lock, items, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: STACK_LOCK,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| {
            matches!(
                name,
                "stack.yaml" | "stack.yaml.lock" | "cabal.project.freeze"
            )
        },
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(
                view,
                path,
                STACK_LOCK,
                found,
                |file, text, found| match file.name() {
                    "stack.yaml" => stack(file, text, found),
                    "stack.yaml.lock" => stack_lock(file, text, found),
                    _ => {
                        frozen(file, text, found);
                        Ok(())
                    }
                },
            );
        },
    },
};

const STACK_LOCK: Ecosystem = Ecosystem {
    kind: "hackage",
    language: "haskell",
    found_by: "haskell-cataloger",
    metadata_type: "haskell-hackage-stack-lock-entry",
};

const STACK: Ecosystem = Ecosystem {
    metadata_type: "haskell-hackage-stack-entry",
    ..STACK_LOCK
};

/// `extra-deps` of a `stack.yaml`; those that are folders or repositories have no version.
fn stack(file: &Lock<'_>, text: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(text)?;
    for entry in texts(&yaml, "extra-deps") {
        if let Some((name, version, hash)) = reference(entry) {
            one(file, STACK, (name, version), &[("pkgHash", hash)], found);
        }
    }
    Ok(())
}

fn stack_lock(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    let snapshots = items(&yaml, "snapshots").iter();
    let snapshot = snapshots
        .map(|entry| text(&entry["completed"], "url"))
        .next_back();
    for entry in items(&yaml, "packages") {
        if let Some((name, version, hash)) = reference(text(&entry["completed"], "hackage")) {
            let facts = [
                ("pkgHash", hash),
                ("snapshotURL", snapshot.unwrap_or_default()),
            ];
            one(file, STACK_LOCK, (name, version), &facts, found);
        }
    }
    Ok(())
}

/// Splits `name-1.2.3@sha256:hash,length`; the hash may be missing.
fn reference(entry: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = entry.split_once('@').unwrap_or((entry, ""));
    let (name, version) = package.rsplit_once('-')?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    let hash = rest.strip_prefix("sha256:").unwrap_or("");
    let hash = hash.split(',').next().unwrap_or(hash);
    (is_version && !name.is_empty() && !name.contains('/')).then_some((name, version, hash))
}

/// Lines such as `constraints: any.base ==4.17.0.0,`.
fn frozen(file: &Lock<'_>, text: &str, found: &mut Found) {
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("any.") else {
            continue;
        };
        let Some((name, version)) = rest.split_once("==") else {
            continue;
        };
        let version = version.trim().trim_end_matches(',').trim();
        one(file, STACK_LOCK, (name.trim(), version), &[], found);
    }
}

fn one(
    file: &Lock<'_>,
    ecosystem: Ecosystem,
    (name, version): (&str, &str),
    facts: &[(&str, &str)],
    found: &mut Found,
) {
    let mut package = file.package(ecosystem, name, version);
    package.purl = purl("hackage", "", name, version, &[]);
    if !facts.is_empty() {
        let mut known = json!({});
        for (key, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            known[*key] = json!(value);
        }
        package.describe(&known);
    }
    found.push(package);
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn all_three_files_are_read() {
        let files: &[(&str, &[u8])] = &[
            ("a/stack.yaml", b"extra-deps:\n- ShellCheck-0.8.0@sha256:35,3297\n- ./local-1\n- git: x\n- a-b-1.0\n"),
            (
                "b/stack.yaml.lock",
                b"packages:\n- completed:\n    hackage: HTTP-4000.3.16@sha256:6b,5947\n  original:\n    hackage: x\n\
                  snapshots:\n- completed:\n    url: https://x/7.yaml\n  original: lts-7\n",
            ),
            ("c/cabal.project.freeze", b"constraints: any.base ==4.17,\n             any.text ==2.0,\n             text +simd\n"),
        ];
        let mut found = find_in(&CATALOGUER, files);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let purls: Vec<_> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:hackage/HTTP@4000.3.16",
                "pkg:hackage/ShellCheck@0.8.0",
                "pkg:hackage/a-b@1.0",
                "pkg:hackage/base@4.17",
                "pkg:hackage/text@2.0"
            ]
        );
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"pkgHash":"6b","snapshotURL":"https://x/7.yaml"}"#
        );
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"pkgHash":"35"}"#
        );
        assert!(found[3].metadata.is_none());
        assert_eq!(
            findings(&CATALOGUER, &[("stack.yaml", b"a: [")])
                .unknowns
                .len(),
            1
        );
    }
}
