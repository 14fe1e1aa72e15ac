//! What each kind of step does: the action that names its result, and the
//! making of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::executors::{self, BuildData, FetchedImage, Part};
use super::lockfile::ImagePin;
use super::plan::{PackageWork, Step, Work};
use super::site::{Made, Performed, Site, blocking};
use super::{Class, Failure};
use crate::action::{Action, Input, InputKind, Output};
use crate::oci::{Descriptor, Manifest, Platform, Reference, media_type};
use crate::package::{Component, File};
use crate::sbom::CATALOGUE_VERSION;
use crate::workspace::{self, Entry, Kind};

/// Versions of what each verb writes; raised when its bytes change.
const COMPONENT_FORMAT: u32 = 1;
const IMAGE_FORMAT: u32 = 1;
const IMAGES_FORMAT: u32 = 1;
const PACKAGE_FORMAT: u32 = 1;
const FRAMES_FORMAT: u32 = 1;

/// What a finished step left for those after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Its outputs.
    pub(super) outputs: Vec<Output>,
    /// The manifest, if it made or brought an image.
    pub(super) manifest: Option<Descriptor>,
}

/// Finished steps by name.
pub(super) type Results = BTreeMap<String, Arc<Done>>;

/// A step that could be run now.
pub(super) struct Prepared {
    /// Names its result.
    pub(super) action: Action,
    /// The image it is about.
    manifest: Option<Descriptor>,
}

fn of<'r>(results: &'r Results, step: &str) -> Result<&'r Arc<Done>, Failure> {
    results.get(step).ok_or_else(|| {
        Failure::new(
            Class::Task,
            format!("internal error: `{step}` has no result"),
        )
    })
}

fn image_of<'r>(results: &'r Results, step: &str) -> Result<(&'r Descriptor, &'r Done), Failure> {
    let done = of(results, step)?;
    let manifest = done.manifest.as_ref().ok_or_else(|| {
        Failure::new(
            Class::Task,
            format!("internal error: `{step}` made no image"),
        )
    })?;
    Ok((manifest, done))
}

fn blob(producer: &str, output: &Output) -> Input {
    Input {
        path: if output.name == producer {
            producer.to_owned()
        } else {
            format!("{producer}/{}", output.name)
        },
        kind: InputKind::Blob {
            digest: output.digest,
        },
    }
}

/// Finds out what names the step's result: digests its files, resolves its
/// references. Asks the network only for a reference that has no pin.
pub(super) async fn prepare(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
) -> Result<Prepared, Failure> {
    let mut manifest = None;
    let action = match &step.work {
        Work::Component { folder, component } => {
            let (site, folder, component) = (Arc::clone(site), folder.clone(), component.clone());
            blocking(move || component_action(&site, &folder, &component)).await?
        }
        Work::Image {
            folder,
            reference,
            platform,
        } => {
            let pin = pinned(site, folder, reference, platform).await?;
            let mut action = Action::new("image", IMAGE_FORMAT);
            action.platform = Some(platform.clone());
            action.inputs.push(Input {
                path: reference.to_string(),
                kind: InputKind::Blob {
                    digest: pin.manifest.digest,
                },
            });
            manifest = Some(pin.manifest);
            action
        }
        Work::Images { images } => {
            let mut action = Action::new("images", IMAGES_FORMAT);
            for (reference, step) in images {
                let (manifest, _) = image_of(results, step)?;
                action.inputs.push(Input {
                    path: reference.clone(),
                    kind: InputKind::Blob {
                        digest: manifest.digest,
                    },
                });
            }
            action
        }
        Work::ImageSbom { reference, of } => {
            let (manifest, _) = image_of(results, of)?;
            let mut action = Action::new("sbom", CATALOGUE_VERSION);
            action
                .settings
                .push(("reference".into(), reference.clone()));
            action.inputs.push(Input {
                path: of.clone(),
                kind: InputKind::Blob {
                    digest: manifest.digest,
                },
            });
            action
        }
        Work::ComponentSbom { name, of: step } => {
            let mut action = Action::new("sbom", CATALOGUE_VERSION);
            action.settings.push(("component".into(), name.clone()));
            for output in &of(results, step)?.outputs {
                action.inputs.push(blob(step, output));
            }
            action
        }
        Work::Package(work) => package_action(work, results)?,
    };
    Ok(Prepared { action, manifest })
}

