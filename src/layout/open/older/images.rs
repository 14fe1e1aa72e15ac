//! The image layout that takes the place of `images.tar`.
//!
//! The archive has configurations and layers, which stay as they are, and no manifests:
//! these are written again. What is called by a digest must have that digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

use super::IMAGES;
use crate::archive::{COMPRESSION_MAGIC, SafePath, TarKind, TarReader, layer_type};
use crate::disk::{Enclosure, Rights};
use crate::layout::LayoutError;
use crate::oci::annotation::{BASE_NAME, REF_NAME};
use crate::oci::docker_archive::{Config, LIST, MAX_LAYERS, Saved};
use crate::oci::{
    Descriptor, Digest, Hasher, Index, MAX_MANIFEST_BYTES, Manifest, Reference, media_type,
};
use crate::package::{Dialect, MAX_FILES};

/// Maximum length of all names in the archive, in bytes: 32 MiB.
const MAX_NAME_BYTES: usize = 32 << 20;

/// Writes the images in the archive `tar` of `package` to `folder`; returns the names and
/// sizes of the files.
pub(super) fn convert(
    tar: &File,
    package: &Path,
    inside: &Enclosure,
    folder: &Path,
) -> Result<Vec<(String, u64)>, LayoutError> {
    let path = package.join(IMAGES);
    let mut images = Images {
        files: BTreeMap::new(),
        links: BTreeMap::new(),
        tar,
        inside,
        written: BTreeMap::new(),
        layers: BTreeMap::new(),
    };
    images
        .list()
        .map_err(|error| LayoutError::io(&path, error))?;
    let made = images.all();
    made.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => LayoutError::io(&path, error),
        _ => LayoutError::write(folder, error),
    })?;
    Ok(images.written.into_iter().collect())
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn short(name: &str) -> String {
    let text: String = name.chars().take(100).collect();
    text.escape_debug().to_string()
}

/// A piece of the archive.
type Piece = (u64, u64);

struct Images<'t> {
    tar: &'t File,
    /// Offset and size of every file.
    files: BTreeMap<String, Piece>,
    /// Where links lead: Docker writes a layer once, and links to it.
    links: BTreeMap<String, String>,
    inside: &'t Enclosure,
    /// Files that were written, with their sizes.
    written: BTreeMap<String, u64>,
    /// Layers that were written, by their file.
    layers: BTreeMap<String, Descriptor>,
}

impl<'t> Images<'t> {
    fn list(&mut self) -> io::Result<()> {
        let mut tar = self.tar;
        tar.seek(SeekFrom::Start(0))?;
        let mut tar = TarReader::skipping(tar);
        let mut bytes = 0;
        while let Some(entry) = tar.next()? {
            let name = entry.name_lossy();
            // No name is ever joined to a folder, so a strange one is of no use and no harm.
            let Ok(name) = SafePath::parse(&name) else {
                continue;
            };
            let name = name.as_str().to_owned();
            bytes += name.len() + entry.link.len();
            if self.files.len() + self.links.len() >= MAX_FILES || bytes > MAX_NAME_BYTES {
                return Err(wrong("it has too many entries"));
            }
            let known = match entry.kind {
                TarKind::File => {
                    let piece = (entry.offset, entry.size);
                    self.links.contains_key(&name)
                        || self.files.insert(name.clone(), piece).is_some()
                }
                TarKind::Symlink | TarKind::Hardlink => {
                    let target = entry.link_lossy();
                    let target = match entry.kind {
                        TarKind::Symlink => beside(&name, &target),
                        _ => SafePath::parse(&target)
                            .ok()
                            .map(|at| at.as_str().to_owned()),
                    };
                    let target = target.unwrap_or_default();
                    self.files.contains_key(&name)
                        || self.links.insert(name.clone(), target).is_some()
                }
                _ => false,
            };
            if known {
                return Err(wrong(format!(
                    "it has two entries named `{}`",
                    short(&name)
                )));
            }
        }
        Ok(())
    }

    /// The file `name`, through at most one link.
    fn find(&self, name: &str) -> io::Result<(String, Piece)> {
        let at = SafePath::parse(name).map_err(|_| wrong(format!("it names `{}`", short(name))))?;
        let file = self.links.get(at.as_str()).map_or(at.as_str(), |to| to);
        let piece = self.files.get(file);
        let piece = piece.ok_or_else(|| wrong(format!("it has no file `{}`", short(name))))?;
        Ok((file.to_owned(), *piece))
    }

