//! `--affected`: which tasks differ from the last good run, from what is published, and
//! from a revision of Git.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::publish::Rehearsal;
use super::repository::git;
use super::sandbox::{Said, Sandbox, said, settle};

const HEAD: &str = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n";

/// A library, a program of it with a test, a task for documents, and a package of the
/// program that is published to `to`.
fn workspace(sandbox: &Sandbox, to: &str) {
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "libs/core/jackal.pipeline.yaml",
        format!("{HEAD}  compile: {{ run: [sh, -c, 'mkdir dist; cat src/* >dist/lib'], inputs: ['src/*.c', '!src/x.c'], outputs: [dist/], tools: [sh, mkdir, cat] }}\n"),
    );
    sandbox.write("libs/core/src/a.c", "a\n");
    sandbox.write("libs/core/src/b.c", "b\n");
    sandbox.write(
        "apps/web/jackal.pipeline.yaml",
        format!(
            "{HEAD}  link: {{ run: [sh, -c, 'cat ../../libs/core/dist/lib own >out'], inputs: ['../../libs/core/dist/**', own], outputs: [out], tools: [sh, cat] }}\n  \
             test: {{ run: [sh, -c, '! grep -q bad out'], inputs: ['task:link'], tools: [sh, grep], tags: [check] }}\n  \
             web: {{ component: {{ definition: jackal.yaml, name: web }}, inputs: ['task:link'] }}\n  \
             package: {{ package: {{ definition: jackal.yaml, components: web }}, dependsOn: [test] }}\n  \
             publish: {{ publish: {{ packages: package, to: '{to}', moveTags: true }} }}\n"
        ),
    );
    sandbox.write("apps/web/own", "web\n");
    sandbox.write(
        "apps/web/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: web, version: 1.0.0, architecture: amd64 }\n\
         components:\n- name: web\n  files: [{ source: out, target: /out }]\n",
    );
    sandbox.write(
        "docs/jackal.pipeline.yaml",
        format!("{HEAD}  site: {{ run: [sh, -c, 'cat *.md >out'], inputs: ['**/*.md'], outputs: [out], tools: [sh, cat] }}\n"),
    );
    sandbox.write("docs/a.md", "a\n");
    settle();
}

/// The tasks that JSON says are affected, each with its cause.
fn affected(said: &Said) -> Vec<String> {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let tasks = document["tasks"].as_array().unwrap().iter();
    let mut tasks: Vec<String> = tasks
        .map(|task| {
            format!(
                "{} {}",
                task["task"].as_str().unwrap(),
                task["cause"].as_str().unwrap()
            )
        })
        .collect();
    tasks.sort();
    tasks
}

fn of(sandbox: &Sandbox, options: &[&str]) -> Vec<String> {
    settle();
    let dry = ["build", "--dry-run=json", "-a", "amd64"];
    affected(&sandbox.run(&[&dry[..], options].concat()))
}

/// Runs the program in another folder, with a cache of its own.
fn elsewhere(folder: &Path, options: &[&str]) -> Said {
    said(
        Command::new(env!("CARGO_BIN_EXE_jackal"))
            .args(["build", "--dry-run=json", "-a", "amd64"])
            .args(options)
            .current_dir(folder)
            .env_clear()
            .env("JACKAL_CACHE", folder.with_extension("cache"))
            .env("PATH", "/usr/bin:/bin"),
    )
}

const WEB: [&str; 4] = [
    "apps/web:link upstream",
    "apps/web:package upstream",
    "apps/web:test upstream",
    "apps/web:web upstream",
];

