//! What an archive is: its name, its version and its group.

use std::collections::HashMap;

use super::super::split;
use super::extract::Archive;
use super::groups;
use super::manifest::Manifest;
use super::name;
use super::pom::{Coordinates, Project};

/// The identity of an archive, and where it comes from.
#[derive(Debug, Default)]
pub(super) struct Identity<'a> {
    pub(super) name: String,
    pub(super) version: String,
    /// Place of its own list of properties.
    pub(super) properties: Option<usize>,
    pub(super) pom: Option<(&'a str, &'a Project)>,
}

/// The coordinates in a list of properties.
pub(super) fn coordinates(pairs: &[(String, String)]) -> Coordinates {
    let get = |key: &str| {
        let mut pairs = pairs.iter().rev();
        let value = pairs.find(|(name, _)| name == key);
        value.map_or_else(String::new, |(_, value)| value.clone())
    };
    Coordinates {
        group: get("groupId"),
        artifact: get("artifactId"),
        version: get("version"),
    }
}

/// The identity of `archive`, whose file is called `file`.
pub(super) fn of<'a>(
    archive: &'a Archive,
    poms: &Poms<'a>,
    manifest: &Manifest,
    file: &str,
) -> Identity<'a> {
    let (stem, version) = name::split(file);
    let mut identity = Identity {
        properties: own_properties(archive, poms, stem),
        ..Identity::default()
    };
    identity.pom = match identity.properties {
        Some(place) => poms.beside(&archive.properties[place].0),
        None if archive.properties.is_empty() && archive.poms.len() == 1 => archive.poms.first(),
        None => None,
    }
    .map(|(path, project)| (path.as_str(), project));
    let own = match (identity.properties, identity.pom) {
        (Some(place), _) => coordinates(&archive.properties[place].1),
        (None, Some((_, project))) => {
            let mut own = project.own.clone();
            if own.version.is_empty() {
                own.version = project
                    .parent
                    .as_ref()
                    .map_or("", |p| &p.version)
                    .to_owned();
            }
            own
        }
        (None, None) => Coordinates::default(),
    };
    identity.version = first(&[&own.version, &manifest_version(manifest, version)]);
    let mut name = manifest_name(manifest, stem);
    if name.is_empty() && !identity.version.is_empty() {
        stem.clone_into(&mut name);
    }
    identity.name = first(&[&own.artifact, &name]);
    identity
}

fn first(texts: &[&str]) -> String {
    let mut texts = texts.iter();
    let known = texts.find(|text| !text.is_empty() && !text.contains("${"));
    known.map_or_else(String::new, |text| (*text).to_owned())
}

/// The list of properties of the archive itself, and not of what is packed into it: of
/// several with the same name, the last, as a packager adds its own first, and rather one
/// with a description beside it.
fn own_properties(archive: &Archive, poms: &Poms<'_>, stem: &str) -> Option<usize> {
    let is_near = |artifact: &str| {
        let is_some = !artifact.is_empty() && !stem.is_empty();
        is_some && (artifact.starts_with(stem) || stem.ends_with(artifact))
    };
    let best = |exactly: bool| {
        let fitting = (0..archive.properties.len()).filter(|place| {
            let artifact = coordinates(&archive.properties[*place].1).artifact;
            artifact == stem || !exactly && is_near(&artifact)
        });
        let has_pom = |place: usize| poms.beside(&archive.properties[place].0).is_some();
        fitting.max_by_key(|place| (has_pom(*place), *place))
    };
    best(true).or_else(|| best(false))
}

/// The descriptions of an archive by their folders; of several in one, the first. An
/// archive may have thousands, each with a list of properties beside it.
pub(super) struct Poms<'a>(HashMap<&'a str, &'a (String, Project)>);

impl<'a> Poms<'a> {
    pub(super) fn of(archive: &'a Archive) -> Self {
        let mut poms = HashMap::new();
        for pom in &archive.poms {
            poms.entry(split(&pom.0).0).or_insert(pom);
        }
        Self(poms)
    }

    /// The description in the same folder as `path`.
    pub(super) fn beside(&self, path: &str) -> Option<&'a (String, Project)> {
        self.0.get(split(path).0).copied()
    }
}

fn manifest_name(manifest: &Manifest, stem: &str) -> String {
    if manifest
        .get("Created-By")
        .contains("Apache Maven Bundle Plugin")
    {
        let symbolic = directive(manifest.get("Bundle-SymbolicName"));
        let last = symbolic.rsplit('.').next().unwrap_or(symbolic);
        if !last.is_empty() && symbolic != manifest.get("Implementation-Vendor-Id") {
            return last.to_owned();
        }
    }
    let is_plain = stem.starts_with(|c: char| c.is_ascii_alphabetic())
        && stem
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if is_plain {
        let is_word = |part: &str| {
            let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
            part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(rest)
        };
        let dotted = stem.contains('.') && stem.split('.').all(is_word);
        return match dotted && !stem.starts_with("org.eclipse.") {
            true => stem.rsplit('.').next().unwrap_or(stem).to_owned(),
            false => stem.to_owned(),
        };
    }
    let keys = [
        "Name",
        "Bundle-Name",
        "Short-Name",
        "Extension-Name",
        "Implementation-Title",
    ];
    first(&keys.map(|key| manifest.get(key)))
}

fn manifest_version(manifest: &Manifest, of_file: &str) -> String {
    let keys = [
        "Implementation-Version",
        "Specification-Version",
        "Plugin-Version",
        "Bundle-Version",
    ];
    let [a, b, c, d] = keys.map(|key| manifest.get(key));
    first(&[of_file, a, b, c, d])
}

/// A value of OSGi without its directives, or the group of `group#name;version` of Ivy.
fn directive(value: &str) -> &str {
    value.split([';', '#']).next().unwrap_or(value).trim()
}

/// The group of a package called `name`.
pub(super) fn group(
    name: &str,
    version: &str,
    known: &[&str],
    manifest: Option<&Manifest>,
) -> String {
    let known = first(known);
    if !known.is_empty() {
        return known;
    }
    let stated = manifest.map_or("", |manifest| manifest.get("Group-Id"));
    if let Some(group) = groups::of(name, version).filter(|_| !is_domain(stated)) {
        return group.to_owned();
    }
    let Some(manifest) = manifest else {
        return name.to_owned();
    };
    let of = |keys: &[&str]| {
        let values = keys.iter().map(|key| directive(manifest.get(key)));
        values
            .filter(|value| is_domain(value))
            .map(str::to_owned)
            .next()
    };
    let mut found = GROUP_KEYS.iter().filter_map(|keys| of(keys));
    found.next().unwrap_or_else(|| name.to_owned())
}

/// Keys of a manifest whose values may be a group, and those whose values begin with one
/// at best.
pub(in crate::sbom) const GROUP_KEYS: [&[&str]; 2] = [
    &[
        "Group-Id",
        "Bundle-SymbolicName",
        "Extension-Name",
        "Specification-Vendor",
        "Implementation-Vendor",
        "Implementation-Vendor-Id",
        "Implementation-Title",
        "Bundle-Activator",
    ],
    &["Package", "Automatic-Module-Name", "Main-Class"],
];

/// Whether `text` looks like the reverse of a domain.
fn is_domain(text: &str) -> bool {
    let top = text.split_once('.').map_or("", |(top, _)| top);
    ["be", "com", "io", "net", "org"].contains(&top) && !text.contains(char::is_whitespace)
}
