//! The transaction: survey, stage, read back, sign, prove, and only then move
//! tags.
//!
//! A crash may come after any step; a rerun repeats them and leads to the same
//! end. What exists already costs a request, not a transfer.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::artifact::Place;
use super::error::ReleaseError;
use super::item::{Item, Moved, Released, Rules};
use super::journal::{Journal, JournalError, Step};
use super::staging::Stage;
use super::vouching::accept_identity;
use crate::content;
use crate::layout::ImageLayout;
use crate::oci::{Descriptor, Digest, Index, media_type};
use crate::package::manifest;
use crate::registry::{Merge, Registry};
use crate::signers::Signer;
use crate::signing::{Bundle, Material};

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
    let mut released = Vec::new();
    for item in items {
        if let Some(vouching) = &item.vouching {
            let vouched = item.vouched(registry);
            vouched.can_be_proven(&vouching.policy).await?;
        }
        released.push(Released {
            item: item.known(),
            moved: Moved::default(),
            unchanged: is_published(registry, item, &rules).await?
                && is_vouched(registry, item).await?,
            attached: 0,
        });
    }
    if released.iter().all(|made| made.unchanged) {
        return Ok(released);
    }
    // Check all sizes before the first upload.
    for item in items {
        if let Place::Registry(to) = &item.place {
            for blob in &item.artifact.blobs {
                registry.check_size(to, blob)?;
            }
        }
    }
    let mut journal = journal()?;
    let stage = Stage::new(registry, &rules);
    let mut by_place: BTreeMap<&Place, Vec<Item>> = BTreeMap::new();
    for (item, made) in items.iter().zip(&mut released) {
        if made.unchanged {
            continue;
        }
        made.moved = stage.stage(item).await?;
        if !journal.is_staged(&made.item) {
            journal.note(Step::Staged(made.item.clone()))?;
        }
        by_place.entry(&item.place).or_default().push(item.clone());
    }
    stage.remember().await;
    for (item, made) in items.iter().zip(&mut released) {
        if !made.unchanged {
            made.attached = vouch(registry, item, &mut journal).await?;
        }
    }
    // Nothing visible has changed so far. Moving a tag is mostly waiting for
    // other clients that may write to it, so all tags are moved in parallel.
    let mut moving = JoinSet::new();
    for (place, items) in by_place {
        let (registry, place) = (Arc::clone(registry), place.clone());
        let rules = rules.clone();
        moving.spawn(async move {
            move_tag(&registry, &place, &items, &rules).await?;
            Ok::<_, ReleaseError>(items)
        });
    }
    let mut failed = None;
    while let Some(moved) = moving.join_next().await {
        let moved = moved.map_err(|error| ReleaseError::Stopped(error.to_string()));
        match moved.and_then(|moved| moved) {
            Ok(items) => {
                for item in items {
                    journal.note(Step::Visible(item.known()))?;
                }
            }
            // Wait for the others, so that the journal records them.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => {
            journal.end()?;
            Ok(released)
        }
    }
}

/// Whether all bundles that the item needs are attached already.
async fn is_vouched(registry: &Arc<Registry>, item: &Item) -> Result<bool, ReleaseError> {
    if item.vouching.is_none() && item.bundles.is_empty() {
        return Ok(true);
    }
    let vouched = item.vouched(registry);
    let attached = vouched.attached().await?;
    let is_there = |bundle: &Vec<u8>| attached.found.contains(bundle);
    if !item.bundles.iter().all(is_there) {
        return Ok(false);
    }
    Ok(match &item.vouching {
        None => true,
        Some(vouching) => match vouched.proven(&vouching.policy, attached).await {
            Ok(()) => true,
            Err(ReleaseError::Unproven { .. }) => false,
            Err(error) => return Err(error),
        },
    })
}