#[test]
fn a_failed_run_does_not_lose_what_the_last_good_one_made() {
    let sandbox = Sandbox::new();
    workspace(&sandbox, "oci-layout:out");
    let since = ["--affected"];
    let new = of(&sandbox, &since);
    assert_eq!(new.len(), 6, "{new:?}");
    assert!(
        new.contains(&"docs:site new".to_owned()) && new.contains(&WEB[1].to_owned()),
        "{new:?}"
    );
    sandbox.build(&["-a", "amd64"]);
    assert_eq!(of(&sandbox, &since), [""; 0]);
    sandbox.write("libs/core/src/a.c", "2\n");
    let library: Vec<&str> = WEB
        .into_iter()
        .chain(["libs/core:compile changed"])
        .collect();
    assert_eq!(of(&sandbox, &since), library);
    // One that is changed back is as it was.
    sandbox.write("libs/core/src/a.c", "a\n");
    assert_eq!(of(&sandbox, &since), [""; 0]);
    sandbox.write("apps/web/own", "bad\n");
    let said = sandbox.run(&["build", "-a", "amd64", "--keep-going"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let web = [
        "apps/web:link changed",
        "apps/web:package upstream",
        "apps/web:test upstream",
        "apps/web:web upstream",
    ];
    assert_eq!(of(&sandbox, &since), web);
    // A good run of another folder says nothing about this one.
    sandbox.build(&["-a", "amd64", "docs"]);
    assert_eq!(of(&sandbox, &since), web);
    sandbox.write("apps/web/own", "good\n");
    settle();
    let built = sandbox.build(&["-a", "amd64", "--affected"]);
    let built: Vec<&str> = built.iter().map(|(task, _)| task.as_str()).collect();
    let expected = [
        "apps/web:link",
        "apps/web:package",
        "apps/web:test",
        "apps/web:web",
        "libs/core:compile",
    ];
    assert_eq!(built, expected, "with what they need, and without docs");
    assert_eq!(of(&sandbox, &since), [""; 0]);
    let said = sandbox.run(&["build", "-a", "amd64", "--affected"]);
    assert_eq!(said.code, Some(0));
    assert!(
        said.stderr.contains("nothing is affected"),
        "{}",
        said.stderr
    );
}

#[test]
fn targets_bound_what_is_affected_and_lists_show_only_that() {
    let sandbox = Sandbox::new();
    workspace(&sandbox, "oci-layout:out");
    sandbox.build(&["-a", "amd64"]);
    sandbox.write("libs/core/src/a.c", "2\n");
    assert_eq!(of(&sandbox, &["--affected", "docs"]), [""; 0]);
    let test = of(&sandbox, &["--affected", "tag:check"]);
    assert_eq!(test, ["apps/web:test upstream"]);
    let listed = sandbox.run(&["list", "--affected", "-a", "amd64", "apps", "!:publish"]);
    let names: Vec<&str> = listed
        .stdout
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "apps/web:link",
            "apps/web:package",
            "apps/web:test",
            "apps/web:web"
        ]
    );
    let graph = sandbox.run(&["graph", "--affected", "-a", "amd64", "--format", "mermaid"]);
    assert!(graph.stdout.contains("compile") && !graph.stdout.contains("site"));
}

