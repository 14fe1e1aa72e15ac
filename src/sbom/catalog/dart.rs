//! Packages of Dart and Flutter: those that a project locks in its `pubspec.lock`, and the
//! project itself, which its `pubspec.yaml` describes.

use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: DART,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "pubspec.lock",
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, DART, found, locked),
    },
};

pub(super) const PROJECT: Cataloguer = Cataloguer {
    ecosystem: SPECIFIED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| matches!(name, "pubspec.yaml" | "pubspec.yml"),
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| lock::read(view, path, SPECIFIED, found, project),
    },
};

const DART: Ecosystem = Ecosystem {
    kind: "dart-pub",
    language: "dart",
    found_by: "dart-pubspec-lock-cataloger",
    metadata_type: "dart-pubspec-lock-entry",
};

const SPECIFIED: Ecosystem = Ecosystem {
    found_by: "dart-pubspec-cataloger",
    metadata_type: "dart-pubspec",
    ..DART
};

/// The host that a package need not name.
///
/// Source: purl-spec, "pub".
const USUAL: &str = "pub.dartlang.org";

fn locked(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    for (name, facts) in pairs(&yaml, "packages") {
        // What comes with the SDK has no version of its own.
        if text(facts, "source") == "sdk" {
            continue;
        }
        let version = text(facts, "version");
        let from = &facts["description"];
        let host = host(text(from, "url"));
        let (mut hosted, mut vcs) = (String::new(), String::new());
        match text(facts, "source") {
            "hosted" if !host.is_empty() && host != USUAL => hosted = host.to_owned(),
            "git" => {
                let commit = match text(from, "resolved-ref") {
                    "" => text(from, "ref"),
                    commit => commit,
                };
                vcs = format!("{}@{commit}", text(from, "url"));
                if !matches!(text(from, "path"), "" | ".") {
                    vcs = format!("{vcs}#{}", text(from, "path"));
                }
            }
            _ => {}
        }
        let mut package = file.package(DART, name, version);
        package.purl = purl(
            "pub",
            "",
            name,
            version,
            &[("hosted_url", &hosted), ("vcs_url", &vcs)],
        );
        let mut known = json!({"name": name, "version": version});
        for (key, value) in [("hosted_url", hosted), ("vcs_url", vcs)] {
            if !value.is_empty() {
                known[key] = json!(value);
            }
        }
        package.describe(&known);
        found.push(package);
    }
    Ok(())
}

fn project(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    let (name, version) = (text(&yaml, "name"), text(&yaml, "version"));
    if name.is_empty() {
        return Ok(());
    }
    let mut package = file.package(SPECIFIED, name, version);
    package.purl = purl("pub", "", name, version, &[]);
    let mut facts = Map::new();
    for key in ["homepage", "repository", "documentation", "publish_to"] {
        if !text(&yaml, key).is_empty() {
            facts.insert(key.to_owned(), json!(text(&yaml, key)));
        }
    }
    let environment =
        pairs(&yaml, "environment").filter(|(key, _)| matches!(*key, "sdk" | "flutter"));
    let environment: Map<String, Value> = environment
        .filter(|(_, value)| value.is_string())
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    if !environment.is_empty() {
        facts.insert("environment".to_owned(), json!(environment));
    }
    for key in ["platforms", "ignored_advisories"] {
        // Platforms are the keys of a mapping.
        let keys = pairs(&yaml, key).map(|(key, _)| key);
        let list: Vec<&str> = texts(&yaml, key).chain(keys).collect();
        if !list.is_empty() {
            facts.insert(key.to_owned(), json!(list));
        }
    }
    package.describe(&Value::Object(facts));
    found.push(package);
    Ok(())
}

/// The host of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn a_project_describes_itself() {
        let text = b"name: app\nversion: 1.2.0+3\nhomepage: https://h\nplatforms:\n  linux:\nenvironment:\n  sdk: ^3.0.0\n  x: y\n";
        let files: &[(&str, &[u8])] = &[
            ("p/pubspec.yaml", text),
            ("q/pubspec.yaml", b"version: 1\n"),
        ];
        let found = find_in(&PROJECT, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:pub/app@1.2.0%2B3");
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"environment":{"sdk":"^3.0.0"},"homepage":"https://h","platforms":["linux"]}"#
        );
    }

    #[test]
    fn locked_packages_say_where_they_are_from() {
        let text = br#"packages:
  a: {dependency: transitive, description: {name: a, url: "https://pub.dartlang.org"}, source: hosted, version: "1.10"}
  b: {description: {name: b, url: "https://pub.example.org/x"}, source: hosted, version: "2.0"}
  c: {description: {path: sub, ref: main, resolved-ref: ab12, url: "https://h/c.git"}, source: git, version: "3.0"}
  d: {description: flutter, source: sdk, version: "0.0.0"}
sdks: {dart: ">=2"}
"#;
        let found = find_in(&CATALOGUER, &[("app/pubspec.lock", text)]);
        let purls: Vec<_> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:pub/a@1.10",
                "pkg:pub/b@2.0?hosted_url=pub.example.org",
                "pkg:pub/c@3.0?vcs_url=https:%2F%2Fh%2Fc.git%40ab12%23sub",
            ]
        );
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"hosted_url":"pub.example.org","name":"b","version":"2.0"}"#
        );
        assert_eq!(
            findings(&CATALOGUER, &[("pubspec.lock", b"[")])
                .unknowns
                .len(),
            1
        );
    }
}
