//! What each kind of step does: the action that names its result, and the
//! making of it.

mod actions_step;
pub(super) mod chart_step;
mod component_step;
mod image_step;
pub(super) mod package_step;
pub(super) mod part_step;
pub(super) mod publish_step;
pub(super) mod remote_chart;
pub(super) mod run_step;
mod sbom_step;
pub(super) mod sign_step;
mod wait;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::action::{Action, ActionKey, ActionResult, Input, InputKind, Output, diff};
use crate::exec::executors::{self, FetchedImage};
use crate::exec::lockfile::ImagePin;
use crate::exec::plan::{PartWork, Step, Work};
use crate::exec::site::{Made, Performed, Site, blocking, computing};
use crate::exec::{Class, Failure};
use crate::oci::{Descriptor, Platform, Reference, media_type};
use crate::sbom::CATALOGUE_VERSION;
use crate::workspace::{Entry, Kind};

/// Versions of what each verb writes; raised when its bytes change.
const IMAGE_FORMAT: u32 = 1;
const IMAGES_FORMAT: u32 = 1;

/// What a finished step left for those after it.
#[derive(Clone, Debug, Default)]
pub(in crate::exec) struct Done {
    /// Its outputs.
    pub(in crate::exec) outputs: Vec<Output>,
    /// The manifest, if it made or brought an image.
    pub(in crate::exec) manifest: Option<Descriptor>,
    /// Under which key the result may be remembered, also elsewhere: its
    /// outputs are all there is to it.
    pub(in crate::exec) key: Option<ActionKey>,
    /// What was carried out, or would have been.
    pub(in crate::exec) action: Option<Action>,
}

/// Finished steps by name.
pub(in crate::exec) type Results = BTreeMap<String, Arc<Done>>;

/// A step that could be run now.
pub(in crate::exec) struct Prepared {
    /// Names its result.
    pub(in crate::exec) action: Action,
    /// The image it is about.
    manifest: Option<Descriptor>,
}

