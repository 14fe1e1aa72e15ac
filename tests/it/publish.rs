//! `jackal package publish` and `jackal release`, with the built-in registry.

use std::sync::Arc;

use jackal::oci::{Descriptor, Digest, Index, Manifest, media_type};
use jackal::registry::{Options as ClientOptions, Registry};
use jackal::rehearsal::{Fault, Login, Options, Request, Server};
use serde_json::Value;

use super::sandbox::{HEAD, Said, Sandbox};

/// A registry that runs beside the program.
pub struct Rehearsal {
    runtime: tokio::runtime::Runtime,
    server: Server,
}

impl Rehearsal {
    pub fn new(options: Options) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(options)).unwrap();
        Self { runtime, server }
    }

    pub fn with_faults(faults: &[&str]) -> Self {
        let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap());
        Self::new(Options {
            faults: faults.collect(),
            ..Options::default()
        })
    }

    /// `oci://HOST/path`
    pub fn at(&self, path: &str) -> String {
        format!("oci://{}/{path}", self.server.address())
    }

    pub fn host(&self) -> String {
        self.server.address()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.server.take_requests()
    }

    /// The index at a tag.
    pub fn index(&self, path: &str) -> Option<Index> {
        let reference = format!("{}/{path}", self.server.address());
        let reference = reference.parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let found = self.runtime.block_on(client.find(&reference)).unwrap();
        found.map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap())
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Stores a manifest under its digest.
    pub fn put_manifest(&self, repository: &str, kind: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let reference = format!("{}/{repository}@{digest}", self.host());
        let reference = reference.parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let pushed = client.push_manifest(&reference, kind, &bytes);
        self.runtime.block_on(pushed).unwrap();
        digest
    }

    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let descriptor = jackal::oci::Descriptor::of("a/b", bytes);
        let source = jackal::release::WithDocuments::new([bytes.to_vec()], Arc::new(Nothing));
        let source: jackal::registry::BlobSource = Arc::new(source);
        let to = format!("{}/{repository}", self.host()).parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let pushed = client.push_blob(&to, &descriptor, &source, Default::default());
        self.runtime.block_on(pushed).unwrap();
        descriptor.digest
    }

    /// Deletes a manifest.
    pub fn delete(&self, repository: &str, name: &str) {
        use std::io::{Read as _, Write as _};
        let host = self.host();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        let request = format!(
            "DELETE /v2/{repository}/manifests/{name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// Moves a tag to an index.
    pub fn put_index(&self, path: &str, index: &Index) {
        let bytes = serde_json::to_vec(index).unwrap();
        self.put_tag(path, media_type::INDEX, &bytes);
    }

    /// Moves a tag to a manifest.
    pub fn put_tag(&self, path: &str, kind: &str, bytes: &[u8]) {
        let reference = format!("{}/{path}", self.host()).parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let pushed = client.push_manifest(&reference, kind, &bytes);
        self.runtime.block_on(pushed).unwrap();
    }

    /// The manifest at a tag.
    pub fn document(&self, path: &str) -> Vec<u8> {
        let reference = format!("{}/{path}", self.host()).parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let found = self.runtime.block_on(client.find(&reference)).unwrap();
        found.unwrap().1.to_vec()
    }

    /// The first layer of a manifest.
    pub fn layer(&self, repository: &str, manifest: &Digest) -> Vec<u8> {
        let manifest = self.document(&format!("{repository}@{manifest}"));
        let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
        let repository = format!("{}/{repository}", self.host()).parse().unwrap();
        let client = Registry::new(ClientOptions::default());
        let read = client.read_blob(&repository, &manifest.layers[0]);
        self.runtime.block_on(read).unwrap()
    }

    /// Attaches a stored or new manifest to its subject.
    pub fn attach(&self, repository: &str, bytes: &[u8]) {
        let subject = serde_json::from_slice::<Manifest>(bytes).unwrap().subject;
        let to = format!("{}/{repository}", self.host()).parse().unwrap();
        let manifests = [bytes::Bytes::copy_from_slice(bytes)];
        let client = Registry::new(ClientOptions::default());
        self.runtime.block_on(async {
            let attached = client.attach(&to, subject.unwrap().digest, &manifests);
            let mut attached = attached.await.unwrap();
            client.settle_referrers(&mut attached).await.unwrap();
        });
    }

    /// Whether a repository has a blob.
    pub fn holds(&self, repository: &str, blob: &jackal::oci::Descriptor) -> bool {
        let reference = format!("{}/{repository}", self.server.address());
        let client = Registry::new(ClientOptions::default());
        let read = async { client.read_blob(&reference.parse().unwrap(), blob).await };
        self.runtime.block_on(read).is_ok()
    }

    /// The manifest that the index at a tag has for `architecture`.
    pub fn manifest(&self, path: &str, architecture: &str) -> (Digest, Manifest) {
        let index = self.index(path).unwrap();
        let entry = jackal::package::manifest::entry(&index, architecture).unwrap();
        let reference = format!("{}/{path}", self.server.address());
        let client = Registry::new(ClientOptions::default());
        let bytes = self
            .runtime
            .block_on(client.manifest(&reference.parse().unwrap(), entry))
            .unwrap();
        (entry.digest, serde_json::from_slice(&bytes).unwrap())
    }
}

/// A package archive of the sandbox's package.
pub fn built() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.build(&[]);
    sandbox
}

pub const ARCHIVE: &str = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";

pub fn publish(sandbox: &Sandbox, args: &[&str]) -> Said {
    let state = sandbox.src().join("../state");
    let state = state.to_str().unwrap().to_owned();
    sandbox.run(&[&["package", "publish", "--state-dir", &state], args].concat())
}

fn journals(sandbox: &Sandbox) -> usize {
    let entries = std::fs::read_dir(sandbox.src().join("../state"));
    entries.map_or(0, |entries| entries.count())
}

#[test]
fn a_second_publish_of_the_same_package_writes_nothing() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("team")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("/team/demo:1.0.0 amd64"),
        "{}",
        said.stdout
    );
    let (_, manifest) = registry.manifest("team/demo:1.0.0", "amd64");
    let mut titles: Vec<&str> = manifest
        .layers
        .iter()
        .map(|layer| jackal::package::manifest::title(layer).unwrap())
        .collect();
    titles.sort_unstable();
    let files = [
        "checksums.txt",
        "components/tool.tar",
        "components/tree.tar",
        "jackal.yaml",
        "sboms.tar",
    ];
    assert_eq!(titles, files);
    let order: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
    assert!(order.is_sorted());
    registry.requests();
    let again = publish(&sandbox, &[ARCHIVE, &registry.at("team"), "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let told: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(told[0]["unchanged"], true);
    let requests = registry.requests();
    assert!(requests.len() <= 2, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|r| r.method != "PUT" && r.method != "POST")
    );
    assert_eq!(journals(&sandbox), 0);
}

