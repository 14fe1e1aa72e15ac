//! Checks the content of a package against its documents: the image layout, and the
//! parts of components.
//!
//! Done once the chain from signature to checksums holds: every file is then the
//! publisher's, but it may still be of no use, or not what a review has seen.
//! Source: docs/spec/package.md, "Integrity"; OCI image-spec 1.1, image-layout.md.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::{Refusal, VerifiedPackage};
use crate::archive::{Contents as InTar, Listing};
use crate::oci::{Descriptor, Digest, Index, MAX_MANIFEST_BYTES, Manifest, Reference, media_type};
use crate::package::{Definition, Dialect, SKELETON, declared_parts, has_older_names};
use crate::signing::strict_json;
use crate::text::with_causes;
use crate::yaml::SourceText;

/// Where images are.
const INDEX: &str = Dialect::IMAGE_INDEX;
const MARKER: &str = Dialect::IMAGE_MARKER;
const BLOBS: &str = "images/blobs/sha256/";

/// Annotations with the reference of an image.
const NAMES: [&str; 2] = [
    "org.opencontainers.image.base.name",
    "org.opencontainers.image.ref.name",
];

/// Size of the header of an entry of a tar, in bytes.
const HEADER: u64 = 512;

/// Most bytes of documents that are read at once: 64 MiB.
const BATCH_BYTES: u64 = 64 << 20;

/// Reads files of the package.
pub trait Contents {
    /// Why nothing was read.
    type Error;

    /// The content of small files.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn documents(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Self::Error>;

    /// What is in tars; without those that would have to be downloaded.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn listings(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, Self::Error>;
}

/// Checks the content of a package of which all files are verified.
///
/// # Errors
///
/// Those of `contents`. What is wrong with the package is in the result.
pub fn check_contents<C: Contents>(
    package: &VerifiedPackage,
    contents: &mut C,
) -> Result<Vec<Refusal>, C::Error> {
    let (definition, mut check) = match begun(package) {
        Ok(begun) => begun,
        Err(refusal) => return Ok(vec![refusal]),
    };
    check.places();
    let named = check.images(contents)?;
    if !is_skeleton(&definition) {
        check.declared_images(&definition, &named);
    }
    check.tars(&definition, contents)?;
    Ok(check.refusals)
}

/// Checks the tars of a package of which all files are verified, once they can be
/// read.
///
/// # Errors
///
/// Those of `contents`. What is wrong with the package is in the result.
pub fn check_tars<C: Contents>(
    package: &VerifiedPackage,
    contents: &mut C,
) -> Result<Vec<Refusal>, C::Error> {
    let (definition, mut check) = match begun(package) {
        Ok(begun) => begun,
        Err(refusal) => return Ok(vec![refusal]),
    };
    check.tars(&definition, contents)?;
    Ok(check.refusals)
}

/// The definition, and a check without findings.
fn begun(package: &VerifiedPackage) -> Result<(Definition, Check<'_>), Refusal> {
    let check = Check {
        files: package.files(),
        refusals: Vec::new(),
    };
    Ok((definition(package)?, check))
}

fn definition(package: &VerifiedPackage) -> Result<Definition, Refusal> {
    let text = String::from_utf8_lossy(package.definition());
    let source = SourceText::new(package.dialect().definition_file(), text);
    Ok(Definition::packaged(&source)?)
}

fn is_skeleton(definition: &Definition) -> bool {
    definition.metadata.architecture == SKELETON
        || definition.build.architecture.as_deref() == Some(SKELETON)
}

struct Check<'p> {
    files: &'p BTreeMap<String, (Digest, u64)>,
    refusals: Vec<Refusal>,
}

