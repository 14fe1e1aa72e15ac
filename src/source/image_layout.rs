//! Packages in OCI image layouts on this machine: `oci-layout:DIR[:TAG][@DIGEST]`,
//! and `oci:DIR:TAG` as skopeo writes it.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{OpenError, PackageSourceError};
use super::opening::Opening;
use super::package::{Package, Republished};
use super::stored::{AtHome, Home, StoredPackage};
use crate::cas::{Cas, CasError, SinkError};
use crate::content::{self, CopyError, Fetch, VerifyReader};
use crate::layout::{ImageLayout, LayoutError};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, is_tag, media_type};
use crate::registry::BlobSource;
use crate::verify::{Attached, Query};

/// A layout, with the tag that was requested.
struct InLayout {
    layout: Arc<ImageLayout>,
    tag: Option<String>,
}

/// The parts of the name of a layout.
struct Named<'n> {
    folder: &'n str,
    tag: Option<&'n str>,
    digest: Option<Digest>,
}

/// Takes the name of a layout apart. A folder may have a colon in its name.
fn named<'n>(name: &'n str, opening: &Opening<'_>) -> Named<'n> {
    let rest = name.split_once(':').map_or(name, |(_, rest)| rest);
    let with_digest = rest.rsplit_once('@').and_then(|(rest, digest)| {
        let digest: Digest = digest.parse().ok()?;
        Some((rest, digest))
    });
    let (rest, digest) = match with_digest {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let whole = ImageLayout::is_at(&opening.here().join(rest));
    let (folder, tag) = match rest.rsplit_once(':').filter(|_| !whole) {
        Some((folder, tag)) if is_tag(tag) => (folder, Some(tag)),
        _ => (rest, None),
    };
    Named {
        folder,
        tag,
        digest,
    }
}

/// Finds the package that `name` names.
pub(super) fn open(name: &str, opening: &Opening<'_>) -> Result<Box<dyn Package>, OpenError> {
    let Named {
        folder,
        tag,
        digest,
    } = named(name, opening);
    let folder = opening.here().join(folder);
    at(&folder, name, tag, digest, opening)
}

/// The tags of the layout that `name` names.
pub(super) fn tags(name: &str, opening: &Opening<'_>) -> Result<Vec<String>, OpenError> {
    let folder = opening.here().join(named(name, opening).folder);
    let layout = ImageLayout::existing(&folder).map_err(PackageSourceError::from)?;
    let entries = layout.entries().map_err(PackageSourceError::from)?;
    Ok(entries.into_iter().filter_map(|(tag, _)| tag).collect())
}

/// Finds the package under `tag`, or with `digest`, in the layout in `folder`.
pub(super) fn at(
    folder: &Path,
    name: &str,
    tag: Option<&str>,
    digest: Option<Digest>,
    opening: &Opening<'_>,
) -> Result<Box<dyn Package>, OpenError> {
    let options = opening.options;
    let layout = ImageLayout::existing(folder).map_err(PackageSourceError::from)?;
    if digest.is_some() && options.shasum.is_some_and(|sum| digest != Some(sum)) {
        return Err(OpenError::TwoDigests(name.to_owned()));
    }
    let (own, mut found) = match digest.or(options.shasum) {
        Some(wanted) => {
            let found = layout.at_digest(wanted).map_err(PackageSourceError::from)?;
            let found = found.ok_or_else(|| OpenError::NoneInLayout {
                name: name.to_owned(),
                what: format!("has no manifest {wanted}"),
            })?;
            (tag.map(str::to_owned), found)
        }
        None => choose(&layout, name, tag)?,
    };
    let layout = Arc::new(layout);
    let home = InLayout { layout, tag: own };
    let document = |found: &Descriptor| -> Result<Bytes, PackageSourceError> {
        let bytes = home.layout.content(found, MAX_MANIFEST_BYTES)?;
        Ok(bytes.into())
    };
    let mut bytes = document(&found)?;
    let mut architecture = None;
    if media_type::is_index(&found.media_type) {
        found = StoredPackage::entry(name, &bytes, &options.architecture)?;
        bytes = document(&found)?;
        architecture = Some(options.architecture.clone());
    }
    let found = StoredPackage::read(name.to_owned(), architecture, found, bytes)?;
    AtHome::open(found, home, options)
}

/// The entry under `tag`, or the only one, with its tag.
fn choose(
    layout: &ImageLayout,
    name: &str,
    tag: Option<&str>,
) -> Result<(Option<String>, Descriptor), OpenError> {
    let entries = layout.entries().map_err(PackageSourceError::from)?;
    let none = |what: String| OpenError::NoneInLayout {
        name: name.to_owned(),
        what,
    };
    let names = || {
        let names = entries.iter().filter_map(|(name, _)| name.as_deref());
        let names: Vec<&str> = names.take(20).collect();
        match names.is_empty() {
            true => "nothing with a tag".to_owned(),
            false => names.join(", "),
        }
    };
    let Some(tag) = tag else {
        return match &entries[..] {
            [] => Err(none("is empty".to_owned())),
            [(own, first), rest @ ..] if rest.iter().all(|(_, it)| it.digest == first.digest) => {
                Ok((own.clone(), first.clone()))
            }
            _ => Err(none(format!("has {}: add one of them as :TAG", names()))),
        };
    };
    // Some tools write the whole reference.
    let ends = format!(":{tag}");
    let rules: [&dyn Fn(&str) -> bool; 2] = [&|own| own == tag, &|own| own.ends_with(&ends)];
    let mut found = rules.iter().filter_map(|rule| {
        let mut named = entries.iter();
        named.find(|(own, _)| own.as_deref().is_some_and(rule))
    });
    let found = found.next().cloned();
    let found = found.ok_or_else(|| none(format!("has no tag `{tag}`, only {}", names())));
    found.map(|(_, found)| (Some(tag.to_owned()), found))
}

/// The content of blobs, one after the other.
struct Joined<'l> {
    layout: &'l ImageLayout,
    left: VecDeque<Descriptor>,
    current: Option<Box<dyn Read + Send + 'l>>,
}

