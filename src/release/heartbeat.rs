//! Heartbeats of packages that a release published or found unchanged: a signed statement
//! of when it looked. Wanted by few, so only an item that asks for it has one.

use std::sync::Arc;

use super::artifact::{Artifact, Place};
use super::item::{Beat, Item};
use super::proofs::Proofs;
use crate::oci::{Reference, media_type};
use crate::registry::Registry;
use crate::signers::Signer;
use crate::source::{Heartbeat, heartbeat_about, heartbeat_tag};
use crate::text::with_causes;

/// What the heartbeat of a package under these `tags` of one repository says.
pub(super) fn of(tags: &[&Item], beat: &Beat, proofs: &Proofs) -> Heartbeat {
    let read = tags.iter().map(|item| proofs.read_at(item)).min();
    let read = read.and_then(|read| jiff::Timestamp::from_second(read).ok());
    Heartbeat {
        checked_at: beat.now,
        signatures_read_at: read.unwrap_or(beat.now).min(beat.now),
        places: tags.iter().map(|item| item.place.to_string()).collect(),
        action_key: beat.action_key.clone(),
    }
}

/// Stores a heartbeat in place of the previous one, in at most three requests. A failure
/// is only reported: the package itself is current.
pub(super) async fn store(
    registry: &Registry,
    item: &Item,
    beat: &Beat,
    heartbeat: Heartbeat,
) -> Result<(), String> {
    let Place::Registry(at) = &item.place else {
        return Ok(());
    };
    let message = |error: String| format!("no heartbeat was stored with {at}: {error}");
    let replaced = replace(registry, at, &item.artifact, &beat.signer, heartbeat);
    replaced.await.map_err(message)
}

async fn replace(
    registry: &Registry,
    at: &Reference,
    artifact: &Artifact,
    signer: &Arc<Signer>,
    heartbeat: Heartbeat,
) -> Result<(), String> {
    let signer = Arc::clone(signer);
    let manifest = &artifact.manifest;
    let json = |error: serde_json::Error| error.to_string();
    let statement = heartbeat.statement(&artifact.name, &manifest.digest);
    let statement = statement.map_err(json)?;
    let signing = tokio::task::spawn_blocking(move || signer.statement(&statement));
    let signed = signing.await.map_err(|error| error.to_string())?;
    let bundle = signed.map_err(|error| with_causes(&error))?;
    let bytes = heartbeat.manifest(manifest, &bundle).map_err(json)?;
    let before = heartbeat_about(registry, at, manifest.digest).await;
    let before = before.map_err(|error| with_causes(&error))?;
    let tag = heartbeat_tag(at, manifest.digest).map_err(|error| with_causes(&error))?;
    // Its only blob is there, as it is part of every signature.
    let pushed = registry
        .push_manifest(&tag, media_type::MANIFEST, &bytes)
        .await;
    pushed.map_err(|error| with_causes(&error))?;
    if let Some((digest, _)) = before {
        // Without permission to delete, the registry keeps it until it collects garbage.
        drop(registry.delete_manifest(&at.at(digest)).await);
    }
    Ok(())
}
