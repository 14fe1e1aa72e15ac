//! Artifacts and the places they are published to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::action::Output;
use crate::cas::{Cas, CasError};
use crate::content::Fetch;
use crate::oci::place::{LAYOUT, REGISTRY};
use crate::oci::{Descriptor, Digest, Manifest, Reference, media_type};
use crate::package::manifest::{self, ArtifactError};
use crate::package::{Definition, Dialect, Strictness};
use crate::registry::BlobSource;
use crate::source::ArtifactEvidence;
use crate::text::with_causes;
use crate::yaml::{Mistakes, SourceText};

/// A package in the form of a registry: its manifest and a store of its blobs.
#[derive(Clone)]
pub struct Artifact {
    pub name: String,
    /// The architecture of its entry in an index.
    pub architecture: String,
    pub manifest: Descriptor,
    /// The bytes of the manifest.
    pub bytes: Bytes,
    /// The blobs of the manifest, without duplicates.
    pub blobs: Vec<Descriptor>,
    /// Yields every blob. Its content is verified during transfer.
    pub source: BlobSource,
    /// The repository that has the blobs, if they come from a registry.
    pub origin: Option<Reference>,
}

/// Why files in the cache cannot become an artifact.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// There is no definition among them.
    #[error("the package has no definition")]
    NoDefinition,
    /// The definition cannot be read.
    #[error(transparent)]
    Definition(#[from] Mistakes),
    /// The package cannot be an artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A file of the cache cannot be read.
    #[error("cannot read it from the cache")]
    Io(#[from] io::Error),
}

impl Artifact {
    /// The package whose files are in the cache, and its definition.
    /// `architecture` overrides that of the definition.
    ///
    /// # Errors
    ///
    /// [`StoredError`]
    pub fn stored(
        cas: &Arc<Cas>,
        files: &[Output],
        architecture: Option<&str>,
    ) -> Result<(Self, Definition), StoredError> {
        let mut named = files
            .iter()
            .filter_map(|file| Some((file, Dialect::of_definition_file(&file.name)?)));
        let (file, dialect) = named.next().ok_or(StoredError::NoDefinition)?;
        let mut text = String::new();
        cas.open_blob(&file.digest)?.read_to_string(&mut text)?;
        let source = SourceText::new(dialect.definition_file(), text);
        let definition = Definition::parse(&source, Strictness::Existing)?;
        let built = definition.build.architecture.as_deref().unwrap_or_default();
        let architecture = architecture.unwrap_or(built);
        let files = files.iter();
        let files = files.map(|file| (file.name.clone(), file.digest, file.size));
        let made = manifest::artifact(dialect, &definition, architecture, files)?;
        let source: BlobSource = Arc::<Cas>::clone(cas);
        Ok((Self::made(made, source), definition))
    }

    /// A package that was assembled here, with its blobs in `files`.
    #[must_use]
    pub fn made(made: manifest::Artifact, files: BlobSource) -> Self {
        Self {
            name: made.name,
            architecture: made.architecture,
            manifest: Descriptor::of(media_type::MANIFEST, &made.manifest),
            bytes: made.manifest.into(),
            blobs: made.blobs,
            source: Arc::new(WithDocuments::new([made.config], files)),
            origin: None,
        }
    }

    /// An existing artifact, unchanged.
    ///
    /// # Errors
    ///
    /// The bytes are not a manifest.
    pub fn copied(
        name: String,
        architecture: String,
        bytes: Bytes,
        source: BlobSource,
        origin: Option<Reference>,
    ) -> Result<Self, serde_json::Error> {
        let manifest: Manifest = serde_json::from_slice(&bytes)?;
        let mut blobs: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for blob in std::iter::once(manifest.config).chain(manifest.layers) {
            blobs.entry(blob.digest).or_insert(blob);
        }
        let kind = manifest.media_type.as_deref();
        Ok(Self {
            name,
            architecture,
            manifest: Descriptor::of(kind.unwrap_or(media_type::MANIFEST), &bytes),
            bytes,
            blobs: blobs.into_values().collect(),
            source,
            origin,
        })
    }
}

impl Place {
    /// Whether both are in one repository or image layout.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(own), Self::Registry(other)) => {
                (own.registry(), own.repository()) == (other.registry(), other.repository())
            }
            (Self::Layout { folder, .. }, Self::Layout { folder: other, .. }) => folder == other,
            _ => false,
        }
    }
}

