//! Images in registries: copied, pulled into a layout or a tarball, pushed from a layout.
//!
//! Copies manifests and blobs as they are, so that digests stay; every byte is checked.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::archive::{TarError, TarWriter};
use crate::content::{self, VerifyReader};
use crate::disk::{self, DiskError};
use crate::layout::{ImageLayout, LayoutError};
use crate::oci::{
    Descriptor, Index, MAX_MANIFEST_BYTES, Manifest, Platform, Reference, media_type,
};
use crate::registry::{BlobSource, Hints, Registry, RegistryError, Repository};

/// Maximum number of manifests of one image, against endless indexes.
const MAX_MANIFESTS: usize = 2_000;

/// Why an image was not copied.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("cannot copy {blob} to `{to}`")]
    Copy {
        blob: String,
        to: PathBuf,
        source: std::io::Error,
    },
    /// A document cannot be read as what its type says.
    #[error("{0} is not a manifest or index that can be copied")]
    Odd(String),
    #[error("{0} has more than {MAX_MANIFESTS} manifests")]
    TooMany(String),
    #[error("{image} has no image for {platform}")]
    NoPlatform { image: String, platform: String },
    #[error("{image} is for several platforms: name one with --platform")]
    SeveralPlatforms { image: String },
    #[error("`{layout}` holds {count} images: push all as one index with --index")]
    SeveralImages { layout: PathBuf, count: usize },
    #[error("{0} exists, and --no-clobber is given")]
    Exists(String),
    #[error("a task was stopped: {0}")]
    Stopped(String),
}

/// A place that an image is read from.
enum Origin {
    Registry(Arc<Registry>, Reference),
    Layout(Arc<ImageLayout>),
}

/// An image: its manifests, what they refer to first, and their blobs.
struct Image {
    manifests: Vec<(Descriptor, Bytes)>,
    blobs: Vec<Descriptor>,
}

impl Origin {
    async fn document(&self, at: &Descriptor) -> Result<Bytes, ImageError> {
        match self {
            Self::Registry(registry, reference) => Ok(registry.manifest(reference, at).await?),
            Self::Layout(layout) => Ok(layout.content(at, MAX_MANIFEST_BYTES)?.into()),
        }
    }

    fn blobs(&self) -> BlobSource {
        match self {
            Self::Registry(registry, reference) => Arc::new(Repository {
                registry: Arc::clone(registry),
                reference: reference.clone(),
                runtime: Handle::current(),
            }),
            Self::Layout(layout) => Arc::clone(layout) as BlobSource,
        }
    }

    /// Everything below `root`.
    async fn image(&self, root: Descriptor, bytes: Bytes) -> Result<Image, ImageError> {
        let name = root.digest.to_string();
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        let (mut seen, mut of_blobs) = (BTreeSet::from([root.digest]), BTreeSet::new());
        let mut open = vec![(root, bytes)];
        while let Some((found, bytes)) = open.pop() {
            let odd = || ImageError::Odd(found.digest.to_string());
            if media_type::is_index(&found.media_type) {
                let index: Index = serde_json::from_slice(&bytes).map_err(|_| odd())?;
                for child in index.manifests {
                    if !seen.insert(child.digest) {
                        continue;
                    }
                    if seen.len() > MAX_MANIFESTS {
                        return Err(ImageError::TooMany(name));
                    }
                    let bytes = self.document(&child).await?;
                    open.push((child, bytes));
                }
            } else {
                let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| odd())?;
                let all = manifest.layers.into_iter().chain([manifest.config]);
                // What may not be distributed is not in registries either.
                let all = all.filter(|blob| !is_elsewhere(&blob.media_type));
                blobs.extend(all.filter(|blob| of_blobs.insert(blob.digest)));
            }
            manifests.push((found, bytes));
        }
        // What a manifest refers to was found after it.
        manifests.reverse();
        Ok(Image { manifests, blobs })
    }
}

fn is_elsewhere(kind: &str) -> bool {
    kind.contains("nondistributable") || kind.contains(".foreign.")
}

