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

#[test]
fn a_command_starts_elsewhere_if_what_was_to_start_it_is_killed() {
    let sandbox = Sandbox::new();
    let note = sandbox.src().join("pid");
    let (script, note_path) = ("echo > last", note.display());
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  \
             first: {{ run: [sh, -c, 'echo $PPID > {note_path}; echo > first'], inputs: [], \
             outputs: [first], tools: [sh], sandbox: none }}\n  \
             slow: {{ run: [sh, -c, 'sleep 1; echo > slow'], needs: [first], inputs: [], \
             outputs: [slow], tools: [sh, sleep] }}\n  \
             last: {{ run: [sh, -c, '{script}'], needs: [slow], inputs: [], \
             outputs: [last], tools: [sh], sandbox: none }}\n"
        ),
    );
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let pid: i32 = loop {
        let text = fs::read_to_string(&note).unwrap_or_default();
        if text.ends_with('\n') {
            break text.trim().parse().unwrap();
        }
        assert!(Instant::now() < end, "the command did not begin");
        std::thread::yield_now();
    };
    let signal = |name: &str| {
        let pid = pid.to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([name, &pid]).status().unwrap().success());
    };
    // It waits for `last`, whose plan it will not take.
    std::thread::sleep(Duration::from_millis(400));
    signal("-STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal("-KILL");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(sandbox.src().join("last").exists());
}
