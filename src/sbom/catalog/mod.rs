//! Cataloguers: from the squashed view to packages, one file an ecosystem.
//!
//! A file that cannot be parsed is passed over: a scan finds what it can.

mod apk;
mod cargo;
mod dpkg;
mod go;
mod goversion;
mod npm;
mod python;

use super::document::Package;
use super::squash::View;

/// Every cataloguer, in the order their finds are collected.
const TABLE: [fn(&View) -> Vec<Package>; 6] = [
    dpkg::find,
    apk::find,
    python::find,
    npm::find,
    go::find,
    cargo::find,
];

/// Runs all cataloguers over `view`.
#[must_use]
pub fn packages(view: &View) -> Vec<Package> {
    TABLE.iter().flat_map(|find| find(view)).collect()
}

/// Splits a text of `Key: value` stanzas; continuation lines are joined by newline.
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

#[cfg(test)]
fn view_of(files: &[(&str, &[u8])]) -> View {
    let tar = super::layer::tar_of(files);
    View::squash(vec![super::layer::scan(&tar[..]).unwrap()], true)
}
