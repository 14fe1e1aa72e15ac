//! What a user demands of whoever made a package.
//!
//! A policy is an argument of [`verify`](super::verify), never a global. What
//! the user gives to check with decides which kind of signature must be there;
//! nothing in the package does. Source: docs/spec/signing.md, "Policy".

use std::sync::Arc;

use globset::GlobMatcher;

use crate::signing::{Demands, Identity, PublicKey, Root};

/// What to do about signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The package is going to be used: one that is signed must be checked.
    Use,
    /// The package is only looked at: that nothing was checked is told.
    Look,
    /// The user said not to check, which is told.
    Skip,
}

/// One who may sign.
#[derive(Clone, Debug)]
pub enum Signer {
    /// Whoever has the private half of a key.
    Key {
        /// The key as the user named it.
        name: String,
        /// Its public half.
        key: PublicKey,
    },
    /// Whoever was certified so.
    Identity(Identity),
}

impl Signer {
    /// How the user knows him.
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

/// An attestation that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredAttestation {
    /// What is said.
    pub predicate_type: String,
    /// Who built it, as provenance says; `None`: anybody.
    pub builder: Option<String>,
}

/// What holds for some packages.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Names of packages; `None`: all.
    pub packages: Option<GlobMatcher>,
    /// One of these must have signed.
    pub signers: Vec<Signer>,
    /// All of these must be there, each by one of the signers.
    pub attestations: Vec<RequiredAttestation>,
    /// How old the signature may be, in seconds.
    pub max_age: Option<u64>,
}

/// What a user demands.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What to do about signatures.
    pub check: Check,
    /// The first rule that names a package counts. None at all: nothing was
    /// given to check with.
    pub rules: Vec<Rule>,
    /// The authorities that are trusted; `None`: those of the public instance.
    pub root: Option<Arc<Root>>,
    /// What a signature by certificate must come with.
    pub demands: Demands,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

impl Policy {
    /// Nothing was given to check with.
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

    /// The rule for the package called `name`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            let packages = rule.packages.as_ref();
            packages.is_none_or(|packages| packages.is_match(name))
        })
    }

    /// Whether bundles that lie beside a package may matter.
    #[must_use]
    pub fn wants_attached(&self) -> bool {
        self.check != Check::Skip && !self.rules.is_empty()
    }
}
