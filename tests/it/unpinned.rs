//! Results that are made from the network: marked, and not published.

use serde_json::Value;

use crate::sandbox::{HEAD, Said, Sandbox, settle};

/// `fetch` has the network, `made` reads its output, `waits` only waits for it.
fn pipeline(sandbox: &Sandbox, top: &str, source: &str) {
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: p\n  version: '1'\ncomponents:\n- name: c\n  \
             required: true\n  files:\n  - source: {source}\n    target: /f\n"
        ),
    );
    sandbox.write("plain", "plain");
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}{top}tasks:\n\
             \x20 fetch:\n    run: [sh, -c, 'echo got > got']\n    tools: [sh]\n    inputs: []\n    outputs: [got]\n    network: true\n\
             \x20 made:\n    run: [cp, got, made]\n    tools: [cp]\n    inputs: [got]\n    outputs: [made]\n\
             \x20 waits:\n    run: [cp, plain, other]\n    tools: [cp]\n    inputs: [plain]\n    outputs: [other]\n    dependsOn: fetch\n\
             \x20 component: {{ component: {{ definition: jackal.yaml, name: c }} }}\n\
             \x20 package: {{ package: {{ definition: jackal.yaml, components: component }} }}\n\
             \x20 publish: {{ publish: {{ packages: package, to: 'oci-layout:out' }} }}\n"
        ),
    );
}

fn build(sandbox: &Sandbox, tasks: &[&str]) -> Said {
    settle();
    let base = ["build", "--pipeline", "p.yaml", "--summary", "../run.json"];
    let tasks = tasks.iter().flat_map(|task| ["--task", task]);
    sandbox.run(&base.into_iter().chain(tasks).collect::<Vec<_>>())
}

/// The tasks that the record marks.
fn marked(sandbox: &Sandbox) -> Vec<String> {
    let path = sandbox.src().join("../run.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let tasks = record["tasks"].as_array().unwrap().iter();
    let tasks = tasks.filter(|task| task["unpinned"] == true);
    let mut names: Vec<String> = tasks
        .map(|task| task["task"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_made_from_the_network_is_published_only_if_the_pipeline_says_so() {
    let sandbox = Sandbox::new();
    pipeline(&sandbox, "", "made");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let expected =
        "p.yaml:10:14: task `publish` publishes what is made by `fetch`, which uses the network";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    assert!(
        said.stderr.contains("add `allowUnpinned: true`"),
        "{}",
        said.stderr
    );
    pipeline(&sandbox, "allowUnpinned: true\n", "made");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        marked(&sandbox),
        ["component", "fetch", "made", "package", "publish"]
    );
}

#[test]
fn a_task_that_only_waits_for_the_network_is_not_marked() {
    let sandbox = Sandbox::new();
    pipeline(&sandbox, "", "other");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(marked(&sandbox), ["fetch", "made"]);
}

#[test]
fn an_archive_of_marked_results_is_not_published_where_it_was_written() {
    let sandbox = Sandbox::new();
    pipeline(&sandbox, "", "made");
    let said = build(&sandbox, &["package"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = said.stdout.trim().to_owned();
    let publish =
        |sandbox: &Sandbox| super::publish::publish(sandbox, &[&archive, "oci-layout:out"]);
    let refused = publish(&sandbox);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("made from what a task got from the network"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("add `allowUnpinned: true`"),
        "{}",
        refused.stderr
    );
    pipeline(&sandbox, "allowUnpinned: true\n", "made");
    let said = build(&sandbox, &["package"]);
    assert!(said.stderr.contains("0 executed"), "{}", said.stderr);
    let published = publish(&sandbox);
    assert_eq!(published.code, Some(0), "{}", published.stderr);
}
