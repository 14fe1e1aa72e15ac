//! Components of Bitnami, by the SPDX documents that it puts beside them.

use serde_json::{Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, items, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: COMPONENT,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            let below = format!("/{folder}/").contains("/opt/bitnami/");
            below && name.starts_with(".spdx-") && name.ends_with(".spdx")
        },
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, COMPONENT, found, |file, source, found| {
                read((view, super::split(path).0), file, source, found)
            });
        },
    },
};

const COMPONENT: Ecosystem = Ecosystem {
    kind: "bitnami",
    language: "",
    found_by: "bitnami-cataloger",
    metadata_type: "bitnami-sbom-entry",
};

/// The packages in a document about the `folder`.
fn read(
    (view, folder): (&View, &str),
    file: &Lock<'_>,
    source: &str,
    found: &mut Found,
) -> Result<(), Reason> {
    let json = data::json(source)?;
    let mut owner = true;
    for one in items(&json, "packages") {
        let mut urls = items(one, "externalRefs").iter();
        let urls = urls.find_map(|place| {
            let url = text(place, "referenceLocator");
            url.starts_with("pkg:bitnami/").then_some(url)
        });
        let (Some(url), name) = (urls, text(one, "name")) else {
            continue;
        };
        let version = text(one, "versionInfo");
        let mut package = file.package(COMPONENT, name, version);
        url.clone_into(&mut package.purl);
        for key in ["licenseDeclared", "licenseConcluded"] {
            let license = text(one, key);
            if !["", "NOASSERTION", "NONE"].contains(&license) {
                package.licenses.insert(License::new(license.to_owned()));
            }
        }
        // The first one is what the document is about; others are parts of it.
        if std::mem::take(&mut owner) {
            view.files_below(folder, |path| {
                let fits = found.text(path.len());
                package.owns.push(format!("/{path}"));
                fits
            });
        }
        let qualifier = |key: &str| {
            let (_, all) = url.split_once('?').unwrap_or_default();
            let mut pairs = all.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(known, _)| *known == key)
                .map_or("", |(_, value)| value)
        };
        let (number, revision) = version.rsplit_once('-').unwrap_or((version, ""));
        package.describe(&json!({
            "name": name, "arch": qualifier("arch"), "distro": qualifier("distro"),
            "revision": revision, "version": number, "path": format!("/{folder}"),
            "files": Value::Array(Vec::new()),
        }));
        found.push(package);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn the_component_owns_its_folder() {
        let document = br#"{"packages":[{"name":"redis","versionInfo":"7.2.4-3","licenseDeclared":"BSD-3-Clause",
            "externalRefs":[{"referenceLocator":"pkg:bitnami/redis@7.2.4-3?arch=amd64&distro=debian-11"}]},
            {"name":"x","externalRefs":3},{}]}"#;
        let files: &[(&str, &[u8])] = &[
            ("opt/bitnami/redis/.spdx-redis.spdx", document),
            ("opt/bitnami/redis/bin/redis-server", b"x"),
            ("opt/bitnami/x/.spdx-x.spdx", b"{"),
            ("opt/redis/.spdx-redis.spdx", document),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .owns
                .contains(&"/opt/bitnami/redis/bin/redis-server".to_owned())
        );
        let facts = found[0].metadata.as_ref().unwrap().get();
        assert!(
            facts.contains(r#""revision":"3""#) && facts.contains(r#""arch":"amd64""#),
            "{facts}"
        );
    }
}
