//! Packs of SWI-Prolog: what a `pack.pl` says.

use serde_json::json;

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PACK,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "pack.pl",
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, PACK, found, |file, text, found| {
                pack(file, text, found);
                Ok(())
            });
        },
    },
};

const PACK: Ecosystem = Ecosystem {
    kind: "swiplpack",
    language: "swipl",
    found_by: "swipl-pack-cataloger",
    metadata_type: "swiplpack-package",
};

/// Lines such as `author('A B', 'a@b').`, one fact in each.
fn pack(file: &Lock<'_>, text: &str, found: &mut Found) {
    let lines = text.lines().filter_map(|line| {
        let (key, rest) = line.trim().split_once('(')?;
        let (inside, _) = rest.rsplit_once(')')?;
        let (first, second) = inside.split_once(',').unwrap_or((inside, ""));
        let bare = |value: &'_ str| value.trim().trim_matches(['\'', '"']).to_owned();
        Some((key.trim(), bare(first), bare(second)))
    });
    let facts: Vec<_> = lines.collect();
    let get = |key: &str| {
        let mut facts = facts.iter().rev().filter(|(known, ..)| *known == key);
        facts.next().map_or(("", ""), |(_, first, second)| {
            (first.as_str(), second.as_str())
        })
    };
    let (name, version) = (get("name").0, get("version").0);
    if name.is_empty() || version.is_empty() {
        return;
    }
    let needed = facts.iter().filter(|(key, ..)| *key == "requires");
    // `requires(prolog >= '9')` has a condition.
    let needed = needed.map(|(_, need, _)| need.split([' ', '<', '>', '=', '@']).next());
    let needed: Vec<&str> = needed.flatten().collect();
    let mut package = file.package(PACK, name, version);
    package.purl = purl("swiplpack", "", name, version, &[]);
    package.describe(&json!({
        "name": name, "version": version, "author": get("author").0,
        "authorEmail": get("author").1, "packager": get("packager").0,
        "packagerEmail": get("packager").1, "homepage": get("home").0,
        "dependencies": (!needed.is_empty()).then_some(needed),
    }));
    found.push(package);
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn a_pack_is_described() {
        let text =
            b"% c\nname(hdt).\nversion('0.5.2').\nauthor('Jan W', 'j@w').\nrequires(http >= '1').\n";
        let found = find_in(
            &CATALOGUER,
            &[("p/hdt/pack.pl", text), ("p/x/pack.pl", b"name(x")],
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:swiplpack/hdt@0.5.2");
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"author":"Jan W","authorEmail":"j@w","dependencies":["http"],"homepage":"","name":"hdt","packager":"","packagerEmail":"","version":"0.5.2"}"#
        );
    }
}
