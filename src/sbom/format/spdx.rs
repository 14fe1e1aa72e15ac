//! SPDX 2.3 as JSON: one document of all that a package carries, made of the
//! syft-JSON documents in it.
//!
//! Source: SPDX 2.3, chapters 6 to 11, and NTIA, "The Minimum Elements For a Software
//! Bill of Materials". Output depends on the input only.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::oci::Digest;
use crate::sbom::purl::purl;

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

/// The package that the document is about.
const ROOT: &str = "SPDXRef-Package";

/// The document of a package whose catalogues, by name, are `documents`. Their files are
/// left out: they are most of a document, and transparency logs take a few megabytes.
#[must_use]
pub fn document(subject: Subject<'_>, documents: &[(String, Value)]) -> Value {
    assemble(subject, documents, false)
}

/// The same with the files of packages.
#[must_use]
pub fn document_with_files(subject: Subject<'_>, documents: &[(String, Value)]) -> Value {
    assemble(subject, documents, true)
}

fn assemble(subject: Subject<'_>, documents: &[(String, Value)], files: bool) -> Value {
    let mut root = package(ROOT, subject.name, subject.version);
    root["primaryPackagePurpose"] = json!("ARCHIVE");
    let mut made = Made {
        packages: vec![root],
        edges: vec![edge("SPDXRef-DOCUMENT", "DESCRIBES", ROOT)],
        ..Made::default()
    };
    for (index, (_, catalogue)) in documents.iter().enumerate() {
        made.catalogue(index, catalogue, files);
    }
    let version = spdx::identifiers::VERSION;
    let list = version.rsplit_once('.').map_or(version, |(list, _)| list);
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": subject.namespace,
        "creationInfo": {
            "created": subject.created,
            "creators": [format!("Tool: {}", subject.tool)],
            "licenseListVersion": list,
        },
        "packages": made.packages,
        "relationships": made.edges,
    });
    if !made.files.is_empty() {
        document["files"] = json!(made.files);
    }
    if !made.licenses.is_empty() {
        let other = made.licenses.into_iter().map(|(id, text)| {
            let name = text.lines().next().unwrap_or_default().to_owned();
            json!({"licenseId": id, "name": name, "extractedText": text})
        });
        document["hasExtractedLicensingInfos"] = other.collect();
    }
    document
}

/// The parts of a document.
#[derive(Default)]
struct Made {
    packages: Vec<Value>,
    files: Vec<Value>,
    edges: Vec<Value>,
    /// Licences that SPDX does not list, by the ids that they get.
    licenses: BTreeMap<String, String>,
}

impl Made {
    /// Adds one catalogue, with its subject as the package that contains the others.
    fn catalogue(&mut self, index: usize, catalogue: &Value, with_files: bool) {
        let source = &catalogue["source"];
        let id = format!("SPDXRef-Source-{index}");
        self.packages.push(of_source(&id, source));
        self.edges.push(edge(ROOT, "CONTAINS", &id));
        let mut known: HashMap<&str, String> = HashMap::new();
        known.insert(text(&source["id"]), id);
        for artifact in list(&catalogue["artifacts"]) {
            let id = text(&artifact["id"]);
            let words = [text(&artifact["type"]), text(&artifact["name"]), id];
            let inner = format!("SPDXRef-Package-{index}-{}", plain(&words.join("-")));
            let package = self.artifact(&inner, artifact);
            self.packages.push(package);
            known.insert(id, inner);
        }
        for file in list(&catalogue["files"]).filter(|_| with_files) {
            let id = text(&file["id"]);
            let inner = format!("SPDXRef-File-{index}-{}", plain(id));
            if let Some(file) = of_file(&inner, file) {
                self.files.push(file);
                known.insert(id, inner);
            }
        }
        for relation in list(&catalogue["artifactRelationships"]) {
            let end = |key: &str| known.get(text(&relation[key]));
            let (Some(parent), Some(child)) = (end("parent"), end("child")) else {
                continue;
            };
            let kind = text(&relation["type"]);
            let mut made = match kind {
                "contains" => edge(parent, "CONTAINS", child),
                "dependency-of" => edge(parent, "DEPENDENCY_OF", child),
                _ => edge(parent, "OTHER", child),
            };
            match kind {
                "ownership-by-file-overlap" => {
                    made["comment"] = json!(
                        "ownership-by-file-overlap: the first package owns a file that is \
                         evidence for the second"
                    );
                }
                "contains" | "dependency-of" => {}
                other => made["comment"] = json!(format!("{other}: the file is evidence")),
            }
            self.edges.push(made);
        }
    }

