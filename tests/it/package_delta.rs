//! `jackal package delta` and `jackal package join`.

use super::sandbox::Sandbox;

const OLD: &str = "jackal-package-demo-amd64-1.tar.zst";
const NEW: &str = "jackal-package-demo-amd64-2.tar.zst";

/// Text that compresses badly: pseudo-random numbers.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

fn create(sandbox: &Sandbox, version: &str, uncompressed: bool, flags: &[&str]) {
    sandbox.write("app.conf", format!("version = {version}\n"));
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: '{version}'\n  \
             architecture: amd64\n  uncompressed: {uncompressed}\ncomponents:\n- name: app\n  \
             files:\n  - source: app.conf\n    target: /etc/app.conf\n- name: data\n  files:\n  \
             - source: data\n    target: /srv/data\n"
        ),
    );
    let out = sandbox.run(&[&["package", "create", "--confirm"], flags].concat());
    assert_eq!(out.code, Some(0), "{}", out.stderr);
}

fn versions(uncompressed: bool) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("data", noise(7, 5 << 20));
    create(&sandbox, "1", uncompressed, &[]);
    create(&sandbox, "2", uncompressed, &[]);
    sandbox
}

fn bytes(sandbox: &Sandbox, name: &str) -> Vec<u8> {
    std::fs::read(sandbox.src().join(name)).unwrap()
}

#[test]
fn a_small_delta_and_the_old_archive_make_the_new_one_byte_for_byte() {
    for uncompressed in [false, true] {
        let sandbox = versions(uncompressed);
        let named = |name: &str| match uncompressed {
            true => name.replace(".tar.zst", ".tar"),
            false => name.to_owned(),
        };
        let (old, new) = (named(OLD), named(NEW));
        let out = sandbox.run(&["package", "delta", "--have", &old, &new, "-o", "d"]);
        assert_eq!(out.code, Some(0), "{}", out.stderr);
        assert!(bytes(&sandbox, "d").len() < 100_000, "{}", out.stdout);
        let out = sandbox.run(&["package", "join", &old, "d", "-o", "joined"]);
        assert_eq!(out.code, Some(0), "{}", out.stderr);
        assert!(bytes(&sandbox, "joined") == bytes(&sandbox, &new));

        let again = sandbox.run(&["package", "join", &old, "d", "-o", "joined"]);
        assert_eq!(again.code, Some(2));
        assert!(again.stderr.contains("already exists"), "{}", again.stderr);
    }
}

#[test]
fn a_split_archive_works_like_a_whole_one() {
    let sandbox = versions(false);
    let whole = bytes(&sandbox, OLD);
    create(&sandbox, "1", false, &["-m", "2", "-o", "split"]);
    let part = format!("split/{OLD}.part000");
    assert!(sandbox.src().join(&part).is_file());
    let out = sandbox.run(&["package", "delta", "--have", &part, NEW, "-o", "d"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    for old in [OLD, part.as_str()] {
        let _ = std::fs::remove_file(sandbox.src().join("joined"));
        let out = sandbox.run(&["package", "join", old, "d", "-o", "joined"]);
        assert_eq!(out.code, Some(0), "{}", out.stderr);
        assert!(bytes(&sandbox, "joined") == bytes(&sandbox, NEW));
    }
    assert!(bytes(&sandbox, OLD) == whole);
}

#[test]
fn a_join_that_cannot_be_exact_leaves_nothing_behind() {
    let sandbox = versions(false);
    let out = sandbox.run(&["package", "delta", "--have", OLD, NEW, "-o", "d"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let mut damaged = bytes(&sandbox, "d");
    *damaged.last_mut().unwrap() ^= 1;
    sandbox.write("damaged", damaged);
    sandbox.run(&["package", "extract", OLD, "-o", "folder"]);
    for (old, delta, code, told) in [
        (NEW, "d", 5, "applies to"),
        (OLD, "damaged", 5, "download the delta again"),
        (OLD, NEW, 5, "is not a usable delta"),
        ("folder", "d", 2, "is a folder"),
        (OLD, "gone", 4, "gone"),
    ] {
        let before = std::fs::read_dir(sandbox.src()).unwrap().count();
        let out = sandbox.run(&["package", "join", old, delta, "-o", "joined"]);
        assert_eq!(out.code, Some(code), "{old} {delta}: {}", out.stderr);
        assert!(out.stderr.contains(told), "{told} not in {}", out.stderr);
        assert_eq!(std::fs::read_dir(sandbox.src()).unwrap().count(), before);
    }
}

#[test]
fn no_delta_is_made_of_a_package_that_fails_verification_or_cannot_be_rebuilt() {
    let sandbox = versions(false);
    let zarf = "tests/fixtures/packages/zarf-package-interop-amd64-1.2.3.tar.zst";
    let zarf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(zarf);
    let zarf = zarf.to_str().unwrap();
    let out = sandbox.run(&["package", "delta", "--have", OLD, zarf, "-o", "d"]);
    assert_eq!(out.code, Some(2), "{}", out.stderr);
    assert!(
        out.stderr.contains("single Zstandard frame"),
        "{}",
        out.stderr
    );
    sandbox.run(&["package", "extract", NEW, "-o", "bad"]);
    sandbox.write("bad/sboms.tar", "altered");
    let out = sandbox.run(&["package", "delta", "--have", OLD, "bad", "-o", "d"]);
    assert_eq!(out.code, Some(5), "{}", out.stderr);
    assert!(!sandbox.src().join("d").exists());
}
