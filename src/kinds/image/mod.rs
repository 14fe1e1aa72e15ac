//! Images: fetched from a registry, imported from disk, or built from files.
//!
//! All three have the same outputs, so that they are interchangeable.

pub(crate) mod build;
pub(crate) mod fetch;
pub mod import;
pub(crate) mod layers;

use std::path::PathBuf;
use std::sync::Arc;

use build::{ImageConfig, ImageSpec, LayerSpec};
use fetch::FetchError;
use layers::check_layers;

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::{Cas, tree};
use crate::ground::Failure;
use crate::ground::folders::{Folders, MadePaths};
use crate::ground::inputs::Inputs;
use crate::ground::lockfile::{ImagePin, LOCK_FILE, Lockfile};
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, Question, answer};
use crate::kinds::{Bench, Context, Kind, Prepared, Results, image_of, inputs_over, of};
use crate::oci::{Descriptor, MAX_MANIFEST_BYTES, Platform, Reference, media_type};
use crate::package::manifest;
use crate::pipeline::verb::{Image, ImageLayer, RuntimeConfig};
use crate::registry::RegistryError;
use crate::workspace::Links;

/// Versions of the output formats; incremented when their bytes change.
const IMAGE_FORMAT: u32 = 1;
const BUILD_FORMAT: u32 = 2;
const IMPORT_FORMAT: u32 = 1;

/// An image in a registry.
#[derive(Clone, Debug)]
pub struct PullWork {
    /// The folder of the definition, whose lock file has the pin.
    pub folder: PathBuf,
    /// The reference in the definition, which the lock file pins.
    pub reference: Reference,
    /// The reference to pull from; different if it is overridden.
    pub from: Reference,
    /// The platform to pull.
    pub platform: Platform,
}

/// An image in an OCI layout or a Docker archive on disk.
#[derive(Clone, Debug)]
pub struct ImportWork {
    /// The folder that `path` is relative to.
    pub folder: PathBuf,
    /// Paths that tasks write and that it reads.
    pub made: MadePaths,
    /// A folder or a file.
    pub path: String,
    /// Which image of it: a reference, or only its tag.
    pub wanted: String,
    /// Which platform of the image.
    pub platform: Platform,
}

/// The inputs and settings of an image to build.
#[derive(Clone, Debug)]
pub struct BuildWork {
    /// The folder that sources of layers are relative to.
    pub folder: PathBuf,
    /// Paths that tasks write and that are read as such.
    pub made: MadePaths,
    /// The step that makes or fetches the base image.
    pub base: Option<String>,
    /// The platform of the image.
    pub platform: Platform,
    /// From the lowest to the highest.
    pub layers: Vec<LayerWork>,
    /// As the task has it; what it names is resolved above.
    pub verb: Image,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct LayerWork {
    /// A file or folder, or an output of a task.
    pub source: String,
    /// The step that made it; the recorded output is used, because the workspace may
    /// have changed. `None`: a source in the workspace.
    pub of: Option<String>,
    /// Its absolute path in the image.
    pub to: String,
    /// User and group, in numbers.
    pub owner: Option<(u32, u32)>,
    /// As the task has it; what it names is resolved above.
    pub verb: ImageLayer,
}

impl Question for PullWork {
    type Answer = ImagePin;

    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn platform(&self) -> String {
        self.platform.to_string()
    }

    fn pinned(&self, lock: &Lockfile) -> Option<ImagePin> {
        lock.image(&self.name(), &self.platform()).cloned()
    }

    fn pin(&self, lock: &mut Lockfile, answer: ImagePin) {
        lock.pin_image(&self.name(), &self.platform(), answer);
    }

    fn shown(answer: &ImagePin) -> String {
        answer.manifest.digest.to_string()
    }

    /// All platforms come from the same index, even if the tag has moved.
    fn beside(&self, lock: &Lockfile) -> Option<Self> {
        let index = lock.index(&self.name())?;
        Some(Self {
            from: self.from.at(index.digest),
            ..self.clone()
        })
    }

    /// One index is pinned for all platforms.
    fn others(&self, lock: &Lockfile) -> Vec<Self> {
        let pinned = lock.platforms(&self.name()).into_iter();
        let pinned = pinned.filter_map(|platform| platform.parse::<Platform>().ok());
        // Skeleton packages are pinned likewise, and are no images.
        let others = pinned.filter(|it| *it != self.platform && it.os != manifest::MULTI);
        others
            .map(|platform| Self {
                platform,
                ..self.clone()
            })
            .collect()
    }

