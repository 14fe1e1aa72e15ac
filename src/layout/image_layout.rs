//! Writes an OCI image layout on disk: blobs under their digests, then a tag in
//! `index.json`, which is replaced last.
//!
//! Source: OCI image-spec 1.1, image-layout.md. Existing content is kept.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::LayoutError;
use crate::content::{Fetch, Push};
use crate::disk::{self, NewFile};
use crate::oci::annotation::REF_NAME;
use crate::oci::{Descriptor, Digest, Index, MAX_MANIFEST_BYTES, Manifest, media_type};
use crate::signing::{BUNDLE, MAX_ATTESTATION_BYTES};
use crate::verify::{Attached, MAX_ATTACHED};

/// Marks a layout.
const MARKER_FILE: &str = "oci-layout";

/// What is in it.
const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// How long to wait for another process to release the index: far longer than the
/// milliseconds that an update takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A layout to write to.
#[derive(Debug)]
pub struct ImageLayout {
    folder: PathBuf,
}

impl ImageLayout {
    /// The layout in `folder`, to be read: nothing is made.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Opens the layout in `folder`, or creates one.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: a write failed, or the folder holds other files.
    pub fn open(folder: &Path) -> Result<Self, LayoutError> {
        let at = |error| LayoutError::write(folder, error);
        let marker = folder.join(MARKER_FILE);
        if !marker.is_file() {
            let holds = folder.is_dir() && fs::read_dir(folder).map_err(at)?.next().is_some();
            // Another process may be making the layout: it writes the marker first.
            if holds && !marker.is_file() {
                let error =
                    io::Error::other("the folder is not empty, and is not an OCI image layout");
                return Err(at(error));
            }
            fs::create_dir_all(folder).map_err(at)?;
            // In place: a temporary file would make the folder look foreign to others.
            disk::stream(&marker)
                .map_err(|error| error.source)
                .and_then(|mut file| file.write_all(MARKER.as_bytes()))
                .map_err(at)?;
        }
        // The layout may be untrusted: a link would lead the writer elsewhere.
        for below in ["blobs", "blobs/sha256"] {
            let below = folder.join(below);
            if below.is_symlink() {
                let error = io::Error::other("it is a symbolic link, which may lead anywhere");
                return Err(LayoutError::write(&below, error));
            }
        }
        fs::create_dir_all(folder.join("blobs/sha256")).map_err(at)?;
        Ok(Self::at(folder))
    }

    /// Whether `folder` is a layout.
    #[must_use]
    pub fn is_at(folder: &Path) -> bool {
        folder.join(MARKER_FILE).is_file()
    }

