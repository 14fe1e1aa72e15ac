//! Go modules that `go.mod` requires, with their checksums in `go.sum`.
//!
//! Source: go.dev/ref/mod, "go.mod files".

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use super::data::{self, Reason};
use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: DECLARED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "go.mod",
        supports: |_, name| name == "go.sum",
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, DECLARED, found, read),
    },
};

const DECLARED: Ecosystem = Ecosystem {
    kind: "go-module",
    language: "go",
    found_by: "go-module-file-cataloger",
    metadata_type: "go-module-entry",
};

/// Path and version.
type Module<'t> = (&'t str, &'t str);

#[derive(Default)]
struct Modules<'t> {
    required: BTreeMap<&'t str, &'t str>,
    excluded: HashSet<Module<'t>>,
    /// Each replaced module with its replacement. An empty version means every version.
    replaced: Vec<(Module<'t>, Module<'t>)>,
}

fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let modules = parse(source).ok_or("it has no `module` line")?;
    let sums = lock.beside("go.sum").unwrap_or_default();
    let sums: HashMap<Module<'_>, &str> = sums
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some(((words.next()?, words.next()?), words.next()?))
        })
        .collect();
    for (path, version) in modules.in_use(|module| sums.contains_key(&module)) {
        let mut package = lock.package(DECLARED, path, version);
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        package.purl = purl("golang", namespace, name, version, &[]);
        let sum = sums.get(&(path, version));
        package.describe(&sum.map_or_else(|| json!({}), |sum| json!({"h1Digest": sum})));
        found.push(package);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

impl<'t> Modules<'t> {
    /// What is required in the end. A module that only other modules require may be
    /// replaced, too: then what replaces it `is_summed`.
    fn in_use(mut self, is_summed: impl Fn(Module<'t>) -> bool) -> BTreeMap<&'t str, &'t str> {
        let excluded = self.excluded;
        self.required
            .retain(|path, version| !excluded.contains(&(*path, *version)));
        for ((path, version), new) in self.replaced {
            let Some(old) = self.required.get(path).copied() else {
                if is_summed(new) {
                    self.required.insert(new.0, new.1);
                }
                continue;
            };
            if !version.is_empty() && version != old {
                continue;
            }
            // A folder has no version; what is in it is still this module.
            let local = new.0.starts_with(['.', '/']) || new.1.is_empty();
            if !local {
                self.required.remove(path);
            }
            let new = if local { (path, "") } else { new };
            self.required.insert(new.0, new.1);
        }
        self.required
    }
}

/// The directives of a file; `None` if it is something else.
fn parse(source: &str) -> Option<Modules<'_>> {
    let mut modules = Modules::default();
    let mut module = false;
    // The directive whose block the lines are in.
    let mut block = "";
    for line in source.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace().map(unquoted);
        let directive = match block {
            "" => words.next().unwrap_or_default(),
            block => block,
        };
        let words: Vec<&str> = words.take(6).collect();
        module |= directive == "module";
        match (directive, &words[..]) {
            (_, [")"]) => block = "",
            (directive, ["("]) => block = directive,
            ("require", [path, version]) => {
                modules.required.insert(path, version);
            }
            ("exclude", [path, version]) => {
                modules.excluded.insert((path, version));
            }
            ("replace", [old, rest @ ..]) => {
                let (version, new) = match rest {
                    ["=>", new @ ..] => ("", new),
                    [version, "=>", new @ ..] => (*version, new),
                    _ => continue,
                };
                let new = match new {
                    [path] => (*path, ""),
                    [path, version] => (*path, *version),
                    _ => continue,
                };
                modules.replaced.push(((*old, version), new));
            }
            _ => {}
        }
    }
    module.then_some(modules)
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '`'])
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn requirements_are_replaced_and_excluded() {
        let file = b"module example.com/a // x\n\nrequire example.com/one v1.0.0\nrequire (\n\t\"example.com/two/v2\" v2.1.0 // indirect\n\
            \texample.com/old v1.0.0\n\texample.com/local v1.0.0\n\texample.com/gone v1.0.0\n\texample.com/kept v1.0.0\n)\n\
            replace example.com/old => example.com/new v1.5.0\nreplace (\n\texample.com/local v1.0.0 => ../local\n\texample.com/one v9.0.0 => ./x\n)\n\
            exclude example.com/gone v1.0.0\nexclude example.com/kept v0.9.0\n\
            replace example.com/far => example.com/fork v1.2.0\nreplace example.com/unused => example.com/x v1.0.0\n";
        let sums = b"example.com/one v1.0.0 h1:aa=\nexample.com/one v1.0.0/go.mod h1:bb=\nexample.com/fork v1.2.0 h1:cc=\nexample.com/x v1.0.0/go.mod h1:dd=\n";
        let found = find_in(&CATALOGUER, &[("go.mod", file), ("go.sum", sums)]);
        let list: Vec<(&str, &str)> = found.iter().map(|p| (&*p.name, &*p.version)).collect();
        let expected = [
            ("example.com/fork", "v1.2.0"),
            ("example.com/kept", "v1.0.0"),
            ("example.com/local", "UNKNOWN"),
            ("example.com/new", "v1.5.0"),
            ("example.com/one", "v1.0.0"),
            ("example.com/two/v2", "v2.1.0"),
        ];
        assert_eq!(list, expected);
        assert_eq!(
            found[4].metadata.as_ref().unwrap().get(),
            r#"{"h1Digest":"h1:aa="}"#
        );
        assert_eq!(found[5].purl, "pkg:golang/example.com/two/v2@v2.1.0");
    }

    #[test]
    fn another_file_of_that_name_is_not_read() {
        assert!(find_in(&CATALOGUER, &[("go.mod", b"require a v1\n")]).is_empty());
    }
}
