//! Blobs as streams that outlive the connections they come over.
//!
//! A broken transfer is resumed from the last good byte. A stream never yields
//! more bytes than its descriptors promise.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};

use crate::cas::{Cas, Sink, SinkError};
use crate::content::{CopyError, Memory, Mismatch, Stream, copy_stream};
use crate::oci::{Descriptor, Digest, Hasher, Reference};
use crate::registry::RegistryError;
use crate::registry::client::{Call, Registry, ended};
use crate::registry::refusal::{is_page, lost, no_page};
use crate::registry::retry::Failure;
use crate::registry::transfer::speed::Speed;

/// Bytes after which an attempt counts as a success, even if the connection
/// breaks later: 1 MiB. Without it, a long blob over a poor line would use up
/// all attempts.
pub(in crate::registry) const PROGRESS_BYTES: u64 = 1 << 20;

impl Registry {
    /// Streams the content of `layers` one after the other. Sizes are checked
    /// here, digests by what receives the stream.
    #[must_use]
    pub fn stream(&self, repository: &Reference, layers: &[Descriptor]) -> Blobs<'_> {
        Blobs {
            registry: self,
            repository: repository.clone(),
            left: layers.iter().cloned().collect(),
            current: None,
        }
    }

    /// Reads a blob into memory. The caller bounds its size.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]
    pub async fn read_blob(
        &self,
        repository: &Reference,
        blob: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let stream = self.stream(repository, slice::from_ref(blob));
        let read = copy_stream(stream, Memory::default(), blob).await;
        read.map_err(|error| mismatch(repository, error))
    }

    /// Downloads and verifies `file`, which is stored as `layers`, without keeping it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]
    pub async fn verify_blob(
        &self,
        repository: &Reference,
        layers: &[Descriptor],
        file: &Descriptor,
    ) -> Result<(), RegistryError> {
        let stream = self.stream(repository, layers);
        let read = copy_stream(stream, Hasher::default(), file).await;
        read.map_err(|error| mismatch(repository, error))
    }

    /// Stores `file`, which is stored as `layers` here, in `cas`. Does not ask
    /// whether `cas` has it.
    ///
    /// # Errors
    ///
    /// [`CopyError`]; content that is not `file` is an error of the sink.
    pub async fn store_blob(
        &self,
        repository: &Reference,
        layers: &[Descriptor],
        file: &Descriptor,
        cas: &Arc<Cas>,
    ) -> Result<(), CopyError<RegistryError, SinkError>> {
        cas.make_sure_of(file.size)
            .map_err(|error| CopyError::Write(error.into()))?;
        copy_stream(self.stream(repository, layers), Sink::open(cas), file).await
    }
}

fn mismatch(repository: &Reference, error: CopyError<RegistryError, Mismatch>) -> RegistryError {
    match error {
        CopyError::Read(error) => error,
        CopyError::Write(Mismatch { found, expected }) => RegistryError::content(
            &repository.at(expected),
            found.to_string(),
            expected.to_string(),
        ),
    }
}

/// Blobs of one repository, streamed one after the other.
pub struct Blobs<'a> {
    registry: &'a Registry,
    repository: Reference,
    left: VecDeque<Descriptor>,
    current: Option<Blob<'a>>,
}

impl<'a> Blobs<'a> {
    /// The first blob from byte `offset` on, and those after it.
    #[must_use]
    pub(in crate::registry) fn from(mut self, offset: u64) -> Self {
        self.current = self.start();
        if let Some(blob) = &mut self.current {
            blob.offset = offset.min(blob.size);
        }
        self
    }

    fn start(&mut self) -> Option<Blob<'a>> {
        let blob = self.left.pop_front()?;
        Some(Blob {
            registry: self.registry,
            reference: self.repository.at(blob.digest),
            size: blob.size,
            digest: blob.digest,
            offset: 0,
            skip: 0,
            attempt: 0,
            progress: 0,
            response: None,
            speed: Speed::default(),
        })
    }
}

impl Stream for Blobs<'_> {
    type Error = RegistryError;

    async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(chunk) = current.chunk().await?
            {
                return Ok(Some(chunk));
            }
            self.current = self.start();
            if self.current.is_none() {
                return Ok(None);
            }
        }
    }
}

/// One blob being received.
struct Blob<'a> {
    registry: &'a Registry,
    reference: Reference,
    size: u64,
    digest: Digest,
    offset: u64,
    /// Bytes to drop, from a registry that ignored our `Range`.
    skip: u64,
    attempt: u32,
    /// Bytes received since the last failure.
    progress: u64,
    response: Option<Response>,
    speed: Speed,
}

impl Blob<'_> {
    /// The next piece; `None` after `size` bytes.
    async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while self.offset < self.size {
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
        Ok(None)
    }

    async fn next(&mut self) -> Result<Bytes, Failure> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.open().await?,
        };
        let chunk = self.speed.chunk(&mut response).await;
        let Some(mut chunk) = chunk.map_err(|e| lost(&self.reference, e))? else {
            return Err(ended(&self.reference, self.offset, self.size));
        };
        self.response = Some(response);
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        // The cast is lossless: at most the length of the chunk.
        let chunk = chunk.split_off(skipped as usize);
        if chunk.len() as u64 > self.size - self.offset {
            let expected = format!("{} bytes", self.size);
            return Err(RegistryError::content(
                &self.reference,
                "a larger blob".to_owned(),
                expected,
            )
            .into());
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
                return Err(RegistryError::content(reference, found, expected).into());
            }
            self.skip = 0;
        }
        let expected = self.size - (self.offset - self.skip);
        match response.content_length() {
            Some(length) if length != expected && is_page(&response) => {
                no_page(reference, response)
            }
            // Known before the first byte.
            Some(length) if length > expected => {
                let found = format!("a blob of {length} bytes");
                let expected = format!("{expected} bytes");
                Err(RegistryError::content(reference, found, expected).into())
            }
            _ => Ok(response),
        }
    }
}
