//! Reuses results of packages that were published by other machines: adr/0018, "Results
//! travel".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::action::{Action, ActionKey, ActionResult, Output};
use crate::cas::{Cas, Flush, Key};
use crate::ground::form::OutputForm;
use crate::ground::threads::blocking;
use crate::oci::{Descriptor, Reference};
use crate::registry::Registry;
use crate::release::PublishedResults;

/// What was published earlier, to compare with.
pub(crate) struct Earlier {
    packages: Vec<PublishedResults>,
}

impl Earlier {
    /// The state that `packages` were published from.
    pub(crate) fn new(packages: Vec<PublishedResults>) -> Self {
        Self { packages }
    }

    /// Whether a published package was made by this action.
    pub(crate) fn has(&self, key: &ActionKey) -> bool {
        self.packages.iter().any(|package| package.has(key))
    }

    /// The outputs of an action, with the package that has them.
    pub(crate) fn outputs(&self, key: &ActionKey) -> Option<(&Reference, &[Output])> {
        let mut packages = self.packages.iter();
        packages.find_map(|package| Some((&package.reference, package.made(key)?)))
    }

    /// Why an action that nothing was published of is affected.
    pub(crate) fn without(&self) -> String {
        match self.packages.as_slice() {
            [] => "nothing is published yet".to_owned(),
            [one] => format!("{} was not made from it as it is now", one.reference),
            all => format!(
                "none of {} published packages was made from it as it is now",
                all.len()
            ),
        }
    }
}

/// Results that other machines have published.
pub struct Published {
    packages: Vec<PublishedResults>,
    /// Whether blobs may stay in their registry, because nothing is written to this
    /// disk. If a step turns out to need such a blob, it fails, and the run is repeated
    /// without this.
    by_reference: AtomicBool,
    /// Blobs that were left in their registry.
    left: AtomicU64,
}

impl Published {
    /// The results of `packages`; `by_reference`: their blobs may stay in the registry.
    #[must_use]
    pub fn new(packages: Vec<PublishedResults>, by_reference: bool) -> Self {
        Self {
            packages,
            by_reference: AtomicBool::new(by_reference),
            left: AtomicU64::new(0),
        }
    }

    /// The repository of blobs that were left there.
    pub(crate) fn repository(&self) -> Option<&Reference> {
        self.packages.first().map(|package| &package.reference)
    }

    /// The outputs of an action that are in that repository.
    pub(crate) fn outputs(&self, key: &ActionKey) -> Option<&[Output]> {
        self.packages.first()?.get(key)
    }

    /// Whether a blob was left in its registry.
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Stops leaving blobs in registries; returns whether any were left.
    pub fn fetch_from_now_on(&self) -> bool {
        self.by_reference.store(false, Ordering::Relaxed);
        self.left.swap(0, Ordering::Relaxed) > 0
    }

    /// The result of `action`, and the number of downloaded bytes. If the result cannot
    /// be fetched, the action runs here: an unavailable cache never fails a build.
    pub(crate) async fn bring(
        &self,
        cas: &Arc<Cas>,
        registry: &Registry,
        transfers: &Semaphore,
        action: &Action,
        form: OutputForm,
    ) -> Option<(ActionResult, u64)> {
        // What is published lists outputs, and not the blobs that trees name.
        if form == OutputForm::Trees {
            return None;
        }
        let key = action.key();
        let mut packages = self.packages.iter();
        let (package, outputs) = packages.find_map(|found| Some((found, found.get(&key)?)))?;
        let by_reference =
            form != OutputForm::Documents && self.by_reference.load(Ordering::Relaxed);
        let (mut fetched, mut left) = (0, 0);
        for output in outputs {
            if cas.contains(&output.digest, output.size).ok()? {
                continue;
            }
            if by_reference {
                left += 1;
                continue;
            }
            // The semaphore is never closed.
            let _permit = transfers.acquire().await.ok()?;
            let blob = Descriptor::blob(output.digest, output.size);
            let layers = std::slice::from_ref(&blob);
            let stored = registry.store_blob(&package.reference, layers, &blob, cas);
            stored.await.ok()?;
            fetched += output.size;
        }
        let result = ActionResult {
            outputs: outputs.to_vec(),
            log: None,
            reports: None,
            wall_ms: 0,
        };
        if left > 0 {
            // Not recorded: the blobs of a local result must be stored locally.
            self.left.fetch_add(left, Ordering::Relaxed);
            return Some((result, fetched));
        }
        let needs: Vec<_> = outputs.iter().map(|o| (o.digest, o.size)).collect();
        let (cas, bytes) = (Arc::clone(cas), result.encode());
        let name = Key(*key.as_bytes());
        let kept = blocking(move || Ok(cas.put_result(&name, &bytes, &needs, Flush::Now)?)).await;
        kept.ok().map(|_| (result, fetched))
    }
}
