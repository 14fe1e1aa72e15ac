//! How a command ends: exit codes, variables without a value, readers that have
//! enough, and when a failure is shown.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::sandbox::{Sandbox, said};

fn pipeline(sandbox: &Sandbox, tasks: &str) {
    let head = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n";
    sandbox.write("p.yaml", format!("{head}{tasks}"));
}

#[test]
fn a_variable_without_a_value_counts_as_unset() {
    let sandbox = Sandbox::new();
    sandbox.package();
    for name in [
        "JACKAL_CERTS_DIR",
        "JACKAL_CACHE_MAX_SIZE",
        "JACKAL_TRUST_CONFIG",
        "JACKAL_STATE_DIR",
        "JACKAL_POLICY",
        "JACKAL_TRUSTED_ROOT",
        "JACKAL_CONFIG",
        "JACKAL_PACKAGE_CREATE_MAX_PACKAGE_SIZE",
        "SOURCE_DATE_EPOCH",
        "CI",
    ] {
        let mut command = sandbox.command(&["package", "create", "--confirm", "-o", "out"]);
        let ended = said(command.env(name, ""));
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
    }
    let mut command = sandbox.command(&["cache", "du"]);
    let ended = said(command.env("JACKAL_CACHE", "").env("HOME", sandbox.src()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let used = sandbox.src().join(".cache/jackal");
    assert!(used.exists(), "an empty JACKAL_CACHE names no folder");
}

#[test]
fn an_empty_parameter_or_secret_is_a_missing_one() {
    let sandbox = Sandbox::new();
    let head = "kind: JackalPipeline\nversion: 1\nname: p\n";
    let tasks = "tasks:\n  t: { run: ['true'], inputs: [], secrets: { S: { env: GIVEN } } }\n";
    sandbox.write("p.yaml", format!("{head}{tasks}"));
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let ended = said(command.env("GIVEN", ""));
    assert!(ended.stderr.contains("GIVEN"), "{}", ended.stderr);
    let params = "params: { v: { type: string, required: true } }\n";
    let tasks = "tasks:\n  t: { run: ['true', '${{ params.v }}'], inputs: [] }\n";
    sandbox.write("p.yaml", format!("{head}{params}{tasks}"));
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let ended = said(command.env("JACKAL_PARAM_v", ""));
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("`v`"), "{}", ended.stderr);
}

#[test]
fn scripts_written_for_jackal_and_zarf_keep_working() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let version = sandbox.run(&["version"]);
    let expected = concat!("v", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), expected));
    for flags in [
        &["--no-progress", "--no-color", "--no-log-file"][..],
        &["-l", "debug", "--log-format=console"],
        &["--tmpdir=t", "--insecure", "--retries=3"],
        &["--output-directory=other"],
        &[
            "--confirm=true",
            "--skip-sbom=false",
            "--features=values=true",
        ],
        &["--oci-concurrency=9", "--architecture=amd64", "-m=0"],
        &["--registry-override=a.example=b.example,c.example=d.example"],
        &["-s", "-k=no.key", "--key-pass=x"],
    ] {
        if flags.contains(&"-k=no.key") {
            // Here, it is the signing key: it is never passed over.
            let ended = sandbox.run(&[&["package", "create"], flags].concat());
            assert_eq!(ended.code, Some(2), "{}", ended.stderr);
            assert!(ended.stderr.contains("no.key"), "{}", ended.stderr);
            continue;
        }
        let create = match flags.contains(&"--confirm=true") {
            true => &["package", "create"][..],
            false => &["package", "create", "--confirm"],
        };
        let ended = sandbox.run(&[create, flags].concat());
        assert_eq!(ended.code, Some(0), "{flags:?}: {}", ended.stderr);
    }
    assert!(sandbox.src().join("t").is_dir(), "--tmpdir is made");
    let before = &["-l=warn", "-a=arm64", "package", "create", "--confirm"];
    let ended = sandbox.run(before);
    assert!(ended.stdout.contains("-arm64-"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "", "nothing to warn of");
    let said_as_json = sandbox.run(&["--log-format=json", "-l=debug", "version"]);
    let line = said_as_json.stderr.lines().next().unwrap_or_default();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(sandbox.run(&["-l=loud", "version"]).code, Some(2));
    let other = sandbox.src().join("../older-cache");
    let named = format!("--jackal-cache={}", other.display());
    let mut create = sandbox.command(&["package", "create", "--confirm", &named]);
    assert_eq!(said(create.env_remove("JACKAL_CACHE")).code, Some(0));
    assert!(other.exists(), "--jackal-cache is --cache-dir");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_nothing() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let archive = sandbox.run(&["package", "create", "--confirm"]);
    let archive = archive.stdout.trim();
    for command in [
        &["graph"][..],
        &["schema", "pipeline"],
        &["completions", "bash"],
        &["build", "--dry-run"],
        &["why", "component:tree"],
        &["package", "inspect", "definition", archive],
        &["cache", "du"],
        &["build"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = sandbox.command(command).stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {stderr}");
        assert!(!stderr.contains("rror"), "{command:?}: {stderr}");
    }
    let full = fs::File::create("/dev/full").unwrap();
    let ended = sandbox.command(&["version"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4));
    assert!(stderr.contains("help: free some space"), "{stderr}");
}

#[test]
fn a_failure_is_shown_at_once_and_again_at_the_end() {
    for flag in ["--keep-going", "--offline"] {
        let sandbox = Sandbox::new();
        pipeline(
            &sandbox,
            "  bad:  { run: [sh, -c, 'printf \"\\033[31mboom\\033[0m\\n\"; exit 2'], inputs: [], tools: [sh] }\n  \
             long: { run: [sh, -c, 'while [ ! -e $GO ]; do sleep 0.05; done'], inputs: [], tools: [sh, sleep], \
             passThroughEnv: [GO], sandbox: none }\n",
        );
        let go = sandbox.src().join("go");
        let mut child = sandbox
            .command(&["build", "--pipeline", "p.yaml", "-j2", flag])
            .env("GO", &go)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        for line in lines.by_ref().map(Result::unwrap) {
            seen.push(line);
            if seen.last().is_some_and(|line| line == "  | boom") {
                break;
            }
        }
        assert!(seen.iter().any(|line| line.starts_with("FAILED   bad (")));
        // `long` still runs, as nothing has let it end.
        assert!(child.try_wait().unwrap().is_none(), "{seen:#?}");
        fs::write(&go, "").unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{flag}");
        let at = rest
            .iter()
            .position(|line| line.starts_with("error: task `bad`"));
        assert_eq!(rest[at.unwrap() + 1], "  | boom", "{rest:#?}");
    }
}

#[test]
fn why_remembers_that_a_task_failed_until_it_succeeds() {
    let sandbox = Sandbox::new();
    sandbox.write("in", "1");
    pipeline(
        &sandbox,
        "  t: { run: [sh, -c, 'grep -q 2 in'], inputs: [in], tools: [sh, grep] }\n",
    );
    let why = || sandbox.run(&["why", "t", "--pipeline", "p.yaml"]).stdout;
    assert_eq!(
        sandbox.run(&["build", "--pipeline", "p.yaml"]).code,
        Some(1)
    );
    let reason = "runs     t: it failed last time: command exited with code 1";
    assert!(why().starts_with(reason), "{}", why());
    sandbox.write("in", "12");
    let reason = "runs     t: file `in` changed; it failed last time\n";
    assert!(why().starts_with(reason), "{}", why());
    assert_eq!(
        sandbox.run(&["build", "--pipeline", "p.yaml"]).code,
        Some(0)
    );
    assert!(why().starts_with("cached   t"), "{}", why());
    sandbox.write("in", "123");
    let reason = "runs     t: file `in` changed\n";
    assert!(why().starts_with(reason), "{}", why());
}

/// Whether these tests run under `nohup`, which a build then respects as well.
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap() & 1 != 0
}

