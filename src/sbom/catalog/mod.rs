//! Cataloguers: from the squashed view to packages, one file per ecosystem.
//!
//! A new one is a file here, its line in [`TABLE`], and a higher
//! [`CATALOGUE_VERSION`]. A scan finds what it can: files that cannot be parsed are
//! listed in the document.

mod actions;
mod alpm;
mod apk;
mod apple;
mod bitnami;
mod cargo;
mod cargolock;
mod composer;
mod conan;
mod conda;
mod dart;
mod data;
mod dotnet;
mod dpkg;
mod found;
mod gguf;
mod go;
mod gomod;
mod goversion;
mod haskell;
mod hex;
mod homebrew;
mod java;
mod jslock;
mod kernel;
mod lock;
mod lua;
mod nix;
mod note;
mod npm;
mod opam;
mod pear;
mod perl;
mod portage;
mod programs;
mod pylock;
mod python;
mod r;
mod rpm;
mod ruby;
mod snap;
mod sqlite;
mod swipl;
mod system;
mod terms;
mod terraform;
mod vcpkg;
mod windows;
mod wordpress;

use std::collections::HashMap;

use super::binary::Facts;
use super::distro;
use super::document::Ecosystem;
use super::layer::{Content, Extracted, Extractor, Keep, LayerError, Most};
use super::license_text;
use super::squash::View;
pub use found::Found;
pub(super) use found::Mark;
pub(super) use java::GROUP_KEYS;

/// Version of what cataloguers find; raised whenever an SBOM could differ.
pub const CATALOGUE_VERSION: u32 = 7;

/// Every cataloguer, in the order in which their packages are collected.
const TABLE: &[Cataloguer] = &[
    dpkg::CATALOGUER,
    dpkg::FILES,
    apk::CATALOGUER,
    rpm::CATALOGUER,
    rpm::MANIFEST,
    rpm::FILES,
    alpm::CATALOGUER,
    portage::CATALOGUER,
    nix::CATALOGUER,
    snap::CATALOGUER,
    bitnami::CATALOGUER,
    homebrew::CATALOGUER,
    gguf::CATALOGUER,
    python::CATALOGUER,
    npm::CATALOGUER,
    go::CATALOGUER,
    cargo::CATALOGUER,
    java::jvm::CATALOGUER,
    java::maven::CATALOGUER,
    java::gradle::CATALOGUER,
    java::ARCHIVES,
    kernel::KERNELS,
    kernel::MODULES,
    note::CATALOGUER,
    windows::CATALOGUER,
    programs::CATALOGUER,
    jslock::CATALOGUER,
    pylock::CATALOGUER,
    ruby::INSTALLED,
    ruby::DECLARED,
    ruby::LOCKED,
    composer::INSTALLED,
    composer::LOCKED,
    cargolock::CATALOGUER,
    gomod::CATALOGUER,
    dotnet::CATALOGUER,
    dotnet::LOCK,
    actions::CATALOGUER,
    hex::REBAR,
    hex::MIX,
    hex::OTP,
    haskell::CATALOGUER,
    r::CATALOGUER,
    conda::CATALOGUER,
    lua::CATALOGUER,
    pear::CATALOGUER,
    perl::CATALOGUER,
    perl::MODULES,
    wordpress::CATALOGUER,
    apple::SWIFT,
    apple::PODS,
    dart::CATALOGUER,
    dart::PROJECT,
    conan::DECLARED,
    conan::INSTALLED,
    vcpkg::CATALOGUER,
    terraform::CATALOGUER,
    opam::CATALOGUER,
    swipl::CATALOGUER,
];

/// One ecosystem, and how its packages are found.
struct Cataloguer {
    ecosystem: Ecosystem,
    scope: Scope,
    finds: Finds,
}

/// In which trees a cataloguer looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In images and components: what is installed.
    Everywhere,
    /// In components only: what a project declares, such as a lock file. An image may
    /// have the lock file of a program, and lack what the file lists.
    Components,
}

/// What is scanned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// The squashed layers of an image.
    Image,
    /// The files of a component, or an archive among them.
    Component,
}

