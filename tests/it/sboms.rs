//! `jackal sbom`: documents of folders, images and packages, in each format.

use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A folder with one npm package, an image layout with the same, and a package with both.
fn made() -> Sandbox {
    let sandbox = Sandbox::new();
    let package = r#"{"name":"left-pad","version":"1.3.0","license":"MIT"}"#;
    sandbox.write("app/package.json", package);
    sandbox.write("other/package.json", package.replace("1.3.0", "2.0.0"));
    for (name, layout) in [("app", "one"), ("other", "two")] {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["DIFF"]},"config":{}}"#;
        layout_of(&sandbox, layout, &sandbox.src().join(name), config);
    }
    sandbox
}

/// Writes an image layout of one layer with the file of a folder.
fn layout_of(sandbox: &Sandbox, layout: &str, folder: &std::path::Path, config: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let bytes = fs::read(folder.join("package.json")).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "srv/package.json", &bytes[..])
        .unwrap();
    let layer = tar.into_inner().unwrap();
    let blob = |bytes: &[u8]| {
        let hex = jackal::oci::Digest::of(bytes).hex();
        sandbox.write(&format!("{layout}/blobs/sha256/{hex}"), bytes);
        (format!("sha256:{hex}"), bytes.len())
    };
    let (layer, layer_size) = blob(&layer);
    let config = String::from_utf8(config.to_vec()).unwrap();
    let (config, config_size) = blob(config.replace("DIFF", &layer).as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}],
    });
    let (manifest, size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size,
            "annotations": {"org.opencontainers.image.ref.name": "r.example/app:1"}}],
    });
    sandbox.write(&format!("{layout}/index.json"), index.to_string());
    sandbox.write(
        &format!("{layout}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
}

fn document(sandbox: &Sandbox, args: &[&str]) -> Value {
    let said = sandbox.run(args);
    assert_eq!(said.code, Some(0), "{args:?}: {}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn folders_and_images_are_listed_in_every_format() {
    let sandbox = made();
    for subject in ["app", "app/package.json", "oci:one", "one"] {
        let syft = document(&sandbox, &["sbom", subject]);
        assert_eq!(syft["artifacts"][0]["name"], "left-pad", "{subject}");
        let cyclone = document(&sandbox, &["sbom", subject, "--format", "cyclonedx-json"]);
        assert_eq!(cyclone["components"][0]["purl"], "pkg:npm/left-pad@1.3.0");
        let spdx = document(&sandbox, &["sbom", subject, "--format", "spdx-json"]);
        assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
        let three = document(&sandbox, &["sbom", subject, "--format", "spdx3-json"]);
        assert!(three["@graph"].as_array().unwrap().len() > 5, "{subject}");
    }
    let table = sandbox.run(&["sbom", "app", "--format", "table"]);
    assert!(
        table.stdout.contains("left-pad  1.3.0    npm   MIT"),
        "{}",
        table.stdout
    );
    let said = sandbox.run(&["sbom", "app", "-o", "app.json"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), ""),
        "{}",
        said.stderr
    );
    let again = document(
        &sandbox,
        &["sbom", "app.json", "--format", "cyclonedx-json"],
    );
    assert_eq!(again["components"][0]["name"], "left-pad");
}

#[test]
fn equal_input_gives_equal_documents() {
    let sandbox = made();
    for format in ["syft-json", "spdx-json", "spdx3-json", "cyclonedx-json"] {
        let one = sandbox.run(&["sbom", "app", "--format", format]).stdout;
        assert_eq!(
            one,
            sandbox.run(&["sbom", "app", "--format", format]).stdout
        );
        assert!(!one.contains(sandbox.src().to_str().unwrap()), "{one}");
    }
}

#[test]
fn differences_are_found_between_any_two() {
    let sandbox = made();
    for (first, second) in [("app", "other"), ("one", "two"), ("app", "two")] {
        let said = sandbox.run(&["sbom", "diff", first, second]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let line = said.stdout.lines().next().unwrap_or_default();
        assert!(
            line.starts_with("~ ") && line.ends_with("npm left-pad: 1.3.0 -> 2.0.0"),
            "{line}"
        );
    }
    let made = sandbox.run(&[
        "sbom",
        "app",
        "--format",
        "spdx-json",
        "-o",
        "app.spdx.json",
    ]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for (subject, part) in [
        ("app.spdx.json", "only syft-JSON can be read"),
        ("./missing", "there is no file or folder"),
        ("", "it is empty"),
    ] {
        let said = sandbox.run(&["sbom", "diff", subject, "app"]);
        assert_eq!(said.code, Some(2), "{subject}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{subject}: {}", said.stderr);
    }
    let same = sandbox.run(&["sbom", "diff", "app", "app"]);
    assert_eq!(same.stdout, "no differences\n");
    let json = document(&sandbox, &["sbom", "diff", "app", "other", "--json"]);
    assert_eq!(json[0]["change"], "changed");
}

#[test]
fn a_document_of_a_package_is_chosen_by_its_name() {
    let sandbox = Sandbox::new();
    sandbox.write("a/package.json", r#"{"name":"left-pad","version":"1.3.0"}"#);
    sandbox.write(
        "b/package.json",
        r#"{"name":"right-pad","version":"1.0.0"}"#,
    );
    let component = |name: &str| {
        format!("- name: {name}\n  files: [{{source: {name}, target: /srv/{name}}}]\n")
    };
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo, version: 1.0.0, architecture: amd64}}\ncomponents:\n{}{}",
            component("a"),
            component("b")
        ),
    );
    let said = sandbox.run(&["package", "create", ".", "--confirm", "-o", "."]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = "jackal-package-demo-amd64-1.0.0.tar.zst";
    let chosen = document(&sandbox, &["sbom", archive, "--select", "b"]);
    assert_eq!(chosen["artifacts"][0]["name"], "right-pad");
    let several = sandbox.run(&["sbom", archive]);
    assert_eq!(several.code, Some(2), "{}", several.stderr);
    assert!(
        several.stderr.contains("choose one with --select"),
        "{}",
        several.stderr
    );
    let none = sandbox.run(&["sbom", archive, "--select", "c"]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    assert!(
        none.stderr.contains("jackal-component-b"),
        "{}",
        none.stderr
    );
    let table = sandbox.run(&["sbom", archive, "--format", "table"]);
    assert!(
        table.stdout.contains("jackal-component-a:\n"),
        "{}",
        table.stdout
    );
    let wrong = sandbox.run(&["sbom", "a", "--select", "x"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
}
