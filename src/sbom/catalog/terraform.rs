//! Providers that a Terraform or OpenTofu project locks: `.terraform.lock.hcl`.
//!
//! Such a file is written by the program itself, always in one form, so that its lines
//! are read and not the language.

use serde_json::{Map, Value, json};

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PROVIDER,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == ".terraform.lock.hcl",
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, PROVIDER, found, |file, text, found| {
                locked(file, text, found);
                Ok(())
            });
        },
    },
};

const PROVIDER: Ecosystem = Ecosystem {
    kind: "terraform",
    language: "go",
    found_by: "terraform-lock-cataloger",
    metadata_type: "terraform-lock-provider-entry",
};

fn locked(file: &Lock<'_>, source: &str, found: &mut Found) {
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(url) = line.strip_prefix("provider ").and_then(quoted) else {
            continue;
        };
        let mut facts = Map::new();
        facts.insert("url".to_owned(), json!(url));
        facts.insert("hashes".to_owned(), Value::Null);
        for key in ["version", "constraints"] {
            facts.insert(key.to_owned(), json!(""));
        }
        while let Some(line) = lines.next().filter(|line| !line.starts_with('}')) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = match key.trim() {
                "hashes" => {
                    let inside = lines.by_ref().take_while(|line| !line.starts_with(']'));
                    json!(inside.filter_map(quoted).collect::<Vec<_>>())
                }
                _ => json!(quoted(value.trim()).unwrap_or_default()),
            };
            if let Some(known) = facts.get_mut(key.trim()) {
                *known = value;
            }
        }
        let version = facts["version"].as_str().unwrap_or_default();
        let mut package = file.package(PROVIDER, url, version);
        package.describe(&Value::Object(facts));
        found.push(package);
    }
}

/// The text in quotes with which `text` begins.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn locked_providers_are_found() {
        let text = b"# x\nprovider \"registry.terraform.io/hashicorp/aws\" {\n  version     = \"5.72.1\"\n  constraints = \"> 5.72.0\"\n  \
            hashes = [\n    \"h1:j=\",\n    \"zh:0\",\n  ]\n}\n\nprovider \"r/b\" {\n  version = \"1\"\n}\nprovider \"cut";
        let found = find_in(&CATALOGUER, &[("p/.terraform.lock.hcl", text)]);
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found[0].name.as_str(), found[0].version.as_str()),
            ("registry.terraform.io/hashicorp/aws", "5.72.1")
        );
        assert!(found[0].purl.is_empty());
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"constraints":"> 5.72.0","hashes":["h1:j=","zh:0"],"url":"registry.terraform.io/hashicorp/aws","version":"5.72.1"}"#
        );
        assert_eq!(found[2].version, "UNKNOWN");
    }
}
