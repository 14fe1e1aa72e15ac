//! Plans: steps with their work, and what each waits for.
//!
//! `implied` makes the task instances of a folder without a pipeline file, and
//! `declared` makes steps of instances; `run` executes a plan. It never reads the
//! inputs of a step.

mod declared;
mod error;
mod implied;
mod options;
mod parts;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::look;
use crate::graph::{Graph, GraphError};
use crate::ground::folders::lexical;
use crate::ground::marks::Marks;
use crate::kinds::package::Archive;
use crate::kinds::{Kind as _, Work};
use crate::oci::is_tag;
use crate::package::{Dialect, manifest};
use crate::pipeline::{CacheLimits, Resources, Retries, RunsAfter};
use crate::release::Destination;
use crate::yaml::nearest;

pub use declared::{Composed, Outputs, Unit};
pub use error::PlanError;
pub use implied::imply;
pub use options::PlanOptions;
pub use parts::make_for_skeleton;
pub use select::{Candidate, Chosen, Named, Selection};

/// One unit of work in a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// The folder of its pipeline file or package.
    pub home: PathBuf,
    /// Its pipeline file or definition.
    pub file: PathBuf,
    /// Its name in that folder, without the prefix that distinguishes steps of several folders.
    pub name: String,
    /// Steps that must end before it starts; their results are its inputs.
    pub after: Vec<String>,
    /// Those of them whose results it does not read.
    pub order: Vec<String>,
    pub work: Work,
    /// The pool it takes a slot of.
    pub pool: Option<String>,
    /// The lock it holds.
    pub mutex: Option<String>,
    /// Whether and when a failed attempt is repeated.
    pub retries: Retries,
    /// What it occupies while it runs.
    pub resources: Resources,
    /// Time limit of one attempt, unless the work enforces it itself.
    pub timeout: Option<Duration>,
    /// Among ready steps the one with the highest priority starts first.
    pub priority: i32,
    /// The outcomes of earlier steps after which it runs.
    pub when: RunsAfter,
    /// Whether its result may be cached.
    pub cached: bool,
    /// Whether its result stays on this machine.
    pub local: bool,
    /// The maximum age of pins that it uses; `None`: unlimited.
    pub fresh: Option<Duration>,
    /// Further texts that its key contains.
    pub salts: Vec<String>,
    /// Words that `--task tag:WORD` selects it by.
    pub tags: Vec<String>,
    /// Its condition is false, so it does not run.
    pub skipped: bool,
    /// Its failure does not fail the run.
    pub may_fail: bool,
    /// Marks that its pipeline allows archives to have.
    pub(crate) trusts: Marks,
}

impl Step {
    /// What kind of work it does.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.work.verb()
    }

    /// The steps whose results it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &String> {
        self.after.iter().filter(|on| !self.order.contains(on))
    }
}

/// Every step of a run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: BTreeMap<String, Step>,
    /// Those that a target names; the others are there because these need them.
    pub chosen: BTreeSet<String>,
    /// Where packages are published, and under which tags, by the steps that make them:
    /// also by steps that are not in the plan.
    pub(crate) published_at: BTreeMap<String, Vec<(Destination, Vec<String>)>>,
    /// How many steps may use each pool at once.
    pub pools: BTreeMap<String, u32>,
    /// Limits on the cache that a pipeline file sets.
    pub cache_limits: CacheLimits,
    /// Whether `publish` and builds under `CI=true` take incremental results.
    pub trusts_incremental: bool,
    /// Whether `publish` takes what is made from what tasks got from the network.
    pub allows_unpinned: bool,
    /// The archives to be written, each with the step that makes its package. Another
    /// step may write it, once it is signed.
    pub(crate) archives: Vec<(PathBuf, String)>,
}

impl Plan {
    /// These steps and everything that they are made from: a step that publishes them
    /// publishes the results of all.
    pub(crate) fn with_ancestors(&self, steps: &[String]) -> Vec<String> {
        self.ancestors(steps).into_iter().collect()
    }

    /// This step and everything that it is made from, with their verbs.
    pub(crate) fn led_to(&self, step: &str) -> Vec<(String, &'static str)> {
        let found = self.ancestors(&[step.to_owned()]).into_iter();
        let named = found.filter_map(|id| {
            let verb = self.steps.get(&id)?.work.verb();
            Some((id, verb))
        });
        named.collect()
    }

