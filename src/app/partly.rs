//! Builds in which some files changed, and all else is as it was.
//!
//! With the outcome of a build in which every task was cached it is kept which tasks read
//! each file that was looked at. If only such files differ, the next build plans and runs
//! these tasks, those that follow them, and what they need; all others are as they were.
//! A difference of anything that may mean more, such as a pipeline file, a tool, or the
//! names in a folder, makes the next build plan everything again.
//!
//! Source of the rules: adr/0087, "A change of some files plans only their tasks".

mod judge;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use judge::{How, Judge, Judged, Meaning, RESULTS};

use super::build_options::{BuildOptions, Target};
use super::compose::Composer;
use super::places::Places;
use super::skeletons::Skeletons;
use super::units::{self, Planned};
use crate::action::ActionKey;
use crate::cas::{Cas, Key};
use crate::codec::{CodecError, Reader, Writer};
use crate::disk::look::Looks;
use crate::ground::folders::{MadePath, lexical};
use crate::ground::site::Site;
use crate::pipeline::CacheLimits;
use crate::plan::{Outputs, Plan, Step};
use crate::registry::Registry;
use crate::run::record::{RunRecord, TaskRecord};
use crate::workspace::{Difference, Footprint, names_in};

/// Maximum number of differences that are followed: after more, to plan everything costs
/// hardly more.
pub(super) const MAX_DIFFERENCES: usize = 256;

/// Largest part of a file that is read, in bytes: 1 GiB, as for the whole.
const MAX_BYTES: u64 = 1 << 30;

/// The tasks of a build, and what differences mean for them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tasks {
    tasks: Vec<Task>,
    /// Pipeline files and definitions.
    files: Vec<PathBuf>,
    /// The outputs of all tasks of the workspace.
    outputs: Vec<Made>,
    /// Their folders.
    folders: Vec<PathBuf>,
    /// Groups of tasks, by their places; the first one is empty.
    sets: Vec<Vec<u32>>,
    cache_bytes: Option<u64>,
    cache_seconds: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    id: String,
    /// What it is called in the last good state.
    good: String,
    /// Its file, by its place.
    file: u32,
    after: Vec<u32>,
    /// Whether a target names it.
    chosen: bool,
    /// A digest of everything that the plan says of it.
    step: String,
}

/// An output: task, folder by its place, and path in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made(String, u32, String);

/// A plan that was carried out.
pub(super) struct Whole {
    pub site: Arc<Site>,
    pub plan: Plan,
    pub outputs: Outputs,
}

/// What is kept of a build for a later one in which some files differ.
pub(super) struct Kept {
    /// [`Tasks`] as JSON.
    tasks: Vec<u8>,
    /// In the order of the footprint.
    meanings: Vec<Meaning>,
    /// Digests of the names in folders.
    names: BTreeMap<PathBuf, u64>,
}

impl Kept {
    /// What the differences of a footprint will mean; `None`: it cannot be told.
    pub fn of(whole: &Whole, looks: &Looks, footprint: &Footprint) -> Option<Self> {
        if looks.unseen {
            return None;
        }
        let mut tasks = Tasks::of(whole)?;
        let cache = whole.site.cas.root();
        let judge = Judge::new(cache, looks, tasks.ids(), whole.outputs.all_made());
        let mut sets: HashMap<Vec<u32>, u32> = HashMap::from([(Vec::new(), 0)]);
        let mut meanings = Vec::new();
        let folders: HashSet<PathBuf> = footprint.folders().collect();
        let mut names = BTreeMap::new();
        for path in footprint.paths() {
            let judged = match footprint.is_behind_link(&path) {
                true => None,
                false => judge.meaning(&path),
            };
            let meaning = match judged {
                None => How::Fixed.with(0),
                Some(Judged::Results) => RESULTS,
                Some(Judged::Tasks(how, set)) => {
                    let next = u32::try_from(sets.len()).ok()?;
                    how.with(*sets.entry(set).or_insert(next))
                }
            };
            let is_content = meaning != RESULTS && meaning & 3 == How::Content as u32;
            if is_content && folders.contains(&path) {
                names.insert(path.clone(), names_in(&path)?);
            }
            meanings.push(meaning);
        }
        let mut ordered: Vec<_> = sets.into_iter().collect();
        ordered.sort_by_key(|(_, place)| *place);
        tasks.sets = ordered.into_iter().map(|(set, _)| set).collect();
        Some(Self {
            tasks: serde_json::to_vec(&tasks).ok()?,
            meanings,
            names,
        })
    }

