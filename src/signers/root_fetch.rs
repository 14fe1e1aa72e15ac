//! Trusted roots by The Update Framework: fetched once, then pinned as files.
//!
//! Verification never comes here. Source: docs/spec/signing.md, "Trusted
//! roots".

use crate::text::with_causes;
use sigstore_trust_root::{TrustedRoot, TufBootstrap, TufConfig};

/// Why no root was fetched.
#[derive(Debug, thiserror::Error)]
#[error("the trusted root cannot be fetched from {from}: {what}")]
pub struct FetchError {
    from: String,
    what: String,
}

/// Fetches the trusted root from `mirror`, starting with the root metadata
/// `bootstrap`; without both, that of the public instance. Expired metadata, and
/// metadata not signed by the keys of the previous root, are refused.
///
/// # Errors
///
/// [`FetchError`]
pub fn fetch_root(mirror: Option<(&str, &[u8])>) -> Result<String, FetchError> {
    let from = mirror
        .map_or("the public instance", |(url, _)| url)
        .to_owned();
    let failed = |what: String| FetchError {
        from: from.clone(),
        what,
    };
    let config = match mirror {
        Some((url, root)) => TufConfig::custom(url, TufBootstrap::trusted(root)),
        None => TufConfig::production(),
    };
    let client = super::http::client().map_err(failed)?;
    let config = config.without_cache().with_http_client(client);
    let fetched = super::http::blocking(TrustedRoot::from_tuf(config));
    let root = fetched
        .map_err(failed)?
        .map_err(|error| failed(with_causes(&error)))?;
    serde_json::to_string_pretty(&root).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::super::stub::Stub;
    use super::*;
    use crate::oci::Digest;
    use crate::signing::{Algorithm, Root, SigningKey};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A repository of one key, as The Update Framework 1.0 lays it out.
    struct Repository {
        key: SigningKey,
        files: BTreeMap<String, Vec<u8>>,
    }

    impl Repository {
        fn new(target: &[u8], expires: &str) -> Self {
            let made = SigningKey::generate(Algorithm::P256).unwrap();
            let key = SigningKey::from_pkcs8(&made).unwrap();
            let mut repository = Self {
                key,
                files: BTreeMap::new(),
            };
            let shown = json!({
                "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
                "keyval": {"public": repository.key.public().to_pem()},
            });
            let id = Digest::of(shown.to_string().as_bytes()).hex();
            let role = json!({"keyids": [id], "threshold": 1});
            let roles = json!({"root": role, "timestamp": role, "snapshot": role, "targets": role});
            let far = "2999-01-01T00:00:00Z";
            let root = json!({"_type": "root", "spec_version": "1.0.31", "version": 1, "expires": far,
                "consistent_snapshot": true, "keys": {&id: shown}, "roles": roles});
            repository.add("1.root.json", &id, &root);
            let targets = json!({"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": far,
                "targets": {"trusted_root.json": {"length": target.len(), "hashes": {"sha256": Digest::of(target).hex()}}}});
            repository.add("1.targets.json", &id, &targets);
            let snapshot = json!({"_type": "snapshot", "spec_version": "1.0.31", "version": 1, "expires": far,
                "meta": {"targets.json": {"version": 1}}});
            repository.add("1.snapshot.json", &id, &snapshot);
            let timestamp = json!({"_type": "timestamp", "spec_version": "1.0.31", "version": 1, "expires": expires,
                "meta": {"snapshot.json": {"version": 1}}});
            repository.add("timestamp.json", &id, &timestamp);
            let name = format!("targets/{}.trusted_root.json", Digest::of(target).hex());
            repository.files.insert(name, target.to_vec());
            repository
        }

        fn add(&mut self, name: &str, id: &str, signed: &Value) {
            // Compact and in order of the names is canonical, for what is in here,
            // but for line ends, which canonical JSON does not escape.
            let canonical = signed.to_string().replace("\\n", "\n");
            let signature = hex(&self.key.sign(canonical.as_bytes()).unwrap());
            let file = json!({"signed": signed, "signatures": [{"keyid": id, "sig": signature}]});
            self.files
                .insert(name.to_owned(), file.to_string().into_bytes());
        }

        fn fetched(&self, bootstrap: &[u8]) -> Result<String, String> {
            let files = self.files.clone();
            let stub = Stub::new(
                move |path, _| match files.get(path.trim_start_matches('/')) {
                    Some(file) => (200, "", file.clone()),
                    None => (404, "", Vec::new()),
                },
            );
            fetch_root(Some((&stub.url, bootstrap))).map_err(|error| error.to_string())
        }
    }

    const FAR: &str = "2999-01-01T00:00:00Z";

    fn target() -> Vec<u8> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/signing/keyless/trusted_root.json"
        );
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_mirror_yields_the_root_that_its_first_metadata_vouches_for() {
        let target = target();
        let repository = Repository::new(&target, FAR);
        let first = repository.files["1.root.json"].clone();
        let text = repository.fetched(&first).unwrap();
        Root::parse(text.as_bytes(), "fetched").unwrap();
        let same = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(
            same(text.as_bytes())["certificateAuthorities"],
            same(&target)["certificateAuthorities"]
        );
    }

    #[test]
    fn expired_altered_and_foreign_metadata_is_refused() {
        let target = target();
        let old = Repository::new(&target, "2020-01-01T00:00:00Z");
        let error = old.fetched(&old.files["1.root.json"]).unwrap_err();
        assert!(error.contains("expired"), "{error}");

        let mut altered = Repository::new(&target, FAR);
        let name = altered
            .files
            .keys()
            .find(|name| name.starts_with("targets/"));
        let name = name.unwrap().clone();
        altered.files.get_mut(&name).unwrap()[10] ^= 1;
        assert!(altered.fetched(&altered.files["1.root.json"]).is_err());

        let one = Repository::new(&target, FAR);
        let other = Repository::new(&target, FAR);
        assert!(other.fetched(&one.files["1.root.json"]).is_err());
    }
}
