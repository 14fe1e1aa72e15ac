//! Keys by reference: a file, an environment variable, a URL, a key management
//! service.
//!
//! An unknown scheme is an error, never a file name. Source:
//! docs/spec/signing.md, "Key references".

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::http;
use super::plugin::{Plugin, PluginError};
use super::signer::HeldKey;
use super::vault::{Vault, VaultError};
use crate::disk;
use crate::signing::{KeyError, MAX_KEY_BYTES, PublicKey, PublicKeyError, SigningKey};

/// Schemes of key management services that need a plugin.
const BY_PLUGIN: [&str; 3] = ["awskms", "gcpkms", "azurekms"];

/// Schemes that cosign supports and jackal does not.
const NOT_HERE: [&str; 3] = ["k8s", "gitlab", "pkcs11"];

/// Why a key reference cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyReferenceError {
    #[error(
        "unknown key scheme `{0}://`: expected a path, env://NAME, https://…, hashivault://KEY, or NAME://… with a program sigstore-kms-NAME on PATH"
    )]
    Scheme(String),
    /// HTTP without TLS is not safe.
    #[error("keys cannot be fetched over http://: use https:// or a file")]
    Http,
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// Too large for a key.
    #[error("not a key: more than {MAX_KEY_BYTES} bytes")]
    Large,
    #[error("cannot be fetched: {0}")]
    Fetch(String),
    /// It is not a public key.
    #[error(transparent)]
    Public(#[from] PublicKeyError),
    /// It is not a private key, or cannot be decrypted.
    #[error(transparent)]
    Private(#[from] KeyError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

disk::from_disk_error!(KeyReferenceError);

/// Sources of keys. The caller provides the environment.
#[derive(Clone, Debug, Default)]
pub struct KeySources {
    /// Environment variables, by name.
    pub environment: BTreeMap<String, String>,
    /// Folders to look for plugins in.
    pub folders: Vec<PathBuf>,
}

impl KeySources {
    /// Loads the public key `reference`; paths are relative to `folder`.
    ///
    /// # Errors
    ///
    /// `KeyReferenceError`
    pub fn public_key(
        &self,
        reference: &str,
        folder: &Path,
    ) -> Result<PublicKey, KeyReferenceError> {
        let Some((scheme, rest)) = reference.split_once("://") else {
            return Ok(PublicKey::parse(&read(&folder.join(reference))?)?);
        };
        match scheme {
            "env" => Ok(PublicKey::parse(self.variable(rest)?.as_bytes())?),
            "https" => Ok(PublicKey::parse(&fetch(reference)?)?),
            _ => Ok(self.elsewhere(scheme, rest)?.public().clone()),
        }
    }

    /// Loads the signing key `reference`; `password` is called only if the key
    /// is encrypted.
    ///
    /// # Errors
    ///
    /// `KeyReferenceError`
    pub fn signing_key(
        &self,
        reference: &str,
        password: &dyn Fn() -> Zeroizing<Vec<u8>>,
    ) -> Result<HeldKey, KeyReferenceError> {
        let open = |text: &[u8]| -> Result<HeldKey, KeyReferenceError> {
            Ok(HeldKey::Here(SigningKey::open(text, &password())?))
        };
        let Some((scheme, rest)) = reference.split_once("://") else {
            return open(&read(Path::new(reference))?);
        };
        match scheme {
            "env" => open(self.variable(rest)?.as_bytes()),
            "https" => open(&fetch(reference)?),
            _ => self.elsewhere(scheme, rest),
        }
    }

    fn variable(&self, name: &str) -> Result<&str, KeyReferenceError> {
        let text = self.environment.get(name).map(String::as_str);
        let text = text.filter(|text| !text.is_empty());
        text.ok_or_else(|| KeyReferenceError::NoVariable(name.to_owned()))
    }

    fn elsewhere(&self, scheme: &str, rest: &str) -> Result<HeldKey, KeyReferenceError> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if scheme == "http" {
            return Err(KeyReferenceError::Http);
        }
        if matches!(scheme, "hashivault" | "openbao") {
            return Ok(HeldKey::Vault(Vault::open(rest, &self.environment)?));
        }
        let unknown = || KeyReferenceError::Scheme(scheme.chars().take(60).collect());
        if NOT_HERE.contains(&scheme) || scheme.is_empty() || !scheme.chars().all(word) {
            return Err(unknown());
        }
        let name = format!("sigstore-kms-{scheme}");
        let programs = self.folders.iter().map(|folder| folder.join(&name));
        match programs.into_iter().find(|program| program.is_file()) {
            Some(program) => Ok(HeldKey::Plugin(Plugin::open(program, rest)?)),
            None if BY_PLUGIN.contains(&scheme) => {
                Err(PluginError::Missing(scheme.to_owned()).into())
            }
            None => Err(unknown()),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyReferenceError> {
    Ok(Zeroizing::new(disk::read(path, MAX_KEY_BYTES as u64)?))
}

/// Downloads a key, from threads that may block.
fn fetch(address: &str) -> Result<Vec<u8>, KeyReferenceError> {
    let failed = |error: String| KeyReferenceError::Fetch(error);
    let client = http::public_client().map_err(failed)?;
    http::blocking(async {
        let text = |error: reqwest::Error| failed(error.to_string());
        let response = client.get(address).send().await.map_err(text)?;
        let response = response.error_for_status().map_err(text)?;
        let read = http::body(response, MAX_KEY_BYTES).await.map_err(text)?;
        read.ok_or(KeyReferenceError::Large)
    })
    .unwrap_or_else(|error| Err(failed(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_not_a_file() {
        let sources = KeySources::default();
        for reference in ["nokms://x", "pkcs11://x", "://x", "a/b://c"] {
            let error = sources.public_key(reference, Path::new("/")).unwrap_err();
            assert!(
                matches!(error, KeyReferenceError::Scheme(_)),
                "{reference}: {error}"
            );
        }
        let error = sources
            .public_key("http://x/cosign.pub", Path::new("/"))
            .unwrap_err();
        assert!(matches!(error, KeyReferenceError::Http));
        let error = sources
            .public_key("awskms:///alias/x", Path::new("/"))
            .unwrap_err();
        assert!(error.to_string().contains("sigstore-kms-awskms"), "{error}");
        let error = sources.public_key("env://X", Path::new("/")).unwrap_err();
        assert!(matches!(error, KeyReferenceError::NoVariable(_)));
    }
}
