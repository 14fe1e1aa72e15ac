//! SBOM documents that are attached to a package and to its images.
//!
//! They come from the package: from an archive of documents in their format, if it has
//! one, or else from `sboms.tar`. Nothing has to be believed that the package does not
//! say: whoever has verified it can make or find the same bytes.
//!
//! Source: docs/spec/sbom.md, "Other formats"; adr/0060, "Further formats of
//! SBOMs have files of their own".

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;

use super::artifact::{Artifact, Place};
use super::error::ReleaseError;
use super::limits::{TogetherTooLarge, check_together};
use crate::archive::TarReader;
use crate::cas::{Cas, CasError};
use crate::content;
use crate::layout::ImageLayout;
use crate::oci::{Descriptor, Digest, Manifest, Reference, annotation, media_type};
use crate::package::{Definition, Dialect, Strictness, manifest, time};
use crate::registry::{Attaching, BlobSource, Hints, Registry, RegistryError};
use crate::release::WithDocuments;
use crate::sbom::format::{Catalogue, Format, Production, Source};
use crate::sbom::names;
use crate::signing::{CYCLONEDX_PREDICATE, MAX_ATTESTATION_BYTES, SPDX_PREDICATE};
use crate::source::EMPTY_CONFIG;
use crate::text::with_causes;
use crate::yaml::SourceText;

/// Largest document that is read into memory to be written in another format, in bytes: 1
/// GiB, as for `jackal sbom`.
const MAX_CATALOGUE_BYTES: u64 = 1 << 30;

/// Why the documents of a package cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    #[error("the package has no SBOMs: build it without --skip-sbom, or name no formats")]
    None,
    #[error("its SBOMs cannot be read")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Cas(#[from] CasError),
    #[error("`{name}` in sboms.tar is not syft-JSON")]
    Malformed {
        name: String,
        source: serde_json::Error,
    },
    #[error("its manifest or definition cannot be read: {0}")]
    Package(String),
    #[error(transparent)]
    TooLarge(#[from] TogetherTooLarge),
}

/// The documents to attach.
#[derive(Clone)]
pub struct Documents {
    listed: Vec<Document>,
    source: BlobSource,
}

#[derive(Clone, Debug)]
struct Document {
    format: Format,
    /// The image that it is about; `None`: the package.
    image: Option<Descriptor>,
    name: String,
    blob: Descriptor,
}

