//! `jackal doctor`.

use jackal::rehearsal::{Login, Options};

use super::publish::Rehearsal;
use super::sandbox::Sandbox;

fn verdicts(told: &str) -> Vec<(String, String)> {
    let lines = told.lines().map(|line| {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_default().to_owned();
        let verdict = word();
        (word(), verdict)
    });
    lines.collect()
}

#[test]
fn each_requirement_has_a_line_and_nothing_is_left_behind() {
    let sandbox = Sandbox::new();
    let folder = tempfile::tempdir().unwrap();
    let registry = Rehearsal::new(Options {
        folder: Some(folder.path().to_owned()),
        profile: "distribution".parse().unwrap(),
        ..Options::default()
    });
    let said = sandbox.run(&["doctor", &registry.at("team/app")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found = verdicts(&said.stdout);
    let names: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
    let all = [
        "connection",
        "login",
        "read",
        "write",
        "referrers",
        "limits",
    ];
    assert_eq!(names, all);
    assert!(found.iter().all(|(_, verdict)| verdict == "ok"));
    for expected in [
        "HTTP;",
        "no such repository yet",
        "accepts uploads",
        "not supported",
    ] {
        assert!(said.stdout.contains(expected), "{}", said.stdout);
    }
    let mut folders = vec![folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => panic!("{} was left", path.display()),
            }
        }
    }
    let quay = format!("{}=quay", registry.host());
    let flags = [
        "doctor",
        "--read-only",
        "--registry-profile",
        &quay,
        "--json",
    ];
    registry.requests();
    let said = sandbox.run(&[&flags[..], &[&registry.at("team/app")]].concat());
    let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told[3]["what"], "referrers", "{told}");
    let limit = told[4]["found"].as_str().unwrap();
    assert!(limit.contains("20000000000"), "{told}");
    assert!(registry.requests().iter().all(|r| r.method == "GET"));
}

#[test]
fn each_failure_says_what_to_do() {
    let sandbox = Sandbox::new();
    let login = Login {
        user: "u".to_owned(),
        password: "secret-canary".to_owned(),
        token_ttl: None,
    };
    let registry = Rehearsal::new(Options {
        login: Some(login),
        ..Options::default()
    });
    let at = registry.at("team/app");
    let said = sandbox.run(&["doctor", &at]);
    assert_eq!(said.code, Some(4), "{}", said.stdout);
    assert_eq!(verdicts(&said.stdout)[2], ("read".into(), "FAILED".into()));
    assert!(said.stdout.contains("log in"), "{}", said.stdout);
    // `u:secret-canary`
    let auths = format!(
        r#"{{"auths":{{"{}":{{"auth":"dTpzZWNyZXQtY2FuYXJ5"}}}}}}"#,
        registry.host()
    );
    let mut command = sandbox.command(&["doctor", &at]);
    let out = command.env("DOCKER_AUTH_CONFIG", auths).output().unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{told}");
    assert!(told.contains("found") && !told.contains("canary"));
    // Read-only credentials.
    let registry = Rehearsal::with_faults(&["kinds=403,match=^POST"]);
    let said = sandbox.run(&["doctor", &registry.at("team/app")]);
    assert_eq!(said.code, Some(4), "{}", said.stdout);
    assert!(said.stderr.contains("write failed"), "{}", said.stderr);
    // No server; an invalid registry name.
    let begin = std::time::Instant::now();
    let said = sandbox.run(&["doctor", "oci://127.0.0.1:1/x"]);
    assert_eq!(said.code, Some(4), "{}", said.stdout);
    assert!(said.stdout.contains("connection failed"), "{}", said.stdout);
    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
    let said = sandbox.run(&["doctor", "nowhere"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}
