//! `jackal build`, `why`, `graph` and `update`: from folders to a plan, and
//! from a plan to packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::compose::{Ask, Chosen, Composer};
use super::connection::{Connection, ConnectionError};
use super::find::{below, lone, packages, workspace_of};
use super::plans;
use super::skeletons::{Pins, Skeletons};
use crate::cas::{Cas, CasError, Limits};
use crate::disk;
use crate::graph::GraphError;
use crate::ground::lockfile::LockfileError;
use crate::ground::published::Published;
use crate::ground::site::{Site, Wishes};
use crate::ground::{Class, Failure, Stop, confine};
use crate::kinds::Work;
use crate::kinds::package::BuildFacts;
use crate::kinds::pins::Moved;
use crate::kinds::sign::SignWork;
use crate::oci::{Reference, ReferenceError};
use crate::package::{Base, DifferentialError, Warning};
use crate::pipeline::{ExpandError, Sandbox};
use crate::plan::declared::Composed;
use crate::plan::{self, Plan, PlanError, Step, implied};
use crate::registry::Registry;
use crate::release::{Destination, PublishedResults, hosted};
use crate::run::event::Event;
use crate::run::record::{RunRecord, Status, TaskRecord};
use crate::run::{self, How, Verdict};
use crate::workspace::WalkError;
use crate::yaml::Mistakes;

/// Most times that a run is begun again because of damaged blobs.
const MAX_HEALING_ROUNDS: usize = 20;

/// What a plan is made of.
#[derive(Clone, Debug)]
pub enum Target {
    /// Every package of the workspace, through implied pipelines.
    Workspace,
    /// The packages in and below these folders.
    Paths(Vec<PathBuf>),
    /// The package of this very folder.
    Package(PathBuf),
    /// A pipeline file.
    Pipeline {
        /// The file.
        file: PathBuf,
        /// Values of its parameters.
        params: BTreeMap<String, String>,
    },
}

/// What to build, and how. Everything from the command line and environment.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// What the plan is made of.
    pub target: Target,
    /// The folder the user stands in: every path is relative to it.
    pub here: PathBuf,
    /// Only these tasks, and what they need.
    pub tasks: Vec<String>,
    /// Where archives go.
    pub output: PathBuf,
    /// Where packages are published to, instead of archives.
    pub publish: Option<Destination>,
    /// How packages are signed, if they are; of a pipeline, its tasks say.
    pub sign: Option<SignWork>,
    /// Published packages whose results are used, as `oci://` references.
    pub cache_from: Vec<String>,
    /// The cache folder.
    pub cache: PathBuf,
    /// What the run may do.
    pub wishes: Wishes,
    /// Go on after a failure.
    pub keep_going: bool,
    /// How registries are reached.
    pub connection: Connection,
    /// Overrides each definition's architecture.
    pub architecture: Option<String>,
    /// Components of this flavor are taken as well.
    pub flavor: String,
    /// Values of the definitions' templates.
    pub set: BTreeMap<String, String>,
    /// Imports from registries are looked up again, whatever is pinned.
    pub move_pins: bool,
    /// Images whose reference begins with a key are pulled from its value instead.
    pub registry_overrides: BTreeMap<String, String>,
    /// What is left out of the package, and of its definition.
    pub differential: Option<Base>,
    /// Leave SBOMs out.
    pub skip_sbom: bool,
    /// For the build section of packages.
    pub facts: BuildFacts,
    /// Largest size of one archive file, in bytes.
    pub split: Option<u64>,
    /// What the cache may hold after the run, in bytes; a pipeline file's own
    /// limit counts where this is `None`.
    pub cache_size: Option<u64>,
}

/// What the cache may hold when nobody says otherwise, in bytes: 20 GiB.
const CACHE_SIZE: u64 = 20 << 30;

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Mistakes in a file.
    #[error("{0}")]
    Mistakes(#[from] Mistakes),
    /// Something imported could not be had, told where it is named.
    #[error("{0}")]
    Import(Mistakes),
    /// A definition that has no plan.
    #[error("{at}: {source}")]
    Plan {
        /// The definition; the line and column, where one is to blame.
        at: String,
        /// Why.
        source: Box<PlanError>,
    },
    /// Values of parameters.
    #[error("{0}")]
    Params(String),
    /// Instances that cannot be made.
    #[error("{at}: {source}")]
    Expand {
        /// The pipeline file, with the line and column to blame.
        at: String,
        /// Why.
        source: Box<ExpandError>,
    },
    /// A package with results that cannot be named.
    #[error("--cache-from `{0}`: {1}; expected oci://HOST/PATH:TAG")]
    CacheFrom(String, ReferenceError),
    /// There can be no differential package.
    #[error("--differential: {0}")]
    Differential(#[from] DifferentialError),
    /// Tasks that wait for each other, or are not there.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A task that is asked for and not there.
    #[error("{0}")]
    Task(PlanError),
    /// A package that cannot be published.
    #[error("{}", unpublishable(.0))]
    Unpublishable(Box<PlanError>),
    /// There is nothing to build.
    #[error("`{0}` holds no jackal.yaml: name a folder with a package, or create one")]
    NoPackage(PathBuf),
    /// A folder or file that is not there.
    #[error("`{0}` is not there: correct the path")]
    Absent(PathBuf),
    /// The disk refused.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The workspace cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockfileError),
    /// Registries cannot be reached as told.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The run could not keep what it learned.
    #[error("{0}")]
    Save(String),
}

/// Without the task, which the user did not write.
fn unpublishable(error: &PlanError) -> String {
    match error {
        PlanError::Untagged { source, .. } => source.to_string(),
        PlanError::Offline { .. } => {
            "a registry is to be published to, which --offline forbids".to_owned()
        }
        other => other.to_string(),
    }
}

impl BuildError {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Mistakes(_)
            | Self::Plan { .. }
            | Self::Task(_)
            | Self::Unpublishable(_)
            | Self::Params(_)
            | Self::Expand { .. }
            | Self::Graph(_)
            | Self::Differential(_)
            | Self::CacheFrom(..)
            | Self::NoPackage(_)
            | Self::Lock(LockfileError::Malformed { .. })
            | Self::Connection(_) => Class::Configuration,
            _ => Class::Environment,
        }
    }
}

