//! `jackal build --shell` opens a shell where a task would run.

use std::fs;

use crate::sandbox::{Sandbox, said};
use crate::terminal::on_terminal;

/// What a user sees who types into the shell of `task`: each time that a text is printed
/// after what was typed before, the keys beside it.
fn typed(sandbox: &Sandbox, task: &str, steps: &[(&str, &str)]) -> String {
    let (printed, code) = printed_by(sandbox, task, steps);
    assert_eq!(code, Some(0), "{printed}");
    printed
}

/// The same, and the exit code.
fn printed_by(sandbox: &Sandbox, task: &str, steps: &[(&str, &str)]) -> (String, Option<i32>) {
    let args = ["build", "--pipeline", "p.yaml", "--shell", task];
    on_terminal(&mut sandbox.command(&args), steps)
}

#[test]
fn a_shell_has_the_inputs_variables_and_terminal_of_its_task() {
    let sandbox = Sandbox::new();
    sandbox.write("in", "input\n");
    sandbox.write("undeclared", "x\n");
    sandbox.pipeline(
        "tasks:\n  \
         first: { run: 'echo before > made', shell: sh, inputs: [], outputs: [made] }\n  \
         second:\n    run: 'cat in made > out'\n    shell: sh\n    tools: [cat, ls, sh, sleep]\n    \
         inputs: [in, 'task:first']\n    outputs: [out]\n    env: { SHOWN: yes-it-is }\n  \
         free: { run: [ls], inputs: [], sandbox: none }\n",
    );
    let steps = [("(free) $ ", "set -o | grep monitor; echo rea''dy; exit\r")];
    let printed = typed(&sandbox, "free", &steps);
    assert!(printed.contains("ready\r\n"), "{printed}");
    for cached in [false, true] {
        if cached {
            let built = sandbox.run(&["build", "--pipeline", "p.yaml"]);
            assert_eq!(built.code, Some(0), "{}", built.stderr);
        }
        let first = "cat in made; ls; echo $SHOWN; test -t 0 && echo is-a-tty; \
                     sh -c \"echo rea''dy; exec sleep 100\"\r";
        let steps = [
            ("(second) $ ", first),
            ("ready\r\n", "\x03"),
            ("(second) $ ", "echo after-$?; exit 3\r"),
        ];
        let printed = typed(&sandbox, "second", &steps);
        for text in [
            "the task runs: ",
            "cat in made > out",
            "input\r\n",
            "before\r\n",
            "yes-it-is\r\n",
            "is-a-tty\r\n",
            "after-130\r\n",
        ] {
            assert!(printed.contains(text), "{text}: {printed}");
        }
        assert!(!printed.contains("undeclared"), "{printed}");
        assert!(!printed.contains("no job control"), "{printed}");
    }
}

#[test]
fn services_run_beside_a_shell() {
    let sandbox = Sandbox::new();
    sandbox.pipeline(
        "tasks:\n  \
         a:\n    run: 'true'\n    shell: sh\n    tools: [sleep, cat]\n    inputs: []\n    services:\n      \
         s: { run: 'echo hello; echo it-is-up > up; exec sleep 1000', ready: { run: test -s up } }\n  \
         b:\n    run: 'true'\n    shell: sh\n    inputs: []\n    services:\n      \
         s: { run: exit 5, ready: { run: 'false' } }\n",
    );
    let printed = typed(&sandbox, "a", &[("(a) $ ", "cat up; exit\r")]);
    for text in ["s | hello\r\n", "it-is-up\r\n"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    let printed = printed_by(&sandbox, "b", &[]).0;
    assert!(
        printed.contains("the service `s` exited with code 5"),
        "{printed}"
    );
}

#[test]
fn without_a_terminal_or_a_command_there_is_no_shell() {
    let sandbox = Sandbox::new();
    sandbox.pipeline(
        "tasks:\n  \
         a: { run: [ls], inputs: [] }\n",
    );
    let refused = said(&mut sandbox.command(&["build", "--pipeline", "p.yaml", "--shell", "a"]));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("needs a terminal"),
        "{}",
        refused.stderr
    );
    assert!(fs::read_dir(sandbox.src()).unwrap().count() == 1);
}
