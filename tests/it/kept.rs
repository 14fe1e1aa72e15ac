//! Incremental tasks: what is kept between runs, and when it is not used.

use serde_json::Value;

use crate::sandbox::{Said, Sandbox, said, settle};

const PIPELINE: &str = "kind: JackalPipeline\nversion: 1\nname: p\n";

/// A pipeline with the task `a`, which runs the shell script `script`.
fn task(sandbox: &Sandbox, script: &str, more: &str) {
    sandbox.write("script", script);
    sandbox.write(
        "p.yaml",
        format!(
            "{PIPELINE}tasks:\n  a:\n    run: [sh, -e, script]\n    tools: [sh, cat, ln, ls, make, mkdir, rm, stat, touch]\n    \
             inputs: [script, 'in/**']\n    outputs: [o]\n    {more}\n"
        ),
    );
}

fn build(sandbox: &Sandbox, more: &[&str]) -> Said {
    settle();
    sandbox.run(
        &[
            &["build", "--pipeline", "p.yaml", "--summary", "../run.json"],
            more,
        ]
        .concat(),
    )
}

/// Builds, and returns what is in the output.
fn made(sandbox: &Sandbox) -> String {
    let said = build(sandbox, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    std::fs::read_to_string(sandbox.src().join("o")).unwrap()
}

fn record(sandbox: &Sandbox) -> Value {
    let path = sandbox.src().join("../run.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    record["tasks"].clone()
}

/// Counts the runs in a file that is kept.
const COUNTING: &str = "echo x >> count\ncat count in/f > o\n";

#[test]
fn make_builds_what_changed_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a1\n");
    sandbox.write("in/b", "b1\n");
    sandbox.write(
        "in/Makefile",
        "o: x y\n\tcat x y > o\nx: a\n\tcat a > x; echo x >> ran\ny: b\n\tcat b > y; echo y >> ran\n",
    );
    task(
        &sandbox,
        "make -s -C in\ncat in/o in/ran > o\n",
        "incremental: true",
    );
    assert_eq!(made(&sandbox), "a1\nb1\nx\ny\n");
    // Of the same size, and as old as before.
    let file = sandbox.src().join("in/a");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "a2\n").unwrap();
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(before).unwrap();
    assert_eq!(made(&sandbox), "a2\nb1\nx\ny\nx\n");
    sandbox.write("in/a", "a1\n");
    assert_eq!(
        made(&sandbox),
        "a1\nb1\nx\ny\n",
        "the first result is cached"
    );
    sandbox.write("in/a", "a3\n");
    assert_eq!(made(&sandbox), "a3\nb1\nx\ny\nx\nx\n");
}

#[test]
fn what_a_command_does_to_its_inputs_is_undone() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    sandbox.write("in/d/g", "1");
    sandbox.write("in/gone", "1");
    let outside = sandbox.src().join("../outside");
    std::fs::create_dir(&outside).unwrap();
    let script = format!(
        "cat in/f in/d/g > o; ls -R in >> o\nrm -r in/d; ln -s {} in/d\necho 2 > in/f\nmkdir -p in/more; touch in/more/left\n",
        outside.display()
    );
    task(&sandbox, &script, "incremental: true");
    assert_eq!(made(&sandbox), "11in:\nd\nf\ngone\n\nin/d:\ng\n");
    std::fs::remove_file(sandbox.src().join("in/gone")).unwrap();
    assert_eq!(
        made(&sandbox),
        "11in:\nd\nf\nmore\n\nin/d:\ng\n\nin/more:\nleft\n"
    );
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_removed_folder_of_inputs_is_gone_and_files_have_the_time_of_their_change() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    sandbox.write("in/d/e/g", "1");
    task(
        &sandbox,
        "ls in > o; stat -c %y in/f script >> o\n",
        "incremental: true",
    );
    let first = made(&sandbox);
    assert!(
        first.starts_with("d\nf\n") && !first.contains("1980"),
        "{first}"
    );
    std::fs::remove_dir_all(sandbox.src().join("in/d")).unwrap();
    let second = made(&sandbox);
    assert_eq!(second, first.replacen("d\n", "", 1));
}

#[test]
fn only_what_is_named_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    let script = "ls . in k $HOME > o 2>&1 || true\nmkdir -p k $HOME/.cache/x $HOME/.other\n\
                  touch k/1 left in/left $HOME/.cache/x/2\n";
    task(&sandbox, script, "keep: [k/, '~/.cache/x']");
    made(&sandbox);
    sandbox.write("in/f", "2");
    let script = "ls -A . in k $HOME $HOME/.cache/x > o\n";
    sandbox.write("script", script);
    let listed = made(&sandbox);
    let expected = ".:\nin\nk\no\nscript\n\n/jackal/home:\n.cache\n\n/jackal/home/.cache/x:\n2\n\nin:\nf\n\nk:\n1\n";
    if listed.contains("/jackal/home") {
        assert_eq!(listed, expected);
    }
    for part in ["k:\n1\n", "in:\nf\n", "x:\n2\n"] {
        assert!(listed.contains(part), "{listed}");
    }
}

