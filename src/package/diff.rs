//! Compares two packages by their documents: definition, components, images, other
//! files and catalogued packages.
//!
//! Compares documents that `app` has read and verified; never looks at content. The
//! result is sorted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{Checksums, Definition, Dialect};

/// Replacement for secret values.
const HIDDEN: &str = "****";

/// Names and their digests, in text form.
pub type Digests = BTreeMap<String, String>;

/// Versions of catalogued packages, by SBOM document, kind and name.
pub type Catalogue = BTreeMap<(String, String, String), BTreeSet<String>>;

/// The documents of one package.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// As in the package.
    pub definition: Definition,
    /// Its `checksums.txt`.
    pub checksums: Checksums,
    /// Manifest digests of its images, by reference.
    pub images: Digests,
    /// Packages in its SBOMs; `None` if it has no SBOMs.
    pub catalogue: Option<Catalogue>,
}

/// A value that differs. Never both `None`, never equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<T> {
    /// Name or path of the value.
    pub name: String,
    /// In the first package.
    pub from: Option<T>,
    /// In the second package.
    pub to: Option<T>,
}

/// All differences between two packages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Values of the definition by their path. The aggregate checksum is left
    /// out: it only repeats the rest.
    pub definition: Vec<Change<Json>>,
    /// Components, by the digest of their tar; empty for one without content.
    pub components: Vec<Change<String>>,
    /// Images, by the digest of their manifest.
    pub images: Vec<Change<String>>,
    /// Other files in the checksums, by digest.
    pub files: Vec<Change<String>>,
    /// Catalogued packages as `document: kind name`, by their versions. `None`
    /// if one of the packages has no SBOMs.
    pub packages: Option<Vec<Change<Vec<String>>>>,
}

impl<T> Change<T> {
    /// `added`, `removed` or `changed`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (&self.from, &self.to) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }
}

impl Difference {
    /// Compares `first` to `second`.
    #[must_use]
    pub fn between(first: &Side, second: &Side) -> Self {
        let mut definition = Vec::new();
        let trees = [first, second].map(|side| shown(&side.definition));
        values("", Some(&trees[0]), Some(&trees[1]), &mut definition);
        let packages = match (&first.catalogue, &second.catalogue) {
            (Some(first), Some(second)) => Some(maps(&listed(first), &listed(second))),
            _ => None,
        };
        Self {
            definition,
            components: maps(&components(first), &components(second)),
            images: maps(&first.images, &second.images),
            files: maps(&others(&first.checksums), &others(&second.checksums)),
            packages,
        }
    }

    /// Whether no differences were found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definition.is_empty()
            && self.components.is_empty()
            && self.images.is_empty()
            && self.files.is_empty()
            && self.packages.as_ref().is_none_or(Vec::is_empty)
    }

    /// The difference as a JSON object; `packages` is null if not compared.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "definition": changes_as_json(&self.definition),
            "components": changes_as_json(&self.components),
            "images": changes_as_json(&self.images),
            "files": changes_as_json(&self.files),
            "packages": self.packages.as_ref().map(|packages| changes_as_json(packages)),
        })
    }
}

/// Changes as a JSON list.
#[must_use]
pub fn changes_as_json<T: Clone + Into<Json>>(changes: &[Change<T>]) -> Json {
    let of = |change: &Change<T>| {
        let mut entry = json!({"name": change.name, "change": change.word()});
        for (key, value) in [("from", &change.from), ("to", &change.to)] {
            if let Some(value) = value {
                entry[key] = value.clone().into();
            }
        }
        entry
    };
    changes.iter().map(of).collect()
}

/// The definition without its aggregate checksum and without secrets.
fn shown(definition: &Definition) -> Json {
    let mut definition = definition.clone();
    definition.metadata.aggregate_checksum = String::new();
    for variable in &mut definition.variables {
        if variable.sensitive && !variable.default.is_empty() {
            variable.default = HIDDEN.to_owned();
        }
    }
    definition.to_json()
}

/// Collects differences between two values at `path`.
///
/// Records in a list are paired by name if all names are unique, and otherwise by
/// index. Strings in a list are paired by value, unless only their order differs.
fn values(path: &str, from: Option<&Json>, to: Option<&Json>, found: &mut Vec<Change<Json>>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Some(Json::Object(from)), Some(Json::Object(to))) => {
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                let below = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                values(&below, from.get(key), to.get(key), found);
            }
        }
        (Some(Json::Array(from)), Some(Json::Array(to))) => lists(path, from, to, found),
        _ => found.push(Change {
            name: path.to_owned(),
            from: from.cloned(),
            to: to.cloned(),
        }),
    }
}

