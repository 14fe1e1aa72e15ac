//! `jackal clean` takes back what builds put into the workspace, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
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
        (cleaned.stderr).contains("left `out/a`, which has changed since it was written"),
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
fn nothing_goes_if_it_cannot_be_known_what_git_tracks() {
    let sandbox = built();
    git(&sandbox, &["init", "-q", "."]);
    git(&sandbox, &["add", "-f", "."]);
    git(&sandbox, &["update-index", "--split-index"]);
    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(cleaned.code, Some(4), "{}", cleaned.stderr);
    assert!(
        cleaned.stderr.contains("--no-split-index"),
        "{}",
        cleaned.stderr
    );
    assert!(sandbox.src().join("out/a").exists());
}

#[test]
fn archives_that_git_tracks_and_files_of_a_nested_repository_stay() {
    let sandbox = built();
    sandbox.write(
        "web/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: web, version: \"1.0.0\" }\n\
         components: [{ name: site, files: [{ source: in, target: /in }] }]\n",
    );
    sandbox.write("web/in", "text");
    sandbox.write("jackal-workspace.yaml", "");
    assert_eq!(sandbox.run(&["build"]).code, Some(0));
    git(&sandbox, &["init", "-q", "."]);
    git(&sandbox, &["add", "-f", "dist"]);
    git(&sandbox, &["init", "-q", "out"]);
    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    assert_eq!(fs::read_dir(sandbox.src().join("dist")).unwrap().count(), 1);
    assert!(sandbox.src().join("out/a").exists());
    assert!(!sandbox.src().join("other").exists());
}

#[test]
fn folders_of_the_user_and_what_is_behind_a_link_stay() {
    let sandbox = built();
    let at = |path: &str| sandbox.src().join(path);
    fs::remove_file(at("other")).unwrap();
    fs::create_dir(at("other")).unwrap();
    let elsewhere = at("../elsewhere");
    fs::rename(at("gen"), &elsewhere).unwrap();
    fs::remove_file(elsewhere.join("deep/f")).unwrap();
    symlink(&elsewhere, at("gen")).unwrap();
    let cleaned = sandbox.run(&["clean"]);
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    assert!(at("other").is_dir(), "a folder that the user made");
    assert!(elsewhere.join("deep").is_dir(), "a folder behind a link");
}

#[test]
fn records_of_a_cache_that_is_only_read_count_for_nothing() {
    let sandbox = built();
    let cache = sandbox.cache();
    let precious = sandbox.src().join("../precious");
    fs::write(&precious, "text").unwrap();
    for folder in fs::read_dir(cache.join("v1/placed-in")).unwrap() {
        let path = precious.canonicalize().unwrap();
        let forged = folder.unwrap().path().join("forged");
        fs::write(forged, path.to_str().unwrap()).unwrap();
    }
    assert_eq!(sandbox.run(&["clean", "--dry-run"]).code, Some(0));
    let shared = cache.to_str().unwrap();
    let cleaned = sandbox.run(&["clean", "--shared-cache", shared]);
    assert_eq!(cleaned.code, Some(3), "{}", cleaned.stderr);
    assert!(sandbox.src().join("out/a").exists());
    assert!(precious.exists());
}

#[test]
fn what_cannot_be_removed_is_an_error_and_the_rest_goes() {
    let sandbox = built();
    let locked = sandbox.src().join("gen/deep");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    let cleaned = sandbox.run(&["clean"]);
    // For root, every folder can be written, and it is gone.
    let _ = fs::set_permissions(&locked, fs::Permissions::from_mode(0o755));
    assert!(cleaned.stdout.contains("out/a\n"), "{}", cleaned.stdout);
    assert!(!sandbox.src().join("other").exists());
    if locked.join("f").exists() {
        assert_eq!(cleaned.code, Some(4));
        assert!(cleaned.stderr.contains("gen/deep/f"), "{}", cleaned.stderr);
    }
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
