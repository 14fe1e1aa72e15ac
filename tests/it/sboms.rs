//! `jackal sbom`: documents of folders, images and packages, in each format.

use std::fs;

use jackal::package::manifest::title;
use serde_json::Value;

use crate::publish::{Rehearsal, publish};
use crate::pull::elsewhere;
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

#[test]
fn what_a_scan_could_not_read_is_named_by_every_command() {
    let sandbox = Sandbox::new();
    sandbox.write("root/var/lib/rpm/rpmdb.sqlite", "no database");
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0, architecture: amd64}\n\
         components:\n- name: a\n  files: [{source: root, target: /srv/root}]\n",
    );
    let made = sandbox.run(&["package", "create", ".", "--confirm", "-o", "."]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let warning = "files that could not be read: `/files/0/root/var/lib/rpm/rpmdb.sqlite`";
    assert!(made.stderr.contains("SBOM of `a`"), "{}", made.stderr);
    assert!(made.stderr.contains(warning), "{}", made.stderr);
    let archive = "jackal-package-demo-amd64-1.0.0.tar.zst";
    let json = sandbox.run(&["sbom", archive]);
    assert!(json.stderr.contains(warning), "{}", json.stderr);
    for subject in [archive, "root"] {
        let table = sandbox.run(&["sbom", subject, "--format", "table"]);
        let (_, listed) = table.stdout.split_once("\nNot read:\n").unwrap();
        assert!(listed.contains("rpmdb.sqlite"), "{listed}");
    }
}

#[test]
fn one_of_several_images_is_chosen_as_the_error_says() {
    let sandbox = made();
    let index = |layout: &str| -> Value {
        let path = sandbox.src().join(layout).join("index.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let mut both = index("one");
    let mut second = index("two")["manifests"][0].clone();
    let blobs = sandbox.src().join("two/blobs/sha256");
    for blob in fs::read_dir(blobs).unwrap() {
        let blob = blob.unwrap();
        let name = blob.file_name().into_string().unwrap();
        let bytes = fs::read(blob.path()).unwrap();
        sandbox.write(&format!("one/blobs/sha256/{name}"), bytes);
    }
    second["annotations"]["org.opencontainers.image.ref.name"] = "r.example/app:2".into();
    both["manifests"].as_array_mut().unwrap().push(second);
    sandbox.write("one/index.json", both.to_string());
    let several = sandbox.run(&["sbom", "oci:one"]);
    assert_ne!(several.code, Some(0));
    let example = "oci:one:r.example/app:1";
    assert!(several.stderr.contains(example), "{}", several.stderr);
    let chosen = document(&sandbox, &["sbom", example]);
    assert_eq!(chosen["artifacts"][0]["version"], "1.3.0");
    let chosen = document(&sandbox, &["sbom", "oci:one:r.example/app:2"]);
    assert_eq!(chosen["artifacts"][0]["version"], "2.0.0");
}

/// Two packages of one component; the second has another version of its npm package.
fn two_packages(sandbox: &Sandbox) -> [String; 2] {
    ["1.0.0", "2.0.0"].map(|version| {
        let package = format!(r#"{{"name":"left-pad","version":"{version}"}}"#);
        sandbox.write("web/package.json", package);
        sandbox.write(
            "jackal.yaml",
            format!(
                "kind: JackalPackageConfig\n\
                 metadata: {{name: demo, version: {version}, architecture: amd64}}\n\
                 components:\n- name: web\n  files: [{{source: web, target: /srv/web}}]\n"
            ),
        );
        let made = sandbox.run(&["package", "create", ".", "--confirm", "-o", "."]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        format!("jackal-package-demo-amd64-{version}.tar.zst")
    })
}

/// The data of a page, as its script reads them.
fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_page_shows_the_documents_of_a_package_and_what_changed() {
    let sandbox = Sandbox::new();
    let [old, new] = two_packages(&sandbox);
    let inspect = |args: &[&str]| {
        let args = [&["package", "inspect", "sbom"], args].concat();
        let said = sandbox.run(&args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.stderr);
        said.stdout
    };
    inspect(&[&new, "--html", "page.html", "--against", &old]);
    let page = fs::read_to_string(sandbox.src().join("page.html")).unwrap();
    let data = data_of(&page);
    assert_eq!(data["title"], "demo 2.0.0");
    assert_eq!(data["since"], "demo 1.0.0");
    assert_eq!(data["documents"][0]["name"], "jackal-component-web");
    assert_eq!(data["documents"][0]["packages"][0][0], "left-pad");
    let change = &data["changes"][0];
    assert_eq!(change["name"], "left-pad");
    assert_eq!(
        (&change["from"][0], &change["to"][0]),
        (&"1.0.0".into(), &"2.0.0".into())
    );
    // The same bytes each time; without another package, no changes.
    let alone = inspect(&[&new, "--html", "-"]);
    assert_eq!(alone, inspect(&[&new, "--html", "-"]));
    assert_eq!(data_of(&alone).get("changes"), None);
    // Elsewhere than on a terminal, the documents are written as Zarf writes them.
    assert_eq!(inspect(&[&new]), "./demo\n");
    assert!(
        sandbox
            .src()
            .join("demo/jackal-component-web.json")
            .exists()
    );
    assert_eq!(inspect(&[&new, "--sbom-out", "to"]), "to/demo\n");
    let both = sandbox.run(&["package", "inspect", &new, "--sbom-out", "to"]);
    assert!(both.stdout.contains("name: demo"), "{}", both.stderr);
    assert!(
        both.stderr.contains("wrote the SBOMs to to/demo"),
        "{}",
        both.stderr
    );
    let alone = sandbox.run(&["package", "inspect", "sbom", &new, "--against", &old]);
    assert_eq!(alone.code, Some(2));
    assert!(alone.stderr.contains("--html"), "{}", alone.stderr);
}

#[test]
fn a_document_of_a_published_package_costs_its_sboms_only() {
    let (sandbox, registry) = (Sandbox::new(), Rehearsal::with_faults(&[]));
    let [_, archive] = two_packages(&sandbox);
    let said = publish(&sandbox, &[&archive, &registry.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (_, manifest) = registry.manifest("x/demo:2.0.0", "amd64");
    registry.requests();
    let package = registry.at("x/demo:2.0.0");
    let chosen = elsewhere(
        &sandbox,
        &["sbom", &package, "-a", "amd64", "--select", "web"],
    );
    assert_eq!(chosen.code, Some(0), "{}", chosen.stderr);
    assert!(chosen.stdout.contains("left-pad"), "{}", chosen.stdout);
    let requests = registry.requests();
    for layer in &manifest.layers {
        let name = title(layer).unwrap();
        let fetched = requests
            .iter()
            .any(|r| r.path.contains(&layer.digest.hex()));
        let needed = ["jackal.yaml", "checksums.txt", "sboms.tar"].contains(&name);
        assert_eq!(fetched, needed, "{name}: {requests:#?}");
    }
    let blobs = requests.iter().filter(|r| r.path.contains("/blobs/"));
    assert!(blobs.count() <= 4, "{requests:#?}");
}

/// An image of one layer in a registry, under an index with what `BuildKit` adds; its
/// manifest.
fn published(registry: &Rehearsal) -> (jackal::oci::Digest, usize) {
    let mut tar = tar::Builder::new(Vec::new());
    let bytes = br#"{"name":"left-pad","version":"1.3.0"}"#;
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "srv/package.json", &bytes[..])
        .unwrap();
    let layer = tar.into_inner().unwrap();
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = registry.put_blob("app", bytes);
        serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let diff = jackal::oci::Digest::of(&layer);
    let config = serde_json::json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff]}, "config": {}});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = |value: serde_json::Value| {
        let bytes = value.to_string();
        (
            registry.put_manifest("app", manifest_type, bytes.as_bytes()),
            bytes.len(),
        )
    };
    let (image, size) = manifest(
        serde_json::json!({"schemaVersion": 2, "mediaType": manifest_type,
        "config": blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar", &layer)]}),
    );
    let mut statement = blob("application/vnd.in-toto+json", b"{}");
    statement["annotations"] =
        serde_json::json!({"in-toto.io/predicate-type": "https://spdx.dev/Document"});
    let (attested, length) = manifest(
        serde_json::json!({"schemaVersion": 2, "mediaType": manifest_type,
        "config": blob("application/vnd.oci.image.config.v1+json", b"{}"), "layers": [statement]}),
    );
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"mediaType": manifest_type, "digest": image, "size": size, "platform": {"architecture": "amd64", "os": "linux"}},
        {"mediaType": manifest_type, "digest": attested, "size": length, "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image}},
    ]});
    let kind = "application/vnd.oci.image.index.v1+json";
    registry.put_tag("app:1", kind, index.to_string().as_bytes());
    (image, size)
}

