//! From the facts about an archive to its packages.

use serde_json::{Map, Value, json};

use super::extract::{self, Archive, Facts, is_archive};
use super::identity::{self, Identity};
use super::manifest::Manifest;
use super::pom::{Coordinates, Project};
use super::{ARCHIVE, PLUGIN};
use crate::sbom::catalog::Found;
use crate::sbom::document::{Evidence, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// Groups of plugins of Jenkins.
const PLUGIN_GROUPS: [&str; 3] = [
    "io.jenkins.plugins",
    "org.jenkins.plugins",
    "org.jenkins-ci.plugins",
];

pub(super) fn find(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let Some(facts) = extract::load(extract) else {
        return;
    };
    if let Some(reason) = &facts.unreadable {
        found.unreadable(view, path, ARCHIVE, reason);
    }
    let packages = found.reading(|found| {
        // The facts are held until their packages are pushed.
        found.text(extract.len());
        all(view, path, &facts, found)
    });
    for package in packages {
        found.push(package);
    }
}

/// The packages of a file, as long as `found` has memory for them.
fn all(view: &View, path: &str, facts: &Facts, found: &mut Found) -> Vec<Package> {
    let mut packages = Vec::new();
    // The place of each archive's own package among `packages`.
    let mut own: Vec<Option<usize>> = Vec::new();
    for archive in &facts.archives {
        let file = match archive.path.as_str() {
            "" => path,
            inner => inner.rsplit(':').next().unwrap_or(inner),
        };
        let mut virtual_path = format!("/{path}");
        if !archive.path.is_empty() {
            virtual_path.push(':');
            virtual_path.push_str(&archive.path);
        }
        let parent = archive
            .parent
            .and_then(|place| own.get(place).copied().flatten());
        let first = packages.len();
        let is_own = match &archive.manifest {
            Some(manifest) if is_archive(file) => {
                let mut made = Made {
                    packages: &mut packages,
                    virtual_path: &virtual_path,
                    found,
                };
                of_archive(archive, manifest, file, &mut made)
            }
            _ => false,
        };
        if found.is_full() {
            break;
        }
        own.push(if is_own { Some(first) } else { parent });
        // Whatever is inside belongs to the package around it.
        let around = own.last().copied().flatten();
        for place in first..packages.len() {
            let parent = if is_own && place == first {
                parent
            } else {
                around
            };
            let at = view.location(path, Evidence::Primary);
            packages[place].locations.extend(at.map(|mut at| {
                at.access_path.clone_from(&virtual_path);
                at
            }));
            if let Some(parent) = parent.filter(|parent| *parent != place) {
                let name = format!("{virtual_path}#{}", place - first);
                packages[parent].requires.push(name.clone());
                packages[place].provides.push(name);
            }
        }
    }
    packages
}

/// The packages made so far, and the place of the archive that is next.
struct Made<'m> {
    packages: &'m mut Vec<Package>,
    virtual_path: &'m str,
    found: &'m mut Found,
}

impl Made<'_> {
    /// Adds a package, if there is memory for it.
    fn add(&mut self, package: Package) {
        let facts = package.metadata.as_ref().map_or(0, |json| json.get().len());
        // The path is in its facts, its location, and the names that tie it to others.
        if self.found.text(facts + 4 * self.virtual_path.len()) {
            self.packages.push(package);
        }
    }
}

/// Adds the packages of one archive, its own first; returns whether it has one of its own.
fn of_archive(archive: &Archive, manifest: &Manifest, file: &str, made: &mut Made<'_>) -> bool {
    let virtual_path = made.virtual_path;
    if !manifest.get("Weave-Classes").is_empty() {
        return false;
    }
    let poms = identity::Poms::of(archive);
    let identity = identity::of(archive, &poms, manifest, file);
    let has_own = !identity.name.is_empty();
    if has_own {
        made.add(main(archive, manifest, &identity, file, virtual_path));
    }
    for (place, (path, pairs)) in archive.properties.iter().enumerate() {
        let own = identity::coordinates(pairs);
        let unknown = |text: &String| text.is_empty() || text.contains("${");
        if unknown(&own.artifact) || unknown(&own.version) {
            continue;
        }
        let is_main = identity.properties == Some(place) || own.artifact == identity.name;
        if made.found.is_full() {
            break;
        }
        if !(has_own && is_main) {
            let pom = poms.beside(path);
            made.add(packed(path, pairs, &own, pom, virtual_path));
        }
    }
    has_own
}

