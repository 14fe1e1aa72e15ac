//! From task instances to steps, for implied and written pipelines alike.
//!
//! One instance may need several steps: an `images` task fetches each image on
//! its own, so that an image's SBOM can start before the last image is fetched.

mod images;
mod packages;
mod paths;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::graph::Graph;
use crate::ground::folders::Folders;
use crate::kinds::run::Generated;
use crate::kinds::{self, Around, Work};
use crate::oci::{Platform, host_architecture};
use crate::package::{Definition, ImportedCommands};
use crate::pipeline::verb::Component;
use crate::pipeline::{Instance, Verb};
use crate::plan::options::PlanOptions;
use crate::plan::{Plan, PlanError, Step};
use crate::yaml::SourceText;

use paths::Outputs;

/// A pipeline whose instances become steps.
pub struct Declared<'d> {
    /// The folder of the pipeline file or package: paths are relative to it.
    pub folder: PathBuf,
    pub name: &'d str,
    /// Begins the names of its tasks, where there are several folders.
    pub prefix: &'d str,
    /// Its file, for messages.
    pub source: Option<SourceText>,
    /// The definition of each instance that names one, by the instance.
    pub definitions: &'d BTreeMap<String, Arc<Composed>>,
    /// What the user chose.
    pub options: &'d PlanOptions,
}

/// A definition with nothing left to import or fill in.
#[derive(Clone, Debug)]
pub struct Composed {
    pub definition: Definition,
    /// Folders of imported definitions, by their path from the package's.
    pub imported: BTreeMap<String, PathBuf>,
    /// Commands from skeletons, by component.
    pub commands: BTreeMap<String, ImportedCommands>,
}

/// References with the steps that make or fetch each image, or file names with
/// the steps that make each document.
type Named = Vec<(String, String)>;

struct Planner<'d> {
    pipeline: &'d Declared<'d>,
    options: &'d PlanOptions,
    by_id: BTreeMap<&'d str, &'d Instance>,
    /// The images of each instance that has any.
    images: BTreeMap<String, Named>,
    /// The instances that build images, by the reference of the image.
    local: BTreeMap<String, Vec<String>>,
    /// The documents of each `sbom` instance.
    sboms: BTreeMap<String, Named>,
    /// The steps after which an instance is complete, where that is not its own.
    ends: BTreeMap<String, Vec<String>>,
    generated: Arc<Generated>,
    outputs: &'d Outputs,
    plan: &'d mut Plan,
}

impl Plan {
    /// Adds the steps of a pipeline's instances.
    ///
    /// # Errors
    ///
    /// [`PlanError`]
    pub fn declare(&mut self, instances: &[Instance], how: &Declared<'_>) -> Result<(), PlanError> {
        let made = Outputs::of(&how.folder, instances);
        let instances = made.linked(instances, how)?;
        let outputs = instances.iter().flat_map(|instance| &instance.outputs);
        let by_id: BTreeMap<&str, &Instance> =
            instances.iter().map(|i| (i.id.as_str(), i)).collect();
        let edges = |instance: &Instance| {
            let on = instance.depends_on.clone().into_iter();
            on.map(|on| (instance.id.clone(), on)).collect::<Vec<_>>()
        };
        let ids = instances.iter().map(|instance| instance.id.clone());
        let graph = Graph::build(ids, instances.iter().flat_map(edges))?;
        let built = instances
            .iter()
            .filter_map(|instance| match &instance.verb {
                Verb::Image(verb) => Some((instance, verb)),
                _ => None,
            });
        let mut local: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (instance, verb) in built {
            let name = images::named(instance, verb, how.name)?;
            local.entry(name).or_default().push(instance.id.clone());
        }
        let mut planner = Planner {
            local,
            pipeline: how,
            options: how.options,
            images: BTreeMap::new(),
            sboms: BTreeMap::new(),
            ends: BTreeMap::new(),
            generated: Arc::new(Generated::from(
                outputs
                    .map(|output| output.path.clone())
                    .collect::<BTreeSet<_>>(),
            )),
            outputs: &made,
            by_id,
            plan: self,
        };
        for id in graph.tasks() {
            if let Some(instance) = planner.by_id.get(id.as_str()) {
                planner.instance(instance)?;
            }
        }
        Ok(())
    }
}

