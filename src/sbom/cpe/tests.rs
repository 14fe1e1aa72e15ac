use serde_json::json;

use super::*;
use crate::sbom::document::Ecosystem;

fn names(kind: &'static str, name: &str, version: &str) -> Vec<String> {
    let ecosystem = Ecosystem {
        kind,
        language: "",
        found_by: "x",
        metadata_type: "y",
    };
    let mut package = Package::new(ecosystem, name, version);
    package.purl = "pkg:maven/org.apache.logging/log4j@1".to_owned();
    package.describe(&json!({"url": "git+https://github.com/owner/repo.git"}));
    of(&package).into_iter().map(|(cpe, _)| cpe).collect()
}

fn has(kind: &'static str, name: &str, version: &str, expected: &str) {
    let found = names(kind, name, version);
    let full = format!("cpe:2.3:a:{expected}");
    assert!(found.contains(&full), "{full} in {found:#?}");
}

#[test]
fn candidates_come_from_names_and_owners() {
    let any = "*:*:*:*:*:*:*";
    has("deb", "a", "1:2~b+1", &format!("a:a:1\\:2\\~b\\+1:{any}"));
    has(
        "deb",
        "libpam-modules-bin",
        "1",
        &format!("libpam:libpam_modules_bin:1:{any}"),
    );
    has("python", "x", "1", &format!("python:python-x:1:{any}"));
    has("npm", "@s/n", "1", &format!("\\@s\\/n:\\@s\\/n:1:{any}"));
    has("npm", "n", "1", &format!("owner:n:1:{any}"));
    has(
        "go-module",
        "github.com/o/r/v2",
        "v2.1",
        &format!("o:r\\/v2:v2.1:{any}"),
    );
    has(
        "go-module",
        "golang.org/x/sys",
        "v1",
        &format!("golang:x\\/sys:v1:{any}"),
    );
    has(
        "java-archive",
        "log4j",
        "1",
        &format!("apache:log4j:1:{any}"),
    );
    assert!(names("go-module", "dario.cat/mergo", "v1").is_empty());
}

#[test]
fn listed_names_come_first_and_certain_ones_are_alone() {
    let found = names("npm", "express", "5.0");
    assert_eq!(
        found[0],
        "cpe:2.3:a:openjsf:express:5.0:*:*:*:*:node.js:*:*"
    );
    let ecosystem = Ecosystem {
        kind: "npm",
        language: "",
        found_by: "x",
        metadata_type: "y",
    };
    assert!(
        names("deb", "a", "")
            .iter()
            .all(|cpe| cpe.contains(":a:*:*"))
    );
    let mut package = Package::new(ecosystem, "express", "1");
    package
        .cpes
        .push("cpe:2.3:a:b:c:1:*:*:*:*:*:*:*".to_owned());
    assert_eq!(of(&package), [(package.cpes[0].clone(), DECLARED)]);
}

#[test]
fn tables_are_sorted_and_long_names_have_few_candidates() {
    for table in [NPM, PYTHON, GO, GEM] {
        assert!(table.is_sorted_by_key(|(name, ..)| *name));
    }
    assert!(names("npm", &"a-".repeat(90), "1").len() <= MAX_CANDIDATES);
    assert!(names("npm", &"a-".repeat(5000), "1").is_empty());
}

#[test]
fn no_more_names_are_kept_than_are_used() {
    let mut names = Names::default();
    names.add(&"a-".repeat(MAX_NAME));
    assert!(names.order.is_empty() && names.seen.is_empty());
    let many = "a-".repeat(MAX_NAME / 2);
    for (end, _) in many.match_indices('-') {
        names.add(&many[..end]);
    }
    assert!(names.order.len() <= MAX_VENDORS + 1 && names.seen.len() == names.order.len());
}