#[test]
fn each_signal_ends_the_command_and_has_its_own_exit_code() {
    for (signal, code) in [
        (Signal::HUP, 129),
        (Signal::INT, 130),
        (Signal::QUIT, 131),
        (Signal::TERM, 143),
    ] {
        if signal == Signal::HUP && hangups_are_ignored() {
            continue;
        }
        let sandbox = Sandbox::new();
        pipeline(
            &sandbox,
            "  t: { run: [sh, -c, 'touch $MARK; sleep 86400'], inputs: [], tools: [sh, touch, sleep], \
             passThroughEnv: [MARK], sandbox: none, grace: 50ms }\n",
        );
        let mark = sandbox.src().join("mark");
        let mut child = sandbox
            .command(&["build", "--pipeline", "p.yaml"])
            .env("MARK", &mark)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !mark.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn what_an_action_does_is_shown() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: p, architecture: amd64 }\ncomponents:\n- name: m\n  \
         actions:\n    onCreate:\n      before:\n      - { cmd: echo one, description: Fetch the tool }\n      \
         - { cmd: 'echo two >&2' }\n      - { cmd: echo three, mute: true }\n      \
         - { cmd: echo four, mute: true, description: Ask the vault }\n",
    );
    let ended = sandbox.run(&["package", "create", "--confirm"]);
    let shown: Vec<&str> = (ended.stderr.lines())
        .filter_map(|line| line.strip_prefix("  | "))
        .collect();
    let expected = [
        "running \"Fetch the tool\"",
        "one",
        "running \"echo two >&2\"",
        "two",
        "running \"Ask the vault\"",
    ];
    assert_eq!(shown, expected, "{}", ended.stderr);
}