    /// Nothing: every difference means everything.
    pub fn nothing() -> Self {
        Self {
            tasks: Vec::new(),
            meanings: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    pub fn write(&self, out: &mut Writer) {
        out.bytes(&self.tasks);
        let meanings = self.meanings.iter().flat_map(|one| one.to_le_bytes());
        out.bytes(&meanings.collect::<Vec<u8>>());
        let mut names = Writer::default();
        names.u64(self.names.len() as u64);
        for (folder, digest) in &self.names {
            names.bytes(folder.as_os_str().as_encoded_bytes());
            names.u64(*digest);
        }
        out.bytes(&names.into_bytes());
    }
}

/// What [`Kept::write`] wrote.
#[derive(Clone, Copy)]
pub(super) struct Stored<'k> {
    tasks: &'k [u8],
    meanings: &'k [u8],
    names: &'k [u8],
}

impl<'k> Stored<'k> {
    pub fn read(from: &mut Reader<&'k [u8]>) -> Result<Self, CodecError> {
        Ok(Self {
            tasks: from.slice(MAX_BYTES, "tasks")?,
            meanings: from.slice(MAX_BYTES, "meanings")?,
            names: from.slice(MAX_BYTES, "digests of names")?,
        })
    }

    fn meaning(&self, at: usize) -> Option<Meaning> {
        let bytes = self.meanings.get(at.checked_mul(4)?..)?.first_chunk()?;
        Some(Meaning::from_le_bytes(*bytes))
    }

    fn names(&self) -> Option<BTreeMap<PathBuf, u64>> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut reader = Reader::new(self.names);
        let count = reader.u64("a count of folders").ok()?;
        let mut names = BTreeMap::new();
        for _ in 0..count {
            let folder = reader.slice(MAX_BYTES, "a folder").ok()?;
            let folder = PathBuf::from(std::ffi::OsStr::from_bytes(folder));
            names.insert(folder, reader.u64("a digest").ok()?);
        }
        Some(names)
    }

    /// What the differences concern; `None`: perhaps everything.
    pub fn concerned(&self, differences: &[Difference]) -> Option<Concerned> {
        let mut names = None;
        let mut found = Vec::new();
        let mut results = false;
        for difference in differences {
            let meaning = self.meaning(difference.at)?;
            if meaning == RESULTS {
                results = true;
                continue;
            }
            let how = meaning & 3;
            let may = if how == How::Content as u32 {
                difference.is_of_file()
                    || difference.is_of_folder() && {
                        if names.is_none() {
                            names = Some(self.names()?);
                        }
                        let known = names.as_ref()?.get(&difference.path);
                        known.is_some() && known.copied() == names_in(&difference.path)
                    }
            } else if how == How::Folder as u32 {
                difference.is_of_folder()
            } else {
                how == How::Anything as u32
            };
            if !may {
                return None;
            }
            found.push(meaning >> 2);
        }
        let tasks: Tasks = serde_json::from_slice(self.tasks).ok()?;
        let mut concerned = BTreeSet::new();
        for set in found {
            concerned.extend(tasks.sets.get(usize::try_from(set).ok()?)?);
        }
        let needed = tasks.needed(&concerned)?;
        // Then there is nothing to be saved.
        if needed.len() == tasks.tasks.len() && !needed.is_empty() {
            return None;
        }
        Some(Concerned {
            tasks,
            needed,
            results,
        })
    }

    /// The same for a later footprint, for which some of it was looked at again: what was
    /// asked then that was not asked before may not differ at all.
    pub fn renewed(
        &self,
        cache: &Path,
        (before, after): (&Footprint, &Footprint),
        looks: &Looks,
    ) -> Option<Kept> {
        if looks.unseen {
            return None;
        }
        let known: HashMap<PathBuf, Meaning> = (before.paths().enumerate())
            .map(|(at, path)| Some((path, self.meaning(at)?)))
            .collect::<Option<_>>()?;
        let tasks: Tasks = serde_json::from_slice(self.tasks).ok()?;
        let outputs = tasks.outputs()?;
        let judge = Judge::new(cache, looks, tasks.ids(), outputs.all_made());
        let still = |path: &Path, meaning: Meaning| {
            if after.is_behind_link(path) {
                return false;
            }
            if !looks.paths.contains_key(path) {
                return true;
            }
            match judge.meaning(path) {
                None => false,
                Some(Judged::Results) => meaning == RESULTS,
                Some(Judged::Tasks(how, set)) => {
                    let had = tasks.sets.get((meaning >> 2) as usize);
                    let all = had.is_some_and(|had| set.iter().all(|task| had.contains(task)));
                    let own = meaning & 3;
                    let asks = own == how as u32 || own == How::Content as u32;
                    meaning != RESULTS && asks && all
                }
            }
        };
        let meanings = after.paths().map(|path| {
            let known = known.get(&path).copied();
            let kept = known.filter(|meaning| still(&path, *meaning));
            kept.unwrap_or(How::Fixed.with(0))
        });
        Some(Kept {
            meanings: meanings.collect(),
            tasks: self.tasks.to_vec(),
            names: self.names()?,
        })
    }
}