    fn artifact(&mut self, id: &str, artifact: &Value) -> Value {
        let metadata = &artifact["metadata"];
        let mut made = package(id, text(&artifact["name"]), text(&artifact["version"]));
        for (key, concluded) in [("licenseDeclared", false), ("licenseConcluded", true)] {
            if let Some(license) = self.licenses(artifact, concluded) {
                made[key] = json!(license);
            }
        }
        if let Some(supplier) = supplier(artifact) {
            made["supplier"] = json!(supplier);
            made["originator"] = json!(supplier);
        }
        let paths = list(&artifact["locations"]).map(|at| text(&at["path"]));
        let paths: Vec<&str> = paths.collect();
        let finder = text(&artifact["foundBy"]);
        made["sourceInfo"] = json!(format!("found by {finder} in {}", paths.join(", ")));
        for (key, from) in [("homepage", "homepage"), ("description", "description")] {
            let value = text(&metadata[from]);
            if !value.is_empty() && (key == "description" || value.starts_with("http")) {
                made[key] = json!(value);
            }
        }
        let sums = checksums(metadata);
        if !sums.is_empty() {
            made["checksums"] = json!(sums);
        }
        let cpes = list(&artifact["cpes"])
            .map(|cpe| reference("SECURITY", "cpe23Type", text(&cpe["cpe"])));
        let mut references: Vec<Value> = cpes.collect();
        let purl = text(&artifact["purl"]);
        if !purl.is_empty() {
            references.push(reference("PACKAGE-MANAGER", "purl", purl));
        }
        if !references.is_empty() {
            made["externalRefs"] = json!(references);
        }
        made
    }

    /// The licences of one kind, joined; those that SPDX does not list get an id.
    fn licenses(&mut self, artifact: &Value, concluded: bool) -> Option<String> {
        let kind = if concluded { "concluded" } else { "declared" };
        let mut all: Vec<String> = Vec::new();
        // Catalogues of before licences had a type only have declared ones.
        let of_kind = |license: &&Value| license["type"].as_str().unwrap_or("declared") == kind;
        for license in list(&artifact["licenses"]).filter(of_kind) {
            let (known, value) = (text(&license["spdxExpression"]), text(&license["value"]));
            let word = match (known, value) {
                ("", "") => continue,
                ("", value) => {
                    let short = value.len() <= 60 && !value.contains('\n');
                    let id = match short {
                        true => format!("LicenseRef-{}", plain(value)),
                        false => {
                            let digest = Digest::of(value.as_bytes()).hex();
                            format!("LicenseRef-{}", &digest[..16])
                        }
                    };
                    self.licenses.insert(id.clone(), value.to_owned());
                    id
                }
                (known, _) if known.contains(' ') => format!("({known})"),
                (known, _) => known.to_owned(),
            };
            if !all.contains(&word) {
                all.push(word);
            }
        }
        (!all.is_empty()).then(|| all.join(" AND "))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `word` with a dash for each character that an id may not have.
fn plain(word: &str) -> String {
    let kept = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
        _ => '-',
    };
    word.chars().map(kept).collect()
}

/// What was catalogued: an image or a component.
fn of_source(id: &str, source: &Value) -> Value {
    let metadata = &source["metadata"];
    let mut made = package(id, text(&source["name"]), text(&source["version"]));
    let image = text(&source["type"]) == "image";
    made["primaryPackagePurpose"] = json!(if image { "CONTAINER" } else { "FILE" });
    let name = text(&source["supplier"]);
    if !name.is_empty() {
        made["supplier"] = json!(format!("Organization: {name}"));
    }
    let digest = text(&metadata["manifestDigest"]);
    if let Some(hex) = digest.strip_prefix("sha256:") {
        made["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": hex}]);
        let repository = text(&source["name"]);
        let name = repository.rsplit('/').next().unwrap_or_default();
        let tag = list(&metadata["tags"]).next().map(text);
        let tag = tag
            .and_then(|tag| tag.rsplit_once(':'))
            .map_or("", |(_, tag)| tag);
        let qualifiers = [
            ("arch", text(&metadata["architecture"])),
            ("repository_url", repository),
            ("tag", tag),
        ];
        // The specification of this type has the colon encoded.
        let purl = purl("oci", "", name, digest, &qualifiers);
        let purl = purl.replacen("sha256:", "sha256%3A", 1);
        made["externalRefs"] = json!([reference("PACKAGE-MANAGER", "purl", &purl)]);
    }
    made
}

