//! The one door between a package that somebody handed over and its use.
//!
//! Takes evidence (the definition, `checksums.txt`, the digest of every file
//! found) and answers with a [`VerifiedPackage`], or with every reason why not.
//! Reads no file itself: `layout` gathers the evidence. Signatures are not
//! checked yet, and [`VerifiedPackage::signature`] says so.

use std::collections::BTreeMap;

use crate::oci::Digest;
use crate::package::{Checksums, ChecksumsError, Dialect};
use crate::yaml::{self, Mistakes, SourceText};

/// What was found in a package, before anything of it is believed.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Bytes of the definition, with the dialect of its file name.
    pub definition: Option<(Dialect, Vec<u8>)>,
    /// Bytes of `checksums.txt`.
    pub checksums: Option<Vec<u8>>,
    /// Digest and size in bytes of every regular file, by path.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// A package whose every file that was read is the one its definition vouches for.
#[derive(Debug)]
pub struct VerifiedPackage {
    dialect: Dialect,
    definition: Vec<u8>,
    checksums: Checksums,
    files: BTreeMap<String, (Digest, u64)>,
    scope: Scope,
    signature: Signature,
}

/// How much of a package is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it: a listed file that is not there is a reason to refuse.
    Whole,
    /// The files in the evidence only: whoever reads one member of a large
    /// package does not read the rest. What was not read stays untrusted.
    Given,
}

/// What is known about who made a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The package carries none.
    Absent,
    /// It carries one that was not checked.
    NotChecked,
}

/// One reason not to trust a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither `jackal.yaml` nor `zarf.yaml` is there.
    #[error("there is no jackal.yaml or zarf.yaml: this is not a package")]
    NoDefinition,
    /// The definition cannot be read.
    #[error("the definition cannot be read: {0}")]
    Definition(#[from] Mistakes),
    /// The definition is not UTF-8.
    #[error("the definition is not UTF-8 text")]
    NotText,
    /// `checksums.txt` is missing.
    #[error("there is no checksums.txt: ask for a package made by v0.25.1 or later")]
    NoChecksums,
    /// `checksums.txt` cannot be read.
    #[error("checksums.txt cannot be read: {0}")]
    Checksums(#[from] ChecksumsError),
    /// The definition names no aggregate checksum.
    #[error("the definition has no metadata.aggregateChecksum to vouch for checksums.txt")]
    NoAggregate,
    /// `checksums.txt` is not the one that the definition vouches for.
    #[error("checksums.txt digests to {found}, but metadata.aggregateChecksum is `{expected}`")]
    Aggregate {
        /// As written in the definition.
        expected: String,
        /// Hex SHA-256 of the file.
        found: String,
    },
    /// A listed file is not there.
    #[error("`{0}` is listed in checksums.txt and missing from the package")]
    Missing(String),
    /// A file is there that nothing vouches for.
    #[error("`{0}` is in the package and not listed in checksums.txt")]
    Extra(String),
    /// A file has other bytes than the list says.
    #[error("`{path}` digests to {found}, but checksums.txt says {expected}")]
    Altered {
        /// Path in the package.
        path: String,
        /// From `checksums.txt`.
        expected: Digest,
        /// Of the bytes found.
        found: Digest,
    },
}

impl VerifiedPackage {
    /// Whose names the package uses.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The definition as it stands in the package.
    #[must_use]
    pub fn definition(&self) -> &[u8] {
        &self.definition
    }

    /// The list of checksums, which the definition vouches for. Of files that
    /// were not read it says what they must be, not that they are.
    #[must_use]
    pub fn checksums(&self) -> &Checksums {
        &self.checksums
    }

    /// How much of the package was judged.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Digest and size in bytes of every file that was read, by path.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, (Digest, u64)> {
        &self.files
    }

    /// What is known about who made it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.signature
    }
}

/// Judges a package, or the part of it that `scope` says, by its evidence.
///
/// Source: package.md 3.3 and 5.4; package-changes-since.md 7, advice 1.
///
/// # Errors
///
/// Every [`Refusal`] there is, so that a damaged package is described whole.
pub fn verify(evidence: Evidence, scope: Scope) -> Result<VerifiedPackage, Vec<Refusal>> {
    let Some((dialect, definition)) = evidence.definition else {
        return Err(vec![Refusal::NoDefinition]);
    };
    let mut refusals = Vec::new();
    let expected = match aggregate(dialect, &definition) {
        Ok(expected) => Some(expected),
        Err(refusal) => {
            refusals.push(refusal);
            None
        }
    };
    let Some(text) = evidence.checksums else {
        refusals.push(Refusal::NoChecksums);
        return Err(refusals);
    };
    let found = Digest::of(&text).hex();
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        refusals.push(Refusal::Aggregate { expected, found });
    }
    let checksums = match Checksums::parse(&text) {
        Ok(checksums) => {
            compare(dialect, &checksums, &evidence.files, scope, &mut refusals);
            checksums
        }
        Err(error) => {
            refusals.push(error.into());
            Checksums::default()
        }
    };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let signed = [dialect.signature_file(), dialect.bundle_file()]
        .iter()
        .any(|name| evidence.files.contains_key(*name));
    Ok(VerifiedPackage {
        dialect,
        definition,
        checksums,
        files: evidence.files,
        scope,
        signature: if signed {
            Signature::NotChecked
        } else {
            Signature::Absent
        },
    })
}

