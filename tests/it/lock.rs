//! `jackal.lock`: pins of images at registries and mirrors, for several platforms,
//! and what `jackal update` does with them.

use std::process::Command;

use jackal::oci::{Descriptor, Digest, Index, Manifest, Platform, Reference, media_type};
use jackal::registry::{Options, Registry};
use serde_json::{Value, json};

use super::publish::Rehearsal;
use super::sandbox::{HEAD, Said, Sandbox, said};

/// Stores an image of one layer that holds `text`.
fn image(registry: &Rehearsal, repository: &str, architecture: &str, text: &str) -> Descriptor {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "etc/who", text.as_bytes())
        .unwrap();
    let layer = tar.into_inner().unwrap();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    });
    let config = config.to_string().into_bytes();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of("application/vnd.oci.image.config.v1+json", &config),
        layers: vec![Descriptor::of(media_type::LAYER, &layer)],
        subject: None,
        annotations: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    registry.put_blob(repository, &layer);
    registry.put_blob(repository, &config);
    registry.put_manifest(repository, media_type::MANIFEST, &manifest);
    Descriptor {
        platform: Some(Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }),
        ..Descriptor::of(media_type::MANIFEST, &manifest)
    }
}

/// Moves a tag to an index of images whose layers hold `text`; their digests.
pub(super) fn tagged(
    registry: &Rehearsal,
    name: &str,
    text: &str,
    architectures: &[&str],
) -> Vec<Digest> {
    let (repository, _) = name.split_once(':').unwrap();
    let images = architectures
        .iter()
        .map(|arch| image(registry, repository, arch, text));
    let index = Index {
        manifests: images.collect(),
        ..Index::empty()
    };
    put_tag(
        registry,
        name,
        media_type::INDEX,
        &serde_json::to_vec(&index).unwrap(),
    );
    index.manifests.iter().map(|image| image.digest).collect()
}

fn put_tag(registry: &Rehearsal, name: &str, kind: &str, bytes: &[u8]) {
    let reference: Reference = format!("{}/{name}", registry.host()).parse().unwrap();
    let client = Registry::new(Options::default());
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let pushed = client.push_manifest(&reference, kind, &bytes);
    registry.block_on(pushed).unwrap();
}

fn with_images(sandbox: &Sandbox, images: &[String]) {
    let images = images.join("', '");
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo, version: 1.0.0}}\n\
             components:\n- name: c\n  images: ['{images}']\n"
        ),
    );
}

/// Builds with a cache that nothing else uses.
fn build_afresh(sandbox: &Sandbox, cache: &str, args: &[&str]) -> Said {
    let args = [&["build", "--skip-sbom", "--cache-dir", cache], args].concat();
    sandbox.run(&args)
}