#[test]
fn clones_of_any_depth_and_a_tarball_compare_with_what_is_published() {
    let registry = Rehearsal::with_faults(&[]);
    let sandbox = Sandbox::new();
    workspace(&sandbox, &registry.at("team"));
    sandbox.write(".gitignore", "dist\nout\n");
    let src = sandbox.src();
    git(&src, &["init", "-q"]);
    git(&src, &["add", "."]);
    git(&src, &["commit", "-qm", "one"]);
    sandbox.build(&["-a", "amd64", "apps/web:publish"]);
    sandbox.write("libs/core/src/a.c", "2\n");
    git(&src, &["commit", "-qam", "two"]);

    let place = registry.at("team");
    let exact = registry.at("team/web:1.0.0");
    let compare = |folder: &Path, place: &str| {
        let told = elsewhere(folder, &["--affected", "--against", place, "!docs"]);
        affected(&told)
    };
    let library: Vec<&str> = WEB
        .into_iter()
        .chain(["libs/core:compile changed"])
        .collect();
    let beside = src.parent().unwrap();
    let url = format!("file://{}", src.display());
    for (name, depth) in [("full", None), ("shallow", Some("--depth=1"))] {
        let clone = ["clone", "-q"]
            .into_iter()
            .chain(depth)
            .chain([&*url, name]);
        git(beside, &clone.collect::<Vec<_>>());
        for place in [&*place, &exact, "published"] {
            assert_eq!(
                compare(&beside.join(name), place),
                library,
                "{name} {place}"
            );
        }
    }
    let tarball = beside.join("tarball");
    fs::rename(beside.join("full"), &tarball).unwrap();
    fs::remove_dir_all(tarball.join(".git")).unwrap();
    assert_eq!(compare(&tarball, &place), library);
    // What was published is what these sources make.
    fs::write(tarball.join("libs/core/src/a.c"), "a\n").unwrap();
    assert_eq!(compare(&tarball, &place), [""; 0]);
    // A new version compares with the highest one that there is.
    let definition = tarball.join("apps/web/jackal.yaml");
    let text = fs::read_to_string(&definition).unwrap();
    fs::write(&definition, text.replace("1.0.0", "1.1.0")).unwrap();
    let package = ["apps/web:package changed"];
    assert_eq!(compare(&tarball, &place), package);
    assert_eq!(
        compare(&tarball, &registry.at("other")).len(),
        5,
        "nothing is there"
    );
    let told = elsewhere(
        &tarball,
        &["--affected", "--against", &registry.at("team/no:1")],
    );
    assert_eq!(told.code, Some(4), "{}", told.stderr);
    let told = elsewhere(&tarball, &["--affected=main", "--against", &place]);
    assert_eq!(told.code, Some(2), "{}", told.stderr);
}

/// A repository with the workspace, and one commit.
fn repository() -> Sandbox {
    let sandbox = Sandbox::new();
    workspace(&sandbox, "oci-layout:out");
    sandbox.write("libs/core/src/x.c", "x\n");
    let src = sandbox.src();
    git(&src, &["init", "-q"]);
    git(&src, &["add", "."]);
    git(&src, &["commit", "-qm", "one"]);
    sandbox
}