    fn unpin(&self, lock: &mut Lockfile) {
        lock.drop_image(&self.name(), &self.platform());
    }

    async fn ask(&self, site: &Arc<Site>) -> Result<ImagePin, Failure> {
        let (descriptor, bytes) = site.document(&self.from).await.map_err(FetchError::from)?;
        self.meant(&descriptor, &bytes)
    }
}

impl From<fetch::Pin> for ImagePin {
    fn from(found: fetch::Pin) -> Self {
        Self {
            index: found.index,
            manifest: found.manifest,
        }
    }
}

impl PullWork {
    /// The manifest that the reference stands for. A reference with a digest never
    /// changes and has no pin.
    async fn pin(&self, site: &Arc<Site>) -> Result<ImagePin, Failure> {
        let Some(digest) = self.reference.digest() else {
            return answer(site, &self.folder, self).await;
        };
        let cas = Arc::clone(&site.cas);
        let held = blocking(move || Ok(fetch::held_document(&cas, &digest))).await?;
        let bytes = match held {
            Some(bytes) => bytes,
            None => {
                site.online(&format!("`{}`", self.from))?;
                let found = site.document(&self.from).await;
                let (_, bytes) = found.map_err(FetchError::from)?;
                let (cas, bytes) = (Arc::clone(&site.cas), bytes.to_vec());
                blocking(move || {
                    cas.put(&Descriptor::of("", &bytes), &bytes[..])?;
                    Ok(bytes)
                })
                .await?
            }
        };
        // Only the document says its type: a cache has no headers.
        let described = Descriptor::of("", &bytes);
        self.meant(&described, &bytes)
    }

    /// What the document of the reference stands for.
    fn meant(&self, described: &Descriptor, bytes: &[u8]) -> Result<ImagePin, Failure> {
        let meant = fetch::meant(described, bytes, &self.platform);
        let meant = meant.map_err(|source| FetchError::Kind {
            reference: self.from.to_string(),
            source,
        });
        Ok(meant?.into())
    }

    /// The failure to fetch what is pinned.
    fn lost(&self, error: FetchError, pin: &Descriptor) -> Failure {
        let pinned = self.reference.digest().is_none();
        let missing = matches!(&error, FetchError::Registry(RegistryError::NotFound { .. }));
        let failure = Failure::from(error);
        if !missing || !pinned {
            return failure;
        }
        let message = format!(
            "{}; {LOCK_FILE} pins `{}` to {}: push that to the registry, or move the pin with \
             `jackal update`",
            failure.message, self.reference, pin.digest
        );
        Failure { message, ..failure }
    }
}

impl Kind for PullWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    /// What comes from elsewhere by its digest is verified there, which no cache can do.
    fn is_shared(&self) -> bool {
        false
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(match self.reference.digest() {
            Some(_) => Vec::new(),
            None => vec![Pin::of(&self.folder, self.clone())],
        })
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let pin = self.pin(cx.site).await?;
        let mut action = Action::new("image", IMAGE_FORMAT);
        action.platform = Some(self.platform.clone());
        let mut inputs = Inputs::new(&cx.site.cas);
        let manifest = &pin.manifest;
        inputs.blob(&self.reference.to_string(), manifest.digest, manifest.size)?;
        Ok(Prepared {
            manifest: Some(pin.manifest),
            ..Prepared::of(action, inputs)
        })
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let (site, reference) = (cx.site, &self.from);
        site.online(&format!("`{reference}`"))?;
        let manifest = prepared
            .manifest
            .as_ref()
            .ok_or_else(|| Failure::internal("an image without manifest"))?;
        let fetched = fetch::fetch(
            &site.registry,
            &site.cas,
            reference,
            manifest,
            &site.transfers,
            &site.fetching,
        )
        .await
        .map_err(|error| self.lost(error, manifest))?;
        // Once: the result is recorded, and the layers are known by their digests.
        let (cas, manifest) = (Arc::clone(&site.cas), manifest.clone());
        let (name, limit) = (reference.to_string(), site.options.content_limit);
        blocking(move || Ok(check_layers(&cas, &name, &manifest, limit)?)).await?;
        Ok(Made {
            fetched: fetched.bytes,
            ..fetched.outputs.into()
        })
    }

    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        let name = self.reference.to_string();
        foreign(&site.cas, &name, outputs, &self.platform)
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        let manifests = action.inputs.blobs();
        manifests
            .map(|(reference, file)| Material::Image {
                reference,
                digest: file.digest,
            })
            .collect()
    }
}

