//! What was found so far, within a limit on what it takes.

use std::collections::{HashMap, HashSet};

use super::split;
use crate::sbom::budget::{FILES_BYTES, FOUND_BYTES, Memory};
use crate::sbom::distro::under;
use crate::sbom::document::{
    Annotations, Ecosystem, Evidence, File, Findings, License, Location, Package, Unknown,
};
use crate::sbom::layer::LayerError;
use crate::sbom::license_text;
use crate::sbom::squash::View;

/// What a program is known by: its content, or the note of who packaged it.
pub(super) const PROGRAM_TYPE: &str = "binary-signature";
pub(super) const NOTE_TYPE: &str = "elf-binary-package-note-json-payload";

/// What describes an installation of Java.
const JAVA_INSTALLATION: &str = "java-jvm-installation";

/// The packages that were found so far, within a limit on what they take.
///
/// One line of a list may name a long path, and a million lines the same one.
pub struct Found {
    pub(super) packages: Vec<Package>,
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
    pub(super) fn within(bytes: usize) -> Self {
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
    pub(super) fn text(&mut self, bytes: usize) -> bool {
        self.full |= !self.memory.took(TEXT_COST + bytes);
        !self.full
    }

    /// Counts what is held while a package is read; [`push`](Self::push) counts what
    /// stays of it.
    pub(super) fn reading<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.memory.clone();
        let done = read(self);
        if !self.full {
            self.memory = before;
        }
        done
    }

    /// Takes a package, unless there are too many.
    pub(super) fn push(&mut self, package: Package) {
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
    pub(super) fn unreadable(
        &mut self,
        view: &View,
        path: &str,
        cataloguer: Ecosystem,
        reason: &str,
    ) {
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
    pub(in crate::sbom) fn unreadable_archive(&mut self, path: &str, reason: &str) {
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
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(in crate::sbom) fn finish(self) -> Result<Findings, LayerError> {
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
    pub(super) fn prefer_installed(&mut self, first: usize, declared: usize) {
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
    pub(in crate::sbom) fn drop_owned(&mut self, view: &View, first: usize) {
        let mut rest = self.packages.split_off(first);
        let paths = |package: &Package| {
            let paths = package.locations.iter().map(|at| at.path.clone());
            paths.collect::<Vec<String>>()
        };
        let programs = rest.iter().filter(|package| is_program(package));
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
        let noted = rest.iter().filter(|package| is_note(package));
        let noted: HashSet<String> = noted.flat_map(paths).collect();
        rest.retain(|package| {
            let at =
                |set: &HashSet<String>| package.locations.iter().any(|at| set.contains(&at.path));
            let other = is_program(package) && !is_note(package);
            !(is_program(package) && at(&by_system)
                || other && at(&noted)
                || other && is_java(package) && at(&by_java))
        });
        self.packages.append(&mut rest);
    }

    /// Of the packages from `first` on, gives those that name no licence the ones whose
    /// texts are in their folders.
    pub(super) fn read_licenses(&mut self, view: &View, first: usize) {
        // Thousands of packages may be in one folder.
        let mut known: HashMap<String, Vec<License>> = HashMap::new();
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
            for folder in folders.into_iter().filter(|_| !shared) {
                if !known.contains_key(&folder) {
                    let read = licenses_in(view, &folder);
                    if !self.text(folder.len() + cost(&read)) {
                        return;
                    }
                    known.insert(folder.clone(), read);
                }
                licenses.extend(known.get(&folder).into_iter().flatten().cloned());
            }
            if !self.text(cost(&licenses)) {
                return;
            }
            self.packages[index].licenses.extend(licenses);
        }
    }

    /// Looks up, in `view`, the files of the packages that came after `mark`, and those
    /// that are evidence for them.
    pub(in crate::sbom) fn gather(&mut self, view: &View, mark: Mark) {
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
    pub(super) fn no_files(&mut self) {
        self.room = None;
        self.files = Vec::new();
        for package in &mut self.packages {
            package.files = Vec::new();
        }
    }

    /// Changes the files that came after `mark`: each path grows by `bytes`.
    pub(in crate::sbom) fn change_files_after(
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
    pub(in crate::sbom) fn mark(&self) -> Mark {
        Mark {
            packages: self.packages.len(),
            files: self.files.len(),
            unknowns: self.unknowns.len(),
        }
    }

    /// Changes the packages that came after `mark`: each path, and each name it has,
    /// grows by at most `bytes`.
    pub(in crate::sbom) fn change_after(
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
    pub(in crate::sbom) fn change_unknowns_after(
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

/// What licences take until they are put into a package, in bytes.
fn cost(licenses: &[License]) -> usize {
    let paths = licenses.iter().flat_map(|license| &license.locations);
    paths.map(|at| 200 + 2 * at.path.len()).sum()
}

/// The licences whose texts are in `folder`.
fn licenses_in(view: &View, folder: &str) -> Vec<License> {
    let mut licenses = Vec::new();
    for start in ["L", "l", "C", "c", "U"] {
        let names = view.names(folder, start);
        for name in names.filter(|name| license_text::is_named(name)).take(20) {
            let path = under(folder, name);
            let location = view.location(&path, Evidence::Supporting);
            if let (Some(ids), Some(at)) = (view.extract(&path), location) {
                let ids = String::from_utf8_lossy(ids).into_owned();
                let ids = ids.lines().filter(|id| !id.contains(':'));
                licenses.extend(ids.map(|id| License::concluded(id, at.clone())));
            }
        }
    }
    licenses
}

/// How much was found at some time.
#[derive(Clone, Copy)]
pub(in crate::sbom) struct Mark {
    packages: usize,
    files: usize,
    unknowns: usize,
}

/// Whether a package is dropped if a system package has its file.
fn is_program(package: &Package) -> bool {
    let ecosystem = package.ecosystem;
    ecosystem.kind == "binary" || [PROGRAM_TYPE, NOTE_TYPE].contains(&ecosystem.metadata_type)
}

/// Whether a package is the program `java`.
fn is_java(package: &Package) -> bool {
    let mut names = (package.locations.iter()).map(|at| at.path.rsplit('/').next());
    package.ecosystem.metadata_type == PROGRAM_TYPE && names.all(|name| name == Some("java"))
}

/// Whether a package comes from the note in an ELF file.
fn is_note(package: &Package) -> bool {
    package.ecosystem.metadata_type == NOTE_TYPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::body::in_memory;
    use crate::sbom::catalog::wanted_of_images;
    use crate::sbom::layer::{scan, tar_of};

    #[test]
    fn packages_of_one_folder_do_not_search_it_again_and_again() {
        let names: Vec<String> = (0..4_000).map(|number| format!("a/l{number}")).collect();
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        files.push(("a/package.json", b"{}"));
        let mut view = View::new(true, 64 << 20);
        let layer = scan(&tar_of(&files)[..], wanted_of_images, &in_memory).unwrap();
        view.stack(layer).unwrap();
        let mut found = Found::default();
        let ecosystem = Ecosystem {
            kind: "npm",
            language: "javascript",
            found_by: "test",
            metadata_type: "test",
        };
        let at = view.location("a/package.json", Evidence::Primary).unwrap();
        for number in 0..10_000 {
            let mut package = Package::new(ecosystem, &number.to_string(), "1");
            package.locations.push(at.clone());
            found.push(package);
        }
        found.read_licenses(&view, 0);
        view.check().unwrap();
    }
}
