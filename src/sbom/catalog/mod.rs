//! Cataloguers: from the squashed view to packages, one file per ecosystem.
//!
//! A new one is a file here, its line in [`TABLE`], and a higher
//! [`CATALOGUE_VERSION`]. Files that cannot be parsed are skipped: a scan finds
//! what it can.

mod apk;
mod cargo;
mod dpkg;
mod go;
mod goversion;
mod npm;
mod python;

use super::binary::Facts;
use super::document::{Ecosystem, Package};
use super::squash::{self, View};

/// Version of what cataloguers find; raised whenever an SBOM could differ.
pub const CATALOGUE_VERSION: u32 = 2;

/// Every cataloguer, in the order in which their packages are collected.
const TABLE: &[Cataloguer] = &[
    dpkg::CATALOGUER,
    apk::CATALOGUER,
    python::CATALOGUER,
    npm::CATALOGUER,
    go::CATALOGUER,
    cargo::CATALOGUER,
];

/// One ecosystem, and how its packages are found.
struct Cataloguer {
    ecosystem: Ecosystem,
    finds: Finds,
}

/// Where packages are found.
enum Finds {
    /// In files that are kept whole. The filters get a file's folder, without
    /// slashes at its ends, and its name.
    InFiles {
        /// Whether the file lists packages: `find` is called for each of these.
        lists: fn(folder: &str, name: &str) -> bool,
        /// Whether `find` looks up further facts in the file.
        supports: fn(folder: &str, name: &str) -> bool,
        find: fn(view: &View, path: &str) -> Vec<Package>,
    },
    /// In executables that carry facts.
    InExecutables(fn(view: &View, path: &str, facts: &Facts) -> Vec<Package>),
}

impl Finds {
    fn wants(&self, path: &str) -> bool {
        let (folder, name) = split(path);
        match self {
            Self::InFiles {
                lists, supports, ..
            } => lists(folder, name) || supports(folder, name),
            Self::InExecutables(_) => false,
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Runs all cataloguers over `view`.
#[must_use]
pub fn packages(view: &View) -> Vec<Package> {
    let mut found = Vec::new();
    for cataloguer in TABLE {
        match &cataloguer.finds {
            Finds::InFiles { lists, find, .. } => {
                for path in view.texts() {
                    let (folder, name) = split(path);
                    if lists(folder, name) {
                        found.extend(find(view, path));
                    }
                }
            }
            Finds::InExecutables(find) => {
                for (path, facts) in view.executables() {
                    found.extend(find(view, path, facts));
                }
            }
        }
    }
    found
}

/// Whether a scan must keep the whole file at `path`.
pub(super) fn is_wanted(path: &str) -> bool {
    squash::is_wanted(path) || TABLE.iter().any(|row| row.finds.wants(path))
}

/// Whether `path` is a database of system packages. All of them share it, so
/// sharing it says nothing about who owns what.
pub(super) fn is_database(path: &str) -> bool {
    let system = |row: &&Cataloguer| row.ecosystem.language.is_empty();
    let mut rows = TABLE.iter().filter(system);
    rows.any(|row| row.finds.wants(path))
}

/// Splits a text of `Key: value` stanzas, with continuation lines joined by newlines.
fn stanzas(text: &str) -> Vec<std::collections::HashMap<&str, String>> {
    let mut all: Vec<std::collections::HashMap<&str, String>> = vec![Default::default()];
    let mut last = "";
    for line in text.lines() {
        let Some(current) = all.last_mut() else { break };
        if line.trim().is_empty() {
            if !current.is_empty() {
                all.push(Default::default());
            }
            last = "";
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = current.get_mut(last) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            last = key;
            current.insert(key, value.trim().to_owned());
        }
    }
    all.retain(|stanza| !stanza.is_empty());
    all
}

/// What `cataloguer` finds in an image of these files.
#[cfg(test)]
fn find_in(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> Vec<Package> {
    let tar = super::layer::tar_of(files);
    let layer = super::layer::scan(&tar[..], is_wanted).unwrap();
    let view = View::squash(vec![layer], true);
    let kind = cataloguer.ecosystem.kind;
    let mut found = packages(&view);
    found.retain(|package| package.ecosystem.kind == kind);
    found
}
