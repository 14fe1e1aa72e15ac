//! Commands that run while a component is built: `actions.onCreate`.

use crate::sandbox::{Sandbox, settle};

/// A package with these components.
fn package(sandbox: &Sandbox, components: &str) {
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.0.0\"\n  \
             architecture: amd64\ncomponents:\n{components}"
        ),
    );
    settle();
}

fn text(sandbox: &Sandbox, path: &str) -> String {
    std::fs::read_to_string(sandbox.src().join(path)).unwrap_or_default()
}

#[test]
fn files_made_by_an_action_are_packed_and_each_build_runs_it() {
    let sandbox = Sandbox::new();
    sandbox.write("sub/in", "");
    package(
        &sandbox,
        "- name: web\n  files:\n  - source: made.txt\n    target: /made.txt\n  actions:\n    \
         onCreate:\n      defaults:\n        env: [\"WHO=set\", \"OWN=set\"]\n      before:\n      \
         - cmd: echo \"$WHO $OWN\" > made.txt && echo before >> log\n        env: [\"OWN=mine\"]\n      \
         - cmd: echo in $(basename \"$PWD\") >> ../log\n        dir: sub\n      after:\n      \
         - cmd: echo after >> log\n      onSuccess:\n      - cmd: echo success >> log\n      \
         onFailure:\n      - cmd: echo failure >> log\n",
    );
    let executed = [
        "component:web",
        "component:web:after",
        "component:web:before",
        "package",
    ];
    let first: Vec<String> = sandbox.executed();
    for step in executed {
        assert!(first.contains(&step.to_owned()), "{first:?}");
    }
    let once = "before\nin sub\nafter\nsuccess\n";
    assert_eq!(text(&sandbox, "log"), once);
    assert_eq!(text(&sandbox, "made.txt"), "set mine\n");
    settle();
    let again = sandbox.executed();
    assert_eq!(again, ["component:web:after", "component:web:before"]);
    assert_eq!(text(&sandbox, "log"), once.repeat(2));
    let said = sandbox.run(&["build", "--offline"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(text(&sandbox, "log"), once.repeat(3));
}

#[test]
fn a_failed_component_runs_only_its_own_failure_commands() {
    let sandbox = Sandbox::new();
    package(
        &sandbox,
        "- name: one\n  actions:\n    onCreate:\n      before:\n      - cmd: echo one >> log; \
         echo shown; exit 3\n        maxRetries: 2\n      after:\n      - cmd: echo after >> log\n      \
         onFailure:\n      - cmd: echo cleanup >> log; false\n      - cmd: echo more >> log\n\
         - name: two\n  actions:\n    onCreate:\n      before:\n      - cmd: echo two >> log\n      \
         onFailure:\n      - cmd: echo other >> log\n",
    );
    for flags in [&["build"][..], &["build", "--keep-going"]] {
        let said = sandbox.run(flags);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(
            said.stderr.contains("failed after 2 retries"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains("shown"), "{}", said.stderr);
        assert_eq!(
            text(&sandbox, "log"),
            "one\none\none\ncleanup\nmore\n",
            "{flags:?}"
        );
        std::fs::remove_file(sandbox.src().join("log")).unwrap();
    }
}

#[test]
fn components_after_one_with_actions_wait_for_its_last_one() {
    let sandbox = Sandbox::new();
    sandbox.write("made.txt", "old");
    let file = "  files:\n  - source: made.txt\n    target: /made.txt\n";
    package(
        &sandbox,
        &format!(
            "- name: first\n{file}- name: second\n  actions:\n    onCreate:\n      before:\n      \
             - cmd: echo new > made.txt\n      onSuccess:\n      - cmd: echo last > made.txt\n\
             - name: third\n{file}"
        ),
    );
    sandbox.build(&[]);
    let said = sandbox.run(&[
        "package",
        "extract",
        "dist/jackal-package-demo-amd64-1.0.0.tar.zst",
        "-o",
        "out",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let packed = |component: &str| {
        let tar = sandbox
            .src()
            .join(format!("out/components/{component}.tar"));
        let bytes = std::fs::read(tar).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert!(packed("first").contains("old"));
    assert!(packed("third").contains("last"));
}

#[test]
fn an_action_stops_at_its_timeout_and_a_muted_one_prints_nothing() {
    let sandbox = Sandbox::new();
    package(
        &sandbox,
        "- name: web\n  actions:\n    onCreate:\n      defaults:\n        mute: true\n      \
         before:\n      - cmd: echo quiet\n      - cmd: echo loud; sleep 600\n        mute: false\n        \
         maxTotalSeconds: 1\n        maxRetries: 5\n        description: wait for ever\n",
    );
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(6), "{}", said.stderr);
    let expected = "command \"wait for ever\" timed out after 1 seconds";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    let heard = said.stderr.contains("loud") && !said.stderr.contains("quiet");
    assert!(heard, "{}", said.stderr);
}

#[test]
fn keys_of_actions_that_only_apply_to_deploying_are_refused() {
    let sandbox = Sandbox::new();
    for (action, told) in [
        (
            "{cmd: x, setVariables: [{name: A}]}",
            "only be set in `onDeploy`",
        ),
        ("{cmd: x, template: true}", "`template`"),
    ] {
        let before = format!("      before:\n      - {action}\n");
        package(
            &sandbox,
            &format!("- name: web\n  actions:\n    onCreate:\n{before}"),
        );
        let said = sandbox.run(&["build"]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(told), "{}", said.stderr);
    }
}

#[test]
fn an_action_waits_for_an_address_or_a_resource_and_reports_a_timeout() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A probe that only connects sends nothing.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 204 None\r\nConnection: close\r\n\r\n");
        }
    });
    let sandbox = Sandbox::new();
    let program = "#!/bin/sh\necho \"$@\" >> kubectl.log\necho pod/x\n";
    sandbox.write("bin/kubectl", program);
    let kubectl = sandbox.src().join("bin/kubectl");
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("bin").display());
    let run = |waits: &[String]| {
        let list: String = waits
            .iter()
            .map(|wait| format!("      - {{wait: {wait}, maxTotalSeconds: 1}}\n"))
            .collect();
        package(
            &sandbox,
            &format!("- name: web\n  actions:\n    onCreate:\n      before:\n{list}"),
        );
        let mut command = sandbox.command(&["build"]);
        let out = command.env("PATH", &path).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        (out.status.code(), said)
    };
    let network = |protocol: &str, rest: &str| {
        format!("{{network: {{protocol: {protocol}, address: '{address}'{rest}}}}}")
    };
    let cluster =
        |rest: &str| format!("{{cluster: {{kind: pod, name: app=x, namespace: n{rest}}}}}");
    let (code, said) = run(&[
        network("tcp", ""),
        network("http", ", code: 204"),
        cluster(""),
        cluster(", condition: Ready"),
    ]);
    assert_eq!(code, Some(0), "{said}");
    let asked = text(&sandbox, "kubectl.log");
    let asked: Vec<&str> = asked.lines().collect();
    assert_eq!(asked[0], "get -o name pod -l app=x -n n");
    assert!(
        asked[2].starts_with("wait --for condition=Ready --timeout="),
        "{asked:?}"
    );
    // Without a code, 200 is expected.
    let (code, said) = run(&[network("http", "")]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("was not ready after 1 seconds"), "{said}");
}
