//! Images from registries: resolves names to manifests, and fetches blobs.
//!
//! [`resolve`] pins a name; [`fetch`] stores the pinned image in the cache and
//! transfers its blobs in parallel. Network I/O runs on the runtime; digesting and
//! writing run on blocking threads. Everything is verified against the pin, and cached
//! blobs are not fetched.

mod select;

use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::action::Output;
use crate::cas::{Cas, CasError, SinkError};
use crate::content::CopyError;
use crate::ground::in_flight::InFlight;
use crate::ground::{failures, of_cas};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Manifest, Platform, Reference};
use crate::registry::{Registry, RegistryError, is_temporary};

pub(crate) use select::{Selected, select};

/// The manifest that a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The index that the manifest was selected from, if any.
    pub index: Option<Descriptor>,
    /// The manifest for the requested platform.
    pub manifest: Descriptor,
}

/// Why an image is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The document is not a supported image.
    #[error("{reference}")]
    Kind {
        reference: String,
        /// What is wrong with it.
        source: KindError,
    },
    /// A blob does not match the manifest, or cannot be stored.
    #[error("{reference}: {what} {digest} was not stored ({})", advice(.source))]
    Store {
        reference: String,
        /// Its part: `manifest`, `config`, `layer/0`, ...
        what: String,
        /// The digest of the part.
        digest: Digest,
        source: SinkError,
    },
    #[error("{0}: fetch cancelled before it started")]
    Stopped(String),
}

pub use select::KindError;

fn advice(source: &SinkError) -> &'static str {
    match source {
        SinkError::Cas(CasError::Mismatch { .. }) => "fetch it again, or push the image again",
        _ => "check the disk that holds the cache",
    }
}

/// What the document `bytes` of a reference stands for on `platform`.
///
/// # Errors
///
/// [`KindError`]: no child for the platform, a schema 1 manifest, or no manifest at
/// all.
pub(crate) fn meant(
    descriptor: &Descriptor,
    bytes: &[u8],
    platform: &Platform,
) -> Result<Pin, KindError> {
    match select(descriptor, bytes, platform)? {
        Selected::Manifest(manifest) => Ok(Pin {
            index: None,
            manifest,
        }),
        Selected::Child { index, child } => Ok(Pin {
            index: Some(index),
            manifest: child,
        }),
    }
}

/// An image that is in the cache.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    pub outputs: Vec<Output>,
    /// Number of downloaded bytes, without cached parts.
    pub bytes: u64,
}

/// Stores `manifest` and all of its blobs in the cache, from the repository of
/// `reference`.
///
/// Outputs are named `manifest`, `config`, `layer/0`, `layer/1`, ... Each transfer
/// holds one of `permits`; of two transfers of the same blob, the second waits for the
/// first and finds it stored.
///
/// # Errors
///
/// [`FetchError`]; the first, when several parts fail.
pub async fn fetch(
    registry: &Registry,
    cas: &Arc<Cas>,
    reference: &Reference,
    manifest: &Descriptor,
    permits: &Semaphore,
    in_flight: &InFlight,
) -> Result<Fetched, FetchError> {
    let transfer = Transfer {
        registry,
        cas,
        reference,
        permits,
        in_flight,
        fetched: AtomicU64::new(0),
    };
    let bytes = transfer.manifest(manifest).await?;
    let document: Manifest =
        select::document(manifest, &bytes).map_err(|source| FetchError::Kind {
            reference: reference.to_string(),
            source,
        })?;
    let parts = parts(&document);
    let blobs = parts
        .iter()
        .map(|(name, blob)| Box::pin(transfer.blob(name, blob)))
        .collect();
    all(blobs).await?;
    Ok(Fetched {
        outputs: outputs(manifest, &document),
        bytes: transfer.fetched.into_inner(),
    })
}

/// The blobs of an image under the names of its outputs.
pub(crate) fn parts(manifest: &Manifest) -> Vec<(String, &Descriptor)> {
    let mut parts = vec![("config".to_owned(), &manifest.config)];
    let layers = manifest.layers.iter().enumerate();
    parts.extend(layers.map(|(index, layer)| (format!("layer/{index}"), layer)));
    parts
}

/// The outputs of an image: its manifest, then its blobs.
pub(crate) fn outputs(manifest: &Descriptor, document: &Manifest) -> Vec<Output> {
    let mut outputs = vec![Output::of("manifest", manifest)];
    let parts = parts(document).into_iter();
    outputs.extend(parts.map(|(name, blob)| Output::of(name, blob)));
    outputs
}