#[test]
fn tags_move_only_after_everything_is_uploaded_and_read_back() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    let requests = registry.requests();
    let place = |found: &dyn Fn(&Request) -> bool| {
        requests
            .iter()
            .position(found)
            .unwrap_or_else(|| panic!("{requests:?}"))
    };
    let tag = place(&|r| r.method == "PUT" && r.path.ends_with("/manifests/1.0.0"));
    let staged = place(&|r| r.method == "PUT" && r.path.contains("/manifests/sha256:"));
    let read = place(&|r| r.method == "GET" && r.path.contains("/manifests/sha256:"));
    assert!(staged < read && read < tag, "{requests:?}");
    let last = requests.iter().rposition(|r| r.path.contains("/blobs/"));
    assert!(last.unwrap() < staged);
}

#[test]
fn a_tag_of_another_package_is_refused_with_both_digests_unless_it_may_move() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    let (before, _) = registry.manifest("x/demo:1.0.0", "amd64");
    sandbox.write("tool.sh", "#!/bin/sh\necho changed\n");
    sandbox.build(&[]);
    registry.requests();
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(said.stderr.contains(&before.to_string()), "{}", said.stderr);
    assert!(said.stderr.contains("--move-tag"), "{}", said.stderr);
    assert_eq!(said.stderr.matches("sha256:").count(), 2, "{}", said.stderr);
    assert!(registry.requests().iter().all(|r| r.method == "GET"));
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x"), "--move-tag"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_ne!(registry.manifest("x/demo:1.0.0", "amd64").0, before);
}

