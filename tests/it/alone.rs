//! Actions carried out alone: in an empty folder, with an empty cache, from a
//! folder that holds only the action and its blobs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Sandbox, said, settle};

/// Name, digest and size of each output.
type Outputs = BTreeSet<(String, String, u64)>;

fn output(value: &Value) -> (String, String, u64) {
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    (
        text("name"),
        text("digest"),
        value["size"].as_u64().unwrap(),
    )
}

/// What the packed action in `folder` makes where there is nothing else.
fn alone(folder: &Path) -> Outputs {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_jackal"));
    command
        .args(["internal", "action"])
        .arg(folder)
        .args(["--into", "cache"])
        .current_dir(empty.path())
        .env_clear();
    let said = said(&mut command);
    assert_eq!(said.code, Some(0), "{}: {}", folder.display(), said.stderr);
    let lines = said.stdout.lines();
    lines
        .map(|line| output(&serde_json::from_str(line).unwrap()))
        .collect()
}

/// Builds with `args`, and has every task without effects carried out alone.
/// Returns the verbs of those.
fn compare(sandbox: &Sandbox, args: &[&str]) -> BTreeSet<String> {
    let file = sandbox.src().join("run.json");
    let summary = file.to_str().unwrap();
    let built = sandbox.run(&[&["build", "--summary", summary], args].concat());
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let record: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut verbs = BTreeSet::new();
    for task in record["tasks"].as_array().unwrap() {
        let (name, verb) = (
            task["task"].as_str().unwrap(),
            task["verb"].as_str().unwrap(),
        );
        if verb == "run" {
            continue;
        }
        let packed = tempfile::tempdir().unwrap();
        let to = packed.path().to_str().unwrap();
        let said = sandbox.run(&[&["internal", "pack", name, "--to", to], args].concat());
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        let outputs = task["outputs"].as_array().unwrap();
        let expected: Outputs = outputs.iter().map(output).collect();
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(alone(packed.path()), expected, "{name}");
        verbs.insert(verb.to_owned());
    }
    verbs
}

fn archive(sandbox: &Sandbox) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o755);
    tar.append_data(&mut header, "top/tool", &b"tool"[..])
        .unwrap();
    sandbox.write("tools.tar", tar.into_inner().unwrap());
}

#[test]
fn every_kind_without_effects_gives_the_same_digests_alone() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    sandbox.write("site/index.html", "<p>\n");
    sandbox.write(
        "chart/Chart.yaml",
        "name: web\nversion: 1.0.0\napiVersion: v2\n",
    );
    sandbox.write("chart/templates/x.yaml", "a: 1\n");
    sandbox.write("values.yaml", "b: 2\n");
    std::os::unix::fs::symlink("index.html", sandbox.src().join("site/link")).unwrap();
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo/layout");
    copy(&layout, &sandbox.src().join("layout"));
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.0.0\"\n  \
         architecture: amd64\ncomponents:\n- name: web\n  files:\n  \
         - {source: site, target: /srv/www}\n  \
         - {source: tools.tar, target: /bin/tool, extractPath: top/tool, executable: true}\n  \
         charts:\n  - {name: web, version: 1.0.0, namespace: x, localPath: chart, valuesFiles: \
         [values.yaml]}\n  imageArchives:\n  - {path: layout, images: ['example.com/app:2.1']}\n",
    );
    settle();
    let verbs = compare(&sandbox, &[]);
    let expected = [
        "chart",
        "component",
        "fetch",
        "image",
        "images",
        "package",
        "sbom",
    ];
    assert_eq!(verbs, expected.map(str::to_owned).into());
}

#[test]
fn an_image_that_is_built_gives_the_same_digests_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("site/index.html", "<p>\n");
    sandbox.write("tool.sh", "#!/bin/sh\n");
    sandbox.pipeline(
        "tasks:\n  \
         make:\n    run: [sh, -c, 'cp tool.sh made']\n    inputs: [tool.sh]\n    outputs: [made]\n    \
         tools: [sh, cp]\n  \
         below:\n    image:\n      base: scratch\n      platform: linux/amd64\n      layers: \
         [{from: site, to: /srv}]\n  \
         image:\n    image:\n      base: 'task:below'\n      platform: linux/amd64\n      layers: \
         [{from: 'task:make', to: /bin}]\n      config: {entrypoint: [/bin/made], labels: {a: b}}\n",
    );
    settle();
    let verbs = compare(&sandbox, &["--pipeline", "p.yaml"]);
    assert_eq!(verbs, [String::from("image")].into());
}

#[test]
fn an_action_lacks_nothing_and_believes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let packed = tempfile::tempdir().unwrap();
    let to = packed.path().to_str().unwrap();
    let said = sandbox.run(&["internal", "pack", "component:tool", "--to", to]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let blobs = packed.path().join("blobs/sha256");
    let blob = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap();
    let refused = || {
        let cache = packed.path().join("cache");
        sandbox.run(&["internal", "action", to, "--into", cache.to_str().unwrap()])
    };
    std::fs::write(blob.path(), "#!/bin/no\n").unwrap();
    assert_eq!(refused().code, Some(5), "{}", refused().stderr);
    std::fs::remove_file(blob.path()).unwrap();
    assert_eq!(refused().code, Some(4), "{}", refused().stderr);
    std::fs::write(packed.path().join("action.json"), "{}").unwrap();
    assert_eq!(refused().code, Some(3), "{}", refused().stderr);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