/// The package that the archive itself is.
fn main(
    archive: &Archive,
    manifest: &Manifest,
    identity: &Identity,
    file: &str,
    virtual_path: &str,
) -> Package {
    let properties = identity.properties.map(|place| &archive.properties[place]);
    let of_properties = properties.map(|(_, pairs)| identity::coordinates(pairs));
    let of_properties = of_properties.unwrap_or_default();
    let of_pom = identity.pom.map(|(_, project)| project);
    let of_parent = of_pom.and_then(|project| project.parent.as_ref());
    let group = identity::group(
        &identity.name,
        &identity.version,
        &[
            &of_properties.group,
            of_pom.map_or("", |project| &project.own.group),
            of_parent.map_or("", |parent| &parent.group),
        ],
        Some(manifest),
    );
    // The name of a file says less than the project.
    let is_plugin = if properties.is_some() {
        PLUGIN_GROUPS.iter().any(|known| group.starts_with(known))
    } else {
        file.ends_with(".hpi") || file.ends_with(".jpi")
    };
    let ecosystem = if is_plugin { PLUGIN } else { ARCHIVE };
    let mut package = Package::new(ecosystem, &identity.name, &identity.version);
    package.purl = purl("maven", &group, &identity.name, &identity.version, &[]);
    for key in ["Bundle-License", "Plugin-License-Name"] {
        let value = manifest.get(key);
        if !value.is_empty() {
            package.licenses.insert(License::new(value.to_owned()));
        }
    }
    if package.licenses.is_empty() {
        let texts = archive.licenses.iter().map(|id| License {
            value: id.clone(),
            concluded: true,
            locations: Vec::new(),
        });
        package.licenses.extend(texts);
    }
    if package.licenses.is_empty() {
        add_licenses(&mut package, of_pom);
    }
    let mut metadata = json!({"virtualPath": virtual_path, "manifest": manifest.json()});
    if let Some((path, pairs)) = properties {
        metadata["pomProperties"] = properties_json(path, pairs);
    }
    if let Some((path, project)) = identity.pom {
        metadata["pomProject"] = inherited_json(path, project);
    }
    metadata["digest"] = json!([{"algorithm": "sha1", "value": archive.sha1}]);
    package.describe(&metadata);
    package
}

/// A package that is packed into an archive without an archive of its own.
fn packed(
    path: &str,
    pairs: &[(String, String)],
    own: &Coordinates,
    pom: Option<&(String, Project)>,
    virtual_path: &str,
) -> Package {
    let group = identity::group(&own.artifact, &own.version, &[&own.group], None);
    let is_plugin = PLUGIN_GROUPS.iter().any(|known| group.starts_with(known));
    let ecosystem = if is_plugin { PLUGIN } else { ARCHIVE };
    let mut package = Package::new(ecosystem, &own.artifact, &own.version);
    package.purl = purl("maven", &group, &own.artifact, &own.version, &[]);
    add_licenses(&mut package, pom.map(|(_, project)| project));
    let mut metadata = json!({
        "virtualPath": format!("{virtual_path}:{}:{}", own.group, own.artifact),
        "pomProperties": properties_json(path, pairs),
    });
    if let Some((path, project)) = pom {
        metadata["pomProject"] = inherited_json(path, project);
    }
    package.describe(&metadata);
    package
}

pub(super) fn add_licenses(package: &mut Package, project: Option<&Project>) {
    for (name, url) in project.into_iter().flat_map(|project| &project.licenses) {
        let text = if name.is_empty() { url } else { name };
        if !text.is_empty() {
            package.licenses.insert(License::new(text.clone()));
        }
    }
}

