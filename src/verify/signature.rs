//! Verification of a package's signatures and attestations.
//!
//! Signatures cover the raw bytes of the definition, and the definition covers
//! everything else. Source: docs/spec/signing.md, "Policy", "Keyless
//! verification".

use super::policy::{Check, Policy, Rule, Signer};
use super::{Evidence, Refusal};
use crate::oci::Digest;
use crate::package::Dialect;
use crate::signing::{
    Bundle, Claims, Content, Demands, Material, Proven, PublicKey, Root, SIGN_PREDICATE,
    SLSA_PROVENANCE, Statement, digests, read_signature_file,
};
use crate::text::with_causes;

/// Maximum number of bundles beside a package that are examined: 1000. Anyone who
/// may write to a registry may attach more; a verdict that could depend on them
/// says so ([`Refusal::TooMany`]).
///
/// Source: docs/spec/signing.md, "Limits".
pub const MAX_ATTACHED: usize = 1000;

/// The type in the payloads that older clients sign.
const SIGNED_TYPE: &str = "cosign container image signature";

/// What is known about the signer of a package.
#[derive(Clone, Debug, PartialEq)]
pub enum Signature {
    /// The package is not signed.
    Absent,
    /// The package has no signature in it, and those beside it were not looked for: without
    /// a signer they prove nothing.
    Unsearched,
    /// The package is signed, but the signature was not checked.
    NotChecked,
    /// The signature was checked and is by a trusted signer.
    Checked(Box<Signed>),
}

impl Signature {
    /// A short summary for people.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Absent => "not signed".to_owned(),
            Self::Unsearched => {
                "no signature in the package, and those attached to it were NOT checked".to_owned()
            }
            Self::NotChecked => "signature NOT checked".to_owned(),
            Self::Checked(signed) => format!("signed by {}", signed.by.summary()),
        }
    }
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    pub by: By,
    /// Where the signature was found: files of the package, or `referrer`.
    pub found_in: Vec<String>,
    /// Times of the signature from logs and timestamp authorities, in seconds
    /// since the Unix epoch; empty: unknown.
    pub times: Vec<i64>,
    /// The names of the checks that were made.
    pub checks: Vec<&'static str>,
    /// Name and digest of the trusted root that was used.
    pub root: Option<(String, Digest)>,
    /// Attestations that were checked.
    pub attestations: Vec<Attested>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The holder of a private key.
    Key {
        /// The key as the user named it.
        name: String,
        /// SHA-256 of its SubjectPublicKeyInfo.
        fingerprint: Digest,
        algorithm: &'static str,
    },
    /// The owner of a certificate.
    Identity {
        /// The identity in the certificate.
        identity: String,
        /// The issuer of the identity.
        issuer: String,
        /// Further claims in the certificate about a CI job.
        claims: Vec<(&'static str, String)>,
    },
}

impl By {
    fn summary(&self) -> String {
        match self {
            Self::Key {
                name, fingerprint, ..
            } => format!("key `{name}` ({fingerprint})"),
            Self::Identity {
                identity, issuer, ..
            } => format!("`{identity}` ({issuer})"),
        }
    }
}

/// An attestation that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The type of the predicate.
    pub predicate_type: String,
    /// The builder, if it is provenance.
    pub builder: Option<String>,
}

/// A signature that an older client stored under a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    /// The signed payload, which names the manifest; `None`: the bundle holds a
    /// statement.
    pub payload: Option<Vec<u8>>,
    /// The signature, converted to a bundle.
    pub bundle: Bundle,
}

const NO_TIMESTAMP: &str = "it has no timestamp, but --use-signed-timestamps was given";

/// One signature that was checked.
struct Found {
    by: By,
    times: Vec<i64>,
    checks: Vec<&'static str>,
    statement: Option<Statement>,
}

