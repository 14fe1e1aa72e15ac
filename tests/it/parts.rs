//! Charts in components.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::sandbox::{Sandbox, settle};

/// A package with one component, `web`, with the keys in `rest`.
fn package(sandbox: &Sandbox, rest: &str) {
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.0.0\"\n  \
             architecture: amd64\ncomponents:\n- name: web\n{rest}"
        ),
    );
    settle();
}

/// The entries of the component's tar in the package, by path: content, or the
/// target of a link.
fn component(sandbox: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    let said = sandbox.run(&[
        "package",
        "extract",
        "dist/jackal-package-demo-amd64-1.0.0.tar.zst",
        "-o",
        "out",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let bytes = std::fs::read(sandbox.src().join("out/components/web.tar")).unwrap();
    std::fs::remove_dir_all(sandbox.src().join("out")).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(target) = entry.link_name_bytes() {
            content = target.into_owned();
        }
        (name, content)
    };
    archive.entries().unwrap().map(entry).collect()
}

fn chart(sandbox: &Sandbox) {
    sandbox.write(
        "chart/Chart.yaml",
        "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    );
    sandbox.write("chart/.helmignore", "*.md\n");
    sandbox.write("chart/README.md", "r");
    sandbox.write("chart/templates/cm.yaml", "kind: ConfigMap\n");
    sandbox.write("values.yaml", "a: 1\n");
    package(
        sandbox,
        "  charts:\n  - name: web\n    version: 0.1.0\n    namespace: n\n    localPath: chart\n    \
         valuesFiles: [values.yaml]\n",
    );
}

#[test]
fn a_chart_is_not_repackaged_when_values_or_ignored_files_change() {
    let sandbox = Sandbox::new();
    chart(&sandbox);
    assert_eq!(
        sandbox.executed(),
        ["component:web", "component:web:chart:web-0.1.0", "package"]
    );
    let names: Vec<String> = component(&sandbox).into_keys().collect();
    assert_eq!(
        names,
        [
            "web",
            "web/charts",
            "web/charts/web-0.1.0.tgz",
            "web/values",
            "web/values/web-0.1.0-0"
        ]
    );
    assert_eq!(sandbox.executed(), [""; 0]);
    sandbox.write("values.yaml", "a: 2\n");
    settle();
    assert_eq!(sandbox.executed(), ["component:web", "package"]);
    sandbox.write("chart/README.md", "other");
    settle();
    assert_eq!(sandbox.executed(), [""; 0]);
    sandbox.write("chart/templates/cm.yaml", "kind: Secret\n");
    settle();
    assert_eq!(sandbox.executed().len(), 3);
}

#[test]
fn a_chart_without_the_charts_it_needs_is_refused_with_the_command_to_run() {
    let sandbox = Sandbox::new();
    chart(&sandbox);
    let needs = "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- name: db\n  version: 1.x\n  repository: https://example.com\n";
    sandbox.write("chart/Chart.yaml", needs);
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("run `helm dependency build chart`"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_component_task_of_a_pipeline_has_the_same_chart_as_the_implied_one() {
    let sandbox = Sandbox::new();
    chart(&sandbox);
    sandbox.build(&[]);
    let implied = component(&sandbox);
    sandbox.pipeline(
        "tasks:\n  web:\n    component:\n      \
         definition: jackal.yaml\n      name: web\n  all:\n    package:\n      definition: \
         jackal.yaml\n      components: [web]\n",
    );
    let tasks = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        tasks.contains(&("web:chart:web-0.1.0".into(), "cached".into())),
        "{tasks:?}"
    );
    assert_eq!(component(&sandbox), implied);
}
