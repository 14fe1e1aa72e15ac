//! Build results that are published with a package: the action keys of its parts
//! and of their inputs.
//!
//! They are in a manifest that refers to the package's, so that the package
//! itself does not depend on them. Its configuration lists keys with outputs;
//! outputs that the package does not contain, such as single SBOM documents, are
//! its layers. Anyone who can push to the repository can write these: see
//! adr/0018, "Results travel".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::action::{ActionKey, Output};
use crate::oci::{Descriptor, Digest, Manifest, Reference, media_type};
use crate::registry::{BlobSource, Hints, Registry, RegistryError};
use crate::source::{RemoteError, RemotePackage};

use super::artifact::WithDocuments;

/// Artifact type of the manifest, and media type of its configuration.
const RESULTS: &str = "application/vnd.jackal.results.v1+json";

/// Maximum size of a blob that is uploaded only for a result, in bytes: 64 MiB.
/// SBOM documents are smaller; large outputs of commands are built again.
const MAX_EXTRA_BYTES: u64 = 64 << 20;

/// Maximum size of a list of results, in bytes: 16 MiB.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    results: Vec<Entry>,
    /// Other actions that led to the package, for comparisons. Their outputs, if they are
    /// there, are lists of files without the files.
    #[serde(default)]
    actions: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    outputs: Vec<Made>,
}

impl Entry {
    fn read(self) -> Option<(ActionKey, Vec<Output>)> {
        let key = self.key.parse().ok()?;
        let outputs = self.outputs.into_iter();
        let outputs = outputs.map(|made| Output::new(made.name, (made.digest, made.size)));
        Some((key, outputs.collect()))
    }
}

#[derive(Serialize, Deserialize)]
struct Made {
    name: String,
    digest: Digest,
    size: u64,
}

/// Build results to publish with a package.
#[derive(Clone)]
pub struct Results {
    /// The outputs of each action.
    pub outputs: BTreeMap<ActionKey, Vec<Output>>,
    /// All actions that led to it, with lists of the files that they made.
    pub actions: BTreeMap<ActionKey, Vec<Output>>,
    pub source: BlobSource,
}

/// Uploads `results` to the repository of `to`, and returns the manifest that attaches them
/// to the package `subject`, whose blobs are `held`.
///
/// # Errors
///
/// [`RegistryError`]
pub(super) async fn push_results(
    registry: &Registry,
    to: &Reference,
    subject: &Descriptor,
    held: &BTreeSet<Digest>,
    results: &Results,
) -> Result<Bytes, RegistryError> {
    let Results {
        outputs: results,
        actions,
        source,
    } = results;
    // A blob that the package has in parts cannot be uploaded whole.
    let most = registry
        .max_layer(to)
        .map_or(MAX_EXTRA_BYTES, |most| most.min(MAX_EXTRA_BYTES));
    let mut extra: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut entry = |key: &ActionKey, outputs: &[Output]| {
        let missing = outputs.iter().filter(|made| !held.contains(&made.digest));
        let missing: Vec<&Output> = missing.collect();
        if missing.iter().any(|made| made.size > most) {
            return None;
        }
        extra.extend(missing.iter().map(|made| (made.digest, made.size)));
        let outputs = outputs.iter().map(|made| Made {
            name: made.name.clone(),
            digest: made.digest,
            size: made.size,
        });
        Some(Entry {
            key: key.to_string(),
            outputs: outputs.collect(),
        })
    };
    let mut entries = Vec::new();
    for (key, outputs) in results {
        entries.extend(entry(key, outputs));
    }
    let others = actions.iter().filter(|(key, _)| !results.contains_key(key));
    let actions =
        others.filter_map(|(key, outputs)| entry(key, outputs).or_else(|| entry(key, &[])));
    let actions = actions.collect();
    let json = |error: serde_json::Error| RegistryError::Setup(error.to_string());
    let document = Document {
        format: FORMAT,
        results: entries,
        actions,
    };
    let document = serde_json::to_vec(&document).map_err(json)?;
    let config = Descriptor::of(RESULTS, &document);
    let layers: Vec<Descriptor> = extra
        .into_iter()
        .map(|(digest, size)| Descriptor::blob(digest, size))
        .collect();
    let source: BlobSource = std::sync::Arc::new(WithDocuments::new(
        [document],
        std::sync::Arc::clone(source),
    ));
    for blob in std::iter::once(&config).chain(&layers) {
        registry
            .push_blob(to, blob, &source, Hints::default())
            .await?;
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: Some(RESULTS.to_owned()),
        config,
        layers,
        subject: Some(subject.clone()),
        annotations: BTreeMap::new(),
    };
    let bytes = Bytes::from(serde_json::to_vec(&manifest).map_err(json)?);
    let at = to.at(Digest::of(&bytes));
    // A registry that refuses it refuses it now, and not together with signatures.
    registry
        .push_manifest(&at, media_type::MANIFEST, &bytes)
        .await?;
    Ok(bytes)
}

/// The results of a published package.
#[derive(Debug)]
pub struct PublishedResults {
    /// Its repository, which has the blobs of the results.
    pub reference: Reference,
    results: HashMap<ActionKey, Vec<Output>>,
    /// Other actions that led to the package, with lists of the files that they made.
    actions: HashMap<ActionKey, Vec<Output>>,
}

impl PublishedResults {
    /// Reads the results of the package that `reference` names.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: no such package, or unreadable results.
    pub async fn load(
        registry: &Registry,
        reference: &Reference,
        architecture: &str,
    ) -> Result<Self, RemoteError> {
        let shape = |what: String| RemoteError::Shape {
            reference: reference.to_string(),
            what,
        };
        let package = RemotePackage::find(registry, reference, architecture).await?;
        let (mut results, mut actions) = (HashMap::new(), HashMap::new());
        let speaking = registry.referrers(reference, package.digest()).await?;
        for found in speaking {
            if found.artifact_type.as_deref() != Some(RESULTS) {
                continue;
            }
            let bytes = registry.manifest(reference, &found).await?;
            let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
                shape(format!(
                    "the manifest of its results cannot be read ({error})"
                ))
            })?;
            if manifest.config.size > MAX_DOCUMENT_BYTES {
                return Err(shape("its list of results is too large".to_owned()));
            }
            let text = registry.read_blob(reference, &manifest.config).await?;
            let document: Document = serde_json::from_slice(&text)
                .map_err(|error| shape(format!("its results cannot be read ({error})")))?;
            if document.format != FORMAT {
                continue;
            }
            results.extend(document.results.into_iter().filter_map(Entry::read));
            actions.extend(document.actions.into_iter().filter_map(Entry::read));
        }
        Ok(Self {
            reference: reference.clone(),
            results,
            actions,
        })
    }

    /// Whether it is not known which actions led to the package.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.actions.is_empty()
    }

    /// Whether the action `key` led to the package.
    #[must_use]
    pub fn has(&self, key: &ActionKey) -> bool {
        self.results.contains_key(key) || self.actions.contains_key(key)
    }

    /// What the action `key` made, also if it is only a list of files; `None`: it is not
    /// known.
    #[must_use]
    pub fn made(&self, key: &ActionKey) -> Option<&[Output]> {
        let listed = self.actions.get(key).filter(|outputs| !outputs.is_empty());
        self.get(key).or_else(|| listed.map(Vec::as_slice))
    }

    /// The outputs of the action `key`.
    #[must_use]
    pub fn get(&self, key: &ActionKey) -> Option<&[Output]> {
        self.results.get(key).map(Vec::as_slice)
    }
}
