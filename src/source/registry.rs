//! Packages in registries: `oci://HOST/PATH[:TAG][@DIGEST]`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attached::{bundles_about, tagged_about};
use super::error::{OpenError, RemoteError, SourceError};
use super::opening::Opening;
use super::package::{Copyable, Existing, Output, Package};
use super::remote::{Remote, RemotePackage};
use crate::archive::{self, Listing};
use crate::cas::Cas;
use crate::content::{self, CopyError};
use crate::layout::{self, LayoutError};
use crate::oci::{Descriptor, Reference};
use crate::package::Dialect;
use crate::registry::{Registry, RegistryError, Repository, runtime};
use crate::verify::{Attached, Evidence, Tagged};

/// Finds the package that the URL `name` names.
pub(super) fn open(name: &str, opening: &Opening<'_>) -> Result<Box<dyn Package>, OpenError> {
    let options = opening.options;
    let path = Reference::url_path(name).unwrap_or_default();
    let reference = Reference::hosted(path).map_err(|source| OpenError::Name {
        text: Reference::shown(name),
        source,
    })?;
    let registry = opening.registry()?;
    let runtime = runtime::shared().map_err(OpenError::Threads)?;
    let named = reference.digest();
    if named.is_some() && options.shasum.is_some_and(|sum| named != Some(sum)) {
        return Err(OpenError::TwoDigests(name.to_owned()));
    }
    let wanted = match options.shasum {
        Some(digest) => reference.at(digest),
        None => reference.clone(),
    };
    let found = RemotePackage::find(&registry, &wanted, &options.architecture);
    let found = match runtime.block_on(found) {
        Err(RemoteError::Registry(error @ RegistryError::NotFound { .. })) => {
            // What the tag names instead is more helpful than "not found".
            let other = options
                .shasum
                .map(|wanted| (wanted, runtime.block_on(registry.find(&reference))));
            return Err(match other {
                Some((wanted, Ok(Some((found, _))))) => OpenError::OtherDigest {
                    name: name.to_owned(),
                    found: found.digest,
                    wanted,
                },
                None | Some((_, Ok(None))) if !reference.is_explicit_in(path) => {
                    OpenError::NoTag(name.to_owned())
                }
                _ => RemoteError::Registry(error).into(),
            });
        }
        found => found?,
    };
    let total: u128 = found
        .layers
        .values()
        .map(|layer| u128::from(layer.size))
        .sum();
    if let Some(limit) = options.content_limit
        && total > u128::from(limit)
    {
        let what = format!(
            "its files have {total} bytes, more than the {limit} that --max-content-size allows"
        );
        return Err(SourceError::Layout(LayoutError::too_large(name.as_ref(), what)).into());
    }
    Ok(Box::new(Remote {
        found,
        registry,
        runtime,
        concurrency: options.concurrency,
    }))
}

impl Package for Remote {
    fn files(&self) -> Result<BTreeMap<String, u64>, SourceError> {
        let layers = self.found.layers.iter();
        Ok(layers.map(|(n, layer)| (n.clone(), layer.size)).collect())
    }

    fn read_some<'w>(
        &self,
        names: &[String],
        output: &mut Output<'_, 'w>,
    ) -> Result<Evidence, SourceError> {
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

    fn read_all(&self) -> Result<Evidence, SourceError> {
        let mut promised = self.survey()?;
        // Each blob once, even if it has several titles.
        let layers = self.found.layers.values();
        let mut layers: BTreeMap<_, _> = layers.map(|layer| (layer.digest, layer)).collect();
        let components = self.found.layers.iter();
        for (name, layer) in components.filter(|(name, _)| layout::is_component(name)) {
            layers.remove(&layer.digest);
            let listing = self.listed(name, layer)?;
            promised.listings.insert(name.clone(), listing);
        }
        let permits = Arc::new(Semaphore::new(self.concurrency.max(1)));
        let mut reading = JoinSet::new();
        for layer in layers.into_values() {
            let (registry, layer) = (Arc::clone(&self.registry), layer.clone());
            let parts = self.found.parts_of(&layer);
            let (reference, permits) = (self.found.reference.clone(), Arc::clone(&permits));
            let task = async move {
                // The semaphore is never closed.
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

    fn survey(&self) -> Result<Evidence, SourceError> {
        Ok(self.runtime.block_on(self.found.promised(&self.registry))?)
    }

    fn copyable(&self, _: &Arc<Cas>) -> Result<(Evidence, Copyable), SourceError> {
        let copyable = Copyable {
            content: Arc::new(self.repository()),
            artifact: Some(Existing {
                reference: self.found.reference.clone(),
                architecture: self.found.architecture.clone(),
                manifest: self.found.bytes.clone(),
            }),
        };
        Ok((self.survey()?, copyable))
    }

    fn documents(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, SourceError> {
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

    fn listings(&self, _: &BTreeSet<String>) -> Result<BTreeMap<String, Listing>, SourceError> {
        Ok(BTreeMap::new())
    }

    fn bundles(&self) -> Result<Attached<Vec<u8>>, SourceError> {
        let (registry, found) = (&self.registry, &self.found);
        let bundles = bundles_about(registry, &found.reference, found.digest());
        Ok(self.runtime.block_on(bundles)?)
    }

    fn tagged(&self) -> Result<Attached<Tagged>, SourceError> {
        let (registry, found) = (&self.registry, &self.found);
        let tagged = tagged_about(registry, &found.reference, found.digest());
        Ok(self.runtime.block_on(tagged)?)
    }

    fn as_remote(&self) -> Option<&Remote> {
        Some(self)
    }
}

impl Remote {
    fn repository(&self) -> Repository<Arc<Registry>> {
        Repository {
            registry: Arc::clone(&self.registry),
            reference: self.found.reference.clone(),
            runtime: self.runtime.clone(),
        }
    }

    fn refused_output(&self, name: &str, source: io::Error) -> LayoutError {
        LayoutError::Output {
            path: self.found.reference.to_string().into(),
            entry: name.to_owned(),
            source,
        }
    }

    /// Reads a component's tar, verified, and lists what is in it.
    fn listed(&self, name: &str, layer: &Descriptor) -> Result<Listing, SourceError> {
        let pipe = io::pipe().map_err(|error| self.refused_output(name, error))?;
        let (reader, writer) = pipe;
        std::thread::scope(|scope| {
            let listing = scope.spawn(move || archive::list(reader));
            let copied = self.copy(name, layer, writer);
            let listing = listing.join();
            copied?;
            Ok(listing.unwrap_or_else(|_| Err("the reading thread panicked".to_owned())))
        })
    }

    /// Copies a layer to `out`, verified.
    fn copy(&self, name: &str, layer: &Descriptor, out: impl Write) -> Result<(), SourceError> {
        let repository = self.repository();
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
}
