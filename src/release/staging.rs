//! Stages artifacts under digests: they are not visible until a tag names them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::artifact::{Artifact, Place};
use super::error::ReleaseError;
use super::holders::Holders;
use super::item::{Item, Moved, Rules};
use crate::content::{self, activity};
use crate::layout::{ImageLayout, LayoutError};
use crate::oci::{Descriptor, Digest, Reference};
use crate::registry::{Hints, Registry, RegistryError, Sent};

pub(super) struct Stage {
    registry: Arc<Registry>,
    permits: Arc<Semaphore>,
    holders: Holders,
}

impl Stage {
    pub(super) fn new(registry: &Arc<Registry>, rules: &Rules) -> Self {
        Self {
            registry: Arc::clone(registry),
            permits: Arc::new(Semaphore::new(rules.concurrency.max(1))),
            holders: Holders::new(rules.pushed.clone()),
        }
    }

    /// Remembers which repositories have the blobs.
    pub(super) async fn remember(&self) {
        self.holders.remember().await;
    }

    /// Transfers an artifact to its place, under digests.
    pub(super) async fn stage(&self, item: &Item) -> Result<Moved, ReleaseError> {
        let artifact = &item.artifact;
        match &item.place {
            Place::Registry(tag) => {
                let every: Vec<&Descriptor> = artifact.blobs.iter().collect();
                let (mut moved, there) = self.blobs(tag, artifact, &every, false).await?;
                let at = tag.at(artifact.manifest.digest);
                let kind = &artifact.manifest.media_type;
                // The registry claims to have all blobs but refuses the
                // manifest. First upload what it claimed to have already; then,
                // as it may lose uploads too, everything.
                let mut unsure = every.clone();
                unsure.retain(|blob| there.contains(&blob.digest));
                let tries = [unsure, every].into_iter();
                let mut tries = tries.filter(|blobs| !blobs.is_empty());
                loop {
                    let pushed = self.registry.push_manifest(&at, kind, &artifact.bytes);
                    let blobs = match (pushed.await, tries.next()) {
                        (Ok(_), _) => break,
                        (Err(RegistryError::BlobUnknown { .. }), Some(blobs)) => blobs,
                        (Err(error), _) => return Err(error.into()),
                    };
                    let again = self.blobs(tag, artifact, &blobs, true).await?.0;
                    moved = Moved {
                        present: 0,
                        mounted: 0,
                        uploaded: moved.uploaded + again.uploaded,
                        uploaded_bytes: moved.uploaded_bytes + again.uploaded_bytes,
                    };
                }
                // Read it back: a registry may answer 201 without storing
                // anything.
                self.registry.manifest(&at, &artifact.manifest).await?;
                Ok(moved)
            }
            Place::Layout { folder, .. } => {
                let (artifact, folder) = (Arc::clone(artifact), folder.clone());
                let place = item.place.to_string();
                let copied = tokio::task::spawn_blocking(move || into_layout(&artifact, &folder));
                copied
                    .await
                    .map_err(|error| ReleaseError::Stopped(error.to_string()))?
                    .map_err(|error| match error {
                        Failed::Layout(error) => error.into(),
                        Failed::Copy(source) => ReleaseError::Copy { place, source },
                    })
            }
        }
    }

    /// Transfers `blobs` of an artifact and returns those that were not
    /// uploaded. `missing`: upload them whatever the registry claims to have.
    async fn blobs(
        &self,
        to: &Reference,
        artifact: &Arc<Artifact>,
        blobs: &[&Descriptor],
        missing: bool,
    ) -> Result<(Moved, BTreeSet<Digest>), ReleaseError> {
        let mut tasks = JoinSet::new();
        for blob in blobs {
            let (to, artifact) = (to.clone(), Arc::clone(artifact));
            let blob = Descriptor::clone(blob);
            let registry = Arc::clone(&self.registry);
            let permits = Arc::clone(&self.permits);
            let holder = self.holders.of(to.registry(), blob.digest);
            tasks.spawn(async move {
                let mut holder = holder.lock().await;
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                let origin = artifact.origin.as_ref();
                let origin = origin
                    .filter(|from| from.registry() == to.registry())
                    .map(Reference::repository);
                let from = holder.as_deref().or(origin);
                let hints = Hints {
                    mount_from: from.filter(|from| *from != to.repository()),
                    missing,
                };
                let sent = registry.push_blob(&to, &blob, &artifact.source, hints);
                let sent = sent.await?;
                *holder = Some(to.repository().to_owned());
                Ok::<_, RegistryError>((sent, blob))
            });
        }
        let (mut moved, mut there) = (Moved::default(), BTreeSet::new());
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|error| ReleaseError::Stopped(error.to_string()))?;
            // Dropping the set cancels the other transfers.
            let (sent, blob) = done?;
            activity::moved(blob.size);
            match sent {
                Sent::Present => moved.present += 1,
                Sent::Mounted => moved.mounted += 1,
                Sent::Uploaded => {
                    moved.uploaded += 1;
                    moved.uploaded_bytes += blob.size;
                    continue;
                }
            }
            there.insert(blob.digest);
        }
        Ok((moved, there))
    }
}

enum Failed {
    Layout(LayoutError),
    Copy(io::Error),
}

fn into_layout(artifact: &Artifact, folder: &std::path::Path) -> Result<Moved, Failed> {
    let layout = ImageLayout::open(folder).map_err(Failed::Layout)?;
    layout.reap().map_err(Failed::Layout)?;
    let mut moved = Moved::default();
    for blob in &artifact.blobs {
        if content::Push::contains(&layout, blob).map_err(Failed::Copy)? {
            moved.present += 1;
            continue;
        }
        content::copy(&*artifact.source, &layout, blob).map_err(Failed::Copy)?;
        moved.uploaded += 1;
        moved.uploaded_bytes += blob.size;
    }
    let kind = &artifact.manifest.media_type;
    let stored = layout.document(kind, &artifact.bytes);
    stored.map_err(Failed::Layout)?;
    Ok(moved)
}
