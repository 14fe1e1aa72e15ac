//! Heartbeats: signed statements that a published package was found to be current.
//!
//! One manifest refers to the package's and holds the signed statement in an annotation,
//! so that it takes one request to store and one to read. It is under a tag of its own and
//! replaces the previous one. Source: docs/spec/signing.md, "Heartbeats".

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::attached::EMPTY_CONFIG;
use super::error::{PackageSourceError, RemoteError};
use crate::oci::{Descriptor, Digest, Manifest, Reference, ReferenceError, media_type};
use crate::registry::{Registry, RegistryError};
use crate::signing::{Bundle, PublicKey, Statement, Subject};
use crate::text::with_causes;
use crate::verify::{Policy, Signer};

/// The type of the predicate.
const PREDICATE: &str = "https://jackal.dev/heartbeat/v1";

/// The artifact type of the manifest.
const HEARTBEAT: &str = "application/vnd.jackal.heartbeat.v1+json";

/// The annotation with the bundle.
const BUNDLE: &str = "dev.jackal.heartbeat.bundle";

/// What a heartbeat says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// When the package was found to be what its inputs make.
    pub checked_at: jiff::Timestamp,
    /// When all signatures and attestations beside it were last read and verified. On the
    /// nights between, only the list of them was compared.
    pub signatures_read_at: jiff::Timestamp,
    /// The references that named it, such as `oci://r.io/team/demo:1.0.0`.
    pub places: Vec<String>,
    /// The key of the action that makes it, which covers all of its inputs.
    pub action_key: Option<String>,
}

/// Why there is no heartbeat that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    #[error("there is no heartbeat beside it: `heartbeat: true` of a `publish` task makes one")]
    Absent,
    #[error("a heartbeat can only be verified with a key: add --key, or a policy with one")]
    NoKey,
    #[error("the heartbeat beside it confirms only {}", .0.join(", "))]
    Elsewhere(Vec<String>),
    #[error("the heartbeat beside it is not valid: {0}")]
    Invalid(String),
    #[error(transparent)]
    Source(#[from] PackageSourceError),
}

impl Heartbeat {
    /// The statement to sign, about the manifest of the package `name`.
    ///
    /// # Errors
    ///
    /// JSON cannot be written.
    pub fn statement(&self, name: &str, manifest: &Digest) -> Result<Statement, serde_json::Error> {
        let subjects = vec![Subject::new(name, manifest)];
        let predicate = serde_json::to_value(self)?;
        Ok(Statement::new(subjects, PREDICATE, predicate))
    }