fn of<'r>(results: &'r Results, step: &str) -> Result<&'r Arc<Done>, Failure> {
    results.get(step).ok_or_else(|| {
        Failure::new(
            Class::Task,
            format!("it needs what `{step}` makes, which failed or was skipped"),
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
pub(in crate::exec) async fn prepare(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
) -> Result<Prepared, Failure> {
    let mut manifest = None;
    let mut action = match &step.work {
        Work::Component {
            folders,
            component,
            parts,
        } => component_step::action(site, folders, component, parts, results).await?,
        Work::Chart { folders, chart } => chart_step::action(site, folders, chart).await?,
        Work::Actions(work) => actions_step::action(work),
        Work::Part(work) => part_step::action(site, work).await?,
        Work::Image {
            folder,
            reference,
            platform,
            fresh,
        } => {
            let pin = pinned(site, folder, reference, platform, *fresh).await?;
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
        Work::Package(work) => package_step::action(work, results)?,
        Work::Sign(work) => sign_step::action(work, results).await?,
        Work::Publish(work) => publish_step::action(work, results)?,
        Work::BuildImage(work) => image_step::action(site, work, results).await?,
        Work::Import {
            folder,
            path,
            reference,
            platform,
        } => image_step::import_action(site, folder, path, reference, platform).await?,
        Work::Run(work) => run_step::action(site, work, results).await?,
    };
    let salts = step.salts.iter();
    action
        .settings
        .extend(salts.map(|salt| ("salt".to_owned(), salt.clone())));
    Ok(Prepared { action, manifest })
}

/// The result of a prepared step, remembered or made now.
pub(in crate::exec) async fn perform(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    results: &Results,
) -> Result<Performed, Failure> {
    if step.cached {
        return site
            .perform(&prepared.action, || sound(site, step, prepared, results))
            .await;
    }
    let made = sound(site, step, prepared, results).await?;
    Ok(Performed {
        result: ActionResult {
            outputs: made.outputs,
            log: made.log.map(|log| log.digest),
            wall_ms: 0,
        },
        cached: false,
        log: made.text,
        fetched: made.fetched,
    })
}

/// Makes a part outside of a plan, or remembers it.
pub(in crate::exec) async fn part(site: &Arc<Site>, work: &PartWork) -> Result<Output, Failure> {
    let action = part_step::action(site, work).await?;
    let performed = site
        .perform(&action, || part_step::make(site, work))
        .await?;
    let made = performed.result.outputs.into_iter().next();
    made.ok_or_else(|| Failure::new(Class::Task, "a step made nothing"))
}

/// What the step leaves for those after it.
pub(in crate::exec) fn done(step: &Step, prepared: &Prepared, performed: &Performed) -> Done {
    let outputs = performed.result.outputs.clone();
    let built = || {
        let docker = image_step::DOCKER_MANIFEST;
        let mut found = outputs.iter();
        let made = found.find(|output| output.name == "manifest" || output.name == docker)?;
        let kind = if made.name == docker {
            media_type::DOCKER_MANIFEST
        } else {
            media_type::MANIFEST
        };
        Some(Descriptor {
            media_type: kind.to_owned(),
            ..Descriptor::blob(made.digest, made.size)
        })
    };
    let manifest = match &step.work {
        Work::BuildImage(_) | Work::Import { .. } => built(),
        _ => prepared.manifest.clone(),
    };
    // A command's outputs are trees, which speak of further blobs.
    // What somebody signed, he signs himself elsewhere.
    let travels = step.cached && !matches!(step.work, Work::Run(_) | Work::Sign(_));
    Done {
        outputs,
        manifest,
        key: travels.then(|| prepared.action.key()),
        action: Some(prepared.action.clone()),
    }
}

/// Makes the result, and refuses it if a source is not what it was when the
/// key was made: old bytes in the key and new ones in the result would be
/// remembered for good.
async fn sound(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    results: &Results,
) -> Result<Made, Failure> {
    let made = make(site, step, prepared, results).await?;
    // A command's own inputs are looked at again where it is run.
    if matches!(
        step.work,
        Work::Component { .. }
            | Work::Chart { .. }
            | Work::Part(_)
            | Work::BuildImage(_)
            | Work::Import { .. }
    ) {
        let now = prepare(site, step, results).await?.action;
        let reasons = diff(&prepared.action.explain(), &now.explain());
        if let Some(reason) = reasons.first() {
            let message = format!(
                "{reason} while it was packed: wait until nothing writes to it, then build again"
            );
            return Err(Failure::new(Class::Task, message));
        }
    }
    Ok(made)
}

async fn make(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    results: &Results,
) -> Result<Made, Failure> {
    match &step.work {
        Work::Component {
            folders,
            component,
            parts,
        } => component_step::make(site, folders, component, parts, results, &step.id).await,
        Work::Chart { folders, chart } => chart_step::make(site, folders, chart).await,
        Work::Actions(work) => actions_step::make(site, work).await,
        Work::Part(work) => part_step::make(site, work).await,
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
            let fetched = executors::fetch(
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
            sbom_step::image(site, reference, manifest).await
        }
        Work::ComponentSbom { name, of: step } => {
            let Some(tar) = of(results, step)?.outputs.first().cloned() else {
                return Ok(Made::default());
            };
            let (cas, name) = (Arc::clone(&site.cas), name.clone());
            let output =
                computing(move || Ok(executors::component_sbom(&cas, &name, &tar)?)).await?;
            Ok(vec![output].into())
        }
        Work::Package(work) => package_step::make(site, work, results).await,
        Work::Sign(work) => sign_step::make(site, work, results).await,
        Work::Publish(work) => publish_step::make(site, work, results).await,
        Work::BuildImage(work) => image_step::make(site, work, results).await,
        Work::Import {
            folder,
            path,
            reference,
            platform,
        } => image_step::import(site, folder, path, reference, platform).await,
        Work::Run(work) => run_step::make(site, step, work, results).await,
    }
}

async fn pinned(
    site: &Arc<Site>,
    folder: &Path,
    reference: &Reference,
    platform: &Platform,
    fresh: Option<Duration>,
) -> Result<ImagePin, Failure> {
    let (name, wanted) = (reference.to_string(), platform.to_string());
    let known = site.pins(folder, |lock| lock.image(&name, &wanted).cloned())?;
    let pinned_only = site.wishes.locked || site.wishes.offline;
    let asked = format!("{}\n{name}\n{wanted}", folder.display());
    if let Some(pin) = known {
        let stale = |age| !pinned_only && site.asked_before(&asked, age);
        if !fresh.is_some_and(stale) {
            return Ok(pin);
        }
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
    if fresh.is_some() {
        site.asked_now(&asked);
    }
    Ok(pin)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::Cas;
    use crate::exec::site::Wishes;
    use crate::package::{Component, File};
    use crate::registry::{Options, Registry};

    #[tokio::test]
    async fn a_source_that_changes_after_its_key_was_made_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(&dir.path().join("cache")).unwrap());
        let registry = Registry::new(Options::default()).unwrap();
        let site = Site::new(cas, registry, dir.path(), Wishes::default());
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let component = Component {
            name: "c".into(),
            files: vec![File {
                source: "f".into(),
                target: "/f".into(),
                ..File::default()
            }],
            ..Component::default()
        };
        let work = Work::Component {
            folders: dir.path().to_owned().into(),
            component: Box::new(component),
            parts: Vec::new(),
        };
        let step = Step::new("component:c".into(), Vec::new(), work);
        let results = Results::new();
        let prepared = prepare(&site, &step, &results).await.unwrap();
        std::fs::write(dir.path().join("f"), "new!").unwrap();
        let refused = perform(&site, &step, &prepared, &results)
            .await
            .unwrap_err();
        assert!(
            refused.message.contains("file `f` changed while"),
            "{refused}"
        );
        assert!(site.remembered(&prepared.action).unwrap().is_none());
        let again = prepare(&site, &step, &results).await.unwrap();
        assert!(perform(&site, &step, &again, &results).await.is_ok());
    }
}