    /// Opens the layout in `folder` to read it; makes nothing.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: no such folder, or it is not a layout.
    pub fn existing(folder: &Path) -> Result<Self, LayoutError> {
        match (Self::is_at(folder), folder.is_dir()) {
            (true, _) => Ok(Self {
                folder: folder.to_owned(),
            }),
            (false, true) => Err(LayoutError::NoLayout(folder.to_owned())),
            (false, false) => Err(LayoutError::Absent(folder.to_owned())),
        }
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The entries of `index.json`, with their tags if they have one; without those
    /// that have a subject, such as signatures.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` cannot be read.
    pub fn entries(&self) -> Result<Vec<(Option<String>, Descriptor)>, LayoutError> {
        let mut found = Vec::new();
        for entry in self.index()?.manifests {
            let name = entry.annotations.get(REF_NAME).cloned();
            if name.is_some() || !self.has_subject(&entry) {
                found.push((name, entry));
            }
        }
        Ok(found)
    }

    /// Whether an entry is a signature or the like. One that cannot be read is not.
    fn has_subject(&self, entry: &Descriptor) -> bool {
        let bytes = self.content(entry, MAX_MANIFEST_BYTES).ok();
        let manifest = bytes.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        manifest.is_some_and(|manifest| manifest.subject.is_some())
    }

    /// The manifest or index with this digest, whatever names it.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: it cannot be read, or is not a document of its digest.
    pub fn at_digest(&self, digest: Digest) -> Result<Option<Descriptor>, LayoutError> {
        let wanted = Descriptor::blob(digest, 0);
        if !self.path(&wanted).is_file() {
            return Ok(None);
        }
        let bytes = self.content(&wanted, MAX_MANIFEST_BYTES)?;
        #[derive(serde::Deserialize)]
        struct Kind {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let path = self.path(&wanted);
        let kind: Kind =
            serde_json::from_slice(&bytes).map_err(|error| LayoutError::io(&path, error.into()))?;
        let default = match kind.manifests {
            Some(_) => media_type::INDEX,
            None => media_type::MANIFEST,
        };
        let kind = kind.media_type.unwrap_or_else(|| default.to_owned());
        Ok(Some(Descriptor::of(&kind, &bytes)))
    }

    /// Locks the index against other writers until the file is dropped. The lock is on
    /// the marker, because it is never replaced.
    fn lock(&self) -> Result<File, LayoutError> {
        let marker = self.folder.join(MARKER_FILE);
        let at = |error| LayoutError::write(&marker, error);
        // Opened for writing too: NFS requires it for an exclusive lock.
        let file = File::options().read(true).write(true).open(&marker);
        let file = file.map_err(at)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!(
                        "another process has been writing to this layout for {} seconds: stop it and try again",
                        PATIENCE.as_secs()
                    );
                    return Err(at(io::Error::new(io::ErrorKind::TimedOut, message)));
                }
                // A file system without locks: concurrent writers are the user's risk.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(at(error)),
            }
        }
    }

    /// The file of a blob.
    #[must_use]
    pub fn path(&self, descriptor: &Descriptor) -> PathBuf {
        self.folder
            .join("blobs/sha256")
            .join(descriptor.digest.hex())
    }

    /// Removes the unfinished blobs of killed processes.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: the folder cannot be read.
    pub fn reap(&self) -> Result<(), LayoutError> {
        let folder = self.folder.join("blobs/sha256");
        disk::reap(&folder).map_err(|error| LayoutError::write(&folder, error))
    }

    /// Stores a document.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: a write failed.
    pub fn document(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, LayoutError> {
        let descriptor = Descriptor::of(media_type, bytes);
        self.push(&descriptor, &mut &bytes[..])
            .map_err(|error| LayoutError::write(&self.path(&descriptor), error))?;
        Ok(descriptor)
    }

    /// The verified bytes of a blob, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: it cannot be read, or does not match its digest.
    pub fn content(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        let path = self.path(blob);
        let bytes = read(&path, limit)?;
        match Digest::of(&bytes) == blob.digest {
            true => Ok(bytes),
            false => Err(LayoutError::io(
                &path,
                io::Error::other("its content does not match its digest"),
            )),
        }
    }

    /// What `tag` names, an index or not.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` cannot be read.
    pub fn named(&self, tag: &str) -> Result<Option<Descriptor>, LayoutError> {
        let mut found = self.index()?.manifests.into_iter();
        Ok(found.find(|found| is_called(found, tag)))
    }

    /// The index that `tag` names, if it names one.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` or the index cannot be read.
    pub fn index_at(&self, tag: &str) -> Result<Option<Index>, LayoutError> {
        match self
            .named(tag)?
            .filter(|found| media_type::is_index(&found.media_type))
        {
            None => Ok(None),
            Some(found) => parsed(&self.path(&found)).map(Some),
        }
    }

    /// Replaces the index named `tag` with the result of `merge`, under the lock;
    /// `None` keeps it.
    ///
    /// # Errors
    ///
    /// Those of `merge`, and [`LayoutError`]: a write failed.
    pub fn merge<E: From<LayoutError>>(
        &self,
        tag: &str,
        merge: impl FnOnce(Option<&Index>) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), E> {
        let _lock = self.lock()?;
        let Some(bytes) = merge(self.index_at(tag)?.as_ref())? else {
            return Ok(());
        };
        let mut made = self.document(media_type::INDEX, &bytes)?;
        let mut index = self.index()?;
        index.manifests.retain(|found| !is_called(found, tag));
        made.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        index.manifests.push(made);
        Ok(self.write_index(&index)?)
    }

    /// Lists a stored manifest or index, under `name` if it has one.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: a write failed.
    pub fn list(&self, mut entry: Descriptor, name: Option<&str>) -> Result<(), LayoutError> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        index.manifests.retain(|found| match name {
            Some(name) => !is_called(found, name),
            None => found.digest != entry.digest,
        });
        if let Some(name) = name {
            entry
                .annotations
                .insert(REF_NAME.to_owned(), name.to_owned());
        }
        index.manifests.push(entry);
        self.write_index(&index)
    }

    /// Stores a manifest with a subject; its blobs must be stored already.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: a write failed.
    pub fn attach(&self, manifest: &[u8]) -> Result<(), LayoutError> {
        let made = self.document(media_type::MANIFEST, manifest)?;
        let _lock = self.lock()?;
        let mut index = self.index()?;
        if index
            .manifests
            .iter()
            .any(|found| found.digest == made.digest)
        {
            return Ok(());
        }
        // Without a tag: it is found by its subject.
        index.manifests.push(made);
        self.write_index(&index)
    }

    /// The digests of the manifests that `index.json` lists: readers find no others.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` cannot be read.
    pub fn listed(&self) -> Result<BTreeSet<Digest>, LayoutError> {
        let listed = self.index()?.manifests.into_iter();
        Ok(listed.map(|found| found.digest).collect())
    }

    /// The types of the artifacts about `subject`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` or a manifest cannot be read.
    pub fn kinds_about(&self, subject: Digest) -> Result<Vec<Option<String>>, LayoutError> {
        let about = |manifest: &Manifest| {
            let found = manifest.subject.as_ref();
            found.is_some_and(|found| found.digest == subject)
        };
        let referring = self.manifests()?.into_iter();
        let referring = referring.filter(about);
        Ok(referring.map(|manifest| manifest.artifact_type).collect())
    }

    /// The manifests that `index.json` lists and that are stored.
    fn manifests(&self) -> Result<Vec<Manifest>, LayoutError> {
        let listed = self.index()?.manifests.into_iter();
        let stored = listed
            .filter(|found| found.media_type == media_type::MANIFEST && self.path(found).exists());
        stored.map(|found| parsed(&self.path(&found))).collect()
    }

    /// Untrusted bundles about `subject`, the small ones first.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: `index.json` or a manifest cannot be read.
    pub fn bundles_about(&self, subject: &Descriptor) -> Result<Attached<Vec<u8>>, LayoutError> {
        let mut paths = Vec::new();
        for manifest in self.manifests()? {
            let about = manifest.subject.as_ref().map(|about| about.digest);
            if let ([layer], true) = (&manifest.layers[..], about == Some(subject.digest))
                && layer.media_type == BUNDLE
                && let Ok(facts) = fs::metadata(self.path(layer))
            {
                paths.push((facts.len(), self.path(layer)));
            }
        }
        paths.sort();
        let (mut bundles, mut left) = (Attached::default(), MAX_ATTESTATION_BYTES);
        for (size, path) in paths {
            match left.checked_sub(size) {
                Some(after) if bundles.found.len() < MAX_ATTACHED => left = after,
                _ => {
                    bundles.unread += 1;
                    continue;
                }
            }
            bundles.found.push(read(&path, size)?);
        }
        Ok(bundles)
    }

    fn write_index(&self, index: &Index) -> Result<(), LayoutError> {
        let path = self.folder.join("index.json");
        let at = |error| LayoutError::write(&path, error);
        let text = serde_json::to_vec(index).map_err(|error| at(error.into()))?;
        replace(&path, &mut &text[..]).map_err(at)
    }

    fn index(&self) -> Result<Index, LayoutError> {
        let path = self.folder.join("index.json");
        match path.exists() {
            true => parsed(&path),
            false => Ok(Index::empty()),
        }
    }
}

