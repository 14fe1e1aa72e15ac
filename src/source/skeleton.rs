//! Skeleton packages: definitions with their local files, for others to import,
//! in a registry or in an OCI image layout on the disk.
//!
//! Blobs are copied into the CAS when they are needed, each verified against its
//! descriptor. A component's files are unpacked beside the blobs and compared
//! with their tar each time they are used.
//!
//! Source: docs/spec/package.md, "Skeletons", "Composition";
//! docs/spec/registry.md, "Layers", "Index and tags".

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use crate::archive::{SafePath, TarKind, TarReader};
use crate::cas::{Cas, CasError};
use crate::content::{self, Fetch};
use crate::disk::{DiskError, Enclosure, at};
use crate::layout::{Contents, ImageLayout, LayoutError, unpack_tar};
use crate::oci::annotation::TITLE;
use crate::oci::{Descriptor, Digest, Index, MAX_MANIFEST_BYTES, Manifest, Reference, media_type};
use crate::package::{Dialect, MAX_DEFINITION_BYTES, SKELETON};
use crate::registry::{Registry, RegistryError, Repository};

/// The operating system of packages in an index.
const SYSTEM: &str = "multi";

/// Why a skeleton package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// It does not exist, or is not a skeleton.
    #[error("no such skeleton package")]
    Missing,
    /// It is malformed.
    #[error("{what}: expected {expected}")]
    Malformed {
        /// What was found.
        what: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The cache refused, or a blob is not what its descriptor says.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A component's tar cannot be unpacked.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The disk refused.
    #[error(transparent)]
    Io(#[from] DiskError),
}

/// Where a skeleton's blobs are.
pub enum Origin<'o> {
    /// An OCI image layout.
    Layout(ImageLayout),
    /// The cache only, without network access.
    Cache,
    /// A repository.
    Registry(Repository<&'o Registry>),
}

impl Fetch for Origin<'_> {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        match self {
            Self::Layout(layout) => layout.fetch(descriptor),
            Self::Cache => Err(io::Error::other(
                "not in the cache, and --offline forbids fetching it: build once with \
                 network access",
            )),
            Self::Registry(repository) => repository.fetch(descriptor),
        }
    }
}

/// A skeleton package that was found.
pub struct Skeleton<'o> {
    origin: Origin<'o>,
    cas: &'o Cas,
    /// The manifest that its tag resolved to.
    pub manifest: Descriptor,
    layers: BTreeMap<String, Descriptor>,
}

impl<'o> Skeleton<'o> {
    /// Finds the skeleton that `tag` names in a layout.
    ///
    /// # Errors
    ///
    /// [`SkeletonError`]
    pub fn in_layout(cas: &'o Cas, folder: &Path, tag: &str) -> Result<Self, SkeletonError> {
        let layout = ImageLayout::at(folder);
        let named = layout.named(tag)?.ok_or(SkeletonError::Missing)?;
        let origin = Origin::Layout(layout);
        let manifest = if media_type::is_index(&named.media_type) {
            skeleton_of(&origin_document(&origin, cas, &named)?)?
        } else {
            named
        };
        Self::open(cas, origin, manifest)
    }

    /// Finds the skeleton `reference` in a registry; with `pinned`, exactly that
    /// manifest.
    ///
    /// # Errors
    ///
    /// [`SkeletonError`]
    pub fn in_registry(
        cas: &'o Cas,
        registry: &'o Registry,
        reference: Reference,
        pinned: Option<Descriptor>,
        runtime: Handle,
    ) -> Result<Self, SkeletonError> {
        let manifest = match pinned {
            Some(manifest) => manifest,
            None => match runtime.block_on(registry.resolve(&reference)) {
                Ok((found, bytes)) if media_type::is_index(&found.media_type) => {
                    skeleton_of(&bytes)?
                }
                // A digest may name the manifest itself.
                Ok((found, bytes)) => {
                    cas.put(&found, &bytes[..])?;
                    found
                }
                Err(RegistryError::NotFound { .. }) => return Err(SkeletonError::Missing),
                Err(error) => return Err(error.into()),
            },
        };
        let origin = Origin::Registry(Repository {
            registry,
            reference,
            runtime,
        });
        Self::open(cas, origin, manifest)
    }

    /// The skeleton that a pin names, from the cache only.
    ///
    /// # Errors
    ///
    /// [`SkeletonError`]
    pub fn in_cache(cas: &'o Cas, pinned: Descriptor) -> Result<Self, SkeletonError> {
        Self::open(cas, Origin::Cache, pinned)
    }

    fn open(cas: &'o Cas, origin: Origin<'o>, manifest: Descriptor) -> Result<Self, SkeletonError> {
        let document: Manifest = document(&origin_document(&origin, cas, &manifest)?)?;
        let layers = document.layers.into_iter().filter_map(|layer| {
            let title = layer.annotations.get(TITLE)?.clone();
            Some((title, layer))
        });
        Ok(Self {
            origin,
            cas,
            manifest,
            layers: layers.collect(),
        })
    }

    /// The text of its definition, and the name of that file.
    ///
    /// # Errors
    ///
    /// [`SkeletonError`]
    pub fn definition(&self) -> Result<(&'static str, String), SkeletonError> {
        let names = Dialect::ALL.map(Dialect::definition_file);
        let found = names
            .iter()
            .find_map(|name| Some((*name, self.layers.get(*name)?)));
        let malformed = |what: &str| SkeletonError::Malformed {
            what: what.to_owned(),
            expected: "a definition of at most 16 MiB of text",
        };
        let (name, layer) = found.ok_or_else(|| malformed("no definition"))?;
        if layer.size > MAX_DEFINITION_BYTES {
            return Err(malformed("a larger definition"));
        }
        let mut text = String::new();
        self.blob(layer)?
            .read_to_string(&mut text)
            .map_err(|_| malformed("a definition that is not text"))?;
        Ok((name, text))
    }

