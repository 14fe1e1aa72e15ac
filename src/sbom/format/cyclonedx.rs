//! CycloneDX 1.6 as JSON, of one syft-JSON document.
//!
//! Source: CycloneDX 1.6, "bom-1.6.schema.json". Properties have the names that grype and
//! other readers of syft's documents look for. Output depends on the input only.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::catalogue::{Artifact, COMPONENT, Catalogue, IMAGE, Licence, PACKAGE, known};
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

/// Ids of the SPDX list that the schema does not have.
const NEWER: &[&str] = &[
    "atc-game",
    "Brian-Gladman-3-Clause-no-conversion",
    "BSD-2-Clause-pos-unchanged",
    "BSD-3-Clause-OpenWebUI",
    "BSD-ask-to-endorse",
    "BSD-Source-alt-GPL",
    "BSD-Source-Code-no-disclaimer",
    "Bugroff",
    "CC-BY-NC-3.0-IGO",
    "FDK-MPEG-H",
    "GFDL-1.1-invariants",
    "GFDL-1.1-no-invariants",
    "GFDL-1.2-invariants",
    "GFDL-1.2-no-invariants",
    "GFDL-1.3-invariants",
    "GFDL-1.3-no-invariants",
    "Hippocratic-3.0-core",
    "Informatica",
    "MVT-1.1",
    "NOASSERTION",
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
        "serialNumber": format!("urn:uuid:{}", uuid(catalogue, production, "CycloneDX")),
        "version": 1,
        "metadata": {
            "timestamp": production.created,
            "authors": [{"name": production.tool}],
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
    let system = system(&catalogue.distro, &references);
    for (artifact, reference) in catalogue.artifacts.iter().zip(&references) {
        separate(&mut first, out)?;
        serde_json::to_writer(&mut *out, &component(artifact, reference))?;
    }
    if let Some(system) = &system {
        separate(&mut first, out)?;
        serde_json::to_writer(&mut *out, system)?;
    }
    out.write_all(b"],\"dependencies\":")?;
    let system = system.as_ref().and_then(|made| made["bom-ref"].as_str());
    serde_json::to_writer(&mut *out, &dependencies(catalogue, &references, system))?;
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
    let mut made = json!({
        "bom-ref": subject_reference(catalogue),
        "type": kind(&source.kind).unwrap_or("file"),
        "supplier": {"name": supplied(&source.supplier)},
        "name": source.title(),
        "version": known(&source.version),
    });
    if let Some(purl) = source.purl() {
        made["purl"] = json!(purl);
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

/// The type of what a document is about.
fn kind(source: &str) -> Option<&'static str> {
    match source {
        IMAGE => Some("container"),
        COMPONENT => Some("file"),
        PACKAGE => Some("application"),
        _ => None,
    }
}

/// The name of a supplier. One that is not known is said to be so, as in SPDX.
fn supplied(name: &str) -> &str {
    match name {
        "" => "NOASSERTION",
        name => name,
    }
}

fn subject_reference(catalogue: &Catalogue) -> &str {
    match catalogue.source.id.as_str() {
        "" => "subject",
        id => id,
    }
}

fn component(artifact: &Artifact, reference: &str) -> Value {
    let kind = kind(&artifact.kind).unwrap_or(match artifact.kind.as_str() {
        "binary" => "application",
        _ => "library",
    });
    let supplier = artifact.supplier();
    let supplier = supplier.as_ref().map_or("", |supplier| &supplier.name);
    let (group, name) = match grouped(artifact) {
        (_, "") => ("", "unknown"),
        named => named,
    };
    let mut made = Map::new();
    made.insert("bom-ref".to_owned(), json!(reference));
    made.insert("type".to_owned(), json!(kind));
    made.insert("supplier".to_owned(), json!({"name": supplied(supplier)}));
    for (key, value) in [
        ("group", group),
        ("name", name),
        ("version", known(&artifact.version)),
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
    let hashes = hashes(artifact);
    if !hashes.is_empty() {
        made.insert("hashes".to_owned(), json!(hashes));
    }
    let properties = properties(artifact);
    if !properties.is_empty() {
        made.insert("properties".to_owned(), json!(properties));
    }
    Value::Object(made)
}

/// The digest of an image.
fn hashes(artifact: &Artifact) -> Vec<Value> {
    let listed = artifact.metadata["digest"].as_array();
    let listed = listed.filter(|_| artifact.is_subject());
    let listed = listed.into_iter().flatten();
    listed
        .map(|digest| json!({"alg": "SHA-256", "content": digest["value"]}))
        .collect()
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
            spdx if is_id(spdx) => ("id", spdx),
            spdx => ("name", spdx),
        };
        if !text.is_empty() && seen.insert((key, text)) {
            all.push(json!({"license": {key: text, "acknowledgement": acknowledgement}}));
        }
    }
    all
}

/// Whether the schema has the id: not an expression, and not newer than its list.
fn is_id(spdx: &str) -> bool {
    !spdx.contains([' ', '+', '(']) && !spdx.starts_with("LicenseRef-") && !NEWER.contains(&spdx)
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
        if let Some(url) = artifact.link(key) {
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
    // Readers take everything with a type for a package.
    let kind = match artifact.is_subject() {
        true => String::new(),
        false => artifact.kind.clone(),
    };
    for (key, value) in [
        ("foundBy", &artifact.found_by),
        ("language", &artifact.language),
        ("type", &kind),
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

fn system(distro: &Map<String, Value>, references: &[String]) -> Option<Value> {
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
    let mut reference = format!("os:{id}@{version}");
    while references.contains(&reference) {
        reference.push('-');
    }
    let mut made = json!({
        "bom-ref": reference,
        "type": "operating-system",
        "supplier": {"name": supplied(text("vendor"))},
        "name": id,
        "version": known(version),
        "properties": facts,
    });
    let description = text("prettyName");
    if !description.is_empty() {
        made["description"] = json!(description);
    }
    Some(made)
}

/// What each component depends on, also if that is nothing; an image, a component or a
/// package depends on all in it on which nothing else there depends.
fn dependencies(catalogue: &Catalogue, references: &[String], system: Option<&str>) -> Vec<Value> {
    let subject = subject_reference(catalogue);
    let named = catalogue.artifacts.iter().zip(references);
    let by_id: BTreeMap<&str, (&str, bool)> = named
        .clone()
        .map(|(artifact, reference)| {
            let named = (reference.as_str(), artifact.is_subject());
            (artifact.id.as_str(), named)
        })
        .collect();
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for reference in references {
        all.insert(reference, BTreeSet::new());
    }
    let mut on_subject: BTreeSet<&str> = system.into_iter().collect();
    all.extend(system.map(|reference| (reference, BTreeSet::new())));
    // What holds each component; for all others, the subject does.
    let (mut needed, mut holders) = (BTreeSet::new(), BTreeMap::new());
    for edge in &catalogue.relationships {
        let ends = [&edge.parent, &edge.child].map(|id| by_id.get(id.as_str()));
        let [Some((parent, holds)), Some((child, _))] = ends else {
            continue;
        };
        match edge.kind.as_str() {
            "dependency-of" if parent != child => {
                all.entry(child).or_default().insert(parent);
                needed.insert(*parent);
            }
            "contains" if *holds => {
                holders.insert(*child, *parent);
            }
            _ => {}
        }
    }
    for reference in references.iter().map(String::as_str) {
        if !needed.contains(reference) {
            let holder = holders
                .get(reference)
                .and_then(|holder| all.get_mut(holder));
            holder.unwrap_or(&mut on_subject).insert(reference);
        }
    }
    // Components that only need each other are not below anything yet.
    let mut reached: HashSet<&str> = HashSet::new();
    let mut open: Vec<&str> = on_subject.iter().copied().collect();
    let mut rest = references.iter().map(String::as_str);
    loop {
        while let Some(reference) = open.pop() {
            if reached.insert(reference) {
                open.extend(all.get(reference).into_iter().flatten());
            }
        }
        let Some(next) = rest.find(|reference| !reached.contains(reference)) else {
            break;
        };
        on_subject.insert(next);
        open.push(next);
    }
    let on_subject = json!({"ref": subject, "dependsOn": on_subject});
    let rest = all.into_iter();
    let rest = rest.map(|(reference, on)| json!({"ref": reference, "dependsOn": on}));
    std::iter::once(on_subject).chain(rest).collect()
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
    fn packages_that_only_need_each_other_hang_on_the_subject() {
        let edge = |parent: &str, child: &str| json!({"parent": parent, "child": child, "type": "dependency-of"});
        let catalogue = json!({
            "artifacts": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "artifactRelationships": [edge("1", "2"), edge("2", "1"), edge("3", "1")],
            "source": {"id": "s", "name": "files", "type": "directory"},
        });
        let made = made(&Catalogue::read(catalogue.to_string().as_bytes()).unwrap());
        let on_subject = made["dependencies"][0]["dependsOn"].as_array().unwrap();
        assert_eq!(on_subject.len(), 1, "{on_subject:?}");
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
        let needs = &made["dependencies"];
        assert_eq!(
            needs[0],
            json!({"ref": "s", "dependsOn": ["os:debian@12", first["bom-ref"]]})
        );
        assert_eq!(needs[1], json!({"ref": "os:debian@12", "dependsOn": []}));
        assert_eq!(needs[3]["dependsOn"], json!([second["bom-ref"]]));
    }

    #[test]
    fn documents_without_packages_are_whole() {
        let catalogue = Catalogue::read(br#"{"artifacts": []}"#).unwrap();
        let made = made(&catalogue);
        assert_eq!(made["metadata"]["component"]["name"], "unknown");
        assert_eq!(made["components"], json!([]));
    }
}
