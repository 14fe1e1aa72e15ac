//! Bundles that speak about a manifest in a registry.
//!
//! An index of referrers is anybody's word: what it lists are candidates, which
//! are counted and measured before they are fetched. Source:
//! docs/spec/signing.md, "Attached signatures", "Limits".

use bytes::Bytes;

use super::error::RemoteError;
use crate::oci::{Descriptor, Digest, Manifest, Reference, media_type};
use crate::registry::{Registry, RegistryError};
use crate::signing::{BUNDLE, Bundle, Content, MAX_ATTESTATION_BYTES, MAX_BUNDLE_BYTES, Statement};
use crate::verify::{MAX_ATTACHED, Tagged};

/// What kind of content a bundle has.
const CONTENT: &str = "dev.sigstore.bundle.content";

/// What its statement says.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What older clients sign, and what they put attestations into.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Bundles about the manifest `subject`: candidates, from anybody, the small ones
/// first. Those of attestations may be large; what would make all of them larger
/// than any client takes is passed over, and so is what is named and not there.
///
/// # Errors
///
/// [`RemoteError`]: a registry that fails is not one that has none.
pub async fn bundles_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
) -> Result<Vec<Vec<u8>>, RemoteError> {
    let speaking = registry.referrers(repository, subject).await?;
    let named = speaking.into_iter().filter(|found| {
        let kind = found.artifact_type.as_deref();
        // Some registries put the type of the config there.
        kind.is_none_or(|kind| kind == BUNDLE || kind == media_type::EMPTY)
    });
    let mut layers = Vec::new();
    for found in named.take(MAX_ATTACHED) {
        let Some(bytes) = there(registry.manifest(repository, &found).await)? else {
            continue;
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            continue;
        };
        let about = manifest.subject.as_ref().map(|subject| subject.digest);
        if let ([layer], true) = (&manifest.layers[..], about == Some(subject))
            && layer.media_type == BUNDLE
        {
            layers.push(layer.clone());
        }
    }
    // All of them are held: a large one must not keep the small ones out.
    layers.sort_by_key(|layer| layer.size);
    let (mut bundles, mut left) = (Vec::new(), MAX_ATTESTATION_BYTES);
    for layer in layers {
        let Some(after) = left.checked_sub(layer.size) else {
            break;
        };
        let Some(bytes) = there(registry.read_blob(repository, &layer).await)? else {
            continue;
        };
        // Also of versions to come: others may read them.
        if Bundle::is_called(&bytes) {
            left = after;
            bundles.push(bytes);
        }
    }
    Ok(bundles)
}

/// What a list names and is not there, says nothing.
fn there<T>(found: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What older clients attached under tags of their own: signatures of a payload
/// that names the manifest, and attestations. Candidates, from anybody.
///
/// Source: docs/spec/signing.md, "Attached signatures".
///
/// # Errors
///
/// [`RemoteError`]: a registry that fails is not one that has none.
pub async fn tagged_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
) -> Result<Vec<Tagged>, RemoteError> {
    let (mut found, mut left) = (Vec::new(), MAX_ATTESTATION_BYTES);
    for (suffix, kind) in [("sig", PAYLOAD), ("att", ENVELOPE)] {
        let (host, path) = (repository.registry(), repository.repository());
        let tag = format!("{host}/{path}:sha256-{}.{suffix}", subject.hex());
        let tag: Reference = tag
            .parse()
            .map_err(|error: crate::oci::ReferenceError| RegistryError::Setup(error.to_string()))?;
        let Some((_, bytes)) = registry.find(&tag).await? else {
            continue;
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            continue;
        };
        for layer in manifest.layers.iter().take(MAX_ATTACHED) {
            let limit = match suffix {
                "sig" => MAX_BUNDLE_BYTES,
                _ => MAX_ATTESTATION_BYTES,
            };
            if layer.media_type != kind || layer.size > limit {
                continue;
            }
            let Some(after) = left.checked_sub(layer.size) else {
                break;
            };
            let Some(bytes) = there(registry.read_blob(repository, layer).await)? else {
                continue;
            };
            left = after;
            let read = match suffix {
                "sig" => Bundle::of_tagged_payload(&bytes, &layer.annotations),
                _ => Bundle::of_tagged_envelope(&bytes, &layer.annotations),
            };
            // What cannot be read proves nothing.
            let Ok(bundle) = read else {
                continue;
            };
            let payload = (suffix == "sig").then_some(bytes);
            found.push(Tagged { payload, bundle });
        }
    }
    Ok(found)
}

/// The manifest by which `bundle` speaks about `subject`; the same bundle is
/// the same manifest, wherever and whenever it is attached.
///
/// # Errors
///
/// JSON cannot be written.
pub fn speaking_manifest(subject: &Descriptor, bundle: &[u8]) -> Result<Bytes, serde_json::Error> {
    let mut annotations = std::collections::BTreeMap::new();
    let read = Bundle::parse(bundle);
    let kind = match read.as_ref().map(Bundle::content) {
        Ok(Content::Envelope(envelope)) => {
            if let Ok(statement) = Statement::of(envelope) {
                annotations.insert(PREDICATE_TYPE.to_owned(), statement.predicate_type);
            }
            "dsse-envelope"
        }
        _ => "message-signature",
    };
    annotations.insert(CONTENT.to_owned(), kind.to_owned());
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: Some(BUNDLE.to_owned()),
        config: Descriptor::of(media_type::EMPTY, EMPTY_CONFIG),
        layers: vec![Descriptor::of(BUNDLE, bundle)],
        subject: Some(Descriptor {
            annotations: Default::default(),
            platform: None,
            ..subject.clone()
        }),
        annotations,
    };
    serde_json::to_vec(&manifest).map(Bytes::from)
}

/// The configuration of artifacts that have none.
///
/// Source: OCI image-spec 1.1, "Guidance for an Empty Descriptor".
pub const EMPTY_CONFIG: &[u8] = b"{}";
