//! `jackal build --watch`: builds again what a change of files concerns.
//!
//! A file counts as changed if it is not what the last run has read, so the run's own
//! writes and saves without a change start nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};

use super::build::{Built, Prepared, prepare};
use super::build_error::BuildError;
use super::build_options::{BuildOptions, Target};
use super::compose::Ask;
use super::watch_reads::Reads;
use crate::disk::TEMPORARY_PREFIX;
use crate::ground::Stop;
use crate::ground::folders::lexical;
use crate::ground::inputs::OnDisk;
use crate::kinds::Work;
use crate::oci::Digest;
use crate::plan::Step;
use crate::run::event::Event;
use crate::run::record::RunRecord;
use crate::run::{How, Watched};
use crate::workspace::{Changes, Climbing, Watcher};

/// How often in succession files may change while their tasks run before that counts as
/// a loop.
const SUSPICIOUS: u32 = 5;

/// The longest pause between the rounds of a loop.
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

/// Builds, waits for changes, and builds again.
pub struct Watch {
    options: BuildOptions,
    files: Files,
    /// `None`: the plan is to be made, or made again.
    session: Option<Session>,
    /// What has changed since it was last judged.
    pending: Changes,
    /// Why the last round was ended early. What its tasks read may be up to date by now, but
    /// they have no results.
    recalled: Judged,
    /// Rounds in succession that were asked for while tasks ran.
    hasty: u32,
}

/// The watched files.
struct Files {
    watcher: Watcher,
    /// Files that the caller writes.
    reports: Vec<PathBuf>,
    /// What plans are made of, as it was when it was last judged.
    known: HashMap<PathBuf, State>,
}

/// A plan, and what is known of its tasks.
struct Session {
    prepared: Prepared,
    watched: Arc<Watched>,
    reads: Reads,
    /// The patterns of commands by their steps, compiled when they are first used.
    patterns: BTreeMap<String, OnceLock<Option<Climbing>>>,
    /// Tasks with a result.
    done: BTreeSet<String>,
    /// The next round; `None`: everything.
    next: Option<BTreeSet<String>>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    File(Option<Digest>),
    Other,
}

impl State {
    fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Err(_) => Self::Nothing,
            Ok(metadata) if metadata.is_file() => Self::File(OnDisk::of(path).digest()),
            Ok(_) => Self::Other,
        }
    }
}

/// Why a round is run.
#[derive(Debug, Default)]
pub struct Cause {
    /// Files that changed, sorted; empty if events were lost.
    pub paths: Vec<PathBuf>,
    /// Whether these files have changed while their tasks ran, again and again.
    pub loops: bool,
}

/// What changes mean for the plan.
#[derive(Default)]
struct Judged {
    changed: BTreeSet<PathBuf>,
    /// Tasks that may read them.
    steps: BTreeSet<String>,
    /// Whether the plan may be another.
    replan: bool,
}

impl Watch {
    /// Watches the workspace of the options; `reports` are files that the caller writes.
    /// Must be called in the runtime that waits for changes.
    ///
    /// # Errors
    ///
    /// [`BuildError::Watch`]
    pub fn start(options: BuildOptions, reports: Vec<PathBuf>) -> Result<Self, BuildError> {
        let watcher = Watcher::new(roots(&options)).map_err(BuildError::Watch)?;
        let here = &options.place.here;
        let reports = reports.iter().map(|file| lexical(&here.join(file)));
        let mut files = Files {
            watcher,
            reports: reports.collect(),
            known: HashMap::new(),
        };
        files.relearn();
        Ok(Self {
            options,
            files,
            session: None,
            pending: Changes::default(),
            recalled: Judged::default(),
            hasty: 0,
        })
    }

    /// The number of watched folders.
    #[must_use]
    pub fn folders(&self) -> usize {
        self.files.watcher.count()
    }

    /// Makes the plan, unless the last one still holds; returns a new one.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; after the next change it may be made.
    pub fn plan(&mut self, ask: Ask<'_>) -> Result<Option<&Prepared>, BuildError> {
        if self.session.is_some() {
            return Ok(None);
        }
        let mut prepared = prepare(&self.options, ask)?;
        if let Some(refusal) = prepared.refusal.take() {
            return Err(refusal);
        }
        // What was to be made anew is made in the first round.
        self.options.run.force = false;
        self.options.run.clean = false;
        let session = self.session.insert(Session::of(prepared));
        Ok(Some(&session.prepared))
    }