    fn content(&self, (at, size): Piece) -> io::Result<io::Take<&'t File>> {
        let mut tar = self.tar;
        tar.seek(SeekFrom::Start(at))?;
        Ok(tar.take(size))
    }

    fn document(&self, name: &str) -> io::Result<Vec<u8>> {
        let (_, piece) = self.find(name)?;
        if piece.1 > MAX_MANIFEST_BYTES {
            let name = short(name);
            return Err(wrong(format!(
                "`{name}` is larger than {MAX_MANIFEST_BYTES} bytes"
            )));
        }
        let mut bytes = Vec::new();
        self.content(piece)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn all(&mut self) -> io::Result<()> {
        let parsed = |name: &str, error: serde_json::Error| {
            wrong(format!("`{}` cannot be read: {error}", short(name)))
        };
        let saved: Vec<Saved> =
            serde_json::from_slice(&self.document(LIST)?).map_err(|error| parsed(LIST, error))?;
        let mut manifests = BTreeMap::new();
        for image in saved {
            let config = self.document(&image.config)?;
            let described = Descriptor::of(media_type::CONFIG, &config);
            named(&image.config, described.digest)?;
            let read: Config =
                serde_json::from_slice(&config).map_err(|error| parsed(&image.config, error))?;
            let ids = read.rootfs.diff_ids;
            if ids.len() != image.layers.len() || ids.len() > MAX_LAYERS {
                let (ids, layers) = (ids.len(), image.layers.len());
                return Err(wrong(format!(
                    "`{}` has {layers} layers and {ids} layer ids, expected equal numbers of at most {MAX_LAYERS}",
                    short(&image.config)
                )));
            }
            self.blob(&described, &mut &config[..])?;
            let mut layers = Vec::new();
            for (name, id) in image.layers.iter().zip(ids) {
                let layer = self.layer(name)?;
                if layer.media_type == media_type::LAYER && layer.digest != id {
                    let name = short(name);
                    return Err(wrong(format!(
                        "the layer `{name}` has digest {}, but the image says {id}",
                        layer.digest
                    )));
                }
                layers.push(layer);
            }
            let bytes = serde_json::to_vec(&Manifest::image(described, layers))?;
            let manifest = Descriptor::of(media_type::MANIFEST, &bytes);
            self.blob(&manifest, &mut &bytes[..])?;
            for tag in image.repo_tags.unwrap_or_default() {
                let reference = tag.parse::<Reference>().map(|found| found.to_string());
                let name = reference.unwrap_or(tag);
                let annotations = [BASE_NAME, REF_NAME].map(|key| (key.to_owned(), name.clone()));
                let manifest = Descriptor {
                    annotations: annotations.into(),
                    ..manifest.clone()
                };
                manifests.insert((name, manifest.digest), manifest);
            }
        }
        let index = Index {
            manifests: manifests.into_values().collect(),
            ..Index::empty()
        };
        let index = serde_json::to_vec(&index)?;
        self.file(Dialect::IMAGE_INDEX, &mut &index[..])?;
        let mut marker = Dialect::IMAGE_MARKER_TEXT;
        self.file(Dialect::IMAGE_MARKER, &mut marker)
    }

    /// Writes the layer in the file `name`.
    fn layer(&mut self, name: &str) -> io::Result<Descriptor> {
        let (file, piece) = self.find(name)?;
        if let Some(known) = self.layers.get(&file) {
            return Ok(known.clone());
        }
        let mut head = Vec::new();
        let mut hasher = Hasher::default();
        let mut content = self.content(piece)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                count => {
                    let missing = COMPRESSION_MAGIC.saturating_sub(head.len());
                    head.extend_from_slice(&buffer[..count.min(missing)]);
                    hasher.update(&buffer[..count]);
                }
            }
        }
        let digest = hasher.finish();
        named(&file, digest)?;
        let layer = Descriptor {
            digest,
            size: piece.1,
            ..Descriptor::of(layer_type(&head), b"")
        };
        let mut content = self.content(piece)?;
        self.blob(&layer, &mut content)?;
        self.layers.insert(file, layer.clone());
        Ok(layer)
    }

    fn blob(&mut self, blob: &Descriptor, content: &mut dyn Read) -> io::Result<()> {
        let name = format!("images/blobs/sha256/{}", blob.digest.hex());
        match self.written.contains_key(&name) {
            true => Ok(()),
            false => self.file(&name, content),
        }
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        let at = SafePath::parse(name).map_err(io::Error::other)?;
        let mut file = self.inside.file(&at, Rights::Plain)?;
        let size = io::copy(content, &mut file)?;
        self.written.insert(name.to_owned(), size);
        Ok(())
    }
}

/// The path that a link at `name` leads to, if it stays in the archive.
fn beside(name: &str, target: &str) -> Option<String> {
    let mut path: Vec<&str> = name.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()?),
            part => path.push(part),
        }
    }
    SafePath::parse(&path.join("/"))
        .ok()
        .map(|at| at.as_str().to_owned())
}

/// Refuses content whose name is another digest.
fn named(name: &str, digest: Digest) -> io::Result<()> {
    let base = name.rsplit('/').next().unwrap_or_default();
    let base = base.strip_prefix("sha256:").unwrap_or(base);
    let hex = base.split('.').next().unwrap_or_default();
    match Digest::from_hex(hex) {
        Ok(stated) if stated != digest => Err(wrong(format!(
            "`{}` has digest {digest}, which does not match its name",
            short(name)
        ))),
        _ => Ok(()),
    }
}