/// The tasks that differences concern.
pub(super) struct Concerned {
    tasks: Tasks,
    /// Those to be run, and those that they need, by their places.
    needed: BTreeSet<u32>,
    /// Whether results of others may be gone.
    results: bool,
}

/// What a build takes from the last one.
pub(super) struct Rest {
    tasks: Vec<TaskRecord>,
    notes: Vec<String>,
    good: HashMap<String, String>,
}

impl Rest {
    /// Adds it to the record and the notes of what was run.
    pub fn add_to(&self, record: &mut RunRecord, notes: &mut Vec<String>) {
        record.tasks.extend(self.tasks.iter().cloned());
        let more: Vec<String> = (self.notes.iter())
            .filter(|note| !notes.contains(note))
            .cloned()
            .collect();
        notes.extend(more);
    }

    /// What a task is called in the last good state, with its key.
    pub fn good(&self, task: &TaskRecord) -> Option<(String, ActionKey)> {
        let key = task.action_key.as_ref()?.parse().ok()?;
        Some((self.good.get(&task.task)?.clone(), key))
    }
}

/// A part of a plan, whose steps are as they were, and what is taken from the build before.
pub(super) struct Part {
    pub cas: Arc<Cas>,
    pub registry: Registry,
    pub workspace: PathBuf,
    pub plan: Plan,
    pub places: Places,
    pub output: PathBuf,
    pub rest: Rest,
}

impl Concerned {
    /// The plan of these tasks, with what is known of the others; `None`: it would not be as
    /// it was.
    pub fn prepare(
        self,
        options: &BuildOptions,
        notes: &[String],
        record: &RunRecord,
    ) -> Option<Part> {
        let words = matches!(options.target, Target::Words { .. });
        // A value on the command line must be used somewhere.
        if !words || !options.variant.given.is_empty() {
            return None;
        }
        let needed = |task: &Task| self.place(task).is_some_and(|at| self.needed.contains(&at));
        let needs: BTreeMap<&str, &Task> = (self.tasks.tasks.iter())
            .filter(|task| needed(task))
            .map(|task| (task.id.as_str(), task))
            .collect();
        let others = record.tasks.iter();
        let others = others.filter(|task| !needs.contains_key(task.task.as_str()));
        let others: Vec<TaskRecord> = others.cloned().collect();
        let cas = Arc::new(Cas::open(&options.place.cache).ok()?);
        if self.results && !others.iter().all(|task| has_result(&cas, task)) {
            return None;
        }
        let workspace = options.target.workspace(&options.place);
        let registry = options.place.connection.client().ok()?;
        let skeletons = Skeletons::new(&cas, &registry, options.pins);
        let ask = &mut |_: &str| None;
        let composer = &mut Composer::new(&options.place, &options.variant, skeletons, ask);
        let files: BTreeSet<&PathBuf> = needs
            .values()
            .map(|task| self.tasks.files.get(usize::try_from(task.file).ok()?))
            .collect::<Option<_>>()?;
        let outputs = self.tasks.outputs()?;
        let planned = units::plan_part(options, composer, &workspace, &files, outputs).ok()?;
        let Planned {
            mut plan,
            places,
            output,
            ..
        } = planned;
        plan.steps.retain(|id, _| needs.contains_key(id.as_str()));
        plan.chosen = needs
            .values()
            .filter(|task| task.chosen)
            .map(|task| task.id.clone())
            .collect();
        plan.cache_limits = CacheLimits {
            max_size: self.tasks.cache_bytes,
            max_age: self.tasks.cache_seconds.map(Duration::from_secs),
        };
        plan.settle_incremental();
        plan.settle_archives();
        let same = |task: &Task| {
            let step = plan.steps.get(&task.id);
            step.is_some_and(|step| digest(step) == task.step)
        };
        if !needs.values().all(|task| same(task)) {
            return None;
        }
        let rest = self.rest(&needs, others, notes, record);
        Some(Part {
            cas,
            registry,
            workspace,
            plan,
            places,
            output,
            rest,
        })
    }