/// Attaches the item's bundles, reads them back and verifies the required
/// signature; signs if no bundle provides it. Returns the number of bundles that
/// were attached.
async fn vouch(
    registry: &Arc<Registry>,
    item: &Item,
    journal: &mut Journal,
) -> Result<usize, ReleaseError> {
    let manifest = item.artifact.manifest.digest;
    if item.vouching.is_none() && item.bundles.is_empty() {
        return Ok(0);
    }
    let vouched = item.vouched(registry);
    let mut count = 0;
    let mut attached = vouched.attached().await?.found;
    let made = journal
        .bundles(&manifest)
        .into_iter()
        .map(String::into_bytes);
    let signer = item.vouching.as_ref().and_then(|by| by.signer.as_ref());
    let signed = signer.is_some_and(|signer| made.clone().any(|bundle| made_by(signer, &bundle)));
    let brought: Vec<Vec<u8>> = item.bundles.iter().cloned().chain(made.clone()).collect();
    for bundle in brought {
        if !attached.contains(&bundle) {
            vouched.attach(&bundle).await?;
            attached.push(bundle);
            count += 1;
        }
    }
    let Some(vouching) = &item.vouching else {
        return Ok(count);
    };
    let mut policy = vouching.policy.clone();
    made.for_each(|bundle| accept_identity(&mut policy, &bundle));
    // Readers will find what the registry lists now.
    let mut read_back = vouched.attached().await?;
    // If an earlier signature by this signer does not verify, another one would
    // not either.
    let signer = vouching.signer.as_ref().filter(|_| !signed);
    match (vouched.proven(&policy, read_back).await, signer) {
        (Ok(()), _) => return Ok(count),
        (Err(ReleaseError::Unproven { .. }), Some(signer)) => {
            let bundle = vouched.sign(signer).await?;
            journal.note(Step::Signed(item.known(), bundle.clone()))?;
            accept_identity(&mut policy, bundle.as_bytes());
            vouched.attach(bundle.as_bytes()).await?;
            count += 1;
            read_back = vouched.attached().await?;
        }
        (Err(error), _) => return Err(error),
    }
    vouched.proven(&policy, read_back).await?;
    Ok(count)
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

/// Whether the item's tag names it; an error if it names another package and
/// must not be moved.
async fn is_published(
    registry: &Arc<Registry>,
    item: &Item,
    rules: &Rules,
) -> Result<bool, ReleaseError> {
    // The tag names something other than a package, which must not be lost by
    // accident.
    let foreign = |found: &Descriptor| match rules.move_tag {
        true => Ok(()),
        false => Err(taken(item, found.digest)),
    };
    let index = match &item.place {
        Place::Registry(tag) => match registry.find_to_write(tag).await? {
            Some((found, bytes)) => {
                if !media_type::is_index(&found.media_type) {
                    foreign(&found)?;
                    return Ok(false);
                }
                Some(crate::registry::read_index(tag, &found, &bytes)?)
            }
            None => None,
        },
        Place::Layout { folder, tag } => {
            let layout = ImageLayout::open(folder)?;
            let named = layout.named(tag)?;
            if let Some(found) = named.filter(|found| !media_type::is_index(&found.media_type)) {
                foreign(&found)?;
            }
            layout.index_at(tag)?
        }
    };
    let entered = match index {
        Some(index) => is_entered(&index, item, rules)?,
        None => false,
    };
    if !entered {
        return Ok(false);
    }
    // A tag may outlive its manifest.
    let manifest = &item.artifact.manifest;
    Ok(match &item.place {
        Place::Registry(tag) => registry.has_manifest(&tag.at(manifest.digest)).await?,
        Place::Layout { folder, .. } => {
            content::Push::contains(&ImageLayout::open(folder)?, manifest).unwrap_or(false)
        }
    })
}

/// Whether `index` names the item; an error if it names another one and must not
/// be changed.
fn is_entered(index: &Index, item: &Item, rules: &Rules) -> Result<bool, ReleaseError> {
    let wanted = &item.artifact.manifest;
    match manifest::entry(index, &item.artifact.architecture) {
        Some(found) if found.digest == wanted.digest => Ok(true),
        Some(found) if !rules.move_tag => Err(taken(item, found.digest)),
        _ => Ok(false),
    }
}

fn taken(item: &Item, found: Digest) -> ReleaseError {
    ReleaseError::Taken {
        place: item.place.to_string(),
        architecture: item.artifact.architecture.clone(),
        found,
        wanted: item.artifact.manifest.digest,
    }
}

/// Moves the tag of `place` to `items`, and keeps entries of other clients.
async fn move_tag(
    registry: &Arc<Registry>,
    place: &Place,
    items: &[Item],
    rules: &Rules,
) -> Result<(), ReleaseError> {
    let merged = |index: Option<&Index>| -> Result<Option<Index>, ReleaseError> {
        let mut found: Option<Index> = index.cloned();
        let mut changed = false;
        for item in items {
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
            registry.merge_index(tag, rules.move_tag, merge).await?;
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
