//! Images from registries: which manifest a name means now, and its blobs.
//!
//! [`resolve`] pins a name; [`fetch`] brings what the pin names into the cache,
//! all blobs at the same time. The network is read on the runtime, bytes are
//! digested and written on blocking threads. Never trusts a byte that does not
//! agree with the pin, and never fetches what the cache holds.

mod select;

use std::io::Read as _;
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
use crate::ground::{failures, of_cas, passing};
use crate::oci::{Descriptor, MAX_MANIFEST_BYTES, Manifest, Platform, Reference};
use crate::registry::{Registry, RegistryError};

pub(crate) use select::{Selected, select};

/// What a name means now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The index the manifest was chosen from, if the name means one.
    pub index: Option<Descriptor>,
    /// The manifest for the requested platform.
    pub manifest: Descriptor,
}

/// Why an image is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry did not give what was asked of it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The document is of a kind that cannot be an image here.
    #[error("{reference}: {source}")]
    Kind {
        reference: String,
        /// What is wrong with it.
        source: KindError,
    },
    /// A blob is not what the manifest says, or the disk refused it.
    #[error("{reference}: {what} {digest} was not stored: {source}; {}", advice(.source))]
    Store {
        reference: String,
        /// Its part: `manifest`, `config`, `layer/0`, ...
        what: String,
        /// Names the part's bytes.
        digest: crate::oci::Digest,
        source: SinkError,
    },
    /// No more transfers are to be started.
    #[error("{0}: the fetch was stopped before it began")]
    Stopped(String),
}

pub use select::KindError;

fn advice(source: &SinkError) -> &'static str {
    match source {
        SinkError::Cas(CasError::Mismatch { .. }) => "fetch it again, or push the image again",
        _ => "check the disk of the cache",
    }
}

/// Asks the registry what `reference` means for `platform`.
///
/// # Errors
///
/// [`FetchError::Registry`], or [`FetchError::Kind`]: no child for the platform,
/// a schema 1 manifest, or no manifest at all.
pub async fn resolve(
    registry: &Registry,
    reference: &Reference,
    platform: &Platform,
) -> Result<Pin, FetchError> {
    let (descriptor, bytes) = registry.resolve(reference).await?;
    let kind = |source| FetchError::Kind {
        reference: reference.to_string(),
        source,
    };
    match select(&descriptor, &bytes, platform).map_err(kind)? {
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
    /// Bytes that came over the network: parts that were there cost none.
    pub bytes: u64,
}

/// Brings `manifest` and all it names into the cache, from `reference`'s repository.
///
/// Outputs are named `manifest`, `config`, `layer/0`, `layer/1`, ... Each
/// transfer holds one of `permits`; of two that want one blob, the second waits
/// for the first and finds it stored.
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
    let mut outputs = vec![output("manifest", manifest)];
    outputs.extend(parts.iter().map(|(name, blob)| output(name, blob)));
    Ok(Fetched {
        outputs,
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

pub(crate) fn output(name: &str, descriptor: &Descriptor) -> Output {
    Output {
        name: name.to_owned(),
        digest: descriptor.digest,
        size: descriptor.size,
    }
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
        // The turn before the permit: a task that waits for a turn holds no permit.
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

/// The bytes of a manifest the cache holds; damaged ones count as absent.
fn held(cas: &Cas, manifest: &Descriptor) -> Option<Vec<u8>> {
    if manifest.size > MAX_MANIFEST_BYTES || !cas.contains(&manifest.digest, manifest.size).ok()? {
        return None;
    }
    let blob = cas.open_blob(&manifest.digest).ok()?;
    let mut bytes = Vec::new();
    blob.take(MAX_MANIFEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// Drives all of `work` at once within this task; stops at the first error.
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
            passing(*status).then_some(Again::Network)
        }
        _ => None,
    };
}
