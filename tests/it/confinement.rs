//! Commands can only access what their tasks declare, if the kernel supports it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jackal::testing::supported;

use crate::sandbox::Said;
use crate::sandbox::Sandbox;

/// One task `a` that runs `script`, and a file `undeclared` beside it.
fn build(sandbox: &Sandbox, script: &str, more: &str) -> Said {
    sandbox.write("undeclared", "secret\n");
    sandbox.write(
        "p.yaml",
        format!(
            "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  a:\n    \
             run: [sh, -c, '{script}']\n    inputs: []\n    outputs: [o]\n    {more}\n"
        ),
    );
    sandbox.run(&["build", "--pipeline", "p.yaml"])
}

#[test]
fn a_file_that_is_not_declared_cannot_be_read_by_its_absolute_path() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let script = format!("cat {} > o", path.display());
    let mode = |mode: &str| {
        let more = format!("tools: [sh, cat]\n    sandbox: {mode}");
        build(&sandbox, &script, &more)
    };
    let free = mode("none");
    assert_eq!(free.code, Some(0), "{}", free.stderr);
    let strict = mode("strict");
    assert_ne!(
        strict.code,
        Some(0),
        "the result of `none` is no result here"
    );
    if !supported() {
        assert!(strict.stderr.contains("Landlock"), "{}", strict.stderr);
        return;
    }
    for said in [strict, mode("warn")] {
        let named = format!("it mentions `{}`", path.display());
        assert!(said.stderr.contains(&named), "{}", said.stderr);
        assert!(said.stderr.contains("`inputs`"), "{}", said.stderr);
    }
}

#[test]
fn a_declared_tool_runs_from_any_folder_but_files_beside_it_cannot_be_read() {
    if !supported() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("own/tool", "#!/bin/sh\necho made\n");
    sandbox.write("own/other", "#!/bin/sh\necho other\n");
    for name in ["own/tool", "own/other"] {
        let path = sandbox.src().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("own").display());
    let run = |script: &str| {
        build(
            &sandbox,
            script,
            "tools: [sh, tool, mkdir, mv]\n    sandbox: strict",
        );
        let args = ["build", "--pipeline", "p.yaml"];
        super::sandbox::said(sandbox.command(&args).env("PATH", &path))
    };
    let said = run("mkdir -p d && tool > d/x && mv d/x o && echo > \"$TMPDIR/t\" > /dev/null");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(sandbox.src().join("o")).unwrap(), b"made\n");
    let other = sandbox.src().join("own/other");
    let said = run(&format!("{} > o", other.display()));
    assert_ne!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_command_cannot_write_outside_its_stage() {
    if !supported() {
        return;
    }
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let script = format!("echo changed > {}; echo > o", path.display());
    build(&sandbox, &script, "tools: [sh]");
    assert_eq!(fs::read(&path).unwrap(), b"secret\n");
}
