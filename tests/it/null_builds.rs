//! A build with nothing to do is answered from what was kept of the last one, until
//! anything changes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::sandbox::{Said, Sandbox, said, settle};

const ROOT: &str = "kind: JackalPipeline\nversion: 1\nname: root\n\
  toolchains: { sdk: { mounts: [../sdk], path: [../sdk/bin] } }\ntasks:\n  \
  all: { run: [sh, -c, 'own; cat src/a ignored/named >out/all'], \
         inputs: ['src/**', link, ignored/named, 'env:A'], outputs: [out/all], tools: [sh, cat, own, sdk], \
         passThroughEnv: [P], sandbox: none }\n  \
  many: { run: [sh, -c, 'mkdir made; cp src/a made/a'], inputs: [src/a], outputs: [made/], \
          tools: [sh, mkdir, cp], sandbox: none }\n";

const LIB: &str = "kind: JackalPipeline\nversion: 1\nname: lib\ntasks:\n  \
  lib: { run: [sh, -c, 'cat in ../src/a >out'], inputs: [in, ../src/a], outputs: [out], \
         tools: [sh, cat], sandbox: none }\n";

const PACKAGE: &str = "kind: JackalPackageConfig\nmetadata: { name: demo, version: 1.0.0, architecture: amd64 }\n\
  components:\n- name: c\n  files: [{ source: tree, target: /t }, { source: one, target: /o }]\n  \
  charts: [{ name: chart, version: 0.1.0, namespace: n, localPath: chart }]\n  \
  manifests: [{ name: m, namespace: n, files: [manifest.yaml] }]\n";

struct Repository {
    sandbox: Sandbox,
}

impl Repository {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("jackal-workspace.yaml", "");
        sandbox.write(".gitignore", "out\nmade\nignored\ndist\n*.log\n");
        sandbox.write("jackal.pipeline.yaml", ROOT);
        sandbox.write("lib/jackal.pipeline.yaml", LIB);
        sandbox.write("lib/in", "in\n");
        for name in ["a", "b", "deep/c"] {
            sandbox.write(&format!("src/{name}"), format!("{name}\n"));
        }
        fs::create_dir(sandbox.src().join("src/empty")).unwrap();
        // One that ignores itself, as tools write it.
        sandbox.write("src/gen/.gitignore", "*\n");
        sandbox.write("src/gen/kept-out", "x\n");
        sandbox.write("ignored/named", "named\n");
        sandbox.write("elsewhere", "elsewhere\n");
        symlink("elsewhere", sandbox.src().join("link")).unwrap();
        sandbox.write("pack/jackal.yaml", PACKAGE);
        sandbox.write("pack/tree/f", "f\n");
        sandbox.write("pack/one", "one\n");
        sandbox.write("pack/manifest.yaml", "kind: ConfigMap\n");
        sandbox.write(
            "pack/chart/Chart.yaml",
            "apiVersion: v2\nname: chart\nversion: 0.1.0\n",
        );
        sandbox.write("pack/chart/templates/x.yaml", "x: 1\n");
        let repository = Self { sandbox };
        for folder in ["bin", "first"] {
            fs::create_dir(repository.beside(folder)).unwrap();
        }
        repository.tool("bin/own", "#!/bin/sh\n:\n");
        for folder in ["sdk/bin", "sdk/lib/deep"] {
            fs::create_dir_all(repository.beside(folder)).unwrap();
        }
        repository.tool("sdk/bin/sdkc", "#!/bin/sh\n:\n");
        repository.tool("sdk/lib/deep/data", "data\n");
        repository
    }

    /// A path outside of the workspace.
    fn beside(&self, name: &str) -> std::path::PathBuf {
        self.sandbox.src().parent().unwrap().join(name)
    }

    fn tool(&self, path: &str, text: &str) {
        let path = self.beside(path);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        let folders = ["first", "bin"].map(|name| self.beside(name).display().to_string());
        command
            .env("PATH", format!("{}:/usr/bin:/bin", folders.join(":")))
            .env("A", "a")
            .env("P", "p");
        command
    }

    /// Builds until the outcome is kept.
    fn keep(&self, why: &str) {
        for _ in 0..10 {
            settle();
            let built = said(&mut self.command(&["build"]));
            assert_eq!(built.code, Some(0), "{}", built.stderr);
            if self.is_kept() {
                return;
            }
        }
        panic!("the outcome is not kept: {why}");
    }

    /// What a build says that cannot make a plan, since the cache refuses to be opened.
    fn without_plan(&self, command: &mut Command) -> Said {
        let ingest = self.sandbox.cache().join("v1/ingest");
        fs::remove_dir_all(&ingest).unwrap();
        fs::write(&ingest, "").unwrap();
        let said = said(command);
        fs::remove_file(&ingest).unwrap();
        fs::create_dir(&ingest).unwrap();
        said
    }

    fn is_kept(&self) -> bool {
        self.without_plan(&mut self.command(&["build"])).code == Some(0)
    }

    /// Builds what a change concerns, and makes sure that a plan of everything agrees: it
    /// finds nothing else to do, and the same keys.
    fn agrees(&self, why: &str) {
        let keys = |args: &[&str]| {
            let args = [&["build", "--summary"][..], args].concat();
            let built = said(&mut self.command(&args));
            assert_eq!(built.code, Some(0), "{why}: {}", built.stderr);
            built
        };
        let built = said(&mut self.command(&["build"]));
        assert_eq!(built.code, Some(0), "{why}: {}", built.stderr);
        let good = self.good();
        // A report of each task needs a plan.
        let whole = keys(&["../whole.json"]);
        assert!(
            whole.stderr.contains("0 executed, "),
            "{why}: {}\n{}",
            built.stderr,
            whole.stderr
        );
        assert_eq!(self.good(), good, "{why}");
        let record = fs::read(self.beside("whole.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        for task in record["tasks"].as_array().unwrap() {
            let key = task["actionKey"].as_str().unwrap();
            assert!(good.contains(key), "{why}: {}", task["task"]);
        }
    }

    /// The keys of all tasks of the last good run.
    fn good(&self) -> String {
        let folder = self.sandbox.cache().join("v1/good");
        let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    }

    /// Removes what results are made of: whoever looks at a result runs its task again.
    fn forget_blobs(&self) {
        for folder in fs::read_dir(self.sandbox.cache().join("v1/blobs/sha256")).unwrap() {
            let folder = folder.unwrap().path();
            if folder.is_dir() {
                fs::remove_dir_all(&folder).unwrap();
                fs::create_dir(&folder).unwrap();
            }
        }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.sandbox.src().join(path)
    }
}

