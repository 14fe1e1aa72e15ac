//! Sigstore bundles: a signature with what is needed to check it.
//!
//! Read strictly and brought into one spelling, so that every check sees the
//! same document. Source: docs/spec/signing.md, "Bundles".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha384, Sha512};
use sigstore_types::DerCertificate;

use super::envelope::{Envelope, Statement, StatementError};
use super::json::{self, Shape};
use super::public_key::{Mismatch, PublicKey};
use crate::oci::Digest;

/// Largest bundle of a signature that is read, in bytes: 1 MiB.
///
/// Source: docs/spec/signing.md, "Limits".
pub const MAX_BUNDLE_BYTES: u64 = 1 << 20;

/// Largest bundle of an attestation that is read, in bytes: 128 MiB, as cosign.
pub const MAX_ATTESTATION_BYTES: u64 = 128 << 20;

/// Most log entries, and most timestamps, of a bundle.
const MAX_EVIDENCE: usize = 32;

/// The media type of bundles, and the artifact type of referrers with one.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// That of the version whose log entries have a promise.
pub(super) const PROMISED_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// Media types that are read, in the spelling of the newest writers.
const MEDIA_TYPES: [(&str, &str); 4] = [
    (MEDIA_TYPE, MEDIA_TYPE),
    (
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        MEDIA_TYPE,
    ),
    (
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
    ),
    (PROMISED_MEDIA_TYPE, PROMISED_MEDIA_TYPE),
];

const HASHES: &[&str] = &[
    "HASH_ALGORITHM_UNSPECIFIED",
    "SHA2_256",
    "SHA2_384",
    "SHA2_512",
];

const LOG_ENTRY: Shape = Shape::Object(&[
    ("logIndex", Shape::Number),
    ("logId", Shape::Object(&[("keyId", Shape::Bytes)])),
    (
        "kindVersion",
        Shape::Object(&[("kind", Shape::Text), ("version", Shape::Text)]),
    ),
    ("integratedTime", Shape::Number),
    (
        "inclusionPromise",
        Shape::Object(&[("signedEntryTimestamp", Shape::Bytes)]),
    ),
    (
        "inclusionProof",
        Shape::Object(&[
            ("logIndex", Shape::Number),
            ("rootHash", Shape::Bytes),
            ("treeSize", Shape::Number),
            ("hashes", Shape::List(&Shape::Bytes)),
            ("checkpoint", Shape::Object(&[("envelope", Shape::Text)])),
        ]),
    ),
    ("canonicalizedBody", Shape::Bytes),
]);

const CERTIFICATE: Shape = Shape::Object(&[("rawBytes", Shape::Bytes)]);

const BUNDLE: Shape = Shape::Object(&[
    ("mediaType", Shape::Text),
    (
        "verificationMaterial",
        Shape::Object(&[
            ("publicKey", Shape::Object(&[("hint", Shape::Text)])),
            ("certificate", CERTIFICATE),
            (
                "x509CertificateChain",
                Shape::Object(&[("certificates", Shape::List(&CERTIFICATE))]),
            ),
            ("tlogEntries", Shape::List(&LOG_ENTRY)),
            (
                "timestampVerificationData",
                Shape::Object(&[(
                    "rfc3161Timestamps",
                    Shape::List(&Shape::Object(&[("signedTimestamp", Shape::Bytes)])),
                )]),
            ),
        ]),
    ),
    (
        "messageSignature",
        Shape::Object(&[
            (
                "messageDigest",
                Shape::Object(&[("algorithm", Shape::Word(HASHES)), ("digest", Shape::Bytes)]),
            ),
            ("signature", Shape::Bytes),
        ]),
    ),
    (
        "dsseEnvelope",
        Shape::Object(&[
            ("payload", Shape::Bytes),
            ("payloadType", Shape::Text),
            (
                "signatures",
                Shape::List(&Shape::Object(&[
                    ("sig", Shape::Bytes),
                    ("keyid", Shape::Text),
                ])),
            ),
        ]),
    ),
]);

/// Why a text is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// No JSON, or not strictly.
    #[error("the bundle cannot be read: {0}")]
    Json(String),
    /// JSON of another shape.
    #[error("the bundle is malformed: {0}")]
    Shape(String),
    /// Another version, or another thing.
    #[error("the bundle is of type `{0}`: expected {MEDIA_TYPE}")]
    MediaType(String),
    /// What older programs wrote with `--bundle`.
    #[error(
        "the bundle has the old cosign format (base64Signature, rekorBundle): sign again, or convert it with cosign"
    )]
    OldCosign,
}

