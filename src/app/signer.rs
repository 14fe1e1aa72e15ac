//! Who signs, by what the user gave: a key, or a token and services.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::signing::{Demands, Root, RootError};
use crate::transparency::{
    KeyReferenceError, KeySources, Keyless, Services, Signer, TokenSources, TrustConfig,
    TrustConfigError,
};

/// How to sign with a certificate.
#[derive(Clone, Debug, Default)]
pub struct KeylessOptions {
    /// The token, or a file with it.
    pub token: Option<String>,
    /// Variables that tokens come from.
    pub environment: BTreeMap<String, String>,
    /// A private deployment.
    pub trust_config: Option<PathBuf>,
    /// The certificate authority.
    pub fulcio: Option<String>,
    /// The log, and the version of its interface.
    pub rekor: Option<(String, u32)>,
    /// Whether signatures are logged.
    pub log: bool,
    /// The timestamp authority.
    pub timestamps: Option<String>,
}

/// Why nobody can sign.
#[derive(Debug, thiserror::Error)]
pub enum SignerSetupError {
    /// The key cannot be had.
    #[error("signing key `{name}`: {source}")]
    Key {
        /// The reference.
        name: String,
        /// What is wrong.
        source: KeyReferenceError,
    },
    /// The deployment is not described well.
    #[error(transparent)]
    Config(#[from] TrustConfigError),
    /// The built-in root is broken.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A file cannot be read.
    #[error("trust config `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

/// Whoever has the key that `reference` leads to.
///
/// # Errors
///
/// [`SignerSetupError`]
pub fn key_signer(
    reference: &str,
    sources: &KeySources,
    password: &dyn Fn() -> Zeroizing<Vec<u8>>,
) -> Result<Arc<Signer>, SignerSetupError> {
    let key = sources.signing_key(reference, password);
    let key = key.map_err(|source| SignerSetupError::Key {
        name: reference.to_owned(),
        source,
    })?;
    Ok(Arc::new(Signer::Key(key)))
}

/// Whoever the token names.
///
/// # Errors
///
/// [`SignerSetupError`]
pub fn keyless_signer(options: KeylessOptions) -> Result<Arc<Signer>, SignerSetupError> {
    let (root, mut services) = match &options.trust_config {
        None => (Root::public()?, Services::public()),
        Some(path) => {
            let text = fs::read(path).map_err(|source| SignerSetupError::Io {
                path: path.clone(),
                source,
            })?;
            let config = TrustConfig::parse(&text, &path.display().to_string())?;
            (config.root, config.services)
        }
    };
    if let Some(url) = options.fulcio {
        services.fulcio = url;
    }
    services.rekor = match options.log {
        false => None,
        true => options.rekor.or(services.rekor),
    };
    services.timestamps = options.timestamps.or(services.timestamps);
    Ok(Arc::new(Signer::Keyless(Box::new(Keyless {
        services,
        tokens: TokenSources {
            given: options.token,
            environment: options.environment,
        },
        demands: Demands {
            sct: root.has_certificate_logs(),
            ..Demands::default()
        },
        root: Arc::new(root),
    }))))
}