type Change = (&'static str, fn(&Repository));

/// Appends to a file, and leaves its size and times as they were, as far as it can.
fn overwrite(path: &Path, byte: &[u8]) {
    let times = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] = byte[0];
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const CHANGES: &[Change] = &[
    ("an ignored .gitignore", |r| {
        r.sandbox.write("src/gen/.gitignore", "#\n");
    }),
    ("an edited file", |r| r.sandbox.write("src/a", "other\n")),
    ("the same size and times", |r| {
        overwrite(&r.path("src/b"), b"x")
    }),
    ("a touched file", |r| {
        let file = fs::File::options().write(true).open(r.path("src/a"));
        // A time of whole seconds takes two of them to settle.
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1, 1);
        file.unwrap().set_modified(time).unwrap();
    }),
    ("an executable bit", |r| set_mode(&r.path("src/a"), 0o755)),
    ("a file replaced by an equal one", |r| {
        fs::copy(r.path("src/b"), r.path("src/new")).unwrap();
        fs::rename(r.path("src/new"), r.path("src/b")).unwrap();
    }),
    ("a new file", |r| r.sandbox.write("src/deep/new", "new\n")),
    ("a new folder", |r| {
        fs::create_dir(r.path("src/deep/er")).unwrap()
    }),
    ("a removed folder", |r| {
        fs::remove_dir(r.path("src/empty")).unwrap()
    }),
    ("a removed file", |r| {
        fs::remove_file(r.path("src/deep/new")).unwrap()
    }),
    ("a renamed file", |r| {
        fs::rename(r.path("src/b"), r.path("src/z")).unwrap()
    }),
    ("a replaced folder", |r| {
        fs::rename(r.path("src/deep"), r.path("old.log")).unwrap();
        r.sandbox.write("src/deep/c", "deep/c\n");
        fs::remove_dir_all(r.path("old.log")).unwrap();
    }),
    ("a link to another file", |r| {
        fs::remove_file(r.path("link")).unwrap();
        symlink("src/a", r.path("link")).unwrap();
    }),
    ("a link that became a file", |r| {
        fs::remove_file(r.path("link")).unwrap();
        r.sandbox.write("link", "a file\n");
    }),
    ("an ignored file that is named", |r| {
        r.sandbox.write("ignored/named", "x\n")
    }),
    ("another pipeline file", |r| {
        r.sandbox
            .write("lib/jackal.pipeline.yaml", format!("{LIB}# x\n"))
    }),
    ("a file of the workspace", |r| {
        r.sandbox
            .write("jackal-workspace.yaml", "exclude: [none]\n")
    }),
    ("a new pipeline file", |r| {
        let text = LIB
            .replace("[in, ../src/a]", "[../src/a]")
            .replace("in ../", "../");
        r.sandbox.write("new/jackal.pipeline.yaml", text);
    }),
    ("a pipeline file less", |r| {
        fs::remove_dir_all(r.path("new")).unwrap()
    }),
    ("what Git ignores", |r| {
        r.sandbox
            .write(".gitignore", "out\nmade\nignored\ndist\n*.log\n*.tmp\n")
    }),
    ("a new .gitignore", |r| {
        r.sandbox.write("lib/.gitignore", "*.tmp\n")
    }),
    ("a changed output", |r| {
        r.sandbox.write("out/all", "by hand\n")
    }),
    ("an edited and a new file", |r| {
        r.sandbox.write("src/a", "another\n");
        r.sandbox.write("src/deep/newer", "newer\n");
    }),
    ("an edited file and pipeline", |r| {
        r.sandbox.write("src/a", "and another\n");
        r.sandbox
            .write("lib/jackal.pipeline.yaml", format!("{LIB}# y\n"))
    }),
    ("an edited file and a tool", |r| {
        r.sandbox.write("src/a", "and so on\n");
        r.tool("bin/own", "#!/bin/sh\n: x\n")
    }),
    ("an edited input and output", |r| {
        r.sandbox.write("lib/in", "input\n");
        r.sandbox.write("lib/out", "output\n");
    }),
    ("a file that a link leads to", |r| {
        r.sandbox.write("elsewhere", "changed\n")
    }),
    ("a file of no task", |r| r.sandbox.write("README", "new\n")),
    ("an edited file of no task", |r| {
        r.sandbox.write("README", "newer\n")
    }),
    ("a file that became a folder", |r| {
        fs::remove_file(r.path("src/deep/newer")).unwrap();
        r.sandbox.write("src/deep/newer/f", "f\n");
    }),
    ("what was ignored as a folder", |r| {
        // `*.log` is ignored whatever it is; `made` of the root is an output.
        r.sandbox.write("src/x.log", "ignored\n");
    }),
    ("an ignored file less", |r| {
        fs::remove_file(r.path("src/x.log")).unwrap();
        r.sandbox.write("src/a", "x.log\n");
    }),
    ("a removed output", |r| {
        fs::remove_file(r.path("lib/out")).unwrap()
    }),
    ("a removed output folder", |r| {
        fs::remove_dir_all(r.path("made")).unwrap()
    }),
    ("an output's mode", |r| set_mode(&r.path("lib/out"), 0o755)),
    ("another definition", |r| {
        r.sandbox
            .write("pack/jackal.yaml", PACKAGE.replace("1.0.0", "1.0.1"));
    }),
    ("a file of a package", |r| {
        r.sandbox.write("pack/one", "two\n")
    }),
    ("a file in a folder of a package", |r| {
        r.sandbox.write("pack/tree/g", "g\n")
    }),
    ("a manifest", |r| {
        r.sandbox.write("pack/manifest.yaml", "kind: Secret\n")
    }),
    ("a template of a chart", |r| {
        r.sandbox.write("pack/chart/templates/x.yaml", "x: 2\n")
    }),
    ("what a chart leaves out", |r| {
        r.sandbox.write("pack/chart/.helmignore", "x.txt\n")
    }),
    ("signatures beside an archive", |r| {
        let archive = "dist/jackal-package-demo-amd64-1.0.1.tar.zst";
        assert!(r.path(archive).exists());
        r.sandbox.write(&format!("{archive}.sigstore.jsonl"), "");
        fs::remove_file(r.path(archive)).unwrap();
    }),
    ("a removed archive", |r| {
        fs::remove_dir_all(r.path("dist")).unwrap()
    }),
    ("a lock file", |r| {
        r.sandbox.write("jackal.lock", "version: 1\n")
    }),
    ("a tool replaced", |r| {
        r.tool("bin/own", "#!/bin/sh\ntrue\n")
    }),
    ("a tool before it on PATH", |r| {
        r.tool("first/own", "#!/bin/sh\n:\n")
    }),
    ("a tool that is gone there", |r| {
        fs::remove_file(r.beside("first/own")).unwrap()
    }),
    ("a file of a toolchain, with its size and times", |r| {
        overwrite(&r.beside("sdk/lib/deep/data"), b"x")
    }),
    ("a new file of a toolchain", |r| {
        r.tool("sdk/lib/deep/new", "new\n")
    }),
    ("a checkout around it", |r| {
        fs::create_dir(r.beside(".git")).unwrap()
    }),
    ("a checkout", |r| fs::create_dir(r.path(".git")).unwrap()),
    ("a pruned cache", |r| {
        let pruned = said(&mut r.command(&["cache", "prune", "--max-age", "0s"]));
        assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    }),
    ("a removed result", |r| {
        fs::remove_dir_all(r.sandbox.cache().join("v1/results")).unwrap()
    }),
];

