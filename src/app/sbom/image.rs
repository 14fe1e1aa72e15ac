//! The document of an image: a build of two tasks in a folder of its own, so that layers
//! that were scanned before are not scanned again.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::app::build::{Built, Prepared, prepare};
use crate::app::build_error::BuildError;
use crate::app::build_options::{BuildOptions, Target};
use crate::app::options::{Pins, Place, RunOptions, Variant};
use crate::app::sbom::MAX_DOCUMENT_BYTES;
use crate::cas::{Cas, CasError};
use crate::disk::{self, TemporaryFolder, look};
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::image::import::import_path;
use crate::kinds::sbom;
use crate::oci::{Digest, Index, MAX_MANIFEST_BYTES, Platform, Reference, annotation};
use crate::text::with_causes;
use crate::yaml::double_quoted;

/// A build that makes the document of one image.
pub struct ImageSbom {
    pub prepared: Prepared,
    /// Removed with this.
    pub folder: TemporaryFolder,
}

/// The document of an image on disk: a layout or archive at `path`, which the user calls
/// `named`. `wanted` is its reference or tag, and optional if there is only one.
///
/// # Errors
///
/// [`BuildError`] without a cache or connection.
pub fn layout_sbom<'a>(
    place: &Place,
    (path, named): (&'a Path, &'a str),
    wanted: Option<&'a str>,
    architecture: &str,
) -> Result<impl Future<Output = Result<Option<Vec<u8>>, Failure>> + use<'a>, BuildError> {
    let cas = Arc::new(Cas::open(&place.cache)?);
    let registry = place.connection.client()?;
    // What is known of the files of an image is kept apart from that of workspaces.
    let site = Site::new(
        cas,
        registry,
        path,
        RunOptions::default().site_options(place, Pins::Read),
    );
    let platform = format!("linux/{architecture}");
    Ok(async move {
        let platform: Platform = (platform.parse())
            .map_err(|error| Failure::new(Class::Configuration, with_causes(&error)))?;
        let (to, from) = (Arc::clone(&site), path.to_owned());
        let only = wanted.map(str::to_owned);
        let (manifest, parts) =
            blocking(move || import_path(&to, &from, only.as_deref(), &platform)).await?;
        // A tag alone is no name.
        let name = wanted.filter(|wanted| wanted.contains('/'));
        let name = name.map(str::to_owned);
        let name = name.or_else(|| only_name(path));
        let name = name.unwrap_or_else(|| named.to_owned());
        let document = sbom::document_of(&site, &name, &manifest, &parts).await?;
        site.save()?;
        let read = document.map(|found| site.cas.document(&found.digest, MAX_DOCUMENT_BYTES));
        Ok(read.transpose()?)
    })
}

/// The name of the only image in a layout.
fn only_name(layout: &Path) -> Option<String> {
    let mut json = Vec::new();
    let file = look::open(&layout.join("index.json")).ok()?;
    file.take(MAX_MANIFEST_BYTES).read_to_end(&mut json).ok()?;
    let index: Index = serde_json::from_slice(&json).ok()?;
    let [image] = &index.manifests[..] else {
        return None;
    };
    let names = [annotation::BASE_NAME, annotation::REF_NAME];
    let mut names = names.iter().filter_map(|key| image.annotations.get(*key));
    names
        .find(|name| name.contains('/') && name.parse::<Reference>().is_ok())
        .cloned()
}

/// Plans the build for the `image`, as a pipeline names it.
///
/// # Errors
///
/// [`BuildError`]
pub fn image_sbom(place: Place, variant: Variant, image: &str) -> Result<ImageSbom, BuildError> {
    let folder = disk::scratch_folder()?;
    let file = folder.path().join("jackal.pipeline.yaml");
    let platform = match &variant.architecture {
        Some(architecture) => format!(
            ", platform: {}",
            double_quoted(&format!("linux/{architecture}"))
        ),
        None => String::new(),
    };
    let text = format!(
        "kind: JackalPipeline\nversion: 1\nname: sbom\ntasks:\n  \
         image: {{ images: {{ from: [{}]{platform} }} }}\n  \
         document: {{ sbom: {{ of: image }} }}\n",
        double_quoted(image)
    );
    disk::write(&file, text.as_bytes())?;
    let place = Place {
        here: folder.path().to_owned(),
        ..place
    };
    let target = Target::Pipeline {
        file,
        params: BTreeMap::new(),
    };
    let options = BuildOptions {
        variant,
        ..BuildOptions::new(place, target)
    };
    let prepared = prepare(&options, &mut |_| None)?;
    Ok(ImageSbom { prepared, folder })
}

/// The document that such a build made; `None`: the image has no file system.
///
/// # Errors
///
/// [`CasError`]: it cannot be read.
pub fn sbom_of_build(built: &Built) -> Result<Option<Vec<u8>>, CasError> {
    let documents = built.record.tasks.iter().filter(|task| task.verb == "sbom");
    let mut outputs = documents.flat_map(|task| &task.outputs);
    let digest = outputs.next().and_then(|output| output.digest.parse().ok());
    let document = |digest: Digest| built.cas.document(&digest, MAX_DOCUMENT_BYTES);
    digest.map(document).transpose()
}