#[test]
fn sboms_that_are_attached_to_an_image_are_named_and_foreign_ones_are_not_taken_for_its_own() {
    let registry = Rehearsal::with_faults(&[]);
    let (image, size) = published(&registry);
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let refer = |subject: jackal::oci::Digest| {
        let digest = registry.put_blob("app", b"[]");
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": manifest_type,
            "artifactType": "application/vnd.cyclonedx+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2},
            "layers": [{"mediaType": "application/vnd.cyclonedx+json", "digest": digest, "size": 2}],
            "subject": {"mediaType": manifest_type, "digest": subject, "size": size}});
        let bytes = manifest.to_string();
        let digest = registry.put_manifest("app", manifest_type, bytes.as_bytes());
        serde_json::json!({"mediaType": manifest_type, "digest": digest, "size": bytes.len(),
            "artifactType": "application/vnd.cyclonedx+json"})
    };
    let other = jackal::oci::Digest::of(b"another");
    let listed = [refer(image), refer(other)];
    let index = serde_json::json!({"schemaVersion": 2, "manifests": listed});
    let kind = "application/vnd.oci.image.index.v1+json";
    let fallback = format!("app:sha256-{}", image.hex());
    registry.put_tag(&fallback, kind, index.to_string().as_bytes());
    let sandbox = Sandbox::new();
    let name = format!("{}/app:1", registry.host());
    let run = || sandbox.run(&["sbom", &name, "-a", "amd64", "--format", "syft-json"]);
    let said = run();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["artifacts"][0]["name"], "left-pad");
    for part in [
        "not verified and not used: SPDX, sha256:",
        "(attestation of the build)",
        "not verified and not used: CycloneDX, sha256:",
        "is about another image",
    ] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    // What was found is remembered.
    registry.requests();
    assert_eq!(run().stderr, said.stderr);
    let asked = registry.requests();
    let asked = |part: &str| asked.iter().any(|request| request.path.contains(part));
    assert!(!asked("referrers") && !asked("sha256-"));
}
