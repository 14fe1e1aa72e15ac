//! `jackal build`, `why`, `graph` and `update`: from folders to a plan, and
//! from a plan to packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::build_error::BuildError;
use super::build_options::BuildOptions;
use super::compose::{Ask, Composer};
use super::find;
use super::forecast::Forecast;
use super::kept_record::{executed_before, keep_record};
use super::named;
use super::options::Pins;
use super::partly::{Part, Rest, Whole};
use super::places::Places;
use super::skeletons::Skeletons;
use super::units::{self, Planned};
use crate::cas::{Cas, Limits};
use crate::disk;
use crate::ground::folders::lexical;
use crate::ground::launch;
use crate::ground::lockfile::lock_folder;
use crate::ground::published::Published;
use crate::ground::remote_cache::{RemoteCache, RemoteOptions};
use crate::ground::sandbox::Level;
use crate::ground::site::{Site, SiteOptions};
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, Stop};
use crate::kinds::pins::Moved;
use crate::kinds::run::{OpenShell, Used, Wanted, observe, open_shell};
use crate::kinds::{Kind as _, Results, Work, alone};
use crate::oci::Reference;
use crate::package::{NamesIn, Warning};
use crate::pipeline::Sandbox;
use crate::plan::{Outputs, Plan, Step};
use crate::release::{Destination, PublishedResults};
use crate::run::event::Event;
use crate::run::record::{RunRecord, Status};
use crate::run::{self, Assessed, How, Ran, Verdict};
use crate::text::{shown_address, with_causes};

/// Maximum number of times that a run is restarted because of damaged blobs.
const MAX_HEALING_ROUNDS: usize = 20;

/// Default size limit of the cache, in GiB.
pub const CACHE_GIB: u64 = 20;

/// The outcome of a build.
pub struct Built {
    pub record: RunRecord,
    /// Failures in the order in which they happened.
    pub failures: Vec<(String, Failure)>,
    /// Problems that did not stop the build.
    pub notes: Vec<String>,
    /// What each task waited for, by its name.
    pub after: BTreeMap<String, Vec<String>>,
    /// The task for a shell, if that was wanted and all before it succeeded.
    pub shell: Option<ShellPlace>,
    pub(super) cas: Arc<Cas>,
    /// The plan, if it was made as a whole.
    pub(super) whole: Option<Whole>,
}

impl Built {
    /// The record with the files in folders, and the delivered files with their digests.
    ///
    /// # Errors
    ///
    /// A delivered file cannot be read.
    pub fn whole_record(&self) -> std::io::Result<RunRecord> {
        let mut record = self.record.clone();
        run::list_files(&self.cas, &mut record)?;
        Ok(record)
    }
}

/// A task in whose place a shell can be opened.
pub struct ShellPlace {
    site: Arc<Site>,
    step: Step,
    results: Results,
}

impl ShellPlace {
    /// Opens the shell, or runs the task's command.
    ///
    /// # Errors
    ///
    /// [`Failure`]: its inputs cannot be staged, or it cannot be started.
    pub async fn open(&self, wanted: &Wanted) -> Result<OpenShell, Failure> {
        let prepared = run::prepare(&self.site, &self.step, &self.results).await?;
        match &self.step.work {
            Work::Run(work) => open_shell(&self.site, work, &prepared, wanted).await,
            _ => Err(Failure::internal("a shell for a task without a command")),
        }
    }
}

