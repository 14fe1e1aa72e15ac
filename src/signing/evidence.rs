//! Verification of keyless signatures: certificates, logs and timestamps.
//!
//! The steps of docs/spec/signing.md, "Keyless verification". The library of the
//! Sigstore project checks chains, logs and timestamps. This module checks the
//! rest: proofs of every entry, time without a log only by timestamp, patterns,
//! statements.

use sigstore_trust_root::{SigstoreInstance, TrustedRoot};
use sigstore_types::{Artifact, Sha256Hash};
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier,
};

use super::bundle::{Bundle, Content, Material};
use super::envelope::{Statement, StatementError};
use super::identity::Identity;
use super::public_key::PublicKey;
use crate::oci::Digest;

/// The evidence required besides certificate and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// An entry in a trusted log, with an inclusion proof.
    pub log: bool,
    /// A signed certificate timestamp.
    pub sct: bool,
    /// An RFC 3161 timestamp.
    pub timestamp: bool,
}

impl Default for Demands {
    fn default() -> Self {
        Self {
            log: true,
            sct: true,
            timestamp: false,
        }
    }
}

/// Why a trusted root cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the trusted root cannot be used: {0}")]
pub struct RootError(String);

/// The trusted authorities and logs.
pub struct Root {
    verifier: Verifier,
    digest: Digest,
    name: String,
    certificate_logs: bool,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({}, {})", self.name, self.digest)
    }
}

impl Root {
    /// Parses a `trusted_root.json` named `name`.
    ///
    /// # Errors
    ///
    /// [`RootError`]
    pub fn parse(text: &[u8], name: &str) -> Result<Self, RootError> {
        let wrong = |what: String| RootError(format!("`{name}`: {what}"));
        let json = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
        let root = TrustedRoot::from_json(json).map_err(|error| wrong(error.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            certificate_logs: !root.ctlogs.is_empty(),
            verifier,
            digest: Digest::of(text),
            name: name.to_owned(),
        })
    }

    /// The trusted root of the public instance, built in.
    ///
    /// # Errors
    ///
    /// [`RootError`]: never, unless the library is broken.
    pub fn public() -> Result<Self, RootError> {
        Self::parse(
            Self::public_json().as_bytes(),
            "public Sigstore instance, built in",
        )
    }

