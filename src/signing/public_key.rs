//! Public keys.
//!
//! The type of the key alone determines how a signature is verified: ECDSA with
//! the hash of its curve or SHA-256, RSA PKCS #1 v1.5 with SHA-256, pure
//! Ed25519. Source: docs/spec/signing.md, "Public key file", "Algorithms".

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::pem_block;
use crate::oci::Digest;

/// id-ecPublicKey, RFC 5480.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// rsaEncryption, RFC 8017.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-Ed25519, RFC 8410.
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// The algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on NIST P-256: the default everywhere.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// RSA of 2048 to 8192 bits.
    Rsa,
    /// Edwards curve 25519.
    Ed25519,
}

impl Algorithm {
    /// The usual name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// Why a public key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not PEM, or too large for a key.
    #[error("not a public key: expected -----BEGIN PUBLIC KEY-----")]
    NoBlock,
    /// A private key, which must not be distributed.
    #[error("this is a private key ({0}); use the public key, such as cosign.pub")]
    Private(String),
    /// Another PEM label.
    #[error("this is a {0}: expected a PUBLIC KEY")]
    Label(String),
    #[error("the public key cannot be read: {0}")]
    Malformed(&'static str),
    /// An unsupported type of key.
    #[error(
        "keys of this type are not supported: expected ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519"
    )]
    Unsupported,
}

/// The signature does not match the key and the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the key and the signed bytes")]
pub struct Mismatch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
    /// The content of the bit string: a point, or an RSA public key.
    raw: Vec<u8>,
}

impl PublicKey {
    /// Parses the first block of a key file.
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`]
    pub fn parse(text: &[u8]) -> Result<Self, PublicKeyError> {
        let (label, content) = pem_block::first(text).ok_or(PublicKeyError::NoBlock)?;
        match label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&content),
            "RSA PUBLIC KEY" => {
                let key = RsaPublicKey::from_der(&content);
                let key = key.map_err(|_| PublicKeyError::Unsupported)?;
                let spki: PublicKeyX509Der<'_> =
                    key.as_der().map_err(|_| PublicKeyError::Unsupported)?;
                Self::from_spki(spki.as_ref())
            }
            label => {
                let shown: String = label.chars().take(100).collect();
                Err(match label.ends_with("PRIVATE KEY") {
                    true => PublicKeyError::Private(shown),
                    false => PublicKeyError::Label(shown),
                })
            }
        }
    }

    /// Parses a SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`]
    pub fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let malformed = || PublicKeyError::Malformed("not a SubjectPublicKeyInfo");
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| malformed())?;
        let raw = info.subject_public_key.as_bytes().ok_or_else(malformed)?;
        let parameters = &info.algorithm.parameters;
        let algorithm = match info.algorithm.oid {
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) => Algorithm::P256,
                Ok(P384) => Algorithm::P384,
                Ok(P521) => Algorithm::P521,
                _ => return Err(PublicKeyError::Unsupported),
            },
            RSA if parameters.is_none_or(|given| given.is_null()) => {
                // Fails for keys below 2048 bits.
                RsaPublicKey::from_der(raw).map_err(|_| PublicKeyError::Unsupported)?;
                Algorithm::Rsa
            }
            EDWARDS if parameters.is_none() && raw.len() == 32 => Algorithm::Ed25519,
            _ => return Err(PublicKeyError::Unsupported),
        };
        let key = Self {
            algorithm,
            spki: der.to_vec(),
            raw: raw.to_vec(),
        };
        let points = matches!(
            key.algorithm,
            Algorithm::P256 | Algorithm::P384 | Algorithm::P521
        );
        if points && key.raw.first() != Some(&4) {
            return Err(PublicKeyError::Malformed("its point is compressed"));
        }
        let parsed = aws_lc_rs::signature::ParsedPublicKey::new(key.schemes()[0], &key.raw);
        parsed.map_err(|_| PublicKeyError::Malformed("its point is not on its curve"))?;
        Ok(key)
    }

    /// The accepted signature schemes, tried in order.
    fn schemes(&self) -> Vec<&'static dyn VerificationAlgorithm> {
        match self.algorithm {
            Algorithm::P256 => vec![&ECDSA_P256_SHA256_ASN1],
            Algorithm::P384 => vec![&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
            Algorithm::P521 => vec![&ECDSA_P521_SHA512_ASN1, &ECDSA_P521_SHA256_ASN1],
            Algorithm::Rsa => vec![&RSA_PKCS1_2048_8192_SHA256],
            Algorithm::Ed25519 => vec![&ED25519],
        }
    }

    /// Verifies that `signature` is a signature of `message` by this key.
    ///
    /// # Errors
    ///
    /// [`Mismatch`]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Mismatch> {
        let fits = |scheme: &&'static dyn VerificationAlgorithm| {
            let key = UnparsedPublicKey::new(*scheme, &self.raw);
            key.verify(message, signature).is_ok()
        };
        self.schemes()
            .iter()
            .any(fits)
            .then_some(())
            .ok_or(Mismatch)
    }

    /// The algorithm of a key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// SHA-256 of its SubjectPublicKeyInfo, for comparing keys.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The hint for bundles: the fingerprint in base64.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint().as_bytes())
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The content of a key file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_block::write("PUBLIC KEY", &self.spki)
    }
}
