//! Packages of the system: which one a file belongs to, and what identifies it.
//!
//! The identity of a package is its name, version and architecture, with those of all
//! packages that it depends on. The databases are read only when they have changed, or
//! for a file that was not looked up before.

mod apk;
mod dpkg;
mod listing;

use std::path::{Path, PathBuf};

use super::memory::{Facts, Memory, now, seen};
use crate::disk::look;
use crate::ground::{Class, Failure};
use crate::oci::Digest;
use crate::workspace::Stat;

use listing::Installed;
pub(crate) use listing::{Listing, Package};

/// Maximum size of a database file that is read, in bytes: 256 MiB, several times that
/// of a full distribution.
const MAX_BYTES: u64 = 256 << 20;

/// Where the databases of packages are.
pub(super) const ROOT: &str = "/";

/// Reads a database.
type Read = fn(&Path) -> Listing;

/// The formats of databases: where each is, and how it is read.
const FORMATS: [(&str, Read); 6] = [
    ("var/lib/dpkg/status", dpkg::read),
    ("lib/apk/db/installed", apk::read),
    // Their packages cannot be told apart without a reader of the database.
    ("usr/lib/sysimage/rpm/rpmdb.sqlite", opaque),
    ("var/lib/rpm/rpmdb.sqlite", opaque),
    ("var/lib/rpm/Packages.db", opaque),
    ("var/lib/rpm/Packages", opaque),
];

fn opaque(file: &Path) -> Listing {
    Listing {
        opaque: crate::disk::read(file, MAX_BYTES)
            .ok()
            .map(|bytes| Digest::of(&bytes)),
        ..Listing::default()
    }
}

/// The package that the file at `path`, links resolved, belongs to.
pub(super) fn owner(memory: &Memory, root: &Path, path: &Path) -> Option<Package> {
    let mut held = memory.hold();
    let facts = held.facts();
    current(facts, root)?;
    if let Some(known) = facts.owners.get(path) {
        return known.clone();
    }
    // Of packages, the files of `current` say whether they are as they were.
    let found = look::untraced(|| listing(facts, root).owner(path));
    facts.owners.insert(path.to_owned(), found.clone());
    facts.changed |= is_settled(facts);
    found
}

/// The package called `name`.
///
/// # Errors
///
/// It is not installed, or this system has no database that is understood.
pub(super) fn named(memory: &Memory, root: &Path, name: &str) -> Result<Package, Failure> {
    let mut held = memory.hold();
    let facts = held.facts();
    let refuse = |why: String| Err(Failure::new(Class::Configuration, why));
    if current(facts, root).is_none() {
        return refuse(format!(
            "`packages: [{name}]` needs the database of dpkg, apk or rpm, and this system has none: \
             remove it"
        ));
    }
    // No path of a file is relative.
    let key = PathBuf::from(name);
    if let Some(known) = facts.owners.get(&key) {
        return Ok(known.clone()).and_then(|known| known.ok_or_else(|| absent(name)));
    }
    let found = listing(facts, root).package(name);
    facts.owners.insert(key, found.clone());
    facts.changed |= is_settled(facts);
    found.ok_or_else(|| absent(name))
}

fn absent(name: &str) -> Failure {
    let message = format!(
        "the package `{name}` of `packages` is not installed: install it, or correct the name"
    );
    Failure::new(Class::Configuration, message)
}

/// Forgets what was read from databases that have changed; `None`: there are none.
fn current(facts: &mut Facts, root: &Path) -> Option<()> {
    if facts.checked == Some(facts.round) {
        // What was compared a moment ago is part of what is looked at now.
        look::note_all(facts.databases.iter().map(|(file, _)| file), true);
    } else {
        let files = FORMATS.iter().map(|(path, _)| root.join(path));
        let began = now();
        let seen: Vec<(PathBuf, Stat)> = files
            .filter_map(|file| Some((file.clone(), seen(&file)?)))
            .collect();
        if facts.databases != seen {
            facts.owners.clear();
            facts.listing = None;
            facts.databases = seen;
        }
        facts.checked = Some(facts.round);
        facts.checked_at = began;
    }
    (!facts.databases.is_empty()).then_some(())
}

fn is_settled(facts: &Facts) -> bool {
    let mut databases = facts.databases.iter();
    databases.all(|(_, seen)| seen.is_settled(facts.checked_at))
}

/// All packages, read once.
fn listing<'f>(facts: &'f mut Facts, root: &Path) -> &'f Listing {
    facts.listing.get_or_insert_with(|| {
        let mut files = FORMATS.iter().map(|(path, read)| (root.join(path), read));
        let found = files.find(|(file, _)| look::is_file(file));
        found.map_or_else(Listing::default, |(file, read)| read(&file))
    })
}

#[cfg(test)]
mod tests;
