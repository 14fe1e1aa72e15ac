//! `package-lock.json`, versions 1 to 3.
//!
//! Version 1 nests `dependencies`; version 3 has all places under `packages`, and
//! version 2 both. Source: docs.npmjs.com, "package-lock.json".

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{LOCKED, package, ranges};
use crate::sbom::catalog::Found;
use crate::sbom::catalog::data::{self, Reason};
use crate::sbom::catalog::lock::{Lock, pairs, text};
use crate::sbom::document::License;

/// Deepest folder of a package that is looked at: real trees have ten.
const MAX_DEPTH: usize = 48;

/// What a package needs to run.
const NEEDS: [&str; 2] = ["dependencies", "optionalDependencies"];

pub(super) fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    let mut tree = Tree::default();
    if json["packages"].is_object() {
        tree.fill(&json);
    } else {
        tree.nest(ROOT, &json, 0);
    }
    for entry in &tree.entries {
        if entry.name.is_empty() || entry.value["dev"] == true {
            continue;
        }
        tree.list(lock, entry, found);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

const ROOT: usize = 0;

/// A package in its place.
struct Entry<'j> {
    place: usize,
    name: &'j str,
    version: &'j str,
    value: &'j Value,
}

/// The folders of packages. A package finds what it needs beside itself, or beside
/// what it is in.
#[derive(Default)]
struct Tree<'j> {
    entries: Vec<Entry<'j>>,
    /// The place around each place but the root, which is the first one, and its depth.
    around: Vec<(usize, usize)>,
    /// The place of a name in the `node_modules` of a place.
    inside: HashMap<(usize, &'j str), usize>,
    /// The place of a folder of the project.
    folders: HashMap<&'j str, usize>,
}

impl<'j> Tree<'j> {
    fn add(&mut self, around: usize, name: &'j str) -> Option<usize> {
        if let Some(known) = self.inside.get(&(around, name)) {
            return Some(*known);
        }
        let place = self.push(around)?;
        self.inside.insert((around, name), place);
        Some(place)
    }

    fn push(&mut self, around: usize) -> Option<usize> {
        let depth = match around {
            ROOT => 1,
            around => self.around[around - 1].1 + 1,
        };
        self.around.push((around, depth));
        (depth <= MAX_DEPTH).then_some(self.around.len())
    }

    /// Takes the `packages` of versions 2 and 3.
    fn fill(&mut self, json: &'j Value) {
        let mut links = Vec::new();
        for (key, value) in pairs(json, "packages") {
            if value["link"] == true {
                links.push((key, text(value, "resolved")));
                continue;
            }
            let Some(place) = self.place(key) else {
                continue;
            };
            let own = text(value, "name");
            let name = match (own, key.rsplit_once("node_modules/")) {
                ("", Some((_, name))) => name,
                // The name of a folder says little; a link to it may have the name.
                (own, _) => own,
            };
            let version = text(value, "version");
            self.entries.push(Entry {
                place,
                name,
                version,
                value,
            });
        }
        let mut linked = HashMap::new();
        for (key, target) in links {
            let Some((around, name)) = key.rsplit_once("node_modules/") else {
                continue;
            };
            let around = self.place(around.trim_end_matches('/'));
            if let (Some(around), Some(place)) = (around, self.folders.get(target)) {
                self.inside.insert((around, name), *place);
                linked.insert(*place, name);
            }
        }
        for entry in self.entries.iter_mut().filter(|e| e.name.is_empty()) {
            entry.name = linked.get(&entry.place).copied().unwrap_or_default();
        }
    }

    /// The place of a key such as `packages/a/node_modules/b/node_modules/c`.
    fn place(&mut self, key: &'j str) -> Option<usize> {
        let mut parts = key.split("node_modules/");
        let folder = parts.next()?.trim_end_matches('/');
        let mut place = ROOT;
        if !folder.is_empty() {
            place = match self.folders.get(folder) {
                Some(known) => *known,
                None => {
                    let new = self.push(ROOT)?;
                    self.folders.insert(folder, new);
                    new
                }
            };
        }
        for part in parts {
            place = self.add(place, part.trim_end_matches('/'))?;
        }
        Some(place)
    }

    /// Takes the nested `dependencies` of version 1.
    fn nest(&mut self, around: usize, value: &'j Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for (name, value) in pairs(value, "dependencies") {
            let Some(place) = self.add(around, name) else {
                continue;
            };
            let version = text(value, "version");
            // An alias: `npm:name@version`.
            let alias = version.strip_prefix("npm:");
            let (name, version) = alias
                .and_then(|alias| alias.rsplit_once('@'))
                .unwrap_or((name, version));
            self.entries.push(Entry {
                place,
                name,
                version,
                value,
            });
            self.nest(place, value, depth + 1);
        }
    }

    /// Where a package at `place` finds `name`.
    fn resolve(&self, place: usize, name: &str) -> Option<usize> {
        let mut place = place;
        loop {
            if let Some(known) = self.inside.get(&(place, name)) {
                return Some(*known);
            }
            if place == ROOT {
                return None;
            }
            place = self.around[place - 1].0;
        }
    }

    fn list(&self, lock: &Lock<'_>, entry: &Entry<'_>, found: &mut Found) {
        let value = entry.value;
        let listed = found.reading(|found| {
            let mut package = package(lock, LOCKED, entry.name, entry.version);
            if let Some(license) = value["license"].as_str() {
                package.licenses.insert(License::new(license.to_owned()));
            }
            // Version 1 has ranges in `requires`, and places in `dependencies`.
            let needs: &[&str] = match value["requires"].is_object() {
                true => &["requires"],
                false => &NEEDS,
            };
            let places = needs.iter().flat_map(|key| pairs(value, key));
            let places = places.filter(|(_, range)| range.is_string());
            let places = places.filter_map(|(name, _)| self.resolve(entry.place, name));
            let places: Vec<String> = places.map(|place| place.to_string()).collect();
            package.provides.push(lock.key(&entry.place.to_string()));
            package.requires = lock.keys(places.iter().map(String::as_str), found);
            package.describe(&json!({
                "resolved": text(value, "resolved"),
                "integrity": text(value, "integrity"),
                "dependencies": ranges(value, "dependencies"),
            }));
            package
        });
        found.push(listed);
    }
}
