//! Statements about artifacts, and the envelopes that sign them.
//!
//! Source: docs/spec/signing.md, "Statements and envelopes"; DSSE v1; in-toto
//! attestation framework, Statement v1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha384, Sha512};

use super::json;
use crate::oci::Digest;

/// The payload type of statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Provenance by SLSA, version 1.
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// An SPDX document.
pub const SPDX_PREDICATE: &str = "https://spdx.dev/Document";

/// A CycloneDX document.
pub const CYCLONEDX_PREDICATE: &str = "https://cyclonedx.org/bom";

/// The predicate type of cosign's image signatures.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What `cosign attest` still writes.
const OLD_STATEMENT: &str = "https://in-toto.io/Statement/v0.1";

/// Maximum number of subjects of a statement, as in all clients.
pub(super) const MAX_SUBJECTS: usize = 1024;

/// Maximum number of digests of a subject, as in all clients.
pub(super) const MAX_DIGESTS: usize = 32;

/// A signed payload with its type. The signature covers both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The type of the payload.
    pub payload_type: String,
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Envelope {
    /// The bytes to sign: type and payload, each with its length in bytes.
    #[must_use]
    pub fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
        let head = format!(
            "DSSEv1 {} {payload_type} {} ",
            payload_type.len(),
            payload.len()
        );
        [head.as_bytes(), payload].concat()
    }

    /// The bytes that the signature covers.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Self::signed_bytes(&self.payload_type, &self.payload)
    }
}

/// A statement about artifacts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The version of the statement format.
    #[serde(rename = "_type")]
    pub kind: String,
    pub subject: Vec<Subject>,
    /// The type of the predicate.
    pub predicate_type: String,
    /// What it states about the artifacts.
    #[serde(default)]
    pub predicate: Value,
}

/// An artifact that a statement is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    #[serde(default)]
    pub name: String,
    /// Its digests in hex, by algorithm.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
    /// Further properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: BTreeMap<String, Value>,
}

/// An input or output of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub uri: String,
    /// Its digests in hex, by algorithm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub digest: BTreeMap<String, String>,
}

/// Why a payload is not a statement about an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The envelope has another payload type.
    #[error("the envelope holds `{0}`, not {IN_TOTO}")]
    PayloadType(String),
    #[error("the statement cannot be read: {0}")]
    Malformed(String),
    /// Another type of document.
    #[error("the statement has the type `{0}`: expected {STATEMENT}")]
    Kind(String),
    /// It exceeds the limits of all clients.
    #[error("the statement has more than {MAX_SUBJECTS} subjects, or {MAX_DIGESTS} digests of one")]
    Large,
    /// It is about other artifacts.
    #[error("the statement is not about {0}")]
    OtherSubject(String),
}

impl Statement {
    /// Creates a statement about `subject`.
    #[must_use]
    pub fn new(subject: Vec<Subject>, predicate_type: &str, predicate: Value) -> Self {
        Self {
            kind: STATEMENT.to_owned(),
            subject,
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Parses the statement of an envelope whose signature has been verified.
    ///
    /// # Errors
    ///
    /// [`StatementError`]
    pub fn of(envelope: &Envelope) -> Result<Self, StatementError> {
        let shown = |text: &str| text.chars().take(200).collect::<String>();
        if envelope.payload_type != IN_TOTO {
            return Err(StatementError::PayloadType(shown(&envelope.payload_type)));
        }
        let malformed = |error: serde_json::Error| StatementError::Malformed(error.to_string());
        let value = json::parse(&envelope.payload).map_err(malformed)?;
        let statement: Self = serde_json::from_value(value).map_err(malformed)?;
        if statement.kind != STATEMENT && statement.kind != OLD_STATEMENT {
            return Err(StatementError::Kind(shown(&statement.kind)));
        }
        let large = |subject: &Subject| subject.digest.len() > MAX_DIGESTS;
        if statement.subject.len() > MAX_SUBJECTS || statement.subject.iter().any(large) {
            return Err(StatementError::Large);
        }
        Ok(statement)
    }

    /// Checks that one of the subjects has one of `digests`, given as algorithm
    /// and hex.
    ///
    /// # Errors
    ///
    /// [`StatementError::OtherSubject`]
    pub fn is_about(&self, digests: &[(&str, String)]) -> Result<(), StatementError> {
        let mut subjects = self.subject.iter();
        match subjects.any(|subject| names(&subject.digest, digests)) {
            true => Ok(()),
            false => {
                let wanted = digests
                    .first()
                    .map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
                Err(StatementError::OtherSubject(wanted.unwrap_or_default()))
            }
        }
    }
}

/// Whether a subject with the digests `found` is one of `digests`.
pub(super) fn names(found: &BTreeMap<String, String>, digests: &[(&str, String)]) -> bool {
    digests.iter().any(|(algorithm, hex)| {
        let found = found.get(*algorithm);
        found.is_some_and(|found| found.eq_ignore_ascii_case(hex))
    })
}

/// The digests that statements may use for `blob`.
#[must_use]
pub fn digests(blob: &[u8]) -> Vec<(&'static str, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("sha256", Digest::of(blob).hex()),
        ("sha384", hex(&Sha384::digest(blob))),
        ("sha512", hex(&Sha512::digest(blob))),
    ]
}

impl Subject {
    /// The artifact `name` with its digest.
    #[must_use]
    pub fn new(name: &str, digest: &Digest) -> Self {
        Self {
            name: name.to_owned(),
            digest: [("sha256".to_owned(), digest.hex())].into(),
            annotations: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_what_is_signed_are_in_bytes() {
        // DSSE v1, protocol.md, "Signature Definition".
        let signed = Envelope::signed_bytes("http://example.com/HelloWorld", b"hello world");
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(signed, expected);
        let signed = Envelope::signed_bytes("ä", "ö€".as_bytes());
        assert_eq!(signed, "DSSEv1 2 ä 5 ö€".as_bytes());
    }
}