fn aggregate(dialect: Dialect, definition: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(definition).map_err(|_| Refusal::NotText)?;
    let source = SourceText::new(dialect.definition_file(), text);
    yaml::parse_first(&source)?
        .as_ref()
        .and_then(|root| root.get("metadata")?.get("aggregateChecksum")?.scalar())
        .map(str::to_owned)
        .ok_or(Refusal::NoAggregate)
}

fn compare(
    dialect: Dialect,
    checksums: &Checksums,
    files: &BTreeMap<String, (Digest, u64)>,
    scope: Scope,
    refusals: &mut Vec<Refusal>,
) {
    for (path, expected) in checksums.iter() {
        match files.get(path) {
            None if scope == Scope::Given => {}
            None => refusals.push(Refusal::Missing(path.to_owned())),
            Some((found, _)) if found != expected => refusals.push(Refusal::Altered {
                path: path.to_owned(),
                expected: *expected,
                found: *found,
            }),
            Some(_) => {}
        }
    }
    let exempt = dialect.exempt_files();
    for path in files.keys() {
        if checksums.get(path).is_none() && !exempt.contains(&path.as_str()) {
            refusals.push(Refusal::Extra(path.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let component = Digest::of(b"component");
        let checksums = format!("{} components/a.tar\n", component.hex());
        let definition = format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: a\n  aggregateChecksum: {}\n",
            Digest::of(checksums.as_bytes()).hex()
        );
        let mut files = BTreeMap::new();
        files.insert("components/a.tar".to_owned(), (component, 9));
        Evidence {
            definition: Some((Dialect::Jackal, definition.into_bytes())),
            checksums: Some(checksums.into_bytes()),
            files,
        }
    }

    #[test]
    fn a_package_whose_files_are_all_listed_and_equal_passes() {
        let package = verify(evidence(), Scope::Whole).unwrap();
        assert_eq!(package.signature(), Signature::Absent);
        assert_eq!(package.files().len(), 1);
    }

    #[test]
    fn missing_extra_and_altered_files_are_reported_together() {
        let mut damaged = evidence();
        let list = [
            ("components/a.tar", b"component"),
            ("sboms.tar", b"sboms-xxx"),
        ]
        .map(|(path, bytes)| format!("{} {path}\n", Digest::of(bytes).hex()));
        damaged.checksums = Some(list.concat().into_bytes());
        damaged
            .files
            .insert("components/a.tar".into(), (Digest::of(b"x"), 1));
        damaged.files.insert("stray".into(), (Digest::of(b"y"), 1));
        let refusals = verify(damaged, Scope::Whole).unwrap_err();
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for part in [
            "metadata.aggregateChecksum",
            "`components/a.tar` digests to",
            "`sboms.tar` is listed",
            "`stray` is in the package",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }

    #[test]
    fn a_signature_is_exempt_from_the_list_and_reported_as_not_checked() {
        let mut signed = evidence();
        signed
            .files
            .insert("jackal.yaml.sig".into(), (Digest::of(b"s"), 1));
        assert_eq!(
            verify(signed, Scope::Whole).unwrap().signature(),
            Signature::NotChecked
        );
    }

    #[test]
    fn of_a_package_read_in_part_the_rest_may_be_away_but_no_stray_passes() {
        let mut part = evidence();
        part.files.clear();
        let package = verify(part.clone(), Scope::Given).unwrap();
        assert!(package.files().is_empty());
        assert!(package.checksums().get("components/a.tar").is_some());
        part.files.insert("stray".into(), (Digest::of(b"y"), 1));
        let refusals = verify(part, Scope::Given).unwrap_err();
        assert_eq!(refusals, [Refusal::Extra("stray".into())]);
    }

    #[test]
    fn a_package_without_definition_or_checksums_is_refused() {
        let refusals = verify(Evidence::default(), Scope::Whole).unwrap_err();
        assert_eq!(refusals, [Refusal::NoDefinition]);
        let mut bare = evidence();
        bare.checksums = None;
        assert_eq!(
            verify(bare, Scope::Whole).unwrap_err(),
            [Refusal::NoChecksums]
        );
    }
}
