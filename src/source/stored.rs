//! A package that is stored as an artifact: what its manifest lists, and how its
//! files are read, whatever holds its blobs.
//!
//! Source: docs/spec/registry.md, "Layers", "Configuration and manifest",
//! "Index and tags".

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::error::{OpenError, PackageSourceError, RemoteError};
use super::opening::ReadOptions;
use super::package::{Copyable, Existing, Output, Package, Republished};
use crate::archive::{self, Contents, Listing, SafePath};
use crate::cas::Cas;
use crate::content::{self, CopyError};
use crate::layout::{self, LayoutError};
use crate::oci::{Descriptor, Digest, Index, Manifest, Reference};
use crate::package::{Dialect, layers, manifest};
use crate::registry::BlobSource;
use crate::text::with_causes;
use crate::verify::{Attached, Evidence, Query, Tagged};

/// What the manifest of a package says. Nothing in it is trusted.
#[derive(Clone, Debug)]
pub struct StoredPackage {
    /// As messages call it.
    pub name: String,
    /// Its entry in the index, if it was found through an index.
    pub architecture: Option<String>,
    /// Describes its manifest.
    pub manifest: Descriptor,
    /// The bytes of the manifest.
    pub bytes: Bytes,
    /// Its files by path.
    pub layers: BTreeMap<String, Descriptor>,
    /// The layers of files in parts, by the digest of the whole file.
    parts: BTreeMap<Digest, Vec<Descriptor>>,
    /// The dialect of its media types.
    pub dialect: Dialect,
}

impl StoredPackage {
    /// The entry for `architecture` of the index `bytes`.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: the index cannot be read or has no such entry.
    pub(super) fn entry(
        name: &str,
        bytes: &[u8],
        architecture: &str,
    ) -> Result<Descriptor, RemoteError> {
        let index: Index = serde_json::from_slice(bytes).map_err(|error| RemoteError::Shape {
            reference: name.to_owned(),
            what: format!("its index cannot be read ({error})"),
        })?;
        let chosen = manifest::entry(&index, architecture);
        chosen.cloned().ok_or_else(|| RemoteError::Platform {
            reference: name.to_owned(),
            wanted: architecture.to_owned(),
            found: architectures(&index),
        })
    }

    /// The package with the manifest `bytes`, which `found` describes.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Shape`]
    pub(super) fn read(
        name: String,
        architecture: Option<String>,
        found: Descriptor,
        bytes: Bytes,
    ) -> Result<Self, RemoteError> {
        let shape = |what: String| RemoteError::Shape {
            reference: name.clone(),
            what,
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| shape(format!("its manifest cannot be read ({error})")))?;
        let titles = manifest.layers.iter().filter_map(manifest::title);
        let dialect = Dialect::of_artifact(&manifest.config.media_type, titles);
        let dialect = dialect.ok_or_else(|| {
            let kind: String = manifest.config.media_type.chars().take(100).collect();
            shape(format!("its configuration has the type `{kind}`"))
        })?;
        let (mut layers, mut parts) = (BTreeMap::new(), BTreeMap::new());
        for file in layers::files(manifest.layers).map_err(&shape)? {
            let title = file.name;
            if SafePath::parse(&title).is_err() || title.contains(char::is_control) {
                let shown: String = title.escape_debug().take(200).collect();
                return Err(shape(format!("a layer's title is `{shown}`")));
            }
            if file.layers.len() > 1 {
                parts.insert(file.whole.digest, file.layers);
            }
            if layers.insert(title.clone(), file.whole).is_some() {
                return Err(shape(format!("two layers are titled `{title}`")));
            }
        }
        Ok(Self {
            name,
            architecture,
            manifest: Descriptor {
                platform: None,
                annotations: BTreeMap::new(),
                ..found
            },
            bytes,
            layers,
            parts,
            dialect,
        })
    }