    /// Runs what the last changes concern. A task that runs is ended if its inputs
    /// change, and the round ends with the others.
    ///
    /// # Errors
    ///
    /// [`BuildError`]
    ///
    /// # Panics
    ///
    /// There is no plan: [`plan`](Self::plan) must have succeeded.
    pub async fn round(
        &mut self,
        events: mpsc::UnboundedSender<Event>,
        stop: watch::Receiver<Stop>,
    ) -> Result<Built, BuildError> {
        let session = self.session.as_mut().expect("a round follows its plan");
        session.watched.restart();
        let part = session.next.take().map(|steps| {
            let steps: Vec<String> = steps.into_iter().collect();
            session.prepared.plan.part(&steps)
        });
        let how = How {
            keep_going: session.prepared.keep_going,
            events,
            stop,
            watched: Some(Arc::clone(&session.watched)),
        };
        let prepared = &session.prepared;
        let plan = part.as_ref().unwrap_or(&prepared.plan);
        let (ran, notes) = {
            let mut run = std::pin::pin!(prepared.carry_out(plan, &how));
            loop {
                tokio::select! {
                    ran = &mut run => break ran?,
                    changes = self.files.watcher.changes() => {
                        let changes = changes.map_err(BuildError::Watch)?;
                        session.reads.update(&prepared.plan, session.watched.inputs());
                        let judged = self.files.judge(session, &changes);
                        for path in &judged.changed {
                            prepared.site.refresh(path);
                        }
                        // A task that changes its own inputs is not to be ended for ever.
                        if judged.concerns_something() && self.hasty < SUSPICIOUS {
                            let steps = prepared.plan.descendants(judged.steps.clone());
                            session.watched.recall(steps);
                            self.recalled.add(judged);
                        }
                        add(&mut self.pending, changes);
                    }
                }
            }
        };
        if part.is_none() {
            prepared.prune_after(&ran.record);
        }
        let built = Built {
            after: plan.waits(),
            record: ran.record,
            failures: ran.failures,
            notes,
            shell: None,
            whole: None,
            cas: Arc::clone(&prepared.site.cas),
        };
        session.note(&built.record);
        for folder in session
            .reads
            .update(&session.prepared.plan, session.watched.inputs())
        {
            let added = self.files.watcher.add(&folder);
            added.map_err(BuildError::Watch)?;
        }
        // The run writes pins itself.
        let locks: Vec<PathBuf> = (self.pending.paths.iter())
            .filter(|path| is_lock(path))
            .cloned()
            .collect();
        for lock in locks {
            self.files.learn(lock);
        }
        Ok(built)
    }

    /// Waits for a change that concerns the plan.
    ///
    /// # Errors
    ///
    /// [`BuildError::Watch`]
    pub async fn changed(&mut self) -> Result<Cause, BuildError> {
        let mut at_once = true;
        loop {
            if self.pending.lost {
                self.pending = Changes::default();
                self.session = None;
                self.files.relearn();
                return Ok(Cause::default());
            }
            let judged = self.judge_pending();
            if judged.concerns_something() {
                let cause = self.cause(&judged, at_once);
                self.apply(judged);
                if cause.loops {
                    let pause =
                        std::time::Duration::from_millis(100 << (self.hasty - SUSPICIOUS).min(10));
                    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                }
                return Ok(cause);
            }
            let changes = self.files.watcher.changes().await;
            at_once = false;
            add(&mut self.pending, changes.map_err(BuildError::Watch)?);
        }
    }

    fn judge_pending(&mut self) -> Judged {
        let changes = std::mem::take(&mut self.pending);
        let mut judged = match &self.session {
            Some(session) => self.files.judge(session, &changes),
            None => self.files.judge_without_plan(&changes.paths),
        };
        judged.add(std::mem::take(&mut self.recalled));
        for path in changes.paths {
            if makes_plans(&path) || self.session.is_none() {
                self.files.learn(path);
            }
        }
        judged
    }

    fn cause(&mut self, judged: &Judged, at_once: bool) -> Cause {
        self.hasty = if at_once { self.hasty + 1 } else { 0 };
        Cause {
            paths: judged.changed.iter().cloned().collect(),
            loops: self.hasty > SUSPICIOUS,
        }
    }

    /// Prepares the next round.
    fn apply(&mut self, judged: Judged) {
        if judged.replan {
            self.session = None;
        }
        let Some(session) = &mut self.session else {
            return;
        };
        for path in &judged.changed {
            session.prepared.site.refresh(path);
        }
        let plan = &session.prepared.plan;
        let mut next = plan.descendants(judged.steps);
        let open = |step: &&Step| !step.skipped && !session.done.contains(&step.id);
        next.extend(plan.steps.values().filter(open).map(|step| step.id.clone()));
        session.next = Some(next);
    }
}

impl Session {
    fn of(prepared: Prepared) -> Self {
        let runs = prepared.plan.steps.iter();
        let runs = runs.filter(|(_, step)| matches!(step.work, Work::Run(_)));
        Self {
            patterns: runs.map(|(id, _)| (id.clone(), OnceLock::new())).collect(),
            prepared,
            watched: Arc::default(),
            reads: Reads::default(),
            done: BTreeSet::new(),
            next: None,
        }
    }

