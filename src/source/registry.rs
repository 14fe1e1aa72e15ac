//! Packages in registries: `oci://HOST/PATH[:TAG][@DIGEST]`.

use std::io::{self, Read};
use std::sync::Arc;

use super::attached::{bundles_about, tagged_about};
use super::error::{OpenError, PackageSourceError, RemoteError};
use super::heartbeat::heartbeat_about;
use super::opening::Opening;
use super::package::{Package, Republished};
use super::remote::RemotePackage;
use super::stored::{AtHome, Home};
use crate::cas::{Cas, CasError, SinkError};
use crate::content::CopyError;
use crate::oci::{Descriptor, Reference};
use crate::registry::{BlobSource, Registry, RegistryError, Repository, runtime};
use crate::verify::{Attached, Query, Tagged};

/// A repository of a registry, with the tag or digest that was requested.
struct InRegistry(Repository<Arc<Registry>>);

/// The reference in the URL `name`, and how it was written.
fn named(name: &str) -> Result<(Reference, &str), OpenError> {
    let path = Reference::url_path(name).unwrap_or_default();
    let reference = Reference::hosted(path).map_err(|source| OpenError::Name {
        text: Reference::shown(name),
        source,
    })?;
    Ok((reference, path))
}

/// Finds the package that the URL `name` names.
pub(super) fn open(name: &str, opening: &Opening<'_>) -> Result<Box<dyn Package>, OpenError> {
    let options = opening.options;
    let (reference, path) = named(name)?;
    let registry = opening.registry()?;
    let runtime = runtime::shared().map_err(OpenError::Threads)?;
    let requested = reference.digest();
    if requested.is_some() && options.shasum.is_some_and(|sum| requested != Some(sum)) {
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
    let home = InRegistry(Repository {
        registry,
        reference: found.reference,
        runtime,
    });
    AtHome::open(found.stored, home, options)
}

/// The tags of the repository that the URL `name` names.
pub(super) fn tags(name: &str, opening: &Opening<'_>) -> Result<Vec<String>, OpenError> {
    let (reference, _) = named(name)?;
    let registry = opening.registry()?;
    let runtime = runtime::shared().map_err(OpenError::Threads)?;
    let tags = runtime.block_on(registry.tags(&reference));
    tags.map_err(|error| RemoteError::from(error).into())
}

impl Home for InRegistry {
    fn read(&self, blob: &Descriptor) -> Result<Vec<u8>, PackageSourceError> {
        let read = self.0.registry.read_blob(&self.0.reference, blob);
        Ok(self.0.runtime.block_on(read)?)
    }

    fn reader(&self, layers: &[Descriptor]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.reader(layers)))
    }

    fn verify(&self, layers: &[Descriptor], file: &Descriptor) -> Result<(), PackageSourceError> {
        let read = self.0.registry.verify_blob(&self.0.reference, layers, file);
        Ok(self.0.runtime.block_on(read)?)
    }

    fn store(
        &self,
        layers: &[Descriptor],
        file: &Descriptor,
        cas: &Arc<Cas>,
    ) -> Result<(), PackageSourceError> {
        let stored = self
            .0
            .registry
            .store_blob(&self.0.reference, layers, file, cas);
        self.0
            .runtime
            .block_on(stored)
            .map_err(|error| match error {
                CopyError::Read(error) => error.into(),
                // The registry sent wrong content; the cache only noticed.
                CopyError::Write(SinkError::Cas(CasError::Mismatch {
                    found, expected, ..
                })) => RegistryError::Content {
                    reference: self.0.reference.at(expected).to_string(),
                    found: found.to_string(),
                    expected: expected.to_string(),
                }
                .into(),
                CopyError::Write(error) => error.into(),
            })
    }

    fn blobs(&self) -> BlobSource {
        Arc::new(Repository {
            registry: Arc::clone(&self.0.registry),
            reference: self.0.reference.clone(),
            runtime: self.0.runtime.clone(),
        })
    }

    fn bundles(&self, manifest: &Descriptor) -> Result<Attached<Vec<u8>>, PackageSourceError> {
        let bundles = bundles_about(&self.0.registry, &self.0.reference, manifest.digest);
        Ok(self.0.runtime.block_on(bundles)?)
    }

    fn tagged(&self, manifest: &Descriptor) -> Result<Attached<Tagged>, PackageSourceError> {
        let tagged = tagged_about(&self.0.registry, &self.0.reference, manifest.digest);
        Ok(self.0.runtime.block_on(tagged)?)
    }

    fn heartbeat(
        &self,
        manifest: &Descriptor,
    ) -> Result<Option<(Vec<u8>, Reference)>, PackageSourceError> {
        let found = heartbeat_about(&self.0.registry, &self.0.reference, manifest.digest);
        let found = self.0.runtime.block_on(found)?;
        Ok(found.map(|(_, bundle)| (bundle, self.0.reference.clone())))
    }

    fn query(&self, architecture: Option<&str>) -> Option<Query> {
        Some(Query::at(
            &self.0.reference,
            architecture.map(str::to_owned),
        ))
    }

    fn reference(&self) -> Option<&Reference> {
        Some(&self.0.reference)
    }

    fn place(&self) -> Republished {
        let (host, path) = (self.0.reference.registry(), self.0.reference.repository());
        Republished {
            // The package's name is the last word.
            destination: match path.rsplit_once('/') {
                Some((path, _)) => format!("oci://{host}/{path}"),
                None => format!("oci://{host}"),
            },
            tag: self.0.reference.tag().map(str::to_owned),
        }
    }
}
