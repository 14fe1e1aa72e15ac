//! What every existing package offers, wherever it is stored: files by path, read
//! in part or whole, evidence for `verify`, and the bundles beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::error::SourceError;
use crate::archive::Listing;
use crate::cas::Cas;
use crate::layout::{LayoutError, PackageFile};
use crate::oci::{Descriptor, Digest, Reference};
use crate::registry::Source;
use crate::verify::{Attached, Evidence, Tagged};

/// Makes the writer for a file, given its path and its size in bytes.
pub type Output<'o, 'w> = dyn FnMut(&str, u64) -> Result<Box<dyn Write + 'w>, LayoutError> + 'o;

/// A package that was found. Nothing in it is trusted.
pub trait Package: Send + Sync {
    /// The size of every file in bytes, by path.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn files(&self) -> Result<BTreeMap<String, u64>, SourceError>;

    /// Reads the documents, and writes each file of `names` that exists to its
    /// `output`.
    ///
    /// # Errors
    ///
    /// [`SourceError`], and those of `output`.
    fn read_some<'w>(
        &self,
        names: &[String],
        output: &mut Output<'_, 'w>,
    ) -> Result<Evidence, SourceError>;

    /// Reads every file.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn read_all(&self) -> Result<Evidence, SourceError>;

    /// Evidence about every file before any is used. A source whose reads are all
    /// verified by digest need not read the files for this.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn survey(&self) -> Result<Evidence, SourceError> {
        self.read_all()
    }

    /// Stores one of the files in `cas`, verified.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn store(&self, file: &Descriptor, cas: &Arc<Cas>) -> Result<(), SourceError>;

    /// The content for a copy of the package, with evidence about it. What can be
    /// read in one pass only is stored in `cas`.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn copyable(&self, cas: &Arc<Cas>) -> Result<(Evidence, Copyable), SourceError>;

    /// The content of small files, which are in the package.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn documents(&self, names: &BTreeSet<String>)
    -> Result<BTreeMap<String, Vec<u8>>, SourceError>;

    /// What is in component tars; none if they would have to be downloaded for it.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn listings(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Listing>, SourceError>;

    /// Bundles stored beside the package. Anyone may have put them there.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn bundles(&self) -> Result<Attached<Vec<u8>>, SourceError>;

    /// Signatures of older clients, stored under tags of their own.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    fn tagged(&self) -> Result<Attached<Tagged>, SourceError> {
        Ok(Attached::default())
    }

    /// The archive or folder, if the package is one of the user's.
    fn as_file(&self) -> Option<&PackageFile> {
        None
    }

    /// The archive, if the package is one already.
    fn as_archive(&self) -> Option<&PackageFile> {
        self.as_file().filter(|file| file.is_archive())
    }

    /// The digest of its manifest, if the package is an artifact.
    fn manifest(&self) -> Option<Digest> {
        None
    }

    /// Where an artifact is published again to replace this one.
    fn place(&self) -> Option<Republished> {
        None
    }
}

/// A destination for what takes the place of a package, and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Republished {
    /// As `package publish` takes it.
    pub destination: String,
    /// `None`: the package was named by digest.
    pub tag: Option<String>,
}

/// A package's content, and its manifest if it has one.
pub struct Copyable {
    /// Yields every file by digest.
    pub content: Source,
    /// `None`: the package is not an artifact yet.
    pub artifact: Option<Existing>,
}

/// A manifest that is copied as it is.
pub struct Existing {
    /// Its repository, if that is in a registry.
    pub origin: Option<Reference>,
    /// The tag that it was found under.
    pub tag: Option<String>,
    /// Its entry in the index, if it was found through an index.
    pub architecture: Option<String>,
    /// The bytes of the manifest.
    pub manifest: Bytes,
}
