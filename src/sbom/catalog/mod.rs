//! Cataloguers: from the squashed view to packages, one file per ecosystem.
//!
//! A new one is a file here, its line in [`TABLE`], and a higher
//! [`CATALOGUE_VERSION`]. A scan finds what it can: files that cannot be parsed are
//! listed in the document.

mod actions;
mod alpm;
mod apk;
mod apple;
mod cargo;
mod cargolock;
mod composer;
mod conan;
mod conda;
mod dart;
mod data;
mod dotnet;
mod dpkg;
mod go;
mod gomod;
mod goversion;
mod haskell;
mod hex;
mod java;
mod jslock;
mod kernel;
mod lock;
mod lua;
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
mod sqlite;
mod swipl;
mod system;
mod terms;
mod terraform;
mod vcpkg;
mod windows;
mod wordpress;

use std::collections::{HashMap, HashSet};

use super::binary::Facts;
use super::budget::{FILES_BYTES, FOUND_BYTES, Memory};
use super::distro;
use super::document::{
    Annotations, Ecosystem, Evidence, File, Findings, License, Location, Package, Unknown,
};
use super::layer::{Content, Extracted, Extractor, Keep, LayerError, Most};
use super::license_text;
use super::squash::View;

/// Version of what cataloguers find; raised whenever an SBOM could differ.
pub const CATALOGUE_VERSION: u32 = 4;

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

/// What describes an installation of Java.
const JAVA_INSTALLATION: &str = "java-jvm-installation";

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
        let database = self.scope == Scope::Everywhere && self.ecosystem.is_system() && lists;
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

/// The packages that were found so far, within a limit on what they take.
///
/// One line of a list may name a long path, and a million lines the same one.
pub struct Found {
    packages: Vec<Package>,
    files: Vec<File>,
    unknowns: Vec<Unknown>,
    memory: Memory,
    /// What is left for files; `None`: they were too many.
    room: Option<Memory>,
    full: bool,
}

/// Memory for a package in addition to its texts, and for each text in addition to
/// its bytes.
const PACKAGE_COST: usize = 400;
const TEXT_COST: usize = 40;

