//! Packages on this machine: archives, split archives and folders.
//!
//! [`layout::open`] determines which of these a path is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use super::error::{OpenError, PackageSourceError};
use super::image_layout;
use super::opening::Opening;
use super::package::{Copyable, Output, Package};
use crate::archive::Listing;
use crate::cas::Cas;
use crate::content::{self, Fetch};
use crate::layout::{self, ImageLayout, LayoutError, PackageFile};
use crate::oci::{Descriptor, Digest};
use crate::registry::BlobSource;
use crate::verify::{Attached, Evidence};

/// A package in a file, its parts, or a folder.
pub(super) struct Local {
    file: Arc<PackageFile>,
    /// The file for bundles about it; `None`: it is a download in the cache.
    beside: Option<PathBuf>,
    /// Its content, opened when it is first needed.
    content: OnceLock<BlobSource>,
}

/// Opens the package at the path `name`.
pub(super) fn open(name: &str, opening: &Opening<'_>) -> Result<Box<dyn Package>, OpenError> {
    let path = opening.here().join(name);
    if ImageLayout::is_at(&path) {
        return image_layout::at(&path, name, None, None, opening);
    }
    if opening.options.shasum.is_some() {
        return Err(OpenError::Sum(name.to_owned()));
    }
    at(&path, Some(layout::bundles_beside(&path)), opening)
}

/// Opens the package at `path`, whose bundles are in the file `beside`.
pub(super) fn at(
    path: &Path,
    beside: Option<PathBuf>,
    opening: &Opening<'_>,
) -> Result<Box<dyn Package>, OpenError> {
    let file = layout::open(path).map_err(PackageSourceError::from)?;
    let file = file.with_limit(opening.options.content_limit);
    let file = file.in_todays_form().map_err(PackageSourceError::from)?;
    let file = Arc::new(file);
    Ok(Box::new(Local {
        file,
        beside,
        content: OnceLock::new(),
    }))
}

impl Package for Local {
    fn files(&self) -> Result<BTreeMap<String, u64>, PackageSourceError> {
        let members = self.file.members()?.iter();
        Ok(members
            .map(|(n, member)| (n.clone(), member.size))
            .collect())
    }

    fn read_some<'w>(
        &self,
        names: &[String],
        output: &mut Output<'_, 'w>,
    ) -> Result<Evidence, PackageSourceError> {
        Ok(layout::read_some(&self.file, names, output)?)
    }

    fn read_all(&self) -> Result<Evidence, PackageSourceError> {
        Ok(layout::read_opened(&self.file)?)
    }

    fn copyable(&self, cas: &Arc<Cas>) -> Result<(Evidence, Copyable), PackageSourceError> {
        let (evidence, content): (_, BlobSource) = match self.file.is_seekable() {
            // The copy verifies each file while it reads it.
            true => {
                let mut evidence = layout::read_promised(&self.file)?;
                if evidence.checksums.is_none() {
                    // Nothing promises what they are.
                    evidence = layout::read_opened(&self.file)?;
                }
                let names = evidence.files.iter();
                let names = names.map(|(name, (digest, _))| (*digest, name.clone()));
                let content = Members {
                    package: Arc::clone(&self.file),
                    names: names.collect(),
                };
                (evidence, Arc::new(content))
            }
            false => (layout::read_into(&self.file, cas)?, Arc::<Cas>::clone(cas)),
        };
        let _ = self.content.set(Arc::clone(&content));
        let artifact = None;
        Ok((evidence, Copyable { content, artifact }))
    }

    fn documents(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, PackageSourceError> {
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        let list: Vec<String> = names.iter().cloned().collect();
        layout::read_some(&self.file, &list, |name, _| {
            Ok(kept.entry(name.to_owned()).or_default().clone())
        })?;
        let bytes = |kept: Kept| {
            let mut bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *bytes)
        };
        Ok(kept.into_iter().map(|(n, kept)| (n, bytes(kept))).collect())
    }

    fn listings(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, PackageSourceError> {
        Ok(layout::read_listings(&self.file, names)?)
    }

    fn bundles(&self) -> Result<Attached<Vec<u8>>, PackageSourceError> {
        match self.beside.as_ref().filter(|path| path.is_file()) {
            Some(path) => Ok(layout::read_bundles(path)?.into()),
            None => Ok(Attached::default()),
        }
    }

    fn store(&self, file: &Descriptor, cas: &Arc<Cas>) -> Result<(), PackageSourceError> {
        let content = match self.content.get() {
            Some(content) => Arc::clone(content),
            None => self.copyable(cas)?.1.content,
        };
        let stored = content::copy(&*content, &**cas, file);
        Ok(stored.map_err(|source| LayoutError::Io {
            path: self.file.path().to_owned(),
            source,
        })?)
    }

    fn as_file(&self) -> Option<&PackageFile> {
        self.beside.is_some().then_some(&*self.file)
    }

    fn as_archive(&self) -> Option<&PackageFile> {
        Some(&*self.file).filter(|file| file.is_archive())
    }
}

/// A file in memory, while it is read.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of a package by digest. Their content may have changed since the
/// digests were read, so readers verify it.
struct Members {
    package: Arc<PackageFile>,
    names: HashMap<Digest, String>,
}

impl Fetch for Members {
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
        let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if let Some(content) = self.package.small_member(&name, offset).map_err(damaged)? {
            return Ok(Box::new(io::Cursor::new(content)));
        }
        let (reader, mut writer) = io::pipe()?;
        let package = Arc::clone(&self.package);
        // The decoder needs a writer and the caller needs a reader, hence a
        // pipe.
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
        // The writer is done: the thread returns success or the error.
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match thread.map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(0),
            Some(Ok(Err(error))) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            Some(Err(_)) => Err(io::Error::other("the reading thread panicked")),
        }
    }
}
