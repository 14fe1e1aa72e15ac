//! The database of Alpine's apk: one file with all packages and their paths.

use std::path::Path;

use super::{Installed, Listing, MAX_BYTES};
use crate::disk;

/// Reads the database at `file`.
pub(super) fn read(file: &Path) -> Listing {
    let mut listing = Listing::default();
    let bytes = disk::read(file, MAX_BYTES).unwrap_or_default();
    for stanza in String::from_utf8_lossy(&bytes).split("\n\n") {
        add(&mut listing, stanza);
    }
    listing
}

fn add(listing: &mut Listing, stanza: &str) {
    let (mut name, mut folder) = ("", "");
    let (mut found, mut files) = (Installed::default(), vec![b'\n']);
    let mut provides: Vec<String> = Vec::new();
    for line in stanza.lines() {
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        match field {
            "P" => name = value,
            "V" => value.clone_into(&mut found.version),
            "A" => value.clone_into(&mut found.architecture),
            "D" => found.needs.extend(names(value).map(|name| vec![name])),
            "p" => provides.extend(names(value)),
            "F" => folder = value,
            "R" => files.extend(format!("/{folder}/{value}\n").replace("//", "/").bytes()),
            _ => {}
        }
    }
    if name.is_empty() {
        return;
    }
    for provided in provides {
        let by = listing.provided.entry(provided).or_default();
        by.push(name.to_owned());
    }
    listing.files.insert(name.to_owned(), files);
    listing.installed.insert(name.to_owned(), found);
}

/// The names in a list such as `musl>=1.2 so:libc.so.1 !conflict`.
fn names(value: &str) -> impl Iterator<Item = String> {
    let wanted = value.split_whitespace().filter(|one| !one.starts_with('!'));
    wanted.map(|one| {
        let end = one.find(['<', '>', '=', '~']).unwrap_or(one.len());
        one[..end].to_owned()
    })
}