fn lock(sandbox: &Sandbox) -> Value {
    let text = std::fs::read(sandbox.src().join("jackal.lock")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The digest that an image is pinned to.
fn pin(sandbox: &Sandbox, image: &str, platform: &str) -> String {
    let digest = &lock(sandbox)["images"][image][platform]["manifest"]["digest"];
    digest.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_pin_made_at_a_registry_is_valid_at_its_mirror_and_the_other_way_round() {
    let (own, mirror) = (Rehearsal::with_faults(&[]), Rehearsal::with_faults(&[]));
    for registry in [&own, &mirror] {
        tagged(registry, "team/app:1", "same", &["amd64"]);
    }
    let name = format!("{}/team/app:1", own.host());
    let over = format!("{}={}", own.host(), mirror.host());
    let overridden = ["-a", "amd64", "--registry-override", &over];
    let plain = ["-a", "amd64"];
    for (first, second, unasked) in [
        (&plain[..], &overridden[..], &own),
        (&overridden, &plain, &mirror),
    ] {
        let sandbox = Sandbox::new();
        with_images(&sandbox, std::slice::from_ref(&name));
        let built = build_afresh(&sandbox, "../one", first);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        assert!(!pin(&sandbox, &name, "linux/amd64").is_empty());
        let before = lock(&sandbox);
        unasked.requests();
        let built = build_afresh(&sandbox, "../two", &[second, &["--locked"]].concat());
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        assert_eq!(lock(&sandbox), before);
        assert_eq!(unasked.requests().len(), 0);
    }
}

#[test]
fn what_a_mirror_has_under_the_tag_is_not_taken_for_what_is_pinned() {
    let (own, mirror) = (Rehearsal::with_faults(&[]), Rehearsal::with_faults(&[]));
    let pinned = tagged(&own, "app:1", "good", &["amd64"]);
    tagged(&mirror, "app:1", "other", &["amd64"]);
    let sandbox = Sandbox::new();
    with_images(&sandbox, &[format!("{}/app:1", own.host())]);
    let built = build_afresh(&sandbox, "../one", &["-a", "amd64"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let over = format!("{}={}", own.host(), mirror.host());
    let args = ["-a", "amd64", "--registry-override", &over];
    let built = build_afresh(&sandbox, "../two", &args);
    assert_eq!(built.code, Some(4), "{}", built.stderr);
    let expected = format!("jackal.lock pins `{}/app:1` to {}", own.host(), pinned[0]);
    assert!(built.stderr.contains(&expected), "{}", built.stderr);
    assert!(built.stderr.contains("jackal update"), "{}", built.stderr);
}

#[test]
fn all_platforms_of_a_tag_are_of_one_generation_and_move_together() {
    let registry = Rehearsal::with_faults(&[]);
    let name = format!("{}/mp:1", registry.host());
    let sandbox = Sandbox::new();
    with_images(&sandbox, std::slice::from_ref(&name));
    let first = tagged(&registry, "mp:1", "first", &["amd64", "arm64"]);
    assert_eq!(
        build_afresh(&sandbox, "../c", &["-a", "amd64"]).code,
        Some(0)
    );
    // The tag moves before the second platform is built.
    let second = tagged(&registry, "mp:1", "second", &["amd64", "arm64"]);
    assert_eq!(
        build_afresh(&sandbox, "../c", &["-a", "arm64"]).code,
        Some(0)
    );
    let pins = || {
        let of = |platform| pin(&sandbox, &name, platform);
        [of("linux/amd64"), of("linux/arm64")]
    };
    assert_eq!(pins(), [first[0].to_string(), first[1].to_string()]);
    // One platform is updated: the other one moves along.
    let updated = sandbox.run(&["update", "-a", "arm64"]);
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    assert_eq!(pins(), [second[0].to_string(), second[1].to_string()]);
    for platform in ["linux/amd64", "linux/arm64"] {
        let line = format!("{name} {platform}: {}", "sha256:");
        assert!(updated.stdout.contains(&line), "{}", updated.stdout);
    }
    // What the tag stands for now is not there for the other one.
    let third = tagged(&registry, "mp:1", "third", &["arm64"]);
    let updated = sandbox.run(&["update", "--image", &name, "-a", "arm64"]);
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    assert_eq!(pins(), [String::new(), third[0].to_string()]);
    let dropped = format!("{name} linux/amd64: dropped");
    assert!(updated.stdout.contains(&dropped), "{}", updated.stdout);
}

#[test]
fn update_drops_pins_that_nothing_names_and_keeps_those_of_other_flavors() {
    let registry = Rehearsal::with_faults(&[]);
    let name = |image: &str| format!("{}/{image}", registry.host());
    for image in ["gone:1", "one:1", "two:1", "three:1", "four:1"] {
        tagged(&registry, image, image, &["amd64"]);
    }
    let sandbox = Sandbox::new();
    let define = |own: &str, text: &str| {
        let head = "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0, architecture: amd64}\n";
        sandbox.write(
            &format!("{own}jackal.yaml"),
            format!("{head}components:\n{text}"),
        );
    };
    let component = |name: &str, more: &str, image: &str| {
        format!("- name: {name}\n  {more}\n  images: ['{image}']\n")
    };
    let other = component("b", "only: {flavor: x}", &name("two:1"));
    let imported = "- name: d\n  only: {flavor: x}\n  import: {path: ../other}\n".to_owned();
    let template = component(
        "t",
        "required: false",
        &name("three:###JACKAL_PKG_TMPL_TAG###"),
    );
    define(
        "other/",
        &component("d", "required: false", &name("four:1")),
    );
    let rest = [other, imported, template].concat();
    define(
        "pkg/",
        &[
            component("a", "required: false", &name("gone:1")),
            rest.clone(),
        ]
        .concat(),
    );
    for flavor in ["", "x"] {
        let args = ["pkg", "-f", flavor, "--set", "TAG=1"];
        let built = build_afresh(&sandbox, "../c", &args);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
    }
    let pinned = || -> Vec<String> {
        let text = std::fs::read(sandbox.src().join("pkg/jackal.lock")).unwrap();
        let lock: Value = serde_json::from_slice(&text).unwrap();
        let images = lock["images"].as_object().unwrap().clone();
        images.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(pinned().len(), 4);
    define(
        "pkg/",
        &[component("a", "required: false", &name("one:1")), rest].concat(),
    );
    // One reference is updated: nothing is dropped.
    let one = name("one:1");
    let updated = sandbox.run(&["update", "pkg", "--set", "TAG=1", "--image", &one]);
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    assert_eq!(pinned().len(), 5);
    let updated = sandbox.run(&["update", "pkg", "--set", "TAG=1"]);
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    let gone = format!(
        "{} linux/amd64: dropped, was pinned to sha256:",
        name("gone:1")
    );
    assert!(updated.stdout.contains(&gone), "{}", updated.stdout);
    let mut kept = ["four:1", "one:1", "three:1", "two:1"].map(name);
    kept.sort();
    assert_eq!(pinned(), kept);
    // A pipeline beside it names one as well.
    sandbox.write(
        "pkg/p.yaml",
        format!(
            "{HEAD}tasks:\n  i: {{images: {{from: ['{}'], platform: linux/amd64}}}}\n",
            name("gone:1")
        ),
    );
    let built = build_afresh(&sandbox, "../c", &["--pipeline", "pkg/p.yaml"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    sandbox.run(&["update", "pkg", "--set", "TAG=1"]);
    assert_eq!(pinned().len(), 5);
}

#[test]
fn a_reference_with_a_digest_needs_no_pin_and_after_that_no_network() {
    let registry = Rehearsal::with_faults(&[]);
    tagged(&registry, "app:1", "x", &["amd64", "arm64"]);
    let reference: Reference = format!("{}/app:1", registry.host()).parse().unwrap();
    let client = Registry::new(Options::default());
    let (index, _) = registry.block_on(client.resolve(&reference)).unwrap();
    let single = image(&registry, "app", "amd64", "y");
    let sandbox = Sandbox::new();
    let at = |digest| format!("{}/app@{digest}", registry.host());
    with_images(&sandbox, &[at(index.digest), at(single.digest)]);
    let built = build_afresh(&sandbox, "../c", &["-a", "amd64", "--locked"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert!(!sandbox.src().join("jackal.lock").exists());
    registry.requests();
    let built = build_afresh(&sandbox, "../c", &["-a", "amd64", "--offline"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert_eq!(registry.requests().len(), 0);
    let built = build_afresh(&sandbox, "../empty", &["-a", "amd64", "--offline"]);
    assert_eq!(built.code, Some(4), "{}", built.stderr);
}

/// Runs the program where the sources are read-only; `None`: this machine cannot.
fn read_only(sandbox: &Sandbox, args: &[&str]) -> Option<Said> {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 99; shift; exec \"$@\"";
    let inside = sandbox.command(args);
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(sandbox.src())
        .arg(inside.get_program())
        .args(args)
        .current_dir(sandbox.src().join(".."))
        .env_clear()
        .env("JACKAL_CACHE", sandbox.cache())
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command.output().ok()?;
    let said = said(&mut command);
    (said.code != Some(99) && said.code != Some(1)).then_some(said)
}

#[test]
fn read_only_sources_are_built_as_long_as_no_pin_has_to_be_written() {
    let registry = Rehearsal::with_faults(&[]);
    tagged(&registry, "app:1", "x", &["amd64"]);
    let sandbox = Sandbox::new();
    with_images(&sandbox, &[format!("{}/app:1", registry.host())]);
    let create = [
        "package",
        "create",
        "src",
        "-a",
        "amd64",
        "--skip-sbom",
        "--confirm",
        "-o",
        "out",
    ];
    let out = sandbox.src().join("../out");
    let Some(refused) = read_only(&sandbox, &create) else {
        return;
    };
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    for part in ["has no pin", "jackal.lock", "jackal update", "digest"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let archives = || std::fs::read_dir(&out).map_or(0, |entries| entries.count());
    assert_eq!(archives(), 0);
    assert_eq!(sandbox.run(&["update", "-a", "amd64"]).code, Some(0));
    let built = read_only(&sandbox, &create).unwrap();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert_eq!(archives(), 1);
}

#[test]
fn an_image_of_another_architecture_is_warned_of_each_time() {
    let registry = Rehearsal::with_faults(&[]);
    let single = image(&registry, "app", "amd64", "x");
    let client = Registry::new(Options::default());
    let at: Reference = format!("{}/app", registry.host()).parse().unwrap();
    let bytes = registry.block_on(client.manifest(&at, &single)).unwrap();
    put_tag(&registry, "app:1", media_type::MANIFEST, &bytes);
    let sandbox = Sandbox::new();
    with_images(&sandbox, &[format!("{}/app:1", registry.host())]);
    let warned = |architecture| {
        let built = build_afresh(&sandbox, "../c", &["-a", architecture]);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        built
            .stderr
            .contains("app:1 is for linux/amd64 but is packed for linux/arm64")
    };
    assert!(warned("arm64") && warned("arm64"));
    assert!(!warned("amd64"));
}
