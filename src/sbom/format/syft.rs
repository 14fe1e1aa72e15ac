//! syft-JSON, schema 16: the format scanners read back.
//!
//! Writes the lean form: packages and edges between them, no file section.
//! Output depends on the document only.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::oci::Digest;
use crate::sbom::document::{Document, Package, Unknown};

/// The schema whose shapes are written.
pub const SCHEMA: &str = "16.0.18";

/// Writes `document` as compact JSON, naming jackal `version` as its producer.
///
/// Packages are written one by one and freed as they are written: documents
/// of large images are tens of megabytes.
///
/// # Errors
///
/// Those of `out`.
pub fn write(document: Document, version: &str, out: &mut impl Write) -> io::Result<()> {
    let source = document.source;
    let head = json!({
        "source": {
            "id": source.id,
            "name": source.name,
            "version": source.version,
            "type": source.kind,
            "metadata": source.metadata,
        },
        "distro": document.distro,
        "descriptor": {"name": "jackal", "version": version},
        "schema": {
            "version": SCHEMA,
            "url": format!(
                "https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SCHEMA}.json"
            ),
        },
    })
    .to_string();
    out.write_all(b"{\"artifacts\":[")?;
    for (index, package) in document.packages.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(artifact(&package).as_bytes())?;
    }
    out.write_all(b"],\"artifactRelationships\":[")?;
    for (index, edge) in document.relationships.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let mut value = json!({"parent": edge.parent, "child": edge.child, "type": edge.kind});
        if !edge.files.is_empty() {
            value["metadata"] = json!({"files": edge.files});
        }
        serde_json::to_writer(&mut *out, &value)?;
    }
    out.write_all(b"],")?;
    if !document.unknowns.is_empty() {
        let files: Vec<Value> = document.unknowns.iter().map(file).collect();
        write!(out, "\"files\":{},", json!(files))?;
    }
    // The rest continues the object that was opened above.
    out.write_all(&head.as_bytes()[1..])
}

/// A file that could not be read.
fn file(unknown: &Unknown) -> Value {
    let at = &unknown.location;
    let mut location = json!({"path": at.path});
    let mut identity = at.path.clone();
    if let Some(layer) = at.layer {
        location["layerID"] = json!(layer);
        identity.push('\0');
        identity.push_str(&layer.to_string());
    }
    json!({
        "id": &Digest::of(identity.as_bytes()).hex()[..16],
        "location": location,
        "unknowns": [unknown.reason],
    })
}

/// One package as JSON text.
fn artifact(package: &Package) -> String {
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
    let mut text = json!({
        "id": package.id(),
        "name": package.name,
        "version": package.version,
        "type": package.ecosystem.kind,
        "foundBy": package.ecosystem.found_by,
        "locations": json!(package.locations),
        "licenses": licenses,
        "language": package.ecosystem.language,
        "cpes": cpes,
        "purl": package.purl,
    })
    .to_string();
    if let Some(metadata) = &package.metadata {
        // Continues the object: its closing brace moves to the end.
        text.pop();
        let kind = package.ecosystem.metadata_type;
        if !kind.is_empty() {
            text.push_str(&format!(",\"metadataType\":{}", json!(kind)));
        }
        text.push_str(&format!(",\"metadata\":{metadata}}}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::document::{Ecosystem, Findings, ScanTarget};

    #[test]
    fn documents_are_sorted_and_name_their_schema() {
        let ecosystem = Ecosystem {
            kind: "npm",
            language: "javascript",
            found_by: "x",
            metadata_type: "y",
        };
        let findings = |names: [&str; 2]| Findings {
            packages: names.map(|name| Package::new(ecosystem, name, "1")).into(),
            unknowns: Vec::new(),
        };
        let source = ScanTarget {
            id: "aa".into(),
            name: "n".into(),
            version: String::new(),
            kind: "directory",
            metadata: json!({"path": "."}),
        };
        let one = Document::new(source.clone(), json!({}), findings(["b", "a"])).unwrap();
        let two = Document::new(source, json!({}), findings(["a", "b"])).unwrap();
        let encode = |document| {
            let mut bytes = Vec::new();
            write(document, "1", &mut bytes).unwrap();
            bytes
        };
        let (one, two) = (encode(one), encode(two));
        assert_eq!(one, two);
        let value: Value = serde_json::from_slice(&one).unwrap();
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
