//! What a command is started with, and that nothing of it outlives this program.

use std::fs;
use std::time::{Duration, Instant};

use crate::sandbox::{HEAD, Sandbox};

fn task(sandbox: &Sandbox, script: &str) {
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  t: {{ run: [sh, -c, '{script}'], \
             inputs: [], outputs: [o], tools: [sh, sleep, mkdir, stat], sandbox: none }}\n"
        ),
    );
}

#[test]
fn a_command_has_one_umask_and_no_terminal() {
    let sandbox = Sandbox::new();
    task(
        &sandbox,
        "(echo > /dev/tty) 2> /dev/null && echo tty > o || { mkdir d; stat -c %a d > o; }",
    );
    let mut shell = std::process::Command::new("sh");
    let program = sandbox.command(&[]).get_program().to_owned();
    let run = "umask 077; exec \"$0\" build --pipeline p.yaml";
    shell
        .args(["-c", run])
        .arg(program)
        .current_dir(sandbox.src());
    shell.env("JACKAL_CACHE", sandbox.cache());
    let said = crate::sandbox::said(&mut shell);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        fs::read_to_string(sandbox.src().join("o")).unwrap(),
        "755\n"
    );
}

#[test]
fn staged_files_have_one_time_and_what_is_dropped_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("in/f", "1");
    std::os::unix::fs::symlink("f", sandbox.src().join("in/l")).unwrap();
    sandbox.pipeline(
        "tasks:\n  t:\n    \
         run: [sh, -c, 'stat -c %Y in in/f in/l > o; mkdir d; echo > d/left; echo > more']\n    \
         inputs: [in/]\n    outputs: [o]\n    tools: [sh, stat, mkdir]\n",
    );
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let times = fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert_eq!(times, "315532800\n".repeat(3));
    let named = "[`d/left` (and 1 more) was made outside of `outputs` and dropped]";
    assert!(said.stderr.contains(named), "{}", said.stderr);
}

#[test]
fn a_killed_build_leaves_no_command() {
    let sandbox = Sandbox::new();
    let note = sandbox.src().join("pid");
    let script = format!(
        "sh -c \"echo \\$\\$ > {}; sleep 600\" & wait",
        note.display()
    );
    task(&sandbox, &script);
    let mut child = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let mut child = child.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let pid = loop {
        let text = fs::read_to_string(&note).unwrap_or_default();
        if text.ends_with('\n') {
            break text.trim().to_owned();
        }
        assert!(Instant::now() < end, "the command did not begin");
        std::thread::yield_now();
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z") && !stat.contains(") X")
    };
    while lives() {
        assert!(Instant::now() < end, "{pid} still lives");
        std::thread::yield_now();
    }
}
