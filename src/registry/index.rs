//! Updates of indexes that several publishers write: read, merge, write, and
//! read again until the result is stable.
//!
//! Registries have no conditional writes. A publisher that reads just before
//! another one writes would remove that one's entry. So after each write we wait
//! longer than a writer needs, read again, and repeat if necessary. There is
//! only one request between reading and writing: a write is retried only after
//! reading again, since others may have written in the meantime.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;

use super::RegistryError;
use super::client::Registry;
use super::retry::{Failure, jitter};
use crate::oci::{Descriptor, Digest, Index, Reference, media_type};
use crate::registry::auth::Access;

/// The delay in units of the slowest request seen, as other clients are as slow.
const SETTLE_FACTOR: u32 = 4;

/// Maximum delay.
const MAX_SETTLE: Duration = Duration::from_secs(20);

/// Maximum number of interferences by other clients.
const MAX_ROUNDS: u32 = 100;

/// Maximum number of times that the previous content may reappear after the same
/// write. The delay doubles each time: some registries return the previous
/// content for seconds, but another client may also have written it. Six take at
/// least half a minute.
const MAX_REVERTS: u32 = 6;

/// The result of merging into an index.
#[derive(Debug)]
pub enum Merge {
    /// The index is as it should be.
    Unchanged,
    /// This must be written.
    Put(Vec<u8>),
}

impl Registry {
    /// Resolves a tag; `None`: no such tag.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve), except for not found.
    pub async fn find(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
        absent(self.resolve(reference).await)
    }

    /// Resolves a tag that is going to be written, with a token for writing:
    /// some hosts grant no read access to a repository that does not exist yet.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub async fn find_to_write(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
        absent(self.resolve_for(reference, &Access::Push).await)
    }

    /// Whether the repository of `reference` has the manifest.
    ///
    /// # Errors
    ///
    /// Refused or unreachable.
    pub async fn has_manifest(&self, reference: &Reference) -> Result<bool, RegistryError> {
        let once = || async {
            match self
                .get_manifest(Method::HEAD, reference, Access::Push)
                .await
            {
                Ok(_) => Ok(true),
                Err(Failure::Final(RegistryError::NotFound { .. })) => Ok(false),
                Err(failure) => Err(failure),
            }
        };
        self.retries().run(once).await
    }

    /// Changes the index at `tag` by `merge`, while other clients may do the
    /// same.
    ///
    /// With `replace`, anything other than an index is overwritten.
    ///
    /// `merge` gets the current index, if any, and is called again until it
    /// returns [`Merge::Unchanged`] for an index that was stable for a while.
    ///
    /// # Errors
    ///
    /// Those of `merge`; [`RegistryError`]: not an index, endless changes by
    /// other clients, refused or unreachable.
    pub async fn merge_index<E: From<RegistryError>>(
        &self,
        tag: &Reference,
        replace: bool,
        mut merge: impl FnMut(Option<&Index>) -> Result<Merge, E> + Send,
    ) -> Result<(), E> {
        let mut slowest = Duration::ZERO;
        let mut attempt = 0;
        let (mut last, mut reverts) = (None, 0);
        for _ in 0..MAX_ROUNDS {
            let began = Instant::now();
            let found = self.find_to_write(tag).await?;
            slowest = slowest.max(began.elapsed());
            let index = found
                .as_ref()
                .filter(|(found, _)| !replace || media_type::is_index(&found.media_type))
                .map(|(descriptor, bytes)| read_index(tag, descriptor, bytes))
                .transpose()?;
            let stands = found.as_ref().map(|(found, _)| found.digest);
            let put = match (merge(index.as_ref())?, found) {
                (Merge::Unchanged, Some(_)) => return Ok(()),
                (Merge::Unchanged, None) => {
                    let reference = tag.to_string();
                    return Err(RegistryError::NotFound { reference }.into());
                }
                (Merge::Put(bytes), _) => Bytes::from(bytes),
            };
            let round = (Digest::of(&put), stands);
            if let Some(last) = last.take() {
                reverts = if last == round { reverts + 1 } else { 0 };
            }
            if reverts == MAX_REVERTS {
                let found = match stands {
                    Some(digest) => format!("{digest} instead of {}", round.0),
                    None => format!("nothing instead of {}", round.0),
                };
                let reference = tag.to_string();
                return Err(RegistryError::Lost { reference, found }.into());
            }
            let began = Instant::now();
            let written = self.push_manifest_once(tag, media_type::INDEX, &put).await;
            slowest = slowest.max(began.elapsed());
            if let Err(failure) = written {
                self.retries().pause(&mut attempt, failure).await?;
                continue;
            }
            (attempt, last) = (0, Some(round));
            let settle = (slowest * SETTLE_FACTOR).max(self.settle()).min(MAX_SETTLE);
            let settle = (settle * 2_u32.pow(reverts)).min(MAX_SETTLE);
            tokio::time::sleep(settle + jitter(settle / 2)).await;
        }
        let reference = tag.to_string();
        let rounds = MAX_ROUNDS;
        Err(RegistryError::Contended { reference, rounds }.into())
    }
}

fn absent<T>(found: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Parses the index at `tag`.
///
/// # Errors
///
/// [`RegistryError::Content`]: not an index but, for example, a manifest.
pub fn read_index(
    tag: &Reference,
    descriptor: &Descriptor,
    bytes: &[u8],
) -> Result<Index, RegistryError> {
    let odd = |found: String| RegistryError::content(tag, found, "an index".to_owned());
    if !media_type::is_index(&descriptor.media_type) {
        return Err(odd(format!(
            "a `{}` at this tag, which cannot hold several platforms",
            descriptor.media_type
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| odd(format!("an unreadable index ({error})")))
}
