//! Images from disk: an OCI layout in a folder or tar, or a Docker archive.
//!
//! The result is the same as that of `fetch`: all parts of an image in the cache, under
//! the same names. Blobs are streamed and verified against the digests in the layout. A
//! Docker archive has no digests and is verified against the layer ids in its
//! configuration. Never follows a name out of the source.

mod choose;
mod docker;
mod source;
mod tar_index;

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use choose::Candidate;
use rayon::prelude::*;
use serde::Deserialize;

use crate::action::Output;
use crate::cas::{Cas, CasError};
use crate::disk;
use crate::ground::inputs::Inputs;
use crate::ground::site::Site;
use crate::ground::source::listed;
use crate::ground::{Failure, failures, of_cas, of_io};
use crate::kinds::image::fetch::{KindError, Pin, Selected, outputs, parts, select};
use crate::oci::place;
use crate::oci::{Descriptor, Digest, Index, MAX_MANIFEST_BYTES, Manifest, Platform, annotation};
use crate::text::with_causes;

pub(crate) use source::ImageFiles;

/// Annotations with the name of an image in a layout, as written by different tools.
const NAMES: [&str; 3] = [
    annotation::BASE_NAME,
    annotation::REF_NAME,
    "io.containerd.image.name",
];

/// Why an image could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An I/O error, or damaged compression.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// It is neither an OCI layout nor a Docker archive.
    #[error(
        "`{0}` is not an image: expected `oci-layout` and `index.json`, or the `manifest.json` of docker save, in a folder, a tar, or a tar compressed with gzip or zstd"
    )]
    NoImage(PathBuf),
    /// The source is damaged or malicious.
    #[error("`{path}` is malformed: {what}; recreate it")]
    Malformed {
        path: PathBuf,
        /// The found and expected values.
        what: String,
    },
    /// A file that the source refers to is missing.
    #[error("`{path}` refers to `{entry}` but does not contain it: it is incomplete, recreate it")]
    Missing { path: PathBuf, entry: String },
    /// No image has this name.
    #[error("`{path}` has no image `{wanted}`, only {found}: choose one of these")]
    NotThere {
        path: PathBuf,
        wanted: String,
        found: String,
    },
    #[error(
        "`{path}` has several images, {found}: choose one by its name after the path, as in `{example}`"
    )]
    Several {
        path: PathBuf,
        found: String,
        /// How one of them is named.
        example: String,
    },
    /// The image is not usable.
    #[error("`{path}`")]
    Kind { path: PathBuf, source: KindError },
    /// A part does not match its digest, or cannot be stored.
    #[error("`{path}`: {what} was not stored ({})", advice(.source))]
    Store {
        path: PathBuf,
        /// `manifest`, `config`, `layer/0`, ...
        what: String,
        source: Box<CasError>,
    },
}

disk::from_disk_error!(ImportError);

fn advice(source: &CasError) -> &'static str {
    match source {
        CasError::Mismatch { .. } => "the image is damaged, recreate it",
        _ => "check the disk that holds the cache",
    }
}

