//! Packages read from registries and web servers.

use std::path::{Path, PathBuf};

use jackal::oci::{Descriptor, Digest, Manifest, media_type};
use jackal::package::manifest::title;
use jackal::registry::{Options as ClientOptions, Registry};
use serde_json::Value;

use super::publish::{Rehearsal, built, publish};
use super::sandbox::{Said, Sandbox};

const ARCHIVE: &str = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";

fn published(faults: &[&str]) -> (Sandbox, Rehearsal) {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(faults));
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    registry.requests();
    (sandbox, registry)
}

/// A registry that delays requests for one of the components.
fn published_and_slow() -> (Sandbox, Rehearsal) {
    let (sandbox, registry) = published(&[]);
    let (_, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let mut layers = manifest.layers.iter();
    let tree = layers.find(|layer| title(layer) == Some("components/tree.tar"));
    let hex = tree.unwrap().digest.hex();
    let slow = format!("kinds=slow,delay=60000ms,match=^GET .*{hex}");
    let registry = Rehearsal::with_faults(&[&slow]);
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    (sandbox, registry)
}

/// Runs a command with its own cache, as on another machine.
pub fn elsewhere(sandbox: &Sandbox, args: &[&str]) -> Said {
    let cache = sandbox.src().join("../other-cache");
    let mut command = sandbox.command(args);
    let out = command.env("JACKAL_CACHE", cache).output().unwrap();
    Said {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

fn blob_bytes(registry: &Rehearsal) -> u64 {
    let requests = registry.requests();
    let blobs = requests.iter().filter(|r| r.path.contains("/blobs/"));
    blobs.map(|r| r.bytes_out).sum()
}

#[test]
fn a_pulled_archive_equals_the_built_one_byte_for_byte() {
    let (sandbox, registry) = published(&[]);
    let source = registry.at("x/demo:1.0.0");
    let pull = ["package", "pull", "-a", "amd64", &source, "-o", "pulled"];
    let said = elsewhere(&sandbox, &pull);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = "pulled/jackal-package-demo-amd64-1.0.0.tar.zst";
    assert_eq!(said.stdout.trim(), archive);
    let read = |path: &str| std::fs::read(sandbox.src().join(path)).unwrap();
    assert!(read(archive) == read(ARCHIVE));
    // A tag that moves meanwhile changes nothing: it is resolved once, and everything
    // else is read by digest.
    let requests = registry.requests();
    let by_tag = requests.iter().filter(|r| r.path.ends_with("/1.0.0"));
    assert_eq!(by_tag.count(), 1, "{requests:?}");
    // A second time, all blobs are cached.
    let said = elsewhere(&sandbox, &[&pull[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["blobs"]["fetched"], 0, "{told}");
    // By digest, for any architecture; and split.
    let digest = registry.manifest("x/demo:1.0.0", "amd64").0.to_string();
    let source = registry.at(&format!("x/demo@{digest}"));
    let said = elsewhere(
        &sandbox,
        &["package", "pull", "-a", "arm64", &source, "-o", "again"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn inspecting_and_comparing_download_only_documents() {
    let (sandbox, registry) = published(&[]);
    let (_, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let size_of = |names: &[&str]| -> u64 {
        let layers = manifest.layers.iter();
        layers
            .filter(|layer| names.contains(&title(layer).unwrap()))
            .map(|layer| layer.size)
            .sum()
    };
    let documents = size_of(&["jackal.yaml", "checksums.txt"]);
    registry.requests();
    let source = registry.at("x/demo:1.0.0");
    let said = elsewhere(&sandbox, &["package", "inspect", "-a", "amd64", &source]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("name: demo"), "{}", said.stdout);
    assert_eq!(blob_bytes(&registry), documents);
    let said = elsewhere(
        &sandbox,
        &["package", "diff", "-a", "amd64", &source, &source],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests();
    assert!(requests.len() <= 10, "{requests:?}");
    let moved: u64 = requests
        .iter()
        .filter(|r| r.path.contains("/blobs/"))
        .map(|r| r.bytes_out)
        .sum();
    assert_eq!(moved, 2 * (documents + size_of(&["sboms.tar"])));
    let said = elsewhere(&sandbox, &["package", "verify", "-a", "amd64", &source]);
    assert!(said.stdout.contains(": verified "), "{}", said.stdout);
    let said = elsewhere(
        &sandbox,
        &["package", "extract", "-a", "amd64", &source, "components"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(sandbox.src().join("demo/components/tree.tar").is_file());
    let said = elsewhere(&sandbox, &["package", "inspect", "-a", "s390x", &source]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("only for amd64"), "{}", said.stderr);
}

#[test]
fn an_interrupted_pull_resumes_with_the_blobs_it_has() {
    let (sandbox, registry) = published(&["kinds=403,match=^GET .*/blobs/,after=4,count=1"]);
    let source = registry.at("x/demo:1.0.0");
    let pull = [
        "package",
        "pull",
        "-a",
        "amd64",
        "--oci-concurrency",
        "1",
        &source,
        "--json",
    ];
    let said = elsewhere(&sandbox, &pull);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        !sandbox
            .src()
            .join("jackal-package-demo-amd64-1.0.0.tar.zst")
            .exists()
    );
    let said = elsewhere(&sandbox, &pull);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(told["blobs"]["cached"].as_u64().unwrap() >= 2, "{told}");
}

#[test]
fn broken_connections_and_flipped_bytes_never_pass_as_the_package() {
    let (sandbox, registry) = published(&["kinds=truncate,match=^GET .*/blobs/,count=3"]);
    let source = registry.at("x/demo:1.0.0");
    let said = elsewhere(
        &sandbox,
        &["package", "pull", "-a", "amd64", &source, "-o", "p"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let read = |path: &str| std::fs::read(sandbox.src().join(path)).unwrap();
    assert!(read("p/jackal-package-demo-amd64-1.0.0.tar.zst") == read(ARCHIVE));
    let (sandbox, registry) = published(&["kinds=garble,match=^GET .*/manifests/sha256,after=1"]);
    let source = registry.at("x/demo:1.0.0");
    let said = elsewhere(&sandbox, &["package", "pull", "-a", "amd64", &source]);
    assert_ne!(said.code, Some(0));
}

#[test]
fn a_manifest_that_puts_other_content_under_a_name_is_refused() {
    let (sandbox, registry) = published(&[]);
    let (_, mut manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let layer = |name: &str| {
        let mut places = manifest.layers.iter();
        places.position(|layer| title(layer) == Some(name)).unwrap()
    };
    let (tool, tree) = (layer("components/tool.tar"), layer("components/tree.tar"));
    let other = manifest.layers[tree].clone();
    manifest.layers[tool].digest = other.digest;
    manifest.layers[tool].size = other.size;
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let swapped = registry.put_manifest("x/demo", media_type::MANIFEST, &bytes);
    let source = registry.at(&format!("x/demo@{swapped}"));
    for command in ["verify", "pull", "extract"] {
        let said = elsewhere(&sandbox, &["package", command, &source]);
        assert_eq!(said.code, Some(5), "{command}: {}", said.stderr);
        assert!(
            said.stderr.contains("`components/tool.tar` has digest"),
            "{}",
            said.stderr
        );
    }
    let said = publish(
        &sandbox,
        &["-a", "amd64", &source, &registry.at("y"), "--tag", "1"],
    );
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    // Another media type is not a package. That of images had those of v0.27 and older.
    for kind in [media_type::EMPTY, "text/plain"] {
        let mut other = registry.manifest("x/demo:1.0.0", "amd64").1;
        other.config.media_type = kind.to_owned();
        let bytes = serde_json::to_vec(&other).unwrap();
        let digest = registry.put_manifest("x/demo", media_type::MANIFEST, &bytes);
        let source = registry.at(&format!("x/demo@{digest}"));
        let said = elsewhere(&sandbox, &["package", "verify", &source]);
        assert_eq!(said.code, Some(5), "{kind}: {}", said.stderr);
    }
    // Names that leave the package, and duplicate names.
    for name in ["../evil", "/etc/passwd", "components/tree.tar"] {
        let mut bad = manifest.clone();
        let key = "org.opencontainers.image.title".to_owned();
        bad.layers[tool].annotations.insert(key, name.to_owned());
        let bytes = serde_json::to_vec(&bad).unwrap();
        let digest = registry.put_manifest("x/demo", media_type::MANIFEST, &bytes);
        let source = registry.at(&format!("x/demo@{digest}"));
        let said = elsewhere(&sandbox, &["package", "pull", &source]);
        assert_eq!(said.code, Some(5), "{name}: {}", said.stderr);
    }
}

/// The published package with other bytes, or none, in place of a component's tar;
/// its definition and checksums agree with them.
fn with_tool(registry: &Rehearsal, tar: Option<&[u8]>) -> String {
    let (_, mut manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let client = Registry::new(ClientOptions::default());
    let reference = format!("{}/x/demo", registry.host()).parse().unwrap();
    let of = |name: &str, manifest: &Manifest| {
        let mut layers = manifest.layers.iter();
        layers.position(|layer| title(layer) == Some(name)).unwrap()
    };
    let text = |place: usize, manifest: &Manifest| {
        let read = client.read_blob(&reference, &manifest.layers[place]);
        String::from_utf8(registry.block_on(read).unwrap().to_vec()).unwrap()
    };
    let replace = |place: usize, bytes: &[u8], manifest: &mut Manifest| {
        let layer = &mut manifest.layers[place];
        layer.digest = registry.put_blob("x/demo", bytes);
        layer.size = bytes.len() as u64;
    };
    let (place, sums) = (
        of("components/tool.tar", &manifest),
        of("checksums.txt", &manifest),
    );
    let (definition, old) = (of("jackal.yaml", &manifest), text(sums, &manifest));
    let line = |digest: &Digest| format!("{} components/tool.tar\n", digest.hex());
    let before = line(&manifest.layers[place].digest);
    let new = old.replace(
        &before,
        &tar.map_or(String::new(), |tar| line(&Digest::of(tar))),
    );
    let mut lines: Vec<&str> = new.lines().collect();
    lines.sort_unstable();
    let new = lines.join("\n") + "\n";
    let [old, hex] = [&old, &new].map(|text| Digest::of(text.as_bytes()).hex());
    let yaml = text(definition, &manifest).replace(&old, &hex);
    replace(definition, yaml.as_bytes(), &mut manifest);
    replace(sums, new.as_bytes(), &mut manifest);
    match tar {
        Some(tar) => replace(place, tar, &mut manifest),
        None => drop(manifest.layers.remove(place)),
    }
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = registry.put_manifest("x/demo", media_type::MANIFEST, &bytes);
    registry.at(&format!("x/demo@{digest}"))
}

#[test]
fn a_component_that_is_missing_or_cannot_be_unpacked_is_refused_by_every_command() {
    let (sandbox, registry) = published(&[]);
    let mut tar = tar::Builder::new(Vec::new());
    for _ in 0..2 {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        let name = "tool/files/0/tool";
        tar.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let twice = tar.into_inner().unwrap();
    for (tar, message, copied) in [
        (None, "which is not in `components/tool.tar`", false),
        (Some(&b""[..]), "too small for what `tool` declares", false),
        // A copy between registries does not read it.
        (Some(&twice[..]), "two entries named", true),
    ] {
        let source = with_tool(&registry, tar);
        for command in ["verify", "pull", "extract"] {
            let unarchive: &[&str] = match command {
                "extract" => &["--unarchive"],
                _ => &[],
            };
            let args = [&["package", command, &source], unarchive].concat();
            let said = elsewhere(&sandbox, &args);
            assert_eq!(said.code, Some(5), "{command}: {}", said.stderr);
            assert!(said.stderr.contains(message), "{command}: {}", said.stderr);
        }
        let args = ["-a", "amd64", &source, &registry.at("y"), "--tag", "1"];
        let code = publish(&sandbox, &args).code;
        assert_eq!(code, Some(if copied { 0 } else { 5 }));
    }
}

#[test]
fn a_package_from_the_web_needs_a_checksum_and_is_read_like_a_local_one() {
    let (sandbox, registry) = published(&[]);
    let bytes = std::fs::read(sandbox.src().join(ARCHIVE)).unwrap();
    let digest = registry.put_blob("files", &bytes);
    let address = format!("http://{}/v2/files/blobs/{digest}", registry.host());
    // The URL ends in a digest that belongs to the server's path.
    let said = elsewhere(&sandbox, &["package", "inspect", &address]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("--shasum"), "{}", said.stderr);
    let given = format!("{address}@{digest}");
    let said = elsewhere(&sandbox, &["package", "verify", &given]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let wrong = Digest::of(b"x").to_string();
    let said = elsewhere(
        &sandbox,
        &["package", "inspect", &address, "--shasum", &wrong],
    );
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    let said = elsewhere(&sandbox, &["package", "inspect", "ftp://x/y"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn a_limit_on_the_content_holds_for_a_package_in_a_registry_before_a_file_is_fetched() {
    let (sandbox, registry) = published(&[]);
    let source = registry.at("x/demo:1.0.0");
    for command in ["verify", "extract", "pull"] {
        let run = |size: &str| {
            let size = format!("--max-content-size={size}");
            let mut args = vec!["package", command, "-a", "amd64", &source, &size];
            if command != "verify" {
                args.extend(["-o", "out"]);
            }
            sandbox.run(&args)
        };
        // Each look at the requests empties their list.
        blob_bytes(&registry);
        let refused = run("1KB");
        assert_eq!(refused.code, Some(5), "{}", refused.stderr);
        let told = refused
            .stderr
            .contains("more than the 1000 that --max-content-size allows");
        assert!(told, "{}", refused.stderr);
        assert_eq!(blob_bytes(&registry), 0, "{command}");
        assert!(!sandbox.src().join("out").exists());
        let taken = run("1GB");
        assert_eq!(taken.code, Some(0), "{}", taken.stderr);
        if command != "verify" {
            std::fs::remove_dir_all(sandbox.src().join("out")).unwrap();
        }
    }
}

#[test]
fn tags_are_listed_across_pages_in_version_order() {
    let (sandbox, registry) = published(&[]);
    for tag in ["1.10.0", "1.2.0", "latest"] {
        let said = publish(&sandbox, &[ARCHIVE, &registry.at("x"), "--tag", tag]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let said = elsewhere(&sandbox, &["package", "list-tags", &registry.at("x/demo")]);
    let tags: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(tags, ["1.0.0", "1.2.0", "1.10.0", "latest"]);
    let absent = registry.at("x/other");
    let said = elsewhere(&sandbox, &["package", "list-tags", &absent]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let message = format!("no such repository, or it is empty: `{absent}`");
    assert!(said.stderr.contains(&message), "{}", said.stderr);
    let said = elsewhere(&sandbox, &["package", "list-tags", ARCHIVE]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn a_tag_of_something_else_is_explained_and_a_missing_tag_suggests_where_to_look() {
    let (sandbox, registry) = published(&[]);
    let inspect = |source: &str, more: &[&str]| {
        let args = ["package", "inspect", "files", "-a", "amd64", source];
        elsewhere(&sandbox, &[&args[..], more].concat())
    };
    let wanted = "0".repeat(64);
    let tagged = registry.at("x/demo:1.0.0");
    let said = inspect(&tagged, &["--shasum", &wanted]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    let index = serde_json::to_vec(&registry.index("x/demo:1.0.0").unwrap()).unwrap();
    let found = Digest::of(&index).to_string();
    assert!(said.stderr.contains(&found), "{}", said.stderr);
    assert!(said.stderr.contains(&wanted), "{}", said.stderr);
    let said = inspect(&registry.at("x/demo"), &[]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("list-tags oci://"), "{}", said.stderr);
    // A tag that was given needs no suggestion.
    let said = inspect(&registry.at("x/demo:latest"), &[]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let said = inspect(&registry.at("x/demo"), &["--shasum", &wanted]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let (digest, _) = registry.manifest("x/demo:1.0.0", "amd64");
    let named = registry.at(&format!("x/demo@{digest}"));
    assert_eq!(inspect(&named, &["--shasum", &digest.hex()]).code, Some(0));
    let said = inspect(&named, &["--shasum", &wanted]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn a_missing_credentials_file_is_reported_once_a_login_is_required() {
    let (sandbox, open) = published(&[]);
    let closed = Rehearsal::new(jackal::rehearsal::Options {
        login: Some(jackal::rehearsal::Login {
            user: "u".to_owned(),
            password: "p".to_owned(),
            token_ttl: None,
        }),
        ..Default::default()
    });
    for (source, code) in [
        (ARCHIVE.to_owned(), 0),
        (open.at("x/demo:1.0.0"), 0),
        (closed.at("x/demo:1.0.0"), 4),
    ] {
        let mut command = sandbox.command(&["package", "inspect", "-a", "amd64", &source]);
        let command = command.env("REGISTRY_AUTH_FILE", "absent.json");
        let out = command.output().unwrap();
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(code), "{stderr}");
        let told = stderr.contains("`absent.json` (REGISTRY_AUTH_FILE)");
        assert_eq!(told, code == 4, "{stderr}");
    }
}

#[test]
fn waiting_commands_end_at_the_first_signal_and_leave_nothing() {
    let (sandbox, registry) = published_and_slow();
    let source = registry.at("x/demo:1.0.0");
    let half = || {
        let files = std::fs::read_dir(sandbox.src()).unwrap();
        let mut names = files.map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().starts_with(".jackal-tmp"))
    };
    let args = ["package", "extract", "-a", "amd64", &source, "-o", "out"];
    let mut extracting = sandbox.command(&args);
    let extracting = extracting.env("JACKAL_CACHE", sandbox.src().join("../other-cache"));
    let mut extracting = extracting.spawn().unwrap();
    while !half() {
        let ended = extracting.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        std::thread::yield_now();
    }
    end(&extracting);
    assert_eq!(extracting.wait().unwrap().code(), Some(143));
    assert!(!half() && !sandbox.src().join("out").exists());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("oci://{}/x:1", silent.local_addr().unwrap());
    for what in ["verify", "inspect", "list-tags"] {
        let mut waiting = sandbox
            .command(&["package", what, &source])
            .spawn()
            .unwrap();
        let _asked = silent.accept().unwrap();
        end(&waiting);
        assert_eq!(waiting.wait().unwrap().code(), Some(143), "{what}");
    }
}

fn end(child: &std::process::Child) {
    let process = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn referrers_are_found_with_the_api_without_it_and_when_it_is_only_claimed() {
    use jackal::registry::{Options as ClientOptions, Registry};
    for kind in ["generic", "distribution", "ecr"] {
        let registry = Rehearsal::new(jackal::rehearsal::Options {
            profile: kind.parse().unwrap(),
            ..Default::default()
        });
        let sandbox = built();
        publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
        let (subject, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
        let repository = format!("{}/x/demo", registry.host()).parse().unwrap();
        let size = serde_json::to_vec(&manifest).unwrap().len() as u64;
        for note in ["one", "two"] {
            let mut speaks = manifest.clone();
            speaks.artifact_type = Some("application/vnd.example".to_owned());
            speaks.subject = Some(Descriptor {
                media_type: media_type::MANIFEST.to_owned(),
                ..Descriptor::blob(subject, size)
            });
            speaks
                .annotations
                .insert("note".to_owned(), note.to_owned());
            let bytes = bytes::Bytes::from(serde_json::to_vec(&speaks).unwrap());
            for _ in 0..2 {
                registry.attach("x/demo", &bytes);
            }
        }
        let client = Registry::new(ClientOptions::default());
        let found = registry
            .block_on(client.referrers(&repository, subject))
            .unwrap();
        assert_eq!(found.len(), 2, "{kind}: {found:?}");
        let kind = Some("application/vnd.example");
        assert!(found.iter().all(|d| d.artifact_type.as_deref() == kind));
    }
}

#[test]
fn without_permission_to_list_referrers_a_pull_succeeds_with_a_warning() {
    let (sandbox, registry) = published(&["kinds=403,match=^GET .*/referrers/"]);
    let source = registry.at("x/demo:1.0.0");
    let pull = ["package", "pull", "-a", "amd64", &source, "-o", "pulled"];
    let said = elsewhere(&sandbox, &pull);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot list the signatures"),
        "{}",
        said.stderr
    );
    // If a signature is required, this is an error.
    sandbox.run(&["tools", "gen-key", "-o", "keys"]);
    let said = elsewhere(
        &sandbox,
        &[&pull[..], &["--key", "keys/cosign.pub"]].concat(),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
}

#[test]
fn an_interrupted_pull_leaves_no_file_and_says_how_to_continue() {
    let (sandbox, registry) = published_and_slow();
    let (_, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let files = manifest.layers.len();
    let source = registry.at("x/demo:1.0.0");
    let pull = ["package", "pull", "-a", "amd64", &source, "-o", "pulled"];
    let cache = sandbox.src().join("../other-cache");
    let mut command = sandbox.command(&pull);
    command.env("JACKAL_CACHE", &cache);
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let folder = sandbox.src().join("pulled");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let blobs = cache.join("v1/blobs/sha256");
    // All files have come but the slow one.
    while entries(&blobs)
        .iter()
        .flat_map(|part| entries(part))
        .count()
        < files - 1
    {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("no archive was written"), "{stderr}");
    assert_eq!(entries(&folder).len(), 0);
}

#[test]
fn a_pull_from_a_silent_registry_ends_at_the_first_signal() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("oci://{}/x:1", silent.local_addr().unwrap());
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["package", "pull", &source, "-o", "pulled"]);
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    // It has sent a request, and waits.
    let _asked = silent.accept().unwrap();
    end(&child);
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(143), "{stderr}");
    assert!(stderr.contains("nothing was written"), "{stderr}");
    assert!(!sandbox.src().join("pulled").exists());
}
