//! Results of other levels of the sandbox: those of higher ones count, others do not.

use std::path::Path;

use jackal::testing::{Level, best};
use serde_json::Value;

use crate::sandbox::{HEAD, Sandbox, settle};

/// Builds a task with `sandbox: mode`; returns its status and the level of its result.
fn build(sandbox: &Sandbox, mode: &str, word: &str) -> (String, String) {
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  a:\n    run: [sh, -c, 'echo {word} > o']\n    \
             tools: [sh]\n    inputs: []\n    outputs: [o]\n    sandbox: {mode}\n"
        ),
    );
    settle();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--summary", "../run.json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let path = sandbox.src().join("../run.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |key: &str| record["tasks"][0][key].as_str().unwrap().to_owned();
    (text("status"), text("level"))
}

#[test]
fn a_result_of_a_higher_level_counts_at_a_lower_one_and_never_the_reverse() {
    let level = best(Some(Path::new(env!("CARGO_BIN_EXE_jackal"))));
    if level == Level::Free {
        return;
    }
    let sandbox = Sandbox::new();
    let is = |status: &str, level: &str| (status.to_owned(), level.to_owned());
    let level = level.to_string();
    assert_eq!(build(&sandbox, "none", "one"), is("executed", "none"));
    assert_eq!(build(&sandbox, "warn", "one"), is("executed", &level));
    assert_eq!(
        build(&sandbox, "none", "one"),
        is("cached", &level),
        "the highest counts"
    );
    assert_eq!(build(&sandbox, "warn", "two"), is("executed", &level));
    assert_eq!(build(&sandbox, "none", "two"), is("cached", &level));
    let dry = sandbox.run(&["build", "--pipeline", "p.yaml", "--dry-run"]);
    assert!(dry.stdout.contains("cached"), "{}", dry.stdout);
}
