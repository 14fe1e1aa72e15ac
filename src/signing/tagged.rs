//! Signatures that cosign stored under tags before there were bundles, converted
//! to bundles, so that both are verified in the same way.
//!
//! Their log entries have an inclusion promise and no proof. Original bundles
//! need a proof, whatever version they claim. Source: docs/spec/signing.md,
//! "Bundles", "Attached signatures".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::{Bundle, BundleError, MEDIA_TYPE, PROMISED_MEDIA_TYPE};
use super::{json, pem_block};
use crate::oci::Digest;

/// Annotations of a layer: the signature, the certificate in PEM, the log's
/// answer and the timestamp in JSON.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOG: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

impl Bundle {
    /// Converts the signature of `payload`, the content of a layer with
    /// `annotations`.
    ///
    /// # Errors
    ///
    /// [`BundleError`]
    pub fn of_tagged_payload(
        payload: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, BundleError> {
        let signature = annotations.get(SIGNATURE).cloned().unwrap_or_default();
        let content = json!({
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": STANDARD.encode(Digest::of(payload).as_bytes()),
            },
            "signature": signature,
        });
        around("messageSignature", content, annotations)
    }

    /// Converts the DSSE envelope in a layer with `annotations`.
    ///
    /// # Errors
    ///
    /// [`BundleError`]
    pub fn of_tagged_envelope(
        envelope: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, BundleError> {
        let mut envelope =
            json::parse_bounded(envelope).map_err(|error| BundleError::Json(error.to_string()))?;
        let signatures = envelope.get_mut("signatures").and_then(Value::as_array_mut);
        for signature in signatures.into_iter().flatten() {
            // Members that older clients write and bundles do not have.
            if let Some(members) = signature.as_object_mut() {
                members.retain(|name, _| name == "sig");
            }
        }
        around("dsseEnvelope", envelope, annotations)
    }
}

fn around(
    name: &str,
    content: Value,
    annotations: &BTreeMap<String, String>,
) -> Result<Bundle, BundleError> {
    let shape = |what: &str| BundleError::Shape(what.to_owned());
    let read = |text: &str| {
        json::parse_bounded(text.as_bytes()).map_err(|error| BundleError::Json(error.to_string()))
    };
    let log = annotations.get(LOG).map(|text| read(text)).transpose()?;
    // Only version 0.1 has inclusion promises; it also has chains.
    let kind = match log {
        Some(_) => PROMISED_MEDIA_TYPE,
        None => MEDIA_TYPE,
    };
    let mut material = match annotations.get(CERTIFICATE) {
        None => json!({"publicKey": {"hint": ""}}),
        Some(text) => {
            // The issuing certificates must be in the trusted root.
            let (_, der) = pem_block::first(text.as_bytes())
                .ok_or_else(|| shape("its certificate is not PEM"))?;
            let leaf = json!({"rawBytes": STANDARD.encode(der)});
            match log {
                Some(_) => json!({"x509CertificateChain": {"certificates": [leaf]}}),
                None => json!({"certificate": leaf}),
            }
        }
    };
    if let Some(answer) = &log {
        let entry = entry(answer).ok_or_else(|| shape("its log entry is malformed"))?;
        material["tlogEntries"] = json!([entry]);
    }
    if let Some(text) = annotations.get(TIMESTAMP) {
        let stamp = json!({"signedTimestamp": read(text)?["SignedRFC3161Timestamp"]});
        material["timestampVerificationData"] = json!({"rfc3161Timestamps": [stamp]});
    }
    let bundle = json!({"mediaType": kind, "verificationMaterial": material, name: content});
    Ok(Bundle::parse(bundle.to_string().as_bytes())?.with_promises())
}

/// The entry in an answer of log version 1.
fn entry(answer: &Value) -> Option<Value> {
    let payload = &answer["Payload"];
    let body = payload["body"].as_str()?;
    let kind: Value = serde_json::from_slice(&STANDARD.decode(body).ok()?).ok()?;
    Some(json!({
        "logIndex": payload["logIndex"].as_u64()?.to_string(),
        "logId": {"keyId": STANDARD.encode(from_hex(payload["logID"].as_str()?)?)},
        "kindVersion": {"kind": kind["kind"].as_str()?, "version": kind["apiVersion"].as_str()?},
        "integratedTime": payload["integratedTime"].as_u64()?.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": answer["SignedEntryTimestamp"].as_str()?},
        "canonicalizedBody": body,
    }))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digest = Digest::from_hex(text).ok()?;
    Some(digest.as_bytes().to_vec())
}