/// The action that imports an image from disk.
pub(crate) const IMPORT: &str = "image-import";

fields! {
    struct ImportSettings {
        path: String = "path",
        reference: String = "reference",
    }
}

impl Kind for ImportWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        reads.add_place(&self.folder.join(&self.path));
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    /// Computes the action from all bytes of the folder or archive.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new(IMPORT, IMPORT_FORMAT);
        action.platform = Some(self.platform.clone());
        let settings = ImportSettings {
            path: trimmed(&self.path).to_owned(),
            reference: self.wanted.clone(),
        };
        settings.write("", &mut action.settings);
        let (site, folders) = (
            Arc::clone(cx.site),
            Folders::over(self.folder.clone(), self.made.clone()),
        );
        let mut inputs = inputs_over(cx, &self.made)?;
        let inputs = blocking(move || {
            inputs.source(&site, &folders, &settings.path, Links::Named)?;
            Ok(inputs)
        })
        .await?;
        Ok(Prepared::of(action, inputs))
    }

    fn manifest(&self, _: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        made_manifest(outputs)
    }

    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        let name = format!("{} of `{}`", self.wanted, self.path);
        foreign(&site.cas, &name, outputs, &self.platform)
    }
}

/// The warning about an image whose configuration says that it is for another
/// platform. A configuration that names no platform is accepted.
fn foreign(cas: &Cas, name: &str, outputs: &[Output], wanted: &Platform) -> Vec<String> {
    let read = || {
        let config = outputs.iter().find(|output| output.name == "config")?;
        let bytes = cas.document(&config.digest, MAX_MANIFEST_BYTES).ok()?;
        serde_json::from_slice::<Platform>(&bytes).ok()
    };
    let stated = read().filter(|found| !found.architecture.is_empty() && !found.os.is_empty());
    let foreign = stated.filter(|found| !wanted.accepts(found));
    let warning = foreign.map(|found| {
        format!(
            "image {name} is for {found} but is packed for {wanted}: it will not \
             run there; name an image for {wanted}"
        )
    });
    warning.into_iter().collect()
}

/// Imports an image using only the inputs.
pub(crate) async fn import(
    action: &Action,
    inputs: &Inputs,
    bench: &Bench,
) -> Result<Made, Failure> {
    let settings = ImportSettings::read("", &action.settings)?;
    let platform = platform_of(action)?;
    let (cas, inputs, limit) = (
        Arc::clone(&bench.cas),
        inputs.clone(),
        bench.content_limit(),
    );
    let outputs = blocking(move || {
        let ImportSettings { path, reference } = settings;
        let source = import::ImageFiles::open(&inputs, &path, cas.root())?;
        let (pin, mut outputs) = import::import(&cas, &source, Some(&reference), &platform)?;
        source.settle()?;
        check_layers(&cas, &path, &pin.manifest, limit)?;
        if pin.manifest.media_type == media_type::DOCKER_MANIFEST {
            // A cached result has names and digests but no media types.
            for output in outputs
                .iter_mut()
                .filter(|output| output.name == "manifest")
            {
                output.name = DOCKER_MANIFEST.to_owned();
            }
        }
        Ok(outputs)
    })
    .await?;
    Ok(outputs.into())
}

/// Output name of a manifest with Docker's media type.
const DOCKER_MANIFEST: &str = "manifest.docker";

/// The manifest among the outputs of an image.
fn made_manifest(outputs: &[Output]) -> Option<Descriptor> {
    let mut found = outputs.iter();
    let made = found.find(|output| output.name == "manifest" || output.name == DOCKER_MANIFEST)?;
    let kind = if made.name == DOCKER_MANIFEST {
        media_type::DOCKER_MANIFEST
    } else {
        media_type::MANIFEST
    };
    Some(Descriptor {
        media_type: kind.to_owned(),
        ..Descriptor::blob(made.digest, made.size)
    })
}

