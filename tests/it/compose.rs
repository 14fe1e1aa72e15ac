//! Packages from several definitions: imports from folders and skeletons,
//! templates, deprecated keys.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use jackal::package::{Definition, Strictness};
use jackal::yaml::SourceText;
use serde_json::Value as Json;

use super::sandbox::{Sandbox, settle};

const ARCHIVE: &str = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";

/// A package that imports from a folder beside it.
fn importing() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "web/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: '1.0.0', architecture: \
         amd64}\ncomponents:\n- name: web\n  import: {path: ../common, name: base}\n  files:\n  \
         - {source: page, target: /srv/page}\n",
    );
    sandbox.write("web/page", "own\n");
    sandbox.write(
        "common/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: common}\ncomponents:\n- name: base\n  \
         files:\n  - {source: conf/file, target: /etc/file}\n",
    );
    sandbox.write("common/conf/file", "common\n");
    settle();
    sandbox
}

/// The definition in a package, as the program prints it.
fn definition(sandbox: &Sandbox, archive: &str) -> Definition {
    let said = sandbox.run(&["package", "inspect", archive]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let source = SourceText::new("jackal.yaml", said.stdout);
    Definition::parse(&source, Strictness::Existing).unwrap()
}

/// A file of a component in a package.
fn packed(sandbox: &Sandbox, archive: &str, path: &str) -> String {
    let said = sandbox.run(&[
        "package",
        "extract",
        "--unarchive",
        "--force",
        archive,
        "-o",
        "out",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    fs::read_to_string(sandbox.src().join("out").join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn files_of_an_imported_component_are_packed_and_tracked() {
    let sandbox = importing();
    sandbox.build(&["web"]);
    let found = definition(&sandbox, ARCHIVE);
    let component = &found.components[0];
    assert_eq!(component.import, Default::default());
    let sources: Vec<&str> = component.files.iter().map(|f| f.source.as_str()).collect();
    assert_eq!(sources, ["../common/conf/file", "page"]);
    let file = "components/web/files/0/file";
    assert_eq!(packed(&sandbox, ARCHIVE, file), "common\n");
    let again = sandbox.build(&["web"]);
    assert!(
        again.iter().all(|(_, status)| status == "cached"),
        "{again:?}"
    );
    sandbox.write("common/conf/file", "changed\n");
    settle();
    sandbox.build(&["web"]);
    assert_eq!(packed(&sandbox, ARCHIVE, file), "changed\n");
}

#[test]
fn an_imported_file_cannot_leave_the_repository() {
    let sandbox = importing();
    sandbox.write(
        "common/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: common}\ncomponents:\n- name: base\n  \
         files:\n  - {source: ../secret, target: /etc/file}\n",
    );
    sandbox.write("secret", "s");
    let said = sandbox.run(&["build", "web"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("common/jackal.yaml:6:14: `../secret` leads out of"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_import_cycle_is_an_error_with_its_place() {
    let sandbox = importing();
    sandbox.write(
        "common/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: common}\ncomponents:\n- name: base\n  \
         import: {path: ../web, name: web}\n",
    );
    let said = sandbox.run(&["build", "web"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    // The package's own folder is reached under another name before the cycle is
    // detected.
    let expected = "web/jackal.yaml:5:18: import cycle: . -> ../common -> ../web -> ../common";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[test]
fn templates_are_set_on_the_command_line_and_missing_ones_named() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  architecture: amd64\n  version: \
         '###JACKAL_PKG_TMPL_VERSION###'\n  description: '###JACKAL_PKG_VAR_TEXT###'\n\
         components:\n- name: web\n  files:\n  - {source: page, target: /srv/page}\n",
    );
    sandbox.write("page", "p");
    settle();
    let said = sandbox.run(&["build", "--set", "TEXT=x"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let place = "jackal.yaml:5:12: template `VERSION` has no value";
    assert!(said.stderr.contains(place), "{}", said.stderr);
    for command in [
        &["build"][..],
        &["package", "create", "--confirm", "-o", "dist"],
    ] {
        let set = [
            "--set",
            "version=1.0.0",
            "--set",
            "\"TEXT=a \"\"b\"\", c: \\\"",
        ];
        let said = sandbox.run(&[command, &set].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(
            said.stderr.matches("warning: ").count(),
            1,
            "{}",
            said.stderr
        );
        let warning = "jackal.yaml:6:16: deprecated syntax ###JACKAL_PKG_VAR_TEXT###";
        assert!(said.stderr.contains(warning), "{}", said.stderr);
        let found = definition(&sandbox, ARCHIVE);
        assert_eq!(found.metadata.description, "a \"b\", c: \\");
        fs::remove_dir_all(sandbox.src().join("dist")).unwrap();
    }
}

#[test]
fn a_pipeline_sets_templates_of_its_package_and_components() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: '1.0.0'}\ncomponents:\n\
         - name: web\n  files:\n  - {source: '###JACKAL_PKG_TMPL_FILE###', target: /srv/page}\n",
    );
    sandbox.write("two", "second\n");
    let pipeline = |key: &str| {
        format!(
            "version: 1\nkind: JackalPipeline\nname: p\ntasks:\n  web:\n    component: {{ definition: \
             jackal.yaml, name: web }}\n  pack:\n    package:\n      definition: jackal.yaml\n      \
             set: {{ {key}: two, architecture: amd64 }}\n      components: [web]\n"
        )
    };
    sandbox.write("p.yaml", pipeline("FILE"));
    settle();
    sandbox.build(&["--pipeline", "p.yaml"]);
    assert_eq!(
        definition(&sandbox, ARCHIVE).components[0].files[0].source,
        "two"
    );
    assert_eq!(
        packed(&sandbox, ARCHIVE, "components/web/files/0/page"),
        "second\n"
    );
    sandbox.write("p.yaml", pipeline("FILES"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--set", "FILE=two"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("task `pack` sets `FILES`"),
        "{}",
        said.stderr
    );
}

#[test]
fn deprecated_keys_are_migrated_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: '1.0.0', architecture: \
         amd64}\ncomponents:\n- name: web\n  scripts:\n    before: [echo hi]\n  actions:\n    \
         onDeploy:\n      after:\n      - {cmd: date, setVariable: NOW}\n",
    );
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for text in [
        "jackal.yaml:6:5: component `web` uses `scripts`",
        "jackal.yaml:10:34: component `web` uses `setVariable`",
        "deprecated keys of component `web` were migrated",
    ] {
        assert!(said.stderr.contains(text), "{}", said.stderr);
    }
    let found = definition(&sandbox, ARCHIVE);
    let component = &found.components[0];
    assert_eq!(component.actions.on_deploy.before[0].cmd, "echo hi");
    assert_eq!(component.actions.on_deploy.before.len(), 1);
    assert_eq!(component.scripts.before, ["echo hi"]);
    assert_eq!(
        component.actions.on_deploy.after[0].set_variables[0].name,
        "NOW"
    );
    assert_eq!(
        found.build.migrations,
        ["scripts-to-actions", "pluralize-set-variable"]
    );
    assert_eq!(found.build.last_non_breaking_version, "v0.27.0");
}

/// The skeleton that Zarf 0.84 published, as an OCI layout.
fn zarf_skeleton(sandbox: &Sandbox) -> PathBuf {
    let tar = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/packages/zarf-0.84-skeleton.tar"
    );
    let folder = sandbox.src().join("layouts");
    tar::Archive::new(fs::File::open(tar).unwrap())
        .unpack(&folder)
        .unwrap();
    folder.join("skeleton")
}

fn imports(sandbox: &Sandbox, url: &str) {
    sandbox.write(
        "pkg/jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo, version: '1.0.0', architecture: \
             amd64}}\ncomponents:\n- name: mine\n  import: {{url: '{url}', name: base}}\n"
        ),
    );
    settle();
}

/// The same skeleton without its image, because tests use no network.
fn without_images(layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    let replace = |digest: &str, from: &str, to: &str| {
        let text = fs::read_to_string(blobs.join(digest)).unwrap();
        assert!(text.contains(from), "{text}");
        let text = text.replace(from, to);
        let new = jackal::oci::Digest::of(text.as_bytes());
        fs::write(blobs.join(new.hex()), &text).unwrap();
        (new.hex(), text.len())
    };
    let changed = |digest: &str, old: (&str, usize), new: &(String, usize)| {
        let from = format!("{}\",\"size\":{}", old.0, old.1);
        replace(digest, &from, &format!("{}\",\"size\":{}", new.0, new.1))
    };
    let definition = "7871d8e0369198c4edec9fb54850c3f21c5d5d3bf2d9ea9928c0e4fcc54685fd";
    let manifest = "74ef3aecc04bda147dfe2d537ebf3d14e29259f810af07b74a6ae8dee4ab31e2";
    let index = "e4ab9bf00704fcc5d556b6a0ba9f24c0af9a749e8f118af7657043da04103499";
    let new = replace(
        definition,
        "  images:\n  - localhost:5000/demo/tiny:1\n",
        "",
    );
    let new = changed(manifest, (definition, 1067), &new);
    let new = changed(index, (manifest, 1315), &new);
    let path = layout.join("index.json");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace(index, &new.0)
        .replace("\"size\": 293", &format!("\"size\": {}", new.1));
    fs::write(path, text).unwrap();
}

#[test]
fn a_skeleton_in_a_layout_is_imported_and_its_damaged_files_are_repaired() {
    let sandbox = Sandbox::new();
    without_images(&zarf_skeleton(&sandbox));
    imports(&sandbox, "oci:../layouts/skeleton:1.2.3");
    sandbox.build(&["pkg"]);
    let found = definition(&sandbox, ARCHIVE);
    let component = &found.components[0];
    assert_eq!(component.name, "mine");
    assert!(
        component.files[0]
            .source
            .starts_with(".jackal/skeletons/ce76a1b8")
    );
    assert_eq!(component.actions.on_deploy.after[0].cmd, "echo deployed");
    assert_eq!(found.variables[0].name, "GREETING");
    let file = "components/mine/files/0/greeting.txt";
    let expected = "hi ###ZARF_VAR_GREETING### ###ZARF_CONST_PORT###\n";
    assert_eq!(packed(&sandbox, ARCHIVE, file), expected);
    // A damaged unpacked file is not packed, but unpacked again.
    let unpacked = sandbox.cached_files().into_iter().find(|(path, _)| {
        path.ends_with("greeting.txt") && path.to_string_lossy().contains("skeletons")
    });
    fs::write(
        unpacked.unwrap().0,
        "other bytes, same length is not needed",
    )
    .unwrap();
    sandbox.build(&["--force", "pkg"]);
    assert_eq!(packed(&sandbox, ARCHIVE, file), expected);
}

#[test]
fn a_chart_with_its_values_is_packaged_from_a_skeleton() {
    let sandbox = Sandbox::new();
    zarf_skeleton(&sandbox);
    sandbox.write(
        "pkg/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: '1.0.0', architecture: \
         amd64}\ncomponents:\n- name: app\n  import: {url: 'oci:../layouts/skeleton:1.2.3'}\n  \
         charts:\n  - {name: web, namespace: mine, valuesFiles: [own.yaml]}\n",
    );
    sandbox.write("pkg/own.yaml", "mine: true\n");
    settle();
    sandbox.build(&["pkg"]);
    let found = definition(&sandbox, ARCHIVE);
    let chart = &found.components[0].charts[0];
    assert_eq!(
        (chart.namespace.as_str(), chart.version.as_str()),
        ("mine", "0.1.0")
    );
    let values = |index: usize| format!("components/app/values/web-0.1.0-{index}");
    assert_eq!(packed(&sandbox, ARCHIVE, &values(0)), "replicas: 1\n");
    assert_eq!(packed(&sandbox, ARCHIVE, &values(1)), "mine: true\n");
    let chart = sandbox
        .src()
        .join("out/components/app/charts/web-0.1.0.tgz");
    assert!(chart.is_file());
    assert!(packed(&sandbox, ARCHIVE, "components/app/manifests/cm-0.yaml").contains("ConfigMap"));
}

#[test]
fn a_missing_skeleton_is_reported_at_the_import() {
    let sandbox = Sandbox::new();
    zarf_skeleton(&sandbox);
    for (url, message) in [
        (
            "oci:../layouts/skeleton:9.9.9",
            "no published skeleton package at `oci:../layouts/skeleton:9.9.9`",
        ),
        (
            "oci:../nowhere:1",
            "no published skeleton package at `oci:../nowhere:1`",
        ),
    ] {
        imports(&sandbox, url);
        let said = sandbox.run(&["build", "pkg"]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(
            said.stderr
                .contains(&format!("pkg/jackal.yaml:5:17: {message}")),
            "{}",
            said.stderr
        );
    }
}

/// Serves a layout's blobs and its one tag as a registry does, until dropped.
struct Served {
    host: String,
}

impl Served {
    fn new(layout: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let layout = layout.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &layout);
            }
        });
        Self { host }
    }
}

fn answer(mut stream: TcpStream, layout: &Path) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let index: Json =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let tagged = index["manifests"][0]["digest"].as_str().unwrap();
    let name = match path.rsplit('/').next().unwrap() {
        "1.2.3" => tagged,
        digest => digest,
    };
    let hex = name.strip_prefix("sha256:").unwrap_or("none");
    let body = fs::read(layout.join("blobs/sha256").join(hex));
    let (status, body) = match body {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let kind = if name == tagged {
        "application/vnd.oci.image.index.v1+json"
    } else {
        "application/vnd.oci.image.manifest.v1+json"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(&body));
}

#[test]
fn a_skeleton_in_a_registry_is_pinned_and_then_needs_no_network() {
    let sandbox = Sandbox::new();
    let layout = zarf_skeleton(&sandbox);
    without_images(&layout);
    let served = Served::new(&layout);
    let url = format!("oci://{}/demo/interop:1.2.3", served.host);
    imports(&sandbox, &url);
    let said = sandbox.run(&["build", "--locked", "pkg"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("no pin in jackal.lock"),
        "{}",
        said.stderr
    );
    sandbox.build(&["pkg"]);
    let lock = fs::read_to_string(sandbox.src().join("pkg/jackal.lock")).unwrap();
    assert!(lock.contains("\"multi/skeleton\""), "{lock}");
    let before = fs::read(sandbox.src().join(ARCHIVE)).unwrap();
    fs::remove_dir_all(layout).unwrap();
    for flag in ["--offline", "--locked"] {
        let said = sandbox.run(&["build", "--force", "--skip-sbom", flag, "pkg"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    sandbox.build(&["--offline", "pkg"]);
    assert_eq!(fs::read(sandbox.src().join(ARCHIVE)).unwrap(), before);
    let said = sandbox.run(&["build", "--offline", "--cache-dir", "../empty", "pkg"]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("pkg/jackal.yaml:5:17: oci://"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--offline forbids"), "{}", said.stderr);
}