    /// The steps whose results are in what `publish` steps publish.
    fn published(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for step in self.running() {
            let Work::Publish(work) = &step.work else {
                continue;
            };
            let made_from = self.made_from(&work.verb.packages).into_iter();
            found.extend(made_from.map(|id| (id, work.task.clone())));
        }
        found
    }

    /// These steps and those whose results are in theirs.
    fn made_from(&self, steps: &[String]) -> BTreeSet<String> {
        self.before(steps, |step| step.reads().cloned().collect())
    }

    /// These steps and all before them: `next` gives those that are directly before one.
    fn before(&self, steps: &[String], next: impl Fn(&Step) -> Vec<String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = steps.to_vec();
        while let Some(id) = open.pop() {
            if let Some(step) = self.steps.get(&id)
                && found.insert(id)
            {
                open.extend(next(step));
            }
        }
        found
    }

    /// The steps whose own condition does not skip them.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Step> {
        self.steps.values().filter(|step| !step.skipped)
    }

    /// What each step waits for.
    #[must_use]
    pub fn waits(&self) -> BTreeMap<String, Vec<String>> {
        let steps = self.steps.iter();
        steps
            .map(|(id, step)| (id.clone(), step.after.clone()))
            .collect()
    }

    /// Those of `after` whose results are not in `steps`.
    pub(crate) fn apart_from(&self, steps: &[String], after: &[String]) -> Vec<String> {
        let read = self.made_from(steps);
        let mut others = after.to_vec();
        others.retain(|on| !read.contains(on));
        others
    }

    fn ancestors(&self, steps: &[String]) -> BTreeSet<String> {
        self.before(steps, |step| step.after.clone())
    }

    /// The archive that `step`, which makes a package, would write.
    pub(crate) fn archive_of(&self, step: &str) -> Option<Archive> {
        match &self.steps.get(step)?.work {
            Work::Package(package) => package.to_write(),
            _ => None,
        }
    }
}

impl Plan {
    pub(crate) fn add(&mut self, step: Step) {
        self.steps.insert(step.id.clone(), step);
    }

    /// Takes out the one step that `name` selects, and leaves those before it; `None`:
    /// it selects none, or several.
    pub(crate) fn take(&mut self, name: &str) -> Option<Step> {
        let suffix = format!(":{name}");
        let named = |id: &&String| *id == name || id.ends_with(&suffix);
        let mut found = self.steps.keys().filter(named);
        let (Some(id), None) = (found.next().cloned(), found.next()) else {
            return None;
        };
        let step = self.steps.remove(&id)?;
        let needed = self.ancestors(&step.after);
        self.steps.retain(|id, _| needed.contains(id));
        Some(step)
    }

    /// The steps as a graph.
    ///
    /// # Errors
    ///
    /// [`GraphError`]
    pub fn graph(&self) -> Result<Graph<String>, GraphError> {
        let edges = self
            .steps
            .values()
            .flat_map(|step| step.after.iter().map(|on| (step.id.clone(), on.clone())));
        Graph::build(self.steps.keys().cloned(), edges)
    }

