//! `jackal dev lint`.

use serde_json::Value as Json;

use super::sandbox::Sandbox;

const HEAD: &str = "kind: JackalPackageConfig\nmetadata: {name: demo}\ncomponents:\n";

#[test]
fn warnings_alone_do_not_fail() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        format!("{HEAD}- name: a\n  images: ['r.io/x:1']\n"),
    );
    let said = sandbox.run(&["dev", "lint"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let expected = "jackal.yaml:5:12: warning: image `r.io/x:1` is not pinned with a digest \
                    [unpinned-image]\n  help: Append @sha256: and the digest; jackal.lock has \
                    the current digest of the tag.\n";
    assert_eq!(said.stdout, expected);
    assert_eq!(said.stderr, "0 errors, 1 warning\n");
}

#[test]
fn an_error_in_an_imported_file_is_reported_there_and_fails() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "web/jackal.yaml",
        format!("{HEAD}- name: a\n  import: {{path: ../c}}\n"),
    );
    sandbox.write(
        "c/jackal.yaml",
        format!("{HEAD}- name: a\n  files:\n  - {{source: gone, target: /g}}\n  - {{source: ok, target: /o}}\n"),
    );
    sandbox.write("c/ok", "");
    let said = sandbox.run(&["dev", "lint", "--json", "web"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(said.stderr, "error: 1 error, 0 warnings\n");
    let found: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["severity"], "error");
    assert_eq!(found[0]["rule"], "missing-file");
    assert_eq!(found[0]["file"], "c/jackal.yaml");
    assert_eq!(
        (&found[0]["line"], &found[0]["column"]),
        (&6.into(), &14.into())
    );
    assert!(!sandbox.src().join("web/jackal.lock").exists());
}

#[test]
fn several_folders_are_linted_and_one_without_definition_is_refused() {
    let sandbox = Sandbox::new();
    for folder in ["one", "two"] {
        sandbox.write(
            &format!("{folder}/jackal.yaml"),
            format!("{HEAD}- name: A\n"),
        );
    }
    let said = sandbox.run(&["dev", "lint", "one", "two"]);
    assert_eq!(said.code, Some(1));
    for folder in ["one", "two"] {
        let place = format!("{folder}/jackal.yaml:4:9: error: `A` is not a valid `name`");
        assert!(said.stdout.contains(&place), "{}", said.stdout);
    }
    sandbox.write("three/readme", "");
    let said = sandbox.run(&["dev", "lint", "three"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let said = sandbox.run(&["dev", "lint", "four"]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
}

#[test]
fn a_template_without_a_value_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        format!("{HEAD}- name: a\n  description: '###JACKAL_PKG_TMPL_X###'\n"),
    );
    let said = sandbox.run(&["dev", "lint"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout
            .contains("jackal.yaml:5:16: warning: template `X`"),
        "{}",
        said.stdout
    );
    let said = sandbox.run(&["dev", "lint", "--set", "x=1"]);
    assert_eq!(said.stdout, "");
}

const PIPELINE: &str = "kind: JackalPipeline\nversion: 1\nname: x\n";

/// A workspace with a mistake in each kind of file.
fn broken() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "exlude: []\noutput: [x]\n");
    sandbox.write(
        "a/jackal.pipeline.yaml",
        format!(
            "{PIPELINE}include: [ci/more.yaml, gone/*.yaml]\ntasks:\n  one: {{ run: [x], inputs: ['task:two'] }}\n  \
             three: {{ run: [x], inputs: [], timeuot: 5m }}\n"
        ),
    );
    sandbox.write(
        "a/ci/more.yaml",
        format!(
            "{PIPELINE}tasks:\n  m: {{ run: ['${{{{ matrix.x }}}}'], inputs: [] }}\n  n: {{ run: [x], inputs: ['task:b:none'] }}\n"
        ),
    );
    sandbox.write("b/jackal.yaml", format!("{HEAD}- name: B\n"));
    sandbox.write("c d/jackal.yaml", "kind: [\n");
    sandbox
}

