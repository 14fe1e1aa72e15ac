//! Recognises documents from registries and archives, and selects a manifest.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::oci::{Descriptor, Index, Manifest, Platform, media_type};

/// Docker's first manifest formats, which have no configuration.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";

/// Why a document is not a usable image.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// An image in the format of Docker before 1.10.
    #[error(
        "found a Docker schema 1 manifest, expected Docker schema 2 or OCI: push the image again with a current tool"
    )]
    Schema1,
    /// The index does not have the platform.
    #[error(
        "no manifest for platform {wanted}, found {found}: choose one of these, or another image"
    )]
    NoPlatform { wanted: String, found: String },
    /// An index refers to another index.
    #[error(
        "the index refers to another index, {0}, expected a manifest: name the image by its digest"
    )]
    Nested(crate::oci::Digest),
    #[error("found {found}, expected an image manifest or an index: check the reference")]
    Other {
        /// The platforms that the index has.
        found: String,
    },
}

/// The manifest that a document selects for a platform.
pub(crate) enum Selected {
    /// The document is the manifest.
    Manifest(Descriptor),
    /// The document is an index, and this child is the manifest.
    Child {
        index: Descriptor,
        child: Descriptor,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

/// Parses `bytes`, which `described` names, and selects the manifest for `platform`.
///
/// The media type in the document has priority, because its digest covers it, unlike
/// the header of a response.
pub(crate) fn select(
    described: &Descriptor,
    bytes: &[u8],
    platform: &Platform,
) -> Result<Selected, KindError> {
    let other = |found: String| KindError::Other { found };
    let malformed = |error: serde_json::Error| other(format!("malformed JSON ({error})"));
    let probe: Probe = serde_json::from_slice(bytes).map_err(malformed)?;
    let stated = probe.media_type.as_deref().unwrap_or(&described.media_type);
    if probe.schema_version == Some(1) || stated.starts_with(SCHEMA_1) {
        return Err(KindError::Schema1);
    }
    let listed = probe.manifests.is_some();
    if listed && (probe.layers.is_some() || probe.config.is_some()) {
        // Two readers could interpret it as two different images.
        return Err(other(
            "a document with `manifests` as well as `layers` or `config`".to_owned(),
        ));
    }
    if listed != media_type::is_index(stated)
        && (listed || known(stated))
        && probe.media_type.is_some()
    {
        return Err(other(format!(
            "a document that contradicts its media type `{}`",
            short(stated)
        )));
    }
    let plain = |descriptor: &Descriptor, default: &str| Descriptor {
        media_type: match &*descriptor.media_type {
            stated if known(stated) => stated.to_owned(),
            _ => default.to_owned(),
        },
        annotations: Default::default(),
        platform: None,
        ..descriptor.clone()
    };
    let own = Descriptor {
        media_type: stated.to_owned(),
        ..described.clone()
    };
    if !listed {
        document(&own, bytes)?;
        return Ok(Selected::Manifest(plain(&own, media_type::MANIFEST)));
    }
    let index: Index = serde_json::from_slice(bytes).map_err(malformed)?;
    let child = index
        .select(platform)
        .ok_or_else(|| KindError::NoPlatform {
            wanted: platform.to_string(),
            found: platforms(&index),
        })?;
    if child.media_type.starts_with(SCHEMA_1) {
        return Err(KindError::Schema1);
    }
    if media_type::is_index(&child.media_type) {
        return Err(KindError::Nested(child.digest));
    }
    Ok(Selected::Child {
        child: plain(child, media_type::MANIFEST),
        index: plain(&own, media_type::INDEX),
    })
}

pub(crate) fn document(described: &Descriptor, bytes: &[u8]) -> Result<Manifest, KindError> {
    serde_json::from_slice(bytes).map_err(|error| KindError::Other {
        found: format!(
            "{}, which is not a valid manifest ({error})",
            described.digest
        ),
    })
}

fn known(stated: &str) -> bool {
    media_type::is_index(stated)
        || matches!(stated, media_type::MANIFEST | media_type::DOCKER_MANIFEST)
}

/// The start of untrusted text, for messages.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The platforms of an index, for messages.
fn platforms(index: &Index) -> String {
    let mut names: Vec<String> = index
        .manifests
        .iter()
        .map(|child| {
            child
                .platform
                .as_ref()
                .map_or("linux/amd64".to_owned(), |p| short(&p.to_string()))
        })
        .filter(|name| !name.starts_with("unknown/"))
        .collect();
    names.sort();
    names.dedup();
    names.truncate(20);
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(media: &str, text: &str, platform: &str) -> Result<Selected, String> {
        let described = Descriptor::of(media, text.as_bytes());
        let platform = platform.parse().unwrap();
        select(&described, text.as_bytes(), &platform).map_err(|error| error.to_string())
    }

    fn child(content: &str, platform: &str) -> String {
        let d = Descriptor {
            platform: Some(platform.parse().unwrap()),
            ..Descriptor::of(media_type::DOCKER_MANIFEST, content.as_bytes())
        };
        serde_json::to_string(&d).unwrap()
    }

    #[test]
    fn the_child_for_the_platform_is_chosen_and_others_are_named() {
        let (a, b) = (child("a", "linux/amd64"), child("b", "linux/arm64/v8"));
        let attestation = child("c", "unknown/unknown");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{attestation},{a},{b}]}}"#);
        match chosen(media_type::INDEX, &text, "linux/arm64").unwrap_or_else(|e| panic!("{e}")) {
            Selected::Child { index, child } => {
                assert_eq!(index, Descriptor::of(media_type::INDEX, text.as_bytes()));
                assert_eq!(child, Descriptor::of(media_type::DOCKER_MANIFEST, b"b"));
            }
            Selected::Manifest(_) => panic!("an index was taken for a manifest"),
        }
        let error = chosen(media_type::INDEX, &text, "linux/s390x")
            .err()
            .unwrap();
        assert!(
            error.contains("no manifest for platform linux/s390x"),
            "{error}"
        );
        assert!(error.contains("linux/amd64, linux/arm64/v8:"), "{error}");
    }

    #[test]
    fn a_manifest_keeps_its_own_media_type_whatever_the_header_says() {
        let config = serde_json::to_string(&Descriptor::of("c", b"c")).unwrap();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
            media_type::DOCKER_MANIFEST
        );
        match chosen("text/plain", &text, "linux/s390x").unwrap_or_else(|e| panic!("{e}")) {
            Selected::Manifest(found) => assert_eq!(found.media_type, media_type::DOCKER_MANIFEST),
            Selected::Child { .. } => panic!("a manifest was taken for an index"),
        }
    }

    #[test]
    fn schema_1_ambiguous_and_foreign_documents_are_refused() {
        let cases = [
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
            (
                r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
                "as well as `layers`",
            ),
            (r#"{"schemaVersion":2,"manifests":[]}"#, "found none"),
            (r#"{"schemaVersion":2}"#, "not a valid manifest"),
            ("<html>", "malformed JSON"),
            (
                r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#,
                "contradicts",
            ),
        ];
        for (text, part) in cases {
            let error = chosen("application/json", text, "linux/amd64")
                .err()
                .unwrap();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
