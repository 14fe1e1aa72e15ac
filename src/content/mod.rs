//! Content named by descriptors: fetched, verified, pushed, copied.
//!
//! Blobs are moved by one function for each way of reading: [`copy`] between
//! stores, [`copy_to`] into a writer, and [`copy_stream`] from a connection. Each
//! checks the size and the digest of every byte. Only an upload reads its blob
//! itself, because it may have to send a part again; it uses [`VerifyReader`] too.

pub mod activity;
mod stream;
mod verify_reader;

use std::io::{self, Read, Write};

use crate::oci::Descriptor;

pub use stream::{CopyError, Memory, Mismatch, Receive, Stream, copy_stream};
pub use verify_reader::VerifyReader;

/// A store to read content from. What it yields is not trusted.
pub trait Fetch {
    /// Opens the content that `descriptor` names.
    ///
    /// # Errors
    ///
    /// Those of the store; [`io::ErrorKind::NotFound`] if it has no such
    /// content.
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>>;

    /// Opens the content from byte `offset` on, which cannot be verified by the
    /// digest.
    ///
    /// # Errors
    ///
    /// Those of [`fetch`](Self::fetch); [`io::ErrorKind::UnexpectedEof`]: the content
    /// is shorter than `offset`.
    fn fetch_from(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn Read + Send + '_>> {
        let mut content = self.fetch(descriptor)?;
        let skipped = io::copy(&mut (&mut content).take(offset), &mut io::sink())?;
        match skipped == offset {
            true => Ok(content),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A store to write content to.
pub trait Push {
    /// Whether the store has the content.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn contains(&self, descriptor: &Descriptor) -> io::Result<bool>;

    /// Stores `content`; returns once it can be read back by its digest.
    ///
    /// # Errors
    ///
    /// Writing failed, or `content` does not match `descriptor`.
    fn push(&self, descriptor: &Descriptor, content: &mut dyn Read) -> io::Result<()>;
}

/// Copies a blob and verifies it; does nothing if `to` already holds it.
///
/// # Errors
///
/// Those of `from` and `to`; [`io::ErrorKind::InvalidData`]: the size or the
/// digest does not match `descriptor`.
pub fn copy(from: &dyn Fetch, to: &dyn Push, descriptor: &Descriptor) -> io::Result<()> {
    if to.contains(descriptor)? {
        return Ok(());
    }
    let mut content = VerifyReader::new(from.fetch(descriptor)?, descriptor);
    to.push(descriptor, &mut content)
}

/// Size of the buffer for copies into a writer, in bytes: 256 KiB.
const COPY_BUFFER_BYTES: usize = 256 << 10;

/// Copies a blob to `out`, verifies it, and flushes `out`.
///
/// What was written before an error must not be trusted.
///
/// # Errors
///
/// [`CopyError::Read`]: `content` cannot be read or is not what `descriptor` names.
pub fn copy_to(
    content: impl Read,
    descriptor: &Descriptor,
    mut out: impl Write,
) -> Result<(), CopyError<io::Error, io::Error>> {
    let mut content = VerifyReader::new(content, descriptor);
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        match content.read(&mut buffer).map_err(CopyError::Read)? {
            0 => return out.flush().map_err(CopyError::Write),
            count => out.write_all(&buffer[..count]).map_err(CopyError::Write)?,
        }
    }
}
