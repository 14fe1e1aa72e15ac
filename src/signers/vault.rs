//! Keys in Vault's (or OpenBao's) transit engine.
//!
//! Source: docs/spec/signing.md, "Key references"; Vault, "Transit secrets
//! engine (API)".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http;
use crate::oci::Digest;
use crate::signing::{Algorithm, PublicKey, PublicKeyError};

/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The SubjectPublicKeyInfo prefix of the 32 bytes of an Ed25519 key.
///
/// Source: RFC 8410, section 4.
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a vault returned no key or signature.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The environment variable is not set.
    #[error("{0} is not set: set it to {1}")]
    NoVariable(&'static str, &'static str),
    /// The name is not safe in a URL.
    #[error("`{0}` is not the name of a key in a vault")]
    Name(String),
    #[error("the vault cannot be reached: {0}")]
    Reach(String),
    #[error("the vault answered HTTP {status}: {what}")]
    Refused { status: u16, what: String },
    #[error("the vault's answer is not a valid transit engine response: {0}")]
    Answer(&'static str),
    /// Its key is not supported.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
}

/// A key in a vault.
#[derive(Clone)]
pub struct Vault {
    address: String,
    token: String,
    engine: String,
    name: String,
    version: u64,
    public: PublicKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({}/{}/{})", self.address, self.engine, self.name)
    }
}

