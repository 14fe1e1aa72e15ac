//! Attestations of SBOM documents about existing packages.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::cas::Cas;
use crate::release::{self, Artifact, BundlesTooLarge, DocumentsError, predicate_type};
use crate::sbom::format::Format;
use crate::signers::{Signer, SignerError};
use crate::signing::{Bundle, Statement, Subject};

/// Why documents cannot be attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    #[error(transparent)]
    Sign(#[from] SignerError),
    #[error(transparent)]
    TooLarge(#[from] BundlesTooLarge),
}

/// A document to attest.
#[derive(Clone, Debug, PartialEq)]
pub struct Attested {
    pub format: Format,
    /// `None`: that of the package, or the one that is made of its SBOMs.
    pub document: Option<Value>,
}

impl Attested {
    /// Whether there are attestations of documents in `format`.
    #[must_use]
    pub fn is_possible(format: Format) -> bool {
        predicate_type(format).is_some()
    }

    /// Whether `document` says that it is in `format`.
    #[must_use]
    pub fn says(document: &Value, format: Format) -> bool {
        let is = |key: &str, begin: &str| {
            let value = document[key].as_str();
            value.is_some_and(|value| value.starts_with(begin))
        };
        match format {
            Format::SpdxJson => is("spdxVersion", "SPDX-2."),
            Format::Spdx3Json => is("@context", "https://spdx.org/rdf/3."),
            Format::CycloneDxJson => is("bomFormat", "CycloneDX"),
            Format::SyftJson | Format::Table => false,
        }
    }
}

/// The predicates about the package, with their types. Blocks.
pub(super) fn predicates(
    cas: &Arc<Cas>,
    artifact: &Artifact,
    wanted: &[Attested],
) -> Result<Vec<(&'static str, Value)>, DocumentsError> {
    let (mut given, mut made) = (Vec::new(), BTreeSet::new());
    for one in wanted {
        match (&one.document, predicate_type(one.format)) {
            (Some(document), Some(kind)) => given.push((kind, document.clone())),
            _ => drop(made.insert(one.format)),
        }
    }
    if !made.is_empty() {
        given.extend(release::predicates(cas, artifact, &made)?);
    }
    Ok(given)
}

/// Signs statements about `subjects` with these predicates, unless `bundles` have them by
/// the same key.
pub(super) fn signed(
    signer: &Signer,
    subjects: &[Subject],
    predicates: Vec<(&'static str, Value)>,
    bundles: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, AttestError> {
    let known = |bundle: &Vec<u8>| match signer {
        Signer::Key(key) => Bundle::parse(bundle)
            .ok()
            .and_then(|bundle| bundle.verify_statement(key.public()).ok()),
        Signer::Keyless(_) => None,
    };
    let predicates = predicates.into_iter();
    let mut statements: Vec<Statement> = predicates
        .map(|(kind, predicate)| Statement::new(subjects.to_vec(), kind, predicate))
        .collect();
    statements.retain(|wanted| !bundles.iter().filter_map(known).any(|one| one == *wanted));
    let before = bundles.iter().map(|bundle| bundle.len() as u64).sum();
    if !statements.is_empty() {
        release::check_statements(&statements, before)?;
    }
    let mut made = Vec::new();
    for statement in statements {
        made.push(signer.statement(&statement)?.into_bytes());
    }
    Ok(made)
}
