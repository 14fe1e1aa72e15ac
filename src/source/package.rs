//! What every existing package offers, wherever it is stored: files by path, read
//! in part or whole, evidence for `verify`, and the bundles beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::error::PackageSourceError;
use crate::archive::Listing;
use crate::cas::Cas;
use crate::layout::{LayoutError, PackageFile};
use crate::oci::{Descriptor, Digest, Reference};
use crate::registry::BlobSource;
use crate::verify::{Attached, Evidence, Tagged};

/// Makes the writer for a file, given its path and its size in bytes.
pub type Output<'o, 'w> = dyn FnMut(&str, u64) -> Result<Box<dyn Write + 'w>, LayoutError> + 'o;

/// A package that was found. Nothing in it is trusted.
pub trait Package: Send + Sync {
    /// The size of every file in bytes, by path.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn files(&self) -> Result<BTreeMap<String, u64>, PackageSourceError>;

    /// Reads the documents, and writes each file of `names` that exists to its
    /// `output`.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`], and those of `output`.
    fn read_some<'w>(
        &self,
        names: &[String],
        output: &mut Output<'_, 'w>,
    ) -> Result<Evidence, PackageSourceError>;

    /// Reads every file.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn read_all(&self) -> Result<Evidence, PackageSourceError>;

    /// Evidence about every file before any is used. A source whose reads are all
    /// verified by digest need not read the files for this.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn survey(&self) -> Result<Evidence, PackageSourceError> {
        self.read_all()
    }

    /// Stores one of the files in `cas`, verified.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn store(&self, file: &Descriptor, cas: &Arc<Cas>) -> Result<(), PackageSourceError>;

    /// The content for a copy of the package, with evidence about it. What can be
    /// read in one pass only is stored in `cas`.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn copyable(&self, cas: &Arc<Cas>) -> Result<(Evidence, Copyable), PackageSourceError>;

    /// The content of small files, which are in the package.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn documents(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, PackageSourceError>;

    /// What is in tars; none if they would have to be downloaded for it.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn listings(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, PackageSourceError>;

    /// Whether the content can be read without the network.
    fn is_here(&self) -> bool {
        true
    }

    /// Bundles stored beside the package. Anyone may have put them there.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn bundles(&self) -> Result<Attached<Vec<u8>>, PackageSourceError>;

    /// Signatures of older clients, stored under tags of their own.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn tagged(&self) -> Result<Attached<Tagged>, PackageSourceError> {
        Ok(Attached::default())
    }

    /// The untrusted bundle of the heartbeat beside the package, and the reference that was
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    fn heartbeat(&self) -> Result<Option<(Vec<u8>, Reference)>, PackageSourceError> {
        Ok(None)
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
    pub content: BlobSource,
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