/// Why a bundle says nothing about an artifact, by a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyBundleError {
    /// A certificate where a key is wanted.
    #[error(
        "the bundle is signed with a certificate, but a key was given: use --certificate-identity and --certificate-oidc-issuer"
    )]
    OtherKind,
    /// The signature is not one of these bytes by this key.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// No digest where all writers put one.
    #[error("the bundle has no message digest")]
    NoDigest,
    /// The digest is another artifact's.
    #[error("the bundle is for another file: its message digest differs")]
    Digest,
    /// Signature of bytes where a statement is wanted, or the reverse.
    #[error("the bundle holds {found}, not {wanted}")]
    Content {
        /// What it holds.
        found: &'static str,
        /// What it should.
        wanted: &'static str,
    },
    /// The statement is not one, or about others.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// A signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A key, which its user knows. The hint decides nothing.
    Key,
    /// A certificate.
    Certificate,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file.
    Message {
        /// Algorithm and digest of the file, as somebody says.
        digest: Option<(String, Vec<u8>)>,
        /// Over the file.
        signature: Vec<u8>,
    },
    /// A statement, or whatever the envelope says.
    Envelope(Envelope),
}

/// A bundle that was read. Nothing of it is trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    material: Material,
    content: Content,
    log_entries: Vec<(String, String)>,
    has_proofs: bool,
    has_promises: bool,
    timestamps: usize,
    normal: Value,
}

impl Bundle {
    /// Reads a bundle of version 0.1 to 0.3.
    ///
    /// # Errors
    ///
    /// [`BundleError`]
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        let value =
            json::parse_bounded(text).map_err(|error| BundleError::Json(error.to_string()))?;
        if value.get("base64Signature").is_some() {
            return Err(BundleError::OldCosign);
        }
        let mut normal = json::normal(&value, BUNDLE, "").map_err(BundleError::Shape)?;
        let shape = |what: &str| BundleError::Shape(what.to_owned());
        let found = normal["mediaType"].as_str().unwrap_or_default();
        let known = MEDIA_TYPES.iter().find(|(name, _)| *name == found);
        let known =
            known.ok_or_else(|| BundleError::MediaType(found.chars().take(100).collect()))?;
        let newest = known.1 == MEDIA_TYPE;
        normal["mediaType"] = json!(known.1);
        let material = &normal["verificationMaterial"];
        let kinds = ["publicKey", "certificate", "x509CertificateChain"];
        let mut kinds = kinds.iter().filter(|kind| material.get(**kind).is_some());
        let kind = match (kinds.next(), kinds.next()) {
            (Some(&"publicKey"), None) => Material::Key,
            (Some(&"x509CertificateChain"), None) if newest => {
                return Err(shape("version 0.3 has one certificate, not a chain"));
            }
            (Some(_), None) => Material::Certificate,
            (None, _) => return Err(shape("it has neither key nor certificate")),
            (Some(_), Some(_)) => return Err(shape("it has both key and certificate")),
        };
        let empty = Vec::new();
        let list = |value: &Value| value.as_array().unwrap_or(&empty).clone();
        let entries = list(&material["tlogEntries"]);
        let timestamps = list(&material["timestampVerificationData"]["rfc3161Timestamps"]);
        if entries.len() > MAX_EVIDENCE || timestamps.len() > MAX_EVIDENCE {
            return Err(shape("it has more than 32 log entries or timestamps"));
        }
        let mut log_entries = Vec::new();
        for entry in &entries {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let named = (text(&entry["logId"]["keyId"]), text(&entry["logIndex"]));
            if log_entries.contains(&named) {
                return Err(shape("a log entry is duplicated"));
            }
            log_entries.push(named);
        }
        let proven = |entry: &Value| {
            let checkpoint = entry["inclusionProof"]["checkpoint"]["envelope"].as_str();
            checkpoint.is_some_and(|text| !text.is_empty())
        };
        let has_proofs = !entries.is_empty() && entries.iter().all(proven);
        let content = content(&normal).map_err(|what| shape(&what))?;
        // Readers that know no optional members see none.
        if normal["verificationMaterial"]["tlogEntries"].is_null() {
            normal["verificationMaterial"]["tlogEntries"] = json!([]);
        }
        Ok(Self {
            material: kind,
            content,
            log_entries,
            has_proofs,
            has_promises: false,
            timestamps: timestamps.len(),
            normal,
        })
    }

    /// Whether `text` calls itself a bundle, of whatever version; nothing else of
    /// it is held.
    #[must_use]
    pub fn is_called(text: &[u8]) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            #[serde(alias = "media_type")]
            media_type: String,
        }
        serde_json::from_slice::<Head>(text).is_ok_and(|head| {
            head.media_type
                .starts_with("application/vnd.dev.sigstore.bundle")
        })
    }

    /// A signer.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// What is signed.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// How many entries of logs it carries.
    #[must_use]
    pub fn log_entries(&self) -> usize {
        self.log_entries.len()
    }

    /// Whether each of its log entries, of which it has one, proves that it is
    /// in the log, or may come with the log's promise instead.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.has_proofs || self.has_promises
    }

    /// Whether a log's promise stands for the proof.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.has_promises && !self.has_proofs
    }

    /// Takes promises for proofs: the form that it was read from has no others.
    #[must_use]
    pub(super) fn with_promises(mut self) -> Self {
        let entries = self.normal["verificationMaterial"]["tlogEntries"].as_array();
        let promised = |entry: &Value| {
            let promise = &entry["inclusionPromise"]["signedEntryTimestamp"];
            promise.as_str().is_some_and(|text| !text.is_empty())
        };
        self.has_promises =
            entries.is_some_and(|entries| !entries.is_empty() && entries.iter().all(promised));
        self
    }

    /// How many timestamps of RFC 3161 it carries.
    #[must_use]
    pub fn timestamps(&self) -> usize {
        self.timestamps
    }

    /// Identity and issuer as its certificate says: nothing of it is checked.
    #[must_use]
    pub fn claimed(&self) -> Option<(String, String)> {
        let material = &self.normal["verificationMaterial"];
        let chain = &material["x509CertificateChain"]["certificates"][0]["rawBytes"];
        let leaf = material["certificate"]["rawBytes"]
            .as_str()
            .or(chain.as_str())?;
        let certificate = DerCertificate::from_bytes(&json::bytes(leaf)?);
        let read = sigstore_crypto::parse_certificate_info(&certificate).ok()?;
        Some((read.identity?.as_str().to_owned(), read.issuer?))
    }

    /// The bundle in the one spelling.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.normal.to_string()
    }

    /// Checks that it is a signature of `blob` by `key`.
    ///
    /// # Errors
    ///
    /// [`KeyBundleError`]
    pub fn verify_blob(&self, key: &PublicKey, blob: &[u8]) -> Result<(), KeyBundleError> {
        if self.material != Material::Key {
            return Err(KeyBundleError::OtherKind);
        }
        let Content::Message { digest, signature } = &self.content else {
            return Err(KeyBundleError::Content {
                found: "a statement",
                wanted: "the signature of a file",
            });
        };
        match digest {
            // cosign 3 leaves it out for this type of key.
            None if key.algorithm() == super::Algorithm::Ed25519 => {}
            None => return Err(KeyBundleError::NoDigest),
            Some((algorithm, digest)) => {
                let fits = match algorithm.as_str() {
                    "SHA2_256" => Digest::of(blob).as_bytes()[..] == digest[..],
                    "SHA2_384" => Sha384::digest(blob)[..] == digest[..],
                    "SHA2_512" => Sha512::digest(blob)[..] == digest[..],
                    _ => false,
                };
                if !fits {
                    return Err(KeyBundleError::Digest);
                }
            }
        }
        Ok(key.verify(blob, signature)?)
    }

    /// Checks that it holds a statement signed by `key`, and returns that.
    ///
    /// # Errors
    ///
    /// [`KeyBundleError`]
    pub fn verify_statement(&self, key: &PublicKey) -> Result<Statement, KeyBundleError> {
        if self.material != Material::Key {
            return Err(KeyBundleError::OtherKind);
        }
        let Content::Envelope(envelope) = &self.content else {
            return Err(KeyBundleError::Content {
                found: "the signature of a file",
                wanted: "a statement",
            });
        };
        key.verify(&envelope.message(), &envelope.signature)?;
        Ok(Statement::of(envelope)?)
    }

    /// A bundle of a file's signature by a key.
    #[must_use]
    pub fn of_blob(key: &PublicKey, blob: &[u8], signature: &[u8]) -> String {
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.hint()}},
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": STANDARD.encode(Digest::of(blob).as_bytes()),
                },
                "signature": STANDARD.encode(signature),
            },
        })
        .to_string()
    }

    /// A bundle of an envelope that a key signed.
    #[must_use]
    pub fn of_envelope(key: &PublicKey, envelope: &Envelope) -> String {
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.hint()}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&envelope.payload),
                "payloadType": envelope.payload_type,
                "signatures": [{"sig": STANDARD.encode(&envelope.signature)}],
            },
        })
        .to_string()
    }
}

