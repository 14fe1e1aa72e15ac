//! The transaction: survey, stage, attach, read back, prove, and only then move
//! tags.
//!
//! A crash may come after any step; a rerun repeats them and leads to the same
//! end. What exists already costs a request, not a transfer.
//!
//! Repositories are worked on at the same time, and the items of one repository one
//! after the other. Each index is written once; all of them settle together at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::artifact::Place;
use super::error::ReleaseError;
use super::heartbeat;
use super::index_signature;
use super::item::{Item, Moved, Released, Rules};
use super::journal::{Journal, JournalError, Known, Step};
use super::proofs::Proofs;
use super::results::push_results;
use super::staging::Stage;
use super::survey::{Survey, is_entered};
use super::vouching::{Beside, accept_identity};
use crate::layout::ImageLayout;
use crate::oci::{Digest, Index};
use crate::package::manifest;
use crate::registry::{Attaching, IndexUpdate, Merge, Registry};
use crate::signers::Signer;
use crate::signing::{Bundle, Material};
use crate::text::with_causes;
use crate::verify::Policy;

/// Maximum number of repositories that are worked on at the same time.
const LANES: usize = 16;

/// Items of one repository or image layout, each with its number in the release.
type Lane = Vec<(usize, Arc<Item>)>;

/// What the parts of a release share.
struct Work {
    registry: Arc<Registry>,
    rules: Rules,
    stage: Stage,
    proofs: Proofs,
    journal: Mutex<Journal>,
    /// Limits requests for indexes of all lanes.
    requests: Semaphore,
}

