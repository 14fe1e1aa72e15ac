//! What cosign kept under tags before there were bundles, brought into the form
//! of bundles, so that there is one way to check both.
//!
//! A log entry has the log's promise there and no proof; bundles that come as
//! such need the proof, whatever version they claim. Source:
//! docs/spec/signing.md, "Bundles", "Attached signatures".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::{Bundle, BundleError, MEDIA_TYPE, PROMISED_MEDIA_TYPE};
use super::{json, pem_block};
use crate::oci::Digest;

/// Where a layer says what belongs to its content: the signature, the
/// certificate in PEM, the log's answer and the timestamp in JSON.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOG: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

impl Bundle {
    /// The signature of `payload`, the content of a layer with `annotations`.
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

    /// The DSSE envelope that is the content of a layer with `annotations`.
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
            // What older clients write, and bundles do not know.
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
    // Only the first version of bundles has promises, and it has chains.
    let kind = match log {
        Some(_) => PROMISED_MEDIA_TYPE,
        None => MEDIA_TYPE,
    };
    let mut material = match annotations.get(CERTIFICATE) {
        None => json!({"publicKey": {"hint": ""}}),
        Some(text) => {
            // What is above it stands in the root, or it is not trusted.
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

/// The entry in what the first version of the log answered.
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