impl Documents {
    /// Those of the package in `formats`, and in those for which it has an archive of
    /// documents; `None`: none. Blocks.
    ///
    /// # Errors
    ///
    /// [`DocumentsError`]
    pub fn of(
        cas: &Arc<Cas>,
        artifact: &Artifact,
        formats: &BTreeSet<Format>,
    ) -> Result<Option<Self>, DocumentsError> {
        let package = Package::open(cas, artifact)?;
        let wanted: BTreeSet<Format> = formats
            .iter()
            .chain(package.carried.keys())
            .copied()
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            listed: package.documents(&wanted, About::All)?,
            source: Arc::<Cas>::clone(cas),
        }))
    }

    /// The manifests that attach them to the package `subject` and its images, by what they
    /// are about.
    fn manifests(&self, subject: &Descriptor) -> Result<BTreeMap<Digest, Vec<Bytes>>, io::Error> {
        let mut all: BTreeMap<Digest, Vec<Bytes>> = BTreeMap::new();
        for document in &self.listed {
            let about = document.image.as_ref().unwrap_or(subject);
            let made = document.manifest(about)?;
            all.entry(about.digest).or_default().push(made);
        }
        Ok(all)
    }

    /// Whether everything is attached to the package `subject` at `place` already.
    pub(super) async fn are_attached(
        &self,
        registry: &Registry,
        place: &Place,
        subject: &Descriptor,
    ) -> Result<bool, ReleaseError> {
        let unwritten = |source| copy_error(place, source);
        let manifests = self.manifests(subject);
        for (subject, manifests) in manifests.map_err(unwritten)? {
            let missing = match place {
                Place::Registry(tag) => missing(registry, tag, subject, manifests).await?,
                Place::Layout { folder, .. } => {
                    // A manifest that is stored was perhaps never listed.
                    let listed = ImageLayout::open(folder)?.listed()?;
                    unlisted(&listed, manifests)
                }
            };
            if !missing.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stores what is missing at `place`, and attaches it to the images. Returns the
    /// manifests that attach the rest to the package `subject`.
    pub(super) async fn attach(
        &self,
        registry: &Registry,
        place: &Place,
        subject: &Descriptor,
    ) -> Result<(Vec<Bytes>, Vec<Attaching>), ReleaseError> {
        let unwritten = |source| copy_error(place, source);
        let package = subject.digest;
        let manifests = self.manifests(subject).map_err(unwritten)?;
        let (mut about_package, mut attached) = (Vec::new(), Vec::new());
        match place {
            Place::Registry(tag) => {
                let configs = [EMPTY_CONFIG.to_vec()];
                let rest = Arc::clone(&self.source);
                let source: BlobSource = Arc::new(WithDocuments::new(configs, rest));
                for (subject, manifests) in manifests {
                    let manifests = missing(registry, tag, subject, manifests).await?;
                    for bytes in &manifests {
                        for blob in parts(bytes).map_err(unwritten)? {
                            let sent = registry.push_blob(tag, &blob, &source, Hints::default());
                            sent.await?;
                        }
                    }
                    // With the bundles: their list is written once.
                    if subject == package {
                        about_package = manifests;
                    } else if !manifests.is_empty() {
                        attached.push(registry.attach(tag, subject, &manifests).await?);
                    }
                }
            }
            Place::Layout { folder, .. } => {
                let layout = ImageLayout::open(folder)?;
                layout.document(media_type::EMPTY, EMPTY_CONFIG)?;
                for document in &self.listed {
                    content::copy(&*self.source, &layout, &document.blob).map_err(unwritten)?;
                }
                for bytes in manifests.into_values().flatten() {
                    layout.attach(&bytes)?;
                }
            }
        }
        Ok((about_package, attached))
    }
}

/// The documents about a whole package in `formats`, as predicates of attestations with
/// their types. Blocks.
///
/// # Errors
///
/// [`DocumentsError`]
pub fn predicates(
    cas: &Arc<Cas>,
    artifact: &Artifact,
    formats: &BTreeSet<Format>,
) -> Result<Vec<(&'static str, serde_json::Value)>, DocumentsError> {
    let package = Package::open(cas, artifact)?;
    let mut found = Vec::new();
    for document in package.documents(formats, About::Package)? {
        if let Some(kind) = predicate_type(document.format) {
            let json = cas.document(&document.blob.digest, MAX_ATTESTATION_BYTES)?;
            let json = serde_json::from_slice(&json).map_err(io::Error::from)?;
            found.push((kind, json));
        }
    }
    Ok(found)
}

/// The formats that a package has its documents in, besides syft-JSON.
#[must_use]
pub fn carried(artifact: &Artifact) -> BTreeSet<Format> {
    let all = Format::DOCUMENTS.into_iter();
    all.filter(|format| artifact.has_file(&Dialect::sboms_in(format.name())))
        .collect()
}

/// The type of an attestation whose predicate is a document in `format`; `None`: there is
/// none.
///
/// Source: in-toto, "Predicates", for SPDX and CycloneDX.
#[must_use]
pub fn predicate_type(format: Format) -> Option<&'static str> {
    match format {
        Format::SpdxJson | Format::Spdx3Json => Some(SPDX_PREDICATE),
        Format::CycloneDxJson => Some(CYCLONEDX_PREDICATE),
        Format::SyftJson | Format::Table => None,
    }
}

