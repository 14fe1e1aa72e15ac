//! The user's requirements on the signer of a package.
//!
//! A policy is an argument of [`verify`](super::verify), never a global. The
//! kind of signature that is required follows from the keys and identities that
//! the user gave, never from the package. Source: docs/spec/signing.md,
//! "Policy".

use std::sync::Arc;

use globset::GlobMatcher;

use crate::signing::{Demands, Identity, PublicKey, Root};

/// What to do about signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The package is going to be used: if it is signed, the signature must be
    /// checked.
    Use,
    /// The package is only inspected: an unchecked signature is reported.
    Look,
    /// The user disabled the check, which is reported.
    Skip,
}

#[derive(Clone, Debug)]
pub enum Signer {
    /// The holder of a private key.
    Key {
        /// The key as the user named it.
        name: String,
        key: PublicKey,
    },
    /// The owner of a certificate for this identity.
    Identity(Identity),
}

impl Signer {
    /// The signer as the user named it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Key { name, .. } => format!("key `{name}`"),
            Self::Identity(identity) => {
                let (subject, issuer) = (identity.subject.as_str(), identity.issuer.as_str());
                format!("identity `{subject}` ({issuer})")
            }
        }
    }
}

/// A required attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredAttestation {
    /// The type of the predicate.
    pub predicate_type: String,
    /// The builder in the provenance; `None`: any.
    pub builder: Option<String>,
}

/// Requirements on some packages.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Matches package names; `None`: all.
    pub packages: Option<GlobMatcher>,
    /// One of these must have signed.
    pub signers: Vec<Signer>,
    /// All of these are required, each by one of the signers.
    pub attestations: Vec<RequiredAttestation>,
    /// Maximum age of the signature in seconds.
    pub max_age: Option<u64>,
}

/// Requirements on packages.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What to do about signatures.
    pub check: Check,
    /// The first rule that matches a package applies. Empty: no key or identity
    /// was given.
    pub rules: Vec<Rule>,
    /// The trusted root; `None`: that of the public Sigstore instance.
    pub root: Option<Arc<Root>>,
    /// The evidence required of signatures by certificate.
    pub demands: Demands,
    /// The current time in seconds since the Unix epoch.
    pub now: i64,
}

impl Policy {
    /// A policy without any key or identity.
    #[must_use]
    pub fn without_signers(check: Check) -> Self {
        Self {
            check,
            rules: Vec::new(),
            root: None,
            demands: Demands::default(),
            now: 0,
        }
    }

    /// The rule for the package `name`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            let packages = rule.packages.as_ref();
            packages.is_none_or(|packages| packages.is_match(name))
        })
    }

    /// Whether bundles beside a package can affect the verdict.
    #[must_use]
    pub fn wants_attached(&self) -> bool {
        self.check != Check::Skip && !self.rules.is_empty()
    }
}
