//! The document of an image: a build of two tasks in a folder of its own, so that layers
//! that were scanned before are not scanned again.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::build::{Built, Prepared, prepare};
use crate::app::build_error::BuildError;
use crate::app::build_options::{BuildOptions, Target};
use crate::app::options::{Pins, Place, RunOptions, Variant};
use crate::app::sbom::MAX_DOCUMENT_BYTES;
use crate::cas::{Cas, CasError, Flush, Key};
use crate::disk::{self, TemporaryFolder, look};
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::image::import::import_path;
use crate::kinds::sbom;
use crate::oci::{Digest, Index, MAX_MANIFEST_BYTES, Platform, Reference, annotation};
use crate::source::{AttachedSboms, sboms_about};
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

/// How long it is remembered what is attached to an image, in seconds: a day. Something may be
/// attached later, and asking takes several requests.
const ATTACHED_AGE: i64 = 24 * 3600;

/// What is attached to an image, and when that was asked, in seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Remembered {
    asked: i64,
    attached: AttachedSboms,
}

/// The SBOMs that are attached to the `image` of a registry, which `document` is about.
///
/// # Errors
///
/// The registry cannot be asked; it is not an error that it has none.
pub async fn attached_sboms(
    place: &Place,
    image: &str,
    document: &[u8],
) -> Result<AttachedSboms, BuildError> {
    #[derive(Deserialize)]
    struct Document {
        source: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        /// The hex of the manifest digest.
        id: String,
    }
    let known = serde_json::from_slice::<Document>(document).ok();
    let manifest = known.and_then(|known| Digest::from_hex(&known.source.id).ok());
    let (Some(manifest), Ok(reference)) = (manifest, image.parse::<Reference>()) else {
        return Ok(AttachedSboms::default());
    };
    let cas = Cas::open(&place.cache)?;
    let name = format!("attached SBOMs\0{reference}\0{manifest}");
    let key = Key(*blake3::hash(name.as_bytes()).as_bytes());
    let now = jiff::Timestamp::now().as_second();
    let known = cas.result(&key)?;
    let known = known.and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(known) = known
        && (0..ATTACHED_AGE).contains(&now.saturating_sub(known.asked))
    {
        return Ok(known.attached);
    }
    let registry = place.connection.client()?;
    let attached = sboms_about(&registry, &reference, manifest).await;
    let attached = attached.map_err(BuildError::Attached)?;
    let remembered = Remembered {
        asked: now,
        attached,
    };
    // Without it, the registry is asked again.
    if let Ok(bytes) = serde_json::to_vec(&remembered) {
        drop(cas.replace_result(&key, &bytes, &[], Flush::Later));
    }
    Ok(remembered.attached)
}