#[test]
fn every_change_of_a_file_is_noticed_after_a_null_build() {
    let repository = Repository::new();
    for (name, change) in CHANGES {
        repository.keep(name);
        change(&repository);
        assert!(!repository.is_kept(), "{name}");
        repository.agrees(name);
    }
}

#[test]
fn edited_files_plan_only_the_tasks_that_read_them() {
    let repository = Repository::new();
    repository.keep("");
    repository.forget_blobs();
    // As an editor does it, by a rename, and in place.
    let edits: [fn(&Repository); 3] = [
        |r| r.sandbox.write("src/b", "in place\n"),
        |r| {
            r.sandbox.write("src/.new", "another file\n");
            fs::rename(r.path("src/.new"), r.path("src/b")).unwrap();
        },
        |r| {
            r.sandbox.write("src/b", "in place\n");
            fs::remove_file(r.path("out/all")).unwrap();
        },
    ];
    for (at, edit) in edits.iter().enumerate() {
        settle();
        edit(&repository);
        settle();
        let built = said(&mut repository.command(&["build"]));
        let expected = match at {
            // The result of the first one is still there.
            2 => "0 executed, ",
            _ => "1 executed, ",
        };
        assert!(built.stderr.contains(expected), "{at}: {}", built.stderr);
        assert!(repository.path("out/all").exists());
    }
    // With nothing more to do, that is remembered, still without a look at the others.
    settle();
    said(&mut repository.command(&["build"]));
    assert!(repository.is_kept());
    fs::write(repository.path("src/b"), "once more\n").unwrap();
    settle();
    let built = said(&mut repository.command(&["build"]));
    assert!(built.stderr.contains("1 executed, "), "{}", built.stderr);
    // A plan of everything looks at the others, and at once makes them again.
    fs::remove_dir_all(repository.sandbox.cache().join("v1/null")).unwrap();
    let built = said(&mut repository.command(&["build"]));
    assert!(!built.stderr.contains("0 executed, "), "{}", built.stderr);
}

