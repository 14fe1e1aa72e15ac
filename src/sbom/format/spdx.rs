//! SPDX 2.3 as JSON, of one syft-JSON document.
//!
//! Source: SPDX 2.3, chapters 6 to 11, and NTIA, "The Minimum Elements For a Software
//! Bill of Materials". Output depends on the input only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use base64::Engine as _;
use serde_json::{Value, json};

use super::catalogue::{
    Artifact, COMPONENT, Catalogue, Edge, File, IMAGE, PACKAGE, Source, Supplier, known,
};
use super::{Production, uuid};
use crate::oci::Digest;

const NOBODY_SAYS: &str = "NOASSERTION";

/// The subject of the document.
const ROOT: &str = "SPDXRef-Subject";

/// Writes the document of `catalogue`, one element after the other.
///
/// # Errors
///
/// Those of `out`.
pub fn write(
    catalogue: &Catalogue,
    production: &Production<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let version = spdx::identifiers::VERSION;
    let list = version.rsplit_once('.').map_or(version, |(list, _)| list);
    let head = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": catalogue.source.title(),
        "documentNamespace": format!("urn:uuid:{}", uuid(catalogue, production, "SPDX-2.3")),
        "creationInfo": {
            "created": production.created,
            "creators": [
                format!("Organization: {}", production.tool),
                format!("Tool: {}-{}", production.tool, production.version),
            ],
            "licenseListVersion": list,
        },
    });
    let head = head.to_string();
    out.write_all(&head.as_bytes()[..head.len() - 1])?;
    let mut ids: HashMap<&str, String> = HashMap::new();
    ids.insert(&catalogue.source.id, ROOT.to_owned());
    let (mut seen, mut licenses) = (HashSet::new(), BTreeMap::new());
    let mut packages = List::begin("packages", out)?;
    packages.add(&of_source(&catalogue.source), out)?;
    for (index, artifact) in catalogue.artifacts.iter().enumerate() {
        let words = [&artifact.kind, &artifact.name, &artifact.id].map(|word| plain(word));
        let mut id = format!("SPDXRef-Package-{}", words.join("-"));
        // Ids in documents of others may be missing, or equal once they are plain.
        if !seen.insert(id.clone()) {
            id = format!("{id}--{index}");
        }
        packages.add(&of_artifact(&id, artifact, &mut licenses), out)?;
        ids.insert(&artifact.id, id);
    }
    out.write_all(b"]")?;
    let mut files = catalogue.files.iter().peekable();
    if files.peek().is_some() {
        let mut listed = List::begin("files", out)?;
        for file in files {
            let id = format!("SPDXRef-File-{}", plain(&file.id));
            if !seen.insert(id.clone()) {
                continue;
            }
            if let Some(made) = of_file(&id, file) {
                listed.add(&made, out)?;
                ids.insert(&file.id, id);
            }
        }
        out.write_all(b"]")?;
    }
    relationships(catalogue, &ids, out)?;
    if !licenses.is_empty() {
        let mut listed = List::begin("hasExtractedLicensingInfos", out)?;
        for (id, text) in licenses {
            let name = text.lines().next().unwrap_or_default().to_owned();
            let made = json!({"licenseId": id, "name": name, "extractedText": text});
            listed.add(&made, out)?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"}")
}

/// A list of the document whose elements are written as they are made.
struct List {
    comma: &'static [u8],
}

impl List {
    fn begin(name: &str, out: &mut impl Write) -> io::Result<Self> {
        write!(out, ",\"{name}\":[")?;
        Ok(Self { comma: b"" })
    }

    fn add(&mut self, element: &Value, out: &mut impl Write) -> io::Result<()> {
        out.write_all(std::mem::replace(&mut self.comma, b","))?;
        serde_json::to_writer(out, element)?;
        Ok(())
    }
}

fn relationships(
    catalogue: &Catalogue,
    ids: &HashMap<&str, String>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut listed = List::begin("relationships", out)?;
    listed.add(&edge("SPDXRef-DOCUMENT", "DESCRIBES", ROOT), out)?;
    let mut held: HashSet<&str> = HashSet::new();
    for relation in &catalogue.relationships {
        let ends = [&relation.parent, &relation.child].map(|id| ids.get(id.as_str()));
        let [Some(parent), Some(child)] = ends else {
            continue;
        };
        if relation.kind == "contains" {
            held.insert(&relation.child);
        }
        listed.add(&related(relation, parent, child), out)?;
    }
    // Documents of older programs do not relate packages to what they were found in.
    for artifact in &catalogue.artifacts {
        if let (false, Some(id)) = (held.contains(&*artifact.id), ids.get(&*artifact.id)) {
            listed.add(&edge(ROOT, "CONTAINS", id), out)?;
        }
    }
    out.write_all(b"]")
}

