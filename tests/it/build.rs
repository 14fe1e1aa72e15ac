//! `jackal build` of a folder: what runs, what is cached, what it produces.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::sandbox::{Sandbox, said, settle, with_umask};

const TREE: [&str; 3] = ["component:tree", "package", "sbom:component:tree"];

#[test]
fn a_second_build_runs_nothing_and_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.package();
    assert_eq!(sandbox.executed().len(), 5);
    let (cache, archive) = (sandbox.cached_files(), sandbox.archive_sum());
    let written = fs::metadata(sandbox.archive()).unwrap().modified().unwrap();
    let tasks = sandbox.build(&[]);
    assert!(
        tasks.iter().all(|(_, status)| status == "cached"),
        "{tasks:?}"
    );
    // That there is nothing to do is kept once.
    let is_kept = |path: &Path| path.starts_with(sandbox.cache().join("v1/null"));
    let mut after = sandbox.cached_files();
    after.retain(|(path, _)| !is_kept(path));
    assert!(after == cache, "the cache was written");
    sandbox.build(&[]);
    let kept = sandbox.cached_files();
    sandbox.build(&[]);
    assert!(
        sandbox.cached_files() == kept,
        "the cache was written again"
    );
    assert_eq!(sandbox.archive_sum(), archive);
    let after = fs::metadata(sandbox.archive()).unwrap().modified().unwrap();
    assert_eq!(after, written);
}

#[test]
fn a_changed_file_runs_its_component_its_sbom_and_the_package_only() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    sandbox.write("tree/d1/f1", "changed\n");
    let why = sandbox.run(&["why", "component:tree"]);
    assert!(
        why.stdout.contains("file `tree/d1/f1` changed"),
        "{}",
        why.stdout
    );
    assert_eq!(sandbox.executed(), TREE);
}

#[test]
fn the_archive_is_a_package_that_verifies_and_that_tar_reads() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let archive = sandbox.archive();
    let verified = sandbox.run(&["package", "verify", archive.to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let tar = zstd::decode_all(fs::File::open(&archive).unwrap()).unwrap();
    let mut tar = tar::Archive::new(&tar[..]);
    let names: Vec<String> = tar
        .entries()
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        names,
        [
            "jackal.yaml",
            "checksums.txt",
            "sboms.tar",
            "components/tool.tar",
            "components/tree.tar"
        ]
    );
}

/// Each mutation with the tasks that must run again.
#[test]
fn every_change_that_matters_is_a_miss_and_no_other_is() {
    type Mutation = (&'static str, fn(&Sandbox), &'static [&'static str]);
    let mutations: [Mutation; 10] = [
        (
            "touch only",
            |s| {
                let file = fs::File::options()
                    .append(true)
                    .open(s.src().join("tree/d0/f0"))
                    .unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
            },
            &[],
        ),
        (
            "edit and revert",
            |s| {
                s.write("tree/d0/f0", "other\n");
                s.write("tree/d0/f0", "0\n");
            },
            &[],
        ),
        (
            "an unrelated file",
            |s| s.write("README.md", "hello\n"),
            &[],
        ),
        (
            "the executable bit of a file in a folder",
            |s| {
                let path = s.src().join("tree/d0/f0");
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            },
            &TREE,
        ),
        (
            "group and other bits",
            |s| {
                let path = s.src().join("tree/d0/f3");
                fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
            },
            &[],
        ),
        (
            "no bit for group and others: a private file",
            |s| {
                let path = s.src().join("tree/d0/f3");
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            },
            &["component:tree", "package", "sbom:component:tree"],
        ),
        (
            "a link that leads to equal bytes elsewhere",
            |s| {
                s.write("tree/d0/copy", "0\n");
                s.build(&[]);
                fs::remove_file(s.src().join("tree/link")).unwrap();
                symlink("d0/copy", s.src().join("tree/link")).unwrap();
            },
            &TREE,
        ),
        (
            "an empty folder",
            |s| {
                fs::create_dir(s.src().join("tree/second")).unwrap();
            },
            &TREE,
        ),
        (
            "a file of the same size, its time set back",
            |s| {
                let path = s.src().join("tree/d0/f6");
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                s.write("tree/d0/f6", "9\n");
                let file = fs::File::options().append(true).open(path).unwrap();
                file.set_modified(time).unwrap();
            },
            &TREE,
        ),
        (
            "the description of the package",
            |s| {
                let text = fs::read_to_string(s.src().join("jackal.yaml")).unwrap();
                s.write(
                    "jackal.yaml",
                    text.replace("  name: demo\n", "  name: demo\n  description: x\n"),
                );
            },
            &["package"],
        ),
    ];
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    for (name, mutate, expected) in mutations {
        mutate(&sandbox);
        settle();
        assert_eq!(sandbox.executed(), expected, "{name}");
    }
}

#[test]
fn a_deleted_or_altered_archive_is_written_again_without_running_anything() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let sum = sandbox.archive_sum();
    fs::remove_file(sandbox.archive()).unwrap();
    assert!(sandbox.executed().is_empty());
    assert_eq!(sandbox.archive_sum(), sum);
    fs::write(sandbox.archive(), "altered").unwrap();
    assert!(sandbox.executed().is_empty());
    assert_eq!(sandbox.archive_sum(), sum);
}

#[test]
fn damaged_and_truncated_blobs_are_never_used_and_are_repaired() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let sum = sandbox.archive_sum();
    for damage in [true, false] {
        for (path, bytes) in sandbox.cached_files() {
            if !path.to_string_lossy().contains("/blobs/") {
                continue;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let mut bytes = bytes;
            if damage {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            } else {
                bytes.truncate(bytes.len() / 2);
            }
            fs::write(&path, bytes).unwrap();
        }
        fs::remove_file(sandbox.archive()).unwrap();
        sandbox.build(&[]);
        assert_eq!(sandbox.archive_sum(), sum, "flipped: {damage}");
    }
}

#[test]
fn force_runs_everything_and_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    let sum = sandbox.archive_sum();
    let tasks = sandbox.build(&["--force"]);
    assert!(
        tasks.iter().all(|(_, status)| status == "executed"),
        "{tasks:?}"
    );
    assert_eq!(sandbox.archive_sum(), sum);
}