impl Artifact {
    /// The digest of its definition.
    #[must_use]
    pub fn definition(&self) -> Option<Digest> {
        let manifest: Manifest = serde_json::from_slice(&self.bytes).ok()?;
        let mut layers = manifest.layers.iter();
        let is_definition = |layer: &&Descriptor| {
            manifest::title(layer).is_some_and(|name| Dialect::of_definition_file(name).is_some())
        };
        layers.find(is_definition).map(|layer| layer.digest)
    }

    /// Whether it has a file called `name`.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        let manifest: Option<Manifest> = serde_json::from_slice(&self.bytes).ok();
        let mut layers = manifest.into_iter().flat_map(|manifest| manifest.layers);
        layers.any(|layer| manifest::title(&layer) == Some(name))
    }

    /// Reads what it is verified by. Blocks.
    ///
    /// # Errors
    ///
    /// Its content cannot be read.
    pub fn evidence(&self) -> io::Result<ArtifactEvidence> {
        ArtifactEvidence::read(&self.manifest, &self.bytes, &*self.source)
    }

    /// The package with the files of a signature in it, which replace earlier
    /// ones.
    ///
    /// # Errors
    ///
    /// A message: the manifest cannot be read.
    pub fn with_seal(
        self,
        dialect: Dialect,
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, String> {
        let text = |error: &dyn std::error::Error| with_causes(error);
        let described = files.iter();
        let described = described.map(|(name, bytes)| (name.clone(), Descriptor::of("", bytes)));
        let without = [dialect.signature_file(), dialect.bundle_file()];
        let bytes = manifest::with_files(&self.bytes, dialect, &without, described);
        let bytes = Bytes::from(bytes.map_err(|error| text(&error))?);
        let contents = files.into_iter().map(|(_, bytes)| bytes);
        let source: BlobSource = Arc::new(WithDocuments::new(contents, self.source));
        Self::copied(self.name, self.architecture, bytes, source, self.origin)
            .map_err(|error| text(&error))
    }
}

/// Documents in memory, and a store for everything else.
pub struct WithDocuments {
    documents: BTreeMap<Digest, Vec<u8>>,
    rest: BlobSource,
}

impl WithDocuments {
    /// Yields `documents`, and other content from `rest`.
    pub fn new(documents: impl IntoIterator<Item = Vec<u8>>, rest: BlobSource) -> Self {
        let documents = documents.into_iter();
        Self {
            documents: documents.map(|bytes| (Digest::of(&bytes), bytes)).collect(),
            rest,
        }
    }
}

impl Fetch for WithDocuments {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.documents.get(&descriptor.digest) {
            Some(bytes) => Ok(Box::new(&bytes[..])),
            None => self.rest.fetch(descriptor),
        }
    }

    fn fetch_from(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.documents.get(&descriptor.digest) {
            Some(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
                Ok(Box::new(rest.ok_or(io::ErrorKind::UnexpectedEof)?))
            }
            None => self.rest.fetch_from(descriptor, offset),
        }
    }
}

/// Where an artifact becomes visible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A tag of a repository.
    Registry(Reference),
    /// A tag of an image layout on this machine.
    Layout { folder: PathBuf, tag: String },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{REGISTRY}{reference}"),
            Self::Layout { folder, tag } => write!(f, "{LAYOUT}{}:{tag}", folder.display()),
        }
    }
}