fn properties_json(path: &str, pairs: &[(String, String)]) -> Value {
    let mut json =
        json!({"path": path, "name": "", "groupId": "", "artifactId": "", "version": ""});
    let mut others = Map::new();
    for (key, value) in pairs {
        match key.as_str() {
            "name" | "groupId" | "artifactId" | "version" | "scope" => {
                json[key.as_str()] = json!(value);
            }
            _ => {
                others.insert(key.clone(), json!(value));
            }
        }
    }
    if !others.is_empty() {
        json["extraFields"] = Value::Object(others);
    }
    json
}

/// A description, with what it inherits from its parent.
pub(super) fn inherited_json(path: &str, project: &Project) -> Value {
    let own = &project.own;
    // A value with a property that is not known says nothing.
    let known = |text: &str| {
        if text.contains("${") {
            String::new()
        } else {
            text.to_owned()
        }
    };
    let inherited = |own: &String, parent: fn(&Coordinates) -> &String| {
        let parent = project.parent.as_ref().map(parent);
        known(parent.filter(|_| own.is_empty()).unwrap_or(own))
    };
    let mut json = json!({
        "path": path, "artifactId": own.artifact, "name": known(&project.name),
        "groupId": inherited(&own.group, |parent| &parent.group),
        "version": inherited(&own.version, |parent| &parent.version),
    });
    if let Some(parent) = &project.parent {
        json["parent"] = json!({
            "groupId": parent.group, "artifactId": parent.artifact, "version": parent.version,
        });
    }
    for (key, value) in [("description", &project.description), ("url", &project.url)] {
        let value = known(value);
        if !value.is_empty() {
            json[key] = json!(value);
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::super::ARCHIVES;
    use super::super::directory::zipped;
    use crate::sbom::catalog::{find_in, findings};
    use crate::sbom::document::{Document, Package, ScanTarget};

    #[test]
    fn packages_are_made_while_there_is_memory() {
        use super::*;
        let inner = |number: usize| Archive {
            path: format!("{}/{number}.jar", "p".repeat(4000)),
            manifest: Some(Manifest::parse(b"Implementation-Version: 1\n")),
            properties: vec![(
                "pom.properties".to_owned(),
                vec![
                    ("artifactId".to_owned(), "packed".to_owned()),
                    ("version".to_owned(), "2".to_owned()),
                ],
            )],
            ..Archive::default()
        };
        let facts = Facts {
            archives: (0..100).map(inner).collect(),
            unreadable: None,
        };
        let view = View::new(true, 1 << 20);
        let mut found = Found::default();
        let every = all(&view, "a.jar", &facts, &mut found).len();
        assert!(every >= 100 && !found.is_full());
        let mut found = Found::within(200_000);
        assert!(all(&view, "a.jar", &facts, &mut found).len() <= 12);
        assert!(found.is_full());
    }

    fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
        zipped(files, zip::write::SimpleFileOptions::default())
    }

    fn names(packages: &[Package]) -> Vec<String> {
        let mut names: Vec<_> = packages
            .iter()
            .map(|p| format!("{} {}", p.purl, p.ecosystem.kind))
            .collect();
        names.sort();
        names
    }

    const MANIFEST: &str = "META-INF/MANIFEST.MF";

    /// An application with a library packed into it, and two that are archives inside.
    fn application() -> Vec<u8> {
        let inner = jar(&[(
            MANIFEST,
            b"Implementation-Version: 9\nGroup-Id: org.inner\n",
        )]);
        let plugin = jar(&[
            (MANIFEST, b"Plugin-Version: 3\n"),
            ("WEB-INF/lib/deep.jar", &inner),
        ]);
        jar(&[
            (
                MANIFEST,
                b"Manifest-Version: 1.0\r\nBundle-License: MIT\r\n",
            ),
            (
                "META-INF/maven/g/app/pom.properties",
                b"groupId=g\nartifactId=app\nversion=1\n",
            ),
            (
                "META-INF/maven/g/app/pom.xml",
                b"<project><artifactId>app</artifactId><name>App</name></project>",
            ),
            (
                "META-INF/maven/h/shaded/pom.properties",
                b"groupId=h\nartifactId=shaded\nversion=2\n",
            ),
            ("BOOT-INF/lib/inner-9.jar", &inner),
            ("BOOT-INF/lib/tool-3.hpi", &plugin),
            ("BOOT-INF/lib/broken.jar", b"no archive"),
        ])
    }

    #[test]
    fn an_application_has_what_is_packed_into_it() {
        let app = application();
        let script = [b"#!/bin/sh\nexec java -jar $0\n", &app[..]].concat();
        for app in [app, script] {
            let found = findings(&ARCHIVES, &[("srv/app-1.jar", &app)]);
            let expected = [
                "pkg:maven/g/app@1 java-archive",
                "pkg:maven/h/shaded@2 java-archive",
                "pkg:maven/org.inner/deep@9 java-archive",
                "pkg:maven/org.inner/inner@9 java-archive",
                "pkg:maven/tool/tool@3 jenkins-plugin",
            ];
            assert_eq!(names(&found.packages), expected);
            assert!(
                found.unknowns[0].reason.contains("broken.jar"),
                "{:?}",
                found.unknowns
            );
            let main = found.packages.iter().find(|p| p.name == "app").unwrap();
            assert_eq!(main.licenses.first().unwrap().value, "MIT");
            let metadata = main.metadata.as_ref().unwrap().get();
            assert!(metadata.contains(r#""name":"App""#), "{metadata}");
            let deep = found.packages.iter().find(|p| p.name == "deep").unwrap();
            let metadata = deep.metadata.as_ref().unwrap().get();
            let path = "/srv/app-1.jar:BOOT-INF/lib/tool-3.hpi:WEB-INF/lib/deep.jar";
            assert!(metadata.contains(path), "{metadata}");
            let source = ScanTarget {
                id: "s".to_owned(),
                name: String::new(),
                version: String::new(),
                kind: "image",
                metadata: serde_json::json!({}),
            };
            let document = Document::new(source, serde_json::json!({}), found).unwrap();
            let edges = document.relationships.iter();
            assert_eq!(edges.filter(|edge| edge.kind == "dependency-of").count(), 4);
        }
    }

    #[test]
    fn archives_without_one_manifest_have_no_packages_of_their_own() {
        let properties: (&str, &[u8]) = ("pom.properties", b"artifactId=a\nversion=1\n");
        let inner = jar(&[(MANIFEST, b"Specification-Version: 2\n")]);
        let bare = jar(&[properties, ("lib/inner.jar", &inner)]);
        let twice = jar(&[
            ("META-INF/manifest.mf", b"A: b\n"),
            ("meta-inf/MANIFEST.MF", b"A: b\n"),
            properties,
        ]);
        let weave = jar(&[(MANIFEST, b"Weave-Classes: x\n"), properties]);
        let files: &[(&str, &[u8])] = &[
            ("a.jar", &bare),
            ("b.war", &twice),
            ("c.ear", &weave),
            ("d.zip", &bare),
        ];
        let expected = ["pkg:maven/inner/inner@2 java-archive"; 2];
        assert_eq!(names(&find_in(&ARCHIVES, files)), expected);
    }

    #[test]
    fn texts_of_licences_count_where_the_manifest_names_none() {
        let isc: &[u8] =
            b"Permission to use, copy, modify, and/or distribute this software for any \
            purpose with or without fee is hereby granted, provided that this notice appear in \
            all copies";
        let pom: &[u8] = b"<project><groupId>g</groupId><artifactId>a</artifactId>\
            <version>1</version><licenses><license><name>MIT</name></license></licenses></project>";
        let long = vec![b'a'; 200 << 10];
        let of = |manifest: &[u8], path: &str, text: &[u8]| {
            let files = [
                (MANIFEST, manifest),
                (path, text),
                ("META-INF/maven/g/a/pom.xml", pom),
            ];
            let found = find_in(&ARCHIVES, &[("a-1.jar", &jar(&files)[..])]);
            let licenses = found[0].licenses.iter();
            licenses.map(|one| one.value.clone()).collect::<Vec<_>>()
        };
        let plain = b"A: b\n";
        assert_eq!(of(plain, "META-INF/LICENSE.txt", isc), ["ISC"]);
        assert_eq!(of(plain, "LICENSE", isc), ["ISC"]);
        assert_eq!(of(plain, "org/x/LICENSE", isc), ["MIT"]);
        assert_eq!(of(plain, "LICENSE", &long), ["MIT"]);
        assert_eq!(of(plain, "LICENSE", b""), ["MIT"]);
        assert_eq!(of(b"Bundle-License: Zlib\n", "LICENSE", isc), ["Zlib"]);
    }

    #[test]
    fn of_two_lists_with_the_same_name_the_library_is_the_archive() {
        let own = |group: &str, version: u32| {
            format!("groupId={group}\nartifactId=lib\nversion={version}\n").into_bytes()
        };
        let (packager, library) = (own("packager", 6), own("org.lib", 3));
        let pom: (&str, &[u8]) = (
            "m/org.lib/lib/pom.xml",
            b"<project><artifactId>lib</artifactId></project>",
        );
        let lib = jar(&[
            (MANIFEST, b"A: b\n"),
            ("m/a/lib/pom.properties", &packager),
            ("m/org.lib/lib/pom.properties", &library),
            pom,
        ]);
        let other = jar(&[
            (MANIFEST, b"A: b\n"),
            ("m/org.lib/lib/pom.properties", &library),
            pom,
            ("m/z/lib/pom.properties", &packager),
        ]);
        for lib in [lib, other] {
            let found = find_in(&ARCHIVES, &[("lib.jar", &lib)]);
            assert_eq!(names(&found), ["pkg:maven/org.lib/lib@3 java-archive"]);
        }
    }

    #[test]
    fn files_of_other_programs_with_the_same_names_are_none() {
        let inner = jar(&[("music.kar", b"MThd"), (MANIFEST, b"A: b\n")]);
        let files: &[(&str, &[u8])] = &[
            ("a.rar", b"Rar!"),
            ("b.zip", b"PK cut"),
            ("c.jar", b"a pointer"),
            ("d.par", b"PK cut"),
            ("e.war", &inner),
            ("f.jar", b""),
        ];
        let found = findings(&ARCHIVES, files);
        let unknowns: Vec<_> = found
            .unknowns
            .iter()
            .map(|u| u.location.path.as_str())
            .collect();
        assert_eq!(unknowns, ["/c.jar", "/d.par", "/f.jar"]);
        assert_eq!(names(&found.packages), ["pkg:maven/e/e java-archive"]);
    }

    #[test]
    fn what_an_archive_unpacks_to_is_bounded() {
        let mut deep = jar(&[(MANIFEST, b"Specification-Version: 2\n")]);
        for _ in 0..20 {
            deep = jar(&[
                (MANIFEST, b"Specification-Version: 2\n"),
                ("deeper.jar", &deep),
            ]);
        }
        let found = findings(&ARCHIVES, &[("deep.jar", &deep)]);
        assert_eq!(found.packages.len(), 9);
        assert!(
            found.unknowns[0].reason.contains("too deep"),
            "{:?}",
            found.unknowns
        );
        // A gigabyte of zeros in each of many, in a megabyte.
        let zeros = vec![b'\n'; 9 << 20];
        let long = jar(&[(MANIFEST, &zeros)]);
        let found = findings(&ARCHIVES, &[("long.jar", &long)]);
        assert!(found.packages.is_empty());
        assert!(
            found.unknowns[0].reason.contains("too long"),
            "{:?}",
            found.unknowns
        );
    }
}
