//! A package in a file or folder as a store of blobs.

use std::collections::HashMap;
use std::io::{self, PipeReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::content::Fetch;
use crate::layout::{LayoutError, PackageFile};
use crate::oci::{Descriptor, Digest};
use crate::verify::VerifiedPackage;

/// The files of a package by digest; what is read is what lies there, and must
/// be checked.
pub struct PackageBlobs {
    package: Arc<PackageFile>,
    names: HashMap<Digest, String>,
}

impl PackageBlobs {
    /// The blobs of `package`, whose files are those that `verified` names.
    #[must_use]
    pub fn new(package: PackageFile, verified: &VerifiedPackage) -> Self {
        let files = verified.files().iter();
        Self {
            package: Arc::new(package),
            names: files
                .map(|(name, (digest, _))| (*digest, name.clone()))
                .collect(),
        }
    }
}

impl Fetch for PackageBlobs {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        self.fetch_from(descriptor, 0)
    }

    fn fetch_from(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn Read + Send + '_>> {
        let name = self.names.get(&descriptor.digest);
        let name = name.ok_or(io::ErrorKind::NotFound)?.clone();
        let (reader, mut writer) = io::pipe()?;
        let package = Arc::clone(&self.package);
        // Frames are decoded into a writer; the pipe turns that around.
        let thread =
            std::thread::spawn(move || package.read_member_from(&name, offset, &mut writer));
        Ok(Box::new(Piped {
            reader,
            thread: Mutex::new(Some(thread)),
        }))
    }
}

struct Piped {
    reader: PipeReader,
    thread: Mutex<Option<JoinHandle<Result<(), LayoutError>>>>,
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        // The writer is done: an end, or a failure that only it can tell.
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match thread.map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(0),
            Some(Ok(Err(error))) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            Some(Err(_)) => Err(io::Error::other("the reading thread died")),
        }
    }
}
