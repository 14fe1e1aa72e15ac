//! The only code that looks up, makes and records results.

use std::sync::Arc;
use std::time::Instant;

use super::{Made, Performed, Site, held};
use crate::action::{Action, ActionResult, Output};
use crate::cas::Key;
use crate::cas::tree::{self, Tree, TreeKind};
use crate::ground::form::OutputForm;
use crate::ground::published::Published;
use crate::ground::threads::blocking;
use crate::ground::{Failure, log};
use crate::oci::Digest;

impl Site {
    /// The cached result of `action`, if all of its blobs are still stored.
    pub(crate) fn remembered(
        &self,
        action: &Action,
        form: OutputForm,
    ) -> Result<Option<ActionResult>, Failure> {
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
        if form == OutputForm::Trees && !self.complete(&result.outputs)? {
            return Ok(None);
        }
        held(&self.used).extend(result.outputs.iter().map(|output| output.digest));
        Ok(Some(result))
    }

    /// Whether every file of the trees in `outputs` is still stored.
    fn complete(&self, outputs: &[Output]) -> Result<bool, Failure> {
        for output in outputs {
            let Ok(tree) = tree::load(&self.cas, &output.digest) else {
                return Ok(false);
            };
            for (digest, size) in tree.blobs() {
                if !self.cas.contains(&digest, size)? {
                    return Ok(false);
                }
            }
            if let Some(file) = single_file(&tree) {
                held(&self.single_files).insert(output.digest, file);
            }
        }
        Ok(true)
    }

    /// The outputs as a record names them: a tree that is one file by the digest of
    /// that file.
    pub(crate) fn shown_outputs(&self, form: OutputForm, outputs: &[Output]) -> Vec<Output> {
        let shown = |output: &Output| {
            let known = held(&self.single_files).get(&output.digest).copied();
            let read = || single_file(&tree::load(&self.cas, &output.digest).ok()?);
            let (digest, size) = known.or_else(read)?;
            let name = output.name.clone();
            Some(Output { name, digest, size })
        };
        let trees = form == OutputForm::Trees;
        let all = outputs.iter();
        all.map(|output| {
            trees
                .then(|| shown(output))
                .flatten()
                .unwrap_or(output.clone())
        })
        .collect()
    }

    /// The log of `result`, if it should be shown. A missing or corrupt log is ignored.
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

    /// Returns the cached result of `action`, or makes it with `work`.
    ///
    /// Identical actions in flight run once. A result is recorded only after `work` has
    /// succeeded and every blob it names is stored.
    pub(crate) async fn perform<F>(
        self: &Arc<Self>,
        action: &Action,
        form: OutputForm,
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
        if let Some(result) = blocking(move || site.remembered(&asked, form)).await? {
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
                .bring(&self.cas, &self.registry, &self.transfers, action, form)
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
                    // The blobs of a local result must be stored locally.
                    if !site.cas.contains(digest, *size)? {
                        return Ok(());
                    }
                }
            }
            let (key, bytes) = (Key(*key.as_bytes()), kept.encode());
            // A result whose blobs are missing must be replaced.
            if site.wishes.force || site.remembered(&asked, form)?.is_none() {
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

    /// Reads every blob that remembered results spoke of; what is damaged is
    /// removed by that, so that its result is no longer remembered. Returns how
    /// many blobs were found damaged or gone since it was last called.
    pub(crate) fn evict_damaged(&self) -> usize {
        let used = std::mem::take(&mut *held(&self.used));
        self.read_through(used.iter().copied());
        let found = self.cas.found_damaged();
        let count = found - std::mem::replace(&mut *held(&self.evicted), found);
        if count > 0 {
            let cache = self.cas.root().parent().unwrap_or(self.cas.root());
            self.note(format!(
                "the cache at `{}` held {count} damaged or missing blobs, which were made again: \
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

/// What a tree that is one file holds.
fn single_file(tree: &Tree) -> Option<(Digest, u64)> {
    match tree.single()?.kind {
        TreeKind::File { digest, size, .. } => Some((digest, size)),
        _ => None,
    }
}