/// A file with a digest.
fn of_file(id: &str, file: &Value) -> Option<Value> {
    let sums: Vec<Value> = list(&file["digests"])
        .map(|digest| {
            let algorithm = text(&digest["algorithm"]).to_ascii_uppercase();
            json!({"algorithm": algorithm, "checksumValue": digest["value"]})
        })
        .collect();
    if sums.is_empty() {
        return None;
    }
    let path = text(&file["location"]["path"]);
    let mut made = json!({
        "SPDXID": id,
        "fileName": format!("./{}", path.trim_start_matches('/')),
        "checksums": sums,
        "licenseConcluded": NOBODY_SAYS,
        "copyrightText": NOBODY_SAYS,
    });
    let media = text(&file["metadata"]["mimeType"]);
    let kind = match media.split_once('/') {
        Some(("text", _)) => Some("TEXT"),
        Some(("image", _)) => Some("IMAGE"),
        Some(("audio", _)) => Some("AUDIO"),
        Some(("video", _)) => Some("VIDEO"),
        Some((_, "x-sharedlib" | "x-executable" | "x-object" | "octet-stream")) => Some("BINARY"),
        Some((_, "gzip" | "zip" | "x-tar" | "jar" | "x-xz" | "zstd" | "x-bzip2")) => {
            Some("ARCHIVE")
        }
        _ => None,
    };
    if let Some(kind) = kind {
        made["fileTypes"] = json!([kind]);
    }
    let layer = text(&file["location"]["layerID"]);
    if !layer.is_empty() {
        made["comment"] = json!(format!("layerID: {layer}"));
    }
    Some(made)
}

/// Who supplies a package, by what its metadata says.
fn supplier(artifact: &Value) -> Option<String> {
    let metadata = &artifact["metadata"];
    let organization = ["vendor", "companyName"].map(|key| text(&metadata[key]));
    if let Some(name) = organization.into_iter().find(|name| !name.is_empty()) {
        return Some(format!("Organization: {name}"));
    }
    let person = ["maintainer", "author", "authorEmail"].map(|key| text(&metadata[key]));
    let first = |authors: &Value| {
        list(authors).next().map(|author| match author.as_str() {
            Some(name) => name.to_owned(),
            None => text(&author["name"]).to_owned(),
        })
    };
    let named = person.into_iter().find(|name| !name.is_empty());
    let name = match named {
        Some(name) => name.to_owned(),
        None => first(&metadata["authors"])?,
    };
    let name = name.lines().next().unwrap_or_default().trim();
    let name = match name.split_once('<') {
        Some((name, mail)) => {
            let mail = mail.split('>').next().unwrap_or_default();
            match name.trim() {
                "" => mail.to_owned(),
                name => format!("{name} ({mail})"),
            }
        }
        None => name.to_owned(),
    };
    (!name.is_empty()).then(|| format!("Person: {name}"))
}

/// Digests of a package that its metadata has: of a Java archive, or of a Go module.
fn checksums(metadata: &Value) -> Vec<Value> {
    let jar = list(&metadata["digest"]).map(|digest| {
        let algorithm = text(&digest["algorithm"]).to_ascii_uppercase();
        json!({"algorithm": algorithm, "checksumValue": digest["value"]})
    });
    let mut sums: Vec<Value> = jar.collect();
    let module = text(&metadata["h1Digest"]).strip_prefix("h1:");
    let engine = base64::engine::general_purpose::STANDARD;
    let module = module.and_then(|sum| engine.decode(sum).ok());
    let module = module.and_then(|sum| <[u8; 32]>::try_from(sum).ok());
    if let Some(sum) = module {
        let hex = Digest::from_bytes(sum).hex();
        sums.push(json!({"algorithm": "SHA256", "checksumValue": hex}));
    }
    sums
}

fn reference(category: &str, kind: &str, locator: &str) -> Value {
    json!({
        "referenceCategory": category,
        "referenceType": kind,
        "referenceLocator": locator,
    })
}

