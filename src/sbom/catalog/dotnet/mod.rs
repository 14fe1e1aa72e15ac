//! Packages of .NET: those that the `*.deps.json` of a program lists, and those that the
//! `packages.lock.json` of a project declares.

pub(super) mod assemblies;

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Package};
use crate::sbom::purl::purl;

/// Longest file that is read, in bytes: 16 MiB. A large program's has 300 KiB.
const LONGEST: u64 = 16 << 20;

const DEPS: &str = ".deps.json";

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: INSTALLED,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name.ends_with(DEPS),
        supports: |_, _| false,
        longest: LONGEST,
        find: |view, path, found: &mut Found| lock::read(view, path, INSTALLED, found, installed),
    },
};

pub(super) const LOCK: Cataloguer = Cataloguer {
    ecosystem: LOCKED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "packages.lock.json",
        supports: |_, _| false,
        longest: LONGEST,
        find: |view, path, found: &mut Found| lock::read(view, path, LOCKED, found, locked),
    },
};

const INSTALLED: Ecosystem = Ecosystem {
    kind: "dotnet",
    language: "dotnet",
    found_by: "dotnet-deps-binary-cataloger",
    metadata_type: "dotnet-deps-entry",
};

const LOCKED: Ecosystem = Ecosystem {
    found_by: "dotnet-packages-lock-cataloger",
    metadata_type: "dotnet-packages-lock-entry",
    ..INSTALLED
};

/// Packages that put the libraries of others into one library. With them, a library that
/// has no file of its own may still be in the program.
const BUNDLERS: [&str; 6] = [
    "Costura.Fody",
    "Fody",
    "ILMerge",
    "ILRepack.Lib",
    "ILRepack.Lib.MSBuild",
    "ILRepack.Lib.MSBuild.Task",
];

/// The kinds of files of a library that a target names.
const FILES: [&str; 4] = ["runtime", "resources", "native", "compile"];

/// The kinds with assemblies, and how many parts of their paths are the same in the
/// program: those with texts are in a folder for each language.
const ASSEMBLIES: [(&str, usize); 2] = [("runtime", 1), ("resources", 2)];

/// One entry of `libraries`.
struct Library<'j> {
    name: &'j str,
    version: &'j str,
    facts: &'j Value,
    /// What it needs: indexes of libraries.
    needs: Vec<usize>,
    /// Whether files of it are in the program.
    has_files: bool,
    /// Its assemblies as the target names them, and where they are in the program.
    assemblies: Vec<(&'j str, &'j str)>,
}

impl Library<'_> {
    fn is_project(&self) -> bool {
        text(self.facts, "type") == "project"
    }
}

/// What the project at `program` needs, and what the projects need that it needs.
fn through_projects(libraries: &[Library<'_>], program: usize) -> Vec<usize> {
    let mut seen = HashSet::new();
    let mut needs = Vec::new();
    let mut ahead = vec![program];
    while let Some(at) = ahead.pop() {
        for need in &libraries[at].needs {
            if seen.insert(*need) {
                match libraries[*need].is_project() {
                    true => ahead.push(*need),
                    false => needs.push(*need),
                }
            }
        }
    }
    needs
}

/// The last `depth` parts of a path: the rest is where the file is in its package, and
/// not in the program.
fn end_of(path: &str, depth: usize) -> &str {
    let start = path.rmatch_indices('/').nth(depth - 1);
    start.map_or(path, |(at, _)| &path[at + 1..])
}

fn is_assembly(file: &str) -> bool {
    file.ends_with(".dll") || file.ends_with(".exe")
}

/// The packages that a `*.deps.json` lists: the program itself, and the libraries with
/// files in it or that brought in such libraries. The rest was needed to build it only.
fn installed(file: &Lock<'_>, text: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(text)?;
    let libraries = libraries(&json);
    let bundled = libraries.iter().any(|one| BUNDLERS.contains(&one.name));
    let present = present(&libraries);
    let name = file.name().trim_end_matches(DEPS);
    let mut all = libraries.iter();
    let program = all.position(|one| one.is_project() && one.name == name);
    let is_found = |index: usize| {
        program == Some(index) || !libraries[index].is_project() && (bundled || present[index])
    };
    // The assemblies of the rest are explained as well.
    let rest = (0..libraries.len()).filter(|index| !is_found(*index));
    let mut rest = rest.flat_map(|index| libraries[index].assemblies.iter());
    for (index, one) in libraries.iter().enumerate() {
        let is_program = program == Some(index);
        if !is_found(index) {
            continue;
        }
        let mut package = package(file, INSTALLED, one.name, one.version);
        let mut facts = json!({
            "name": one.name, "version": one.version, "path": lock::text(one.facts, "path"),
            "sha512": lock::text(one.facts, "sha512"),
            "hashPath": lock::text(one.facts, "hashPath"),
        });
        let mut noted = Vec::new();
        for (assembly, place) in &one.assemblies {
            if let Some(location) = file.supporting(place, found) {
                package.locations.push(location);
                noted.push(*assembly);
            }
        }
        // The first package takes them all.
        let explained = rest.by_ref().map(|(_, place)| *place);
        assemblies::note(&mut facts, noted.into_iter(), explained);
        let kind = lock::text(one.facts, "type");
        if !kind.is_empty() {
            facts["type"] = json!(kind);
        }
        package.describe(&facts);
        // Projects that are part of the program bring their packages into it.
        let needs = match is_program {
            true => through_projects(&libraries, index),
            false => one.needs.clone(),
        };
        let needs = needs.into_iter().map(|need| &libraries[need]);
        let needs: Vec<String> = needs.map(|need| key(need.name, need.version)).collect();
        package.requires = file.keys(needs.iter().map(String::as_str), found);
        found.push(package);
    }
    Ok(())
}

/// The libraries in `json`, with what its targets say about them: a program may run on
/// any of these.
fn libraries(json: &Value) -> Vec<Library<'_>> {
    let mut libraries = Vec::new();
    let (mut by_key, mut by_name) = (HashMap::new(), HashMap::new());
    for (key, facts) in pairs(json, "libraries") {
        if let Some((name, version)) = key.split_once('/') {
            by_key.insert(key, libraries.len());
            by_name.insert(name, libraries.len());
            libraries.push(Library {
                name,
                version,
                facts,
                needs: Vec::new(),
                has_files: false,
                assemblies: Vec::new(),
            });
        }
    }
    for (_, target) in pairs(json, "targets") {
        for (key, here) in target.as_object().into_iter().flatten() {
            let Some(at) = by_key.get(key.as_str()) else {
                continue;
            };
            let one = &mut libraries[*at];
            let needs = pairs(here, "dependencies");
            let needs = needs.filter_map(|(name, _)| by_name.get(name).copied());
            one.needs.extend(needs);
            let has = |kind: &&str| pairs(here, kind).next().is_some();
            one.has_files |= FILES.iter().any(has);
            for (kind, depth) in ASSEMBLIES {
                let files = pairs(here, kind).map(|(file, _)| (file, end_of(file, depth)));
                one.assemblies
                    .extend(files.filter(|(file, _)| is_assembly(file)));
            }
        }
    }
    for one in &mut libraries {
        one.needs.sort_unstable();
        one.needs.dedup();
        one.assemblies.sort_unstable();
        one.assemblies.dedup();
    }
    libraries
}

