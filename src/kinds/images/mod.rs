//! `images`: images flattened into one OCI layout.

mod assemble;

use std::sync::Arc;

use assemble::{FetchedImage, assemble};

use crate::action::{Action, Input, InputKind};
use crate::ground::Failure;
use crate::ground::site::Made;
use crate::ground::threads::blocking;
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared, image_of};

/// Version of what is written; raised when its bytes change.
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

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("images", IMAGES_FORMAT);
        for (reference, step) in &self.images {
            let (manifest, _) = image_of(cx.results, step)?;
            action.inputs.push(Input {
                path: reference.clone(),
                kind: InputKind::Blob {
                    digest: manifest.digest,
                },
            });
        }
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let mut fetched = Vec::new();
        for (reference, step) in &self.images {
            let (manifest, done) = image_of(cx.results, step)?;
            fetched.push(FetchedImage {
                reference: reference.clone(),
                manifest: manifest.clone(),
                outputs: done.outputs.clone(),
            });
        }
        let cas = Arc::clone(&cx.site.cas);
        let outputs = blocking(move || Ok(assemble(&cas, &fetched)?)).await?;
        Ok(outputs.into())
    }
}