/// Those of `manifests` that the registry does not list about `subject`.
async fn missing(
    registry: &Registry,
    tag: &Reference,
    subject: Digest,
    manifests: Vec<Bytes>,
) -> Result<Vec<Bytes>, RegistryError> {
    let listed = registry.referrers(tag, subject).await?;
    let listed = listed.iter().map(|found| found.digest).collect();
    Ok(unlisted(&listed, manifests))
}

fn unlisted(listed: &BTreeSet<Digest>, mut manifests: Vec<Bytes>) -> Vec<Bytes> {
    manifests.retain(|bytes| !listed.contains(&Digest::of(bytes)));
    manifests
}

fn parts(manifest: &[u8]) -> io::Result<impl Iterator<Item = Descriptor>> {
    let manifest: Manifest = serde_json::from_slice(manifest)?;
    Ok(manifest.layers.into_iter().chain([manifest.config]))
}

fn copy_error(place: &Place, source: io::Error) -> ReleaseError {
    ReleaseError::Copy {
        place: place.to_string(),
        source,
    }
}

impl Document {
    /// The manifest that attaches it to `subject`: the same document always gives the same
    /// one.
    fn manifest(&self, subject: &Descriptor) -> io::Result<Bytes> {
        let kind = &self.blob.media_type;
        let title = (annotation::TITLE.to_owned(), self.name.clone());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: Some(kind.clone()),
            // Some registries list the media type of the configuration instead.
            config: Descriptor::of(kind, EMPTY_CONFIG),
            layers: vec![Descriptor {
                annotations: [title].into(),
                ..self.blob.clone()
            }],
            subject: Some(Descriptor {
                annotations: BTreeMap::new(),
                platform: None,
                artifact_type: None,
                ..subject.clone()
            }),
            annotations: BTreeMap::new(),
        };
        Ok(serde_json::to_vec(&manifest)?.into())
    }
}

/// What documents are wanted of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// The package and its images.
    All,
    Package,
}

/// A package whose documents are read.
struct Package<'p> {
    cas: &'p Arc<Cas>,
    artifact: &'p Artifact,
    files: BTreeMap<String, Descriptor>,
    /// Its archives of documents in further formats.
    carried: BTreeMap<Format, Descriptor>,
}

impl<'p> Package<'p> {
    fn open(cas: &'p Arc<Cas>, artifact: &'p Artifact) -> Result<Self, DocumentsError> {
        let parts: Manifest = serde_json::from_slice(&artifact.bytes)
            .map_err(|error| DocumentsError::Package(with_causes(&error)))?;
        let titled = parts.layers.into_iter();
        let titled = titled.filter_map(|layer| Some((manifest::title(&layer)?.to_owned(), layer)));
        let files: BTreeMap<String, Descriptor> = titled.collect();
        let carried = Format::DOCUMENTS.into_iter().filter_map(|format| {
            let archive = files.get(&Dialect::sboms_in(format.name()))?;
            Some((format, archive.clone()))
        });
        Ok(Self {
            cas,
            artifact,
            carried: carried.collect(),
            files,
        })
    }

    fn documents(
        &self,
        wanted: &BTreeSet<Format>,
        about: About,
    ) -> Result<Vec<Document>, DocumentsError> {
        let mut maker = Maker {
            package: self,
            about,
            listed: Vec::new(),
            images: BTreeMap::new(),
        };
        let made = wanted
            .iter()
            .filter(|format| **format != Format::SyftJson && !self.carried.contains_key(format));
        let made: Vec<Format> = made.copied().collect();
        let syft = wanted.contains(&Format::SyftJson);
        match self.files.get(Dialect::SBOMS) {
            // A package's own document says all if it has one.
            Some(sboms) if about == About::All || !made.is_empty() => {
                maker.read_syft(sboms, syft, &made)?;
            }
            None if syft || !made.is_empty() => return Err(DocumentsError::None),
            _ => {}
        }
        for format in wanted {
            if let Some(archive) = self.carried.get(format) {
                maker.take(*format, archive)?;
            }
        }
        Ok(maker.listed)
    }
}