/// Memory for a file of a package in addition to its path.
const FILE_COST: usize = 170;

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
            files: Vec::new(),
            unknowns: Vec::new(),
            room: Some(Memory::new(FILES_BYTES, "its packages have too many files")),
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
        let licenses = licenses.map(|license| {
            let paths = license.locations.iter();
            let paths = paths.map(|at| 3 * TEXT_COST + at.path.len() + at.access_path.len());
            2 * TEXT_COST + license.value.len() + paths.sum::<usize>()
        });
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

    /// Lists the file at `path` as one that `cataloguer` could not read.
    fn unreadable(&mut self, view: &View, path: &str, cataloguer: Ecosystem, reason: &str) {
        let Some(location) = view.location(path, Evidence::Primary) else {
            return;
        };
        if self.text(2 * path.len() + reason.len()) {
            self.unknowns.push(Unknown {
                location,
                reason: format!("{}: {reason}", cataloguer.found_by),
            });
        }
    }

    /// Lists the archive at `path` in a component as one that could not be read, at
    /// least not to its end.
    pub(super) fn unreadable_archive(&mut self, path: &str, reason: &str) {
        if self.text(2 * path.len() + reason.len()) {
            let path = format!("/{path}");
            self.unknowns.push(Unknown {
                location: Location {
                    path: path.clone(),
                    layer: None,
                    access_path: path,
                    annotations: Annotations {
                        evidence: Evidence::Primary,
                    },
                },
                reason: format!("archive: {reason}"),
            });
        }
    }

    /// Whether there is too much: nothing more is taken.
    fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn finish(self) -> Result<Findings, LayerError> {
        match self.full {
            true => Err(LayerError::TooLarge("its lists of packages are too long")),
            false => Ok(Findings {
                packages: self.packages,
                files: self.files,
                unknowns: self.unknowns,
            }),
        }
    }

    /// Of the packages from `declared` on, drops those that are among the ones after
    /// `first` already: what is installed says more than what a lock file wants. What
    /// needs them, and what they need, stays known.
    fn prefer_installed(&mut self, first: usize, declared: usize) {
        type Identity<'p> = (&'static str, &'p str, &'p str);
        fn identity(package: &Package) -> Identity<'_> {
            (package.ecosystem.kind, &package.name, &package.version)
        }
        let rest = self.packages.split_off(declared);
        let mut installed: HashMap<Identity, usize> = HashMap::new();
        for (index, package) in self.packages.iter().enumerate().skip(first) {
            installed.entry(identity(package)).or_insert(index);
        }
        let places = rest.iter().map(|package| installed.get(&identity(package)));
        let places: Vec<Option<usize>> = places.map(Option::<&usize>::copied).collect();
        for (mut package, place) in rest.into_iter().zip(places) {
            match place {
                Some(index) => {
                    let known = &mut self.packages[index];
                    known.provides.append(&mut package.provides);
                    known.requires.append(&mut package.requires);
                }
                None => self.packages.push(package),
            }
        }
    }

    /// Of the packages after `first`, drops programs in files that a system package or a
    /// Java installation owns: those say more about them.
    fn drop_owned(&mut self, view: &View, first: usize) {
        let mut rest = self.packages.split_off(first);
        let paths = |package: &Package| {
            let paths = package.locations.iter().map(|at| at.path.clone());
            paths.collect::<Vec<String>>()
        };
        let programs = rest.iter().filter(|package| programs::is_program(package));
        let wanted: HashSet<String> = programs.flat_map(paths).collect();
        let names: HashSet<&str> = wanted.iter().map(|path| split(path).1).collect();
        let owned_by = |owner: &dyn Fn(&Package) -> bool| {
            let owners = rest.iter().filter(|package| owner(package));
            let owned = owners.flat_map(|package| &package.owns);
            let owned = owned.filter(|path| names.contains(split(path).1));
            // Lists of files have paths such as `/bin/bash`, where `/bin` is a link.
            let real = owned.filter_map(|path| view.resolve(path));
            real.map(|path| format!("/{path}"))
                .collect::<HashSet<String>>()
        };
        let by_system = owned_by(&|package| package.ecosystem.is_system());
        let by_java = owned_by(&|package| package.ecosystem.metadata_type == JAVA_INSTALLATION);
        let noted = rest.iter().filter(|package| programs::is_note(package));
        let noted: HashSet<String> = noted.flat_map(paths).collect();
        rest.retain(|package| {
            let at =
                |set: &HashSet<String>| package.locations.iter().any(|at| set.contains(&at.path));
            let other = programs::is_program(package) && !programs::is_note(package);
            !(programs::is_program(package) && at(&by_system)
                || other && at(&noted)
                || other && programs::is_java(package) && at(&by_java))
        });
        self.packages.append(&mut rest);
    }

    /// Of the packages from `first` on, gives those that name no licence the ones whose
    /// texts are in their folders.
    fn read_licenses(&mut self, view: &View, first: usize) {
        for index in first..self.packages.len() {
            let package = &self.packages[index];
            let primary = |at: &&Location| at.annotations.evidence == Evidence::Primary;
            let Some(at) = package.locations.iter().find(primary) else {
                continue;
            };
            let (folder, name) = split(at.path.trim_start_matches('/'));
            let folders = match package.ecosystem.kind {
                _ if !package.licenses.is_empty() => continue,
                "npm" => vec![folder.to_owned()],
                "python" => vec![folder.to_owned(), format!("{folder}/licenses")],
                "gem" => {
                    let base = folder.strip_suffix("/specifications").unwrap_or(folder);
                    vec![format!("{base}/gems/{}", name.trim_end_matches(".gemspec"))]
                }
                _ => continue,
            };
            // A file in the folder of other packages is not about this one.
            let shared = name.ends_with(".egg-info");
            let mut licenses = Vec::new();
            for folder in folders.iter().filter(|_| !shared) {
                for start in ["L", "l", "C", "c", "U"] {
                    let names = view.names(folder, start);
                    for name in names.filter(|name| license_text::is_named(name)).take(20) {
                        let path = format!("{folder}/{name}");
                        let location = view.location(&path, Evidence::Supporting);
                        if let (Some(ids), Some(at)) = (view.extract(&path), location) {
                            let ids = String::from_utf8_lossy(ids).into_owned();
                            let ids = ids.lines().filter(|id| !id.contains(':'));
                            licenses.extend(ids.map(|id| License::concluded(id, at.clone())));
                        }
                    }
                }
            }
            let paths = licenses.iter().flat_map(|license| &license.locations);
            let cost = paths.map(|at| 200 + 2 * at.path.len()).sum();
            if !self.text(cost) {
                return;
            }
            self.packages[index].licenses.extend(licenses);
        }
    }

    /// Looks up, in `view`, the files of the packages that came after `mark`, and those
    /// that are evidence for them.
    pub(super) fn gather(&mut self, view: &View, mark: Mark) {
        let mut places: HashMap<usize, u32> = HashMap::new();
        for index in mark.packages..self.packages.len() {
            let Self {
                packages,
                files,
                room: Some(room),
                ..
            } = self
            else {
                return;
            };
            let package = &mut packages[index];
            let mut fits = true;
            let mut place = |path: &str| {
                let (node, file) = view.file(path)?;
                if let Some(known) = places.get(&node) {
                    return Some(*known);
                }
                let made = u32::try_from(files.len()).ok()?;
                fits &= room.took(FILE_COST + file.path.len());
                files.push(file);
                places.insert(node, made);
                Some(made)
            };
            for at in &package.locations {
                place(&at.path);
            }
            let owned: Vec<u32> = package.owns.iter().filter_map(|path| place(path)).collect();
            package.files.extend(owned);
            package.files.sort_unstable();
            package.files.dedup();
            fits &= room.took(4 * package.files.len());
            if !fits {
                self.no_files();
            }
        }
    }

    /// There are too many files: none is related to a package.
    fn no_files(&mut self) {
        self.room = None;
        self.files = Vec::new();
        for package in &mut self.packages {
            package.files = Vec::new();
        }
    }

    /// Changes the files that came after `mark`: each path grows by `bytes`.
    pub(super) fn change_files_after(
        &mut self,
        mark: Mark,
        bytes: usize,
        change: impl FnMut(&mut File),
    ) {
        let Some(room) = &mut self.room else {
            return;
        };
        let files = self.files.get_mut(mark.files..).unwrap_or_default();
        match room.took(files.len().saturating_mul(bytes)) {
            true => files.iter_mut().for_each(change),
            false => self.no_files(),
        }
    }

    /// How much was found so far.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            packages: self.packages.len(),
            files: self.files.len(),
            unknowns: self.unknowns.len(),
        }
    }

    /// Changes the packages that came after `mark`: each path, and each name it has,
    /// grows by at most `bytes`.
    pub(super) fn change_after(
        &mut self,
        mark: Mark,
        bytes: usize,
        change: impl FnMut(&mut Package),
    ) {
        let paths = self.packages[mark.packages..].iter().map(|package| {
            let names = package.provides.len() + package.requires.len();
            let licenses = package.licenses.iter();
            let licenses = licenses.map(|license| 2 * license.locations.len());
            let places = 2 * package.locations.len() + licenses.sum::<usize>();
            2 + places + package.owns.len() + names
        });
        let bytes = paths.sum::<usize>().saturating_mul(bytes.max(TEXT_COST));
        if self.text(bytes) {
            self.packages[mark.packages..].iter_mut().for_each(change);
        }
    }

    /// Changes the locations of unreadable files that came after `mark`: each path grows
    /// by at most `bytes`.
    pub(super) fn change_unknowns_after(
        &mut self,
        mark: Mark,
        bytes: usize,
        change: impl FnMut(&mut Location),
    ) {
        let paths = 2 * (self.unknowns.len() - mark.unknowns);
        if self.text(paths.saturating_mul(bytes)) {
            let unknowns = self.unknowns[mark.unknowns..].iter_mut();
            unknowns
                .map(|unknown| &mut unknown.location)
                .for_each(change);
        }
    }
}

/// How much was found at some time.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    packages: usize,
    files: usize,
    unknowns: usize,
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
    if tree == Tree::Component {
        let declared = found.packages.len();
        for row in TABLE.iter().filter(|row| row.scope == Scope::Components) {
            row.run(view, found);
        }
        found.prefer_installed(first, declared);
    }
    dotnet::assemblies::join(found, first);
    found.drop_owned(view, first);
    found.read_licenses(view, first);
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
fn find_in(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> Vec<Package> {
    let mut found = findings(cataloguer, files).packages;
    let kind = cataloguer.ecosystem.kind;
    found.retain(|package| package.ecosystem.kind == kind);
    found
}

/// What all cataloguers find in the tree of these files where `cataloguer` looks.
#[cfg(test)]
fn findings(cataloguer: &Cataloguer, files: &[(&str, &[u8])]) -> Findings {
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
