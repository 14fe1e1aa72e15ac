//! CycloneDX 1.6 as JSON, of one syft-JSON document.
//!
//! Source: CycloneDX 1.6, "bom-1.6.schema.json". Properties have the names that grype and
//! other readers of syft's documents look for. Output depends on the input only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::catalogue::{Artifact, Catalogue, Licence};
use super::{Production, uuid};

/// Facts of a package that readers look up as `syft:metadata:KEY`.
const FACTS: &[&str] = &[
    "architecture",
    "epoch",
    "goCompiledVersion",
    "h1Digest",
    "mainModule",
    "modularityLabel",
    "originPackage",
    "release",
    "source",
    "sourceRpm",
    "sourceVersion",
    "virtualPath",
];

/// Writes the document of `catalogue`, one component after the other.
///
/// # Errors
///
/// Those of `out`.
pub fn write(
    catalogue: &Catalogue,
    production: &Production<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let references = references(catalogue);
    let head = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(catalogue)),
        "version": 1,
        "metadata": {
            "timestamp": production.created,
            "tools": {"components": [{
                "type": "application",
                "name": production.tool,
                "version": production.version,
            }]},
            "component": subject(catalogue),
        },
    });
    let head = head.to_string();
    out.write_all(&head.as_bytes()[..head.len() - 1])?;
    out.write_all(b",\"components\":[")?;
    let mut first = true;
    for (artifact, reference) in catalogue.artifacts.iter().zip(&references) {
        separate(&mut first, out)?;
        serde_json::to_writer(&mut *out, &component(artifact, reference))?;
    }
    if let Some(system) = system(&catalogue.distro) {
        separate(&mut first, out)?;
        serde_json::to_writer(&mut *out, &system)?;
    }
    out.write_all(b"],\"dependencies\":")?;
    serde_json::to_writer(&mut *out, &dependencies(catalogue, &references))?;
    // What is known of vulnerabilities changes after a release, and is found by others.
    out.write_all(b",\"vulnerabilities\":[]}")
}

fn separate(first: &mut bool, out: &mut impl Write) -> io::Result<()> {
    match std::mem::replace(first, false) {
        true => Ok(()),
        false => out.write_all(b","),
    }
}

/// A name for each component: unique, and the same in each document about it.
fn references(catalogue: &Catalogue) -> Vec<String> {
    let of = |artifact: &Artifact| match artifact.purl.split_once('#') {
        _ if artifact.purl.is_empty() => artifact.id.clone(),
        Some((purl, subpath)) => format!("{}#{subpath}", with_id(purl, &artifact.id)),
        None => with_id(&artifact.purl, &artifact.id),
    };
    let mut seen = BTreeSet::new();
    let names = catalogue.artifacts.iter().enumerate();
    names
        .map(|(index, artifact)| {
            let name = of(artifact);
            match !name.is_empty() && seen.insert(name.clone()) {
                true => name,
                false => format!("{name}component-{index}"),
            }
        })
        .collect()
}

fn with_id(purl: &str, id: &str) -> String {
    let sign = if purl.contains('?') { '&' } else { '?' };
    format!("{purl}{sign}package-id={id}")
}

fn subject(catalogue: &Catalogue) -> Value {
    let source = &catalogue.source;
    let kind = match source.kind.as_str() {
        "image" => "container",
        _ => "file",
    };
    let name = match source.name.as_str() {
        "" => "unknown",
        name => name,
    };
    let mut made = json!({"bom-ref": subject_reference(catalogue), "type": kind, "name": name});
    if !source.version.is_empty() {
        made["version"] = json!(source.version);
    }
    if let Some(labels) = source.metadata["labels"].as_object() {
        let labels = labels.iter().filter_map(|(key, value)| {
            let name = format!("syft:image:labels:{key}");
            Some(json!({"name": name, "value": value.as_str()?}))
        });
        let labels: Vec<Value> = labels.collect();
        if !labels.is_empty() {
            made["properties"] = json!(labels);
        }
    }
    made
}

fn subject_reference(catalogue: &Catalogue) -> &str {
    match catalogue.source.id.as_str() {
        "" => "subject",
        id => id,
    }
}