/// Imports an image from a folder or archive that is not an input of an action. Returns
/// its manifest as well.
///
/// # Errors
///
/// [`Failure`]
pub fn import_path(
    site: &Site,
    path: &Path,
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<(Descriptor, Vec<Output>), Failure> {
    let (root, name) = (path.parent(), path.file_name().and_then(OsStr::to_str));
    let (Some(root), Some(name)) = (root, name) else {
        return Err(ImportError::NoImage(path.to_owned()).into());
    };
    let mut inputs = Inputs::new(&site.cas);
    // Files that did not change since the last time are not read.
    inputs.entries(site, root, &listed(root, name)?, str::to_owned)?;
    let source = ImageFiles::open(&inputs, name, site.cas.root())?;
    let (pin, outputs) = import(&site.cas, &source, wanted, platform)?;
    source.settle()?;
    Ok((pin.manifest, outputs))
}

/// Imports an image of the folder or archive `source`.
///
/// `wanted` is a reference or a tag, and optional if there is only one image. Blocks.
/// Outputs have the same names as those of [`fetch`](super::fetch).
///
/// # Errors
///
/// [`ImportError`].
pub(crate) fn import(
    cas: &Cas,
    files: &ImageFiles<'_>,
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<(Pin, Vec<Output>), ImportError> {
    let job = Job {
        cas,
        path: Path::new(files.name()),
        files,
    };
    if files.has("oci-layout") && files.has("index.json") {
        job.layout(wanted, platform)
    } else if files.has("manifest.json") {
        docker::import(&job, wanted, platform)
    } else {
        Err(ImportError::NoImage(files.name().into()))
    }
}

struct Job<'a> {
    cas: &'a Cas,
    path: &'a Path,
    files: &'a ImageFiles<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutMark {
    image_layout_version: String,
}

impl Job<'_> {
    fn malformed(&self, what: impl Into<String>) -> ImportError {
        ImportError::Malformed {
            path: self.path.to_owned(),
            what: what.into(),
        }
    }

    /// The content of a small file.
    fn document(&self, name: &str) -> Result<Vec<u8>, ImportError> {
        let mut bytes = Vec::new();
        let content = self.files.read(name)?;
        content
            .take(MAX_MANIFEST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(disk::at(&self.path.join(name)))?;
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            let limit = format!("`{name}` is longer than {MAX_MANIFEST_BYTES} bytes");
            return Err(self.malformed(limit));
        }
        Ok(bytes)
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, ImportError> {
        serde_json::from_slice(&self.document(name)?).map_err(|error| {
            self.malformed(format!("`{name}`: {error}", error = with_causes(&error)))
        })
    }

    /// The verified document that a descriptor names.
    fn described(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImportError> {
        let bytes = self.document(&blob_path(&descriptor.digest))?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest && bytes.len() as u64 == descriptor.size {
            return Ok(bytes);
        }
        let what = format!(
            "manifest is {found} ({} bytes), expected {} ({} bytes)",
            bytes.len(),
            descriptor.digest,
            descriptor.size
        );
        Err(self.malformed(what))
    }

    fn store(
        &self,
        what: &str,
        descriptor: &Descriptor,
        content: impl io::Read,
    ) -> Result<(), ImportError> {
        self.cas
            .put(descriptor, content)
            .map_err(|source| self.refused(what, source))
    }

    fn refused(&self, what: &str, source: CasError) -> ImportError {
        ImportError::Store {
            path: self.path.to_owned(),
            what: what.to_owned(),
            source: Box::new(source),
        }
    }

    fn kind(&self, source: KindError) -> ImportError {
        ImportError::Kind {
            path: self.path.to_owned(),
            source,
        }
    }

    fn layout(
        &self,
        wanted: Option<&str>,
        platform: &Platform,
    ) -> Result<(Pin, Vec<Output>), ImportError> {
        let mark: LayoutMark = self.json("oci-layout")?;
        if !mark.image_layout_version.starts_with("1.") {
            let version: String = mark.image_layout_version.chars().take(50).collect();
            return Err(self.malformed(format!("layout version `{version}`, expected 1.0.0")));
        }
        let index: Index = self.json("index.json")?;
        let candidates: Vec<Candidate> = index.manifests.iter().map(candidate).collect();
        let chosen = choose::choose(&candidates, wanted, platform);
        let entry =
            &index.manifests[chosen.map_err(|none| none.at(self.path, place::SKOPEO_LAYOUT))?];
        let bytes = self.described(entry)?;
        let selected = select(entry, &bytes, platform).map_err(|error| self.kind(error))?;
        let (index, manifest, bytes) = match selected {
            Selected::Manifest(manifest) => (None, manifest, bytes),
            Selected::Child { index, child } => {
                let bytes = self.described(&child)?;
                // The child must be a manifest itself.
                match select(&child, &bytes, platform).map_err(|error| self.kind(error))? {
                    Selected::Manifest(manifest) => (Some(index), manifest, bytes),
                    Selected::Child { .. } => {
                        return Err(self.kind(KindError::Nested(child.digest)));
                    }
                }
            }
        };
        let document: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            self.malformed(format!("manifest: {error}", error = with_causes(&error)))
        })?;
        let outputs = self.outputs(&manifest, &bytes, &document)?;
        let parts = parts(&document);
        parts.par_iter().try_for_each(|(name, blob)| {
            let content = self.files.read(&blob_path(&blob.digest))?;
            self.store(name, blob, content)
        })?;
        Ok((Pin { index, manifest }, outputs))
    }

    /// Stores the manifest, and returns the names of all parts.
    fn outputs(
        &self,
        manifest: &Descriptor,
        bytes: &[u8],
        document: &Manifest,
    ) -> Result<Vec<Output>, ImportError> {
        self.store("manifest", manifest, bytes)?;
        Ok(outputs(manifest, document))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn candidate(entry: &Descriptor) -> Candidate {
    let names = NAMES.iter().filter_map(|name| entry.annotations.get(*name));
    Candidate {
        names: names.cloned().collect(),
        digest: Some(entry.digest),
        platform: entry.platform.clone(),
    }
}

#[cfg(test)]
#[path = "import/tests.rs"]
mod tests;

failures! {
    ImportError: |error| match error {
        ImportError::Io { source, .. } => of_io(source),
        ImportError::Store { source, .. } => of_cas(source),
        ImportError::Malformed { .. } | ImportError::Missing { .. } => Class::Verification,
        _ => Class::Configuration,
    };
}