/// Verifies the signature by the rule for the package.
pub(super) fn judge(
    evidence: &Evidence,
    dialect: Dialect,
    definition: &[u8],
    facts: &Facts,
    policy: &Policy,
) -> Result<Signature, Refusal> {
    let in_package = evidence.signature.is_some() || evidence.bundle.is_some();
    let beside =
        !evidence.attached.is_empty() || !evidence.tagged.is_empty() || evidence.unread > 0;
    let signed = in_package || beside;
    if policy.check == Check::Skip {
        return Ok(match signed || facts.says_signed {
            true => Signature::NotChecked,
            false => unsigned(evidence),
        });
    }
    if policy.rules.is_empty() {
        return match (in_package || facts.says_signed, policy.check) {
            // Anyone may have put it there, so it asks for nothing.
            (false, _) if beside => Ok(Signature::NotChecked),
            (false, _) => Ok(unsigned(evidence)),
            (true, Check::Look) => Ok(Signature::NotChecked),
            (true, _) if !in_package => Err(Refusal::SignatureLost),
            (true, _) => Err(Refusal::NoSigner),
        };
    }
    let Some(rule) = policy.rule(&facts.name) else {
        return Err(Refusal::NoRule(shown(&facts.name)));
    };
    if !signed {
        return Err(Refusal::NotSigned);
    }
    let public;
    let root = match &policy.root {
        Some(root) => root,
        None => {
            public = Root::public().map_err(|error| Refusal::Root(with_causes(&error)))?;
            &public
        }
    };
    let judge = Judge {
        definition,
        subjects: subjects(evidence, definition),
        rule,
        root,
        pinned: policy.root.is_some(),
        demands: policy.demands,
    };
    let unread = unread(evidence);
    // What was not examined may be what is missing.
    let missed = |refusal: Refusal| match (unread, &refusal) {
        (1.., Refusal::NotSigned | Refusal::Signature { .. } | Refusal::NoAttestation { .. }) => {
            Refusal::TooMany {
                examined: candidates(evidence),
                unread,
                why: with_causes(&refusal),
            }
        }
        _ => refusal,
    };
    let mut signed = judge.signature(evidence, dialect).map_err(missed)?;
    signed.attestations = judge.attestations(evidence).map_err(missed)?;
    if let Some(limit) = rule.max_age {
        // Without a trusted time, the timestamp in the signed definition counts.
        let since = signed.times.iter().min().copied().or(facts.timestamp);
        let age = since.map(|since| policy.now.saturating_sub(since));
        match age.map(u64::try_from) {
            Some(Ok(age)) if age > limit && signed.times.is_empty() => {
                return Err(Refusal::OldBuild { age, limit });
            }
            Some(Ok(age)) if age > limit => return Err(Refusal::Old { age, limit }),
            // Recent, or in the future because of clock skew.
            Some(_) => {}
            None => return Err(Refusal::NoTime),
        }
    }
    Ok(Signature::Checked(Box::new(signed)))
}

/// What is known if no signature was found.
fn unsigned(evidence: &Evidence) -> Signature {
    match evidence.searched || evidence.artifact.is_none() {
        true => Signature::Absent,
        false => Signature::Unsearched,
    }
}

/// The number of signatures beside the package that are examined.
fn candidates(evidence: &Evidence) -> usize {
    evidence.attached.len().min(MAX_ATTACHED) + evidence.tagged.len().min(MAX_ATTACHED)
}

/// The number of signatures beside the package that are not examined.
fn unread(evidence: &Evidence) -> usize {
    let all = evidence.attached.len() + evidence.tagged.len();
    evidence.unread + all - candidates(evidence)
}

/// Values from the definition that verification needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub name: String,
    pub architecture: String,
    pub version: String,
    pub flavor: String,
    /// A hint, which may make verification stricter but never weaker.
    pub says_signed: bool,
    pub timestamp: Option<i64>,
}

pub(super) fn shown(text: &str) -> String {
    crate::text::excerpt(text, 100)
}

/// The digests that a statement about this package may use.
fn subjects(evidence: &Evidence, definition: &[u8]) -> Vec<(&'static str, String)> {
    let artifact = evidence.artifact.map(|digest| ("sha256", digest.hex()));
    artifact.into_iter().chain(digests(definition)).collect()
}

