//! Descriptors: the digest, type and size of content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Platform};

/// Points to content by digest, with the size that bounds reading it.
///
/// Source: OCI image-spec 1.1, descriptor.md. Unknown fields are ignored, as
/// the specification asks of readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content; one of [`media_type`] or any other.
    pub media_type: String,
    /// Names the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// Key-value pairs, sorted so that the output is reproducible.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: the platform of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// In an index: the type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes `bytes` as `media_type`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Names content of `size` bytes whose type does not matter.
    #[must_use]
    pub fn blob(digest: Digest, size: u64) -> Self {
        Self {
            digest,
            size,
            ..Self::of("application/octet-stream", &[])
        }
    }
}

/// Annotations that jackal reads or writes.
///
/// Source: OCI image-spec 1.1, annotations.md.
pub mod annotation {
    /// A layer's file name, or the name of an artifact.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// The name of an image in the index of a layout.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The reference of the image that another one is made of.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
}

/// Media types that jackal reads or writes.
pub mod media_type {
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer: a plain tar.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer: a gzip tar.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer: a Zstandard tar.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Empty: the configuration of artifacts without one.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker manifest list, the equivalent of an index.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker schema 2 image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

    /// OCI layer that must not be distributed: a gzip tar.
    pub const LAYER_NONDISTRIBUTABLE_GZIP: &str =
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// Docker layer: a plain tar.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer: a gzip tar.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer that must not be distributed: a gzip tar.
    pub const DOCKER_LAYER_FOREIGN: &str =
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

    /// Whether `media_type` is an index or a manifest list.
    #[must_use]
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, INDEX | DOCKER_INDEX)
    }

    /// Whether a layer of this type makes an artifact an image with a file system.
    ///
    /// Source: docs/spec/package.md, "Images".
    #[must_use]
    pub fn is_container_layer(media_type: &str) -> bool {
        matches!(
            media_type,
            LAYER
                | LAYER_GZIP
                | LAYER_ZSTD
                | "application/vnd.oci.image.layer.nondistributable.v1.tar"
                | LAYER_NONDISTRIBUTABLE_GZIP
                | DOCKER_LAYER
                | DOCKER_LAYER_GZIP
                | DOCKER_LAYER_FOREIGN
        )
    }
}
