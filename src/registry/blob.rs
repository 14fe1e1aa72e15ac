//! Blobs as streams that outlive the connections they come over.
//!
//! A cut line is resumed from the last good byte. Never passes on more bytes
//! than the descriptor promises.

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::RegistryError;
use super::client::{Call, Registry, content};
use super::refusal::lost;
use super::retry::Failure;
use super::speed::Speed;
use crate::oci::{Descriptor, Digest, Hasher, Reference};

/// Bytes after which an attempt counts as a success, though the line is cut
/// later: 1 MiB. Without it a long blob over a poor line would never end.
pub(super) const PROGRESS_BYTES: u64 = 1 << 20;

impl Registry {
    /// Prepares to stream a blob of `reference`'s repository.
    #[must_use]
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Blob<'_> {
        Blob {
            registry: self,
            reference: reference.at(descriptor.digest),
            size: descriptor.size,
            digest: descriptor.digest,
            offset: 0,
            skip: 0,
            attempt: 0,
            progress: 0,
            hasher: Some(Hasher::default()),
            response: None,
            speed: Speed::default(),
        }
    }

    /// Prepares to stream a blob whose taker digests the bytes himself.
    ///
    /// Its size is checked here, its digest is not: digesting everything twice
    /// would halve the speed of a pull.
    #[must_use]
    pub fn unverified_blob(&self, reference: &Reference, descriptor: &Descriptor) -> Blob<'_> {
        Blob {
            hasher: None,
            ..self.blob(reference, descriptor)
        }
    }
}

/// A blob on its way; resumed from the last good byte when the line is cut.
pub struct Blob<'a> {
    registry: &'a Registry,
    reference: Reference,
    size: u64,
    digest: Digest,
    offset: u64,
    /// Bytes to drop, from a registry that ignored our `Range`.
    skip: u64,
    attempt: u32,
    /// Bytes that came since the last failure.
    progress: u64,
    /// `None`: the taker digests.
    hasher: Option<Hasher>,
    response: Option<Response>,
    speed: Speed,
}

impl Blob<'_> {
    /// The same from byte `offset` on; the whole's digest is then not checked.
    #[must_use]
    pub(super) fn from(self, offset: u64) -> Self {
        Self {
            offset: offset.min(self.size),
            hasher: None,
            ..self
        }
    }

    /// The next piece; `None` once the size has been checked, and the digest
    /// unless that was left to the caller.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], once attempts are used up or the content is wrong.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            if self.offset == self.size {
                let found = self.hasher.clone().map(Hasher::finish);
                let Some(found) = found.filter(|found| *found != self.digest) else {
                    return Ok(None);
                };
                let expected = self.digest.to_string();
                return Err(content(&self.reference, found.to_string(), expected));
            }
            match self.next().await {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => return Ok(Some(chunk)),
                Err(failure) => {
                    self.response = None;
                    self.speed = Speed::default();
                    self.progress = 0;
                    let retries = self.registry.retries();
                    retries.pause(&mut self.attempt, failure).await?;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Bytes, Failure> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.open().await?,
        };
        let chunk = self.speed.chunk(&mut response).await;
        let Some(mut chunk) = chunk.map_err(|e| lost(&self.reference, e))? else {
            let reason = format!("ended after {} of {} bytes", self.offset, self.size);
            let reference = self.reference.to_string();
            let error = RegistryError::Transport { reference, reason };
            return Err(Failure::Transient(error, None));
        };
        self.response = Some(response);
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        // Fits: it is no more than the chunk's own length.
        let chunk = chunk.split_off(skipped as usize);
        if chunk.len() as u64 > self.size - self.offset {
            let expected = format!("{} bytes", self.size);
            return Err(content(&self.reference, "a longer blob".to_owned(), expected).into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.offset += chunk.len() as u64;
        self.progress += chunk.len() as u64;
        if self.progress >= PROGRESS_BYTES {
            self.attempt = 0;
        }
        Ok(chunk)
    }

    async fn open(&mut self) -> Result<Response, Failure> {
        let reference = &self.reference;
        let url = self
            .registry
            .url(reference, &format!("blobs/{}", self.digest))?;
        let mut call = Call::new(Method::GET, reference, url);
        if self.offset > 0
            && let Ok(from) = HeaderValue::from_str(&format!("bytes={}-", self.offset))
        {
            call.headers.insert(RANGE, from);
        }
        let response = self.registry.send(&call).await?;
        self.skip = self.offset;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE);
            let range = range.and_then(|v| v.to_str().ok()).unwrap_or_default();
            if !range.starts_with(&format!("bytes {}-", self.offset)) {
                let found = format!("the range `{range}`");
                let expected = format!("one from byte {}", self.offset);
                return Err(content(reference, found, expected).into());
            }
            self.skip = 0;
        }
        Ok(response)
    }
}
