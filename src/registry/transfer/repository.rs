//! A repository as a store to copy blobs from.
//!
//! Connects the asynchronous client to [`crate::content`], which reads
//! blockingly.

use std::io::{self, Read};
use std::ops::Deref;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::content::{Fetch, Stream as _};
use crate::oci::{Descriptor, Reference};
use crate::registry::transfer::blob::Blobs;
use crate::registry::{Registry, RegistryError};

/// The blobs of a repository, for threads that may block.
///
/// Reading inside asynchronous code panics: use a separate thread or
/// [`tokio::task::spawn_blocking`].
pub struct Repository<R> {
    /// The client, borrowed or shared.
    pub registry: R,
    /// The repository; its tag and digest do not matter.
    pub reference: Reference,
    /// The runtime that does the client's work.
    pub runtime: Handle,
}

impl<R: Deref<Target = Registry>> Fetch for Repository<R> {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        self.fetch_from(descriptor, 0)
    }

    fn fetch_from(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn Read + Send + '_>> {
        let layers = std::slice::from_ref(descriptor);
        let mut reader = self.reader(layers);
        reader.blobs = reader.blobs.from(offset);
        Ok(Box::new(reader))
    }
}

impl<R: Deref<Target = Registry>> Repository<R> {
    /// The content of `layers` one after the other, unverified.
    #[must_use]
    pub fn reader(&self, layers: &[Descriptor]) -> BlobReader<'_> {
        BlobReader {
            blobs: self.registry.stream(&self.reference, layers),
            runtime: &self.runtime,
            rest: Bytes::new(),
        }
    }
}

/// Blobs, for threads that may block.
pub struct BlobReader<'a> {
    blobs: Blobs<'a>,
    runtime: &'a Handle,
    rest: Bytes,
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && !buffer.is_empty() {
            let chunk = self.runtime.block_on(self.blobs.chunk());
            self.rest = chunk.map_err(into_io)?.unwrap_or_default();
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

fn into_io(error: RegistryError) -> io::Error {
    let kind = match &error {
        RegistryError::NotFound { .. } => io::ErrorKind::NotFound,
        RegistryError::Unauthorized { .. } => io::ErrorKind::PermissionDenied,
        RegistryError::Content { .. } => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
