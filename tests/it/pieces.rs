//! Blobs that are larger than a registry, or a proxy in front of it, accepts in one
//! request.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jackal::oci::Descriptor;
use jackal::registry::{
    BlobSource, Chunks, Hosts, Options as ClientOptions, PROFILES, PerHost, Profile, Registry,
    RegistryError, Sent,
};
use jackal::rehearsal::{Fault, Options};
use jackal::release::WithDocuments;

use super::publish::{ARCHIVE, Nothing, Rehearsal, built, publish};

/// Largest body of a request, in bytes.
const MOST: usize = 300_000;

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| ((at * at) >> 7) as u8).collect()
}

/// Pushes `content` to a registry with the profile `profile`.
fn push(
    registry: &Rehearsal,
    profile: Profile,
    content: &[u8],
) -> (Descriptor, Result<Sent, RegistryError>) {
    let client = Registry::new(ClientOptions {
        hosts: Hosts {
            profiles: [(registry.host(), profile)].into(),
            max_bodies: PerHost {
                every: Some(MOST as u64),
                ..PerHost::default()
            },
            ..Hosts::default()
        },
        backoff: std::time::Duration::from_millis(1),
        ..ClientOptions::default()
    });
    let descriptor = Descriptor::of("a/b", content);
    let source = WithDocuments::new([content.to_vec()], Arc::new(Nothing));
    let source: BlobSource = Arc::new(source);
    let to = format!("{}/x", registry.host()).parse().unwrap();
    let pushed = client.push_blob(&to, &descriptor, &source, Default::default());
    let sent = registry.block_on(pushed);
    (descriptor, sent)
}

fn behind_a_proxy(profile: Profile, faults: &[&str]) -> Rehearsal {
    let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap());
    Rehearsal::new(Options {
        profile,
        max_body: Some(MOST as u64),
        faults: faults.collect(),
        ..Options::default()
    })
}

#[test]
fn sizes_around_the_limit_arrive_whole_or_fail_with_every_kind_of_registry() {
    for profile in PROFILES {
        let loses = matches!(profile.chunks, Chunks::FirstOnly | Chunks::LastOnly);
        let registry = behind_a_proxy(*profile, &[]);
        for size in [0, MOST - 1, MOST, MOST + 1, 3 * MOST, 3 * MOST + 1] {
            let (blob, sent) = push(&registry, *profile, &content(size));
            if loses && size > MOST {
                let error = sent.unwrap_err();
                assert!(
                    matches!(error, RegistryError::Unsplittable { .. }),
                    "{error}"
                );
                assert!(registry.requests().is_empty(), "{profile} {size}");
                continue;
            }
            assert_eq!(sent.unwrap(), Sent::Uploaded, "{profile} {size}");
            assert!(registry.holds("x", &blob), "{profile} {size}");
            registry.requests();
        }
    }
}

#[test]
fn an_unknown_registry_that_loses_chunks_is_detected() {
    for kind in ["ecr", "artifactory"] {
        let registry = behind_a_proxy(kind.parse().unwrap(), &[]);
        let (_, sent) = push(&registry, PROFILES[0], &content(2 * MOST + 5));
        let error = sent.unwrap_err();
        assert!(
            matches!(error, RegistryError::Lost { .. }),
            "{kind}: {error}"
        );
    }
}

#[test]
fn an_interruption_costs_a_chunk_and_not_the_blob() {
    let size = 10 * MOST;
    for kind in ["reset", "truncate", "502", "429"] {
        let fault = format!("kinds={kind},match=^PATCH,after=4,count=3");
        let registry = behind_a_proxy(PROFILES[0], &[&fault]);
        let (blob, sent) = push(&registry, PROFILES[0], &content(size));
        assert_eq!(sent.unwrap(), Sent::Uploaded, "{kind}");
        let requests = registry.requests();
        let begun = requests.iter().filter(|r| r.method == "POST").count();
        let came: u64 = requests.iter().map(|r| r.bytes_in).sum();
        assert_eq!(begun, 1, "{kind}");
        assert!(came <= (size + 3 * MOST) as u64, "{kind}: {came}");
        assert!(registry.holds("x", &blob), "{kind}");
    }
}

