//! Images: fetched from a registry, read from the disk, or built from files.
//!
//! All three leave the same outputs, so that whatever takes an image takes any
//! of them.

pub(crate) mod build;
pub(crate) mod fetch;
pub mod import;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use build::{Base, ImageConfig, ImageSpec, LayerSpec};

use crate::action::{Action, Input, InputKind, Output};
use crate::ground::checkout::inputs;
use crate::ground::lockfile::{ImagePin, Lockfile};
use crate::ground::site::{Made, Site};
use crate::ground::source::inside;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, Question, answer};
use crate::kinds::{Context, Kind, Prepared, image_of};
use crate::oci::{Descriptor, Platform, Reference, media_type};
use crate::pipeline::verb::RuntimeConfig;
use crate::workspace;

/// Versions of what is written; raised when its bytes change.
const IMAGE_FORMAT: u32 = 1;
const BUILD_FORMAT: u32 = 1;
const IMPORT_FORMAT: u32 = 1;

/// An image of a registry.
#[derive(Clone, Debug)]
pub struct PullWork {
    /// The folder of the definition, whose lock file has the pin.
    pub folder: PathBuf,
    /// Where it is pulled from: its reference, unless that is overridden.
    pub reference: Reference,
    /// The platform that is pulled.
    pub platform: Platform,
    /// How old a pin may be before the registry is asked again.
    pub fresh: Option<Duration>,
}

/// An image of an OCI layout or a docker-archive on the disk.
#[derive(Clone, Debug)]
pub struct ImportWork {
    /// `path` is relative to it.
    pub folder: PathBuf,
    /// A folder or a file.
    pub path: String,
    /// Which image of it.
    pub reference: Reference,
    /// Which platform of the image.
    pub platform: Platform,
}

/// What an image is built from.
#[derive(Clone, Debug)]
pub struct BuildWork {
    /// Sources of layers are relative to it.
    pub folder: PathBuf,
    /// The step that makes or fetches the base image.
    pub base: Option<String>,
    /// The platform that it is for.
    pub platform: Platform,
    /// In order, lowest first.
    pub layers: Vec<LayerWork>,
    /// How the image is run.
    pub config: RuntimeConfig,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct LayerWork {
    /// A file or folder.
    pub source: String,
    /// Its absolute path in the image.
    pub to: String,
    /// User and group, in numbers.
    pub owner: Option<(u32, u32)>,
    /// Permission bits of its files.
    pub mode: Option<u32>,
}

impl Question for PullWork {
    type Answer = ImagePin;

    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn sort(&self) -> String {
        self.platform.to_string()
    }

    fn pinned(&self, lock: &Lockfile) -> Option<ImagePin> {
        lock.image(&self.name(), &self.sort()).cloned()
    }

    fn pin(&self, lock: &mut Lockfile, answer: ImagePin) {
        lock.pin_image(&self.name(), &self.sort(), answer);
    }

    fn shown(answer: &ImagePin) -> String {
        answer.manifest.digest.to_string()
    }

    fn fresh(&self) -> Option<Duration> {
        self.fresh
    }

    async fn ask(&self, site: &Arc<Site>) -> Result<ImagePin, Failure> {
        let found = fetch::resolve(&site.registry, &self.reference, &self.platform).await?;
        Ok(ImagePin {
            index: found.index,
            manifest: found.manifest,
        })
    }
}

impl Kind for PullWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(vec![Pin::of(&self.folder, self.clone())])
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let pin = answer(cx.site, &self.folder, self).await?;
        let mut action = Action::new("image", IMAGE_FORMAT);
        action.platform = Some(self.platform.clone());
        action.inputs.push(Input {
            path: self.reference.to_string(),
            kind: InputKind::Blob {
                digest: pin.manifest.digest,
            },
        });
        Ok(Prepared {
            action,
            manifest: Some(pin.manifest),
        })
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let (site, reference) = (cx.site, &self.reference);
        site.online(&format!("`{reference}`"))?;
        let manifest = prepared.manifest.as_ref().ok_or_else(|| {
            Failure::new(Class::Task, "internal error: an image without manifest")
        })?;
        let fetched = fetch::fetch(
            &site.registry,
            &site.cas,
            reference,
            manifest,
            &site.transfers,
            &site.fetching,
        )
        .await?;
        Ok(Made {
            fetched: fetched.bytes,
            ..fetched.outputs.into()
        })
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        let manifests = action.inputs.iter().filter_map(|input| match input.kind {
            InputKind::Blob { digest } => Some(Material::Image {
                reference: self.reference.to_string(),
                digest,
            }),
            _ => None,
        });
        manifests.collect()
    }
}

