//! Packages of Homebrew: the formulae that it keeps with what it installed.

use serde_json::json;

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: FORMULA,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| name.ends_with(".rb") && installed(folder).is_some(),
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, FORMULA, found, |file, text, found| {
                let folder = super::split(path).0;
                if let Some((name, version)) = installed(folder) {
                    formula(file, (name, version), text, found);
                }
                Ok(())
            });
        },
    },
};

const FORMULA: Ecosystem = Ecosystem {
    kind: "homebrew",
    language: "",
    found_by: "homebrew-cataloger",
    metadata_type: "homebrew-formula",
};

/// The name and the version in `…/Cellar/NAME/VERSION/.brew`.
fn installed(folder: &str) -> Option<(&str, &str)> {
    let mut parts = folder.rsplit('/');
    let [brew, version, name, cellar] = [(); 4].map(|()| parts.next());
    let fits = brew == Some(".brew") && cellar == Some("Cellar");
    Some((name?, version?)).filter(|_| fits)
}

/// Lines such as `desc "A thing"`.
fn formula(file: &Lock<'_>, (name, version): (&str, &str), text: &str, found: &mut Found) {
    let get = |key: &str| {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.unwrap_or_default().trim()
    };
    let quoted = |value: &str| {
        let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
        Some(value[1..].split(quote).next()?.to_owned())
    };
    let mut package = file.package(FORMULA, name, version);
    package.purl = purl("brew", "", name, version, &[]);
    let license = get("license");
    if let Some(license) = quoted(license) {
        package.licenses.insert(License::new(license));
    } else {
        // `any_of: ["A", "B"]`
        let texts = license.split('"').skip(1).step_by(2).take(50);
        let texts = texts.map(|text| License::new(text.to_owned()));
        package.licenses.extend(texts);
    }
    let mut facts = json!({});
    for (fact, key) in [("homepage", "homepage"), ("description", "desc")] {
        if let Some(value) = quoted(get(key)) {
            facts[fact] = json!(value);
        }
    }
    package.describe(&facts);
    found.push(package);
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn formulae_of_installed_packages_are_read() {
        let jq = b"class Jq < Formula\n  desc \"A \\'b\"\n  homepage 'https://h'\n  license any_of: [\"MIT\", \"Zlib\"]\nend\n";
        let files: &[(&str, &[u8])] = &[
            ("opt/homebrew/Cellar/jq/1.7.1/.brew/jq.rb", jq),
            (
                "usr/local/Cellar/x/2/.brew/x.rb",
                b"license \"\nhomepage \xff\ndesc",
            ),
            ("usr/local/x/2/.brew/x.rb", jq),
            (".brew/x.rb", jq),
        ];
        let found = find_in(&CATALOGUER, files);
        let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(purls, ["pkg:brew/jq@1.7.1", "pkg:brew/x@2"]);
        let licenses: Vec<String> = found[0].licenses.iter().map(License::spdx).collect();
        assert_eq!(licenses, ["MIT", "Zlib"]);
        assert!(
            found[0]
                .metadata
                .as_ref()
                .unwrap()
                .get()
                .contains("https://h")
        );
    }
}
