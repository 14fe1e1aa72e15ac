//! `jackal package create --skeleton`, compared with the skeleton that Zarf 0.84 made
//! of the same folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jackal::oci::{Digest, Index, Manifest};
use jackal::package::{Checksums, Definition, Strictness};
use jackal::yaml::SourceText;

use super::sandbox::{Sandbox, said, settle};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const TITLE: &str = "org.opencontainers.image.title";

fn blob(layout: &Path, digest: &Digest) -> Vec<u8> {
    fs::read(layout.join("blobs/sha256").join(digest.hex())).unwrap()
}

/// The files of the skeleton in a layout, with every digest checked.
fn files(layout: &Path, tag: &str) -> (BTreeMap<String, Vec<u8>>, Manifest) {
    let top: Index = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = |found: &&jackal::oci::Descriptor| {
        found
            .annotations
            .get("org.opencontainers.image.ref.name")
            .unwrap()
            == tag
    };
    let index = top.manifests.iter().find(named).unwrap();
    let index: Index = serde_json::from_slice(&blob(layout, &index.digest)).unwrap();
    let platform = "multi/skeleton".parse().unwrap();
    let found = index.select(&platform).unwrap();
    let bytes = blob(layout, &found.digest);
    assert_eq!(
        (Digest::of(&bytes), bytes.len() as u64),
        (found.digest, found.size)
    );
    let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
    let files = manifest.layers.iter().map(|layer| {
        let bytes = blob(layout, &layer.digest);
        assert_eq!(
            (Digest::of(&bytes), bytes.len() as u64),
            (layer.digest, layer.size)
        );
        (layer.annotations[TITLE].clone(), bytes)
    });
    (files.collect(), manifest)
}

/// A tar's entries: name, kind, mode (except of links), target or content.
fn entries(tar: &[u8]) -> Vec<(String, char, u32, String)> {
    let mut archive = tar::Archive::new(tar);
    let found = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let header = entry.header().clone();
        let link = entry
            .link_name()
            .unwrap()
            .map(|link| link.display().to_string());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let mode = header.mode().unwrap() & 0o777;
        match link {
            Some(target) => (path, 'l', 0, target),
            None if header.entry_type().is_dir() => (path, 'd', mode, String::new()),
            None => (path, 'f', mode, content),
        }
    });
    found.collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path).unwrap(), to).unwrap();
        } else if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn zarf_layout(sandbox: &Sandbox) -> PathBuf {
    let tar = format!("{FIXTURES}/packages/zarf-0.84-skeleton.tar");
    let folder = sandbox.src().join("zarf");
    tar::Archive::new(fs::File::open(tar).unwrap())
        .unpack(&folder)
        .unwrap();
    folder.join("skeleton")
}

