//! What earlier releases found beside a package: so that a release with nothing to do
//! does not fetch the same signatures and attestations again.
//!
//! A proof answers one question: are these bundles attached to this manifest, and do
//! they satisfy this policy under this name? It holds as long as the registry lists the
//! same manifests about it, by their digests, since what a digest names cannot change. It
//! can be deleted behind a list, though, so a proof has an age.
//!
//! A registry can only make a proof useless. A process that can write to the cache can forge
//! one, and a release then takes an unsigned package for a published one; readers verify
//! signatures themselves.
//!
//! See adr/0069, "A quiet night asks".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::artifact::Place;
use super::item::Item;
use crate::disk;
use crate::oci::{Digest, Reference};
use crate::registry::ListedIn;
use crate::source::Candidates;
use crate::verify::Policy;

/// The folder of the cache that proofs are kept in.
pub const PROOFS: &str = "proofs";

/// Most proofs kept for a repository: those of some tags and architectures.
const MAX_PROOFS: usize = 64;

/// Largest file read, in bytes: a proof has about 200.
const MAX_BYTES: u64 = 64 << 10;

const FORMAT: u32 = 2;

/// How long a proof holds, in seconds: a week. Then everything is read again.
const MAX_SECONDS: i64 = 7 * 86_400;

/// The candidates with which a question was answered with yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Proof {
    question: Digest,
    candidates: Digest,
    api: bool,
    fallback: bool,
    /// When everything was read, in seconds since 1970.
    at: i64,
}

impl Proof {
    /// The lists that had entries.
    pub(super) fn lists(&self) -> ListedIn {
        ListedIn {
            api: self.api,
            fallback: self.fallback,
        }
    }

    /// Whether it can be asked at `now`. One without a list would hold for nothing at all,
    /// and one from the future would never get old.
    fn is_valid(&self, now: i64) -> bool {
        let is_young = (0..=MAX_SECONDS).contains(&now.saturating_sub(self.at));
        is_young && (self.api || self.fallback)
    }

    /// Whether it was found with these candidates.
    pub(super) fn holds(&self, candidates: Digest) -> bool {
        self.candidates == candidates
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    proofs: Vec<Proof>,
}

/// The proofs of earlier releases, and those of this one.
pub(super) struct Proofs {
    /// Where they are kept; `None`: nowhere.
    folder: Option<PathBuf>,
    /// The time of this release.
    now: i64,
    new: Mutex<BTreeMap<String, Vec<Proof>>>,
}

/// What a proof about `item` answers; `None`: the answer depends on the time.
pub(super) fn question(item: &Item) -> Option<Digest> {
    let policy = match item.vouching.as_ref().map(|vouching| &vouching.policy) {
        Some(policy) if policy.rules.iter().any(|rule| rule.max_age.is_some()) => return None,
        // Whatever is part of a policy is part of this text, keys and roots included.
        Some(policy) => format!(
            "{:?}",
            Policy {
                now: 0,
                ..policy.clone()
            }
        ),
        None => String::new(),
    };
    let mut parts = vec![
        // Another version may verify in another way.
        env!("CARGO_PKG_VERSION").to_owned(),
        item.artifact.manifest.digest.to_string(),
        item.artifact.architecture.clone(),
        item.place.to_string(),
        policy,
    ];
    let mut bundles: Vec<String> = item
        .bundles
        .iter()
        .map(|bundle| Digest::of(bundle).to_string())
        .collect();
    bundles.sort_unstable();
    parts.extend(bundles);
    let mut text = String::new();
    for part in parts {
        text.push_str(&format!("{} {part}\n", part.len()));
    }
    Some(Digest::of(text.as_bytes()))
}

impl Proofs {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            now: jiff::Timestamp::now().as_second(),
            new: Mutex::default(),
        }
    }

    /// The proof about `item`, if it is in a registry.
    pub(super) fn find(&self, item: &Item) -> Option<Proof> {
        let Place::Registry(at) = &item.place else {
            return None;
        };
        let question = question(item)?;
        let mut found = self.read(&repository(at)).into_iter();
        found.find(|known| known.question == question && known.is_valid(self.now))
    }

    /// When everything beside `item`, which is published, was last read, in seconds since
    /// 1970.
    pub(super) fn read_at(&self, item: &Item) -> i64 {
        let is_new = match (&item.place, question(item)) {
            (Place::Registry(at), Some(question)) => {
                let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
                let mut new = new.get(&repository(at)).into_iter().flatten();
                new.any(|known| known.question == question)
            }
            _ => true,
        };
        // Without a proof, everything was read by this release.
        let old = (!is_new).then(|| self.find(item)).flatten();
        old.map_or(self.now, |known| known.at)
    }

    /// Notes that the candidates satisfy what `item` needs, and that all of its bundles
    /// are among them.
    pub(super) fn note(&self, item: &Item, candidates: Option<&Candidates>) {
        let (Place::Registry(at), Some(candidates)) = (&item.place, candidates) else {
            return;
        };
        let Some(question) = question(item) else {
            return;
        };
        let proof = Proof {
            at: self.now,
            question,
            candidates: candidates.digest(),
            api: candidates.lists.api,
            fallback: candidates.lists.fallback,
        };
        if !proof.is_valid(self.now) {
            return;
        }
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        new.entry(repository(at)).or_default().push(proof);
    }

    /// Keeps the proofs of this release.
    pub(super) fn remember(&self) {
        let new = std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner));
        for (repository, new) in new {
            let Some(path) = self.path(&repository) else {
                return;
            };
            let mut proofs = self.read(&repository);
            proofs.retain(|old| new.iter().all(|new| new.question != old.question));
            proofs.extend(new);
            let old = proofs.len().saturating_sub(MAX_PROOFS);
            let document = Document {
                format: FORMAT,
                proofs: proofs.split_off(old),
            };
            if let Ok(text) = serde_json::to_vec(&document) {
                drop(disk::write_hint(&path, &text));
            }
        }
    }

    fn path(&self, repository: &str) -> Option<PathBuf> {
        let name = Digest::of(repository.as_bytes()).hex();
        self.folder
            .as_deref()
            .map(|folder: &Path| folder.join(name))
    }

    fn read(&self, repository: &str) -> Vec<Proof> {
        let path = self.path(repository);
        let text = path.and_then(|path| disk::read_text(&path, MAX_BYTES).ok());
        let document: Option<Document> = text.and_then(|text| serde_json::from_str(&text).ok());
        let known = document.filter(|document| document.format == FORMAT);
        known.map(|document| document.proofs).unwrap_or_default()
    }
}

fn repository(at: &Reference) -> String {
    format!("{}/{}", at.registry(), at.repository())
}
