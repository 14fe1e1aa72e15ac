use serde_json::{Value, json};

use super::*;
use crate::sbom::document::Ecosystem;

fn package(kind: &'static str, name: &str, version: &str, facts: &Value) -> Package {
    let ecosystem = Ecosystem {
        kind,
        language: "",
        found_by: "x",
        metadata_type: "y",
    };
    let mut package = Package::new(ecosystem, name, version);
    package.describe(facts);
    package
}

fn names(kind: &'static str, name: &str, version: &str, facts: &Value) -> Vec<String> {
    let all = of(&package(kind, name, version, facts));
    all.into_iter().map(|(cpe, _)| cpe).collect()
}

/// The vendors and the products.
fn parts(kind: &'static str, name: &str, facts: &Value) -> (Vec<String>, Vec<String>) {
    let all = names(kind, name, "1", facts);
    let part = |place: usize| {
        let part = |cpe: &String| cpe.split(':').nth(place).unwrap_or_default().to_owned();
        let mut all: Vec<String> = all.iter().map(part).collect();
        all.sort();
        all.dedup();
        all
    };
    (part(3), part(4))
}

#[test]
fn a_name_is_its_own_vendor_and_so_is_what_it_begins_with() {
    assert_eq!(
        names("deb", "a", "1:2~b+1", &json!({})),
        ["cpe:2.3:a:a:a:1\\:2\\~b\\+1:*:*:*:*:*:*:*"]
    );
    let (vendors, products) = parts("deb", "libpam-modules-bin", &json!({}));
    assert_eq!(
        vendors,
        [
            "libpam",
            "libpam-modules",
            "libpam-modules-bin",
            "libpam_modules",
            "libpam_modules_bin"
        ]
    );
    assert_eq!(products, ["libpam-modules-bin", "libpam_modules_bin"]);
    assert!(names("deb", "a", "", &json!({}))[0].contains(":a:*:*"));
    let double = parts("npm", "b__c", &json!({})).0;
    assert_eq!(double, ["b", "b--c", "b-c", "b__c", "b_c"]);
}

#[test]
fn owners_of_repositories_are_vendors() {
    let own = |kind, facts: Value| parts(kind, "n", &facts).0;
    let url = json!({"url": "https://github.com/owner/repo.git"});
    assert_eq!(own("npm", url.clone()), ["n", "owner"]);
    assert_eq!(own("apk", url), ["n", "owner"]);
    assert_eq!(
        own("npm", json!({"url": "git+https://github.com/owner/repo"})),
        ["n"]
    );
    let (vendors, products) = parts("go-module", "github.com/o-p/r/v2", &json!({}));
    assert_eq!(vendors, ["o", "o-p", "o_p"]);
    assert_eq!(products, ["r\\/v2"]);
    assert!(names("go-module", "dario.cat/mergo", "v1", &json!({})).is_empty());
}

#[test]
fn authors_are_vendors_if_they_can_be_written() {
    let facts = json!({"author": "The X. Y", "authorEmail": "a.b@c.d"});
    let (vendors, products) = parts("python", "p", &facts);
    for vendor in ["x__y_project", "a-b", "a_bproject", "python", "python-p"] {
        assert!(
            vendors.iter().any(|one| one == vendor),
            "{vendor} in {vendors:?}"
        );
    }
    assert_eq!(products, ["p", "python-p", "python_p"]);
    let vendors = parts("gem", "g", &json!({"authors": ["José Valim", "A B"]})).0;
    assert_eq!(
        vendors,
        ["a-b", "a_b", "g", "ruby", "ruby-lang", "ruby_lang"]
    );
    let vendors = parts("rpm", "r", &json!({"vendor": "Red Hat, Inc."})).0;
    assert_eq!(vendors, ["r", "redhat"]);
}

#[test]
fn numbers_in_names_of_streams_are_left_out() {
    let products = |name| parts("apk", name, &json!({})).1;
    assert_eq!(
        products("php83-curl"),
        ["php-curl", "php83-curl", "php83_curl", "php_curl"]
    );
    assert_eq!(products("postgresql15"), ["postgresql", "postgresql15"]);
    assert_eq!(products("py3-foo"), ["foo", "py3-foo", "py3_foo"]);
    assert_eq!(
        products("x264-dev"),
        ["x-dev", "x264-dev", "x264_dev", "x_dev"]
    );
    assert_eq!(products("7zip"), ["7zip"]);
}

#[test]
fn words_of_groups_are_vendors_and_the_whole_is_a_product() {
    let pom = |group: &str, artifact: &str| json!({"pomProperties": {"groupId": group, "artifactId": artifact}});
    let (vendors, products) = parts(
        "java-archive",
        "jetty-xml",
        &pom("org.eclipse.jetty", "jetty-xml"),
    );
    assert_eq!(
        vendors,
        [
            "eclipse",
            "jetty",
            "jetty-xml",
            "jetty_xml",
            "org.eclipse.jetty"
        ]
    );
    assert_eq!(products, ["jetty", "jetty-xml", "jetty_xml"]);
    let vendors = parts("java-archive", "kerb", &pom("org.apache.kerby", "kerb")).0;
    assert_eq!(vendors, ["apache"]);
    let manifest = json!({"manifest": {
        "main": [{"key": "Main-Class", "value": "org.other.Main"}],
        "sections": [[{"key": "Implementation-Title", "value": "org.a.b#c;1"},
                      {"key": "Implementation-Vendor", "value": "Some Body"}]],
    }});
    let (vendors, products) = parts("java-archive", "x", &manifest);
    assert_eq!(
        vendors,
        ["a", "b", "org.a.b", "some-body", "some_body", "x"]
    );
    assert_eq!(products, ["b", "x"]);
}

#[test]
fn listed_and_certain_names_are_alone() {
    let found = names("npm", "express", "5.0", &json!({}));
    assert!(
        found[0].ends_with(":express:5.0:*:*:*:*:node.js:*:*"),
        "{found:?}"
    );
    let mut certain = package("npm", "express", "1", &json!({}));
    certain
        .cpes
        .push("cpe:2.3:a:b:c:1:*:*:*:*:*:*:*".to_owned());
    assert_eq!(of(&certain), [(certain.cpes[0].clone(), DECLARED)]);
}

#[test]
fn hostile_names_have_few_candidates() {
    for (name, most) in [("a-".repeat(5000), 0), ("a-".repeat(99), MAX_TEXT)] {
        let text: usize = names("npm", &name, "1", &json!({}))
            .iter()
            .map(String::len)
            .sum();
        assert!(text <= most, "{text}");
    }
    let groups: Vec<Value> = (0..5000)
        .map(|number| json!({"key": "Group-Id", "value": format!("org.a{number}.b{number}")}))
        .collect();
    let facts = json!({"manifest": {"main": groups}});
    let text: usize = names("java-archive", "a", "1", &facts)
        .iter()
        .map(String::len)
        .sum();
    assert!(text <= MAX_TEXT, "{text}");
    assert!(names("npm", "a", "1", &json!({"url": 3}))[0].contains(":a:a:"));
}
