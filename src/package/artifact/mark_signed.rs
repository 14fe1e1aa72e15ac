//! Marks a Zarf definition as signed, before it is signed.
//!
//! Inserts lines into the text, so that everything else stays byte for byte. Source: docs/spec/signing.md, "Where a signature is stored".

use crate::package::Dialect;

/// The lines that Zarf adds, besides `signed` and the name of the bundle.
const REQUIRED: [&str; 4] = [
    "versionRequirements:",
    "- version: v0.71.0",
    "  reason: This package contains a bundle format signature which requires Zarf v0.71.0 or later",
    "provenanceFiles:",
];

/// Why a definition cannot be marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition has no `build:` section in block style, so it cannot be marked as signed")]
pub struct MarkError;

/// Adds `build.signed`, and the bundle to `build.provenanceFiles`, to the
/// definition `text`. Returns it unchanged if it has both.
///
/// # Errors
///
/// [`MarkError`]
pub fn mark_signed(text: &str) -> Result<String, MarkError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let start = lines.iter().position(|line| line.trim_end() == "build:");
    let start = start.ok_or(MarkError)? + 1;
    let inside = |line: &&str| line.starts_with([' ', '-']) || line.trim().is_empty();
    let len = lines[start..]
        .iter()
        .take_while(|line| inside(line))
        .count();
    let block = &lines[start..start + len];
    let first = block.first().ok_or(MarkError)?;
    let indent = &first[..first.len() - first.trim_start().len()];
    let has = |key: &str| {
        block
            .iter()
            .any(|line| line.strip_prefix(indent) == Some(key))
    };
    let file = format!("- {}", Dialect::Zarf.bundle_file());
    let lists = |line: &&str| line.trim() == file;
    if has("signed: true\n") && block.iter().any(lists) {
        return Ok(text.to_owned());
    }
    let mut marked = lines[..start].concat();
    let mut put = |line: &str| marked.push_str(&format!("{indent}{line}\n"));
    let provenance = format!("{}\n", REQUIRED[3]);
    put("signed: true");
    if !has(&format!("{}\n", REQUIRED[0])) {
        REQUIRED[..3].iter().for_each(|line| put(line));
    }
    if !has(&provenance) {
        put(REQUIRED[3]);
        put(&file);
    }
    for line in block {
        let bare = line.strip_prefix(indent);
        if bare.is_some_and(|line| line.starts_with("signed:")) {
            continue;
        }
        marked.push_str(line);
        if bare == Some(&provenance) && !block.iter().any(lists) {
            marked.push_str(&format!("{indent}{file}\n"));
        }
    }
    marked.push_str(&lines[start + len..].concat());
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_marked_once() {
        let plain = "kind: ZarfPackageConfig\nbuild:\n  architecture: amd64\n  signed: false\n  provenanceFiles:\n  - checksums.txt\ncomponents: []\n";
        let marked = mark_signed(plain).unwrap();
        let expected = "kind: ZarfPackageConfig\nbuild:\n  signed: true\n  versionRequirements:\n  - version: v0.71.0\n    reason: This package contains a bundle format signature which requires Zarf v0.71.0 or later\n  architecture: amd64\n  provenanceFiles:\n  - zarf.bundle.sig\n  - checksums.txt\ncomponents: []\n";
        assert_eq!(marked, expected);
        assert_eq!(mark_signed(&marked).unwrap(), marked);
        let without = mark_signed("build:\n    user: x\n").unwrap();
        assert!(without.ends_with("    provenanceFiles:\n    - zarf.bundle.sig\n    user: x\n"));
        assert!(mark_signed("build: {user: x}\n").is_err());
    }
}