impl Read for Joined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                let count = current.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
            }
            let Some(next) = self.left.pop_front() else {
                return Ok(0);
            };
            self.current = Some(self.layout.fetch(&next)?);
        }
    }
}

impl InLayout {
    fn joined(&self, layers: &[Descriptor]) -> Joined<'_> {
        Joined {
            layout: &self.layout,
            left: layers.iter().cloned().collect(),
            current: None,
        }
    }

    fn unreadable(&self, file: &Descriptor) -> impl FnOnce(io::Error) -> PackageSourceError {
        let path = self.layout.path(file);
        move |source| LayoutError::Io { path, source }.into()
    }
}

impl Home for InLayout {
    fn read(&self, blob: &Descriptor) -> Result<Vec<u8>, PackageSourceError> {
        Ok(self.layout.content(blob, blob.size)?)
    }

    fn reader(&self, layers: &[Descriptor]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.joined(layers)))
    }

    fn verify(&self, layers: &[Descriptor], file: &Descriptor) -> Result<(), PackageSourceError> {
        let read = content::copy_to(self.joined(layers), file, io::sink());
        read.map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => self.unreadable(file)(error),
        })
    }

    fn store(
        &self,
        layers: &[Descriptor],
        file: &Descriptor,
        cas: &Arc<Cas>,
    ) -> Result<(), PackageSourceError> {
        let content = VerifyReader::new(self.joined(layers), file);
        cas.put(file, content).map_err(|error| match error {
            CasError::Mismatch { .. } => {
                let what = "its content does not match its digest";
                self.unreadable(file)(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            error => SinkError::from(error).into(),
        })
    }

    fn blobs(&self) -> BlobSource {
        Arc::<ImageLayout>::clone(&self.layout)
    }

    fn bundles(&self, manifest: &Descriptor) -> Result<Attached<Vec<u8>>, PackageSourceError> {
        Ok(self.layout.bundles_about(manifest)?)
    }

    fn query(&self, architecture: Option<&str>) -> Option<Query> {
        let tag = self.tag.as_deref();
        Some(Query::in_layout(tag, architecture.map(str::to_owned)))
    }

    fn is_here(&self) -> bool {
        true
    }

    fn place(&self) -> Republished {
        Republished {
            destination: format!("oci-layout:{}", self.layout.folder().display()),
            tag: self.tag.clone(),
        }
    }
}
