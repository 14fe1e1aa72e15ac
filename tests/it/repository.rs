//! With `git: true`, a command sees a small repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use jackal::testing::Level;

use crate::confinement::{level, without_namespaces};
use crate::sandbox::{HEAD, Said, Sandbox};

/// Runs Git in `folder`, and returns what it prints.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let ended = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(["-c", "core.abbrev=7"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("GIT_AUTHOR_DATE", "@1700000000 +0100")
        .env("GIT_COMMITTER_DATE", "@1700000000 +0100")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

/// What commands ask; each is answered as in the checkout.
const QUESTIONS: [&str; 9] = [
    "describe",
    "describe --tags",
    "describe --tags --dirty --always",
    "rev-parse HEAD",
    "rev-parse --short HEAD",
    "rev-parse --abbrev-ref HEAD",
    "status --porcelain --untracked-files=no",
    "log -1 --format=%H%n%s%n%an%n%cI",
    "ls-files",
];

/// A task that asks all of them, in the folder `app`.
fn pipeline(more: &str) -> String {
    let asked = QUESTIONS.map(|question| format!("git {question}"));
    format!(
        "{HEAD}tasks:\n  a:\n    shell: sh -e\n    \
         run: ({}; git rev-parse --show-prefix) > out\n    \
         inputs: [in]\n    outputs: [out]\n    tools: [git, cat]\n    git: true\n    {more}\n",
        asked.join("; ")
    )
}

/// A repository with merges, tags of both kinds, and a branch that merged what is older
/// than a tag.
fn repository(sandbox: &Sandbox) {
    let top = sandbox.src();
    git(&top, &["init", "-q"]);
    sandbox.write(".gitignore", "out\n");
    sandbox.write("app/in", "input\n");
    sandbox.write("app/p.yaml", pipeline(""));
    let commit = |name: &str| {
        sandbox.write(&format!("src/{name}"), name);
        git(&top, &["add", "."]);
        git(&top, &["commit", "-qm", name]);
    };
    commit("z");
    commit("a");
    git(&top, &["branch", "side"]);
    commit("b");
    git(&top, &["branch", "early"]);
    commit("c");
    git(&top, &["tag", "-a", "-m", "first", "v1.0"]);
    commit("d");
    git(&top, &["tag", "light"]);
    git(&top, &["checkout", "-q", "side"]);
    commit("e");
    git(&top, &["merge", "-q", "--no-ff", "-m", "older", "early"]);
    git(&top, &["checkout", "-q", "main"]);
    git(&top, &["merge", "-q", "--no-ff", "-m", "merged", "side"]);
    commit("f");
}

fn build(sandbox: &Sandbox) -> Said {
    sandbox.run(&["build", "app/p.yaml"])
}

/// What the command printed, and what Git says in the checkout.
fn answers(sandbox: &Sandbox) -> (String, String) {
    let said = build(sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found = fs::read_to_string(sandbox.src().join("app/out")).unwrap();
    let mut expected = String::new();
    for question in QUESTIONS {
        let words: Vec<&str> = question.split(' ').collect();
        // The questions are for the whole repository, as the folder in it is that of the
        // task.
        expected += &git(&sandbox.src().join("app"), &words);
    }
    (found, expected + "app/\n")
}

#[test]
fn git_answers_in_a_sandbox_as_in_the_checkout() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let (found, expected) = answers(&sandbox);
    assert_eq!(found, expected);
    assert!(found.starts_with("v1.0-5-g"), "{found}");
    assert!(found.contains("\nlight-4-g"), "{found}");
    assert!(!found.contains("dirty"), "{found}");
    assert!(build(&sandbox).stderr.contains("1 cached"));
    // An untracked file is no change; a tracked one is, whether it is an input or not.
    sandbox.write("new", "x");
    assert!(build(&sandbox).stderr.contains("1 cached"));
    sandbox.write("src/a", "changed");
    let found = answers(&sandbox).0;
    assert!(found.contains("-dirty\n"), "{found}");
    assert!(found.contains("\nM  src/a\n"), "{found}");
    git(&sandbox.src(), &["checkout", "-q", "src/a"]);
    assert!(build(&sandbox).stderr.contains("1 cached"));
    git(&sandbox.src(), &["tag", "v1.1"]);
    let (found, expected) = answers(&sandbox);
    assert_eq!(found, expected);
    assert!(found.contains("\nv1.1\n"), "{found}");
    git(&sandbox.src(), &["checkout", "-q", "--detach"]);
    let (found, expected) = answers(&sandbox);
    assert_eq!(found, expected);
}