fn make(sandbox: &Sandbox, args: &[&str]) -> String {
    let said = sandbox.run(&[&["package", "create", "--skeleton"], args].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

#[test]
fn the_skeleton_of_zarfs_folder_is_the_one_that_zarf_makes() {
    let sandbox = Sandbox::new();
    copy(
        Path::new(&format!("{FIXTURES}/zarf-source")),
        &sandbox.src().join("pkg"),
    );
    settle();
    let told = make(&sandbox, &["pkg", "-o", "oci-layout:out"]);
    assert!(told.starts_with("oci:out:1.2.3 sha256:"), "{told}");
    let (ours, manifest) = files(&sandbox.src().join("out"), "1.2.3");
    let (theirs, _) = files(&zarf_layout(&sandbox), "1.2.3");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for tar in ["components/base.tar", "components/app.tar"] {
        assert_eq!(entries(&ours[tar]), entries(&theirs[tar]), "{tar}");
    }
    // It has no links, whose modes differ between the two.
    assert!(ours["components/app.tar"] == theirs["components/app.tar"]);
    let read = |files: &BTreeMap<String, Vec<u8>>| {
        let text = String::from_utf8(files["zarf.yaml"].clone()).unwrap();
        Definition::parse(&SourceText::new("zarf.yaml", text), Strictness::Existing).unwrap()
    };
    let (our, their) = (read(&ours), read(&theirs));
    assert_eq!(our.components, their.components);
    assert_eq!(
        (&our.variables, &our.constants),
        (&their.variables, &their.constants)
    );
    assert_eq!(our.metadata.architecture, "skeleton");
    assert_eq!(our.build.architecture.as_deref(), Some("skeleton"));
    assert_eq!(our.build.migrations, their.build.migrations);
    let sums = &ours["checksums.txt"];
    assert_eq!(our.metadata.aggregate_checksum, Digest::of(sums).hex());
    Checksums::parse(sums).unwrap();
    assert_eq!(
        manifest.config.media_type,
        "application/vnd.zarf.config.v1+json"
    );
    assert_eq!(manifest.annotations[TITLE], "interop");
}

#[test]
fn a_skeleton_is_imported_as_the_folder_it_was_made_of() {
    let sandbox = Sandbox::new();
    let head = "kind: JackalPackageConfig\nmetadata: {name: base, version: 1.0.0}\ncomponents:\n";
    sandbox.write(
        "base/jackal.yaml",
        format!(
            "{head}- name: web\n  description: '###JACKAL_PKG_TMPL_TEXT###'\n  import: {{path: \
             ../deep}}\n  files:\n  - {{source: f, target: /f}}\n- name: arm\n  only: {{cluster: \
             {{architecture: arm64}}}}\n- name: old\n  scripts: {{after: [once]}}\n"
        ),
    );
    sandbox.write("base/f", "file\n");
    sandbox.write(
        "deep/jackal.yaml",
        format!("{head}- name: web\n  files:\n  - {{source: d, target: /d}}\n"),
    );
    sandbox.write("deep/d/in/g", "deep\n");
    sandbox.write(
        "pkg/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0}\ncomponents:\n- name: \
         web\n  import: {url: 'oci:../out:1.0.0'}\n- name: old\n  import: {url: 'oci:../out:1.0.0'}\n\
         - name: arm\n  only: {cluster: {architecture: arm64}}\n  import: {url: \
         'oci:../out:1.0.0'}\n",
    );
    settle();
    let first = make(&sandbox, &["base", "-o", "oci-layout:out"]);
    assert_eq!(make(&sandbox, &["base", "-o", "oci-layout:out"]), first);
    let (files, _) = files(&sandbox.src().join("out"), "1.0.0");
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["checksums.txt", "components/web.tar", "jackal.yaml"]
    );
    let flags = ["--set", "TEXT=hi", "-a", "arm64", "--confirm", "-o", "dist"];
    let said = sandbox.run(&[&["package", "create", "pkg"], &flags[..]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = "dist/jackal-package-demo-arm64-1.0.0.tar.zst";
    let text = sandbox.run(&["package", "inspect", archive]).stdout;
    let definition = Definition::parse(&SourceText::new("d", text), Strictness::Existing).unwrap();
    let names: Vec<&str> = definition
        .components
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["web", "old", "arm"]);
    assert_eq!(definition.components[0].description, "hi");
    assert_eq!(definition.components[1].actions.on_deploy.after.len(), 1);
    let extract = ["package", "extract", "--unarchive", archive, "-o", "x"];
    assert_eq!(sandbox.run(&extract).code, Some(0));
    let file =
        |path: &str| fs::read_to_string(sandbox.src().join("x/components/web/files").join(path));
    assert_eq!(file("0/d/in/g").unwrap(), "deep\n");
    assert_eq!(file("1/f").unwrap(), "file\n");
}

#[test]
fn a_skeleton_may_not_name_repositories_of_the_builders_machine() {
    let sandbox = Sandbox::new();
    let head = "kind: JackalPackageConfig\nmetadata: {name: base, version: 1.0.0}\ncomponents:\n- name: web\n";
    sandbox.write(
        "pkg/jackal.yaml",
        format!("{head}  import: {{url: 'oci:../out:1.0.0'}}\n"),
    );
    for part in [
        "repos: ['file:///srv/private@v1']",
        "charts: [{name: c, version: 1.0.0, namespace: d, url: 'file:///srv/private.git', gitPath: c}]",
    ] {
        sandbox.write("base/jackal.yaml", format!("{head}  {part}\n"));
        settle();
        make(&sandbox, &["base", "-o", "oci-layout:out"]);
        for args in [
            &["build", "pkg"][..],
            &["build", "pkg", "--dry-run"],
            &["dev", "lint", "pkg"],
        ] {
            let out = sandbox.run(args);
            let text = format!("{}{}", out.stdout, out.stderr);
            assert_ne!(out.code, Some(0), "{part}: {text}");
            assert!(
                text.contains("a repository of this machine"),
                "{part}: {text}"
            );
        }
        fs::remove_dir_all(sandbox.src().join("out")).unwrap();
    }
}

#[test]
fn commands_of_a_skeleton_run_only_if_they_are_trusted_and_then_confined() {
    let sandbox = Sandbox::new();
    let secret = sandbox.src().join("secret");
    sandbox.write("secret", "hush-file");
    let command = format!(
        "m=files/0/made; printenv > $m; for f in {} /proc/$PPID/environ ~/.docker/config.json; do cat $f >> $m || true; done",
        secret.display()
    );
    let head = "kind: JackalPackageConfig\nmetadata: {name: base, version: 1.0.0}\ncomponents:\n";
    let actions = |list: &str| {
        format!("  actions:\n    onCreate:\n      defaults: {{env: [D=2]}}\n      before:\n{list}")
    };
    let run = format!("      - {{cmd: '{command}', env: [DECLARED=one]}}\n");
    sandbox.write(
        "base/jackal.yaml",
        format!(
            "{head}- name: web\n  files: [{{source: made, target: /made}}]\n{}",
            actions(&run)
        ),
    );
    sandbox.write("base/made", "old\n");
    sandbox.write(
        "pkg/jackal.yaml",
        format!(
            "{head}- name: web\n  import: {{url: 'oci:../out:1.0.0'}}\n{}",
            actions("      - {cmd: 'echo own > own'}\n")
        ),
    );
    sandbox.write(
        "home/.docker/config.json",
        "{\"auths\": {}, \"x\": \"hush-login\"}",
    );
    settle();
    make(&sandbox, &["base", "-o", "oci-layout:out"]);
    let build = |args: &[&str]| {
        let all = [&["build", "pkg", "-o", "dist"], args].concat();
        let mut command = sandbox.command(&all);
        command.env("CI_TOKEN", "hush-token");
        said(command.env("HOME", sandbox.src().join("home")))
    };
    let trust = "--allow-import-actions=oci:../out";
    for args in [
        &[][..],
        &["--allow-import-actions=oci:../ou"],
        &["--dry-run", "--allow-import-actions=oci:../out:1"],
    ] {
        let out = build(args);
        assert_eq!(out.code, Some(3), "{}", out.stderr);
        let place = "oci:../out:1.0.0/jackal.yaml:";
        for part in ["printenv > $m", "--allow-import-actions=oci:", place] {
            assert!(out.stderr.contains(part), "{part}: {}", out.stderr);
        }
        assert!(!sandbox.src().join("pkg/own").exists());
    }
    let lint = sandbox.run(&["dev", "lint", "pkg"]);
    assert!(lint.stdout.contains("printenv"), "{}", lint.stdout);
    let out = build(&[trust]);
    if out.stderr.contains("no Landlock") {
        return;
    }
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(sandbox.src().join("pkg/own").is_file());
    let archive = out.stdout.trim();
    let extract = ["package", "extract", "--unarchive", archive, "-o", "x"];
    assert_eq!(sandbox.run(&extract).code, Some(0));
    let made = sandbox.src().join("x/components/web/files/0/made");
    let made = fs::read_to_string(made).unwrap();
    assert!(
        made.contains("DECLARED=one") && made.contains("D=2"),
        "{made}"
    );
    assert!(!made.contains("hush") && !made.contains("old"), "{made}");
}

#[test]
fn a_second_tag_keeps_the_first_and_mistakes_are_reported() {
    let sandbox = Sandbox::new();
    let write = |version: &str, rest: &str| {
        sandbox.write(
            "jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata: {{name: a{version}}}\ncomponents:\n{rest}"
            ),
        );
    };
    for version in ["1", "2"] {
        write(&format!(", version: '{version}'"), "- name: a\n");
        make(&sandbox, &[".", "-o", "oci-layout:out"]);
    }
    for tag in ["1", "2"] {
        assert_eq!(files(&sandbox.src().join("out"), tag).0.len(), 2);
    }
    for (version, rest, code, message) in [
        ("", "- name: a\n", 3, "version is required for publishing"),
        (
            ", version: 1+2",
            "- name: a\n",
            3,
            "the tag `1+2` from version and flavor is invalid",
        ),
        (
            ", version: v1",
            "- name: a\n- name: a\n",
            3,
            "two components are named `a`",
        ),
    ] {
        write(version, rest);
        let said = sandbox.run(&["package", "create", "--skeleton", "-o", "oci-layout:out"]);
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        assert!(said.stderr.contains(message), "{}", said.stderr);
    }
    let said = sandbox.run(&["package", "create", "--skeleton"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    sandbox.write("full/file", "");
    let said = sandbox.run(&["package", "create", "--skeleton", "-o", "oci-layout:full"]);
    assert_ne!(said.code, Some(0));
}

#[test]
fn members_of_archives_and_kustomizations_are_built_and_the_definition_names_the_results() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.write("pack/bin/tool", "tool\n");
    let mut archive = tar::Builder::new(Vec::new());
    let folder = sandbox.src().join("pack");
    archive.append_dir_all("pack", folder).unwrap();
    sandbox.write("pkg/pack.tar", archive.into_inner().unwrap());
    sandbox.write("pkg/k/kustomization.yaml", "resources: []\n");
    sandbox.write(
        "pkg/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: base, version: 1.0.0}\ncomponents:\n\
         - name: a\n  files:\n  - {source: pack.tar, extractPath: pack/bin/tool, target: /bin/tool}\n  \
         - {source: pack.tar, extractPath: pack, target: /srv/all}\n  \
         manifests: [{name: m, kustomizations: [k]}]\n",
    );
    sandbox.write("bin/kustomize", "#!/bin/sh\necho 'kind: Rendered'\n");
    let program = sandbox.src().join("bin/kustomize");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    settle();
    let bin = sandbox.src().join("bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let out = sandbox
        .command(&[
            "package",
            "create",
            "--skeleton",
            "pkg",
            "-o",
            "oci-layout:out",
        ])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let (ours, _) = files(&sandbox.src().join("out"), "1.0.0");
    let text = String::from_utf8(ours["jackal.yaml"].clone()).unwrap();
    let read = Definition::parse(&SourceText::new("x", text), Strictness::Existing).unwrap();
    let component = &read.components[0];
    assert_eq!(component.files[0].source, "files/0/tool");
    assert_eq!(component.files[1].source, "files/1/all");
    assert!(
        component
            .files
            .iter()
            .all(|file| file.extract_path.is_empty())
    );
    let rendered = "manifests/kustomization-m-0.yaml";
    assert_eq!(component.manifests[0].files, [rendered]);
    assert!(component.manifests[0].kustomizations.is_empty());
    let held = entries(&ours["components/a.tar"]);
    let content = |path: &str| {
        let path = format!("a/{path}");
        let mut found = held
            .iter()
            .filter(|entry| entry.0.trim_end_matches('/') == path);
        found
            .next()
            .unwrap_or_else(|| panic!("{path}: {held:?}"))
            .3
            .clone()
    };
    assert_eq!(content("files/0/tool"), "tool\n");
    assert_eq!(content("files/1/all/bin/tool"), "tool\n");
    assert_eq!(content(rendered), "kind: Rendered\n");
}
