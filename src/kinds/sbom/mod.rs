//! `sbom`: catalogues of images and components. Each layer is scanned once, then
//! the document is made.

pub(crate) mod scan;

use std::sync::Arc;

use crate::action::{Action, Input, InputKind};
use crate::ground::site::{Made, Site};
use crate::ground::threads::{blocking, computing};
use crate::ground::{Class, Failure};
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared, blob, image_of, of};
use crate::oci::{Descriptor, Manifest, media_type};
use crate::sbom::CATALOGUE_VERSION;

/// The catalogue of an image.
#[derive(Clone, Debug)]
pub struct ImageSbomWork {
    /// As the document names it.
    pub reference: String,
    /// The step that makes or fetches the image.
    pub of: String,
}

/// The catalogue of a component.
#[derive(Clone, Debug)]
pub struct ComponentSbomWork {
    /// The component's name.
    pub name: String,
    /// The step that makes its tar.
    pub of: String,
}

impl Kind for ImageSbomWork {
    fn verb(&self) -> &'static str {
        "sbom"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (manifest, _) = image_of(cx.results, &self.of)?;
        let mut action = Action::new("sbom", CATALOGUE_VERSION);
        action
            .settings
            .push(("reference".into(), self.reference.clone()));
        action.inputs.push(Input {
            path: self.of.clone(),
            kind: InputKind::Blob {
                digest: manifest.digest,
            },
        });
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let (manifest, _) = image_of(cx.results, &self.of)?;
        image(cx.site, &self.reference, manifest).await
    }
}

impl Kind for ComponentSbomWork {
    fn verb(&self) -> &'static str {
        "sbom"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("sbom", CATALOGUE_VERSION);
        action
            .settings
            .push(("component".into(), self.name.clone()));
        for output in &of(cx.results, &self.of)?.outputs {
            action.inputs.push(blob(&self.of, output));
        }
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let Some(tar) = of(cx.results, &self.of)?.outputs.first().cloned() else {
            return Ok(Made::default());
        };
        let (cas, name) = (Arc::clone(&cx.site.cas), self.name.clone());
        let output = computing(move || Ok(scan::component_sbom(&cas, &name, &tar)?)).await?;
        Ok(vec![output].into())
    }
}

async fn image(site: &Arc<Site>, reference: &str, manifest: &Descriptor) -> Result<Made, Failure> {
    let cas = Arc::clone(&site.cas);
    let descriptor = manifest.clone();
    let parsed: Option<Manifest> = blocking(move || {
        let bytes = scan::read_document(&cas, &descriptor)?;
        if !scan::is_container(&bytes) {
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
                let output = computing(move || Ok(scan::scan_layer(&cas, &layer)?)).await?;
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
        computing(move || Ok(scan::image_sbom(&cas, &reference, &manifest, &layers)?)).await?;
    Ok(vec![output].into())
}