#[test]
fn folders_that_packages_are_published_to_are_not_compared_in_silence() {
    let sandbox = repository();
    for (place, code, why) in [
        (
            "published",
            3,
            "publishes one of these packages to a registry",
        ),
        ("oci-layout:out", 2, "expected oci://HOST/PATH"),
    ] {
        let told = elsewhere(&sandbox.src(), &["--affected", "--against", place]);
        assert_eq!(told.code, Some(code), "{}", told.stderr);
        assert!(told.stderr.contains(why), "{}", told.stderr);
    }
    let registry = Rehearsal::with_faults(&[]);
    let path = sandbox.src().join("apps/web/jackal.pipeline.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let more = format!(
        "{text}  more: {{ publish: {{ packages: package, to: '{}' }} }}\n",
        registry.at("team")
    );
    fs::write(&path, more).unwrap();
    let told = elsewhere(&sandbox.src(), &["--affected", "--against", "published"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let note = "out is left out: packages are compared with those in registries";
    assert!(told.stderr.contains(note), "{}", told.stderr);
}

#[test]
fn a_revision_counts_all_kinds_of_changes_through_declared_inputs() {
    let sandbox = repository();
    let src = sandbox.src();
    // Outputs that are in the checkout, and not ignored, are no changes.
    sandbox.build(&["-a", "amd64"]);
    let since = ["--affected=HEAD"];
    let reset = || {
        git(&src, &["reset", "-q", "--hard"]);
        git(&src, &["clean", "-fdq"]);
    };
    let library: Vec<&str> = WEB
        .into_iter()
        .chain(["libs/core:compile changed"])
        .collect();
    let library = library.as_slice();
    let none: &[&str] = &[];
    let docs: &[&str] = &["docs:site changed"];
    assert_eq!(of(&sandbox, &since), none);
    type Change<'c> = (&'c str, &'c dyn Fn(), &'c [&'c str]);
    let changes: [Change<'_>; 9] = [
        (
            "changed",
            &|| sandbox.write("libs/core/src/a.c", "2\n"),
            library,
        ),
        (
            "excluded",
            &|| sandbox.write("libs/core/src/x.c", "2\n"),
            none,
        ),
        (
            "untracked",
            &|| sandbox.write("libs/core/src/n.c", "n\n"),
            library,
        ),
        (
            "not an input",
            &|| sandbox.write("libs/core/src/n.h", "n\n"),
            none,
        ),
        (
            "deleted",
            &|| fs::remove_file(src.join("libs/core/src/b.c")).unwrap(),
            library,
        ),
        (
            "moved out of the pattern",
            &|| drop(git(&src, &["mv", "libs/core/src/b.c", "libs/core/src/b.h"])),
            library,
        ),
        (
            "moved into another",
            &|| drop(git(&src, &["mv", "libs/core/src/x.c", "docs/x.md"])),
            docs,
        ),
        (
            "staged",
            &|| {
                sandbox.write("docs/b.md", "b\n");
                git(&src, &["add", "."]);
            },
            docs,
        ),
        (
            "pipeline file",
            &|| {
                let file = src.join("docs/jackal.pipeline.yaml");
                let text = fs::read_to_string(&file).unwrap();
                fs::write(file, text + "# more\n").unwrap();
            },
            docs,
        ),
    ];
    for (name, change, expected) in changes {
        reset();
        change();
        assert_eq!(of(&sandbox, &since), expected, "{name}");
    }
    reset();
    sandbox.write("jackal-workspace.yaml", "exclude: [x]\n");
    assert_eq!(of(&sandbox, &since).len(), 6);
    reset();
    sandbox.write("libs/core/.tool-versions", "cc 1\n");
    assert_eq!(of(&sandbox, &since), library);
    reset();
    let definition = fs::read_to_string(src.join("apps/web/jackal.yaml")).unwrap();
    sandbox.write("apps/web/jackal.yaml", definition.replace("/out }", "/o }"));
    assert_eq!(
        of(&sandbox, &since),
        ["apps/web:package changed", "apps/web:web changed"]
    );
    // Committed since then.
    reset();
    sandbox.write("docs/a.md", "2\n");
    git(&src, &["commit", "-qam", "two"]);
    assert_eq!(of(&sandbox, &since), none);
    assert_eq!(of(&sandbox, &["--affected=HEAD~1"]), docs);
}

#[test]
fn a_revision_that_is_missing_or_an_option_is_refused_with_what_helps() {
    let sandbox = repository();
    for (option, code, expected) in [
        (
            "--affected=origin/main",
            3,
            "git fetch --depth=1 origin main",
        ),
        ("--affected=--upload-pack=x", 3, "does not begin with `-`"),
        ("--affected=", 2, "expected a revision"),
    ] {
        let said = sandbox.run(&["build", "--dry-run", option]);
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    fs::remove_dir_all(sandbox.src().join(".git")).unwrap();
    let said = sandbox.run(&["build", "--dry-run", "--affected=HEAD"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("not in a Git checkout"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_matrix_has_a_job_for_each_folder_or_for_each_task_at_the_end() {
    let sandbox = Sandbox::new();
    workspace(&sandbox, "oci-layout:out");
    let matrix = |options: &[&str]| {
        let said = sandbox.run(&[&["ci", "matrix", "-a", "amd64"], options].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    let targets = |text: &str| -> Vec<String> {
        let line = text.lines().next().unwrap();
        let matrix: Value = serde_json::from_str(line.strip_prefix("matrix=").unwrap()).unwrap();
        let jobs = matrix["include"].as_array().unwrap().iter();
        jobs.map(|job| job["targets"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = targets(&matrix(&["--for", "github"]));
    assert_eq!(all, ["apps/web:package", "docs:site", "libs/core:compile"]);
    sandbox.build(&["-a", "amd64"]);
    sandbox.write("libs/core/src/a.c", "2\n");
    settle();
    let ends = matrix(&["--for", "github", "--affected", "--by", "task"]);
    assert_eq!(targets(&ends), ["apps/web:package"]);
    assert!(ends.ends_with("any=true\n"));
    // What a job is told to build is what it builds.
    let built = sandbox.build(&["-a", "amd64", "apps/web:package"]);
    assert_eq!(built.len(), 5);
    let none = matrix(&["--for", "github", "--affected"]);
    assert_eq!(none, "matrix={\"include\":[]}\nany=false\n");
    let none = matrix(&["--for", "gitlab", "--affected"]);
    assert!(none.contains("nothing to do"), "{none}");
}

#[test]
fn sources_of_packages_and_images_count_with_what_they_lead_to() {
    let sandbox = Sandbox::new();
    let src = sandbox.src();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: demo, version: 1.0.0, architecture: amd64 }\n\
         components:\n- name: c\n  files: [{ source: link, target: /f }]\n  \
         manifests: [{ name: m, namespace: n, files: [m.yaml] }]\n  \
         charts: [{ name: chart, version: 1.0.0, namespace: n, localPath: chart }]\n",
    );
    sandbox.write(
        "chart/Chart.yaml",
        "apiVersion: v2\nname: chart\nversion: 1.0.0\n\
         dependencies:\n- { name: lib, version: 1.0.0, repository: 'file://../lib' }\n",
    );
    sandbox.write("chart/templates/t.yaml", "a: b\n");
    sandbox.write(
        "lib/Chart.yaml",
        "apiVersion: v2\nname: lib\nversion: 1.0.0\n",
    );
    sandbox.write("lib/x", "1\n");
    sandbox.write(
        "m.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n",
    );
    sandbox.write("other/f", "f\n");
    std::os::unix::fs::symlink("other/f", src.join("link")).unwrap();
    sandbox.write("rootfs/r", "r\n");
    sandbox.write(
        "jackal.pipeline.yaml",
        format!(
            "{HEAD}  c: {{ component: {{ definition: jackal.yaml, name: c }} }}\n  \
             i: {{ image: {{ name: 'r.example/i:1', base: scratch, layers: [{{ from: rootfs, to: /x }}] }} }}\n"
        ),
    );
    git(&src, &["init", "-q"]);
    git(&src, &["add", "."]);
    git(&src, &["commit", "-qm", "one"]);
    let chart = ["c upstream", "c:chart:chart-1.0.0 changed"];
    let files = ["c changed"];
    let image = ["i changed"];
    let definition = ["c changed", "c:chart:chart-1.0.0 changed"];
    let append = |path: &str| {
        let old = fs::read_to_string(src.join(path)).unwrap_or_default();
        sandbox.write(path, old + "#\n");
    };
    let changes: [(&str, &[&str]); 9] = [
        ("chart/templates/t.yaml", &chart),
        ("chart/new", &chart),
        ("lib/x", &chart),
        ("m.yaml", &files),
        ("other/f", &files),
        ("other/g", &[]),
        ("rootfs/r", &image),
        ("rootfs/new", &image),
        ("jackal.yaml", &definition),
    ];
    let since = ["--affected=HEAD", "jackal.pipeline.yaml"];
    for (path, expected) in changes {
        append(path);
        assert_eq!(of(&sandbox, &since), expected, "{path}");
        git(&src, &["reset", "-q", "--hard"]);
        git(&src, &["clean", "-fdq"]);
    }
    fs::remove_file(src.join("lib/x")).unwrap();
    assert_eq!(of(&sandbox, &since), chart);
    git(&src, &["reset", "-q", "--hard"]);
    fs::remove_file(src.join("link")).unwrap();
    std::os::unix::fs::symlink("m.yaml", src.join("link")).unwrap();
    assert_eq!(of(&sandbox, &since), files);
}
