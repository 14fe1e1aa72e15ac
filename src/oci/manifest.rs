//! Manifests and indexes: the documents that hold images together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform};

/// Largest manifest or index held in memory, in bytes: 4 MiB.
///
/// Source: distribution-spec 1.1, "Pushing Manifests", asks registries to take
/// at least this much; more is not portable.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// An image or artifact: a configuration and layers.
///
/// Source: OCI image-spec 1.1, manifest.md. Reads Docker schema 2 as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document; OCI lets writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of the artifact, if it is not the type of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    /// Layers, the base first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about, such as a signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    #[must_use]
    pub fn image(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(super::media_type::MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// A list of manifests: one image for several platforms, or a layout's content.
///
/// Source: OCI image-spec 1.1, image-index.md. Reads Docker manifest lists too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document; OCI lets writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The children, in the writer's order of preference.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An empty OCI index.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(super::media_type::INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The first child that `platform` [accepts](Platform::accepts). A child that
    /// states no platform counts as `linux/amd64`.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let unstated = Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            variant: None,
        };
        self.manifests.iter().find(|child| {
            let found = child.platform.as_ref().unwrap_or(&unstated);
            platform.accepts(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::media_type;
    use super::*;

    fn child(content: &str, platform: Option<&str>) -> Descriptor {
        Descriptor {
            platform: platform.map(|p| p.parse().unwrap()),
            ..Descriptor::of(media_type::MANIFEST, content.as_bytes())
        }
    }

    #[test]
    fn children_are_chosen_by_platform_and_by_variant_if_it_is_given() {
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            artifact_type: None,
            manifests: vec![
                child("v6", Some("linux/arm/v6")),
                child("v7", Some("linux/arm/v7")),
                child("none", None),
            ],
            subject: None,
            annotations: BTreeMap::new(),
        };
        let select = |p: &str| index.select(&p.parse().unwrap()).map(|d| d.digest);
        assert_eq!(select("linux/arm"), Some(index.manifests[0].digest));
        assert_eq!(select("linux/arm/v7"), Some(index.manifests[1].digest));
        assert_eq!(select("linux/amd64"), Some(index.manifests[2].digest));
        assert_eq!(select("windows/amd64"), None);
        assert_eq!(select("linux/arm/v8"), None);
        let newer = Index {
            manifests: vec![
                child("v3", Some("linux/amd64/v3")),
                child("all", Some("linux/amd64")),
            ],
            ..index.clone()
        };
        let all = "linux/amd64".parse().unwrap();
        assert_eq!(newer.select(&all), Some(&newer.manifests[1]));
        let text = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<Index>(&text).unwrap(), index);
    }

    #[test]
    fn a_manifest_without_optional_fields_reads_and_writes_the_same() {
        let d = serde_json::to_string(&child("c", None)).unwrap();
        let text = format!(r#"{{"schemaVersion":2,"config":{d},"layers":[{d}]}}"#);
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(manifest.layers.len(), 1);
        assert_eq!(serde_json::to_string(&manifest).unwrap(), text);
    }
}
