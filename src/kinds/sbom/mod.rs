//! `sbom`: catalogues images and components. Each layer is scanned once, then the
//! document is made from the scans.

pub(crate) mod convert;
mod findings;
pub(crate) mod scan;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::action::{Action, Fields, Output, fields};
use crate::cas::Cas;
use crate::ground::form::OutputForm;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::{blocking, computing};
use crate::ground::{Class, Failure};
use crate::kinds::pins::Pin;
use crate::kinds::{Bench, Context, Kind, Prepared, image_of, make_pure, of};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Manifest, media_type};
use crate::pipeline::verb::SbomFormat;
use crate::sbom::CATALOGUE_VERSION;
use crate::sbom::format::Format;
use crate::text::with_causes;

use self::findings::Places;

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

/// The formats that words of a pipeline name.
#[must_use]
pub fn formats_of(words: &[SbomFormat]) -> BTreeSet<Format> {
    let of = |word: &SbomFormat| match word {
        SbomFormat::Syft => Format::SyftJson,
        SbomFormat::Spdx => Format::SpdxJson,
        SbomFormat::Spdx3 => Format::Spdx3Json,
        SbomFormat::CycloneDx => Format::CycloneDxJson,
    };
    words.iter().map(of).collect()
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
        of_stored(&cx.site.cas, &self.reference, manifest, &done.outputs)
    }
}

/// The action that makes the document of an image with these parts.
fn of_stored(
    cas: &Arc<Cas>,
    reference: &str,
    manifest: &Descriptor,
    parts: &[Output],
) -> Result<Prepared, Failure> {
    let mut inputs = Inputs::new(cas);
    inputs.blob(MANIFEST, manifest.digest, manifest.size)?;
    inputs.outputs(MANIFEST, parts)?;
    let settings = ImageSettings {
        jackal: env!("CARGO_PKG_VERSION").to_owned(),
        reference: reference.to_owned(),
        media_type: manifest.media_type.clone(),
    };
    Ok(document(IMAGE, &settings, inputs))
}

/// The document of an image whose parts are stored, from the cache if possible; `None`: it
/// has no file system.
///
/// # Errors
///
/// [`Failure`]
pub async fn document_of(
    site: &Arc<Site>,
    reference: &str,
    manifest: &Descriptor,
    parts: &[Output],
) -> Result<Option<Output>, Failure> {
    let prepared = of_stored(&site.cas, reference, manifest, parts)?;
    let bench = Bench::of(site);
    let making = || make_pure(&prepared.action, &prepared.inputs, &bench);
    let performed = site
        .perform(&prepared.action, (prepared.form, false), making)
        .await?;
    Ok(performed.result.outputs.into_iter().next())
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
    let subject = component.clone();
    let places = Places::of(&cas, &component, &tar)?;
    let earlier = bench.hints(&places.shared).await?;
    let written = computing(move || {
        let hints = (&places, earlier.as_slice());
        Ok(scan::component_sbom(&cas, &component, &tar.digest, hints)?)
    })
    .await?;
    Ok(made(&subject, written))
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
    let scans = parsed.layers.iter();
    let scans = scans.filter(|layer| media_type::is_container_layer(&layer.media_type));
    let scans: Result<_, _> = scans.map(|layer| scan_of(&bench.cas, layer)).collect();
    let scans = scans?;
    let layers = bench.nested(scans).await?;
    // A squashed image is held in memory: as many at a time as there are jobs.
    let _permit = bench.turn().await;
    let (cas, reference) = (Arc::clone(&bench.cas), settings.reference);
    let subject = reference.clone();
    let written =
        computing(move || Ok(scan::image_sbom(&cas, &reference, &manifest, &layers)?)).await?;
    Ok(made(&subject, written))
}

/// The document of `subject`, with a warning about what it lacks.
fn made(subject: &str, written: scan::Written) -> Made {
    let warning = written.warning;
    let warning = warning.map(|warning| format!("SBOM of `{subject}`: {warning}"));
    Made {
        outputs: vec![written.document],
        warnings: warning.into_iter().collect(),
        ..Made::default()
    }
}

/// The action that scans a layer. Documents are made of its output, so the bytes are needed.
fn scan_of(cas: &Arc<Cas>, layer: &Descriptor) -> Result<Prepared, Failure> {
    let mut inputs = Inputs::new(cas);
    inputs.blob(LAYER, layer.digest, layer.size)?;
    let action = Action::new(SCAN, CATALOGUE_VERSION);
    Ok(Prepared {
        form: OutputForm::Documents,
        ..Prepared::of(action, inputs)
    })
}