impl Work {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A staged item with everything beside it.
struct Prepared {
    number: usize,
    moved: Moved,
    attached: usize,
    note: Option<String>,
    attaching: Vec<Attaching>,
}

/// Publishes `items` and returns the outcomes in the same order.
///
/// `journal` is called when there is something to write; the journal is removed
/// when all tags have been moved.
///
/// # Errors
///
/// [`ReleaseError`]; tags that were not reached are unchanged, and the journal allows
/// the release to be resumed.
pub async fn run(
    registry: &Arc<Registry>,
    items: &[Item],
    rules: Rules,
    journal: impl FnOnce() -> Result<Journal, JournalError>,
) -> Result<Vec<Released>, ReleaseError> {
    distinct(items)?;
    let items: Vec<Arc<Item>> = items.iter().cloned().map(Arc::new).collect();
    let (mut released, proofs) = survey(registry, &items, &rules).await?;
    if released.iter().all(|made| made.unchanged) {
        beats(registry, &items, &mut released, &proofs).await?;
        proofs.remember();
        return Ok(released);
    }
    let left: Vec<(usize, Arc<Item>)> = items
        .iter()
        .enumerate()
        .filter(|(number, _)| !released[*number].unchanged)
        .map(|(number, item)| (number, Arc::clone(item)))
        .collect();
    // Check all sizes before the first upload.
    for (_, item) in &left {
        if let Place::Registry(to) = &item.place {
            for blob in &item.artifact.blobs {
                registry.check_size(to, blob)?;
            }
        }
    }
    let work = Arc::new(Work {
        registry: Arc::clone(registry),
        stage: Stage::new(registry, &rules),
        proofs,
        journal: Mutex::new(journal()?),
        requests: Semaphore::new(LANES),
        rules,
    });
    let prepare = lanes(&left)
        .into_iter()
        .map(|lane| prepare(Arc::clone(&work), lane));
    let prepared = each(prepare).await;
    work.stage.remember().await;
    let mut attaching = Vec::new();
    for one in prepared?.into_iter().flatten() {
        let made = &mut released[one.number];
        (made.moved, made.attached, made.note) = (one.moved, one.attached, one.note);
        let item = &items[one.number];
        let attached = one.attaching.into_iter();
        attaching.extend(attached.map(|attached| (Arc::clone(item), attached)));
    }
    // Nothing visible has changed so far.
    publish(&work, &left, attaching).await?;
    if work.rules.sign_indexes {
        sign_indexes(registry, &items, &mut released).await?;
    }
    beats(registry, &items, &mut released, &work.proofs).await?;
    work.proofs.remember();
    drop(left);
    match Arc::into_inner(work) {
        Some(work) => {
            let journal = work.journal.into_inner();
            journal.unwrap_or_else(PoisonError::into_inner).end()?;
            Ok(released)
        }
        None => Err(ReleaseError::Stopped("a task has not ended".to_owned())),
    }
}

/// Which items are published already.
async fn survey(
    registry: &Arc<Registry>,
    items: &[Arc<Item>],
    rules: &Rules,
) -> Result<(Vec<Released>, Proofs), ReleaseError> {
    let proofs = Arc::new(Proofs::new(rules.proofs.clone()));
    let numbered = items.iter().cloned().enumerate().collect::<Lane>();
    let surveys = lanes(&numbered).into_iter().map(|lane| {
        let (registry, rules) = (Arc::clone(registry), rules.clone());
        let proofs = Arc::clone(&proofs);
        async move {
            let (mut survey, mut done) = (Survey::default(), Vec::new());
            for (number, item) in lane {
                let is_done = survey.is_done(&registry, &item, &rules, &proofs);
                done.push((number, is_done.await?));
            }
            Ok(done)
        }
    });
    let done: BTreeMap<usize, bool> = each(surveys).await?.into_iter().flatten().collect();
    let released = items.iter().enumerate().map(|(number, item)| Released {
        item: item.known(),
        moved: Moved::default(),
        unchanged: done.get(&number) == Some(&true),
        attached: 0,
        note: None,
    });
    let released = released.collect();
    let proofs = Arc::into_inner(proofs);
    let proofs = proofs.unwrap_or_else(|| Proofs::new(None));
    Ok((released, proofs))
}

/// Stores the heartbeats of what is published now: one for all tags of a package.
async fn beats(
    registry: &Arc<Registry>,
    items: &[Arc<Item>],
    released: &mut [Released],
    proofs: &Proofs,
) -> Result<(), ReleaseError> {
    let mut wanted: Vec<(Vec<usize>, Arc<Item>)> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let is_same = |(_, other): &&mut (Vec<usize>, Arc<Item>)| {
            other.artifact.manifest == item.artifact.manifest && other.place.is_beside(&item.place)
        };
        match wanted.iter_mut().find(is_same) {
            Some((numbers, _)) => numbers.push(number),
            None => wanted.push((vec![number], Arc::clone(item))),
        }
    }
    let beats = wanted.into_iter().filter_map(|(numbers, item)| {
        let beat = item.heartbeat.clone()?;
        let of = |number: &usize| &items[*number];
        let tags: Vec<&Item> = numbers.iter().map(|number| of(number).as_ref()).collect();
        let heartbeat = heartbeat::of(&tags, &beat, proofs);
        let registry = Arc::clone(registry);
        Some(async move {
            let stored = heartbeat::store(&registry, &item, &beat, heartbeat).await;
            Ok((numbers.first().copied(), stored.err()))
        })
    });
    for (number, failed) in each(beats).await? {
        if let (Some(number), Some(failed)) = (number, failed) {
            note(&mut released[number], failed);
        }
    }
    Ok(())
}

/// Signs the index under each tag whose items are signed.
async fn sign_indexes(
    registry: &Arc<Registry>,
    items: &[Arc<Item>],
    released: &mut [Released],
) -> Result<(), ReleaseError> {
    let mut by_place: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        by_place.entry(&item.place).or_default().push(number);
    }
    let signing = by_place.into_values().filter_map(|numbers| {
        let first = numbers.first().copied()?;
        let here: Vec<Arc<Item>> = numbers
            .iter()
            .map(|number| Arc::clone(&items[*number]))
            .collect();
        let registry = Arc::clone(registry);
        Some(async move { Ok((first, index_signature::sign(&registry, &here).await.err())) })
    });
    for (number, failed) in each(signing).await? {
        if let Some(failed) = failed {
            note(&mut released[number], failed);
        }
    }
    Ok(())
}

/// Adds what the user should know about an item.
fn note(released: &mut Released, text: String) {
    released.note = Some(match released.note.take() {
        Some(other) => format!("{other}\n{text}"),
        None => text,
    });
}

