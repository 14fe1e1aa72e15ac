//! Every file in `pipelines/` runs, and runs again; what `run` tasks see and what
//! makes them run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::sandbox::{HEAD, Sandbox, said, settle};

const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn statuses(sandbox: &Sandbox, file: &str) -> Vec<(String, String)> {
    sandbox.build(&["--pipeline", file])
}

#[test]
fn every_pipeline_runs_and_then_has_nothing_to_do() {
    let mut files: Vec<String> = fs::read_dir(PIPELINES)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // The program itself: tests/peer/self.sh builds it.
        .filter(|name| name.ends_with(".yaml") && name != "self.yaml")
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = fs::read_to_string(Path::new(PIPELINES).join(&file)).unwrap();
        let said = text.lines().nth(1).unwrap_or_default();
        assert!(said.starts_with("# "), "{file} says what it shows");
        let sandbox = Sandbox::new();
        copy(Path::new(PIPELINES), &sandbox.src());
        let made = sandbox.run(&["tools", "gen-key", "-o", "keys"]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        settle();
        let first = statuses(&sandbox, &file);
        assert!(
            first.iter().all(|(_, status)| status == "executed"),
            "{file}: {first:?}"
        );
        settle();
        let second = statuses(&sandbox, &file);
        // The registry is always checked.
        let same = |(task, status): &(String, String)| status == "cached" || task == "publish";
        assert!(second.iter().all(same), "{file}: {second:?}");
    }
}

