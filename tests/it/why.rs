//! `jackal why`: what the past of a task says about its next run.

use super::sandbox::{Sandbox, settle};

const PIPELINE: &str = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
    t: { run: [sh, -c, 'grep -v bad src/a >out'], inputs: [README.md, src/a], outputs: [out], tools: [sh, grep], env: { N: VALUE } }\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal.pipeline.yaml", PIPELINE.replace("VALUE", "'1'"));
    sandbox.write("README.md", "0\n");
    sandbox.write("src/a", "a\n");
    settle();
    sandbox
}

/// What `why` says of the task, without times.
fn why(sandbox: &Sandbox) -> Vec<String> {
    settle();
    let said = sandbox.run(&["why", "t"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let time = regex::Regex::new(
        r"\d{4}-\d\d-\d\dT[\d:]*Z \([^)]* ago\)|\d+\.\d\d s|key [0-9a-f]{64}|\d+ s ago",
    );
    let time = time.unwrap();
    let text = time.replace_all(&said.stdout, "_");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn build(sandbox: &Sandbox, succeeds: bool) {
    settle();
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code == Some(0), succeeds, "{}", said.stderr);
}

#[test]
fn hits_and_misses_name_the_run_that_they_are_like() {
    let sandbox = sandbox();
    assert_eq!(why(&sandbox), ["runs     t: never run here"]);
    build(&sandbox, true);
    let version = env!("CARGO_PKG_VERSION");
    let made = format!("made _ in _, by jackal {version}");
    let hit = "cached   t: inputs, settings and tools are unchanged; _".to_owned();
    assert_eq!(why(&sandbox), [hit.clone(), made.clone()]);
    // Made here: another folder that shares the cache has no history of it.
    let twin = sandbox.src().join("../twin");
    std::fs::create_dir_all(twin.join("src")).unwrap();
    for file in ["jackal.pipeline.yaml", "README.md", "src/a"] {
        std::fs::copy(sandbox.src().join(file), twin.join(file)).unwrap();
    }
    let said = super::sandbox::said(sandbox.command(&["why", "t"]).current_dir(&twin));
    assert!(
        said.stdout
            .contains("made in another folder or on another machine"),
        "{}",
        said.stdout
    );

    sandbox.write("src/a", "bad\n");
    build(&sandbox, false);
    assert_eq!(
        why(&sandbox),
        [
            "runs     t: it failed last time: command exited with code 1",
            "last run _: failed after _: command exited with code 1",
        ]
    );
    sandbox.write("src/a", "b\n");
    sandbox.write("jackal.pipeline.yaml", PIPELINE.replace("VALUE", "'2'"));
    assert_eq!(
        why(&sandbox),
        [
            "runs     t: file `src/a` changed, env `N` changed; it failed last time",
            "last run _: failed after _: command exited with code 1",
            "the nearest cached result is of _; since then: file `src/a` changed, env `N` changed",
        ]
    );
    sandbox.write("src/a", "a\n");
    let nearest = "the nearest cached result is of _; since then: env `N` changed";
    assert_eq!(why(&sandbox)[2], nearest);
    // Then it is a hit.
    sandbox.write("jackal.pipeline.yaml", PIPELINE.replace("VALUE", "'1'"));
    assert_eq!(why(&sandbox), [hit, made]);
}

#[test]
fn an_evicted_result_says_when_and_why_it_went() {
    let sandbox = sandbox();
    build(&sandbox, true);
    let pruned = sandbox.run(&["cache", "prune", "--max-size", "0B"]);
    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    assert_eq!(
        why(&sandbox)[0],
        "runs     t: its result was evicted from the cache _, which was larger than its limit"
    );
}

#[test]
fn advice_names_the_file_that_costs_the_most_hits_and_is_right() {
    let sandbox = sandbox();
    let edits = [
        ("1", "a\n"),
        ("2", "a\n"),
        ("3", "b\n"),
        ("4", "b\n"),
        ("5", "b\n"),
    ];
    build(&sandbox, true);
    for (readme, source) in edits {
        sandbox.write("README.md", readme);
        sandbox.write("src/a", source);
        build(&sandbox, true);
    }
    assert_eq!(
        why(&sandbox)[2..],
        [
            "4 of the last 5 misses would have been hits without file `README.md`: exclude \
             `!README.md` in `inputs`, if the result does not need it"
        ]
    );
    // The same edits in a folder where the advice was followed.
    let other = Sandbox::new();
    let inputs = "inputs: ['*.md', '!README.md', src/a]";
    let followed = PIPELINE.replace("inputs: [README.md, src/a]", inputs);
    let followed = followed.replace("'*.md'", "'{README,x}.md'");
    other.write("jackal.pipeline.yaml", followed.replace("VALUE", "'1'"));
    other.write("x.md", "x");
    other.write("src/a", "a\n");
    build(&other, true);
    let mut misses = 0;
    for (readme, source) in edits {
        other.write("README.md", readme);
        other.write("src/a", source);
        settle();
        misses += other.executed().len();
    }
    assert_eq!(misses, 5 - 4);
}

#[test]
fn the_record_has_the_digest_of_each_file_and_no_secret() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
         t: { run: [sh, -c, 'mkdir -p d/e; printf a >d/a; printf bc >d/e/b; printf a >f; echo $KEY'], inputs: [], outputs: [d/, f], tools: [sh, mkdir], secrets: { KEY: { env: GIVEN } } }\n  \
         bad: { run: [sh, -c, 'echo $KEY; exit 1'], inputs: [], tools: [sh], secrets: { KEY: { env: GIVEN } } }\n",
    );
    const CANARY: &str = "canary-in-a-secret-0123456789";
    let reports = ["summary", "junit", "profile", "events"];
    let flags: Vec<String> = reports.map(|name| format!("--{name}={name}.out")).into();
    let mut args = vec!["build", "--keep-going"];
    args.extend(flags.iter().map(String::as_str));
    let said = super::sandbox::said(sandbox.command(&args).env("GIVEN", CANARY));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let read = |name: &str| std::fs::read_to_string(sandbox.src().join(name)).unwrap();
    for name in reports {
        assert!(!read(&format!("{name}.out")).contains(CANARY), "{name}");
    }
    assert!(!said.stderr.contains(CANARY) && said.stderr.contains("***"));
    let record: serde_json::Value = serde_json::from_str(&read("summary.out")).unwrap();
    let tasks = record["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|task| task["task"] == "t").unwrap();
    let [folder, file] = [&task["outputs"][0], &task["outputs"][1]];
    let digest = |bytes: &[u8]| jackal::oci::Digest::of(bytes).to_string();
    assert_eq!(folder["size"], 3);
    let files = serde_json::json!([
        { "path": "a", "digest": digest(b"a"), "size": 1 },
        { "path": "e/b", "digest": digest(b"bc"), "size": 2 },
    ]);
    assert_eq!(folder["files"], files);
    assert_eq!(file["digest"], digest(b"a"));
    assert_eq!(task["bytesMade"], 4);
    let all = sandbox.cached_files();
    for (path, bytes) in all {
        let holds = bytes
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes());
        assert!(!holds, "{}", path.display());
    }
}

#[test]
fn the_record_has_the_digest_of_an_archive() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let said = sandbox.run(&["build", "-a", "amd64", "--summary", "run.json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let text = std::fs::read_to_string(sandbox.src().join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tasks = record["tasks"].as_array().unwrap();
    let package = tasks.iter().find(|task| task["task"] == "package").unwrap();
    let delivered = &package["delivered"][0];
    assert_eq!(delivered["digest"], sandbox.archive_sum());
    assert_eq!(delivered["path"], package["files"][0]);
}
