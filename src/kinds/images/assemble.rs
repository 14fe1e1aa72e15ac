//! The `images/` folder of a package: one OCI layout for all its images.
//!
//! Combines images in the cache, which [`fetch`](super::fetch) and
//! [`import`](super::import) stored. Names blobs and writes the two small documents;
//! never copies or changes a blob.

use crate::ground::{failures, of_cas};
use std::collections::BTreeMap;

use serde::Serialize;

use crate::action::Output;
use crate::cas::{Cas, CasError};
use crate::oci::annotation::{BASE_NAME, REF_NAME};
use crate::oci::{Descriptor, Digest, media_type};
use crate::package::Dialect;

/// One image whose parts are in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedImage {
    /// The normalised reference, by which the image is found.
    pub reference: String,
    /// Its manifest, which is among `outputs`.
    pub manifest: Descriptor,
    /// The outputs: `manifest`, `config`, `layer/0`, ...
    pub outputs: Vec<Output>,
}

/// Why images cannot be combined in a layout.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// One name has two manifests.
    #[error("{reference} refers to two different images, {one} and {other}: pin it by digest")]
    Conflict {
        reference: String,
        one: Digest,
        other: Digest,
    },
    /// One digest has two sizes, so a manifest is wrong.
    #[error(
        "{reference}: blob {digest} has {found} bytes here and {expected} bytes in another image: fetch the image again"
    )]
    Size {
        reference: String,
        digest: Digest,
        /// The size in this image.
        found: u64,
        /// The size in another image.
        expected: u64,
    },
    /// The list of images could not be written.
    #[error("index.json could not be written")]
    Index(#[from] serde_json::Error),
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// The order of the keys is part of the package format.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexJson<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    size: u64,
    digest: Digest,
    annotations: BTreeMap<&'a str, &'a str>,
}

/// Combines `images` into the files of one layout, without duplicate blobs.
///
/// Outputs are `images/blobs/sha256/<hex>`, sorted, then `images/index.json` and
/// `images/oci-layout`; the last two are stored in `cas`. The order of `images`
/// does not matter.
///
/// # Errors
///
/// [`ImagesError`]: images that contradict each other, or the cache refused.
pub fn assemble(cas: &Cas, images: &[FetchedImage]) -> Result<Vec<Output>, ImagesError> {
    let mut named: BTreeMap<&str, &Descriptor> = BTreeMap::new();
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    for image in images {
        let known = named.entry(&image.reference).or_insert(&image.manifest);
        if known.digest != image.manifest.digest {
            return Err(ImagesError::Conflict {
                reference: image.reference.clone(),
                one: known.digest,
                other: image.manifest.digest,
            });
        }
        let parts = image.outputs.iter().map(|part| (part.digest, part.size));
        let manifest = (image.manifest.digest, image.manifest.size);
        for (digest, found) in parts.chain([manifest]) {
            let expected = *blobs.entry(digest).or_insert(found);
            if expected != found {
                return Err(ImagesError::Size {
                    reference: image.reference.clone(),
                    digest,
                    found,
                    expected,
                });
            }
        }
    }
    let manifests = named.into_iter().map(|(name, manifest)| Entry {
        media_type: &manifest.media_type,
        size: manifest.size,
        digest: manifest.digest,
        annotations: BTreeMap::from([(BASE_NAME, name), (REF_NAME, name)]),
    });
    let index = serde_json::to_vec(&IndexJson {
        schema_version: 2,
        media_type: media_type::INDEX,
        manifests: manifests.collect(),
    })?;
    let mut outputs: Vec<Output> = blobs
        .into_iter()
        .map(|blob| Output::new(format!("images/blobs/sha256/{}", blob.0.hex()), blob))
        .collect();
    for (name, bytes) in [
        ("index.json", &*index),
        ("oci-layout", Dialect::IMAGE_MARKER_TEXT),
    ] {
        outputs.push(cas.store(format!("images/{name}"), bytes)?);
    }
    Ok(outputs)
}

failures! {
    ImagesError: |error| match error {
        ImagesError::Cas(error) => of_cas(error),
        ImagesError::Conflict { .. } => Class::Configuration,
        _ => Class::Verification,
    };
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(reference: &str, manifest: &[u8], layer: &[u8]) -> FetchedImage {
        let part = |name: &str, bytes: &[u8]| Output::of(name, &Descriptor::of("", bytes));
        FetchedImage {
            reference: reference.to_owned(),
            manifest: Descriptor::of(media_type::MANIFEST, manifest),
            outputs: vec![part("manifest", manifest), part("layer/0", layer)],
        }
    }

    #[test]
    fn shared_blobs_are_stored_once_and_the_order_of_images_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let mut images = vec![
            image("h.io/b:1", b"m1", b"shared"),
            image("h.io/a:1", b"m2", b"shared"),
            image("h.io/a:2", b"m2", b"shared"),
        ];
        let outputs = assemble(&cas, &images).unwrap();
        images.reverse();
        assert_eq!(assemble(&cas, &images).unwrap(), outputs);
        let names: Vec<_> = outputs.iter().map(|output| &*output.name).collect();
        assert_eq!(names.len(), 5);
        assert!(names.is_sorted());
        assert_eq!(names[3..], ["images/index.json", "images/oci-layout"]);
        let mut text = String::new();
        let mut index = cas.open_blob(&outputs[3].digest).unwrap();
        index.read_to_string(&mut text).unwrap();
        let entry = |name: &str, manifest: &[u8]| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"{}","annotations":{{"org.opencontainers.image.base.name":"{name}","org.opencontainers.image.ref.name":"{name}"}}}}"#,
                Digest::of(manifest)
            )
        };
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{},{}]}}"#,
            entry("h.io/a:1", b"m2"),
            entry("h.io/a:2", b"m2"),
            entry("h.io/b:1", b"m1")
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn one_name_for_two_images_and_one_digest_of_two_sizes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let one = image("h.io/a:1", b"m1", b"l");
        let other = image("h.io/a:1", b"m2", b"l");
        let error = assemble(&cas, &[one.clone(), other]).unwrap_err();
        assert!(matches!(error, ImagesError::Conflict { .. }));
        let mut other = image("h.io/b:1", b"m1", b"l");
        other.outputs[1].size += 1;
        let error = assemble(&cas, &[one, other]).unwrap_err();
        assert!(matches!(error, ImagesError::Size { .. }));
    }
}