/// A plan and everything needed to run it.
pub struct Prepared {
    pub(super) site: Arc<Site>,
    pub(super) plan: Plan,
    /// The root of the workspace.
    pub(super) workspace: PathBuf,
    /// What distinguishes runs of the same tasks for different packages.
    pub(super) variant: String,
    cache_size: Option<u64>,
    warnings: Vec<Warning>,
    pub(super) places: Places,
    /// Tasks that publish, and are left out because no target names them.
    unnamed: Vec<String>,
    /// Why the plan can be displayed but not run.
    pub(super) refusal: Option<BuildError>,
    /// Packages with results, for this architecture.
    cache_from: Vec<Reference>,
    remote: Option<RemoteOptions>,
    pub(super) architecture: String,
    pub(super) keep_going: bool,
    /// The task in whose place a shell is to be opened; not in the plan.
    shell: Option<Step>,
    /// Whether the plan has every task of the workspace.
    pub(super) whole: bool,
    /// What the files of each folder with pins name; only for `update`, and without
    /// the folders of which not every file can be read.
    named: BTreeMap<PathBuf, NamesIn>,
    /// The outputs of all tasks of the workspace.
    outputs: Option<Outputs>,
    /// What is taken from an earlier build; the plan has only the rest.
    rest: Option<Rest>,
}

/// Reads definitions and makes the plan; `ask` returns values for unset templates.
///
/// # Errors
///
/// [`BuildError`]
pub fn prepare(options: &BuildOptions, ask: Ask<'_>) -> Result<Prepared, BuildError> {
    let place = &options.place;
    let workspace = options.target.workspace(place);
    let registry = place.connection.client()?;
    let cas = Arc::new(Cas::open(&place.cache)?);
    // All that is in the cache counts as the program's own, and as no source.
    let cache = find::real(&place.cache.path);
    if find::real(&workspace).starts_with(&cache) {
        return Err(BuildError::InCache { workspace, cache });
    }
    let skeletons = Skeletons::new(&cas, &registry, options.pins);
    let composer = &mut Composer::new(place, &options.variant, skeletons, ask);
    let Planned {
        mut plan,
        places,
        unnamed,
        output,
        whole,
        params,
        walked,
        outputs,
    } = units::plan(options, composer, &workspace)?;
    composer.has_templates(&options.variant.given, &params)?;
    let mut pinned = places.folders();
    let mut named = BTreeMap::new();
    if options.pins == Pins::Update {
        for step in plan.steps.values() {
            let pins = step.work.pins().unwrap_or_default();
            pinned.extend(pins.into_iter().map(|pin| pin.folder));
        }
        for (lock, folders) in by_lock(&pinned) {
            // A shared file also has the pins of what is not in the plan.
            let all = whole || folders == [lock.clone()];
            if let Some(names) = all
                .then(|| named::names(composer, &lock, &folders))
                .flatten()
            {
                named.insert(lock, names);
            }
        }
    }
    let warnings = std::mem::take(&mut composer.warnings);
    plan.narrow(&options.tasks).map_err(BuildError::Task)?;
    let shell = match &options.run.shell {
        None => None,
        Some(task) => {
            // A target may name it in another way.
            let only = (plan.chosen.len() == 1).then(|| plan.chosen.first().cloned());
            let only = only.flatten();
            let step = plan.take(task);
            let step = step.or_else(|| plan.take(&only?));
            let step = step.filter(|step| matches!(step.work, Work::Run(_)));
            let task = task.clone();
            Some(step.ok_or(BuildError::Shell { task })?)
        }
    };
    plan.settle_incremental();
    plan.settle_archives();
    let bound = (!options.output.named).then(|| workspace.clone());
    bounded(options, &plan, &workspace)?;
    let separate = plan.separate_folders();
    let unpublishable = separate
        .and_then(|()| plan.publishable(options.pins == Pins::Offline))
        .err();
    let refusal = unpublishable.map(|error| places.locate_whole(error));
    let site_options = SiteOptions {
        output,
        output_bound: bound,
        ..options.run.site_options(place, options.pins)
    };
    let site = Site::new(cas, registry, &workspace, site_options);
    site.give_walked(walked);
    for step in plan.steps.values() {
        if let Some(age) = step.fresh {
            for pin in step.work.pins().unwrap_or_default() {
                pin.limit_age(&site, age);
            }
        }
    }
    Ok(Prepared {
        site,
        plan,
        workspace,
        cache_size: options.cache_size,
        warnings,
        places,
        unnamed,
        refusal,
        cache_from: cache_from(&options.cache_from)?,
        remote: options.remote.clone(),
        keep_going: options.run.keep_going,
        shell,
        whole,
        variant: options.variant.name(),
        architecture: options.variant.architecture_or_host(),
        named,
        outputs,
        rest: None,
    })
}

