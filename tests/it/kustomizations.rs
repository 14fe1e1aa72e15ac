//! Kustomizations: what is read is in the key, or nothing is cached.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jackal::testing::{Level, best};

use crate::sandbox::{Said, Sandbox, said, settle};

/// A package with one kustomization, and a program in place of kustomize that
/// prints the files below it.
fn package(source: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pkg/jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo, version: 1.0.0, architecture: amd64}}\n\
             components:\n- name: a\n  manifests: [{{name: m, kustomizations: ['{source}'], \
             kustomizeAllowAnyDirectory: true}}]\n"
        ),
    );
    sandbox.write(
        "bin/kustomize",
        "#!/bin/sh\nfor last; do :; done\n[ -d \"$last\" ] || { echo \"no $last\" >&2; exit 1; }\n\
         cat \"$last\"/* \"$last\"/../../outside/*\n",
    );
    let program = sandbox.src().join("bin/kustomize");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write("outside/kustomization.yaml", "resources: [o.yaml]\n");
    sandbox.write("outside/o.yaml", "o: 1\n");
    sandbox
}

fn build(sandbox: &Sandbox, more: &[&str]) -> Said {
    settle();
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("bin").display());
    let args = [&["build", "pkg", "--skip-sbom"], more].concat();
    said(sandbox.command(&args).env("PATH", path))
}

#[test]
fn ignored_files_and_files_outside_are_in_the_key() {
    let sandbox = package("k");
    sandbox.write(".gitignore", "*.gen.yaml\n");
    sandbox.write(
        "pkg/k/kustomization.yaml",
        "resources: [a.gen.yaml, ../../outside]\n",
    );
    sandbox.write("pkg/k/a.gen.yaml", "a: 1\n");
    let ran = |why: &str| {
        let said = build(&sandbox, &[]);
        assert_eq!(said.code, Some(0), "{why}: {}", said.stderr);
        said.stderr.contains("kustomization-m-0")
    };
    assert!(ran("the first"));
    assert!(!ran("nothing changed"));
    sandbox.write("pkg/k/a.gen.yaml", "a: 2\n");
    assert!(ran("an ignored file changed"));
    sandbox.write("outside/o.yaml", "o: 2\n");
    assert!(ran("a file outside changed"));
    assert!(!ran("nothing changed again"));
}

#[test]
fn what_comes_from_the_network_is_never_cached_and_no_login_is_kept() {
    let sandbox = package("k");
    sandbox.write(
        "pkg/k/kustomization.yaml",
        "resources:\n- https://user:hunter2@h.example/x.yaml\n",
    );
    for _ in 0..2 {
        let said = build(&sandbox, &[]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("kustomization-m-0"), "{}", said.stderr);
    }
    for option in ["--offline", "--locked"] {
        let said = build(&sandbox, &[option]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        let place = "k/kustomization.yaml:2:3: ";
        assert!(said.stderr.contains(place), "{}", said.stderr);
        assert!(said.stderr.contains(option), "{}", said.stderr);
        assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    }
    let sandbox = package("https://user:hunter2@h.example/x");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    let mut files = sandbox.cached_files().into_iter();
    let kept = files.find(|(_, bytes)| bytes.windows(7).any(|part| part == b"hunter2"));
    assert_eq!(kept, None);
}

#[test]
fn a_failed_kustomization_blames_no_cache() {
    let sandbox = package("k");
    sandbox.write("pkg/k/kustomization.yaml", "resources: [../../outside]\n");
    sandbox.write("bin/kustomize", "#!/bin/sh\necho boom >&2\nexit 1\n");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("boom"), "{}", said.stderr);
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
}

#[test]
fn every_command_builds_a_kustomization_confined_and_without_settings_of_the_user() {
    let sandbox = package("k");
    sandbox.write("pkg/k/kustomization.yaml", "resources: []\n");
    let stolen = sandbox.src().join("stolen");
    sandbox.write(
        "bin/kustomize",
        format!(
            "#!/bin/sh\n(echo x > '{}') 2> \"$TMPDIR/log\"\n\
             [ \"$GIT_CONFIG_GLOBAL$GIT_CONFIG_NOSYSTEM\" = /dev/null1 ] || exit 1\n\
             [ -z \"$KUSTOMIZE_PLUGIN_HOME$SECRET\" ] || exit 2\n\
             case $GIT_ALLOW_PROTOCOL in *file*) exit 3;; esac\n\
             printf 'kind: Pod\\nspec: {{containers: [{{image: 127.0.0.1:1/a:1}}]}}\\n'\n",
            stolen.display()
        ),
    );
    settle();
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("bin").display());
    for args in [
        &["dev", "find-images", "pkg", "--offline"][..],
        &[
            "package",
            "create",
            "pkg",
            "--skeleton",
            "-o",
            "oci-layout:lay",
        ],
        &["build", "pkg", "--skip-sbom"],
    ] {
        let mut command = sandbox.command(args);
        // Nothing of an earlier command is used.
        command.env(
            "JACKAL_CACHE",
            sandbox.src().join(args[1]).with_extension("cache"),
        );
        command
            .env("PATH", &path)
            .env("SECRET", "s")
            .env("KUSTOMIZE_PLUGIN_HOME", "p");
        let said = said(&mut command);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.stderr);
        assert!(best(None) == Level::Free || !stolen.exists(), "{args:?}");
        if args[0] == "dev" {
            assert!(said.stdout.contains("- 127.0.0.1:1/a:1"), "{}", said.stdout);
        }
    }
}
