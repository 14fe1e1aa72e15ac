//! Keyless signatures: a new key, a certificate for ten minutes, evidence of the
//! time.
//!
//! Each service has its own time budget, and a request is retried only if the
//! result may change. Every new signature is verified against the trusted root
//! before it is returned. Source: docs/spec/signing.md, "Certificates, logs and
//! timestamps".

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sigstore_bundle::BundleV03;
use sigstore_crypto::KeyPair;
use sigstore_fulcio::{Error as FulcioError, FulcioClient};
use sigstore_rekor::{
    DsseEntry, Error as RekorError, HashedRekord, HashedRekordV2, RekorClient, RekorV2Client,
    RekorV2KeyDetails,
};
use sigstore_tsa::{Error as TimestampError, TimestampClient};
use sigstore_types::{
    DerCertificate, DsseEnvelope, DsseSignature, KeyId, KindVersion, Sha256Hash, SignatureBytes,
    TransparencyLogEntry,
};

use super::http;
use super::token::{TokenError, TokenSources};
use crate::registry::is_temporary;
use crate::signing::{Bundle, Demands, Envelope, IN_TOTO, Identity, Pattern, Root, digests};

/// Total time for retries of one service.
const BUDGET: Duration = Duration::from_secs(120);

/// The first delay between attempts, which doubles up to the maximum.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    pub fulcio: String,
    /// The log, and the major version of its API.
    pub rekor: Option<(String, u32)>,
    pub timestamps: Option<String>,
}

impl Services {
    /// The services of the public instance.
    #[must_use]
    pub fn public() -> Self {
        Self {
            fulcio: "https://fulcio.sigstore.dev".to_owned(),
            rekor: Some(("https://rekor.sigstore.dev".to_owned(), 1)),
            timestamps: None,
        }
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum KeylessSignError {
    /// There is no usable token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Without evidence of the time, the signature would be worthless when the
    /// certificate expires.
    #[error(
        "keyless signing requires a log or a timestamp authority: add --rekor-url or --tsa-server-url"
    )]
    NoWitness,
    /// Logs of version 2 have no timestamps.
    #[error("Rekor v2 entries carry no timestamp: also add --tsa-server-url")]
    NoTime,
    /// Unknown version of the log.
    #[error("unknown log version {0}: expected 1 or 2")]
    Version(u32),
    /// A service refused or cannot be reached.
    #[error("{service} {url}: {what}; nothing was signed, so run the command again")]
    Service {
        service: &'static str,
        url: String,
        what: String,
    },
    #[error("signing failed: {0}")]
    Here(String),
    /// The new signature does not verify.
    #[error("the new signature does not verify against the trusted root: {0}")]
    Unverified(String),
}

pub struct Keyless {
    pub services: Services,
    /// Sources of the identity token.
    pub tokens: TokenSources,
    /// The trusted root to verify new signatures against.
    pub root: Arc<Root>,
    /// The evidence that this deployment provides.
    pub demands: Demands,
}

impl std::fmt::Debug for Keyless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyless({:?})", self.services)
    }
}

