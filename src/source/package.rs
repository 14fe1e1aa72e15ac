//! A package wherever it lies, as one shape: files by path, read in part or
//! whole, and evidence for `verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::remote::{RemoteError, RemotePackage};
use crate::content::{self, CopyError};
use crate::layout::{self, LayoutError, PackageFile};
use crate::oci::Descriptor;
use crate::package::Dialect;
use crate::registry::{Registry, RegistryError, Repository};
use crate::verify::Evidence;

/// A package that was found. Nothing of it is trusted.
pub enum Package {
    /// In a file, its parts, or a folder.
    Local(PackageFile),
    /// In a registry.
    Remote(Box<Remote>),
}

/// A package in a registry, with the way there.
pub struct Remote {
    /// What was found.
    pub found: RemotePackage,
    /// The client.
    pub registry: Arc<Registry>,
    /// Does the client's work; threads that may block wait for it.
    pub runtime: Handle,
    /// Transfers at the same time.
    pub concurrency: usize,
}

/// Why a package was not read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read, or what is in it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry refused, is away, or sent something else.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl From<RegistryError> for SourceError {
    fn from(error: RegistryError) -> Self {
        Self::Remote(error.into())
    }
}

impl Package {
    /// Every file with its length in bytes, by path.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    pub fn files(&self) -> Result<BTreeMap<String, u64>, SourceError> {
        let sizes = |name: &String, size| (name.clone(), size);
        Ok(match self {
            Self::Local(package) => {
                let members = package.members()?.iter();
                members.map(|(n, member)| sizes(n, member.size)).collect()
            }
            Self::Remote(remote) => {
                let layers = remote.found.layers.iter();
                layers.map(|(n, layer)| sizes(n, layer.size)).collect()
            }
        })
    }

    /// Reads the documents and each file of `names` that there is; the content
    /// of those goes to what `sink` makes of a name and its size.
    ///
    /// # Errors
    ///
    /// [`SourceError`], and whatever `sink` returns.
    pub fn read_some<W: Write>(
        &self,
        names: &[String],
        sink: impl FnMut(&str, u64) -> Result<W, LayoutError>,
    ) -> Result<Evidence, SourceError> {
        match self {
            Self::Local(package) => Ok(layout::read_some(package, names, sink)?),
            Self::Remote(remote) => remote.read_some(names, sink),
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    pub fn read_all(&self) -> Result<Evidence, SourceError> {
        match self {
            Self::Local(package) => Ok(layout::read_opened(package)?),
            Self::Remote(remote) => remote.read_all(),
        }
    }
}

impl Remote {
    /// What it says of itself; its blobs are not read.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    pub fn promised(&self) -> Result<Evidence, SourceError> {
        Ok(self.runtime.block_on(self.found.promised(&self.registry))?)
    }

    /// Bundles that speak about it.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    pub fn attached(&self) -> Result<Vec<Vec<u8>>, SourceError> {
        Ok(self.runtime.block_on(self.found.attached(&self.registry))?)
    }

    /// Lets `evidence` hold everything that speaks about it.
    ///
    /// # Errors
    ///
    /// [`SourceError`]
    pub fn add_attached(&self, evidence: &mut Evidence) -> Result<(), SourceError> {
        let adding = self.found.add_attached(&self.registry, evidence);
        Ok(self.runtime.block_on(adding)?)
    }

    fn read_some<W: Write>(
        &self,
        names: &[String],
        mut sink: impl FnMut(&str, u64) -> Result<W, LayoutError>,
    ) -> Result<Evidence, SourceError> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let found = &self.found;
        let promised = self.promised()?;
        let mut evidence = Evidence {
            files: BTreeMap::new(),
            ..promised
        };
        for (name, layer) in &found.layers {
            // Documents are here already.
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
                let mut out = sink(name, layer.size)?;
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

    fn refused_output(&self, name: &str, source: io::Error) -> LayoutError {
        LayoutError::Output {
            path: self.found.reference.to_string().into(),
            entry: name.to_owned(),
            source,
        }
    }

    /// Copies a layer to `out`, verified.
    fn copy(&self, name: &str, layer: &Descriptor, out: impl Write) -> Result<(), SourceError> {
        let repository = Repository {
            registry: Arc::clone(&self.registry),
            reference: self.found.reference.clone(),
            runtime: self.runtime.clone(),
        };
        let content = repository.reader(&self.found.parts_of(layer));
        content::copy_to(content, layer, out).map_err(|error| match error {
            CopyError::Read(error) => RemoteError::Shape {
                reference: self.found.reference.to_string(),
                what: format!("`{name}`: {error}"),
            }
            .into(),
            CopyError::Write(error) => self.refused_output(name, error).into(),
        })
    }

    fn read_all(&self) -> Result<Evidence, SourceError> {
        let promised = self.promised()?;
        // Each blob once, however many titles it has.
        let layers = self.found.layers.values();
        let layers: BTreeMap<_, _> = layers.map(|layer| (layer.digest, layer)).collect();
        let permits = Arc::new(Semaphore::new(self.concurrency.max(1)));
        let mut reading = JoinSet::new();
        for layer in layers.into_values() {
            let (registry, layer) = (Arc::clone(&self.registry), layer.clone());
            let parts = self.found.parts_of(&layer);
            let (reference, permits) = (self.found.reference.clone(), Arc::clone(&permits));
            let task = async move {
                // Closed by nobody.
                let _permit = permits.acquire().await;
                registry.verify_blob(&reference, &parts, &layer).await
            };
            reading.spawn_on(task, &self.runtime);
        }
        self.runtime.block_on(async {
            while let Some(read) = reading.join_next().await {
                read.map_err(|error| RegistryError::Setup(error.to_string()))??;
            }
            Ok::<_, RegistryError>(())
        })?;
        Ok(promised)
    }
}
