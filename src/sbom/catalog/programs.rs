//! Programs that landmarks in their bytes identify: nginx, python, node and others.
//!
//! One program in several files is one package.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::found::PROGRAM_TYPE;
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, Location, Package};
use crate::sbom::layer::Content;
use crate::sbom::programs::{self, Program};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PROGRAM,
    scope: Scope::Everywhere,
    finds: Finds::OfTree(find),
};

const PROGRAM: Ecosystem = Ecosystem {
    kind: "binary",
    language: "",
    found_by: "binary-classifier-cataloger",
    metadata_type: PROGRAM_TYPE,
};

/// One program of one version.
struct Known {
    program: &'static Program,
    version: String,
    /// The row, and the files that it matched.
    matches: Vec<(&'static Program, Location)>,
}

fn find(view: &View, found: &mut Found) {
    let (mut known, mut linked) = (BTreeMap::new(), Vec::new());
    // By the file names of libraries.
    let mut libraries: HashMap<String, Vec<(Location, String)>> = HashMap::new();
    view.each(|path, content| {
        let Content::Executable(facts) = content else {
            return;
        };
        for signature in &facts.signatures {
            let Some(program) = programs::program(&signature.program) else {
                continue;
            };
            let Some(at) = view.location(path, Evidence::Primary) else {
                continue;
            };
            if found.is_full() || !found.text(3 * path.len()) {
                return;
            }
            if signature.in_library {
                linked.push((program, signature.version.clone(), at));
                continue;
            }
            let name = path.rsplit('/').next().unwrap_or(path);
            if name.starts_with("lib") {
                let versions = libraries.entry(name.to_owned()).or_default();
                versions.push((at.clone(), signature.version.clone()));
            }
            if !program.package.is_empty() {
                add(&mut known, program, &signature.version, vec![at]);
            }
        }
    });
    for (program, library, at) in linked {
        // Of several libraries with this name, the first counts.
        let library = libraries.get(&library).and_then(|all| all.first());
        if let Some((library, version)) = library
            && (program.fits)(at.path.rsplit('/').next().unwrap_or_default(), version)
        {
            // Each program has the path of its library once more.
            if !found.text(3 * library.path.len()) {
                return;
            }
            add(&mut known, program, version, vec![at, library.clone()]);
        }
    }
    for known in known.into_values() {
        found.push(package(known));
    }
}

fn add(
    known: &mut BTreeMap<(&'static str, String), Known>,
    program: &'static Program,
    version: &str,
    at: Vec<Location>,
) {
    let entry = known.entry((program.package, version.to_owned()));
    let known = entry.or_insert_with(|| Known {
        program,
        version: version.to_owned(),
        matches: Vec::new(),
    });
    known.matches.extend(at.into_iter().map(|at| (program, at)));
}

fn package(known: Known) -> Package {
    let Known {
        program,
        version,
        mut matches,
    } = known;
    matches.sort_by(|a, b| (a.0.id, &a.1).cmp(&(b.0.id, &b.1)));
    matches.dedup_by(|a, b| (a.0.id, &a.1) == (b.0.id, &b.1));
    let mut ecosystem = PROGRAM;
    (ecosystem.kind, ecosystem.language) = (program.kind, program.language);
    let [kind, space, name] = program.purl;
    let mut package = Package::new(ecosystem, program.package, &version);
    package.purl = purl(kind, space, name, &version, &[]);
    let cpes = program.cpes.iter();
    let cpes = cpes.map(|product| cpe(&format!("a:{product}"), &version));
    package.cpes = cpes.collect();
    let list = matches.iter();
    let list: Vec<Value> = list
        .map(|(program, at)| {
            let name = program.id.split('/').next();
            json!({"classifier": name, "location": at})
        })
        .collect();
    package.describe(&json!({"matches": list}));
    package.locations = matches.into_iter().map(|(_, at)| at).collect();
    package.locations.sort();
    package.locations.dedup();
    package
}

/// The CPE of a version: other characters than these have a backslash before them.
pub(super) fn cpe(product: &str, version: &str) -> String {
    let mut text = String::new();
    for character in version.chars() {
        if !(character.is_ascii_alphanumeric() || "._-".contains(character)) {
            text.push('\\');
        }
        text.push(character);
    }
    format!("cpe:2.3:{product}:{text}:*:*:*:*:*:*:*")
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, wanted_of_images};
    use super::*;
    use crate::sbom::body::in_memory;
    use crate::sbom::budget::HELD_BYTES;
    use crate::sbom::layer;

    #[test]
    fn one_program_in_two_files_is_one_package() {
        let text = b"\0nginx version: nginx/1.25.3\0";
        let files: &[(&str, &[u8])] = &[("opt/a/nginx", text), ("opt/b/nginx", text)];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:generic/nginx@1.25.3");
        assert_eq!(found[0].locations.len(), 2);
        let metadata = found[0].metadata.as_ref().unwrap().get();
        assert_eq!(metadata.matches("nginx-binary").count(), 2);
    }

    #[test]
    fn a_program_may_have_its_version_in_a_library() {
        let files: &[(&str, &[u8])] = &[
            ("usr/local/bin/python3.11", b"\0libpython3.11.so.1.0\0"),
            ("usr/local/lib/libpython3.11.so.1.0", b"\x003.11.9\0"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].version.as_str(), found[0].locations.len()),
            ("3.11.9", 2)
        );
    }

    #[test]
    fn the_library_of_each_program_is_counted() {
        let library = format!("usr/{}/libpython3.11.so.1.0", "l".repeat(70));
        let programs: Vec<String> = (0..100).map(|at| format!("{at}/python3.11")).collect();
        let programs = programs.iter();
        let programs = programs.map(|path| (&**path, &b"\0libpython3.11.so.1.0\0"[..]));
        let mut files: Vec<_> = programs.collect();
        files.push((&library, b"\x003.11.9\0"));
        let tar = layer::tar_of(&files);
        let layer = layer::scan(&tar[..], wanted_of_images, &in_memory).unwrap();
        let mut view = View::new(true, HELD_BYTES);
        view.stack(layer).unwrap();
        for (bytes, is_full) in [(1 << 20, false), (50_000, true)] {
            let mut found = Found::within(bytes);
            find(&view, &mut found);
            assert_eq!(found.is_full(), is_full);
        }
    }

    #[test]
    fn programs_of_system_packages_are_dropped_with_their_copies() {
        let text = b"\0nginx version: nginx/1.25.3\0";
        let list: (&str, &[u8]) = ("var/lib/dpkg/info/nginx.md5sums", b"d41d  sbin/nginx\n");
        let status: (&str, &[u8]) = (
            "var/lib/dpkg/status",
            b"Package: nginx\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
        );
        let files = [
            ("usr/sbin/nginx", &text[..]),
            ("opt/nginx", text),
            list,
            status,
            ("sbin -> usr/sbin", b""),
        ];
        assert!(find_in(&CATALOGUER, &files).is_empty());
        assert_eq!(find_in(&CATALOGUER, &files[..2]).len(), 1);
    }
}
