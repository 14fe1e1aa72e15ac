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
