//! The data as files: each blob once, and for each repository empty files that
//! list its blobs.
//!
//! Everything is written under another name and renamed, so that a killed
//! process leaves no incomplete files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::oci::{Descriptor, Digest, Index, Manifest};

/// The files below a folder.
pub(super) struct Store {
    root: PathBuf,
}

pub(super) struct Found {
    pub media_type: String,
    pub digest: Digest,
    pub bytes: Vec<u8>,
}

/// Folders that cannot be the last part of a repository's name.
const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";

impl Store {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        for folder in ["blobs", "repositories", "uploads"] {
            fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root.join("repositories").join(name)
    }

    /// The path of a blob.
    pub(super) fn blob(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs").join(digest.hex())
    }

    /// The path of the upload `id`.
    pub(super) fn upload(&self, id: &str) -> Option<PathBuf> {
        let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| self.root.join("uploads").join(id))
    }

    /// The size of a blob of the repository, in bytes.
    pub(super) fn size_of(&self, repository: &str, digest: Digest) -> Option<u64> {
        let mark = self.repository(repository).join(BLOBS).join(digest.hex());
        mark.is_file()
            .then(|| fs::metadata(self.blob(digest)).ok())
            .flatten()
            .map(|facts| facts.len())
    }

    /// Turns an upload into a blob.
    pub(super) fn keep(&self, repository: &str, digest: Digest, upload: &Path) -> io::Result<()> {
        fs::rename(upload, self.blob(digest))?;
        self.link(repository, digest)
    }

    /// Adds an existing blob to a repository.
    pub(super) fn link(&self, repository: &str, digest: Digest) -> io::Result<()> {
        let mark = self.repository(repository).join(BLOBS).join(digest.hex());
        Ok(disk::write_hint(&mark, b"")?)
    }

    pub(super) fn unlink(&self, repository: &str, digest: Digest) -> io::Result<()> {
        fs::remove_file(self.repository(repository).join(BLOBS).join(digest.hex()))
    }

    /// Stores a manifest, under `tag` if there is one.
    pub(super) fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        let folder = self.repository(repository);
        self.write(&self.blob(digest), bytes)?;
        let kind = folder.join(MANIFESTS).join(digest.hex());
        self.write(&kind, media_type.as_bytes())?;
        if let Some(subject) = subject(bytes) {
            let mark = folder.join(REFERRERS).join(subject.digest.hex());
            self.write(&mark.join(digest.hex()), b"")?;
        }
        if let Some(tag) = tag {
            self.write(&folder.join(TAGS).join(tag), digest.hex().as_bytes())?;
        }
        Ok(digest)
    }

    /// The manifest `name`, a tag or digest.
    pub(super) fn manifest(&self, repository: &str, name: &str) -> Option<Found> {
        let folder = self.repository(repository);
        let digest = match name.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => {
                let hex = fs::read_to_string(folder.join(TAGS).join(name)).ok()?;
                Digest::from_hex(&hex).ok()?
            }
        };
        let kind = folder.join(MANIFESTS).join(digest.hex());
        Some(Found {
            media_type: fs::read_to_string(kind).ok()?,
            bytes: fs::read(self.blob(digest)).ok()?,
            digest,
        })
    }

    pub(super) fn remove_manifest(&self, repository: &str, name: &str) -> io::Result<()> {
        let folder = self.repository(repository);
        match name.parse::<Digest>() {
            Ok(digest) => fs::remove_file(folder.join(MANIFESTS).join(digest.hex())),
            Err(_) => fs::remove_file(folder.join(TAGS).join(name)),
        }
    }

    /// All tags of a repository, sorted; `None`: no such repository.
    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        let folder = self.repository(repository);
        if !folder.join(MANIFESTS).is_dir() {
            return None;
        }
        let entries = fs::read_dir(folder.join(TAGS)).into_iter().flatten();
        let mut tags: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        tags.sort();
        Some(tags)
    }

    pub(super) fn referrers(&self, repository: &str, subject: Digest) -> Index {
        let folder = self.repository(repository);
        let entries = fs::read_dir(folder.join(REFERRERS).join(subject.hex()));
        let mut index = Index::empty();
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let digest = Digest::from_hex(&name).map(|digest| digest.to_string());
            let Some(found) = digest
                .ok()
                .and_then(|name| self.manifest(repository, &name))
            else {
                continue;
            };
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&found.bytes) else {
                continue;
            };
            let kind = manifest.artifact_type;
            index.manifests.push(Descriptor {
                annotations: manifest.annotations,
                artifact_type: Some(kind.unwrap_or(manifest.config.media_type)),
                ..Descriptor::of(&found.media_type, &found.bytes)
            });
        }
        index.manifests.sort_by_key(|found| found.digest);
        index
    }

    /// The first blob of a manifest that is missing in the repository.
    pub(super) fn lacking(&self, repository: &str, bytes: &[u8]) -> Option<Digest> {
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
            let mut blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
            let lacking =
                blobs.find(|blob| self.size_of(repository, blob.digest) != Some(blob.size));
            return lacking.map(|blob| blob.digest);
        }
        let index = serde_json::from_slice::<Index>(bytes).ok()?;
        let mut children = index.manifests.iter();
        children
            .find(|child| {
                let name = child.digest.to_string();
                self.manifest(repository, &name).is_none()
            })
            .map(|child| child.digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        Ok(disk::write_hint(path, bytes)?)
    }
}

/// The subject of a manifest.
pub(super) fn subject(bytes: &[u8]) -> Option<Descriptor> {
    let manifest = serde_json::from_slice::<Manifest>(bytes).ok()?;
    manifest.subject
}
