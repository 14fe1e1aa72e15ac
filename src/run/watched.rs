//! A run whose files are watched: what its steps have read, and which of them are called
//! back because that has changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::ground::inputs::Inputs;

/// What a run and the watcher of its files know of each other.
pub(crate) struct Watched {
    inputs: Mutex<HashMap<String, Inputs>>,
    recalled: watch::Sender<Option<BTreeSet<String>>>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            inputs: Mutex::default(),
            recalled: watch::Sender::new(None),
        }
    }
}

impl Watched {
    /// Forgets what a step has read: it is about to look again.
    pub(super) fn begin(&self, step: &str) {
        self.all().remove(step);
    }

    /// Notes what a step reads.
    pub(super) fn reads(&self, step: &str, inputs: &Inputs) {
        self.all().insert(step.to_owned(), inputs.clone());
    }

    /// What each step read when it last looked; not the steps that have not, or failed to.
    pub(crate) fn inputs(&self) -> HashMap<String, Inputs> {
        self.all().clone()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Inputs>> {
        // Each statement leaves it complete.
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a run: nothing is called back.
    pub(crate) fn restart(&self) {
        self.recalled.send_replace(None);
    }

    /// Ends these steps, and starts nothing more. The others come to their end.
    pub(crate) fn recall(&self, steps: BTreeSet<String>) {
        self.recalled.send_modify(|recalled| {
            recalled.get_or_insert_default().extend(steps);
        });
    }

    /// Completes when `step` is called back.
    pub(super) async fn recalled(&self, step: &str) {
        let is_it =
            |all: &Option<BTreeSet<String>>| all.as_ref().is_some_and(|steps| steps.contains(step));
        // The sender lives as long as this does.
        let _ = self.recalled.subscribe().wait_for(is_it).await;
    }

    /// Completes when anything is called back.
    pub(super) async fn held(&self) {
        let _ = self.recalled.subscribe().wait_for(Option::is_some).await;
    }
}