#[test]
fn the_demo_package_holds_the_image_the_component_and_both_sboms() {
    let sandbox = Sandbox::new();
    copy(Path::new(PIPELINES), &sandbox.src());
    statuses(&sandbox, "01-demo.yaml");
    let archive = sandbox
        .src()
        .join("dist/jackal-package-pipeline-demo-amd64-1.0.0.tar.zst");
    let verified = sandbox.run(&["package", "verify", archive.to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let tar = zstd::decode_all(fs::File::open(archive).unwrap()).unwrap();
    let text = String::from_utf8_lossy(&tar);
    for part in [
        "localhost/demo/web-image:latest",
        "components/tool.tar",
        "localhost_demo_web-image_latest.json",
        "jackal-component-tool.json",
        "\"name\":\"pipeline-demo-site\"",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

/// A pipeline with one command over `in/`, which writes what it sees to `out/`.
fn one_task(sandbox: &Sandbox, argv: &str, more: &str) {
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  t:\n    run: {argv}\n    \
             inputs: [in/**]\n    outputs: [out/]\n    tools: [sh, ls, cat, mkdir]\n{more}"
        ),
    );
}

const LIST: &str = "[sh, -c, 'mkdir out && ls -R in > out/list && cat in/a > out/a']";

fn executed(sandbox: &Sandbox) -> bool {
    let tasks = statuses(sandbox, "p.yaml");
    tasks.iter().any(|(_, status)| status == "executed")
}

#[test]
fn every_change_that_a_command_could_see_is_a_miss_and_no_other_is() {
    type Mutation = (&'static str, fn(&Sandbox), bool);
    let mutations: [Mutation; 14] = [
        ("nothing", |_| {}, false),
        (
            "touch only",
            |s| {
                let file = fs::File::options()
                    .append(true)
                    .open(s.src().join("in/a"))
                    .unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
            },
            false,
        ),
        (
            "the clock set back",
            |s| {
                let file = fs::File::options()
                    .append(true)
                    .open(s.src().join("in/a"))
                    .unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            },
            false,
        ),
        ("an input's bytes", |s| s.write("in/a", "other\n"), true),
        (
            "edit and revert",
            |s| {
                s.write("in/a", "x\n");
                s.write("in/a", "other\n");
            },
            false,
        ),
        ("a new input", |s| s.write("in/new", ""), true),
        (
            "a file that is no input",
            |s| s.write("elsewhere", ""),
            false,
        ),
        (
            "the executable bit",
            |s| {
                let path = s.src().join("in/a");
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            },
            true,
        ),
        (
            "a link that leads to equal bytes",
            |s| {
                fs::remove_file(s.src().join("in/link")).unwrap();
                symlink("b2", s.src().join("in/link")).unwrap();
            },
            true,
        ),
        (
            "an empty folder",
            |s| fs::create_dir(s.src().join("in/void")).unwrap(),
            true,
        ),
        (
            "the command",
            |s| one_task(s, &LIST.replace("ls -R", "ls -aR"), ""),
            true,
        ),
        (
            "a declared variable",
            |s| {
                one_task(s, &LIST.replace("ls -R", "ls -aR"), "    env: { A: '1' }\n");
            },
            true,
        ),
        (
            "its value",
            |s| {
                one_task(s, &LIST.replace("ls -R", "ls -aR"), "    env: { A: '2' }\n");
            },
            true,
        ),
        ("the value of an undeclared variable", |_| {}, false),
    ];
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    sandbox.write("in/b", "b\n");
    sandbox.write("in/b2", "b\n");
    symlink("b", sandbox.src().join("in/link")).unwrap();
    one_task(&sandbox, LIST, "");
    settle();
    assert!(executed(&sandbox));
    for (name, mutate, expected) in mutations {
        settle();
        mutate(&sandbox);
        settle();
        assert_eq!(executed(&sandbox), expected, "{name}");
    }
}

#[test]
fn swapped_arguments_are_another_command() {
    let sandbox = Sandbox::new();
    let task = |first: &str, second: &str| {
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  t:\n    \
                 run: [sh, -c, 'printf %s \"$1-$2\" > o', sh, {first}, {second}]\n    \
                 inputs: []\n    outputs: [o]\n    tools: [sh]\n"
            ),
        );
    };
    task("one", "two");
    assert!(executed(&sandbox));
    task("two", "one");
    assert!(executed(&sandbox));
    assert_eq!(
        fs::read_to_string(sandbox.src().join("o")).unwrap(),
        "two-one"
    );
}

#[test]
fn a_command_sees_declared_inputs_and_variables_only() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    sandbox.write("secret", "s\n");
    one_task(
        &sandbox,
        "[sh, -c, 'mkdir out && ls > out/seen && env > out/env']",
        "    env: { GIVEN: yes-it-is }\n    passThroughEnv: [PASSED]\n",
    );
    sandbox.write(
        "p.yaml",
        fs::read_to_string(sandbox.src().join("p.yaml"))
            .unwrap()
            .replace("cat, mkdir", "cat, mkdir, env"),
    );
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    command.env("PASSED", "through").env("HIDDEN", "x");
    let built = said(&mut command);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let read = |name: &str| fs::read_to_string(sandbox.src().join("out").join(name)).unwrap();
    assert_eq!(read("seen"), "in\nout\n");
    let env = read("env");
    assert!(
        env.contains("GIVEN=yes-it-is") && env.contains("PASSED=through"),
        "{env}"
    );
    assert!(!env.contains("HIDDEN") && !env.contains("JACKAL"), "{env}");
}

#[test]
fn altered_and_deleted_outputs_are_restored_without_running_and_strays_are_named() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    one_task(&sandbox, LIST, "");
    settle();
    assert!(executed(&sandbox));
    let out = sandbox.src().join("out");
    settle();
    fs::write(out.join("a"), "tampered").unwrap();
    assert!(!executed(&sandbox));
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "a\n");
    fs::write(out.join("stray"), "").unwrap();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("`out/stray`"), "{}", said.stderr);
    fs::remove_file(out.join("stray")).unwrap();
    assert!(!executed(&sandbox));
    fs::remove_dir_all(&out).unwrap();
    assert!(!executed(&sandbox));
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "a\n");
}

#[test]
fn an_unchanged_output_stops_the_rebuild() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    sandbox.pipeline(
        "tasks:\n  \
         first: { run: [sh, -c, 'cat in/a | head -c 1 > o'], inputs: [in/a], outputs: [o], tools: [sh, cat, head] }\n  \
         second: { run: [cp, o, p], inputs: ['task:first'], outputs: [p], tools: [cp] }\n",
    );
    settle();
    statuses(&sandbox, "p.yaml");
    sandbox.write("in/a", "a comment\n");
    settle();
    let tasks = statuses(&sandbox, "p.yaml");
    assert_eq!(
        tasks,
        [
            ("first".to_owned(), "executed".to_owned()),
            ("second".to_owned(), "cached".to_owned())
        ]
    );
}

#[test]
fn a_failing_command_shows_its_log_is_not_cached_and_skips_its_dependents() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    one_task(
        &sandbox,
        "[sh, -c, 'echo what went wrong >&2; exit 7']",
        "  after: { run: [sh, -c, 'true'], inputs: ['task:t'], tools: [sh] }\n",
    );
    for _ in 0..2 {
        let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(
            said.stderr.contains("exited with code 7"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains("what went wrong"), "{}", said.stderr);
        assert!(
            said.stderr.contains("1 skipped, 1 failed"),
            "{}",
            said.stderr
        );
    }
    assert!(!sandbox.src().join("out").exists());
}

#[test]
fn a_command_past_its_timeout_is_stopped_with_its_own_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    one_task(&sandbox, "[sh, -c, 'sleep 60 & wait']", "    timeout: 1s\n");
    let text = fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    sandbox.write("p.yaml", text.replace("cat, mkdir", "cat, mkdir, sleep"));
    let start = std::time::Instant::now();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(6), "{}", said.stderr);
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn a_missing_output_and_an_unknown_tool_say_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", "a\n");
    one_task(&sandbox, "[sh, -c, 'true']", "");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("output `out"), "{}", said.stderr);
    one_task(&sandbox, "[no-such-program]", "");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("`no-such-program` is not on PATH"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_parameter_is_checked_and_enters_only_the_keys_that_use_it() {
    let sandbox = Sandbox::new();
    sandbox.pipeline(
        "params:\n  v: { type: string, required: true, pattern: '^[0-9]$' }\ntasks:\n  \
         uses: { run: [sh, -c, 'echo ${{ params.v }} > o'], inputs: [], outputs: [o], tools: [sh] }\n  \
         not: { run: [sh, -c, 'echo x > n'], inputs: [], outputs: [n], tools: [sh] }\n",
    );
    let refused = sandbox.run(&["build", "--pipeline", "p.yaml", "--param", "v=x"]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    sandbox.build(&["--pipeline", "p.yaml", "--param", "v=1"]);
    let tasks = sandbox.build(&["--pipeline", "p.yaml", "--param", "v=2"]);
    assert_eq!(
        tasks,
        [
            ("not".to_owned(), "cached".to_owned()),
            ("uses".to_owned(), "executed".to_owned())
        ]
    );
    assert_eq!(fs::read_to_string(sandbox.src().join("o")).unwrap(), "2\n");
}

#[test]
fn a_command_is_retried_only_after_the_failures_it_names() {
    let sandbox = Sandbox::new();
    let count = sandbox.src().join("count");
    let attempts = |code: u8| {
        std::fs::write(&count, "").unwrap();
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    \
                 run: [sh, -c, 'echo x >> {0}; test $(wc -l < {0}) -ge 3 || exit {code}']\n    \
                 inputs: []\n    tools: [sh, wc]\n    cache: false\n    sandbox: none\n    \
                 retries: {{ attempts: 5, backoff: 1ms, only: ['exit:75'] }}\n",
                count.display()
            ),
        );
        let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--summary", "run.json"]);
        let flaky =
            "task `a` is flaky: it succeeded in attempt 3, after: command exited with code 75";
        assert_eq!(said.stderr.contains(flaky), code == 75, "{}", said.stderr);
        let record = std::fs::read(sandbox.src().join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let retried = record["tasks"][0]["retried"].as_array().map_or(0, Vec::len);
        (
            said.code,
            std::fs::read_to_string(&count).unwrap().len() / 2,
            retried,
        )
    };
    assert_eq!(attempts(75), (Some(0), 3, 2));
    assert_eq!(attempts(1), (Some(1), 1, 0));
}

#[test]
fn a_task_without_outputs_is_remembered_as_passed_with_its_log() {
    let sandbox = Sandbox::new();
    sandbox.write("tested", "one\n");
    sandbox.pipeline(
        "tasks:\n  t:\n    \
         run: 'grep -v broken tested; echo 3 tests passed'\n    shell: sh -e\n    \
         tools: [grep]\n    inputs: [tested]\n",
    );
    let run = |text: &str| {
        sandbox.write("tested", text);
        let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--logs", "full"]);
        let counts = said
            .stderr
            .lines()
            .find(|line| line.contains(" executed, "));
        let counts = counts.unwrap_or_default();
        let counts = counts.split(" in ").next().unwrap_or_default().to_owned();
        (counts, said.stderr.contains("  | 3 tests passed\n"))
    };
    let passed = |executed, cached, failed| {
        format!("{executed} executed, {cached} cached, 0 skipped, {failed} failed")
    };
    assert_eq!(run("one\n"), (passed(1, 0, 0), true));
    assert_eq!(run("one\n"), (passed(0, 1, 0), true));
    // A failure is never remembered, and an earlier success still is.
    assert_eq!(run("broken\n"), (passed(0, 0, 1), false));
    assert_eq!(run("broken\n"), (passed(0, 0, 1), false));
    assert_eq!(run("one\n"), (passed(0, 1, 0), true));
}

#[test]
fn a_declared_toolchain_is_seen_at_its_own_path_and_identified_as_it_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let away = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(away.path()).unwrap();
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A new file has another inode.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    put("bin/sdkc", "#!/bin/sh\ncat $SDK_HOME/lib > o\n");
    put("lib", "one\n");
    put("VERSION", "1\n");
    let build = |identity: &str| {
        let text = format!(
            "{HEAD}toolchains:\n  sdk:\n    \
             mounts: ['{0}']\n    path: ['{0}/bin']\n    env: {{ SDK_HOME: '{0}' }}\n    {identity}\n\
             tasks:\n  t: {{ run: [sdkc], inputs: [], outputs: [o], tools: [sdk, cat] }}\n",
            root.display()
        );
        sandbox.write("p.yaml", text);
        let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let output = std::fs::read_to_string(sandbox.src().join("o")).unwrap();
        (said.stderr.contains("1 executed"), output)
    };
    let version = format!("identity: ['{}/VERSION']", root.display());
    let command = format!("identity: {{ run: [cat, '{}/VERSION'] }}", root.display());
    for (identity, notices) in [("", true), (version.as_str(), false), (&command, false)] {
        put("lib", "one\n");
        put("VERSION", "1\n");
        assert_eq!(build(identity), (true, "one\n".to_owned()), "{identity}");
        assert!(!build(identity).0, "{identity}");
        put("lib", "two\n");
        assert_eq!(build(identity).0, notices, "{identity}");
        put("VERSION", "2\n");
        assert_eq!(build(identity), (true, "two\n".to_owned()), "{identity}");
    }
}

#[test]
fn a_secret_may_be_a_file_that_the_command_sees_and_nothing_keeps() {
    let sandbox = Sandbox::new();
    sandbox.write("token", "//host.example.com/:_authToken=tok-C4nary1\n");
    let pipeline = |more: &str| {
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    \
                 run: [sh, -c, 'cat ~/.config/npmrc; env | grep -c C4nary; wc -c < ~/.config/npmrc > n']\n    \
                 inputs: []\n    outputs: [n]\n    tools: [sh, cat, wc, env, grep]\n    \
                 cache: {{ allow: [secrets] }}\n    \
                 secrets: {{ NPMRC: {{ file: token, path: '~/.config/npmrc' }} }}\n    {more}\n"
            ),
        );
        let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--summary", "run.json"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stderr
    };
    // The lower level first: it would use the result of the higher one.
    for more in ["sandbox: none", "", "keep: ['~/.config']"] {
        let stderr = pipeline(more);
        assert!(stderr.contains("| ***\n  | 0\n"), "{stderr}");
        let n = std::fs::read_to_string(sandbox.src().join("n")).unwrap();
        assert_eq!(n.trim(), "43", "{more}");
        let holds = |text: &[u8]| text.windows(7).any(|part| part == b"C4nary1");
        let record = std::fs::read(sandbox.src().join("run.json")).unwrap();
        assert!(!holds(&record) && !holds(stderr.as_bytes()), "{stderr}");
        for (path, bytes) in sandbox.cached_files() {
            assert!(!holds(&bytes), "{more}: {}", path.display());
        }
    }
    // Its value is in no key.
    sandbox.write("token", "//host.example.com/:_authToken=tok-C4nary2\n");
    assert!(pipeline("").contains("0 executed, 1 cached"));
    let text = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    sandbox.write("p.yaml", text.replace("'~/.config/npmrc' }", "../x }"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3));
    assert!(
        said.stderr.contains("cannot be a file at `../x`"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_secret_is_visible_to_the_command_and_stored_nowhere() {
    let sandbox = Sandbox::new();
    let pipeline = |cache: &str| {
        format!(
            "{HEAD}tasks:\n  a:\n    \
             run: [sh, -c, 'echo \"got $TOKEN\"; echo ${{#TOKEN}} > n.txt']\n    inputs: []\n    \
             outputs: [n.txt]\n    tools: [sh]\n    secrets: {{ TOKEN: {{ env: CI_TOKEN }} }}\n{cache}"
        )
    };
    let build = |token: Option<&str>| {
        let mut command =
            sandbox.command(&["build", "--pipeline", "p.yaml", "--summary", "run.json"]);
        if let Some(token) = token {
            command.env("CI_TOKEN", token);
        }
        said(&mut command)
    };
    sandbox.write("p.yaml", pipeline(""));
    let first = build(Some("s3cr3t-canary"));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let count = std::fs::read_to_string(sandbox.src().join("n.txt")).unwrap();
    assert_eq!(count.trim(), "13");
    let record = std::fs::read_to_string(sandbox.src().join("run.json")).unwrap();
    assert!(record.contains("got ***"), "{record}");
    let holds = |text: &[u8]| text.windows(6).any(|part| part == b"canary");
    assert!(!holds(record.as_bytes()) && !holds(first.stderr.as_bytes()));
    for (path, bytes) in sandbox.cached_files() {
        assert!(!holds(&bytes), "{}", path.display());
    }
    // Not cached, so it runs again; cached if the file allows it, whatever the value.
    assert!(build(Some("other-secret")).stderr.starts_with("executed a"));
    sandbox.write("p.yaml", pipeline("    cache: { allow: [secrets] }\n"));
    assert!(
        build(Some("s3cr3t-canary"))
            .stderr
            .starts_with("executed a")
    );
    assert!(
        build(Some("another"))
            .stderr
            .contains("0 executed, 1 cached")
    );
    std::fs::remove_dir_all(sandbox.cache()).unwrap();
    let missing = build(None);
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
    assert!(
        missing
            .stderr
            .contains("`CI_TOKEN`, which is not set: export it")
    );
}

#[test]
fn a_task_for_failures_runs_after_one_and_a_salt_is_part_of_the_key() {
    let sandbox = Sandbox::new();
    let pipeline = |code: u8, salt: &str| {
        format!(
            "{HEAD}cache: {{ salt: '{salt}' }}\ntasks:\n  \
             a: {{ run: [sh, -c, 'exit {code}'], inputs: [], tools: [sh] }}\n  \
             b: {{ run: [sh, -c, 'true'], inputs: [], dependsOn: a, tools: [sh] }}\n  \
             mend: {{ if: failure(), run: [sh, -c, 'echo m > m'], inputs: [], dependsOn: a, outputs: [m], tools: [sh] }}\n  \
             clean: {{ if: always(), run: [sh, -c, 'echo c > c'], inputs: [], dependsOn: b, outputs: [c], tools: [sh] }}\n"
        )
    };
    let outcome = |code: u8| {
        sandbox.write("p.yaml", pipeline(code, "one"));
        let run = ["build", "--pipeline", "p.yaml", "--summary", "run.json"];
        let said = sandbox.run(&run);
        let text = std::fs::read(sandbox.src().join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let mut tasks: Vec<String> = record["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| {
                format!(
                    "{} {}",
                    t["task"].as_str().unwrap(),
                    t["status"].as_str().unwrap()
                )
            })
            .collect();
        tasks.sort();
        (said.code, tasks.join(", "))
    };
    assert_eq!(
        outcome(3),
        (
            Some(1),
            "a failed, b skipped, clean executed, mend executed".to_owned()
        )
    );
    assert_eq!(
        outcome(0),
        (
            Some(0),
            "a executed, b executed, clean cached, mend skipped".to_owned()
        )
    );
    sandbox.write("p.yaml", pipeline(0, "two"));
    let statuses = statuses(&sandbox, "p.yaml");
    assert!(
        statuses.contains(&("a".into(), "executed".into())),
        "{statuses:?}"
    );
}

#[test]
fn logs_are_shown_with_their_task_and_replayed_on_demand() {
    let sandbox = Sandbox::new();
    sandbox.pipeline(
        "tasks:\n  \
         a: { run: [sh, -c, 'echo one; echo two; echo x > a'], inputs: [], outputs: [a], tools: [sh] }\n",
    );
    let build = |logs: &[&str]| {
        let args = [&["build", "--pipeline", "p.yaml"], logs].concat();
        sandbox.run(&args).stderr
    };
    let block = "  | one\n  | two\n";
    let first = build(&[]);
    assert!(
        first.starts_with("executed a ") && first.contains(block),
        "{first}"
    );
    assert!(!build(&[]).contains("one"), "a hit is quiet");
    let replayed = build(&["--logs", "full"]);
    assert!(
        replayed.starts_with(&format!("cached   a\n{block}")),
        "{replayed}"
    );
    assert!(!build(&["--force", "--logs", "errors-only"]).contains("one"));
}

/// The processes with `word` in their command line.
fn running(word: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.unwrap().path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(word)).collect()
}

#[test]
fn a_signal_stops_commands_and_their_children_and_a_second_one_kills_them() {
    for (signals, nap) in [(1, "86401.25"), (2, "86402.25")] {
        let sandbox = Sandbox::new();
        let grace = if signals == 1 { "50ms" } else { "10m" };
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    \
                 run: [sh, -c, \"trap '' TERM; (trap '' TERM; sleep {nap}) & touch $MARK; while :; do sleep {nap}; done\"]\n    \
                 inputs: []\n    tools: [sh, sleep, touch]\n    passThroughEnv: [MARK]\n    sandbox: none\n    grace: {grace}\n"
            ),
        );
        let mark = sandbox.src().join("mark");
        let mut child = sandbox
            .command(&["build", "--pipeline", "p.yaml"])
            .env("MARK", &mark)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while !mark.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_child(&child);
        for _ in 0..signals {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
            settle();
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(running(nap), Vec::<String>::new());
        let left = fs::read_dir(sandbox.cache().join("v1/ingest")).unwrap();
        // The next build removes what a second signal leaves behind.
        assert!(left.count() < signals);
    }
}

#[test]
fn the_cache_is_kept_within_its_size_and_a_pruned_result_is_explained() {
    let sandbox = Sandbox::new();
    let pipeline = |number: u32| {
        format!(
            "{HEAD}cache: {{ maxSize: 250KB }}\ntasks:\n  \
             a: {{ run: [sh, -c, 'head -c 100000 /dev/urandom > a; echo {number}'], inputs: [], outputs: [a], tools: [sh, head] }}\n"
        )
    };
    for number in 0..6 {
        sandbox.write("p.yaml", pipeline(number));
        statuses(&sandbox, "p.yaml");
        let held: usize = sandbox
            .cached_files()
            .iter()
            .filter(|(path, _)| path.to_string_lossy().contains("/blobs/"))
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert!(held <= 250_000, "{held} after {number}");
    }
    sandbox.write("p.yaml", pipeline(5));
    assert_eq!(statuses(&sandbox, "p.yaml")[0].1, "cached");
    sandbox.write("p.yaml", pipeline(0));
    let again = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert!(again.stderr.contains("executed a"), "{}", again.stderr);
    assert_eq!(statuses(&sandbox, "p.yaml")[0].1, "cached");
}

#[test]
fn commands_that_ask_for_all_processors_never_run_together() {
    let sandbox = Sandbox::new();
    let lock = sandbox.src().join("lock");
    let tasks: String = (0..4)
        .map(|number| {
            format!(
                "  t{number}: {{ run: [sh, -c, 'mkdir {0} && sleep 0.05 && rmdir {0} # {number}'], \
                 inputs: [], tools: [sh, mkdir, sleep, rmdir], sandbox: none, resources: {{ cpu: 64 }} }}\n",
                lock.display()
            )
        })
        .collect();
    sandbox.write("p.yaml", format!("{HEAD}tasks:\n{tasks}"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--jobs", "3"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
