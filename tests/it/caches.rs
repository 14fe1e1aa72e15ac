//! `caches:` of commands: stores of downloads that no key contains.

use jackal::oci::Digest;

use crate::sandbox::{HEAD, Sandbox, settle};

/// Two tasks that use the store of Cargo, for a crate whose content is `good`.
fn pipeline(sandbox: &Sandbox, a: &str, b: &str) {
    let checksum = Digest::of(b"good").hex();
    sandbox.write(
        "Cargo.lock",
        format!(
            "version = 4\n\n[[package]]\nname = \"c\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://r\"\nchecksum = \"{checksum}\"\n"
        ),
    );
    let task = |name: &str, script: &str| {
        format!(
            "  {name}:\n    run: '{script}'\n    shell: sh -e\n    inputs: [Cargo.lock]\n    \
             tools: [cat, mkdir, ls]\n    outputs: [{name}.out]\n    caches: [cargo, {{ name: x, path: .x }}]\n"
        )
    };
    let tasks = [task("a", a), task("b", b)].concat();
    sandbox.write("p.yaml", format!("{HEAD}tasks:\n{tasks}"));
}

const FILE: &str = "$CARGO_HOME/registry/cache/r-1/c-1.0.0.crate";

fn made(sandbox: &Sandbox, task: &str) -> String {
    settle();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--task", task]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    std::fs::read_to_string(sandbox.src().join(format!("{task}.out"))).unwrap()
}

#[test]
fn downloads_that_a_lock_file_states_are_shared_and_others_are_not() {
    let sandbox = Sandbox::new();
    let download = |text: &str| {
        format!(
            "mkdir -p $CARGO_HOME/registry/cache/r-1 $HOME/.x; echo 1 > $HOME/.x/f; \
             printf {text} > {FILE}; printf {text} > ${{CARGO_HOME}}/registry/cache/r-1/d-1.0.0.crate; ls $HOME/.x > a.out"
        )
    };
    let show = format!(
        "cat {FILE} > b.out || echo none > b.out; ls $HOME/.x $CARGO_HOME/registry/cache/* >> b.out || true"
    );
    pipeline(&sandbox, &download("evil"), &show);
    assert_eq!(made(&sandbox, "a"), "f\n");
    assert!(made(&sandbox, "b").starts_with("none\n"));
    pipeline(&sandbox, &download("good"), &format!("{show}; true"));
    made(&sandbox, "a");
    let shown = made(&sandbox, "b");
    assert!(
        shown.starts_with("good") && shown.contains("c-1.0.0.crate"),
        "{shown}"
    );
    assert!(
        !shown.contains("d-1.0.0.crate") && !shown.contains("\nf\n"),
        "{shown}"
    );
    // What one task does to its copy, no other one sees.
    pipeline(
        &sandbox,
        &format!("printf evil > {FILE}; echo > a.out"),
        &show,
    );
    made(&sandbox, "a");
    pipeline(
        &sandbox,
        &format!("cat {FILE} > a.out; ls $HOME/.x >> a.out"),
        &format!("{show}; :"),
    );
    assert_eq!(made(&sandbox, "a"), "evilf\n");
    assert!(made(&sandbox, "b").starts_with("good"));
}

#[test]
fn a_store_is_in_no_key_and_an_unknown_tool_needs_a_path() {
    let sandbox = Sandbox::new();
    pipeline(&sandbox, "echo > a.out", "echo > b.out");
    made(&sandbox, "a");
    let text = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    let other = text.replace("[cargo, { name: x, path: .x }]", "[go]");
    sandbox.write("p.yaml", &other);
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--task", "a", "--dry-run"]);
    assert!(
        said.stdout.contains("cached"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    sandbox.write("p.yaml", other.replace("[go]", "[bazel]"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3));
    assert!(
        said.stderr.contains("`caches` has no tool called `bazel`"),
        "{}",
        said.stderr
    );
}
