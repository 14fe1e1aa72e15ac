//! Commands share launchers, parts of their roots and the folders of stages: none sees
//! what another one left.

use std::path::Path;

use jackal::testing::{Level, best};

use crate::sandbox::{HEAD, Sandbox};

/// Runs two commands, each after the other, and returns what the second one says.
fn second(sandbox: &Sandbox, mode: &str, first: &str, second: &str) -> String {
    sandbox.write("first", first);
    sandbox.write("second", second);
    let tools = "[sh, mkdir, chmod, touch, ln, ls, stat, sleep, cat, id, head]";
    let more = format!("tools: {tools}, sandbox: {mode}, outputs: [o]");
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  \
             a: {{ run: [sh, first], inputs: [first], {more} }}\n  \
             b: {{ run: [sh, second], inputs: [second, 'task:a'], workdir: ., {} }}\n",
            more.replace("[o]", "[said]")
        ),
    );
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--jobs", "1"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    std::fs::read_to_string(sandbox.src().join("said")).unwrap()
}

fn modes() -> Vec<&'static str> {
    let program = Path::new(env!("CARGO_BIN_EXE_jackal"));
    match best(Some(program)) {
        Level::Namespaces => vec!["none", "strict"],
        _ => vec!["none"],
    }
}

/// What a command sees of its folders, apart from its inputs.
const LOOK: &str = "for at in \"$HOME\" \"$TMPDIR\" .; do stat -c '%a %h %F' \"$at\"; done > said
ls -A \"$HOME\" \"$TMPDIR\" >> said
find_old() { stat -c %Y \"$HOME\" \"$TMPDIR\"; }
find_old | while read at; do [ \"$at\" -gt 1000000000 ] || echo old; done >> said
";

#[test]
fn what_a_command_leaves_in_its_folders_is_gone_for_the_next_one() {
    for mode in modes() {
        let clean = Sandbox::new();
        let expected = second(&clean, mode, "echo x > o", LOOK);
        for trace in [
            "mkdir -p ~/a/b \"$TMPDIR/c\"; touch ~/a/b/f \"$TMPDIR/.d\"; chmod 500 ~/a/b",
            "chmod 1777 ~",
            "chmod 700 \"$TMPDIR\"",
            "touch -d 1999-01-01 ~ \"$TMPDIR\"",
            "ln -s / ~/root; ln -s ~ \"$TMPDIR/home\"",
            "mkdir left; touch left/f .hidden",
        ] {
            let sandbox = Sandbox::new();
            let found = second(&sandbox, mode, &format!("{trace}\necho x > o"), LOOK);
            let own = |text: &str| {
                // Each sandbox is elsewhere.
                let lines = text.lines().filter(|line| !line.starts_with('/'));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(own(&found), own(&expected), "{mode}: {trace}");
        }
    }
}

#[test]
fn what_a_command_starts_ends_with_it() {
    for mode in modes() {
        let sandbox = Sandbox::new();
        let first = "(trap '' TERM HUP; while :; do echo x >> \"$TMPDIR/alive\"; done) \
                     > /dev/null 2>&1 & echo x > o";
        let look = "one=$(ls -A \"$TMPDIR\"); echo \"[$one]\" > said";
        assert_eq!(second(&sandbox, mode, first, look), "[]\n", "{mode}");
    }
}

#[test]
fn what_roots_share_cannot_be_changed_and_secrets_are_of_one_command() {
    if !modes().contains(&"strict") {
        return;
    }
    let sandbox = Sandbox::new();
    let first = "for at in / /etc /dev /jackal /run /var/tmp /usr; do
  (echo x > $at/left) 2> /dev/null && echo \"wrote $at\" >> o
done
(echo x >> /etc/passwd) 2> /dev/null && echo passwd >> o
echo x > /dev/shm/left; echo x > /tmp/left; echo done >> o";
    let look = "cat o > said; ls -A /dev/shm /tmp /run /var/tmp >> said; ls -A / /jackal >> said";
    let found = second(&sandbox, "strict", first, look);
    assert!(found.starts_with("done\n"), "{found}");
    assert!(
        !found.contains("left") && !found.contains("secrets"),
        "{found}"
    );
}

/// What a command sees of others, and then what it leaves.
const SEEN: &str = r#"{ ls -d /proc/[0-9]*; ls -A /dev/shm /tmp "$HOME" /jackal/work; ulimit -a; ulimit -H -a
cut -d " " -f 5- /proc/self/mountinfo; grep -h "^Cap\|^Pid\|^PPid\|^NSpid" /proc/1/status /proc/self/status
stat -c "%n %a %y" /tmp "$HOME"; cat /proc/net/unix /proc/sysvipc/shm; } > seen
ulimit -n 64; touch /dev/shm/left /tmp/left "$HOME/left" left; chmod 0700 /tmp
sleep 60 & setsid sleep 60 & renice -n 5 1 > left 2>&1; cat seen > o"#;

#[test]
fn a_command_sees_nothing_of_the_one_before_it() {
    if best(Some(Path::new(env!("CARGO_BIN_EXE_jackal")))) != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("script", SEEN);
    let tools = "[sh, ls, cut, grep, stat, cat, touch, sleep, setsid, renice, chmod]";
    let task = |name: &str, needs: &str| {
        format!(
            "  {name}:\n    run: [sh, -c, 'sh script && mv o {name}']\n    inputs: [script]\n    \
             outputs: [{name}]\n    tools: [mv, {}\n    sandbox: strict\n{needs}",
            &tools[1..]
        )
    };
    let tasks = [
        ("a", ""),
        ("b", "    needs: [a]\n"),
        ("c", "    needs: [b]\n"),
    ];
    let tasks = tasks.map(|(name, needs)| task(name, needs)).concat();
    sandbox.write("p.yaml", format!("{HEAD}tasks:\n{tasks}"));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let text = std::fs::read_to_string(sandbox.src().join(name)).unwrap();
        assert!(text.contains("/proc/1\n"), "{text}");
        text
    });
    assert_eq!(a, b);
    assert_eq!(b, c);
}
