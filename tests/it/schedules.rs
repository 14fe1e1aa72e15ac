//! `jackal schedule`: lists and next times.

use serde_json::Value;

use super::sandbox::Sandbox;

pub(super) const HEAD: &str = "kind: JackalPipeline\nversion: 1\n";

/// Two pipelines with schedules, and one without.
pub(super) fn workspace() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "web/jackal.pipeline.yaml",
        format!(
            "{HEAD}name: web\ntasks:\n  a: {{ run: ['true'], inputs: [] }}\nschedules:\n  \
             nightly: {{ cron: '30 2 * * *', timezone: Europe/Berlin, tasks: a }}\n"
        ),
    );
    sandbox.write(
        "lib/jackal.pipeline.yaml",
        format!(
            "{HEAD}name: lib\ntasks:\n  a: {{ run: ['true'], inputs: [] }}\nschedules:\n  \
             weekly: {{ cron: '@weekly', targets: [lib, 'tag:x'] }}\n"
        ),
    );
    sandbox.write(
        "other/jackal.pipeline.yaml",
        format!("{HEAD}name: other\ntasks: {{ a: {{ run: ['true'], inputs: [] }} }}\n"),
    );
    sandbox
}

#[test]
fn schedules_of_the_whole_workspace_are_listed_with_their_next_times() {
    let sandbox = workspace();
    let list = sandbox.run(&["schedule", "list", "--after", "2026-03-28T12:00:00Z"]);
    assert_eq!(
        list.stdout,
        "weekly   0 0 * * 0   UTC            next 2026-03-29 00:00+00:00  lib/jackal.pipeline.yaml: lib, tag:x\n\
         nightly  30 2 * * *  Europe/Berlin  next 2026-03-29 03:30+02:00  web/jackal.pipeline.yaml: a\n",
        "{}",
        list.stderr
    );
    let next = sandbox.run(&[
        "schedule",
        "next",
        "-n",
        "3",
        "--after",
        "2026-03-28T12:00:00Z",
    ]);
    assert_eq!(
        next.stdout,
        "2026-03-29 00:00+00:00  UTC            2026-03-29T00:00:00Z  weekly   lib/jackal.pipeline.yaml\n\
         2026-03-29 03:30+02:00  Europe/Berlin  2026-03-29T01:30:00Z  nightly  web/jackal.pipeline.yaml (the clocks skip this time: runs after the change)\n\
         2026-03-30 02:30+02:00  Europe/Berlin  2026-03-30T00:30:00Z  nightly  web/jackal.pipeline.yaml\n"
    );
    let web = sandbox.run(&["schedule", "list", "web", "--json"]);
    let web: Value = serde_json::from_str(&web.stdout).unwrap();
    assert_eq!(web.as_array().unwrap().len(), 1);
    assert_eq!(
        web[0]["command"],
        serde_json::json!([
            "jackal",
            "build",
            "--pipeline",
            "web/jackal.pipeline.yaml",
            "--task",
            "a"
        ])
    );
    let none = sandbox.run(&["schedule", "next", "--name", "hourly"]);
    assert_eq!(none.code, Some(2));
    assert!(
        none.stderr
            .contains("no schedule named `hourly`; there are: weekly, nightly"),
        "{}",
        none.stderr
    );
    let none = sandbox.run(&["schedule", "export", "--to", "systemd", "other"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("no schedules"), "{}", none.stderr);
}

#[test]
fn the_command_of_a_schedule_builds_its_tasks() {
    let sandbox = workspace();
    let list = sandbox.run(&["schedule", "list", "--json"]);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let nightly = &list.as_array().unwrap()[1]["command"];
    let words: Vec<&str> = nightly
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    let said = sandbox.run(&[&words[1..], &["--dry-run"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("web:a"),
        "{} {}",
        said.stdout,
        said.stderr
    );
}

#[test]
fn words_select_schedules_as_they_select_tasks_of_a_build() {
    let sandbox = workspace();
    sandbox.write(
        "tagged/jackal.pipeline.yaml",
        format!(
            "{HEAD}name: tagged\ntasks:\n  only: {{ run: ['true'], inputs: [], tags: [slow] }}\n\
             schedules:\n  daily: {{ cron: '@daily' }}\n"
        ),
    );
    let names = |words: &[&str]| {
        let listed = sandbox.run(&[&["schedule", "list", "--json"], words].concat());
        assert_eq!(listed.code, Some(0), "{words:?}: {}", listed.stderr);
        let listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        let names = listed.iter().map(|one| one["name"].as_str().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["!web"]), ["weekly", "daily"]);
    assert_eq!(names(&["tag:slow"]), ["daily"]);
    assert_eq!(names(&["!tag:slow"]), ["weekly", "nightly"]);
    assert_eq!(names(&[":only"]), ["daily"]);
    assert_eq!(
        names(&["lib:a", "web/jackal.pipeline.yaml"]),
        ["weekly", "nightly"]
    );
    for (word, part) in [
        ("nope", "`nope` is no folder, file or task"),
        ("tag:slwo", "did you mean `slow`?"),
        (":olny", "did you mean `only`?"),
        ("no/where", "no/where"),
    ] {
        let refused = sandbox.run(&["schedule", "list", word]);
        assert_ne!(refused.code, Some(0), "{word}: {}", refused.stdout);
        assert!(refused.stderr.contains(part), "{word}: {}", refused.stderr);
    }
}