enum Signed<'s> {
    Blob(&'s [u8]),
    Statement(&'s [u8]),
}

impl Keyless {
    /// A bundle of the signature of `blob`.
    ///
    /// # Errors
    ///
    /// [`KeylessSignError`]
    pub async fn blob(&self, blob: &[u8]) -> Result<String, KeylessSignError> {
        self.sign(Signed::Blob(blob)).await
    }

    /// A bundle of the statement `json`.
    ///
    /// # Errors
    ///
    /// [`KeylessSignError`]
    pub async fn statement(&self, json: &[u8]) -> Result<String, KeylessSignError> {
        self.sign(Signed::Statement(json)).await
    }

    /// The evidence in signatures of this deployment.
    #[must_use]
    pub fn demands(&self) -> Demands {
        Demands {
            log: self.services.rekor.is_some(),
            timestamp: self.services.timestamps.is_some(),
            sct: self.demands.sct,
        }
    }

    /// The identity that a certificate will name, from the token; `None`: no
    /// token is available yet.
    #[must_use]
    pub fn expected(&self) -> Option<Identity> {
        let found = http::blocking(self.tokens.claims(now())).ok()?.ok()?;
        Some(Identity {
            subject: Pattern::Exact(found.0),
            issuer: Pattern::Exact(found.1),
        })
    }

    async fn sign(&self, what: Signed<'_>) -> Result<String, KeylessSignError> {
        let here = |error: &dyn std::fmt::Display| KeylessSignError::Here(error.to_string());
        match (&self.services.rekor, &self.services.timestamps) {
            (None, None) => return Err(KeylessSignError::NoWitness),
            (Some((_, 2)), None) => return Err(KeylessSignError::NoTime),
            (Some((_, version)), _) if !(1..=2).contains(version) => {
                return Err(KeylessSignError::Version(*version));
            }
            _ => {}
        }
        let token = self.tokens.token(now()).await?;
        let client = http::client().map_err(|error| here(&error))?;

        let pair = KeyPair::generate_ecdsa_p256().map_err(|error| here(&error))?;
        let url = &self.services.fulcio;
        let authority = FulcioClient::builder(url)
            .with_http_client(client.clone())
            .build()
            .map_err(|error| here(&error))?;
        let certified = with_retries("the certificate authority", url, again_fulcio, || {
            authority.create_signing_certificate(&token, &pair)
        });
        let certificate = certified.await?.leaf_certificate().clone();
        let certified =
            sigstore_crypto::parse_certificate_info(&certificate).map_err(|error| here(&error))?;
        let ours = pair.public_key_der().map_err(|error| here(&error))?;
        if certified.public_key.as_bytes() != ours.as_bytes() {
            return Err(KeylessSignError::Service {
                service: "the certificate authority",
                url: url.clone(),
                what: "its certificate is for another key".to_owned(),
            });
        }

        let message = match what {
            Signed::Blob(blob) => blob.to_vec(),
            Signed::Statement(json) => Envelope::signed_bytes(IN_TOTO, json),
        };
        let signature = pair.sign(&message).map_err(|error| here(&error))?;
        let hash = sigstore_crypto::sha256(&message);
        let envelope = match what {
            Signed::Blob(_) => None,
            Signed::Statement(json) => Some(DsseEnvelope::new(
                IN_TOTO.to_owned(),
                json.to_vec().into(),
                DsseSignature::new(signature.clone(), KeyId::default()),
            )),
        };
        let entry = match &self.services.rekor {
            None => None,
            Some((url, version)) => {
                let entry = Entry {
                    client: &client,
                    url,
                    hash: &hash,
                    signature: &signature,
                    certificate: &certificate,
                    envelope: envelope.as_ref(),
                };
                Some(match version {
                    1 => entry.first().await?,
                    _ => entry.second().await?,
                })
            }
        };
        let timestamp = match &self.services.timestamps {
            None => None,
            Some(url) => {
                let authority = TimestampClient::builder(url)
                    .with_http_client(client.clone())
                    .build()
                    .map_err(|error| here(&error))?;
                let request = with_retries("the timestamp authority", url, again_timestamp, || {
                    authority.timestamp_signature(&signature)
                });
                Some(request.await?)
            }
        };

        let mut bundle = match envelope {
            None => BundleV03::with_certificate_and_signature(certificate, signature, hash),
            Some(envelope) => BundleV03::with_certificate_and_dsse(certificate, envelope),
        };
        if let Some(entry) = entry {
            bundle = bundle.with_tlog_entry(entry);
        }
        if let Some(timestamp) = timestamp {
            bundle = bundle.with_rfc3161_timestamp(timestamp);
        }
        let text = bundle
            .into_bundle()
            .to_json()
            .map_err(|error| here(&error))?;
        let text = tidy(&text).map_err(|error| here(&error))?;
        self.check(&text, &certified, what)?;
        Ok(text)
    }

    /// Verifies a new bundle as every reader will.
    fn check(
        &self,
        text: &str,
        certified: &sigstore_crypto::CertificateInfo,
        what: Signed<'_>,
    ) -> Result<(), KeylessSignError> {
        let wrong = |error: &dyn std::fmt::Display| KeylessSignError::Unverified(error.to_string());
        let bundle = Bundle::parse(text.as_bytes()).map_err(|error| wrong(&error))?;
        let identity = Identity {
            subject: Pattern::Exact(
                certified
                    .identity
                    .as_ref()
                    .map(|name| name.as_str().to_owned())
                    .unwrap_or_default(),
            ),
            issuer: Pattern::Exact(certified.issuer.clone().unwrap_or_default()),
        };
        let demands = self.demands();
        let (subjects, blob) = match what {
            Signed::Blob(blob) => (digests(blob), Some(blob)),
            Signed::Statement(json) => {
                let statement: Value =
                    serde_json::from_slice(json).map_err(|error| wrong(&error))?;
                let digest = statement["subject"][0]["digest"]["sha256"].as_str();
                (
                    vec![("sha256", digest.unwrap_or_default().to_owned())],
                    None,
                )
            }
        };
        bundle
            .verify_keyless(&self.root, &identity, demands, &subjects, blob)
            .map(|_| ())
            .map_err(|error| wrong(&error))
    }
}

/// The current time in seconds since the Unix epoch.
fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or_default()
}