struct Judge<'j> {
    definition: &'j [u8],
    subjects: Vec<(&'static str, String)>,
    rule: &'j Rule,
    root: &'j Root,
    /// Whether the user gave the root; evidence in a key's bundle must then
    /// verify against it.
    pinned: bool,
    demands: Demands,
}

impl Judge<'_> {
    fn signature(&self, evidence: &Evidence, dialect: Dialect) -> Result<Signed, Refusal> {
        let keys = self.keys();
        let (mut found, mut foreign) = (None, None);
        let mut found_in = Vec::new();
        if let Some(bytes) = &evidence.bundle {
            let file = dialect.bundle_file();
            let wrong = |what| Refusal::Signature {
                file: file.to_owned(),
                what,
            };
            let bundle = Bundle::parse(bytes).map_err(|error| wrong(with_causes(&error)))?;
            found = Some(self.blob(&bundle).map_err(wrong)?);
            found_in.push(file.to_owned());
        }
        // A plain signature never replaces a bad bundle. Beside a good one, it
        // is checked if there is a key.
        if let Some(bytes) = &evidence.signature {
            let file = dialect.signature_file();
            let wrong = |what| Refusal::Signature {
                file: file.to_owned(),
                what,
            };
            if !keys.is_empty() {
                let plain = self.plain(bytes, &keys).map_err(wrong)?;
                found_in.push(file.to_owned());
                found = found.or(Some(plain));
            } else if found.is_none() {
                let what = "it is signed with a key, but no key was given";
                foreign = Some(wrong(what.to_owned()));
            }
        }
        let found = match found {
            Some(found) => found,
            None => {
                let found = self.attached(evidence);
                // If nothing is beside the package, report the signature in it.
                let (found, place) = found.map_err(|refusal| match (foreign, refusal) {
                    (Some(foreign), Refusal::NotSigned) => foreign,
                    (_, refusal) => refusal,
                })?;
                found_in.push(place.to_owned());
                found
            }
        };
        if self.demands.timestamp && !found.checks.contains(&"timestamp") {
            return Err(Refusal::Signature {
                file: found_in.join(", "),
                what: NO_TIMESTAMP.to_owned(),
            });
        }
        let uses_root = found.checks.iter().any(|check| *check != "signature");
        Ok(Signed {
            by: found.by,
            found_in,
            times: found.times,
            checks: found.checks,
            root: uses_root.then(|| (self.root.name().to_owned(), self.root.digest())),
            attestations: Vec::new(),
        })
    }

    fn keys(&self) -> Vec<(&str, &PublicKey)> {
        let signers = self.rule.signers.iter();
        let keys = signers.filter_map(|signer| match signer {
            Signer::Key { name, key } => Some((name.as_str(), key)),
            Signer::Identity(_) => None,
        });
        keys.collect()
    }

    fn plain(&self, file: &[u8], keys: &[(&str, &PublicKey)]) -> Result<Found, String> {
        let signature = read_signature_file(file).map_err(|error| with_causes(&error))?;
        let fits = |(_, key): &&(&str, &PublicKey)| key.verify(self.definition, &signature).is_ok();
        let (name, key) = keys.iter().find(fits).ok_or_else(|| {
            let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
            format!(
                "it does not match the definition and the key: {}",
                names.join(", ")
            )
        })?;
        Ok(Found {
            by: by_key(name, key),
            times: Vec::new(),
            checks: vec!["signature"],
            statement: None,
        })
    }

    /// A signature of an older client over `payload`.
    ///
    /// Source: docs/spec/signing.md, "Attached signatures".
    fn payload(
        &self,
        payload: &[u8],
        bundle: &Bundle,
        artifact: Option<Digest>,
    ) -> Result<Found, String> {
        let found = self.by_any(bundle, payload)?;
        let read: serde_json::Value =
            serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let critical = &read["critical"];
        let about = critical["image"]["docker-manifest-digest"].as_str();
        if critical["type"] != SIGNED_TYPE || about != artifact.map(|d| d.to_string()).as_deref() {
            return Err("its payload is for another artifact".to_owned());
        }
        Ok(found)
    }

    /// A bundle over the definition itself.
    fn blob(&self, bundle: &Bundle) -> Result<Found, String> {
        if matches!(bundle.content(), Content::Envelope(_)) {
            return Err("it holds a statement, not the signature of the definition".to_owned());
        }
        self.by_any(bundle, self.definition)
    }

    /// Checks a bundle against each trusted signer; `file` is the signed content
    /// if the bundle holds no statement.
    fn by_any(&self, bundle: &Bundle, file: &[u8]) -> Result<Found, String> {
        let blob = matches!(bundle.content(), Content::Message { .. }).then_some(file);
        let mut reasons = Vec::new();
        for signer in &self.rule.signers {
            let found = match (signer, bundle.material()) {
                (Signer::Key { name, key }, Material::Key) => self.by_key(bundle, blob, name, key),
                (Signer::Identity(identity), Material::Certificate) => {
                    let proven = bundle.verify_keyless(
                        self.root,
                        identity,
                        self.demands,
                        &self.digests_of(bundle),
                        blob,
                    );
                    proven.map(by_identity).map_err(|error| with_causes(&error))
                }
                (Signer::Key { .. }, Material::Certificate) => {
                    Err("it is signed with a certificate, but a key was given".to_owned())
                }
                (Signer::Identity(_), Material::Key) => {
                    Err("it is signed with a key, but an identity was given".to_owned())
                }
            };
            match found {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(format!("{}: {reason}", signer.name())),
            }
        }
        Err(reasons.join("; "))
    }

    /// The digests that the bundle may be about. The library looks for the first
    /// one, so the digest that the statement names comes first.
    fn digests_of(&self, bundle: &Bundle) -> Vec<(&'static str, String)> {
        let mut digests = self.subjects.clone();
        if let Content::Envelope(envelope) = bundle.content() {
            let claims = Claims::of(envelope);
            digests.sort_by_key(|digest| !claims.about(std::slice::from_ref(digest)));
        }
        digests
    }

    fn by_key(
        &self,
        bundle: &Bundle,
        blob: Option<&[u8]>,
        name: &str,
        key: &PublicKey,
    ) -> Result<Found, String> {
        let text = |error: &dyn std::error::Error| with_causes(&error);
        let statement = match blob {
            Some(blob) => {
                bundle
                    .verify_blob(key, blob)
                    .map_err(|error| text(&error))?;
                None
            }
            None => {
                let statement = bundle.verify_statement(key).map_err(|error| text(&error))?;
                statement
                    .is_about(&self.subjects)
                    .map_err(|error| text(&error))?;
                Some(statement)
            }
        };
        let mut found = Found {
            by: by_key(name, key),
            times: Vec::new(),
            checks: vec!["signature"],
            statement,
        };
        if self.demands.timestamp && bundle.timestamps() == 0 {
            return Err(NO_TIMESTAMP.to_owned());
        }
        let evidence = bundle.log_entries() + bundle.timestamps() > 0;
        // A signature by key needs no log or timestamp. If it has one and the
        // user gave a root, it must verify.
        if (self.pinned || self.demands.timestamp) && evidence {
            let demands = Demands {
                log: bundle.log_entries() > 0,
                timestamp: bundle.timestamps() > 0,
                sct: false,
            };
            let digests = self.digests_of(bundle);
            found.times = bundle
                .verify_evidence(self.root, key, demands, &digests, blob)
                .map_err(|error| text(&error))?;
            found
                .checks
                .extend(demands.log.then_some("transparencyLog"));
            found
                .checks
                .extend(demands.timestamp.then_some("timestamp"));
        }
        Ok(found)
    }

    /// The first valid signature beside the package, and where it was found.
    fn attached(&self, evidence: &Evidence) -> Result<(Found, &'static str), Refusal> {
        let tagged = evidence.tagged.iter().take(MAX_ATTACHED);
        let tagged = tagged.filter_map(|tagged| {
            let payload = tagged.payload.as_ref()?;
            let found = self.payload(payload, &tagged.bundle, evidence.artifact);
            Some(found.map(|found| Some((found, "tag"))))
        });
        let referred = evidence.attached.iter().take(MAX_ATTACHED);
        let referred = referred.map(|candidate| {
            let bundle = Bundle::parse(candidate).map_err(|error| with_causes(&error))?;
            let found = self.by_any(&bundle, self.definition)?;
            let kind = found.statement.as_ref();
            // An attestation of another type is not a signature of the package.
            let vouches = kind.is_none_or(|kind| kind.predicate_type == SIGN_PREDICATE);
            Ok(vouches.then_some((found, "referrer")))
        });
        let since = |(found, _): &(Found, _)| found.times.iter().min().copied();
        let (mut newest, mut reasons) = (None, Vec::new());
        for judged in tagged.chain(referred) {
            match judged {
                // If the age is limited, the newest signature counts.
                Ok(Some(found)) if self.rule.max_age.is_none() => return Ok(found),
                Ok(Some(found)) if newest.as_ref().is_none_or(|n| since(&found) > since(n)) => {
                    newest = Some(found);
                }
                Ok(_) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        if let Some(newest) = newest {
            return Ok(newest);
        }
        reasons.sort();
        reasons.dedup();
        reasons.truncate(3);
        Err(match reasons.is_empty() {
            true => Refusal::NotSigned,
            false => Refusal::Signature {
                file: "beside the package".to_owned(),
                what: reasons.join("; "),
            },
        })
    }

    /// Every attestation about this package by a trusted signer; an error if a
    /// required one is missing.
    fn attestations(&self, evidence: &Evidence) -> Result<Vec<Attested>, Refusal> {
        let mut attested = Vec::new();
        let attached = evidence.attached.iter().take(MAX_ATTACHED);
        // Bundles that cannot be read or verified are ignored.
        let attached = attached.filter_map(|candidate| Bundle::parse(candidate).ok());
        let tagged = evidence.tagged.iter().take(MAX_ATTACHED);
        let tagged = tagged.filter(|tagged| tagged.payload.is_none());
        for bundle in attached.chain(tagged.map(|tagged| tagged.bundle.clone())) {
            let Ok(Found {
                statement: Some(statement),
                ..
            }) = self.by_any(&bundle, self.definition)
            else {
                continue;
            };
            let builder = &statement.predicate["runDetails"]["builder"]["id"];
            let is_provenance = statement.predicate_type == SLSA_PROVENANCE;
            let builder = builder.as_str().filter(|_| is_provenance);
            attested.push(Attested {
                builder: builder.map(str::to_owned),
                predicate_type: statement.predicate_type,
            });
        }
        for wanted in &self.rule.attestations {
            let fits = |found: &Attested| {
                found.predicate_type == wanted.predicate_type
                    && (wanted.builder.is_none() || found.builder == wanted.builder)
            };
            if !attested.iter().any(fits) {
                return Err(Refusal::NoAttestation {
                    wanted: wanted.predicate_type.clone(),
                    builder: wanted.builder.clone(),
                });
            }
        }
        attested.retain(|found| found.predicate_type != SIGN_PREDICATE);
        attested.sort_by(|a, b| a.predicate_type.cmp(&b.predicate_type));
        attested.dedup();
        Ok(attested)
    }
}

fn by_key(name: &str, key: &PublicKey) -> By {
    By::Key {
        name: name.to_owned(),
        fingerprint: key.fingerprint(),
        algorithm: key.algorithm().name(),
    }
}

fn by_identity(proven: Proven) -> Found {
    let mut checks = vec!["signature", "certificateChain"];
    checks.extend(proven.sct.then_some("signedCertificateTimestamp"));
    checks.extend(proven.logged.then_some("transparencyLog"));
    checks.extend(proven.promised.then_some("transparencyLogPromise"));
    checks.extend((proven.timestamps > 0).then_some("timestamp"));
    checks.push("identity");
    Found {
        by: By::Identity {
            identity: proven.identity,
            issuer: proven.issuer,
            claims: proven.claims,
        },
        times: proven.times,
        checks,
        statement: proven.statement,
    }
}
