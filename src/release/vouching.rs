//! Signatures of a release: made, attached and verified before any tag moves.
//!
//! A bundle is stored beside the package, in a manifest that refers to the
//! package's, so that signing does not change the package. A package that
//! already has the required signature is not signed again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::artifact::{Artifact, Place};
use super::error::ReleaseError;
use crate::layout::ImageLayout;
use crate::oci::{Descriptor, Digest, Manifest, media_type};
use crate::package::Dialect;
use crate::registry::{Attaching, BlobSource, Hints, ListedIn, Registry};
use crate::release::WithDocuments;
use crate::signers::{Signer, SignerError};
use crate::signing::{Bundle, Identity, Pattern, SIGN_PREDICATE, Statement, Subject};
use crate::source::{
    Candidates, EMPTY_CONFIG, RemoteError, bundle_manifest, bundles_of, candidates_about,
};
use crate::text::with_causes;
use crate::verify::{self, Attached, Check, Policy, Query, Rule};

/// The signature that each package needs before its tag moves, and the signer
/// that provides it.
#[derive(Clone)]
pub struct Vouching {
    pub policy: Policy,
    /// The signer; `None`: the packages' own bundles must satisfy the policy.
    pub signer: Option<Arc<Signer>>,
}

impl Vouching {
    /// Requires a signature by `signer`.
    #[must_use]
    pub fn by(signer: Arc<Signer>) -> Self {
        Self {
            policy: policy_of(&signer),
            signer: Some(signer),
        }
    }
}

/// A policy that accepts signatures by `signer` only.
#[must_use]
pub fn policy_of(signer: &Signer) -> Policy {
    let mut policy = Policy::without_signers(Check::Use);
    let known = match signer {
        Signer::Key(key) => Some(verify::Signer::Key {
            name: "of this release".to_owned(),
            key: key.public().clone(),
        }),
        Signer::Keyless(keyless) => {
            policy.root = Some(Arc::clone(&keyless.root));
            policy.demands = keyless.demands();
            keyless.expected().map(verify::Signer::Identity)
        }
    };
    policy.rules = vec![Rule {
        signers: known.into_iter().collect(),
        ..Rule::default()
    }];
    policy
}

/// Makes `policy` accept the identity in `bundle`, which was just made.
pub fn accept_identity(policy: &mut Policy, bundle: &[u8]) {
    let claimed = Bundle::parse(bundle).ok().and_then(|read| read.claimed());
    let Some((subject, issuer)) = claimed else {
        return;
    };
    let identity = Identity {
        subject: Pattern::Exact(subject),
        issuer: Pattern::Exact(issuer),
    };
    for rule in &mut policy.rules {
        rule.signers
            .push(verify::Signer::Identity(identity.clone()));
    }
}

/// The subjects of statements about a package: its manifest, and its definition,
/// so that they apply to its archive as well.
#[must_use]
pub fn subjects(artifact: &Artifact, definition: &[u8], dialect: Dialect) -> Vec<Subject> {
    vec![
        Subject::new(&artifact.name, &artifact.manifest.digest),
        Subject::new(dialect.definition_file(), &Digest::of(definition)),
    ]
}

/// The statement that signs a package.
#[must_use]
pub fn signature_statement(subjects: Vec<Subject>) -> Statement {
    Statement::new(subjects, SIGN_PREDICATE, serde_json::json!({}))
}

/// An artifact at its place, with the bundles about it.
pub(super) struct Vouched<'v> {
    pub registry: &'v Arc<Registry>,
    pub place: &'v Place,
    pub artifact: &'v Arc<Artifact>,
}

