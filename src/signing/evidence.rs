//! Signatures by certificate: who was certified, when, and where it was logged.
//!
//! The steps of docs/spec/signing.md, "Keyless verification". Chains, logs and
//! timestamps are checked by the library of the Sigstore project; what it
//! leaves open, here: proofs of every entry, time without a log only by
//! timestamp, patterns, statements.

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

/// What must be there besides certificate and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// An entry in a trusted log, with its proof.
    pub log: bool,
    /// The promise of a certificate log.
    pub sct: bool,
    /// A timestamp of RFC 3161.
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

/// Why a file is no trusted root.
#[derive(Debug, thiserror::Error)]
#[error("the trusted root cannot be used: {0}")]
pub struct RootError(String);

/// The authorities and logs that are trusted.
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
    /// Reads a `trusted_root.json`, which `name` is called.
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

    /// That of the public instance, as of this program's release.
    ///
    /// # Errors
    ///
    /// [`RootError`]: never, if the library is whole.
    pub fn public() -> Result<Self, RootError> {
        Self::parse(
            Self::public_json().as_bytes(),
            "public Sigstore instance, built in",
        )
    }

    /// The file of that one.
    #[must_use]
    pub fn public_json() -> &'static str {
        SigstoreInstance::PublicGood.embedded_trusted_root_json()
    }

    /// Of the file's bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it knows logs that promise to show certificates.
    #[must_use]
    pub fn has_certificate_logs(&self) -> bool {
        self.certificate_logs
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a bundle does not prove that a certain signer signed an artifact.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// A key where a certificate is wanted.
    #[error("the bundle is signed with a key, but an identity was given: use --key")]
    OtherKind,
    /// Some check failed.
    #[error("{0}")]
    Library(String),
    /// It is not in a log.
    #[error(
        "the bundle has no log entry with a proof; if this deployment has no log, add --insecure-ignore-tlog"
    )]
    NoLog,
    /// Nobody says when.
    #[error("the bundle has no RFC 3161 timestamp")]
    NoTimestamp,
    /// A check that was asked for was not made.
    #[error("the verifier skipped a check: {0}")]
    LeftOut(&'static str),
    /// Somebody else.
    #[error("it was signed by `{found}` ({issuer}), not by `{wanted}` ({wanted_issuer})")]
    OtherSigner {
        /// A signer.
        found: String,
        /// Who vouches for him.
        issuer: String,
        /// Who was wanted.
        wanted: String,
        /// Who was to vouch for him.
        wanted_issuer: String,
    },
    /// The statement is not one, or about others.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// What a bundle proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Proven {
    /// Who was certified.
    pub identity: String,
    /// The issuer of the identity.
    pub issuer: String,
    /// Seconds since the Unix epoch, as logs and timestamp authorities say.
    pub times: Vec<i64>,
    /// An entry in a trusted log was proven.
    pub logged: bool,
    /// Or promised by the log alone.
    pub promised: bool,
    /// A certificate log promised to show the certificate.
    pub sct: bool,
    /// Timestamps of RFC 3161 that were checked.
    pub timestamps: usize,
    /// Repository, commit and run, as the certificate says of a CI job.
    pub claims: Vec<(&'static str, String)>,
    /// What is said, if it is a statement.
    pub statement: Option<Statement>,
}

impl Bundle {
    /// Checks that `identity` signed what digests to `artifact`; `blob` is its
    /// content where the bundle signs that, and not a statement.
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

    /// Checks the log entries and timestamps of a bundle that `key` signed,
    /// and returns the times that they prove, in seconds since the Unix epoch.
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
