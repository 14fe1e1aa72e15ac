//! Any bytes as a bundle, or as what older clients kept under a tag. Nothing passes
//! as signed, and what is accepted reads back the same from its canonical form.
#![no_main]

use std::sync::LazyLock;

use jackal::signing::{Bundle, Demands, Identity, Pattern, PublicKey, Root, SigningKey, digests};
use libfuzzer_sys::fuzz_target;

/// A key that nobody signed with.
static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let pkcs8 = SigningKey::generate(jackal::signing::Algorithm::P256).unwrap();
    SigningKey::from_pkcs8(&pkcs8).unwrap().public().clone()
});
static ROOT: LazyLock<Root> = LazyLock::new(|| Root::public().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let said = ["bundle", "certificate", "rfc3161timestamp"]
        .map(|name| (format!("dev.sigstore.cosign/{name}"), text.clone()));
    for count in 0..=said.len() {
        let annotations = said[..count].iter().cloned().collect();
        for read in [
            Bundle::of_tagged_envelope(bytes, &annotations),
            Bundle::of_tagged_payload(bytes, &annotations),
        ] {
            if let Ok(bundle) = read {
                assert!(bundle.verify_statement(&KEY).is_err());
            }
        }
    }
    let Ok(bundle) = Bundle::parse(bytes) else {
        return;
    };
    let again = Bundle::parse(bundle.to_json().as_bytes()).unwrap();
    assert_eq!(again.content(), bundle.content());
    let _ = bundle.claimed();
    let blob = b"a file that nobody signed";
    assert!(bundle.verify_blob(&KEY, blob).is_err());
    assert!(bundle.verify_statement(&KEY).is_err());
    let anybody = Identity {
        subject: Pattern::Exact("nobody".to_owned()),
        issuer: Pattern::Exact("nowhere".to_owned()),
    };
    let found = bundle.verify_keyless(
        &ROOT,
        &anybody,
        Demands::default(),
        &digests(blob),
        Some(&blob[..]),
    );
    assert!(found.is_err());
});
