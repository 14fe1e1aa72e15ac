//! The units of a workspace, its pipelines and packages, and the plan of those that a
//! target needs.
//!
//! All pipelines are read, since any may make what another reads. Definitions are
//! composed only where they are needed, so a mistake in one, or a registry that one
//! imports from, stops nothing else.

mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use part::plan_part;

use super::build_error::{BuildError, locate_error, place};
use super::build_options::{BuildOptions, Target};
use super::compose::{self, Composer};
use super::definitions;
use super::find::{self, Files, IMPLIED_NAMES, read_text, shown};
use super::places::Places;
use super::plans::{git_facts, output_folder, parameters, plan_options};
use crate::ground::marks::{Mark, Marks};
use crate::pipeline::{self, ExpandError, Facts, Instance, Member, ParamError, Pipeline, Verb};
use crate::pipeline::{CacheLimits, WorkspaceSettings};
use crate::plan::{Chosen, Named, Outputs, Plan, PlanError, PlanOptions, Selection, Unit, imply};
use crate::text::with_causes;
use crate::workspace::Walked;
use crate::yaml::SourceText;

/// What a plan was made from.
pub(super) struct Planned {
    pub plan: Plan,
    pub places: Places,
    /// Tasks that publish, and that nobody named.
    pub unnamed: Vec<String>,
    /// The folder for archives.
    pub output: PathBuf,
    /// Whether it is all of the workspace.
    pub whole: bool,
    /// The names of parameters of all pipelines.
    pub params: BTreeSet<String>,
    /// A folder that was walked to find files, and what is there.
    pub walked: Option<(PathBuf, Walked)>,
    /// The outputs of all tasks of the workspace.
    pub outputs: Option<Outputs>,
}

/// A pipeline file of the workspace.
struct Read {
    file: PathBuf,
    folder: PathBuf,
    prefix: String,
    text: SourceText,
    /// What can be planned of it; an error is reported only if it is needed.
    outcome: Result<Checked, Option<BuildError>>,
}

struct Checked {
    pipeline: Pipeline,
    params: BTreeMap<String, String>,
    facts: Facts,
}

/// A unit by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    /// By its index among the pipelines.
    Pipeline(usize),
    /// By what begins the names of its tasks.
    Package(String),
}

/// The plan of `options.target`.
pub(super) fn plan(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    root: &Path,
) -> Result<Planned, BuildError> {
    let place = &options.place;
    let settings = find::settings(root, &place.here)?;
    let (mut selection, files) = match &options.target {
        Target::Package(path) => {
            let path = find::definition(place, path)?;
            let files = Files::of_definition(path.clone());
            (Selection::one(Chosen::File(path)), files)
        }
        Target::Pipeline { file, .. } => find::pipeline(place, root, file, &settings)?,
        Target::Words { words, .. } => find::words(place, root, words, &settings)?,
    };
    let chosen = plan_options(options, &output_folder(options, root, &settings));
    let mut loader = Loader {
        options,
        root,
        git_names: settings.git_names(),
        settings,
        pipelines: Vec::new(),
        alone: None,
        files,
    };
    let found = loader.files.pipelines.clone();
    loader.read_all(&found);
    if let (Target::Pipeline { .. }, Some(Chosen::File(file))) = (&options.target, selection.only())
    {
        loader.read_alone(file.clone());
    }
    loader.all_params_known()?;
    let walked = loader.files.walked.take();
    let checked = loader.pipelines.iter();
    let checked = checked.filter_map(|read| read.outcome.as_ref().ok());
    let params = checked.flat_map(|one| one.pipeline.params.keys());
    let params = params.cloned().collect();
    let mut graph = loader.expanded(&chosen)?;
    if let Target::Words { words, .. } = &options.target {
        graph.packaged(&mut selection);
        if words.is_empty() {
            graph.ascend(&mut selection);
        }
    }
    graph.collect(composer, &selection)?;
    let planned = graph.plan(&selection)?;
    Ok(Planned {
        walked,
        params,
        ..planned
    })
}

