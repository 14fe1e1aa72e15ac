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
use super::budget::{FOUND_BYTES, Memory};
use super::document::{Ecosystem, Package};
use super::layer::{Content, LayerError, Most};
use super::squash::{self, View};

/// Version of what cataloguers find; raised whenever an SBOM could differ.
pub const CATALOGUE_VERSION: u32 = 3;

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
        /// The longest of these files that is kept, in bytes.
        longest: u64,
        find: fn(view: &View, path: &str, found: &mut Found),
    },
    /// In executables that carry facts.
    InExecutables(fn(view: &View, path: &str, facts: &Facts, found: &mut Found)),
}

impl Cataloguer {
    fn wants(&self, path: &str) -> Option<Most> {
        let (folder, name) = split(path);
        let Finds::InFiles {
            lists,
            supports,
            longest,
            ..
        } = self.finds
        else {
            return None;
        };
        // Without its database, a system would seem to have no packages.
        let database = self.ecosystem.language.is_empty() && lists(folder, name);
        match database {
            true => Some(Most::Refuse(longest)),
            false => (lists(folder, name) || supports(folder, name)).then_some(Most::Skip(longest)),
        }
    }
}

/// The packages that were found so far, within a limit on what they take.
///
/// One line of a list may name a long path, and a million lines the same one.
pub struct Found {
    packages: Vec<Package>,
    memory: Memory,
    full: bool,
}

/// Memory for a package in addition to its texts, and for each text in addition to
/// its bytes.
const PACKAGE_COST: usize = 400;
const TEXT_COST: usize = 40;

impl Default for Found {
    fn default() -> Self {
        Self::within(FOUND_BYTES)
    }
}

impl Found {
    /// Packages that take at most `bytes` of memory.
    fn within(bytes: usize) -> Self {
        Self {
            packages: Vec::new(),
            memory: Memory::new(bytes, "its lists of packages are too long"),
            full: false,
        }
    }

    /// Counts a text that is about to be put into a package; returns whether it fits.
    fn text(&mut self, bytes: usize) -> bool {
        self.full |= !self.memory.took(TEXT_COST + bytes);
        !self.full
    }

    /// Counts what is held while a package is read; [`push`](Self::push) counts what
    /// stays of it.
    fn reading<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.memory.clone();
        let done = read(self);
        if !self.full {
            self.memory = before;
        }
        done
    }

    /// Takes a package, unless there are too many.
    fn push(&mut self, package: Package) {
        let texts = |list: &[String]| {
            list.iter()
                .map(|text| TEXT_COST + text.len())
                .sum::<usize>()
        };
        let locations = package.locations.iter();
        let locations = locations.map(|at| 3 * TEXT_COST + at.path.len() + at.access_path.len());
        let licenses = package.licenses.iter();
        let licenses = licenses.map(|license| TEXT_COST + license.0.len());
        let cost = PACKAGE_COST
            + package.name.len()
            + package.version.len()
            + package.purl.len()
            + package.metadata.as_ref().map_or(0, |json| json.get().len())
            + locations.sum::<usize>()
            + licenses.sum::<usize>()
            + texts(&package.cpes)
            + texts(&package.owns)
            + texts(&package.provides)
            + texts(&package.requires);
        self.full |= !self.memory.took(cost);
        if !self.full {
            self.packages.push(package);
        }
    }

    /// Whether there is too much: nothing more is taken.
    fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn finish(self) -> Result<Vec<Package>, LayerError> {
        match self.full {
            true => Err(LayerError::TooLarge("its lists of packages are too long")),
            false => Ok(self.packages),
        }
    }

    /// Changes the packages that came after the first `count`: each path, and each name
    /// it has, grows by at most `bytes`.
    pub(super) fn change_after(
        &mut self,
        count: usize,
        bytes: usize,
        mut change: impl FnMut(&mut Package),
    ) {
        let paths = self.packages[count..].iter().map(|package| {
            let names = package.provides.len() + package.requires.len();
            2 + 2 * package.locations.len() + package.owns.len() + names
        });
        let bytes = paths.sum::<usize>().saturating_mul(bytes.max(TEXT_COST));
        if self.text(bytes) {
            self.packages[count..].iter_mut().for_each(&mut change);
        }
    }

    /// How many packages there are.
    pub(super) fn count(&self) -> usize {
        self.packages.len()
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Runs all cataloguers over `view`.
///
/// # Errors
///
/// The view or the packages are too large.
pub(super) fn packages(view: &View, found: &mut Found) -> Result<(), LayerError> {
    for cataloguer in TABLE {
        view.each(|path, content| {
            if found.is_full() || view.check().is_err() {
                return;
            }
            match (&cataloguer.finds, content) {
                (Finds::InFiles { lists, find, .. }, Content::Text(_)) => {
                    let (folder, name) = split(path);
                    if lists(folder, name) {
                        find(view, path, found);
                    }
                }
                (Finds::InExecutables(find), Content::Executable(facts)) => {
                    find(view, path, facts, found);
                }
                _ => {}
            }
        });
    }
    view.check()
}

/// Whether a scan must keep the whole file at `path`, and how much of it.
pub(super) fn wanted(path: &str) -> Option<Most> {
    let own = TABLE.iter().find_map(|row| row.wants(path));
    own.or_else(|| squash::wanted(path))
}

/// Whether `path` is a database of system packages. All of them share it, so
/// sharing it says nothing about who owns what.
pub(super) fn is_database(path: &str) -> bool {
    let system = |row: &&Cataloguer| row.ecosystem.language.is_empty();
    let mut rows = TABLE.iter().filter(system);
    rows.any(|row| row.wants(path).is_some())
}

/// The keys and values of one stanza.
type Fields<'t> = std::collections::HashMap<&'t str, String>;

/// The stanzas of a text of `Key: value` lines, one after the other, with continuation
/// lines joined by newlines.
fn stanzas(text: &str) -> impl Iterator<Item = Fields<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut fields = Fields::default();
        let mut last = "";
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if !fields.is_empty() {
                    return Some(fields);
                }
                last = "";
            } else if line.starts_with([' ', '\t']) {
                if let Some(value) = fields.get_mut(last) {
                    value.push('\n');
                    value.push_str(line.trim());
                }
            } else if let Some((key, value)) = line.split_once(':') {
                last = key;
                fields.insert(key, value.trim().to_owned());
            }
        }
        (!fields.is_empty()).then_some(fields)
    })
}

/// What `cataloguer` finds in an image of these files.
#[cfg(test)]
fn find_in(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> Vec<Package> {
    let tar = super::layer::tar_of(files);
    let layer = super::layer::scan(&tar[..], wanted).unwrap();
    let mut view = View::new(true, super::budget::HELD_BYTES);
    view.stack(layer).unwrap();
    let kind = cataloguer.ecosystem.kind;
    let mut all = Found::default();
    packages(&view, &mut all).unwrap();
    let mut found = all.finish().unwrap();
    found.retain(|package| package.ecosystem.kind == kind);
    found
}
