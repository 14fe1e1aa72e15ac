//! `jackal package`: create, verify, inspect, extract.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jackal::app::errors::PackageReadError;
use jackal::app::{Connection, ExtractOptions, Opened, ReadOptions};
use jackal::verify::{Check, Policy};

use super::sandbox::Sandbox;

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
        text.contains("verified 10 files (265741 bytes); not signed"),
        "{text}"
    );
}

#[test]
fn inspect_says_that_a_bundle_beside_the_package_was_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("p.tar.zst");
    std::fs::copy(ZARF, &copy).unwrap();
    let inspect = || {
        let output = jackal(&["package", "inspect", copy.to_str().unwrap()]);
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(inspect().contains("p.tar.zst: not signed; only"));
    std::fs::write(folder.path().join("p.tar.zst.sigstore.jsonl"), "{}\n").unwrap();
    let text = inspect();
    let expected = "signature NOT checked (--key or --certificate-identity checks it); only";
    assert!(text.contains(expected), "{text}");
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
        "`sboms.tar` has digest",
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
fn a_truncated_package_and_an_invalid_argument_have_their_own_exit_codes() {
    let cut = tempfile::NamedTempFile::new().unwrap();
    let whole = std::fs::read(ZARF).unwrap();
    std::fs::write(cut.path(), &whole[..whole.len() / 2]).unwrap();
    let output = jackal(&["package", "verify", cut.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(jackal(&["package", "verfy"]).status.code(), Some(2));
}

#[test]
fn create_builds_the_package_of_one_folder_like_build_does() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let built = sandbox.archive_sum();
    let said = sandbox.run(&["package", "create", ".", "--confirm", "--sbom-out", "boms"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("0 executed"), "{}", said.stderr);
    let archive = sandbox
        .src()
        .join("jackal-package-demo-amd64-1.0.0.tar.zst");
    assert_eq!(said.stdout.trim(), archive.to_str().unwrap());
    let bytes = std::fs::read(archive).unwrap();
    assert_eq!(jackal::oci::Digest::of(&bytes).to_string(), built);
    let sbom = sandbox.src().join("boms/demo/jackal-component-tree.json");
    assert!(sbom.is_file());
    let nothing = sandbox.run(&["package", "create", "tree"]);
    assert_eq!(nothing.code, Some(3));
    assert!(nothing.stderr.contains("it has no jackal.yaml"));
}

#[test]
fn inspect_lists_images_variables_files_and_sboms_of_a_zarf_package() {
    let out = |args: &[&str]| {
        let output = jackal(&[&["package", "inspect"], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let files = out(&["files", ZARF]);
    assert_eq!(files.lines().count(), 8, "{files}");
    assert!(files.contains("  components/app.tar\n"));
    let definition: serde_json::Value =
        serde_json::from_str(&out(&["definition", "--json", ZARF])).unwrap();
    assert_eq!(definition["metadata"]["name"], "interop");
    let images: serde_json::Value =
        serde_json::from_str(&out(&["images", "--json", ZARF])).unwrap();
    for image in out(&["images", ZARF]).lines() {
        assert!(images.to_string().contains(image), "{image}");
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    out(&["sbom", ZARF, "-o", to]);
    let names: Vec<_> = std::fs::read_dir(folder.path().join("interop"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.contains(&"zarf-component-base.json".to_owned()),
        "{names:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_stopped_or_refused_extraction_keeps_the_old_folder_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let archive = sandbox
        .src()
        .join("dist/jackal-package-demo-amd64-1.0.0.tar.zst");
    let to = sandbox.src().join("out");
    let extract = |stopped: bool| {
        let read = ReadOptions {
            here: std::path::PathBuf::new(),
            connection: Connection::default(),
            architecture: "amd64".to_owned(),
            cache: None,
            shasum: None,
            concurrency: 1,
            policy: Arc::new(Policy::without_signers(Check::Use)),
            bundles: Vec::new(),
            content_limit: None,
            stop: Arc::new(AtomicBool::new(stopped)),
        };
        let opened = Opened::here(&archive, &read).unwrap();
        let options = ExtractOptions {
            to: to.clone(),
            only: Vec::new(),
            unarchive: true,
            force: true,
        };
        let done = jackal::app::package_extract(&opened, &options);
        let files = std::fs::read_dir(sandbox.src()).unwrap();
        let mut names = files.map(|entry| entry.unwrap().file_name());
        assert!(!names.any(|name| name.to_string_lossy().starts_with(".jackal-tmp")));
        done.map(drop)
    };
    sandbox.write("out/mine", "kept");
    let foreign = extract(false).unwrap_err();
    assert!(
        matches!(foreign, PackageReadError::Foreign { .. }),
        "{foreign}"
    );
    assert_eq!(std::fs::read(to.join("mine")).unwrap(), b"kept");
    std::fs::remove_dir_all(&to).unwrap();

    // What jackal made is replaced, until something in it changes.
    extract(false).unwrap();
    extract(false).unwrap();
    assert!(matches!(extract(true), Err(PackageReadError::Interrupted)));
    assert!(to.join("jackal.yaml").is_file());
    sandbox.write("out/components/tool/mine", "kept");
    let changed = extract(false).unwrap_err().to_string();
    assert!(changed.contains("`components/tool/mine`"), "{changed}");
    let mine = to.join("components/tool/mine");
    assert_eq!(std::fs::read(mine).unwrap(), b"kept");

    // Neither is a link, wherever it leads, nor a file.
    let elsewhere = sandbox.src().join("elsewhere");
    std::fs::rename(&to, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &to).unwrap();
    assert!(extract(false).is_err() && to.is_symlink());
    std::fs::remove_file(&to).unwrap();
    std::fs::write(&to, "a file").unwrap();
    assert!(extract(false).is_err() && to.is_file());
}

#[test]
fn extract_writes_all_or_selected_files_and_never_an_altered_one() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let archive = sandbox.archive();
    let archive = archive.to_str().unwrap();
    let said = sandbox.run(&["package", "extract", archive, "--unarchive"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let to = sandbox.src().join("jackal-package-demo-amd64-1.0.0");
    let tree = to.join("components/tree/files/0/tree");
    assert_eq!(std::fs::read(tree.join("d0/f0")).unwrap(), b"0\n");
    assert_eq!(
        std::fs::read_link(tree.join("link")).unwrap(),
        Path::new("d0/f0")
    );
    assert!(tree.join("empty").is_dir());
    assert!(to.join("sboms/jackal-component-tool.json").is_file());
    assert!(to.join("jackal.yaml").is_file() && !to.join("sboms.tar").exists());

    let again = sandbox.run(&["package", "extract", archive]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(
        sandbox
            .run(&["package", "extract", archive, "--force"])
            .code,
        Some(0)
    );
    assert!(to.join("sboms.tar").is_file() && !to.join("sboms").exists());

    let some = sandbox.run(&["package", "extract", archive, "components", "-o", "some"]);
    assert!(some.stderr.contains("the extracted files were verified"));
    let some = sandbox.src().join("some");
    assert_eq!(std::fs::read_dir(&some).unwrap().count(), 1);
    assert!(some.join("components/tool.tar").is_file());
    let none = sandbox.run(&["package", "extract", archive, "absent", "-o", "none"]);
    assert!(
        none.stderr.contains("no file or folder `absent`"),
        "{}",
        none.stderr
    );

    std::fs::write(some.join("jackal.yaml"), "kind: x\n").unwrap();
    std::fs::write(to.join("components/tool.tar"), "altered").unwrap();
    let altered = sandbox.run(&["package", "extract", to.to_str().unwrap(), "-o", "out"]);
    assert_eq!(altered.code, Some(5), "{}", altered.stderr);
    let left: Vec<_> = std::fs::read_dir(sandbox.src())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name == "out" || name == "none" || name.starts_with(".jackal"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

/// A valid package whose one component tar has a file called `name`.
fn package_holding(name: &str) -> Vec<u8> {
    package_with("a", &[("components/a.tar", &tar_of(&[(name, "")]))])
}

/// A tar of files with the text `x`, and of links where a target is given.
fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, target) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        let content: &[u8] = match target.is_empty() {
            true => b"x",
            false => b"",
        };
        if content.is_empty() {
            header.set_entry_type(tar::EntryType::Symlink);
        }
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A valid package called `name` with these files.
fn package_with(name: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let plain_tar = |entries: &[(&str, &[u8])]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let hex = |bytes: &[u8]| jackal::oci::Digest::of(bytes).hex();
    let lines: Vec<String> = files
        .iter()
        .map(|(name, bytes)| format!("{} {name}\n", hex(bytes)))
        .collect();
    let checksums = lines.concat();
    let named = |file: &str| {
        let name = file.strip_prefix("components/")?.strip_suffix(".tar")?;
        let plain = !name.is_empty() && !name.contains(['/', '.']);
        plain.then(|| format!("- name: {name}\n"))
    };
    let components: String = files.iter().filter_map(|(file, _)| named(file)).collect();
    let definition = format!(
        "kind: JackalPackageConfig\nmetadata:\n  name: {name}\n  aggregateChecksum: {}\n\
         components:\n{components}",
        hex(checksums.as_bytes())
    );
    let mut all: Vec<(&str, &[u8])> = vec![
        ("jackal.yaml", definition.as_bytes()),
        ("checksums.txt", checksums.as_bytes()),
    ];
    all.extend(files);
    plain_tar(&all)
}

#[test]
fn a_component_that_leads_out_of_its_folder_is_not_unpacked() {
    let sandbox = Sandbox::new();
    sandbox.write("good.tar", package_holding("a/f"));
    sandbox.write("bad.tar", package_holding("../f"));
    let extract = |name: &str| sandbox.run(&["package", "extract", name, "--unarchive"]);
    assert_eq!(extract("good.tar").code, Some(0));
    let bad = extract("bad.tar");
    assert_eq!(bad.code, Some(5), "{}", bad.stderr);
    assert!(
        bad.stderr.contains("its entry `../f` leads out"),
        "{}",
        bad.stderr
    );
    let names = std::fs::read_dir(sandbox.src()).unwrap();
    assert_eq!(names.count(), 3, "good.tar, bad.tar, good");
}

/// Runs over packages whose tars plant links for each other, or take each other's
/// places. Nothing outside the target is written, and nothing is left of a refusal.
#[test]
fn no_tar_of_a_package_reaches_what_another_one_made() {
    let sandbox = Sandbox::new();
    sandbox.write("out/mine", "mine");
    let out = sandbox.src().join("out");
    let out = out.to_str().unwrap();
    let link = |name: &str| tar_of(&[(name, out)]);
    let file = |name: &str| tar_of(&[(name, "")]);
    let cases: &[&[(&str, &[u8])]] = &[
        // The first in order plants a link under the name of the second.
        &[
            ("components/a.tar", &link("b")),
            ("components/b.tar", &file("b/planted")),
        ],
        &[
            ("components/a.tar", &tar_of(&[("a/f", ""), ("b", out)])),
            ("components/b.tar", &file("b/planted")),
        ],
        &[
            ("components/a.tar", &link("a")),
            ("components/a/b.tar", &file("planted")),
        ],
        &[
            ("components/a.tar", &link("a/x")),
            ("components/a/x.tar", &file("planted")),
        ],
        &[
            ("components/a.tar", &link("a/x")),
            ("components/a/x/planted", b"x"),
        ],
        &[("sboms.tar", &link("x")), ("sboms/x/planted", b"x")],
        &[("sboms.tar", &link("x"))],
        &[("sboms.tar", &file("../out/planted"))],
        &[("sboms.tar", &file("a.json")), ("sboms/a.json", b"x")],
        &[("images/x.tar", &file("y")), ("images/x/y", b"x")],
        &[("x/.tar", &file("../../out/planted"))],
        &[("x/..tar", &file("planted"))],
        &[("x/...tar", &file("../out/planted"))],
        &[("components/.tar", &file("planted"))],
        &[("components/..tar", &file("./planted"))],
    ];
    for (number, files) in cases.iter().enumerate() {
        sandbox.write("p.tar", package_with("p", files));
        let said = sandbox.run(&["package", "extract", "p.tar", "--unarchive", "-o", "to/x"]);
        let text = &said.stderr;
        assert!(
            said.code.is_some_and(|code| code != 101),
            "{number}: {text}"
        );
        let left = std::fs::read_dir(sandbox.src().join("out")).unwrap();
        assert_eq!(left.count(), 1, "{number}: {text}");
        assert_ne!(said.code, Some(0), "{number}: {text}");
        assert!(!sandbox.src().join("to").exists(), "{number}: {text}");
    }
}

#[test]
fn sboms_never_take_the_place_of_a_users_folder() {
    let sandbox = Sandbox::new();
    let sboms = |target: &str| {
        let tar = tar_of(&[("a.json", ""), ("b.json", target)]);
        sandbox.write("p.tar", package_with("docs", &[("sboms.tar", &tar)]));
    };
    let inspect = |more: &[&str]| {
        let args = [&["package", "inspect", "sbom", "p.tar"], more].concat();
        sandbox.run(&args)
    };
    sandbox.write("docs/thesis.txt", "years");
    sboms("");
    for force in [&[][..], &["--force"]] {
        let said = inspect(force);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
    }
    let thesis = sandbox.src().join("docs/thesis.txt");
    assert_eq!(std::fs::read(thesis).unwrap(), b"years");

    assert_eq!(inspect(&["-o", "boms"]).code, Some(0));
    let again = inspect(&["-o", "boms"]);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(inspect(&["-o", "boms", "--force"]).code, Some(0));
    sandbox.write("boms/docs/a.json", "changed");
    let changed = inspect(&["-o", "boms", "--force"]);
    assert!(changed.stderr.contains("`a.json`"), "{}", changed.stderr);

    for target in ["/etc/passwd", "../docs/thesis.txt", "a.json"] {
        sboms(target);
        let linked = inspect(&["-o", "new"]);
        assert!(linked.stderr.contains("a link"), "{}", linked.stderr);
        assert!(!sandbox.src().join("new").exists(), "nothing half-made");
    }
}

/// Packages are untrusted, and terminals interpret control characters.
#[test]
fn control_characters_in_a_package_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let package = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let aggregate = jackal::oci::Digest::of(b"\n").hex();
        let definition = format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: \"{text}\"\n  version: \"{text}\"\n  aggregateChecksum: {aggregate}\n\
             variables:\n- {{name: A, default: \"{text}\", description: \"{text}\"}}\n\
             components:\n- {{name: \"{text}\", images: [\"{text}\"]}}\n"
        );
        std::fs::write(path.join("jackal.yaml"), definition).unwrap();
        std::fs::write(path.join("checksums.txt"), "\n").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = package("a", r"x\e[2J\x9b1m\nsigned by you\r");
    let b = package("b", r"y\e]0;t\a");
    for args in [
        &["package", "inspect", "images", &a][..],
        &["package", "inspect", "variables", &a],
        &["package", "inspect", "files", &a],
        &["package", "verify", &a],
        &["package", "diff", &a, &b],
        &["package", "publish", &a, "oci://127.0.0.1:9/x"],
    ] {
        let output = jackal(args);
        for stream in [output.stdout, output.stderr] {
            let text = String::from_utf8(stream).unwrap();
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(steers), "{args:?}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("signed by")),
                "{args:?}: {text}"
            );
        }
    }
}

/// The archive of a package whose component is called `name` and declares `more`.
fn package_declaring(name: &str, more: &str) -> Vec<u8> {
    let checksums = "\n";
    let definition = format!(
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: 1.0.0\n  aggregateChecksum: {}\n\
         build:\n  architecture: amd64\n  timestamp: Mon, 23 Nov 2026 21:00:00 +0000\n\
         components:\n- name: {name}\n{more}",
        jackal::oci::Digest::of(checksums.as_bytes()).hex()
    );
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("jackal.yaml", definition.as_bytes()),
        ("checksums.txt", checksums.as_bytes()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_verify_refuses_is_neither_signed_nor_published() {
    let sandbox = super::sandbox::Sandbox::new();
    super::trust::key(&sandbox, "a");
    let good = package_declaring("app", "");
    std::fs::write(sandbox.src().join("good.tar"), good).unwrap();
    let said = sandbox.run(&["package", "verify", "good.tar"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for (name, more, message) in [
        (
            "../../x",
            "",
            "`../../x` is not a valid name of a component",
        ),
        ("[app]", "", "`name` is a list"),
        ("app", "  name: other\n", "duplicate key `name`"),
        (
            "app",
            "---\nkind: JackalPackageConfig\n",
            "a second YAML document",
        ),
        ("app", "  images: ['a:1']\n", "declares the image `a:1`"),
        (
            "app",
            "  charts: [{name: c, version: 1.0.0}]\n",
            "declares the chart `c`",
        ),
    ] {
        let bad = package_declaring(name, more);
        std::fs::write(sandbox.src().join("bad.tar"), &bad).unwrap();
        for command in [
            &["verify", "bad.tar"][..],
            &["publish", "bad.tar", "oci-layout:layout"],
            &[
                "sign",
                "bad.tar",
                "--signing-key",
                "a/cosign.key",
                "--signing-key-pass",
                "pw",
            ],
            &["extract", "bad.tar", "-o", "out"],
        ] {
            let said = match command {
                ["publish", names @ ..] => super::publish::publish(&sandbox, names),
                _ => sandbox.run(&[&["package"], command].concat()),
            };
            assert_eq!(said.code, Some(5), "{command:?}: {}", said.stderr);
            assert!(
                said.stderr.contains(message),
                "{command:?}: {}",
                said.stderr
            );
        }
        assert!(std::fs::read(sandbox.src().join("bad.tar")).unwrap() == bad);
        assert!(!sandbox.src().join("layout").exists());
        assert!(!sandbox.src().join("out").exists());
    }
}