/// The result of a prepared step, remembered or made now.
pub(super) async fn perform(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    results: &Results,
) -> Result<Performed, Failure> {
    site.perform(&prepared.action, || make(site, step, prepared, results))
        .await
}

/// What the step leaves for those after it.
pub(super) fn done(prepared: &Prepared, performed: &Performed) -> Done {
    Done {
        outputs: performed.result.outputs.clone(),
        manifest: prepared.manifest.clone(),
    }
}

async fn make(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    results: &Results,
) -> Result<Made, Failure> {
    match &step.work {
        Work::Component { folder, component } => {
            let (cas, folder) = (Arc::clone(&site.cas), folder.clone());
            let (component, name) = (component.clone(), step.id.clone());
            blocking(move || component_tar(&cas, &folder, &component, name)).await
        }
        Work::Image { reference, .. } => {
            if site.wishes.offline {
                let message = format!(
                    "`{reference}` is not in the cache and --offline forbids fetching it: \
                     build once with network access"
                );
                return Err(Failure::new(Class::Environment, message));
            }
            let manifest = prepared.manifest.as_ref().ok_or_else(|| {
                Failure::new(Class::Task, "internal error: an image without manifest")
            })?;
            let outputs = executors::fetch(
                &site.registry,
                &site.cas,
                reference,
                manifest,
                &site.transfers,
                &site.fetching,
            )
            .await?;
            Ok(outputs.into())
        }
        Work::Images { images } => {
            let mut fetched = Vec::new();
            for (reference, step) in images {
                let (manifest, done) = image_of(results, step)?;
                fetched.push(FetchedImage {
                    reference: reference.clone(),
                    manifest: manifest.clone(),
                    outputs: done.outputs.clone(),
                });
            }
            let cas = Arc::clone(&site.cas);
            let outputs = blocking(move || Ok(executors::assemble(&cas, &fetched)?)).await?;
            Ok(outputs.into())
        }
        Work::ImageSbom { reference, of } => {
            let (manifest, _) = image_of(results, of)?;
            image_sbom(site, reference, manifest).await
        }
        Work::ComponentSbom { name, of: step } => {
            let Some(tar) = of(results, step)?.outputs.first().cloned() else {
                return Ok(Made::default());
            };
            let (cas, name) = (Arc::clone(&site.cas), name.clone());
            let output =
                blocking(move || Ok(executors::component_sbom(&cas, &name, &tar)?)).await?;
            Ok(vec![output].into())
        }
        Work::Package(work) => package(site, work, results).await,
    }
}

async fn pinned(
    site: &Arc<Site>,
    folder: &Path,
    reference: &Reference,
    platform: &Platform,
) -> Result<ImagePin, Failure> {
    let (name, wanted) = (reference.to_string(), platform.to_string());
    let known = site.pins(folder, |lock| lock.image(&name, &wanted).cloned())?;
    if let Some(pin) = known {
        return Ok(pin);
    }
    if let Some(failure) = site.unpinned(&name, folder) {
        return Err(failure);
    }
    let found = executors::resolve(&site.registry, reference, platform).await?;
    let pin = ImagePin {
        index: found.index,
        manifest: found.manifest,
    };
    site.pins(folder, |lock| lock.pin_image(&name, &wanted, pin.clone()))?;
    Ok(pin)
}

