//! Documents in each format are what the official schemas of the formats describe.

use std::fs;

use base64::Engine as _;
use jackal::oci::{Digest, Index, Manifest, Reference};
use jackal::registry::{Options as ClientOptions, Registry};
use jackal::rehearsal::Options;
use serde_json::{Value, json};

use crate::publish::Rehearsal;
use crate::sandbox::{Sandbox, said};
use crate::trust::key;

/// Reads a schema of `tests/fixtures/sboms`.
fn schema(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sboms");
    serde_json::from_slice(&fs::read(format!("{folder}/{name}")).unwrap()).unwrap()
}

/// Refuses what the schema of the format does not allow.
pub fn fits(format: &str, document: &Value) {
    let mut compiler = boon::Compiler::new();
    // They name each other relative to where they are published.
    let main = match format {
        "cyclonedx-json" => {
            for name in ["spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"] {
                let at = format!("http://cyclonedx.org/schema/{name}");
                compiler.add_resource(&at, schema(name)).unwrap();
            }
            "bom-1.6.SNAPSHOT.schema.json"
        }
        "spdx-json" => "spdx-schema-v2.3.json",
        _ => "spdx-schema-v3.0.1.json",
    };
    let at = format!("http://schemas.example/{main}");
    let mut main = schema(main);
    // The validator knows the name of this draft without its empty fragment.
    if let Some(draft) = main["$schema"].as_str().map(str::to_owned) {
        main["$schema"] = json!(draft.replace("2019-09/schema#", "2019-09/schema"));
    }
    // The same without a look-ahead, which the validator does not have.
    if let Some(pattern) = main.pointer_mut("/$defs/IRI/pattern") {
        assert_eq!(*pattern, "^(?!_:).+:.+");
        *pattern = json!("^([^_].*|_[^:].*):.+");
    }
    compiler.enable_format_assertions();
    compiler.add_resource(&at, main).unwrap();
    let mut schemas = boon::Schemas::new();
    let compiled = compiler.compile(&at, &mut schemas);
    let compiled = compiled.unwrap_or_else(|error| panic!("{format}: {error:#}"));
    if let Err(error) = schemas.validate(document, compiled) {
        panic!("{format}: {error:#}");
    }
}

const FORMATS: [&str; 3] = ["cyclonedx-json", "spdx-json", "spdx3-json"];