    /// Whether a path that the step has not read may be one of its inputs.
    fn may_read(&self, step: &Step, path: &Path) -> bool {
        match (&step.work, self.patterns.get(&step.id)) {
            (Work::Run(run), Some(patterns)) => {
                let patterns = patterns.get_or_init(|| run.patterns());
                let patterns = patterns.as_ref();
                patterns.is_none_or(|patterns| patterns.matches(path))
            }
            _ => !self.reads.has_looked(&step.id) || self.reads.reads_near(&step.id, path),
        }
    }

    fn note(&mut self, record: &RunRecord) {
        for task in &record.tasks {
            match task.status.has_result() {
                true => self.done.insert(task.task.clone()),
                false => self.done.remove(&task.task),
            };
        }
    }
}

impl Judged {
    fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.steps.extend(other.steps);
        self.replan |= other.replan;
    }

    fn concerns_something(&self) -> bool {
        self.replan || !self.steps.is_empty()
    }
}

impl Files {
    /// Looks at everything again that plans are made of.
    fn relearn(&mut self) {
        let plan_files = self.watcher.listed().filter(|path| makes_plans(path));
        let known = plan_files.map(|path| (path.to_owned(), State::of(path)));
        self.known = known.collect();
    }

    /// Looks at `path` again.
    fn learn(&mut self, path: PathBuf) {
        let state = State::of(&path);
        self.known.insert(path, state);
    }

    /// Without a plan, anything that changes may mend it.
    fn judge_without_plan(&self, paths: &BTreeSet<PathBuf>) -> Judged {
        let changed = paths.iter().filter(|path| {
            let known = self.known.get(*path);
            is_source(path)
                && !self.reports.contains(*path)
                && (known.is_some() || self.watcher.lists(path))
                && known != Some(&State::of(path))
        });
        let changed: BTreeSet<PathBuf> = changed.cloned().collect();
        Judged {
            replan: !changed.is_empty(),
            changed,
            steps: BTreeSet::new(),
        }
    }

    fn judge(&self, session: &Session, changes: &Changes) -> Judged {
        let (prepared, reads) = (&session.prepared, &session.reads);
        let mut judged = Judged::default();
        for path in changes.paths.iter().filter(|path| is_source(path)) {
            let readers = reads.of(path);
            // What this program or a task writes, and no task reads.
            let is_own = || self.reports.contains(path) || prepared.is_made(path);
            if readers.is_empty() && is_own() {
                continue;
            }
            let mut steps: BTreeSet<String> = BTreeSet::new();
            if !readers.is_empty() {
                let now = OnDisk::of(path);
                let differing = readers.iter().filter(|reader| reader.differs(&now));
                steps.extend(differing.map(|reader| reader.step.clone()));
            } else if self.watcher.lists(path) {
                let all = prepared.plan.steps.values();
                let may_read = all.filter(|step| {
                    let looked = reads.has_looked(&step.id);
                    let unseen = changes.fresh.contains(path) || !looked;
                    unseen && !step.skipped && session.may_read(step, path)
                });
                steps.extend(may_read.map(|step| step.id.clone()));
            }
            let replan = makes_plans(path) && {
                let known = self.known.get(path).unwrap_or(&State::Nothing);
                *known != State::of(path)
            };
            if replan || !steps.is_empty() {
                judged.changed.insert(path.clone());
            }
            judged.replan |= replan;
            judged.steps.extend(steps);
        }
        judged
    }
}

fn add(pending: &mut Changes, changes: Changes) {
    pending.lost |= changes.lost;
    pending.paths.extend(changes.paths);
    pending.fresh.extend(changes.fresh);
}

/// Whether `path` can be a source at all.
fn is_source(path: &Path) -> bool {
    let hidden = |name: &std::ffi::OsStr| {
        name == ".git"
            || name
                .as_encoded_bytes()
                .starts_with(TEMPORARY_PREFIX.as_bytes())
    };
    !path.iter().any(hidden)
}

/// Whether plans may be made of the file: definitions, pipelines, their values, pins,
/// and what is ignored.
fn makes_plans(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".yaml") || name.ends_with(b".yml") || name == b".gitignore" || is_lock(path)
}

fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "jackal.lock")
}

/// The folders that are watched: the workspace; without a mark of its root, only what is
/// named, since the current folder may be anything.
fn roots(options: &BuildOptions) -> Vec<PathBuf> {
    let place = &options.place;
    let root = options.target.workspace(place);
    if place.is_marked(&root) {
        return vec![root];
    }
    let named: Vec<&Path> = match &options.target {
        Target::Package(path) | Target::Pipeline { file: path, .. } => vec![path],
        Target::Words { words, .. } => words.iter().map(Path::new).collect(),
    };
    let folders = named.into_iter().filter_map(|path| {
        let path = place.here.join(path);
        let folder = match path.is_dir() {
            true => Some(path.as_path()),
            false => path.is_file().then(|| path.parent()).flatten(),
        };
        folder.and_then(|folder| std::fs::canonicalize(folder).ok())
    });
    let folders: BTreeSet<PathBuf> = folders.collect();
    match folders.is_empty() {
        true => vec![root],
        false => folders.into_iter().collect(),
    }
}