/// Which libraries have files, or need one that has, at any distance.
fn present(libraries: &[Library<'_>]) -> Vec<bool> {
    let mut needed_by = vec![Vec::new(); libraries.len()];
    for (index, one) in libraries.iter().enumerate() {
        for need in &one.needs {
            needed_by[*need].push(index);
        }
    }
    let mut present: Vec<bool> = libraries.iter().map(|one| one.has_files).collect();
    let mut ahead: Vec<usize> = (0..libraries.len()).filter(|at| present[*at]).collect();
    while let Some(at) = ahead.pop() {
        for by in std::mem::take(&mut needed_by[at]) {
            if !std::mem::replace(&mut present[by], true) {
                ahead.push(by);
            }
        }
    }
    present
}

/// The packages that a `packages.lock.json` lists for any framework.
fn locked(file: &Lock<'_>, text: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(text)?;
    let mut seen = HashSet::new();
    for (_, framework) in pairs(&json, "dependencies") {
        let versions: HashMap<&str, &str> = framework
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, facts)| (name.as_str(), lock::text(facts, "resolved")))
            .collect();
        for (name, facts) in framework.as_object().into_iter().flatten() {
            let version = lock::text(facts, "resolved");
            // A project of the same solution has no version.
            if !seen.insert((name.as_str(), version)) {
                continue;
            }
            let mut package = package(file, LOCKED, name, version);
            package.describe(&json!({
                "name": name, "version": version, "contentHash": lock::text(facts, "contentHash"),
                "type": lock::text(facts, "type"),
            }));
            let needs = pairs(facts, "dependencies");
            let needs = needs.filter_map(|(need, _)| Some(key(need, versions.get(need)?)));
            let needs: Vec<String> = needs.collect();
            package.requires = file.keys(needs.iter().map(String::as_str), found);
            found.push(package);
        }
    }
    Ok(())
}

fn package(file: &Lock<'_>, ecosystem: Ecosystem, name: &str, version: &str) -> Package {
    let mut package = file.package(ecosystem, name, version);
    package.purl = purl("nuget", "", name, version, &[]);
    package.provides.push(file.key(&key(name, version)));
    package
}

