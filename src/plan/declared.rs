//! From task instances to steps, for implied and written pipelines alike.
//!
//! One instance may need several steps: an `images` task fetches each image on
//! its own, so that an image's SBOM can start before the last image is fetched.

mod images;
mod packages;
mod paths;
mod release;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::graph::{Graph, GraphError};
use crate::ground::folders::{Folders, MadePaths};
use crate::ground::generated::Generated;
use crate::ground::marks::Marks;
use crate::kinds::run::InputTask;
use crate::kinds::{self, Around, Work};
use crate::oci::{Platform, host_architecture};
use crate::package::{Definition, ImportedCommands};
use crate::pipeline::verb::Component;
use crate::pipeline::{Instance, Verb};
use crate::plan::options::PlanOptions;
use crate::plan::{Plan, PlanError, Step};
use crate::yaml::SourceText;

pub use paths::Outputs;

/// A pipeline of the workspace, whose instances become steps.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The pipeline file, or the definition.
    pub file: PathBuf,
    /// The folder of the pipeline file or package: paths are relative to it.
    pub folder: PathBuf,
    pub name: String,
    /// Begins the names of its tasks, where there are several folders.
    pub prefix: String,
    /// Its file, for messages.
    pub source: Option<SourceText>,
    pub instances: Vec<Instance>,
    /// The definition of each instance that names one, by the instance.
    pub definitions: BTreeMap<String, Arc<Composed>>,
    /// The user's choices by name, for provenance.
    pub parameters: BTreeMap<String, String>,
    /// Marks that it allows archives to have.
    pub(crate) trusts: Marks,
    /// The edges that paths make, from one task to another, with the path.
    pub path_edges: BTreeMap<(String, String), PathBuf>,
}

/// A definition with nothing left to import or fill in.
#[derive(Clone, Debug)]
pub struct Composed {
    pub definition: Definition,
    /// Folders of imported definitions, by their path from the package's.
    pub imported: BTreeMap<String, PathBuf>,
    /// Commands from skeletons, by component.
    pub commands: BTreeMap<String, ImportedCommands>,
    /// The schemas of imported values; the nearest one first.
    pub schemas: Vec<String>,
}

impl Composed {
    /// The schemas of the package's values: its own, then those of imported definitions.
    pub(crate) fn all_schemas(&self) -> Vec<String> {
        let own = Some(&self.definition.values.schema).filter(|own| !own.is_empty());
        own.into_iter().chain(&self.schemas).cloned().collect()
    }
}

/// References with the steps that make or fetch each image, or file names with
/// the steps that make each document.
type Named = Vec<(String, String)>;

struct Planner<'d> {
    /// The pipeline whose instance becomes steps now.
    unit: &'d Unit,
    options: &'d PlanOptions,
    by_id: BTreeMap<&'d str, (usize, &'d Instance)>,
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

/// What the planner knows of each unit before it makes steps.
struct Known<'d> {
    by_id: BTreeMap<&'d str, (usize, &'d Instance)>,
    local: BTreeMap<String, Vec<String>>,
}

impl<'d> Known<'d> {
    fn of(units: &'d [Unit]) -> Result<Self, PlanError> {
        let mut by_id: BTreeMap<&str, (usize, &Instance)> = BTreeMap::new();
        let mut local: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (at, unit) in units.iter().enumerate() {
            for instance in &unit.instances {
                if let Some((other, _)) = by_id.insert(&instance.id, (at, instance)) {
                    return Err(PlanError::SameTask {
                        task: instance.id.clone(),
                        one: units[other].file.clone(),
                        other: unit.file.clone(),
                    });
                }
                if let Verb::Image(verb) = &instance.verb {
                    let name = images::named(instance, verb, &unit.name)?;
                    local.entry(name).or_default().push(instance.id.clone());
                }
            }
        }
        Ok(Self { by_id, local })
    }
}

impl Plan {
    /// Adds the steps of all instances of `units`, which are linked and one graph.
    ///
    /// # Errors
    ///
    /// [`PlanError`]
    pub fn declare(
        &mut self,
        units: &[Unit],
        made: &Outputs,
        options: &PlanOptions,
    ) -> Result<(), PlanError> {
        let Known { by_id, local } = Known::of(units)?;
        let graph = match instance_graph(units) {
            Err(GraphError::Cycle { path }) => return Err(paths::of_cycle(units, path)),
            graph => graph?,
        };
        let generated: Vec<Arc<Generated>> = (units.iter())
            .map(|unit| Arc::new(made.generated(&unit.folder)))
            .collect();
        let Some(first) = units.first() else {
            return Ok(());
        };
        let mut planner = Planner {
            unit: first,
            options,
            by_id,
            images: BTreeMap::new(),
            local,
            sboms: BTreeMap::new(),
            ends: BTreeMap::new(),
            generated: Arc::default(),
            outputs: made,
            plan: self,
        };
        for id in graph.tasks() {
            if let Some((at, instance)) = planner.by_id.get(id.as_str()).copied() {
                planner.unit = &units[at];
                planner.generated = Arc::clone(&generated[at]);
                planner.instance(instance)?;
            }
        }
        Ok(())
    }
}

