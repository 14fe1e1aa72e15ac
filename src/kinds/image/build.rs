//! Images built without a daemon: files and folders become the layers of an
//! OCI image, over a base or over nothing.
//!
//! The result is the same as that of [`fetch`](super::fetch()): all parts in the cache,
//! under the same names, so that built and fetched images are interchangeable. Equal
//! trees and settings give equal bytes. Never runs a program, and never unpacks the
//! base.

mod config;
mod layer;

use std::collections::BTreeMap;
use std::io::{self};

use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::action::{Output, fields};
use crate::archive::TarError;
use crate::cas::{Cas, CasError};
use crate::ground::inputs::Inputs;
use crate::ground::{failures, of_cas};
use crate::kinds::image::fetch::outputs;
use crate::oci::{Descriptor, MAX_MANIFEST_BYTES, Manifest, Platform, media_type};

fields! {
    /// The settings of an image, besides its sources.
    pub(crate) struct ImageSpec {
        /// Media type of the base image's manifest; `None`: no base.
        base: Option<String> = "base",
        /// From the lowest to the highest.
        layers: Vec<LayerSpec> = "layer",
        config: ImageConfig = "config",
    }

    pub(crate) struct LayerSpec {
        /// A file or folder among the inputs.
        source: String = "source",
        /// Its absolute path in the image.
        to: String = "to",
        /// User and group; `None`: 0 and 0.
        owner: Option<(u32, u32)> = "owner",
        /// Permission bits of its files; `None`: by the executable bit.
        mode: Option<u32> = "mode",
    }

    /// The runtime settings of an OCI image configuration.
    #[derive(Default)]
    pub(crate) struct ImageConfig {
        entrypoint: Vec<String> = "entrypoint",
        cmd: Vec<String> = "cmd",
        env: BTreeMap<String, String> = "env",
        user: String = "user",
        workdir: String = "workdir",
        labels: BTreeMap<String, String> = "labels",
        ports: Vec<String> = "ports",
    }
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A source that is not among the inputs.
    #[error("internal error: `{0}` is not an input of the action")]
    NoInput(String),
    /// A layer's source cannot be read.
    #[error("`{path}` cannot be read")]
    Read { path: String, source: io::Error },
    /// A layer's target is invalid.
    #[error("layer target `{to}` {why}")]
    Target {
        to: String,
        /// The problem and the expected value.
        why: &'static str,
    },
    /// A mode has bits other than permissions.
    #[error("layer to `{to}` has mode {mode:o}, expected at most 7777 (octal)")]
    Mode { to: String, mode: u32 },
    /// A file whose name means a deletion in image layers.
    #[error("`{0}` begins with `.wh.`, which marks a deletion in image layers: rename it")]
    Whiteout(String),
    #[error("invalid port `{0}`: expected 1 to 65535, with `/tcp`, `/udp` or `/sctp`")]
    Port(String),
    /// A variable without a usable name.
    #[error("invalid environment variable `{0}`: expected a name without `=`")]
    Variable(String),
    /// Layers cannot be added to the base.
    #[error("base image {what}")]
    Base {
        /// The found and expected values.
        what: String,
    },
    /// An entry cannot be written as tar.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The layer could not be stored.
    #[error("layer to `{to}` could not be written")]
    Write { to: String, source: io::Error },
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// Builds the image and stores all its parts.
///
/// Outputs are `manifest`, `config`, `layer/0`, ...; those of the base come first.
/// Makes layers in parallel and blocks until all are done.
///
/// # Errors
///
/// [`ImageError`]; only unreferenced blobs are left behind.
pub(crate) fn build_image(
    cas: &Cas,
    inputs: &Inputs,
    spec: &ImageSpec,
    base: Option<&Descriptor>,
    platform: &Platform,
) -> Result<Vec<Output>, ImageError> {
    for layer in &spec.layers {
        if let Some(mode) = layer.mode.filter(|mode| *mode > 0o7777) {
            let to = layer.to.clone();
            return Err(ImageError::Mode { to, mode });
        }
    }
    let (mut layers, document) = match base {
        Some(base) => read_base(cas, base)?,
        None => (Vec::new(), Map::new()),
    };
    let ours = spec
        .layers
        .par_iter()
        .map(|spec| layer::write(cas, inputs, spec))
        .collect::<Result<Vec<_>, _>>()?;
    let config = config::merged(spec, platform, &document, layers.len(), &ours)?;
    let config = store(cas, media_type::CONFIG, &config)?;
    layers.extend(ours.into_iter().map(|layer| layer.descriptor));
    let manifest = Manifest::image(config, layers);
    let described = store(cas, media_type::MANIFEST, &manifest)?;
    if described.size > MAX_MANIFEST_BYTES {
        return Err(ImageError::Base {
            what: "and layers make a manifest over 4 MiB: use fewer layers".to_owned(),
        });
    }
    Ok(outputs(&described, &manifest))
}

/// The base's layers, in OCI's types, and its configuration.
fn read_base(
    cas: &Cas,
    base: &Descriptor,
) -> Result<(Vec<Descriptor>, Map<String, Value>), ImageError> {
    if media_type::is_index(&base.media_type) {
        return Err(ImageError::Base {
            what: format!(
                "{} is an index, expected the manifest of one platform",
                base.digest
            ),
        });
    }
    let mut manifest: Manifest = read_json(cas, base)?;
    let config: Map<String, Value> = read_json(cas, &manifest.config)?;
    for layer in &mut manifest.layers {
        let found = &layer.media_type;
        if !media_type::is_container_layer(found) {
            return Err(ImageError::Base {
                what: format!(
                    "{} has a layer of type `{found}`, expected a file system layer: choose a container image",
                    base.digest
                ),
            });
        }
        layer.media_type = oci_type(found).to_owned();
    }
    Ok((manifest.layers, config))
}

/// Some programs do not accept Docker's layer types in an OCI manifest.
fn oci_type(found: &str) -> &str {
    match found {
        media_type::DOCKER_LAYER => media_type::LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_GZIP,
        media_type::DOCKER_LAYER_FOREIGN => media_type::LAYER_NONDISTRIBUTABLE_GZIP,
        other => other,
    }
}

fn read_json<T: serde::de::DeserializeOwned>(
    cas: &Cas,
    part: &Descriptor,
) -> Result<T, ImageError> {
    let wrong = |what: String| ImageError::Base {
        what: format!("refers to {}{what}", part.digest),
    };
    let bytes = cas.document(&part.digest, MAX_MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        wrong(format!(
            ", which is not a valid manifest or configuration: {error}"
        ))
    })
}

fn store(
    cas: &Cas,
    media_type: &str,
    document: &impl serde::Serialize,
) -> Result<Descriptor, ImageError> {
    let bytes = serde_json::to_vec(document).map_err(|error| ImageError::Base {
        what: format!("makes a document that cannot be written: {error}"),
    })?;
    let part = Descriptor::of(media_type, &bytes);
    cas.put(&part, &*bytes)?;
    Ok(part)
}

failures! {
    ImageError: |error| match error {
        ImageError::Cas(error) => of_cas(error),
        ImageError::Read { .. } => Class::Environment,
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
