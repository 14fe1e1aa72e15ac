//! What all steps of a run share: stores, network, pins, and the only code that looks
//! up, makes and records results.

mod cache;
mod good;
pub(crate) mod history;
mod pins;

pub(crate) use cache::Remembered;
pub(crate) use good::{GOOD, Good};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use crate::action::{ActionKey, ActionResult, Output};
use crate::cas::{Cas, Stage};
use crate::disk::look;
use crate::ground::in_flight::InFlight;
use crate::ground::lockfile::Lockfile;
use crate::ground::published::Published;
use crate::ground::remote_cache::RemoteCache;
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::tools::{Memory, Tool};
use crate::ground::{Class, Failure, Stop};
use crate::junit::Report;
use crate::oci::{Descriptor, Digest, Reference};
use crate::package::is_archive_name;
use crate::registry::{Registry, RegistryError};
use crate::workspace::{Entry, Footprint, Snapshot, StatCache, Walked};

/// Maximum number of parallel transfers. More connections make no registry faster, and
/// each one has a buffer.
const TRANSFERS: usize = 6;

/// Options of a run.
#[derive(Clone, Debug, Default)]
pub struct SiteOptions {
    /// Run everything and replace cached results.
    pub force: bool,
    /// Fail if a reference has no pin.
    pub locked: bool,
    pub offline: bool,
    /// Maximum number of parallel jobs.
    pub jobs: usize,
    /// Report the logs of cached results as well.
    pub replay: bool,
    /// Maximum size of a download, and of what an archive unpacks to; `None`: the defaults.
    pub content_limit: Option<u64>,
    /// The user's environment, for programs that find credentials through it.
    pub environment: BTreeMap<String, String>,
    /// The path of this program, for commands that call it.
    pub program: Option<PathBuf>,
    /// The folder that archives are written to.
    pub output: PathBuf,
    /// What links must not lead that folder out of; `None`: the user named the folder.
    pub output_bound: Option<PathBuf>,
    /// What Git does not track may be removed from output folders.
    pub clean_outputs: bool,
    /// Keep the folders of commands that fail.
    pub keep_stage: bool,
    /// What tasks kept of earlier runs is not used, nor what was made from it.
    pub clean: bool,
}

/// A tool, and what was looked at for it, if that can be compared with later.
type KnownTool = (Arc<Tool>, Option<Arc<Footprint>>);

/// The shared state of a run.
pub struct Site {
    pub cas: Arc<Cas>,
    pub registry: Arc<Registry>,
    /// The options of the run.
    pub options: SiteOptions,
    pub transfers: Semaphore,
    /// Limits CPU work inside steps.
    pub cpu: Arc<Semaphore>,
    /// Blobs that are being fetched.
    pub fetching: InFlight,
    /// Results that were published with packages, if any are used.
    pub published: OnceLock<Published>,
    /// The remote cache, if one is used.
    pub remote: OnceLock<Arc<RemoteCache>>,
    stats: Mutex<StatCache>,
    locks: Mutex<HashMap<PathBuf, Lockfile>>,
    /// The folder of the lock file of each folder, found once.
    lock_folders: Mutex<HashMap<PathBuf, PathBuf>>,
    /// What references stood for when they were resolved in this run.
    documents: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Document>>>>>,
    /// The maximum age of pins, by what says when they were resolved.
    ages: Mutex<HashMap<String, Duration>>,
    flights: Mutex<HashMap<ActionKey, Arc<tokio::sync::Mutex<()>>>>,
    made: Mutex<HashSet<ActionKey>>,
    /// Results that count only if this run made them.
    distrusted: Mutex<HashSet<ActionKey>>,
    /// The content of each workspace folder when it was first read.
    snapshots: Mutex<HashMap<PathBuf, Arc<Snapshot>>>,
    /// A folder that was walked before the run began, until it is needed.
    walked: Mutex<Option<(PathBuf, Walked)>>,
    /// The root of the workspace.
    workspace: PathBuf,
    /// The cache's folder, which is never an input.
    cache: PathBuf,
    /// Notes for the user, without duplicates.
    notes: Mutex<BTreeSet<String>>,
    /// Programs that were looked up, by name.
    tools: Mutex<HashMap<String, KnownTool>>,
    /// What earlier runs found out about programs.
    pub(crate) memory: Memory,
    /// Components that have been started.
    begun: Mutex<HashSet<String>>,
    /// Blobs of cached results that were used.
    used: Mutex<HashSet<Digest>>,
    /// How many damaged blobs were counted so far.
    evicted: Mutex<usize>,
    /// Seconds since the Unix epoch.
    clock: fn() -> u64,
    /// Cancellation; set when the run starts.
    stopping: OnceLock<watch::Receiver<Stop>>,
}

