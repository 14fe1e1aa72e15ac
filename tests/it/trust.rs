//! Signing, verifying and releasing signed packages.

use std::fs;
use std::path::{Path, PathBuf};

use jackal::oci::{Digest, Index, Manifest};
use serde_json::Value;

use super::publish::{Rehearsal, built, publish};
use super::sandbox::{Said, Sandbox, said};

pub(super) const ARCHIVE: &str = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";

/// Exit code of a failed verification.
pub(super) const REFUSED: Option<i32> = Some(5);

/// Generates the key pair `name`/cosign.key with the password `pw`.
pub(super) fn key(sandbox: &Sandbox, name: &str) {
    let said = sandbox.run(&["tools", "gen-key", "-o", name, "--signing-key-pass", "pw"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

pub(super) fn sign(sandbox: &Sandbox, args: &[&str]) -> Said {
    let key = ["--signing-key", "a/cosign.key", "--signing-key-pass", "pw"];
    sandbox.run(&[&["package", "sign"], args, &key].concat())
}

pub(super) fn publish_signed(sandbox: &Sandbox, args: &[&str]) -> Said {
    let key = ["--signing-key", "a/cosign.key", "--signing-key-pass", "pw"];
    publish(sandbox, &[args, &key].concat())
}

pub(super) fn verify(sandbox: &Sandbox, args: &[&str]) -> Said {
    sandbox.run(&[&["package", "verify"], args].concat())
}

pub(super) fn signed() -> Sandbox {
    let sandbox = built();
    key(&sandbox, "a");
    let said = sign(&sandbox, &[ARCHIVE]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    sandbox
}

fn unpacked(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.src().join("unpacked");
    let tar = zstd::decode_all(fs::File::open(sandbox.archive()).unwrap()).unwrap();
    tar::Archive::new(&tar[..]).unpack(&folder).unwrap();
    folder
}

#[test]
fn the_given_material_and_the_signature_must_agree() {
    let sandbox = signed();
    key(&sandbox, "b");
    let good = verify(&sandbox, &[ARCHIVE, "--key", "a/cosign.pub", "--json"]);
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    let told: Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!(told["signature"]["verified"], true);
    assert_eq!(told["signature"]["foundIn"][0], "jackal.yaml.sig");
    assert_eq!(told["signature"]["by"]["key"], "a/cosign.pub");
    // Any one of several keys is enough.
    let both = verify(
        &sandbox,
        &[ARCHIVE, "-k", "b/cosign.pub", "-k", "a/cosign.pub"],
    );
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    let identity = [
        "--certificate-identity",
        "x@y.z",
        "--certificate-oidc-issuer",
        "https://i",
    ];
    for (args, message) in [
        (&["--key", "b/cosign.pub"][..], "does not match"),
        (&[], "no key or identity was given to verify it"),
        (
            &identity,
            "it is signed with a key, but an identity was given",
        ),
    ] {
        let said = verify(&sandbox, &[&[ARCHIVE], args].concat());
        assert_eq!(said.code, REFUSED, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    // An identity without issuer is refused for every package.
    for args in [
        &["--certificate-identity", "x@y.z"][..],
        &["--certificate-oidc-issuer", "https://i"],
        &[
            "--certificate-identity-regexp",
            "(",
            "--certificate-oidc-issuer",
            "https://i",
        ],
    ] {
        let said = verify(&sandbox, &[&["no-such-package"], args].concat());
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.stderr);
    }
    // Inspecting warns, and so does turning the check off.
    let look = sandbox.run(&["package", "inspect", ARCHIVE]);
    assert_eq!(look.code, Some(0));
    assert!(
        look.stderr.contains("signature NOT checked"),
        "{}",
        look.stderr
    );
    let off = verify(&sandbox, &[ARCHIVE, "--skip-signature-validation"]);
    assert_eq!(off.code, Some(0));
    assert!(off.stderr.contains("NOT verified"), "{}", off.stderr);
    assert!(off.stdout.contains("NOT checked"), "{}", off.stdout);
}

#[test]
fn a_removed_signature_is_detected() {
    let sandbox = built();
    key(&sandbox, "a");
    let said = verify(&sandbox, &[ARCHIVE, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
    assert!(said.stderr.contains("is not signed"), "{}", said.stderr);
    let looked = sandbox.run(&["package", "inspect", ARCHIVE, "--key", "a/cosign.pub"]);
    assert_eq!(looked.code, REFUSED, "{}", looked.stdout);
    assert!(looked.stdout.is_empty());
}

#[test]
fn signing_at_once_later_or_again_gives_the_same_archive() {
    let sandbox = signed();
    let later = fs::read(sandbox.archive()).unwrap();
    let key = ["--signing-key", "a/cosign.key", "--signing-key-pass", "pw"];
    let create = ["package", "create", "--confirm", "-o", "at-once"];
    let said = sandbox.run(&[&create[..], &key].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let name = Path::new(ARCHIVE).file_name().unwrap();
    assert_eq!(
        fs::read(sandbox.src().join("at-once").join(name)).unwrap(),
        later
    );
    let again = sign(&sandbox, &[ARCHIVE]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(fs::read(sandbox.archive()).unwrap(), later);
    // Another signer replaces the first.
    self::key(&sandbox, "b");
    let other = sandbox.run(&[
        "package",
        "sign",
        ARCHIVE,
        "--signing-key",
        "b/cosign.key",
        "--signing-key-pass",
        "pw",
    ]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let said = verify(&sandbox, &[ARCHIVE, "--key", "b/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = verify(&sandbox, &[ARCHIVE, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED, "{}", said.stderr);
}

#[test]
fn archives_of_any_form_are_signed_without_repacking() {
    let sandbox = built();
    key(&sandbox, "a");
    let tar = zstd::decode_all(fs::File::open(sandbox.archive()).unwrap()).unwrap();
    let one_stream = zstd::encode_all(&tar[..], 3).unwrap();
    for (name, before) in [("plain.tar", &tar), ("foreign.tar.zst", &one_stream)] {
        sandbox.write(name, before);
        let said = sign(&sandbox, &[name]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        let after = fs::read(sandbox.src().join(name)).unwrap();
        assert!(after.ends_with(before), "{name}");
        let said = verify(&sandbox, &[name, "--key", "a/cosign.pub"]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        let again = sign(&sandbox, &[name]);
        assert_eq!(again.code, Some(0), "{name}: {}", again.stderr);
        let said = verify(&sandbox, &[name, "--key", "a/cosign.pub"]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
    }
    let folder = unpacked(&sandbox);
    let said = sign(&sandbox, &["unpacked"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(folder.join("jackal.yaml.sig").is_file());
}

#[test]
fn a_damaged_package_is_not_signed() {
    let sandbox = built();
    key(&sandbox, "a");
    let folder = unpacked(&sandbox);
    fs::write(folder.join("components/tool.tar"), "other").unwrap();
    let said = sign(&sandbox, &["unpacked"]);
    assert_eq!(said.code, REFUSED, "{}", said.stderr);
    assert!(!folder.join("jackal.yaml.sig").exists());
}

#[test]
fn every_link_of_the_chain_is_checked() {
    let sandbox = signed();
    let folder = unpacked(&sandbox);
    let refused = |what: &str| {
        let said = verify(&sandbox, &["unpacked", "--key", "a/cosign.pub"]);
        assert_eq!(said.code, REFUSED, "{what}: {}", said.stderr);
        said.stderr
    };
    for name in [
        "jackal.yaml",
        "checksums.txt",
        "sboms.tar",
        "jackal.yaml.sig",
    ] {
        let path = folder.join(name);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        refused(name);
        fs::write(&path, &before).unwrap();
    }
    let said = verify(&sandbox, &["unpacked", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A definition that says it is signed, without its signature.
    fs::remove_file(folder.join("jackal.yaml.sig")).unwrap();
    let text = fs::read_to_string(folder.join("jackal.yaml")).unwrap();
    let marked = text.replace("build:\n", "build:\n  signed: true\n");
    assert_ne!(text, marked);
    fs::write(folder.join("jackal.yaml"), marked).unwrap();
    let said = verify(&sandbox, &["unpacked"]);
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr.contains("it may have been removed"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_bundle_takes_precedence_over_a_plain_signature() {
    let sandbox = signed();
    let folder = unpacked(&sandbox);
    // A keyless bundle beside the valid signature of the key.
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signing");
    let bundle = fixtures.join("keyless/bundles/v1.sigstore.json");
    fs::copy(bundle, folder.join("jackal.bundle.sig")).unwrap();
    let said = verify(&sandbox, &["unpacked", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED, "{}", said.stderr);
    assert!(said.stderr.contains("jackal.bundle.sig"), "{}", said.stderr);
}

#[test]
fn zarfs_bundle_verifies_only_with_its_key() {
    let sandbox = built();
    key(&sandbox, "a");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signing");
    let package = fixtures.join("zarf-package").to_string_lossy().into_owned();
    let key = fixtures
        .join("keys/p256.pub")
        .to_string_lossy()
        .into_owned();
    let said = verify(&sandbox, &[&package, "--key", &key]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = verify(&sandbox, &[&package, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
    let identity = [
        "--certificate-identity",
        "x",
        "--certificate-oidc-issuer",
        "y",
    ];
    let said = verify(&sandbox, &[&[&package[..]], &identity[..]].concat());
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr
            .contains("signed with a key, but an identity was given"),
        "{}",
        said.stderr
    );
}

#[test]
fn nothing_is_visible_before_its_signature_was_read_back() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let said = publish_signed(&sandbox, &[ARCHIVE, &registry.at("team")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("attached 1 bundles"),
        "{}",
        said.stdout
    );
    let requests = registry.requests();
    let visible = requests
        .iter()
        .position(|request| request.method == "PUT" && request.path.ends_with("/manifests/1.0.0"))
        .unwrap();
    // The index of the tag is signed after it.
    let place = |is: &dyn Fn(&str, &str) -> bool| {
        requests[..visible]
            .iter()
            .rposition(|request| is(&request.method, &request.path))
            .unwrap()
    };
    let attached = place(&|method, path| method == "PUT" && path.contains("/manifests/sha256:"));
    let read_back = place(&|method, path| method == "GET" && path.contains("/referrers/"));
    assert!(attached < read_back, "{requests:?}");
    let (_, manifest) = registry.manifest("team/demo:1.0.0", "amd64");
    let mut titles = manifest
        .layers
        .iter()
        .filter_map(jackal::package::manifest::title);
    assert!(titles.any(|title| title == "jackal.yaml.sig"));
    // Again: it exists and is verified, so nothing is written.
    registry.requests();
    let again = publish_signed(&sandbox, &[ARCHIVE, &registry.at("team")]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stdout.contains("unchanged"), "{}", again.stdout);
    let requests = registry.requests();
    assert!(requests.len() <= 6, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|r| r.method != "PUT" && r.method != "POST")
    );
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn where_signatures_cannot_be_attached_no_tag_moves() {
    for fault in [
        "kinds=500,match=^GET .*/referrers/,after=1",
        "kinds=507,match=^PUT .*/manifests/sha256,after=1",
        "kinds=lost-write,match=^PUT .*/manifests/sha256,after=1",
    ] {
        let (sandbox, registry) = (built(), Rehearsal::with_faults(&[fault]));
        key(&sandbox, "a");
        let said = publish_signed(&sandbox, &[ARCHIVE, &registry.at("team")]);
        assert_ne!(said.code, Some(0), "{fault}: {}", said.stdout);
        assert!(registry.index("team/demo:1.0.0").is_none(), "{fault}");
    }
}

#[test]
fn a_signed_package_under_another_name_or_version_is_refused() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let said = publish_signed(&sandbox, &[ARCHIVE, &registry.at("team")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let from = registry.at("team/demo:1.0.0");
    let host = registry.host();
    let copy = |to: &str, tag: &str| {
        let said = publish(
            &sandbox,
            &[
                &from,
                &registry.at(to),
                "-a",
                "amd64",
                "--tag",
                tag,
                "--key",
                "a/cosign.pub",
            ],
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    };
    // The bundle travels with the copy.
    copy("mirror", "1.0.0");
    let mirrored = format!("oci://{host}/mirror/demo:1.0.0");
    let said = verify(
        &sandbox,
        &[&mirrored, "-a", "amd64", "--key", "a/cosign.pub"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    copy("old", "2.0.0");
    let newer = format!("oci://{host}/old/demo:2.0.0");
    let said = verify(&sandbox, &[&newer, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr.contains("the tag `2.0.0` looks like a version"),
        "{}",
        said.stderr
    );
    // Versions in other forms, by the commands that use packages.
    copy("old", "2024.1");
    let newer = format!("oci://{host}/old/demo:2024.1");
    for command in [&["verify"][..], &["pull", "-o", "pulled"], &["inspect"]] {
        let args = [&["package"], command, &[&newer, "-a", "amd64"]].concat();
        let said = sandbox.run(&[&args[..], &["--key", "a/cosign.pub"]].concat());
        assert_eq!(said.code, REFUSED, "{command:?}: {}", said.stderr);
        assert!(said.stderr.contains("`1.0.0`"), "{}", said.stderr);
    }
    assert!(!sandbox.src().join("pulled").exists());
    // A floating tag does not name a version.
    copy("latest", "latest");
    let latest = format!("oci://{host}/latest/demo:latest");
    let said = verify(&sandbox, &[&latest, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let warning = "warning: the signature does not cover the tag `latest`: the signed package has version `1.0.0`";
    assert!(said.stderr.contains(warning), "{}", said.stderr);
    // The name of another repository, and the entry of another architecture.
    let (digest, manifest) = registry.manifest("team/demo:1.0.0", "amd64");
    let bytes = manifest_bytes(&registry, "team/demo", &digest);
    for layer in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = blob_bytes(&registry, "team/demo", layer);
        registry.put_blob("team/other", &bytes);
    }
    let kind = jackal::oci::media_type::MANIFEST;
    registry.put_manifest("team/other", kind, &bytes);
    let other = format!("oci://{host}/team/other@{digest}");
    let said = verify(&sandbox, &[&other, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr.contains("expected name `other`"),
        "{}",
        said.stderr
    );
    let described = jackal::oci::Descriptor::of(kind, &bytes);
    let index = jackal::package::manifest::with_entry(None, &described, "arm64");
    let index = serde_json::to_vec::<Index>(&index).unwrap();
    let index = registry.put_manifest("team/demo", jackal::oci::media_type::INDEX, &index);
    let arm = format!("oci://{host}/team/demo@{index}");
    let said = verify(&sandbox, &[&arm, "-a", "arm64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr.contains("expected architecture `arm64`"),
        "{}",
        said.stderr
    );
}

fn manifest_bytes(registry: &Rehearsal, repository: &str, digest: &Digest) -> Vec<u8> {
    let client = jackal::registry::Registry::new(Default::default());
    let at = format!("{}/{repository}@{digest}", registry.host())
        .parse()
        .unwrap();
    registry.block_on(client.resolve(&at)).unwrap().1.to_vec()
}

fn blob_bytes(registry: &Rehearsal, repository: &str, blob: &jackal::oci::Descriptor) -> Vec<u8> {
    let client = jackal::registry::Registry::new(Default::default());
    let at = format!("{}/{repository}", registry.host()).parse().unwrap();
    registry.block_on(client.read_blob(&at, blob)).unwrap()
}

#[test]
fn referrers_are_candidates_only() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let said = publish_signed(
        &sandbox,
        &[ARCHIVE, &registry.at("team"), "--signature", "detached"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (digest, manifest) = registry.manifest("team/demo:1.0.0", "amd64");
    let mut titles = manifest
        .layers
        .iter()
        .filter_map(jackal::package::manifest::title);
    assert!(titles.all(|title| !title.ends_with(".sig")));
    // The list is flooded with useless referrers.
    let subject = jackal::oci::Descriptor {
        digest,
        size: manifest_bytes(&registry, "team/demo", &digest).len() as u64,
        ..jackal::oci::Descriptor::of(jackal::oci::media_type::MANIFEST, b"")
    };
    registry.put_blob("team/demo", b"{}");
    for bundle in ["{}", "no json", "{\"mediaType\":\"x\"}"] {
        registry.put_blob("team/demo", bundle.as_bytes());
        let manifest = jackal::source::bundle_manifest(&subject, bundle.as_bytes()).unwrap();
        registry.attach("team/demo", &manifest);
    }
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    key(&sandbox, "b");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "b/cosign.pub"]);
    assert_eq!(said.code, REFUSED);
}

#[test]
fn foreign_referrers_do_not_hide_the_owners_signature() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let detached = ["--signature", "detached"];
    let said = publish_signed(
        &sandbox,
        &[&[ARCHIVE, &registry.at("team")], &detached[..]].concat(),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (digest, _) = registry.manifest("team/demo:1.0.0", "amd64");
    let client = jackal::registry::Registry::new(Default::default());
    let to = format!("{}/team/demo", registry.host()).parse().unwrap();
    let listed = registry.block_on(client.referrers(&to, digest)).unwrap();
    let [owners] = &listed[..] else {
        panic!("{listed:?}");
    };
    // More than were once looked at, each listed before the owner's.
    let kind = jackal::oci::media_type::MANIFEST;
    let subject = jackal::oci::Descriptor {
        digest,
        size: manifest_bytes(&registry, "team/demo", &digest).len() as u64,
        ..jackal::oci::Descriptor::of(kind, b"")
    };
    let bundle = b"{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}";
    registry.put_blob("team/demo", bundle);
    let manifest = jackal::source::bundle_manifest(&subject, bundle).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    let foreign = (0..).map(|number: u32| {
        manifest.annotations.insert("n".into(), number.to_string());
        serde_json::to_vec(&manifest).unwrap()
    });
    let before = foreign.filter(|bytes| Digest::of(bytes) < owners.digest);
    for bytes in before.take(120) {
        registry.put_manifest("team/demo", kind, &bytes);
    }
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

pub(super) const PIPELINE: &str = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n\
    \x20 tool: { component: { definition: jackal.yaml, name: tool } }\n\
    \x20 tree: { component: { definition: jackal.yaml, name: tree } }\n\
    \x20 sboms: { sbom: { of: [tool, tree] } }\n\
    \x20 package: { package: { definition: jackal.yaml, components: [tool, tree], sboms: sboms } }\n\
    \x20 sign: { sign: { subjects: package, key: a/cosign.key, passwordFile: pw, builder: https://ci.example/1, annotations: { team: core } } }\n";

const POLICY: &str = "rules:\n- packages: demo\n  signers: [{key: a/cosign.pub}]\n  maxAge: 100000d\n  attestations:\n  - { predicateType: https://slsa.dev/provenance/v1, builder: https://ci.example/1 }\n  - { predicateType: https://spdx.dev/Document }\n";

#[test]
fn a_pipeline_signs_attests_and_publishes_what_a_policy_asks_for() {
    let (sandbox, registry) = (Sandbox::new(), Rehearsal::with_faults(&[]));
    sandbox.package();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    sandbox.write("policy.yaml", POLICY);
    let to = registry.at("team");
    sandbox.write(
        "p.yaml",
        format!("{PIPELINE}  publish: {{ publish: {{ packages: package, signatures: sign, to: \"{to}\" }} }}\n"),
    );
    let tasks = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        tasks.contains(&("sign".to_owned(), "executed".to_owned())),
        "{tasks:?}"
    );
    let place = registry.at("team/demo:1.0.0");
    let policy = ["--policy", "policy.yaml"];
    for source in [&place[..], ARCHIVE] {
        let args = [&[source, "-a", "amd64", "--json"], &policy[..]].concat();
        let said = verify(&sandbox, &args);
        assert_eq!(said.code, Some(0), "{source}: {}", said.stderr);
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        let attested = told["signature"]["attestations"].as_array().unwrap();
        assert_eq!(attested.len(), 2, "{told}");
        assert_eq!(attested[0]["builder"], "https://ci.example/1");
    }
    // A pulled package keeps its attestations.
    let pulled = [
        &["package", "pull", &place, "-a", "amd64", "-o", "gap"],
        &policy[..],
    ]
    .concat();
    let said = sandbox.run(&pulled);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let name = Path::new(ARCHIVE).file_name().unwrap().to_str().unwrap();
    let gap = format!("gap/{name}");
    assert_eq!(
        fs::read(sandbox.src().join(&gap)).unwrap(),
        fs::read(sandbox.archive()).unwrap()
    );
    let said = verify(&sandbox, &[&[&gap[..]], &policy[..]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let beside = format!("{gap}.sigstore.jsonl");
    fs::remove_file(sandbox.src().join(&beside)).unwrap();
    let said = verify(&sandbox, &[&[&gap[..]], &policy[..]].concat());
    assert_eq!(said.code, REFUSED);
    assert!(
        said.stderr.contains("no attestation of type"),
        "{}",
        said.stderr
    );
    // Nothing changed, so nothing is signed or written.
    registry.requests();
    let tasks = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        tasks.contains(&("sign".to_owned(), "cached".to_owned())),
        "{tasks:?}"
    );
    let requests = registry.requests();
    assert!(
        requests
            .iter()
            .all(|r| r.method != "PUT" && r.method != "POST"),
        "{requests:?}"
    );
}

#[test]
fn provenance_lists_the_materials_of_the_package() {
    let sandbox = Sandbox::new();
    sandbox.package();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    sandbox.write("p.yaml", PIPELINE);
    sandbox.build(&["--pipeline", "p.yaml"]);
    let said = statements(&sandbox, ARCHIVE);
    let provenance = &said["https://slsa.dev/provenance/v1"]["predicate"];
    let materials = provenance["buildDefinition"]["resolvedDependencies"]
        .as_array()
        .unwrap();
    let tool = Digest::of(b"#!/bin/sh\n").hex();
    let found = materials
        .iter()
        .find(|material| material["name"] == "tool.sh")
        .unwrap();
    assert_eq!(found["digest"]["sha256"], tool);
    assert!(materials.iter().all(|material| {
        let name = material["name"].as_str().unwrap_or_default();
        !name.contains("component:") && !name.starts_with('/')
    }));
    assert_eq!(
        provenance["runDetails"]["builder"]["id"],
        "https://ci.example/1"
    );
    let sign = &said["https://sigstore.dev/cosign/sign/v1"];
    assert_eq!(sign["subject"][0]["annotations"]["team"], "core");
    // The same build elsewhere gives the same bytes.
    let elsewhere = Sandbox::new();
    elsewhere.package();
    fs::create_dir(elsewhere.src().join("a")).unwrap();
    for name in ["a/cosign.key", "a/cosign.pub", "pw", "p.yaml"] {
        fs::copy(sandbox.src().join(name), elsewhere.src().join(name)).unwrap();
    }
    elsewhere.build(&["--pipeline", "p.yaml"]);
    let beside = format!("{ARCHIVE}.sigstore.jsonl");
    assert_eq!(
        fs::read(sandbox.src().join(&beside)).unwrap(),
        fs::read(elsewhere.src().join(&beside)).unwrap()
    );
    assert_eq!(sandbox.archive_sum(), elsewhere.archive_sum());
}

/// The statements beside the archive, by predicate type.
pub(super) fn statements(
    sandbox: &Sandbox,
    archive: &str,
) -> std::collections::BTreeMap<String, Value> {
    let text = fs::read_to_string(sandbox.src().join(format!("{archive}.sigstore.jsonl"))).unwrap();
    text.lines()
        .map(|line| {
            let bundle = jackal::signing::Bundle::parse(line.as_bytes()).unwrap();
            let jackal::signing::Content::Envelope(envelope) = bundle.content() else {
                panic!("no envelope");
            };
            let statement: Value = serde_json::from_slice(&envelope.payload).unwrap();
            (
                statement["predicateType"].as_str().unwrap().to_owned(),
                statement,
            )
        })
        .collect()
}

#[test]
fn a_release_is_signed_by_all_or_by_none() {
    let sandbox = Sandbox::new();
    sandbox.package();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    let publish = "  other: { package: { definition: jackal.yaml, components: [tool, tree] } }\n  publish: { publish: { packages: [package, other], signatures: sign, to: \"oci-layout:out\" } }\n";
    sandbox.write("p.yaml", format!("{PIPELINE}{publish}"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("of `publish` signs `other`"),
        "{}",
        said.stderr
    );
    // A missing key is reported before anything is published.
    let gone = PIPELINE.replace("a/cosign.key", "gone.key");
    let publish =
        "  publish: { publish: { packages: package, signatures: sign, to: \"oci-layout:out\" } }\n";
    sandbox.write("p.yaml", format!("{gone}{publish}"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("gone.key"), "{}", said.stderr);
    assert!(!sandbox.src().join("out").exists());
    // Into an image layout, with its bundles.
    sandbox.write("p.yaml", format!("{PIPELINE}{publish}"));
    sandbox.build(&["--pipeline", "p.yaml"]);
    let index = fs::read_to_string(sandbox.src().join("out/index.json")).unwrap();
    let index: Index = serde_json::from_str(&index).unwrap();
    let about = index.manifests.iter().filter(|found| {
        let path = format!("out/blobs/sha256/{}", found.digest.hex());
        let text = fs::read(sandbox.src().join(path)).unwrap();
        serde_json::from_slice::<Manifest>(&text).is_ok_and(|read| read.subject.is_some())
    });
    assert_eq!(about.count(), 3);
}

#[test]
fn policies_say_who_may_sign_what_and_how_old_it_may_be() {
    let sandbox = signed();
    key(&sandbox, "b");
    for (policy, message) in [
        (
            "rules:\n- packages: other-*\n  signers: [{key: a/cosign.pub}]\n",
            "no rule for the package `demo`",
        ),
        (
            "rules:\n- packages: demo\n  signers: [{key: b/cosign.pub}]\n- signers: [{key: a/cosign.pub}]\n",
            "does not match",
        ),
        (
            "rules:\n- signers: [{key: a/cosign.pub}]\n  maxAge: 1d\n",
            "the policy allows 86400",
        ),
        (
            "rules:\n- signers: [{key: a/cosign.pub}]\n  attestations: [{predicateType: https://slsa.dev/provenance/v1}]\n",
            "no attestation",
        ),
    ] {
        sandbox.write("policy.yaml", policy);
        let said = verify(&sandbox, &[ARCHIVE, "--policy", "policy.yaml"]);
        assert_eq!(said.code, REFUSED, "{policy}: {}", said.stderr);
        assert!(said.stderr.contains(message), "{policy}: {}", said.stderr);
    }
    sandbox.write("policy.yaml", "rules:\n- signers: [{key: gone.pub}]\n");
    let said = verify(&sandbox, &[ARCHIVE, "--policy", "policy.yaml"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("policy.yaml:2:"), "{}", said.stderr);
}

#[test]
fn keys_are_generated_imported_and_never_overwritten() {
    let sandbox = Sandbox::new();
    key(&sandbox, "a");
    let again = sandbox.run(&["tools", "gen-key", "-o", "a", "--signing-key-pass", "x"]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(sandbox.src().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("a/cosign.key"), mode("a/cosign.pub")), (0o600, 0o644));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signing");
    let plain = fixtures.join("keys/p256.plain-sec1.pem");
    let plain = plain.to_string_lossy().into_owned();
    let said = sandbox.run(&[
        "tools",
        "import-key",
        &plain,
        "-o",
        "i",
        "--signing-key-pass",
        "pw",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A private key is not accepted as a public one, nor a wrong password.
    sandbox.package();
    sandbox.build(&[]);
    let said = verify(&sandbox, &[ARCHIVE, "--key", "a/cosign.key"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let said = sandbox.run(&[
        "package",
        "sign",
        ARCHIVE,
        "--signing-key",
        "a/cosign.key",
        "--signing-key-pass",
        "wrong",
    ]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("decryption failed"), "{}", said.stderr);
    let said = sandbox.run(&["package", "sign", ARCHIVE, "--signing-key", "nokms://x"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("`nokms://`"), "{}", said.stderr);
}

#[test]
fn the_configuration_file_says_who_signs_and_whose_packages_are_trusted() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    key(&sandbox, "b");
    sandbox.write(
        "mine.toml",
        "[package]\npublic_key = 'a/cosign.pub'\n[package.create]\nsigning_key = 'a/cosign.key'\nsigning_key_password = 'pw'\n[package.publish]\nsigning_key = 'b/cosign.key'\nsigning_key_password = 'pw'\n",
    );
    let run = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("JACKAL_STATE_DIR", sandbox.src().join("../state"));
        said(command.env("JACKAL_CONFIG", "mine.toml"))
    };
    let verify = |args: &[&str]| run(&[&["package", "verify"], args].concat());
    let said = run(&["package", "create", "--confirm", "-o", "dist"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = verify(&[ARCHIVE]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("signed by key `a/cosign.pub`"),
        "{}",
        said.stdout
    );
    // A flag replaces the setting.
    let said = verify(&[ARCHIVE, "--key", "b/cosign.pub"]);
    assert_eq!(said.code, REFUSED, "{}", said.stderr);
    let identity = [
        "--certificate-identity",
        "x",
        "--certificate-oidc-issuer",
        "y",
    ];
    let said = verify(&[&[ARCHIVE], &identity[..]].concat());
    assert_eq!(said.code, REFUSED, "{}", said.stdout);
    let said = run(&["package", "publish", ARCHIVE, &registry.at("team")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&[&place, "-a", "amd64", "--key", "b/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn trusted_roots_are_pinned_with_their_digest() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["tools", "trusted-root", "-o", "root.json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let text = fs::read(sandbox.src().join("root.json")).unwrap();
    assert!(
        said.stderr.contains(&Digest::of(&text).to_string()),
        "{}",
        said.stderr
    );
    let again = sandbox.run(&["tools", "trusted-root", "--from", "root.json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stdout.trim_end().as_bytes(), text.trim_ascii_end());
    sandbox.write("bad.json", "{}");
    let bad = sandbox.run(&["tools", "trusted-root", "--from", "bad.json"]);
    assert_ne!(bad.code, Some(0));
}