fn related(relation: &Edge, parent: &str, child: &str) -> Value {
    let (kind, comment) = match relation.kind.as_str() {
        "contains" => ("CONTAINS", None),
        "dependency-of" => ("DEPENDENCY_OF", None),
        "ownership-by-file-overlap" => {
            let what = "the first package owns a file that is evidence for the second";
            ("OTHER", Some(format!("{}: {what}", relation.kind)))
        }
        other => ("OTHER", Some(format!("{other}: the file is evidence"))),
    };
    let mut made = edge(parent, kind, child);
    if let Some(comment) = comment {
        made["comment"] = json!(comment);
    }
    made
}

fn of_artifact(id: &str, artifact: &Artifact, others: &mut BTreeMap<String, String>) -> Value {
    let mut made = package(id, &artifact.name, &artifact.version);
    for (key, concluded) in [("licenseDeclared", false), ("licenseConcluded", true)] {
        if let Some(license) = licenses(artifact, concluded, others) {
            made[key] = json!(license);
        }
    }
    if let Some(purpose) = purpose(&artifact.kind) {
        made["primaryPackagePurpose"] = json!(purpose);
    }
    if let Some(supplier) = artifact.supplier() {
        let supplier = named(&supplier);
        made["supplier"] = json!(supplier);
        made["originator"] = json!(supplier);
    }
    if !artifact.found_by.is_empty() {
        let paths: Vec<&str> = artifact.locations.iter().map(|at| &*at.path).collect();
        let finder = &artifact.found_by;
        made["sourceInfo"] = json!(format!("found by {finder} in {}", paths.join(", ")));
    }
    if let Some(homepage) = artifact.link("homepage") {
        made["homepage"] = json!(homepage);
    }
    let description = artifact.fact("description");
    if !description.is_empty() {
        made["description"] = json!(description);
    }
    let sums = checksums(&artifact.metadata);
    if !sums.is_empty() {
        made["checksums"] = json!(sums);
    }
    let cpes = artifact.cpes.iter();
    let cpes = cpes.map(|cpe| reference("SECURITY", "cpe23Type", &cpe.0));
    let mut references: Vec<Value> = cpes.collect();
    if !artifact.purl.is_empty() {
        references.push(reference("PACKAGE-MANAGER", "purl", &artifact.purl));
    }
    if !references.is_empty() {
        made["externalRefs"] = json!(references);
    }
    made
}

/// The licences of one kind, joined; those that SPDX does not list get an id in `others`.
fn licenses(
    artifact: &Artifact,
    concluded: bool,
    others: &mut BTreeMap<String, String>,
) -> Option<String> {
    let (mut all, mut known) = (Vec::new(), HashSet::new());
    let found = artifact.licenses.iter();
    for license in found.filter(|license| license.concluded == concluded) {
        let word = match (license.spdx.as_str(), license.value.as_str()) {
            ("", "") => continue,
            ("", value) => {
                let own = plain(value);
                let digest = Digest::of(value.as_bytes()).hex();
                let id = match value.len() <= 60 {
                    true if own == value => format!("LicenseRef-{own}"),
                    // Two texts may differ only in characters that an id cannot have.
                    true => format!("LicenseRef-{own}-{}", &digest[..8]),
                    false => format!("LicenseRef-{}", &digest[..16]),
                };
                others.insert(id.clone(), value.to_owned());
                id
            }
            (known, _) if known.contains(' ') => format!("({known})"),
            (known, _) => known.to_owned(),
        };
        if known.insert(word.clone()) {
            all.push(word);
        }
    }
    (!all.is_empty()).then(|| all.join(" AND "))
}

/// `word` with a dash for each character that an id may not have.
fn plain(word: &str) -> String {
    let kept = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
        _ => '-',
    };
    word.chars().map(kept).collect()
}

/// What was catalogued: an image, a component, or a whole package.
fn of_source(source: &Source) -> Value {
    let mut made = package(ROOT, source.title(), &source.version);
    let purpose = purpose(&source.kind).unwrap_or("FILE");
    made["primaryPackagePurpose"] = json!(purpose);
    if !source.supplier.is_empty() {
        made["supplier"] = json!(format!("Organization: {}", source.supplier));
    }
    let digest = source.metadata["manifestDigest"].as_str();
    if let Some(hex) = digest.and_then(|digest| digest.strip_prefix("sha256:")) {
        made["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": hex}]);
    }
    if let Some(purl) = source.purl() {
        made["externalRefs"] = json!([reference("PACKAGE-MANAGER", "purl", &purl)]);
    }
    made
}

/// What a subject is for.
fn purpose(kind: &str) -> Option<&'static str> {
    match kind {
        IMAGE => Some("CONTAINER"),
        COMPONENT => Some("FILE"),
        PACKAGE => Some("ARCHIVE"),
        _ => None,
    }
}

