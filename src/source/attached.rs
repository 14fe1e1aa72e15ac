//! Bundles about a manifest in a registry.
//!
//! Anyone may add to an index of referrers: what it lists is limited in number
//! and size before it is fetched. Source: docs/spec/signing.md, "Attached
//! signatures", "Limits".

use bytes::Bytes;

use super::error::RemoteError;
use crate::oci::{Descriptor, Digest, Manifest, Reference, media_type};
use crate::registry::{ListedIn, Registry, RegistryError};
use crate::signing::{BUNDLE, Bundle, Content, MAX_ATTESTATION_BYTES, MAX_BUNDLE_BYTES, Statement};
use crate::text::with_causes;
use crate::verify::{Attached, MAX_ATTACHED, Tagged};

/// The annotation with the kind of a bundle's content.
const CONTENT: &str = "dev.sigstore.bundle.content";

/// The annotation with the predicate type of its statement.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// Media types of what older clients sign, and of their attestations.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The listed manifests that may hold bundles about a manifest.
#[derive(Clone, Debug)]
pub struct Candidates {
    listed: Vec<Descriptor>,
    /// The lists that have entries.
    pub lists: ListedIn,
}

impl Candidates {
    /// Identifies the set of candidates. Equal digests mean equal content, as each
    /// candidate is listed by its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut names: Vec<String> = self.listed.iter().map(|d| d.digest.to_string()).collect();
        names.sort_unstable();
        Digest::of(names.join("\n").as_bytes())
    }
}

/// The candidates about the manifest `subject` in these lists.
///
/// # Errors
///
/// [`RemoteError`]: a failure of the registry does not count as no candidates.
pub async fn candidates_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
    lists: ListedIn,
) -> Result<Candidates, RemoteError> {
    let (mut listed, lists) = registry.referrers_in(repository, subject, lists).await?;
    keep_candidates(&mut listed);
    Ok(Candidates { listed, lists })
}

/// Keeps what may be a bundle. What says that it is one comes first, as only some
/// are read.
fn keep_candidates(listed: &mut Vec<Descriptor>) {
    let is_bundle = |found: &Descriptor| found.artifact_type.as_deref() == Some(BUNDLE);
    listed.retain(|found| {
        let kind = found.artifact_type.as_deref();
        // Some registries list the media type of the config instead.
        is_bundle(found) || kind.is_none_or(|kind| kind == media_type::EMPTY)
    });
    listed.sort_by_key(|found| !is_bundle(found));
}

/// Untrusted bundles about the manifest `subject`, the small ones first.
/// Attestations may be large; bundles beyond the total size that clients accept
/// are not read, and entries whose content is missing are skipped.
///
/// # Errors
///
/// [`RemoteError`]: a failure of the registry does not count as no bundles.
pub async fn bundles_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
) -> Result<Attached<Vec<u8>>, RemoteError> {
    let candidates = candidates_about(registry, repository, subject, ListedIn::ALL).await?;
    bundles_of(registry, repository, subject, &candidates).await
}

