//! SPDX 2.3 as JSON: one document of all that a package carries, made of the
//! syft-JSON documents in it.
//!
//! Source: SPDX 2.3, chapters 6, 7 and 11. Output depends on the input only.

use serde_json::{Value, json};

/// What a document is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    pub name: &'s str,
    pub version: &'s str,
    /// Where documents about it live; unique to this very package.
    pub namespace: &'s str,
    /// When it was built, RFC 3339 in UTC.
    pub created: &'s str,
    /// The program that made it.
    pub tool: &'s str,
}

const NOBODY_SAYS: &str = "NOASSERTION";

/// The document of a package whose catalogues, by name, are `documents`.
#[must_use]
pub fn document(subject: Subject<'_>, documents: &[(String, Value)]) -> Value {
    let root = "SPDXRef-Package";
    let mut packages = vec![package(root, subject.name, subject.version)];
    let mut edges = vec![edge("SPDXRef-DOCUMENT", "DESCRIBES", root)];
    for (index, (_, catalogue)) in documents.iter().enumerate() {
        let source = &catalogue["source"];
        let id = format!("SPDXRef-Source-{index}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        packages.push(package(
            &id,
            &text(&source["name"]),
            &text(&source["version"]),
        ));
        edges.push(edge(root, "CONTAINS", &id));
        let found = catalogue["artifacts"].as_array();
        for (number, artifact) in found.into_iter().flatten().enumerate() {
            let inner = format!("SPDXRef-Source-{index}-{number}");
            let mut entry = package(
                &inner,
                &text(&artifact["name"]),
                &text(&artifact["version"]),
            );
            let declared: Vec<String> = artifact["licenses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|license| license["spdxExpression"].as_str())
                .filter(|license| !license.is_empty())
                .map(|license| match license.contains(' ') {
                    true => format!("({license})"),
                    false => license.to_owned(),
                })
                .collect();
            if !declared.is_empty() {
                entry["licenseDeclared"] = json!(declared.join(" AND "));
            }
            if let Some(purl) = artifact["purl"].as_str().filter(|purl| !purl.is_empty()) {
                entry["externalRefs"] = json!([{
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl,
                }]);
            }
            packages.push(entry);
            edges.push(edge(&id, "CONTAINS", &inner));
        }
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": subject.namespace,
        "creationInfo": {
            "created": subject.created,
            "creators": [format!("Tool: {}", subject.tool)],
        },
        "packages": packages,
        "relationships": edges,
    })
}

fn package(id: &str, name: &str, version: &str) -> Value {
    let mut made = json!({
        "SPDXID": id,
        "name": if name.is_empty() { NOBODY_SAYS } else { name },
        "downloadLocation": NOBODY_SAYS,
        "filesAnalyzed": false,
        "licenseConcluded": NOBODY_SAYS,
        "licenseDeclared": NOBODY_SAYS,
        "copyrightText": NOBODY_SAYS,
    });
    if !version.is_empty() {
        made["versionInfo"] = json!(version);
    }
    made
}

fn edge(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_contains_what_its_catalogues_found() {
        let catalogue = json!({
            "source": {"name": "r.io/app", "version": "sha256:00"},
            "artifacts": [{
                "name": "zlib", "version": "1.3", "purl": "pkg:apk/alpine/zlib@1.3",
                "licenses": [{"spdxExpression": "Zlib"}, {"spdxExpression": "MIT OR ISC"}, {"spdxExpression": ""}],
            }],
        });
        let subject = Subject {
            name: "demo",
            version: "1",
            namespace: "https://x/demo",
            created: "1970-01-01T00:00:00Z",
            tool: "jackal-1",
        };
        let made = document(subject, &[("app.json".to_owned(), catalogue)]);
        let inner = &made["packages"][2];
        assert_eq!(inner["licenseDeclared"], "Zlib AND (MIT OR ISC)");
        assert_eq!(
            inner["externalRefs"][0]["referenceLocator"],
            "pkg:apk/alpine/zlib@1.3"
        );
        assert_eq!(made["relationships"].as_array().unwrap().len(), 3);
    }
}
