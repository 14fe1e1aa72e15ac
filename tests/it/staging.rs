//! Many inputs are staged once and shown to commands as the lower folder of an overlay.

use std::path::Path;

use jackal::testing::{Level, best};

use crate::sandbox::{HEAD, Sandbox, settle};

/// Whether there is anything to test on this machine.
fn has_overlays() -> bool {
    best(Some(Path::new(env!("CARGO_BIN_EXE_jackal")))) == Level::Namespaces
}

/// A task that runs `script` and reads 600 files, some of them executable or links.
fn pipeline(sandbox: &Sandbox, script: &str, more: &str) {
    sandbox.write("script", script);
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  a:\n    run: [sh, -e, script]\n    \
             tools: [sh, cat, find, sort, stat, ls, mv, rm, mkdir, wc, cmp, ln]\n    \
             inputs: [script, 'in/**']\n    outputs: [o]\n    {more}\n"
        ),
    );
}

fn files(sandbox: &Sandbox) {
    for number in 0..600 {
        sandbox.write(
            &format!("in/d{}/f{number}", number % 7),
            format!("{}", number % 10),
        );
    }
    std::os::unix::fs::symlink("d0/f0", sandbox.src().join("in/link")).unwrap();
}

fn made(sandbox: &Sandbox) -> String {
    settle();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!said.stderr.contains("/f` "), "{}", said.stderr);
    let refused = sandbox.cache().join("v1/bases/refused");
    assert!(!refused.exists(), "an overlay was refused");
    std::fs::read_to_string(sandbox.src().join("o")).unwrap()
}

fn bases(sandbox: &Sandbox) -> usize {
    let kept = std::fs::read_dir(sandbox.cache().join("v1/kept"));
    kept.into_iter().flatten().count()
}

/// Everything about the inputs that a command can see, but inodes and sizes of folders.
const SEE: &str = "find . -printf '%P %y %m %U %T@ %l\\n' | sort > /tmp/o\n\
                   find . -type f -printf '%P %n %s ' -exec cat {} + | wc >> /tmp/o\n\
                   find in -type f -printf '%i\\n' | sort -u | wc -l >> /tmp/o\ncat /tmp/o > o\n";

#[test]
fn a_command_sees_the_same_over_a_base_with_differences_as_in_a_copy() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    pipeline(&sandbox, SEE, "");
    let first = made(&sandbox);
    assert_eq!(bases(&sandbox), 1);
    assert!(
        first.contains("in/d3/f3 f 644 1000 315532800.0000000000 \n"),
        "{first}"
    );
    assert!(
        first.contains("in/d3 d 755 1000 315532800.0000000000 \n"),
        "{first}"
    );
    assert!(first.ends_with("\n600\n"), "{first}");
    let src = sandbox.src().join("in");
    std::fs::remove_file(src.join("d3/f3")).unwrap();
    std::fs::remove_dir_all(src.join("d4")).unwrap();
    sandbox.write("in/d4.txt", "beside");
    sandbox.write("in/new/deep/f", "new");
    sandbox.write("in/d5/f5", "changed");
    std::fs::remove_file(src.join("d6/f6")).unwrap();
    sandbox.write("in/d6/f6/inside", "a folder now");
    std::fs::remove_file(src.join("link")).unwrap();
    std::os::unix::fs::symlink("d0/f7", src.join("link")).unwrap();
    sandbox.write("in/d2/f9", "0");
    // Enough of `d4` stays to be within the part that may differ.
    for number in 0..600 {
        if number % 7 == 4 && number > 40 {
            sandbox.write(&format!("in/d4/f{number}"), format!("{}", number % 10));
        }
    }
    let over = made(&sandbox);
    assert_eq!(bases(&sandbox), 1, "the base serves again");
    pipeline(&sandbox, SEE, "writable: ['.']");
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--force"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let copied = std::fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert_eq!(over, copied);
    assert_ne!(over, first);
}

#[test]
fn what_a_command_writes_to_its_inputs_stays_with_it() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    let script = "cat in/d0/f0 in/d1/f1 > o; ls in >> o\n\
                  echo evil > in/d0/f0; ln in/d1/f1 hard; echo evil >> hard; rm -r in/d2; rm hard\n";
    pipeline(&sandbox, script, "");
    let first = made(&sandbox);
    assert!(first.starts_with("01d0\nd1\nd2\n"), "{first}");
    sandbox.write("in/d3/f3", "changed");
    assert_eq!(made(&sandbox), first);
    assert_eq!(bases(&sandbox), 1);
}

#[test]
fn folders_of_inputs_that_are_writable_can_be_renamed() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    sandbox.write("in/w/x/f", "1");
    let script = "mv -T in/w/x in/w/y; ls in/w > o; mv -T in/w/y in/w/x; stat -c %Y in/d1 >> o; \n";
    pipeline(&sandbox, script, "writable: [in/w]");
    assert_eq!(made(&sandbox), "y\n315532800\n");
}

#[test]
fn another_base_is_made_when_much_differs_and_bases_are_evicted() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    pipeline(&sandbox, "cat in/d0/f70 > o\n", "");
    assert_eq!(made(&sandbox), "0");
    for number in 0..200 {
        sandbox.write(&format!("in/d0/f{}", number * 7), "changed");
    }
    assert_eq!(made(&sandbox), "changed");
    assert_eq!(bases(&sandbox), 2);
    let pruned = sandbox.run(&["cache", "prune", "--max-size", "0B"]);
    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    assert_eq!(bases(&sandbox), 0);
    sandbox.write("in/d0/f70", "once more");
    assert_eq!(made(&sandbox), "once more");
}

#[test]
fn a_program_among_the_inputs_is_started() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    sandbox.write("in/run.sh", "#!/bin/sh\necho ran > o\n");
    let program = sandbox.src().join("in/run.sh");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program, mode).unwrap();
    pipeline(&sandbox, "", "");
    let text = std::fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    sandbox.write("p.yaml", text.replace("[sh, -e, script]", "[in/run.sh]"));
    assert_eq!(made(&sandbox), "ran\n");
}

#[test]
fn inputs_are_copied_where_the_system_refuses_an_overlay() {
    if !has_overlays() {
        return;
    }
    let sandbox = Sandbox::new();
    files(&sandbox);
    pipeline(&sandbox, "cat in/d0/f7 > o\n", "");
    let place = sandbox.src().join("..");
    for folder in ["l", "u", "w", "m"] {
        std::fs::create_dir(place.join(folder)).unwrap();
    }
    // The upper folder of an overlay is in no overlay.
    let script = "mount -t overlay overlay -o userxattr,lowerdir=../l,upperdir=../u,workdir=../w ../m && \
                  JACKAL_CACHE=$PWD/../m/cache \"$@\" && cat ../m/cache/v1/bases/refused";
    let mut command = std::process::Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_jackal"))
        .args(["build", "--pipeline", "p.yaml"])
        .current_dir(sandbox.src())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let said = crate::sandbox::said(&mut command);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let output = std::fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert_eq!(output, "7");
}