/// A manifest or an index, described.
type Document = (Descriptor, Bytes);

/// A result and how it was obtained.
#[derive(Clone, Debug)]
pub struct Performed {
    pub result: ActionResult,
    /// Whether it was cached.
    pub cached: bool,
    /// The output of the command, if one ran.
    pub log: String,
    /// Number of downloaded bytes.
    pub fetched: u64,
    /// What the user should know of how it was made; of a cached one, nothing.
    pub warnings: Vec<String>,
    /// The reports of its tests.
    pub report: Option<Arc<Report>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every guarded value is consistent between statements, so a poisoned lock is
    // harmless.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Creates the shared state of a run in `workspace`.
    #[must_use]
    pub fn new(
        cas: Arc<Cas>,
        registry: Registry,
        workspace: &Path,
        options: SiteOptions,
    ) -> Arc<Self> {
        let name = blake3::hash(workspace.as_os_str().as_encoded_bytes()).to_hex();
        let stats = StatCache::load(&cas.root().join("stat").join(name.as_str()));
        Arc::new(Self {
            transfers: Semaphore::new(TRANSFERS),
            cpu: Arc::new(Semaphore::new(options.jobs.max(1))),
            fetching: InFlight::default(),
            published: OnceLock::new(),
            remote: OnceLock::new(),
            stats: Mutex::new(stats),
            locks: Mutex::default(),
            lock_folders: Mutex::default(),
            documents: Mutex::default(),
            ages: Mutex::default(),
            flights: Mutex::default(),
            made: Mutex::default(),
            distrusted: Mutex::default(),
            snapshots: Mutex::default(),
            walked: Mutex::default(),
            workspace: workspace.to_owned(),
            cache: cache_folder(&cas),
            notes: Mutex::default(),
            tools: Mutex::default(),
            memory: Memory::new(cas.root().join("tools")),
            begun: Mutex::default(),
            used: Mutex::default(),
            evicted: Mutex::default(),
            clock: system_clock,
            stopping: OnceLock::new(),
            cas,
            registry: Arc::new(registry),
            options,
        })
    }

    /// The folders that the program itself writes to.
    pub(crate) fn own_files(&self) -> OwnFiles {
        OwnFiles {
            cache: self.cas.root().to_owned(),
            output: self.options.output.clone(),
        }
    }

    /// Connects commands to cancellation.
    pub(crate) fn stop_with(&self, stopping: watch::Receiver<Stop>) {
        // A second run after a repair of the cache sets the same receiver.
        let _ = self.stopping.set(stopping);
    }

    /// Completes when the run is cancelled; never, if it cannot be cancelled.
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

    /// The digest of a file by its full path, if it can be read.
    pub(crate) fn digest(&self, entry: &Entry) -> Option<Digest> {
        let found = self.digests(Path::new("/"), &[entry]).ok()?;
        found.first().copied()
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
        look::note_digested(full.iter());
        let found = held(&self.stats).digest(Path::new("/"), &files, true)?;
        found
            .iter()
            .map(|digest| {
                digest
                    .sha256
                    .ok_or_else(|| Failure::internal("a file was not digested"))
            })
            .collect()
    }

    /// The content of `folder`, sorted by path. Read once per run: files that tasks
    /// write later are inputs only through the task's name.
    pub(crate) fn snapshot(&self, folder: &Path) -> Arc<Snapshot> {
        let mut snapshots = held(&self.snapshots);
        if let Some(known) = snapshots.get(folder) {
            return Arc::clone(known);
        }
        // A folder of what was walked as a whole need not be walked again.
        let root = held(&self.walked).as_ref().map(|(root, _)| root.clone());
        if let Some(root) = root.filter(|root| folder.starts_with(root) && folder != root) {
            let found = self.look_at(&root);
            snapshots.insert(root, Arc::new(found));
        }
        let mut above = folder.ancestors().skip(1);
        let known = above.find_map(|above| Some((above, snapshots.get(above)?)));
        let below = known.and_then(|(above, known)| {
            let below = folder.strip_prefix(above).ok()?.to_str()?;
            known.below(above, below)
        });
        let found = Arc::new(below.unwrap_or_else(|| self.look_at(folder)));
        snapshots.insert(folder.to_owned(), Arc::clone(&found));
        found
    }

