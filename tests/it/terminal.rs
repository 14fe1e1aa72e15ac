//! What a user sees on a terminal: the live view, colours, tasks that run there, and
//! `jackal` alone.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::sandbox::{Sandbox, said};

/// Everything that a program prints on a terminal of 80 x 24, and its exit code. Each
/// time that a text is printed after what was typed before, the keys beside it are typed.
pub fn on_terminal(command: &mut Command, steps: &[(&str, &str)]) -> (String, Option<i32>) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let own = openpt(flags).unwrap();
    grantpt(&own).unwrap();
    unlockpt(&own).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&own, size).unwrap();
    let other = File::from(ioctl_tiocgptpeer(&own, flags).unwrap());
    let stream = || Stdio::from(other.try_clone().unwrap());
    command.stdin(stream()).stdout(stream()).stderr(stream());
    let mut child = command.spawn().unwrap();
    // Its copies of the terminal would keep it open.
    command.stdin(Stdio::null());
    command.stdout(Stdio::null());
    command.stderr(Stdio::null());
    drop(other);
    let mut terminal = File::from(own);
    let mut printed = Vec::new();
    let (mut steps, mut seen) = (steps.iter().peekable(), 0);
    let mut buffer = [0; 4096];
    // It fails when the program has closed its end.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        printed.extend(&buffer[..count]);
        if let Some((text, keys)) = steps.peek()
            && String::from_utf8_lossy(&printed[seen..]).contains(text)
        {
            terminal.write_all(keys.as_bytes()).unwrap();
            seen = printed.len();
            steps.next();
        }
    }
    let status = child.wait().unwrap();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    (printed, status.code())
}

fn pipeline(tasks: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    let text = format!("kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n{tasks}");
    sandbox.write("jackal.pipeline.yaml", text);
    sandbox
}

#[test]
fn the_live_view_shows_what_runs_and_leaves_one_line_for_each_task() {
    // It ends once the view has shown its line, which the test then answers.
    let sandbox = pipeline(
        "  slow: { run: [sh, -c, 'printf \"\\033[2J\\033]0;t\\007working\\n\"; until test -e /dev/shm/x -o $((n+=1)) -gt 20; do sleep 0.1; done'], inputs: [], tools: [sh, sleep] }\n  \
           quick: { run: [sh, -c, 'echo hello'], inputs: [], tools: [sh] }\n  \
           bad: { run: [sh, -c, 'echo oops; exit 3'], inputs: [], tools: [sh], dependsOn: [slow, quick] }\n",
    );
    let (printed, code) = on_terminal(&mut sandbox.command(&["build"]), &[]);
    assert_eq!(code, Some(1), "{printed}");
    let begin = "\u{1b}[?2026h";
    assert!(printed.contains(begin), "{printed}");
    for (text, count) in [
        ("executed\u{1b}[0m slow (", 1),
        ("executed\u{1b}[0m quick (", 1),
        ("FAILED  \u{1b}[0m bad (", 1),
        ("  | hello\r\n", 1),
        // At once, and again at the end.
        ("  | oops\r\n", 2),
        ("error:\u{1b}[0m task `bad`", 1),
    ] {
        assert_eq!(printed.matches(text).count(), count, "{text}: {printed}");
    }
    assert!(printed.contains("/3] "), "{printed}");
    assert!(printed.contains("working"), "{printed}");
    for steered in ["\u{1b}[2J", "\u{1b}]0;", "\u{7}"] {
        assert!(!printed.contains(steered), "{printed}");
    }
    // The next view knows how long the tasks took.
    let plain = |variable: (&str, &str)| {
        let mut command = sandbox.command(&["build", "--force"]);
        let printed = on_terminal(command.env(variable.0, variable.1), &[]).0;
        assert!(printed.contains("executed"), "{printed}");
        printed
    };
    assert!(plain(("NO_COLOR", "1")).contains("executed slow ("));
    assert!(plain(("CLICOLOR", "0")).contains("executed slow ("));
    let dumb = plain(("TERM", "dumb"));
    assert!(!dumb.contains('\u{1b}'), "{dumb}");
    let live = plain(("COLUMNS", ""));
    assert!(live.contains(" left"), "{live}");
}

