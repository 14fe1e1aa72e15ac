//! Results that travel through a remote cache, and what it may do wrong.

#[path = "remote/double.rs"]
mod double;

use std::fs;

use double::{Double, FATAL, Fault};

use crate::sandbox::{Said, Sandbox, settle};

/// Two commands, of which the second reads the first: a folder with a link, an executable
/// and a file that fits in no message, and a file.
const TASKS: &str = "tasks:
  first:
    run: 'mkdir -p out/empty; cp in.txt out/a; ln -s a out/link; printf x > out/run; chmod 755 out/run; head -c 5000000 /dev/zero > out/large; cat in.txt >> out/large; echo said'
    shell: sh -e
    inputs: [in.txt]
    tools: [mkdir, cp, ln, chmod, head, cat]
    outputs: [out/]
  second:
    run: 'cat out/a out/a > b.txt'
    shell: sh -e
    inputs: ['task:first']
    tools: [cat]
    outputs: [b.txt]
";

/// A clone of the workspace, with a cache of its own.
fn clone() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipeline(TASKS);
    sandbox.write("in.txt", "hello\n");
    settle();
    sandbox
}

fn with<'a>(server: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--pipeline", "p.yaml", "--remote-cache", server], more].concat()
}

/// How many tasks ran, and how many were cached.
fn counts(sandbox: &Sandbox, args: &[&str]) -> (usize, usize) {
    let tasks = sandbox.build(args);
    let count = |wanted: &str| tasks.iter().filter(|(_, status)| status == wanted).count();
    (count("executed"), count("cached"))
}

fn built(sandbox: &Sandbox, args: &[&str]) -> Said {
    let said = sandbox.run(&[&["build"], args].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said
}

/// The outputs of the clone, with modes and targets of links.
fn outputs(sandbox: &Sandbox) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let names = [
        "b.txt",
        "out/a",
        "out/link",
        "out/run",
        "out/large",
        "out/empty",
    ];
    let shown = names.map(|name| {
        let path = sandbox.src().join(name);
        let found = fs::symlink_metadata(&path).unwrap_or_else(|_| panic!("{name}"));
        let content = fs::read(&path).unwrap_or_default();
        let content = jackal::oci::Digest::of(&content);
        let link = fs::read_link(&path).unwrap_or_default();
        format!("{name} {:o} {content} {link:?}", found.permissions().mode())
    });
    shown.into()
}

#[test]
fn a_second_clone_runs_nothing_and_a_build_with_nothing_to_do_asks_nothing() {
    for (batch, zstd) in [(0, false), (65_536, false), (0, true), (65_536, true)] {
        let server = Double::new();
        server.offer(batch, zstd);
        let url = server.url();
        let first = clone();
        assert_eq!(counts(&first, &with(&url, &[])), (2, 0));
        assert_eq!(server.results(), 2);
        let second = clone();
        assert_eq!(counts(&second, &with(&url, &[])), (0, 2));
        assert_eq!(outputs(&first), outputs(&second));
        server.asked();
        for args in [&[][..], &["--dry-run"], &["--logs", "full"]] {
            let said = built(&second, &with(&url, args));
            assert_eq!(server.asked(), [""; 0], "{args:?}");
            let shows_log = said.stderr.contains("said") || said.stdout.contains("said");
            assert_eq!(shows_log, args.contains(&"full"), "{}", said.stderr);
        }
    }
}

#[test]
fn whatever_the_server_does_the_build_has_the_same_outputs() {
    let server = Double::new();
    let url = server.url();
    let first = clone();
    built(&first, &with(&url, &[]));
    for fault in FATAL {
        server.fail(*fault);
        let other = clone();
        let args = with(&url, &["--remote-timeout", "300ms"]);
        assert_eq!(counts(&other, &args), (2, 0), "{fault:?}");
        assert_eq!(outputs(&first), outputs(&other), "{fault:?}");
    }
    server.fail(Fault::Nothing);
    assert_eq!(counts(&clone(), &with(&url, &[])), (0, 2));
}