/// What `reference` names; with `platform`, the one of its images for that.
///
/// # Errors
///
/// [`ImageError`]
pub async fn image_at(
    registry: &Registry,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<(Descriptor, Bytes), ImageError> {
    let (root, bytes) = registry.resolve(reference).await?;
    let Some(platform) = platform.filter(|_| media_type::is_index(&root.media_type)) else {
        return Ok((root, bytes));
    };
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|_| ImageError::Odd(root.digest.to_string()))?;
    let chosen = index
        .select(platform)
        .ok_or_else(|| ImageError::NoPlatform {
            image: reference.to_string(),
            platform: platform.to_string(),
        })?;
    let bytes = registry.manifest(reference, chosen).await?;
    Ok((chosen.clone(), bytes))
}

/// Copies what `from` names to `to`.
///
/// # Errors
///
/// [`ImageError`]
pub async fn copy_image(
    registry: &Arc<Registry>,
    (from, to): (&Reference, &Reference),
    platform: Option<&Platform>,
    (concurrency, clobber): (usize, bool),
) -> Result<Descriptor, ImageError> {
    if !clobber && to.digest().is_none() && registry.has_manifest(to).await? {
        return Err(ImageError::Exists(to.to_string()));
    }
    let (root, bytes) = image_at(registry, from, platform).await?;
    let origin = Origin::Registry(Arc::clone(registry), from.clone());
    let image = origin.image(root.clone(), bytes).await?;
    let same = from.registry() == to.registry();
    let mount = same.then(|| from.repository().to_owned());
    upload(registry, &image, &origin.blobs(), to, (mount, concurrency)).await?;
    Ok(root)
}

/// Pushes the image of the layout in `folder`, or with `whole` everything in it as one
/// index.
///
/// # Errors
///
/// [`ImageError`]
pub async fn push_layout(
    registry: &Arc<Registry>,
    folder: &Path,
    to: &Reference,
    (whole, concurrency): (bool, usize),
) -> Result<Descriptor, ImageError> {
    let layout = ImageLayout::existing(folder)?;
    let entries = layout.entries()?;
    let (root, bytes) = match entries.as_slice() {
        [(_, one)] if !whole => {
            let bytes = layout.content(one, MAX_MANIFEST_BYTES)?;
            (Descriptor::of(&one.media_type, &bytes), bytes)
        }
        _ if whole => {
            let mut index = Index::empty();
            index.manifests = entries.into_iter().map(|(_, entry)| entry).collect();
            let bytes = serde_json::to_vec(&index).map_err(|_| odd_layout(folder))?;
            (Descriptor::of(media_type::INDEX, &bytes), bytes)
        }
        several => {
            return Err(ImageError::SeveralImages {
                layout: folder.to_owned(),
                count: several.len(),
            });
        }
    };
    let origin = Origin::Layout(Arc::new(layout));
    let image = origin.image(root.clone(), bytes.into()).await?;
    upload(registry, &image, &origin.blobs(), to, (None, concurrency)).await?;
    Ok(root)
}

fn odd_layout(folder: &Path) -> ImageError {
    ImageError::Odd(folder.display().to_string())
}

