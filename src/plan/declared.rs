//! From a pipeline's task instances to steps.
//!
//! One instance may need several steps: an `images` task fetches each image on
//! its own, so that an image's SBOM starts while another image still comes in.

mod packages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ground::folders::Folders;
use crate::kinds::Work;
use crate::kinds::image::{BuildWork, ImportWork, LayerWork, PullWork};
use crate::kinds::images::ImagesWork;
use crate::kinds::package::BuildFacts;
use crate::kinds::run::{RunWork, SecretValue};
use crate::kinds::sbom::{ComponentSbomWork, ImageSbomWork};
use crate::oci::{Platform, Reference};
use crate::package::Definition;
use crate::pipeline::verb::{ImageLayer, ImageSource, ImagesFrom, LayerSource};
use crate::pipeline::{Instance, RenderedOutput, Sandbox, Secret, Verb};
use crate::plan::parts::Order;
use crate::plan::{Plan, PlanError, Step, When};
use crate::sbom::names;

/// What a pipeline's steps are made with.
pub struct Declared<'d> {
    /// The pipeline file's folder: its paths are relative to it.
    pub folder: PathBuf,
    /// The pipeline's name.
    pub name: String,
    /// What the user chose, for provenance.
    pub parameters: BTreeMap<String, String>,
    /// The definition of each instance that names one, by the instance.
    pub definitions: &'d BTreeMap<String, Composed>,
    /// Where archives go.
    pub output: PathBuf,
    /// For the build section of packages.
    pub build: BuildFacts,
    /// Largest size of one archive file, in bytes.
    pub split: Option<u64>,
    /// Architecture of packages and images that name none.
    pub architecture: Option<String>,
    /// The environment, for variables that are passed through.
    pub environment: &'d BTreeMap<String, String>,
    /// Folders that tools are looked up in.
    pub path: Vec<PathBuf>,
}

/// A definition with nothing left to import or fill in.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The definition.
    pub definition: Definition,
    /// Folders of imported definitions, by their path from the package's.
    pub imported: BTreeMap<String, PathBuf>,
}

/// The images an instance stands for: reference and the step that brings each.
type Images = Vec<(String, String)>;

struct Declaring<'d> {
    how: &'d Declared<'d>,
    by_id: BTreeMap<&'d str, &'d Instance>,
    images: BTreeMap<String, Images>,
    sboms: BTreeMap<String, Vec<(String, String)>>,
    generated: Arc<BTreeSet<String>>,
}

impl Plan {
    /// Adds the steps of a pipeline's instances.
    ///
    /// # Errors
    ///
    /// [`PlanError`]
    pub fn declare(&mut self, instances: &[Instance], how: &Declared<'_>) -> Result<(), PlanError> {
        let outputs = instances.iter().flat_map(|instance| &instance.outputs);
        let mut declaring = Declaring {
            how,
            by_id: instances.iter().map(|i| (i.id.as_str(), i)).collect(),
            images: BTreeMap::new(),
            sboms: BTreeMap::new(),
            generated: Arc::new(outputs.map(|output| output.full.clone()).collect()),
        };
        // Images first, then what catalogues them, what packs both, and what
        // publishes that.
        let rank = |instance: &&Instance| match &instance.verb {
            Verb::Image(_) => 0,
            Verb::Sbom(_) => 2,
            Verb::Package(_) => 3,
            Verb::Sign(_) => 4,
            Verb::Publish(_) => 5,
            _ => 1,
        };
        let mut ordered: Vec<&Instance> = instances.iter().collect();
        ordered.sort_by_key(rank);
        for instance in ordered {
            declaring.instance(self, instance)?;
        }
        Ok(())
    }
}