#[test]
fn every_clone_of_a_commit_has_the_same_key() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    assert_eq!(build(&sandbox).code, Some(0));
    git(&sandbox.src(), &["gc", "-q"]);
    git(&sandbox.src(), &["pack-refs", "--all"]);
    assert!(build(&sandbox).stderr.contains("1 cached"));
    let other = |folder: &Path| {
        let mut command = sandbox.command(&["build", "app/p.yaml"]);
        super::sandbox::said(command.current_dir(folder))
    };
    let beside = sandbox.src().join("..");
    let (source, work) = (sandbox.src(), beside.join("work"));
    let from = format!("file://{}", source.display());
    git(&beside, &["clone", "-q", "--depth=5", &from, "deep"]);
    git(&source, &["branch", "-q", "held"]);
    git(&source, &["checkout", "-q", "held"]);
    git(
        &source,
        &["worktree", "add", "-q", work.to_str().unwrap(), "main"],
    );
    for folder in [beside.join("deep"), work] {
        let said = other(&folder);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("1 cached"), "{}", said.stderr);
    }
    git(
        &beside,
        &["clone", "-q", "--depth=1", &from, "flat", "-b", "main"],
    );
    let said = other(&beside.join("flat"));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("git fetch --unshallow --tags"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("p.yaml:11:10: "), "{}", said.stderr);
}

#[test]
fn nothing_of_the_checkouts_configuration_is_used_or_seen() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let mark = sandbox.src().join("../ran");
    let run = format!("touch {}; false", mark.display());
    let config = sandbox.src().join(".git/config");
    let mut text = fs::read_to_string(&config).unwrap();
    text += &format!("[core]\nfsmonitor = \"{run}\"\nhooksPath = /tmp\n[alias]\nx = secret\n");
    fs::write(config, text).unwrap();
    let ask = pipeline("").replace(
        "git rev-parse --show-prefix",
        "cat ../.git/config; git log --all --format=%s",
    );
    sandbox.write("app/p.yaml", ask);
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found = fs::read_to_string(sandbox.src().join("app/out")).unwrap();
    assert!(
        !found.contains("secret") && found.contains("abbrev = 7"),
        "{found}"
    );
    assert!(!mark.exists());
}

#[test]
fn a_git_folder_elsewhere_is_shown_only_if_it_knows_the_checkout() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    fs::rename(
        sandbox.src().join(".git"),
        sandbox.src().join("../other.git"),
    )
    .unwrap();
    sandbox.write(".git", "gitdir: ../other.git\n");
    sandbox.write("p.yaml", pipeline(""));
    let said = build(&sandbox);
    assert_ne!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("does not name it back"),
        "{}",
        said.stderr
    );
    let full = sandbox.src().canonicalize().unwrap();
    git(&full, &["config", "core.worktree", full.to_str().unwrap()]);
    let said = build(&sandbox);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn without_a_repository_or_the_key_the_error_says_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("app/in", "x");
    sandbox.write("app/p.yaml", pipeline(""));
    let said = build(&sandbox);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let text = "p.yaml:11:10: `git: true` needs a Git checkout with a commit";
    assert!(said.stderr.contains(text), "{}", said.stderr);
    sandbox.write(
        "app/p.yaml",
        pipeline("").replace("git: true", "network: false"),
    );
    let said = build(&sandbox);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("add `git: true` to the task in"),
        "{}",
        said.stderr
    );
}

#[test]
fn git_answers_without_namespaces_too() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let at_top = pipeline("").replace("[in]", "[app/in]");
    sandbox.write("p.yaml", at_top);
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found = fs::read_to_string(sandbox.src().join("out")).unwrap();
    assert!(found.starts_with("v1.0-5-g"), "{found}");
}
