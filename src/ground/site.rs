//! What all steps of a run share: stores, network, pins, and the one way in
//! which a result is looked up, made and remembered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::action::{Action, ActionKey, ActionResult, Explained, Output, diff};
use crate::cas::{Cas, Key, Stage, tree};
use crate::disk;
use crate::ground::in_flight::InFlight;
use crate::ground::lockfile::{LOCK_FILE, Lockfile};
use crate::ground::published::Published;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, Stop, log};
use crate::oci::Digest;
use crate::registry::Registry;
use crate::workspace::{self, Entry, StatCache};

/// Blobs that are transferred at the same time. More connections make no
/// registry faster, and each holds a buffer.
const TRANSFERS: usize = 6;

/// What the user asked of the whole run.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Run everything, and replace what is remembered.
    pub force: bool,
    /// A reference without a pin is an error.
    pub locked: bool,
    /// No network.
    pub offline: bool,
    /// Work on this many things at once.
    pub jobs: usize,
    /// Tell the log of a remembered result as well.
    pub replay: bool,
    /// Variables of the user, for programs that find credentials by them.
    pub environment: BTreeMap<String, String>,
    /// This program's own file, for commands that call it.
    pub program: Option<PathBuf>,
}

/// The shared ground of a run.
pub struct Site {
    /// Bytes and results.
    pub cas: Arc<Cas>,
    /// The network.
    pub registry: Arc<Registry>,
    /// The options of the run.
    pub wishes: Wishes,
    /// Bounds transfers.
    pub transfers: Semaphore,
    /// Bounds work on the processor inside steps.
    pub cpu: Arc<Semaphore>,
    /// Blobs that are being fetched.
    pub fetching: InFlight,
    /// Results that were published with packages, if any are used.
    pub published: OnceLock<Published>,
    stats: Mutex<StatCache>,
    locks: Mutex<HashMap<PathBuf, Lockfile>>,
    flights: Mutex<HashMap<ActionKey, Arc<tokio::sync::Mutex<()>>>>,
    made: Mutex<HashSet<ActionKey>>,
    /// What each workspace folder held when it was first looked at.
    snapshots: Mutex<HashMap<PathBuf, Arc<Vec<Entry>>>>,
    /// Programs that were found, by name.
    tools: Mutex<HashMap<String, Tool>>,
    /// Components whose making has begun.
    begun: Mutex<HashSet<String>>,
    /// Blobs that remembered results spoke of.
    used: Mutex<HashSet<Digest>>,
    /// Seconds since the Unix epoch.
    clock: fn() -> u64,
    /// Whether the run is to stop; set once it begins.
    stopping: OnceLock<watch::Receiver<Stop>>,
}

/// A result, and how it was come by.
#[derive(Clone, Debug)]
pub struct Performed {
    /// The result.
    pub result: ActionResult,
    /// Whether it was remembered, not made.
    pub cached: bool,
    /// What a command printed just now.
    pub log: String,
    /// Bytes that came over the network just now.
    pub fetched: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every guarded value is whole between statements, so poison carries no news.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Opens the ground of a run over `workspace`.
    #[must_use]
    pub fn new(cas: Arc<Cas>, registry: Registry, workspace: &Path, wishes: Wishes) -> Arc<Self> {
        let name = blake3::hash(workspace.as_os_str().as_encoded_bytes()).to_hex();
        let stats = StatCache::load(&cas.root().join("stat").join(name.as_str()));
        Arc::new(Self {
            transfers: Semaphore::new(TRANSFERS),
            cpu: Arc::new(Semaphore::new(wishes.jobs.max(1))),
            fetching: InFlight::default(),
            published: OnceLock::new(),
            stats: Mutex::new(stats),
            locks: Mutex::default(),
            flights: Mutex::default(),
            made: Mutex::default(),
            snapshots: Mutex::default(),
            tools: Mutex::default(),
            begun: Mutex::default(),
            used: Mutex::default(),
            clock: system_clock,
            stopping: OnceLock::new(),
            cas,
            registry: Arc::new(registry),
            wishes,
        })
    }

    /// Lets commands see the wish to stop.
    pub(crate) fn stop_with(&self, stopping: watch::Receiver<Stop>) {
        // A second run, after the cache was repaired, has the same receiver.
        let _ = self.stopping.set(stopping);
    }

