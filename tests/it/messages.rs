//! Errors and reports of the command line, as a user reads them.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test it messages`.

use std::fmt::Write as _;

use regex::Regex;

use super::sandbox::Sandbox;

const LAYOUT: &str = "oci-layout:layout";
const STATE: &str = "--state-dir=state";

/// What the commands print, without times and digests.
fn transcript(sandbox: &Sandbox, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for command in commands {
        let said = sandbox.run(command);
        let _ = writeln!(text, "$ jackal {}", command.join(" "));
        text.push_str(&said.stderr);
        if !said.stdout.is_empty() {
            let _ = write!(text, "--- stdout\n{}", said.stdout);
        }
        let code = said.code.unwrap_or(-1);
        let _ = writeln!(text, "--- exit {code}\n");
    }
    let folder = sandbox.src().canonicalize().unwrap();
    let text = text.replace(&folder.to_string_lossy().into_owned(), "<folder>");
    let text = text.replace(&sandbox.src().to_string_lossy().into_owned(), "<folder>");
    let time = Regex::new(r"\d+\.\d\d s").unwrap();
    let digest = Regex::new(r"(sha256:|sha256 |key )[0-9a-f]{64}").unwrap();
    let text = time.replace_all(&text, "<time> s");
    let date = Regex::new(r"\d{4}-\d\d-\d\dT[\d:]*Z \([^)]* ago\)").unwrap();
    let text = date.replace_all(&text, "<date>");
    digest.replace_all(&text, "$1<digest>").into_owned()
}

#[test]
fn mistakes_on_the_command_line() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let commands: &[&[&str]] = &[
        &["bulid"],
        &["build", "--param", "a=1"],
        &["build", "--pipeline", "p.yaml", "pkg"],
        &["graph", "--force"],
        &["build", "--set", "a"],
        &["build", "--max-package-size", "99999999999999999"],
        &["build", "--registry-profile", "r.example=artifactroy"],
        &["build", "--cache-from", "r.example/x"],
        &["cache", "prune", "--max-size", "lots"],
        &["package", "create", "--skeleton"],
        &["package", "create", "--attest"],
        &["package", "create", "-o", "oci-layout:x", "--sbom-out", "s"],
        &["package", "publish", "a.tar.zst"],
        &["package", "publish", "a.tar.zst", "elsewhere", STATE],
        &["package", "sign", "a.tar.zst"],
        &["package", "verify", "ftp://h/x"],
        &["package", "verify", "https://h/x"],
        &["package", "verify", "a.tar.zst", "--shasum", "12"],
        &[
            "package",
            "verify",
            "a.tar.zst",
            "--certificate-identity",
            "x@y.z",
        ],
        &["package", "pull", "a.tar.zst"],
        &["dev", "generate-config", "c.json"],
        &["dev", "registry", "--login", "user"],
        &["release", "resume", STATE],
        &["release", "abort", "x", STATE],
    ];
    insta::assert_snapshot!(transcript(&sandbox, commands));
}

#[test]
fn mistakes_in_files_and_missing_files() {
    let sandbox = Sandbox::new();
    sandbox.write("empty/readme", "");
    sandbox.write(
        "wrong/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {nmae: x}\ncomponents: []\n",
    );
    sandbox.write(
        "absent/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: x, version: '1', architecture: amd64}\n\
         components:\n- name: a\n  files:\n  - {source: none.txt, target: /a}\n",
    );
    sandbox.write(
        "cycle.yaml",
        "name: p\ntasks:\n  a: {run: {command: ['true']}, after: [b]}\n  \
         b: {run: {command: ['true']}, after: [a]}\n",
    );
    sandbox.write("jackal-config.toml", "flavour = 'x'\n");
    let config = sandbox.src().join("jackal-config.toml");
    let mut commands: Vec<&[&str]> = vec![&["build", "empty"]];
    insta::assert_snapshot!("a_wrong_configuration", transcript(&sandbox, &commands));
    std::fs::remove_file(config).unwrap();
    commands.extend::<[&[&str]; 14]>([
        &["build", "nowhere"],
        &["build", "wrong"],
        &["build", "absent"],
        &["build", "absent", "--task", "none"],
        &["build", "--pipeline", "none.yaml"],
        &["build", "--pipeline", "cycle.yaml"],
        &["package", "verify", "none.tar.zst"],
        &["package", "verify", "empty/readme"],
        &["package", "extract", "none.tar.zst"],
        &["package", "publish", "none.tar.zst", LAYOUT, STATE],
        &["package", "join", "none", "delta", "-o", "new"],
        &["dev", "sha256sum", "none"],
        &["init", "empty"],
        &["init", "empty", "--template", "rust"],
    ]);
    insta::assert_snapshot!(transcript(&sandbox, &commands));
}

#[test]
fn reports_of_packages() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let archive = "jackal-package-demo-amd64-1.0.0.tar.zst";
    // One at a time, so that the order of the lines is the same each time.
    for task in [
        "component:tool",
        "component:tree",
        "sbom:component:tool",
        "sbom:component:tree",
    ] {
        sandbox.run(&["build", "--task", task]);
    }
    let commands: &[&[&str]] = &[
        &["package", "create", "--confirm"],
        &["package", "create", "--confirm"],
        &["why", "component:tool"],
        &["build", "--dry-run"],
        &["graph"],
        &["package", "verify", archive],
        &["package", "inspect", "definition", archive],
        &["package", "inspect", "images", archive],
        &["package", "extract", archive, "components", "-o", "some"],
        &["package", "extract", archive, "components", "-o", "some"],
        &["package", "diff", archive, archive],
        &["package", "publish", archive, LAYOUT, STATE],
        &["package", "publish", archive, LAYOUT, STATE],
        &["package", "verify", archive, "--skip-signature-validation"],
        &["release", "status", STATE],
        &["dev", "lint"],
        &["cache", "verify"],
        &["update"],
    ];
    insta::assert_snapshot!(transcript(&sandbox, commands));
}