/// Removes empty lists and null members.
fn tidy(text: &str) -> Result<String, serde_json::Error> {
    let mut value: Value = serde_json::from_str(text)?;
    if let Some(material) = value["verificationMaterial"].as_object_mut() {
        material
            .retain(|_, member| *member != json!([]) && *member != json!({}) && !member.is_null());
        let empty = json!({"rfc3161Timestamps": []});
        material.retain(|_, member| *member != empty);
    }
    serde_json::to_string(&value)
}

/// An entry for the log.
struct Entry<'e> {
    client: &'e reqwest::Client,
    url: &'e str,
    hash: &'e Sha256Hash,
    signature: &'e SignatureBytes,
    certificate: &'e DerCertificate,
    envelope: Option<&'e DsseEnvelope>,
}

impl Entry<'_> {
    fn here(error: &dyn std::fmt::Display) -> KeylessSignError {
        KeylessSignError::Here(error.to_string())
    }

    async fn first(&self) -> Result<TransparencyLogEntry, KeylessSignError> {
        let log = RekorClient::builder(self.url)
            .with_http_client(self.client.clone())
            .build()
            .map_err(|error| Self::here(&error))?;
        let (made, kind) = match self.envelope {
            None => {
                let entry = || {
                    let entry = HashedRekord::new(self.hash, self.signature, self.certificate);
                    log.create_entry(entry)
                };
                let made = with_retries("the log", self.url, again_rekor, entry).await?;
                (made, KindVersion::HashedRekordV001)
            }
            Some(envelope) => {
                let entry = DsseEntry::new(envelope, self.certificate);
                let entry = entry.map_err(|error| Self::here(&error))?;
                let once = || log.create_dsse_entry(entry.clone());
                let made = with_retries("the log", self.url, again_rekor, once).await?;
                (made, KindVersion::DsseV001)
            }
        };
        made.to_bundle_entry(kind)
            .map_err(|error| Self::here(&error))
    }

    async fn second(&self) -> Result<TransparencyLogEntry, KeylessSignError> {
        let log = RekorV2Client::builder(self.url)
            .with_http_client(self.client.clone())
            .build()
            .map_err(|error| Self::here(&error))?;
        let once = || {
            // The entry of a statement has the hash of the signed bytes.
            log.create_entry(HashedRekordV2::new_with_certificate(
                self.hash,
                self.signature,
                self.certificate,
                RekorV2KeyDetails::PkixEcdsaP256Sha256,
            ))
        };
        with_retries("the log", self.url, again_rekor, once).await
    }
}

fn again_fulcio(error: &FulcioError) -> bool {
    match error {
        FulcioError::Http(_) => true,
        FulcioError::Status { status, .. } => is_temporary(*status),
        _ => false,
    }
}

fn again_rekor(error: &RekorError) -> bool {
    match error {
        RekorError::Http(_) => true,
        RekorError::Status { status, .. } => is_temporary(*status),
        _ => false,
    }
}

