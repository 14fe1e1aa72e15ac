//! SBOMs that are attached to an image in a registry, usually by its publisher.
//!
//! Anyone who may write to the repository may attach one, so what is found is described
//! and not read. There are four places: referrers of the manifest; the manifests that
//! `BuildKit` adds to the index; and the tags of cosign, for documents and for
//! attestations. Source: distribution-spec 1.1, "Listing Referrers"; `BuildKit`,
//! "Attestation storage"; cosign, "Signature specification".

use serde::{Deserialize, Serialize};

use crate::oci::{Descriptor, Digest, Index, Manifest, Reference};
use crate::registry::{Registry, RegistryError};
use crate::signing::MAX_ATTESTATION_BYTES;
use crate::text::with_causes;

/// Maximum number of attachments that are looked at in one place: each is a request.
/// Publishers attach one or two.
const MAX_LOOKED_AT: usize = 16;

/// Annotations of `BuildKit` on an entry of an index, and on a layer of what it names.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const IN_TOTO_PREDICATE: &str = "in-toto.io/predicate-type";

/// Annotations with the type of a predicate, on a bundle and on cosign's attestations.
const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const PREDICATE: &str = "predicateType";

/// Parts of media types, types of artifacts and types of predicates that are SBOMs.
const FORMATS: [(&str, &str); 3] = [
    ("spdx", "SPDX"),
    ("cyclonedx", "CycloneDX"),
    ("syft", "syft-JSON"),
];

/// An SBOM beside an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedSbom {
    /// Its format, such as `SPDX`.
    pub format: String,
    /// Digest of the document, or of the statement that contains it.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// How it is attached.
    pub place: String,
}

/// What is attached to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedSboms {
    pub found: Vec<AttachedSbom>,
    /// What says that it is an SBOM of the image, and cannot be one.
    pub problems: Vec<String>,
}

impl AttachedSboms {
    fn add(&mut self, format: &str, document: &Descriptor, place: &str) {
        if document.size > MAX_ATTESTATION_BYTES {
            let limit = format!("is longer than {MAX_ATTESTATION_BYTES} bytes");
            return self.problem(format, document, &limit);
        }
        let found = AttachedSbom {
            format: format.to_owned(),
            digest: document.digest,
            size: document.size,
            place: place.to_owned(),
        };
        if !self.found.iter().any(|known| known.digest == found.digest) {
            self.found.push(found);
        }
    }

    fn problem(&mut self, format: &str, of: &Descriptor, what: &str) {
        self.problems
            .push(format!("the {format} document {} {what}", of.digest));
    }
}

fn format_of(kind: &str) -> Option<&'static str> {
    let kind = kind.to_ascii_lowercase();
    let mut formats = FORMATS.iter();
    formats.find_map(|(part, format)| kind.contains(part).then_some(*format))
}

/// The SBOMs that are attached to `manifest`, an image of `reference`.
///
/// # Errors
///
/// [`RegistryError`]: a failure of the registry does not count as no SBOMs.
pub async fn sboms_about(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
) -> Result<AttachedSboms, RegistryError> {
    let mut all = AttachedSboms::default();
    built(registry, reference, manifest, &mut all).await?;
    referring(registry, reference, manifest, &mut all).await?;
    tagged(registry, reference, manifest, &mut all).await?;
    Ok(all)
}

/// Those that a build put into the index of the image.
async fn built(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
    all: &mut AttachedSboms,
) -> Result<(), RegistryError> {
    let found = registry.find(reference).await?;
    let index = found.and_then(|(_, bytes)| serde_json::from_slice::<Index>(&bytes).ok());
    let about = manifest.to_string();
    let entries = index.map(|index| index.manifests).unwrap_or_default();
    let entries = entries.iter().filter(|entry| {
        let has = |key: &str, value: &str| entry.annotations.get(key).is_some_and(|v| v == value);
        has(REFERENCE_TYPE, "attestation-manifest") && has(REFERENCE_DIGEST, &about)
    });
    for entry in entries.take(MAX_LOOKED_AT) {
        let Some(manifest) = read(registry, reference, entry).await? else {
            continue;
        };
        for layer in manifest.layers.iter().take(MAX_LOOKED_AT) {
            let predicate = layer.annotations.get(IN_TOTO_PREDICATE);
            if let Some(format) = predicate.and_then(|kind| format_of(kind)) {
                all.add(format, layer, "attestation of the build");
            }
        }
    }
    Ok(())
}

/// Those that refer to the image.
async fn referring(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
    all: &mut AttachedSboms,
) -> Result<(), RegistryError> {
    let listed = registry.referrers(reference, manifest).await?;
    let listed = listed.iter().filter_map(|one| {
        let kind = one.artifact_type.as_deref().and_then(format_of);
        let predicate = one.annotations.get(BUNDLE_PREDICATE);
        let signed = predicate.and_then(|kind| format_of(kind));
        let place = match signed {
            Some(_) => "signed statement",
            None => "referrer",
        };
        Some((kind.or(signed)?, place, one))
    });
    for (format, place, one) in listed.take(MAX_LOOKED_AT) {
        let Some(found) = read(registry, reference, one).await? else {
            all.problem(format, one, "is listed and cannot be read");
            continue;
        };
        let subject = found.subject.as_ref().map(|subject| subject.digest);
        match (subject == Some(manifest), found.layers.first()) {
            (false, _) => all.problem(format, one, "is listed, and is about another image"),
            (true, None) => all.problem(format, one, "is empty"),
            (true, Some(layer)) => all.add(format, layer, place),
        }
    }
    Ok(())
}

/// Those under the tags of cosign.
async fn tagged(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
    all: &mut AttachedSboms,
) -> Result<(), RegistryError> {
    for (suffix, place) in [("sbom", "tag"), ("att", "signed statement at a tag")] {
        let (host, path) = (reference.registry(), reference.repository());
        let tag = format!("{host}/{path}:sha256-{}.{suffix}", manifest.hex());
        let tag: Reference = tag.parse().map_err(|error: crate::oci::ReferenceError| {
            RegistryError::Setup(with_causes(&error))
        })?;
        let found = registry.find(&tag).await?;
        let found = found.and_then(|(_, bytes)| serde_json::from_slice::<Manifest>(&bytes).ok());
        let layers = found.map(|manifest| manifest.layers).unwrap_or_default();
        for layer in layers.iter().take(MAX_LOOKED_AT) {
            let predicate = layer.annotations.get(PREDICATE);
            let kind = predicate.unwrap_or(&layer.media_type);
            if let Some(format) = format_of(kind) {
                all.add(format, layer, place);
            }
        }
    }
    Ok(())
}

/// A manifest that is listed; `None`: it is missing, too long or none.
async fn read(
    registry: &Registry,
    reference: &Reference,
    listed: &Descriptor,
) -> Result<Option<Manifest>, RegistryError> {
    match registry.manifest(reference, listed).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(RegistryError::NotFound { .. } | RegistryError::Content { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
