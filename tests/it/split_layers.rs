//! Files that are larger than the layer limit of a registry.

use jackal::oci::Digest;
use jackal::package::layers;
use jackal::package::manifest::title;
use jackal::rehearsal::Options;

use super::publish::{ARCHIVE, Rehearsal, built, publish};
use super::pull::elsewhere;
use super::sandbox::{HEAD, Sandbox};

/// Largest layer, in bytes.
const MOST: u64 = 9000;

fn narrow() -> Rehearsal {
    Rehearsal::new(Options {
        max_layer: Some(MOST),
        ..Options::default()
    })
}

fn limit(registry: &Rehearsal) -> String {
    format!("--max-layer={}={MOST}B", registry.host())
}

#[test]
fn a_package_that_is_too_large_is_refused_or_split_and_restored() {
    let (sandbox, registry) = (built(), narrow());
    let (to, limit) = (registry.at("x"), limit(&registry));
    let said = publish(&sandbox, &[ARCHIVE, &to, &limit]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("--split-layers"), "{}", said.stderr);
    let asked = registry.requests();
    assert!(asked.iter().all(|r| r.method == "GET"), "{asked:?}");
    let split = [ARCHIVE, &to, &limit, "--split-layers"];
    let said = publish(&sandbox, &split);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (digest, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    assert!(manifest.layers.iter().all(|layer| layer.size <= MOST));
    let files = layers::files(manifest.layers).unwrap();
    let tree = files.iter().find(|file| file.name == "components/tree.tar");
    assert!(tree.unwrap().layers.len() > 1);
    // A second time, nothing is sent.
    registry.requests();
    let said = publish(&sandbox, &split);
    assert!(said.stdout.contains(" unchanged"), "{}", said.stdout);
    assert!(registry.requests().iter().all(|r| r.method != "PUT"));
    // Joined wherever it is read.
    let source = registry.at("x/demo:1.0.0");
    let said = elsewhere(&sandbox, &["package", "verify", "-a", "amd64", &source]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let args = ["package", "pull", "-a", "amd64", &source, "-o", "pulled"];
    let said = elsewhere(&sandbox, &args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let read = |path: &str| std::fs::read(sandbox.src().join(path)).unwrap();
    assert!(read(said.stdout.trim()) == read(ARCHIVE));
    let args = ["package", "extract", "-a", "amd64", &source, "-o", "out"];
    let said = elsewhere(&sandbox, &args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let tar = read("out/components/tree.tar");
    assert_eq!(Digest::of(&tar), tree.unwrap().whole.digest);
    // Copied unchanged to a registry with other limits.
    let wide = Rehearsal::with_faults(&[]);
    let said = publish(&sandbox, &["-a", "amd64", &source, &wide.at("y")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(wide.manifest("y/demo:1.0.0", "amd64").0, digest);
    // A whole package goes to the limited registry in the same parts.
    let said = publish(&sandbox, &[ARCHIVE, &wide.at("z")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (source, to) = (wide.at("z/demo:1.0.0"), registry.at("w"));
    let args = ["-a", "amd64", &source, &to, &limit, "--split-layers"];
    let said = publish(&sandbox, &args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(registry.manifest("w/demo:1.0.0", "amd64").0, digest);
}

#[test]
fn parts_that_do_not_make_the_stated_file_are_refused() {
    let (sandbox, registry) = (built(), narrow());
    let split = [
        ARCHIVE,
        &registry.at("x"),
        &limit(&registry),
        "--split-layers",
    ];
    let said = publish(&sandbox, &split);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (_, mut manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    // Two parts of a file are swapped.
    let mut at = (0..manifest.layers.len()).filter(|at| {
        title(&manifest.layers[*at])
            .unwrap()
            .starts_with("components/tree.tar.part")
    });
    let (one, two) = (at.next().unwrap(), at.next().unwrap());
    let (said_of_one, said_of_two) = (
        manifest.layers[one].annotations.clone(),
        manifest.layers[two].annotations.clone(),
    );
    manifest.layers[one].annotations = said_of_two;
    manifest.layers[two].annotations = said_of_one;
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let kind = jackal::oci::media_type::MANIFEST;
    let digest = registry.put_manifest("x/demo", kind, &bytes);
    let source = registry.at(&format!("x/demo@{digest}"));
    for what in [
        &["verify"][..],
        &["pull", "-o", "pulled"],
        &["extract", "-o", "out"],
    ] {
        let args = [&["package"], what, &["-a", "amd64", &source]].concat();
        let said = elsewhere(&sandbox, &args);
        assert_eq!(said.code, Some(5), "{what:?}: {}", said.stderr);
        let made = ["pulled", "out"].map(|name| sandbox.src().join(name));
        let files = |path| std::fs::read_dir(path).map_or(0, Iterator::count);
        assert!(made.iter().all(|path| files(path) == 0), "{what:?}");
    }
}

#[test]
fn a_signed_pipeline_splits_layers_and_the_result_verifies_everywhere() {
    let registry = narrow();
    let sandbox = Sandbox::new();
    sandbox.package();
    let made = sandbox.run(&["tools", "gen-key", "-o", "keys"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let to = registry.at("x");
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  \
             tree: {{component: {{definition: jackal.yaml, name: tree}}}}\n  \
             tool: {{component: {{definition: jackal.yaml, name: tool}}}}\n  \
             package: {{package: {{definition: jackal.yaml, components: [tree, tool]}}}}\n  \
             sign: {{sign: {{subjects: package, key: keys/cosign.key}}}}\n  \
             publish: {{publish: {{packages: package, signatures: sign, to: '{to}', tags: [a, b], splitLayers: true}}}}\n"
        ),
    );
    let build = ["build", "--pipeline", "p.yaml", &limit(&registry)];
    for _ in 0..2 {
        let said = sandbox.run(&build);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let travels = !said.stderr.contains("results do not travel");
        assert!(travels, "{}", said.stderr);
    }
    // On an empty machine, outputs that the package has whole are taken from it.
    let from = registry.at("x/demo:a");
    let said = elsewhere(&sandbox, &[&build[..], &["--cache-from", &from]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("executed tree"), "{}", said.stderr);
    assert!(!said.stderr.contains("executed tool"), "{}", said.stderr);
    let key = ["--key", "keys/cosign.pub", "-a", "amd64"];
    for tag in ["a", "b"] {
        let source = registry.at(&format!("x/demo:{tag}"));
        let said = elsewhere(
            &sandbox,
            &[&["package", "verify", &source], &key[..]].concat(),
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let pull = ["package", "pull", &source, "-o", tag];
        let said = elsewhere(&sandbox, &[&pull[..], &key[..]].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let archive = said.stdout.lines().next().unwrap().to_owned();
        let verify = ["package", "verify", &archive, "--key", "keys/cosign.pub"];
        let said = elsewhere(&sandbox, &verify);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
}
