//! Signers: a key in this process, a key in a service, or keyless.
//!
//! Signing blocks during requests, so call it from threads that may block.

use super::http::blocking;
use super::keyless::{Keyless, KeylessSignError};
use super::plugin::{Plugin, PluginError};
use super::vault::{Vault, VaultError};
use crate::signing::{Bundle, Envelope, IN_TOTO, PublicKey, SignError, SigningKey, Statement};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] SignError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Keyless(#[from] KeylessSignError),
    /// The statement cannot be serialised.
    #[error("the statement cannot be written")]
    Json(#[from] serde_json::Error),
    #[error("signing stopped: {0}")]
    Stopped(String),
}

/// A long-lived key.
#[derive(Debug)]
pub enum HeldKey {
    /// In this process.
    Here(SigningKey),
    /// In a key management service, used through a plugin.
    Plugin(Plugin),
    /// In a vault.
    Vault(Vault),
}

impl HeldKey {
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Here(key) => key.public(),
            Self::Plugin(plugin) => plugin.public(),
            Self::Vault(vault) => vault.public(),
        }
    }

    /// The signature of `message`.
    ///
    /// # Errors
    ///
    /// [`SignerError`]
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(match self {
            Self::Here(key) => key.sign(message)?,
            Self::Plugin(plugin) => plugin.sign(message)?,
            Self::Vault(vault) => vault.sign(message)?,
        })
    }
}

#[derive(Debug)]
pub enum Signer {
    /// By a key.
    Key(HeldKey),
    /// By certificates.
    Keyless(Box<Keyless>),
}

impl Signer {
    /// An identifier of the signer, so that nothing is signed by the same one
    /// twice.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Key(key) => format!("key {}", key.public().fingerprint()),
            Self::Keyless(keyless) => format!("certificate of {}", keyless.services.fulcio),
        }
    }

    /// Whether it signs the same bytes the same way each time.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        matches!(self, Self::Key(HeldKey::Here(_)))
    }

    /// A bundle of the signature of `blob`.
    ///
    /// # Errors
    ///
    /// `SignerError`
    pub fn blob(&self, blob: &[u8]) -> Result<String, SignerError> {
        match self {
            Self::Key(key) => Ok(Bundle::of_blob(key.public(), blob, &key.sign(blob)?)),
            Self::Keyless(keyless) => {
                Ok(blocking(keyless.blob(blob)).map_err(SignerError::Stopped)??)
            }
        }
    }

    /// A bundle of `statement`.
    ///
    /// # Errors
    ///
    /// `SignerError`
    pub fn statement(&self, statement: &Statement) -> Result<String, SignerError> {
        let payload = serde_json::to_vec(statement)?;
        match self {
            Self::Key(key) => {
                let signature = key.sign(&Envelope::signed_bytes(IN_TOTO, &payload))?;
                let envelope = Envelope {
                    payload_type: IN_TOTO.to_owned(),
                    payload,
                    signature,
                };
                Ok(Bundle::of_envelope(key.public(), &envelope))
            }
            Self::Keyless(keyless) => {
                Ok(blocking(keyless.statement(&payload)).map_err(SignerError::Stopped)??)
            }
        }
    }
}