/// A file with a digest.
fn of_file(id: &str, file: &File) -> Option<Value> {
    let sums = file.digests.iter().map(|digest| {
        let algorithm = digest.algorithm.to_ascii_uppercase();
        json!({"algorithm": algorithm, "checksumValue": digest.value})
    });
    let sums: Vec<Value> = sums.collect();
    if sums.is_empty() {
        return None;
    }
    let path = file.location.path.trim_start_matches('/');
    let mut made = json!({
        "SPDXID": id,
        "fileName": format!("./{path}"),
        "checksums": sums,
        "licenseConcluded": NOBODY_SAYS,
        "copyrightText": NOBODY_SAYS,
    });
    let kind = match file.metadata.media.split_once('/') {
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
    if !file.location.layer.is_empty() {
        made["comment"] = json!(format!("layerID: {}", file.location.layer));
    }
    Some(made)
}

fn named(supplier: &Supplier) -> String {
    let kind = match supplier.organization {
        true => "Organization",
        false => "Person",
    };
    match supplier.mail.as_str() {
        "" => format!("{kind}: {}", supplier.name),
        mail => format!("{kind}: {} ({mail})", supplier.name),
    }
}

/// Digests of a package that its metadata has: of an image, a Java archive or a Go module.
fn checksums(metadata: &Value) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = metadata["digest"].as_array();
    let listed = listed.into_iter().flatten().map(|digest| {
        let algorithm = text(&digest["algorithm"]).to_ascii_uppercase();
        json!({"algorithm": algorithm, "checksumValue": digest["value"]})
    });
    let mut sums: Vec<Value> = listed.collect();
    let module = metadata["h1Digest"].as_str();
    let module = module.and_then(|sum| sum.strip_prefix("h1:"));
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
    json!({
        "SPDXID": id,
        "name": if name.is_empty() { NOBODY_SAYS } else { name },
        "versionInfo": known(version),
        "downloadLocation": NOBODY_SAYS,
        "filesAnalyzed": false,
        "supplier": NOBODY_SAYS,
        "licenseConcluded": NOBODY_SAYS,
        "licenseDeclared": NOBODY_SAYS,
        "copyrightText": NOBODY_SAYS,
    })
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

    fn made() -> Value {
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
        let catalogue = Catalogue::read(catalogue.to_string().as_bytes()).unwrap();
        let production = Production {
            tool: "jackal",
            version: "1",
            created: "1970-01-01T00:00:00Z",
        };
        let mut out = Vec::new();
        write(&catalogue, &production, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_document_contains_what_its_catalogues_found() {
        let made = made();
        let image = &made["packages"][0];
        let purl = &image["externalRefs"][0]["referenceLocator"];
        let expected = format!("pkg:oci/app@sha256%3A{}?", "0".repeat(64));
        assert!(purl.as_str().unwrap().starts_with(&expected), "{purl}");
        assert_eq!(image["primaryPackagePurpose"], "CONTAINER");
        let inner = &made["packages"][1];
        assert_eq!(
            inner["licenseDeclared"],
            "Zlib AND (MIT OR ISC) AND LicenseRef-own-words-74ae5e24"
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
        let module = &made["packages"][2]["checksums"][0];
        assert_eq!(module["checksumValue"], "0".repeat(64));
        // DESCRIBES, two packages, the dependency, and a file.
        assert_eq!(made["relationships"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn texts_that_no_list_has_are_told_apart() {
        let catalogue = json!({"artifacts": [{"id": "1", "name": "a", "licenses": [
            {"value": "BSD like"}, {"value": "BSD-like"}, {"value": "\u{5546}"}, {"value": "\u{514d}"},
        ]}]});
        let catalogue = Catalogue::read(catalogue.to_string().as_bytes()).unwrap();
        let mut others = BTreeMap::new();
        licenses(&catalogue.artifacts[0], false, &mut others).unwrap();
        let texts: HashSet<&str> = others.values().map(String::as_str).collect();
        assert_eq!(texts.len(), 4, "{others:?}");
        assert_eq!(others["LicenseRef-BSD-like"], "BSD-like");
    }

    #[test]
    fn files_are_listed_and_relations_have_both_ends() {
        let made = made();
        assert_eq!(made["files"].as_array().unwrap().len(), 1);
        assert_eq!(made["files"][0]["fileName"], "./usr/lib/libz.so");
        assert_eq!(made["files"][0]["fileTypes"], json!(["BINARY"]));
        let ids = ["packages", "files"].map(|key| made[key].as_array().unwrap().iter());
        let ids = ids
            .into_iter()
            .flatten()
            .map(|found| found["SPDXID"].as_str().unwrap());
        let ids: HashSet<&str> = ids.chain(["SPDXRef-DOCUMENT"]).collect();
        assert_eq!(ids.len(), 5);
        for relation in made["relationships"].as_array().unwrap() {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                assert!(ids.contains(relation[end].as_str().unwrap()), "{relation}");
            }
        }
    }
}