fn component(artifact: &Artifact, reference: &str) -> Value {
    let kind = match artifact.kind.as_str() {
        "binary" => "application",
        _ => "library",
    };
    let (group, name) = grouped(artifact);
    let mut made = Map::new();
    made.insert("bom-ref".to_owned(), json!(reference));
    made.insert("type".to_owned(), json!(kind));
    for (key, value) in [
        ("group", group),
        ("name", name),
        ("version", artifact.version.as_str()),
        ("author", artifact.fact("author")),
        ("publisher", publisher(artifact)),
        ("description", artifact.fact("description")),
        ("purl", artifact.purl.as_str()),
    ] {
        if !value.is_empty() {
            made.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(first) = artifact.cpes.first() {
        made.insert("cpe".to_owned(), json!(first.0));
    }
    let licenses = licenses(&artifact.licenses);
    if !licenses.is_empty() {
        made.insert("licenses".to_owned(), json!(licenses));
    }
    let links = links(artifact);
    if !links.is_empty() {
        made.insert("externalReferences".to_owned(), json!(links));
    }
    made.insert("properties".to_owned(), json!(properties(artifact)));
    Value::Object(made)
}

/// The group of a component and the rest of its name.
fn grouped(artifact: &Artifact) -> (&str, &str) {
    let name = artifact.name.as_str();
    match artifact.kind.as_str() {
        "npm" => match name.split_once('/') {
            Some((scope, rest)) if scope.starts_with('@') && !rest.is_empty() => (scope, rest),
            _ => ("", name),
        },
        "java-archive" | "jenkins-plugin" => {
            let properties = &artifact.metadata["pomProperties"]["groupId"];
            let project = &artifact.metadata["pomProject"]["groupId"];
            let group = properties.as_str().or(project.as_str());
            (group.unwrap_or_default(), name)
        }
        _ => ("", name),
    }
}

fn publisher(artifact: &Artifact) -> &str {
    match artifact.fact("maintainer") {
        "" => artifact.fact("vendor"),
        maintainer => maintainer,
    }
}

/// The schema allows ids and names, or one expression.
fn licenses(found: &[Licence]) -> Vec<Value> {
    let is_expression = |licence: &&Licence| licence.spdx.contains(' ');
    let expressions: Vec<&str> = found.iter().filter(is_expression).map(spdx_of).collect();
    if !expressions.is_empty() && expressions.len() == found.len() {
        let joined: Vec<String> = expressions.iter().map(|one| format!("({one})")).collect();
        let whole = match &expressions[..] {
            [one] => (*one).to_owned(),
            _ => joined.join(" AND "),
        };
        return vec![json!({"expression": whole})];
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for licence in found {
        let acknowledgement = match licence.concluded {
            true => "concluded",
            false => "declared",
        };
        let (key, text) = match licence.spdx.as_str() {
            "" => ("name", licence.value.as_str()),
            spdx if spdx.contains(' ') || spdx.starts_with("LicenseRef-") => ("name", spdx),
            spdx => ("id", spdx),
        };
        if !text.is_empty() && seen.insert((key, text)) {
            all.push(json!({"license": {key: text, "acknowledgement": acknowledgement}}));
        }
    }
    all
}

fn spdx_of(licence: &Licence) -> &str {
    &licence.spdx
}

fn links(artifact: &Artifact) -> Vec<Value> {
    let mut links = Vec::new();
    for (kind, key) in [
        ("website", "homepage"),
        ("distribution", "url"),
        ("distribution", "resolved"),
    ] {
        let url = artifact.fact(key);
        // Readers refuse a document with anything else.
        let plain = url.starts_with("https://") || url.starts_with("http://");
        if plain
            && url
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
        {
            links.push(json!({"type": kind, "url": url}));
        }
    }
    links.dedup();
    links
}

fn properties(artifact: &Artifact) -> Vec<Value> {
    let mut all = Vec::new();
    let mut add = |name: String, value: &str| {
        if !value.is_empty() {
            all.push(json!({"name": name, "value": value}));
        }
    };
    for (key, value) in [
        ("foundBy", &artifact.found_by),
        ("language", &artifact.language),
        ("type", &artifact.kind),
        ("metadataType", &artifact.metadata_type),
    ] {
        add(format!("syft:package:{key}"), value);
    }
    for cpe in artifact.cpes.iter().skip(1) {
        add("syft:cpe23".to_owned(), &cpe.0);
    }
    for (index, place) in artifact.locations.iter().enumerate() {
        add(format!("syft:location:{index}:path"), &place.path);
        add(format!("syft:location:{index}:layerID"), &place.layer);
    }
    for key in FACTS {
        let value = match &artifact.metadata[*key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        add(format!("syft:metadata:{key}"), &value);
    }
    all
}

fn system(distro: &Map<String, Value>) -> Option<Value> {
    let text = |key: &str| distro.get(key).and_then(Value::as_str).unwrap_or_default();
    let id = text("id");
    if id.is_empty() {
        return None;
    }
    let version = text("versionID");
    let facts = distro.iter().filter_map(|(key, value)| {
        let value = value.as_str().filter(|value| !value.is_empty())?;
        Some(json!({"name": format!("syft:distro:{key}"), "value": value}))
    });
    let facts: Vec<Value> = facts.collect();
    let mut made = json!({
        "bom-ref": format!("os:{id}@{version}"),
        "type": "operating-system",
        "name": id,
        "properties": facts,
    });
    for (key, value) in [("version", version), ("description", text("prettyName"))] {
        if !value.is_empty() {
            made[key] = json!(value);
        }
    }
    Some(made)
}

/// What each component depends on; the subject, on all of which nothing depends.
fn dependencies(catalogue: &Catalogue, references: &[String]) -> Vec<Value> {
    let by_id: BTreeMap<&str, &str> = catalogue
        .artifacts
        .iter()
        .zip(references)
        .map(|(artifact, reference)| (artifact.id.as_str(), reference.as_str()))
        .collect();
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    for reference in references {
        all.insert(reference, BTreeSet::new());
    }
    for edge in &catalogue.relationships {
        let ends = (
            by_id.get(edge.child.as_str()),
            by_id.get(edge.parent.as_str()),
        );
        if let ("dependency-of", (Some(dependant), Some(dependency))) = (edge.kind.as_str(), ends)
            && dependant != dependency
        {
            all.entry(dependant).or_default().insert(dependency);
            needed.insert(*dependency);
        }
    }
    let top: BTreeSet<&str> = references
        .iter()
        .map(String::as_str)
        .filter(|reference| !needed.contains(reference))
        .collect();
    let subject = json!({"ref": subject_reference(catalogue), "dependsOn": top});
    let rest = all.into_iter().map(|(reference, on)| match on.is_empty() {
        true => json!({"ref": reference}),
        false => json!({"ref": reference, "dependsOn": on}),
    });
    std::iter::once(subject).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(catalogue: &Catalogue) -> Value {
        let production = Production {
            tool: "jackal",
            version: "1",
            created: "1970-01-01T00:00:00Z",
        };
        let mut out = Vec::new();
        write(catalogue, &production, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn packages_become_components_with_their_dependencies() {
        let text = json!({
            "artifacts": [
                {"id": "1", "name": "@s/a", "version": "1", "type": "npm", "purl": "pkg:npm/%40s/a@1",
                 "licenses": [{"value": "x", "spdxExpression": "MIT OR ISC"}],
                 "cpes": [{"cpe": "cpe:2.3:a:s:a:1:*:*:*:*:*:*:*"}, {"cpe": "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*"}],
                 "metadata": {"homepage": "https://a.example/", "url": "not a link", "source": "s"}},
                {"id": "2", "name": "b", "version": "2", "type": "deb", "purl": "pkg:deb/d/b@2?arch=all",
                 "licenses": [{"value": "free", "spdxExpression": ""}, {"value": "MIT", "spdxExpression": "MIT"},
                              {"value": "c", "spdxExpression": "MIT OR ISC"}]},
            ],
            "artifactRelationships": [
                {"parent": "2", "child": "1", "type": "dependency-of"},
                {"parent": "s", "child": "1", "type": "contains"},
            ],
            "source": {"id": "s", "name": "r.io/app", "version": "1", "type": "image"},
            "distro": {"id": "debian", "versionID": "12", "idLike": ["x"]},
        });
        let catalogue = Catalogue::read(text.to_string().as_bytes()).unwrap();
        let made = made(&catalogue);
        let first = &made["components"][0];
        assert_eq!(
            (&first["group"], &first["name"]),
            (&json!("@s"), &json!("a"))
        );
        assert_eq!(first["bom-ref"], "pkg:npm/%40s/a@1?package-id=1");
        assert_eq!(first["licenses"], json!([{"expression": "MIT OR ISC"}]));
        assert_eq!(first["externalReferences"].as_array().unwrap().len(), 1);
        let second = &made["components"][1];
        assert_eq!(second["bom-ref"], "pkg:deb/d/b@2?arch=all&package-id=2");
        assert_eq!(second["licenses"][0]["license"]["name"], "free");
        assert_eq!(second["licenses"][1]["license"]["id"], "MIT");
        assert_eq!(second["licenses"][2]["license"]["name"], "MIT OR ISC");
        assert_eq!(made["components"][2]["bom-ref"], "os:debian@12");
        assert_eq!(
            made["dependencies"][0]["dependsOn"],
            json!([first["bom-ref"]])
        );
        assert_eq!(
            made["dependencies"][2]["dependsOn"],
            json!([second["bom-ref"]])
        );
    }

    #[test]
    fn documents_without_packages_are_whole() {
        let catalogue = Catalogue::read(br#"{"artifacts": []}"#).unwrap();
        let made = made(&catalogue);
        assert_eq!(made["metadata"]["component"]["name"], "unknown");
        assert_eq!(made["components"], json!([]));
    }
}
