//! Heartbeats of packages that a release found unchanged: a signed statement of when it
//! looked. Wanted by few, so only an item that asks for it has one.

use std::sync::Arc;

use super::artifact::{Artifact, Place};
use crate::oci::{Reference, media_type};
use crate::registry::Registry;
use crate::signers::Signer;
use crate::source::{Heartbeat, heartbeat_about, heartbeat_tag};
use crate::text::with_causes;

/// A wanted heartbeat.
#[derive(Clone)]
pub struct Beat {
    /// Signs it.
    pub signer: Arc<Signer>,
    /// The time of the release.
    pub now: jiff::Timestamp,
    /// The key of the action that makes the package.
    pub action_key: Option<String>,
}

/// Stores the heartbeat of an artifact in place of the previous one, in at most three
/// requests. A failure is only reported: the package itself is current.
pub(super) async fn store(
    registry: &Registry,
    place: &Place,
    artifact: &Artifact,
    beat: &Beat,
) -> Result<(), String> {
    let Place::Registry(at) = place else {
        return Ok(());
    };
    let told = |error: String| format!("no heartbeat was stored with {at}: {error}");
    replace(registry, at, artifact, beat).await.map_err(told)
}

async fn replace(
    registry: &Registry,
    at: &Reference,
    artifact: &Artifact,
    beat: &Beat,
) -> Result<(), String> {
    let signer = Arc::clone(&beat.signer);
    let heartbeat = Heartbeat {
        checked_at: beat.now,
        place: format!("oci://{at}"),
        action_key: beat.action_key.clone(),
    };
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