    fn look_at(&self, folder: &Path) -> Snapshot {
        let near = [&self.cache, &self.options.output].map(|own| match folder.starts_with(own) {
            true => Some(Path::new("")),
            false => own.strip_prefix(folder).ok(),
        });
        // Of many files few begin like a folder that the program writes to.
        let may_be_own = |path: &Path| {
            let path = path.as_os_str().as_encoded_bytes();
            let mut near = near.iter().flatten();
            near.any(|own| path.starts_with(own.as_os_str().as_encoded_bytes()))
        };
        let own = |path: &Path| may_be_own(path) && self.is_own(&folder.join(path));
        let walked = held(&self.walked).take_if(|(root, _)| root == folder);
        match walked {
            Some((_, walked)) => Snapshot::of_walked(folder, walked, &own),
            None => Snapshot::of(folder, &own),
        }
    }

    /// Gives the run what a walk of a folder has found, so that it need not walk it again.
    pub(crate) fn give_walked(&self, walked: Option<(PathBuf, Walked)>) {
        *held(&self.walked) = walked;
    }

    /// Whether `path` belongs to this program: it is in the cache, or an archive that jackal wrote.
    /// No pattern and no folder brings such a file into a package.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        if path.starts_with(&self.cache) {
            return true;
        }
        // A folder that holds only archives was made for them.
        if self.options.output == path {
            let names = look::read_dir(path).into_iter().flatten().flatten();
            let names: Vec<String> = names
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            return !names.is_empty() && names.iter().all(|name| is_archive_name(name));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        path.parent() == Some(&self.options.output) && name.is_some_and(is_archive_name)
    }

    /// Keeps a note to show when the run has ended.
    pub(crate) fn note(&self, text: String) {
        held(&self.notes).insert(text);
    }

    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *held(&self.notes))
            .into_iter()
            .collect()
    }

    /// Makes the run read `folder`, and folders that contain it or are in it, again,
    /// because undeclared writes may have changed them.
    pub(crate) fn forget_snapshots(&self, folder: &Path) {
        let related = |other: &Path| other.starts_with(folder) || folder.starts_with(other);
        held(&self.walked).take_if(|(root, _)| related(root));
        held(&self.snapshots).retain(|other, _| !related(other));
    }

    /// Makes the run read the file at `path` again, because it has changed.
    pub(crate) fn forget(&self, path: &Path) {
        held(&self.stats).forget(&path.to_string_lossy());
        if let Some(folder) = path.parent() {
            self.forget_snapshots(folder);
        }
    }

    /// Takes over that the file at `path` was written, made or removed between runs.
    pub(crate) fn refresh(&self, path: &Path) {
        held(&self.stats).forget(&path.to_string_lossy());
        held(&self.walked).take_if(|(root, _)| path.starts_with(root));
        held(&self.snapshots).retain(|folder, snapshot| {
            let Ok(below) = path.strip_prefix(folder) else {
                return true;
            };
            // One that is in use, or in which something is new or gone, is made again.
            let own = Arc::get_mut(snapshot);
            let below = below.to_str();
            own.zip(below)
                .is_some_and(|(own, below)| own.rewritten(folder, below))
        });
    }

    /// Makes the result under `key` count only if this run made it.
    pub(crate) fn distrust(&self, key: ActionKey) {
        held(&self.distrusted).insert(key);
    }

    /// Records that `component` has been started.
    pub(crate) fn begin(&self, component: &str) {
        held(&self.begun).insert(component.to_owned());
    }

    /// Whether `component` has been started in this run.
    pub(crate) fn has_begun(&self, component: &str) -> bool {
        held(&self.begun).contains(component)
    }

    /// Looks for the program called `name` again.
    pub(crate) fn forget_tool(&self, name: &str) {
        let is_it = |known: &str| known.split('\0').next() == Some(name);
        held(&self.tools).retain(|known, _| !is_it(known));
    }

    /// The program that was looked up as `name` in this run.
    pub(crate) fn known_tool(&self, name: &str) -> Option<Arc<Tool>> {
        held(&self.tools)
            .get(name)
            .map(|(tool, _)| Arc::clone(tool))
    }

    /// Keeps what was looked up as `name`, with what was looked at for it, if that can be
    /// compared with later.
    pub(crate) fn keep_tool(&self, name: String, tool: &Arc<Tool>, footprint: Option<Footprint>) {
        let kept = (Arc::clone(tool), footprint.map(Arc::new));
        held(&self.tools).insert(name, kept);
    }

    /// Whether what was looked up as `name` is what `digest` identifies, and is still so.
    pub(crate) fn is_same_tool(&self, name: &str, digest: &Digest) -> bool {
        let known = held(&self.tools).get(name).cloned();
        known.is_some_and(|(tool, footprint)| {
            tool.digest == *digest && footprint.is_some_and(|print| print.is_unchanged())
        })
    }

    /// The manifest or index that `reference` names, resolved once in a run: so that
    /// all platforms come from one index.
    pub(crate) async fn document(&self, reference: &Reference) -> Result<Document, RegistryError> {
        let known = Arc::clone(
            held(&self.documents)
                .entry(reference.to_string())
                .or_default(),
        );
        let mut known = known.lock().await;
        if let Some(found) = &*known {
            return Ok(found.clone());
        }
        let found = self.registry.resolve(reference).await?;
        Ok(known.insert(found).clone())
    }

    /// Saves file digests and pins.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn save(&self) -> Result<(), Failure> {
        if !self.cas.is_read_only() {
            // Losing digests costs reading the files again.
            drop(held(&self.stats).save());
            self.memory.save();
        }
        for lock in held(&self.locks).values_mut() {
            lock.save()?;
        }
        Ok(())
    }

    /// Fails under `--offline`, because `what` would have to be fetched.
    pub(crate) fn online(&self, what: &str) -> Result<(), Failure> {
        if !self.options.offline {
            return Ok(());
        }
        let message = format!(
            "{what} is not in the cache and --offline forbids fetching it: \
             build once with network access"
        );
        Err(Failure::new(Class::Environment, message))
    }

    /// An empty folder in the cache, which is removed when it is dropped, or by the
    /// next run if this one is killed.
    pub(crate) async fn stage(&self) -> Result<Stage, Failure> {
        let cas = Arc::clone(&self.cas);
        blocking(move || Ok(cas.stage()?)).await
    }
}