/// What the document that `action` made was made of, if it made one: of an image, the scans
/// of its layers; of a component, the findings about its files.
pub(crate) fn scans_of(cas: &Arc<Cas>, action: &Action) -> Vec<Places> {
    match action.kind.as_str() {
        IMAGE => {
            let manifest = action.inputs.blob(MANIFEST);
            let scans = manifest.map(|manifest| layer_scans(cas, &manifest.digest));
            scans.unwrap_or_default()
        }
        COMPONENT => {
            let settings = ComponentSettings::read("", &action.settings).ok();
            let tar = action.inputs.blob(TAR);
            let places = settings.zip(tar).map(|(settings, tar)| {
                let places = Places::of(cas, &settings.component, tar);
                places.ok()
            });
            places.flatten().into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn layer_scans(cas: &Arc<Cas>, manifest: &Digest) -> Vec<Places> {
    let bytes = cas.document(manifest, MAX_MANIFEST_BYTES).ok();
    let parsed = bytes.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    let layers = parsed.map(|manifest| manifest.layers).unwrap_or_default();
    let layers = layers.iter();
    let layers = layers.filter(|layer| media_type::is_container_layer(&layer.media_type));
    let scans = layers.filter_map(|layer| scan_of(cas, layer).ok());
    let keys = scans.map(|scan| scan.action.key());
    keys.map(|key| Places {
        own: key,
        shared: key,
    })
    .collect()
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::ground::site::SiteOptions;
    use crate::registry::{Options, Registry};

    #[tokio::test]
    async fn a_layer_is_scanned_once_for_all_images_that_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(folder.path().join("cache")).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(
            Arc::clone(&cas),
            registry,
            folder.path(),
            SiteOptions::default(),
        );
        let store = |kind: &str, bytes: &[u8]| {
            let descriptor = Descriptor::of(kind, bytes);
            cas.put(&descriptor, bytes).unwrap();
            descriptor
        };
        let layer = |name: &str| {
            let mut tar = crate::archive::TarWriter::new(Vec::new());
            let text = format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
            let path = format!("{name}/package.json");
            tar.file(&path, 0o644, text.len() as u64, &mut text.as_bytes())
                .unwrap();
            store(media_type::LAYER, &tar.finish().unwrap())
        };
        let image = |layers: &[&Descriptor]| {
            let ids: Vec<String> = layers
                .iter()
                .map(|layer| layer.digest.to_string())
                .collect();
            let config = json!({"rootfs": {"type": "layers", "diff_ids": ids}}).to_string();
            let config = store(media_type::CONFIG, config.as_bytes());
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
            store(media_type::MANIFEST, manifest.to_string().as_bytes())
        };
        let (base, own, other) = (layer("base"), layer("own"), layer("other"));
        let (first, second) = (image(&[&base, &own]), image(&[&base, &other]));
        document_of(&site, "r.example/a:1", &first, &[])
            .await
            .unwrap();
        let key = of_stored(&cas, "r.example/a:1", &first, &[])
            .unwrap()
            .action;
        assert_eq!(scans_of(&cas, &key).len(), 2);
        // What is not there cannot be read again.
        fs::remove_file(cas.path_of(&base.digest)).unwrap();
        let made = document_of(&site, "r.example/b:1", &second, &[])
            .await
            .unwrap()
            .unwrap();
        let text = cas.document(&made.digest, 1 << 20).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let names = document["artifacts"].as_array().unwrap().iter();
        let names: Vec<_> = names
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["base", "other"]);
    }

    #[tokio::test]
    async fn of_a_component_only_files_that_changed_are_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(folder.path().join("cache")).unwrap());
        let registry = Registry::new(Options::default());
        let options = SiteOptions::default();
        let site = Site::new(Arc::clone(&cas), registry, folder.path(), options);
        let bench = Bench::of(&site);
        // Files with the name of a program, so that their findings are kept.
        let tar = |second: &str| {
            let mut tar = crate::archive::TarWriter::new(Vec::new());
            for (path, version) in [("base/1/busybox", "1.1.1"), ("base/2/busybox", second)] {
                let text = format!("\0BusyBox v{version} (2024-01-01)\0");
                let size = text.len() as u64;
                tar.file(path, 0o755, size, &mut text.as_bytes()).unwrap();
            }
            cas.store("tar", &tar.finish().unwrap()).unwrap()
        };
        let document = async |tar: &Output| {
            let mut inputs = Inputs::new(&cas);
            inputs.blob(TAR, tar.digest, tar.size).unwrap();
            let settings = ComponentSettings {
                jackal: "1".to_owned(),
                component: "base".to_owned(),
            };
            let prepared = super::document(COMPONENT, &settings, inputs);
            let made = of_component(&prepared.action, &prepared.inputs, &bench);
            let text = cas.document(&made.await.unwrap().outputs[0].digest, 1 << 20);
            let packs = scans_of(&cas, &prepared.action).remove(0);
            let own = site.stored_outputs(&packs.own, OutputForm::Blobs);
            (
                String::from_utf8(text.unwrap()).unwrap(),
                own.unwrap().unwrap().remove(0),
                site.stored_outputs(&packs.shared, OutputForm::Blobs)
                    .unwrap()
                    .unwrap(),
            )
        };
        let (first, one, shared) = document(&tar("1.2.1")).await;
        assert!(first.contains("1.2.1"));
        assert_eq!(shared, std::slice::from_ref(&one));
        // A finding that is altered shows where it is used.
        let (second, two, shared) = document(&tar("1.3.1")).await;
        assert!(second.contains("1.1.1") && second.contains("1.3.1") && !second.contains("1.2.1"));
        assert!(one != two && shared.contains(&two));
        // Without it, the document is the same.
        fs::remove_file(cas.path_of(&two.digest)).unwrap();
        let (again, three, _) = document(&tar("1.3.1")).await;
        assert_eq!((again, three), (second, two));
    }
}