/// The instances of all units, with what each waits for.
fn instance_graph(units: &[Unit]) -> Result<Graph<String>, GraphError> {
    let instances = || units.iter().flat_map(|unit| &unit.instances);
    let edges = instances().flat_map(|instance| {
        let on = instance.depends_on.iter();
        on.map(|on| (instance.id.clone(), on.clone()))
    });
    Graph::build(instances().map(|instance| instance.id.clone()), edges)
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
            made: self.made_for(instance),
            ..self.folders(&verb.definition, &composed)
        };
        let imported = composed.commands.get(&component.name);
        let imported = imported.copied().unwrap_or_default();
        let waits = self.before(instance);
        let unit = self.unit;
        let order = self.ends_of(instance.order_only.iter());
        let step = |id, after, work| Step {
            order: order.clone(),
            ..step_of(unit, instance, id, after, work)
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
            folder: &self.unit.folder,
            environment: &self.options.environment,
            path: &self.options.path,
            generated: &self.generated,
            by_path: self.outputs.named_by(instance, self.unit),
            input_tasks: self.read_of(instance),
            source: self.unit.source.as_ref(),
            platform: self.platform(instance, None)?,
        };
        if let Some(work) = kinds::of_verb(instance, around) {
            self.add(instance, &instance.id, Vec::new(), work);
        }
        Ok(())
    }

    /// The tasks whose outputs an instance reads by name, with where each has its outputs
    /// relative to the instance's folder.
    fn read_of(&self, instance: &Instance) -> Vec<InputTask> {
        let tasks = instance.input_tasks.iter();
        tasks
            .map(|task| InputTask {
                task: task.clone(),
                outputs: self.outputs.of_task(task, &self.unit.folder),
            })
            .collect()
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
        let step = step_of(self.unit, instance, id.to_owned(), after, work);
        self.plan.add(Step {
            order: self.ends_of(instance.order_only.iter()),
            ..step
        });
    }

    fn composed(&self, instance: &Instance, path: &str) -> Result<Arc<Composed>, PlanError> {
        let found = self.unit.definitions.get(&instance.id);
        found.cloned().ok_or_else(|| PlanError::NoDefinition {
            task: instance.id.clone(),
            definition: path.to_owned(),
        })
    }

    /// The folder of a definition.
    fn beside(&self, definition: &str) -> PathBuf {
        let path = self.unit.folder.join(definition);
        path.parent().unwrap_or(Path::new(".")).to_owned()
    }

    /// What tasks write, as far as the instance reads it.
    fn made_for(&self, instance: &Instance) -> MadePaths {
        MadePaths {
            read: self.outputs.made_for(instance, self.unit),
            all: Arc::clone(&self.generated),
        }
    }

    fn folders(&self, definition: &str, composed: &Composed) -> Folders {
        Folders {
            own: self.beside(definition),
            imported: composed.imported.clone(),
            archive: packages::archive_prefix(&composed.definition),
            made: MadePaths::default(),
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
        self.by_id.get(task).map(|(_, found)| &found.verb)
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
    unit: &Unit,
    instance: &Instance,
    id: String,
    mut after: Vec<String>,
    work: Work,
) -> Step {
    let settings = &instance.settings;
    after.sort();
    after.dedup();
    Step {
        home: unit.folder.clone(),
        file: unit.file.clone(),
        name: id
            .strip_prefix(unit.prefix.as_str())
            .unwrap_or(&id)
            .to_owned(),
        id,
        after,
        order: Vec::new(),
        work,
        // The pools of each file are its own.
        pool: settings
            .pool
            .as_ref()
            .map(|pool| format!("{}{pool}", unit.prefix)),
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
        local: settings.cache.local,
        fresh: settings.cache.fresh,
        salts: instance.salts.clone(),
        tags: settings.tags.clone(),
        // Without a task before it there is no failure to run after.
        skipped: instance.skipped || instance.depends_on.is_empty() && !instance.runs_after.success,
        may_fail: settings.continue_on_error,
        trusts: unit.trusts,
    }
}
