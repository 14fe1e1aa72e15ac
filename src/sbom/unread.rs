//! How files are named that a scan could not read.

use super::document::Unknown;
use crate::text::{first_of, one_line};

/// Most files that a warning names.
const NAMED: usize = 5;

/// What is said of one file.
#[must_use]
pub fn line(path: &str, reason: &str) -> String {
    one_line(&format!("`{path}`: {reason}"))
}

/// What is said of the files that a scan could not read.
#[must_use]
pub fn lines(unknowns: &[Unknown]) -> Vec<String> {
    let lines = unknowns.iter();
    lines
        .map(|unknown| line(&unknown.location.path, &unknown.reason))
        .collect()
}

/// The warning about a document that lacks them, if there are any.
#[must_use]
pub fn warning(lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| {
        let first = first_of(lines, NAMED);
        format!("files that could not be read: {first}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_are_named_and_the_others_counted() {
        assert_eq!(warning(&[]), None);
        let lines: Vec<String> = (0..7)
            .map(|n| line(&format!("/{n}"), "a\u{202e}b"))
            .collect();
        let warning = warning(&lines).unwrap();
        assert!(warning.contains("`/0`: a"), "{warning}");
        assert!(warning.ends_with(" and 2 more"), "{warning}");
        assert!(!warning.contains('\u{202e}'), "{warning}");
    }
}
