//! Candidates of archives of Java: the groups that their descriptions and manifests name,
//! and the words of those.

use serde::Deserialize;

use super::names::Candidates;
use crate::sbom::catalog::GROUP_KEYS;
use crate::sbom::document::Package;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Facts {
    manifest: Manifest,
    pom_properties: Coordinates,
    pom_project: Project,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    main: Vec<Pair>,
    sections: Vec<Vec<Pair>>,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Coordinates {
    group_id: String,
    artifact_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Project {
    group_id: String,
    artifact_id: String,
    parent: Coordinates,
}

/// Adds the candidates of `package`.
pub(super) fn add(all: &mut Candidates, package: &Package) {
    let metadata = package.metadata.as_deref();
    let facts = metadata.and_then(|json| serde_json::from_str::<Facts>(json.get()).ok());
    let facts = facts.unwrap_or_default();
    all.vendors.beginnings(&package.name);
    all.products.forms(&package.name);
    let pairs = || {
        let sections = facts.manifest.sections.iter().flatten();
        facts.manifest.main.iter().chain(sections)
    };
    for pair in pairs() {
        let key = pair.key.to_ascii_lowercase();
        let vendor = ["specification-vendor", "implementation-vendor"].contains(&key.as_str());
        if vendor && !is_group(&pair.value) {
            all.vendors.person(&pair.value);
        }
    }
    let artifact = facts.pom_properties.artifact_id.as_str();
    let mut groups = described(&facts);
    let is_described = !groups.is_empty() || !artifact.is_empty();
    // Its group may be known although it does not name it.
    let known = namespace(&package.purl);
    let known = (!is_described && known != package.name).then_some(known);
    if known != Some("org.springframework") {
        let named = |keys: &[&str]| {
            let ordered = keys
                .iter()
                .flat_map(|key| pairs().filter(move |pair| pair.key.eq_ignore_ascii_case(key)));
            let values = ordered.filter_map(|pair| pair.value.split([';', '#']).next());
            let values = values.map(str::trim).filter(|value| is_group(value));
            values.collect::<Vec<&str>>()
        };
        let named = GROUP_KEYS
            .map(named)
            .into_iter()
            .find(|found| !found.is_empty());
        groups.extend(named.unwrap_or_default());
    }
    // All that Apache makes has its name, also the archives of other groups.
    if groups.iter().any(|group| group.starts_with("org.apache")) || package.name == "log4j" {
        all.vendors.exact("apache");
    }
    groups.extend(known);
    for group in groups {
        add_group(all, group, artifact);
    }
}

/// The groups that descriptions of Maven name.
fn described(facts: &Facts) -> Vec<&str> {
    let (own, project) = (&facts.pom_properties, &facts.pom_project);
    let groups = [&own.group_id, &project.group_id, &project.parent.group_id];
    let artifacts = [
        &own.artifact_id,
        &project.artifact_id,
        &project.parent.artifact_id,
    ];
    // Some artifacts are called like a group.
    let artifacts = artifacts
        .into_iter()
        .filter(|artifact| artifact.contains('.'));
    let all = groups.into_iter().chain(artifacts);
    let all = all.map(String::as_str);
    all.filter(|group| is_group(group)).collect()
}

/// Adds a group, the words in it as vendors, and those that may name the whole of which
/// the artifact is a part as products.
fn add_group(all: &mut Candidates, group: &str, artifact: &str) {
    all.vendors.exact(group);
    let is_plugin = group.contains("plugin") || artifact.contains("plugin");
    let is_plain = !artifact.is_empty() && !artifact.contains('.');
    for (place, word) in group.split('.').enumerate().skip(1) {
        if word.is_empty() || ["plugin", "plugins"].contains(&word) {
            continue;
        }
        all.vendors.beginnings(word);
        let is_whole = !is_plugin && (artifact.starts_with(word) || artifact.ends_with(word));
        if place > 1 && word != "client" && (is_whole || !is_plain) {
            all.products.forms(word);
        }
    }
}

/// Whether `text` begins like a group of Maven.
fn is_group(text: &str) -> bool {
    let tops = ["be", "com", "io", "net", "org"];
    tops.iter().any(|top| text.starts_with(top))
}

/// The namespace of a package URL.
fn namespace(purl: &str) -> &str {
    let path = purl.split(['@', '?', '#']).next().unwrap_or_default();
    let mut parts = path.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(namespace), Some(_)) => namespace,
        _ => "",
    }
}