fn content(normal: &Value) -> Result<Content, String> {
    let bytes = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        json::bytes(text).unwrap_or_default()
    };
    let full = |signature: Vec<u8>| match signature.is_empty() {
        true => Err("its signature is empty".to_owned()),
        false => Ok(signature),
    };
    match (normal.get("messageSignature"), normal.get("dsseEnvelope")) {
        (Some(_), Some(_)) => Err("it has both a signature and a statement".to_owned()),
        (None, None) => Err("it has neither a signature nor a statement".to_owned()),
        (Some(message), None) => {
            let named = message.get("messageDigest").filter(|digest| {
                digest.get("digest").is_some() || digest.get("algorithm").is_some()
            });
            let digest = named.map(|named| {
                let algorithm = named["algorithm"].as_str().unwrap_or_default();
                (algorithm.to_owned(), bytes(&named["digest"]))
            });
            Ok(Content::Message {
                digest,
                signature: full(bytes(&message["signature"]))?,
            })
        }
        (None, Some(envelope)) => {
            let signatures = envelope["signatures"].as_array();
            let [signature] = signatures.map(Vec::as_slice).unwrap_or_default() else {
                return Err("its envelope must have exactly one signature".to_owned());
            };
            Ok(Content::Envelope(Envelope {
                payload_type: envelope["payloadType"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                payload: bytes(&envelope["payload"]),
                signature: full(bytes(&signature["sig"]))?,
            }))
        }
    }
}