/// Everything in a definition's component that decides its tar's bytes: not
/// its description, its images, or the order of other keys.
fn component_settings(component: &Component) -> Vec<(String, String)> {
    let mut settings = vec![("name".to_owned(), component.name.clone())];
    for (index, file) in component.files.iter().enumerate() {
        let at = |key: &str| format!("files.{index}.{key}");
        let File {
            source,
            shasum,
            target,
            executable,
            extract_path,
            ..
        } = file;
        settings.push((at("source"), source.clone()));
        settings.push((at("shasum"), shasum.clone()));
        settings.push((at("target"), target.clone()));
        settings.push((at("executable"), executable.to_string()));
        settings.push((at("extractPath"), extract_path.clone()));
    }
    for (index, data) in component.data_injections.iter().enumerate() {
        let at = |key: &str| format!("dataInjections.{index}.{key}");
        settings.push((at("source"), data.source.clone()));
        settings.push((at("target.path"), data.target.path.clone()));
    }
    for (index, manifest) in component.manifests.iter().enumerate() {
        let at = |key: &str| format!("manifests.{index}.{key}");
        settings.push((at("name"), manifest.name.clone()));
        for file in &manifest.files {
            settings.push((at("file"), file.clone()));
        }
    }
    settings
}

fn sources(component: &Component) -> impl Iterator<Item = &str> {
    let files = component.files.iter().map(|file| &file.source);
    let data = component.data_injections.iter().map(|data| &data.source);
    let manifests = component.manifests.iter().flat_map(|m| &m.files);
    files.chain(data).chain(manifests).map(String::as_str)
}

fn component_action(site: &Site, folder: &Path, component: &Component) -> Result<Action, Failure> {
    let mut action = Action::new("component", COMPONENT_FORMAT);
    action.settings = component_settings(component);
    let mut entries: Vec<Entry> = Vec::new();
    for source in sources(component) {
        executors::inside(source)?;
        entries.extend(workspace::list(folder, source)?);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries.dedup_by(|a, b| a.path == b.path);
    action.inputs = inputs(site, folder, &entries)?;
    Ok(action)
}

/// Entries as inputs, files by their digests.
fn inputs(site: &Site, root: &Path, entries: &[Entry]) -> Result<Vec<Input>, Failure> {
    let files: Vec<&Entry> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::File { .. }))
        .collect();
    let mut digests = site.digests(root, &files)?.into_iter();
    let mut inputs = Vec::with_capacity(entries.len());
    for entry in entries {
        let kind = match &entry.kind {
            Kind::File { executable } => InputKind::File {
                digest: digests.next().ok_or_else(|| {
                    Failure::new(Class::Task, "internal error: fewer digests than files")
                })?,
                executable: *executable,
            },
            Kind::Link { target } => InputKind::Symlink {
                target: target.clone(),
            },
            Kind::Directory => InputKind::Directory,
        };
        inputs.push(Input {
            path: entry.path.clone(),
            kind,
        });
    }
    Ok(inputs)
}

fn component_tar(
    cas: &crate::cas::Cas,
    folder: &Path,
    component: &Component,
    name: String,
) -> Result<Made, Failure> {
    let ingest = cas.ingest()?;
    let remote = BTreeMap::new();
    let Some(ingest) = executors::write_component(folder, component, &remote, cas, ingest)? else {
        return Ok(Made::default());
    };
    let (digest, size) = ingest.commit()?;
    Ok(vec![Output { name, digest, size }].into())
}