/// The folder that a user knows as the cache.
fn cache_folder(cas: &Cas) -> PathBuf {
    let folder = cas.root().parent().unwrap_or(cas.root());
    std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn system_clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// The outcome of some work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) outputs: Vec<Output>,
    /// Blobs that the outputs refer to, such as the files of trees.
    pub(crate) also: Vec<(Digest, u64)>,
    pub(crate) log: Option<Output>,
    /// The log as text.
    pub(crate) text: String,
    /// Number of downloaded bytes.
    pub(crate) fetched: u64,
    /// What the user should know of how it was made.
    pub(crate) warnings: Vec<String>,
    /// The reports of its tests.
    pub(crate) report: Option<Arc<Report>>,
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
    use std::time::Duration;

    static NOW: AtomicU64 = AtomicU64::new(1_000_000);

    #[test]
    fn a_reference_is_resolved_again_once_its_pin_is_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let registry = Registry::new(Options::default());
        let mut site = Site::new(cas, registry, dir.path(), SiteOptions::default());
        Arc::get_mut(&mut site).unwrap().clock = || NOW.load(Ordering::Relaxed);
        let day = Duration::from_secs(86_400);
        assert!(site.is_outdated("a", day), "never resolved");
        site.note_resolved("a");
        assert!(!site.is_outdated("a", day));
        assert!(site.is_outdated("b", day));
        NOW.fetch_add(86_401, Ordering::Relaxed);
        assert!(site.is_outdated("a", day));
        site.note_resolved("a");
        NOW.fetch_sub(500_000, Ordering::Relaxed);
        assert!(site.is_outdated("a", day), "the clock went backwards");
    }
}
