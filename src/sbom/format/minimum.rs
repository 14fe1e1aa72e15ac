//! Tests: documents of every format have NTIA's seven minimum elements for every
//! component.
//!
//! Source: NTIA, "The Minimum Elements For a Software Bill of Materials", "Data Fields".

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Catalogue, Format, Production, Source};

const CREATED: &str = "2001-09-09T01:46:40Z";

/// One image with a package that has everything, and one that has a name only.
fn image() -> Value {
    json!({
        "artifacts": [
            {"id": "1", "name": "zlib", "version": "1.3", "type": "apk", "foundBy": "x",
             "purl": "pkg:apk/alpine/zlib@1.3", "metadata": {"maintainer": "A B <a@b.example>"}},
            {"id": "2", "name": "bare"},
            {"id": "3", "name": "needed", "version": "1", "purl": "pkg:npm/needed@1",
             "metadata": {"authors": [{"name": "C"}]}},
        ],
        "artifactRelationships": [
            {"parent": "s", "child": "1", "type": "contains"},
            {"parent": "3", "child": "1", "type": "dependency-of"},
        ],
        "source": {
            "id": "s", "name": "r.example/app", "version": "1", "type": "image",
            "metadata": {"manifestDigest": format!("sha256:{}", "0".repeat(64))},
        },
        "distro": {"id": "alpine", "versionID": "3"},
    })
}

/// The image alone, and a package with it and with a component without packages.
fn catalogues() -> [Catalogue; 3] {
    let read = |value: &Value| Catalogue::read(value.to_string().as_bytes()).unwrap();
    let empty =
        json!({"artifacts": [], "source": {"id": "e", "name": "files", "type": "directory"}});
    let about = Source::of_package("demo", "", "");
    let parts = vec![read(&image()), read(&empty)];
    [
        read(&image()),
        read(&empty),
        Catalogue::merged(about, parts),
    ]
}

fn written(format: Format, catalogue: &Catalogue) -> Value {
    let production = Production {
        tool: "jackal",
        version: "1",
        created: CREATED,
    };
    let mut out = Vec::new();
    format
        .write_catalogue(catalogue, &production, &mut out)
        .unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, about: &Value) -> &'v str {
    let text = value.as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{about:#}");
    text
}

#[test]
fn cyclonedx_has_the_minimum_elements() {
    for (catalogue, count) in catalogues().iter().zip([5, 1, 6]) {
        let made = written(Format::CycloneDxJson, catalogue);
        let about = &made["metadata"];
        assert_eq!(about["timestamp"], CREATED);
        text(&about["authors"][0]["name"], about);
        assert_eq!(made["vulnerabilities"], json!([]));
        let subject = std::iter::once(&about["component"]);
        let mut names = BTreeSet::new();
        for component in list(&made["components"]).iter().chain(subject) {
            text(&component["supplier"]["name"], component);
            text(&component["name"], component);
            text(&component["version"], component);
            assert!(names.insert(text(&component["bom-ref"], component)));
        }
        assert_eq!(names.len(), count);
        let needs = list(&made["dependencies"]);
        let listed: BTreeSet<&str> = needs.iter().map(|one| text(&one["ref"], one)).collect();
        assert_eq!((&listed, needs.len()), (&names, count));
        // From the subject, everything can be reached.
        let needed = needs.iter().flat_map(|one| list(&one["dependsOn"]));
        let mut reached: BTreeSet<&str> = needed.map(|one| text(one, one)).collect();
        reached.insert(text(&about["component"]["bom-ref"], about));
        assert_eq!(reached, names);
    }
}

#[test]
fn spdx_has_the_minimum_elements() {
    for (catalogue, count) in catalogues().iter().zip([4, 1, 6]) {
        let made = written(Format::SpdxJson, catalogue);
        assert_eq!(made["creationInfo"]["created"], CREATED);
        text(&made["creationInfo"]["creators"][0], &made);
        let mut names = BTreeSet::new();
        for package in list(&made["packages"]) {
            text(&package["supplier"], package);
            text(&package["name"], package);
            text(&package["versionInfo"], package);
            assert!(names.insert(text(&package["SPDXID"], package)));
        }
        assert_eq!(names.len(), count);
        let edges = list(&made["relationships"]);
        let related = edges
            .iter()
            .map(|edge| text(&edge["relatedSpdxElement"], edge));
        let related: BTreeSet<&str> = related.collect();
        assert_eq!(related, names);
    }
}

#[test]
fn spdx_3_has_the_minimum_elements() {
    for (catalogue, count) in catalogues().iter().zip([4, 1, 6]) {
        let made = written(Format::Spdx3Json, catalogue);
        let graph = list(&made["@graph"]);
        let of = |kind: &'static str| graph.iter().filter(move |one| one["type"] == kind);
        let agents = graph.iter().filter(|one| {
            let kind = one["type"].as_str().unwrap_or_default();
            ["SoftwareAgent", "Organization", "Person"].contains(&kind)
        });
        let agents: BTreeSet<&str> = agents
            .map(|agent| {
                text(&agent["name"], agent);
                text(&agent["spdxId"], agent)
            })
            .collect();
        let creation = of("CreationInfo").next().unwrap();
        assert_eq!(creation["created"], CREATED);
        assert!(agents.contains(text(&creation["createdBy"][0], creation)));
        let mut names = BTreeSet::new();
        for package in of("software_Package") {
            assert!(agents.contains(text(&package["suppliedBy"], package)));
            text(&package["name"], package);
            text(&package["software_packageVersion"], package);
            assert!(names.insert(text(&package["spdxId"], package)));
        }
        assert_eq!(names.len(), count);
        let roots = of("software_Sbom").flat_map(|one| list(&one["rootElement"]));
        let edges = of("Relationship").filter(|edge| edge["relationshipType"] == "contains");
        let related = edges.flat_map(|edge| list(&edge["to"])).chain(roots);
        let related: BTreeSet<&str> = related.map(|one| text(one, one)).collect();
        assert_eq!(related, names);
    }
}

#[test]
fn documents_depend_on_their_input_only() {
    for format in [Format::SpdxJson, Format::Spdx3Json, Format::CycloneDxJson] {
        for (one, other) in catalogues().iter().zip(&catalogues()) {
            assert_eq!(written(format, one), written(format, other));
        }
    }
}
