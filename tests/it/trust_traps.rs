//! Signing and verifying in difficult situations: other signatures, other names,
//! unrelated referrers, output in the package's own folder.

use std::fs;

use jackal::oci::{Descriptor, Digest, media_type};
use serde_json::Value;

use super::publish::{Rehearsal, built, publish};
use super::sandbox::{HEAD, Sandbox, settle};
use super::trust::{ARCHIVE, REFUSED, key, publish_signed, sign, signed, verify};

#[test]
fn a_detached_signature_leaves_the_package_unchanged_wherever_it_goes() {
    let sandbox = built();
    key(&sandbox, "a");
    let before = fs::read(sandbox.archive()).unwrap();
    // The same folder in another spelling.
    let folder = sandbox.src().join("dist");
    for to in ["dist", "./dist/", folder.to_str().unwrap()] {
        let said = sign(&sandbox, &[ARCHIVE, "--signature", "detached", "-o", to]);
        assert_eq!(said.code, Some(0), "{to}: {}", said.stderr);
        assert!(fs::read(sandbox.archive()).unwrap() == before, "{to}");
    }
    let said = sign(&sandbox, &[ARCHIVE, "--signature", "detached", "-o", "new"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let name = sandbox.archive();
    let name = name.file_name().unwrap().to_str().unwrap();
    let copy = format!("new/{name}");
    assert!(fs::read(sandbox.src().join(&copy)).unwrap() == before);
    let said = verify(&sandbox, &[&copy, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_split_package_is_signed_into_a_whole_archive_elsewhere() {
    let sandbox = Sandbox::new();
    sandbox.package();
    key(&sandbox, "a");
    let noise: Vec<u8> = (0..40_000_u32)
        .flat_map(|n| *Digest::of(&n.to_le_bytes()).as_bytes())
        .collect();
    sandbox.write("tree/noise", noise);
    sandbox.build(&[]);
    let whole = fs::read(sandbox.archive()).unwrap();
    sandbox.build(&["--max-package-size", "1"]);
    let part = format!("{ARCHIVE}.part000");
    for source in [ARCHIVE, &part] {
        let said = sign(&sandbox, &[source, "--signature", "detached", "-o", "new"]);
        assert_eq!(said.code, Some(0), "{source}: {}", said.stderr);
        let copy = ARCHIVE.replace("dist", "new");
        assert!(fs::read(sandbox.src().join(&copy)).unwrap() == whole);
        let said = verify(&sandbox, &[&copy, "--key", "a/cosign.pub"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        fs::remove_dir_all(sandbox.src().join("new")).unwrap();
    }
}

#[test]
fn a_build_keeps_signatures_about_its_archive_and_files_that_are_not_its_own() {
    let sandbox = built();
    key(&sandbox, "a");
    let beside = sandbox.src().join(format!("{ARCHIVE}.sigstore.jsonl"));
    let said = sign(&sandbox, &[ARCHIVE, "--signature", "detached"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let bundle = fs::read(&beside).unwrap();
    // Nothing has changed, so the signature still applies.
    sandbox.build(&[]);
    sandbox.build(&["--force"]);
    assert!(fs::read(&beside).unwrap() == bundle);
    let said = verify(&sandbox, &[ARCHIVE, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // It goes with the archive that it is about.
    sandbox.write("tool.sh", "#!/bin/sh\nexit 1\n");
    settle();
    sandbox.build(&[]);
    assert!(!beside.exists());
    // A bundle about another package, and what is no bundle.
    for (number, text) in [&bundle[..], b"mine"].into_iter().enumerate() {
        fs::write(&beside, text).unwrap();
        sandbox.write("tool.sh", format!("#!/bin/sh\nexit 1{number}\n"));
        settle();
        for _ in 0..2 {
            sandbox.build(&[]);
            assert!(fs::read(&beside).unwrap() == text);
        }
    }
    fs::remove_file(&beside).unwrap();
    let part = sandbox.src().join(format!("{ARCHIVE}.part007"));
    fs::write(&part, "mine").unwrap();
    sandbox.write("tool.sh", "#!/bin/sh\nexit 2\n");
    settle();
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("part007` is in the way"),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read(&part).unwrap(), b"mine");
}

#[test]
fn a_folder_with_a_slash_at_its_end_stays_a_package() {
    let sandbox = built();
    key(&sandbox, "a");
    let tar = zstd::decode_all(fs::File::open(sandbox.archive()).unwrap()).unwrap();
    tar::Archive::new(&tar[..])
        .unpack(sandbox.src().join("folder"))
        .unwrap();
    let said = sign(&sandbox, &["folder/", "--signature", "detached"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(sandbox.src().join("folder.sigstore.jsonl").is_file());
    let said = verify(&sandbox, &["folder/", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    fs::remove_file(sandbox.src().join("folder.sigstore.jsonl")).unwrap();
    let here = |args: &[&str]| {
        let mut command = sandbox.command(args);
        let out = command.current_dir(sandbox.src().join("folder"));
        out.output().unwrap()
    };
    let key = [
        "--signing-key",
        "../a/cosign.key",
        "--signing-key-pass",
        "pw",
    ];
    let sign = ["package", "sign", ".", "--signature", "detached"];
    let said = here(&[&sign[..], &key].concat());
    assert!(said.status.success());
    let said = here(&["package", "verify", ".", "--key", "../a/cosign.pub"]);
    assert!(said.status.success());
}

/// The checks of readers are made before the tag moves.
#[test]
fn a_package_with_a_foreign_signature_within_is_not_released_by_one_beside_it() {
    let (sandbox, registry) = (signed(), Rehearsal::with_faults(&[]));
    key(&sandbox, "b");
    let by_b = [
        ARCHIVE,
        &registry.at("team"),
        "--key",
        "a/cosign.pub",
        "--signing-key",
        "b/cosign.key",
        "--signing-key-pass",
        "pw",
    ];
    let said = publish(
        &sandbox,
        &[&by_b[..], &["--signature", "detached"]].concat(),
    );
    assert_eq!(said.code, REFUSED, "{}{}", said.stdout, said.stderr);
    assert!(registry.index("team/demo:1.0.0").is_none());
    // With the signature replaced, it is.
    let said = publish(&sandbox, &by_b);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "b/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_tag_does_not_move_to_a_package_that_would_fail_verification() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let to = registry.at("team");
    let said = publish_signed(&sandbox, &[ARCHIVE, &to, "--tag", "2.0.0"]);
    assert_eq!(said.code, REFUSED, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("2.0.0"), "{}", said.stderr);
    // This is reported before anything is signed or sent.
    assert!(registry.requests().iter().all(|r| r.method == "GET"));
    // A package without a version is under no tag that looks like one.
    let definition = fs::read_to_string(sandbox.src().join("jackal.yaml")).unwrap();
    let none = definition
        .replace("version: 1.0.0", "")
        .replace("version: \"1.0.0\"", "");
    assert_ne!(none, definition);
    sandbox.write("jackal.yaml", none);
    let made = sandbox.run(&["package", "create", ".", "--confirm", "-o", "none"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let archive = "none/jackal-package-demo-amd64.tar.zst";
    let none = registry.at("none");
    let said = publish_signed(&sandbox, &[archive, &none, "--tag", "1.2.3"]);
    assert_eq!(said.code, REFUSED, "{}", said.stderr);
    assert!(said.stderr.contains("has no version"), "{}", said.stderr);
    let said = publish_signed(&sandbox, &[archive, &none, "--tag", "stable"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A tag that is a word is not a version.
    let said = publish_signed(&sandbox, &[ARCHIVE, &to, "--tag", "edge"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let place = registry.at("team/demo:edge");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn each_package_of_a_release_is_signed_by_its_own_signer_and_by_one() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    for name in ["a", "b"] {
        key(&sandbox, name);
    }
    sandbox.write("pw", "pw\n");
    let other = fs::read_to_string(sandbox.src().join("jackal.yaml")).unwrap();
    sandbox.write("other.yaml", other.replace("name: demo", "name: other"));
    let to = registry.at("team");
    let pipeline = |publish: &str| {
        format!(
            "{HEAD}tasks:\n\
             \x20 tool: {{ component: {{ definition: jackal.yaml, name: tool }} }}\n\
             \x20 tree: {{ component: {{ definition: jackal.yaml, name: tree }} }}\n\
             \x20 one: {{ package: {{ definition: jackal.yaml, components: [tool, tree] }} }}\n\
             \x20 two: {{ package: {{ definition: other.yaml, components: [tool, tree] }} }}\n\
             \x20 s1: {{ sign: {{ subjects: one, key: a/cosign.key, passwordFile: pw }} }}\n\
             \x20 s2: {{ sign: {{ subjects: two, key: b/cosign.key, passwordFile: pw }} }}\n\
             \x20 s3: {{ sign: {{ subjects: one, key: b/cosign.key, passwordFile: pw }} }}\n\
             \x20 publish: {{ publish: {{ {publish}, to: \"{to}\" }} }}\n"
        )
    };
    let twice = pipeline("packages: one, signatures: [s1, s3]");
    sandbox.write("p.yaml", twice);
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("sign `one`: keep one of them"),
        "{}",
        said.stderr
    );

    sandbox.write(
        "p.yaml",
        pipeline("packages: [one, two], signatures: [s1, s2]"),
    );
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for (name, key) in [("demo", "a"), ("other", "b")] {
        let place = registry.at(&format!("team/{name}:1.0.0"));
        let key = format!("{key}/cosign.pub");
        let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", &key]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
    }
}

#[test]
fn an_archive_is_written_without_a_signature_if_the_step_that_signs_it_does_not_run() {
    let sandbox = built();
    key(&sandbox, "a");
    sandbox.write("pw", "pw\n");
    sandbox.pipeline(
        "\
         params: { release: { type: bool, default: false } }\ntasks:\n\
         \x20 tool: { component: { definition: jackal.yaml, name: tool } }\n\
         \x20 tree: { component: { definition: jackal.yaml, name: tree } }\n\
         \x20 one: { package: { definition: jackal.yaml, components: [tool, tree] } }\n\
         \x20 gate: { if: '${{ params.release }}', sbom: { of: tool } }\n\
         \x20 sign: { dependsOn: gate, sign: { subjects: one, key: a/cosign.key, passwordFile: pw } }\n",
    );
    let name = sandbox.archive();
    let name = name.file_name().unwrap().to_str().unwrap();
    for (options, out, accepted) in [
        (&[][..], "skipped", REFUSED),
        (
            &["--param", "release=true", "--task", "one"],
            "alone",
            REFUSED,
        ),
        (&["--param", "release=true"], "signed", Some(0)),
    ] {
        let said = sandbox.run(&[&["build", "--pipeline", "p.yaml", "-o", out], options].concat());
        assert_eq!(said.code, Some(0), "{out}: {}", said.stderr);
        let archive = format!("{out}/{name}");
        assert!(said.stdout.contains(&archive), "{out}: {}", said.stdout);
        let said = verify(&sandbox, &[&archive, "--key", "a/cosign.pub"]);
        assert_eq!(said.code, accepted, "{out}: {}", said.stderr);
    }
}

#[test]
fn attestations_stay_with_a_package_that_is_signed_while_publishing() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let create = [
        "package",
        "create",
        ".",
        "--confirm",
        "--attest",
        "-o",
        "out",
    ];
    let with = ["--signing-key", "a/cosign.key", "--signing-key-pass", "pw"];
    let said = sandbox.run(&[&create[..], &with].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let archive = "out/jackal-package-demo-amd64-1.0.0.tar.zst";
    let attested = |place: &str| {
        let said = verify(
            &sandbox,
            &[place, "-a", "amd64", "--key", "a/cosign.pub", "--json"],
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        told["signature"]["attestations"].as_array().unwrap().len()
    };
    assert_eq!(attested(archive), 2);
    let trust = ["--key", "a/cosign.pub"];
    let to = registry.at("team");
    let said = publish_signed(&sandbox, &[&[archive, &to], &trust[..]].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(attested(&registry.at("team/demo:1.0.0")), 2);
}

#[test]
fn unrelated_referrers_are_ignored_and_not_copied() {
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[]));
    key(&sandbox, "a");
    let said = publish_signed(&sandbox, &[ARCHIVE, &registry.at("team")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (digest, _) = registry.manifest("team/demo:1.0.0", "amd64");
    let subject = Descriptor {
        digest,
        size: 1,
        ..Descriptor::of(media_type::MANIFEST, b"")
    };
    registry.put_blob("team/demo", b"{}");
    for junk in ["no json", "1", "{}", "{\"mediaType\":\"text/plain\"}"] {
        registry.put_blob("team/demo", junk.as_bytes());
        let manifest = jackal::source::bundle_manifest(&subject, junk.as_bytes()).unwrap();
        registry.attach("team/demo", &manifest);
    }
    let place = registry.at("team/demo:1.0.0");
    let trust = ["-a", "amd64", "--key", "a/cosign.pub"];
    let pull = ["package", "pull", &place, "-o", "gap"];
    let said = sandbox.run(&[&pull[..], &trust].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let name = sandbox.archive();
    let gap = format!("gap/{}", name.file_name().unwrap().to_str().unwrap());
    let said = verify(&sandbox, &[&gap, "--key", "a/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let beside = sandbox.src().join(format!("{gap}.sigstore.jsonl"));
    let good = fs::read_to_string(&beside).unwrap();
    assert_eq!(good.lines().count(), 1, "{good}");

    // In a file given by the user, it is a mistake.
    for (junk, message) in [
        ("1\n".to_owned(), "bundle number 2 is not a Sigstore bundle"),
        (good.repeat(1000), "more than 1000 bundles"),
    ] {
        fs::write(&beside, format!("{good}{junk}")).unwrap();
        let trust = ["--key", "a/cosign.pub"];
        let verified = verify(&sandbox, &[&[&gap[..]], &trust[..]].concat());
        let to = registry.at("junk");
        let published = publish(&sandbox, &[&[&gap[..]], &trust[..], &[&to[..]]].concat());
        for said in [verified, published] {
            assert_ne!(said.code, Some(0), "{}", said.stdout);
            assert!(said.stderr.contains(message), "{}", said.stderr);
        }
    }
    assert!(registry.index("junk/demo:1.0.0").is_none());
}

#[test]
fn a_timestamp_that_is_asked_for_must_be_there_for_keys_as_well() {
    let sandbox = signed();
    let args = [ARCHIVE, "--key", "a/cosign.pub", "--use-signed-timestamps"];
    let said = verify(&sandbox, &args);
    assert_eq!(said.code, REFUSED, "{}", said.stdout);
    assert!(said.stderr.contains("no timestamp"), "{}", said.stderr);
    let said = sign(&sandbox, &[ARCHIVE, "--signature", "bundle"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(verify(&sandbox, &args).code, REFUSED);
}

#[test]
fn a_possible_token_is_never_printed() {
    let sandbox = built();
    let args = ["package", "sign", ARCHIVE, "--keyless", "--confirm"];
    for token in ["aaaa.SECRET.cccc.dddd", "SECRET"] {
        let said = sandbox.run(&[&args[..], &["--identity-token", token]].concat());
        assert_ne!(said.code, Some(0));
        assert!(!said.stderr.contains("SECRET"), "{}", said.stderr);
        assert!(said.stderr.contains("neither a JWT"), "{}", said.stderr);
    }
}

/// A journal of another signer does not block a release.
#[test]
fn an_interrupted_release_can_be_finished_by_another_signer() {
    let fault = "kinds=403,match=^PUT .*/manifests/1.0.0,count=1";
    let (sandbox, registry) = (built(), Rehearsal::with_faults(&[fault]));
    key(&sandbox, "a");
    key(&sandbox, "b");
    let to = registry.at("team");
    let detached = [ARCHIVE, &to, "--signature", "detached"];
    let said = publish_signed(&sandbox, &detached);
    assert_ne!(said.code, Some(0), "{}", said.stdout);
    let by_b = ["--signing-key", "b/cosign.key", "--signing-key-pass", "pw"];
    let said = publish(&sandbox, &[&detached[..], &by_b].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let place = registry.at("team/demo:1.0.0");
    let said = verify(&sandbox, &[&place, "-a", "amd64", "--key", "b/cosign.pub"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