#[test]
fn an_immutable_tag_accepts_the_same_package_and_refuses_another() {
    let sandbox = built();
    let registry = Rehearsal::new(Options {
        immutable: true,
        ..Options::default()
    });
    for _ in 0..2 {
        let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    sandbox.write("tool.sh", "#!/bin/sh\necho changed\n");
    sandbox.build(&[]);
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x"), "--move-tag"]);
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(
        said.stderr.contains("publish under another version"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_package_is_copied_between_repositories_without_its_bytes_passing_through() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    publish(&sandbox, &[ARCHIVE, &registry.at("one")]);
    let (digest, manifest) = registry.manifest("one/demo:1.0.0", "amd64");
    registry.requests();
    let source = registry.at("one/demo:1.0.0");
    let said = publish(&sandbox, &["-a", "amd64", &source, &registry.at("two")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(registry.manifest("two/demo:1.0.0", "amd64").0, digest);
    let requests = registry.requests();
    let up: u64 = requests
        .iter()
        .filter(|r| r.path.contains("/blobs/"))
        .map(|r| r.bytes_in)
        .sum();
    assert_eq!(up, 0, "{requests:?}");
    let documents: Vec<u64> = manifest
        .layers
        .iter()
        .filter(|layer| {
            let title = jackal::package::manifest::title(layer).unwrap();
            title == "jackal.yaml" || title == "checksums.txt"
        })
        .map(|layer| layer.size)
        .collect();
    let down: u64 = requests
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains("/blobs/"))
        .map(|r| r.bytes_out)
        .sum();
    assert_eq!(down, documents.iter().sum::<u64>(), "{requests:?}");
    // Bytes go to another host without touching this disk.
    let other = Rehearsal::with_faults(&[]);
    let said = publish(&sandbox, &["-a", "amd64", &source, &other.at("three")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(other.manifest("three/demo:1.0.0", "amd64").0, digest);
}

#[test]
fn a_folder_with_a_definition_is_published_as_a_skeleton_beside_the_package() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    let said = publish(&sandbox, &[".", &registry.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let index = registry.index("x/demo:1.0.0").unwrap();
    let architectures: Vec<&str> = index
        .manifests
        .iter()
        .map(|entry| entry.platform.as_ref().unwrap().architecture.as_str())
        .collect();
    assert_eq!(architectures, ["amd64", "skeleton"]);
}

#[test]
fn faults_lead_to_success_or_an_error_and_never_to_wrong_bytes() {
    let sandbox = built();
    let clean = Rehearsal::with_faults(&[]);
    publish(&sandbox, &[ARCHIVE, &clean.at("x")]);
    let (wanted, manifest) = clean.manifest("x/demo:1.0.0", "amd64");
    let mut successes = 0;
    for seed in 0..12 {
        let fault = format!(
            "rate=0.3,seed={seed},delay=5ms,kinds=429+500+502+reset+truncate+slow+lying-head+lost-write+garble"
        );
        let folder = tempfile::tempdir().unwrap();
        let serve = |faults| {
            Rehearsal::new(Options {
                folder: Some(folder.path().to_owned()),
                faults,
                ..Options::default()
            })
        };
        let faulty = serve(vec![fault.parse().unwrap()]);
        let said = publish(&sandbox, &[ARCHIVE, &faulty.at("x")]);
        drop(faulty);
        let visible = said.code == Some(0);
        successes += usize::from(visible);
        if !visible {
            assert!(said.stderr.contains("error: "), "{}", said.stderr);
            continue;
        }
        let registry = serve(Vec::new());
        let (found, _) = registry.manifest("x/demo:1.0.0", "amd64");
        assert_eq!(found, wanted);
        for layer in &manifest.layers {
            assert!(registry.holds("x/demo", layer), "{layer:?}");
        }
    }
    // Which requests fail depends on their order, which no seed fixes.
    assert!(successes >= 4, "{successes} of 12");
}

#[test]
fn a_registry_that_loses_every_upload_is_detected_and_no_tag_moves() {
    let sandbox = built();
    let registry = Rehearsal::with_faults(&["kinds=lost-write,match=^PUT .*/blobs/"]);
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("loses uploads"), "{}", said.stderr);
    assert!(registry.index("x/demo:1.0.0").is_none());
    let registry = Rehearsal::with_faults(&["kinds=lying-head,match=^HEAD .*/blobs/"]);
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_ne!(said.code, Some(0));
    assert!(registry.index("x/demo:1.0.0").is_none());
}

#[test]
fn requests_stay_below_the_rate_limit() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    let flag = "--max-requests-per-second";
    for wrong in ["0", "-1", "x", "r.example=", "1e-9", "NaN"] {
        let said = publish(
            &sandbox,
            &[ARCHIVE, &registry.at("x"), &format!("{flag}={wrong}")],
        );
        assert_eq!(said.code, Some(2), "{wrong}: {}", said.stderr);
    }
    // Without a rate limit it takes less than a second.
    let rate = format!("{}=8", registry.host());
    let begin = std::time::Instant::now();
    let said = publish(
        &sandbox,
        &[ARCHIVE, &registry.at("x"), flag, &rate, flag, "0.01"],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests().len() as u32;
    let least = std::time::Duration::from_millis(125) * (requests - 1);
    assert!(requests > 20, "{requests} requests");
    assert!(
        begin.elapsed() >= least,
        "{requests} in {:?}",
        begin.elapsed()
    );
}

#[test]
fn an_empty_machine_rebuilds_only_the_changed_one_of_fifty_components() {
    let registry = Rehearsal::with_faults(&[]);
    let (here, there) = (Sandbox::new(), Sandbox::new());
    let size = 100_000;
    let mut definition = "kind: JackalPackageConfig\n\
                          metadata: {name: demo, version: 1.0.0, architecture: amd64}\n\
                          components:\n"
        .to_owned();
    for n in 0..50_u8 {
        definition += &format!("- {{name: c{n}, files: [{{source: f{n}, target: /f}}]}}\n");
        // Incompressible.
        let noise = (0..size / 32).flat_map(|i: u32| {
            let hex = Digest::of(format!("{n} {i}").as_bytes()).hex();
            hex.into_bytes().into_iter().take(32)
        });
        let noise: Vec<u8> = noise.collect();
        for sandbox in [&here, &there] {
            sandbox.write(&format!("f{n}"), &noise);
        }
    }
    for sandbox in [&here, &there] {
        sandbox.write("jackal.yaml", &definition);
    }
    there.write("f7", vec![7; size as usize]);
    let to = registry.at("x");
    let create = ["package", "create", "--confirm", "-o", &to, "-a", "amd64"];
    let said = here.run(&create);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    registry.requests();
    let from = registry.at("x/demo:1.0.0");
    let other = registry.at("y");
    let record = there.src().join("run.json");
    let record = record.to_str().unwrap();
    let create = [
        "package",
        "create",
        "--confirm",
        "-o",
        &other,
        "-a",
        "amd64",
    ];
    let flags = ["--cache-from", &from, "--summary", record];
    let said = there.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests();
    let down: u64 = requests.iter().map(|r| r.bytes_out).sum();
    let up: u64 = requests.iter().map(|r| r.bytes_in).sum();
    let one = u64::from(size);
    assert!(
        down < 2 * one && up < 2 * one + 50_000,
        "down {down}, up {up}"
    );
    let told: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let tasks = told["tasks"].as_array().unwrap().iter();
    let executed = tasks.filter(|task| task["status"] == "executed");
    let mut executed: Vec<&str> = executed.filter_map(|task| task["task"].as_str()).collect();
    executed.sort_unstable();
    let expected = ["component:c7", "package", "publish", "sbom:component:c7"];
    assert_eq!(executed, expected);
}

#[test]
fn only_blobs_that_the_registry_falsely_reported_are_sent_again() {
    let sandbox = built();
    let registry = Rehearsal::with_faults(&["kinds=lying-head,match=^HEAD .*/blobs/,count=1"]);
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests();
    let is_upload = |r: &&Request| r.method == "PUT" && r.path.contains("digest=");
    let uploads = requests.iter().filter(is_upload).count();
    let (_, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    assert_eq!(uploads, manifest.layers.len() + 1, "{requests:?}");
    let expected = format!("uploaded {uploads} blobs");
    assert!(said.stdout.contains(&expected), "{}", said.stdout);
}

#[test]
fn an_upload_that_is_lost_behind_a_lying_head_is_sent_again() {
    let sandbox = built();
    std::fs::rename(sandbox.archive(), sandbox.src().join("one.tar.zst")).unwrap();
    sandbox.write("tool.sh", "#!/bin/sh\necho changed\n");
    super::sandbox::settle();
    sandbox.build(&[]);
    let teaching = Rehearsal::with_faults(&[]);
    publish(&sandbox, &[ARCHIVE, &teaching.at("x")]);
    let (two, manifest) = teaching.manifest("x/demo:1.0.0", "amd64");
    let mut layers = manifest.layers.iter();
    let title = jackal::package::manifest::title;
    let tool = layers.find(|layer| title(layer) == Some("components/tool.tar"));
    let hex = tool.unwrap().digest.hex();
    // Other blobs exist already, so that the first upload is not doubted.
    let registry = Rehearsal::with_faults(&[
        &format!("kinds=lost-write,match=^PUT .*{hex},count=1"),
        &format!("kinds=lying-head,match=^HEAD .*{hex},after=1,count=1"),
    ]);
    let to = registry.at("x");
    let said = publish(&sandbox, &["one.tar.zst", &to]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = publish(&sandbox, &[ARCHIVE, &to, "--move-tag"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(registry.manifest("x/demo:1.0.0", "amd64").0, two);
    assert!(registry.holds("x/demo", tool.unwrap()));
}

#[test]
fn an_interrupted_release_is_listed_and_can_be_resumed_or_aborted() {
    let sandbox = built();
    let registry = Rehearsal::with_faults(&["kinds=403,match=^PUT .*/manifests/1.0.0,count=2"]);
    let state = sandbox.src().join("../state");
    let state = state.to_str().unwrap().to_owned();
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("`jackal release resume`"),
        "{}",
        said.stderr
    );
    // An unreadable journal does not hide the others.
    let broken = sandbox.src().join("../state/00.journal");
    std::fs::write(&broken, "{\n").unwrap();
    let status = sandbox.run(&["release", "status", "--state-dir", &state]);
    assert!(status.stdout.contains("staged"), "{}", status.stdout);
    assert_eq!(status.code, Some(4), "{}", status.stderr);
    assert!(status.stderr.contains("00.journal"), "{}", status.stderr);
    assert!(status.stderr.contains("line 1"), "{}", status.stderr);
    std::fs::remove_file(&broken).unwrap();
    let said = sandbox.run(&["release", "resume", "--state-dir", &state]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let aborted = sandbox.run(&["release", "abort", "--state-dir", &state]);
    assert!(
        aborted.stdout.contains("no tag was moved"),
        "{}",
        aborted.stdout
    );
    assert_eq!(journals(&sandbox), 0);
    let registry = Rehearsal::with_faults(&["kinds=403,match=^PUT .*/manifests/1.0.0,count=1"]);
    publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    registry.requests();
    let said = sandbox.run(&["release", "resume", "--state-dir", &state]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let sent: u64 = registry
        .requests()
        .iter()
        .filter(|r| r.path.contains("/blobs/"))
        .map(|r| r.bytes_in)
        .sum();
    assert_eq!(sent, 0);
    assert_eq!(journals(&sandbox), 0);
    assert!(registry.index("x/demo:1.0.0").is_some());
}

#[test]
fn a_login_is_used_tokens_are_renewed_and_the_secret_is_never_printed() {
    let sandbox = built();
    for token_ttl in [None, Some(std::time::Duration::from_millis(250))] {
        let slow = "kinds=slow,delay=60ms".parse::<Fault>().unwrap();
        let registry = Rehearsal::new(Options {
            faults: vec![slow],
            login: Some(Login {
                user: "u".to_owned(),
                password: "s3cret-canary".to_owned(),
                token_ttl,
            }),
            ..Options::default()
        });
        let refused = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
        assert!(refused.stderr.contains("log in"), "{}", refused.stderr);
        let auth = "dTpzM2NyZXQtY2FuYXJ5";
        let config = format!(
            r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#,
            registry.host()
        );
        let state = sandbox.src().join("../state");
        let mut command = sandbox.command(&["package", "publish", ARCHIVE, &registry.at("x")]);
        command
            .env("DOCKER_AUTH_CONFIG", config)
            .env("JACKAL_STATE_DIR", state);
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{text}");
        let asked = registry.requests();
        let tokens = asked.iter().filter(|r| r.path.starts_with("/token"));
        // Several tokens expire on the way; each request asks for one at most.
        assert_eq!(tokens.count() > 1, token_ttl.is_some(), "{asked:?}");
        assert!(!text.contains("canary") && !text.contains(auth), "{text}");
    }
}

/// A store without blobs.
pub struct Nothing;

impl jackal::content::Fetch for Nothing {
    fn fetch(
        &self,
        _: &jackal::oci::Descriptor,
    ) -> std::io::Result<Box<dyn std::io::Read + Send + '_>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

#[test]
fn publishers_of_different_architectures_do_not_overwrite_each_other() {
    let registry = Rehearsal::with_faults(&["rate=0.5,kinds=slow,delay=40ms,seed=3"]);
    let sandbox = Sandbox::new();
    let names = ["amd64", "arm64", "riscv64", "s390x"];
    for architecture in names {
        sandbox.write(
            &format!("{architecture}/jackal.yaml"),
            format!(
                "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: 1.0.0\n  architecture: {architecture}\ncomponents:\n- name: a\n"
            ),
        );
        let said = sandbox.run(&["package", "create", architecture, "--confirm"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    for round in 0..2 {
        let path = format!("round{round}");
        std::thread::scope(|scope| {
            for architecture in names {
                let (sandbox, to) = (&sandbox, registry.at(&path));
                scope.spawn(move || {
                    let archive = format!("jackal-package-demo-{architecture}-1.0.0.tar.zst");
                    let said = publish(sandbox, &[&archive, &to]);
                    assert_eq!(said.code, Some(0), "{}", said.stderr);
                });
            }
        });
        let index = registry.index(&format!("{path}/demo:1.0.0")).unwrap();
        assert_eq!(index.manifests.len(), names.len(), "{index:?}");
    }
}

/// A pipeline that packs and publishes the sandbox's package.
fn pipeline(to: &str, more: &str) -> String {
    format!(
        "{HEAD}tasks:\n  \
         tree: {{component: {{definition: jackal.yaml, name: tree}}}}\n  \
         tool: {{component: {{definition: jackal.yaml, name: tool}}}}\n  \
         package: {{package: {{definition: jackal.yaml, components: [tree, tool]}}}}\n  \
         publish: {{publish: {{packages: package, to: '{to}'{more}}}}}\n"
    )
}

#[test]
fn a_pipeline_publishes_from_the_cache_and_an_unchanged_run_writes_nothing() {
    let registry = Rehearsal::with_faults(&[]);
    let sandbox = Sandbox::new();
    sandbox.package();
    let more = ", tags: ['1.0.0', nightly], moveTags: true";
    sandbox.write("p.yaml", pipeline(&registry.at("x"), more));
    let ran = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        ran.iter().all(|(_, status)| status == "executed"),
        "{ran:?}"
    );
    let (digest, _) = registry.manifest("x/demo:1.0.0", "amd64");
    assert_eq!(registry.manifest("x/demo:nightly", "amd64").0, digest);
    registry.requests();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert!(
        said.stderr.contains("the registry is always checked"),
        "{}",
        said.stderr
    );
    let night = registry.requests();
    assert!(night.len() <= 5, "{night:?}");
    assert!(
        night
            .iter()
            .all(|r| r.method == "GET" || r.method == "HEAD")
    );
    // A real change sends its component and the documents.
    sandbox.write("tool.sh", "#!/bin/sh\necho changed\n");
    super::sandbox::settle();
    sandbox.build(&["--pipeline", "p.yaml"]);
    let (changed, manifest) = registry.manifest("x/demo:nightly", "amd64");
    assert_ne!(changed, digest);
    let sent = registry.requests();
    let is_sent = |layer: &jackal::oci::Descriptor| {
        let hex = layer.digest.hex();
        let mut puts = sent.iter().filter(|r| r.method == "PUT");
        puts.any(|r| r.path.contains("digest=") && r.path.ends_with(&hex))
    };
    let layers = manifest.layers.iter().filter(|layer| is_sent(layer));
    let mut titles: Vec<&str> = layers
        .filter_map(jackal::package::manifest::title)
        .collect();
    titles.sort_unstable();
    assert_eq!(
        titles,
        ["checksums.txt", "components/tool.tar", "jackal.yaml"]
    );
}

#[test]
fn damaged_cache_entries_are_rebuilt_before_publishing() {
    let (first, second) = (Rehearsal::with_faults(&[]), Rehearsal::with_faults(&[]));
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.write("p.yaml", pipeline(&first.at("x"), ""));
    sandbox.build(&["--pipeline", "p.yaml"]);
    let (digest, manifest) = first.manifest("x/demo:1.0.0", "amd64");
    let damage = |name: &str, gone: bool| {
        let title = jackal::package::manifest::title;
        let mut layers = manifest.layers.iter();
        let layer = layers.find(|layer| title(layer) == Some(name)).unwrap();
        let hex = layer.digest.hex();
        let cached = sandbox.cached_files().into_iter();
        let mut cached = cached.filter(|(path, _)| path.ends_with(&hex));
        let (path, mut bytes) = cached.next().unwrap();
        bytes[0] ^= 1;
        std::fs::remove_file(&path).unwrap();
        if !gone {
            std::fs::write(&path, bytes).unwrap();
        }
    };
    let files = ["components/tree.tar", "jackal.yaml"];
    let cases = files.map(|name| [(name, false), (name, true)]);
    for (number, (name, gone)) in cases.into_iter().flatten().enumerate() {
        // A new repository each time, because existing blobs are not read.
        for to in [
            second.at(&number.to_string()),
            format!("oci-layout:{number}"),
        ] {
            damage(name, gone);
            sandbox.write("p.yaml", pipeline(&to, ""));
            sandbox.build(&["--pipeline", "p.yaml"]);
        }
        let tag = format!("{number}/demo:1.0.0");
        assert_eq!(second.manifest(&tag, "amd64").0, digest, "{name}");
    }
}

#[test]
fn a_failing_registry_of_results_costs_only_a_build() {
    let teaching = Rehearsal::with_faults(&[]);
    let here = Sandbox::new();
    here.package();
    let create = ["package", "create", "--confirm", "-a", "amd64", "-o"];
    here.run(&[&create[..], &[&teaching.at("x")]].concat());
    let (digest, manifest) = teaching.manifest("x/demo:1.0.0", "amd64");
    let title = jackal::package::manifest::title;
    let mut layers = manifest.layers.iter();
    let tree = layers.find(|layer| title(layer) == Some("components/tree.tar"));
    let fault = format!("kinds=503,match=^GET .*{}", tree.unwrap().digest.hex());
    let lending = Rehearsal::with_faults(&[&fault]);
    let said = here.run(&[&create[..], &[&lending.at("x")]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let there = Sandbox::new();
    there.package();
    let from = lending.at("x/demo:1.0.0");
    let flags = [&teaching.at("y"), "--cache-from", &from];
    let said = there.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let made = "executed component:tree";
    assert!(said.stderr.contains(made), "{}", said.stderr);
    assert_eq!(teaching.manifest("y/demo:1.0.0", "amd64").0, digest);
}

#[test]
fn a_pipeline_reports_a_tag_of_another_package_like_publish_does() {
    let registry = Rehearsal::with_faults(&[]);
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.write("p.yaml", pipeline(&registry.at("x"), ""));
    sandbox.build(&["--pipeline", "p.yaml"]);
    sandbox.write("tool.sh", "#!/bin/sh\necho changed\n");
    super::sandbox::settle();
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(said.stderr.contains("`moveTags: true`"), "{}", said.stderr);
}

#[test]
fn a_missing_source_is_not_damage_and_an_invalid_tag_is_a_usage_error() {
    let (sandbox, from) = (built(), Rehearsal::with_faults(&[]));
    let said = publish(&sandbox, &[ARCHIVE, &from.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (_, manifest) = from.manifest("x/demo:1.0.0", "amd64");
    let title = jackal::package::manifest::title;
    let mut layers = manifest.layers.iter();
    let tree = layers.find(|layer| title(layer) == Some("components/tree.tar"));
    let fault = format!("kinds=404,match=^GET .*{}", tree.unwrap().digest.hex());
    let (from, to) = (
        Rehearsal::with_faults(&[&fault]),
        Rehearsal::with_faults(&[]),
    );
    let said = publish(&sandbox, &[ARCHIVE, &from.at("x")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let source = from.at("x/demo:1.0.0");
    let said = publish(&sandbox, &["-a", "amd64", &source, &to.at("y")]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(to.index("y/demo:1.0.0").is_none());
    for tag in ["a b", "-a", &"a".repeat(129)] {
        let said = publish(&sandbox, &[ARCHIVE, &to.at("y"), &format!("--tag={tag}")]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains("--tag"), "{}", said.stderr);
    }
    let said = publish(&sandbox, &[ARCHIVE, "oci-layout:jackal.yaml"]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("choose another place"),
        "{}",
        said.stderr
    );
}

#[test]
fn packages_that_cannot_be_published_are_reported_before_anything_runs() {
    let sandbox = Sandbox::new();
    sandbox.package();
    for (to, more, message) in [
        (
            "https://r.io/x",
            "",
            "p.yaml:8:46: task `publish`: invalid destination `https://",
        ),
        ("oci://r.io/x:1", "", "invalid destination"),
        ("oci://nohost/x", "", "`oci://nohost/x`: `nohost/x` is not"),
        (
            "oci-layout:out",
            ", mirrors: [oci://r.io/UP]",
            "p.yaml:8:73: task `publish`: `oci://r.io/UP`",
        ),
        (
            "oci-layout:out",
            ", tags: ['a b']",
            "p.yaml:8:70: task `publish` publishes under the tag `a b`",
        ),
        (
            "oci-layout:out",
            ", when: always",
            "p.yaml:8:70: `when` cannot be `always`",
        ),
        (
            "oci-layout:out",
            ", signatures: tool",
            "lists `tool` under `signatures`, but it is not a `sign` task",
        ),
        ("oci-layout:out", ", moveTags: perhaps", "moveTags"),
    ] {
        sandbox.write("p.yaml", pipeline(to, more));
        let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(message), "{}", said.stderr);
        assert!(!said.stderr.contains("executed"), "{}", said.stderr);
    }
    sandbox.write("p.yaml", pipeline("oci://r.io/x", ""));
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--offline"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let message = "p.yaml:8:3: task `publish` publishes to a registry, which --offline forbids";
    assert!(said.stderr.contains(message), "{}", said.stderr);
    // The plan can be shown, and tasks that do not publish can run.
    for args in [&["graph"][..], &["build", "--dry-run"]] {
        let args = [args, &["--pipeline", "p.yaml", "--offline"]].concat();
        let said = sandbox.run(&args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let args = [
        "build",
        "--pipeline",
        "p.yaml",
        "--offline",
        "--task",
        "package",
    ];
    let said = sandbox.run(&args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let wrong = pipeline("oci-layout:out", "").replace("packages: package", "packages: tool");
    sandbox.write("p.yaml", wrong);
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("it is not a `package` task"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_artifact_that_zarf_published_is_verified_pulled_and_copied_unchanged() {
    let registry = Rehearsal::with_faults(&[]);
    let sandbox = Sandbox::new();
    let tar = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/packages/zarf-0.84-published.tar"
    );
    let folder = sandbox.src().join("layout");
    tar::Archive::new(std::fs::File::open(tar).unwrap())
        .unpack(&folder)
        .unwrap();
    let folder = folder.join("published");
    let read = |digest: Digest| {
        let path = folder.join("blobs/sha256").join(digest.hex());
        std::fs::read(path).unwrap()
    };
    let top = std::fs::read(folder.join("index.json")).unwrap();
    let top: Index = serde_json::from_slice(&top).unwrap();
    let mut found = top.manifests[0].clone();
    if jackal::oci::media_type::is_index(&found.media_type) {
        let index: Index = serde_json::from_slice(&read(found.digest)).unwrap();
        found = index.manifests[0].clone();
    }
    let manifest: Manifest = serde_json::from_slice(&read(found.digest)).unwrap();
    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
        registry.put_blob("zarf/interop", &read(blob.digest));
    }
    let pushed = registry.put_manifest("zarf/interop", &found.media_type, &read(found.digest));
    assert_eq!(pushed, found.digest);
    let source = registry.at(&format!("zarf/interop@{pushed}"));
    let said = sandbox.run(&["package", "verify", &source]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = publish(&sandbox, &[&source, &registry.at("copy")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(registry.manifest("copy/interop:1.2.3", "amd64").0, pushed);
    let said = sandbox.run(&["package", "pull", &source, "-o", "pulled"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // Publishing the archive sends the same layers.
    let archive = "pulled/zarf-package-interop-amd64-1.2.3.tar.zst";
    let said = publish(&sandbox, &[archive, &registry.at("again")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (_, again) = registry.manifest("again/interop:1.2.3", "amd64");
    assert_eq!(again.layers, manifest.layers);
    assert_eq!(again.annotations, manifest.annotations);
}

#[test]
fn create_publishes_without_an_archive_and_a_published_package_is_a_base() {
    let registry = Rehearsal::with_faults(&[]);
    let sandbox = Sandbox::new();
    sandbox.package();
    let to = registry.at("x");
    let create = ["package", "create", "--confirm", "-o", &to];
    let said = sandbox.run(&create);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (digest, _) = registry.manifest("x/demo:1.0.0", "amd64");
    let expected = format!("{to}/demo:1.0.0@{digest}");
    assert_eq!(said.stdout.trim(), expected);
    let archives = std::fs::read_dir(sandbox.src()).unwrap();
    let names = archives.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains(".tar")));
    // The same package from an archive has the same manifest.
    sandbox.build(&[]);
    let said = publish(&sandbox, &[ARCHIVE, &to]);
    assert!(
        said.stdout.contains("unchanged"),
        "{} {}",
        said.stdout,
        said.stderr
    );
    // As a base it has the same version, which is refused.
    let base = format!("{to}/demo:1.0.0");
    let said = sandbox.run(&[
        "package",
        "create",
        "--confirm",
        "--differential",
        &base,
        "-a",
        "amd64",
    ]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("1.0.0"), "{}", said.stderr);
}

#[test]
fn every_kind_of_registry_stores_and_returns_a_package() {
    let sandbox = built();
    for profile in jackal::registry::PROFILES {
        let registry = Rehearsal::new(Options {
            profile: *profile,
            ..Options::default()
        });
        let to = registry.at("x");
        let kind = format!("{}={profile}", registry.host());
        let said = publish(&sandbox, &[ARCHIVE, &to, "--registry-profile", &kind]);
        assert_eq!(said.code, Some(0), "{profile}: {}", said.stderr);
        let source = format!("{to}/demo:1.0.0");
        let folder = format!("pulled-{profile}");
        let pull = ["package", "pull", "-a", "amd64", &source, "-o", &folder];
        let said = sandbox.run(&[&pull[..], &["--cache-dir", &folder]].concat());
        assert_eq!(said.code, Some(0), "{profile}: {}", said.stderr);
        let read = |path: &str| std::fs::read(sandbox.src().join(path)).unwrap();
        let archive = format!("{folder}/jackal-package-demo-amd64-1.0.0.tar.zst");
        assert!(read(&archive) == read(ARCHIVE), "{profile}");
    }
}

#[test]
fn an_empty_machine_reuses_unchanged_parts_of_the_published_package() {
    let registry = Rehearsal::with_faults(&[]);
    let (here, there) = (Sandbox::new(), Sandbox::new());
    let bill = "  bill: {sbom: {of: [tree, tool]}}\n  \
                made: {run: [sh, -c, 'mkdir d; echo 1 > d/f'], inputs: [], outputs: [d/], tools: [sh]}\n";
    for sandbox in [&here, &there] {
        sandbox.package();
        let text = pipeline(&registry.at("x"), ", moveTags: true");
        let text = text.replace(
            "components: [tree, tool]",
            "components: [tree, tool], sboms: bill",
        );
        // An earlier task whose outputs are trees, which are not published.
        let text = text.replace("name: tool}}", "name: tool}, dependsOn: [made]}");
        sandbox.write("p.yaml", text + bill);
    }
    let before = here.build(&["--pipeline", "p.yaml"]);
    let count = |ran: &[(String, String)], word: &str| -> Vec<String> {
        let found = ran.iter().filter(|(_, status)| status == word);
        found.map(|(task, _)| task.clone()).collect()
    };
    assert!(count(&before, "cached").is_empty());
    let from = registry.at("x/demo:1.0.0");
    let flags = ["--pipeline", "p.yaml", "-a", "amd64", "--cache-from", &from];
    // The same sources elsewhere: only the package is made, which exists already, and
    // outputs that no package contains.
    let same = there.build(&flags);
    let executed = count(&same, "executed");
    assert_eq!(executed, ["made", "package", "publish"], "{same:?}");
    let (first, _) = registry.manifest("x/demo:1.0.0", "amd64");
    // One component changed on a third machine: only it and its documents are made.
    let third = Sandbox::new();
    third.package();
    third.write("p.yaml", std::fs::read(here.src().join("p.yaml")).unwrap());
    third.write("tool.sh", "#!/bin/sh\necho changed\n");
    super::sandbox::settle();
    let changed = third.build(&flags);
    let executed = count(&changed, "executed");
    assert!(!executed.contains(&"tree".to_owned()), "{changed:?}");
    assert!(executed.contains(&"tool".to_owned()), "{changed:?}");
    assert_ne!(registry.manifest("x/demo:1.0.0", "amd64").0, first);
    // A missing package, or results that cannot be fetched, only cost time.
    let fourth = Sandbox::new();
    fourth.package();
    fourth.write("p.yaml", pipeline("oci-layout:out", ""));
    let nowhere = registry.at("x/none:1");
    let said = fourth.run(&["build", "--pipeline", "p.yaml", "--cache-from", &nowhere]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("building without it"),
        "{}",
        said.stderr
    );
    let said = fourth.run(&["build", "--pipeline", "p.yaml", "--cache-from", "x"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

/// The scans of layers in the results that were published with a package.
fn published_scans(registry: &Rehearsal, path: &str) -> Vec<String> {
    let reference = format!("{}/{path}", registry.host());
    let reference: jackal::oci::Reference = reference.parse().unwrap();
    let client = jackal::registry::Registry::new(jackal::registry::Options::default());
    let (package, _) = registry.manifest(path, "amd64");
    registry.block_on(async {
        let found = client.referrers(&reference, package).await.unwrap();
        let kind = Some("application/vnd.jackal.results.v1+json");
        let mut found = found.iter();
        let found = found
            .find(|one| one.artifact_type.as_deref() == kind)
            .unwrap();
        let bytes = client.manifest(&reference, found).await.unwrap();
        let manifest: jackal::oci::Manifest = serde_json::from_slice(&bytes).unwrap();
        let bytes = client
            .read_blob(&reference, &manifest.config)
            .await
            .unwrap();
        let results: Value = serde_json::from_slice(&bytes).unwrap();
        let results = results["results"].as_array().unwrap().iter();
        let outputs = results.flat_map(|one| one["outputs"].as_array().unwrap());
        let scans = outputs.filter(|output| output["name"] == "scan");
        scans
            .map(|scan| scan["digest"].as_str().unwrap().to_owned())
            .collect()
    })
}

#[test]
fn a_layer_that_was_scanned_elsewhere_is_not_scanned_again() {
    let registry = Rehearsal::with_faults(&[]);
    let machine = |own: &str| {
        let sandbox = Sandbox::new();
        sandbox.write("base/package.json", r#"{"name":"base","version":"1.0.0"}"#);
        let text = format!(r#"{{"name":"own","version":"{own}"}}"#);
        sandbox.write("own/package.json", text);
        let definition = "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0}\n\
                          components: [{name: app, images: ['r.example/app:1']}]\n";
        sandbox.write("jackal.yaml", definition);
        let tasks = format!(
            "{HEAD}tasks:\n  \
             image: {{image: {{base: scratch, name: 'r.example/app:1', \
             layers: [{{from: base, to: /base}}, {{from: own, to: /own}}]}}}}\n  \
             bill: {{sbom: {{of: image}}}}\n  \
             package: {{package: {{definition: jackal.yaml, images: image, sboms: bill}}}}\n  \
             publish: {{publish: {{packages: package, to: '{}', moveTags: true}}}}\n",
            registry.at("x")
        );
        sandbox.write("p.yaml", tasks);
        sandbox
    };
    let from = registry.at("x/demo:1.0.0");
    let flags = ["--pipeline", "p.yaml", "-a", "amd64", "--cache-from", &from];
    machine("1.0.0").build(&flags[..4]);
    let first = published_scans(&registry, "x/demo:1.0.0");
    assert_eq!(first.len(), 2, "{first:?}");
    // One layer of two differs: the scan of the other is fetched, and published again.
    registry.requests();
    machine("2.0.0").build(&flags);
    let requests = registry.requests();
    let fetched = |scan: &&String| {
        let mut requests = requests.iter();
        requests.any(|request| request.method == "GET" && request.path.contains(scan.as_str()))
    };
    let fetched: Vec<&String> = first.iter().filter(fetched).collect();
    assert_eq!(fetched.len(), 1, "{requests:?}");
    let second = published_scans(&registry, "x/demo:1.0.0");
    assert_eq!(second.len(), 2);
    assert!(second.contains(fetched[0]));
    // Nothing differs: no scan is needed or fetched.
    registry.requests();
    machine("2.0.0").build(&flags);
    let requests = registry.requests();
    assert!(!second.iter().any(|scan| {
        let mut requests = requests.iter();
        requests.any(|request| request.method == "GET" && request.path.contains(scan.as_str()))
    }));
    assert_eq!(published_scans(&registry, "x/demo:1.0.0"), second);
}

#[test]
fn an_empty_machine_publishes_again_without_downloading_existing_layers() {
    let registry = Rehearsal::with_faults(&[]);
    let (here, there) = (Sandbox::new(), Sandbox::new());
    here.package();
    there.package();
    let to = registry.at("x");
    let create = ["package", "create", "--confirm", "-o", &to];
    let said = here.run(&create);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (first, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    let layer = |name: &str| {
        let mut layers = manifest.layers.iter();
        let found = layers.find(|layer| jackal::package::manifest::title(layer) == Some(name));
        found.unwrap().digest.hex()
    };
    let (tree, tool) = (layer("components/tree.tar"), layer("components/tool.tar"));
    registry.requests();
    let from = registry.at("x/demo:1.0.0");
    let flags = ["-a", "amd64", "--cache-from", &from];
    let said = there.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains(&first.to_string()), "{}", said.stdout);
    let requests = registry.requests();
    let moved = |requests: &[Request], hex: &str| {
        let mut found = requests.iter();
        found.any(|r| r.path.contains(hex) && (r.bytes_in > 0 || r.bytes_out > 0))
    };
    assert!(
        !moved(&requests, &tree) && !moved(&requests, &tool),
        "{requests:?}"
    );
    // One component changed, in another repository: one is sent, one is mounted.
    let third = Sandbox::new();
    third.package();
    third.write("tool.sh", "#!/bin/sh\necho changed\n");
    super::sandbox::settle();
    let other = registry.at("y");
    let create = ["package", "create", "--confirm", "-o", &other];
    let said = third.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests();
    assert!(!moved(&requests, &tree), "{requests:?}");
    assert!(
        requests
            .iter()
            .any(|r| r.path.contains("mount=") && r.path.contains(&tree))
    );
    // Copied elsewhere, it is unchanged.
    let far = Rehearsal::with_faults(&[]);
    let fourth = Sandbox::new();
    fourth.package();
    let other = far.at("z");
    let create = ["package", "create", "--confirm", "-o", &other];
    let said = fourth.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(far.manifest("z/demo:1.0.0", "amd64").0, first);
    // A task that needs the bytes after all, here a missing catalogue, fetches them.
    let bare = Sandbox::new();
    bare.package();
    let to = registry.at("bare");
    let create = ["package", "create", "--confirm", "-o", &to];
    let said = bare.run(&[&create[..], &["--skip-sbom"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let fifth = Sandbox::new();
    fifth.package();
    let from = registry.at("bare/demo:1.0.0");
    let other = registry.at("whole");
    let create = ["package", "create", "--confirm", "-o", &other];
    let flags = ["-a", "amd64", "--cache-from", &from];
    let said = fifth.run(&[&create[..], &flags].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(registry.manifest("whole/demo:1.0.0", "amd64").0, first);
}

#[test]
fn a_resumed_release_uses_the_package_it_started_with() {
    let sandbox = built();
    let fault = "kinds=403,match=^PUT /v2/y/demo/manifests/1.0.0,count=1";
    let registry = Rehearsal::with_faults(&[fault]);
    for source in [ARCHIVE, "."] {
        let said = publish(&sandbox, &[source, &registry.at("x")]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let source = registry.at("x/demo:1.0.0");
    let said = publish(&sandbox, &["-a", "skeleton", &source, &registry.at("y")]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let state = sandbox.src().join("../state");
    let state = state.to_str().unwrap().to_owned();
    let said = sandbox.run(&["release", "resume", "--state-dir", &state]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    registry.manifest("y/demo:1.0.0", "skeleton");
}

/// Other content under a tag is not overwritten without `--move-tag`.
#[test]
fn a_tag_of_something_else_is_a_conflict() {
    let sandbox = built();
    let blob = Descriptor::of("application/x", b"theirs");
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{{\"mediaType\":\"a/b\",\"digest\":\"{}\",\"size\":6}},\"layers\":[]}}",
        media_type::MANIFEST,
        blob.digest,
    );
    let theirs = Descriptor::of(media_type::MANIFEST, manifest.as_bytes());
    sandbox.write("lay/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    sandbox.write(
        &format!("lay/blobs/sha256/{}", theirs.digest.hex()),
        &manifest,
    );
    sandbox.write("lay/index.json", format!(
        "{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"{}\",\"digest\":\"{}\",\"size\":{},\"annotations\":{{\"org.opencontainers.image.ref.name\":\"1.0.0\"}}}}]}}",
        media_type::MANIFEST, theirs.digest, theirs.size,
    ));
    let said = publish(&sandbox, &[ARCHIVE, "oci-layout:lay"]);
    assert_eq!(said.code, Some(7), "{}{}", said.stdout, said.stderr);
    let kept = std::fs::read_to_string(sandbox.src().join("lay/index.json")).unwrap();
    assert!(kept.contains(&theirs.digest.to_string()), "{kept}");
    let said = publish(&sandbox, &[ARCHIVE, "oci-layout:lay", "--move-tag"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // The same in a registry, whose tag names an image.
    let registry = Rehearsal::with_faults(&[]);
    registry.put_blob("x/demo", b"theirs");
    let tag = format!("{}/x/demo:1.0.0", registry.host()).parse().unwrap();
    let client = Registry::new(ClientOptions::default());
    let bytes = bytes::Bytes::from(manifest);
    let pushed = client.push_manifest(&tag, media_type::MANIFEST, &bytes);
    registry.block_on(pushed).unwrap();
    let to = registry.at("x");
    let said = publish(&sandbox, &[ARCHIVE, &to]);
    assert_eq!(said.code, Some(7), "{}{}", said.stdout, said.stderr);
    let said = publish(&sandbox, &[ARCHIVE, &to, "--move-tag"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let many = ["--oci-concurrency", "18446744073709551615"];
    let said = publish(
        &sandbox,
        &[&[ARCHIVE, "oci-layout:lay"], &many[..]].concat(),
    );
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn a_blob_is_mounted_from_a_repository_that_it_was_published_to_before() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    let moved = |to: &str, cache: &str| {
        let args = [
            "package",
            "publish",
            "--json",
            "--cache-dir",
            cache,
            ARCHIVE,
        ];
        let mut command = sandbox.command(&[&args[..], &[&registry.at(to)]].concat());
        command.env("JACKAL_STATE_DIR", sandbox.src().join("../state"));
        let said = super::sandbox::said(&mut command);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        let number = |key: &str| told[0]["blobs"][key].as_u64().unwrap();
        (number("uploaded"), number("mounted"))
    };
    let (uploaded, mounted) = moved("one", "../cache");
    assert!(uploaded > 0 && mounted == 0);
    assert_eq!(moved("two", "../cache"), (0, uploaded));
    // What another machine published is not known here.
    assert_eq!(moved("three", "../other"), (uploaded, 0));
}

#[test]
fn journals_are_kept_in_the_cache_where_home_cannot_be_written() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    sandbox.write("../file", "");
    for home in ["../file", "/proc/nonexistent"] {
        let to = registry.at(if home.starts_with('/') { "a" } else { "b" });
        let mut command = sandbox.command(&["package", "publish", ARCHIVE, &to]);
        let said = super::sandbox::said(command.env("HOME", sandbox.src().join(home)));
        assert_eq!(said.code, Some(0), "{home}: {}", said.stderr);
        assert!(sandbox.cache().join("journals").is_dir());
    }
    // A folder that was named is used, or the error says how to name another one.
    let named = ["package", "publish", "--state-dir", "../file", ARCHIVE];
    let said = sandbox.run(&[&named[..], &[&registry.at("c")]].concat());
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("--state-dir"), "{}", said.stderr);
}

#[test]
fn a_version_that_is_no_tag_is_published_under_one_that_is_given() {
    let (sandbox, registry) = (Sandbox::new(), Rehearsal::with_faults(&[]));
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0+2, architecture: amd64}\n\
         components:\n- name: c\n  files: [{source: f, target: f}]\n",
    );
    sandbox.write("f", "f");
    sandbox.build(&[]);
    let archive = "dist/jackal-package-demo-amd64-1.0.0+2.tar.zst";
    for (source, to) in [(archive, "a"), (".", "b")] {
        let to = registry.at(to);
        let said = publish(&sandbox, &[source, &to]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(
            said.stderr.contains("pass --tag, such as --tag 1.0.0_2"),
            "{}",
            said.stderr
        );
        let said = publish(&sandbox, &["--tag", "1.0.0_2", source, &to]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let create = ["package", "create", "--confirm", "-o", &registry.at("c")];
    let said = sandbox.run(&create);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("build an archive, then publish it"),
        "{}",
        said.stderr
    );
}
