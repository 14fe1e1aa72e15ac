//! Licences that the copyright file of a Debian package names.
//!
//! Source: "Machine-readable debian/copyright file", version 1.0, and Debian Policy 12.5.

use super::super::Found;
use crate::sbom::document::{License, Package};

/// Where systems have the texts of common licences.
const COMMON: &str = "/usr/share/common-licenses/";

/// Takes the licences that `text` names, if it says that it is machine-readable.
pub(super) fn take(text: &str, package: &mut Package, found: &mut Found) {
    if !is_readable(text) {
        return;
    }
    for line in text.lines() {
        let stated = line.strip_prefix("License:");
        let common = line.split_once(COMMON).map(|(_, rest)| rest);
        if (stated.is_some() || common.is_some()) && !found.text(2 * line.len()) {
            return;
        }
        let word = stated.and_then(|rest| rest.split_whitespace().next());
        // No licence at all, and the name of the licence of a few files.
        if let Some(word) = word.filter(|word| *word != "none") {
            package.licenses.insert(License::new(word.to_owned()));
        }
        let named = |c: &char| c.is_ascii_alphanumeric() || "-.+".contains(*c);
        let word: String = common
            .unwrap_or_default()
            .chars()
            .take_while(named)
            .collect();
        let word = word.trim_end_matches('.');
        if !word.is_empty() {
            package.licenses.insert(License::new(word.to_owned()));
        }
    }
}

/// Whether the first field of `text` names the format.
fn is_readable(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let format = first.and_then(|line| line.split_once(':'));
    format.is_some_and(|(key, value)| {
        let known = ["copyright-format", "dep5", "DEP-5", "CopyrightFormat"];
        (key == "Format" || key == "Format-Specification")
            && known.iter().any(|known| value.contains(known))
    })
}