struct Loader<'o> {
    options: &'o BuildOptions,
    root: &'o Path,
    settings: WorkspaceSettings,
    /// What the settings use of the commit, such as `git.sha`.
    git_names: BTreeSet<String>,
    pipelines: Vec<Read>,
    /// The file that is planned without the rest of the workspace.
    alone: Option<PathBuf>,
    files: Files,
}

impl<'o> Loader<'o> {
    /// Reads these pipeline files, and those that they include.
    fn read_all(&mut self, files: &[PathBuf]) {
        let alone = self.alone.is_some();
        let found = self.files.with_included(files, alone, |file, include| {
            let mut read = self.read(file);
            let checked = read.outcome.as_ref();
            let patterns = checked.map_or_else(|_| Vec::new(), |one| one.pipeline.include.clone());
            for pattern in patterns {
                if !include(&pattern) {
                    let file = read.text.name.clone();
                    read.outcome = Err(Some(BuildError::Include { file, pattern }));
                }
            }
            read
        });
        self.pipelines.extend(found);
        self.pipelines.sort_by(|a, b| a.file.cmp(&b.file));
    }

    /// Plans `file` alone if nothing of the workspace names it: its tasks have no folder
    /// before their names.
    fn read_alone(&mut self, file: PathBuf) {
        if self.pipelines.iter().any(|read| read.file == file) {
            return;
        }
        self.pipelines.clear();
        self.files.definitions.clear();
        self.alone = Some(file.clone());
        self.read_all(&[file]);
    }

    fn read(&self, file: PathBuf) -> Read {
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let name = shown(&self.options.place.here, &file).to_string_lossy();
        let (text, outcome) = match read_text(&file) {
            Ok(text) => {
                let text = SourceText::new(name, text);
                let outcome = self.checked(&text, &folder).map_err(Some);
                (text, outcome)
            }
            Err(error) => (SourceText::new(name, String::new()), Err(Some(error))),
        };
        Read {
            prefix: match self.alone.as_ref() == Some(&file) {
                true => String::new(),
                false => find::prefix(self.root, &folder),
            },
            file,
            folder,
            text,
            outcome,
        }
    }

    /// What a pipeline can use of the commit; its defaults may be those of the workspace.
    fn git_facts(&self, folder: &Path, text: &str) -> Result<BTreeMap<String, String>, BuildError> {
        match !self.git_names.is_empty() || text.contains("git") {
            true => git_facts(self.options, folder, |name| {
                text.contains(name) || self.git_names.contains(name)
            }),
            false => Ok(BTreeMap::new()),
        }
    }

    fn checked(&self, text: &SourceText, folder: &Path) -> Result<Checked, BuildError> {
        let pipeline = pipeline::parse_in(text, &self.settings)?;
        let given = self.options.target.params().into_iter().flatten();
        let given = given.filter(|(name, _)| pipeline.params.contains_key(*name));
        let given = given.map(|(name, value)| (name.clone(), value.clone()));
        let params = pipeline.bind_params(&given.collect());
        let params = params.map_err(|error| {
            BuildError::Params(format!("{}: {}", text.name, with_causes(&error)))
        })?;
        let architecture = self.options.variant.architecture_or_host();
        Ok(Checked {
            facts: Facts {
                env: self.options.place.environment.clone(),
                git: self.git_facts(folder, &text.text)?,
                platform: format!("linux/{architecture}"),
            },
            pipeline,
            params,
        })
    }

