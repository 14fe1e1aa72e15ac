//! Sigstore bundles: a signature with the evidence to verify it.
//!
//! Parsed strictly and normalised, so that every check sees the same document.
//! Source: docs/spec/signing.md, "Bundles".

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

/// Maximum size of a signature bundle, in bytes: 1 MiB.
///
/// Source: docs/spec/signing.md, "Limits".
pub const MAX_BUNDLE_BYTES: u64 = 1 << 20;

/// Maximum size of an attestation bundle, in bytes: 128 MiB, as in cosign.
pub const MAX_ATTESTATION_BYTES: u64 = 128 << 20;

/// Maximum number of log entries, and of timestamps, in a bundle.
const MAX_EVIDENCE: usize = 32;

/// The media type of bundles, and the artifact type of referrers with one.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The media type of the version whose log entries have an inclusion promise.
pub(super) const PROMISED_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// Supported media types, with their newest spelling.
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

/// Why a bundle cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not strict JSON.
    #[error("the bundle cannot be read: {0}")]
    Json(String),
    /// JSON of another shape.
    #[error("the bundle is malformed: {0}")]
    Shape(String),
    /// An unsupported version or another document.
    #[error("the bundle is of type `{0}`: expected {MEDIA_TYPE}")]
    MediaType(String),
    /// The format of older versions of `cosign --bundle`.
    #[error(
        "the bundle has the old cosign format (base64Signature, rekorBundle): sign again, or convert it with cosign"
    )]
    OldCosign,
}

/// Why a bundle is not a key's signature of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyBundleError {
    /// It is signed with a certificate, not a key.
    #[error(
        "the bundle is signed with a certificate, but a key was given: use --certificate-identity and --certificate-oidc-issuer"
    )]
    OtherKind,
    /// The signature does not match the key and the bytes.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It has no message digest, which all writers include.
    #[error("the bundle has no message digest")]
    NoDigest,
    /// The digest is that of another artifact.
    #[error("the bundle is for another file: its message digest differs")]
    Digest,
    /// It has a signature of a file instead of a statement, or the reverse.
    #[error("the bundle holds {found}, not {wanted}")]
    Content {
        found: &'static str,
        wanted: &'static str,
    },
    /// The statement is malformed or about another artifact.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// What the signature is verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A key, which the verifier must know. The hint is ignored.
    Key,
    Certificate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file.
    Message {
        /// Claimed algorithm and digest of the file.
        digest: Option<(String, Vec<u8>)>,
        /// The signature of the file.
        signature: Vec<u8>,
    },
    /// An envelope, usually with a statement.
    Envelope(Envelope),
}

/// A parsed bundle. Nothing in it is trusted.
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
    /// Parses a bundle of version 0.1 to 0.3.
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
        // Remove null members, which some readers do not accept.
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

    /// Whether `text` has the media type of a bundle of any version. Does not
    /// parse the rest.
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

    /// What the signature is verified with.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Number of log entries.
    #[must_use]
    pub fn log_entries(&self) -> usize {
        self.log_entries.len()
    }

    /// Whether it has log entries and each one has an inclusion proof, or a
    /// promise where promises count.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.has_proofs || self.has_promises
    }

    /// Whether inclusion promises count as proofs.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.has_promises && !self.has_proofs
    }

    /// Makes inclusion promises count as proofs: the original format has nothing
    /// else.
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

    /// Number of RFC 3161 timestamps.
    #[must_use]
    pub fn timestamps(&self) -> usize {
        self.timestamps
    }

    /// Identity and issuer in its certificate, unverified.
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

    /// The normalised JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.normal.to_string()
    }

    /// Verifies that it is a signature of `blob` by `key`.
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
            // cosign 3 omits the digest for this type of key.
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

    /// Verifies that it has a statement signed by `key`, and returns the
    /// statement.
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

    /// Creates a bundle from the signature of a file by a key.
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

    /// Creates a bundle from an envelope signed by a key.
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
