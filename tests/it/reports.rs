//! Reports of tests: read after success and after failure, cached, and merged.

use serde_json::Value;

use crate::sandbox::{HEAD, Said, Sandbox, settle};

const PASSES: &str = "<testsuite name='s' time='0.5'><testcase classname='m' name='a'/>\
                      <testcase name='b'><skipped/></testcase></testsuite>";
const FAILS: &str = "<testsuite name='s'><testcase classname='m' name='a' file='m.py' line='7'>\
                     <failure message='1 is not 2&#10;more'/></testcase></testsuite>";

/// A pipeline with the task `test`, which runs the shell script `script` with the files
/// `passes.xml` and `fails.xml`.
fn task(sandbox: &Sandbox, script: &str, more: &str) {
    sandbox.write("script", script);
    sandbox.write("passes.xml", PASSES);
    sandbox.write("fails.xml", FAILS);
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  test:\n    run: [sh, -e, script]\n    \
             tools: [sh, cat, cp, mkdir]\n    inputs: [script, passes.xml, fails.xml]\n    \
             reports: ['out/*.xml']\n    {more}\n"
        ),
    );
}

fn build(sandbox: &Sandbox) -> Said {
    settle();
    let files = ["--summary", "../run.json", "--junit", "../junit.xml"];
    sandbox.run(&[&["build", "--pipeline", "p.yaml"], &files[..]].concat())
}

fn record(sandbox: &Sandbox) -> Value {
    let path = sandbox.src().join("../run.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    record["tasks"][0].clone()
}

fn junit(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.src().join("../junit.xml")).unwrap()
}

#[test]
fn reports_are_recorded_merged_and_restored_from_the_cache() {
    let sandbox = Sandbox::new();
    task(&sandbox, "mkdir out\ncp passes.xml out/a.xml\n", "");
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("tests: 1 passed, 0 failed, 1 skipped"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("dropped"), "{}", said.stderr);
    let tests = record(&sandbox)["tests"].clone();
    assert_eq!(tests["tests"], 2);
    assert_eq!(tests["skipped"], 1);
    assert_eq!(tests["timeMs"], 500);
    let first = junit(&sandbox);
    assert!(
        first.contains("<testsuite name=\"test: s\" tests=\"2\""),
        "{first}"
    );
    assert!(
        first.contains("name=\"jackal.status\" value=\"executed\""),
        "{first}"
    );
    let said = build(&sandbox);
    assert!(said.stderr.contains("1 cached"), "{}", said.stderr);
    assert_eq!(record(&sandbox)["tests"], tests);
    assert_eq!(junit(&sandbox), first.replace("executed", "cached"));
}

#[test]
fn reports_of_a_failed_command_name_its_tests() {
    let sandbox = Sandbox::new();
    task(&sandbox, "mkdir out\ncp fails.xml out/a.xml\nexit 3\n", "");
    let said = build(&sandbox);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("command exited with code 3: its only test failed [failed-tests]\n  failed test: m > a at m.py:7: 1 is not 2\n"),
        "{}",
        said.stderr
    );
    let record = record(&sandbox);
    assert_eq!(record["status"], "failed");
    assert_eq!(record["causes"][0]["kind"], "failed-tests");
    let expected = serde_json::json!([
        {"suite": "s", "name": "m > a", "place": "m.py:7", "message": "1 is not 2"}
    ]);
    assert_eq!(record["tests"]["failed"], expected);
    assert!(junit(&sandbox).contains("<failure message=\"1 is not 2&#10;more\"/>"));
}

#[test]
fn a_test_that_passes_in_a_retry_is_flaky() {
    let sandbox = Sandbox::new();
    let script = "mkdir out\nif test -e \"$TRIED\"; then cp passes.xml out/a.xml; exit; fi\n\
                  echo x > \"$TRIED\"\ncp fails.xml out/a.xml\nexit 9\n";
    let more = format!(
        "sandbox: none\n    retries: {{ attempts: 1, backoff: 1ms, only: ['exit:9'] }}\n    env: {{ TRIED: '{}' }}",
        sandbox.src().join("../tried").display()
    );
    task(&sandbox, script, &more);
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("0 failed, 1 flaky in"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("tests: 1 passed (1 flaky)"),
        "{}",
        said.stderr
    );
    let record = record(&sandbox);
    assert_eq!(record["attempts"], 2);
    assert_eq!(record["tests"]["flaky"], 1);
    let junit = junit(&sandbox);
    assert!(
        junit.contains("<flakyFailure message=\"1 is not 2"),
        "{junit}"
    );
    assert!(junit.contains("failures=\"0\""), "{junit}");
}

#[test]
fn what_is_no_report_and_a_pattern_without_files_are_warnings() {
    let sandbox = Sandbox::new();
    task(&sandbox, "mkdir out\necho '<html>' > out/a.xml\n", "");
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains(
            "p.yaml:9:14: `out/a.xml` is not a report of tests: line 1: found `<html>`, expected"
        ),
        "{}",
        said.stderr
    );
    task(&sandbox, "cat script\n", "");
    let said = build(&sandbox);
    assert!(
        said.stderr.contains(
            "p.yaml:9:14: `out/*.xml` in `reports` matches nothing that the command made"
        ),
        "{}",
        said.stderr
    );
    // An input is no report, though its name matches.
    sandbox.write("out/a.xml", PASSES);
    task(&sandbox, "cat out/a.xml\n", "");
    let pipeline = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    sandbox.write(
        "p.yaml",
        pipeline.replace("[script,", "[script, out/a.xml,"),
    );
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("matches nothing that the command made"),
        "{}",
        said.stderr
    );
}

#[test]
fn secrets_are_masked_in_reports() {
    let sandbox = Sandbox::new();
    let script = "mkdir out\necho \"<testsuite name='s'><testcase name='n-$TOKEN'><failure message='$TOKEN'/></testcase></testsuite>\" > out/a.xml\nexit 1\n";
    task(&sandbox, script, "secrets: { TOKEN: { file: ../token } }");
    sandbox.write("../token", "hunter2-hunter2");
    let said = build(&sandbox);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("failed test: n-***: ***"),
        "{}",
        said.stderr
    );
    assert!(!junit(&sandbox).contains("hunter2"));
    let record = std::fs::read_to_string(sandbox.src().join("../run.json")).unwrap();
    assert!(!record.contains("hunter2"));
}

#[test]
fn a_report_that_an_earlier_run_left_does_not_count() {
    let sandbox = Sandbox::new();
    task(
        &sandbox,
        "mkdir -p out\ncp passes.xml out/old.xml\n",
        "incremental: true",
    );
    assert_eq!(build(&sandbox).code, Some(0));
    assert_eq!(record(&sandbox)["tests"]["tests"], 2);
    task(
        &sandbox,
        "mkdir -p out\ncp fails.xml out/new.xml\n",
        "incremental: true",
    );
    assert_eq!(build(&sandbox).code, Some(0));
    assert_eq!(record(&sandbox)["tests"]["tests"], 1);
}