    /// Refuses two packages that would be written to one archive.
    fn apart(&self) -> Result<(), PlanError> {
        let mut written: BTreeMap<&Path, &String> = BTreeMap::new();
        for (archive, id) in &self.archives {
            if self.steps.get(id).is_none_or(|step| step.skipped) {
                continue;
            }
            if let Some(one) = written.insert(archive, id).filter(|one| *one != id) {
                return Err(PlanError::SameArchive {
                    one: one.clone(),
                    other: id.clone(),
                    archive: archive.clone(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a folder that both a command and a package step write to: what a
    /// command leaves in its output folder is all that is in it.
    ///
    /// # Errors
    ///
    /// [`PlanError::ArchiveInOutput`]
    pub fn separate_folders(&self) -> Result<(), PlanError> {
        let mut written: BTreeSet<&Path> = BTreeSet::new();
        for step in self.running() {
            match &step.work {
                Work::Package(package) => {
                    written.extend(package.archive.as_deref().and_then(Path::parent));
                }
                // It writes the archives of what it signs.
                Work::Sign(sign) => {
                    let archives = sign.packages.iter().filter_map(|one| one.archive.as_ref());
                    written.extend(archives.filter_map(|archive| archive.path.parent()));
                }
                Work::Publish(publish) => {
                    written.extend(publish.to.iter().filter_map(|to| match to {
                        Destination::Layout(folder) => Some(folder.as_path()),
                        Destination::Registry(_) => None,
                    }))
                }
                _ => {}
            }
        }
        for step in self.running() {
            let Work::Run(run) = &step.work else {
                continue;
            };
            let folders = run.outputs.iter().filter(|output| output.directory);
            for output in folders {
                let at = lexical(&run.folder.join(&output.path));
                if written.iter().any(|folder| folder.starts_with(&at)) {
                    return Err(PlanError::ArchiveInOutput {
                        task: step.id.clone(),
                        output: output.path.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Decides which step writes an archive that several could: the first one that signs
    /// the package, if one will run, else the one that makes it.
    pub fn settle_archives(&mut self) {
        let skipped = self.skipped();
        let mut signed = BTreeSet::new();
        for (id, step) in &mut self.steps {
            if let Work::Sign(sign) = &mut step.work {
                for package in &mut sign.packages {
                    if skipped.contains(id) || !signed.insert(package.step.clone()) {
                        package.archive = None;
                    }
                }
            }
        }
        for id in signed {
            if let Some(Step { work, .. }) = self.steps.get_mut(&id)
                && let Work::Package(package) = work
            {
                package.archive = None;
            }
        }
    }

    /// The steps that conditions skip, and those that are skipped with them.
    fn skipped(&self) -> BTreeSet<String> {
        let mut skipped: BTreeSet<String> = BTreeSet::new();
        loop {
            let more: Vec<String> = (self.steps.values())
                .filter(|step| !skipped.contains(&step.id))
                .filter(|step| {
                    let waits = || step.after.iter().any(|on| skipped.contains(on));
                    step.skipped || !step.when.skipped && waits()
                })
                .map(|step| step.id.clone())
                .collect();
            if more.is_empty() {
                return skipped;
            }
            skipped.extend(more);
        }
    }

    /// Makes commands start from nothing if their results are published or made for
    /// others, unless the pipeline trusts what they keep.
    pub fn settle_incremental(&mut self) {
        if self.trusts_incremental {
            return;
        }
        let publish: Vec<String> = (self.running())
            .filter(|step| matches!(step.work, Work::Publish(_)))
            .map(|step| step.id.clone())
            .collect();
        // A test that only has to pass before is to pass on what is published.
        let published = self.ancestors(&publish);
        for (id, step) in &mut self.steps {
            if let Work::Run(run) = &mut step.work
                && (run.unattended || published.contains(id))
            {
                run.kept = None;
            }
        }
    }

    /// Refuses to publish what is made from the network, unless the pipeline allows it.
    fn pinned(&self) -> Result<(), PlanError> {
        if self.allows_unpinned {
            return Ok(());
        }
        for (id, publish) in self.published() {
            if let Some(step) = self.steps.get(&id)
                && let Work::Run(run) = &step.work
                && run.network
                && !step.skipped
            {
                return Err(PlanError::Unpinned {
                    task: run.place.instance.clone(),
                    publish,
                });
            }
        }
        Ok(())
    }

    /// Checks what can be checked of archives and releases before anything is built.
    ///
    /// # Errors
    ///
    /// [`PlanError::SameArchive`], [`PlanError::Unpinned`], [`PlanError::Offline`], [`PlanError::Tag`],
    /// [`PlanError::Untagged`]
    pub fn publishable(&self, offline: bool) -> Result<(), PlanError> {
        self.apart()?;
        self.pinned()?;
        for step in self.running() {
            let Work::Publish(work) = &step.work else {
                continue;
            };
            let task = &work.task;
            let mut to = work.to.iter();
            if offline && to.any(|to| matches!(to, Destination::Registry(_))) {
                return Err(PlanError::Offline { task: task.clone() });
            }
            if let Some(tag) = work.verb.tags.iter().find(|tag| !is_tag(tag)) {
                let (task, tag) = (task.clone(), tag.clone());
                return Err(PlanError::Tag { task, tag });
            }
            if !work.verb.tags.is_empty() {
                continue;
            }
            for of in &work.verb.packages {
                if let Some(Work::Package(package)) = self.steps.get(of).map(|step| &step.work) {
                    let (metadata, build) =
                        (&package.definition.metadata, &package.definition.build);
                    let tag = manifest::tag(&metadata.version, &build.flavor);
                    tag.map_err(|source| PlanError::Untagged {
                        task: task.clone(),
                        of: of.clone(),
                        source: Box::new(source),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Keeps the steps in `wanted` and the steps that they need. A name selects the step
    /// of that name in every package (`package` selects `web:package`); `tag:WORD`
    /// selects every step with the tag.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoTask`]
    pub fn narrow(&mut self, wanted: &[String]) -> Result<(), PlanError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut keep = BTreeSet::new();
        for name in wanted {
            let suffix = format!(":{name}");
            let instance = format!("{name}[");
            let of_task = format!("{name}:");
            let tag = name.strip_prefix("tag:");
            let before = keep.len();
            keep.extend(self.steps.iter().filter_map(|(id, step)| {
                let named = id == name
                    || id.ends_with(&suffix)
                    || id.starts_with(&instance)
                    || id.starts_with(&of_task);
                let tagged = tag.is_some_and(|tag| step.tags.iter().any(|own| own == tag));
                (named || tagged).then_some(id)
            }));
            if keep.len() == before {
                let near = nearest(name, self.steps.keys().map(String::as_str))
                    .map_or(String::new(), |id| format!("did you mean `{id}`? "));
                return Err(PlanError::NoTask {
                    task: name.clone(),
                    near,
                });
            }
        }
        self.keep(keep.into_iter().cloned().collect());
        Ok(())
    }

    /// The part of the plan that these steps need.
    pub(crate) fn part(&self, steps: &[String]) -> Self {
        let needed = self.needed(steps).into_iter();
        Self {
            steps: needed
                .filter_map(|id| Some((id.clone(), self.steps.get(&id)?.clone())))
                .collect(),
            chosen: self.chosen.clone(),
            pools: self.pools.clone(),
            archives: self.archives.clone(),
            published_at: BTreeMap::new(),
            ..*self
        }
    }

    /// These steps and all that wait for them, at any distance.
    pub(crate) fn descendants(&self, steps: BTreeSet<String>) -> BTreeSet<String> {
        let mut waiting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, step) in &self.steps {
            for on in &step.after {
                waiting.entry(on).or_default().push(id);
            }
        }
        let mut open: Vec<String> = steps.iter().cloned().collect();
        let mut found = steps;
        while let Some(id) = open.pop() {
            let next = waiting.get(id.as_str()).into_iter().flatten();
            open.extend(
                next.map(|id| (*id).to_owned())
                    .filter(|id| found.insert(id.clone())),
            );
        }
        found
    }

    /// Keeps these steps, of those that are chosen, and what they need. An archive that a
    /// step would have written that is left out is written by the one that makes it.
    pub(crate) fn retain_chosen(&mut self, chosen: BTreeSet<String>) {
        self.keep(chosen.iter().cloned().collect());
        self.chosen = chosen;
        let signs = |step: &Step| match &step.work {
            Work::Sign(sign) => Some(sign.packages.clone()),
            _ => None,
        };
        let signed = self.steps.values().filter_map(signs).flatten();
        let signed: BTreeSet<String> = signed
            .filter(|package| package.archive.is_some())
            .map(|package| package.step)
            .collect();
        for (path, id) in &self.archives {
            if let Some(Step { work, .. }) = self.steps.get_mut(id)
                && let Work::Package(package) = work
                && package.framed
                && !signed.contains(id)
            {
                package.archive = Some(path.clone());
            }
        }
    }

    /// Keeps these steps, the steps that they need, and those that clean up after them.
    fn keep(&mut self, keep: Vec<String>) {
        let needed = self.needed(&keep);
        self.steps.retain(|id, _| needed.contains(id));
    }

    /// These steps, the steps that they need, and those that clean up after them.
    fn needed(&self, keep: &[String]) -> BTreeSet<String> {
        let mut needed = self.ancestors(keep);
        // Steps that clean up after a failure stay if everything that they wait for does.
        let follows = |step: &Step| {
            step.work.follows_failure() && step.after.iter().all(|on| needed.contains(on))
        };
        let followers: Vec<String> = (self.steps.values())
            .filter(|step| follows(step))
            .map(|step| step.id.clone())
            .collect();
        needed.extend(followers);
        needed
    }
}

/// The definition in a folder, if there is one to build. An unpacked package, which
/// has checksums, is not built again.
#[must_use]
pub fn definition_in(folder: &Path) -> Option<(Dialect, PathBuf)> {
    if look::is_file(&folder.join(Dialect::CHECKSUMS)) {
        return None;
    }
    Dialect::ALL.into_iter().find_map(|dialect| {
        let path = folder.join(dialect.definition_file());
        look::is_file(&path).then_some((dialect, path))
    })
}