    /// Refuses a parameter that no pipeline has. If a pipeline cannot be read, the
    /// parameter may be one of it: then the mistake there is the error.
    fn all_params_known(&mut self) -> Result<(), BuildError> {
        let Some(params) = self.options.target.params() else {
            return Ok(());
        };
        for name in params.keys() {
            let own = |read: &Read| match &read.outcome {
                Ok(one) => one.pipeline.params.contains_key(name),
                Err(_) => false,
            };
            if self.pipelines.iter().any(own) {
                continue;
            }
            let mut outcomes = self.pipelines.iter_mut().map(|read| &mut read.outcome);
            if let Some(mistake) = outcomes.find_map(|one| one.as_mut().err()?.take()) {
                return Err(mistake);
            }
            let checked = || {
                let all = self.pipelines.iter();
                all.filter_map(|read| read.outcome.as_ref().ok())
            };
            let Some(one) = checked().next() else {
                // A variable may be meant for other builds of the same job.
                let variable = format!("JACKAL_PARAM_{name}");
                if self.options.place.environment.contains_key(&variable) {
                    continue;
                }
                return Err(BuildError::Params(format!(
                    "no parameter named `{name}`: there is no pipeline, and packages have templates, as in --set NAME=VALUE"
                )));
            };
            let given = [(name.clone(), String::new())].into();
            let error = one.pipeline.bind_params(&given).err();
            let error = error.unwrap_or_else(|| ParamError::Missing { name: name.clone() });
            return Err(BuildError::Params(with_causes(&error)));
        }
        Ok(())
    }

    /// Makes the tasks of all pipelines, as far as they can be made.
    fn expanded(self, chosen: &'o PlanOptions) -> Result<Graph<'o>, BuildError> {
        let members: Vec<Member<'_>> = (self.pipelines.iter())
            .filter_map(|read| {
                let checked = read.outcome.as_ref().ok()?;
                Some(Member {
                    pipeline: &checked.pipeline,
                    prefix: &read.prefix,
                    params: &checked.params,
                    facts: &checked.facts,
                })
            })
            .collect();
        let packages = self.files.packages(self.root, !self.pipelines.is_empty());
        let others: Vec<String> = (packages.iter())
            .flat_map(|(prefix, _)| IMPLIED_NAMES.map(|task| format!("{prefix}{task}")))
            .collect();
        let mut expanded = pipeline::expand(&members, &others).into_iter();
        drop(members);
        let mut graph = Graph {
            options: self.options,
            chosen,
            root: self.root,
            pipelines: Vec::new(),
            packages: BTreeMap::new(),
            owners: BTreeMap::new(),
            outputs: None,
            units: Vec::new(),
            pools: BTreeMap::new(),
            cache_limits: CacheLimits::default(),
        };
        for (at, mut read) in self.pipelines.into_iter().enumerate() {
            let made = match &read.outcome {
                Ok(_) => expanded.next().unwrap_or_else(|| Ok(Vec::new())),
                Err(_) => Ok(Vec::new()),
            };
            match made {
                Ok(instances) => graph.add(at, read, instances)?,
                Err(source) => {
                    let at = place(&read.text, source.about());
                    let source = Box::new(source);
                    read.outcome = Err(Some(BuildError::Expand { at, source }));
                    graph.pipelines.push((read, None));
                }
            }
        }
        graph.outputs = Some(graph.all_outputs()?);
        graph.imply(packages);
        Ok(graph)
    }
}

/// All units of a workspace, and those that the plan needs.
struct Graph<'o> {
    options: &'o BuildOptions,
    chosen: &'o PlanOptions,
    root: &'o Path,
    /// Each with its unit, until the plan takes it.
    pipelines: Vec<(Read, Option<Unit>)>,
    /// Definitions without a pipeline, by what begins the names of their tasks.
    packages: BTreeMap<String, PathBuf>,
    /// The pipeline of each task, by its name.
    owners: BTreeMap<String, usize>,
    outputs: Option<Outputs>,
    units: Vec<Unit>,
    pools: BTreeMap<String, u32>,
    cache_limits: CacheLimits,
}

