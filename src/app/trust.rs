//! The user's trust settings: keys, identities, policy file and trusted root, combined
//! into one policy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::disk;
use crate::oci::Digest;
use crate::signers::{FetchError, KeyReferenceError, KeySources, TrustConfig, fetch_root};
use crate::signing::{Demands, Identity, IdentityError, Root, RootError};
use crate::text::with_causes;
use crate::verify::{Check, Policy, Rule, Signer, parse_policy};
use crate::yaml::{Mistakes, SourceText};

/// Largest policy file or trusted root, in bytes: 16 MiB.
const MAX_BYTES: u64 = 16 << 20;

/// How to verify signatures.
#[derive(Clone, Debug)]
pub struct TrustOptions {
    /// What to do if no key, identity or policy was given.
    pub check: Check,
    /// References to public keys, any one of which must have signed.
    pub keys: Vec<String>,
    /// Identity that a certificate must have.
    pub identity: Option<String>,
    /// The same by an expression.
    pub identity_regexp: Option<String>,
    /// OIDC issuer that a certificate must name.
    pub issuer: Option<String>,
    /// The same by an expression.
    pub issuer_regexp: Option<String>,
    /// A policy file.
    pub policy: Option<PathBuf>,
    /// A trusted root.
    pub root: Option<PathBuf>,
    /// The evidence required with certificates.
    pub demands: Demands,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A key cannot be loaded.
    #[error("--key {name}")]
    Key {
        name: String,
        source: KeyReferenceError,
    },
    /// The identity is incomplete.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The policy file has mistakes.
    #[error(transparent)]
    Policy(#[from] Mistakes),
    /// The trusted root is invalid.
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

disk::from_disk_error!(TrustError);

/// Makes the policy.
///
/// # Errors
///
/// [`TrustError`]
pub fn policy(options: &TrustOptions, sources: &KeySources) -> Result<Policy, TrustError> {
    let mut signers = Vec::new();
    for name in &options.keys {
        let key = sources.public_key(name, Path::new("."));
        let key = key.map_err(|source| TrustError::Key {
            name: name.clone(),
            source,
        })?;
        signers.push(Signer::Key {
            name: name.clone(),
            key,
        });
    }
    let identity = Identity::given(
        ["--certificate-identity", "--certificate-oidc-issuer"],
        (
            options.identity.as_deref(),
            options.identity_regexp.as_deref(),
        ),
        (options.issuer.as_deref(), options.issuer_regexp.as_deref()),
    )?;
    signers.extend(identity.map(Signer::Identity));
    let rules = match &options.policy {
        Some(path) => {
            let folder = path.parent().unwrap_or(Path::new("."));
            let text = String::from_utf8_lossy(&disk::read(path, MAX_BYTES)?).into_owned();
            let source = SourceText::new(path.display().to_string(), text);
            let key = |name: &str| {
                let key = sources.public_key(name, folder);
                key.map_err(|error| with_causes(&error))
            };
            parse_policy(&source, &key)?
        }
        None if signers.is_empty() => Vec::new(),
        None => vec![Rule {
            signers,
            ..Rule::default()
        }],
    };
    let root = match &options.root {
        Some(path) => Some(Arc::new(root_in(path)?.1)),
        None => None,
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Policy {
        check: options.check,
        rules,
        root,
        demands: options.demands,
        now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
    })
}

/// The trusted root in a file, with its text. The file is a trusted root, or a trust
/// config that contains one.
fn root_in(path: &Path) -> Result<(String, Root), TrustError> {
    let name = path.display().to_string();
    let text = disk::read(path, MAX_BYTES)?;
    let text = match TrustConfig::root_text(&text) {
        Some(inner) => inner,
        None => String::from_utf8_lossy(&text).into_owned(),
    };
    let root = Root::parse(text.as_bytes(), &name)?;
    Ok((text, root))
}

/// The source of a trusted root.
#[derive(Clone, Debug)]
pub enum RootFrom {
    /// The root built into this program.
    BuiltIn,
    /// The current root of the public instance.
    Public,
    /// A mirror of TUF metadata, verified from its first root.
    Mirror {
        url: String,
        /// The file with its first `root.json`.
        root: PathBuf,
    },
    File(PathBuf),
}

/// A trusted root, ready to be pinned.
#[derive(Clone, Debug)]
pub struct FoundRoot {
    pub name: String,
    pub json: String,
    /// SHA-256 of it.
    pub digest: Digest,
}

/// Gets a trusted root and checks that it is usable.
///
/// # Errors
///
/// [`TrustError`]
pub fn trusted_root(from: &RootFrom) -> Result<FoundRoot, TrustError> {
    let (json, root) = match from {
        RootFrom::BuiltIn => {
            let root = Root::public()?;
            (Root::public_json().to_owned(), root)
        }
        RootFrom::File(path) => root_in(path)?,
        RootFrom::Public => {
            let json = fetch_root(None)?;
            let root = Root::parse(json.as_bytes(), "public Sigstore instance, fetched")?;
            (json, root)
        }
        RootFrom::Mirror { url, root } => {
            let json = fetch_root(Some((url, &disk::read(root, MAX_BYTES)?)))?;
            let root = Root::parse(json.as_bytes(), url)?;
            (json, root)
        }
    };
    Ok(FoundRoot {
        name: root.name().to_owned(),
        digest: root.digest(),
        json,
    })
}