fn package(id: &str, name: &str, version: &str) -> Value {
    let mut made = json!({
        "SPDXID": id,
        "name": if name.is_empty() { NOBODY_SAYS } else { name },
        "downloadLocation": NOBODY_SAYS,
        "filesAnalyzed": false,
        "supplier": NOBODY_SAYS,
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
    use std::collections::HashSet;

    use super::*;

    fn made(files: bool) -> Value {
        let catalogue = json!({
            "source": {
                "id": "s", "name": "r.io/app", "version": "1", "type": "image",
                "metadata": {
                    "manifestDigest": format!("sha256:{}", "0".repeat(64)),
                    "architecture": "amd64", "tags": ["r.io/app:1"],
                },
            },
            "artifacts": [{
                "id": "p1", "type": "apk", "name": "zlib", "version": "1.3", "foundBy": "x",
                "purl": "pkg:apk/alpine/zlib@1.3",
                "cpes": [{"cpe": "cpe:2.3:a:zlib:zlib:1.3:*:*:*:*:*:*:*"}],
                "locations": [{"path": "/lib/apk/db/installed"}],
                "licenses": [
                    {"spdxExpression": "Zlib"}, {"spdxExpression": "MIT OR ISC"},
                    {"spdxExpression": "", "value": "own words"},
                    {"spdxExpression": "BSD-3-Clause", "type": "concluded"},
                ],
                "metadata": {"maintainer": "A B <a@b.c>"},
            }, {
                "id": "p2", "type": "go-module", "name": "m", "version": "v1", "purl": "",
                "metadata": {"h1Digest": "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
            }],
            "files": [
                {"id": "f1", "location": {"path": "/usr/lib/libz.so"},
                    "metadata": {"mimeType": "application/x-sharedlib"},
                    "digests": [{"algorithm": "sha256", "value": "00"}]},
                {"id": "f2", "location": {"path": "/odd"}, "unknowns": ["x"]},
            ],
            "artifactRelationships": [
                {"parent": "s", "child": "p1", "type": "contains"},
                {"parent": "s", "child": "p2", "type": "contains"},
                {"parent": "p1", "child": "p2", "type": "dependency-of"},
                {"parent": "p1", "child": "f1", "type": "contains"},
                {"parent": "p1", "child": "f2", "type": "evident-by"},
                {"parent": "p1", "child": "missing", "type": "contains"},
            ],
        });
        let subject = Subject {
            name: "demo",
            version: "1",
            namespace: "https://x/demo",
            created: "1970-01-01T00:00:00Z",
            tool: "jackal-1",
        };
        assemble(subject, &[("app.json".to_owned(), catalogue)], files)
    }

    #[test]
    fn a_document_contains_what_its_catalogues_found() {
        let made = made(false);
        let image = &made["packages"][1];
        let purl = &image["externalRefs"][0]["referenceLocator"];
        let expected = format!("pkg:oci/app@sha256%3A{}?", "0".repeat(64));
        assert!(purl.as_str().unwrap().starts_with(&expected), "{purl}");
        assert_eq!(image["primaryPackagePurpose"], "CONTAINER");
        let inner = &made["packages"][2];
        assert_eq!(
            inner["licenseDeclared"],
            "Zlib AND (MIT OR ISC) AND LicenseRef-own-words"
        );
        assert_eq!(inner["licenseConcluded"], "BSD-3-Clause");
        assert_eq!(inner["supplier"], "Person: A B (a@b.c)");
        assert_eq!(
            inner["externalRefs"][1]["referenceLocator"],
            "pkg:apk/alpine/zlib@1.3"
        );
        assert_eq!(
            made["hasExtractedLicensingInfos"][0]["extractedText"],
            "own words"
        );
        let module = &made["packages"][3]["checksums"][0];
        assert_eq!(module["checksumValue"], "0".repeat(64));
        // DESCRIBES, the image, its two packages, and the dependency.
        assert_eq!(made["relationships"].as_array().unwrap().len(), 5);
        assert_eq!(made["files"], Value::Null);
    }

    #[test]
    fn files_are_listed_if_wanted_and_relations_have_both_ends() {
        let made = made(true);
        assert_eq!(made["files"].as_array().unwrap().len(), 1);
        assert_eq!(made["files"][0]["fileName"], "./usr/lib/libz.so");
        assert_eq!(made["files"][0]["fileTypes"], json!(["BINARY"]));
        let ids = ["packages", "files"].map(|key| made[key].as_array().unwrap().iter());
        let ids = ids
            .into_iter()
            .flatten()
            .map(|found| found["SPDXID"].as_str().unwrap());
        let ids: HashSet<&str> = ids.chain(["SPDXRef-DOCUMENT"]).collect();
        assert_eq!(ids.len(), 6);
        for relation in made["relationships"].as_array().unwrap() {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                assert!(ids.contains(relation[end].as_str().unwrap()), "{relation}");
            }
        }
    }

    #[test]
    fn every_package_has_the_minimum_elements() {
        let made = made(false);
        assert!(
            !made["creationInfo"]["creators"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert_eq!(made["creationInfo"]["created"], "1970-01-01T00:00:00Z");
        for package in made["packages"].as_array().unwrap() {
            for key in [
                "name",
                "versionInfo",
                "supplier",
                "SPDXID",
                "downloadLocation",
            ] {
                assert!(package[key].is_string(), "{key} of {package}");
            }
        }
    }
}
