//! `jackal build --watch`: what a change of files starts, ends, and does not concern.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// A running `jackal build --watch`, with what it printed.
struct Watched {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Watched {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["build", "--watch"], args].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Everything up to the line that contains `text`, and that line.
    fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let before = all.len();
            let count = self.lines.read_line(&mut all).unwrap();
            assert!(count > 0, "no `{text}` in:\n{all}");
            if all[before..].contains(text) {
                return all;
            }
        }
    }

    fn idle(&mut self) -> String {
        self.until("waiting for changes")
    }

    /// Ends it as Ctrl-C does.
    fn end(mut self) -> Option<i32> {
        let id = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(id, Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        let _ = self.child.kill();
    }
}

const TASKS: &str = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
    one: { run: [sh, -c, 'cat a/* >one.txt'], inputs: ['a/**'], outputs: [one.txt], tools: [sh, cat] }\n  \
    two: { run: [sh, -c, 'cat b/* >two.txt'], inputs: ['b/**'], outputs: [two.txt], tools: [sh, cat] }\n  \
    all: { run: [sh, -c, 'cat one.txt two.txt >all.txt'], inputs: ['task:one', 'task:two'], outputs: [all.txt], tools: [sh, cat] }\n";

fn workspace() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write("jackal.pipeline.yaml", TASKS);
    sandbox.write("a/f", "a\n");
    sandbox.write("b/f", "b\n");
    sandbox
}

#[test]
fn a_save_builds_what_depends_on_it_and_a_save_without_a_change_nothing() {
    let sandbox = workspace();
    let mut watched = Watched::start(&sandbox, &[]);
    watched.until("press Ctrl-C to stop");
    // Were it to start a build, the lines of that would be before the next ones.
    sandbox.write("a/f", "a\n");
    sandbox.write("unrelated", "x\n");
    sandbox.write("b/f", "changed\n");
    let said = watched.idle();
    assert!(said.contains("changed: `b/f`\n"), "{said}");
    assert!(said.contains("executed two "), "{said}");
    assert!(said.contains("executed all "), "{said}");
    assert!(!said.contains("executed one "), "{said}");
    let all = fs::read_to_string(sandbox.src().join("all.txt")).unwrap();
    assert_eq!(all, "a\nchanged\n");
    // An output is nobody's source.
    fs::remove_file(sandbox.src().join("all.txt")).unwrap();
    sandbox.write("a/new/g", "in a new folder\n");
    let said = watched.until("failed");
    assert!(said.contains("changed: `a/new"), "{said}");
    sandbox.write(
        "jackal.pipeline.yaml",
        TASKS.replace("cat a/*", "cat a/f a/new/*"),
    );
    let said = watched.until("executed all ");
    assert!(said.contains("changed: `jackal.pipeline.yaml`"), "{said}");
    watched.idle();
    assert_eq!(watched.end(), Some(0));
    let all = fs::read_to_string(sandbox.src().join("all.txt")).unwrap();
    assert_eq!(all, "a\nin a new folder\nchanged\n");
}

#[test]
fn new_files_are_sources_also_where_archives_are_written() {
    let sandbox = workspace();
    let mut watched = Watched::start(&sandbox, &["--output", "."]);
    watched.until("press Ctrl-C to stop");
    sandbox.write("jackal-package-x-amd64-1.tar.zst", "an archive\n");
    sandbox.write("a/new", "new\n");
    let said = watched.idle();
    assert!(said.contains("changed: `a/new`\n"), "{said}");
    assert!(said.contains("executed one "), "{said}");
    assert_eq!(watched.end(), Some(0));
}

#[test]
fn a_broken_pipeline_waits_for_the_next_save() {
    let sandbox = workspace();
    sandbox.write("jackal.pipeline.yaml", format!("{TASKS}  x: [\n"));
    let mut watched = Watched::start(&sandbox, &[]);
    let said = watched.until("press Ctrl-C to stop");
    assert!(said.contains("error: jackal.pipeline.yaml:"), "{said}");
    sandbox.write("jackal.pipeline.yaml", TASKS);
    let said = watched.idle();
    assert!(said.contains("executed all "), "{said}");
    sandbox.write(
        "jackal.pipeline.yaml",
        TASKS.replace("task:one", "task:nine"),
    );
    let said = watched.idle();
    assert!(said.contains("nine"), "{said}");
    sandbox.write("jackal.pipeline.yaml", TASKS);
    let said = watched.idle();
    assert!(said.contains("0 executed, 3 cached"), "{said}");
    assert_eq!(watched.end(), Some(0));
    let missing = sandbox.run(&["build", "--watch", "no/such/folder"]);
    assert_eq!(missing.code, Some(4), "{}", missing.stderr);
}