fn lists(path: &str, from: &[Json], to: &[Json], found: &mut Vec<Change<Json>>) {
    if let (Some(from), Some(to)) = (named(from), named(to)) {
        let names: Vec<&str> = from.iter().chain(&to).map(|(name, _)| *name).collect();
        let mut seen = BTreeSet::new();
        let by_name = |list: &[(&str, &Json)], wanted: &str| -> Option<Json> {
            let item = list.iter().find(|(name, _)| *name == wanted);
            item.map(|(_, value)| (*value).clone())
        };
        let before = found.len();
        for name in names.into_iter().filter(|name| seen.insert(*name)) {
            let (from, to) = (by_name(&from, name), by_name(&to, name));
            values(
                &format!("{path}[{name}]"),
                from.as_ref(),
                to.as_ref(),
                found,
            );
        }
        if found.len() == before {
            let order = |list: &[(&str, &Json)]| -> Json {
                list.iter().map(|(name, _)| Json::from(*name)).collect()
            };
            found.push(Change {
                name: format!("{path} (order)"),
                from: Some(order(&from)),
                to: Some(order(&to)),
            });
        }
        return;
    }
    if from
        .iter()
        .chain(to)
        .any(|item| item.is_object() || item.is_array())
    {
        for index in 0..from.len().max(to.len()) {
            let below = format!("{path}[{index}]");
            values(&below, from.get(index), to.get(index), found);
        }
        return;
    }
    let texts = |list: &[Json]| -> BTreeSet<String> { list.iter().map(Json::to_string).collect() };
    let (old, new) = (texts(from), texts(to));
    if old == new {
        found.push(Change {
            name: format!("{path} (order)"),
            from: Some(from.to_vec().into()),
            to: Some(to.to_vec().into()),
        });
        return;
    }
    let removed = from.iter().filter(|item| !new.contains(&item.to_string()));
    found.extend(removed.map(|item| Change {
        name: path.to_owned(),
        from: Some(item.clone()),
        to: None,
    }));
    let added = to.iter().filter(|item| !old.contains(&item.to_string()));
    found.extend(added.map(|item| Change {
        name: path.to_owned(),
        from: None,
        to: Some(item.clone()),
    }));
}

/// The items by name, if all are records with unique names.
fn named(list: &[Json]) -> Option<Vec<(&str, &Json)>> {
    let mut seen = BTreeSet::new();
    list.iter()
        .map(|item| {
            let name = item.get("name")?.as_str()?;
            seen.insert(name).then_some((name, item))
        })
        .collect()
}

fn maps<T: Clone + PartialEq>(
    from: &BTreeMap<String, T>,
    to: &BTreeMap<String, T>,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    names
        .into_iter()
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| Change {
            name: name.clone(),
            from: from.get(name).cloned(),
            to: to.get(name).cloned(),
        })
        .collect()
}

fn components(side: &Side) -> Digests {
    let digest = |name: &str| {
        let tar = side.checksums.get(&Dialect::component_tar(name));
        tar.map(ToString::to_string).unwrap_or_default()
    };
    let components = side.definition.components.iter();
    components
        .map(|component| (component.name.clone(), digest(&component.name)))
        .collect()
}

fn others(checksums: &Checksums) -> Digests {
    let elsewhere = |path: &str| {
        path == Dialect::SBOMS
            || path.starts_with("components/")
            || path.starts_with(Dialect::IMAGES)
    };
    checksums
        .iter()
        .filter(|(path, _)| !elsewhere(path))
        .map(|(path, digest)| (path.to_owned(), digest.to_string()))
        .collect()
}

