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

use crate::archive::{Contents, SafePath, TarKind, TarReader};
use crate::cas::tree::stays_inside;
use crate::cas::{Cas, CasError};
use crate::content::{self, Fetch};
use crate::disk::{DiskError, Enclosure, at};
use crate::layout::{ImageLayout, LayoutError, unpack_tar};
use crate::oci::annotation::TITLE;
use crate::oci::{Descriptor, Digest, Index, MAX_MANIFEST_BYTES, Manifest, Reference, media_type};
use crate::package::{Dialect, MAX_DEFINITION_BYTES, SKELETON, manifest};
use crate::registry::{Registry, RegistryError, Repository};
use crate::text::with_causes;

/// Why a skeleton package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// It does not exist, or is not a skeleton.
    #[error("no such skeleton package")]
    Missing,
    #[error("{what}: expected {expected}")]
    Malformed {
        what: String,
        expected: &'static str,
    },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The cache refused, or a blob is not what its descriptor says.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A component's tar cannot be unpacked.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Io(#[from] DiskError),
}

/// Where a skeleton's blobs are.
pub enum Origin<'o> {
    /// An OCI image layout.
    Layout(ImageLayout),
    /// The cache only, without network access.
    Cache,
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
        let Some(layer) = self.layers.get(&Dialect::component_tar(component)) else {
            return Ok(None);
        };
        let malformed = |what: String| SkeletonError::Malformed {
            what: format!("component `{component}`: {what}"),
            expected: "files in a folder named after it",
        };
        if component.contains('/') || SafePath::parse(component).is_err() {
            return Err(SkeletonError::Malformed {
                what: format!("a component named {component:?}"),
                expected: "a valid folder name",
            });
        }
        let folder = self.cas.root().join("skeletons").join(layer.digest.hex());
        let same =
            is_folder(&folder) && holds(&folder, component, self.blob(layer)?).unwrap_or(false);
        if !same {
            let stage = self.cas.stage()?;
            let name = PathBuf::from(Dialect::component_tar(component));
            let into = Enclosure::open(stage.path()).map_err(at(stage.path()))?;
            let contents = Contents::Component(component);
            unpack_tar(&name, self.blob(layer)?, &into, contents)?;
            let made = stage.path().join(component);
            match fs::symlink_metadata(&made) {
                Ok(facts) if facts.is_dir() => {}
                Ok(_) => return Err(malformed("its root is not a folder".to_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&made).map_err(at(&made))?;
                }
                Err(error) => return Err(at(&made)(error).into()),
            }
            if let Some((link, target)) = leads_out(&made).map_err(at(&made))? {
                return Err(malformed(format!(
                    "the link `{link}` to `{target}` leads out of it"
                )));
            }
            let parent = folder.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(at(parent))?;
            if fs::symlink_metadata(&folder).is_ok() {
                // The damaged folder is removed with the stage.
                let old = stage.path().join(".damaged");
                fs::rename(&folder, &old).map_err(at(&folder))?;
            }
            match fs::rename(&made, &folder) {
                // Another process was faster, with the same bytes.
                Err(_) if is_folder(&folder) => {}
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
        what: with_causes(&error),
        expected: "a manifest or an index in JSON",
    })
}