    /// Unpacks the files of `component` and returns their folder and the digest
    /// of their tar. `None`: the component has no files.
    ///
    /// # Errors
    ///
    /// [`SkeletonError`]
    pub fn files(&self, component: &str) -> Result<Option<(PathBuf, Digest)>, SkeletonError> {
        let Some(layer) = self.layers.get(&format!("components/{component}.tar")) else {
            return Ok(None);
        };
        if component.contains('/') || SafePath::parse(component).is_err() {
            return Err(SkeletonError::Malformed {
                what: format!("a component named {component:?}"),
                expected: "a name that is a folder's",
            });
        }
        let folder = self.cas.root().join("skeletons").join(layer.digest.hex());
        let same = folder.is_dir() && holds(&folder, component, self.blob(layer)?).unwrap_or(false);
        if !same {
            let stage = self.cas.stage()?;
            let name = PathBuf::from(format!("components/{component}.tar"));
            let into = Enclosure::open(stage.path()).map_err(at(stage.path()))?;
            let contents = Contents::Component(component);
            unpack_tar(&name, self.blob(layer)?, &into, contents)?;
            let made = stage.path().join(component);
            fs::create_dir_all(&made).map_err(at(&made))?;
            let parent = folder.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(at(parent))?;
            if folder.exists() {
                // The damaged folder is removed with the stage.
                let old = stage.path().join(".damaged");
                fs::rename(&folder, &old).map_err(at(&folder))?;
            }
            match fs::rename(&made, &folder) {
                // Another process was faster, with the same bytes.
                Err(_) if folder.is_dir() => {}
                renamed => renamed.map_err(at(&folder))?,
            }
        }
        Ok(Some((folder, layer.digest)))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<impl Read + '_, SkeletonError> {
        copied(&self.origin, self.cas, descriptor)?;
        Ok(self.cas.open_blob(&descriptor.digest)?)
    }
}

fn copied(origin: &Origin<'_>, cas: &Cas, descriptor: &Descriptor) -> Result<(), SkeletonError> {
    let copied = content::copy(origin, cas, descriptor);
    Ok(copied.map_err(at(Path::new(&descriptor.digest.to_string())))?)
}

/// Reads a manifest or index through the cache.
fn origin_document(
    origin: &Origin<'_>,
    cas: &Cas,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, SkeletonError> {
    if descriptor.size > MAX_MANIFEST_BYTES {
        return Err(CasError::TooLarge(descriptor.size, MAX_MANIFEST_BYTES).into());
    }
    match origin {
        Origin::Layout(_) | Origin::Cache => copied(origin, cas, descriptor)?,
        Origin::Registry(Repository {
            registry,
            reference,
            runtime,
        }) => {
            if !cas.contains(&descriptor.digest, descriptor.size)? {
                let bytes = runtime.block_on(registry.manifest(reference, descriptor))?;
                cas.put(descriptor, &bytes[..])?;
            }
        }
    }
    Ok(cas.document(&descriptor.digest, MAX_MANIFEST_BYTES)?)
}

fn document<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, SkeletonError> {
    serde_json::from_slice(bytes).map_err(|error| SkeletonError::Malformed {
        what: error.to_string(),
        expected: "a manifest or an index in JSON",
    })
}

/// The skeleton's manifest in an index.
fn skeleton_of(bytes: &[u8]) -> Result<Descriptor, SkeletonError> {
    let index: Index = document(bytes)?;
    let is_skeleton = |found: &Descriptor| {
        let platform = found.platform.as_ref();
        platform.is_some_and(|it| it.os == SYSTEM && it.architecture == SKELETON)
    };
    let found = index.manifests.into_iter().find(is_skeleton);
    found.ok_or(SkeletonError::Missing)
}

/// Whether `folder` has exactly the content of the tar of `component`.
fn holds(folder: &Path, component: &str, tar: impl Read) -> io::Result<bool> {
    let mut tar = TarReader::new(tar);
    let mut expected = 0_usize;
    while let Some(entry) = tar.next()? {
        let path = Path::new(OsStr::from_bytes(&entry.name));
        let Ok(below) = path.strip_prefix(component) else {
            continue;
        };
        if below.as_os_str().is_empty() {
            continue;
        }
        expected += 1;
        let there = folder.join(below);
        let same = match entry.kind {
            TarKind::Directory => fs::symlink_metadata(&there)?.is_dir(),
            TarKind::Symlink => fs::read_link(&there)?.as_os_str().as_bytes() == entry.link,
            _ => fs::symlink_metadata(&there)?.is_file() && equal(&mut tar, File::open(&there)?)?,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(count(folder)? == expected)
}

fn equal(one: &mut impl Read, other: File) -> io::Result<bool> {
    let mut other = io::BufReader::new(other);
    let mut buffer = vec![0; 64 << 10];
    let mut beside = vec![0; 64 << 10];
    loop {
        let length = one.read(&mut buffer)?;
        if length == 0 {
            return Ok(other.read(&mut beside[..1])? == 0);
        }
        match other.read_exact(&mut beside[..length]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if buffer[..length] != beside[..length] {
            return Ok(false);
        }
    }
}

/// Number of entries below `folder`, at any depth.
fn count(folder: &Path) -> io::Result<usize> {
    let mut open = vec![folder.to_owned()];
    let mut found = 0;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            found += 1;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(found)
}
