//! `sbom` steps of images: each layer scanned once, then the document.

use std::sync::Arc;

use crate::action::{Action, Input, InputKind};
use crate::exec::executors;
use crate::exec::site::{Made, Site, blocking, computing};
use crate::exec::{Class, Failure};
use crate::oci::{Descriptor, Manifest, media_type};
use crate::sbom::CATALOGUE_VERSION;

pub(super) async fn image(
    site: &Arc<Site>,
    reference: &str,
    manifest: &Descriptor,
) -> Result<Made, Failure> {
    let cas = Arc::clone(&site.cas);
    let descriptor = manifest.clone();
    let parsed: Option<Manifest> = blocking(move || {
        let bytes = executors::read_document(&cas, &descriptor)?;
        if !executors::is_container(&bytes) {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let message = format!("manifest {} cannot be read: {error}", descriptor.digest);
            Failure::new(Class::Verification, message)
        })
    })
    .await?;
    // Helm charts, signatures and other artifacts have no file system to scan.
    let Some(parsed) = parsed else {
        return Ok(Made::default());
    };
    let mut scans = Vec::new();
    for layer in parsed.layers {
        if !media_type::is_container_layer(&layer.media_type) {
            continue;
        }
        let site = Arc::clone(site);
        scans.push(tokio::spawn(async move {
            let mut action = Action::new("scan", CATALOGUE_VERSION);
            action
                .settings
                .push(("mediaType".into(), layer.media_type.clone()));
            action.inputs.push(Input {
                path: "layer".into(),
                kind: InputKind::Blob {
                    digest: layer.digest,
                },
            });
            let (cas, cpu) = (Arc::clone(&site.cas), Arc::clone(&site.cpu));
            site.perform(&action, || async move {
                let _permit = cpu.acquire_owned().await;
                let output = computing(move || Ok(executors::scan_layer(&cas, &layer)?)).await?;
                Ok(vec![output].into())
            })
            .await
        }));
    }
    let mut layers = Vec::new();
    for scan in scans {
        let performed = scan
            .await
            .map_err(|error| Failure::new(Class::Task, format!("internal error: {error}")))??;
        layers.extend(performed.result.outputs);
    }
    let (cas, reference, manifest) = (
        Arc::clone(&site.cas),
        reference.to_owned(),
        manifest.clone(),
    );
    // A squashed image is held in memory: as many at a time as there are jobs.
    let _permit = site.cpu.acquire().await;
    let output =
        computing(move || Ok(executors::image_sbom(&cas, &reference, &manifest, &layers)?)).await?;
    Ok(vec![output].into())
}