#[test]
fn a_pipeline_uses_the_tag_the_time_and_the_dirt_of_its_commit() {
    let sandbox = Sandbox::new();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(sandbox.src())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000");
        assert!(git.status().unwrap().success(), "{arguments:?}");
    };
    pipeline(
        &sandbox,
        "  t: { run: [sh, -c, 'echo \"${{ git.tag }} ${{ git.commitTime }} ${{ git.dirty }}\" > r'], inputs: [], \
         outputs: [r], tools: [sh] }\n  u: { if: \"git.tag != \u{27}\u{27}\", run: [touch, u], inputs: [], \
         outputs: [u], tools: [touch] }\n",
    );
    sandbox.write(".gitignore", "r\nu\n");
    sandbox.write("f", "1");
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "c"]);
    let built = |expected: &str| {
        sandbox.build(&["--pipeline", "p.yaml"]);
        let made = fs::read_to_string(sandbox.src().join("r")).unwrap();
        assert_eq!(made, expected);
    };
    built(" 1700000000 false\n");
    assert!(!sandbox.src().join("u").exists());
    git(&["tag", "-a", "-m", "t", "v2"]);
    sandbox.write("f", "2");
    built("v2 1700000000 true\n");
    assert!(sandbox.src().join("u").exists());
}

#[test]
fn ci_services_are_told_where_a_task_is_and_what_the_run_did() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p.yaml",
        "kind: JackalPipeline\nversion: 1\nname: x\ntasks:\n  good: { run: [sh, -c, 'echo fine'], inputs: [], tools: [sh] }\n  bad: { run: [sh, -c, 'echo \"::add-mask::x ##[add-mask]y\"; exit 3'], inputs: [], tools: [sh] }\n",
    );
    let summary = sandbox.src().join("summary.md");
    let mut command = sandbox.command(&[
        "build",
        "--pipeline",
        "p.yaml",
        "--keep-going",
        "--profile",
        "trace.json",
    ]);
    command.env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_STEP_SUMMARY", &summary);
    let ended = said(&mut command);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let annotation = "\n::error file=p.yaml,line=6,col=3,title=task bad::";
    assert!(ended.stderr.contains(annotation), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("::group::executed good"),
        "{}",
        ended.stderr
    );
    // A line of a log is no command to the service.
    let commands = ended
        .stderr
        .lines()
        .filter(|line| line.trim_start().starts_with("::"));
    assert!(
        commands.clone().all(|line| !line.contains("add-mask")),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("##["), "{}", ended.stderr);
    let text = fs::read_to_string(summary).unwrap();
    assert!(text.starts_with("### jackal: failed\n"), "{text}");
    assert!(text.contains("| <code>bad</code> |"), "{text}");
    let trace = fs::read_to_string(sandbox.src().join("trace.json")).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(
        events
            .iter()
            .any(|event| event["name"] == "good" && event["ph"] == "X"),
        "{trace}"
    );
    sandbox.write(
        "p.yaml",
        "kind: JackalPipeline\nversion: 1\ntasks:\n  a: { rum: [x] }\n",
    );
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let ended = said(command.env("GITHUB_ACTIONS", "true"));
    assert!(
        ended.stderr.contains("::error file=p.yaml,line=4,"),
        "{}",
        ended.stderr
    );
}
