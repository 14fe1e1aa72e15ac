//! Projects of Maven in the sources of a component: each `pom.xml` with the libraries
//! that it wants itself, in the versions that the files of the component give.

use std::collections::BTreeMap;

use serde_json::json;

use super::POM;
use super::packages::{add_licenses, inherited_json};
use super::pom::{self, Coordinates, MAX_POM, Pom};
use crate::sbom::catalog::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;
use crate::sbom::xml::Element;

pub(in crate::sbom::catalog) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: POM,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "pom.xml",
        supports: |_, _| false,
        longest: MAX_POM,
        find,
    },
};

/// Maximum number of descriptions that one inherits from.
const MAX_PARENTS: usize = 8;

/// Longest description that others inherit from, in bytes: 512 KiB. It is read again for
/// each of them.
const MAX_PARENT: usize = 512 << 10;

/// Maximum number of libraries of one project.
const MAX_DEPENDENCIES: usize = 20_000;

/// A project with the descriptions that it inherits from.
struct Chain {
    poms: Vec<Pom>,
    /// Versions by group and artifact that hold for libraries without one.
    managed: BTreeMap<(String, String), String>,
}

fn find(view: &View, path: &str, found: &mut Found) {
    let packages = found.reading(|found| {
        let chain = view.bytes(path).and_then(|bytes| {
            found.text(bytes.len());
            Chain::read(view, path, &bytes)
        });
        match chain {
            Some(chain) => all(view, path, &chain, found),
            None => {
                found.unreadable(view, path, POM, "it is not a project of Maven");
                Vec::new()
            }
        }
    });
    for package in packages {
        found.push(package);
    }
}

impl Chain {
    fn read(view: &View, path: &str, bytes: &[u8]) -> Option<Self> {
        let mut poms = vec![Pom::parse(bytes)?];
        let mut path = path.to_owned();
        while poms.len() <= MAX_PARENTS {
            let Some((at, parent)) = poms.last().and_then(|pom| parent_of(view, &path, pom)) else {
                break;
            };
            path = at;
            poms.push(parent);
        }
        let mut chain = Self {
            poms,
            managed: BTreeMap::new(),
        };
        chain.managed = chain.manage();
        Some(chain)
    }

    /// The versions that the project, or what it inherits from, gives.
    fn manage(&self) -> BTreeMap<(String, String), String> {
        let mut managed = BTreeMap::new();
        for pom in &self.poms {
            let list = pom.root().child("dependencyManagement").into_iter();
            let list = list.flat_map(|list| list.items("dependencies", "dependency"));
            for one in list.take(MAX_DEPENDENCIES) {
                let one = self.filled(one);
                // The nearest description wins.
                let entry = managed.entry((one.group, one.artifact));
                entry.or_insert(one.version);
            }
        }
        managed
    }

    fn fill(&self, text: &str) -> String {
        pom::fill(text, &|name| {
            let mut poms = self.poms.iter();
            poms.find_map(|pom| pom.value(name))
        })
    }

    fn filled(&self, element: &Element) -> Coordinates {
        let plain = Coordinates::of(element);
        Coordinates {
            group: self.fill(&plain.group),
            artifact: self.fill(&plain.artifact),
            version: self.fill(&plain.version),
        }
    }
}

/// The description that `pom` inherits from, and its path.
fn parent_of(view: &View, path: &str, pom: &Pom) -> Option<(String, Pom)> {
    let element = pom.root().child("parent")?;
    let wanted = Coordinates::of(element);
    let relative = match element.child("relativePath") {
        Some(relative) => relative.text(),
        None => "../pom.xml",
    };
    if relative.is_empty() || relative.starts_with('/') {
        return None;
    }
    let (folder, _) = split(path);
    let at = format!("{folder}/{relative}");
    let at = [at.clone(), format!("{at}/pom.xml")];
    let at = at.iter().find(|at| view.is_kept(at))?;
    let at = view.resolve(at)?;
    let bytes = view.bytes(&at).filter(|bytes| bytes.len() <= MAX_PARENT)?;
    let parent = Pom::parse(&bytes)?;
    let own = parent.project();
    let group = parent.value("project.groupId").unwrap_or_default();
    (own.own.artifact == wanted.artifact && group == wanted.group).then_some((at, parent))
}