impl Scope {
    fn covers(self, tree: Tree) -> bool {
        self == Self::Everywhere || tree == Tree::Component
    }
}

/// Where packages are found. The filters get a file's folder, without slashes at its
/// ends, and its name.
enum Finds {
    /// In files that are kept whole.
    InFiles {
        /// Whether the file lists packages: `find` is called for each of these.
        lists: fn(folder: &str, name: &str) -> bool,
        /// Whether `find` looks up further facts in the file.
        supports: fn(folder: &str, name: &str) -> bool,
        /// The longest of these files that is kept, in bytes.
        longest: u64,
        find: fn(view: &View, path: &str, found: &mut Found),
    },
    /// In files that are too large to keep. `extract` reads each of them once, at any
    /// place, and `find` gets what it returned.
    InExtracts {
        lists: fn(folder: &str, name: &str) -> bool,
        longest: u64,
        extract: Extractor,
        find: fn(view: &View, path: &str, extract: &[u8], found: &mut Found),
    },
    /// In executables that carry facts.
    InExecutables(fn(view: &View, path: &str, facts: &Facts, found: &mut Found)),
    /// In facts about several executables: called once for a tree.
    OfTree(fn(view: &View, found: &mut Found)),
}

/// Names of databases that list all packages of a system. Others list one package each.
const WHOLE_SYSTEMS: [&str; 6] = [
    "status",
    "installed",
    "Packages",
    "Packages.db",
    "rpmdb.sqlite",
    "container-manifest-2",
];

impl Cataloguer {
    /// Whether it finds packages in the file at `path` itself.
    fn lists(&self, path: &str) -> bool {
        let (folder, name) = split(path);
        match self.finds {
            Finds::InFiles { lists, .. } | Finds::InExtracts { lists, .. } => lists(folder, name),
            Finds::InExecutables(_) | Finds::OfTree(_) => false,
        }
    }