#[test]
fn wrong_bytes_are_reported_and_control_characters_of_a_server_are_not_shown() {
    let server = Double::new();
    let url = server.url();
    built(&clone(), &with(&url, &[]));
    server.fail(Fault::WrongBytes);
    let said = built(&clone(), &with(&url, &[]));
    assert!(
        said.stderr.contains("other bytes than those of"),
        "{}",
        said.stderr
    );
    server.fail(Fault::Denied);
    let said = built(&clone(), &with(&url, &[]));
    assert!(
        said.stderr.contains("building without it"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains('\u{1b}'), "{}", said.stderr);
}

#[test]
fn a_server_that_is_gone_is_left_alone() {
    let server = Double::new();
    server.fail(Fault::Hangs);
    let url = server.url();
    built(&clone(), &with(&url, &["--remote-timeout", "200ms"]));
    let asked = server.asked().len();
    assert!(asked <= 2, "asked {asked} times");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let nowhere = format!("grpc://127.0.0.1:{port}");
    let said = built(&clone(), &with(&nowhere, &[]));
    assert!(
        said.stderr.contains("building without it"),
        "{}",
        said.stderr
    );
}

#[test]
fn broken_streams_are_continued() {
    for zstd in [false, true] {
        let server = Double::new();
        server.offer(0, zstd);
        server.fail(Fault::CutsStreamsOnce);
        let url = server.url();
        let first = clone();
        built(&first, &with(&url, &[]));
        assert_eq!(server.results(), 2);
        server.asked();
        let second = clone();
        assert_eq!(counts(&second, &with(&url, &[])), (0, 2));
        assert_eq!(outputs(&first), outputs(&second));
        let asked = server.asked();
        let reads: Vec<_> = asked
            .iter()
            .filter(|one| one.starts_with("Read "))
            .collect();
        assert_eq!(reads.len(), 2, "{reads:?}");
        assert!(reads[0].ends_with(" 0"), "{reads:?}");
        if !zstd {
            assert!(!reads[1].ends_with(" 0"), "{reads:?}");
        }
    }
}

#[test]
fn a_server_that_lost_the_blobs_gets_them_again() {
    let server = Double::new();
    let url = server.url();
    built(&clone(), &with(&url, &[]));
    server.forget_blobs();
    assert_eq!(counts(&clone(), &with(&url, &[])), (2, 0));
    assert_eq!(counts(&clone(), &with(&url, &[])), (0, 2));
}

#[test]
fn with_a_secret_only_signed_results_are_taken() {
    let server = Double::new();
    let url = server.url();
    let secret = |sandbox: &Sandbox, text: &str| {
        let path = sandbox.src().parent().unwrap().join("secret");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ours = "o".repeat(32);
    let build = |text: Option<&str>, server: &str| {
        let sandbox = clone();
        let file = text.map(|text| secret(&sandbox, text));
        let flags: Vec<&str> = match &file {
            Some(file) => vec!["--remote-secret-file", file],
            None => Vec::new(),
        };
        counts(&sandbox, &with(server, &flags))
    };
    assert_eq!(build(None, &url), (2, 0));
    assert_eq!(build(Some(&ours), &url), (2, 0), "those have no code");
    assert_eq!(build(Some(&ours), &url), (0, 2));
    assert_eq!(build(Some(&"t".repeat(32)), &url), (2, 0), "another secret");
    assert_eq!(build(None, &url), (0, 2));
    // Whoever learns the names can put other results there, but cannot sign them.
    let (theirs, attacked) = (Double::new(), Double::new());
    assert_eq!(build(Some(&ours), &theirs.url()), (2, 0));
    assert_eq!(build(None, &attacked.url()), (2, 0));
    attacked.copy_results_to_names_of(&theirs);
    assert_eq!(build(Some(&ours), &attacked.url()), (2, 0));
    let sandbox = clone();
    let short = secret(&sandbox, "short");
    let args = with(&url, &["--remote-secret-file", &short]);
    let said = sandbox.run(&[&["build"], args.as_slice()].concat());
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn modes_headers_and_addresses_are_kept_to() {
    let server = Double::new();
    let url = server.url();
    built(&clone(), &with(&url, &["--remote-mode", "read"]));
    assert_eq!(server.results(), 0);
    assert!(!server.asked().contains(&"UpdateActionResult".to_owned()));
    built(&clone(), &with(&url, &["--remote-mode", "write"]));
    assert_eq!(server.results(), 2);
    assert!(!server.asked().contains(&"GetActionResult".to_owned()));
    server.require("x-team", "a");
    assert_eq!(counts(&clone(), &with(&url, &[])), (2, 0));
    let header = ["--remote-header", "x-team=a"];
    assert_eq!(counts(&clone(), &with(&url, &header)), (0, 2));
    server.require("authorization", "Bearer t0ken");
    let said = crate::sandbox::said(
        clone()
            .command(&[&["build"], with(&url, &["--logs", "new-only"]).as_slice()].concat())
            .env("JACKAL_REMOTE_TOKEN", "t0ken"),
    );
    assert!(
        !said.stderr.contains("building without it"),
        "{}",
        said.stderr
    );
    let said = clone().run(&["build", "--remote-cache", "grpc://cache.example.com"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("--remote-insecure"), "{}", said.stderr);
}

#[test]
fn what_is_secret_or_private_stays_here() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Double::new();
    let url = server.url();
    let sandbox = clone();
    let file = sandbox.src().join("in.txt");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    built(&sandbox, &with(&url, &[]));
    assert_eq!((server.results(), server.asked()), (0, Vec::new()));
    let sandbox = clone();
    sandbox.pipeline(
        "tasks:
  only:
    run: 'cat in.txt > b.txt'
    shell: sh -e
    inputs: [in.txt]
    tools: [cat]
    outputs: [b.txt]
    network: true
  other:
    run: 'cat in.txt > c.txt'
    shell: sh -e
    inputs: [in.txt]
    tools: [cat]
    outputs: [c.txt]
    cache: local
",
    );
    built(&sandbox, &with(&url, &[]));
    assert_eq!((server.results(), server.asked()), (0, Vec::new()));
}

#[test]
fn packages_travel_as_well() {
    let server = Double::new();
    let url = server.url();
    let (first, second) = (Sandbox::new(), Sandbox::new());
    for sandbox in [&first, &second] {
        sandbox.package();
    }
    let (executed, _) = counts(&first, &["--remote-cache", &url]);
    assert!(executed > 0);
    assert_eq!(counts(&second, &["--remote-cache", &url]).0, 0);
    assert_eq!(first.archive_sum(), second.archive_sum());
}

#[test]
fn doctor_says_what_a_server_can_do() {
    let server = Double::new();
    server.offer(65_536, true);
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["doctor", &server.url()]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let lines: Vec<Vec<&str>> = said
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let names: Vec<&str> = lines.iter().map(|words| words[1]).collect();
    assert_eq!(
        names,
        [
            "connection",
            "protocol",
            "digests",
            "messages",
            "compression",
            "permission",
            "execution",
            "lookup",
            "batches",
            "streams",
            "results"
        ]
    );
    assert!(
        lines.iter().all(|words| words[0] == "ok"),
        "{}",
        said.stdout
    );
    for fault in [Fault::OtherDigests, Fault::WrongBytes, Fault::Unavailable] {
        server.fail(fault);
        let said = sandbox.run(&["doctor", &server.url()]);
        assert_eq!(said.code, Some(4), "{fault:?}: {}", said.stdout);
        assert!(said.stdout.contains("FAILED"), "{fault:?}: {}", said.stdout);
    }
}
