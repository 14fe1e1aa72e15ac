//! Packages in OCI image layouts, on web servers and in files: wherever one is, it
//! is read by the same commands.

use std::fs;

use super::charts::Server;
use super::publish::{ARCHIVE, Rehearsal, built, publish};
use super::pull::elsewhere;
use super::sandbox::{Said, Sandbox, settle};
use super::trust::key;

/// A package in the layout `lay`.
fn laid() -> Sandbox {
    let sandbox = built();
    let said = publish(&sandbox, &[ARCHIVE, "oci-layout:lay"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    sandbox
}

fn good(said: &Said) {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_package_in_a_layout_is_read_by_every_command_in_every_spelling() {
    let (sandbox, registry) = (laid(), Rehearsal::with_faults(&[]));
    let archive = fs::read(sandbox.src().join(ARCHIVE)).unwrap();
    for (number, lay) in [
        "oci-layout:lay:1.0.0",
        "oci:lay:1.0.0",
        "oci-layout:lay",
        "lay",
    ]
    .iter()
    .enumerate()
    {
        let run = |args: &[&str]| {
            let said = elsewhere(&sandbox, &[args, &["-a", "amd64"]].concat());
            assert_eq!(said.code, Some(0), "{lay} {args:?}: {}", said.stderr);
            said.stdout
        };
        run(&["package", "verify", lay]);
        let definition = run(&["package", "inspect", "definition", lay]);
        assert!(definition.contains("name: demo"), "{definition}");
        run(&["package", "inspect", "files", lay]);
        let out = format!("out{number}");
        run(&["package", "extract", lay, "-o", &out, "--unarchive"]);
        assert!(sandbox.src().join(&out).join("components/tree").is_dir());
        run(&["package", "pull", lay, "-o", &format!("pulled{number}")]);
        let pulled = format!("pulled{number}/jackal-package-demo-amd64-1.0.0.tar.zst");
        assert!(fs::read(sandbox.src().join(pulled)).unwrap() == archive);
        run(&["package", "diff", lay, ARCHIVE]);
        let to = registry.at(&format!("x{number}"));
        let said = publish(&sandbox, &["-a", "amd64", lay, &to]);
        good(&said);
        assert!(registry.index(&format!("x{number}/demo:1.0.0")).is_some());
    }
    let tags = sandbox.run(&["package", "list-tags", "oci-layout:lay"]);
    assert_eq!(tags.stdout, "1.0.0\n");
}

#[test]
fn what_a_layout_lacks_is_named_with_what_it_has() {
    let sandbox = laid();
    sandbox.write("tool.sh", "#!/bin/sh\nexit 1\n");
    settle();
    sandbox.build(&[]);
    good(&publish(
        &sandbox,
        &["--tag", "edge", ARCHIVE, "oci-layout:lay"],
    ));
    fs::create_dir(sandbox.src().join("empty")).unwrap();
    let zeros = "0".repeat(64);
    for (source, code, part) in [
        (
            "oci-layout:lay:2.0.0",
            2,
            "has no tag `2.0.0`, only 1.0.0, edge",
        ),
        (
            "oci-layout:lay",
            2,
            "has 1.0.0, edge: add one of them as :TAG",
        ),
        ("oci-layout:empty:1", 4, "is not an OCI image layout"),
        ("oci-layout:absent:1", 4, "no such file or directory"),
        (
            &format!("oci:lay@sha256:{zeros}"),
            2,
            "has no manifest sha256:000",
        ),
    ] {
        let said = sandbox.run(&["package", "verify", "-a", "amd64", source]);
        assert_eq!(said.code, Some(code), "{source}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{source}: {}", said.stderr);
    }
    let said = sandbox.run(&["package", "verify", "-a", "arm64", "oci-layout:lay:edge"]);
    assert!(
        said.stderr.contains("no package for arm64, only for amd64"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_damaged_blob_of_a_layout_is_never_used() {
    let sandbox = laid();
    let blobs = sandbox.src().join("lay/blobs/sha256");
    for entry in fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        // Documents are JSON, YAML or text, and a component is a tar.
        if bytes.len() > 512 && bytes.windows(5).any(|magic| magic == b"ustar") {
            bytes[0] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    for args in [
        &["package", "verify", "oci-layout:lay"][..],
        &["package", "pull", "oci-layout:lay", "-o", "pulled"],
        &["package", "extract", "oci-layout:lay", "-o", "out"],
    ] {
        let said = elsewhere(&sandbox, &[args, &["-a", "amd64"]].concat());
        assert_ne!(said.code, Some(0), "{args:?}");
    }
    assert!(!sandbox.src().join("out").exists());
    let pulled = fs::read_dir(sandbox.src().join("pulled"));
    assert_eq!(pulled.map_or(0, |entries| entries.count()), 0);
}

#[test]
fn a_package_in_a_layout_is_signed_there() {
    let sandbox = laid();
    key(&sandbox, "k");
    let sign = [
        "package",
        "sign",
        "-a",
        "amd64",
        "oci-layout:lay:1.0.0",
        "--signing-key",
        "k/cosign.key",
        "--signing-key-pass",
        "pw",
        "--confirm",
    ];
    good(&sandbox.run(&sign));
    let verify = ["package", "verify", "-a", "amd64", "oci:lay:1.0.0"];
    good(&sandbox.run(&[&verify[..], &["--key", "k/cosign.pub"]].concat()));
    // Without a key its signature is not passed over.
    assert_eq!(sandbox.run(&verify).code, Some(5));
    let out = [&sign[..], &["-o", "elsewhere"]].concat();
    assert_eq!(sandbox.run(&out).code, Some(2));
}

#[test]
fn a_package_on_a_web_server_is_pulled_as_it_is_and_published() {
    let (sandbox, server, registry) = (built(), Server::start(), Rehearsal::with_faults(&[]));
    let archive = fs::read(sandbox.src().join(ARCHIVE)).unwrap();
    server.put("/p.tar.zst", "application/zstd", archive.clone());
    let sum = sandbox.archive_sum();
    let address = format!("http://127.0.0.1:{}/p.tar.zst", server.port);
    let url = format!("{address}@{sum}");
    let said = elsewhere(&sandbox, &["package", "pull", &url, "-o", "pulled"]);
    good(&said);
    let pulled = "pulled/jackal-package-demo-amd64-1.0.0.tar.zst";
    assert_eq!(said.stdout.trim(), pulled);
    assert!(fs::read(sandbox.src().join(pulled)).unwrap() == archive);
    good(&publish(&sandbox, &[&url, &registry.at("w")]));
    let other = format!("{address}@sha256:{}", "0".repeat(64));
    let said = elsewhere(&sandbox, &["package", "pull", &other, "-o", "other"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(!sandbox.src().join("other").exists());
    // A download is not the user's own file.
    key(&sandbox, "k");
    let sign = [
        "package",
        "sign",
        &url,
        "--signing-key",
        "k/cosign.key",
        "--signing-key-pass",
        "pw",
    ];
    assert_eq!(sandbox.run(&sign).code, Some(2));
    server.put("/p.tar.zst", "text/html", b"<!DOCTYPE html>".to_vec());
    let said = elsewhere(
        &sandbox,
        &[
            "package",
            "verify",
            &format!("{address}@{}", "1".repeat(64)),
        ],
    );
    assert!(said.stderr.contains("(a web page)"), "{}", said.stderr);
}

#[test]
fn a_package_here_is_pulled_as_well_whole_split_or_from_a_folder() {
    let sandbox = built();
    let archive = fs::read(sandbox.src().join(ARCHIVE)).unwrap();
    let name = "jackal-package-demo-amd64-1.0.0.tar.zst";
    let pull = |args: &[&str]| {
        let said = sandbox.run(&[&["package", "pull"], args].concat());
        good(&said);
        said.stdout
    };
    pull(&[ARCHIVE, "-o", "one"]);
    assert!(fs::read(sandbox.src().join("one").join(name)).unwrap() == archive);
    good(&sandbox.run(&["package", "extract", ARCHIVE, "-o", "folder"]));
    pull(&["folder", "-o", "two"]);
    assert!(fs::read(sandbox.src().join("two").join(name)).unwrap() == archive);
    // A damaged one is refused, and leaves nothing.
    let mut bad = archive.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    sandbox.write("bad.tar.zst", &bad);
    let said = sandbox.run(&["package", "pull", "bad.tar.zst", "-o", "three"]);
    assert_ne!(said.code, Some(0));
    let left = fs::read_dir(sandbox.src().join("three"));
    assert_eq!(left.map_or(0, |entries| entries.count()), 0);
}
