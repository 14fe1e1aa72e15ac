//! The database of dpkg: `status`, and one list of paths a package.

use std::path::Path;

use super::{Installed, Listing, MAX_BYTES};
use crate::disk::{self, look};

/// Reads the database whose `status` is at `file`.
pub(super) fn read(file: &Path) -> Listing {
    let mut listing = Listing::default();
    let bytes = disk::read(file, MAX_BYTES).unwrap_or_default();
    for stanza in String::from_utf8_lossy(&bytes).split("\n\n") {
        add(&mut listing, stanza);
    }
    let info = file.with_file_name("info");
    for entry in look::read_dir(&info).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let package = match name.split_once(':') {
            // The second of two architectures has its own entry.
            Some((bare, _)) if !listing.installed.contains_key(name) => bare,
            _ => name,
        };
        if !listing.installed.contains_key(package) {
            continue;
        }
        let files = listing.files.entry(package.to_owned()).or_default();
        files.push(b'\n');
        files.extend(disk::read(&entry.path(), MAX_BYTES).unwrap_or_default());
    }
    listing
}

fn add(listing: &mut Listing, stanza: &str) {
    let (mut name, mut is_installed) = ("", false);
    let (mut found, mut provides) = (Installed::default(), Vec::new());
    for line in stanza.lines() {
        let Some((field, value)) = line.split_once(": ") else {
            continue;
        };
        match field {
            "Package" => name = value,
            "Status" => is_installed = value.ends_with(" installed"),
            "Version" => value.clone_into(&mut found.version),
            "Architecture" => value.clone_into(&mut found.architecture),
            "Depends" | "Pre-Depends" => found.needs.extend(groups(value)),
            "Provides" => provides.extend(groups(value).into_iter().flatten()),
            _ => {}
        }
    }
    if !is_installed {
        return;
    }
    let key = match listing.installed.contains_key(name) {
        true => format!("{name}:{}", found.architecture),
        false => name.to_owned(),
    };
    for provided in provides {
        listing
            .provided
            .entry(provided)
            .or_default()
            .push(key.clone());
    }
    listing.installed.insert(key, found);
}

/// The names in a list such as `a (>= 1) | b, c:any`.
fn groups(value: &str) -> Vec<Vec<String>> {
    let name = |text: &str| {
        let end = text.find([' ', '(', ':', '[']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    let group = |group: &str| group.split('|').map(|one| name(one.trim())).collect();
    value.split(',').map(group).collect()
}
