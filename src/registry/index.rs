//! Updates of indexes that several publishers write: read, merge, write, and
//! read again until the result is stable.
//!
//! Registries have no conditional writes. A publisher that reads just before
//! another one writes would remove that one's entry. So after each write we wait
//! longer than a writer needs, read again, and repeat if necessary. There is
//! only one request between reading and writing: a write is retried only after
//! reading again, since others may have written in the meantime.
//!
//! Writing and waiting are two steps, so that the updates of a release wait together:
//! see adr/0068, "One wait for all indexes".

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

    /// Reads the index of `update`, and writes it if it is not as it should be. The
    /// written index may still be overwritten: see [`settle_index`](Self::settle_index).
    ///
    /// # Errors
    ///
    /// Those of `merge`; [`RegistryError`]: not an index, endless changes by other clients,
    /// refused or unreachable.
    pub async fn write_index<E, M>(&self, update: &mut IndexUpdate<M>) -> Result<(), E>
    where
        E: From<RegistryError>,
        M: FnMut(Option<&Index>) -> Result<Merge, E> + Send,
    {
        while update.rounds < MAX_ROUNDS {
            update.rounds += 1;
            let tag = &update.tag;
            let began = Instant::now();
            let found = self.find_to_write(tag).await?;
            update.slowest = update.slowest.max(began.elapsed());
            let index = found
                .as_ref()
                .filter(|(found, _)| !update.replace || media_type::is_index(&found.media_type))
                .map(|(descriptor, bytes)| read_index(tag, descriptor, bytes))
                .transpose()?;
            let stands = found.as_ref().map(|(found, _)| found.digest);
            let put = match ((update.merge)(index.as_ref())?, found) {
                (Merge::Unchanged, Some(_)) => {
                    update.settled = None;
                    return Ok(());
                }
                (Merge::Unchanged, None) => {
                    let reference = tag.to_string();
                    return Err(RegistryError::NotFound { reference }.into());
                }
                (Merge::Put(bytes), _) => Bytes::from(bytes),
            };
            let round = (Digest::of(&put), stands);
            if let Some(last) = update.last.take() {
                update.reverts = if last == round { update.reverts + 1 } else { 0 };
            }
            if update.reverts == MAX_REVERTS {
                let found = match stands {
                    Some(digest) => format!("{digest} instead of {}", round.0),
                    None => format!("nothing instead of {}", round.0),
                };
                let reference = tag.to_string();
                return Err(RegistryError::Lost { reference, found }.into());
            }
            let began = Instant::now();
            let written = self.push_manifest_once(tag, media_type::INDEX, &put).await;
            update.slowest = update.slowest.max(began.elapsed());
            if let Err(failure) = written {
                self.retries().pause(&mut update.attempt, failure).await?;
                continue;
            }
            (update.attempt, update.last) = (0, Some(round));
            update.writes += 1;
            let settle = update.slowest * SETTLE_FACTOR;
            let settle = settle.max(self.settle()).min(MAX_SETTLE);
            let settle = (settle * 2_u32.pow(update.reverts)).min(MAX_SETTLE);
            update.settled = Some(Instant::now() + settle + jitter(settle / 4));
            return Ok(());
        }
        let reference = update.tag.to_string();
        let rounds = MAX_ROUNDS;
        Err(RegistryError::Contended { reference, rounds }.into())
    }

    /// Waits until a written index is stable, and writes it again if another client has
    /// overwritten it.
    ///
    /// # Errors
    ///
    /// As [`write_index`](Self::write_index).
    pub async fn settle_index<E, M>(&self, update: &mut IndexUpdate<M>) -> Result<(), E>
    where
        E: From<RegistryError>,
        M: FnMut(Option<&Index>) -> Result<Merge, E> + Send,
    {
        while update.settled.is_some() {
            update.wait().await;
            self.write_index(update).await?;
        }
        Ok(())
    }
}

/// An update of an index that other clients may write as well: written at once, and read
/// again later, so that several updates wait at the same time.
#[must_use = "a written index may be overwritten until it is settled"]
pub struct IndexUpdate<M> {
    tag: Reference,
    replace: bool,
    merge: M,
    slowest: Duration,
    attempt: u32,
    last: Option<(Digest, Option<Digest>)>,
    reverts: u32,
    rounds: u32,
    writes: u32,
    /// When other clients have finished what they began before the last write; `None`:
    /// it is stable.
    settled: Option<Instant>,
}

impl<M> IndexUpdate<M> {
    /// An update of the index at `tag` by `merge`, while other clients may do the same.
    ///
    /// With `replace`, anything other than an index is overwritten. `merge` gets the current
    /// index, if any, and is called again until it returns [`Merge::Unchanged`] for an index
    /// that was stable for a while.
    pub fn new(tag: Reference, replace: bool, merge: M) -> Self {
        Self {
            tag,
            replace,
            merge,
            slowest: Duration::ZERO,
            attempt: 0,
            last: None,
            reverts: 0,
            rounds: 0,
            writes: 0,
            settled: None,
        }
    }

    /// How often the index was written.
    #[must_use]
    pub fn writes(&self) -> u32 {
        self.writes
    }

    /// Waits for other clients that read the index before it was written.
    pub fn wait(&self) -> tokio::time::Sleep {
        let now = Instant::now();
        let left = self.settled.map(|at| at.saturating_duration_since(now));
        tokio::time::sleep(left.unwrap_or_default())
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
