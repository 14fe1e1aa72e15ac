//! The encrypted container of a private key, as cosign writes it.
//!
//! Source: docs/spec/signing.md, "Private key file".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead, KeyInit};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::pem_block::{self, MAX_KEY_BYTES};

/// PEM labels; the first one is written, the second one is older.
const LABELS: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];

/// Supported costs of key derivation. Others are refused first: the largest cost
/// that the field can have would need a terabyte.
const COSTS: [u64; 3] = [32_768, 65_536, 131_072];

/// The cost of new containers.
const COST: u64 = 65_536;

const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 32;

/// Why a key container cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Not PEM, or too large for a key.
    #[error(
        "invalid pem block: expected -----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----, at most {MAX_KEY_BYTES} bytes"
    )]
    NoBlock,
    /// An unencrypted key.
    #[error(
        "unsupported pem type: {0}: an unencrypted key; import it with `jackal tools import-key`"
    )]
    Plain(String),
    /// Another PEM label.
    #[error("unsupported pem type: {0}: expected ENCRYPTED SIGSTORE PRIVATE KEY")]
    Label(String),
    #[error("the key container cannot be read: {0}")]
    Malformed(String),
    /// Unsupported parameters.
    #[error(
        "unsupported scrypt parameters: N={n}, r={r}, p={p}: expected N=32768, 65536 or 131072 with r=8, p=1"
    )]
    Cost {
        /// Cost in memory and time.
        n: u64,
        r: u32,
        p: u32,
    },
    /// A wrong password or a damaged file, which cannot be distinguished.
    #[error("encrypted: decryption failed: the password is wrong, or the key file is damaged")]
    Decrypt,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Decrypts the PKCS #8 document in a container.
///
/// # Errors
///
/// [`ContainerError`]
pub fn decrypt_container(
    text: &[u8],
    password: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
    let (label, content) = pem_block::first(text).ok_or(ContainerError::NoBlock)?;
    if !LABELS.contains(&label.as_str()) {
        let shown: String = label.chars().take(100).collect();
        return Err(
            match label.ends_with("PRIVATE KEY") && label != "ENCRYPTED PRIVATE KEY" {
                true => ContainerError::Plain(shown),
                false => ContainerError::Label(shown),
            },
        );
    }
    let container: Container = serde_json::from_slice(&content)
        .map_err(|error| ContainerError::Malformed(error.to_string()))?;
    let malformed = |what: &str| ContainerError::Malformed(what.to_owned());
    if container.kdf.name != "scrypt" {
        return Err(malformed("its key derivation is not scrypt"));
    }
    if container.cipher.name != "nacl/secretbox" {
        return Err(malformed("its cipher is not nacl/secretbox"));
    }
    let Params { n, r, p } = container.kdf.params;
    if !COSTS.contains(&n) || r != 8 || p != 1 {
        return Err(ContainerError::Cost { n, r, p });
    }
    let bytes = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|_| malformed("it is not base64"))
    };
    let salt = bytes(&container.kdf.salt)?;
    let nonce: [u8; NONCE_BYTES] = bytes(&container.cipher.nonce)?
        .try_into()
        .map_err(|_| malformed("its nonce is not 24 bytes long"))?;
    let secret = derive(password, &salt, n)?;
    let cipher = XSalsa20Poly1305::new((&*secret).into());
    let plain = cipher.decrypt(&nonce.into(), &bytes(&container.ciphertext)?[..]);
    plain
        .map(Zeroizing::new)
        .map_err(|_| ContainerError::Decrypt)
}

/// Encrypts `pkcs8` into a new container.
///
/// # Errors
///
/// No random bytes available.
pub fn encrypt_container(pkcs8: &[u8], password: &[u8]) -> Result<String, ContainerError> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    let random = |bytes: &mut [u8]| {
        aws_lc_rs::rand::fill(bytes)
            .map_err(|_| ContainerError::Malformed("no random bytes available".to_owned()))
    };
    random(&mut salt)?;
    random(&mut nonce)?;
    let secret = derive(password, &salt, COST)?;
    let cipher = XSalsa20Poly1305::new((&*secret).into());
    let sealed = cipher.encrypt(&nonce.into(), pkcs8);
    let container = Container {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params {
                n: COST,
                r: 8,
                p: 1,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode(sealed.map_err(|_| ContainerError::Decrypt)?),
    };
    let json = serde_json::to_vec(&container)
        .map_err(|error| ContainerError::Malformed(error.to_string()))?;
    Ok(pem_block::write(LABELS[0], &json))
}

fn derive(password: &[u8], salt: &[u8], n: u64) -> Result<Zeroizing<[u8; 32]>, ContainerError> {
    let refused = |_| ContainerError::Cost { n, r: 8, p: 1 };
    let log = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
    let params = scrypt::Params::new(log, 8, 1).map_err(refused)?;
    let mut secret = Zeroizing::new([0; 32]);
    scrypt::scrypt(password, salt, &params, &mut *secret)
        .map_err(|_| ContainerError::Malformed("its key cannot be derived".to_owned()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_opens_only_with_its_password() {
        let text = encrypt_container(b"pkcs8", b"secret").unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(
            *decrypt_container(text.as_bytes(), b"secret").unwrap(),
            b"pkcs8"
        );
        let wrong = decrypt_container(text.as_bytes(), b"Secret");
        assert_eq!(wrong.unwrap_err(), ContainerError::Decrypt);
    }

    #[test]
    fn a_file_too_large_for_a_key_is_refused_unread() {
        let text = encrypt_container(b"pkcs8", b"").unwrap();
        let padded = [vec![b'x'; MAX_KEY_BYTES], text.into_bytes()].concat();
        assert_eq!(
            decrypt_container(&padded, b"").unwrap_err(),
            ContainerError::NoBlock
        );
    }
}
