//! `sbom`: catalogues images and components. Each layer is scanned once, then the
//! document is made from the scans.

pub(crate) mod scan;

use std::sync::Arc;

use crate::action::{Action, Fields, fields};
use crate::ground::form::OutputForm;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::Made;
use crate::ground::source::OwnFiles;
use crate::ground::threads::{blocking, computing};
use crate::ground::{Class, Failure};
use crate::kinds::pins::Pin;
use crate::kinds::{Bench, Context, Kind, Prepared, image_of, of};
use crate::oci::{Descriptor, Manifest, media_type};
use crate::sbom::CATALOGUE_VERSION;
use crate::text::with_causes;

/// The actions: of an image, of a component, of one layer.
pub(crate) const IMAGE: &str = "sbom";
pub(crate) const COMPONENT: &str = "component-sbom";
pub(crate) const SCAN: &str = "scan";

/// The blobs: the layer that is scanned, an image's manifest and what it names, a
/// component's tar.
const LAYER: &str = "layer";
const MANIFEST: &str = "image";
const TAR: &str = "tar";

fields! {
    struct ImageSettings {
        /// The document names the version that wrote it.
        jackal: String = "jackal",
        reference: String = "reference",
        media_type: String = "mediaType",
    }

    struct ComponentSettings {
        /// The document names the version that wrote it.
        jackal: String = "jackal",
        component: String = "component",
    }
}

/// The catalogue of an image.
#[derive(Clone, Debug)]
pub struct ImageSbomWork {
    /// The image's name in the document.
    pub reference: String,
    /// The step that makes or fetches the image.
    pub of: String,
}

/// The catalogue of a component.
#[derive(Clone, Debug)]
pub struct ComponentSbomWork {
    pub name: String,
    /// The step that makes its tar.
    pub of: String,
}

impl Kind for ImageSbomWork {
    fn verb(&self) -> &'static str {
        "sbom"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (manifest, done) = image_of(cx.results, &self.of)?;
        let mut inputs = Inputs::new(&cx.site.cas);
        inputs.blob(MANIFEST, manifest.digest, manifest.size)?;
        inputs.outputs(MANIFEST, &done.outputs)?;
        let settings = ImageSettings {
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            reference: self.reference.clone(),
            media_type: manifest.media_type.clone(),
        };
        Ok(document(IMAGE, &settings, inputs))
    }
}

impl Kind for ComponentSbomWork {
    fn verb(&self) -> &'static str {
        "sbom"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut inputs = Inputs::new(&cx.site.cas);
        // A component without content has no tar.
        if let Some(tar) = of(cx.results, &self.of)?.outputs.first() {
            inputs.blob(TAR, tar.digest, tar.size)?;
        }
        let settings = ComponentSettings {
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            component: self.name.clone(),
        };
        Ok(document(COMPONENT, &settings, inputs))
    }
}

/// A package holds documents in one tar, so their bytes are needed where it is made.
fn document(kind: &str, settings: &impl Fields, inputs: Inputs) -> Prepared {
    Prepared {
        form: OutputForm::Documents,
        ..Prepared::new(kind, CATALOGUE_VERSION, settings, inputs)
    }
}

/// Catalogues a component using only the inputs.
pub(crate) async fn of_component(
    action: &Action,
    inputs: &Inputs,
    bench: &Bench,
) -> Result<Made, Failure> {
    let ComponentSettings { component, .. } = ComponentSettings::read("", &action.settings)?;
    let Some(tar) = inputs.tree.blob(TAR).copied() else {
        return Ok(Made::default());
    };
    let cas = Arc::clone(&bench.cas);
    let output =
        computing(move || Ok(scan::component_sbom(&cas, &component, &tar.digest)?)).await?;
    Ok(vec![output].into())
}

/// Catalogues an image using only the inputs.
pub(crate) async fn of_image(
    action: &Action,
    inputs: &Inputs,
    bench: &Bench,
) -> Result<Made, Failure> {
    let settings = ImageSettings::read("", &action.settings)?;
    let manifest = Descriptor {
        media_type: settings.media_type,
        ..inputs.given(MANIFEST)?
    };
    let (cas, descriptor) = (Arc::clone(&bench.cas), manifest.clone());
    let parsed: Option<Manifest> = blocking(move || {
        let bytes = scan::read_document(&cas, &descriptor)?;
        if !scan::is_container(&bytes) {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let message = format!(
                "manifest {} cannot be read: {error}",
                descriptor.digest,
                error = with_causes(&error)
            );
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
        if media_type::is_container_layer(&layer.media_type) {
            let mut inputs = Inputs::new(&bench.cas);
            inputs.blob(LAYER, layer.digest, layer.size)?;
            let action = Action::new(SCAN, CATALOGUE_VERSION);
            scans.push(Prepared::of(action, inputs));
        }
    }
    let layers = bench.nested(scans).await?;
    // A squashed image is held in memory: as many at a time as there are jobs.
    let _permit = bench.turn().await;
    let (cas, reference) = (Arc::clone(&bench.cas), settings.reference);
    let output =
        computing(move || Ok(scan::image_sbom(&cas, &reference, &manifest, &layers)?)).await?;
    Ok(vec![output].into())
}

/// Scans one layer using only the inputs.
pub(crate) async fn scan_layer(inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    // Its first bytes show how it is compressed.
    let layer = inputs.given(LAYER)?;
    let _permit = bench.turn().await;
    let cas = Arc::clone(&bench.cas);
    let limit = bench.content_limit();
    let output = computing(move || Ok(scan::scan_layer(&cas, &layer, limit)?)).await?;
    Ok(vec![output].into())
}