/// Folders by the one whose lock file has their pins.
fn by_lock(folders: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut found: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for folder in folders {
        let lock = lock_folder(folder).to_owned();
        found.entry(lock).or_default().push(folder.clone());
    }
    found
}

/// Refuses places for results that the user did not name, if links of the checkout lead
/// them out of the workspace.
fn bounded(options: &BuildOptions, plan: &Plan, workspace: &Path) -> Result<(), BuildError> {
    let output = &options.output;
    if !output.named {
        let mut folders = plan
            .archives
            .iter()
            .filter_map(|(archive, _)| archive.parent());
        folders.try_for_each(|folder| {
            disk::stays_within(workspace, folder).map_err(BuildError::OutputLeadsOut)
        })?;
    }
    if output.publish.is_some() {
        return Ok(());
    }
    for step in plan.steps.values() {
        let Work::Publish(work) = &step.work else {
            continue;
        };
        for to in &work.to {
            // One that is plainly outside is what the pipeline says.
            if let Destination::Layout(folder) = to
                && lexical(folder).starts_with(workspace)
            {
                disk::stays_within(workspace, folder).map_err(|source| {
                    let task = work.task.clone();
                    BuildError::LayoutLeadsOut { task, source }
                })?;
            }
        }
    }
    Ok(())
}

fn cache_from(given: &[String]) -> Result<Vec<Reference>, BuildError> {
    given
        .iter()
        .map(|text| {
            let wrong = |source| BuildError::CacheFrom {
                given: shown_address(text),
                source,
            };
            let path = Reference::url_path(text).ok_or_else(|| wrong(None))?;
            Reference::hosted(path).map_err(|error| wrong(Some(error)))
        })
        .collect()
}

impl Prepared {
    /// A part of a plan, and the rest of an earlier build.
    pub(super) fn of_part(options: &BuildOptions, part: Part) -> Result<Self, BuildError> {
        bounded(options, &part.plan, &part.workspace)?;
        let workspace = part.workspace;
        let site_options = SiteOptions {
            output: part.output,
            output_bound: (!options.output.named).then(|| workspace.clone()),
            ..options.run.site_options(&options.place, options.pins)
        };
        Ok(Self {
            site: Site::new(part.cas, part.registry, &workspace, site_options),
            plan: part.plan,
            workspace,
            variant: options.variant.name(),
            cache_size: options.cache_size,
            warnings: Vec::new(),
            places: part.places,
            unnamed: Vec::new(),
            refusal: None,
            cache_from: Vec::new(),
            remote: options.remote.clone(),
            architecture: options.variant.architecture_or_host(),
            keep_going: options.run.keep_going,
            shell: None,
            whole: false,
            named: BTreeMap::new(),
            outputs: None,
            rest: Some(part.rest),
        })
    }

    /// Warnings about the definitions.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Tasks that publish, and are left out because no target names them.
    #[must_use]
    pub fn unnamed(&self) -> &[String] {
        &self.unnamed
    }

    /// Whether commands should be confined but cannot be on this machine.
    #[must_use]
    pub fn unconfined(&self) -> bool {
        let wanted = |step: &Step| match &step.work {
            Work::Run(work) => work.sandbox == Sandbox::Warn && !step.skipped,
            _ => false,
        };
        // Only a plan with commands is worth a trial.
        self.plan.steps.values().any(wanted)
            && launch::best(self.site.options.program.as_deref()) == Level::Free
    }

