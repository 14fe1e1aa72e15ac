//! Reads syft-JSON: jackal's own documents, and those of syft and Zarf of any schema
//! since 2021.
//!
//! Keeps what other formats have a place for. What is missing is empty, and a licence or a
//! CPE may be a text, as it was before schemas 9 and 15.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A document.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Catalogue {
    pub artifacts: Vec<Artifact>,
    #[serde(default, rename = "artifactRelationships")]
    pub relationships: Vec<Edge>,
    #[serde(default)]
    pub source: Source,
    #[serde(default)]
    pub distro: Map<String, Value>,
}

/// A package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Artifact {
    pub id: String,
    pub name: String,
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "foundBy")]
    pub found_by: String,
    #[serde(deserialize_with = "or_empty")]
    pub locations: Vec<Place>,
    #[serde(deserialize_with = "or_empty")]
    pub licenses: Vec<Licence>,
    pub language: String,
    #[serde(deserialize_with = "or_empty")]
    pub cpes: Vec<Cpe>,
    pub purl: String,
    #[serde(rename = "metadataType")]
    pub metadata_type: String,
    pub metadata: Value,
}

/// A file that is evidence for a package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Place {
    pub path: String,
    #[serde(rename = "layerID")]
    pub layer: String,
}

/// A licence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// As it is written.
    pub value: String,
    /// The SPDX id or expression; empty if it is neither.
    pub spdx: String,
    /// Whether it was found by its text; otherwise, a package states it.
    pub concluded: bool,
}

/// A name in the Common Platform Enumeration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpe(pub String);

/// A relation between two ids.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Edge {
    pub parent: String,
    pub child: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// What was scanned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    pub id: String,
    pub name: String,
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub metadata: Value,
    /// Where schemas before 9 have `metadata`.
    target: Value,
}

impl Catalogue {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// It is not syft-JSON: it has no list of artifacts, or one with other shapes.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut read: Self = serde_json::from_slice(json)?;
        let source = &mut read.source;
        if source.metadata.is_null() {
            source.metadata = std::mem::take(&mut source.target);
        }
        if source.name.is_empty() {
            let about = source.metadata.as_str();
            let about = about.or_else(|| source.metadata["userInput"].as_str());
            source.name = about.unwrap_or_default().to_owned();
        }
        Ok(read)
    }
}

impl Artifact {
    /// A text of its metadata; empty if there is none.
    #[must_use]
    pub fn fact(&self, key: &str) -> &str {
        self.metadata[key].as_str().unwrap_or_default()
    }
}

/// `null` counts as empty.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Licence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Facts {
                #[serde(default)]
                value: String,
                #[serde(default, rename = "spdxExpression")]
                spdx: String,
                #[serde(default, rename = "type")]
                kind: String,
            },
        }
        Ok(match Written::deserialize(from)? {
            Written::Text(value) => Self {
                value,
                ..Self::default()
            },
            Written::Facts { value, spdx, kind } => Self {
                value,
                spdx,
                concluded: kind == "concluded",
            },
        })
    }
}

impl<'de> Deserialize<'de> for Cpe {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Facts { cpe: String },
        }
        let (Written::Text(cpe) | Written::Facts { cpe }) = Written::deserialize(from)?;
        Ok(Self(cpe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_new_and_old_schemas_are_read() {
        let new = br#"{
            "artifacts": [{"id": "1", "name": "a", "version": "1", "type": "npm",
                "licenses": [{"value": "mit", "spdxExpression": "MIT", "type": "concluded"}],
                "cpes": [{"cpe": "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*", "source": "x"}],
                "locations": [{"path": "/p", "layerID": "sha256:0"}]}],
            "artifactRelationships": [{"parent": "1", "child": "2", "type": "contains"}],
            "source": {"type": "image", "metadata": {"userInput": "a:1"}}
        }"#;
        let new = Catalogue::read(new).unwrap();
        assert!(new.artifacts[0].licenses[0].concluded);
        assert_eq!(new.artifacts[0].cpes[0].0, "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*");
        assert_eq!(new.source.name, "a:1");
        let old = br#"{
            "artifacts": [{"name": "a", "licenses": ["MIT"], "cpes": ["cpe:2.3:a"], "locations": null}],
            "source": {"type": "directory", "target": "/src"}
        }"#;
        let old = Catalogue::read(old).unwrap();
        assert_eq!(old.artifacts[0].licenses[0].value, "MIT");
        assert_eq!(old.source.name, "/src");
        assert!(Catalogue::read(b"{}").is_err());
    }
}
