//! Services run beside the command of a task.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use jackal::testing::Level;

use crate::confinement::{level, without_namespaces};
use crate::failures::causes;
use crate::sandbox::{HEAD, Said, Sandbox, said};

/// A pipeline with these tasks.
fn pipeline(sandbox: &Sandbox, tasks: &str) {
    let text = format!("{HEAD}tasks:\n{tasks}");
    sandbox.write("p.yaml", text);
}

fn build(sandbox: &Sandbox, tasks: &str) -> Said {
    pipeline(sandbox, tasks);
    sandbox.run(&["build", "--pipeline", "p.yaml"])
}

/// A script that says when it starts and when it is stopped, in the file `o`.
fn service(name: &str) -> String {
    format!(
        "trap 'echo {name} stopped >> o; exit 0' TERM; echo {name} prints; echo {name} up >> o; \
         while :; do sleep 0.01; done"
    )
}

/// A task whose services show in `o` when they run.
fn two_services(more: &str) -> String {
    let (first, second) = (service("first"), service("second"));
    format!(
        "  a:\n    run: echo command >> o\n    shell: sh\n    inputs: []\n    outputs: [o]\n    \
         tools: [grep, sleep]\n    services:\n      \
         first: {{ run: \"{first}\", ready: {{ run: grep -q first o }} }}\n      \
         second: {{ run: \"{second}\", ready: {{ run: [grep, -q, second, o], timeout: 1m }} }}\n    {more}\n"
    )
}

const IN_ORDER: &str = "first up\nsecond up\ncommand\nsecond stopped\nfirst stopped\n";

#[test]
fn services_start_in_order_and_stop_in_reverse_on_every_level() {
    let sandbox = Sandbox::new();
    let read = || fs::read_to_string(sandbox.src().join("o")).unwrap();
    for mode in ["warn", "none"] {
        let said = build(
            &sandbox,
            &two_services(&format!("sandbox: {mode}\n    env: {{ MODE: {mode} }}")),
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(read(), IN_ORDER, "{mode}");
        assert!(
            said.stderr.contains("first | first prints\n"),
            "{}",
            said.stderr
        );
        fs::remove_file(sandbox.src().join("o")).unwrap();
    }
    if level() != Level::Namespaces {
        return;
    }
    pipeline(&sandbox, &two_services(""));
    let landlock = said(&mut without_namespaces(&sandbox));
    assert_eq!(landlock.code, Some(0), "{}", landlock.stderr);
    assert!(
        landlock.stderr.contains("1 executed"),
        "{}",
        landlock.stderr
    );
    assert_eq!(read(), IN_ORDER);
}

#[test]
fn services_and_probes_are_part_of_the_key_and_their_time_limit_is_not() {
    let sandbox = Sandbox::new();
    let status = |tasks: &str| {
        pipeline(&sandbox, tasks);
        sandbox.build(&["--pipeline", "p.yaml"])[0].1.clone()
    };
    let tasks = two_services("");
    assert_eq!(status(&tasks), "executed");
    assert_eq!(status(&tasks), "cached");
    assert_eq!(
        status(&tasks.replace("timeout: 1m", "timeout: 2m")),
        "cached"
    );
    for (old, new) in [
        ("grep -q first o", "grep -q first up o"),
        ("echo second prints", "echo second prints more"),
        ("      second:", "      other:"),
    ] {
        assert_eq!(status(&tasks.replace(old, new)), "executed", "{old}");
    }
}

#[test]
fn ports_are_those_of_the_tasks_own_network() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let program = Path::new(env!("CARGO_BIN_EXE_jackal"));
    let folder = program.parent().unwrap().display();
    // Here, the port is in use.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = |name: &str, ready: &str| {
        format!(
            "  {name}:\n    run: [jackal, package, list-tags, 'oci://127.0.0.1:{port}/none']\n    \
             inputs: []\n    tools: [jackal]\n    services:\n      \
             hub: {{ run: [jackal, dev, registry, --listen, '127.0.0.1:{port}', --dir, hub], ready: {ready} }}\n"
        )
    };
    let tasks = [
        task(
            "http",
            &format!("{{ http: 'http://localhost:{port}/v2/' }}"),
        ),
        task("tcp", &format!("{{ tcp: {port} }}")),
    ];
    pipeline(&sandbox, &tasks.concat());
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml", "--keep-going"]);
    let said = said(command.env("PATH", format!("{folder}:/usr/bin:/bin")));
    // Each registry is empty, and answers.
    let answers = said.stderr.matches("no such repository").count();
    assert!(answers >= 2, "{}", said.stderr);
    for not in ["before the command", "not ready", "in use"] {
        assert!(!said.stderr.contains(not), "{}", said.stderr);
    }
}

