//! `jackal package create --differential`.

use jackal::oci::Digest;

use super::sandbox::{Said, Sandbox};
use super::trust::statements;

/// A package with two images that no machine can pull.
fn definition(version: &str) -> String {
    format!(
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: '{version}'\n  \
         architecture: amd64\ncomponents:\n- name: app\n  files:\n  - source: app.conf\n    \
         target: /etc/app.conf\n- name: images\n  images:\n  - registry.invalid/app:1\n"
    )
}

/// The new version, and an earlier one as a folder; only its documents matter.
fn sandbox(base: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("app.conf", "a = 1\n");
    sandbox.write("jackal.yaml", definition("2"));
    let aggregate = Digest::of(b"\n").hex();
    let earlier = base.replace(
        "metadata:\n",
        &format!("metadata:\n  aggregateChecksum: {aggregate}\n"),
    );
    sandbox.write("earlier/jackal.yaml", earlier);
    sandbox.write("earlier/checksums.txt", "\n");
    sandbox
}

fn create(sandbox: &Sandbox) -> Said {
    create_with(sandbox, &[])
}

fn create_with(sandbox: &Sandbox, args: &[&str]) -> Said {
    let create = ["package", "create", "--confirm", "--offline"];
    sandbox.run(&[&create[..], &["--differential", "earlier"], args].concat())
}

#[test]
fn contents_of_the_base_are_neither_pulled_nor_listed() {
    let sandbox = sandbox(&definition("1"));
    let out = create(&sandbox);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let checked = "earlier: not signed; only the definition was verified";
    assert!(out.stderr.contains(checked), "{}", out.stderr);
    let archive = "jackal-package-demo-amd64-1-differential-2.tar.zst";
    assert_eq!(sandbox.run(&["package", "verify", archive]).code, Some(0));
    let written = sandbox.run(&["package", "inspect", archive]).stdout;
    // The base is identified by the digest of its file list, not only by version.
    let base = Digest::of(b"\n").hex();
    for part in [
        "  differential: true\n  differentialPackageVersion: \"1\"\n",
        &format!("  differentialPackageChecksum: {base}\n"),
        "- name: images\n",
    ] {
        assert!(written.contains(part), "{part} not in {written}");
    }
    assert!(!written.contains("registry.invalid"), "{written}");

    // Provenance lists the base as a material.
    sandbox.run(&["tools", "gen-key", "-o", "keys"]);
    let out = create_with(&sandbox, &["--signing-key", "keys/cosign.key", "--attest"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let said = statements(&sandbox, archive);
    let provenance = &said["https://slsa.dev/provenance/v1"]["predicate"];
    let materials = &provenance["buildDefinition"]["resolvedDependencies"];
    let named = |material: &&serde_json::Value| material["name"] == "package:demo:1/checksums.txt";
    let found = materials.as_array().unwrap().iter().find(named).unwrap();
    assert_eq!(found["digest"]["sha256"], base);

    // A full package built from the definition of a differential one is not
    // differential.
    let whole = definition("3").replace("  images:\n  - registry.invalid/app:1\n", "");
    let build = "build:\n  differential: true\n  differentialPackageVersion: '1'\n  differentialPackageChecksum: x\n";
    sandbox.write("jackal.yaml", format!("{whole}{build}"));
    let out = sandbox.run(&["package", "create", "--confirm", "--offline"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let archive = "jackal-package-demo-amd64-3.tar.zst";
    let written = sandbox.run(&["package", "inspect", archive]).stdout;
    assert!(!written.contains("differential"), "{written}");
}

#[test]
fn an_image_that_may_have_moved_is_pulled_again() {
    let sandbox = sandbox(&definition("1").replace("app:1", "app:latest"));
    sandbox.write(
        "jackal.yaml",
        definition("2").replace("app:1", "app:latest"),
    );
    let out = create(&sandbox);
    // The image is requested, which --offline forbids.
    assert_eq!(out.code, Some(3), "{}", out.stderr);
    let told = "`registry.invalid/app:latest` has no pin";
    assert!(out.stderr.contains(told), "{}", out.stderr);
}

#[test]
fn equal_or_missing_versions_are_refused() {
    let out = create(&sandbox(&definition("2")));
    assert_eq!(out.code, Some(3));
    assert!(
        out.stderr.contains("both have version `2`"),
        "{}",
        out.stderr
    );
    let out = create(&sandbox(&definition("")));
    assert_eq!(out.code, Some(3));
    assert!(
        out.stderr
            .contains("the base package has no metadata.version"),
        "{}",
        out.stderr
    );

    let altered = sandbox(&definition("1"));
    altered.write("earlier/checksums.txt", "\n\n");
    let out = create(&altered);
    assert_eq!(out.code, Some(5), "{}", out.stderr);
    let none = Sandbox::new();
    none.write("jackal.yaml", definition("2"));
    assert_eq!(create(&none).code, Some(4));
}