    /// The layer of the small file `name`; `None`: no such file.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Shape`]: it is too large.
    pub(super) fn document(&self, name: &str) -> Result<Option<&Descriptor>, RemoteError> {
        let layer = self.layers.get(name);
        let limit = layout::limit(name);
        match layer {
            Some(layer) if layer.size > limit => Err(RemoteError::Shape {
                reference: self.name.clone(),
                what: format!("`{name}` is larger than {limit} bytes"),
            }),
            layer => Ok(layer),
        }
    }

    /// The layers of `file`, one of [`layers`](Self::layers): itself, or its
    /// parts in order.
    fn parts_of(&self, file: &Descriptor) -> Vec<Descriptor> {
        let parts = self.parts.get(&file.digest).cloned();
        parts.unwrap_or_else(|| vec![file.clone()])
    }

    /// The digest of the manifest, which identifies the package.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest
    }
}

/// The architectures of packages in an index.
fn architectures(index: &Index) -> Vec<String> {
    let mut found: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os == manifest::MULTI)
        .map(|platform| platform.architecture.clone())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What holds the blobs of artifacts.
pub(super) trait Home: Send + Sync {
    /// Reads a small blob, verified.
    fn read(&self, blob: &Descriptor) -> Result<Vec<u8>, PackageSourceError>;

    /// The content of `layers` one after the other, unverified.
    fn reader(&self, layers: &[Descriptor]) -> io::Result<Box<dyn Read + Send + '_>>;

    /// Reads `file`, which is stored as `layers`, and verifies it.
    fn verify(&self, layers: &[Descriptor], file: &Descriptor) -> Result<(), PackageSourceError>;

    /// Stores `file`, which is stored as `layers`, in `cas`, verified.
    fn store(
        &self,
        layers: &[Descriptor],
        file: &Descriptor,
        cas: &Arc<Cas>,
    ) -> Result<(), PackageSourceError>;

    /// Yields the blobs, unverified.
    fn blobs(&self) -> BlobSource;

    /// Bundles about the manifest. Anyone may have put them there.
    fn bundles(&self, manifest: &Descriptor) -> Result<Attached<Vec<u8>>, PackageSourceError>;

    /// Signatures of older clients about the manifest, likewise.
    fn tagged(&self, manifest: &Descriptor) -> Result<Attached<Tagged>, PackageSourceError> {
        let _ = manifest;
        Ok(Attached::default())
    }

    /// The untrusted bundle of the heartbeat about the manifest, and what the user asked
    /// for.
    fn heartbeat(
        &self,
        manifest: &Descriptor,
    ) -> Result<Option<(Vec<u8>, Reference)>, PackageSourceError> {
        let _ = manifest;
        Ok(None)
    }

    /// What the user requested, for comparison with the package.
    fn query(&self, architecture: Option<&str>) -> Option<Query>;

    /// Whether reading a blob needs no network.
    fn is_here(&self) -> bool {
        false
    }

    /// The repository, if it is one of a registry.
    fn reference(&self) -> Option<&Reference> {
        None
    }

    /// Where the package can be published again under its name.
    fn place(&self) -> Republished;
}

/// A package at its home.
pub(super) struct AtHome<H> {
    pub(super) found: StoredPackage,
    pub(super) home: H,
    /// Maximum number of parallel transfers.
    pub(super) concurrency: usize,
}

impl<H: Home + 'static> AtHome<H> {
    /// The package `found` at `home`.
    ///
    /// # Errors
    ///
    /// Its files are larger than the user allows.
    pub(super) fn open(
        found: StoredPackage,
        home: H,
        options: &ReadOptions,
    ) -> Result<Box<dyn Package>, OpenError> {
        let sizes = found.layers.values().map(|layer| u128::from(layer.size));
        let total: u128 = sizes.sum();
        if let Some(limit) = options.content_limit
            && total > u128::from(limit)
        {
            let what = format!(
                "its files have {total} bytes, more than the {limit} that --max-content-size allows"
            );
            let error = LayoutError::too_large(found.name.as_ref(), what);
            return Err(PackageSourceError::Layout(error).into());
        }
        Ok(Box::new(Self {
            found,
            home,
            concurrency: options.concurrency,
        }))
    }
}