    /// Completes when the run is to stop; never, if it cannot be stopped.
    pub(crate) async fn stopped(&self) {
        if let Some(stopping) = self.stopping.get()
            && stopping
                .clone()
                .wait_for(|stop| *stop > Stop::No)
                .await
                .is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Digests the files among `entries` (relative to `root`), in their order.
    pub(crate) fn digests(&self, root: &Path, entries: &[&Entry]) -> Result<Vec<Digest>, Failure> {
        let full: Vec<String> = entries
            .iter()
            .map(|entry| root.join(&entry.path).to_string_lossy().into_owned())
            .collect();
        let files: Vec<_> = full
            .iter()
            .zip(entries)
            .map(|(path, entry)| (path.as_str(), entry.stat))
            .collect();
        let found = held(&self.stats).digest(Path::new("/"), &files, true)?;
        found
            .iter()
            .map(|digest| {
                digest.sha256.ok_or_else(|| {
                    Failure::new(Class::Task, "internal error: a file was not digested")
                })
            })
            .collect()
    }

    /// What `folder` holds, sorted by path. Looked at once in a run: what tasks
    /// write later is an input only by the task's name.
    pub(crate) fn snapshot(&self, folder: &Path) -> Result<Arc<Vec<Entry>>, Failure> {
        let mut snapshots = held(&self.snapshots);
        if let Some(known) = snapshots.get(folder) {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(workspace::walk(folder)?);
        snapshots.insert(folder.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    /// Walks `folder`, and the folders around and in it, again: something that
    /// no task declares may have written there.
    pub(crate) fn forget_snapshots(&self, folder: &Path) {
        let related = |other: &Path| other.starts_with(folder) || folder.starts_with(other);
        held(&self.snapshots).retain(|other, _| !related(other));
    }

    /// Looks at the file at `path` again: it is not what it was taken for.
    pub(crate) fn forget(&self, path: &Path) {
        held(&self.stats).forget(&path.to_string_lossy());
        if let Some(folder) = path.parent() {
            self.forget_snapshots(folder);
        }
    }

    /// Keeps that the making of `component` has begun.
    pub(crate) fn begin(&self, component: &str) {
        held(&self.begun).insert(component.to_owned());
    }

    /// Whether the making of `component` has begun in this run.
    pub(crate) fn has_begun(&self, component: &str) -> bool {
        held(&self.begun).contains(component)
    }

    /// The program called `name`, looked up once in a run.
    pub(crate) fn tool(
        &self,
        name: &str,
        look: impl FnOnce() -> Result<Tool, Failure>,
    ) -> Result<Tool, Failure> {
        if let Some(tool) = held(&self.tools).get(name) {
            return Ok(tool.clone());
        }
        let tool = look()?;
        held(&self.tools).insert(name.to_owned(), tool.clone());
        Ok(tool)
    }

    /// Reads or changes the pins beside a definition.
    pub(crate) fn pins<T>(
        &self,
        folder: &Path,
        use_pins: impl FnOnce(&mut Lockfile) -> T,
    ) -> Result<T, Failure> {
        let mut locks = held(&self.locks);
        if !locks.contains_key(folder) {
            locks.insert(folder.to_owned(), Lockfile::load(folder)?);
        }
        locks
            .get_mut(folder)
            .map(use_pins)
            .ok_or_else(|| Failure::new(Class::Task, "internal error: no lock file"))
    }

    /// Whether `reference` was last resolved longer ago than `age`, or never.
    /// The time is kept in the cache: in jackal.lock it would change a file
    /// that is under version control with every look.
    pub(crate) fn asked_before(&self, reference: &str, age: Duration) -> bool {
        let asked = fs::read_to_string(self.asked_file(reference)).ok();
        let asked = asked.and_then(|text| text.trim().parse::<u64>().ok());
        let now = (self.clock)();
        // A time in the future is one that cannot be trusted.
        asked.is_none_or(|asked| now < asked || now - asked > age.as_secs())
    }

    /// Records that `reference` was resolved now. Losing the note costs one request.
    pub(crate) fn asked_now(&self, reference: &str) {
        let now = (self.clock)().to_string();
        drop(disk::write_hint(
            &self.asked_file(reference),
            now.as_bytes(),
        ));
    }

    fn asked_file(&self, reference: &str) -> PathBuf {
        let name = blake3::hash(reference.as_bytes()).to_hex();
        self.cas.root().join("asked").join(name.as_str())
    }

    /// The error for a reference that may not be resolved now.
    pub(crate) fn unpinned(&self, reference: &str, folder: &Path) -> Option<Failure> {
        let lock = folder.join(LOCK_FILE);
        let why = if self.wishes.locked {
            "--locked"
        } else if self.wishes.offline {
            "--offline"
        } else {
            return None;
        };
        Some(Failure::new(
            Class::Configuration,
            format!(
                "`{reference}` has no pin in {}, and {why} forbids asking for it: \
                 run `jackal update` with network access first",
                lock.display()
            ),
        ))
    }

    /// Writes what the run learned: file digests and pins.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn save(&self) -> Result<(), Failure> {
        held(&self.stats).save()?;
        for lock in held(&self.locks).values_mut() {
            lock.save()?;
        }
        Ok(())
    }

    /// The result remembered for `action`, if all of its bytes are still there.
    pub(crate) fn remembered(&self, action: &Action) -> Result<Option<ActionResult>, Failure> {
        let key = &action.key();
        let known = held(&self.made).contains(key);
        if self.wishes.force && !known {
            return Ok(None);
        }
        let Some(bytes) = self.cas.result(&Key(*key.as_bytes()))? else {
            return Ok(None);
        };
        // A damaged or foreign entry is a miss.
        let Ok(result) = ActionResult::decode(&bytes) else {
            return Ok(None);
        };
        for output in &result.outputs {
            if !self.cas.contains(&output.digest, output.size)? {
                return Ok(None);
            }
        }
        // A command's outputs are trees, which name further blobs.
        if action.kind == "run" && !complete(&self.cas, &result.outputs)? {
            return Ok(None);
        }
        held(&self.used).extend(result.outputs.iter().map(|output| output.digest));
        Ok(Some(result))
    }

    /// What the command had printed when `result` was made, if that is to be
    /// shown. A missing or corrupt log is ignored.
    pub(crate) fn replayed(&self, result: &ActionResult) -> String {
        let kept = || {
            let mut bytes = Vec::new();
            let mut blob = self.cas.open_blob(&result.log?).ok()?;
            std::io::Read::read_to_end(&mut blob, &mut bytes).ok()?;
            Some(log::text(&log::decode(&bytes).ok()?))
        };
        if self.wishes.replay {
            kept().unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// Makes the result of `action` with `work`, or takes the remembered one.
    ///
    /// Identical actions in flight run once. A result is remembered only after
    /// `work` succeeded and every blob it names is stored.
    pub(crate) async fn perform<F>(
        self: &Arc<Self>,
        action: &Action,
        work: impl FnOnce() -> F,
    ) -> Result<Performed, Failure>
    where
        F: Future<Output = Result<Made, Failure>>,
    {
        let key = action.key();
        let flight = held(&self.flights).entry(key).or_default().clone();
        let _flight = flight.lock().await;
        let site = Arc::clone(self);
        let asked = action.clone();
        if let Some(result) = blocking(move || site.remembered(&asked)).await? {
            return Ok(Performed {
                result,
                cached: true,
                log: String::new(),
                fetched: 0,
            });
        }
        if let Some(published) = self.published.get()
            && !self.wishes.force
            && !self.wishes.offline
            && let Some((result, fetched)) = published
                .bring(&self.cas, &self.registry, &self.transfers, action)
                .await
        {
            return Ok(Performed {
                result,
                cached: true,
                log: String::new(),
                fetched,
            });
        }
        let start = Instant::now();
        let made = work().await?;
        let result = ActionResult {
            outputs: made.outputs,
            log: made.log.as_ref().map(|log| log.digest),
            wall_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let site = Arc::clone(self);
        let (kept, asked) = (result.clone(), action.clone());
        let (also, log) = (made.also, made.log);
        blocking(move || {
            let mut needs: Vec<_> = kept.outputs.iter().map(|o| (o.digest, o.size)).collect();
            needs.extend(also);
            needs.extend(log.map(|log| (log.digest, log.size)));
            if site.published.get().is_some_and(Published::has_left) {
                for (digest, size) in &needs {
                    // A result here has its blobs here.
                    if !site.cas.contains(digest, *size)? {
                        return Ok(());
                    }
                }
            }
            let (key, bytes) = (Key(*key.as_bytes()), kept.encode());
            // A result whose blobs are gone must not stay in the way.
            if site.wishes.force || site.remembered(&asked)?.is_none() {
                site.cas.replace_result(&key, &bytes, &needs)?;
            } else {
                site.cas.put_result(&key, &bytes, &needs)?;
            }
            Ok(())
        })
        .await?;
        held(&self.made).insert(key);
        Ok(Performed {
            result,
            cached: false,
            log: made.text,
            fetched: made.fetched,
        })
    }

    /// Refuses to fetch `what` under `--offline`.
    pub(crate) fn online(&self, what: &str) -> Result<(), Failure> {
        if !self.wishes.offline {
            return Ok(());
        }
        let message = format!(
            "{what} is not in the cache and --offline forbids fetching it: \
             build once with network access"
        );
        Err(Failure::new(Class::Environment, message))
    }

    /// An empty folder of the cache, which goes away when it is dropped, or with
    /// the next run if this one is killed.
    pub(crate) async fn stage(&self) -> Result<Stage, Failure> {
        let cas = Arc::clone(&self.cas);
        blocking(move || Ok(cas.stage()?)).await
    }

    /// Reads every blob that remembered results spoke of; what is damaged is
    /// removed by that, so that its result is no longer remembered. Returns how
    /// many were damaged or gone.
    pub(crate) fn evict_damaged(&self) -> usize {
        let used = std::mem::take(&mut *held(&self.used));
        let sound = |digest: &Digest| {
            let blob = self.cas.open_blob(digest);
            blob.is_ok_and(|mut blob| std::io::copy(&mut blob, &mut std::io::sink()).is_ok())
        };
        used.iter().filter(|digest| !sound(digest)).count()
    }

    fn story(&self, workspace: &Path, task: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(workspace.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(task.as_bytes());
        let name = hasher.finalize().to_hex();
        self.cas.root().join("why").join(name.as_str())
    }

    /// Why `action` has no result: compared with the last run of `step` here.
    /// `unchanged` is the reason if nothing changed; `None`: the result is missing.
    pub(crate) fn reason(
        &self,
        workspace: &Path,
        step: &str,
        unchanged: Option<&str>,
        action: &Action,
    ) -> String {
        if self.wishes.force {
            return "--force".to_owned();
        }
        let told = fs::read(self.story(workspace, step)).ok();
        let Some(old) =
            told.and_then(|bytes| serde_json::from_slice::<Vec<Explained>>(&bytes).ok())
        else {
            return "never run here".to_owned();
        };
        let reasons = diff(&old, &action.explain());
        match reasons.len() {
            0 if unchanged.is_some() => unchanged.unwrap_or_default().to_owned(),
            0 => match self.cas.last_pruned() {
                Some(at) => format!(
                    "its result is no longer in the cache, which was pruned {}",
                    ago((self.clock)().saturating_sub(at))
                ),
                None => "its result is no longer in the cache".to_owned(),
            },
            count => {
                let shown: Vec<String> = reasons.iter().take(5).map(ToString::to_string).collect();
                let more = if count > 5 {
                    format!(" and {} more", count - 5)
                } else {
                    String::new()
                };
                format!("{}{more}", shown.join(", "))
            }
        }
    }

    /// Keeps what `action` was, for the next [`reason`](Self::reason). Losing it
    /// costs an explanation, so a disk that refuses is no failure.
    pub(crate) fn tell(&self, workspace: &Path, task: &str, action: &Action) {
        let path = self.story(workspace, task);
        let Ok(bytes) = serde_json::to_vec(&action.explain()) else {
            return;
        };
        drop(disk::write_hint(&path, &bytes));
    }
}

/// Whether every file that the trees in `outputs` name is still there.
fn complete(cas: &Cas, outputs: &[Output]) -> Result<bool, Failure> {
    for output in outputs {
        let Ok(tree) = tree::load(cas, &output.digest) else {
            return Ok(false);
        };
        for (digest, size) in tree.blobs() {
            if !cas.contains(&digest, size)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Seconds in the largest unit that fits.
fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn system_clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// A program with the digest of its file.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// As `PATH` leads to it.
    pub(crate) path: PathBuf,
    /// Of what runs, behind all links.
    pub(crate) digest: Digest,
}

/// What a piece of work made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    /// The outputs.
    pub(crate) outputs: Vec<Output>,
    /// Blobs that outputs name, such as a tree's files.
    pub(crate) also: Vec<(Digest, u64)>,
    /// The captured log.
    pub(crate) log: Option<Output>,
    /// The log as text.
    pub(crate) text: String,
    /// Bytes that came over the network.
    pub(crate) fetched: u64,
}

impl From<Vec<Output>> for Made {
    fn from(outputs: Vec<Output>) -> Self {
        Self {
            outputs,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::registry::Options;

    static NOW: AtomicU64 = AtomicU64::new(1_000_000);

    #[test]
    fn a_reference_is_asked_again_once_its_answer_is_older_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let registry = Registry::new(Options::default()).unwrap();
        let mut site = Site::new(cas, registry, dir.path(), Wishes::default());
        Arc::get_mut(&mut site).unwrap().clock = || NOW.load(Ordering::Relaxed);
        let day = Duration::from_secs(86_400);
        assert!(site.asked_before("a", day), "never asked");
        site.asked_now("a");
        assert!(!site.asked_before("a", day));
        assert!(site.asked_before("b", day));
        NOW.fetch_add(86_401, Ordering::Relaxed);
        assert!(site.asked_before("a", day));
        site.asked_now("a");
        NOW.fetch_sub(500_000, Ordering::Relaxed);
        assert!(site.asked_before("a", day), "the clock went backwards");
    }
}