    /// The names of all tasks, in the order of the plan.
    #[must_use]
    pub fn order(&self) -> Vec<String> {
        let graph = self.plan.graph();
        graph.map_or_else(|_| Vec::new(), |graph| graph.tasks().cloned().collect())
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs the plan.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; failures of tasks are in [`Built`].
    pub async fn build(
        mut self,
        events: mpsc::UnboundedSender<Event>,
        stop: watch::Receiver<Stop>,
    ) -> Result<Built, BuildError> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let how = How {
            keep_going: self.keep_going,
            events,
            stop,
            watched: None,
        };
        let (ran, notes) = self.carry_out(&self.plan, &how).await?;
        self.prune_after(&ran.record);
        let (site, results) = (self.site, ran.results);
        let shell = self.shell.filter(|_| ran.failures.is_empty());
        let (after, plan) = (self.plan.waits(), self.plan);
        Ok(Built {
            record: ran.record,
            failures: ran.failures,
            notes,
            after,
            cas: Arc::clone(&site.cas),
            whole: self.outputs.map(|outputs| Whole {
                site: Arc::clone(&site),
                plan,
                outputs,
            }),
            shell: shell.map(|step| ShellPlace {
                site,
                step,
                results,
            }),
        })
    }

    /// Runs `plan`, which is this plan or a part of it.
    pub(super) async fn carry_out(
        &self,
        plan: &Plan,
        how: &How,
    ) -> Result<(Ran, Vec<String>), BuildError> {
        let mut notes = self.use_published().await;
        if let Some(options) = &self.remote {
            let made = || Arc::new(RemoteCache::new(options.clone()));
            self.site.remote.get_or_init(made);
        }
        let mut ran = run::run(&self.site, plan, how).await?;
        let published = self.site.published.get();
        if !ran.failures.is_empty() && published.is_some_and(Published::fetch_from_now_on) {
            // The cause may be a blob that was left in the registry.
            ran = run::run(&self.site, plan, how).await?;
        }
        // Each round removes at least one damaged blob and recreates it. The limit
        // prevents an endless loop on a disk that damages new files.
        for _ in 0..MAX_HEALING_ROUNDS {
            if !ran.healing {
                break;
            }
            let mended = std::mem::take(&mut ran.record.tasks);
            ran = run::run(&self.site, plan, how).await?;
            executed_before(&mut ran.record, mended);
        }
        if let Some(remote) = self.site.remote.get() {
            remote.finish().await;
            notes.extend(remote.take_notes());
        }
        for task in &mut ran.record.tasks {
            if task.status == Status::Failed {
                task.place = self.places.of_task(&task.task);
            }
        }
        self.site
            .save()
            .map_err(|failure| BuildError::Save(failure.message))?;
        notes.extend(self.site.take_notes());
        for task in &ran.record.tasks {
            notes.extend(task.warnings.iter().cloned());
        }
        if let Some(rest) = &self.rest {
            rest.add_to(&mut ran.record, &mut notes);
        }
        keep_record(&self.site.cas, &ran.record);
        if ran.failures.is_empty() {
            self.keep_good(&ran.record);
        }
        Ok((ran, notes))
    }

    /// What reads how long the tasks of the plan took before.
    pub fn forecast(&self) -> impl FnOnce() -> Forecast + use<> {
        Forecast::reading(&self.site, &self.plan)
    }

    /// Brings the cache below its limits, if anything was added to it.
    pub(super) fn prune_after(&self, record: &RunRecord) {
        if record.count(Status::Executed) == 0 {
            return;
        }
        let own = self.plan.cache_limits;
        let limits = Limits {
            max_bytes: self.cache_size.or(own.max_size).or(Some(CACHE_GIB << 30)),
            max_age: own.max_age.map(|age| age.as_secs()),
        };
        // If pruning fails, the cache stays larger, but the build has succeeded.
        drop(self.site.cas.prune(limits));
    }

