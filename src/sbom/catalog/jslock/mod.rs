//! npm packages that lock files list: `package-lock.json`, `yarn.lock`,
//! `pnpm-lock.yaml`, `bun.lock` and `deno.lock`.
//!
//! What only development needs is left out, as far as the file says so. Files in a
//! folder called `node_modules` are those of a dependency, and say nothing.

mod bun;
mod package_lock;
mod pnpm;
mod yarn;

use serde_json::{Map, Value};

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope, data};
use crate::sbom::document::{Ecosystem, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: LOCKED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |folder, name| {
            let known = matches!(
                name,
                "package-lock.json" | "yarn.lock" | "pnpm-lock.yaml" | "bun.lock" | "deno.lock"
            );
            known && !folder.split('/').any(|part| part == "node_modules")
        },
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find,
    },
};

const LOCKED: Ecosystem = Ecosystem {
    kind: "npm",
    language: "javascript",
    found_by: "javascript-lock-cataloger",
    metadata_type: "javascript-npm-package-lock-entry",
};

const YARN: Ecosystem = Ecosystem {
    metadata_type: "javascript-yarn-lock-entry",
    ..LOCKED
};

const BUN: Ecosystem = Ecosystem {
    metadata_type: "javascript-bun-lock-entry",
    ..LOCKED
};

const DENO: Ecosystem = Ecosystem {
    metadata_type: "deno-lock-entry",
    ..LOCKED
};

const DENO_REMOTE: Ecosystem = Ecosystem {
    metadata_type: "deno-remote-lock-entry",
    ..LOCKED
};

const PNPM: Ecosystem = Ecosystem {
    metadata_type: "javascript-pnpm-lock-entry",
    ..LOCKED
};

fn find(view: &View, path: &str, found: &mut Found) {
    lock::read(view, path, LOCKED, found, |lock, text, found| {
        match lock.name() {
            "package-lock.json" => package_lock::read(lock, text, found),
            "yarn.lock" => yarn::read(lock, text, found),
            "pnpm-lock.yaml" => pnpm::read(lock, text, found),
            "bun.lock" => bun::read_bun(lock, text, found),
            _ => bun::read_deno(lock, text, found),
        }
    });
}

/// A package of an npm registry.
fn package(lock: &Lock<'_>, ecosystem: Ecosystem, name: &str, version: &str) -> Package {
    let mut package = lock.package(ecosystem, name, version);
    let (scope, base) = name.rsplit_once('/').unwrap_or(("", name));
    package.purl = purl("npm", scope, base, version, &[]);
    package
}

