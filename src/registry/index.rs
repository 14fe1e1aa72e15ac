//! Indexes that several publishers write to: read, merged, written, and read
//! again until they stay as they are.
//!
//! Registries know no conditional write. A publisher who reads just before
//! another one writes takes that one's entry out again; so whoever has written
//! waits longer than a writer needs, looks again, and repeats. Between reading
//! and writing lies one request: a write that has to be repeated follows a new
//! reading, since others may have written, and settled, in the meantime.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;

use super::RegistryError;
use super::client::Registry;
use super::retry::{Failure, jitter};
use crate::oci::{Descriptor, Digest, Index, Reference, media_type};
use crate::registry::auth::Access;

/// The wait in units of the slowest request seen, since others are as slow.
const SETTLE_FACTOR: u32 = 4;

/// Longest such wait.
const MAX_SETTLE: Duration = Duration::from_secs(20);

/// How often others may interfere before we give up.
const MAX_ROUNDS: u32 = 100;

/// How often the same may come back when the same was written, with twice the
/// wait each time: some show for seconds what stood there before, which others
/// may have written as well. Six take half a minute at least.
const MAX_REVERTS: u32 = 6;

/// What is to become of an index.
#[derive(Debug)]
pub enum Merge {
    /// It holds what it should.
    Unchanged,
    /// This is to be written.
    Put(Vec<u8>),
}

impl Registry {
    /// What a tag names, if it names anything; `None`: there is no such tag.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve), but for absence.
    pub async fn find(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Descriptor, Bytes)>, RegistryError> {
        absent(self.resolve(reference).await)
    }

    /// The same for whoever is about to write there: some hosts grant nobody the
    /// reading of a repository that is not there yet, and whoever may write may read.
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

    /// Whether a manifest is in the repository of `reference`.
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

    /// Brings the index at `tag` into the shape that `merge` gives it, beside
    /// others who do the same.
    ///
    /// With `replace`, what is no index counts as nothing.
    ///
    /// `merge` sees what is there now, `None` at first, and is called again
    /// until it answers [`Merge::Unchanged`] to what stood for a while.
    ///
    /// # Errors
    ///
    /// What `merge` returns; [`RegistryError`]: the tag names no index, others
    /// never stop, refused or unreachable.
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

/// Reads the index at `tag`.
///
/// # Errors
///
/// [`RegistryError::Content`]: it is something else, such as a manifest.
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