impl Kind for ImportWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    /// Names the image by every byte of what holds it.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        inside(&self.path)?;
        let mut action = Action::new("image-import", IMPORT_FORMAT);
        action.platform = Some(self.platform.clone());
        action
            .settings
            .push(("reference".into(), self.reference.to_string()));
        let (site, own) = (Arc::clone(cx.site), self.clone());
        action.inputs = blocking(move || {
            let entries = workspace::list(&own.folder, &own.path)?;
            inputs(&site, &own.folder, &entries)
        })
        .await?;
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let (cas, source) = (Arc::clone(&cx.site.cas), self.folder.join(&self.path));
        let (wanted, platform) = (self.reference.to_string(), self.platform.clone());
        let outputs = blocking(move || {
            let (pin, mut outputs) = import::import(&cas, &source, Some(&wanted), &platform)?;
            if pin.manifest.media_type == media_type::DOCKER_MANIFEST {
                // A remembered result has names and digests, no media types.
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

    fn manifest(&self, _: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        made_manifest(outputs)
    }

    fn rechecked(&self) -> bool {
        true
    }
}

/// Output name of a manifest of Docker's own media type.
const DOCKER_MANIFEST: &str = "manifest.docker";

/// The manifest among the outputs of an image that was made here.
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

impl Kind for BuildWork {
    fn verb(&self) -> &'static str {
        "image"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("image-build", BUILD_FORMAT);
        action.platform = Some(self.platform.clone());
        action
            .settings
            .push(("config".into(), format!("{:?}", self.config)));
        if let Some(base) = &self.base {
            let (manifest, _) = image_of(cx.results, base)?;
            action.inputs.push(Input {
                path: format!("base:{base}"),
                kind: InputKind::Blob {
                    digest: manifest.digest,
                },
            });
        }
        for (number, layer) in self.layers.iter().enumerate() {
            let text = format!(
                "{} -> {} {:?} {:?}",
                layer.source, layer.to, layer.owner, layer.mode
            );
            action.settings.push((format!("layer.{number}"), text));
        }
        let (site, folder, layers) = (
            Arc::clone(cx.site),
            self.folder.clone(),
            self.layers.clone(),
        );
        let found = blocking(move || {
            let mut entries = Vec::new();
            for layer in &layers {
                inside(&layer.source)?;
                entries.extend(workspace::list(&folder, trimmed(&layer.source))?);
            }
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            inputs(&site, Path::new(&folder), &entries)
        })
        .await?;
        action.inputs.extend(found);
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let base = match &self.base {
            None => None,
            Some(step) => Some(Base {
                manifest: image_of(cx.results, step)?.0.clone(),
            }),
        };
        let config = self.config.clone();
        let spec = ImageSpec {
            base,
            platform: self.platform.clone(),
            layers: self
                .layers
                .iter()
                .map(|layer| LayerSpec {
                    root: self.folder.clone(),
                    source: trimmed(&layer.source).to_owned(),
                    to: layer.to.clone(),
                    owner: layer.owner,
                    mode: layer.mode,
                })
                .collect(),
            config: ImageConfig {
                entrypoint: config.entrypoint,
                cmd: config.cmd,
                env: config.env,
                user: config.user.unwrap_or_default(),
                workdir: config.workdir.unwrap_or_default(),
                labels: config.labels,
                ports: config.ports,
            },
        };
        let cas = Arc::clone(&cx.site.cas);
        let outputs = blocking(move || Ok(build::build_image(&cas, &spec)?)).await?;
        Ok(outputs.into())
    }

    fn manifest(&self, _: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        made_manifest(outputs)
    }

    fn rechecked(&self) -> bool {
        true
    }
}

fn trimmed(source: &str) -> &str {
    source.trim_start_matches("./").trim_end_matches('/')
}
