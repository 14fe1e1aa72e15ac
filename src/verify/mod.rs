//! Verification: the only way from a received package to its use.
//!
//! Takes evidence (the definition, `checksums.txt`, signatures, the digest of
//! every file found) and the user's [`Policy`], and answers with a
//! [`VerifiedPackage`], or with every reason why not. Reads no file itself:
//! `layout` and `source` gather the evidence.
//!
//! In this order: the signature over the raw bytes of the definition; the
//! definition over `checksums.txt`; that over every file.

mod contents;
mod older;
mod policy;
mod policy_file;
mod refusal;
mod signature;
mod tag;

use std::collections::BTreeMap;

pub use contents::{Contents, check_contents, check_tars};
pub use policy::{Check, Policy, RequiredAttestation, Rule, Signer};
pub use policy_file::{parse_policy, policy_schema};
pub use refusal::Refusal;
pub use signature::{Attested, By, MAX_ATTACHED, Signature, Signed, Tagged};

use crate::archive::Listing;
use crate::oci::{Digest, Reference};
use crate::package::{Checksums, Definition, Dialect, time};
use crate::yaml::{self, Node, SourceText};
use signature::Facts;

/// What was found in and beside a package. Nothing in it is trusted.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Bytes of the definition, with the dialect of its file name.
    pub definition: Option<(Dialect, Vec<u8>)>,
    /// Bytes of `checksums.txt`.
    pub checksums: Option<Vec<u8>>,
    /// Digest and size in bytes of every regular file, by path.
    pub files: BTreeMap<String, (Digest, u64)>,
    /// All files of a package without `checksums.txt`, if `files` has only some of them.
    pub unlisted: BTreeMap<String, (Digest, u64)>,
    /// The file of the plain signature over the definition.
    pub signature: Option<Vec<u8>>,
    /// The file of the bundle over the definition.
    pub bundle: Option<Vec<u8>>,
    /// Bundles stored beside the package. Anyone may have put them there.
    pub attached: Vec<Vec<u8>>,
    /// Signatures that older clients stored beside the package, likewise
    /// untrusted.
    pub tagged: Vec<Tagged>,
    /// The number of signatures and attestations beside the package that were not
    /// read, because there are too many or they are too large.
    pub unread: usize,
    /// Whether all signatures beside the package were looked for.
    pub searched: bool,
    /// Digest of the manifest, if the package is an artifact in a registry.
    pub artifact: Option<Digest>,
    /// Small documents of images, as far as they were kept while the files were
    /// read.
    pub documents: BTreeMap<String, Vec<u8>>,
    /// What is in the tars, as far as they were read.
    pub listings: BTreeMap<String, Listing>,
    /// What the user requested, if it was requested by name.
    pub query: Option<Query>,
}

/// What was read of a list that anyone may add to.
#[derive(Clone, Debug)]
pub struct Attached<T> {
    /// What was read. Nothing in it is trusted.
    pub found: Vec<T>,
    /// The number of entries beyond the limits. What a user looks for may be among
    /// them.
    pub unread: usize,
}

impl<T> Default for Attached<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Attached<T> {
    fn from(found: Vec<T>) -> Self {
        Self { found, unread: 0 }
    }
}

/// What the user requested. Another package must not be substituted for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The package's name, if the request has it.
    pub name: Option<String>,
    /// Its entry in the index, if it was found through an index.
    pub architecture: Option<String>,
    /// The tag, if it was requested by one.
    pub tag: Option<String>,
}

impl Query {
    /// A request for `reference` and its entry for `architecture`.
    #[must_use]
    pub fn at(reference: &Reference, architecture: Option<String>) -> Self {
        let name = reference.repository().rsplit('/').next();
        Self {
            name: name.map(str::to_owned),
            ..Self::in_layout(reference.tag(), architecture)
        }
    }

    /// A request for `tag` and its entry for `architecture` in an image layout, which
    /// does not name packages.
    #[must_use]
    pub fn in_layout(tag: Option<&str>, architecture: Option<String>) -> Self {
        Self {
            name: None,
            architecture,
            tag: tag.map(str::to_owned),
        }
    }
}

/// A package in which every file that was read has the digest its definition
/// implies.
#[derive(Debug)]
pub struct VerifiedPackage {
    dialect: Dialect,
    definition: Vec<u8>,
    checksums: Checksums,
    files: BTreeMap<String, (Digest, u64)>,
    scope: Scope,
    has_checksums: bool,
    signature: Signature,
    notes: Vec<String>,
}

/// How much of a package is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it: a missing file is a refusal.
    Whole,
    /// The files in the evidence only, so that one file of a large package can
    /// be read without the others. Files that were not read stay untrusted.
    Given,
}

