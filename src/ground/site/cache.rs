//! The only code that looks up, makes and records results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Made, Performed, Site, held};
use crate::action::{Action, ActionKey, ActionResult, Output};
use crate::cas::tree::{self, Tree};
use crate::cas::{Flush, Key};
use crate::ground::form::OutputForm;
use crate::ground::published::Published;
use crate::ground::remote_cache::{Beside, RemoteCache};
use crate::ground::threads::blocking;
use crate::ground::{Failure, log};
use crate::junit::{self, Budget, Report};
use crate::oci::{Descriptor, Digest, Reference};

/// How long work may take whose result need not survive a power failure of the next
/// seconds.
const CHEAP: Duration = Duration::from_secs(2);

pub(crate) struct Remembered {
    pub(crate) result: ActionResult,
    /// What its outputs are, if they are trees.
    pub(crate) trees: Vec<Tree>,
    /// The reports of its tests.
    pub(crate) report: Option<Arc<Report>>,
}

impl Performed {
    /// A result that was made before, of which this many bytes were downloaded now.
    fn known(known: Remembered, fetched: u64) -> Self {
        Self {
            result: known.result,
            cached: true,
            log: String::new(),
            fetched,
            warnings: Vec::new(),
            report: known.report,
        }
    }
}

impl Site {
    /// The cached result under `key`, if all of its blobs are still stored.
    pub(crate) fn remembered(
        &self,
        key: &ActionKey,
        form: OutputForm,
    ) -> Result<Option<Remembered>, Failure> {
        let known = held(&self.made).contains(key);
        let distrusted = self.options.force || held(&self.distrusted).contains(key);
        if distrusted && !known {
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
        let trees = match form {
            OutputForm::Trees => self.complete(&result.outputs)?,
            _ => Some(Vec::new()),
        };
        let Some(trees) = trees else { return Ok(None) };
        let report = match &result.reports {
            None => None,
            Some(digest) => match self.report(digest) {
                Some(report) => Some(Arc::new(report)),
                None => return Ok(None),
            },
        };
        held(&self.used).extend(result.outputs.iter().map(|output| output.digest));
        Ok(Some(Remembered {
            result,
            trees,
            report,
        }))
    }

    /// The outputs of the result under `key`, if later steps can read them: files that
    /// trees name need not be stored.
    pub(crate) fn stored_outputs(
        &self,
        key: &ActionKey,
        form: OutputForm,
    ) -> Result<Option<Vec<Output>>, Failure> {
        let bytes = self.cas.result(&Key(*key.as_bytes()))?;
        let result = bytes.and_then(|bytes| ActionResult::decode(&bytes).ok());
        let Some(outputs) = result.map(|result| result.outputs) else {
            return Ok(None);
        };
        let is_read = form != OutputForm::Blobs;
        for output in outputs.iter().filter(|_| is_read) {
            if !self.cas.contains(&output.digest, output.size)? {
                return Ok(None);
            }
        }
        Ok(Some(outputs))
    }

    /// Fetches outputs that were published with the package `from`; returns whether all
    /// are here.
    pub(crate) async fn fetch_outputs(&self, from: &Reference, outputs: &[Output]) -> bool {
        for output in outputs {
            if self
                .cas
                .contains(&output.digest, output.size)
                .unwrap_or(false)
            {
                continue;
            }
            if self.options.offline {
                return false;
            }
            let blob = Descriptor::blob(output.digest, output.size);
            let layers = std::slice::from_ref(&blob);
            let stored = self.registry.store_blob(from, layers, &blob, &self.cas);
            if stored.await.is_err() {
                return false;
            }
        }
        true
    }

    /// A stored report; `None`: it is no longer stored, or damaged.
    fn report(&self, digest: &Digest) -> Option<Report> {
        let mut bytes = Vec::new();
        let mut blob = self.cas.open_blob(digest).ok()?;
        std::io::Read::read_to_end(&mut blob, &mut bytes).ok()?;
        let suites = junit::read(&bytes, &mut Budget::of_own()).ok()?;
        Some(Report { suites })
    }

    /// The trees that `outputs` are; `None`: a file in them is no longer stored.
    fn complete(&self, outputs: &[Output]) -> Result<Option<Vec<Tree>>, Failure> {
        let mut trees = Vec::with_capacity(outputs.len());
        for output in outputs {
            let Ok(tree) = tree::load(&self.cas, &output.digest) else {
                return Ok(None);
            };
            for (digest, size) in tree.blobs() {
                if !self.cas.contains(&digest, size)? {
                    return Ok(None);
                }
            }
            trees.push(tree);
        }
        Ok(Some(trees))
    }

    /// The trees that `outputs` are, if they are trees.
    pub(crate) fn trees(&self, form: OutputForm, outputs: &[Output]) -> Result<Vec<Tree>, Failure> {
        let load = |output: &Output| Ok(tree::load(&self.cas, &output.digest)?);
        match form {
            OutputForm::Trees => outputs.iter().map(load).collect(),
            _ => Ok(Vec::new()),
        }
    }

    /// The log of `result`, if it should be shown. A missing or corrupt log is ignored.
    pub(crate) fn replayed(&self, result: &ActionResult) -> String {
        let kept = || {
            let mut bytes = Vec::new();
            let mut blob = self.cas.open_blob(&result.log?).ok()?;
            std::io::Read::read_to_end(&mut blob, &mut bytes).ok()?;
            Some(log::text(&log::decode(&bytes).ok()?))
        };
        if self.options.replay {
            kept().unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// The result of `action` if other machines have it, brought to this one.
    async fn from_elsewhere(
        self: &Arc<Self>,
        action: &Action,
        form: OutputForm,
        remote: Option<&Arc<RemoteCache>>,
    ) -> Result<Option<Performed>, Failure> {
        if let Some(published) = self.published.get()
            && let Some((result, fetched)) = published
                .bring(&self.cas, &self.registry, &self.transfers, action, form)
                .await
        {
            return Ok(Some(Performed {
                result,
                cached: true,
                log: String::new(),
                fetched,
                warnings: Vec::new(),
                report: None,
            }));
        }
        let Some(remote) = remote else {
            return Ok(None);
        };
        let Some(fetched) = remote.bring(&self.cas, action, form).await else {
            return Ok(None);
        };
        // Looked up like any other, so that nothing of it is believed unseen.
        let (site, key) = (Arc::clone(self), action.key());
        let known = blocking(move || site.remembered(&key, form)).await?;
        Ok(known.map(|known| Performed::known(known, fetched)))
    }

    /// Records a result that was made now; `false`: blobs of it are not stored here.
    fn record(
        &self,
        key: &ActionKey,
        form: OutputForm,
        result: &ActionResult,
        beside: Beside,
        flush: Flush,
    ) -> Result<bool, Failure> {
        let outputs = result.outputs.iter();
        let mut needs: Vec<_> = outputs.map(|o| (o.digest, o.size)).collect();
        needs.extend(beside.files);
        needs.extend(beside.log.into_iter().chain(beside.reports));
        if self.published.get().is_some_and(Published::has_left) {
            for (digest, size) in &needs {
                // The blobs of a local result must be stored locally.
                if !self.cas.contains(digest, *size)? {
                    return Ok(false);
                }
            }
        }
        let (name, bytes) = (Key(*key.as_bytes()), result.encode());
        // A result whose blobs are missing must be replaced.
        if self.options.force || self.remembered(key, form)?.is_none() {
            self.cas.replace_result(&name, &bytes, &needs, flush)?;
        } else {
            self.cas.put_result(&name, &bytes, &needs, flush)?;
        }
        Ok(true)
    }

    /// Returns the cached result of `action`, or makes it with `work`.
    ///
    /// Identical actions in flight run once. A result is recorded only after `work` has
    /// succeeded and every blob it names is stored. If it is `shared`, it may also come from
    /// a remote cache, and is given to it.
    pub(crate) async fn perform<F>(
        self: &Arc<Self>,
        action: &Action,
        (form, shared): (OutputForm, bool),
        work: impl FnOnce() -> F,
    ) -> Result<Performed, Failure>
    where
        F: Future<Output = Result<Made, Failure>>,
    {
        let key = action.key();
        let flight = held(&self.flights).entry(key).or_default().clone();
        let _flight = flight.lock().await;
        let site = Arc::clone(self);
        if let Some(known) = blocking(move || site.remembered(&key, form)).await? {
            return Ok(Performed::known(known, 0));
        }
        let online = !self.options.offline;
        let remote = self.remote.get().filter(|_| shared && online);
        if online
            && !self.options.force
            && let Some(performed) = self.from_elsewhere(action, form, remote).await?
        {
            return Ok(performed);
        }
        let start = Instant::now();
        let made = work().await?;
        let (site, report) = (Arc::clone(self), made.report.clone());
        let reports = blocking(move || {
            let written = report.map(|report| junit::write(&report));
            let stored = written.map(|text| site.cas.store("reports", text.as_bytes()));
            Ok(stored.transpose()?)
        })
        .await?;
        let result = ActionResult {
            outputs: made.outputs,
            log: made.log.as_ref().map(|log| log.digest),
            reports: reports.as_ref().map(|reports| reports.digest),
            wall_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let flush = match start.elapsed() < CHEAP {
            true => Flush::Later,
            false => Flush::Now,
        };
        let beside = Beside {
            files: made.also,
            log: made.log.map(|log| (log.digest, log.size)),
            reports: reports.map(|blob| (blob.digest, blob.size)),
        };
        let (site, kept, also) = (Arc::clone(self), result.clone(), beside.clone());
        let stored = blocking(move || site.record(&key, form, &kept, also, flush)).await?;
        if let Some(remote) = remote.filter(|_| stored) {
            remote.offer(&self.cas, &key, &result, beside);
        }
        held(&self.made).insert(key);
        Ok(Performed {
            result,
            cached: false,
            log: made.text,
            fetched: made.fetched,
            warnings: made.warnings,
            report: made.report,
        })
    }

    /// Reads every blob that cached results named. This removes damaged blobs, so that
    /// their results become misses. Returns the number of blobs found damaged or
    /// missing since the last call.
    pub(crate) fn evict_damaged(&self) -> usize {
        let used = std::mem::take(&mut *held(&self.used));
        self.read_through(used.iter().copied());
        let found = self.cas.found_damaged();
        let count = found - std::mem::replace(&mut *held(&self.evicted), found);
        if count > 0 {
            let cache = self.cas.root().parent().unwrap_or(self.cas.root());
            self.note(format!(
                "the cache at `{}` held {count} damaged or missing blobs, which were recreated: \
                 check its disk, and run `jackal cache verify`",
                cache.display()
            ));
        }
        count
    }

    /// Reads blobs, so that the store knows those that are damaged. Returns whether
    /// there are any that [`evict_damaged`](Self::evict_damaged) has not counted.
    pub(crate) fn read_through(&self, blobs: impl IntoIterator<Item = Digest>) -> bool {
        for digest in blobs {
            if let Ok(mut blob) = self.cas.open_blob(&digest) {
                let _ = std::io::copy(&mut blob, &mut std::io::sink());
            }
        }
        self.cas.found_damaged() > *held(&self.evicted)
    }
}
