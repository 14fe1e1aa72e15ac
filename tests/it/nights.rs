//! Nightly releases: what a night with nothing to do costs, and that no change is missed.

use std::fs;
use std::path::Path;

use jackal::oci::{Index, media_type};
use jackal::registry::{PROFILES, Profile, Referrers};
use jackal::rehearsal::{Options, Request};

use super::lock::tagged;
use super::publish::{ARCHIVE, Rehearsal, built};
use super::sandbox::{HEAD, Sandbox, settle};
use super::trust::{PIPELINE, key, publish_signed, verify};

/// Registries that list referrers, that have only the fallback tag, and that claim to list.
fn registries() -> Vec<Rehearsal> {
    let kinds = [Referrers::Listed, Referrers::Absent, Referrers::Claimed];
    let registry = |referrers| {
        let profile = Profile {
            referrers,
            ..PROFILES[0]
        };
        Rehearsal::new(Options {
            profile,
            ..Options::default()
        })
    };
    kinds.into_iter().map(registry).collect()
}

/// A package that a pipeline signs, attests and publishes.
fn nightly(registry: &Rehearsal, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.package();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    let to = registry.at("team");
    sandbox.write(
        "p.yaml",
        format!("{PIPELINE}  publish: {{ publish: {{ packages: package, signatures: sign, to: \"{to}\"{more} }} }}\n"),
    );
    sandbox
}

fn build(sandbox: &Sandbox) {
    sandbox.build(&["--pipeline", "p.yaml"]);
}

fn wrote(requests: &[Request]) -> bool {
    requests
        .iter()
        .any(|r| r.method != "GET" && r.method != "HEAD")
}

fn puts<'r>(requests: &'r [Request], end: &str) -> Vec<&'r Request> {
    let puts = requests.iter().filter(|r| r.method == "PUT");
    puts.filter(|r| r.path.contains("/manifests/") && r.path.contains(end))
        .collect()
}

#[test]
fn each_index_of_a_signed_and_attested_release_is_written_once() {
    for registry in registries() {
        let sandbox = nightly(&registry, "");
        build(&sandbox);
        let requests = registry.requests();
        assert_eq!(puts(&requests, "/1.0.0").len(), 1);
        assert!(puts(&requests, "/sha256-").len() <= 1, "{requests:?}");
        let place = registry.at("team/demo:1.0.0");
        let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        // The tag moved after the last list was written and read.
        let at = |is: fn(&Request) -> bool| requests.iter().position(is).unwrap();
        let visible = at(|r| r.method == "PUT" && r.path.ends_with("/1.0.0"));
        let beside = requests.iter().rposition(|r| {
            r.method == "PUT" && (r.path.contains("/sha256-") || r.path.contains("/sha256:"))
        });
        let read = requests[..visible].iter().rposition(|r| {
            r.method == "GET" && (r.path.contains("/sha256-") || r.path.contains("/referrers/"))
        });
        assert!(beside < read && read < Some(visible), "{requests:?}");
    }
}

#[test]
fn a_quiet_night_takes_three_requests_and_writes_nothing() {
    for registry in registries() {
        let sandbox = nightly(&registry, "");
        build(&sandbox);
        for night in 0..3 {
            registry.requests();
            build(&sandbox);
            let requests = registry.requests();
            assert!(!wrote(&requests), "{night}: {requests:?}");
            assert!(requests.len() <= 3, "{night}: {requests:?}");
        }
        // Another machine has no proofs: it reads everything once, and then has them.
        let other = ["--pipeline", "p.yaml", "--cache-dir", "../other"];
        for most in [30, 3] {
            registry.requests();
            sandbox.build(&other);
            let requests = registry.requests();
            assert!(!wrote(&requests), "{requests:?}");
            assert!(requests.len() <= most, "{most}: {requests:?}");
        }
    }
}

/// The manifest that a pipeline published, and its referrers of this type.
fn referrers(
    registry: &Rehearsal,
    kind: &str,
) -> (jackal::oci::Digest, Vec<jackal::oci::Descriptor>) {
    let (subject, _) = registry.manifest("team/demo:1.0.0", "amd64");
    let client = jackal::registry::Registry::new(Default::default());
    let at = format!("{}/team/demo", registry.host()).parse().unwrap();
    let listed = registry.block_on(client.referrers(&at, subject)).unwrap();
    let of_kind = |found: &jackal::oci::Descriptor| {
        found
            .artifact_type
            .as_deref()
            .is_some_and(|own| own.contains(kind))
    };
    (subject, listed.into_iter().filter(of_kind).collect())
}

