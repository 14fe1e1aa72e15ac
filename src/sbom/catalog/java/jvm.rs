//! Installations of Java, which describe themselves in a file called `release`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::sbom::catalog::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(in crate::sbom::catalog) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: JVM,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name == "release",
        supports: |_, _| false,
        longest: 64 << 10,
        find,
    },
};

const JVM: Ecosystem = Ecosystem {
    kind: "binary",
    language: "",
    found_by: "java-jvm-cataloger",
    metadata_type: "java-jvm-installation",
};

/// The keys that are part of the metadata, with their names there.
const KEYS: [(&str, &str); 21] = [
    ("IMPLEMENTOR", "implementor"),
    ("IMPLEMENTOR_VERSION", "implementorVersion"),
    ("JAVA_RUNTIME_VERSION", "javaRuntimeVersion"),
    ("JAVA_VERSION", "javaVersion"),
    ("JAVA_VERSION_DATE", "javaVersionDate"),
    ("LIBC", "libc"),
    ("MODULES", "modules"),
    ("OS_ARCH", "osArch"),
    ("OS_NAME", "osName"),
    ("OS_VERSION", "osVersion"),
    ("SOURCE", "source"),
    ("BUILD_SOURCE", "buildSource"),
    ("BUILD_SOURCE_REPO", "buildSourceRepo"),
    ("SOURCE_REPO", "sourceRepo"),
    ("FULL_VERSION", "fullVersion"),
    ("SEMANTIC_VERSION", "semanticVersion"),
    ("BUILD_INFO", "buildInfo"),
    ("JVM_VARIANT", "jvmVariant"),
    ("JVM_VERSION", "jvmVersion"),
    ("IMAGE_TYPE", "imageType"),
    ("BUILD_TYPE", "buildType"),
];

/// What files take in addition to their paths, in the metadata and as owned ones.
const FILE_COST: usize = 80;

fn find(view: &View, path: &str, found: &mut Found) {
    let Some(text) = view.text(path) else {
        return;
    };
    let package = found.reading(|found| {
        found.text(text.len());
        installation(view, path, &text, found)
    });
    if let Some(package) = package {
        found.push(package);
    }
}

fn installation(view: &View, path: &str, text: &str, found: &mut Found) -> Option<Package> {
    let values: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key.trim(), value.trim().trim_matches(['"', '\''])))
        .collect();
    let get = |key: &str| values.get(key).copied().unwrap_or_default();
    let first = |keys: &[&str]| {
        let mut values = keys.iter().map(|key| get(key));
        values.find(|value| !value.is_empty()).unwrap_or_default()
    };
    if first(&["JAVA_VERSION", "JAVA_RUNTIME_VERSION"]).is_empty() {
        return None;
    }
    let version = first(&["JAVA_RUNTIME_VERSION", "FULL_VERSION", "JAVA_VERSION"]);
    let is_runtime = get("IMAGE_TYPE").eq_ignore_ascii_case("jre");
    let is_commercial = get("BUILD_TYPE").eq_ignore_ascii_case("commercial");
    let (vendor, product, others): (_, _, &[(&str, &str)]) = match get("IMPLEMENTOR") {
        who if who.contains("Azul") => ("azul", "zulu", &[("oracle", "openjdk")]),
        who if who.contains("IBM") => ("ibm", if is_runtime { "java" } else { "java_sdk" }, &[]),
        who if who.contains("Oracle") || is_commercial => match is_runtime {
            true => ("oracle", "jre", &[("oracle", "java_se")]),
            false => ("oracle", "jdk", &[("oracle", "java_se"), ("oracle", "jre")]),
        },
        _ => ("oracle", "openjdk", &[]),
    };
    let mut package = Package::new(JVM, product, version);
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    let repository = first(&["SOURCE_REPO", "BUILD_SOURCE_REPO"]);
    package.purl = purl(
        "generic",
        vendor,
        product,
        version,
        &[("repository_url", repository)],
    );
    let names = std::iter::once((vendor, product)).chain(others.iter().copied());
    package.cpes = names
        .map(|(vendor, product)| cpe(vendor, product, version))
        .collect();
    let (folder, _) = split(path);
    view.files_below(folder, |file| {
        if !found.text(2 * (FILE_COST + file.len())) {
            return false;
        }
        package.owns.push(format!("/{file}"));
        true
    });
    let mut release = Map::new();
    for (key, name) in KEYS {
        let value = get(key);
        if !value.is_empty() {
            let modules = || value.split_whitespace().map(Value::from).collect();
            let value = if key == "MODULES" {
                modules()
            } else {
                Value::from(value)
            };
            release.insert(name.to_owned(), value);
        }
    }
    package.describe(&json!({"release": release, "files": package.owns}));
    Some(package)
}