/// The skeleton's manifest in an index.
fn skeleton_of(bytes: &[u8]) -> Result<Descriptor, SkeletonError> {
    let index: Index = document(bytes)?;
    let is_skeleton = |found: &Descriptor| {
        let platform = found.platform.as_ref();
        platform.is_some_and(|it| it.os == manifest::MULTI && it.architecture == SKELETON)
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

/// Whether `path` is a folder, and not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir())
}

/// A link below `folder` that leads out of it, and its target. Where a definition
/// names a file, links are followed: so links in an untrusted skeleton must not lead
/// to files of this machine.
fn leads_out(folder: &Path) -> io::Result<Option<(String, String)>> {
    let mut open = vec![folder.to_owned()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(&below)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path)?.to_string_lossy().into_owned();
                let path = path.strip_prefix(folder).unwrap_or(&path);
                let path = path.to_string_lossy().into_owned();
                if !stays_inside(&path, &target) {
                    return Ok(Some((path, target)));
                }
            }
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tar::EntryType as Kind;

    use super::*;

    /// The files of the component `app` in a skeleton whose tar has these entries.
    fn files(cas: &Cas, entries: &[(Kind, &str, &str)]) -> Result<PathBuf, String> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, link) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if kind.is_file() { 2 } else { 0 });
            header.set_cksum();
            let content: &[u8] = if kind.is_file() { b"hi" } else { b"" };
            builder.append(&header, content).unwrap();
        }
        let mut ingest = cas.ingest().unwrap();
        ingest.write_all(&builder.into_inner().unwrap()).unwrap();
        let (digest, size) = ingest.commit().unwrap();
        let manifest = Descriptor::of("", b"");
        let name = "components/app.tar".to_owned();
        let skeleton = Skeleton {
            origin: Origin::Cache,
            cas,
            manifest,
            layers: [(name, Descriptor::blob(digest, size))].into(),
        };
        match skeleton.files("app") {
            Ok(found) => Ok(found.unwrap().0),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn no_link_of_a_skeleton_leads_to_files_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let secret = dir.path().join("secret");
        fs::create_dir(&secret).unwrap();
        let secret = secret.to_str().unwrap();
        let folder = (Kind::Directory, "app/d", "");
        for entries in [
            &[(Kind::Symlink, "app", secret)][..],
            &[(Kind::Symlink, "app", "..")],
            &[
                (Kind::Symlink, "app", "other"),
                (Kind::Regular, "other/f", ""),
            ],
            &[(Kind::Regular, "app", "")],
            &[folder, (Kind::Symlink, "app/l", secret)],
            &[folder, (Kind::Symlink, "app/d/l", "../..")],
            // A name that is a link itself: `..` after it climbs from its target.
            &[
                folder,
                (Kind::Symlink, "app/l", "d/.."),
                (Kind::Symlink, "app/m", "l/../.."),
            ],
            &[
                folder,
                (Kind::Symlink, "app/l", "."),
                (Kind::Symlink, "app/m", "l/l/../.."),
            ],
            &[(Kind::Symlink, "app/gone", "../later")],
        ] {
            let error = files(&cas, entries).unwrap_err();
            assert!(error.contains("app"), "{entries:?}: {error}");
        }
        assert_eq!(fs::read_dir(cas.root().join("ingest")).unwrap().count(), 1);
        let inside = [
            folder,
            (Kind::Regular, "app/d/f", ""),
            (Kind::Symlink, "app/d/l", "../d/f"),
        ];
        let place = files(&cas, &inside).unwrap();
        assert_eq!(fs::read(place.join("d/l")).unwrap(), b"hi");
        // A link in place of the unpacked files is not ours.
        fs::remove_dir_all(&place).unwrap();
        std::os::unix::fs::symlink(secret, &place).unwrap();
        let place = files(&cas, &inside).unwrap();
        assert_eq!(fs::read(place.join("d/l")).unwrap(), b"hi");
        assert!(is_folder(&place));
        // No files at all: an empty folder.
        assert!(is_folder(
            &files(&cas, &[(Kind::Directory, "app", "")]).unwrap()
        ));
    }

    #[test]
    fn a_component_is_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        for component in ["", ".", "..", "../a", "a/b", "/etc"] {
            let path = format!("components/{component}.tar");
            let skeleton = Skeleton {
                origin: Origin::Cache,
                cas: &cas,
                manifest: Descriptor::of("", b""),
                layers: [(path, Descriptor::of("", b"x"))].into(),
            };
            let error = skeleton.files(component).unwrap_err();
            assert!(matches!(error, SkeletonError::Malformed { .. }), "{error}");
        }
    }
}