/// What a build did.
pub struct Built {
    /// The whole run.
    pub record: RunRecord,
    /// Failures in the order in which they happened.
    pub failures: Vec<(String, Failure)>,
    /// What did not help, and did not hinder.
    pub notes: Vec<String>,
}

/// A plan with the ground to carry it out on.
pub struct Prepared {
    site: Arc<Site>,
    plan: Plan,
    workspace: PathBuf,
    cache_size: Option<u64>,
    warnings: Vec<Warning>,
    /// Why it can be looked at, and not be carried out.
    refusal: Option<BuildError>,
    /// Packages with results, for this architecture.
    cache_from: Vec<Reference>,
    architecture: String,
}

/// Reads definitions and makes the plan; `ask` answers for templates without
/// a value.
///
/// # Errors
///
/// [`BuildError`]
pub fn prepare(options: &BuildOptions, ask: Ask<'_>) -> Result<Prepared, BuildError> {
    let workspace = workspace_of(&options.here);
    let registry = options.connection.client()?;
    let cas = Arc::new(Cas::open(&options.cache)?);
    let composer = &mut composer(options, ask, &cas, &registry);
    let (mut plan, pipeline) = match &options.target {
        Target::Pipeline { file, params } => {
            let file = options.here.join(file);
            let (plan, text) = plans::of_pipeline(options, composer, &file, params)?;
            (plan, Some(text))
        }
        named => {
            let folders = match named {
                Target::Paths(paths) => packages(options, paths)?,
                Target::Package(folder) => vec![lone(options, folder)?],
                _ => below(&workspace)?,
            };
            let plan = plans::of_packages(options, composer, &workspace, folders)?;
            (plan, None)
        }
    };
    let warnings = std::mem::take(&mut composer.warnings);
    plan.narrow(&options.tasks).map_err(BuildError::Task)?;
    let unpublishable = plan.publishable(options.wishes.offline).err();
    let refusal = unpublishable.map(|error| match &pipeline {
        Some(text) => plans::blamed(text, error),
        None => BuildError::Unpublishable(Box::new(error)),
    });
    Ok(Prepared {
        site: Site::new(cas, registry, &workspace, options.wishes.clone()),
        plan,
        workspace,
        cache_size: options.cache_size,
        warnings,
        refusal,
        cache_from: cache_from(&options.cache_from)?,
        architecture: options
            .architecture
            .clone()
            .unwrap_or_else(|| implied::host_architecture().to_owned()),
    })
}

fn cache_from(given: &[String]) -> Result<Vec<Reference>, BuildError> {
    given
        .iter()
        .map(|text| {
            let rest = text.strip_prefix("oci://").unwrap_or_default();
            hosted(rest).map_err(|error| BuildError::CacheFrom(text.clone(), error))
        })
        .collect()
}

pub(super) fn composer<'r>(
    options: &'r BuildOptions,
    ask: Ask<'r>,
    cas: &'r Arc<Cas>,
    registry: &'r Registry,
) -> Composer<'r> {
    let pins = match &options.wishes {
        _ if options.move_pins => Pins::Moved,
        wishes if wishes.offline => Pins::Offline,
        wishes if wishes.locked => Pins::Demanded,
        _ => Pins::Kept,
    };
    Composer {
        here: &options.here,
        flavor: &options.flavor,
        set: &options.set,
        architecture: options.architecture.as_deref(),
        ask,
        skeletons: Skeletons::new(cas, registry, pins),
        warnings: Vec::new(),
        answers: BTreeMap::new(),
    }
}