#[test]
fn every_mistake_of_the_workspace_is_listed_with_its_place() {
    let sandbox = broken();
    let said = sandbox.run(&["dev", "lint", "--offline"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let places: Vec<&str> = (said.stdout.lines())
        .filter(|line| !line.starts_with("  help"))
        .map(|line| &line[..line.find(": error").unwrap()])
        .collect();
    assert_eq!(
        places,
        [
            "a/ci/more.yaml:5:13",
            "a/ci/more.yaml:6:26",
            "a/jackal.pipeline.yaml:4:25",
            "a/jackal.pipeline.yaml:6:29",
            "a/jackal.pipeline.yaml:7:34",
            "b/jackal.yaml:4:9",
            "c d/jackal.yaml:2:1",
            "jackal-workspace.yaml:1:1",
            "jackal-workspace.yaml:2:9",
        ],
        "{}",
        said.stdout
    );
    for code in [
        "[invalid-expression]",
        "[unknown-task]",
        "[unmatched-include]",
        "[unknown-key]",
        "[invalid-value]",
        "[invalid-yaml]",
        "[wrong-type]",
    ] {
        assert!(said.stdout.contains(code), "{code}: {}", said.stdout);
    }
    // What is not named has no findings, but for the file that all share.
    let one = sandbox.run(&["dev", "lint", "--offline", "b"]);
    assert_eq!(
        one.stderr, "error: 3 errors, 0 warnings\n",
        "{}",
        one.stdout
    );
}

#[test]
fn sarif_names_files_from_the_root_and_has_a_rule_for_each_result() {
    let sandbox = broken();
    let said = sandbox.run(&["dev", "lint", "--offline", "--format", "sarif"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let log: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "jackal");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["shortDescription"]["text"].is_string());
        assert_eq!(result["level"], "error");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64() >= Some(1));
        assert!(region["endColumn"].as_u64() > region["startColumn"].as_u64());
    }
    let uri = |result: &Json| {
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(place["uriBaseId"], "%SRCROOT%");
        place["uri"].as_str().unwrap().to_owned()
    };
    assert_eq!(uri(&results[6]), "c%20d/jackal.yaml");
}

#[test]
fn a_file_that_a_task_makes_is_not_missing() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "p/jackal.yaml",
        format!(
            "{HEAD}- name: a\n  files:\n  - {{source: rates.csv, target: /r}}\n  - {{source: ../q/out/x, \
             target: /x}}\n  - {{source: gone.csv, target: /g}}\n"
        ),
    );
    let make = |output: &str| {
        format!(
            "{PIPELINE}params: {{ when: {{ required: true }} }}\ntasks:\n  m: {{ run: [x, '${{{{ params.when }}}}'], \
             inputs: [], outputs: [{output}] }}\n"
        )
    };
    sandbox.write("p/jackal.pipeline.yaml", make("rates.csv"));
    sandbox.write("q/jackal.pipeline.yaml", make("out/"));
    let said = sandbox.run(&["dev", "lint", "--offline"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(
        said.stdout.matches("missing-file").count(),
        1,
        "{}",
        said.stdout
    );
    assert!(
        said.stdout
            .contains("p/jackal.yaml:8:14: error: no such file or directory: `gone.csv`")
    );
}

#[test]
fn tasks_that_do_not_fit_together_are_found_once_each_file_is_right() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "p/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0}\ncomponents:\n- name: a\n  required: true\n",
    );
    sandbox.write(
        "p/jackal.pipeline.yaml",
        format!(
            "{PIPELINE}tasks:\n  c: {{ component: {{ definition: jackal.yaml, name: other }} }}\n"
        ),
    );
    let said = sandbox.run(&["dev", "lint", "--offline"]);
    assert!(
        said.stdout.starts_with("p/jackal.pipeline.yaml:5:"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    assert!(said.stdout.contains("[invalid-plan]"), "{}", said.stdout);
}

#[test]
fn a_mistake_with_two_places_is_found_at_the_first_one() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    let tasks = "  a: { run: [cp, y, x], inputs: [y], outputs: [x] }\n  \
                 b: { run: [cp, x, y], inputs: ['task:a'], outputs: [y] }\n";
    sandbox.write(
        "p/jackal.pipeline.yaml",
        format!("{PIPELINE}tasks:\n{tasks}"),
    );
    let said = sandbox.run(&["dev", "lint", "--offline"]);
    let first = said.stdout.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("p/jackal.pipeline.yaml:5:33: error: `p:a` reads `y`"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    let other = "The other place is p/jackal.pipeline.yaml:6:54.";
    assert!(said.stdout.contains(other), "{}", said.stdout);
}
