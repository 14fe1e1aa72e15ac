//! Content that is named by descriptor: fetched, verified, pushed, copied.
//!
//! Blobs are moved by one function for each way of reading: [`copy`] between
//! stores, [`copy_to`] into a writer, and [`copy_stream`] from a connection. Each
//! checks the size and the digest of every byte. Only an upload reads its blob
//! itself, because it may have to send a part again; it uses [`VerifyReader`] too.

mod stream;
mod verify_reader;

use std::io::{self, Read, Write};

use crate::oci::Descriptor;

pub use stream::{CopyError, Memory, Mismatch, Receive, Stream, copy_stream};
pub use verify_reader::VerifyReader;

/// A place that content can be read from. What it yields is not trusted.
pub trait Fetch {
    /// Opens the content that `descriptor` names.
    ///
    /// # Errors
    ///
    /// The store's own; [`io::ErrorKind::NotFound`] when it has no such content.
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The same from byte `offset` on, which the digest of all of it cannot check.
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch); [`io::ErrorKind::UnexpectedEof`]: it is shorter.
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

/// A place that content can be stored in.
pub trait Push {
    /// Whether the content is there already, so that nothing need be sent.
    ///
    /// # Errors
    ///
    /// The store could not be asked.
    fn contains(&self, descriptor: &Descriptor) -> io::Result<bool>;

    /// Stores `content`; returns once it can be read back by its digest.
    ///
    /// # Errors
    ///
    /// The store refused, or `content` is not what `descriptor` names.
    fn push(&self, descriptor: &Descriptor, content: &mut dyn Read) -> io::Result<()>;
}

/// Copies one blob, verified on the way; does nothing if `to` has it.
///
/// # Errors
///
/// Those of `from` and `to`, and [`io::ErrorKind::InvalidData`] for content of
/// another size or digest than `descriptor` says.
pub fn copy(from: &dyn Fetch, to: &dyn Push, descriptor: &Descriptor) -> io::Result<()> {
    if to.contains(descriptor)? {
        return Ok(());
    }
    let mut content = VerifyReader::new(from.fetch(descriptor)?, descriptor);
    to.push(descriptor, &mut content)
}

/// Size of the buffer for copies into a writer, in bytes: 256 KiB.
const COPY_BUFFER_BYTES: usize = 256 << 10;

/// Copies one blob to `out`, verified on the way, and flushes `out`.
///
/// What was written before an error is not to be trusted.
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