#[test]
fn nothing_is_kept_after_a_failure_or_for_another_command() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    task(&sandbox, COUNTING, "incremental: true");
    assert_eq!(made(&sandbox), "x\n1");
    sandbox.write("in/f", "2");
    assert_eq!(made(&sandbox), "x\nx\n2");
    task(&sandbox, COUNTING, "incremental: true\n    env: { A: b }");
    assert_eq!(made(&sandbox), "x\n2");
    task(
        &sandbox,
        "echo x >> count; exit 1\n",
        "incremental: true\n    env: { A: b }",
    );
    assert_eq!(build(&sandbox, &[]).code, Some(1));
    sandbox.write("in/f", "3");
    task(&sandbox, COUNTING, "incremental: true\n    env: { A: b }");
    assert_eq!(made(&sandbox), "x\n3");
}

#[test]
fn incremental_results_are_marked_and_do_not_count_where_others_rely_on_them() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    let next =
        "\n  b:\n    tools: [cat]\n    run: [cat, o]\n    inputs: ['task:a']\n    outputs: []";
    task(&sandbox, COUNTING, &format!("incremental: true{next}"));
    made(&sandbox);
    let marks = |sandbox: &Sandbox| -> Vec<Value> {
        let tasks = record(sandbox);
        let tasks = tasks.as_array().unwrap().iter();
        tasks.map(|task| task["incremental"].clone()).collect()
    };
    assert_eq!(marks(&sandbox), [Value::Bool(true), Value::Bool(true)]);
    sandbox.write("in/f", "2");
    assert_eq!(made(&sandbox), "x\nx\n2");
    let ci = |sandbox: &Sandbox| {
        let args = ["build", "--pipeline", "p.yaml", "--summary", "../run.json"];
        let said = said(sandbox.command(&args).env("CI", "true"));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        std::fs::read_to_string(sandbox.src().join("o")).unwrap()
    };
    assert_eq!(ci(&sandbox), "x\n2");
    assert_eq!(marks(&sandbox), [Value::Null, Value::Null]);
    // The key is that of the task without the setting.
    let key = record(&sandbox)[0]["actionKey"].clone();
    task(&sandbox, COUNTING, &format!("description: x{next}"));
    made(&sandbox);
    assert_eq!(record(&sandbox)[0]["actionKey"], key);
    task(&sandbox, COUNTING, "incremental: true");
    let text = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    sandbox.write(
        "p.yaml",
        text.replace("tasks:", "trustIncremental: true\ntasks:"),
    );
    assert_eq!(ci(&sandbox), "x\nx\n2");
}

#[test]
fn a_clean_build_starts_from_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    task(&sandbox, COUNTING, "incremental: true");
    made(&sandbox);
    sandbox.write("in/f", "2");
    assert_eq!(made(&sandbox), "x\nx\n2");
    let said = build(&sandbox, &["--clean"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(made(&sandbox), "x\n2");
    let held = sandbox.run(&["cache", "du"]).stdout;
    assert!(held.contains("1 kept folder"), "{held}");
    let pruned = sandbox.run(&["cache", "prune", "--max-size", "0B"]);
    assert!(pruned.stdout.contains("1 kept folder"), "{}", pruned.stdout);
    sandbox.write("in/f", "3");
    assert_eq!(made(&sandbox), "x\n3");
}

#[test]
fn what_is_published_is_made_from_nothing() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.write("in/f", "1");
    task(&sandbox, COUNTING, "incremental: true");
    made(&sandbox);
    sandbox.write("in/f", "2");
    assert_eq!(made(&sandbox), "x\nx\n2");
    let text = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    let more = "  components:\n    matrix: { name: [tree, tool] }\n    \
                component: { definition: jackal.yaml, name: '${{ matrix.name }}' }\n  \
                package: { package: { definition: jackal.yaml, components: components }, dependsOn: [a] }\n  \
                publish: { publish: { packages: package, to: 'oci-layout:published' } }\n";
    sandbox.write("p.yaml", format!("{text}{more}"));
    assert_eq!(made(&sandbox), "x\n2");
    // Nothing is published here.
    sandbox.write("in/f", "3");
    let said = build(&sandbox, &["--task", "a"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let output = std::fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert_eq!(output, "x\nx\nx\n3");
}

#[test]
fn paths_to_keep_stay_below_the_folder_and_the_home() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    task(&sandbox, COUNTING, "keep: [../x]");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("`../x` in `keep`"), "{}", said.stderr);
}