/// The definition of the package in `folder`, composed, with that folder.
pub(super) fn compose_one(
    options: &BuildOptions,
    folder: &Path,
    ask: Ask<'_>,
) -> Result<(PathBuf, Composed), BuildError> {
    let registry = options.connection.client()?;
    let cas = Arc::new(Cas::open(&options.cache)?);
    let folder = lone(options, folder)?;
    let Some((_, path)) = plan::definition_in(&folder) else {
        return Err(BuildError::NoPackage(folder));
    };
    let mut composer = composer(options, ask, &cas, &registry);
    let chosen = Chosen {
        architecture: options.architecture.clone(),
        ..Chosen::default()
    };
    let (composed, _) = composer.compose(&path, &chosen)?;
    Ok((folder, composed))
}

impl Prepared {
    /// What the user should know of the definitions.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether commands should be kept to what they declare, and cannot be here.
    #[must_use]
    pub fn unconfined(&self) -> bool {
        let wanted = |step: &Step| match &step.work {
            Work::Run(work) => work.sandbox == Sandbox::Warn && !step.skipped,
            _ => false,
        };
        !confine::supported() && self.plan.steps.values().any(wanted)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Carries the plan out.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; failures of tasks are in [`Built`].
    pub async fn build(
        self,
        keep_going: bool,
        events: mpsc::UnboundedSender<Event>,
        stop: watch::Receiver<Stop>,
    ) -> Result<Built, BuildError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let notes = self.use_published().await;
        let how = How {
            workspace: self.workspace,
            keep_going,
            events,
            stop,
        };
        let mut ran = run::run(&self.site, &self.plan, &how).await?;
        let published = self.site.published.get();
        if !ran.failures.is_empty() && published.is_some_and(Published::fetch_from_now_on) {
            // Perhaps for want of a blob that was left in the registry.
            ran = run::run(&self.site, &self.plan, &how).await?;
        }
        // Each round removes at least one damaged blob and makes it again; a
        // disk that damages what was just written must not keep us here.
        for _ in 0..MAX_HEALING_ROUNDS {
            if !ran.healing {
                break;
            }
            let mended = std::mem::take(&mut ran.record.tasks);
            ran = run::run(&self.site, &self.plan, &how).await?;
            executed_before(&mut ran.record, mended);
        }
        self.site
            .save()
            .map_err(|failure| BuildError::Save(failure.message))?;
        keep_record(&self.site.cas, &ran.record);
        if ran.record.count(Status::Executed) > 0 {
            let own = self.plan.cache_limits;
            let limits = Limits {
                max_bytes: self.cache_size.or(own.max_size).or(Some(CACHE_SIZE)),
                max_age: own.max_age.map(|age| age.as_secs()),
            };
            // A cache that cannot be pruned is larger, and the build is done.
            drop(self.site.cas.prune(limits));
        }
        Ok(Built {
            record: ran.record,
            failures: ran.failures,
            notes,
        })
    }

    /// Reads the results that are to be used; says what cannot be.
    async fn use_published(&self) -> Vec<String> {
        let (mut notes, mut packages) = (Vec::new(), Vec::new());
        for reference in &self.cache_from {
            let (registry, architecture) = (&self.site.registry, &self.architecture);
            match PublishedResults::load(registry, reference, architecture).await {
                Ok(results) => packages.push(results),
                Err(error) => notes.push(format!("--cache-from: {error}; building without it")),
            }
        }
        // An archive and a command need the bytes, a publication their digests.
        let needs_bytes = |step: &Step| match &step.work {
            Work::Package(package) => package.archive.is_some(),
            Work::Run(_) => true,
            _ => false,
        };
        let by_reference = !self.plan.steps.values().any(needs_bytes);
        if !packages.is_empty() {
            // Nobody else sets it.
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
        Ok(run::assess(&self.site, &self.plan, &self.workspace).await?)
    }
}

impl Prepared {
    /// Resolves the plan's references again (`names`, or all of them) and
    /// writes their pins; returns what was looked at.
    ///
    /// # Errors
    ///
    /// The first reference that cannot be resolved; no pin has moved then.
    pub async fn update(&self, names: &[String]) -> Result<Vec<Moved>, Failure> {
        let moved = run::update(&self.site, &self.plan, names).await?;
        self.site.save()?;
        Ok(moved)
    }
}

/// Counts as executed what an earlier round of this run executed.
fn executed_before(record: &mut RunRecord, earlier: Vec<TaskRecord>) {
    for old in earlier {
        let cached = |task: &&mut TaskRecord| {
            task.task == old.task && task.status == Status::Cached && old.status == Status::Executed
        };
        if let Some(task) = record.tasks.iter_mut().find(cached) {
            *task = old;
        }
    }
}

/// Keeps the record in the cache, if anything ran. A disk that refuses costs
/// the record only.
fn keep_record(cas: &Cas, record: &RunRecord) {
    if record.count(Status::Executed) + record.count(Status::Failed) == 0 {
        return;
    }
    let Ok(text) = serde_json::to_vec(record) else {
        return;
    };
    drop(disk::write_hint(&cas.root().join("runs/run.json"), &text));
}