/// The project and its libraries.
fn all(view: &View, path: &str, chain: &Chain, found: &mut Found) -> Vec<Package> {
    let Some(pom) = chain.poms.first() else {
        return Vec::new();
    };
    let mut project = pom.project();
    for text in [&mut project.own.group, &mut project.own.version] {
        *text = chain.fill(text);
    }
    project.description = chain.fill(pom.root().get("description"));
    let parent = project.parent.clone().unwrap_or_default();
    let group = known(&project.own.group, &parent.group);
    let version = known(&project.own.version, &parent.version);
    let mut own = package(POM, &group, &project.own.artifact, &version);
    own.locations.extend(view.location(path, Evidence::Primary));
    add_licenses(&mut own, Some(&project));
    own.describe(&json!({
        "virtualPath": "", "pomProject": inherited_json("", &project),
    }));
    let profiles = pom.root().items("profiles", "profile");
    let lists = std::iter::once(pom.root()).chain(profiles);
    let dependencies = lists.flat_map(|list| list.items("dependencies", "dependency"));
    let mut packages = vec![own];
    for element in dependencies.take(MAX_DEPENDENCIES) {
        let wanted = chain.filled(element);
        if !is_known(&wanted.artifact) || !is_known(&wanted.group) {
            continue;
        }
        let place = (wanted.group.clone(), wanted.artifact.clone());
        let managed = chain.managed.get(&place).map_or("", String::as_str);
        let version = known(&wanted.version, managed);
        let mut one = package(POM, &wanted.group, &wanted.artifact, &version);
        one.locations.extend(view.location(path, Evidence::Primary));
        let mut properties = json!({
            "path": "", "name": "", "groupId": wanted.group, "artifactId": wanted.artifact, "version": "",
        });
        let scope = chain.fill(element.get("scope"));
        if !scope.is_empty() {
            properties["scope"] = json!(scope);
        }
        one.describe(&json!({"virtualPath": "", "pomProperties": properties}));
        let name = format!("/{path}#{}", packages.len());
        if !found.text(2 * name.len() + 1000) {
            break;
        }
        packages[0].requires.push(name.clone());
        one.provides.push(name);
        packages.push(one);
    }
    packages
}

/// `text`, or else `other`, if it has no properties whose values are unknown.
fn known(text: &str, other: &str) -> String {
    let mut texts = [text, other].into_iter();
    texts
        .find(|text| is_known(text))
        .unwrap_or_default()
        .to_owned()
}

fn is_known(text: &str) -> bool {
    !text.is_empty() && !text.contains("${")
}

/// A package without locations.
pub(super) fn package(ecosystem: Ecosystem, group: &str, artifact: &str, version: &str) -> Package {
    let mut package = Package::new(ecosystem, artifact, version);
    let namespace = if group.is_empty() { artifact } else { group };
    package.purl = purl("maven", namespace, artifact, version, &[]);
    package
}

#[cfg(test)]
mod tests {
    use super::super::super::findings;
    use super::*;

    fn purls(files: &[(&str, &[u8])]) -> Vec<String> {
        let found = findings(&CATALOGUER, files).packages;
        let mut purls: Vec<_> = found.iter().map(|p| p.purl.clone()).collect();
        purls.sort();
        purls
    }

    #[test]
    fn libraries_have_the_versions_of_the_project_and_its_parents() {
        let parent = b"<project><groupId>g</groupId><artifactId>parent</artifactId><version>7</version>\
            <properties><v>5.5</v></properties><dependencyManagement><dependencies><dependency>\
            <groupId>m</groupId><artifactId>managed</artifactId><version>${v}</version></dependency>\
            </dependencies></dependencyManagement></project>";
        let module = b"<project><parent><groupId>g</groupId><artifactId>parent</artifactId><version>7</version>\
            </parent><artifactId>module</artifactId><dependencies>\
            <dependency><groupId>m</groupId><artifactId>managed</artifactId></dependency>\
            <dependency><groupId>${project.groupId}</groupId><artifactId>own</artifactId>\
            <version>${project.version}</version><scope>test</scope></dependency>\
            <dependency><groupId>x</groupId><artifactId>open</artifactId><version>${other}</version></dependency>\
            </dependencies></project>";
        let files: &[(&str, &[u8])] = &[("a/pom.xml", parent), ("a/m/pom.xml", module)];
        let expected = [
            "pkg:maven/g/module@7",
            "pkg:maven/g/own@7",
            "pkg:maven/g/parent@7",
            "pkg:maven/m/managed@5.5",
            "pkg:maven/x/open",
        ];
        assert_eq!(purls(files), expected);
        let found = findings(&CATALOGUER, files).packages;
        let module = found.iter().find(|p| p.name == "module").unwrap();
        assert_eq!(module.requires.len(), 3);
        let own = found.iter().find(|p| p.name == "own").unwrap();
        assert!(
            own.metadata
                .as_ref()
                .unwrap()
                .get()
                .contains(r#""scope":"test""#)
        );
    }

    #[test]
    fn parents_that_loop_or_are_others_end() {
        let own = |parent: &str| {
            format!(
                "<project><parent><groupId>g</groupId><artifactId>{parent}</artifactId><version>1</version>\
                 <relativePath>../{parent}</relativePath></parent><artifactId>a</artifactId></project>"
            )
        };
        let (a, b) = (own("a"), own("b"));
        let files: &[(&str, &[u8])] = &[
            ("a/pom.xml", a.as_bytes()),
            ("b/pom.xml", b.as_bytes()),
            ("c/pom.xml", b"<html/>"),
        ];
        assert_eq!(purls(files), ["pkg:maven/g/a@1", "pkg:maven/g/a@1"]);
        let unknowns = findings(&CATALOGUER, files).unknowns;
        assert_eq!(unknowns.len(), 1);
    }
}