struct Transfer<'a> {
    registry: &'a Registry,
    cas: &'a Arc<Cas>,
    reference: &'a Reference,
    permits: &'a Semaphore,
    in_flight: &'a InFlight,
    fetched: AtomicU64,
}

impl Transfer<'_> {
    fn store(&self, what: &str, blob: &Descriptor, source: SinkError) -> FetchError {
        FetchError::Store {
            reference: self.reference.to_string(),
            what: what.to_owned(),
            digest: blob.digest,
            source,
        }
    }

    /// Runs `work` on a blocking thread.
    async fn with_cas<T: Send + 'static>(
        &self,
        what: &str,
        blob: &Descriptor,
        work: impl FnOnce(&Cas) -> Result<T, CasError> + Send + 'static,
    ) -> Result<T, FetchError> {
        let cas = Arc::clone(self.cas);
        let done = match tokio::task::spawn_blocking(move || work(&cas)).await {
            Ok(done) => done.map_err(SinkError::from),
            Err(error) => Err(SinkError::Stopped(error.to_string())),
        };
        done.map_err(|source| self.store(what, blob, source))
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, FetchError> {
        let permit = self.permits.acquire().await;
        permit.map_err(|_| FetchError::Stopped(self.reference.to_string()))
    }

    async fn manifest(&self, manifest: &Descriptor) -> Result<Bytes, FetchError> {
        let _turn = self.in_flight.turn(manifest.digest).await;
        let wanted = manifest.clone();
        let held = self
            .with_cas("manifest", manifest, move |cas| Ok(held(cas, &wanted)))
            .await?;
        if let Some(bytes) = held {
            return Ok(bytes.into());
        }
        let _permit = self.permit().await?;
        let bytes = self.registry.manifest(self.reference, manifest).await?;
        self.fetched.fetch_add(manifest.size, Ordering::Relaxed);
        let (wanted, content) = (manifest.clone(), bytes.clone());
        self.with_cas("manifest", manifest, move |cas| cas.put(&wanted, &*content))
            .await?;
        Ok(bytes)
    }

    async fn blob(&self, name: &str, blob: &Descriptor) -> Result<(), FetchError> {
        // Take the turn before the permit, so that a waiting task holds no permit.
        let _turn = self.in_flight.turn(blob.digest).await;
        let (digest, size) = (blob.digest, blob.size);
        let held = self
            .with_cas(name, blob, move |cas| cas.contains(&digest, size))
            .await?;
        if held {
            return Ok(());
        }
        let _permit = self.permit().await?;
        let layers = std::slice::from_ref(blob);
        let stored = self
            .registry
            .store_blob(self.reference, layers, blob, self.cas)
            .await;
        stored.map_err(|error| match error {
            CopyError::Read(error) => error.into(),
            CopyError::Write(source) => self.store(name, blob, source),
        })?;
        self.fetched.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }
}

/// The manifest or index of `digest` that the cache holds; a damaged one counts as
/// absent.
pub(crate) fn held_document(cas: &Cas, digest: &Digest) -> Option<Vec<u8>> {
    cas.document(digest, MAX_MANIFEST_BYTES).ok()
}

/// The bytes of a cached manifest; a damaged one counts as missing.
fn held(cas: &Cas, manifest: &Descriptor) -> Option<Vec<u8>> {
    if manifest.size > MAX_MANIFEST_BYTES || !cas.contains(&manifest.digest, manifest.size).ok()? {
        return None;
    }
    cas.document(&manifest.digest, MAX_MANIFEST_BYTES).ok()
}

/// Runs all of `work` concurrently within this task; stops at the first error.
async fn all<F: Future<Output = Result<(), E>>, E>(mut work: Vec<Pinned<Box<F>>>) -> Result<(), E> {
    std::future::poll_fn(|context| {
        let mut failed = None;
        work.retain_mut(|part| match part.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(done) => {
                failed = failed.take().or(done.err());
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if work.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;

failures! {
    FetchError: |error| match error {
        FetchError::Registry(RegistryError::Content { .. }) => Class::Verification,
        FetchError::Kind { .. } => Class::Configuration,
        FetchError::Store { source: SinkError::Cas(error), .. } => of_cas(error),
        _ => Class::Environment,
    }, again: |error| match error {
        FetchError::Registry(RegistryError::Transport { .. }) => Some(Again::Network),
        FetchError::Registry(RegistryError::Status { status, .. }) => {
            is_temporary(*status).then_some(Again::Network)
        }
        _ => None,
    };
}