/// The items of each repository or image layout, in their order.
fn lanes(items: &[(usize, Arc<Item>)]) -> Vec<Lane> {
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    for (number, item) in items {
        let name = match &item.place {
            Place::Registry(at) => format!("{}/{}", at.registry(), at.repository()),
            Place::Layout { folder, .. } => folder.to_string_lossy().into_owned(),
        };
        let lane = lanes.entry(name).or_default();
        lane.push((*number, Arc::clone(item)));
    }
    let mut lanes: Vec<Lane> = lanes.into_values().collect();
    lanes.sort_by_key(|lane| lane.first().map(|(number, _)| *number));
    lanes
}

/// Runs `works`, [`LANES`] at a time, and returns their results in any order. The first
/// error stops all of them.
async fn each<T, F>(works: impl Iterator<Item = F>) -> Result<Vec<T>, ReleaseError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ReleaseError>> + Send + 'static,
{
    let (mut works, mut running, mut done) = (works.fuse(), JoinSet::new(), Vec::new());
    loop {
        while running.len() < LANES
            && let Some(work) = works.next()
        {
            running.spawn(work);
        }
        match running.join_next().await {
            None => return Ok(done),
            // Dropping the set cancels the others.
            Some(ended) => done.push(ended.map_err(stopped)??),
        }
    }
}

fn stopped(error: tokio::task::JoinError) -> ReleaseError {
    ReleaseError::Stopped(error.to_string())
}

/// Transfers the items of a repository and attaches what belongs beside them, all under
/// digests.
async fn prepare(work: Arc<Work>, lane: Lane) -> Result<Vec<Prepared>, ReleaseError> {
    let mut all = Vec::new();
    let mut beside: BTreeMap<Digest, Beside> = BTreeMap::new();
    let mut with_results = Vec::new();
    for (number, item) in lane {
        let moved = work.stage.stage(&item).await?;
        let known = item.known();
        if !work.journal().is_staged(&known) {
            work.journal().note(Step::Staged(known))?;
        }
        let manifest = item.artifact.manifest.digest;
        let (mut others, mut note, mut attaching) = (Vec::new(), None, Vec::new());
        // Once for all tags.
        if !with_results.contains(&manifest) {
            with_results.push(manifest);
            match results(&work, &item).await {
                Ok(found) => others.extend(found),
                Err(text) => note = Some(text),
            }
            if let Some(documents) = &item.documents {
                let (place, subject) = (&item.place, &item.artifact.manifest);
                let made = documents.attach(&work.registry, place, subject).await?;
                let (about_package, images) = made;
                others.extend(about_package);
                attaching = images;
            }
        }
        let (attached, bundles) = vouch(&work, &item, others, &mut beside).await?;
        attaching.extend(bundles);
        all.push(Prepared {
            number,
            moved,
            attached,
            note,
            attaching,
        });
    }
    Ok(all)
}

/// Uploads the build results of an item and returns the manifest that attaches them. A
/// failure is only reported: other machines have to build again.
async fn results(work: &Work, item: &Item) -> Result<Option<bytes::Bytes>, String> {
    let (Place::Registry(to), Some(results)) = (&item.place, &item.results) else {
        return Ok(None);
    };
    let artifact = &item.artifact;
    let held = artifact.blobs.iter().map(|blob| blob.digest).collect();
    let pushed = push_results(&work.registry, to, &artifact.manifest, &held, results).await;
    let message = |error| {
        let why = with_causes(&error);
        format!("build results were not stored with {to}: {why}")
    };
    pushed.map(Some).map_err(message)
}

