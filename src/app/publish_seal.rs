//! Signs packages before they are published, with the signature in the package.
//!
//! Some signers make a different signature each time, and a different signature makes a
//! different package. So an earlier signature is reused: the one at the destination, or
//! one that an interrupted run stored here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::publish_options::{PublishOptions, Ready};
use crate::disk;
use crate::layout::{self, ImageLayout};
use crate::oci::{Digest, MAX_MANIFEST_BYTES, Manifest, Reference};
use crate::package::{Dialect, manifest};
use crate::registry::Registry;
use crate::release::{self, Artifact, Destination, Place, ReleaseError, Vouching};
use crate::signers::{Seal, Signer, is_seal, seal};
use crate::signing::Claims;
use crate::source::RemotePackage;
use crate::text::with_causes;

/// New or replaced files of a package, by name.
type Files = Vec<(String, Vec<u8>)>;

/// The signer of packages, and the form of the signature.
pub(super) struct Sealing<'s> {
    pub registry: &'s Arc<Registry>,
    pub options: &'s PublishOptions,
    pub vouching: &'s Arc<Vouching>,
    pub how: Seal,
}

impl Sealing<'_> {
    /// The package with a signature in it, and the number of bundles that were dropped
    /// because they are about the unsigned package. The error is a message.
    pub(super) async fn sealed(&self, ready: Ready) -> Result<(Ready, usize), String> {
        let Some(signer) = &self.vouching.signer else {
            return Ok((ready, 0));
        };
        let kept = self.kept(&ready);
        let found = match &kept {
            None => None,
            Some(kept) => self.earlier(&ready, signer, kept).await,
        };
        let sealed = match found {
            Some(found) => found,
            None => self.newly(&ready, signer, kept).await?,
        };
        // The manifest has changed. Bundles about the definition still apply, unless
        // signing has changed that, too.
        let named = sealed.definition().map(|digest| ("sha256", digest.hex()));
        let (bundles, dropped): (Vec<_>, Vec<_>) = ready.bundles.into_iter().partition(|bundle| {
            let named = named.as_ref();
            named.is_some_and(|digest| Claims::name(bundle, digest))
        });
        let ready = Ready {
            bundles,
            artifact: Arc::new(sealed),
            ..ready
        };
        Ok((ready, dropped.len()))
    }

    /// A note about SBOM documents that stay at the manifest `before` of a package that is
    /// signed in its place: nothing in the package makes them follow.
    pub(super) async fn left(
        &self,
        source: &str,
        before: Digest,
        ready: &Ready,
    ) -> Result<Option<String>, ReleaseError> {
        if ready.artifact.manifest.digest == before {
            return Ok(None);
        }
        let mut follow = release::carried(&ready.artifact);
        follow.extend(&self.options.sbom_formats);
        let mut count = 0;
        for destination in &self.options.destinations {
            // Publishing will report whatever is wrong.
            let to = Destination::parse(destination, &self.options.place.here);
            let Ok(place) = to.and_then(|to| to.place(&ready.name, &ready.tag)) else {
                continue;
            };
            count += release::documents_about(self.registry, &place, before, &follow).await?;
        }
        Ok((count > 0).then(|| {
            format!(
                "{source}: {count} SBOM documents stay attached to the unsigned package {before}: attach them to the signed one with `jackal package publish --sbom-format`"
            )
        }))
    }

    async fn newly(
        &self,
        ready: &Ready,
        signer: &Arc<Signer>,
        kept: Option<PathBuf>,
    ) -> Result<Artifact, String> {
        let (signer, artifact) = (Arc::clone(signer), Artifact::clone(&ready.artifact));
        let how = self.how;
        blocking(move || {
            let evidence = artifact.evidence().map_err(|error| with_causes(&error))?;
            let (dialect, definition) = evidence.definition().ok_or("it has no definition")?;
            let files = seal(dialect, definition, &signer, how);
            let files = files.map_err(|error| with_causes(&error))?;
            if let Some(kept) = kept {
                keep(&kept, &files).map_err(|error| {
                    format!("`{}`: {error}", kept.display(), error = with_causes(&error))
                })?;
            }
            artifact.with_seal(dialect, files)
        })
        .await
    }

    /// The package with an earlier signature by the same signer.
    async fn earlier(&self, ready: &Ready, signer: &Arc<Signer>, kept: &Path) -> Option<Artifact> {
        if let Some(files) = read(kept) {
            let sealed = self.judged(ready, signer, files).await;
            if sealed.is_some() {
                return sealed;
            }
        }
        for destination in &self.options.destinations {
            let to = Destination::parse(destination, &self.options.place.here).ok()?;
            let Ok(place) = to.place(&ready.name, &ready.tag) else {
                continue;
            };
            let architecture = &ready.artifact.architecture;
            // Publishing will report whatever is wrong.
            let found = match &place {
                Place::Registry(tag) => self.in_registry(tag, architecture).await,
                Place::Layout { folder, tag } => in_layout(folder, tag, architecture),
            };
            let Some((digest, files)) = found else {
                continue;
            };
            if let Some(sealed) = self.judged(ready, signer, files).await
                && sealed.manifest.digest == digest
            {
                return Some(sealed);
            }
        }
        None
    }

    /// The package that a tag names, and the files in it that belong to a signature.
    async fn in_registry(&self, tag: &Reference, architecture: &str) -> Option<(Digest, Files)> {
        let found = RemotePackage::find(self.registry, tag, architecture).await;
        let found = found.ok()?;
        let mut files = Vec::new();
        for name in sealed_names() {
            if let Ok(Some(bytes)) = found.document(self.registry, name).await {
                files.push((name.to_owned(), bytes));
            }
        }
        Some((found.digest(), files))
    }

    /// The package with `files`, if they are a valid signature of it.
    async fn judged(&self, ready: &Ready, signer: &Arc<Signer>, files: Files) -> Option<Artifact> {
        let (signer, artifact) = (Arc::clone(signer), Artifact::clone(&ready.artifact));
        let (how, policy) = (self.how, self.vouching.policy.clone());
        let judging = blocking(move || {
            let evidence = artifact.evidence().map_err(|error| with_causes(&error))?;
            let (dialect, definition) = evidence.definition().ok_or("it has no definition")?;
            let mut files = files;
            // An unchanged definition stays in its place.
            files.retain(|(name, bytes)| name != dialect.definition_file() || *bytes != definition);
            if !is_seal(dialect, definition, &signer, how, &files) {
                return Err("other files".to_owned());
            }
            let sealed = artifact.with_seal(dialect, files)?;
            let evidence = sealed.evidence().map_err(|error| with_causes(&error))?;
            match evidence.judge(&policy) {
                Ok(_) => Ok(sealed),
                Err(_) => Err("the signature does not verify".to_owned()),
            }
        });
        judging.await.ok()
    }

    /// Where the signature is stored until the release is complete; `None`: signing
    /// again gives the same signature.
    pub(super) fn kept(&self, ready: &Ready) -> Option<PathBuf> {
        let signer = self.vouching.signer.as_ref()?;
        if signer.is_deterministic() {
            return None;
        }
        let what = format!(
            "{} {:?} {}",
            ready.artifact.manifest.digest,
            self.how,
            signer.name()
        );
        let name = Digest::of(what.as_bytes()).hex();
        let folder = self.options.state.join("seals");
        Some(folder.join(format!("{name}.json")))
    }
}