async fn image_sbom(
    site: &Arc<Site>,
    reference: &str,
    manifest: &Descriptor,
) -> Result<Made, Failure> {
    let cas = Arc::clone(&site.cas);
    let descriptor = manifest.clone();
    let parsed: Option<Manifest> = blocking(move || {
        let bytes = executors::read_document(&cas, &descriptor)?;
        if !executors::is_container(&bytes) {
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
                let output = blocking(move || Ok(executors::scan_layer(&cas, &layer)?)).await?;
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
        blocking(move || Ok(executors::image_sbom(&cas, &reference, &manifest, &layers)?)).await?;
    Ok(vec![output].into())
}

fn package_action(work: &PackageWork, results: &Results) -> Result<Action, Failure> {
    let mut action = Action::new("package", PACKAGE_FORMAT);
    let set = |key: &str, value: String| (key.to_owned(), value);
    action.settings = vec![
        set("jackal", env!("CARGO_PKG_VERSION").to_owned()),
        set("definition", work.definition.to_yaml()),
        set("timestamp", work.build.timestamp.to_string()),
        set("terminal", format!("{:?}", work.build.terminal)),
        set("user", format!("{:?}", work.build.user)),
    ];
    let parts = work.components.iter().chain(&work.sboms);
    for (name, step) in parts {
        for output in &of(results, step)?.outputs {
            action.inputs.push(Input {
                path: format!("{step} as {name}"),
                kind: InputKind::Blob {
                    digest: output.digest,
                },
            });
        }
    }
    if let Some(step) = &work.images {
        for output in &of(results, step)?.outputs {
            action.inputs.push(blob(step, output));
        }
    }
    Ok(action)
}

/// Outputs of a package step that are compressed frames of a member, not members.
const FRAMES: &str = "frames:";

async fn package(site: &Arc<Site>, work: &PackageWork, results: &Results) -> Result<Made, Failure> {
    let mut parts = Vec::new();
    for (name, step) in &work.components {
        for output in &of(results, step)?.outputs {
            parts.push(Part {
                path: format!("components/{name}.tar"),
                digest: output.digest,
                size: output.size,
            });
        }
    }
    if let Some(step) = &work.images {
        for output in &of(results, step)?.outputs {
            parts.push(Part {
                path: output.name.clone(),
                digest: output.digest,
                size: output.size,
            });
        }
    }
    let mut documents = Vec::new();
    for (file, step) in &work.sboms {
        for output in &of(results, step)?.outputs {
            documents.push((file.clone(), output.clone()));
        }
    }
    let cas = Arc::clone(&site.cas);
    let build = BuildData {
        timestamp: work.build.timestamp,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: work.definition.metadata.architecture.clone(),
        terminal: work.build.terminal.clone(),
        user: work.build.user.clone(),
    };
    let definition = work.definition.clone();
    let scanned = !work.sboms.is_empty();
    let members = blocking(move || {
        if scanned {
            let tar = executors::sboms_tar(&cas, &documents)?;
            parts.push(Part {
                path: "sboms.tar".into(),
                digest: tar.digest,
                size: tar.size,
            });
        }
        Ok(executors::package(&cas, definition, parts, &build)?)
    })
    .await?;
    let mut outputs = members.clone();
    if !work.definition.metadata.uncompressed {
        for member in &members {
            outputs.extend(frames(site, member).await?);
        }
    }
    Ok(outputs.into())
}

async fn frames(site: &Arc<Site>, member: &Output) -> Result<Option<Output>, Failure> {
    let mut action = Action::new("compress", FRAMES_FORMAT);
    // Whether a member is worth compressing is decided by its path.
    let layer = member.name.starts_with("images/blobs/");
    action.settings.push(("layer".into(), layer.to_string()));
    action.inputs.push(Input {
        path: "member".into(),
        kind: InputKind::Blob {
            digest: member.digest,
        },
    });
    if layer {
        return Ok(None);
    }
    let (cas, member) = (Arc::clone(&site.cas), member.clone());
    let name = format!("{FRAMES}{}", member.name);
    let performed = site
        .perform(&action, || async move {
            let frames = blocking(move || Ok(executors::compress_member(&cas, &member)?)).await?;
            Ok(frames.into_iter().collect::<Vec<_>>().into())
        })
        .await?;
    let found = performed.result.outputs.into_iter().next();
    Ok(found.map(|output| Output { name, ..output }))
}

/// A package's members, each with its frames.
pub(super) fn members(outputs: &[Output]) -> Vec<(Output, Option<Output>)> {
    let frames: BTreeMap<&str, &Output> = outputs
        .iter()
        .filter_map(|output| Some((output.name.strip_prefix(FRAMES)?, output)))
        .collect();
    outputs
        .iter()
        .filter(|output| !output.name.starts_with(FRAMES))
        .map(|output| {
            let frames = frames.get(output.name.as_str()).map(|o| (*o).clone());
            (output.clone(), frames)
        })
        .collect()
}