/// Whether colours and the live view are on a terminal.
fn looks(command: &mut Command) -> (bool, bool) {
    let (printed, code) = on_terminal(command, &[]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("error:"), "{printed}");
    let colours = printed.contains("error:\u{1b}[0m");
    (colours, printed.contains("\u{1b}[?2026h"))
}

#[test]
fn colours_and_the_live_view_are_turned_off_by_flag_variable_and_file() {
    let sandbox = pipeline("  bad: { run: [sh, -c, 'exit 3'], inputs: [], tools: [sh] }\n");
    let build = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = sandbox.command(&[&["build"], args].concat());
        looks(command.envs(variables.iter().copied()))
    };
    assert_eq!(build(&[], &[]), (true, true));
    assert_eq!(build(&["--no-color"], &[]), (false, true));
    assert_eq!(build(&["--no-progress"], &[]), (true, false));
    assert_eq!(build(&["--no-color", "--no-progress"], &[]), (false, false));
    assert_eq!(build(&[], &[("JACKAL_NO_COLOR", "true")]), (false, true));
    assert_eq!(build(&[], &[("JACKAL_NO_PROGRESS", "1")]), (true, false));
    let force = ("CLICOLOR_FORCE", "1");
    assert_eq!(build(&["--no-color"], &[force]), (false, true));
    // Before the command, too.
    let mut command = sandbox.command(&["--no-color", "--no-progress", "build"]);
    assert_eq!(looks(&mut command), (false, false));

    sandbox.write(
        "jackal-config.toml",
        "no_color = true\nno_progress = true\n",
    );
    assert_eq!(build(&[], &[]), (false, false));
    assert_eq!(build(&[], &[("JACKAL_NO_COLOR", "false")]), (true, false));
    sandbox.write("jackal-config.toml", "no_progress = false\n");
    assert_eq!(build(&[], &[]), (true, true));
    // What the user likes counts beside the file of a checkout.
    sandbox.write("home/.jackal/jackal-config.yaml", "no_color: true\n");
    let mut command = sandbox.command(&["build"]);
    command.env("HOME", sandbox.src().join("home"));
    assert_eq!(looks(&mut command), (false, true));
}

#[test]
fn colours_are_turned_off_where_no_other_setting_counts() {
    let sandbox = Sandbox::new();
    let red = |args: &[&str]| {
        let mut command = sandbox.command(args);
        let said = said(command.env("CLICOLOR_FORCE", "1"));
        assert!(said.stderr.contains("error:"), "{}", said.stderr);
        assert!(!said.stderr.contains("reading"), "{}", said.stderr);
        said.stderr.contains('\u{1b}')
    };
    let unknown = ["explain", "no-such-code"];
    assert!(red(&unknown));
    assert!(red(&["explain", "--bad"]));
    assert!(!red(&["explain", "--bad", "--no-color"]));
    sandbox.write("jackal-config.toml", "no_color = true\n");
    assert!(!red(&unknown));
    // A mistake in the file is reported by commands that it concerns.
    sandbox.write("jackal-config.toml", "no_color = true\nbad = 1\n");
    assert!(red(&unknown));
}