impl<H: Home> AtHome<H> {
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, PackageSourceError> {
        let layer = self.found.document(name)?;
        layer.map(|layer| self.home.read(layer)).transpose()
    }

    fn refused_output(&self, name: &str, source: io::Error) -> LayoutError {
        LayoutError::Output {
            path: self.found.name.clone().into(),
            entry: name.to_owned(),
            source,
        }
    }

    /// Copies a layer to `out`, verified.
    fn copy(
        &self,
        name: &str,
        layer: &Descriptor,
        out: impl Write,
    ) -> Result<(), PackageSourceError> {
        let shape = |error: io::Error| RemoteError::Shape {
            reference: self.found.name.clone(),
            what: format!("`{name}`: {error}", error = with_causes(&error)),
        };
        let content = self.home.reader(&self.found.parts_of(layer));
        let content = content.map_err(shape)?;
        content::copy_to(content, layer, out).map_err(|error| match error {
            CopyError::Read(error) => shape(error).into(),
            CopyError::Write(error) => self.refused_output(name, error).into(),
        })
    }

    /// Reads a tar with `contents`, verified, and lists what is in it.
    fn listed(
        &self,
        name: &str,
        contents: Contents<'_>,
        layer: &Descriptor,
    ) -> Result<Listing, PackageSourceError> {
        let pipe = io::pipe().map_err(|error| self.refused_output(name, error))?;
        let (reader, writer) = pipe;
        std::thread::scope(|scope| {
            let listing = scope.spawn(move || archive::list(reader, contents));
            let copied = self.copy(name, layer, writer);
            let listing = listing.join();
            copied?;
            Ok(listing.unwrap_or_else(|_| Err("the reading thread panicked".to_owned())))
        })
    }