fn again_timestamp(error: &TimestampError) -> bool {
    // The library reports the status only in its message.
    const STATUS: &str = "TSA returned status ";
    match error {
        TimestampError::Http(text) => match text.strip_prefix(STATUS) {
            Some(status) => {
                let number = status.split(' ').next().unwrap_or_default();
                number.parse().is_ok_and(is_temporary)
            }
            None => true,
        },
        _ => false,
    }
}

/// Repeats a request until it gets a final result or the budget is spent.
async fn with_retries<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    service: &'static str,
    url: &str,
    again: impl Fn(&E) -> bool,
    once: impl Fn() -> F,
) -> Result<T, KeylessSignError> {
    let begun = Instant::now();
    let mut pause = PAUSE;
    loop {
        let error = match once().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if !again(&error) || begun.elapsed() + pause > BUDGET {
            let what = error.to_string();
            return Err(KeylessSignError::Service {
                service,
                url: url.to_owned(),
                what: crate::text::excerpt(&what, 300),
            });
        }
        // Full jitter, as for registries.
        let mut random = [0];
        let _ = aws_lc_rs::rand::fill(&mut random);
        tokio::time::sleep(pause * u32::from(random[0]) / 255).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::stub::Stub;
    use super::*;

    fn keyless(fulcio: &str) -> Keyless {
        let claims = json!({
            "iss": "https://issuer.example", "sub": "s", "aud": "sigstore", "exp": now() + 600, "iat": now(),
        });
        let words = [
            json!({"alg": "RS256"}).to_string(),
            claims.to_string(),
            "x".to_owned(),
        ];
        let token = words.map(|word| URL_SAFE_NO_PAD.encode(word)).join(".");
        Keyless {
            services: Services {
                fulcio: fulcio.to_owned(),
                rekor: Some(("http://127.0.0.1:9".to_owned(), 1)),
                timestamps: None,
            },
            tokens: TokenSources {
                given: Some(token),
                ..TokenSources::default()
            },
            root: Arc::new(Root::public().unwrap()),
            demands: Demands::default(),
        }
    }

    fn signed(keyless: &Keyless) -> String {
        let work = async { keyless.blob(b"x").await.unwrap_err().to_string() };
        http::blocking(work).unwrap()
    }

    #[test]
    fn an_unavailable_service_is_retried_and_a_refusal_is_not() {
        let busy = AtomicUsize::new(2);
        let stub = Stub::new(move |_, _| {
            let away = busy.load(Ordering::Relaxed);
            if away > 0 {
                busy.store(away - 1, Ordering::Relaxed);
                return ([502, 429][away - 1], "", b"later".to_vec());
            }
            (403, "", b"you are\x1b nobody".to_vec())
        });
        let error = signed(&keyless(&stub.url));
        assert_eq!(stub.count(), 3, "{error}");
        assert!(error.contains(&stub.url), "{error}");
        assert!(
            error.contains("nothing was signed, so run the command again"),
            "{error}"
        );
        assert!(!error.contains('\x1b'), "{error:?}");
    }

    #[test]
    fn requests_with_a_token_follow_no_redirects() {
        let other = Stub::new(|_, _| (200, "", Vec::new()));
        let to: &'static str = Box::leak(format!("location: {}/\r\n", other.url).into_boxed_str());
        let stub = Stub::new(move |_, _| (307, to, Vec::new()));
        let error = signed(&keyless(&stub.url));
        assert!(error.contains("the certificate authority"), "{error}");
        assert_eq!((stub.count(), other.count()), (1, 0));
    }

    #[test]
    fn without_evidence_of_the_time_no_service_is_contacted() {
        let stub = Stub::new(|_, _| (200, "", Vec::new()));
        let mut keyless = keyless(&stub.url);
        for (rekor, message) in [
            (None, "a log or a timestamp authority"),
            (Some((stub.url.clone(), 2)), "carry no timestamp"),
            (Some((stub.url.clone(), 3)), "version 3"),
        ] {
            keyless.services.rekor = rekor;
            let error = signed(&keyless);
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(stub.count(), 0);
    }
}
