//! Whoever signs: a key here, a key elsewhere, or a certificate.

use std::sync::Arc;

use super::keyless::{Keyless, KeylessSignError};
use super::plugin::{Plugin, PluginError};
use super::vault::{Vault, VaultError};
use crate::package::Dialect;
use crate::signing::{
    Bundle, Envelope, IN_TOTO, Identity, PublicKey, SignError, SigningKey, Statement,
    write_signature_file,
};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key refused.
    #[error(transparent)]
    Key(#[from] SignError),
    /// The plugin refused.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No certificate, or no witness.
    #[error(transparent)]
    Keyless(#[from] KeylessSignError),
    /// What is to be said cannot be written.
    #[error("the statement cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A thread of ours died.
    #[error("signing stopped: {0}")]
    Stopped(String),
}
