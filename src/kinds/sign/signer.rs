//! Signers by key or identity, opened when first needed.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::signers::{
    KeySources, KeylessOptions, Signer, SignerSetupError, key_signer, keyless_signer, password_in,
};
use crate::signing::Identity;

/// A signer and how to open it.
#[derive(Clone, Debug)]
pub struct SignerFrom {
    /// How the signer is specified.
    pub named: SignerNamed,
    /// The identity that a certificate must name.
    pub identity: Option<Identity>,
    opened: Arc<OnceLock<Arc<Signer>>>,
}

/// How a signer is specified.
#[derive(Clone, Debug)]
pub enum SignerNamed {
    Given(Arc<Signer>),
    /// By a key reference.
    Key {
        /// A path or another key reference.
        reference: String,
        /// The file with the password.
        password_file: Option<PathBuf>,
        sources: KeySources,
    },
    /// Keyless, by a token and signing services.
    Keyless(Box<KeylessOptions>),
}

impl SignerFrom {
    /// A signer that is opened when first needed.
    #[must_use]
    pub fn new(named: SignerNamed, identity: Option<Identity>) -> Self {
        Self {
            named,
            identity,
            opened: Arc::default(),
        }
    }

    /// Opens the signer once; later calls return the same one.
    ///
    /// # Errors
    ///
    /// [`SignerSetupError`], or the password's file cannot be read.
    pub fn signer(&self) -> Result<Arc<Signer>, SignerSetupError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let signer = match &self.named {
            SignerNamed::Given(signer) => Arc::clone(signer),
            SignerNamed::Keyless(options) => keyless_signer((**options).clone())?,
            SignerNamed::Key {
                reference,
                password_file,
                sources,
            } => {
                let password = match password_file {
                    Some(path) => password_in(path)?,
                    None => {
                        let variable = sources.environment.get("COSIGN_PASSWORD");
                        variable.cloned().unwrap_or_default().into_bytes().into()
                    }
                };
                key_signer(reference, sources, &|| password.clone())?
            }
        };
        Ok(Arc::clone(self.opened.get_or_init(|| signer)))
    }
}