    /// What is taken from the build before.
    fn rest(
        &self,
        needs: &BTreeMap<&str, &Task>,
        others: Vec<TaskRecord>,
        notes: &[String],
        record: &RunRecord,
    ) -> Rest {
        // What was said of tasks that are run is said again, if it is still so.
        let own = record.tasks.iter();
        let own = own.filter(|task| needs.contains_key(task.task.as_str()));
        let said: BTreeSet<&String> = own.flat_map(|task| &task.warnings).collect();
        let notes = notes.iter().filter(|note| !said.contains(note));
        let all = self.tasks.tasks.iter();
        Rest {
            tasks: others,
            notes: notes.cloned().collect(),
            good: all
                .map(|task| (task.id.clone(), task.good.clone()))
                .collect(),
        }
    }

    /// The place of a task, of which the reference is one.
    fn place(&self, task: &Task) -> Option<u32> {
        let tasks = &self.tasks.tasks;
        let place = tasks.binary_search_by(|one| one.id.cmp(&task.id));
        u32::try_from(place.ok()?).ok()
    }
}

/// Whether the result of a task that was cached is still known.
fn has_result(cas: &Cas, task: &TaskRecord) -> bool {
    let key: Option<ActionKey> = task.action_key.as_ref().and_then(|key| key.parse().ok());
    key.is_some_and(|key| cas.has_result(&Key(*key.as_bytes())))
}

/// Hashes what is formatted.
struct Hashed(blake3::Hasher);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// A digest of everything that a plan says of a step.
fn digest(step: &Step) -> String {
    let mut hashed = Hashed(blake3::Hasher::new());
    // It never fails.
    let _ = write!(hashed, "{step:?}");
    hashed.0.finalize().to_hex()[..32].to_owned()
}

/// The place of `item` in `list`; adds it if it is missing.
fn placed<T: Clone + Eq + std::hash::Hash>(
    list: &mut Vec<T>,
    known: &mut HashMap<T, u32>,
    item: &T,
) -> Option<u32> {
    if let Some(place) = known.get(item) {
        return Some(*place);
    }
    let place = u32::try_from(list.len()).ok()?;
    list.push(item.clone());
    known.insert(item.clone(), place);
    Some(place)
}

impl Tasks {
    fn of(whole: &Whole) -> Option<Self> {
        let Whole {
            site,
            plan,
            outputs,
        } = whole;
        let mut tasks = Self {
            cache_bytes: plan.cache_limits.max_size,
            cache_seconds: plan.cache_limits.max_age.map(|age| age.as_secs()),
            ..Self::default()
        };
        let places: HashMap<&String, u32> = plan.steps.keys().zip(0..).collect();
        let mut files = HashMap::new();
        for (id, step) in &plan.steps {
            let after = step.after.iter().map(|on| places.get(on).copied());
            tasks.tasks.push(Task {
                id: id.clone(),
                good: site.good_name(&step.home, &step.name),
                file: placed(&mut tasks.files, &mut files, &step.file)?,
                after: after.collect::<Option<_>>()?,
                chosen: plan.chosen.contains(id),
                step: digest(step),
            });
        }
        let mut folders = HashMap::new();
        for (made, folder) in outputs.all_made() {
            let folder = placed(&mut tasks.folders, &mut folders, &folder.to_owned())?;
            let (step, output) = (made.step.clone(), made.output.clone());
            tasks.outputs.push(Made(step, folder, output));
        }
        Some(tasks)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().map(|task| task.id.as_str())
    }

    /// These tasks and those that follow them, with everything that they need.
    fn needed(&self, concerned: &BTreeSet<u32>) -> Option<BTreeSet<u32>> {
        let mut following: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (at, task) in self.tasks.iter().enumerate() {
            for on in &task.after {
                following
                    .entry(*on)
                    .or_default()
                    .push(u32::try_from(at).ok()?);
            }
        }
        let reached = |from: &BTreeSet<u32>, next: &dyn Fn(u32) -> Option<Vec<u32>>| {
            let mut open: Vec<u32> = from.iter().copied().collect();
            let mut found = from.clone();
            while let Some(at) = open.pop() {
                let more = next(at)?;
                open.extend(more.into_iter().filter(|at| found.insert(*at)));
            }
            Some(found)
        };
        let followed = |at: u32| Some(following.get(&at).cloned().unwrap_or_default());
        let before = |at: u32| Some(self.tasks.get(usize::try_from(at).ok()?)?.after.clone());
        reached(&reached(concerned, &followed)?, &before)
    }

    fn outputs(&self) -> Option<Outputs> {
        let all = self.outputs.iter().map(|Made(step, folder, output)| {
            let folder = self.folders.get(usize::try_from(*folder).ok()?)?;
            let made = MadePath {
                at: lexical(&folder.join(output)),
                step: step.clone(),
                output: output.clone(),
            };
            Some((made, folder.clone()))
        });
        all.collect::<Option<Vec<_>>>().map(Outputs::of_made)
    }
}