/// Blobs first, then manifests, and what the name refers to last.
async fn upload(
    registry: &Arc<Registry>,
    image: &Image,
    blobs: &BlobSource,
    to: &Reference,
    (mount, concurrency): (Option<String>, usize),
) -> Result<(), ImageError> {
    let permits = Arc::new(Semaphore::new(concurrency.max(1)));
    let mut tasks = JoinSet::new();
    for blob in image.blobs.clone() {
        let (registry, blobs, to) = (Arc::clone(registry), Arc::clone(blobs), to.clone());
        let (permits, mount) = (Arc::clone(&permits), mount.clone());
        tasks.spawn(async move {
            // Never closed.
            let _permit = permits.acquire().await;
            let hints = Hints {
                mount_from: mount.as_deref(),
                missing: false,
            };
            registry.push_blob(&to, &blob, &blobs, hints).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| ImageError::Stopped(error.to_string()))??;
    }
    let last = image.manifests.len().saturating_sub(1);
    for (at, (found, bytes)) in image.manifests.iter().enumerate() {
        let place = match at == last {
            true if to.digest().is_none() => to.clone(),
            _ => to.at(found.digest),
        };
        registry
            .push_manifest(&place, &found.media_type, bytes)
            .await?;
    }
    Ok(())
}

/// Adds what `from` names to the layout in `folder`, under `name` if it has one.
///
/// # Errors
///
/// [`ImageError`]
pub async fn pull_to_layout(
    registry: &Arc<Registry>,
    from: &Reference,
    platform: Option<&Platform>,
    (folder, name): (&Path, Option<&str>),
) -> Result<Descriptor, ImageError> {
    let (root, bytes) = image_at(registry, from, platform).await?;
    let origin = Origin::Registry(Arc::clone(registry), from.clone());
    let image = origin.image(root.clone(), bytes).await?;
    let layout = ImageLayout::open(folder)?;
    let source = origin.blobs();
    let to = folder.to_owned();
    let name = name.map(str::to_owned);
    let entry = root.clone();
    blocking(move || {
        for blob in &image.blobs {
            content::copy(&*source, &layout, blob).map_err(|source| ImageError::Copy {
                blob: blob.digest.to_string(),
                to: to.clone(),
                source,
            })?;
        }
        for (found, bytes) in &image.manifests {
            layout.document(&found.media_type, bytes)?;
        }
        Ok(layout.list(entry, name.as_deref())?)
    })
    .await?;
    Ok(root)
}

/// Writes the images that `names` name to the file `to`, as `docker load` reads them.
///
/// # Errors
///
/// [`ImageError`]
pub async fn pull_to_tarball(
    registry: &Arc<Registry>,
    names: &[Reference],
    platform: Option<&Platform>,
    to: &Path,
) -> Result<(), ImageError> {
    let mut images = Vec::new();
    for name in names {
        let (root, bytes) = image_at(registry, name, platform).await?;
        let odd = || ImageError::Odd(name.to_string());
        if media_type::is_index(&root.media_type) {
            let image = name.to_string();
            return Err(ImageError::SeveralPlatforms { image });
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| odd())?;
        let origin = Origin::Registry(Arc::clone(registry), name.clone());
        images.push((name.clone(), manifest, origin.blobs()));
    }
    let to = to.to_owned();
    blocking(move || {
        let new = disk::NewFile::begin(&to)?;
        write_tarball(&images, &to, new.file())?;
        Ok(new.keep()?)
    })
    .await
}

fn write_tarball(
    images: &[(Reference, Manifest, BlobSource)],
    to: &Path,
    out: impl Write,
) -> Result<(), ImageError> {
    let mut tar = TarWriter::new(out);
    let mut written = BTreeSet::new();
    let mut listed = Vec::new();
    for (name, manifest, blobs) in images {
        let of_layer = |layer: &Descriptor| format!("{}.tar.gz", layer.digest.hex());
        let config = manifest.config.digest.to_string();
        let layers: Vec<String> = manifest.layers.iter().map(of_layer).collect();
        let entries = [(&manifest.config, config.clone())].into_iter();
        for (blob, path) in entries.chain(manifest.layers.iter().zip(layers.iter().cloned())) {
            if !written.insert(path.clone()) {
                continue;
            }
            let failed = |source| ImageError::Copy {
                blob: blob.digest.to_string(),
                to: to.to_owned(),
                source,
            };
            let content = blobs.fetch(blob).map_err(failed)?;
            tar.file(
                &path,
                0o644,
                blob.size,
                &mut VerifyReader::new(content, blob),
            )?;
        }
        listed.push(json!({
            "Config": config,
            "RepoTags": [name.to_string()],
            "Layers": layers,
        }));
    }
    let text = serde_json::Value::from(listed).to_string();
    tar.file(
        "manifest.json",
        0o644,
        text.len() as u64,
        &mut text.as_bytes(),
    )?;
    tar.finish()?;
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ImageError::Stopped(error.to_string()))?
}