impl Fetch for ImageLayout {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        let path = self.path(descriptor);
        // A pipe would keep the reader waiting for ever.
        match fs::metadata(&path)?.is_file() {
            true => Ok(Box::new(File::open(&path)?)),
            false => Err(io::Error::other(format!(
                "`{}` is not a file",
                path.display()
            ))),
        }
    }
}

impl Push for ImageLayout {
    fn contains(&self, descriptor: &Descriptor) -> io::Result<bool> {
        Ok(fs::metadata(self.path(descriptor)).is_ok_and(|facts| facts.len() == descriptor.size))
    }

    fn push(&self, descriptor: &Descriptor, content: &mut dyn Read) -> io::Result<()> {
        replace(&self.path(descriptor), content)
    }
}

fn is_called(descriptor: &Descriptor, tag: &str) -> bool {
    descriptor
        .annotations
        .get(REF_NAME)
        .is_some_and(|name| name == tag)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LayoutError> {
    disk::read(path, limit).map_err(|error| LayoutError::io(path, error.source))
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<T, LayoutError> {
    let bytes = read(path, MAX_MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| LayoutError::io(path, error.into()))
}

fn replace(path: &Path, from: &mut dyn Read) -> io::Result<()> {
    let mut file = NewFile::begin(path).map_err(|error| error.source)?;
    io::copy(from, &mut file)?;
    file.keep().map_err(|error| error.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::manifest;
    use crate::text::with_causes;

    #[test]
    fn a_layout_whose_folders_are_links_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir_all(victim.join("sha256")).unwrap();
        for link in ["blobs", "blobs/sha256"] {
            let path = dir.path().join("layout");
            let link = path.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            fs::write(path.join(MARKER_FILE), MARKER).unwrap();
            std::os::unix::fs::symlink(&victim, &link).unwrap();
            let error = with_causes(&ImageLayout::open(&path).unwrap_err());
            assert!(error.contains("symbolic link"), "{error}");
            fs::remove_dir_all(&path).unwrap();
        }
    }

    #[test]
    fn writers_at_the_same_time_lose_neither_tags_nor_entries_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layout");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let layout = ImageLayout::open(path).unwrap();
                    for tag in [format!("own-{writer}"), "all".to_owned()] {
                        let merged = layout.merge(&tag, |found| {
                            let entry = Descriptor::of(media_type::MANIFEST, &[writer]);
                            let name = format!("a{writer}");
                            let index = manifest::with_entry(found, &entry, &name);
                            Ok::<_, LayoutError>(serde_json::to_vec(&index).ok())
                        });
                        merged.unwrap();
                    }
                });
            }
        });
        let layout = ImageLayout::open(&path).unwrap();
        assert_eq!(layout.index().unwrap().manifests.len(), 9);
        assert_eq!(layout.index_at("all").unwrap().unwrap().manifests.len(), 8);
    }
}
