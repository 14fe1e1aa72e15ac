//! Finds out which items of a release are published already. Nothing is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::artifact::Place;
use super::error::ReleaseError;
use super::item::{Item, Rules};
use super::proofs::Proofs;
use super::vouching::Vouched;
use crate::content;
use crate::layout::ImageLayout;
use crate::oci::{Descriptor, Digest, Index, media_type};
use crate::package::manifest;
use crate::registry::{ListedIn, Registry};

/// What was found at the places of one repository.
#[derive(Default)]
pub(super) struct Survey {
    manifests: BTreeSet<Digest>,
    /// What these lists have about a manifest.
    listed: Vec<(Digest, ListedIn, Digest)>,
}

impl Survey {
    /// Whether the item is visible, with all that it needs beside it; an error if its tag
    /// names another package and must not be moved.
    pub(super) async fn is_done(
        &mut self,
        registry: &Arc<Registry>,
        item: &Item,
        rules: &Rules,
        proofs: &Proofs,
    ) -> Result<bool, ReleaseError> {
        if let Some(vouching) = &item.vouching {
            let vouched = item.vouched(registry);
            vouched.can_be_proven(&vouching.policy).await?;
        }
        if !self.is_published(registry, item, rules).await?
            || !self.is_vouched(registry, item, proofs).await?
        {
            return Ok(false);
        }
        match &item.documents {
            Some(documents) => {
                let (place, subject) = (&item.place, &item.artifact.manifest);
                documents.are_attached(registry, place, subject).await
            }
            None => Ok(true),
        }
    }

    /// Whether the item's tag names it; an error if it names another package and
    /// must not be moved.
    async fn is_published(
        &mut self,
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
                if let Some(found) = named.filter(|found| !media_type::is_index(&found.media_type))
                {
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
            Place::Registry(tag) => {
                let known = self.manifests.contains(&manifest.digest)
                    || registry.has_manifest(&tag.at(manifest.digest)).await?;
                self.manifests.extend(known.then_some(manifest.digest));
                known
            }
            Place::Layout { folder, .. } => {
                content::Push::contains(&ImageLayout::open(folder)?, manifest).unwrap_or(false)
            }
        })
    }

    /// Whether all bundles that the item needs are attached already.
    async fn is_vouched(
        &mut self,
        registry: &Arc<Registry>,
        item: &Item,
        proofs: &Proofs,
    ) -> Result<bool, ReleaseError> {
        if item.vouching.is_none() && item.bundles.is_empty() {
            return Ok(true);
        }
        let vouched = item.vouched(registry);
        if let Some(proof) = proofs.find(item)
            && let Some(candidates) = self.candidates(&vouched, proof.lists()).await?
            && proof.holds(candidates)
        {
            return Ok(true);
        }
        let beside = vouched.attached().await?;
        let is_there = |bundle: &Vec<u8>| beside.bundles.found.contains(bundle);
        if !item.bundles.iter().all(is_there) {
            return Ok(false);
        }
        let candidates = beside.candidates;
        if let Some(vouching) = &item.vouching {
            match vouched.proven(&vouching.policy, beside.bundles).await {
                Ok(()) => {}
                Err(ReleaseError::Unproven { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        proofs.note(item, candidates.as_ref());
        Ok(true)
    }

    /// The digest of what a registry lists beside an artifact, requested once for all tags.
    async fn candidates(
        &mut self,
        vouched: &Vouched<'_>,
        lists: ListedIn,
    ) -> Result<Option<Digest>, ReleaseError> {
        let manifest = vouched.artifact.manifest.digest;
        let mut known = self.listed.iter();
        let known = known.find(|(of, at, _)| (*of, *at) == (manifest, lists));
        if let Some((_, _, found)) = known {
            return Ok(Some(*found));
        }
        let Some(listed) = vouched.listed(lists).await? else {
            return Ok(None);
        };
        let found = listed.digest();
        self.listed.push((manifest, lists, found));
        Ok(Some(found))
    }
}

/// Whether `index` names the item; an error if it names another one and must not
/// be changed.
pub(super) fn is_entered(index: &Index, item: &Item, rules: &Rules) -> Result<bool, ReleaseError> {
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