    fn wants(&self, path: &str) -> Option<Keep> {
        let lists = self.lists(path);
        // Without its database, a system would seem to have no packages.
        let database = self.scope == Scope::Everywhere
            && self.ecosystem.is_system()
            && lists
            && WHOLE_SYSTEMS.contains(&split(path).1);
        let most = |longest| match database {
            true => Most::Refuse(longest),
            false => Most::Skip(longest),
        };
        let (folder, name) = split(path);
        match self.finds {
            Finds::InFiles {
                supports, longest, ..
            } => (lists || supports(folder, name)).then(|| Keep::Whole(most(longest))),
            Finds::InExtracts {
                longest, extract, ..
            } => lists.then(|| Keep::Extract {
                most: most(longest),
                extract,
            }),
            Finds::InExecutables(_) | Finds::OfTree(_) => None,
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Runs the cataloguers for a `tree` over `view`.
///
/// # Errors
///
/// The view or the packages are too large.
pub(super) fn packages(view: &View, tree: Tree, found: &mut Found) -> Result<(), LayerError> {
    let first = found.packages.len();
    for row in TABLE.iter().filter(|row| row.scope == Scope::Everywhere) {
        row.run(view, found);
    }
    // The folder of a lock file has the licence of the project, not of what it lists.
    found.read_licenses(view, first);
    if tree == Tree::Component {
        let declared = found.packages.len();
        for row in TABLE.iter().filter(|row| row.scope == Scope::Components) {
            row.run(view, found);
        }
        found.prefer_installed(first, declared);
    }
    dotnet::assemblies::join(found, first);
    found.drop_owned(view, first);
    view.check()
}

impl Cataloguer {
    fn run(&self, view: &View, found: &mut Found) {
        if let Finds::OfTree(find) = self.finds {
            return find(view, found);
        }
        view.each(|path, content| {
            if found.is_full() || view.check().is_err() {
                return;
            }
            match (&self.finds, content) {
                (Finds::InExecutables(find), Content::Executable(facts)) => {
                    find(view, path, facts, found);
                }
                (_, Content::Executable(_)) => {}
                _ if !self.lists(path) => {}
                (Finds::InFiles { find, .. }, Content::Text(_)) => find(view, path, found),
                (Finds::InExtracts { find, .. }, Content::Extract(extract)) => {
                    find(view, path, extract, found);
                }
                (_, Content::Unreadable(reason)) => {
                    found.unreadable(view, path, self.ecosystem, reason);
                }
                _ => {}
            }
        });
    }
}

/// What a scan of an image must keep of the file at `path`.
pub(super) fn wanted_of_images(path: &str) -> Option<Keep> {
    wanted(path, Tree::Image)
}

/// What a scan of a component must keep of the file at `path`.
pub(super) fn wanted_of_components(path: &str) -> Option<Keep> {
    wanted(path, Tree::Component)
}

/// Whether a cataloguer takes the zip archive at `path` apart itself: archives of Java, in
/// which others mean something.
pub(super) fn takes_apart(path: &str) -> bool {
    java::is_archive(split(path).1)
}

/// Which cataloguer wants the file at `path` of a component, as a place in the table; it
/// depends on folders as well as on names.
pub(super) fn row_of(path: &str) -> usize {
    let wants = |row: &Cataloguer| row.wants(path).is_some();
    TABLE.iter().position(wants).unwrap_or(TABLE.len())
}

fn wanted(path: &str, tree: Tree) -> Option<Keep> {
    let mut rows = TABLE.iter().filter(|row| row.scope.covers(tree));
    let own = rows.find_map(|row| row.wants(path));
    own.or_else(|| distro::wanted(path)).or_else(|| {
        license_text::is_named(split(path).1).then_some(Keep::Extract {
            most: Most::Skip(license_text::LONGEST),
            extract: |_, body| match body.whole(license_text::LONGEST) {
                Some(bytes) => Extracted::Facts(license_text::recognize(&bytes).into_bytes()),
                None => Extracted::Nothing,
            },
        })
    })
}

/// Whether `path` is a database of system packages. All of them share it, so
/// sharing it says nothing about who owns what.
pub(super) fn is_database(path: &str) -> bool {
    let system = |row: &&Cataloguer| row.scope == Scope::Everywhere && row.ecosystem.is_system();
    let mut rows = TABLE.iter().filter(system);
    rows.any(|row| row.wants(path).is_some())
}

/// The keys and values of one stanza.
type Fields<'t> = HashMap<&'t str, String>;

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

/// What `cataloguer` finds in a tree of these files.
#[cfg(test)]
fn find_in(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> Vec<super::document::Package> {
    let mut found = findings(cataloguer, files).packages;
    let kind = cataloguer.ecosystem.kind;
    found.retain(|package| package.ecosystem.kind == kind);
    found
}

/// What all cataloguers find in the tree of these files where `cataloguer` looks.
#[cfg(test)]
fn findings(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> super::document::Findings {
    let (tree, wanted): (_, super::layer::Wanted) = match cataloguer.scope {
        Scope::Everywhere => (Tree::Image, wanted_of_images),
        Scope::Components => (Tree::Component, wanted_of_components),
    };
    let tar = super::layer::tar_of(files);
    let layer = super::layer::scan(&tar[..], wanted, &crate::sbom::body::in_memory).unwrap();
    let mut view = View::new(true, super::budget::HELD_BYTES);
    view.stack(layer).unwrap();
    let mut all = Found::default();
    packages(&view, tree, &mut all).unwrap();
    all.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzing_reaches_the_files_of_every_cataloguer() {
        let target = include_str!("../../../fuzz/fuzz_targets/sbom.rs");
        let places = target.split('"').skip(1).step_by(2);
        let places: Vec<&str> = places.filter(|place| !place.contains(' ')).collect();
        for row in TABLE {
            let reads = matches!(row.finds, Finds::InFiles { .. } | Finds::InExtracts { .. });
            let reached = places.iter().any(|place| row.lists(place));
            assert!(
                reached || !reads,
                "PLACES lack a file of {}",
                row.ecosystem.found_by
            );
        }
    }
}