fn converted(sandbox: &Sandbox, subject: &str, format: &str) -> Value {
    let said = sandbox.run(&["sbom", subject, "--format", format]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

/// A document with all that packages may have, and with all that may be wrong with them.
fn rich() -> Value {
    let licenses: Vec<Value> = spdx::identifiers::LICENSES
        .iter()
        .map(|known| json!({"value": known.name, "spdxExpression": known.name, "type": "declared"}))
        .collect();
    json!({
        "artifacts": [
            {"id": "0000000000000001", "name": "@s/a", "version": "1", "type": "npm", "foundBy": "x",
             "purl": "pkg:npm/%40s/a@1", "language": "javascript",
             "cpes": [{"cpe": "cpe:2.3:a:s:a:1:*:*:*:*:*:*:*"}, {"cpe": "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*"}],
             "licenses": [{"value": "x", "spdxExpression": "MIT OR ISC"}],
             "locations": [{"path": "/a b/ö.json", "layerID": "sha256:00"}],
             "metadata": {"homepage": "https://a.example/", "url": "not a link", "author": "Á <a@b.example>"}},
            {"id": "0000000000000002", "name": "all licences", "version": "1", "type": "deb", "licenses": licenses,
             "metadata": {"maintainer": "A <a@b.example>"}},
            {"id": "0000000000000003", "name": "own", "type": "jar",
             "licenses": [{"value": "own words, é", "spdxExpression": ""}, {"value": "MIT", "spdxExpression": "MIT", "type": "concluded"},
                          {"value": "m", "spdxExpression": "MIT OR ISC"}, {"value": "l", "spdxExpression": "LicenseRef-x"}],
             "metadata": {"vendor": "V", "homepage": "http://[", "digest": [{"algorithm": "sha1", "value": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}]}},
            {"id": "", "name": "", "version": ""},
            {"id": "", "name": "", "version": ""},
        ],
        "artifactRelationships": [
            {"parent": "0000000000000002", "child": "0000000000000001", "type": "dependency-of"},
            {"parent": "s", "child": "0000000000000001", "type": "contains"},
            {"parent": "0000000000000001", "child": "f", "type": "contains"},
            {"parent": "0000000000000003", "child": "f", "type": "evident-by"},
            {"parent": "0000000000000002", "child": "0000000000000003", "type": "ownership-by-file-overlap"},
        ],
        "files": [{"id": "f", "location": {"path": "/a b/ö.json", "layerID": "sha256:00"},
            "metadata": {"mimeType": "text/plain"},
            "digests": [{"algorithm": "sha1", "value": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}]}],
        "source": {"id": "s", "name": "r.example/app", "version": "1", "type": "image", "supplier": "V",
            "metadata": {"manifestDigest": format!("sha256:{}", "0".repeat(64)), "tags": ["r.example/app:1"],
                "labels": {"a": "b"}}},
        "distro": {"id": "debian", "versionID": "12", "prettyName": "Debian"},
    })
}

#[test]
fn every_format_is_valid_by_its_schema() {
    let sandbox = Sandbox::new();
    sandbox.write("rich.json", rich().to_string());
    sandbox.write("empty.json", r#"{"artifacts": []}"#);
    sandbox.write(
        "app/package.json",
        r#"{"name":"left-pad","version":"1.3.0","license":"MIT"}"#,
    );
    for format in FORMATS {
        for subject in ["rich.json", "empty.json", "app"] {
            fits(format, &converted(&sandbox, subject, format));
        }
    }
}

#[test]
fn the_schemas_refuse_documents_that_lack_what_they_require() {
    let sandbox = Sandbox::new();
    sandbox.write("rich.json", rich().to_string());
    for (format, field) in FORMATS.iter().zip([
        "/components/0/name",
        "/packages/0/SPDXID",
        "/@graph/0/created",
    ]) {
        let mut made = converted(&sandbox, "rich.json", format);
        let (parent, key) = field.rsplit_once('/').unwrap();
        made.pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
        let refused = std::panic::catch_unwind(|| fits(format, &made));
        assert!(refused.is_err(), "{format}");
    }
}

#[test]
fn documents_are_made_when_the_environment_says() {
    let sandbox = Sandbox::new();
    sandbox.write("rich.json", rich().to_string());
    for (format, field) in FORMATS.iter().zip([
        "/metadata/timestamp",
        "/creationInfo/created",
        "/@graph/0/created",
    ]) {
        let of = |time: &str| {
            let mut command = sandbox.command(&["sbom", "rich.json", "--format", format]);
            let made = command
                .env("SOURCE_DATE_EPOCH", time)
                .output()
                .unwrap()
                .stdout;
            let document: Value = serde_json::from_slice(&made).unwrap();
            (
                document
                    .pointer(field)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned(),
                made,
            )
        };
        let (time, made) = of("1000000000");
        assert_eq!(time, "2001-09-09T01:46:40Z", "{format}");
        assert_eq!(of("1000000000").1, made);
    }
}

/// A package with an image and a component, and a pipeline that publishes it.
fn package(registry: &Rehearsal, formats: &str, publish: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    for folder in ["rootfs/srv", "app"] {
        let text = format!(
            r#"{{"name":"left-pad-{}","version":"1.3.0"}}"#,
            folder.len()
        );
        sandbox.write(&format!("{folder}/package.json"), text);
    }
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0, architecture: amd64, vendor: Maker}\n\
         components:\n- name: c\n  files: [{source: app, target: /srv/app}]\n  images: ['r.example/i:1']\n",
    );
    sandbox.pipeline(&format!(
        "tasks:\n  i: {{ image: {{ name: 'r.example/i:1', base: scratch, platform: linux/amd64, layers: [{{ from: rootfs, to: /x }}] }} }}\n  \
         c: {{ component: {{ definition: jackal.yaml, name: c }} }}\n  \
         sbom: {{ sbom: {{ of: [i, c], formats: [{formats}] }} }}\n  \
         package: {{ package: {{ definition: jackal.yaml, components: c, images: i, sboms: sbom }} }}\n  \
         publish: {{ publish: {{ packages: package, to: \"{}\"{publish} }} }}\n",
        registry.at("team")
    ));
    sandbox
}

/// An artifact type, a title and a document.
type Attached = (String, String, Vec<u8>);

/// The documents that are attached to a manifest.
fn attached(registry: &Rehearsal, subject: Digest) -> Vec<Attached> {
    let client = Registry::new(ClientOptions::default());
    let at: Reference = format!("{}/team/demo:1.0.0", registry.host())
        .parse()
        .unwrap();
    registry.block_on(async {
        let mut found = Vec::new();
        for listed in client.referrers(&at, subject).await.unwrap() {
            let kind = listed.artifact_type.clone().unwrap();
            if !["spdx+json", "cyclonedx+json", "syft+json"]
                .iter()
                .any(|end| kind.ends_with(end))
            {
                continue;
            }
            let bytes = client.manifest(&at, &listed).await.unwrap();
            let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
            let [layer] = &manifest.layers[..] else {
                panic!()
            };
            assert_eq!(layer.media_type, kind);
            let title = layer.annotations["org.opencontainers.image.title"].clone();
            let document = client.read_blob(&at, layer).await.unwrap();
            found.push((kind, title, document.to_vec()));
        }
        found.sort_by(|a, b| a.1.cmp(&b.1));
        found
    })
}

fn titles(found: &[Attached]) -> Vec<&str> {
    found.iter().map(|(_, title, _)| title.as_str()).collect()
}

/// The manifests of the published package, and of its image.
fn subjects(registry: &Rehearsal) -> [Digest; 2] {
    let package = registry.index("team/demo:1.0.0").unwrap().manifests[0].digest;
    let index: Index = serde_json::from_slice(&file(registry, "images/index.json")).unwrap();
    [package, index.manifests[0].digest]
}

/// A file of the published package.
fn file(registry: &Rehearsal, name: &str) -> Vec<u8> {
    let package = registry.index("team/demo:1.0.0").unwrap().manifests[0].digest;
    let client = Registry::new(ClientOptions::default());
    let at = format!("{}/team/demo@{package}", registry.host());
    let at: Reference = at.parse().unwrap();
    let (_, bytes) = registry.block_on(client.find(&at)).unwrap().unwrap();
    let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
    let mut layers = manifest.layers.iter();
    let layer = layers.find(|layer| layer.annotations["org.opencontainers.image.title"] == name);
    registry
        .block_on(client.read_blob(&at, layer.unwrap()))
        .unwrap()
}

fn writes(registry: &Rehearsal) -> Vec<String> {
    let requests = registry.requests().into_iter();
    let writes = requests.filter(|r| !["GET", "HEAD"].contains(&r.method.as_str()));
    writes.map(|r| format!("{} {}", r.method, r.path)).collect()
}

#[test]
fn packages_carry_their_formats_and_get_them_attached_once() {
    let registry = Rehearsal::new(Options::default());
    let sandbox = package(&registry, "spdx-json, cyclonedx-json", "");
    sandbox.build(&["--pipeline", "p.yaml"]);
    let [about_package, about_image] = subjects(&registry);
    let image = attached(&registry, about_image);
    assert_eq!(
        titles(&image),
        ["r.example_i_1.cdx.json", "r.example_i_1.spdx.json"]
    );
    let whole = attached(&registry, about_package);
    assert_eq!(
        titles(&whole),
        [
            "jackal-package-demo.cdx.json",
            "jackal-package-demo.spdx.json"
        ]
    );
    for (kind, title, document) in image.iter().chain(&whole) {
        let format = match kind.as_str() {
            "application/vnd.cyclonedx+json" => "cyclonedx-json",
            _ => "spdx-json",
        };
        let parsed: Value = serde_json::from_slice(document).unwrap();
        fits(format, &parsed);
        let text = String::from_utf8_lossy(document);
        assert!(text.contains("left-pad-10"), "{title}");
        let is_whole = title.starts_with("jackal-package");
        assert_eq!(text.contains("left-pad-3"), is_whole, "{title}");
        // They are what the package has, so that who has verified it can compare them.
        let held = file(&registry, &format!("sboms.{format}.tar"));
        let mut held = held.windows(document.len());
        assert!(held.any(|part| part == document), "{title}");
    }
    registry.requests();
    sandbox.build(&["--pipeline", "p.yaml"]);
    assert_eq!(writes(&registry), Vec::<String>::new());
}

#[test]
fn a_format_makes_another_package_and_another_key() {
    let registry = Rehearsal::new(Options::default());
    let names = |formats: &str| {
        let sandbox = package(&registry, formats, "");
        let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--task", "package"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let mut archive = std::process::Command::new("tar");
        archive.arg("-tf").arg(sandbox.archive());
        let listed = archive.output().unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let listed = listed.lines().filter(|name| name.starts_with("sboms"));
        listed.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("syft-json"), ["sboms.tar"]);
    let sandbox = package(&registry, "syft-json", "");
    let build = |more: &[&str]| -> Vec<String> {
        let args = [&["--pipeline", "p.yaml", "--task", "package"], more].concat();
        let tasks = sandbox.build(&args).into_iter();
        let executed = tasks.filter(|(_, status)| status == "executed");
        executed.map(|(task, _)| task).collect()
    };
    build(&[]);
    let added = build(&["--sbom-format", "spdx-json"]);
    assert!(added.contains(&"package".to_owned()), "{added:?}");
    assert!(build(&["--sbom-format", "spdx-json"]).is_empty());
}

#[test]
fn an_archive_gets_formats_attached_when_it_is_published() {
    let registry = Rehearsal::new(Options::default());
    let sandbox = package(&registry, "", "");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--task", "package"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = sandbox.archive();
    let (archive, to) = (archive.to_str().unwrap(), registry.at("team"));
    let publish = |formats: &str| {
        let args = ["package", "publish", archive, &to, "--sbom-format", formats];
        let said = sandbox.run(&args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    publish("syft-json,spdx3-json");
    let [about_package, about_image] = subjects(&registry);
    let image = attached(&registry, about_image);
    assert_eq!(
        titles(&image),
        ["r.example_i_1.json", "r.example_i_1.spdx3.json"]
    );
    assert_eq!(image[0].0, "application/vnd.syft+json");
    let whole = attached(&registry, about_package);
    assert_eq!(
        titles(&whole),
        ["jackal-component-c.json", "jackal-package-demo.spdx3.json"]
    );
    fits("spdx3-json", &serde_json::from_slice(&whole[1].2).unwrap());
    registry.requests();
    assert!(publish("syft-json,spdx3-json").contains("unchanged"));
    assert_eq!(writes(&registry), Vec::<String>::new());
    // What is missing is added, and only that.
    let added = publish("cyclonedx-json");
    assert!(!added.contains("unchanged"), "{added}");
    assert_eq!(attached(&registry, about_image).len(), 3);
    let uploads = writes(&registry);
    let uploads = uploads
        .iter()
        .filter(|line| line.contains("/manifests/sha256:"));
    assert_eq!(uploads.count(), 3, "the package's manifest, and two more");
}

/// The statements in the bundles beside an archive.
fn statements(sandbox: &Sandbox, archive: &str) -> Vec<Value> {
    let beside = sandbox.src().join(format!("{archive}.sigstore.jsonl"));
    let engine = base64::engine::general_purpose::STANDARD;
    let lines = fs::read_to_string(beside).unwrap();
    let lines = lines.lines().map(|line| {
        let bundle: Value = serde_json::from_str(line).unwrap();
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        serde_json::from_slice(&engine.decode(payload).unwrap()).unwrap()
    });
    lines.collect()
}

#[test]
fn documents_are_attested_about_existing_packages() {
    let registry = Rehearsal::new(Options::default());
    let sandbox = package(&registry, "cyclonedx-json", "");
    key(&sandbox, "a");
    sandbox.write(
        "given.json",
        r#"{"spdxVersion": "SPDX-2.3", "name": "given"}"#,
    );
    sandbox.build(&["--pipeline", "p.yaml"]);
    let archive = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";
    let place = registry.at("team/demo:1.0.0");
    let policy = "rules:\n- packages: demo\n  signers: [{key: a/cosign.pub}]\n  attestations:\n  \
                  - { predicateType: https://cyclonedx.org/bom }\n  - { predicateType: https://spdx.dev/Document }\n";
    sandbox.write("policy.yaml", policy);
    let attest = [
        "--attest",
        "cyclonedx-json",
        "--attest",
        "spdx-json=given.json",
    ];
    let signer = [
        "--signing-key",
        "a/cosign.key",
        "--signing-key-pass",
        "pw",
        "--confirm",
    ];
    for source in [archive, &place] {
        let sign = || {
            let args = [
                &["package", "sign", source, "-a", "amd64"],
                &attest[..],
                &signer,
            ]
            .concat();
            let said = sandbox.run(&args);
            assert_eq!(said.code, Some(0), "{source}: {}", said.stderr);
            // What the package carries is attached to its signed form as well.
            let left = said.stderr.contains("stay attached");
            assert!(!left, "{}", said.stderr);
            said.stdout
        };
        sign();
        let verified = [
            "package",
            "verify",
            source,
            "-a",
            "amd64",
            "--policy",
            "policy.yaml",
        ];
        let said = sandbox.run(&verified);
        assert_eq!(said.code, Some(0), "{source}: {}", said.stderr);
        registry.requests();
        let again = sign();
        if source == place {
            assert!(again.contains("unchanged"), "{again}");
            assert_eq!(writes(&registry), Vec::<String>::new());
        }
    }
    let made = statements(&sandbox, archive);
    let kinds: Vec<&str> = made
        .iter()
        .map(|one| one["predicateType"].as_str().unwrap())
        .collect();
    let [_, spdx, cyclone] = &kinds[..] else {
        panic!("{kinds:?}")
    };
    assert_eq!(
        (*spdx, *cyclone),
        ("https://spdx.dev/Document", "https://cyclonedx.org/bom")
    );
    assert_eq!(made[1]["predicate"]["name"], "given");
    fits("cyclonedx-json", &made[2]["predicate"]);
    // They are about the package in a registry as well.
    let again = registry.at("again");
    let publish = ["package", "publish", "-k", "a/cosign.pub", archive, &again];
    let said = sandbox.run(&publish);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let manifest = registry.index("again/demo:1.0.0").unwrap().manifests[0].digest;
    for one in &made[1..] {
        let subjects = one["subject"].as_array().unwrap().iter();
        let mut digests = subjects.map(|subject| subject["digest"]["sha256"].as_str().unwrap());
        assert!(digests.any(|digest| digest == manifest.hex()), "{one}");
    }
    for wrong in [
        "spdx-json=policy.yaml",
        "cyclonedx-json=given.json",
        "syft-json",
    ] {
        let args = [
            &["package", "sign", archive, "--attest", wrong],
            &signer[..],
        ]
        .concat();
        assert_ne!(sandbox.run(&args).code, Some(0), "{wrong}");
    }
}

#[test]
fn attesting_is_not_forgotten_when_a_release_is_resumed() {
    let fault = "kinds=403,match=^PUT .*/manifests/1.0.0,after=1,count=1";
    let registry = Rehearsal::with_faults(&[fault]);
    let sandbox = package(&registry, "", "");
    key(&sandbox, "a");
    sandbox.build(&["--pipeline", "p.yaml"]);
    let state = sandbox.src().join("../state");
    let (place, key) = (registry.at("team/demo:1.0.0"), "a/cosign.key");
    let run = |args: &[&str]| {
        let signer = ["--signing-key", key, "--signing-key-pass", "pw"];
        let mut command = sandbox.command(&[args, &signer].concat());
        said(command.env("JACKAL_STATE_DIR", &state))
    };
    let sign = || {
        let args = ["package", "sign", &place, "-a", "amd64", "--confirm"];
        run(&[&args[..], &["--attest", "spdx-json"]].concat())
    };
    let interrupted = sign();
    assert_eq!(interrupted.code, Some(4), "{}", interrupted.stderr);
    let refused = run(&["release", "resume"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--attest"), "{}", refused.stderr);
    let again = sign();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let status = sandbox.run(&["release", "status", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(status.stdout, "");
}

#[test]
fn documents_that_signing_leaves_behind_are_reported() {
    let registry = Rehearsal::new(Options::default());
    let sandbox = package(&registry, "", "");
    key(&sandbox, "a");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--task", "package"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = sandbox.archive();
    for (to, place) in [
        (registry.at("team"), registry.at("team/demo:1.0.0")),
        ("oci-layout:lay".to_owned(), "oci:lay:1.0.0".to_owned()),
    ] {
        let archive = archive.to_str().unwrap();
        let formats = ["--sbom-format", "spdx-json,cyclonedx-json"];
        let said = sandbox.run(&[&["package", "publish", archive, &to], &formats[..]].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let sign = || {
            let args = ["package", "sign", &place, "-a", "amd64", "--confirm"];
            let signer = ["--signing-key", "a/cosign.key", "--signing-key-pass", "pw"];
            let said = sandbox.run(&[&args[..], &signer].concat());
            assert_eq!(said.code, Some(0), "{place}: {}", said.stderr);
            said.stderr
        };
        let told = sign();
        assert!(told.contains("2 SBOM documents stay attached"), "{told}");
        let again = sign();
        assert!(!again.contains("stay attached"), "{again}");
    }
}

#[test]
fn packages_without_sboms_are_published_beside_others() {
    let registry = Rehearsal::new(Options::default());
    let sandbox = package(&registry, "", ", sbomFormats: [spdx-json]");
    sandbox.write(
        "docs/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: docs, version: 1.0.0, architecture: amd64}\n\
         components:\n- name: d\n  files: [{source: x, target: /srv/x}]\n",
    );
    sandbox.write("docs/x", "x");
    let pipeline = fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    let more = "  d: { component: { definition: docs/jackal.yaml, name: d } }\n  \
                docs: { package: { definition: docs/jackal.yaml, components: d } }\n";
    let pipeline = pipeline.replace("packages: package,", "packages: [package, docs],");
    sandbox.write("p.yaml", format!("{pipeline}{more}"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("`docs` has no SBOMs"), "{told}");
    assert!(!told.contains("`package` has no SBOMs"), "{told}");
    assert!(registry.index("team/docs:1.0.0").is_some());
    let [about_package, _] = subjects(&registry);
    assert_eq!(attached(&registry, about_package).len(), 1);
    let other = Rehearsal::new(Options::default());
    let sandbox = package(&other, "", ", sbomFormats: [spdx-json]");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--skip-sbom"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(other.index("team/demo:1.0.0").is_some());
}