fn sealed_names() -> impl Iterator<Item = &'static str> {
    let names = |dialect: Dialect| {
        [
            dialect.signature_file(),
            dialect.bundle_file(),
            dialect.definition_file(),
        ]
    };
    Dialect::ALL.into_iter().flat_map(names)
}

/// The same for an image layout.
fn in_layout(folder: &Path, tag: &str, architecture: &str) -> Option<(Digest, Files)> {
    if !folder.is_dir() {
        return None;
    }
    let layout = ImageLayout::open(folder).ok()?;
    let index = layout.index_at(tag).ok()??;
    let entry = manifest::entry(&index, architecture)?;
    let bytes = layout.content(entry, MAX_MANIFEST_BYTES).ok()?;
    let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
    let mut files = Vec::new();
    for layer in &manifest.layers {
        let Some(name) = manifest::title(layer) else {
            continue;
        };
        if sealed_names().any(|sealed| sealed == name) {
            let bytes = layout.content(layer, layout::limit(name)).ok()?;
            files.push((name.to_owned(), bytes));
        }
    }
    Some((entry.digest, files))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| with_causes(&error))
        .and_then(|done| done)
}

fn keep(path: &Path, files: &Files) -> std::io::Result<()> {
    Ok(disk::write(path, &serde_json::to_vec(files)?)?)
}

fn read(path: &Path) -> Option<Files> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
