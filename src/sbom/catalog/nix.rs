//! Packages in the store of Nix: each is a folder whose name says what it is.

use serde_json::json;

use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: STORED,
    scope: Scope::Everywhere,
    finds: Finds::OfTree(find),
};

const STORED: Ecosystem = Ecosystem {
    kind: "nix",
    language: "",
    found_by: "nix-cataloger",
    metadata_type: "nix-store-entry",
};

const STORE: &str = "nix/store";

/// Length of the hash with which a name begins.
const HASH: usize = 32;

/// What the name of a folder in the store says.
#[derive(Debug, PartialEq, Eq)]
struct Named<'n> {
    hash: &'n str,
    name: &'n str,
    version: &'n str,
    /// Which part of the package it is; empty for the main one.
    output: &'n str,
}

fn find(view: &View, found: &mut Found) {
    for folder in view.names(STORE, "") {
        if found.is_full() {
            return;
        }
        let Some(named) = named(folder) else {
            continue;
        };
        let path = format!("{STORE}/{folder}");
        let mut package = Package::new(STORED, named.name, named.version);
        package
            .locations
            .extend(view.location(&path, Evidence::Primary));
        view.files_below(&path, |file| {
            let fits = found.text(file.len());
            package.owns.push(format!("/{file}"));
            fits
        });
        // A name without a folder is a file, such as the script of a build.
        if package.owns.is_empty() {
            continue;
        }
        let qualifiers = [("output", named.output), ("outputhash", named.hash)];
        package.purl = purl("nix", "", named.name, named.version, &qualifiers);
        let mut facts = json!({
            "path": format!("/{path}"), "outputHash": named.hash, "derivation": {},
        });
        if !named.output.is_empty() {
            facts["output"] = json!(named.output);
        }
        package.describe(&facts);
        found.push(package);
    }
}

/// Reads `HASH-NAME-VERSION[-OUTPUT]`: the version begins at the first part that begins
/// with a digit.
fn named(folder: &str) -> Option<Named<'_>> {
    let (hash, rest) = folder.split_once('-')?;
    let is_hash = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase();
    if hash.len() != HASH || !hash.chars().all(is_hash) || rest.ends_with(".drv") {
        return None;
    }
    let mut ends = rest.match_indices('-').map(|(at, _)| at);
    let at = ends.find(|at| rest[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let (name, version) = (&rest[..at], &rest[at + 1..]);
    let (version, output) = match version.rsplit_once('-') {
        Some((version, output)) if output.chars().all(|c| c.is_ascii_alphabetic()) => {
            (version, output)
        }
        _ => (version, ""),
    };
    (!name.is_empty()).then_some(Named {
        hash,
        name,
        version,
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn names_in_the_store_are_taken_apart() {
        let hash = "0c7c96gikmzv87i7lv3vq5s1cmfjd6zf";
        let parts = |rest: &str| {
            let folder = format!("{hash}-{rest}");
            named(&folder).map(|found| [found.name, found.version, found.output].join(" "))
        };
        let expected = [
            ("glibc-2.34-210-dev", Some("glibc 2.34-210 dev")),
            ("bash-5.2-p15", Some("bash 5.2-p15 ")),
            (
                "python3.11-requests-2.31.0",
                Some("python3.11-requests 2.31.0 "),
            ),
            ("openssl-3.0.14-bin", Some("openssl 3.0.14 bin")),
            ("source", None),
            ("foo-1.0.drv", None),
            ("-1", None),
            ("a-1-", Some("a 1 ")),
            ("é-1-é", Some("é 1-é ")),
        ];
        for (rest, all) in expected {
            assert_eq!(parts(rest).as_deref(), all, "{rest}");
        }
        assert_eq!(named("short-a-1"), None);
    }

    #[test]
    fn a_package_owns_the_files_of_its_folder() {
        let file = "nix/store/0c7c96gikmzv87i7lv3vq5s1cmfjd6zf-glibc-2.31-74/lib/libc.so";
        let files: &[(&str, &[u8])] = &[
            (file, b"x"),
            (
                "nix/store/5q7vxm9lc4b9hifc3br4sr8dy7f2h0qa-foo-1.0",
                b"a file",
            ),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].owns, [format!("/{file}")]);
        assert_eq!(
            found[0].purl,
            "pkg:nix/glibc@2.31-74?outputhash=0c7c96gikmzv87i7lv3vq5s1cmfjd6zf"
        );
    }
}
