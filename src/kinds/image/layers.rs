//! The layers of an image against its configuration, which lists the digest of each
//! unpacked layer.
//!
//! A layer has two digests: the manifest's over the bytes that travel, and the
//! configuration's over what container engines unpack. Engines refuse an image whose
//! digests disagree, but only on the cluster. Source: OCI image-spec 1.1, config.md,
//! "rootfs".

use std::io;

use crate::archive::{Bounded, Growth};
use crate::cas::{Cas, CasError};
use crate::ground::{failures, of_cas, of_io};
use crate::oci::{Descriptor, Digest, Hasher, MAX_MANIFEST_BYTES, Manifest, media_type};
use crate::sbom::unpack::unpacked;

/// The most bytes that a layer may unpack to: what the user allows, or a multiple of
/// its size.
pub(crate) fn layer_limit(layer: &Descriptor, allowed: Option<u64>) -> u64 {
    allowed.unwrap_or_else(|| Growth::LAYER.of(layer.size))
}

/// Why the layers of an image are not those of its configuration.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// Container engines refuse such an image.
    #[error(
        "image `{reference}`: its layer {layer} unpacks to {found}, but its configuration says {expected}: push the image again, or ask its publisher"
    )]
    DiffId {
        reference: String,
        /// Digest of the layer in the manifest.
        layer: Digest,
        found: Digest,
        /// As the configuration has it.
        expected: String,
    },
    /// A layer cannot be unpacked.
    #[error("image `{reference}`: its layer {layer} cannot be unpacked")]
    Unpack {
        reference: String,
        layer: Digest,
        source: io::Error,
    },
    /// A layer may be a decompression bomb.
    #[error(
        "image `{reference}`: its layer {layer} unpacks to more than its size suggests: to accept it, pass --max-content-size"
    )]
    TooLarge { reference: String, layer: Digest },
    /// The manifest is none.
    #[error("image `{reference}`: its manifest cannot be read")]
    Json {
        reference: String,
        source: serde_json::Error,
    },
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// Unpacks every layer of the image with this `manifest`, and compares it with the
/// configuration. All blobs are in `cas`. A layer unpacks to as many bytes as
/// [`layer_limit`] gives for `allowed`.
///
/// # Errors
///
/// [`LayersError`]
pub(crate) fn check_layers(
    cas: &Cas,
    reference: &str,
    manifest: &Descriptor,
    allowed: Option<u64>,
) -> Result<(), LayersError> {
    let json = |source| LayersError::Json {
        reference: reference.to_owned(),
        source,
    };
    let bytes = cas.document(&manifest.digest, MAX_MANIFEST_BYTES)?;
    let parsed: Manifest = serde_json::from_slice(&bytes).map_err(json)?;
    // What is no container image has no such list.
    if parsed.config.size > MAX_MANIFEST_BYTES {
        return Ok(());
    }
    let config = cas.document(&parsed.config.digest, MAX_MANIFEST_BYTES)?;
    let Ok(config) = serde_json::from_slice(&config) else {
        return Ok(());
    };
    for (layer, expected) in listed(&parsed, &config) {
        let unpack = |source: io::Error| match source.kind() {
            io::ErrorKind::FileTooLarge => LayersError::TooLarge {
                reference: reference.to_owned(),
                layer: layer.digest,
            },
            _ => LayersError::Unpack {
                reference: reference.to_owned(),
                layer: layer.digest,
                source,
            },
        };
        let mut hasher = Hasher::default();
        let content = unpacked(cas.open_blob(&layer.digest)?).map_err(unpack)?;
        let mut content = Bounded::new(content, layer_limit(layer, allowed));
        io::copy(&mut content, &mut hasher).map_err(unpack)?;
        agree(reference, layer, hasher.finish(), expected)?;
    }
    Ok(())
}

/// The layers of a container image, each with the digest of its content as the
/// configuration has it. None, if the configuration has no such list or some layers
/// are of another kind.
pub(crate) fn listed<'i>(
    manifest: &'i Manifest,
    config: &'i serde_json::Value,
) -> impl Iterator<Item = (&'i Descriptor, &'i str)> {
    let mut layers = manifest.layers.iter();
    let plain = layers.all(|layer| media_type::is_container_layer(&layer.media_type));
    let expected = config.pointer("/rootfs/diff_ids");
    let expected = expected.and_then(serde_json::Value::as_array);
    let expected = expected.filter(|_| plain).map_or(&[][..], Vec::as_slice);
    let expected = expected.iter().map(|id| id.as_str().unwrap_or_default());
    manifest.layers.iter().zip(expected)
}

/// Compares the digest `found` of an unpacked layer with the one in the configuration.
///
/// # Errors
///
/// [`LayersError::DiffId`]
pub(crate) fn agree(
    reference: &str,
    layer: &Descriptor,
    found: Digest,
    expected: &str,
) -> Result<(), LayersError> {
    match expected == found.to_string() {
        true => Ok(()),
        false => Err(LayersError::DiffId {
            reference: reference.to_owned(),
            layer: layer.digest,
            found,
            expected: expected.chars().take(100).collect(),
        }),
    }
}

failures! {
    LayersError: |error| match error {
        LayersError::Cas(error) => of_cas(error),
        LayersError::Unpack { source, .. } if source.raw_os_error().is_some() => of_io(source),
        _ => Class::Verification,
    };
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    /// Checks an image with one compressed layer of `content`.
    fn checked(content: &[u8], ids: &serde_json::Value, allowed: Option<u64>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let cas = Cas::open(folder.path().join("c")).unwrap();
        let put = |kind: &str, bytes: &[u8]| {
            let descriptor = Descriptor::of(kind, bytes);
            cas.put(&descriptor, bytes).unwrap();
            descriptor
        };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(content).unwrap();
        let layer = put(media_type::LAYER, &packed.finish().unwrap());
        let config = json!({"rootfs": {"type": "layers", "diff_ids": ids}});
        let config = put(media_type::CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let manifest = put(media_type::MANIFEST, manifest.to_string().as_bytes());
        let done = check_layers(&cas, "app:1", &manifest, allowed);
        done.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_layer_that_unpacks_to_something_else_is_refused() {
        let right = json!([Digest::of(b"layer").to_string()]);
        assert_eq!(checked(b"layer", &right, None), "");
        // What is no container image lists nothing.
        assert_eq!(checked(b"other", &json!([]), None), "");
        let error = checked(b"other", &right, None);
        let expected = format!(
            "unpacks to {}, but its configuration says {}",
            Digest::of(b"other"),
            Digest::of(b"layer")
        );
        assert!(error.contains(&expected), "{error}");
        let error = checked(b"layer", &right, Some(4));
        assert!(error.contains("--max-content-size"), "{error}");
    }
}