#[test]
fn a_deleted_attestation_is_found_the_next_night_and_attached_again() {
    for registry in registries() {
        let sandbox = nightly(&registry, "");
        build(&sandbox);
        build(&sandbox);
        let (subject, before) = referrers(&registry, "bundle");
        assert_eq!(before.len(), 3);
        for lost in &before {
            registry.delete("team/demo", &lost.digest.to_string());
            // Where the registry does not list by itself, an owner also edits the list.
            let tag = format!("team/demo:sha256-{}", subject.hex());
            if let Some(mut index) = registry.index(&tag) {
                index.manifests.retain(|found| found.digest != lost.digest);
                registry.put_index(&tag, &index);
            }
            assert_eq!(referrers(&registry, "bundle").1.len(), 2);
            build(&sandbox);
            let (_, after) = referrers(&registry, "bundle");
            assert_eq!(after.len(), 3, "{lost:?}");
            assert!(after.iter().any(|found| found.digest == lost.digest));
        }
    }
}

/// Makes the proofs in a cache older.
fn age_proofs(cache: &Path, seconds: i64) {
    for entry in fs::read_dir(cache.join("v1/proofs")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
        for proof in document["proofs"].as_array_mut().unwrap() {
            proof["at"] = (proof["at"].as_i64().unwrap() - seconds).into();
        }
        fs::write(&path, document.to_string()).unwrap();
    }
}

