//! A failed command is reported with its causes, as far as they can be found.

use std::fs;

use serde_json::Value;

use crate::sandbox::{HEAD, Sandbox, said};

/// The causes of each task that failed: kind, message and help.
pub fn causes(sandbox: &Sandbox, tasks: &str) -> Vec<(String, String)> {
    let pipeline = format!("{HEAD}tasks:\n{tasks}");
    sandbox.write("p.yaml", pipeline);
    let home = sandbox.src().join("../user");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(".toolrc"), "x").unwrap();
    let args = [
        "build",
        "--pipeline",
        "p.yaml",
        "--keep-going",
        "--summary",
        "run.json",
    ];
    let said = super::sandbox::said(sandbox.command(&args).env("HOME", home));
    assert_ne!(said.code, Some(0), "{}", said.stderr);
    let record = fs::read(sandbox.src().join("run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let mut found = Vec::new();
    for task in record["tasks"].as_array().unwrap() {
        let name = task["task"].as_str().unwrap();
        let reason = task["reason"].as_str().unwrap();
        for cause in task["causes"].as_array().into_iter().flatten() {
            let text = |key: &str| cause[key].as_str().unwrap_or_default();
            assert!(reason.contains(text("message")), "{reason}");
            if !text("help").is_empty() {
                let help = format!("help: {}\n", text("help"));
                assert!(said.stderr.contains(&help), "{}", said.stderr);
            }
            let line = format!("{}; {}; {}", text("kind"), text("message"), text("help"));
            found.push((name.to_owned(), line));
        }
    }
    found.sort();
    found
}

#[test]
fn files_that_are_missing_in_the_sandbox_and_exist_outside_are_named() {
    let sandbox = Sandbox::new();
    for file in [
        "conf/app.toml",
        "lib/deep.h",
        "pkg/helper.py",
        "Makefile",
        "script",
    ] {
        sandbox.write(file, "x\n");
    }
    let full = sandbox.src().join("conf/app.toml");
    let tasks = format!(
        "  relative: {{ run: [cat, conf/app.toml], inputs: [] }}\n\
         \x20 absolute: {{ run: [cat, {full}], inputs: [] }}\n\
         \x20 machine: {{ run: [cat, {full}], inputs: [conf/**] }}\n\
         \x20 header: {{ run: 'echo \"deep.h: No such file\"; exit 1', shell: sh, inputs: [] }}\n\
         \x20 module: {{ run: 'echo \"No module named pkg.helper\"; exit 1', shell: sh, inputs: [] }}\n\
         \x20 make: {{ run: 'echo \"make: *** No targets specified and no makefile found.\"; exit 2', shell: sh, inputs: [] }}\n\
         \x20 home: {{ run: 'cat ~/.toolrc', shell: sh, inputs: [], tools: [cat] }}\n\
         \x20 program: {{ run: [./script], inputs: [] }}\n\
         \x20 quiet: {{ run: 'test -s conf/app.toml', shell: sh, inputs: [] }}\n\
         \x20 present: {{ run: 'cat conf/app.toml; echo \"x: not found\"; exit 1', shell: sh, inputs: [conf/**], tools: [cat] }}\n",
        full = full.display()
    );
    let input = |path: &str, at: &str| {
        format!(
            "undeclared-input; `{path}` exists in the workspace, but is not an input of the task; \
             add `{path}` to `inputs` in p.yaml:{at}"
        )
    };
    let found = causes(&sandbox, &tasks);
    let of = |task: &str| -> Vec<&str> {
        let own = found.iter().filter(|(name, _)| name == task);
        own.map(|(_, line)| line.as_str()).collect()
    };
    assert_eq!(of("relative"), [input("conf/app.toml", "5:50")]);
    assert!(of("absolute")[0].starts_with("undeclared-input; `conf/app.toml`"));
    assert!(
        of("machine")[0]
            .ends_with("write `conf/app.toml` instead, which is relative to the task's folder")
    );
    assert!(of("header")[0].starts_with("undeclared-input; `lib/deep.h`"));
    assert!(of("module")[0].starts_with("undeclared-input; `pkg/helper.py`"));
    assert!(of("make")[0].starts_with("undeclared-input; `Makefile`"));
    assert!(
        of("home")[0].starts_with("undeclared-file; `~/.toolrc`"),
        "{found:?}"
    );
    assert!(of("program")[0].starts_with("undeclared-input; `script`"));
    assert!(of("quiet")[0].starts_with("undeclared-input; `conf/app.toml`"));
    assert!(of("present").is_empty(), "{found:?}");
}

#[test]
fn programs_that_are_not_declared_are_told_from_those_that_are_not_installed() {
    let sandbox = Sandbox::new();
    let found = causes(
        &sandbox,
        "  other: { run: 'cat x', shell: sh, inputs: [], env: { PATH: /none } }\n\
         \x20 none: { run: 'no-such-program x', shell: sh, inputs: [] }\n",
    );
    let line = |task: &str, text: &str| (task.to_owned(), text.to_owned());
    assert_eq!(
        found,
        [
            line(
                "none",
                "missing-tool; the program `no-such-program` is not on PATH; \
                 install `no-such-program`, and add it to `tools` in p.yaml:6:3"
            ),
            line(
                "other",
                "undeclared-tool; `cat` is installed, but is not a tool of the task; \
                 add `cat` to `tools` in p.yaml:5:3"
            ),
        ]
    );
}

#[test]
fn what_was_made_instead_of_an_output_is_named_closest_first_with_the_log() {
    let sandbox = Sandbox::new();
    let script = "mkdir -p build $HOME/bin; for f in build/app x.o $HOME/bin/tool; do echo > $f; done; echo printed";
    let task = |name: &str, output: &str| {
        format!(
            "  {name}: {{ run: '{script}', shell: sh, inputs: [], tools: [mkdir], outputs: [{output}] }}\n"
        )
    };
    let tasks = [
        task("file", "bin/app"),
        task("folder", "dist/"),
        task("home", "tool"),
    ];
    let found = causes(&sandbox, &tasks.concat());
    let starts = |at: usize, text: &str| {
        let line = &found[at].1;
        assert!(
            line.starts_with(&format!("missing-output; it made {text} instead")),
            "{line}"
        );
    };
    starts(0, "`build/app`, `x.o`");
    starts(1, "`build/`");
    starts(2, "`~/bin/tool`, `build/app`, `x.o`");
    let record = fs::read_to_string(sandbox.src().join("run.json")).unwrap();
    assert_eq!(record.matches("printed").count(), 3, "{record}");
}

#[test]
fn a_timeout_names_what_was_running_and_masks_secrets() {
    let sandbox = Sandbox::new();
    let found = causes(
        &sandbox,
        "  slow:\n    run: 'echo begun; sleep 1234 & wait'\n    shell: sh\n    inputs: []\n    \
         tools: [sleep]\n    timeout: 2s\n    grace: 1s\n",
    );
    let line = &found[0].1;
    assert!(
        line.starts_with("running; it was running `sleep 1234` (used 0."),
        "{line}"
    );
    assert!(
        line.ends_with("raise `timeout` in p.yaml:10:14, or check what the command waits for"),
        "{line}"
    );
}

#[test]
fn a_full_disk_and_a_kill_are_named() {
    let sandbox = Sandbox::new();
    let found = causes(
        &sandbox,
        "  full: { run: 'echo \"write: No space left on device\"; exit 1', shell: sh, inputs: [] }\n\
         \x20 kill: { run: 'kill -9 $$', shell: sh, inputs: [] }\n\
         \x20 fails: { run: 'exit 3', shell: sh, inputs: [] }\n",
    );
    let kinds: Vec<(&str, &str)> = found
        .iter()
        .map(|(task, line)| (task.as_str(), line.split(';').next().unwrap()))
        .collect();
    assert_eq!(kinds, [("full", "disk-full"), ("kill", "out-of-memory")]);
}

#[test]
fn the_folder_of_a_failed_command_is_kept_and_replaced_by_the_next() {
    for more in ["", "incremental: true"] {
        let sandbox = Sandbox::new();
        sandbox.write("in", "input\n");
        let run = |text: &str, keep: &[&str]| {
            sandbox.write(
                "p.yaml",
                format!(
                    "{HEAD}tasks:\n  a:\n    \
                     run: 'echo {text} > made; exit 1'\n    shell: sh\n    inputs: [in]\n    {more}\n"
                ),
            );
            let said = sandbox.run(&[&["build", "--pipeline", "p.yaml"], keep].concat());
            assert_eq!(said.code, Some(1), "{}", said.stderr);
            let (_, rest) = said.stderr.split_once("are kept in `")?;
            Some(std::path::PathBuf::from(rest.split_once('`')?.0).join("root"))
        };
        assert_eq!(run("one", &[]), None);
        for text in ["two", "three"] {
            let root = run(text, &["--keep-stage"]).unwrap();
            let made = fs::read_to_string(root.join("made")).unwrap();
            assert_eq!(made, format!("{text}\n"), "{more}");
            assert_eq!(fs::read(root.join("in")).unwrap(), b"input\n", "{more}");
        }
        let kept = fs::read_dir(sandbox.cache().join("v1/kept")).unwrap();
        let kept: Vec<String> = kept
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("failed-"))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
    }
}

#[test]
fn names_that_a_command_makes_of_a_secret_are_masked() {
    let sandbox = Sandbox::new();
    let task = |name: &str, script: &str| {
        format!(
            "  {name}: {{ run: [sh, -c, '{script}'], inputs: [], outputs: [{name}/], tools: [sh, mkdir, ln], secrets: {{ TOK: {{ env: MYTOK }} }} }}\n"
        )
    };
    let tasks = [
        task("link", "mkdir link; ln -s /etc/$TOK link/l"),
        task("other", "mkdir $TOK; : > $TOK/f"),
        task("more", "mkdir more; : > more-$TOK"),
    ];
    sandbox.write("p.yaml", format!("{HEAD}tasks:\n{}", tasks.concat()));
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml", "--keep-going"]);
    command.args(["--logs", "full", "--summary", "s.json"]);
    let said = said(command.env("MYTOK", "supersecret99"));
    assert!(said.stderr.contains("***"), "{}", said.stderr);
    let summary = fs::read_to_string(sandbox.src().join("s.json")).unwrap();
    for text in [said.stderr, said.stdout, summary] {
        assert!(!text.contains("supersecret99"), "{text}");
    }
}
