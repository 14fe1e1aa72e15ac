//! `jackal package verify` and `inspect`, run as a user runs them.

use std::path::Path;
use std::process::{Command, Output};

const ZARF: &str = "tests/fixtures/packages/zarf-package-interop-amd64-1.2.3.tar.zst";

fn jackal(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jackal"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

fn unpack(into: &Path) {
    let packed = std::fs::File::open(ZARF).unwrap();
    let decoder = zstd::stream::read::Decoder::new(packed).unwrap();
    tar::Archive::new(decoder).unpack(into).unwrap();
}

#[test]
fn a_package_made_by_zarf_0_84_verifies() {
    let output = jackal(&["package", "verify", ZARF]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.contains("10 files, 265741 bytes, all as listed; not signed"),
        "{text}"
    );
}

#[test]
fn the_same_package_as_a_folder_verifies_and_each_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path());
    let path = folder.path().to_str().unwrap();
    assert!(jackal(&["package", "verify", path]).status.success());

    std::fs::write(folder.path().join("sboms.tar"), "altered").unwrap();
    std::fs::remove_file(folder.path().join("components/app.tar")).unwrap();
    std::fs::write(folder.path().join("stray"), "").unwrap();
    let output = jackal(&["package", "verify", path]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5));
    for name in [
        "`sboms.tar` digests to",
        "`components/app.tar` is listed",
        "`stray` is in",
    ] {
        assert!(text.contains(name), "{name} not in {text}");
    }
}

#[test]
fn inspect_prints_the_definition_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path());
    let output = jackal(&["package", "inspect", ZARF]);
    let expected = std::fs::read(folder.path().join("zarf.yaml")).unwrap();
    assert_eq!(output.stdout, expected);
}

#[test]
fn a_truncated_package_and_a_wrong_word_have_their_own_exit_codes() {
    let cut = tempfile::NamedTempFile::new().unwrap();
    let whole = std::fs::read(ZARF).unwrap();
    std::fs::write(cut.path(), &whole[..whole.len() / 2]).unwrap();
    let output = jackal(&["package", "verify", cut.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(jackal(&["package", "verfy"]).status.code(), Some(2));
}
