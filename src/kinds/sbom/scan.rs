//! SBOMs: scans layers and component tars from the CAS, writes syft-JSON into it.
//!
//! Source: docs/spec/sbom.md, "What is catalogued", "Source section", "Layers". Each
//! layer is scanned once and the scan is cached; an image's document is made from the
//! scans of its layers.

use std::io::{self, BufReader, Read};

use base64::Engine as _;
use serde_json::json;

use super::findings::{Kept, NotKept, Places};
use crate::action::Output;
use crate::archive::Bounded;
use crate::cas::{Cas, CasError, Ingest};
use crate::ground::{failures, of_cas, of_io};
use crate::kinds::image::layers::{LayersError, agree, layer_limit, listed};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Manifest, Reference, media_type};
use crate::sbom::document::{Document, ScanTarget};
use crate::sbom::format::syft;
use crate::sbom::layer::LayerError;
use crate::sbom::scan::Image;
use crate::sbom::{Aside, StackError, StoredError, StoredScan, scan, unpack, unread};

/// Why an SBOM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A layer or component tar is damaged.
    #[error("`{what}` cannot be scanned{}", advice(.source))]
    Layer {
        /// The layer's digest, or the component.
        what: String,
        source: LayerError,
    },
    /// A manifest, configuration or stored scan cannot be read.
    #[error("`{what}` cannot be read")]
    Io { what: String, source: io::Error },
    /// A manifest or configuration is malformed.
    #[error("`{what}` is malformed")]
    Json {
        what: String,
        source: serde_json::Error,
    },
    /// A layer is not the one that the configuration speaks of.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// A stored scan is damaged.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

fn advice(error: &LayerError) -> &'static str {
    match error {
        LayerError::TooLarge(_) => "; leave the SBOMs out with --skip-sbom, or use a smaller one",
        LayerError::Read(_) => "",
    }
}

/// Reads a whole document, such as a manifest.
///
/// # Errors
///
/// [`SbomError`]: it is larger than a manifest may be, or cannot be read.
pub fn read_document(cas: &Cas, document: &Descriptor) -> Result<Vec<u8>, SbomError> {
    Ok(cas.document(&document.digest, MAX_MANIFEST_BYTES)?)
}

/// Whether a manifest has a layer with a file system in it.
#[must_use]
pub fn is_container(manifest: &[u8]) -> bool {
    serde_json::from_slice::<Manifest>(manifest).is_ok_and(|manifest| {
        let mut layers = manifest.layers.iter();
        layers.any(|layer| media_type::is_container_layer(&layer.media_type))
    })
}

/// Scans one layer and stores the scan. The layer unpacks to at most `limit` bytes;
/// `None`: a multiple of its size.
///
/// # Errors
///
/// [`SbomError`]
pub fn scan_layer(cas: &Cas, layer: &Descriptor, limit: Option<u64>) -> Result<Output, SbomError> {
    let what = || layer.digest.to_string();
    let blob = cas.open_blob(&layer.digest)?;
    let limit = layer_limit(layer, limit);
    let found = unpack::unpacked(blob)
        .map_err(LayerError::from)
        .and_then(|plain| scan::layer(Bounded::new(plain, limit), &|input| aside(cas, input)))
        .map_err(|error| match error {
            LayerError::Read(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                LayerError::TooLarge(
                    "it unpacks to more than its size suggests: to accept it, pass --max-content-size",
                )
            }
            error => error,
        })
        .map_err(|source| SbomError::Layer {
            what: what(),
            source,
        })?;
    put(cas, "scan", |out| found.store(out).map(drop))
}

/// Puts what a scan cannot hold in memory into an unnamed file of the cache.
fn aside(cas: &Cas, input: &mut dyn Read) -> io::Result<Box<dyn Aside>> {
    let mut file = cas.unnamed().map_err(io::Error::other)?;
    io::copy(input, &mut file)?;
    Ok(Box::new(file))
}

/// Stores the output of `write`.
pub(super) fn put(
    cas: &Cas,
    name: &str,
    write: impl FnOnce(&mut io::BufWriter<Ingest<'_>>) -> io::Result<()>,
) -> Result<Output, SbomError> {
    let mut out = io::BufWriter::with_capacity(256 << 10, cas.ingest()?);
    let ingest = write(&mut out)
        .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error))
        .map_err(|source| SbomError::Io {
            what: name.to_owned(),
            source,
        })?;
    Ok(ingest.output(name)?)
}