impl Planner<'_> {
    fn instance(&mut self, instance: &Instance) -> Result<(), PlanError> {
        match &instance.verb {
            Verb::Component(verb) => self.component(instance, verb),
            Verb::Images(verb) => self.images(instance, verb),
            Verb::Image(verb) => self.image(instance, verb),
            Verb::Sbom(verb) => self.sbom(instance, verb),
            Verb::Package(verb) => self.package(instance, verb),
            Verb::Sign(verb) => self.sign(instance, verb),
            Verb::Publish(verb) => self.publish(instance, verb),
            _ => self.step(instance),
        }
    }

    fn component(&mut self, instance: &Instance, verb: &Component) -> Result<(), PlanError> {
        let composed = self.composed(instance, &verb.definition)?;
        let mut components = composed.definition.components.iter();
        let component = components
            .find(|component| component.name == verb.name)
            .ok_or_else(|| PlanError::NoComponent {
                task: instance.id.clone(),
                definition: verb.definition.clone(),
                name: verb.name.clone(),
            })?;
        let folders = Folders {
            made: self.outputs.made_for(instance, self.pipeline),
            ..self.folders(&verb.definition, &composed)
        };
        let imported = composed.commands.get(&component.name);
        let imported = imported.copied().unwrap_or_default();
        let waits = self.before(instance);
        let pipeline = self.pipeline;
        let order = self.ends_of(instance.order_only.iter());
        let step = |id, after, work| Step {
            order: order.clone(),
            ..step_of(pipeline, instance, id, after, work)
        };
        let ends = self
            .plan
            .component(&instance.id, folders, component, imported, waits, step)?;
        self.ends.insert(instance.id.clone(), ends);
        Ok(())
    }

    /// One step, which the kind of work makes of the verb by itself.
    fn step(&mut self, instance: &Instance) -> Result<(), PlanError> {
        let around = Around {
            folder: &self.pipeline.folder,
            environment: &self.options.environment,
            path: &self.options.path,
            generated: &self.generated,
            by_path: self.outputs.named_by(instance),
            source: self.pipeline.source.as_ref(),
            platform: self.platform(instance, None)?,
        };
        if let Some(work) = kinds::of_verb(instance, around) {
            self.add(instance, &instance.id, Vec::new(), work);
        }
        Ok(())
    }

    /// The steps of everything that must be complete before `instance` starts.
    fn before(&self, instance: &Instance) -> Vec<String> {
        self.ends_of(instance.depends_on.iter())
    }

    /// The steps after which `instances` are complete.
    fn ends_of<'i>(&self, instances: impl Iterator<Item = &'i String>) -> Vec<String> {
        let mut steps: Vec<String> = Vec::new();
        for on in instances {
            match self.ends.get(on) {
                Some(ends) => steps.extend(ends.iter().cloned()),
                None => steps.push(on.clone()),
            }
        }
        steps
    }

    /// Adds the step `id`, which waits for what its instance waits for and for
    /// `after`.
    fn add(&mut self, instance: &Instance, id: &str, mut after: Vec<String>, work: Work) {
        after.extend(self.before(instance));
        self.add_alone(instance, id, after, work);
    }

    /// Adds the step `id`, which waits for `after` alone.
    fn add_alone(&mut self, instance: &Instance, id: &str, after: Vec<String>, work: Work) {
        let step = step_of(self.pipeline, instance, id.to_owned(), after, work);
        self.plan.add(Step {
            order: self.ends_of(instance.order_only.iter()),
            ..step
        });
    }

    fn composed(&self, instance: &Instance, path: &str) -> Result<Arc<Composed>, PlanError> {
        let found = self.pipeline.definitions.get(&instance.id);
        found.cloned().ok_or_else(|| PlanError::NoDefinition {
            task: instance.id.clone(),
            definition: path.to_owned(),
        })
    }

    /// The folder of a definition.
    fn beside(&self, definition: &str) -> PathBuf {
        let path = self.pipeline.folder.join(definition);
        path.parent().unwrap_or(Path::new(".")).to_owned()
    }

    fn folders(&self, definition: &str, composed: &Composed) -> Folders {
        Folders {
            own: self.beside(definition),
            imported: composed.imported.clone(),
            archive: packages::archive_prefix(&composed.definition),
            made: Arc::default(),
        }
    }

    fn platform(&self, instance: &Instance, given: Option<&str>) -> Result<Platform, PlanError> {
        let text = given
            .or(instance.platform.as_deref())
            .filter(|text| *text != "any");
        let host = || {
            let architecture = self.options.architecture.as_deref();
            format!("linux/{}", architecture.unwrap_or(host_architecture()))
        };
        let text = text.map_or_else(host, str::to_owned);
        text.parse().map_err(|_| PlanError::Platform(text.clone()))
    }

    fn verb(&self, task: &str) -> Option<&Verb> {
        self.by_id.get(task).map(|found| &found.verb)
    }

    /// Refuses tasks that make no package.
    fn all_packages(&self, instance: &Instance, tasks: &[String]) -> Result<(), PlanError> {
        let package = |task: &&String| matches!(self.verb(task), Some(Verb::Package(_)));
        match tasks.iter().find(|task| !package(task)) {
            None => Ok(()),
            Some(task) => Err(PlanError::NoPackage {
                task: instance.id.clone(),
                of: task.clone(),
            }),
        }
    }
}

/// A step of `instance` with its settings.
fn step_of(
    pipeline: &Declared<'_>,
    instance: &Instance,
    id: String,
    mut after: Vec<String>,
    work: Work,
) -> Step {
    let settings = &instance.settings;
    after.sort();
    after.dedup();
    Step {
        home: pipeline.folder.clone(),
        name: id.strip_prefix(pipeline.prefix).unwrap_or(&id).to_owned(),
        id,
        after,
        order: Vec::new(),
        work,
        pool: settings.pool.clone(),
        mutex: settings.mutex.clone(),
        retries: settings.retries.clone(),
        resources: settings.resources,
        priority: settings.priority,
        // A command ends by its own limit, and in order.
        timeout: settings
            .timeout
            .filter(|_| !matches!(instance.verb, Verb::Run(_))),
        when: instance.runs_after,
        cached: settings.cached(),
        salts: instance.salts.clone(),
        tags: settings.tags.clone(),
        // Without a task before it there is no failure to run after.
        skipped: instance.skipped || instance.depends_on.is_empty() && !instance.runs_after.success,
        may_fail: settings.continue_on_error,
    }
}