#[test]
fn the_archive_depends_on_nothing_but_the_sources() {
    let mut sums = Vec::new();
    for (round, umask) in ["022", "077", "002"].iter().enumerate() {
        for zone in ["UTC", "Asia/Tokyo"] {
            for locale in ["C", "de_DE.UTF-8"] {
                for jobs in ["1", "2"] {
                    let sandbox = Sandbox::new();
                    if round == 1 {
                        // Another order of creation gives another order of listing.
                        for number in (0..20).rev() {
                            sandbox.write(&format!("tree/d{}/f{number}", number % 3), "");
                        }
                    }
                    sandbox.package();
                    let mut command = sandbox.command(&["build", "-j", jobs]);
                    command
                        .env("TZ", zone)
                        .env("LC_ALL", locale)
                        .env("USER", umask);
                    let built = said(&mut with_umask(&mut command, umask));
                    assert_eq!(built.code, Some(0), "{}", built.stderr);
                    sums.push(sandbox.archive_sum());
                }
            }
        }
    }
    assert_eq!(sums.len(), 24);
    sums.dedup();
    assert_eq!(sums.len(), 1);
}

#[test]
fn an_archive_is_for_those_who_may_read_its_sources() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let tool = sandbox.src().join("tool.sh");
    let source = |mode| fs::set_permissions(&tool, fs::Permissions::from_mode(mode)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    source(0o644);
    sandbox.build(&[]);
    // What the umask leaves of 0644.
    let all = mode(&sandbox.archive());
    let bytes = fs::read(sandbox.archive()).unwrap();
    for (of_source, of_archive) in [(0o640, 0o640), (0o600, 0o600), (0o644, 0o644)] {
        source(of_source);
        // Made the first time, from the cache the second time.
        for _ in 0..2 {
            sandbox.build(&[]);
            assert_eq!(mode(&sandbox.archive()), of_archive & all, "{of_source:o}");
            fs::remove_file(sandbox.archive()).unwrap();
        }
        sandbox.build(&[]);
        assert!(
            fs::read(sandbox.archive()).unwrap() == bytes,
            "{of_source:o}"
        );
    }
    // In parts, and what is made of it.
    source(0o600);
    let noise: Vec<u8> = (0..40_000_u32)
        .flat_map(|n| *jackal::oci::Digest::of(&n.to_le_bytes()).as_bytes())
        .collect();
    sandbox.write("tree/noise", noise);
    sandbox.build(&["--max-package-size", "1"]);
    let part = |number: u32| {
        let mut name = sandbox.archive().into_os_string();
        name.push(format!(".part{number:03}"));
        PathBuf::from(name)
    };
    for number in 0..2 {
        assert_eq!(mode(&part(number)), 0o600 & all, "{number}");
    }
    let header = part(0);
    let args = ["package", "pull", header.to_str().unwrap(), "-o", "copy"];
    let said = sandbox.run(&args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let copy = sandbox.src().join("copy");
    for entry in fs::read_dir(copy).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn all_files_of_a_fresh_cache_have_one_mode() {
    // Blobs hold what their sources hold, which may be private.
    let expected = 0o600;
    for umask in ["022", "002", "077"] {
        let sandbox = Sandbox::new();
        sandbox.package();
        settle();
        let built = said(&mut with_umask(&mut sandbox.command(&["build"]), umask));
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        let cached = sandbox.cached_files();
        assert!(cached.len() > 10, "{}", cached.len());
        let wrong = cached.iter().filter_map(|(path, _)| {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            (mode != expected).then(|| format!("{mode:o} {}", path.display()))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn a_time_given_in_the_environment_is_in_the_package() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let mut command = sandbox.command(&["build"]);
    command.env("SOURCE_DATE_EPOCH", "1704164645");
    assert_eq!(said(&mut command).code, Some(0));
    let archive = sandbox.archive();
    let shown = sandbox.run(&["package", "inspect", archive.to_str().unwrap()]);
    assert!(
        shown.stdout.contains("Tue, 02 Jan 2024 03:04:05 +0000"),
        "{}",
        shown.stdout
    );
    command.env("SOURCE_DATE_EPOCH", "yesterday");
    assert_eq!(said(&mut command).code, Some(2));
}

#[test]
fn a_killed_build_leaves_nothing_wrong_behind() {
    let sandbox = Sandbox::new();
    sandbox.package();
    // Large enough to be killed while it is written.
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    sandbox.write("tree/large", large);
    settle();
    sandbox.build(&[]);
    let sum = sandbox.archive_sum();
    for round in 0..12 {
        fs::remove_dir_all(sandbox.cache()).unwrap();
        fs::remove_dir_all(sandbox.src().join("dist")).unwrap();
        let mut child = sandbox
            .command(&["build"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3 + 11 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.build(&[]);
        assert_eq!(sandbox.archive_sum(), sum);
        let left = fs::read_dir(sandbox.cache().join("v1/ingest"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "unfinished files stay in the cache");
        let dist = fs::read_dir(sandbox.src().join("dist")).unwrap().count();
        assert_eq!(dist, 1, "unfinished archives stay beside the archive");
    }
}

#[test]
fn two_builds_at_once_agree() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let mut children: Vec<_> = (0..4)
        .map(|number| {
            let output = format!("out{number}");
            sandbox
                .command(&["build", "--output", &output])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let name = "jackal-package-demo-amd64-1.0.0.tar.zst";
    let archives: Vec<Vec<u8>> = (0..4)
        .map(|number| fs::read(sandbox.src().join(format!("out{number}")).join(name)).unwrap())
        .collect();
    assert!(archives.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_split_archive_joins_to_the_whole_one() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let noise: Vec<u8> = (0..80_000_u32)
        .flat_map(|n| *jackal::oci::Digest::of(&n.to_le_bytes()).as_bytes())
        .collect();
    sandbox.write("tree/noise", noise);
    sandbox.build(&[]);
    let whole = fs::read(sandbox.archive()).unwrap();
    sandbox.build(&["--max-package-size", "1"]);
    let mut joined = Vec::new();
    for number in 1..=whole.len().div_ceil(1_000_000) {
        let mut name = sandbox.archive().into_os_string();
        name.push(format!(".part{number:03}"));
        joined.extend(fs::read(name).unwrap());
    }
    assert!(joined == whole);
    assert!(!sandbox.archive().exists());
}

#[test]
fn mistakes_and_failures_have_their_own_exit_codes_and_leave_no_archive() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let good = fs::read_to_string(sandbox.src().join("jackal.yaml")).unwrap();
    let cases = [
        (
            good.replace("target: /srv/tree", "taget: /srv/tree"),
            3,
            "jackal.yaml:",
        ),
        (
            good.replace("source: tree", "source: ../cache"),
            3,
            "jackal.yaml:9:13: `../cache` leads out of",
        ),
        (good.replace("source: tree", "source: absent"), 3, "absent"),
        (
            good.clone() + "- name: image\n  images:\n  - 127.0.0.1:9/a/b:1\n",
            4,
            "127.0.0.1:9/a/b:1",
        ),
        (
            good.clone() + "- name: image\n  images: [\"UPPER/x\"]\n",
            3,
            "UPPER/x",
        ),
    ];
    for (text, code, part) in cases {
        sandbox.write("jackal.yaml", text);
        let said = sandbox.run(&["build"]);
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        assert!(said.stderr.contains(part), "{part} not in {}", said.stderr);
        assert!(!sandbox.archive().exists());
    }
    sandbox.write(
        "jackal.yaml",
        good + "- name: image\n  images:\n  - 127.0.0.1:9/a/b:1\n",
    );
    for flag in ["--locked", "--offline"] {
        let said = sandbox.run(&["build", flag]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains("jackal update"), "{}", said.stderr);
    }
    fs::remove_file(sandbox.src().join("jackal.yaml")).unwrap();
    assert_eq!(sandbox.run(&["build"]).code, Some(3));
}

#[test]
fn a_dry_run_reports_what_would_run_and_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let said = sandbox.run(&["build", "--dry-run"]);
    assert!(
        said.stdout
            .contains("runs     component:tree: never run here"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("depends  package: on "),
        "{}",
        said.stdout
    );
    assert!(!sandbox.archive().exists());
    sandbox.build(&[]);
    let said = sandbox.run(&["build", "--dry-run=json"]);
    let tasks: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let tasks = tasks.as_array().unwrap();
    assert!(
        tasks.iter().all(|task| task["status"] == "cached"),
        "{tasks:?}"
    );
}

#[test]
fn a_workspace_builds_every_package_in_it_and_graph_names_their_tasks() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.write(
            &format!("pkg/{name}/jackal.yaml"),
            format!(
                "kind: JackalPackageConfig\nmetadata:\n  name: {name}\n  architecture: amd64\n\
                 components:\n- name: c\n  files:\n  - source: f\n    target: /f\n"
            ),
        );
        sandbox.write(&format!("pkg/{name}/f"), name);
    }
    sandbox.build(&[]);
    for name in ["one", "two"] {
        let archive = format!("dist/jackal-package-{name}-amd64.tar.zst");
        assert!(sandbox.src().join(archive).exists());
    }
    let graph = sandbox.run(&["graph", "--format", "mermaid"]);
    assert!(graph.stdout.contains("pkg/one:package"), "{}", graph.stdout);
    assert_eq!(sandbox.build(&["pkg/two"]).len(), 3);
}

#[test]
fn the_readmes_example_builds_and_its_sbom_lists_the_contents() {
    let sandbox = Sandbox::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo");
    let output = sandbox.src().join("out");
    let said = sandbox.run(&[
        "build",
        example,
        "-a",
        "amd64",
        "-o",
        output.to_str().unwrap(),
    ]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = output.join("jackal-package-demo-amd64-1.0.0.tar.zst");
    assert_eq!(said.stdout, format!("{}\n", archive.display()));
    let tar = zstd::decode_all(fs::File::open(archive).unwrap()).unwrap();
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains("\"name\":\"demo-site\""));
}

#[test]
fn links_of_a_checkout_lead_no_archive_out_of_it() {
    let sandbox = Sandbox::new();
    sandbox.package();
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    let outside = sandbox.src().join("../outside");
    fs::create_dir(&outside).unwrap();
    symlink("../outside", sandbox.src().join("dist")).unwrap();
    let out = sandbox.run(&["build"]);
    assert_eq!(out.code, Some(3), "{}", out.stderr);
    for part in [
        "`dist` is a symbolic link to `../outside`",
        "help: name the folder with --output",
    ] {
        assert!(out.stderr.contains(part), "{}", out.stderr);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // The user may name it.
    let out = sandbox.run(&["build", "-o", "dist"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // A link within the workspace is the checkout's own matter.
    fs::remove_file(sandbox.src().join("dist")).unwrap();
    fs::create_dir(sandbox.src().join("out")).unwrap();
    symlink("out", sandbox.src().join("dist")).unwrap();
    sandbox.build(&[]);
    assert!(sandbox.archive().exists());
    // A command may put a link there while the build runs.
    fs::remove_file(sandbox.src().join("dist")).unwrap();
    symlink("../outside", sandbox.src().join("away")).unwrap();
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  \
         l: { run: [ln, -s, away, dist], inputs: [], outputs: [{ path: dist }], tools: [ln] }\n  \
         c: { component: { definition: jackal.yaml, name: tree }, dependsOn: [l] }\n  \
         d: { component: { definition: jackal.yaml, name: tool }, dependsOn: [l] }\n  \
         p: { package: { definition: jackal.yaml, components: [c, d] } }\n",
    );
    fs::remove_dir_all(&outside).unwrap();
    fs::create_dir(&outside).unwrap();
    let out = sandbox.run(&["build", "jackal.pipeline.yaml"]);
    assert_eq!(out.code, Some(3), "{}", out.stderr);
    assert!(
        out.stderr.contains("`dist` is a symbolic link to `away`"),
        "{}",
        out.stderr
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}