#[test]
fn tasks_that_follow_are_planned_and_end_early_if_nothing_changes_for_them() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
         first: { run: [sh, -c, 'head -1 a >b'], inputs: [a], outputs: [b], tools: [sh, head], sandbox: none }\n  \
         second: { run: [sh, -c, 'cat b >c'], inputs: ['task:first'], outputs: [c], tools: [sh, cat], sandbox: none }\n  \
         third: { run: [sh, -c, 'cat d >e'], inputs: [d], outputs: [e], tools: [sh, cat], sandbox: none }\n",
    );
    for name in ["a", "d"] {
        sandbox.write(name, "1\n");
    }
    let build = |expected: &str| {
        settle();
        let built = sandbox.run(&["build"]);
        assert!(built.stderr.contains(expected), "{}", built.stderr);
    };
    build("3 executed, 0 cached");
    build("0 executed, 3 cached");
    for (text, expected) in [
        ("1\n2\n", "1 executed, 2 cached"),
        ("2\n", "2 executed, 1 cached"),
        ("2\n", "0 executed, 3 cached"),
    ] {
        sandbox.write("a", text);
        build(expected);
        let c = fs::read_to_string(sandbox.src().join("c")).unwrap();
        assert_eq!(c, format!("{}\n", &text[..1]));
    }
    // A failure is one, and the next build tries again.
    fs::remove_file(sandbox.src().join("a")).unwrap();
    fs::create_dir(sandbox.src().join("a")).unwrap();
    settle();
    assert_ne!(sandbox.run(&["build"]).code, Some(0));
    fs::remove_dir(sandbox.src().join("a")).unwrap();
    sandbox.write("a", "3\n");
    build("2 executed, 1 cached");
}