#[test]
fn a_service_that_is_not_ready_fails_its_task_with_its_end() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = |name: &str, service: &str| {
        format!(
            "  {name}:\n    run: echo never\n    shell: sh\n    inputs: []\n    tools: [sleep]\n    \
             sandbox: none\n    services:\n      db: {service}\n"
        )
    };
    let long =
        "{ run: 'for n in 1 2 3 4 5; do echo line $n; done; exit 3', ready: { run: 'false' } }";
    let tasks = [
        task("a-ends", long),
        task("b-forks", "{ run: 'sleep 100 &', ready: { run: 'false' } }"),
        task(
            "c-late",
            "{ run: 'sleep 100', ready: { run: 'echo not yet; exit 1', timeout: 1s } }",
        ),
        task(
            "d-taken",
            &format!("{{ run: 'sleep 100', ready: {{ tcp: {port} }} }}"),
        ),
        task("e-absent", "{ run: [./none], ready: { run: 'false' } }"),
    ];
    let found = causes(&sandbox, &tasks.concat());
    let of = |task: &str| -> Vec<&str> {
        let own = found.iter().filter(|(name, _)| name == task);
        own.map(|(_, line)| line.as_str()).collect()
    };
    assert_eq!(
        of("a-ends"),
        [
            "service; the service `db` exited with code 3 before the command started; its log ends \
          with `line 3`, `line 4`, `line 5`; correct its command in p.yaml:12:18"
        ]
    );
    assert_eq!(
        of("b-forks"),
        [
            "service; the service `db` exited with code 0 before the command started; let its \
          command in p.yaml:20:18 stay in the foreground: a service runs until it is stopped"
        ]
    );
    assert_eq!(
        of("c-late"),
        [
            "service; the service `db` was not ready within 1s; its log ends with `not yet`; \
          correct its `ready` in p.yaml:28:38, or raise the `timeout` there"
        ]
    );
    assert_eq!(
        of("d-taken"),
        [
            "service; the port of the service `db` was in use before it started; end the program \
          that uses it, or choose another port in p.yaml:36:38: without a network of its own, \
          the task uses the ports of this machine"
        ]
    );
    let absent = of("e-absent");
    assert!(
        absent[0].contains("exited with code 127 before"),
        "{absent:?}"
    );
    assert!(absent[0].contains("cannot start `./none`"), "{absent:?}");
}

#[test]
fn a_service_that_ends_while_the_command_runs_is_reported() {
    let sandbox = Sandbox::new();
    // The number of a process that was not waited for is still in use.
    let command = "echo > go; while kill -0 $(cat pid); do sleep 0.01; done; exit";
    let service = "echo $$ > pid; while [ ! -e go ]; do sleep 0.01; done; echo bye; exit 4";
    let task = |name: &str, code: u8| {
        format!(
            "  {name}:\n    run: '{command} {code}'\n    shell: sh\n    inputs: []\n    \
             tools: [cat, sleep]\n    sandbox: {mode}\n    \
             services:\n      db: {{ run: '{service}', ready: {{ run: 'test -s pid' }} }}\n",
            mode = match level() {
                Level::Namespaces => "warn",
                _ => "none",
            }
        )
    };
    let said = build(&sandbox, &task("passes", 0));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let text = "the service `db` exited with code 4 while the command ran; its log ends with `bye`";
    assert!(said.stderr.contains(text), "{}", said.stderr);
    assert!(said.stderr.contains("in p.yaml:12:18"), "{}", said.stderr);
    let found = causes(&sandbox, &task("fails", 7));
    assert!(found[0].1.contains(text), "{found:?}");
}

#[test]
fn a_timeout_ends_services_that_are_not_ready() {
    let sandbox = Sandbox::new();
    let found = causes(
        &sandbox,
        "  a:\n    run: echo never\n    shell: sh\n    inputs: []\n    tools: [sleep]\n    \
         timeout: 1s\n    grace: 1s\n    \
         services:\n      db: { run: exec sleep 1234, ready: { run: 'false' } }\n",
    );
    let kinds: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
    assert!(kinds[0].contains("`sleep 1234` (used"), "{kinds:?}");
    assert!(
        kinds[1].contains("the service `db` was not ready"),
        "{kinds:?}"
    );
}

#[test]
fn of_a_long_output_the_beginning_and_the_end_are_in_the_log() {
    let sandbox = Sandbox::new();
    let script = "echo begin; n=0; while [ $n -lt 30000 ]; do echo 0123456789012345678901234567890123456789; \
                  n=$((n+1)); done; echo end; exit 1";
    let said = build(
        &sandbox,
        &format!(
            "  a:\n    run: echo never\n    shell: sh\n    inputs: []\n    services:\n      \
             s: {{ run: '{script}', ready: {{ run: 'false' }} }}\n"
        ),
    );
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("s | end\n"));
    assert!(said.stderr.contains(" bytes left out]\n"));
    assert!(said.stderr.contains("`end`"));
}

#[test]
fn mistakes_in_services_are_named_with_their_place() {
    let sandbox = Sandbox::new();
    let said = build(
        &sandbox,
        "  a:\n    run: [x]\n    inputs: []\n    matrix: { port: [none] }\n    services:\n      \
         'a b': { run: [x], ready: { tcp: 1 } }\n      \
         script: { run: x y, ready: { run: [x] } }\n      \
         two: { run: [x], ready: { tcp: 1, http: 'http://localhost/' } }\n      \
         none: { run: [x] }\n      \
         port: { run: [x], ready: { tcp: 70000 } }\n      \
         far: { run: [x], ready: { http: 'http://example.com/' } }\n      \
         empty: { ready: { tcp: 1 }, wait: 1s }\n",
    );
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for text in [
        "p.yaml:10:14: `a b` is not a name of a service",
        "p.yaml:11:22: a script needs a shell",
        "p.yaml:12:31: `ready` needs exactly one of `tcp`, `http` and `run`",
        "p.yaml:13:13: the service `none` has no `ready`",
        "p.yaml:14:39: `tcp` is not a number from 1 to 65535",
        "p.yaml:15:39: `http` is not an http:// URL of this machine",
        "`run` is missing",
        "unknown key `wait` in the service",
    ] {
        assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
    }
    let said = build(
        &sandbox,
        "  a:\n    run: [x]\n    inputs: []\n    matrix: { port: [none] }\n    services:\n      \
         s: { run: [x], ready: { tcp: '${{ matrix.port }}' } }\n",
    );
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let text = "`services.s.ready.tcp` of the task `a[port=none]` is `none`, expected a number";
    assert!(said.stderr.contains(text), "{}", said.stderr);
    assert!(said.stderr.contains("p.yaml:10:36"), "{}", said.stderr);
}