/// The name by which vulnerabilities of a version are listed: the number of the update
/// is a part of its own.
fn cpe(vendor: &str, product: &str, version: &str) -> String {
    let version = version.split('+').next().unwrap_or(version);
    let (version, update) = match version.split_once('_') {
        Some((version, update)) if version.starts_with("1.") => {
            let end = update
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(update.len());
            (version, format!("update{}", &update[..end]))
        }
        _ => (version, "*".to_owned()),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let version: String = version.chars().filter(|c| plain(*c)).collect();
    format!("cpe:2.3:a:{vendor}:{product}:{version}:{update}:*:*:*:*:*:*")
}

#[cfg(test)]
mod tests {
    use super::super::super::find_in;
    use super::*;

    #[test]
    fn an_installation_owns_its_files() {
        let files: &[(&str, &[u8])] = &[
            (
                "opt/java/release",
                b"IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_RUNTIME_VERSION=\"21.0.4+7-LTS\"\nJAVA_VERSION=\"21.0.4\"\n\
                  MODULES=\"a b\"\nSOURCE_REPO=\"https://x/y.git\"\nOTHER=\"x\"\n",
            ),
            ("opt/java/bin/java", b"x"),
            ("opt/javac", b"x"),
            ("etc/release", b"VERSION=1\n"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].purl,
            "pkg:generic/oracle/openjdk@21.0.4%2B7-LTS?repository_url=https:%2F%2Fx%2Fy.git"
        );
        assert_eq!(
            found[0].cpes,
            ["cpe:2.3:a:oracle:openjdk:21.0.4:*:*:*:*:*:*:*"]
        );
        assert_eq!(found[0].owns, ["/opt/java/bin/java", "/opt/java/release"]);
        let metadata = found[0].metadata.as_ref().unwrap().get();
        assert!(metadata.contains(r#""modules":["a","b"]"#) && !metadata.contains("other"));
    }

    #[test]
    fn vendors_have_products_of_their_own() {
        for (text, name, cpes) in [
            (
                &b"JAVA_VERSION=\"1.8.0_411\"\nBUILD_TYPE=\"commercial\"\n"[..],
                "jdk",
                3,
            ),
            (
                b"JAVA_VERSION=\"17\"\nIMPLEMENTOR=\"Oracle Corporation\"\nIMAGE_TYPE=\"JRE\"",
                "jre",
                2,
            ),
            (
                b"JAVA_VERSION=\"17\"\nIMPLEMENTOR=\"Azul Systems, Inc.\"",
                "zulu",
                2,
            ),
            (
                b"JAVA_VERSION=\"17\"\nIMPLEMENTOR=\"IBM Corporation\"",
                "java_sdk",
                1,
            ),
        ] {
            let found = find_in(&CATALOGUER, &[("j/release", text)]);
            assert_eq!((found[0].name.as_str(), found[0].cpes.len()), (name, cpes));
        }
        let found = cpe("oracle", "jdk", "1.8.0_411-b09");
        assert_eq!(found, "cpe:2.3:a:oracle:jdk:1.8.0:update411:*:*:*:*:*:*");
    }
}
