//! `image` steps: images built here from files.

use std::path::Path;
use std::sync::Arc;

use super::{Results, image_of, inputs};
use crate::action::{Action, Input, InputKind};
use crate::exec::Failure;
use crate::exec::executors::{self, Base, ImageConfig, ImageSpec, LayerSpec};
use crate::exec::plan::BuildWork;
use crate::exec::site::{Made, Site, blocking};
use crate::oci::{Platform, Reference, media_type};
use crate::workspace;

/// Version of how layers and configurations are written.
const BUILD_FORMAT: u32 = 1;

/// Version of how images on the disk are read.
const IMPORT_FORMAT: u32 = 1;

pub(super) async fn action(
    site: &Arc<Site>,
    work: &BuildWork,
    results: &Results,
) -> Result<Action, Failure> {
    let mut action = Action::new("image-build", BUILD_FORMAT);
    action.platform = Some(work.platform.clone());
    action
        .settings
        .push(("config".into(), format!("{:?}", work.config)));
    if let Some(base) = &work.base {
        let (manifest, _) = image_of(results, base)?;
        action.inputs.push(Input {
            path: format!("base:{base}"),
            kind: InputKind::Blob {
                digest: manifest.digest,
            },
        });
    }
    for (number, layer) in work.layers.iter().enumerate() {
        let text = format!(
            "{} -> {} {:?} {:?}",
            layer.source, layer.to, layer.owner, layer.mode
        );
        action.settings.push((format!("layer.{number}"), text));
    }
    let (site, folder, layers) = (Arc::clone(site), work.folder.clone(), work.layers.clone());
    let found = blocking(move || {
        let mut entries = Vec::new();
        for layer in &layers {
            executors::inside(&layer.source)?;
            entries.extend(workspace::list(&folder, trimmed(&layer.source))?);
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        inputs(&site, Path::new(&folder), &entries)
    })
    .await?;
    action.inputs.extend(found);
    Ok(action)
}

/// Names an image on the disk by every byte of what holds it.
pub(super) async fn import_action(
    site: &Arc<Site>,
    folder: &Path,
    path: &str,
    reference: &Reference,
    platform: &Platform,
) -> Result<Action, Failure> {
    executors::inside(path)?;
    let mut action = Action::new("image-import", IMPORT_FORMAT);
    action.platform = Some(platform.clone());
    action
        .settings
        .push(("reference".into(), reference.to_string()));
    let (site, folder, path) = (Arc::clone(site), folder.to_owned(), path.to_owned());
    action.inputs = blocking(move || {
        let entries = workspace::list(&folder, &path)?;
        inputs(&site, &folder, &entries)
    })
    .await?;
    Ok(action)
}

/// Output name of a manifest of Docker's own kind.
pub(super) const DOCKER_MANIFEST: &str = "manifest.docker";

pub(super) async fn import(
    site: &Arc<Site>,
    folder: &Path,
    path: &str,
    reference: &Reference,
    platform: &Platform,
) -> Result<Made, Failure> {
    let (cas, source) = (Arc::clone(&site.cas), folder.join(path));
    let (wanted, platform) = (reference.to_string(), platform.clone());
    let outputs = blocking(move || {
        let (pin, mut outputs) = executors::import(&cas, &source, Some(&wanted), &platform)?;
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

fn trimmed(source: &str) -> &str {
    source.trim_start_matches("./").trim_end_matches('/')
}

pub(super) async fn make(
    site: &Arc<Site>,
    work: &BuildWork,
    results: &Results,
) -> Result<Made, Failure> {
    let base = match &work.base {
        None => None,
        Some(step) => Some(Base {
            manifest: image_of(results, step)?.0.clone(),
        }),
    };
    let config = work.config.clone();
    let spec = ImageSpec {
        base,
        platform: work.platform.clone(),
        layers: work
            .layers
            .iter()
            .map(|layer| LayerSpec {
                root: work.folder.clone(),
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
    let cas = Arc::clone(&site.cas);
    let outputs = blocking(move || Ok(executors::build_image(&cas, &spec)?)).await?;
    Ok(outputs.into())
}
