//! syft-JSON, schema 16: the format scanners read back.
//!
//! Writes the lean form: packages and edges between them, no file section.
//! Output depends on the document only.

use serde_json::{Value, json};

use crate::sbom::document::{Document, Package};

/// The schema whose shapes are written.
pub const SCHEMA: &str = "16.0.18";

/// Encodes `document` as compact JSON, naming jackal `version` as its producer.
#[must_use]
pub fn encode(document: &Document, version: &str) -> Vec<u8> {
    let artifacts: Vec<Value> = document.packages.iter().map(artifact).collect();
    let edges: Vec<Value> = document
        .relationships
        .iter()
        .map(|edge| {
            let mut value = json!({"parent": edge.parent, "child": edge.child, "type": edge.kind});
            if !edge.files.is_empty() {
                value["metadata"] = json!({"files": edge.files});
            }
            value
        })
        .collect();
    let url = format!(
        "https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SCHEMA}.json"
    );
    let source = &document.source;
    json!({
        "artifacts": artifacts,
        "artifactRelationships": edges,
        "source": {
            "id": source.id,
            "name": source.name,
            "version": source.version,
            "type": source.kind,
            "metadata": source.metadata,
        },
        "distro": document.distro,
        "descriptor": {"name": "jackal", "version": version},
        "schema": {"version": SCHEMA, "url": url},
    })
    .to_string()
    .into_bytes()
}

fn artifact(package: &Package) -> Value {
    let licenses: Vec<Value> = package
        .licenses
        .iter()
        .map(|license| {
            json!({
                "value": license.0,
                "spdxExpression": license.spdx(),
                "type": "declared",
                "urls": [],
                "locations": [],
            })
        })
        .collect();
    let cpes: Vec<Value> = package
        .cpes
        .iter()
        .map(|cpe| json!({"cpe": cpe, "source": "declared"}))
        .collect();
    let mut value = json!({
        "id": package.id(),
        "name": package.name,
        "version": package.version,
        "type": package.kind.word(),
        "foundBy": package.found_by,
        "locations": json!(package.locations),
        "licenses": licenses,
        "language": package.kind.language(),
        "cpes": cpes,
        "purl": package.purl,
    });
    if !package.metadata.is_null() {
        value["metadataType"] = json!(package.metadata_type);
        value["metadata"] = package.metadata.clone();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::document::{Kind, Source};

    #[test]
    fn documents_are_sorted_and_name_their_schema() {
        let package = |name| Package::new(Kind::Npm, name, "1", "x", "y");
        let source = Source {
            id: "aa".into(),
            name: "n".into(),
            version: String::new(),
            kind: "directory",
            metadata: json!({"path": "."}),
        };
        let one = Document::new(source.clone(), json!({}), vec![package("b"), package("a")]);
        let two = Document::new(source, json!({}), vec![package("a"), package("b")]);
        assert_eq!(encode(&one, "1"), encode(&two, "1"));
        let value: Value = serde_json::from_slice(&encode(&one, "1")).unwrap();
        assert_eq!(value["artifacts"][0]["name"], "a");
        assert_eq!(value["artifacts"][0]["id"].as_str().unwrap().len(), 16);
        assert_eq!(value["artifactRelationships"].as_array().unwrap().len(), 2);
        assert!(
            value["schema"]["url"]
                .as_str()
                .unwrap()
                .contains("anchore/syft")
        );
    }
}
