//! Builds documents: merges duplicate packages and relates them to each other.
//!
//! Works on the list of found packages. Never looks at files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::catalog;
use super::document::{Document, Package, Relationship, Source};

impl Document {
    /// Merges packages of equal id, sorts them, and relates them to each other.
    #[must_use]
    pub fn new(source: Source, distro: Value, found: Vec<Package>) -> Self {
        let packages = merge(found);
        let relationships = edges(&source.id, &packages);
        Self {
            packages,
            relationships,
            source,
            distro,
        }
    }
}

/// Merges packages of equal id and sorts by name, version, kind and paths.
fn merge(found: Vec<Package>) -> Vec<Package> {
    let mut by_id: BTreeMap<String, Package> = BTreeMap::new();
    for mut package in found.into_iter().filter(|p| !p.name.is_empty()) {
        package.locations.sort();
        package.locations.dedup();
        match by_id.entry(package.id()) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(package);
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let first = slot.get_mut();
                first.licenses.append(&mut package.licenses);
                first.provides.append(&mut package.provides);
                first.requires.append(&mut package.requires);
            }
        }
    }
    let mut packages: Vec<Package> = by_id.into_values().collect();
    packages.sort_by(|a, b| {
        (&a.name, &a.version, a.ecosystem.kind, &a.locations).cmp(&(
            &b.name,
            &b.version,
            b.ecosystem.kind,
            &b.locations,
        ))
    });
    packages
}

/// All edges: from the source to packages, dependencies, and shared files.
fn edges(source: &str, packages: &[Package]) -> Vec<Relationship> {
    let ids: Vec<String> = packages.iter().map(Package::id).collect();
    let mut providers: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, package) in packages.iter().enumerate() {
        for name in &package.provides {
            providers
                .entry((package.ecosystem.kind, name))
                .or_default()
                .push(index);
        }
        for path in &package.owns {
            owners.entry(path).or_default().push(index);
        }
    }
    let mut all = BTreeSet::new();
    for (index, package) in packages.iter().enumerate() {
        let edge = |parent: &str, child: &str, kind, files| Relationship {
            parent: parent.to_owned(),
            child: child.to_owned(),
            kind,
            files,
        };
        all.insert(edge(source, &ids[index], "contains", Vec::new()));
        for name in &package.requires {
            for provider in providers
                .get(&(package.ecosystem.kind, name.as_str()))
                .into_iter()
                .flatten()
            {
                if *provider != index {
                    all.insert(edge(
                        &ids[*provider],
                        &ids[index],
                        "dependency-of",
                        Vec::new(),
                    ));
                }
            }
        }
        let mut shared: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for location in &package.locations {
            let path = location.path.as_str();
            if catalog::is_database(path) {
                continue;
            }
            for owner in owners.get(path).into_iter().flatten() {
                if *owner != index {
                    shared.entry(*owner).or_default().insert(path);
                }
            }
        }
        for (owner, files) in shared {
            let files = files.into_iter().map(str::to_owned).collect();
            all.insert(edge(
                &ids[owner],
                &ids[index],
                "ownership-by-file-overlap",
                files,
            ));
        }
    }
    all.into_iter().collect()
}