impl Declaring<'_> {
    fn instance(&mut self, plan: &mut Plan, instance: &Instance) -> Result<(), PlanError> {
        match &instance.verb {
            Verb::Component(verb) => {
                let (definition, name) = (&verb.definition, &verb.name);
                let composed = self.composed(instance, definition)?;
                let component = composed
                    .definition
                    .components
                    .iter()
                    .find(|component| component.name == *name)
                    .ok_or_else(|| PlanError::NoComponent {
                        task: instance.id.clone(),
                        definition: definition.clone(),
                        name: name.clone(),
                    })?;
                let folders = Folders {
                    own: self.beside(definition),
                    imported: composed.imported.clone(),
                };
                // A pipeline says itself what comes before what.
                let mut order = Order::default();
                let step = |id, after, work| self.step(instance, id, after, work);
                plan.component(&instance.id, folders, component, &mut order, step)?;
            }
            Verb::Images(verb) => {
                self.images_task(plan, instance, &verb.from, verb.platform.as_deref())?;
            }
            Verb::Image(verb) => {
                let platform = self.platform(instance, verb.platform.as_deref())?;
                let mut after = Vec::new();
                let base = match &verb.base {
                    ImageSource::Scratch => None,
                    ImageSource::Task(task) => Some(self.one_image(instance, task)?),
                    ImageSource::Reference(text) => {
                        let reference = reference(instance, text)?;
                        let id = format!("{}:base", instance.id);
                        let work = Work::from(PullWork {
                            folder: self.how.folder.clone(),
                            reference,
                            platform: platform.clone(),
                            fresh: instance.settings.cache.fresh,
                        });
                        plan.add(self.step(instance, id.clone(), Vec::new(), work));
                        Some(id)
                    }
                };
                after.extend(base.clone());
                let mut made = Vec::new();
                for layer in &verb.layers {
                    made.extend(self.layers(instance, layer)?);
                }
                let work = Work::from(BuildWork {
                    folder: self.how.folder.clone(),
                    base,
                    platform,
                    layers: made,
                    config: verb.config.clone(),
                });
                plan.add(self.step(instance, instance.id.clone(), after, work));
                let name = self.local_name(&instance.id);
                let list = vec![(name, instance.id.clone())];
                self.images.insert(instance.id.clone(), list);
            }
            Verb::Sbom(verb) => self.sbom_task(plan, instance, &verb.of)?,
            Verb::Package(verb) => self.package_task(plan, instance, verb)?,
            Verb::Sign(verb) => self.sign_task(plan, instance, verb)?,
            Verb::Publish(verb) => self.publish_task(plan, instance, verb)?,
            Verb::Run(verb) => {
                let passed = instance.pass_through.iter().filter_map(|name| {
                    Some((name.clone(), self.how.environment.get(name)?.clone()))
                });
                let work = Work::from(RunWork {
                    folder: self.how.folder.clone(),
                    argv: verb.argv.clone(),
                    shell: verb.shell.clone(),
                    globs: instance.input_globs.clone(),
                    generated: Arc::clone(&self.generated),
                    input_tasks: instance.input_tasks.clone(),
                    input_values: instance.input_values.clone(),
                    env: instance.env.clone(),
                    pass_through: passed.collect(),
                    pass_through_names: instance.pass_through.clone(),
                    secrets: self.secrets(instance),
                    tools: instance.settings.tools.clone(),
                    path: self.how.path.clone(),
                    outputs: instance.outputs.clone(),
                    workdir: instance.workdir.clone(),
                    timeout: instance.settings.timeout,
                    grace: instance.settings.grace,
                    sandbox: self.sandbox(instance),
                    platform: self.platform(instance, None)?,
                });
                plan.add(self.step(instance, instance.id.clone(), Vec::new(), work));
            }
        }
        Ok(())
    }

    /// A build server has nobody to read a warning.
    fn sandbox(&self, instance: &Instance) -> Sandbox {
        let server = self
            .how
            .environment
            .get("CI")
            .is_some_and(|ci| ci == "true");
        match instance.settings.sandbox {
            Sandbox::Warn if server => Sandbox::Strict,
            sandbox => sandbox,
        }
    }

    fn secrets(&self, instance: &Instance) -> BTreeMap<String, SecretValue> {
        let secrets = instance.settings.secrets.iter().map(|(name, secret)| {
            let value = match secret {
                Secret::File(path) => SecretValue::File(self.how.folder.join(path)),
                Secret::Env(variable) => match self.how.environment.get(variable) {
                    Some(text) => SecretValue::Text(text.clone()),
                    None => SecretValue::Missing(variable.clone()),
                },
            };
            (name.clone(), value)
        });
        secrets.collect()
    }

    fn step(&self, instance: &Instance, id: String, mut after: Vec<String>, work: Work) -> Step {
        for on in &instance.depends_on {
            // An `sbom` instance has a step for each document, none of its own.
            match self.sboms.get(on) {
                Some(documents) => after.extend(documents.iter().map(|(_, step)| step.clone())),
                None if *on != id => after.push(on.clone()),
                None => {}
            }
        }
        after.sort();
        after.dedup();
        Step {
            id,
            after,
            work,
            pool: instance.settings.pool.clone(),
            mutex: instance.settings.mutex.clone(),
            retries: instance.settings.retries.clone(),
            resources: instance.settings.resources,
            priority: instance.settings.priority,
            when: When {
                success: instance.runs_after.success,
                failure: instance.runs_after.failure,
                skipped: instance.runs_after.skipped,
            },
            cached: instance.settings.cached(),
            salts: instance.salts.clone(),
            tags: instance.settings.tags.clone(),
            // Without a task before it there is no failure to run after.
            skipped: instance.skipped
                || instance.depends_on.is_empty() && !instance.runs_after.success,
            may_fail: instance.settings.continue_on_error,
        }
    }

    fn composed(&self, instance: &Instance, path: &str) -> Result<&Composed, PlanError> {
        self.how
            .definitions
            .get(&instance.id)
            .ok_or_else(|| PlanError::NoDefinition {
                task: instance.id.clone(),
                definition: path.to_owned(),
            })
    }

    fn beside(&self, definition: &str) -> PathBuf {
        let path = self.how.folder.join(definition);
        path.parent().unwrap_or(Path::new(".")).to_owned()
    }

    fn platform(&self, instance: &Instance, given: Option<&str>) -> Result<Platform, PlanError> {
        let host = || {
            let architecture = self.how.architecture.as_deref();
            format!(
                "linux/{}",
                architecture.unwrap_or(super::implied::host_architecture())
            )
        };
        let text = given
            .or(instance.platform.as_deref())
            .filter(|text| *text != "any");
        let text = text.map_or_else(host, str::to_owned);
        text.parse()
            .map_err(|_| PlanError::Architecture(text.clone()))
    }

    /// The reference under which an image built here stands in a package.
    fn local_name(&self, task: &str) -> String {
        let word = |text: &str| -> String {
            let lower = text.to_ascii_lowercase();
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            lower
                .chars()
                .map(plain)
                .collect::<String>()
                .trim_matches('-')
                .to_owned()
        };
        format!("localhost/{}/{}:latest", word(&self.how.name), word(task))
    }

    fn one_image(&self, instance: &Instance, task: &str) -> Result<String, PlanError> {
        match self.images.get(task).map(Vec::as_slice) {
            Some([(_, step)]) => Ok(step.clone()),
            _ => Err(PlanError::NoImage {
                task: instance.id.clone(),
                of: task.to_owned(),
            }),
        }
    }

    fn layers(&self, instance: &Instance, layer: &ImageLayer) -> Result<Vec<LayerWork>, PlanError> {
        let owner = match &layer.owner {
            None => None,
            Some(text) => Some(owner(text).ok_or_else(|| PlanError::Owner {
                task: instance.id.clone(),
                owner: text.clone(),
            })?),
        };
        let work = |source: String, to: String| LayerWork {
            source,
            to,
            owner,
            mode: layer.mode,
        };
        Ok(match &layer.from {
            LayerSource::Path(path) => vec![work(path.clone(), layer.to.clone())],
            LayerSource::Task(task) => {
                let outputs: &[RenderedOutput] = self
                    .by_id
                    .get(task.as_str())
                    .map_or(&[], |of| of.outputs.as_slice());
                if outputs.is_empty() {
                    return Err(PlanError::NoOutputs {
                        task: instance.id.clone(),
                        of: task.clone(),
                    });
                }
                outputs
                    .iter()
                    .map(|output| {
                        let name = output.full.rsplit('/').next().unwrap_or_default();
                        // One folder gives its content, several things their names.
                        let to = if output.directory && outputs.len() == 1 {
                            layer.to.clone()
                        } else {
                            format!("{}/{name}", layer.to.trim_end_matches('/'))
                        };
                        work(output.full.clone(), to)
                    })
                    .collect()
            }
        })
    }

    fn images_task(
        &mut self,
        plan: &mut Plan,
        instance: &Instance,
        from: &ImagesFrom,
        platform: Option<&str>,
    ) -> Result<(), PlanError> {
        let platform = self.platform(instance, platform)?;
        let mut images = BTreeMap::new();
        let mut wanted = Vec::new();
        match from {
            ImagesFrom::Definition(path) => {
                for component in &self.composed(instance, path)?.definition.components {
                    wanted.extend(component.images.iter().cloned());
                    // Archives are named from the definition's folder.
                    let beside = Path::new(path).parent().unwrap_or(Path::new(""));
                    for archive in &component.image_archives {
                        let file = beside.join(&archive.path);
                        let named = |image| format!("oci-archive:{}:{image}", file.display());
                        wanted.extend(archive.images.iter().map(named));
                    }
                }
            }
            ImagesFrom::List(list) => {
                for source in list {
                    match source {
                        ImageSource::Scratch => {}
                        ImageSource::Reference(text) => wanted.push(text.clone()),
                        ImageSource::Task(task) => {
                            let found =
                                self.images.get(task).ok_or_else(|| PlanError::NoImage {
                                    task: instance.id.clone(),
                                    of: task.clone(),
                                })?;
                            images.extend(found.iter().cloned());
                        }
                    }
                }
            }
        }
        for text in wanted {
            if let Some(rest) = on_disk(&text) {
                let unnamed = || PlanError::Unnamed {
                    task: instance.id.clone(),
                    image: text.clone(),
                };
                let (path, name) = rest.split_once(':').ok_or_else(unnamed)?;
                let full = reference(instance, name)?;
                let id = format!("{}:{full}", instance.id);
                let work = Work::from(ImportWork {
                    folder: self.how.folder.clone(),
                    path: path.trim_end_matches('/').to_owned(),
                    reference: full.clone(),
                    platform: platform.clone(),
                });
                plan.add(self.step(instance, id.clone(), Vec::new(), work));
                images.insert(full.to_string(), id);
                continue;
            }
            let full = reference(instance, &text)?;
            // Built here: not to be asked of a registry.
            let local = self
                .images
                .values()
                .flatten()
                .find(|(name, _)| *name == full.to_string());
            if let Some((name, step)) = local {
                images.insert(name.clone(), step.clone());
                continue;
            }
            let id = format!("{}:{full}", instance.id);
            let work = Work::from(PullWork {
                folder: self.how.folder.clone(),
                reference: full.clone(),
                platform: platform.clone(),
                fresh: instance.settings.cache.fresh,
            });
            plan.add(self.step(instance, id.clone(), Vec::new(), work));
            images.insert(full.to_string(), id);
        }
        let images: Images = images.into_iter().collect();
        let after = images.iter().map(|(_, step)| step.clone()).collect();
        let work = Work::from(ImagesWork {
            images: images.clone(),
        });
        plan.add(self.step(instance, instance.id.clone(), after, work));
        self.images.insert(instance.id.clone(), images);
        Ok(())
    }

    fn sbom_task(
        &mut self,
        plan: &mut Plan,
        instance: &Instance,
        of: &[String],
    ) -> Result<(), PlanError> {
        let mut documents = Vec::new();
        for subject in of {
            if let Some(images) = self.images.get(subject) {
                for (reference, step) in images.clone() {
                    let id = format!("{}:{reference}", instance.id);
                    let work = Work::from(ImageSbomWork {
                        reference: reference.clone(),
                        of: step.clone(),
                    });
                    plan.add(self.alone(instance, &id, &step, work));
                    documents.push((names::image(&reference), id));
                }
                continue;
            }
            match self.by_id.get(subject.as_str()).map(|found| &found.verb) {
                Some(Verb::Component(verb)) => {
                    let name = &verb.name;
                    let id = format!("{}:{name}", instance.id);
                    let work = Work::from(ComponentSbomWork {
                        name: name.clone(),
                        of: subject.clone(),
                    });
                    plan.add(self.alone(instance, &id, subject, work));
                    documents.push((names::component(name), id));
                }
                _ => {
                    return Err(PlanError::NoImage {
                        task: instance.id.clone(),
                        of: subject.clone(),
                    });
                }
            }
        }
        super::implied::distinct(&documents)?;
        self.sboms.insert(instance.id.clone(), documents);
        Ok(())
    }

    /// A step that waits for its subject only: it starts as soon as that is there.
    fn alone(&self, instance: &Instance, id: &str, on: &str, work: Work) -> Step {
        Step {
            after: vec![on.to_owned()],
            ..self.step(instance, id.to_owned(), Vec::new(), work)
        }
    }
}

/// What stands behind the name of a transport, written as skopeo does. The
/// kind of the source is told by its content.
fn on_disk(text: &str) -> Option<&str> {
    ["oci:", "oci-archive:", "docker-archive:"]
        .iter()
        .find_map(|transport| text.strip_prefix(transport))
}

fn reference(instance: &Instance, text: &str) -> Result<Reference, PlanError> {
    text.parse().map_err(|source| PlanError::Reference {
        component: instance.id.clone(),
        image: text.to_owned(),
        source,
    })
}

/// `uid:gid` in numbers.
fn owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Some((user.parse().ok()?, group.parse().ok()?))
}
