//! A package in a registry: resolved by tag or digest and architecture, with its
//! documents read and all other files known by digest.
//!
//! Source: docs/spec/registry.md, "Layers", "Configuration and manifest",
//! "Index and tags".

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::error::RemoteError;
use crate::archive::SafePath;
use crate::layout;
use crate::oci::{Descriptor, Digest, Index, Manifest, Reference, media_type};
use crate::package::{Dialect, layers, manifest};
use crate::registry::Registry;
use crate::verify::{Evidence, Query};

/// A package that was found in a registry. Nothing in it is trusted.
#[derive(Clone, Debug)]
pub struct RemotePackage {
    /// Its repository, with the requested tag or digest.
    pub reference: Reference,
    /// Its entry in the index, if it was found through an index.
    pub architecture: Option<String>,
    /// Digest of its manifest.
    pub manifest: Descriptor,
    /// The bytes of the manifest.
    pub bytes: Bytes,
    /// Its files by path.
    pub layers: BTreeMap<String, Descriptor>,
    /// The layers of files in parts, by the digest of the whole file.
    parts: BTreeMap<Digest, Vec<Descriptor>>,
    /// The dialect of its media types.
    pub dialect: Dialect,
}

/// A package in a registry, with the client to read it.
pub struct Remote {
    /// The package's manifest.
    pub found: RemotePackage,
    /// The client.
    pub registry: Arc<Registry>,
    /// Does the client's work while other threads wait.
    pub runtime: Handle,
    /// Maximum number of parallel transfers.
    pub concurrency: usize,
}

impl RemotePackage {
    /// Finds the package that `reference` names for `architecture`.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn find(
        registry: &Registry,
        reference: &Reference,
        architecture: &str,
    ) -> Result<Self, RemoteError> {
        let shape = |what: String| RemoteError::Shape {
            reference: reference.to_string(),
            what,
        };
        let (mut found, mut bytes) = registry.resolve(reference).await?;
        let mut entry = None;
        if media_type::is_index(&found.media_type) {
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|error| shape(format!("its index cannot be read ({error})")))?;
            let chosen = manifest::entry(&index, architecture);
            found = chosen.cloned().ok_or_else(|| RemoteError::Platform {
                reference: reference.to_string(),
                wanted: architecture.to_owned(),
                found: architectures(&index),
            })?;
            bytes = registry.manifest(reference, &found).await?;
            entry = Some(architecture.to_owned());
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| shape(format!("its manifest cannot be read ({error})")))?;
        let dialect = Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.config_media_type() == manifest.config.media_type);
        let dialect = dialect.ok_or_else(|| {
            let kind: String = manifest.config.media_type.chars().take(100).collect();
            shape(format!("its configuration has the type `{kind}`"))
        })?;
        let (mut layers, mut parts) = (BTreeMap::new(), BTreeMap::new());
        for file in layers::files(manifest.layers).map_err(&shape)? {
            let title = file.name;
            if SafePath::parse(&title).is_err() || title.contains(char::is_control) {
                let shown: String = title.escape_debug().take(200).collect();
                return Err(shape(format!("a layer's title is `{shown}`")));
            }
            if file.layers.len() > 1 {
                parts.insert(file.whole.digest, file.layers);
            }
            if layers.insert(title.clone(), file.whole).is_some() {
                return Err(shape(format!("two layers are titled `{title}`")));
            }
        }
        Ok(Self {
            reference: reference.clone(),
            architecture: entry,
            manifest: Descriptor {
                platform: None,
                ..found
            },
            bytes,
            layers,
            parts,
            dialect,
        })
    }

    /// Fetches the documents. For every other file, the evidence has the digest
    /// in the manifest, which must be verified when the file is read.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn promised(&self, registry: &Registry) -> Result<Evidence, RemoteError> {
        let mut evidence = Evidence::default();
        for (name, layer) in &self.layers {
            let file = (layer.digest, layer.size);
            evidence.files.insert(name.clone(), file);
        }
        let dialect = self.dialect;
        let definition = self.document(registry, dialect.definition_file());
        evidence.definition = definition.await?.map(|bytes| (dialect, bytes));
        evidence.checksums = self.document(registry, Dialect::CHECKSUMS).await?;
        evidence.signature = self.document(registry, dialect.signature_file()).await?;
        evidence.bundle = self.document(registry, dialect.bundle_file()).await?;
        evidence.artifact = Some(self.digest());
        evidence.query = Some(Query::at(&self.reference, self.architecture.clone()));
        Ok(evidence)
    }

    /// The content of a small file; `None`: no such file.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn document(
        &self,
        registry: &Registry,
        name: &str,
    ) -> Result<Option<Vec<u8>>, RemoteError> {
        let Some(layer) = self.layers.get(name) else {
            return Ok(None);
        };
        let limit = layout::limit(name);
        if layer.size > limit {
            return Err(RemoteError::Shape {
                reference: self.reference.to_string(),
                what: format!("`{name}` is larger than {limit} bytes"),
            });
        }
        Ok(Some(registry.read_blob(&self.reference, layer).await?))
    }

    /// The layers of `file`, one of [`layers`](Self::layers): itself, or its
    /// parts in order.
    #[must_use]
    pub fn parts_of(&self, file: &Descriptor) -> Vec<Descriptor> {
        let parts = self.parts.get(&file.digest).cloned();
        parts.unwrap_or_else(|| vec![file.clone()])
    }

    /// The digest of the manifest, which identifies the package.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest
    }
}

/// The architectures of packages in an index.
fn architectures(index: &Index) -> Vec<String> {
    let mut found: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os == manifest::MULTI)
        .map(|platform| platform.architecture.clone())
        .collect();
    found.sort();
    found.dedup();
    found
}