impl VerifiedPackage {
    /// The dialect of the package's file names and media types.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The bytes of the definition.
    #[must_use]
    pub fn definition(&self) -> &[u8] {
        &self.definition
    }

    /// The list of checksums, which the definition covers. For files that were
    /// not read, it says what they must be, not what they are.
    #[must_use]
    pub fn checksums(&self) -> &Checksums {
        &self.checksums
    }

    /// Whether the package has a list of checksums. Without one, nothing shows whether its
    /// files were changed.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.has_checksums
    }

    /// How much of the package was verified.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Digest and size in bytes of every file that was read, by path.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, (Digest, u64)> {
        &self.files
    }

    /// What the user should know although the package is verified.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is known about its signer.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// Verifies a package, or the part of it in `scope`, by its evidence.
///
/// Source: docs/spec/package.md, "Integrity"; docs/spec/signing.md, "Policy".
///
/// # Errors
///
/// Every [`Refusal`], so that a damaged package is fully described.
pub fn verify(
    mut evidence: Evidence,
    scope: Scope,
    policy: &Policy,
) -> Result<VerifiedPackage, Vec<Refusal>> {
    let Some((dialect, definition)) = evidence.definition.take() else {
        return Err(vec![Refusal::NoDefinition]);
    };
    let root = document(dialect, &definition).map_err(|refusal| vec![refusal])?;
    let facts = facts(&root);
    let expected = text_at(&root, ["metadata", "aggregateChecksum"]);
    let unlisted = match expected {
        None => older::without_checksums(&root, dialect, &evidence),
        Some(_) => None,
    };
    if unlisted.is_some() && policy.wants_attached() {
        return Err(vec![Refusal::Unverifiable]);
    }
    // The signature first: without a trusted signer, nothing else matters.
    let signature = signature::judge(&evidence, dialect, &definition, &facts, policy)
        .map_err(|refusal| vec![refusal])?;
    let mut refusals = Vec::new();
    let source = SourceText::new(
        dialect.definition_file(),
        String::from_utf8_lossy(&definition),
    );
    refusals.extend(Definition::packaged(&source).err().map(Refusal::from));
    let mut notes = Vec::new();
    if let (Signature::Checked(_), Some(query)) = (&signature, &evidence.query) {
        refusals.extend(differences(query, &facts, &mut notes));
    }
    if let Some(unlisted) = &unlisted {
        notes.insert(0, unlisted.warning.clone());
    } else if expected.is_none() {
        refusals.push(Refusal::NoAggregate);
    }
    let has_checksums = unlisted.is_none();
    let text = unlisted.map_or(evidence.checksums, |unlisted| Some(unlisted.checksums));
    let Some(text) = text else {
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
    Ok(VerifiedPackage {
        dialect,
        definition,
        checksums,
        files: evidence.files,
        scope,
        has_checksums,
        signature,
        notes,
    })
}

fn document(dialect: Dialect, definition: &[u8]) -> Result<Node, Refusal> {
    let text = std::str::from_utf8(definition).map_err(|_| Refusal::NotText)?;
    let source = SourceText::new(dialect.definition_file(), text);
    let first = yaml::parse(&source)?.into_iter().next();
    first.ok_or(Refusal::NoAggregate)
}

fn text_at(root: &Node, path: [&str; 2]) -> Option<String> {
    root.get(path[0])?.get(path[1])?.scalar().map(str::to_owned)
}

fn facts(root: &Node) -> Facts {
    let text = |path| text_at(root, path).unwrap_or_default();
    Facts {
        name: text(["metadata", "name"]),
        architecture: text(["build", "architecture"]),
        version: text(["metadata", "version"]),
        flavor: text(["build", "flavor"]),
        says_signed: text(["build", "signed"]) == "true",
        timestamp: time::parse_rfc1123z(&text(["build", "timestamp"])),
    }
}

/// How the package in `evidence` differs from the request, whatever its
/// signature.
#[must_use]
pub fn differences_from_query(evidence: &Evidence) -> Vec<Refusal> {
    let Some(((dialect, definition), query)) =
        evidence.definition.as_ref().zip(evidence.query.as_ref())
    else {
        return Vec::new();
    };
    match document(*dialect, definition) {
        Ok(root) => differences(query, &facts(&root), &mut Vec::new()),
        Err(refusal) => vec![refusal],
    }
}

/// How the package differs from the request; warnings go to `notes`.
fn differences(query: &Query, facts: &Facts, notes: &mut Vec<String>) -> Vec<Refusal> {
    let pairs = [
        ("name", query.name.as_ref(), &facts.name),
        (
            "architecture",
            query.architecture.as_ref(),
            &facts.architecture,
        ),
    ];
    let other = pairs.into_iter().filter_map(|(what, wanted, found)| {
        let wanted = wanted.filter(|wanted| *wanted != found)?;
        Some(Refusal::Query {
            what,
            wanted: signature::shown(wanted),
            found: signature::shown(found),
        })
    });
    let mut other: Vec<Refusal> = other.collect();
    match query.tag.as_ref().map(|tag| tag::compare(tag, facts)) {
        Some(Ok(note)) => notes.extend(note),
        Some(Err(refusal)) => other.push(refusal),
        None => {}
    }
    other
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
    for (path, (found, _)) in files {
        // The image index refers to blobs by name.
        let name = path.strip_prefix("images/blobs/sha256/");
        if name.is_some_and(|name| name != found.hex()) {
            refusals.push(Refusal::Misnamed {
                path: path.clone(),
                found: *found,
            });
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
#[expect(clippy::disallowed_methods, reason = "this is what is tested")]
mod tests {
    use super::*;
    use crate::signing::SigningKey;

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
            ..Evidence::default()
        }
    }

    fn look() -> Policy {
        Policy::without_signers(Check::Look)
    }

    #[test]
    fn a_package_whose_files_are_all_listed_and_equal_passes() {
        let package = verify(evidence(), Scope::Whole, &look()).unwrap();
        assert_eq!(*package.signature(), Signature::Absent);
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
        let refusals = verify(damaged, Scope::Whole, &look()).unwrap_err();
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for part in [
            "metadata.aggregateChecksum",
            "`components/a.tar` has digest",
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
        signed.signature = Some(b"s".to_vec());
        let package = verify(signed.clone(), Scope::Whole, &look()).unwrap();
        assert_eq!(*package.signature(), Signature::NotChecked);
        // A package that is going to be used must be checked.
        let used = verify(signed, Scope::Whole, &Policy::without_signers(Check::Use));
        assert_eq!(used.unwrap_err(), [Refusal::NoSigner]);
    }

    #[test]
    fn a_partial_check_allows_missing_files_but_no_unlisted_ones() {
        let mut part = evidence();
        part.files.clear();
        let package = verify(part.clone(), Scope::Given, &look()).unwrap();
        assert!(package.files().is_empty());
        assert!(package.checksums().get("components/a.tar").is_some());
        part.files.insert("stray".into(), (Digest::of(b"y"), 1));
        let refusals = verify(part, Scope::Given, &look()).unwrap_err();
        assert_eq!(refusals, [Refusal::Extra("stray".into())]);
    }

    #[test]
    fn a_package_without_definition_or_checksums_is_refused() {
        let refusals = verify(Evidence::default(), Scope::Whole, &look()).unwrap_err();
        assert_eq!(refusals, [Refusal::NoDefinition]);
        let mut bare = evidence();
        bare.checksums = None;
        assert_eq!(
            verify(bare, Scope::Whole, &look()).unwrap_err(),
            [Refusal::NoChecksums]
        );
    }

    #[test]
    fn a_package_is_called_unsigned_only_if_signatures_beside_it_were_looked_for() {
        let found = |evidence: Evidence| {
            let policy = Policy::without_signers(Check::Look);
            let package = verify(evidence, Scope::Whole, &policy).unwrap();
            package.signature().clone()
        };
        assert_eq!(found(evidence()), Signature::Absent);
        let mut remote = evidence();
        remote.artifact = Some(Digest::of(b""));
        assert_eq!(found(remote.clone()), Signature::Unsearched);
        remote.searched = true;
        assert_eq!(found(remote.clone()), Signature::Absent);
        remote.attached.push(b"{}".to_vec());
        assert_eq!(found(remote), Signature::NotChecked);
    }

    #[test]
    fn signatures_that_were_not_examined_are_named_in_the_refusal() {
        let pkcs8 = SigningKey::generate(crate::signing::Algorithm::Ed25519).unwrap();
        let key = SigningKey::from_pkcs8(&pkcs8).unwrap().public().clone();
        let mut policy = Policy::without_signers(Check::Use);
        policy.rules = vec![Rule {
            signers: vec![Signer::Key {
                name: "k".into(),
                key,
            }],
            ..Rule::default()
        }];
        let refusals_of = |evidence: Evidence| {
            let refusals = verify(evidence, Scope::Whole, &policy).unwrap_err();
            refusals[0].to_string()
        };
        assert!(refusals_of(evidence()).contains("not signed"));
        let mut some = evidence();
        some.unread = 7;
        let text = refusals_of(some);
        assert!(text.contains("only 0 of 7 signatures"), "{text}");
        let mut flood = evidence();
        flood.attached = vec![b"{}".to_vec(); MAX_ATTACHED + 5];
        let text = refusals_of(flood.clone());
        assert!(text.contains("only 1000 of 1005 signatures"), "{text}");
        flood.attached.truncate(MAX_ATTACHED);
        let text = refusals_of(flood);
        assert!(!text.contains("only"), "{text}");
    }
}