/// Finds and makes documents.
struct Maker<'m> {
    package: &'m Package<'m>,
    about: About,
    listed: Vec<Document>,
    /// The images that documents are about, by their names as syft-JSON.
    images: BTreeMap<String, Descriptor>,
}

impl Maker<'_> {
    /// Reads `sboms.tar`: learns what the documents are about, takes them if `wanted`, and
    /// makes those in the formats `made`.
    fn read_syft(
        &mut self,
        sboms: &Descriptor,
        wanted: bool,
        made: &[Format],
    ) -> Result<(), DocumentsError> {
        let definition = self.definition()?;
        let created = definition.build.timestamp.as_deref().unwrap_or_default();
        let created = time::parse_rfc1123z(created).and_then(time::rfc3339);
        let created = created.or_else(|| time::rfc3339(0)).unwrap_or_default();
        let mut parts = Vec::new();
        let documents = self.entries(sboms)?;
        if !made.is_empty() {
            check_together(documents.iter().map(|(_, json)| json))?;
        }
        for (name, json) in documents {
            let malformed = |source| DocumentsError::Malformed {
                name: name.clone(),
                source,
            };
            let read = self
                .package
                .cas
                .document(&json.digest, MAX_CATALOGUE_BYTES)?;
            let mut catalogue = Catalogue::read(&read).map_err(malformed)?;
            drop(read);
            let image = image_of(&catalogue.source, &self.package.files);
            if let (Some(image), About::All) = (&image, self.about) {
                self.images.insert(name.clone(), image.clone());
                for format in made {
                    let blob = self.written(*format, &catalogue, &created)?;
                    self.add(*format, Some(image.clone()), format.file_name(&name), blob);
                }
            }
            if wanted {
                self.add(Format::SyftJson, image, name, json);
            }
            // They are not in the document of the package.
            catalogue.files = Vec::new();
            if !made.is_empty() {
                parts.push(catalogue);
            }
        }
        let about = &definition.metadata;
        if !made.is_empty() {
            let source = Source::of_package(&about.name, &about.version, &about.vendor);
            let whole = Catalogue::merged(source, parts);
            for format in made {
                let blob = self.written(*format, &whole, &created)?;
                let name = format.file_name(&names::package(&about.name));
                self.add(*format, None, name, blob);
            }
        }
        Ok(())
    }

    /// Takes the documents of an archive that the package has in `format`: those about its
    /// images, and the one about itself.
    fn take(&mut self, format: Format, archive: &Descriptor) -> Result<(), DocumentsError> {
        let images: BTreeMap<String, Descriptor> = self
            .images
            .iter()
            .map(|(name, image)| (format.file_name(name), image.clone()))
            .collect();
        for (name, blob) in self.entries(archive)? {
            let image = images.get(&name).cloned();
            let is_whole = name.starts_with(names::PACKAGE);
            if is_whole || (image.is_some() && self.about == About::All) {
                self.add(format, image, name, blob);
            }
        }
        Ok(())
    }

    fn add(&mut self, format: Format, image: Option<Descriptor>, name: String, blob: Descriptor) {
        self.listed.push(Document {
            format,
            image,
            name,
            blob: Descriptor {
                media_type: format.artifact_type().to_owned(),
                ..blob
            },
        });
    }

    fn written(
        &self,
        format: Format,
        catalogue: &Catalogue,
        created: &str,
    ) -> Result<Descriptor, DocumentsError> {
        let production = Production::ours(created);
        let mut out = io::BufWriter::with_capacity(256 << 10, self.package.cas.ingest()?);
        format.write_catalogue(catalogue, &production, &mut out)?;
        let ingest = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let made = ingest.output("sbom")?;
        Ok(Descriptor::blob(made.digest, made.size))
    }

    /// The files of an archive of documents, stored one by one. The archive is verified
    /// by its digest.
    fn entries(&self, archive: &Descriptor) -> Result<Vec<(String, Descriptor)>, DocumentsError> {
        let cas = self.package.cas;
        content::copy(&*self.package.artifact.source, &**cas, archive)?;
        let mut found = Vec::new();
        let mut tar = TarReader::new(cas.open_blob(&archive.digest)?);
        while let Some(entry) = tar.next()? {
            let name = entry.name_lossy();
            let name = name.trim_start_matches("./").to_owned();
            if name.ends_with(".json") {
                let mut ingest = cas.ingest()?;
                io::copy(&mut tar, &mut ingest)?;
                let made = ingest.output("sbom")?;
                found.push((name, Descriptor::blob(made.digest, made.size)));
            }
        }
        tar.drain()?;
        Ok(found)
    }

    fn definition(&self) -> Result<Definition, DocumentsError> {
        let cas = self.package.cas;
        let mut named = self.package.files.iter();
        let found = named.find_map(|(name, layer)| {
            Dialect::of_definition_file(name).map(|dialect| (dialect, layer))
        });
        let Some((dialect, layer)) = found else {
            return Err(DocumentsError::Package("it has no definition".to_owned()));
        };
        let mut text = String::new();
        content::copy(&*self.package.artifact.source, &**cas, layer)?;
        cas.open_blob(&layer.digest)?.read_to_string(&mut text)?;
        let source = SourceText::new(dialect.definition_file(), text);
        Definition::parse(&source, Strictness::Existing)
            .map_err(|error| DocumentsError::Package(error.to_string()))
    }
}

