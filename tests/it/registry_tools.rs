//! `jackal tools registry`: logins, and images as they are in registries.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use jackal::rehearsal::{Login, Options};

use super::publish::Rehearsal;
use super::sandbox::{Said, Sandbox};

fn log_in(sandbox: &Sandbox, host: &str, password: &str) -> Said {
    let folder = sandbox.src().join("docker");
    let line = [
        "tools",
        "registry",
        "login",
        host,
        "-u",
        "me",
        "--password-stdin",
    ];
    let mut command = sandbox.command(&line);
    command.env("DOCKER_CONFIG", folder).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    Said {
        code: ended.status.code(),
        stdout: String::from_utf8(ended.stdout).unwrap(),
        stderr: String::from_utf8(ended.stderr).unwrap(),
    }
}

#[test]
fn a_login_is_checked_kept_privately_and_used() {
    let sandbox = Sandbox::new();
    let registry = Rehearsal::new(Options {
        login: Some(Login {
            user: "me".to_owned(),
            password: "s3cret-word".to_owned(),
            token_ttl: None,
        }),
        ..Options::default()
    });
    sandbox.write(
        "docker/config.json",
        "{\"auths\":{\"a.io\":{\"auth\":\"eDp5\"}},\"x\":1}",
    );
    let file = sandbox.src().join("docker/config.json");
    let before = fs::read(&file).unwrap();

    let refused = log_in(&sandbox, &registry.host(), "other-word");
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(!refused.stderr.contains("other-word"), "{}", refused.stderr);
    assert_eq!(fs::read(&file).unwrap(), before);

    let done = log_in(&sandbox, &registry.host(), "s3cret-word");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("s3cret-word") && done.stdout.is_empty());
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&kept["auths"]["a.io"]["auth"], &kept["x"]),
        (&"eDp5".into(), &1.into())
    );

    sandbox.package();
    let run = |line: &[&str]| {
        let mut command = sandbox.command(line);
        super::sandbox::said(command.env("DOCKER_CONFIG", sandbox.src().join("docker")))
    };
    let published = run(&["package", "create", "--confirm", "-o", &registry.at("team")]);
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    let out = run(&["tools", "registry", "logout", &registry.host()]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(
        !kept.contains(&registry.host()) && kept.contains("a.io"),
        "{kept}"
    );
    let listed = run(&["tools", "registry", "ls", &registry.at("team/demo")]);
    assert_eq!(listed.code, Some(4), "{}", listed.stderr);
}
