//! Content that is named by descriptor: fetched, verified, pushed, copied.
//!
//! [`copy`] is the only mover of blobs, and [`VerifyReader`] the only way bytes
//! become trusted: whatever crosses a boundary is checked for size and digest.

mod temporary;
mod verify_reader;

use std::io::{self, Read};

use crate::oci::Descriptor;

pub use temporary::{TemporaryFolder, abandon_folders, reap, temporary, temporary_folder};
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