fn key(name: &str, version: &str) -> String {
    format!("{name}/{version}")
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    const APP: &[u8] = br#"{"runtimeTarget": {"name": "net8/linux-x64"}, "targets": {"net8": {}, "net8/linux-x64": {
        "App/1.0.0": {"dependencies": {"Lib": "2.0.0", "Tool": "3.0.0", "Own": "1.0.0"}, "runtime": {"App.dll": {}}},
        "Lib/2.0.0": {"dependencies": {"Deep": "4.0.0"}},
        "Deep/4.0.0": {"native": {"x/deep.dll": {}}},
        "Own/1.0.0": {"dependencies": {"Deep": "4.0.0"}, "runtime": {"Own.dll": {}}},
        "Tool/3.0.0": {}}},
        "libraries": {
        "App/1.0.0": {"type": "project", "serviceable": false, "sha512": ""},
        "Lib/2.0.0": {"type": "package", "sha512": "sha512-x", "path": "lib/2.0.0", "hashPath": "lib.sha512"},
        "Deep/4.0.0": {"type": "package", "sha512": ""},
        "Own/1.0.0": {"type": "project"},
        "Tool/3.0.0": {"type": "package"}, "broken": 3}}"#;

    fn names(packages: &[Package]) -> Vec<&str> {
        packages
            .iter()
            .map(|package| package.name.as_str())
            .collect()
    }

    #[test]
    fn the_program_and_the_libraries_with_files_are_found() {
        let found = find_in(&CATALOGUER, &[("app/App.deps.json", APP)]);
        assert_eq!(names(&found), ["App", "Deep", "Lib"]);
        assert_eq!(found[2].purl, "pkg:nuget/Lib@2.0.0");
        assert_eq!(
            found[2].metadata.as_ref().unwrap().get(),
            r#"{"hashPath":"lib.sha512","name":"Lib","path":"lib/2.0.0","sha512":"sha512-x","type":"package","version":"2.0.0"}"#
        );
        assert!(found[0].requires.contains(&found[2].provides[0]));
        assert!(found[0].requires.contains(&found[1].provides[0]));
        assert!(found[2].requires.contains(&found[1].provides[0]));
    }

    #[test]
    fn assemblies_support_their_library() {
        let text = br#"{"targets": {"t": {"L/1": {"runtime": {"lib/net8.0/L.dll": {}, "lib/net8.0/Gone.dll": {}},
            "resources": {"lib/net8.0/de/L.resources.dll": {}}}}}, "libraries": {"L/1": {}}}"#;
        let files: &[(&str, &[u8])] = &[
            ("app/A.deps.json", text),
            ("app/L.dll", b"MZ"),
            ("app/de/L.resources.dll", b"MZ"),
        ];
        let found = find_in(&CATALOGUER, files);
        let paths: Vec<_> = found[0]
            .locations
            .iter()
            .map(|at| at.path.as_str())
            .collect();
        assert_eq!(
            paths,
            ["/app/A.deps.json", "/app/L.dll", "/app/de/L.resources.dll"]
        );
    }

    #[test]
    fn bundled_libraries_need_no_files() {
        let text = String::from_utf8_lossy(APP).replace("Tool/", "ILMerge/");
        let found = find_in(&CATALOGUER, &[("App.deps.json", text.as_bytes())]);
        assert_eq!(names(&found), ["App", "Deep", "ILMerge", "Lib"]);
    }

    #[test]
    fn damaged_and_odd_lists_are_harmless() {
        let files: &[(&str, &[u8])] = &[
            ("a.deps.json", b"{"),
            (
                "b.deps.json",
                b"\xef\xbb\xbf{\"targets\": 3, \"libraries\": {\"/\": 1}}",
            ),
            ("c.deps.json", b"[]"),
        ];
        let all = findings(&CATALOGUER, files);
        assert_eq!(all.unknowns.len(), 1);
        assert!(all.packages.is_empty());
    }

    #[test]
    fn libraries_that_need_each_other_end() {
        let mut text = r#"{"targets": {"t": {"#.to_owned();
        let count = 3000;
        for at in 0..count {
            let next = (at + 1) % count;
            text.push_str(&format!(
                r#""L{at}/1": {{"dependencies": {{"L{next}": "1"}}}},"#
            ));
        }
        text.push_str(r#""X/1": {"runtime": {"x": {}}, "dependencies": {"L0": "1"}}}},"libraries": {"X/1": {}"#);
        for at in 0..count {
            text.push_str(&format!(r#","L{at}/1": {{}}"#));
        }
        text.push_str("}}");
        assert_eq!(
            find_in(&CATALOGUER, &[("a.deps.json", text.as_bytes())]).len(),
            1
        );
        let text = text.replace(r#""L7/1": {"dep"#, r#""L7/1": {"native": {"x": 1}, "dep"#);
        let found = find_in(&CATALOGUER, &[("a.deps.json", text.as_bytes())]);
        assert_eq!(found.len(), count + 1);
    }

    #[test]
    fn locked_packages_of_all_frameworks_are_found_once() {
        let text = br#"{"version": 1, "dependencies": {
            "net8.0": {"A": {"type": "Direct", "requested": "[1.0, )", "resolved": "1.0", "contentHash": "h", "dependencies": {"B": "2.0"}},
                       "B": {"type": "Transitive", "resolved": "2.0.1"}, "own": {"type": "Project"}},
            "net8.0/linux-x64": {"A": {"type": "Direct", "resolved": "1.0"}}}}"#;
        let found = find_in(&LOCK, &[("src/packages.lock.json", text)]);
        assert_eq!(names(&found), ["A", "B", "own"]);
        assert_eq!(found[0].requires, found[1].provides);
        assert!(
            findings(&LOCK, &[("packages.lock.json", b"")])
                .unknowns
                .len()
                == 1
        );
    }
}