/// The names and texts of the object at `key`; null if there are none, as in what syft
/// writes.
fn ranges(value: &Value, key: &str) -> Value {
    let texts = lock::pairs(value, key).filter(|(_, range)| range.is_string());
    let map: Map<String, Value> = texts.map(|(k, v)| (k.to_owned(), v.clone())).collect();
    match map.is_empty() {
        true => Value::Null,
        false => Value::Object(map),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    /// What is found in the file called `name`: names and versions, and for each
    /// package the indices of those that it needs.
    fn listed(files: &[(&str, &str)]) -> Vec<(String, String, Vec<usize>)> {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, t)| (*n, t.as_bytes())).collect();
        let mut found = find_in(&CATALOGUER, &files);
        found.retain(|package| package.ecosystem.found_by == LOCKED.found_by);
        let needs = |package: &Package| {
            let all = found.iter().enumerate();
            let met = all.filter(|(_, other)| {
                other
                    .provides
                    .iter()
                    .any(|name| package.requires.contains(name))
            });
            met.map(|(index, _)| index).collect()
        };
        let all = found.iter();
        all.map(|package| {
            (
                package.name.clone(),
                package.version.clone(),
                needs(package),
            )
        })
        .collect()
    }

    fn expect(files: &[(&str, &str)], expected: &[(&str, &str, &[usize])]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, version, needs)| {
                ((*name).to_owned(), (*version).to_owned(), needs.to_vec())
            })
            .collect();
        assert_eq!(listed(files), expected);
    }

    #[test]
    fn npm_3_finds_what_a_package_needs_as_node_does() {
        let text = r#"{"lockfileVersion":3,"packages":{
            "":{"name":"root","version":"1.0.0","dependencies":{"a":"^1"}},
            "node_modules/a":{"version":"1.0.0","dependencies":{"b":"^2"},"license":"MIT"},
            "node_modules/a/node_modules/b":{"version":"2.0.0"},
            "node_modules/b":{"version":"1.0.0"},
            "node_modules/c-alias":{"name":"@s/c","version":"3.0.0","dependencies":{"b":"1"}},
            "node_modules/d":{"version":"4.0.0","dev":true},
            "node_modules/@w/one":{"resolved":"packages/one","link":true},
            "packages/one":{"version":"0.1.0","dependencies":{"b":"1","@w/one":"*"}}}}"#;
        expect(
            &[("x/package-lock.json", text)],
            &[
                ("root", "1.0.0", &[1]),
                ("a", "1.0.0", &[2]),
                ("b", "2.0.0", &[]),
                ("b", "1.0.0", &[]),
                ("@s/c", "3.0.0", &[3]),
                ("@w/one", "0.1.0", &[3, 5]),
            ],
        );
    }

    #[test]
    fn what_is_installed_keeps_what_the_lock_file_says_it_needs() {
        let text = br#"{"packages":{"":{"name":"root","version":"1.0.0","dependencies":{"a":"1"}},
            "node_modules/a":{"version":"1.0.0"}}}"#;
        let project = br#"{"name":"root","version":"1.0.0"}"#;
        let files: &[(&str, &[u8])] = &[("package-lock.json", text), ("package.json", project)];
        let found = find_in(&CATALOGUER, files);
        let names: Vec<&str> = found.iter().map(|package| &*package.name).collect();
        assert_eq!(names, ["root", "a"]);
        assert_eq!(found[0].ecosystem.metadata_type, "javascript-npm-package");
        assert_eq!(found[0].requires, found[1].provides);
    }

    #[test]
    fn npm_1_is_nested() {
        let text = r#"{"name":"root","version":"1.0.0","lockfileVersion":1,"dependencies":{
            "a":{"version":"1.0.0","requires":{"b":"^2"},"dependencies":{"b":{"version":"2.0.0"}}},
            "b":{"version":"npm:@r/b@1.0.0"}}}"#;
        expect(
            &[("package-lock.json", text)],
            &[
                ("a", "1.0.0", &[1]),
                ("b", "2.0.0", &[]),
                ("@r/b", "1.0.0", &[]),
            ],
        );
    }

    #[test]
    fn yarn_1_leaves_out_what_only_development_needs() {
        let text = "# yarn lockfile v1\n\n\n\"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.2.0\"\n  resolved \"https://x/a.tgz#1\"\n  integrity sha1-x\n  dependencies:\n    b \"^2.0.0\"\n\n\
            \"al@npm:b@^2.0.0\", b@^2.0.0:\n  version \"2.0.0\"\n\nd@1:\n  version \"1.0.0\"\n  dependencies:\n    b \"^2.0.0\"\n    e \"1\"\n\ne@1:\n  version \"1.0.1\"\n";
        let project = r#"{"dependencies":{"@s/a":"^1.0.0"},"devDependencies":{"d":"1"}}"#;
        expect(
            &[("yarn.lock", text), ("package.json", project)],
            &[("@s/a", "1.2.0", &[1]), ("b", "2.0.0", &[])],
        );
        assert_eq!(listed(&[("yarn.lock", text)]).len(), 4);
    }

    #[test]
    fn yarn_2_is_yaml() {
        let text = "__metadata:\n  version: 6\n\n\"a@npm:^1.0.0\":\n  version: 1.10\n  resolution: \"a@npm:1.10\"\n  dependencies:\n    b: ^2\n  checksum: ab\n\n\
            \"b@npm:^2, b@npm:^2.0.0\":\n  version: 2.0.0\n  resolution: \"b@npm:2.0.0\"\n";
        expect(
            &[("yarn.lock", text)],
            &[("a", "1.10", &[1]), ("b", "2.0.0", &[])],
        );
    }

    #[test]
    fn every_version_of_pnpm_is_read() {
        let old = "lockfileVersion: 5.4\npackages:\n  /@s/a/1.0.0_b@2.0.0:\n    resolution: {integrity: sha512-a}\n    dependencies:\n      b: 2.0.0_x@1\n      c: /d/3.0.0\n    dev: false\n\
            \x20 /b/2.0.0:\n    dev: true\n  /b/2.0.0_x@1:\n    dev: false\n  /d/3.0.0:\n    dev: false\n  /e/1.0.0:\n    dev: true\n";
        let six = "lockfileVersion: '6.0'\npackages:\n  /@s/a@1.0.0(b@2.0.0):\n    dependencies:\n      b: 2.0.0(x@1)\n      c: /d@3.0.0\n  /b@2.0.0(x@1):\n    dev: false\n  /d@3.0.0:\n    dev: false\n  /e@1.0.0:\n    dev: true\n";
        let nine = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      '@s/a': {specifier: ^1, version: 1.0.0(b@2.0.0)}\n    devDependencies:\n      e: {specifier: ^1, version: 1.0.0}\n\
            packages:\n  '@s/a@1.0.0': {}\n  b@2.0.0: {}\n  d@3.0.0: {}\n  e@1.0.0: {}\n\
            snapshots:\n  '@s/a@1.0.0(b@2.0.0)':\n    dependencies:\n      b: 2.0.0(x@1)\n      c: d@3.0.0\n  b@2.0.0(x@1): {}\n  d@3.0.0: {}\n  e@1.0.0: {}\n";
        // Version 9 does not say what only development needs, and e stays.
        assert_eq!(listed(&[("pnpm-lock.yaml", nine)]).len(), 4);
        for text in [old, six, &nine.replace("e@1.0.0: {}", "x: {}")] {
            expect(
                &[("pnpm-lock.yaml", text)],
                &[
                    ("@s/a", "1.0.0", &[1, 2]),
                    ("b", "2.0.0", &[]),
                    ("d", "3.0.0", &[]),
                ],
            );
        }
    }

    #[test]
    fn bun_and_deno_are_read() {
        let bun = r#"{"lockfileVersion":1,"workspaces":{
            "":{"name":"r","dependencies":{"a":"1","b":"npm:@s/b@2"},"devDependencies":{"d":"1","a":"1"}},
            "w":{"name":"w","dependencies":{"b":"2"}}},"packages":{
            "d":["d@1.0.0","",{"dependencies":{"e":"1"}},"x"],"e":["e@1.0.0","",{},"x"],"w":["w@workspace:w"],
            "a":["a@1.0.0","",{"dependencies":{"b":"^1"}},"sha512-x"],
            "a/b":["b@1.5.0","",{},"sha512-y"],
            "b":["@s/b@2.0.0","",{},"sha512-z"],
        }}"#;
        expect(
            &[("bun.lock", bun)],
            &[
                ("a", "1.0.0", &[1]),
                ("b", "1.5.0", &[]),
                ("@s/b", "2.0.0", &[]),
            ],
        );
        let deno = r#"{"version":"4","jsr":{"@s/j@1.0.0":{"integrity":"z","dependencies":["npm:a@1"]}},
            "remote":{"https://deno.land/std@0.1.0/b.ts":"h","https://deno.land/std@0.1.0/a.ts":"g","https://x.y/z.ts":"i"},"npm":{"a@1.0.0_b@2.0.0":{"integrity":"x","dependencies":["b"]},"b@2.0.0":{"integrity":"y"}}}"#;
        expect(
            &[("deno.lock", deno)],
            &[
                ("a", "1.0.0", &[1]),
                ("b", "2.0.0", &[]),
                ("@s/j", "1.0.0", &[0]),
                ("deno.land/std", "0.1.0", &[]),
            ],
        );
    }

    #[test]
    fn places_that_are_deep_or_long_end() {
        let deep = "node_modules/a/".repeat(60);
        let text = format!(
            r#"{{"packages":{{"{deep}node_modules/b":{{"version":"1","dependencies":{{"c":"1"}}}},"node_modules/c":{{"version":"1"}}}}}}"#
        );
        expect(&[("package-lock.json", &text)], &[("c", "1", &[])]);
        let long = "a/".repeat(600);
        let text = format!(
            r#"{{"packages":{{"{long}b":["b@1","",{{"dependencies":{{"c":"1"}}}},""],"c":["c@1","",{{}},""]}}}}"#
        );
        expect(&[("bun.lock", &text)], &[("b", "1", &[]), ("c", "1", &[])]);
        let text = format!("lockfileVersion: 5.4\npackages: {}", "{a: ".repeat(5000));
        assert!(listed(&[("pnpm-lock.yaml", &text)]).is_empty());
    }

    #[test]
    fn files_of_dependencies_and_damaged_ones_list_nothing() {
        let text = r#"{"packages":{"node_modules/a":{"version":"1"}}}"#;
        assert!(listed(&[("node_modules/x/package-lock.json", text)]).is_empty());
        for name in [
            "package-lock.json",
            "pnpm-lock.yaml",
            "bun.lock",
            "deno.lock",
        ] {
            let found = findings(&CATALOGUER, &[(name, b"{]")]);
            assert_eq!(found.unknowns.len(), 1, "{name}");
        }
    }
}
