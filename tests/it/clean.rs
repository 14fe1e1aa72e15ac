//! `jackal clean` takes back what builds put into the workspace, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::sandbox::Sandbox;

const TASKS: &str = "tasks:\n  \
  make:\n    run: [sh, -c, 'mkdir -p out/sub gen/deep && cat in > out/a && cat in > out/sub/b && ln -s a out/l && cat in > gen/deep/f']\n    \
  inputs: [in]\n    outputs: [out/, gen/deep/f]\n    tools: [sh, mkdir, cat, ln]\n  \
  other:\n    run: [sh, -c, 'cat in > other']\n    inputs: [in]\n    outputs: [other]\n    tools: [sh, cat]\n";

fn pipeline(sandbox: &Sandbox, tasks: &str) {
    let head = "kind: JackalPipeline\nversion: 1\n";
    sandbox.write("jackal.pipeline.yaml", format!("{head}{tasks}"));
}

fn built() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("in", "text");
    pipeline(&sandbox, TASKS);
    assert_eq!(sandbox.run(&["build"]).code, Some(0));
    sandbox
}

/// Files and links in the sources, sorted.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let (mut open, mut found) = (vec![sandbox.src()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            match entry.file_type().unwrap().is_dir() {
                true if path.ends_with(".git") => {}
                true => open.push(path),
                false => {
                    let below = path.strip_prefix(sandbox.src()).unwrap();
                    found.push(below.to_str().unwrap().to_owned());
                }
            }
        }
    }
    found.sort();
    found
}

fn git(sandbox: &Sandbox, args: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    let done = Command::new("git")
        .args(identity)
        .args(args)
        .current_dir(sandbox.src())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn outputs_and_archives_go_and_come_back_from_the_cache() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: demo, version: \"1.0.0\" }\n\
         components: [{ name: site, files: [{ source: in, target: /in }] }]\n",
    );
    sandbox.write("in", "text");
    let before = files(&sandbox);
    pipeline(
        &sandbox,
        &format!(
            "{TASKS}  part: {{ component: {{ definition: jackal.yaml, name: site }} }}\n  \
         package: {{ package: {{ definition: jackal.yaml, components: part }} }}\n"
        ),
    );
    let with_pipeline = files(&sandbox);
    let done = sandbox.run(&["build"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let built = files(&sandbox);
    assert!(
        built.iter().any(|path| path.ends_with(".tar.zst")),
        "{built:?}"
    );

    let rehearsed = sandbox.run(&["clean", "--dry-run"]);
    assert_eq!(files(&sandbox), built);
    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(
        (cleaned.code, &cleaned.stdout),
        (Some(0), &rehearsed.stdout)
    );
    assert_eq!(files(&sandbox), with_pipeline);
    assert!(built.contains(&"out/sub/b".to_owned()), "{built:?}");
    assert!(before.iter().all(|path| with_pipeline.contains(path)));
    for folder in ["out", "gen", "dist"] {
        assert!(!sandbox.src().join(folder).exists(), "{folder} is left");
    }
    let mut named: Vec<&str> = cleaned.stdout.lines().collect();
    named.sort_unstable();
    let gone = built.iter().filter(|path| !with_pipeline.contains(path));
    assert_eq!(named, gone.collect::<Vec<_>>());
    assert_eq!(sandbox.run(&["clean"]).stdout, "");

    let again = sandbox.run(&["build"]);
    assert!(again.stderr.contains("0 executed"), "{}", again.stderr);
    assert_eq!(files(&sandbox), built);
}

#[test]
fn only_the_chosen_tasks_are_cleaned() {
    let sandbox = built();
    let cleaned = sandbox.run(&["clean", ":other"]);
    assert_eq!(cleaned.stdout, "other\n", "{}", cleaned.stderr);
    assert!(sandbox.src().join("out/a").exists());
}

#[test]
fn what_the_user_changed_or_added_stays() {
    let sandbox = built();
    sandbox.write("out/a", "mine");
    sandbox.write("out/new", "mine");
    let elsewhere = sandbox.src().join("../elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("b"), "text").unwrap();
    fs::remove_dir_all(sandbox.src().join("out/sub")).unwrap();
    symlink(&elsewhere, sandbox.src().join("out/sub")).unwrap();

    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    assert!(
        cleaned.stderr.contains("left `out/a`"),
        "{}",
        cleaned.stderr
    );
    for kept in ["out/a", "out/new", "out/sub"] {
        assert!(
            sandbox.src().join(kept).symlink_metadata().is_ok(),
            "{kept}"
        );
    }
    assert!(!sandbox.src().join("out/l").exists());
    assert_eq!(fs::read_to_string(elsewhere.join("b")).unwrap(), "text");
}

#[test]
fn what_git_tracks_stays() {
    let sandbox = built();
    git(&sandbox, &["init", "-q", "."]);
    git(&sandbox, &["add", "-f", "out/a"]);
    let cleaned = sandbox.run(&["clean"]);
    assert!(
        cleaned.stderr.contains("tracked by Git"),
        "{}",
        cleaned.stderr
    );
    assert!(sandbox.src().join("out/a").exists());
    assert!(!sandbox.src().join("out/sub").exists());
}

#[test]
fn outputs_that_no_task_declares_any_more_go_too() {
    let sandbox = built();
    pipeline(
        &sandbox,
        &TASKS
            .replace("other]", "another]")
            .replace("> other", "> another"),
    );
    assert_eq!(sandbox.run(&["build"]).code, Some(0));
    assert!(sandbox.src().join("other").exists());
    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    for gone in ["other", "another", "out", "gen"] {
        assert!(!sandbox.src().join(gone).exists(), "{gone}");
    }
}
