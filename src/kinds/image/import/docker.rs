//! Converts the archive that `docker save` writes to an OCI image.
//!
//! The new manifest depends only on the configuration and the layers, so two archives
//! of one image give the same manifest.

use std::collections::BTreeMap;
use std::io::{self, Read};

use rayon::prelude::*;

use crate::action::Output;
use crate::archive::{COMPRESSION_MAGIC, layer_type};
use crate::disk;
use crate::kinds::image::fetch::Pin;
use crate::kinds::image::import::choose::{Candidate, choose};
use crate::kinds::image::import::{ImportError, Job};
use crate::oci::docker_archive::{Config, LIST, MAX_LAYERS, Saved};
use crate::oci::{Descriptor, Manifest, Platform, media_type, place};
use crate::text::with_causes;

pub(crate) fn import(
    job: &Job<'_>,
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<(Pin, Vec<Output>), ImportError> {
    let images: Vec<Saved> = job.json(LIST)?;
    let candidates: Vec<Candidate> = images
        .iter()
        .map(|image| Candidate {
            names: image.repo_tags.clone().unwrap_or_default(),
            digest: None,
            platform: None,
        })
        .collect();
    let chosen = choose(&candidates, wanted, platform);
    let image = &images[chosen.map_err(|none| none.at(job.path, place::DOCKER_ARCHIVE))?];
    let config = job.document(&image.config)?;
    let described = Descriptor::of(media_type::CONFIG, &config);
    let parsed: Config = serde_json::from_slice(&config).map_err(|error| {
        job.malformed(format!(
            "`{}`: {error}",
            short(&image.config),
            error = with_causes(&error)
        ))
    })?;
    let ids = parsed.rootfs.diff_ids;
    if ids.len() != image.layers.len() || ids.len() > MAX_LAYERS {
        let (ids, layers) = (ids.len(), image.layers.len());
        let what = format!(
            "{layers} layers and {ids} layer ids, expected equal numbers of at most {MAX_LAYERS}"
        );
        return Err(job.malformed(what));
    }
    job.store("config", &described, &*config)?;
    // Layers that are links to one file are read once.
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    let mut resolved = Vec::new();
    for (at, layer) in image.layers.iter().enumerate() {
        let file = job.files.resolve(layer)?;
        files.entry(file.clone()).or_insert(at);
        resolved.push(file);
    }
    let stored: BTreeMap<&String, Descriptor> = files
        .par_iter()
        .map(|(file, at)| Ok((file, layer(job, file, &format!("layer/{at}"))?)))
        .collect::<Result<_, ImportError>>()?;
    let layers: Vec<Descriptor> = resolved.iter().map(|file| stored[file].clone()).collect();
    for (at, (layer, id)) in layers.iter().zip(&ids).enumerate() {
        if layer.media_type == media_type::LAYER && layer.digest != *id {
            let found = layer.digest;
            return Err(job.malformed(format!("layer {at} is {found}, expected {id}")));
        }
    }
    let document = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config: described,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&document)
        .map_err(|error| job.malformed(format!("its manifest cannot be written: {error}")))?;
    let manifest = Descriptor::of(media_type::MANIFEST, &bytes);
    let outputs = job.outputs(&manifest, &bytes, &document)?;
    let index = None;
    Ok((Pin { index, manifest }, outputs))
}

fn layer(job: &Job<'_>, file: &str, what: &str) -> Result<Descriptor, ImportError> {
    let mut content = job.files.read(file)?;
    let path = job.path.join(file);
    let failed = disk::at(&path);
    let mut head = Vec::new();
    let read = content
        .by_ref()
        .take(COMPRESSION_MAGIC as u64)
        .read_to_end(&mut head);
    read.map_err(failed)?;
    let mut ingest = job.cas.ingest().map_err(|error| job.refused(what, error))?;
    io::copy(&mut head.chain(&mut content), &mut ingest).map_err(failed)?;
    let (digest, size) = ingest.commit().map_err(|error| job.refused(what, error))?;
    Ok(Descriptor {
        digest,
        size,
        ..Descriptor::of(layer_type(&head), b"")
    })
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
