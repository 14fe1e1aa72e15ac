//! Key files: generated, or imported from unencrypted keys.

use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};
use crate::oci::Digest;
use crate::signing::{
    Algorithm, ContainerError, ImportError, KeyError, MAX_KEY_BYTES, SignError, SigningKey,
    encrypt_container, import,
};

const PRIVATE: &str = "cosign.key";

const PUBLIC: &str = "cosign.pub";

/// The files of a key pair.
#[derive(Debug)]
pub struct KeyPair {
    pub private: PathBuf,
    pub public: PathBuf,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub fingerprint: Digest,
}

/// Why no key files were written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("`{0}` already exists")]
    Exists(PathBuf),
    #[error(transparent)]
    Io(#[from] DiskError),
    /// The key cannot be generated.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The key cannot be encrypted.
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file holds no unencrypted key.
    #[error("`{path}`")]
    Import { path: PathBuf, source: ImportError },
}

/// How key files are written.
#[derive(Clone, Debug)]
pub struct KeyFileOptions {
    pub folder: PathBuf,
    pub force: bool,
}

impl KeyFileOptions {
    /// Fails if files exist, before the user is prompted for a password.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Exists`]
    pub fn check(&self) -> Result<(), KeyFileError> {
        let taken = [PRIVATE, PUBLIC].map(|name| self.folder.join(name));
        match taken.into_iter().find(|path| path.exists() && !self.force) {
            Some(path) => Err(KeyFileError::Exists(path)),
            None => Ok(()),
        }
    }
}

/// Generates a key pair.
///
/// # Errors
///
/// [`KeyFileError`]
pub fn generate_key(
    algorithm: Algorithm,
    password: &[u8],
    options: &KeyFileOptions,
) -> Result<KeyPair, KeyFileError> {
    write_pair(&SigningKey::generate(algorithm)?, password, options)
}

/// Imports the unencrypted key in the file `path`.
///
/// # Errors
///
/// [`KeyFileError`]
pub fn import_key(
    path: &Path,
    password: &[u8],
    options: &KeyFileOptions,
) -> Result<KeyPair, KeyFileError> {
    let text = zeroize::Zeroizing::new(disk::read(path, MAX_KEY_BYTES as u64)?);
    let pkcs8 = import(&text).map_err(|source| KeyFileError::Import {
        path: path.to_owned(),
        source,
    })?;
    write_pair(&pkcs8, password, options)
}

fn write_pair(
    pkcs8: &[u8],
    password: &[u8],
    options: &KeyFileOptions,
) -> Result<KeyPair, KeyFileError> {
    options.check()?;
    let key = SigningKey::from_pkcs8(pkcs8)?;
    let container = encrypt_container(pkcs8, password)?;
    let pair = KeyPair {
        private: options.folder.join(PRIVATE),
        public: options.folder.join(PUBLIC),
        fingerprint: key.public().fingerprint(),
    };
    disk::write_private(&pair.private, container.as_bytes())?;
    disk::write(&pair.public, key.public().to_pem().as_bytes())?;
    Ok(pair)
}