    /// Calls `work` with every file once, a few at a time; the first error.
    fn each_file(
        &self,
        work: impl Fn(&Descriptor) -> Result<(), PackageSourceError> + Sync,
    ) -> Result<(), PackageSourceError> {
        // A blob may have several titles.
        let layers = self.found.layers.values();
        let layers: BTreeMap<_, _> = layers.map(|layer| (layer.digest, layer)).collect();
        let layers: Vec<&Descriptor> = layers.into_values().collect();
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let held = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            for _ in 0..self.concurrency.clamp(1, layers.len().max(1)) {
                scope.spawn(|| {
                    while held().is_none()
                        && let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        if let Err(error) = work(layer) {
                            held().get_or_insert(error);
                        }
                    }
                });
            }
        });
        match held().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl<H: Home> Package for AtHome<H> {
    fn files(&self) -> Result<BTreeMap<String, u64>, PackageSourceError> {
        let layers = self.found.layers.iter();
        Ok(layers.map(|(n, layer)| (n.clone(), layer.size)).collect())
    }

    fn read_some<'w>(
        &self,
        names: &[String],
        output: &mut Output<'_, 'w>,
    ) -> Result<Evidence, PackageSourceError> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let found = &self.found;
        let promised = self.survey()?;
        let mut evidence = Evidence {
            files: BTreeMap::new(),
            ..promised
        };
        for (name, layer) in &found.layers {
            // Documents have been read already.
            let dialect = found.dialect;
            let document = match name.as_str() {
                Dialect::CHECKSUMS => evidence.checksums.as_deref(),
                name if name == dialect.definition_file() => {
                    evidence.definition.as_ref().map(|(_, bytes)| &bytes[..])
                }
                name if name == dialect.signature_file() => evidence.signature.as_deref(),
                name if name == dialect.bundle_file() => evidence.bundle.as_deref(),
                _ => None,
            };
            if wanted.contains(name.as_str()) {
                let mut out = output(name, layer.size)?;
                match document {
                    Some(bytes) => out
                        .write_all(bytes)
                        .and_then(|()| out.flush())
                        .map_err(|error| self.refused_output(name, error))?,
                    None => self.copy(name, layer, out)?,
                }
            } else if document.is_none() {
                continue;
            }
            let file = (layer.digest, layer.size);
            evidence.files.insert(name.clone(), file);
        }
        Ok(evidence)
    }

    fn read_all(&self) -> Result<Evidence, PackageSourceError> {
        let mut promised = self.survey()?;
        let mut listed = BTreeSet::new();
        for (name, layer) in &self.found.layers {
            if let Some(contents) = Dialect::tar_contents(name) {
                listed.insert(layer.digest);
                let listing = self.listed(name, contents, layer)?;
                promised.listings.insert(name.clone(), listing);
            }
        }
        self.each_file(|file| match listed.contains(&file.digest) {
            // Listing it has verified it.
            true => Ok(()),
            false => self.home.verify(&self.found.parts_of(file), file),
        })?;
        Ok(promised)
    }

    /// Fetches the documents. For every other file, the evidence has the digest in
    /// the manifest, which is verified when the file is read.
    fn survey(&self) -> Result<Evidence, PackageSourceError> {
        let found = &self.found;
        let dialect = found.dialect;
        let definition = self.document(dialect.definition_file())?;
        let files = found.layers.iter();
        let files = files.map(|(name, layer)| (name.clone(), (layer.digest, layer.size)));
        Ok(Evidence {
            files: files.collect(),
            definition: definition.map(|bytes| (dialect, bytes)),
            checksums: self.document(Dialect::CHECKSUMS)?,
            signature: self.document(dialect.signature_file())?,
            bundle: self.document(dialect.bundle_file())?,
            artifact: Some(found.digest()),
            query: self.home.query(found.architecture.as_deref()),
            ..Evidence::default()
        })
    }

    fn store(&self, file: &Descriptor, cas: &Arc<Cas>) -> Result<(), PackageSourceError> {
        self.home.store(&self.found.parts_of(file), file, cas)
    }

    fn copyable(&self, _: &Arc<Cas>) -> Result<(Evidence, Copyable), PackageSourceError> {
        let copyable = Copyable {
            content: self.home.blobs(),
            artifact: Some(Existing {
                origin: self.home.reference().cloned(),
                tag: self.home.place().tag,
                architecture: self.found.architecture.clone(),
                manifest: self.found.bytes.clone(),
            }),
        };
        Ok((self.survey()?, copyable))
    }

    fn documents(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, PackageSourceError> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(layer) = self.found.layers.get(name) {
                let mut bytes = Vec::new();
                self.copy(name, layer, &mut bytes)?;
                found.insert(name.clone(), bytes);
            }
        }
        Ok(found)
    }

    fn listings(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, PackageSourceError> {
        let mut found = BTreeMap::new();
        for name in names.iter().filter(|_| self.home.is_here()) {
            let layer = self.found.layers.get(name);
            if let Some((layer, contents)) = layer.zip(Dialect::tar_contents(name)) {
                found.insert(name.clone(), self.listed(name, contents, layer)?);
            }
        }
        Ok(found)
    }

    fn is_here(&self) -> bool {
        self.home.is_here()
    }

    fn bundles(&self) -> Result<Attached<Vec<u8>>, PackageSourceError> {
        self.home.bundles(&self.found.manifest)
    }

    fn tagged(&self) -> Result<Attached<Tagged>, PackageSourceError> {
        self.home.tagged(&self.found.manifest)
    }

    fn heartbeat(&self) -> Result<Option<(Vec<u8>, Reference)>, PackageSourceError> {
        self.home.heartbeat(&self.found.manifest)
    }

    fn manifest(&self) -> Option<Digest> {
        Some(self.found.digest())
    }

    fn place(&self) -> Option<Republished> {
        Some(self.home.place())
    }
}