/// The bundles that `candidates` hold.
///
/// # Errors
///
/// As [`bundles_about`].
pub async fn bundles_of(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
    candidates: &Candidates,
) -> Result<Attached<Vec<u8>>, RemoteError> {
    let named = &candidates.listed;
    let mut unread = named.len().saturating_sub(MAX_ATTACHED);
    let mut layers = Vec::new();
    for found in named.iter().take(MAX_ATTACHED) {
        let Some(bytes) = ignore_missing(registry.manifest(repository, found).await)? else {
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
    // All are held in memory: a large one must not displace the small ones.
    layers.sort_by_key(|layer| layer.size);
    let (mut bundles, mut left) = (Vec::new(), MAX_ATTESTATION_BYTES);
    for layer in layers {
        let Some(after) = left.checked_sub(layer.size) else {
            unread += 1;
            continue;
        };
        let Some(bytes) = ignore_missing(registry.read_blob(repository, &layer).await)? else {
            continue;
        };
        // Keep future versions, which other clients may understand.
        if Bundle::is_called(&bytes) {
            left = after;
            bundles.push(bytes);
        }
    }
    Ok(Attached {
        found: bundles,
        unread,
    })
}

/// Ignores entries of a listing whose content is missing.
fn ignore_missing<T>(found: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Untrusted signatures and attestations that older clients attached under tags
/// of their own. What they sign is a payload that names the manifest.
///
/// Source: docs/spec/signing.md, "Attached signatures".
///
/// # Errors
///
/// [`RemoteError`]: a failure of the registry does not count as no bundles.
pub async fn tagged_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
) -> Result<Attached<Tagged>, RemoteError> {
    let (mut found, mut left, mut unread) = (Vec::new(), MAX_ATTESTATION_BYTES, 0);
    for (suffix, kind) in [("sig", PAYLOAD), ("att", ENVELOPE)] {
        let (host, path) = (repository.registry(), repository.repository());
        let tag = format!("{host}/{path}:sha256-{}.{suffix}", subject.hex());
        let tag: Reference = tag.parse().map_err(|error: crate::oci::ReferenceError| {
            RegistryError::Setup(with_causes(&error))
        })?;
        let Some((_, bytes)) = registry.find(&tag).await? else {
            continue;
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            continue;
        };
        let layers = manifest.layers.iter();
        let layers: Vec<_> = layers.filter(|layer| layer.media_type == kind).collect();
        unread += layers.len().saturating_sub(MAX_ATTACHED);
        for layer in layers.into_iter().take(MAX_ATTACHED) {
            let limit = match suffix {
                "sig" => MAX_BUNDLE_BYTES,
                _ => MAX_ATTESTATION_BYTES,
            };
            let after = left.checked_sub(layer.size);
            let Some(after) = after.filter(|_| layer.size <= limit) else {
                unread += 1;
                continue;
            };
            let Some(bytes) = ignore_missing(registry.read_blob(repository, layer).await)? else {
                continue;
            };
            left = after;
            let read = match suffix {
                "sig" => Bundle::of_tagged_payload(&bytes, &layer.annotations),
                _ => Bundle::of_tagged_envelope(&bytes, &layer.annotations),
            };
            // Unreadable signatures are ignored.
            let Ok(bundle) = read else {
                continue;
            };
            let payload = (suffix == "sig").then_some(bytes);
            found.push(Tagged { payload, bundle });
        }
    }
    Ok(Attached { found, unread })
}

/// The manifest that attaches `bundle` to `subject`. The same bundle always
/// gives the same manifest.
///
/// # Errors
///
/// JSON cannot be written.
pub fn bundle_manifest(subject: &Descriptor, bundle: &[u8]) -> Result<Bytes, serde_json::Error> {
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

/// The configuration of artifacts without one.
///
/// Source: OCI image-spec 1.1, "Guidance for an Empty Descriptor".
pub const EMPTY_CONFIG: &[u8] = b"{}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Heartbeat;

    #[test]
    fn heartbeats_are_no_candidates_where_the_type_of_the_config_is_listed() {
        let subject = Descriptor::of(media_type::MANIFEST, b"{}");
        let heartbeat = Heartbeat {
            checked_at: jiff::Timestamp::UNIX_EPOCH,
            signatures_read_at: jiff::Timestamp::UNIX_EPOCH,
            places: Vec::new(),
            action_key: None,
        };
        let as_listed = |bytes: &[u8], by_config: bool| {
            let manifest: Manifest = serde_json::from_slice(bytes).unwrap();
            let kind = manifest.artifact_type.filter(|_| !by_config);
            Descriptor {
                artifact_type: Some(kind.unwrap_or(manifest.config.media_type)),
                ..Descriptor::of(media_type::MANIFEST, bytes)
            }
        };
        let signature = bundle_manifest(&subject, b"{}").unwrap();
        let heartbeat = heartbeat.manifest(&subject, "{}").unwrap();
        let listed = [true, false].map(|by_config| as_listed(&signature, by_config));
        let mut all = listed.to_vec();
        all.extend([true, false].map(|by_config| as_listed(&heartbeat, by_config)));
        keep_candidates(&mut all);
        // The one that says what it is comes first.
        let [unclear, clear] = listed;
        assert_eq!(all, [clear, unclear]);
    }
}