#[test]
fn a_running_task_ends_only_if_its_own_inputs_change() {
    let sandbox = workspace();
    // Each goes on once its file says so, which it sees through a pipe of this test.
    let gate = sandbox.src().join("gate");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &gate,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    let gate = gate.display();
    sandbox.write("jackal.pipeline.yaml", format!(
        "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
         one: {{ run: [sh, -c, 'if grep -q wait a/f; then sleep 1000; fi; cat a/f >one.txt'], inputs: [a/f], outputs: [one.txt], tools: [sh, cat, grep, sleep] }}\n  \
         two: {{ run: [sh, -c, 'if grep -q wait b/f; then cat {gate}; fi >two.txt'], inputs: [b/f], outputs: [two.txt], tools: [sh, cat, grep], sandbox: none }}\n"
    ));
    let events = sandbox.cache().with_file_name("events");
    let mut watched = Watched::start(&sandbox, &["--events", events.to_str().unwrap()]);
    watched.until("press Ctrl-C to stop");
    sandbox.write("a/f", "wait\n");
    sandbox.write("b/f", "wait\n");
    watched.until("changed:");
    // Opening it waits until the task reads.
    let opened = fs::OpenOptions::new()
        .write(true)
        .open(sandbox.src().join("gate"));
    let mut opened = opened.unwrap();
    loop {
        let text = fs::read_to_string(&events).unwrap();
        let started = |task: &str| {
            let line = format!("{{\"event\":\"started\",\"task\":\"{task}\"");
            text.matches(&line).count() == 2
        };
        if started("one") && started("two") {
            break;
        }
        std::thread::yield_now();
    }
    sandbox.write("a/f", "go\n");
    loop {
        let text = fs::read_to_string(&events).unwrap();
        if text.contains("its inputs changed") {
            break;
        }
        std::thread::yield_now();
    }
    std::io::Write::write_all(&mut opened, b"finished\n").unwrap();
    drop(opened);
    let said = watched.idle();
    assert!(said.contains("executed two "), "{said}");
    assert!(
        said.contains("1 executed, 0 cached, 1 skipped, 0 failed"),
        "{said}"
    );
    let said = watched.idle();
    assert!(said.contains("executed one "), "{said}");
    assert!(!said.contains("executed two "), "{said}");
    assert_eq!(watched.end(), Some(0));
    let read = |file: &str| fs::read_to_string(sandbox.src().join(file)).unwrap();
    assert_eq!(
        (read("one.txt"), read("two.txt")),
        ("go\n".into(), "finished\n".into())
    );
}

#[test]
fn a_failure_is_shown_and_the_save_that_mends_it_is_built() {
    let sandbox = workspace();
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
         t: { run: [sh, -c, 'grep good a/f'], inputs: ['a/**'], tools: [sh, grep] }\n",
    );
    let mut watched = Watched::start(&sandbox, &[]);
    let said = watched.until("press Ctrl-C to stop");
    assert!(said.contains("FAILED   t "), "{said}");
    assert!(said.contains("error: task `t`"), "{said}");
    sandbox.write("b/f", "no input of it\n");
    sandbox.write("a/f", "good\n");
    let said = watched.idle();
    assert!(said.contains("changed: `a/f`\n"), "{said}");
    assert!(said.contains("executed t "), "{said}");
    fs::remove_file(sandbox.src().join("a/f")).unwrap();
    let said = watched.idle();
    assert!(said.contains("matches nothing"), "{said}");
    sandbox.write("a/f", "good again\n");
    let said = watched.idle();
    assert!(said.contains("executed t "), "{said}");
    assert_eq!(watched.end(), Some(0));
}

#[test]
fn the_source_of_a_component_and_the_target_of_its_link_are_watched() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write("pkg/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: { name: demo, version: 1.0.0, architecture: amd64 }\n\
         components:\n- name: c\n  files: [{ source: link, target: /f }, { source: site, target: /s }]\n");
    sandbox.write("shared/real", "one\n");
    sandbox.write("pkg/site/index", "one\n");
    std::os::unix::fs::symlink("../shared/real", sandbox.src().join("pkg/link")).unwrap();
    let mut watched = Watched::start(&sandbox, &[]);
    watched.until("press Ctrl-C to stop");
    for (file, text) in [("shared/real", "two\n"), ("pkg/site/deep/new", "x\n")] {
        sandbox.write(file, text);
        let said = watched.idle();
        assert!(said.contains("executed component:c "), "{file}: {said}");
        assert!(said.contains("executed package "), "{file}: {said}");
    }
    assert_eq!(watched.end(), Some(0));
}