fn listed(catalogue: &Catalogue) -> BTreeMap<String, Vec<String>> {
    catalogue
        .iter()
        .map(|((document, kind, name), versions)| {
            let name = match document.as_str() {
                "" => format!("{kind} {name}"),
                document => format!("{document}: {kind} {name}"),
            };
            (name, versions.iter().cloned().collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Strictness;
    use crate::yaml::SourceText;

    fn side(yaml: &str) -> Side {
        let source = SourceText::new("jackal.yaml", yaml);
        Side {
            definition: Definition::parse(&source, Strictness::Existing).unwrap(),
            ..Side::default()
        }
    }

    fn lines(difference: &Difference) -> Vec<String> {
        let show = |value: &Option<Json>| value.as_ref().map_or("-".into(), Json::to_string);
        let changes = difference.definition.iter();
        changes
            .map(|change| {
                let (from, to) = (show(&change.from), show(&change.to));
                format!("{} {from} {to}", change.name)
            })
            .collect()
    }

    #[test]
    fn records_are_paired_by_name_and_strings_by_value() {
        let first = side(
            "kind: JackalPackageConfig\nmetadata:\n  name: a\n  version: '1'\n  aggregateChecksum: x\n\
             components:\n- name: one\n  images: [i:1, j:1]\n- name: two\n  required: true\n",
        );
        let second = side(
            "kind: JackalPackageConfig\nmetadata:\n  name: a\n  version: '2'\n  aggregateChecksum: y\n\
             components:\n- name: two\n- name: one\n  images: [j:1, i:2]\n- name: three\n",
        );
        let difference = Difference::between(&first, &second);
        let expected = [
            r#"components[one].images "i:1" -"#,
            r#"components[one].images - "i:2""#,
            "components[two].required true -",
            r#"components[three] - {"name":"three"}"#,
            r#"metadata.version "1" "2""#,
        ];
        assert_eq!(lines(&difference), expected);
        let [three] = difference.components.as_slice() else {
            panic!("{:?}", difference.components);
        };
        assert_eq!((three.name.as_str(), three.word()), ("three", "added"));
    }

    #[test]
    fn a_change_of_order_alone_is_reported_as_such() {
        let kind = "kind: JackalPackageConfig\ncomponents:\n";
        let first = side(&format!("{kind}- name: a\n- name: b\n  repos: [x, y]\n"));
        let second = side(&format!("{kind}- name: b\n  repos: [x, y]\n- name: a\n"));
        let difference = Difference::between(&first, &second);
        assert_eq!(
            lines(&difference),
            [r#"components (order) ["a","b"] ["b","a"]"#]
        );
        let third = side(&format!("{kind}- name: a\n- name: b\n  repos: [y, x]\n"));
        let difference = Difference::between(&first, &third);
        let expected = [r#"components[b].repos (order) ["x","y"] ["y","x"]"#];
        assert_eq!(lines(&difference), expected);
    }

    #[test]
    fn a_sensitive_default_is_never_shown() {
        let of = |default: &str| {
            side(&format!(
                "kind: JackalPackageConfig\nvariables:\n- name: P\n  sensitive: true\n{default}"
            ))
        };
        let difference = Difference::between(&of(""), &of("  default: secret\n"));
        assert_eq!(lines(&difference), [r#"variables[P].default - "****""#]);
    }

    #[test]
    fn digests_and_versions_are_compared_by_name() {
        let catalogue = |versions: &[&str]| -> Catalogue {
            let key = ("i.json".to_owned(), "deb".to_owned(), "zlib".to_owned());
            let versions = versions.iter().map(|v| (*v).to_owned()).collect();
            [(key, versions)].into()
        };
        let image = |digest: &str| -> Digests { [("i".to_owned(), digest.to_owned())].into() };
        let mut first = Side {
            images: image("d1"),
            catalogue: Some(catalogue(&["1"])),
            ..Side::default()
        };
        let second = Side {
            images: image("d2"),
            catalogue: Some(catalogue(&["1", "2"])),
            ..Side::default()
        };
        let json = Difference::between(&first, &second).to_json();
        assert_eq!(
            json["images"],
            json!([{"name": "i", "change": "changed", "from": "d1", "to": "d2"}])
        );
        assert_eq!(
            json["packages"],
            json!([{"name": "i.json: deb zlib", "change": "changed", "from": ["1"], "to": ["1", "2"]}])
        );
        first.catalogue = None;
        let difference = Difference::between(&first, &second);
        assert_eq!(difference.packages, None);
        assert!(!difference.is_empty());
        assert!(Difference::between(&second, &second).is_empty());
    }

    #[test]
    fn documents_in_other_formats_are_files_like_others() {
        let with = |content: &[u8]| {
            let mut side = Side::default();
            let digest = crate::oci::Digest::of(content);
            side.checksums
                .insert("sboms.spdx-json.tar", digest)
                .unwrap();
            side
        };
        assert!(Difference::between(&with(b"1"), &with(b"1")).is_empty());
        assert!(!Difference::between(&with(b"1"), &with(b"2")).is_empty());
    }
}