impl Vouched<'_> {
    /// The bundles at the place. Anyone may have put them there.
    pub(super) async fn attached(&self) -> Result<Beside, ReleaseError> {
        match self.place {
            Place::Registry(tag) => {
                let subject = self.artifact.manifest.digest;
                let wrong = |error| unreadable(self.place, error);
                let candidates = candidates_about(self.registry, tag, subject, ListedIn::ALL).await;
                let candidates = candidates.map_err(wrong)?;
                let bundles = bundles_of(self.registry, tag, subject, &candidates).await;
                Ok(Beside {
                    bundles: bundles.map_err(wrong)?,
                    candidates: Some(candidates),
                })
            }
            Place::Layout { folder, .. } => Ok(Beside {
                bundles: ImageLayout::open(folder)?.bundles_about(&self.artifact.manifest)?,
                candidates: None,
            }),
        }
    }

    /// What a registry lists about the artifact in these lists; `None`: it is not in a
    /// registry.
    pub(super) async fn listed(&self, lists: ListedIn) -> Result<Option<Candidates>, ReleaseError> {
        let Place::Registry(tag) = self.place else {
            return Ok(None);
        };
        let subject = self.artifact.manifest.digest;
        let listed = candidates_about(self.registry, tag, subject, lists).await;
        listed
            .map(Some)
            .map_err(|error| unreadable(self.place, error))
    }

    /// Checks that a signature beside the package can satisfy the policy: the
    /// package matches the name of the place, and a signature in it is not by
    /// another signer. Done before signing, which may leave a permanent log
    /// entry.
    pub(super) async fn can_be_proven(&self, policy: &Policy) -> Result<(), ReleaseError> {
        let artifact = Arc::clone(self.artifact);
        let read = tokio::task::spawn_blocking(move || artifact.evidence()).await;
        let read = read.map_err(|e| ReleaseError::Stopped(e.to_string()))?;
        let evidence = read.map_err(|source| ReleaseError::Copy {
            place: self.place.to_string(),
            source,
        })?;
        let evidence = evidence.for_query(self.query());
        let rules = policy.rules.iter().flat_map(|rule| &rule.signers);
        let by_key = rules
            .clone()
            .any(|by| matches!(by, verify::Signer::Key { .. }));
        let mut refusals = evidence.differences();
        // The identity that a certificate will name is not always known.
        if evidence.is_signed() && (by_key || (evidence.has_bundle() && rules.count() > 0)) {
            let mut policy = policy.clone();
            for rule in &mut policy.rules {
                rule.attestations.clear();
            }
            let judged = evidence.judge(&policy);
            refusals.extend(judged.err().unwrap_or_default());
        }
        match refusals.is_empty() {
            true => Ok(()),
            false => Err(self.unproven(&refusals)),
        }
    }

    /// The request of a reader that uses this name.
    fn query(&self) -> Option<Query> {
        match self.place {
            Place::Registry(tag) => Some(Query::at(tag, Some(self.artifact.architecture.clone()))),
            Place::Layout { .. } => None,
        }
    }

    fn unproven(&self, refusals: &[verify::Refusal]) -> ReleaseError {
        let mut why: Vec<String> = refusals
            .iter()
            .map(|refusal| with_causes(refusal))
            .collect();
        why.dedup();
        ReleaseError::Unproven {
            place: self.place.to_string(),
            why: why.join("; "),
        }
    }

    /// Verifies that `bundles`, and a signature in the package, satisfy the
    /// policy.
    pub(super) async fn proven(
        &self,
        policy: &Policy,
        bundles: Attached<Vec<u8>>,
    ) -> Result<(), ReleaseError> {
        let (artifact, policy) = (Arc::clone(self.artifact), policy.clone());
        let query = self.query();
        let judged = tokio::task::spawn_blocking(move || {
            let evidence = artifact.evidence()?;
            let evidence = evidence.with_bundles(bundles).for_query(query);
            // A signature in the package is no substitute for the one beside it;
            // and readers judge one in the package first.
            let beside = evidence.clone().without_signatures();
            let judged = beside.judge(&policy);
            Ok::<_, io::Error>(judged.and_then(|_| evidence.judge(&policy)))
        });
        let judged = judged
            .await
            .map_err(|e| ReleaseError::Stopped(e.to_string()))?;
        let judged = judged.map_err(|source| ReleaseError::Copy {
            place: self.place.to_string(),
            source,
        })?;
        judged
            .map(|_| ())
            .map_err(|refusals| self.unproven(&refusals))
    }

    pub(super) async fn sign(&self, signer: &Arc<Signer>) -> Result<String, ReleaseError> {
        let (artifact, signer) = (Arc::clone(self.artifact), Arc::clone(signer));
        let signing = tokio::task::spawn_blocking(move || {
            let evidence = artifact.evidence();
            let evidence = evidence.map_err(|e| SignerError::Stopped(e.to_string()))?;
            let (dialect, definition) = evidence.definition().unwrap_or((Dialect::Jackal, &[]));
            signer.statement(&signature_statement(subjects(
                &artifact, definition, dialect,
            )))
        });
        let signed = signing
            .await
            .map_err(|e| ReleaseError::Stopped(e.to_string()))?;
        signed.map_err(|source| ReleaseError::Sign {
            place: self.place.to_string(),
            source: Box::new(source),
        })
    }

    /// Attaches `bundles` to the artifact, and the manifests `others`, which are pushed
    /// already.
    pub(super) async fn attach(
        &self,
        bundles: &[Vec<u8>],
        others: Vec<Bytes>,
    ) -> Result<Option<Attaching>, ReleaseError> {
        let subject = &self.artifact.manifest;
        let json = |error: serde_json::Error| ReleaseError::Copy {
            place: self.place.to_string(),
            source: error.into(),
        };
        let mut manifests = Vec::new();
        for bundle in bundles {
            manifests.push(bundle_manifest(subject, bundle).map_err(json)?);
        }
        let documents = bundles.iter().cloned();
        let documents: Vec<Vec<u8>> = match bundles {
            [] => Vec::new(),
            _ => documents.chain([EMPTY_CONFIG.to_vec()]).collect(),
        };
        match self.place {
            Place::Registry(tag) => {
                let mut blobs: BTreeMap<Digest, Descriptor> = BTreeMap::new();
                for manifest in &manifests {
                    let parts: Manifest = serde_json::from_slice(manifest).map_err(json)?;
                    let parts = parts.layers.into_iter().chain([parts.config]);
                    blobs.extend(parts.map(|blob| (blob.digest, blob)));
                }
                let source: BlobSource = Arc::new(WithDocuments::new(documents, nothing()));
                for blob in blobs.values() {
                    let sent = self
                        .registry
                        .push_blob(tag, blob, &source, Hints::default());
                    sent.await?;
                }
                manifests.extend(others);
                if manifests.is_empty() {
                    return Ok(None);
                }
                let attached = self
                    .registry
                    .attach(tag, subject.digest, &manifests)
                    .await?;
                Ok(Some(attached))
            }
            Place::Layout { folder, .. } => {
                let layout = ImageLayout::open(folder)?;
                for document in documents {
                    layout.document(media_type::EMPTY, &document)?;
                }
                for manifest in manifests {
                    layout.attach(&manifest)?;
                }
                Ok(None)
            }
        }
    }
}

/// What is attached to an artifact.
#[derive(Clone)]
pub(super) struct Beside {
    /// Untrusted.
    pub bundles: Attached<Vec<u8>>,
    /// What a registry lists.
    pub candidates: Option<Candidates>,
}

fn unreadable(place: &Place, error: RemoteError) -> ReleaseError {
    ReleaseError::Unreadable {
        place: place.to_string(),
        source: Box::new(error),
    }
}

pub(super) fn nothing() -> BlobSource {
    struct Nothing;
    impl crate::content::Fetch for Nothing {
        fn fetch(&self, _: &Descriptor) -> io::Result<Box<dyn io::Read + Send + '_>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }
    Arc::new(Nothing)
}