#[test]
fn content_deleted_behind_a_list_is_attached_again_within_a_week() {
    let registry = &registries()[1];
    let sandbox = nightly(registry, ", heartbeat: true");
    build(&sandbox);
    let (_, before) = referrers(registry, "bundle");
    assert_eq!(before.len(), 3);
    for lost in &before {
        registry.delete("team/demo", &lost.digest.to_string());
    }
    assert_eq!(referrers(registry, "bundle").1, before, "the list survives");
    let is_held = |bundle: &jackal::oci::Descriptor| {
        let at = format!("{}/team/demo", registry.host()).parse().unwrap();
        let client = jackal::registry::Registry::new(Default::default());
        let read = async { client.manifest(&at, bundle).await };
        registry.block_on(read).is_ok()
    };
    // Until then, the heartbeat says how old the proof is.
    age_proofs(&sandbox.cache(), 6 * 86_400);
    build(&sandbox);
    let place = registry.at("team/demo:1.0.0");
    let args = ["package", "heartbeat", &place, "-a", "amd64", "--json"];
    let read_at = || {
        let said = sandbox.run(&[&args[..], &["--key", "a/cosign.pub"]].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let at = |key: &str| -> jiff::Timestamp {
            told["heartbeat"][key].as_str().unwrap().parse().unwrap()
        };
        at("checkedAt").as_second() - at("signaturesReadAt").as_second()
    };
    assert!(!before.iter().any(is_held));
    assert!(read_at() >= 6 * 86_400);
    age_proofs(&sandbox.cache(), 86_400 + 1);
    build(&sandbox);
    assert!(before.iter().all(is_held));
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(read_at() < 6 * 86_400);
    // A proof from the future would never get old.
    for lost in &before {
        registry.delete("team/demo", &lost.digest.to_string());
    }
    age_proofs(&sandbox.cache(), -86_400);
    build(&sandbox);
    assert!(before.iter().all(is_held));
}

#[test]
fn a_bundle_that_cannot_be_read_back_stops_the_release_and_is_not_proven() {
    let first = &registries()[0];
    let sandbox = nightly(first, "");
    build(&sandbox);
    let (_, bundles) = referrers(first, "bundle");
    assert_eq!(bundles.len(), 3);
    let pipeline = fs::read_to_string(sandbox.src().join("p.yaml")).unwrap();
    let mut unlisted = 0;
    for bundle in &bundles {
        // The same bundles; when they are read back, and once more, one is missing.
        let fault = format!(
            "kinds=404,match=^GET .*/manifests/{},count=2",
            bundle.digest
        );
        let registry = Rehearsal::with_faults(&[&fault]);
        sandbox.write("p.yaml", pipeline.replace(&first.host(), &registry.host()));
        let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
        assert_ne!(said.code, Some(0), "{}", said.stderr);
        assert!(registry.index("team/demo:1.0.0").is_none());
        let is_unlisted = said.stderr.contains("1 of 3 attached signatures");
        assert!(is_unlisted || said.stderr.contains("verification failed"));
        unlisted += usize::from(is_unlisted);
        build(&sandbox);
        assert_eq!(referrers(&registry, "bundle").1, bundles);
    }
    // The release requires its signature and its provenance; the list of contents may be
    // required by a reader.
    assert_eq!(unlisted, 1);
}

#[test]
fn a_proof_of_no_list_is_forged_and_never_asked() {
    let registry = &registries()[0];
    let sandbox = nightly(registry, "");
    build(&sandbox);
    let (_, before) = referrers(registry, "bundle");
    for lost in &before {
        registry.delete("team/demo", &lost.digest.to_string());
    }
    for entry in fs::read_dir(sandbox.cache().join("v1/proofs")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
        for proof in document["proofs"].as_array_mut().unwrap() {
            proof["candidates"] = jackal::oci::Digest::of(b"").to_string().into();
            proof["api"] = false.into();
            proof["fallback"] = false.into();
        }
        fs::write(&path, document.to_string()).unwrap();
    }
    build(&sandbox);
    assert_eq!(referrers(registry, "bundle").1, before);
}

#[test]
fn a_lost_manifest_and_a_moved_tag_are_found_in_a_quiet_night() {
    for registry in registries() {
        let sandbox = nightly(&registry, ", moveTags: true");
        build(&sandbox);
        build(&sandbox);
        let (digest, _) = registry.manifest("team/demo:1.0.0", "amd64");
        registry.delete("team/demo", &digest.to_string());
        build(&sandbox);
        assert_eq!(registry.manifest("team/demo:1.0.0", "amd64").0, digest);
        // Somebody moves the tag to another package, and an index without any.
        let index = registry.index("team/demo:1.0.0").unwrap();
        registry.put_index("team/demo:1.0.0", &Index::empty());
        build(&sandbox);
        assert_eq!(registry.index("team/demo:1.0.0").unwrap(), index);
    }
}

#[test]
fn another_candidate_another_signer_and_a_damaged_proof_are_checked_in_full() {
    let registry = &registries()[1];
    let sandbox = built();
    key(&sandbox, "a");
    let to = registry.at("team");
    let args = [ARCHIVE, &to, "--signature", "detached"];
    let again = |most: usize| {
        registry.requests();
        let said = publish_signed(&sandbox, &args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let requests = registry.requests();
        assert!(requests.len() <= most, "{requests:?}");
        requests
    };
    again(100);
    assert!(!wrote(&again(3)));
    // Proofs are hints: one that cannot be read costs requests.
    let proofs = sandbox.cache().join("proofs");
    let path = fs::read_dir(&proofs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [
        "",
        "{}",
        &text.replace("true", "false"),
        &text.replacen("sha256:", "sha256:0", 1),
    ] {
        fs::write(&path, damaged).unwrap();
        let requests = again(100);
        assert!(
            requests.len() > 3 && !wrote(&requests),
            "{damaged}: {requests:?}"
        );
        assert!(!wrote(&again(3)));
    }
    // Anyone may add a candidate: all are read once.
    let (subject, before) = referrers(registry, "bundle");
    registry.put_blob("team/demo", b"junk");
    let size = 1;
    let about = jackal::oci::Descriptor {
        digest: subject,
        size,
        ..jackal::oci::Descriptor::of(media_type::MANIFEST, b"")
    };
    let junk = jackal::source::bundle_manifest(&about, b"junk").unwrap();
    registry.attach("team/demo", &junk);
    assert!(again(100).len() > 3);
    assert!(!wrote(&again(3)));
    // A signature by another key has never been proven.
    key(&sandbox, "b");
    fs::rename(sandbox.src().join("a"), sandbox.src().join("old")).unwrap();
    fs::rename(sandbox.src().join("b"), sandbox.src().join("a")).unwrap();
    assert!(wrote(&again(100)));
    assert_eq!(referrers(registry, "bundle").1.len(), before.len() + 2);
    assert!(!wrote(&again(3)));
}

#[test]
fn signatures_of_publishers_that_race_for_one_list_are_all_kept() {
    for kind in [Referrers::Absent, Referrers::Claimed] {
        let registry = Rehearsal::new(Options {
            profile: Profile {
                referrers: kind,
                ..PROFILES[0]
            },
            faults: vec!["rate=0.5,kinds=slow,delay=40ms,seed=3".parse().unwrap()],
            ..Options::default()
        });
        let names = ["one", "two", "three", "four"];
        let sandboxes = names.map(|_| {
            let sandbox = built();
            key(&sandbox, "a");
            sandbox
        });
        std::thread::scope(|scope| {
            for sandbox in &sandboxes {
                let to = registry.at("team");
                scope.spawn(move || {
                    let args = [ARCHIVE, &to, "--signature", "detached"];
                    let said = publish_signed(sandbox, &args);
                    assert_eq!(said.code, Some(0), "{}", said.stderr);
                });
            }
        });
        let place = registry.at("team/demo:1.0.0");
        for sandbox in &sandboxes {
            let said = verify(sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
            assert_eq!(said.code, Some(0), "{}", said.stderr);
        }
        assert_eq!(referrers(&registry, "bundle").1.len(), names.len());
    }
}

#[test]
fn a_heartbeat_is_signed_for_each_release_and_replaces_the_last_one() {
    for registry in registries() {
        let sandbox = nightly(&registry, ", tags: ['1.0.0', edge], heartbeat: true");
        build(&sandbox);
        let place = registry.at("team/demo:1.0.0");
        let ask = |more: &[&str]| {
            let args = ["package", "heartbeat", &place, "-a", "amd64"];
            sandbox.run(&[&args[..], more].concat())
        };
        // A run that publishes confirms what it has published.
        let first = ask(&["--key", "a/cosign.pub", "--max-age", "26h"]);
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        assert!(first.stdout.contains(": checked at "), "{}", first.stdout);
        assert!(!first.stdout.contains("current"), "{}", first.stdout);
        let mut last = None;
        for night in 0..3 {
            registry.requests();
            build(&sandbox);
            let requests = registry.requests();
            // Two tags, and the two questions about what they name.
            assert!(requests.len() <= 4 + 3, "{night}: {requests:?}");
            assert_eq!(puts(&requests, "").len(), 1, "{night}: {requests:?}");
            let said = ask(&["--key", "a/cosign.pub", "--max-age", "1h", "--json"]);
            assert_eq!(said.code, Some(0), "{}", said.stderr);
            let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            let places = ["1.0.0", "edge"].map(|tag| registry.at(&format!("team/demo:{tag}")));
            assert_eq!(told["heartbeat"]["places"], serde_json::json!(places));
            assert_ne!(last.replace(said.stdout.clone()), Some(said.stdout));
            // Readers of signatures never see it, and only the newest is kept.
            assert!(referrers(&registry, "heartbeat").1.len() <= 1);
            assert_eq!(referrers(&registry, "bundle").1.len(), 3);
        }
        // Ages are whole seconds: after more than one, it is older than none.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let old = ask(&["--key", "a/cosign.pub", "--max-age", "0s"]);
        assert_eq!(old.code, Some(5), "{}", old.stderr);
        assert!(old.stderr.contains("longer than 0s ago"), "{}", old.stderr);
        // Whoever can move a tag to the package cannot have it confirmed there.
        let index = registry.index("team/demo:edge").unwrap();
        registry.put_index("team/demo:other", &index);
        for (tag, code) in [("edge", 0), ("other", 5)] {
            let place = registry.at(&format!("team/demo:{tag}"));
            let args = ["package", "heartbeat", &place, "-a", "amd64"];
            let said = sandbox.run(&[&args[..], &["--key", "a/cosign.pub"]].concat());
            assert_eq!(said.code, Some(code), "{tag}: {}", said.stderr);
            assert_eq!(said.stderr.contains("confirms only"), code == 5);
        }
        key(&sandbox, "b");
        assert_eq!(ask(&["--key", "b/cosign.pub"]).code, Some(5));
    }
}

#[test]
fn a_heartbeat_of_another_package_or_signer_is_refused() {
    let registry = &registries()[1];
    let sandbox = nightly(registry, ", heartbeat: true");
    build(&sandbox);
    build(&sandbox);
    let place = registry.at("team/demo:1.0.0");
    let ask = || {
        let args = [
            "package",
            "heartbeat",
            &place,
            "-a",
            "amd64",
            "--key",
            "a/cosign.pub",
        ];
        sandbox.run(&args)
    };
    assert_eq!(ask().code, Some(0));
    let (subject, _) = registry.manifest("team/demo:1.0.0", "amd64");
    let tag = format!("team/demo:sha256-{}.heartbeat", subject.hex());
    let stored = registry.document(&tag);
    let text = String::from_utf8(stored).unwrap();
    let mut manifest: jackal::oci::Manifest = serde_json::from_str(&text).unwrap();
    let bundle = manifest.annotations["dev.jackal.heartbeat.bundle"].clone();
    let mut put = |bundle: &str| {
        let annotation = "dev.jackal.heartbeat.bundle".to_owned();
        manifest.annotations.insert(annotation, bundle.to_owned());
        registry.put_tag(
            &tag,
            media_type::MANIFEST,
            &serde_json::to_vec(&manifest).unwrap(),
        );
    };
    for forged in [
        "{}",
        "no json",
        &bundle.replacen("\"payload\":\"", "\"payload\":\"AAAA", 1),
    ] {
        put(forged);
        let said = ask();
        assert_eq!(said.code, Some(5), "{}", said.stderr);
        assert!(said.stderr.contains("is not valid"), "{}", said.stderr);
    }
    // The signature of the package is no heartbeat.
    let (_, bundles) = referrers(registry, "bundle");
    let signed = registry.layer("team/demo", &bundles[0].digest);
    put(&String::from_utf8(signed).unwrap());
    let said = ask();
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    put(&bundle);
    assert_eq!(ask().code, Some(0));
    let without = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  p: { package: { definition: jackal.yaml } }\n  q: { publish: { packages: p, to: oci://x/y, heartbeat: true } }\n";
    sandbox.write("q.yaml", without);
    let said = sandbox.run(&["build", "--pipeline", "q.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("`heartbeat` needs `signatures`"),
        "{}",
        said.stderr
    );
}

/// Ages what was noted about when references were resolved, as if a day had passed.
pub fn next_day(cache: &Path) {
    let resolved = cache.join("v1/resolved");
    for entry in fs::read_dir(resolved).unwrap() {
        let path = entry.unwrap().path();
        let at: u64 = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        fs::write(&path, (at - 86_401).to_string()).unwrap();
    }
}

#[test]
fn thirty_nights_with_three_changes_publish_three_times() {
    let (upstream, registry) = (Rehearsal::with_faults(&[]), Rehearsal::with_faults(&[]));
    tagged(&upstream, "base/os:stable", "0", &["amd64"]);
    let image = format!("{}/base/os:stable", upstream.host());
    let sandbox = Sandbox::new();
    sandbox.package();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    let definition = fs::read_to_string(sandbox.src().join("jackal.yaml")).unwrap();
    sandbox.write(
        "jackal.yaml",
        format!("{definition}- name: os\n  images: [\"{image}\"]\n"),
    );
    let to = registry.at("team");
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  \
             images: {{ images: {{ from: jackal.yaml, platform: linux/amd64 }}, cache: {{ fresh: 24h }} }}\n  \
             tree: {{ component: {{ definition: jackal.yaml, name: tree }} }}\n  \
             tool: {{ component: {{ definition: jackal.yaml, name: tool }} }}\n  \
             os: {{ component: {{ definition: jackal.yaml, name: os }} }}\n  \
             package: {{ package: {{ definition: jackal.yaml, components: [tree, tool, os], images: images }} }}\n  \
             sign: {{ sign: {{ subjects: package, key: a/cosign.key, passwordFile: pw, sbom: false }} }}\n  \
             publish: {{ publish: {{ packages: package, signatures: sign, to: \"{to}\", tags: [nightly], moveTags: true }} }}\n"
        ),
    );
    settle();
    let mut pushes = Vec::new();
    for night in 1..=30 {
        match night {
            // The first release is of the first night; an image changes, then a file.
            11 => drop(tagged(&upstream, "base/os:stable", "11", &["amd64"])),
            22 => {
                sandbox.write("tool.sh", "#!/bin/sh\necho 22\n");
                settle();
            }
            _ => {}
        }
        if night > 1 {
            next_day(&sandbox.cache());
        }
        registry.requests();
        upstream.requests();
        build(&sandbox);
        let requests = registry.requests();
        match wrote(&requests) {
            true => pushes.push(night),
            false => assert!(requests.len() <= 3, "{night}: {requests:?}"),
        }
        let asked = upstream.requests();
        assert!(!asked.is_empty(), "{night}: the tag was not resolved again");
        if !matches!(night, 1 | 11) {
            assert_eq!(asked.len(), 1, "{night}: {asked:?}");
        }
        // Nothing stale: a clean machine makes the same package.
        if matches!(night, 11 | 12) {
            let (published, _) = registry.manifest("team/demo:nightly", "amd64");
            let args = ["--pipeline", "p.yaml", "--cache-dir", "../clean"];
            sandbox.build(&args);
            assert_eq!(registry.manifest("team/demo:nightly", "amd64").0, published);
        }
    }
    assert_eq!(pushes, [1, 11, 22]);
}