    /// The file of the built-in trusted root.
    #[must_use]
    pub fn public_json() -> &'static str {
        SigstoreInstance::PublicGood.embedded_trusted_root_json()
    }

    /// Digest of the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it has certificate transparency logs.
    #[must_use]
    pub fn has_certificate_logs(&self) -> bool {
        self.certificate_logs
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a bundle is not a signature of an artifact by the expected identity.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// It is signed with a key, not a certificate.
    #[error("the bundle is signed with a key, but an identity was given: use --key")]
    OtherKind,
    /// A check failed.
    #[error("{0}")]
    Library(String),
    /// It is not in a log.
    #[error(
        "the bundle has no log entry with a proof; if this deployment has no log, add --insecure-ignore-tlog"
    )]
    NoLog,
    /// It has no timestamp.
    #[error("the bundle has no RFC 3161 timestamp")]
    NoTimestamp,
    /// The library did not make a required check.
    #[error("the verifier skipped a check: {0}")]
    LeftOut(&'static str),
    /// It is by another identity.
    #[error("it was signed by `{found}` ({issuer}), not by `{wanted}` ({wanted_issuer})")]
    OtherSigner {
        /// The identity in the certificate.
        found: String,
        /// The issuer of that identity.
        issuer: String,
        wanted: String,
        wanted_issuer: String,
    },
    /// The statement is malformed or about another artifact.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// The verified facts in a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Proven {
    /// The identity in the certificate.
    pub identity: String,
    /// The issuer of the identity.
    pub issuer: String,
    /// Times from logs and timestamp authorities, in seconds since the Unix
    /// epoch.
    pub times: Vec<i64>,
    /// Whether inclusion in a trusted log was proven.
    pub logged: bool,
    /// Whether the log only promised inclusion.
    pub promised: bool,
    /// Whether a signed certificate timestamp was verified.
    pub sct: bool,
    /// Number of verified RFC 3161 timestamps.
    pub timestamps: usize,
    /// Claims in the certificate about a CI job: repository, commit, run.
    pub claims: Vec<(&'static str, String)>,
    /// The statement, if it is one.
    pub statement: Option<Statement>,
}

impl Bundle {
    /// Verifies that `identity` signed the content with the digest `artifact`;
    /// `blob` is that content if the bundle has no statement.
    ///
    /// # Errors
    ///
    /// [`KeylessError`]
    pub fn verify_keyless(
        &self,
        root: &Root,
        identity: &Identity,
        demands: Demands,
        artifact: &[(&str, String)],
        blob: Option<&[u8]>,
    ) -> Result<Proven, KeylessError> {
        if *self.material() != Material::Certificate {
            return Err(KeylessError::OtherKind);
        }
        if demands.log && !self.is_logged() {
            return Err(KeylessError::NoLog);
        }
        if demands.timestamp && self.timestamps() == 0 {
            return Err(KeylessError::NoTimestamp);
        }
        let mut policy = VerificationPolicy::any_identity();
        if !demands.log {
            policy = policy.skip_tlog_unsafe();
        }
        if !demands.sct {
            policy = policy.skip_sct();
        }
        let found = self.check(root, &policy, artifact, blob)?;
        let proofs = [
            (found.certificate_verified(), "chain of the certificate"),
            (
                found.sct_verified() || !demands.sct,
                "promise of the certificate log",
            ),
            (
                found.tlog_verified() || !demands.log,
                "proof of the log entry",
            ),
            (!found.verified_timestamps().is_empty(), "time"),
        ];
        if let Some((_, what)) = proofs.iter().find(|(made, _)| !made) {
            return Err(KeylessError::LeftOut(what));
        }
        let subject = found.identity().map(|name| name.as_str().to_owned());
        let subject = subject.unwrap_or_default();
        let issuer = found.issuer().unwrap_or_default().to_owned();
        if subject.is_empty()
            || issuer.is_empty()
            || !identity.subject.matches(&subject)
            || !identity.issuer.matches(&issuer)
        {
            return Err(KeylessError::OtherSigner {
                found: subject,
                issuer,
                wanted: identity.subject.as_str().to_owned(),
                wanted_issuer: identity.issuer.as_str().to_owned(),
            });
        }
        let statement = match self.content() {
            Content::Envelope(envelope) => {
                let statement = Statement::of(envelope)?;
                statement.is_about(artifact)?;
                Some(statement)
            }
            Content::Message { .. } => None,
        };
        Ok(Proven {
            identity: subject,
            issuer,
            times: found
                .verified_timestamps()
                .iter()
                .map(|time| time.as_second())
                .collect(),
            logged: found.tlog_verified() && !self.is_promised(),
            promised: found.tlog_verified() && self.is_promised(),
            sct: found.sct_verified(),
            timestamps: self.timestamps(),
            claims: claims(&found),
            statement,
        })
    }

    /// Verifies the log entries and timestamps of a bundle that `key` signed,
    /// and returns their times in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`KeylessError`]
    pub fn verify_evidence(
        &self,
        root: &Root,
        key: &PublicKey,
        demands: Demands,
        artifact: &[(&str, String)],
        blob: Option<&[u8]>,
    ) -> Result<Vec<i64>, KeylessError> {
        if demands.log && !self.is_logged() {
            return Err(KeylessError::NoLog);
        }
        if demands.timestamp && self.timestamps() == 0 {
            return Err(KeylessError::NoTimestamp);
        }
        let mut policy = PublicKeyVerificationPolicy::new(key.spki().to_vec().into());
        if !demands.log {
            policy = policy.skip_tlog_unsafe();
        }
        let found = self.check(root, &policy, artifact, blob)?;
        Ok(found
            .verified_timestamps()
            .iter()
            .map(|time| time.as_second())
            .collect())
    }

    fn check(
        &self,
        root: &Root,
        policy: &dyn sigstore_verify::Policy,
        artifact: &[(&str, String)],
        blob: Option<&[u8]>,
    ) -> Result<VerificationResult, KeylessError> {
        let library = |error: String| KeylessError::Library(error);
        let bundle = sigstore_types::Bundle::from_json(&self.to_json())
            .map_err(|error| library(error.to_string()))?;
        let input: Artifact<'_> = match blob {
            Some(blob) => Artifact::from(blob),
            None => {
                let named = artifact
                    .iter()
                    .find(|(algorithm, _)| *algorithm == "sha256");
                let hex = named.map(|(_, hex)| hex.as_str()).unwrap_or_default();
                let hash = Sha256Hash::from_hex(hex).map_err(|error| library(error.to_string()))?;
                Artifact::from(hash)
            }
        };
        root.verifier
            .verify(input, &bundle, policy)
            .map_err(|error| library(error.to_string()))
    }
}

fn claims(found: &VerificationResult) -> Vec<(&'static str, String)> {
    let Some(certificate) = found.certificate() else {
        return Vec::new();
    };
    let ci = &certificate.ci_claims;
    let named = [
        ("sourceRepository", &ci.source_repository_uri),
        ("sourceRef", &ci.source_repository_ref),
        ("sourceDigest", &ci.source_repository_digest),
        ("buildConfig", &ci.build_config_uri),
        ("buildSigner", &ci.build_signer_uri),
        ("trigger", &ci.build_trigger),
        ("run", &ci.run_invocation_uri),
    ];
    let given = named.into_iter();
    given
        .filter_map(|(name, claim)| Some((name, claim.clone()?)))
        .collect()
}
