//! Private keys.
//!
//! Signatures have the form that all verifiers accept: SHA-256 for ECDSA on any
//! curve, PKCS #1 v1.5 with SHA-256 for RSA, pure Ed25519. Source:
//! docs/spec/signing.md, "Algorithms".

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::pkcs8::DecodePrivateKey as _;
use zeroize::Zeroizing;

use super::container::{ContainerError, decrypt_container};
use super::pem_block;
use super::public_key::{Algorithm, PublicKey};
use crate::oci::Digest;

/// Size of P-521 field elements, in bytes.
const P521_FIELD_BYTES: usize = 66;

/// Why a signing key cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The container cannot be decrypted.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The key is not supported.
    #[error(
        "the container has no supported signing key: expected ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519, as PKCS #8"
    )]
    Unsupported,
}

/// Why an unencrypted key was not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not PEM, or too large for a key.
    #[error(
        "invalid pem block: expected RSA PRIVATE KEY, EC PRIVATE KEY or PRIVATE KEY, not encrypted"
    )]
    NoBlock,
    /// Another PEM label.
    #[error(
        "unsupported pem type: {0}: expected RSA PRIVATE KEY, EC PRIVATE KEY or PRIVATE KEY, not encrypted"
    )]
    Label(String),
    /// The key is not supported.
    #[error(transparent)]
    Key(#[from] KeyError),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot sign: {0}")]
pub struct SignError(pub String);

/// Signatures are deterministic (RFC 6979 for ECDSA), so that an unchanged
/// package is not published again.
enum Pair {
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
    P521(Box<p521::ecdsa::SigningKey>),
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

impl SigningKey {
    /// Decrypts a key file of cosign, Jackal or Zarf.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub fn open(text: &[u8], password: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(&decrypt_container(text, password)?)
    }

    /// Parses an unencrypted PKCS #8 document.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`]
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let spki = |der: Result<PublicKeyX509Der<'_>, _>| {
            der.ok()
                .and_then(|der| PublicKey::from_spki(der.as_ref()).ok())
                .ok_or(KeyError::Unsupported)
        };
        // aws-lc-rs validates the point; RustCrypto signs.
        let point = |algorithm| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).ok()?;
            spki(pair.public_key().as_der()).ok()
        };
        if let Some(public) = point(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            let key = p256::ecdsa::SigningKey::from_pkcs8_der(pkcs8);
            let key = key.map_err(|_| KeyError::Unsupported)?;
            return Ok(Self {
                pair: Pair::P256(Box::new(key)),
                public,
            });
        }
        if let Some(public) = point(&ECDSA_P384_SHA384_ASN1_SIGNING) {
            let key = p384::ecdsa::SigningKey::from_pkcs8_der(pkcs8);
            let key = key.map_err(|_| KeyError::Unsupported)?;
            return Ok(Self {
                pair: Pair::P384(Box::new(key)),
                public,
            });
        }
        if let Some(public) = point(&ECDSA_P521_SHA256_ASN1_SIGNING) {
            let key = p521::ecdsa::SigningKey::from_pkcs8_der(pkcs8);
            let key = key.map_err(|_| KeyError::Unsupported)?;
            return Ok(Self {
                pair: Pair::P521(Box::new(key)),
                public,
            });
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(pkcs8) {
            let public = spki(pair.public_key().as_der())?;
            return Ok(Self {
                pair: Pair::Ed25519(Box::new(pair)),
                public,
            });
        }
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Unsupported)?;
        let public = spki(pair.public_key().as_der())?;
        Ok(Self {
            pair: Pair::Rsa(Box::new(pair)),
            public,
        })
    }

    /// Generates a key of `algorithm`, as PKCS #8.
    ///
    /// # Errors
    ///
    /// [`SignError`]: no random bytes available.
    pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let refused = |_| SignError("generating a key failed".to_owned());
        let document = match algorithm {
            Algorithm::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::P384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::P521 => EcdsaKeyPair::generate(&ECDSA_P521_SHA256_ASN1_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::Ed25519 => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::Rsa => {
                let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa3072)
                    .and_then(|pair| pair.as_der())
                    .map_err(refused)?;
                return Ok(Zeroizing::new(der.as_ref().to_vec()));
            }
        };
        Ok(Zeroizing::new(document.map_err(refused)?.as_ref().to_vec()))
    }

    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// [`SignError`]
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let refused = |_| SignError("the cryptography library refused".to_owned());
        let curve = |error: p384::ecdsa::Error| SignError(error.to_string());
        let random = SystemRandom::new();
        let digest = Digest::of(message);
        Ok(match &self.pair {
            Pair::P256(key) => {
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash(digest.as_bytes()).map_err(curve)?;
                signature.as_bytes().to_vec()
            }
            Pair::P384(key) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(digest.as_bytes()).map_err(curve)?;
                signature.as_bytes().to_vec()
            }
            Pair::P521(key) => {
                // Padded with zeros: the library requires a digest of at least
                // half the field size.
                let mut wide = [0; P521_FIELD_BYTES];
                wide[P521_FIELD_BYTES - 32..].copy_from_slice(digest.as_bytes());
                let signature: p521::ecdsa::DerSignature =
                    key.sign_prehash(&wide).map_err(curve)?;
                signature.as_bytes().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(refused)?;
                signature
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }

    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// Converts an unencrypted PEM key to PKCS #8, for a new container.
///
/// # Errors
///
/// [`ImportError`]
pub fn import(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let (label, content) = pem_block::first(text).ok_or(ImportError::NoBlock)?;
    let content = Zeroizing::new(content);
    let unsupported = || ImportError::Key(KeyError::Unsupported);
    let pkcs8 = match label.as_str() {
        "PRIVATE KEY" => content,
        "RSA PRIVATE KEY" => {
            let pair = RsaKeyPair::from_der(&content).map_err(|_| unsupported())?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| unsupported())?;
            Zeroizing::new(der.as_ref().to_vec())
        }
        "EC PRIVATE KEY" => {
            let curves = [
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                &ECDSA_P384_SHA384_ASN1_SIGNING,
                &ECDSA_P521_SHA256_ASN1_SIGNING,
            ];
            let mut pairs = curves
                .into_iter()
                .filter_map(|curve| EcdsaKeyPair::from_private_key_der(curve, &content).ok());
            let document = pairs.next().and_then(|pair| pair.to_pkcs8v1().ok());
            Zeroizing::new(document.ok_or_else(unsupported)?.as_ref().to_vec())
        }
        label => return Err(ImportError::Label(label.chars().take(100).collect())),
    };
    SigningKey::from_pkcs8(&pkcs8)?;
    Ok(pkcs8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_signs_what_its_public_half_accepts() {
        for algorithm in [
            Algorithm::P256,
            Algorithm::P384,
            Algorithm::P521,
            Algorithm::Rsa,
            Algorithm::Ed25519,
        ] {
            let key = SigningKey::from_pkcs8(&SigningKey::generate(algorithm).unwrap()).unwrap();
            assert_eq!(key.public().algorithm(), algorithm);
            let signature = key.sign(b"message").unwrap();
            let public = PublicKey::parse(key.public().to_pem().as_bytes()).unwrap();
            assert_eq!(&public, key.public());
            assert_eq!(key.sign(b"message").unwrap(), signature, "{algorithm:?}");
            assert!(
                public.verify(b"message", &signature).is_ok(),
                "{algorithm:?}"
            );
            assert!(
                public.verify(b"messagE", &signature).is_err(),
                "{algorithm:?}"
            );
        }
    }
}