impl Vault {
    /// Fetches the public key of `name`.
    ///
    /// # Errors
    ///
    /// [`VaultError`]
    pub fn open(name: &str, environment: &BTreeMap<String, String>) -> Result<Self, VaultError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
            return Err(VaultError::Name(name.chars().take(100).collect()));
        }
        let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty());
        let either = |first: &str, second: &str| {
            let found = variable(first).or_else(|| variable(second));
            found.cloned()
        };
        let address = either("VAULT_ADDR", "BAO_ADDR");
        let address = address.ok_or(VaultError::NoVariable(
            "VAULT_ADDR",
            "the address of the vault",
        ))?;
        let token = either("VAULT_TOKEN", "BAO_TOKEN");
        let token = token.ok_or(VaultError::NoVariable(
            "VAULT_TOKEN",
            "a token for the vault",
        ))?;
        let engine = variable("TRANSIT_SECRET_ENGINE_PATH").cloned();
        let mut vault = Self {
            address: address.trim_end_matches('/').to_owned(),
            token,
            engine: engine.unwrap_or_else(|| "transit".to_owned()),
            name: name.to_owned(),
            version: 0,
            // A placeholder until the vault's key is known.
            public: PublicKey::from_spki(&[&ED25519_PREFIX[..], &[0; 32]].concat())?,
        };
        let found = vault.call("keys", "", None)?;
        vault.version = found["data"]["latest_version"]
            .as_u64()
            .ok_or(VaultError::Answer("no latest version"))?;
        let key = &found["data"]["keys"][vault.version.to_string()];
        let text = key["public_key"]
            .as_str()
            .ok_or(VaultError::Answer("no public key"))?;
        vault.public = match text.contains("BEGIN") {
            true => PublicKey::parse(text.as_bytes())?,
            false => {
                let raw = STANDARD.decode(text);
                let raw =
                    raw.map_err(|_| VaultError::Answer("a public key in an unknown format"))?;
                PublicKey::from_spki(&[&ED25519_PREFIX[..], &raw].concat())?
            }
        };
        Ok(vault)
    }

    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`; blocks during the request.
    ///
    /// # Errors
    ///
    /// [`VaultError`]
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut body = json!({"key_version": self.version});
        match self.public.algorithm() {
            // The whole message: Ed25519 hashes it twice.
            Algorithm::Ed25519 => body["input"] = json!(STANDARD.encode(message)),
            algorithm => {
                body["input"] = json!(STANDARD.encode(Digest::of(message).as_bytes()));
                body["prehashed"] = json!(true);
                match algorithm {
                    Algorithm::Rsa => body["signature_algorithm"] = json!("pkcs1v15"),
                    _ => body["marshaling_algorithm"] = json!("asn1"),
                }
            }
        }
        let found = self.call("sign", "/sha2-256", Some(body))?;
        let text = found["data"]["signature"].as_str();
        let text = text.ok_or(VaultError::Answer("no signature"))?;
        // `vault:v1:BASE64`
        let encoded = text.rsplit(':').next().unwrap_or_default();
        let signature = STANDARD.decode(encoded);
        let signature =
            signature.map_err(|_| VaultError::Answer("a signature in an unknown format"))?;
        self.public
            .verify(message, &signature)
            .map_err(|_| VaultError::Answer("the signature does not match its own public key"))?;
        Ok(signature)
    }

    fn call(&self, verb: &str, tail: &str, body: Option<Value>) -> Result<Value, VaultError> {
        let url = format!(
            "{}/v1/{}/{verb}/{}{tail}",
            self.address, self.engine, self.name
        );
        let client = http::client().map_err(VaultError::Reach)?;
        http::blocking(async {
            let request = match body {
                None => client.get(&url),
                Some(body) => client
                    .post(&url)
                    .header("content-type", "application/json")
                    .body(body.to_string()),
            };
            let reach = |error: reqwest::Error| VaultError::Reach(error.without_url().to_string());
            let request = request.header("x-vault-token", &self.token);
            let response = request.send().await.map_err(reach)?;
            let status = response.status();
            let read = http::body(response, MAX_ANSWER_BYTES)
                .await
                .map_err(reach)?;
            let bytes = read.ok_or(VaultError::Answer("an answer that is too large"))?;
            if !status.is_success() {
                let what = String::from_utf8_lossy(&bytes);
                return Err(VaultError::Refused {
                    status: status.as_u16(),
                    what: crate::text::excerpt(what.trim(), 300),
                });
            }
            serde_json::from_slice(&bytes).map_err(|_| VaultError::Answer("not JSON"))
        })
        .unwrap_or_else(|what| Err(VaultError::Reach(what)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;
    use crate::signing::SigningKey;

    const MESSAGE: &[u8] = b"message";

    fn open(stub: &Stub) -> Result<Vault, VaultError> {
        let set = [("VAULT_ADDR", stub.url.as_str()), ("VAULT_TOKEN", "t")];
        let environment = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Vault::open("key", &environment.into())
    }

    fn serving(algorithm: Algorithm, signer: Algorithm) -> (Stub, PublicKey) {
        let made = |algorithm| SigningKey::from_pkcs8(&SigningKey::generate(algorithm).unwrap());
        let key = made(algorithm).unwrap();
        let other = made(signer).unwrap();
        let public = key.public().clone();
        let text = match algorithm {
            // As the engine has it: the bare key.
            Algorithm::Ed25519 => STANDARD.encode(&public.spki()[ED25519_PREFIX.len()..]),
            _ => public.to_pem(),
        };
        let stub = Stub::new(move |path, body| {
            if path == "/v1/transit/keys/key" {
                let answer =
                    json!({"data": {"latest_version": 3, "keys": {"3": {"public_key": text}}}});
                return (200, "", answer.to_string().into_bytes());
            }
            assert_eq!(path, "/v1/transit/sign/key/sha2-256");
            let request: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(request["key_version"], 3);
            let signer = match algorithm == signer {
                true => &key,
                false => &other,
            };
            let input = STANDARD.decode(request["input"].as_str().unwrap()).unwrap();
            let whole = algorithm == Algorithm::Ed25519;
            assert_eq!(request["prehashed"] == true, !whole);
            match whole {
                true => assert_eq!(input, MESSAGE),
                false => assert_eq!(input, Digest::of(MESSAGE).as_bytes()),
            }
            let signature = STANDARD.encode(signer.sign(MESSAGE).unwrap());
            let answer = json!({"data": {"signature": format!("vault:v3:{signature}")}});
            (200, "", answer.to_string().into_bytes())
        });
        (stub, public)
    }

    #[test]
    fn keys_of_every_kind_sign_in_the_engine() {
        for algorithm in [Algorithm::P256, Algorithm::Ed25519, Algorithm::Rsa] {
            let (stub, public) = serving(algorithm, algorithm);
            let vault = open(&stub).unwrap();
            assert_eq!(vault.public().spki(), public.spki());
            let signature = vault.sign(MESSAGE).unwrap();
            public.verify(MESSAGE, &signature).unwrap();
            let requests = stub.requests.lock().unwrap();
            assert!(
                requests
                    .iter()
                    .all(|(head, _)| head.contains("x-vault-token: t"))
            );
        }
    }

    #[test]
    fn a_signature_that_its_own_key_does_not_verify_is_refused() {
        let (stub, _) = serving(Algorithm::P256, Algorithm::Ed25519);
        let error = open(&stub).unwrap().sign(MESSAGE).unwrap_err();
        assert!(matches!(error, VaultError::Answer(_)), "{error}");
    }

    #[test]
    fn refusals_have_the_vaults_message_and_redirects_are_not_followed() {
        let stub = Stub::new(|_, _| (403, "", br#"{"errors":["permission denied"]}"#.to_vec()));
        let error = open(&stub).unwrap_err().to_string();
        assert!(
            error.contains("403") && error.contains("permission denied"),
            "{error}"
        );
        let other = Stub::new(|_, _| (200, "", b"{}".to_vec()));
        let to: &'static str = Box::leak(format!("location: {}/\r\n", other.url).into_boxed_str());
        let stub = Stub::new(move |_, _| (307, to, Vec::new()));
        assert!(matches!(
            open(&stub),
            Err(VaultError::Refused { status: 307, .. })
        ));
        assert_eq!(other.count(), 0);
        let stub = Stub::new(|_, _| (200, "", vec![b' '; MAX_ANSWER_BYTES + 1]));
        assert!(matches!(
            open(&stub),
            Err(VaultError::Answer("an answer that is too large"))
        ));
        assert!(matches!(
            Vault::open("../sys/seal", &BTreeMap::new()),
            Err(VaultError::Name(_))
        ));
        let error = Vault::open("key", &BTreeMap::new()).unwrap_err();
        assert!(
            error.to_string().contains("VAULT_ADDR is not set"),
            "{error}"
        );
    }
}