impl Check<'_> {
    fn wrong(&mut self, path: &str, what: impl Into<String>) {
        self.refusals.push(Refusal::Content {
            path: path.to_owned(),
            what: what.into(),
        });
    }

    /// Follows the index of images to every blob. Returns the names of the images.
    fn images<C: Contents>(
        &mut self,
        contents: &mut C,
    ) -> Result<BTreeMap<String, Digest>, C::Error> {
        let mut named = BTreeMap::new();
        let files = self.files;
        let below: Vec<&String> = files
            .keys()
            .filter(|p| p.starts_with(Dialect::IMAGES))
            .collect();
        if below.is_empty() {
            return Ok(named);
        }
        let wanted = [INDEX, MARKER].map(str::to_owned).into();
        let mut found = self.read(&wanted, contents)?;
        if let Some(marker) = self.take(MARKER, &mut found) {
            let read: Option<serde_json::Value> = self.parsed(MARKER, &marker);
            if read.is_some_and(|read| read["imageLayoutVersion"] != "1.0.0") {
                self.wrong(MARKER, "it is not version 1.0.0 of an image layout");
            }
        }
        let index = self.take(INDEX, &mut found);
        let index: Option<Index> = index.and_then(|index| self.parsed(INDEX, &index));
        let Some(index) = index else {
            return Ok(named);
        };
        if index
            .media_type
            .as_deref()
            .is_some_and(|kind| kind != media_type::INDEX)
        {
            self.wrong(INDEX, "its mediaType is not that of an index");
        }
        for image in &index.manifests {
            self.name(image, &mut named);
        }
        let mut seen = BTreeSet::new();
        let mut level: Vec<(String, Descriptor)> = Vec::new();
        for image in index.manifests {
            let kind = image.media_type.as_str();
            if !is_document(kind) {
                let kind: String = kind.escape_debug().take(100).collect();
                let what = format!("it lists {} as `{kind}`, which is no image", image.digest);
                self.wrong(INDEX, what);
            }
            level.push((INDEX.to_owned(), image));
        }
        while !level.is_empty() {
            level = self.level(level, &mut seen, contents)?;
        }
        for path in below {
            let known = path == INDEX || path == MARKER;
            let digest = path.strip_prefix(BLOBS).map(Digest::from_hex);
            let used = matches!(digest, Some(Ok(digest)) if seen.contains(&digest));
            if !known && !used && self.refusals.is_empty() {
                self.wrong(path, "no image of the package has this file");
            }
        }
        Ok(named)
    }

    fn name(&mut self, image: &Descriptor, named: &mut BTreeMap<String, Digest>) {
        let annotations = NAMES.iter().filter_map(|key| image.annotations.get(*key));
        for name in annotations.collect::<BTreeSet<_>>() {
            let known = *named.entry(name.clone()).or_insert(image.digest);
            if known != image.digest {
                let name: String = name.escape_debug().take(200).collect();
                let other = image.digest;
                self.wrong(INDEX, format!("`{name}` names {known} and {other}"));
            }
        }
    }

    /// Checks descriptors with the file that has them; returns those in the documents
    /// that they name.
    fn level<C: Contents>(
        &mut self,
        level: Vec<(String, Descriptor)>,
        seen: &mut BTreeSet<Digest>,
        contents: &mut C,
    ) -> Result<Vec<(String, Descriptor)>, C::Error> {
        let mut documents = BTreeMap::new();
        for (place, descriptor) in level {
            let digest = descriptor.digest;
            let path = format!("{BLOBS}{}", digest.hex());
            match self.files.get(&path) {
                None => self.wrong(&place, format!("the package lacks its blob {digest}")),
                Some((_, size)) if *size != descriptor.size => {
                    let (size, stated) = (*size, descriptor.size);
                    let what = format!("it gives {digest} a size of {stated} bytes, not {size}");
                    self.wrong(&place, what);
                }
                Some(_) if is_document(&descriptor.media_type) && !seen.contains(&digest) => {
                    documents.insert(path, descriptor.media_type);
                }
                Some(_) => {}
            }
            seen.insert(digest);
        }
        let mut next = Vec::new();
        let mut rest: Vec<(String, String)> = documents.into_iter().collect();
        while !rest.is_empty() {
            let mut bytes = 0;
            let size = |path: &str| self.files.get(path).map_or(0, |(_, size)| *size);
            let fits = |(path, _): &(String, String)| {
                bytes += size(path);
                bytes <= BATCH_BYTES
            };
            let count = rest
                .iter()
                .take_while({
                    let mut fits = fits;
                    move |d| fits(d)
                })
                .count();
            let batch: Vec<(String, String)> = rest.drain(..count.max(1)).collect();
            let names = batch.iter().map(|(path, _)| path.clone()).collect();
            let mut found = self.read(&names, contents)?;
            for (path, kind) in batch {
                if let Some(text) = self.take(&path, &mut found) {
                    let named = self.named_by(&path, &kind, &text);
                    next.extend(named.into_iter().map(|found| (path.clone(), found)));
                }
            }
        }
        Ok(next)
    }

    /// The descriptors in a manifest or index.
    fn named_by(&mut self, path: &str, kind: &str, text: &[u8]) -> Vec<Descriptor> {
        let Some(value) = self.parsed::<serde_json::Value>(path, text) else {
            return Vec::new();
        };
        let stated = value["mediaType"].as_str();
        if stated.is_some_and(|stated| stated != kind) {
            self.wrong(path, "its mediaType is not the one it is listed with");
        }
        // Of two readers, one could take it for the other kind.
        let other = match media_type::is_index(kind) {
            true => ["layers", "config"].map(|key| value.get(key)),
            false => [value.get("manifests"), None],
        };
        if other.iter().flatten().next().is_some() {
            self.wrong(path, "it is an index and a manifest in one");
        }
        if media_type::is_index(kind) {
            let index: Option<Index> = self.parsed(path, text);
            return index.map_or(Vec::new(), |index| index.manifests);
        }
        let manifest: Option<Manifest> = self.parsed(path, text);
        manifest.map_or(Vec::new(), |manifest| {
            std::iter::once(manifest.config)
                .chain(manifest.layers)
                .collect()
        })
    }

    /// Reads JSON in which no member is given twice.
    fn parsed<T: DeserializeOwned>(&mut self, path: &str, text: &[u8]) -> Option<T> {
        let read = strict_json(text).and_then(serde_json::from_value);
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                self.wrong(
                    path,
                    format!("it cannot be read: {error}", error = with_causes(&error)),
                );
                None
            }
        }
    }

    fn take(&mut self, path: &str, found: &mut BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
        let expected = self.files.get(path).map(|(digest, _)| *digest);
        let bytes = found.remove(path)?;
        let digest = Digest::of(&bytes);
        if expected.is_some_and(|expected| expected != digest) {
            self.wrong(path, format!("it has changed to {digest} meanwhile"));
            return None;
        }
        Some(bytes)
    }

    /// Reads documents that are small enough, and notes those that are not, or are
    /// missing.
    fn read<C: Contents>(
        &mut self,
        names: &BTreeSet<String>,
        contents: &mut C,
    ) -> Result<BTreeMap<String, Vec<u8>>, C::Error> {
        let mut wanted = BTreeSet::new();
        for name in names {
            match self.files.get(name) {
                None => self.refusals.push(Refusal::Lacking(name.clone())),
                Some((_, size)) if *size > MAX_MANIFEST_BYTES => {
                    self.wrong(
                        name,
                        format!("it is larger than {MAX_MANIFEST_BYTES} bytes"),
                    );
                }
                Some(_) => {
                    wanted.insert(name.clone());
                }
            }
        }
        match wanted.is_empty() {
            true => Ok(BTreeMap::new()),
            false => contents.documents(&wanted),
        }
    }

    /// Checks that every image that a component declares can be found by its name.
    fn declared_images(&mut self, definition: &Definition, named: &BTreeMap<String, Digest>) {
        for component in &definition.components {
            let archived = component.image_archives.iter().flat_map(|a| &a.images);
            for image in component.images.iter().chain(archived) {
                let found = named.contains_key(image)
                    || image
                        .parse::<Reference>()
                        .is_ok_and(|reference| is_named(&reference, named));
                if !found {
                    let component = component.name.clone();
                    let image = image.escape_debug().take(300).collect();
                    self.refusals.push(Refusal::NoImage { component, image });
                }
            }
        }
    }

    /// Checks that the files can be beside each other in one folder, also when their
    /// tars are unpacked.
    fn places(&mut self) {
        let files = self.files;
        let has_below = |folder: &str| {
            let below = format!("{folder}/");
            let next = files.range(below.clone()..).next();
            next.is_some_and(|(path, _)| path.starts_with(&below))
        };
        for path in files.keys() {
            if has_below(path) {
                self.wrong(path, "other files are below it");
            }
            let unpacked = Dialect::tar_contents(path).and_then(|_| path.strip_suffix(".tar"));
            if unpacked.is_some_and(|folder| files.contains_key(folder) || has_below(folder)) {
                self.wrong(path, "another file is in the place where it is unpacked");
            }
        }
    }

    /// Checks that every tar can be unpacked, that there are those of components with
    /// parts and no others, and that they hold what these declare. The parts of a
    /// skeleton have other places.
    fn tars<C: Contents>(
        &mut self,
        definition: &Definition,
        contents: &mut C,
    ) -> Result<(), C::Error> {
        let files = self.files;
        let old = has_older_names(definition.build.version.as_deref().unwrap_or_default());
        let mut expected = BTreeMap::new();
        for component in &definition.components {
            let path = Dialect::component_tar(&component.name);
            let mut parts = match is_skeleton(definition) {
                true => Vec::new(),
                false => declared_parts(component),
            };
            let places: BTreeSet<&str> = parts.iter().map(|part| part.path.as_str()).collect();
            match (files.get(&path), parts.first()) {
                (None, Some(part)) => self.lacks(&component.name, &part.what, &path),
                // Also found of a tar that is not read.
                (Some((_, size)), _) if *size < HEADER * places.len() as u64 => {
                    let what = format!("it is too small for what `{}` declares", component.name);
                    self.wrong(&path, what);
                }
                _ => {}
            }
            parts.retain(|part| !(old && part.path.starts_with("manifests/")));
            expected.insert(path, (component, parts));
        }
        let tars = files
            .keys()
            .filter_map(|path| Some((path, Dialect::tar_contents(path)?)));
        let tars: BTreeMap<&String, InTar<'_>> = tars.collect();
        for (path, kind) in &tars {
            if matches!(kind, InTar::Component(_)) && !expected.contains_key(*path) {
                self.wrong(path, "the definition has no component of this name");
            }
        }
        let names: BTreeSet<String> = tars.into_keys().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        for (path, listing) in contents.listings(&names)? {
            match (listing, expected.get(&path)) {
                (Err(what), _) => self.wrong(&path, what),
                (Ok(found), Some((component, parts))) => {
                    for part in parts {
                        let has =
                            |path: &str| found.contains(&format!("{}/{path}", component.name));
                        let older = old && part.older.iter().any(|path| has(path));
                        if !has(&part.path) && !older {
                            self.lacks(&component.name, &part.what, &path);
                        }
                    }
                }
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }

    fn lacks(&mut self, component: &str, what: &str, path: &str) {
        self.refusals.push(Refusal::NoPart {
            component: component.to_owned(),
            what: what.escape_debug().take(300).collect(),
            path: path.to_owned(),
        });
    }
}

fn is_document(kind: &str) -> bool {
    media_type::is_index(kind) || matches!(kind, media_type::MANIFEST | media_type::DOCKER_MANIFEST)
}

/// Whether an image has the name `reference`, or on docker.io the name without its
/// host, as the oldest packages have it.
fn is_named(reference: &Reference, named: &BTreeMap<String, Digest>) -> bool {
    let full = reference.to_string();
    let short = full.strip_prefix("docker.io/");
    named.contains_key(&full) || short.is_some_and(|short| named.contains_key(short))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "evidence made here is verified")]
mod tests;