/// Attaches the item's bundles and `others`, reads the bundles back and verifies the
/// required signature; signs if no bundle provides it. Returns the number of bundles that
/// were attached. `beside` is what was found beside the manifests of this repository.
async fn vouch(
    work: &Work,
    item: &Item,
    others: Vec<bytes::Bytes>,
    beside: &mut BTreeMap<Digest, Beside>,
) -> Result<(usize, Option<Attaching>), ReleaseError> {
    let manifest = item.artifact.manifest.digest;
    let vouched = item.vouched(&work.registry);
    if item.vouching.is_none() && item.bundles.is_empty() {
        return Ok((0, vouched.attach(&[], others).await?));
    }
    let found = match beside.remove(&manifest) {
        Some(found) => found,
        None => vouched.attached().await?,
    };
    let made: Vec<String> = work.journal().bundles(&manifest);
    let made: Vec<Vec<u8>> = made.into_iter().map(String::into_bytes).collect();
    let (mut all, mut missing) = (found.bundles.clone(), Vec::new());
    for bundle in item.bundles.iter().chain(&made) {
        if !all.found.contains(bundle) {
            all.found.push(bundle.clone());
            missing.push(bundle.clone());
        }
    }
    let mut policy = item.vouching.as_ref().map(|by| by.policy.clone());
    if let (Some(vouching), Some(policy)) = (&item.vouching, &mut policy) {
        made.iter()
            .for_each(|bundle| accept_identity(policy, bundle));
        // If an earlier signature by this signer does not verify, another one would
        // not either.
        let signer = vouching.signer.as_ref();
        let signer = signer.filter(|signer| !made.iter().any(|bundle| made_by(signer, bundle)));
        match (vouched.proven(policy, all).await, signer) {
            (Ok(()), _) => {}
            (Err(ReleaseError::Unproven { .. }), Some(signer)) => {
                let bundle = vouched.sign(signer).await?;
                let step = Step::Signed(item.known(), bundle.clone());
                work.journal().note(step)?;
                accept_identity(policy, bundle.as_bytes());
                missing.push(bundle.into_bytes());
            }
            (Err(error), _) => return Err(error),
        }
    }
    let mut attaching = vouched.attach(&missing, others).await?;
    let mut now = found;
    if !missing.is_empty() {
        // Readers will find what the registry lists now.
        now = vouched.attached().await?;
        let needed = item.bundles.iter().chain(&made).chain(&missing);
        let needed: BTreeSet<&Vec<u8>> = needed.collect();
        let is_lost = |now: &Beside, one: &Vec<u8>| !now.bundles.found.contains(one);
        // Some registries list it only after a while.
        if let Some(attaching) = &mut attaching
            && needed.iter().any(|one| is_lost(&now, one))
        {
            work.registry.settle_referrers(attaching).await?;
            now = vouched.attached().await?;
        }
        if let Some(policy) = &policy {
            vouched.proven(policy, now.bundles.clone()).await?;
        }
        // No policy of this release may require an attestation, but one of a reader may.
        let lost = needed.iter().filter(|one| is_lost(&now, one)).count();
        if lost > 0 {
            return Err(ReleaseError::Unlisted {
                place: item.place.to_string(),
                lost,
                all: needed.len(),
            });
        }
    }
    // A proof is about the item's own policy, not one that an identity was added to.
    let signers = |policy: &Policy| policy.rules.iter().map(|rule| rule.signers.len()).sum();
    let own: Option<usize> = item.vouching.as_ref().map(|by| signers(&by.policy));
    if own == policy.as_ref().map(signers) {
        work.proofs.note(item, now.candidates.as_ref());
    }
    beside.insert(manifest, now);
    Ok((missing.len(), attaching))
}

