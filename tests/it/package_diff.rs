//! `jackal package diff`.

use serde_json::{Value, json};

use super::sandbox::Sandbox;

fn definition(version: &str, tool: &str) -> String {
    format!(
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"{version}\"\n  \
         architecture: amd64\ncomponents:\n- name: same\n  files:\n  - source: tool.sh\n    \
         target: /bin/same\n- name: {tool}\n  files:\n  - source: app\n    target: /srv/app\n"
    )
}

fn metadata(version: &str) -> String {
    format!("Metadata-Version: 2.1\nName: left-pad\nVersion: {version}\n")
}

const METADATA: &str = "app/left_pad.dist-info/METADATA";

fn create(sandbox: &Sandbox, flags: &[&str]) {
    let args = [&["package", "create", "--confirm"], flags].concat();
    let out = sandbox.run(&args);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
}

/// Two versions: a component whose content changed, and one of another name.
fn versions() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tool.sh", "#!/bin/sh\n");
    sandbox.write(METADATA, metadata("1.1.0"));
    sandbox.write("jackal.yaml", definition("1", "app"));
    create(&sandbox, &[]);
    sandbox.write(METADATA, metadata("1.3.0"));
    sandbox.write("jackal.yaml", definition("2", "app"));
    create(&sandbox, &[]);
    sandbox
}

const FIRST: &str = "jackal-package-demo-amd64-1.tar.zst";
const SECOND: &str = "jackal-package-demo-amd64-2.tar.zst";

#[test]
fn changes_between_two_versions_are_listed_by_kind() {
    let sandbox = versions();
    let out = sandbox.run(&["package", "diff", FIRST, SECOND, "--json"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let told: Value = serde_json::from_str(&out.stdout).unwrap();
    let version =
        json!([{"name": "metadata.version", "change": "changed", "from": "1", "to": "2"}]);
    assert_eq!(told["definition"], version);
    assert_eq!(told["components"].as_array().unwrap().len(), 1);
    assert_eq!(told["components"][0]["name"], "app");
    let package = json!([{
        "name": "jackal-component-app: python left-pad",
        "change": "changed", "from": ["1.1.0"], "to": ["1.3.0"],
    }]);
    assert_eq!(told["packages"], package);
    assert_eq!(told["images"], json!([]));

    let out = sandbox.run(&["package", "diff", FIRST, SECOND]);
    for line in [
        "  ~ metadata.version: 1 -> 2\n",
        "  ~ jackal-component-app: python left-pad: 1.1.0 -> 1.3.0\n",
    ] {
        assert!(out.stdout.contains(line), "{line} not in {}", out.stdout);
    }
    let out = sandbox.run(&["package", "diff", FIRST, FIRST]);
    assert_eq!(out.stdout, "no differences\n");
}

#[test]
fn added_and_removed_components_and_missing_sboms_are_listed() {
    let sandbox = versions();
    sandbox.write("jackal.yaml", definition("3", "web"));
    create(&sandbox, &["--skip-sbom"]);
    let third = "jackal-package-demo-amd64-3.tar.zst";
    let out = sandbox.run(&["package", "diff", SECOND, third, "--json"]);
    let told: Value = serde_json::from_str(&out.stdout).unwrap();
    let words: Vec<String> = told["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change["name"], change["change"]))
        .collect();
    assert_eq!(words, [r#""app" "removed""#, r#""web" "added""#]);
    assert_eq!(told["packages"], Value::Null);
    assert!(out.stderr.contains("no sboms.tar"), "{}", out.stderr);
}

#[test]
fn a_package_with_a_wrong_checksum_list_is_not_compared() {
    let sandbox = versions();
    let out = sandbox.run(&["package", "extract", FIRST, "-o", "bad"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    sandbox.write("bad/sboms.tar", "altered");
    let out = sandbox.run(&["package", "diff", "bad", SECOND]);
    assert_eq!(out.code, Some(5));
    assert!(
        out.stderr.contains("`sboms.tar` has digest"),
        "{}",
        out.stderr
    );
    assert_eq!(out.stdout, "");
}
