//! `jackal dev ...`, run as a user runs it.

use super::sandbox::Sandbox;

#[test]
fn sha256sum_prints_the_sum_of_a_file_alone() {
    let sandbox = Sandbox::new();
    // Source: package.md 9.
    sandbox.write("data.txt", "random test data 🦄\n");
    let said = sandbox.run(&["dev", "sha256sum", "data.txt"]);
    assert_eq!(
        said.stdout,
        "61b50898f982d015ed87093ba822de0fe011cec6dd67db39f99d8c56391a6109\n"
    );
    let absent = sandbox.run(&["dev", "sha256sum", "absent"]);
    assert_eq!(absent.code, Some(4));
    assert!(absent.stderr.contains("`absent` cannot be read"));
}

#[test]
fn images_of_manifests_are_found_and_what_needs_helm_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo}\n\
         variables:\n- name: TAG\n  default: \"1.2\"\n\
         components:\n- name: web\n  manifests:\n  - name: m\n    namespace: n\n    files: [m.yaml]\n  \
         charts:\n  - name: c\n    version: 0.1.0\n    namespace: n\n    localPath: chart\n",
    );
    sandbox.write(
        "m.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    \
         spec:\n      containers:\n      - image: ghcr.io/a/b:###JACKAL_VAR_TAG###\n",
    );
    let args = ["dev", "find-images", "--offline"];
    // No helm is on this PATH.
    let find = |more: &[&str]| {
        let mut command = sandbox.command(&[&args[..], more].concat());
        command.env("PATH", sandbox.src());
        super::sandbox::said(&mut command)
    };
    let said = find(&[]);
    assert_eq!(
        said.stdout,
        "components:\n- name: web\n  images:\n  - ghcr.io/a/b:1.2\n"
    );
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("chart `c` needs helm"),
        "{}",
        said.stderr
    );
    let why = find(&["--why", "ghcr.io/a/b:9", "--deploy-set", "tag=9"]);
    assert_eq!(why.stdout, "web: m.yaml: Deployment d\n");
}
