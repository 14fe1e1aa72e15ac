//! Builds documents: merges duplicate packages and relates them to each other.
//!
//! Works on the list of found packages. Never looks at files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::budget::EDGES;
use super::catalog;
use super::document::{Document, File, Findings, Package, Relationship, ScanTarget};
use super::layer::LayerError;

impl Document {
    /// Merges packages of equal id, sorts them, and relates them to each other.
    ///
    /// # Errors
    ///
    /// [`LayerError`]: they have too many relations.
    pub fn new(source: ScanTarget, distro: Value, found: Findings) -> Result<Self, LayerError> {
        let packages = merge(found.packages);
        let relationships = edges(&source.id, &packages, &found.files)?;
        let mut unknowns = found.unknowns;
        unknowns.sort_by(|a, b| (&a.location, &a.reason).cmp(&(&b.location, &b.reason)));
        Ok(Self {
            packages,
            relationships,
            files: found.files,
            unknowns,
            source,
            distro,
        })
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
                first.owns.append(&mut package.owns);
                first.files.append(&mut package.files);
                first.files.sort_unstable();
                first.files.dedup();
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
fn edges(
    source: &str,
    packages: &[Package],
    files: &[File],
) -> Result<Vec<Relationship>, LayerError> {
    let ids: Vec<String> = packages.iter().map(Package::id).collect();
    // Only required names are looked up: lists of files are long.
    let required: HashSet<&str> = packages
        .iter()
        .flat_map(|package| package.requires.iter().map(String::as_str))
        .collect();
    let located: HashSet<&str> = packages
        .iter()
        .flat_map(|package| package.locations.iter().map(|at| at.path.as_str()))
        .filter(|path| !catalog::is_database(path))
        .collect();
    let files_at = |place: &u32| files.get(usize::try_from(*place).ok()?);
    let mut providers: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    // Whether the path is listed as it is, or a link that is listed leads there.
    let mut owners: HashMap<&str, BTreeMap<usize, bool>> = HashMap::new();
    for (index, package) in packages.iter().enumerate() {
        let provides = package.provides.iter();
        for name in provides.filter(|name| required.contains(name.as_str())) {
            providers
                .entry((package.ecosystem.family(), name))
                .or_default()
                .push(index);
        }
        let owns = package.owns.iter();
        for path in owns.filter(|path| located.contains(path.as_str())) {
            owners.entry(path).or_default().insert(index, true);
        }
        let files = package.files.iter();
        let files = files.filter_map(files_at);
        for file in files.filter(|file| located.contains(file.path.as_str())) {
            let owners = owners.entry(&file.path).or_default();
            owners.entry(index).or_insert(false);
        }
    }
    // What a package has through a link is not its own if another one of its kind lists
    // the file itself.
    for owners in owners.values_mut() {
        let direct: HashSet<&str> = owners
            .iter()
            .filter(|(_, listed)| **listed)
            .map(|(owner, _)| packages[*owner].ecosystem.kind)
            .collect();
        owners.retain(|owner, listed| *listed || !direct.contains(packages[*owner].ecosystem.kind));
    }
    let mut all = BTreeSet::new();
    // Counted before duplicates are removed: a thousand packages may require, and
    // provide, one name a thousand times.
    let mut left = EDGES;
    let mut count = || {
        let less = left.checked_sub(1);
        left = less.ok_or(LayerError::TooLarge("its packages have too many relations"))?;
        Ok::<(), LayerError>(())
    };
    for (index, package) in packages.iter().enumerate() {
        let edge = |parent: &str, child: &str, kind, files| Relationship {
            parent: parent.to_owned(),
            child: child.to_owned(),
            kind,
            files,
        };
        count()?;
        all.insert(edge(source, &ids[index], "contains", Vec::new()));
        for name in &package.requires {
            for provider in providers
                .get(&(package.ecosystem.family(), name.as_str()))
                .into_iter()
                .flatten()
            {
                count()?;
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
            for owner in owners.get(path).into_iter().flat_map(BTreeMap::keys) {
                count()?;
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
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::document::Ecosystem;

    #[test]
    fn relations_that_multiply_are_refused() {
        const KIND: Ecosystem = Ecosystem {
            kind: "deb",
            language: "",
            found_by: "x",
            metadata_type: "y",
        };
        let packages = |count: usize| {
            let made = (0..count).map(|number| {
                let mut package = Package::new(KIND, &format!("a{number}"), "1");
                package.provides.push("x".to_owned());
                package.requires.push("x".to_owned());
                package
            });
            made.collect::<Vec<_>>()
        };
        assert_eq!(
            edges("s", &packages(100), &[]).unwrap().len(),
            100 + 100 * 99
        );
        assert!(edges("s", &packages(1000), &[]).is_err());
    }
}
