//! Lock files of Gradle: `gradle.lockfile`.

use serde_json::json;

use super::GRADLE;
use super::maven::package;
use crate::sbom::catalog::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Evidence;
use crate::sbom::squash::View;

pub(in crate::sbom::catalog) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: GRADLE,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name.starts_with("gradle.lockfile"),
        supports: |_, _| false,
        longest: 16 << 20,
        find,
    },
};

/// Each line is `group:name:version=configurations`.
fn find(view: &View, path: &str, found: &mut Found) {
    let Some(text) = view.text(path) else {
        return;
    };
    for line in text.lines() {
        let line = line.trim();
        let coordinates = line.split('=').next().unwrap_or(line);
        let parts: Vec<&str> = coordinates.split(':').map(str::trim).collect();
        let [group, name, version] = parts[..] else {
            continue;
        };
        if line.starts_with('#') || name.is_empty() || version.is_empty() {
            continue;
        }
        let mut package = package(GRADLE, group, name, version);
        package
            .locations
            .extend(view.location(path, Evidence::Primary));
        package.describe(&json!({
            "virtualPath": "",
            "pomProject": {
                "path": "", "groupId": group, "artifactId": name, "version": version, "name": name,
            },
        }));
        found.push(package);
        if found.is_full() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::find_in;
    use super::*;

    #[test]
    fn lines_with_three_parts_are_libraries() {
        let text = b"# a:comment:1\ncom.g:guava:31-jre=compile,test\r\na:b=x\no:d:d:1=x\nempty=annotations\n";
        let files: &[(&str, &[u8])] = &[("p/gradle.lockfile", text), ("p/other.lockfile", text)];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:maven/com.g/guava@31-jre");
        assert!(
            found[0]
                .metadata
                .as_ref()
                .unwrap()
                .get()
                .contains(r#""name":"guava""#)
        );
    }
}
