//! Every case of `tests/fixtures/signing/manifest.json` against its verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jackal::signing::{
    Bundle, Content, Demands, Envelope, IN_TOTO, Identity, Pattern, PublicKey, Root, SigningKey,
    Statement, Subject, digests, import, read_signature_file,
};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signing")
}

struct Case {
    id: String,
    row: Value,
}

impl Case {
    fn all(kind: &str) -> Vec<Self> {
        let text = fs::read_to_string(folder().join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let rows = manifest["cases"].as_array().unwrap().iter();
        let rows = rows.filter(|row| row["kind"] == kind).cloned();
        rows.map(|row| Self {
            id: row["id"].as_str().unwrap().to_owned(),
            row,
        })
        .collect()
    }

    fn text(&self, name: &str) -> &str {
        self.row[name]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no {name}", self.id))
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(folder().join(self.text(name))).unwrap()
    }

    fn has(&self, option: &str) -> bool {
        let options = self.row["options"].as_array();
        options.is_some_and(|options| options.iter().any(|found| found == option))
    }
}

/// Runs all cases of a kind, and asserts each verdict.
fn judge(kind: &str, count: usize, accept: impl Fn(&Case) -> Result<(), String>) {
    let cases = Case::all(kind);
    assert_eq!(cases.len(), count);
    let mut wrong = Vec::new();
    for case in &cases {
        let found = accept(case);
        let expected = case.text("expect") == "accept";
        if found.is_ok() != expected {
            wrong.push(format!(
                "{}: expected {}, found {found:?}",
                case.id,
                case.text("expect")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[test]
fn private_keys_load_or_are_refused() {
    judge("private-key-load", 33, |case| {
        let key = SigningKey::open(&case.file("key"), case.text("password").as_bytes());
        let key = key.map_err(text)?;
        let signature = key.sign(b"message").map_err(text)?;
        key.public().verify(b"message", &signature).map_err(text)
    });
}

#[test]
fn plain_keys_are_imported_or_refused() {
    judge("private-key-import", 5, |case| {
        let key = import(&case.file("key")).map_err(text)?;
        let key = SigningKey::from_pkcs8(&key).map_err(text)?;
        let signature = key.sign(b"message").map_err(text)?;
        key.public().verify(b"message", &signature).map_err(text)
    });
}

#[test]
fn signatures_of_files_pass_or_are_refused() {
    judge("blob-signature", 42, |case| {
        let key = PublicKey::parse(&case.file("key")).map_err(text)?;
        let signature = read_signature_file(&case.file("signature")).map_err(text)?;
        key.verify(&case.file("blob"), &signature).map_err(text)
    });
}

#[test]
fn bundles_by_keys_pass_or_are_refused() {
    judge("key-bundle", 35, |case| {
        let key = PublicKey::parse(&case.file("key")).map_err(text)?;
        let bundle = Bundle::parse(&case.file("bundle")).map_err(text)?;
        bundle.verify_blob(&key, &case.file("blob")).map_err(text)
    });
}

fn of_type(statement: &Statement, case: &Case) -> Result<(), String> {
    match statement.predicate_type == case.text("predicateType") {
        true => Ok(()),
        false => Err(format!("it is a {}", statement.predicate_type)),
    }
}

#[test]
fn attestations_by_keys_pass_or_are_refused() {
    judge("key-attestation", 21, |case| {
        let key = PublicKey::parse(&case.file("key")).map_err(text)?;
        let bundle = Bundle::parse(&case.file("bundle")).map_err(text)?;
        let statement = bundle.verify_statement(&key).map_err(text)?;
        statement
            .is_about(&digests(&case.file("blob")))
            .map_err(text)?;
        of_type(&statement, case)
    });
}

fn keyless(case: &Case) -> Result<Option<Statement>, String> {
    keyless_by(case, &case.file("bundle"))
}

fn keyless_by(case: &Case, bundle: &[u8]) -> Result<Option<Statement>, String> {
    let root = Root::parse(&case.file("trustedRoot"), case.text("trustedRoot")).map_err(text)?;
    let bundle = Bundle::parse(bundle).map_err(text)?;
    let pattern = |name: &str, option: &str| match case.has(option) {
        true => Pattern::expression(case.text(name)).unwrap(),
        false => Pattern::Exact(case.text(name).to_owned()),
    };
    let identity = Identity {
        subject: pattern("identity", "idre"),
        issuer: pattern("issuer", "issre"),
    };
    let demands = Demands {
        log: !case.has("notlog"),
        sct: !case.has("nosct"),
        timestamp: case.has("tsa"),
    };
    let blob = case.file("blob");
    let proven = bundle
        .verify_keyless(&root, &identity, demands, &digests(&blob), Some(&blob))
        .map_err(text)?;
    Ok(proven.statement)
}

#[test]
fn bundles_by_certificates_pass_or_are_refused() {
    judge("keyless-bundle", 59, |case| keyless(case).map(|_| ()));
}

#[test]
fn attestations_by_certificates_pass_or_are_refused() {
    judge("keyless-attestation", 6, |case| {
        let statement = keyless(case)?.ok_or("it is no statement")?;
        of_type(&statement, case)
    });
}

/// The media type is not signed, so changing it must not weaken the checks.
#[test]
fn a_bundle_that_calls_itself_older_needs_the_same_proofs() {
    let mut accepted = 0;
    // Older bundles have a chain instead of a certificate.
    let cases = Case::all("keyless-bundle").into_iter();
    for case in cases.filter(|case| case.id != "keyless-v1-chain-in-v0.3") {
        let Ok(mut bundle) = serde_json::from_slice::<Value>(&case.file("bundle")) else {
            continue;
        };
        for version in ["0.1", "0.2"] {
            let claimed = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
            bundle["mediaType"] = claimed.into();
            let found = keyless_by(&case, &serde_json::to_vec(&bundle).unwrap());
            let expected = case.text("expect") == "accept";
            assert!(expected || found.is_err(), "{} as {version}", case.id);
            accepted += usize::from(found.is_ok());
        }
    }
    assert!(accepted > 0, "older bundles are read");
}

#[test]
fn excessive_evidence_is_refused() {
    let text = fs::read(folder().join("keyless/bundles/v1.sigstore.json")).unwrap();
    let good: Value = serde_json::from_slice(&text).unwrap();
    for (count, refused) in [(32, false), (33, true)] {
        let mut bundle = good.clone();
        let entry = &good["verificationMaterial"]["tlogEntries"][0];
        let entries = (0..count).map(|index: u32| {
            let mut entry = entry.clone();
            entry["logIndex"] = index.to_string().into();
            entry
        });
        bundle["verificationMaterial"]["tlogEntries"] = entries.collect();
        let parsed = Bundle::parse(&serde_json::to_vec(&bundle).unwrap());
        assert_eq!(parsed.is_err(), refused, "{count} entries");
    }
    let subject = |digests: u32| {
        let digests = (0..digests).map(|n| (format!("a{n}"), "00".to_owned()));
        Subject {
            name: "x".to_owned(),
            digest: digests.collect(),
            annotations: Default::default(),
        }
    };
    for (subjects, refused) in [
        (vec![subject(1); 1024], false),
        (vec![subject(1); 1025], true),
        (vec![subject(32)], false),
        (vec![subject(33)], true),
    ] {
        let statement = Statement::new(subjects, "p", Value::Null);
        let envelope = Envelope {
            payload_type: IN_TOTO.to_owned(),
            payload: serde_json::to_vec(&statement).unwrap(),
            signature: Vec::new(),
        };
        assert_eq!(Statement::of(&envelope).is_err(), refused);
    }
}

/// The content of `bundle` as the annotations that cosign used before bundles.
fn as_tagged(bundle: &Value) -> BTreeMap<String, String> {
    let material = &bundle["verificationMaterial"];
    let der = material["certificate"]["rawBytes"].as_str().unwrap();
    let entry = &material["tlogEntries"][0];
    let number = |name: &str| entry[name].as_str().unwrap().parse::<u64>().unwrap();
    let id = STANDARD.decode(entry["logId"]["keyId"].as_str().unwrap());
    let log = serde_json::json!({
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": number("integratedTime"),
            "logIndex": number("logIndex"),
            "logID": id.unwrap().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        },
    });
    let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
    let signature = bundle["messageSignature"]["signature"].as_str();
    [
        (
            "dev.cosignproject.cosign/signature",
            signature.unwrap_or_default().to_owned(),
        ),
        ("dev.sigstore.cosign/certificate", pem),
        ("dev.sigstore.cosign/bundle", log.to_string()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Only signatures under tags may have the log's promise instead of its proof.
#[test]
fn signatures_under_tags_need_the_logs_promise() {
    let root = fs::read(folder().join("keyless/trusted_root.json")).unwrap();
    let root = Root::parse(&root, "root").unwrap();
    let anybody = || Pattern::expression(".*").unwrap();
    let identity = Identity {
        subject: anybody(),
        issuer: anybody(),
    };
    let check = |bundle: &Bundle, blob: &[u8]| {
        let message = matches!(bundle.content(), Content::Message { .. });
        bundle
            .verify_keyless(
                &root,
                &identity,
                Demands::default(),
                &digests(blob),
                message.then_some(blob),
            )
            .map_err(text)
    };
    for (id, kind) in [
        ("keyless-v1", "keyless-bundle"),
        ("keyless-dsse-v1", "keyless-attestation"),
    ] {
        let case = Case::all(kind)
            .into_iter()
            .find(|case| case.id == id)
            .unwrap();
        let blob = case.file("blob");
        let whole: Value = serde_json::from_slice(&case.file("bundle")).unwrap();
        let envelope = serde_json::to_vec(&whole["dsseEnvelope"]).unwrap();
        let read = |annotations: &BTreeMap<String, String>| match kind {
            "keyless-bundle" => Bundle::of_tagged_payload(&blob, annotations),
            _ => Bundle::of_tagged_envelope(&envelope, annotations),
        };
        let annotations = as_tagged(&whole);
        let bundle = read(&annotations).unwrap();
        let proven = check(&bundle, &blob).unwrap();
        assert_eq!((proven.logged, proven.promised), (false, true), "{id}");
        assert!(check(&bundle, b"other").is_err(), "{id}");
        // The same as a bundle is refused.
        let again = Bundle::parse(bundle.to_json().as_bytes()).unwrap();
        assert!(check(&again, &blob).is_err(), "{id}");

        let mut without = annotations.clone();
        without.remove("dev.sigstore.cosign/bundle");
        assert!(check(&read(&without).unwrap(), &blob).is_err(), "{id}");
        for (from, to) in [
            ("SignedEntryTimestamp", "x"),
            ("integratedTime\":", "integratedTime\":1"),
        ] {
            let mut altered = annotations.clone();
            let log = altered.get_mut("dev.sigstore.cosign/bundle").unwrap();
            *log = log.replacen(from, to, 1);
            let refused = read(&altered)
                .map_err(text)
                .and_then(|bundle| check(&bundle, &blob));
            assert!(refused.is_err(), "{id}: {from}");
        }
    }
}