/// The action that builds an image from files.
pub(crate) const BUILD: &str = "image-build";

/// The blob that is the manifest of the base image.
const BASE: &str = "base";

impl Kind for BuildWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        for layer in self.layers.iter().filter(|layer| layer.of.is_none()) {
            reads.add_place(&self.folder.join(trimmed(&layer.source)));
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new(BUILD, BUILD_FORMAT);
        action.platform = Some(self.platform.clone());
        let (site, own, results) = (Arc::clone(cx.site), self.clone(), cx.results.clone());
        let inputs = inputs_over(cx, &self.made)?;
        let mut inputs = blocking(move || own.local(&site, inputs, &results)).await?;
        let mut base = None;
        if let Some(step) = &self.base {
            let (manifest, done) = image_of(cx.results, step)?;
            base = Some(manifest.media_type.clone());
            inputs.blob(BASE, manifest.digest, manifest.size)?;
            inputs.outputs(BASE, &done.outputs)?;
        }
        let mut spec = self.settings(base);
        spec.layers
            .retain(|layer| inputs.tree.get(&layer.source).is_some());
        spec.write("", &mut action.settings);
        Ok(Prepared::of(action, inputs))
    }

    fn manifest(&self, _: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        made_manifest(outputs)
    }
}

impl BuildWork {
    fn local(&self, site: &Site, mut inputs: Inputs, results: &Results) -> Result<Inputs, Failure> {
        let folders = Folders::over(self.folder.clone(), self.made.clone());
        for layer in &self.layers {
            let source = trimmed(&layer.source);
            let Some(step) = &layer.of else {
                inputs.source(site, &folders, source, Links::Named)?;
                continue;
            };
            let outputs = &of(results, step)?.outputs;
            // An optional output may be missing.
            if let Some(output) = outputs
                .iter()
                .find(|output| trimmed(&output.name) == source)
            {
                inputs.recorded(source, &tree::load(&site.cas, &output.digest)?)?;
            }
        }
        Ok(inputs)
    }

    fn settings(&self, base: Option<String>) -> ImageSpec {
        // Taken apart without `..`: a new field does not compile until it is in
        // the key.
        let Image {
            name: _,
            base: _,
            platform: _,
            layers: _,
            config,
        } = self.verb.clone();
        let RuntimeConfig {
            entrypoint,
            cmd,
            env,
            user,
            workdir,
            labels,
            ports,
        } = config;
        let layers = self.layers.iter().map(|layer| {
            let LayerWork {
                source,
                of: _,
                to,
                owner,
                verb,
            } = layer.clone();
            let ImageLayer {
                from: _,
                to: _,
                owner: _,
                mode,
            } = verb;
            LayerSpec {
                source: trimmed(&source).to_owned(),
                to,
                owner,
                mode,
            }
        });
        ImageSpec {
            base,
            layers: layers.collect(),
            config: ImageConfig {
                entrypoint,
                cmd,
                env,
                user: user.unwrap_or_default(),
                workdir: workdir.unwrap_or_default(),
                labels,
                ports,
            },
        }
    }
}

/// Builds an image using only the inputs.
pub(crate) async fn build(
    action: &Action,
    inputs: &Inputs,
    bench: &Bench,
) -> Result<Made, Failure> {
    let spec = ImageSpec::read("", &action.settings)?;
    let platform = platform_of(action)?;
    let (cas, inputs) = (Arc::clone(&bench.cas), inputs.clone());
    let outputs = blocking(move || {
        let base = spec.base.as_ref().zip(inputs.tree.blob(BASE));
        let base = base.map(|(kind, file)| Descriptor {
            media_type: kind.clone(),
            ..Descriptor::blob(file.digest, file.size)
        });
        Ok(build::build_image(
            &cas,
            &inputs,
            &spec,
            base.as_ref(),
            &platform,
        )?)
    })
    .await?;
    Ok(outputs.into())
}

fn platform_of(action: &Action) -> Result<Platform, Failure> {
    let platform = action.platform.clone();
    platform.ok_or_else(|| Failure::internal("an image without a platform"))
}

fn trimmed(source: &str) -> &str {
    source.trim_start_matches("./").trim_end_matches('/')
}