#[test]
fn what_is_not_a_file_is_noticed_too() {
    let repository = Repository::new();
    repository.keep("");
    let kept = |change: &dyn Fn(&mut Command)| {
        let mut command = repository.command(&["build"]);
        change(&mut command);
        repository.without_plan(&mut command).code == Some(0)
    };
    assert!(kept(&|_| {}));
    // Shells set these for every command.
    assert!(kept(&|command| {
        command.env("_", "x").env("OLDPWD", "/").env("SHLVL", "7");
    }));
    let first = format!("/bin:{}", repository.beside("bin").display());
    for (name, value) in [
        ("A", "b"),
        ("P", "q"),
        ("NEW", "x"),
        ("CI", "true"),
        ("PATH", &first),
    ] {
        assert!(
            !kept(&|command| {
                command.env(name, value);
            }),
            "{name}"
        );
    }
    assert!(!kept(&|command| {
        command.env_remove("A");
    }));
    for args in [
        &["--force"][..],
        &["lib"],
        &["--architecture", "arm64"],
        &["-o", "there"],
        &["--set", "X=y"],
    ] {
        assert!(
            !kept(&|command| {
                command.args(args);
            }),
            "{args:?}"
        );
    }
    let below = repository.path("lib");
    assert!(!kept(&|command| {
        command.current_dir(&below);
    }));
    // Another program, though of the same version.
    let other = repository.beside("jackal");
    fs::copy(env!("CARGO_BIN_EXE_jackal"), &other).unwrap();
    let mut command = Command::new(&other);
    let usual = repository.command(&["build"]);
    command
        .arg("build")
        .current_dir(repository.path(""))
        .env_clear();
    for (name, value) in usual.get_envs() {
        command.env(name, value.unwrap());
    }
    assert_ne!(repository.without_plan(&mut command).code, Some(0));
    assert!(kept(&|_| {}), "nothing of this has changed it");
}

#[test]
fn a_damaged_outcome_is_made_again() {
    let repository = Repository::new();
    repository.keep("");
    let folder = repository.sandbox.cache().join("v1/null");
    let file = fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let sound = fs::read(&file).unwrap();
    for at in [0, 9, 50, 80, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(!repository.is_kept(), "byte {at}");
        fs::write(&file, &sound[..at]).unwrap();
        assert!(!repository.is_kept(), "{at} bytes");
    }
    fs::write(&file, &sound).unwrap();
    assert!(repository.is_kept());
}

#[test]
fn a_kept_outcome_is_reported_as_the_build_was_and_writes_nothing() {
    let repository = Repository::new();
    repository.keep("");
    let report = |args: &[&str]| {
        let said = repository.without_plan(&mut repository.command(args));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        (said.stdout, said.stderr)
    };
    let files = || {
        let files = repository.sandbox.cached_files().into_iter();
        let stat = |path: &Path| fs::metadata(path).map(|found| (found.ino(), found.mtime_nsec()));
        files
            .map(|(path, _)| (stat(&path).unwrap(), path))
            .collect::<Vec<_>>()
    };
    let before = files();
    let (archives, summary) = report(&["build"]);
    assert!(
        archives.ends_with("dist/jackal-package-demo-amd64-1.0.0.tar.zst\n"),
        "{archives}"
    );
    assert!(
        summary.contains("0 executed, ") && summary.contains(" 0 failed"),
        "{summary}"
    );
    let (dry, _) = report(&["build", "--dry-run=json"]);
    assert_eq!(files(), before);
    // The same as without it.
    fs::remove_dir_all(repository.sandbox.cache().join("v1/null")).unwrap();
    let slow = said(&mut repository.command(&["build", "--dry-run=json"]));
    assert_eq!(dry, slow.stdout);
    let slow = said(&mut repository.command(&["build"]));
    let counts = |text: &str| {
        text.rsplit_once(" in ")
            .map(|(counts, _)| counts.to_owned())
    };
    assert_eq!(
        (archives, counts(&summary)),
        (slow.stdout, counts(&slow.stderr))
    );
}
