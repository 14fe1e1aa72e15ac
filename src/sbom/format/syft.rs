//! syft-JSON, schema 16: the format scanners read back.
//!
//! Files, and edges to them, are written if the document has any.
//! Output depends on the document only.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::files::{Files, Related, edges};

use crate::sbom::cpe;
use crate::sbom::document::{Document, Package};

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
    let mut head = json!({
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
    });
    if let Some(supplier) = supplier(&source.metadata) {
        head["source"]["supplier"] = json!(supplier);
    }
    let head = head.to_string();
    let files = Files::new(&document.files);
    let mut related: Vec<Related> = Vec::with_capacity(document.packages.len());
    out.write_all(b"{\"artifacts\":[")?;
    for (index, package) in document.packages.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(artifact(&package).as_bytes())?;
        related.push(Related::of(package, &files));
    }
    out.write_all(b"],\"artifactRelationships\":[")?;
    related.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    edges(document.relationships, related, &files, out)?;
    out.write_all(b"],")?;
    files.write(document.files, document.unknowns, out)?;
    // The rest continues the object that was opened above.
    out.write_all(&head.as_bytes()[1..])
}

/// Who distributes an image, by its label. Source: OCI image-spec, annotations.md.
fn supplier(metadata: &Value) -> Option<&str> {
    let label = metadata.pointer("/labels/org.opencontainers.image.vendor");
    label
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
}

/// One package as JSON text.
fn artifact(package: &Package) -> String {
    let place: Vec<_> = package.place_of_licenses().into_iter().collect();
    let licenses: Vec<Value> = package
        .licenses
        .iter()
        .map(|license| {
            json!({
                "value": license.value,
                "spdxExpression": license.spdx(),
                "type": if license.concluded { "concluded" } else { "declared" },
                "urls": [],
                "locations": match &license.locations[..] {
                    [] => json!(place),
                    known => json!(known),
                },
            })
        })
        .collect();
    let cpes: Vec<Value> = cpe::of(package)
        .into_iter()
        .map(|(cpe, source)| json!({"cpe": cpe, "source": source}))
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
            files: Vec::new(),
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
