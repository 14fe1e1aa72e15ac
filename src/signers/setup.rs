//! Creates signers from the user's settings: a key, or a token and services.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::keyless::{Keyless, Services};
use super::reference::{KeyReferenceError, KeySources};
use super::signer::Signer;
use super::token::TokenSources;
use super::trust_config::{TrustConfig, TrustConfigError};
use crate::disk::{self, DiskError};
use crate::signing::{Demands, Root, RootError};

/// Maximum size of a password file, in bytes: 64 KiB.
const MAX_PASSWORD_BYTES: u64 = 64 << 10;

/// Largest trust configuration, in bytes: 16 MiB. The public one has some kilobytes.
const MAX_TRUST_CONFIG_BYTES: u64 = 16 << 20;

/// Settings for keyless signing.
#[derive(Clone, Debug, Default)]
pub struct KeylessOptions {
    /// The token, or a file with it.
    pub token: Option<String>,
    /// Environment variables that may have tokens.
    pub environment: BTreeMap<String, String>,
    /// The trust config of a private deployment.
    pub trust_config: Option<PathBuf>,
    pub fulcio: Option<String>,
    /// The log, and the version of its API.
    pub rekor: Option<(String, u32)>,
    /// Whether signatures are logged.
    pub log: bool,
    pub timestamps: Option<String>,
}

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
pub enum SignerSetupError {
    /// The key cannot be loaded.
    #[error("signing key `{name}`")]
    Key {
        name: String,
        source: KeyReferenceError,
    },
    /// The trust config is invalid.
    #[error(transparent)]
    Config(#[from] TrustConfigError),
    /// The built-in trusted root is unusable.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A password cannot be read.
    #[error("cannot read the password file `{path}`")]
    Password { path: PathBuf, source: io::Error },
    /// A file cannot be read.
    #[error("cannot read the trust config `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
}

disk::from_disk_error!(SignerSetupError);

/// The signer with the key `reference`.
///
/// # Errors
///
/// `SignerSetupError`
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

/// Reads a password from a file, without the final line break.
///
/// # Errors
///
/// The file cannot be read or is too large.
pub fn password_in(path: &Path) -> Result<Zeroizing<Vec<u8>>, SignerSetupError> {
    let bytes = disk::read(path, MAX_PASSWORD_BYTES);
    let bytes =
        bytes.map_err(|DiskError { path, source }| SignerSetupError::Password { path, source })?;
    let mut bytes = Zeroizing::new(bytes);
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// The keyless signer with the identity in the token.
///
/// # Errors
///
/// `SignerSetupError`
pub fn keyless_signer(options: KeylessOptions) -> Result<Arc<Signer>, SignerSetupError> {
    let (root, mut services) = match &options.trust_config {
        None => (Root::public()?, Services::public()),
        Some(path) => {
            let text = disk::read(path, MAX_TRUST_CONFIG_BYTES)?;
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