    /// The manifest that attaches `bundle`, a signed statement, to `subject`.
    ///
    /// # Errors
    ///
    /// JSON cannot be written.
    pub fn manifest(&self, subject: &Descriptor, bundle: &str) -> Result<Bytes, serde_json::Error> {
        let empty = Descriptor::of(media_type::EMPTY, EMPTY_CONFIG);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: Some(HEARTBEAT.to_owned()),
            // Some registries list this type instead of the artifact's: readers of
            // signatures, which have an empty one, skip it.
            config: Descriptor {
                media_type: HEARTBEAT.to_owned(),
                ..empty.clone()
            },
            layers: vec![empty],
            subject: Some(Descriptor {
                annotations: BTreeMap::new(),
                platform: None,
                ..subject.clone()
            }),
            annotations: [(BUNDLE.to_owned(), bundle.to_owned())].into(),
        };
        serde_json::to_vec(&manifest).map(Bytes::from)
    }

    /// The heartbeat in `bundle` about the manifest, if one of the keys of `policy` for the
    /// package `name` signed it.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`]
    pub fn verified(
        bundle: &[u8],
        (name, manifest): (&str, &Digest),
        policy: &Policy,
    ) -> Result<Self, HeartbeatError> {
        let invalid = |what: String| HeartbeatError::Invalid(what);
        let signers = policy.rule(name).map(|rule| &rule.signers);
        let keys = signers
            .into_iter()
            .flatten()
            .filter_map(|signer| match signer {
                Signer::Key { key, .. } => Some(key),
                Signer::Identity(_) => None,
            });
        let keys: Vec<&PublicKey> = keys.collect();
        if keys.is_empty() {
            return Err(HeartbeatError::NoKey);
        }
        let read = Bundle::parse(bundle).map_err(|error| invalid(with_causes(&error)))?;
        let verified = keys.iter().map(|key| read.verify_statement(key));
        let statement = verified.reduce(Result::or);
        let statement = statement.ok_or(HeartbeatError::NoKey)?;
        let statement = statement.map_err(|error| invalid(with_causes(&error)))?;
        if statement.predicate_type != PREDICATE {
            return Err(invalid(format!(
                "its statement is a `{}`",
                statement.predicate_type
            )));
        }
        if !statement.subject.contains(&Subject::new(name, manifest)) {
            return Err(invalid("its statement is about another package".to_owned()));
        }
        serde_json::from_value(statement.predicate).map_err(|error| invalid(error.to_string()))
    }

    /// The same, if it confirms what `asked` names: anyone who can write to a registry can
    /// copy a package with its heartbeat to another tag or repository.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError::Elsewhere`]
    pub fn about(self, asked: &Reference) -> Result<Self, HeartbeatError> {
        let is_asked = |place: &String| {
            let place = place.strip_prefix("oci://").unwrap_or(place);
            let Ok(place) = place.parse::<Reference>() else {
                return false;
            };
            // A digest needs no tag to name the same manifest.
            let tag = asked.tag().filter(|_| asked.digest().is_none());
            (place.registry(), place.repository()) == (asked.registry(), asked.repository())
                && tag.is_none_or(|tag| place.tag() == Some(tag))
        };
        match self.places.iter().any(is_asked) {
            true => Ok(self),
            false => Err(HeartbeatError::Elsewhere(self.places)),
        }
    }
}

/// The tag of the heartbeat about a manifest.
pub fn heartbeat_tag(repository: &Reference, subject: Digest) -> Result<Reference, RegistryError> {
    let (host, path) = (repository.registry(), repository.repository());
    let tag = format!("{host}/{path}:sha256-{}.heartbeat", subject.hex());
    tag.parse()
        .map_err(|error: ReferenceError| RegistryError::Setup(with_causes(&error)))
}

/// The untrusted bundle of the heartbeat about the manifest `subject`, with the digest of
/// its own manifest.
///
/// # Errors
///
/// [`RemoteError`]: a failure of the registry does not count as none.
pub async fn heartbeat_about(
    registry: &Registry,
    repository: &Reference,
    subject: Digest,
) -> Result<Option<(Digest, Vec<u8>)>, RemoteError> {
    let found = registry.find(&heartbeat_tag(repository, subject)?).await?;
    Ok(found.and_then(|(found, bytes)| {
        let mut manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
        let about = manifest.subject.as_ref().map(|subject| subject.digest);
        let own = manifest.artifact_type.as_deref() == Some(HEARTBEAT);
        let bundle = manifest.annotations.remove(BUNDLE)?;
        (own && about == Some(subject)).then(|| (found.digest, bundle.into_bytes()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_confirms_only_the_places_that_it_names() {
        let heartbeat = Heartbeat {
            checked_at: jiff::Timestamp::UNIX_EPOCH,
            signatures_read_at: jiff::Timestamp::UNIX_EPOCH,
            places: vec![
                "oci://r.io/team/demo:1.0.0".to_owned(),
                "oci://r.io/team/demo:edge".to_owned(),
            ],
            action_key: None,
        };
        let is_about = |asked: &str| {
            let asked: Reference = asked.parse().unwrap();
            heartbeat.clone().about(&asked).is_ok()
        };
        let digest = Digest::of(b"x");
        assert!(is_about("r.io/team/demo:1.0.0"));
        assert!(is_about("r.io/team/demo:edge"));
        assert!(is_about(&format!("r.io/team/demo@{digest}")));
        assert!(!is_about("r.io/team/demo:2.0.0"));
        assert!(!is_about("r.io/other/demo:1.0.0"));
        assert!(!is_about("s.io/team/demo:1.0.0"));
        assert!(!is_about(&format!("r.io/other/demo@{digest}")));
    }
}