impl Graph<'_> {
    fn add(&mut self, at: usize, read: Read, instances: Vec<Instance>) -> Result<(), BuildError> {
        for instance in &instances {
            if let Some(other) = self.owners.insert(instance.id.clone(), at) {
                let error = PlanError::SameTask {
                    task: instance.id.clone(),
                    one: self.pipelines[other].0.text.name.clone().into(),
                    other: read.text.name.clone().into(),
                };
                return Err(BuildError::Plan {
                    at: place(&read.text, Some((&instance.id, ""))),
                    also: None,
                    source: Box::new(error),
                });
            }
        }
        let unit = read.outcome.as_ref().ok().map(|checked| {
            let name = checked.pipeline.name.clone();
            Unit {
                file: read.file.clone(),
                folder: read.folder.clone(),
                parameters: parameters(self.options, &name),
                name,
                prefix: read.prefix.clone(),
                source: Some(read.text.clone()),
                instances,
                definitions: BTreeMap::new(),
                path_edges: BTreeMap::new(),
                trusts: Marks::with(Mark::Incremental, checked.pipeline.trust_incremental)
                    | Marks::with(Mark::Unpinned, checked.pipeline.allow_unpinned),
            }
        });
        self.pipelines.push((read, unit));
        Ok(())
    }

    fn all_outputs(&self) -> Result<Outputs, BuildError> {
        let units = self.pipelines.iter().filter_map(|(_, unit)| unit.as_ref());
        Outputs::of(units).map_err(|error| {
            let task = error.about().map(|(task, _)| task);
            let owner = task.and_then(|task| self.owners.get(task));
            match owner {
                Some(at) => locate_error(&self.pipelines[*at].0.text, error),
                None => BuildError::Unpublishable(Box::new(error)),
            }
        })
    }

    /// Notes the definitions that no pipeline makes a package of.
    fn imply(&mut self, packages: Vec<(String, PathBuf)>) {
        let mut named = BTreeSet::new();
        for unit in self.pipelines.iter().filter_map(|(_, unit)| unit.as_ref()) {
            let made = unit.instances.iter();
            named.extend(made.filter_map(|instance| match &instance.verb {
                Verb::Package(package) => Some(find::real(&unit.folder.join(&package.definition))),
                _ => None,
            }));
        }
        let is_named = |path: &Path| !named.is_empty() && named.contains(&find::real(path));
        let own = packages.into_iter();
        self.packages = own.filter(|(_, path)| !is_named(path)).collect();
    }

    /// A definition that a pipeline makes a package of means the tasks that do so.
    fn packaged(&self, selection: &mut Selection) {
        let chosen = std::mem::take(&mut selection.chosen);
        selection.chosen = (chosen.into_iter())
            .flat_map(|named| {
                let tasks = match &named.chosen {
                    Chosen::File(file) => self.packagers(file),
                    _ => Vec::new(),
                };
                match tasks.is_empty() {
                    true => vec![named],
                    false => (tasks.into_iter())
                        .map(|chosen| Named {
                            chosen,
                            ..named.clone()
                        })
                        .collect(),
                }
            })
            .collect();
    }

    /// The tasks of pipelines that make a package of the definition at `file`.
    fn packagers(&self, file: &Path) -> Vec<Chosen> {
        let real = find::real(file);
        let units = self.pipelines.iter().filter_map(|(_, unit)| unit.as_ref());
        let tasks = units.flat_map(|unit| {
            let of = unit
                .instances
                .iter()
                .filter(|instance| match &instance.verb {
                    Verb::Package(verb) => find::real(&unit.folder.join(&verb.definition)) == real,
                    _ => false,
                });
            of.map(|instance| {
                let name = instance.id.strip_prefix(&unit.prefix);
                Chosen::Task {
                    folder: Some(unit.folder.clone()),
                    name: name.unwrap_or(&instance.id).to_owned(),
                }
            })
        });
        tasks.collect()
    }

    /// Takes the units that the selection may name, and those that they need.
    fn collect(
        &mut self,
        composer: &mut Composer<'_>,
        selection: &Selection,
    ) -> Result<(), BuildError> {
        let pipelines = self.pipelines.iter().enumerate();
        let mut open: BTreeSet<Of> = pipelines
            .filter(|(_, (read, _))| selection.may_be_in(&read.folder, &read.file))
            .map(|(at, _)| Of::Pipeline(at))
            .collect();
        for (prefix, path) in &self.packages {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if selection.may_be_in(folder, path) {
                open.insert(Of::Package(prefix.clone()));
            }
        }
        for named in &selection.chosen {
            if let Chosen::Below(folder) = &named.chosen
                && !self.has_any(&named.chosen)
            {
                return Err(BuildError::NoPackage(folder.clone()));
            }
        }
        let mut seen = open.clone();
        while let Some(of) = open.pop_first() {
            let mut unit = match &of {
                Of::Pipeline(at) => self.pipeline(composer, *at)?,
                Of::Package(prefix) => self.package(composer, prefix)?,
            };
            if let Some(outputs) = &self.outputs {
                outputs.link(&mut unit);
            }
            if let Some(error) = self.of_read_folder(&unit) {
                return Err(error);
            }
            for on in unit.instances.iter().flat_map(|one| &one.depends_on) {
                let owner = self.owner(on);
                open.extend(owner.filter(|of| seen.insert(of.clone())));
            }
            self.units.push(unit);
        }
        self.units.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(())
    }

    /// Why a pipeline cannot be planned that may make what a unit reads of its folder: its
    /// outputs are not known.
    fn of_read_folder(&mut self, unit: &Unit) -> Option<BuildError> {
        let outputs = self.outputs.as_ref()?;
        let broken = self.pipelines.iter().position(|(read, _)| {
            read.outcome.is_err() && outputs.reads_elsewhere(unit, &read.folder)
        });
        self.broken(broken?)
    }

    /// A folder in which nothing is built belongs to what is built above it.
    fn ascend(&self, selection: &mut Selection) {
        for named in &mut selection.chosen {
            while let Chosen::Below(folder) = &named.chosen
                && !self.has_any(&named.chosen)
                && let Some(above) = folder.parent().filter(|above| above.starts_with(self.root))
            {
                named.chosen = Chosen::Below(above.to_owned());
            }
        }
    }

    /// Whether any unit is in what a word names.
    fn has_any(&self, chosen: &Chosen) -> bool {
        let mut pipelines = self.pipelines.iter();
        let mut packages = self.packages.values();
        pipelines.any(|(read, _)| chosen.may_be_in(&read.folder, &read.file))
            || packages.any(|path| chosen.may_be_in(path.parent().unwrap_or(path), path))
    }

    fn owner(&self, task: &str) -> Option<Of> {
        if let Some(at) = self.owners.get(task) {
            return Some(Of::Pipeline(*at));
        }
        // A folder's name may contain a colon, a task of a package as well.
        let mut prefixes = task.match_indices(':').map(|(at, _)| &task[..=at]);
        let prefix = prefixes.find(|prefix| self.packages.contains_key(*prefix));
        // Of the root's package these two have names in other files.
        let root = || {
            let named = IMPLIED_NAMES.contains(&task) && self.packages.contains_key("");
            named.then_some("")
        };
        Some(Of::Package(prefix.or_else(root)?.to_owned()))
    }

    fn pipeline(&mut self, composer: &mut Composer<'_>, at: usize) -> Result<Unit, BuildError> {
        if let Some(error) = self.broken(at) {
            return Err(error);
        }
        let (read, unit) = &mut self.pipelines[at];
        let mut unit = unit
            .take()
            .ok_or_else(|| BuildError::NoPackage(read.file.clone()))?;
        let definitions = definitions::of_instances(composer, &unit.folder, &unit.instances);
        unit.definitions = definitions.map_err(|error| error.of(&read.text))?;
        if let Ok(checked) = &read.outcome {
            self.cache_limits = self.cache_limits.most(checked.pipeline.cache_limits);
            for (pool, slots) in &checked.pipeline.pools {
                self.pools.insert(format!("{}{pool}", read.prefix), *slots);
            }
        }
        Ok(unit)
    }

    /// Why the pipeline cannot be planned. If it names a task of another one that cannot
    /// be read, that is why.
    fn broken(&mut self, at: usize) -> Option<BuildError> {
        let error = self.pipelines[at].0.outcome.as_mut().err()?.take()?;
        let BuildError::Expand { source, .. } = &error else {
            return Some(error);
        };
        let ExpandError::NoTask { task, .. } = &**source else {
            return Some(error);
        };
        let mut others = self.pipelines.iter_mut();
        let cause = others.find_map(|(read, _)| {
            let names = !read.prefix.is_empty() && task.starts_with(&read.prefix);
            read.outcome.as_mut().err().filter(|_| names)?.take()
        });
        Some(cause.unwrap_or(error))
    }

    fn package(&self, composer: &mut Composer<'_>, prefix: &str) -> Result<Unit, BuildError> {
        let found = self.packages.get(prefix);
        let path = found.ok_or_else(|| BuildError::NoPackage(self.root.to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let (mut composed, _) =
            composer.compose(path, &compose::Chosen::of(&self.options.variant))?;
        if let Some(base) = &self.options.content.differential {
            composed.definition.reduce(base)?;
        }
        let instances = imply(prefix, &composed.definition, self.chosen);
        let composed = Arc::new(composed);
        let ids = instances.iter().map(|instance| instance.id.clone());
        Ok(Unit {
            file: path.clone(),
            folder,
            name: IMPLIED.to_owned(),
            prefix: prefix.to_owned(),
            source: None,
            definitions: ids.map(|id| (id, Arc::clone(&composed))).collect(),
            instances,
            parameters: parameters(self.options, IMPLIED),
            path_edges: BTreeMap::new(),
            trusts: Marks::default(),
        })
    }

    fn plan(self, selection: &Selection) -> Result<Planned, BuildError> {
        let options = self.options;
        let places = Places::of(&options.place.here, &self.units);
        let written = || self.units.iter().filter(|unit| unit.source.is_some());
        let of = |unit: &Unit, is: &dyn Fn(&Instance) -> bool| unit.instances.iter().any(is);
        let publishes = |unit: &&Unit| of(unit, &|one| matches!(one.verb, Verb::Publish(_)));
        let keeps = |one: &Instance| one.settings.incremental || !one.settings.keep.is_empty();
        // What one pipeline trusts, another may not: all that are concerned must agree.
        let concerned = |unit: &&Unit| publishes(unit) || of(unit, &keeps);
        let agreed = |units: Vec<&Unit>, mark| {
            !units.is_empty() && units.iter().all(|unit| unit.trusts.has(mark))
        };
        let mut plan = Plan {
            pools: self.pools,
            cache_limits: self.cache_limits,
            trusts_incremental: agreed(written().filter(concerned).collect(), Mark::Incremental),
            allows_unpinned: agreed(written().filter(publishes).collect(), Mark::Unpinned),
            ..Plan::default()
        };
        if let Some(outputs) = &self.outputs {
            let declared = plan.declare(&self.units, outputs, self.chosen);
            declared.map_err(|error| places.locate(error))?;
        }
        // A destination on the command line names what it is for.
        let publish = options.unnamed || options.output.publish.is_some();
        let unnamed = plan.choose(selection, publish).map_err(BuildError::Task)?;
        Ok(Planned {
            plan,
            places,
            unnamed,
            output: self.chosen.output.clone(),
            whole: selection.is_below(self.root),
            params: BTreeSet::new(),
            walked: None,
            outputs: self.outputs,
        })
    }
}

/// The name of an implied pipeline, for provenance.
const IMPLIED: &str = "implied";