#[test]
fn each_form_of_progress_is_for_its_reader() {
    let sandbox = pipeline(
        "  a: { run: [sh, -c, 'echo hello'], inputs: [], tools: [sh] }\n  \
           b: { run: [sh, -c, 'exit 3'], inputs: [], tools: [sh], dependsOn: [a], if: \"params.fail == 'yes'\" }\n\
         params: { fail: { type: string, default: 'no' } }\n",
    );
    let run = |args: &[&str]| sandbox.run(&[&["build"], args].concat()).stderr;
    let json = run(&["--progress", "json"]);
    for line in json.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{json}"
        );
    }
    assert!(json.contains("\"event\":\"finished\""), "{json}");
    assert_eq!(run(&["-q"]), "");
    let verbose = run(&["-v"]);
    assert!(verbose.contains("cached   a: "), "{verbose}");
    assert!(
        verbose.contains("skipped  b: its condition is false"),
        "{verbose}"
    );
    let none = run(&["--progress", "none", "--force"]);
    assert!(none.starts_with("1 executed, "), "{none}");
    let failed = run(&["-q", "--param", "fail=yes"]);
    assert!(failed.starts_with("error: task `b`"), "{failed}");
    let both = sandbox.run(&["build", "-q", "-v"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_replayed_log_is_what_was_shown_live_with_and_without_colours() {
    let sandbox = pipeline(
        "  t:\n    run: [sh, -c, 'printf \"\\033[31mred\\033[0m\\033[2J\\n10%%\\r20%%\\n\"; echo to-stderr >&2; echo $TOKEN']\n    \
             inputs: []\n    tools: [sh]\n    cache: { allow: [secrets] }\n    secrets: { TOKEN: { env: TOKEN } }\n",
    );
    let build = |args: &[&str], variable: &str| {
        let mut command = sandbox.command(&[&["build"], args].concat());
        command.env("TOKEN", "hunter2-hunter2").env(variable, "1");
        said(&mut command).stderr
    };
    let block = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("  | "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for (variable, red) in [
        ("NO_COLOR", "red"),
        ("CLICOLOR_FORCE", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m"),
    ] {
        let live = build(&["--force"], variable);
        let replayed = build(&["--logs", "full"], variable);
        assert!(replayed.contains(" 1 cached"), "{replayed}");
        assert_eq!(block(&live), block(&replayed));
        let mut lines = block(&live);
        lines.sort();
        let mut expected = vec![
            format!("  | {red}"),
            "  | 20%".to_owned(),
            "  | to-stderr".to_owned(),
            "  | ***".to_owned(),
        ];
        expected.sort();
        assert_eq!(lines, expected);
    }
    let files = sandbox.cached_files();
    let secret = b"hunter2-hunter2";
    let found = files
        .iter()
        .find(|(_, bytes)| bytes.windows(secret.len()).any(|part| part == secret));
    assert!(found.is_none(), "{:?}", found.map(|(path, _)| path));
}

#[test]
fn a_program_runs_on_the_terminal_with_its_arguments_and_exit_code() {
    let sandbox = pipeline(
        "  first: { run: 'echo made > m', shell: sh, inputs: [], outputs: [m] }\n  \
           ask: { run: 'cat m; test -t 0 && echo a-terminal; while read x; do echo \"got $x $1\"; test $x = end && exit 7; done; exit 0', shell: sh, inputs: ['task:first'], tools: [cat] }\n  \
           serve: { run: [sh, -c, 'trap \"echo interrupted; exit 5\" INT; echo ready; while :; do sleep 1; done'], inputs: [], tools: [sh, sleep] }\n",
    );
    let mut command = sandbox.command(&["run", "ask", "--", "first", "second"]);
    let steps = [("a-terminal\r\n", "one\r"), ("got one first\r\n", "end\r")];
    let (printed, code) = on_terminal(&mut command, &steps);
    assert_eq!(code, Some(7), "{printed}");
    assert!(printed.contains("made\r\n"), "{printed}");
    assert!(printed.contains("got end first\r\n"), "{printed}");
    let steps = [("ready\r\n", "\x03")];
    let (printed, code) = on_terminal(&mut sandbox.command(&["run", ":serve"]), &steps);
    assert_eq!(code, Some(5), "{printed}");
    assert!(printed.contains("interrupted\r\n"), "{printed}");
    // Without a terminal, what is read and printed is as it is.
    let mut command = sandbox.command(&["run", "ask"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a\nb\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "made\na-terminal\ngot a \ngot b \n");
    let wrong = sandbox.run(&["run", "nothing"]);
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
}

#[test]
fn alone_the_program_says_what_can_be_done_here() {
    let sandbox = Sandbox::new();
    let empty = sandbox.run(&[]);
    assert_eq!((empty.code, empty.stderr.as_str()), (Some(0), ""));
    assert!(empty.stdout.contains("jackal init"), "{}", empty.stdout);
    sandbox.package();
    let package = sandbox.run(&[]);
    assert!(
        package.stdout.contains("packages:\n  jackal.yaml\n"),
        "{}",
        package.stdout
    );
    assert!(
        package.stdout.contains("jackal build --watch"),
        "{}",
        package.stdout
    );
}