    /// Records the keys of a good run, for `--affected`.
    fn keep_good(&self, record: &RunRecord) {
        let tasks = record.tasks.iter().filter_map(|task| {
            if let Some(rest) = &self.rest {
                return rest.good(task);
            }
            let key = task.action_key.as_ref()?.parse().ok()?;
            let step = self.plan.steps.get(&task.task)?;
            Some((self.site.good_name(&step.home, &step.name), key))
        });
        self.site.record_good(&self.variant, &tasks.collect());
    }

    /// Reads the published results to reuse, and reports those that cannot be used.
    async fn use_published(&self) -> Vec<String> {
        let (mut notes, mut packages) = (Vec::new(), Vec::new());
        for reference in &self.cache_from {
            let (registry, architecture) = (&self.site.registry, &self.architecture);
            match PublishedResults::load(registry, reference, architecture).await {
                Ok(results) => packages.push(results),
                Err(error) => notes.push(format!(
                    "--cache-from: {error}; building without it",
                    error = with_causes(&error)
                )),
            }
        }
        // An archive or a command needs the bytes; publishing needs only digests.
        let needs_bytes = |step: &Step| match &step.work {
            Work::Package(package) => package.archive.is_some(),
            Work::Run(_) => true,
            _ => false,
        };
        let by_reference = !self.plan.steps.values().any(needs_bytes);
        if !packages.is_empty() {
            // This is the only place that sets it.
            let _ = self
                .site
                .published
                .set(Published::new(packages, by_reference));
        }
        notes
    }

    /// What [`build`](Self::build) would do with each task.
    ///
    /// # Errors
    ///
    /// [`BuildError::Graph`]
    pub async fn assess(&self) -> Result<Vec<(String, Verdict)>, BuildError> {
        let judged = self.explain(|_| false).await?.into_iter();
        Ok(judged.map(|one| (one.task, one.verdict)).collect())
    }

    /// The same, with what is known of earlier runs of the tasks that `asks` is true for.
    ///
    /// # Errors
    ///
    /// [`BuildError::Graph`]
    pub async fn explain(&self, asks: impl Fn(&str) -> bool) -> Result<Vec<Assessed>, BuildError> {
        Ok(run::assess(&self.site, &self.plan, asks).await?)
    }
}

impl Prepared {
    /// Writes the action of one task and everything it may read to `folder`, for
    /// [`carry_out`](super::carry_out).
    ///
    /// # Errors
    ///
    /// [`Failure`]: a task it depends on has not been built yet, or an I/O error.
    pub async fn pack(&self, task: &str, folder: &Path) -> Result<(), Failure> {
        let ready = run::ready(&self.site, &self.plan, task).await?;
        let folder = folder.to_owned();
        blocking(move || alone::pack(&ready, &folder)).await
    }

    /// Runs the command of a task in the checkout, without a sandbox, and finds out what it
    /// uses.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there is no such task, it runs no command, or the command cannot be
    /// observed.
    pub async fn observe(&self, task: &str) -> Result<Used, Failure> {
        let wrong = |message| Err(Failure::new(Class::Configuration, message));
        match self.plan.steps.get(task).map(|step| &step.work) {
            Some(Work::Run(work)) => observe(&self.site, work).await,
            Some(other) => wrong(format!(
                "`{task}` is a task of kind `{}`, expected `run`",
                other.verb()
            )),
            None => wrong(format!("no task `{task}`: `jackal graph` lists them")),
        }
    }

    /// Resolves the plan's references again (`names`, or all of them) and
    /// writes their pins; returns every pin it resolved, and every pin it dropped
    /// because nothing names it.
    ///
    /// # Errors
    ///
    /// The first reference that cannot be resolved; no pin has moved then.
    pub async fn update(&self, names: &[String]) -> Result<Vec<Moved>, Failure> {
        let moved = run::update(&self.site, &self.plan, names, &self.named).await?;
        self.site.save()?;
        Ok(moved)
    }
}