/// The image that a document is about, if the package has it.
fn image_of(source: &Source, files: &BTreeMap<String, Descriptor>) -> Option<Descriptor> {
    let digest: Digest = source.metadata["manifestDigest"].as_str()?.parse().ok()?;
    let path = format!("{}blobs/sha256/{}", Dialect::IMAGES, digest.hex());
    // Of a document by others, anything may be the type.
    let kind = match source.metadata["mediaType"].as_str() {
        Some(media_type::DOCKER_MANIFEST) => media_type::DOCKER_MANIFEST,
        _ => media_type::MANIFEST,
    };
    files.get(&path).map(|layer| Descriptor {
        media_type: kind.to_owned(),
        ..Descriptor::blob(digest, layer.size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Push as _;
    use crate::registry::Options;

    /// The documents of a package that has one, with its cache.
    fn one_document() -> (tempfile::TempDir, Arc<Cas>, Documents) {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path().join("cache")).unwrap());
        let stored = cas.store("a.spdx.json", b"{}").unwrap();
        let documents = Documents {
            listed: vec![Document {
                format: Format::SpdxJson,
                image: None,
                name: stored.name,
                blob: Descriptor::blob(stored.digest, stored.size),
            }],
            source: Arc::<Cas>::clone(&cas),
        };
        (dir, cas, documents)
    }

    #[tokio::test]
    async fn a_document_that_was_stored_but_not_listed_is_attached_again() {
        let (dir, _, documents) = one_document();
        let folder = dir.path().join("layout");
        let layout = ImageLayout::open(&folder).unwrap();
        let subject = Descriptor::of(media_type::MANIFEST, b"{}");
        let tag = "1".to_owned();
        let place = Place::Layout { folder, tag };
        let registry = Registry::new(Options::default());
        let manifest = &documents.manifests(&subject).unwrap()[&subject.digest][0];
        // As if it was interrupted before the index was written.
        let stored = Descriptor::of(media_type::MANIFEST, manifest);
        layout.push(&stored, &mut &manifest[..]).unwrap();
        let attached = || documents.are_attached(&registry, &place, &subject);
        assert!(!attached().await.unwrap());
        documents.attach(&registry, &place, &subject).await.unwrap();
        assert!(attached().await.unwrap());
    }
}