/// Makes the document of an image from the scans of its layers, base first.
///
/// # Errors
///
/// [`SbomError`]
pub fn image_sbom(
    cas: &Cas,
    reference: &str,
    manifest: &Descriptor,
    scans: &[Output],
) -> Result<Written, SbomError> {
    let json = |what: &str| {
        let what = what.to_owned();
        move |source| SbomError::Json { what, source }
    };
    let raw = read_document(cas, manifest)?;
    let parsed: Manifest =
        serde_json::from_slice(&raw).map_err(json(&manifest.digest.to_string()))?;
    let config = read_document(cas, &parsed.config)?;
    let about: serde_json::Value =
        serde_json::from_slice(&config).map_err(json(&parsed.config.digest.to_string()))?;
    let layer_error = |source| SbomError::Layer {
        what: reference.to_owned(),
        source,
    };
    let (mut image, mut layers) = (Image::default(), Vec::with_capacity(scans.len()));
    for scan in scans {
        let stored = StoredScan::open(cas.open_blob(&scan.digest)?)?;
        layers.push(image.stack(stored).map_err(|error| match error {
            StackError::Stored(error) => SbomError::Stored(error),
            StackError::Layer(error) => layer_error(error),
        })?);
    }
    for ((layer, expected), (found, _)) in listed(&parsed, &about).zip(&layers) {
        agree(reference, layer, *found, expected)?;
    }
    let described: Vec<_> = parsed
        .layers
        .iter()
        .filter(|layer| media_type::is_container_layer(&layer.media_type))
        .zip(&layers)
        .map(|(layer, (diff_id, file_bytes))| {
            json!({
                "mediaType": layer.media_type,
                "digest": diff_id,
                "size": file_bytes,
            })
        })
        .collect();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let word = |key: &str| about.get(key).cloned().unwrap_or_else(|| json!(""));
    let (name, version) = names(reference, manifest);
    let known: Option<Reference> = reference.parse().ok();
    let tag = known.as_ref().and_then(Reference::tag);
    let tags: Vec<String> = tag.iter().map(|tag| format!("{name}:{tag}")).collect();
    let digests = known.iter().map(|_| format!("{name}@{}", manifest.digest));
    let digests: Vec<String> = digests.collect();
    let mut metadata = json!({
        "userInput": reference,
        "imageID": parsed.config.digest,
        "manifestDigest": manifest.digest,
        "mediaType": manifest.media_type,
        "tags": tags,
        "imageSize": layers.iter().fold(0_u64, |all, (_, bytes)| all.saturating_add(*bytes)),
        "layers": described,
        "manifest": encode(&raw),
        "config": encode(&config),
        "repoDigests": digests,
        "architecture": word("architecture"),
        "os": word("os"),
    });
    if let Some(variant) = about.get("variant").filter(|v| v.is_string()) {
        metadata["architectureVariant"] = variant.clone();
    }
    let labels = about.pointer("/config/Labels");
    if let Some(labels) = labels.filter(|labels| labels.is_object()) {
        metadata["labels"] = labels.clone();
    }
    let source = ScanTarget {
        id: manifest.digest.hex(),
        name,
        version,
        kind: "image",
        metadata,
    };
    write(cas, image.document(source).map_err(layer_error)?)
}

/// Repository and tag of a reference; the digest stands in for a missing tag.
fn names(reference: &str, manifest: &Descriptor) -> (String, String) {
    let parsed: Option<Reference> = reference.parse().ok();
    match parsed {
        None => (reference.to_owned(), manifest.digest.to_string()),
        Some(parsed) => {
            let name = format!("{}/{}", parsed.registry(), parsed.repository());
            let version = parsed.tag().map(str::to_owned);
            let digest = parsed.digest().map(|digest| digest.to_string());
            let version = version.or(digest);
            (name, version.unwrap_or_else(|| manifest.digest.to_string()))
        }
    }
}

/// Makes the document of a component from its tar. Files that `earlier` packs know are not
/// scanned again.
///
/// # Errors
///
/// [`SbomError`]
pub(super) fn component_sbom(
    cas: &Cas,
    name: &str,
    tar: &Digest,
    (places, earlier): (&Places, &[Output]),
) -> Result<Written, SbomError> {
    let mut kept = Kept::open(cas, earlier)?;
    let blob = BufReader::with_capacity(256 << 10, cas.open_blob(tar)?);
    let aside = |input: &mut dyn Read| aside(cas, input);
    let found = scan::component_with(name, blob, &aside, kept.findings());
    let found = found.map_err(|source| SbomError::Layer {
        what: name.to_owned(),
        source,
    })?;
    kept.finish(cas, places).map_err(|error| match error {
        NotKept::Cas(error) => SbomError::Cas(error),
        NotKept::Io(source) => SbomError::Io {
            what: "findings".to_owned(),
            source,
        },
    })?;
    write(cas, found)
}

/// A document that was stored.
#[derive(Debug)]
pub struct Written {
    pub document: Output,
    /// The warning about files that could not be read.
    pub warning: Option<String>,
}

fn write(cas: &Cas, document: Document) -> Result<Written, SbomError> {
    let warning = unread::warning(&unread::lines(&document.unknowns));
    let document = put(cas, "sbom", |out| {
        syft::write(document, env!("CARGO_PKG_VERSION"), out)
    })?;
    Ok(Written { document, warning })
}

failures! {
    SbomError: |error| match error {
        SbomError::Cas(error) => of_cas(error),
        SbomError::Io { source, .. } => of_io(source),
        _ => Class::Verification,
    };
}
