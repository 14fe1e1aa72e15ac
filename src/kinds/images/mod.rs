//! `images`: combines images in one OCI layout.

mod assemble;

use std::sync::Arc;

use assemble::{FetchedImage, assemble};

use crate::action::{Action, Fields as _, Output, fields};
use crate::ground::Failure;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::Made;
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::kinds::pins::Pin;
use crate::kinds::{Bench, Context, Kind, Prepared, image_of};
use crate::oci::Descriptor;

/// The action that combines images.
pub(crate) const ACTION: &str = "images";

fields! {
    struct ImagesSettings {
        images: Vec<ImageSettings> = "images",
    }

    struct ImageSettings {
        reference: String = "reference",
        media_type: String = "mediaType",
        /// The names of its blobs: `manifest`, `config`, `layer/0`, ...
        parts: Vec<String> = "parts",
    }
}

/// Version of the output format; incremented when its bytes change.
const IMAGES_FORMAT: u32 = 1;

/// The images of one package.
#[derive(Clone, Debug)]
pub struct ImagesWork {
    /// Each reference with the step that makes or fetches it.
    pub images: Vec<(String, String)>,
}

impl Kind for ImagesWork {
    fn verb(&self) -> &'static str {
        "images"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut inputs = Inputs::new(&cx.site.cas);
        let mut settings = ImagesSettings { images: Vec::new() };
        for (reference, step) in &self.images {
            let (manifest, done) = image_of(cx.results, step)?;
            inputs.blob(reference, manifest.digest, manifest.size)?;
            inputs.outputs(reference, &done.outputs)?;
            settings.images.push(ImageSettings {
                reference: reference.clone(),
                media_type: manifest.media_type.clone(),
                parts: done.outputs.iter().map(|part| part.name.clone()).collect(),
            });
        }
        Ok(Prepared::new(ACTION, IMAGES_FORMAT, &settings, inputs))
    }
}

/// Combines images using only the inputs; reads none of their blobs.
pub(crate) async fn make(action: &Action, inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let settings = ImagesSettings::read("", &action.settings)?;
    let mut images = Vec::new();
    for image in settings.images {
        let mut outputs = Vec::new();
        for name in image.parts {
            let part = inputs.given(&format!("{}/{name}", image.reference))?;
            outputs.push(Output::of(name, &part));
        }
        images.push(FetchedImage {
            manifest: Descriptor {
                media_type: image.media_type,
                ..inputs.given(&image.reference)?
            },
            reference: image.reference,
            outputs,
        });
    }
    let cas = Arc::clone(&bench.cas);
    let outputs = blocking(move || Ok(assemble(&cas, &images)?)).await?;
    Ok(outputs.into())
}