/// Moves all tags, and waits until no index can be overwritten by a client that read it
/// before: those of tags, and the lists of what is `attached`.
async fn publish(
    work: &Arc<Work>,
    items: &[(usize, Arc<Item>)],
    attached: Vec<(Arc<Item>, Attaching)>,
) -> Result<(), ReleaseError> {
    let mut by_place: BTreeMap<&Place, Vec<Arc<Item>>> = BTreeMap::new();
    for (_, item) in items {
        let here = by_place.entry(&item.place).or_default();
        here.push(Arc::clone(item));
    }
    let mut moving: JoinSet<Result<Vec<Known>, ReleaseError>> = JoinSet::new();
    for (place, items) in by_place {
        let (work, place) = (Arc::clone(work), place.clone());
        moving.spawn(async move {
            let known = items.iter().map(|item| item.known()).collect();
            move_tag(&work, &place, items).await?;
            Ok(known)
        });
    }
    for (item, attaching) in attached {
        let work = Arc::clone(work);
        moving.spawn(async move {
            settle(&work, &item, attaching).await?;
            Ok(Vec::new())
        });
    }
    let mut failed = None;
    while let Some(ended) = moving.join_next().await {
        match ended.map_err(stopped).and_then(|moved| moved) {
            Ok(visible) => {
                let steps = visible.into_iter().map(Step::Visible);
                work.journal().note_all(steps.collect())?;
            }
            // Wait for the others, so that the journal records them.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Waits until what was attached to an item is listed for good, and verifies it again if
/// another client has changed the list.
async fn settle(work: &Work, item: &Item, mut attaching: Attaching) -> Result<(), ReleaseError> {
    attaching.wait().await;
    // The semaphore is never closed.
    let _permit = work.requests.acquire().await;
    if !work.registry.settle_referrers(&mut attaching).await? {
        return Ok(());
    }
    let Some(vouching) = &item.vouching else {
        return Ok(());
    };
    let vouched = item.vouched(&work.registry);
    let beside = vouched.attached().await?;
    let mut policy = vouching.policy.clone();
    let made = work.journal().bundles(&item.artifact.manifest.digest);
    made.iter()
        .for_each(|bundle| accept_identity(&mut policy, bundle.as_bytes()));
    vouched.proven(&policy, beside.bundles).await
}

/// Whether `bundle`, which this release made, is by this signer and not by an
/// earlier one.
fn made_by(signer: &Signer, bundle: &[u8]) -> bool {
    let Ok(bundle) = Bundle::parse(bundle) else {
        return false;
    };
    match signer {
        Signer::Key(key) => bundle.verify_statement(key.public()).is_ok(),
        Signer::Keyless(_) => *bundle.material() == Material::Certificate,
    }
}

fn distinct(items: &[Item]) -> Result<(), ReleaseError> {
    let mut seen: BTreeMap<(&Place, &str), Digest> = BTreeMap::new();
    for item in items {
        let key = (&item.place, item.artifact.architecture.as_str());
        let digest = item.artifact.manifest.digest;
        if *seen.entry(key).or_insert(digest) != digest {
            return Err(ReleaseError::Twice {
                place: item.place.to_string(),
                architecture: item.artifact.architecture.clone(),
            });
        }
    }
    Ok(())
}

/// Moves the tag of `place` to `items`, and keeps entries of other clients.
async fn move_tag(work: &Work, place: &Place, items: Vec<Arc<Item>>) -> Result<(), ReleaseError> {
    let rules = &work.rules;
    let merged = |index: Option<&Index>| -> Result<Option<Index>, ReleaseError> {
        let mut found: Option<Index> = index.cloned();
        let mut changed = false;
        for item in &items {
            let entered = match &found {
                Some(index) => is_entered(index, item, rules)?,
                None => false,
            };
            if !entered {
                let artifact = &item.artifact;
                let (manifest, architecture) = (&artifact.manifest, &artifact.architecture);
                found = Some(manifest::with_entry(found.as_ref(), manifest, architecture));
                changed = true;
            }
        }
        Ok(found.filter(|_| changed))
    };
    let json = |error: serde_json::Error| ReleaseError::Copy {
        place: place.to_string(),
        source: error.into(),
    };
    match place {
        Place::Registry(tag) => {
            let merge = |index: Option<&Index>| {
                let Some(index) = merged(index)? else {
                    return Ok(Merge::Unchanged);
                };
                serde_json::to_vec(&index).map(Merge::Put).map_err(json)
            };
            let mut update = IndexUpdate::new(tag.clone(), rules.move_tag, merge);
            // The semaphore is never closed.
            let permit = work.requests.acquire().await;
            work.registry.write_index(&mut update).await?;
            drop(permit);
            update.wait().await;
            let _permit = work.requests.acquire().await;
            work.registry.settle_index(&mut update).await?;
        }
        Place::Layout { folder, tag } => {
            let layout = ImageLayout::open(folder)?;
            layout.merge(tag, |found| -> Result<_, ReleaseError> {
                let index = merged(found)?;
                let bytes = index.map(|index| serde_json::to_vec(&index).map_err(json));
                bytes.transpose()
            })?;
        }
    }
    Ok(())
}