#[test]
fn an_upload_that_the_registry_forgot_starts_over() {
    let forgetful: Profile = "distribution".parse().unwrap();
    let fault = "kinds=reset,match=^PATCH,after=4,count=2";
    let registry = behind_a_proxy(forgetful, &[fault]);
    let (blob, sent) = push(&registry, forgetful, &content(10 * MOST));
    assert_eq!(sent.unwrap(), Sent::Uploaded);
    let requests = registry.requests();
    let begun = requests.iter().filter(|r| r.method == "POST").count();
    assert_eq!(begun, 3, "{requests:?}");
    assert!(registry.holds("x", &blob));
}

#[test]
fn a_layer_above_the_registrys_limit_is_refused_before_anything_is_sent() {
    let registry = Rehearsal::with_faults(&[]);
    let mut profile: Profile = "ghcr".parse().unwrap();
    profile.max_layer = Some(1000);
    let (_, sent) = push(&registry, profile, &content(1001));
    let error = sent.unwrap_err().to_string();
    assert!(
        error.contains("1001 bytes") && error.contains("ghcr"),
        "{error}"
    );
    assert!(registry.requests().is_empty());
}

#[test]
fn a_package_is_published_in_chunks_through_a_proxy() {
    let sandbox = built();
    let most = 4000;
    let registry = Rehearsal::new(Options {
        max_body: Some(most),
        ..Options::default()
    });
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x")]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("--max-request-body"),
        "{}",
        said.stderr
    );
    for wrong in ["0", "x", "r.example=", "-1"] {
        let flag = format!("--max-request-body={wrong}");
        let said = publish(&sandbox, &[ARCHIVE, &registry.at("x"), &flag]);
        assert_eq!(said.code, Some(2), "{wrong}: {}", said.stderr);
    }
    let flag = format!("--max-request-body={}=4kB", registry.host());
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("x"), &flag]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let requests = registry.requests();
    assert!(requests.iter().any(|r| r.method == "PATCH"), "{requests:?}");
    let (_, manifest) = registry.manifest("x/demo:1.0.0", "amd64");
    for layer in &manifest.layers {
        assert!(registry.holds("x/demo", layer), "{layer:?}");
    }
    // A registry that is known to lose chunks is reported before anything is sent.
    let kind = format!("--registry-profile={}=ecr", registry.host());
    let said = publish(&sandbox, &[ARCHIVE, &registry.at("y"), &flag, &kind]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("ecr is known to lose"),
        "{}",
        said.stderr
    );
    let requests = registry.requests();
    assert!(requests.iter().all(|r| r.bytes_in == 0), "{requests:?}");
}

struct Counted {
    content: Vec<u8>,
    read: Arc<AtomicU64>,
}

struct Counting<'c>(&'c [u8], &'c AtomicU64);

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }
}

impl jackal::content::Fetch for Counted {
    fn fetch(&self, _: &Descriptor) -> std::io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Counting(&self.content, &self.read)))
    }
}

#[test]
fn a_blob_is_read_once_for_all_of_its_chunks() {
    let registry = behind_a_proxy(PROFILES[0], &["kinds=slow,delay=300ms,match=^PUT"]);
    let content = content(20 * MOST);
    let blob = Descriptor::of("a/b", &content);
    let read = Arc::default();
    let source: BlobSource = Arc::new(Counted {
        content,
        read: Arc::clone(&read),
    });
    let client = Registry::new(ClientOptions {
        hosts: Hosts {
            max_bodies: PerHost {
                every: Some(MOST as u64),
                ..PerHost::default()
            },
            ..Hosts::default()
        },
        ..ClientOptions::default()
    });
    let to = format!("{}/x", registry.host()).parse().unwrap();
    let pushed = client.push_blob(&to, &blob, &source, Default::default());
    assert_eq!(registry.block_on(pushed).unwrap(), Sent::Uploaded);
    assert_eq!(read.load(Ordering::SeqCst), blob.size);
}
