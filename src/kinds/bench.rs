//! What pure work can use besides its action and its inputs.
//!
//! The run that the work belongs to is private here: a pure kind sees only the store,
//! and the requests that it may make of the run.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Prepared, make_pure};
use crate::action::{ActionKey, Output};
use crate::cas::Cas;
use crate::ground::Failure;
use crate::ground::form::OutputForm;
use crate::ground::site::Site;

/// The store and the run behind pure work.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) cas: Arc<Cas>,
    /// The run that the work belongs to; `None`: it runs on its own.
    site: Option<Arc<Site>>,
}

impl Bench {
    /// The bench of a run.
    pub(crate) fn of(site: &Arc<Site>) -> Self {
        Self {
            cas: Arc::clone(&site.cas),
            site: Some(Arc::clone(site)),
        }
    }

    /// A bench outside of any run.
    pub(crate) fn alone(cas: &Arc<Cas>) -> Self {
        Self {
            cas: Arc::clone(cas),
            site: None,
        }
    }

    /// The user's limit for the unpacked size of an archive or layer, in bytes;
    /// `None`: the default. It can prevent an output, but never changes its bytes.
    pub(crate) fn content_limit(&self) -> Option<u64> {
        self.site.as_ref()?.options.content_limit
    }

    /// The outputs of the actions that this one consists of, in order; in a run, from
    /// the cache if possible.
    pub(crate) async fn nested(&self, actions: Vec<Prepared>) -> Result<Vec<Output>, Failure> {
        let mut running = Vec::with_capacity(actions.len());
        for prepared in actions {
            let bench = self.clone();
            running.push(tokio::spawn(async move {
                let making = || make_pure(&prepared.action, &prepared.inputs, &bench);
                Ok::<_, Failure>(match &bench.site {
                    Some(site) => {
                        let performed = site
                            .perform(&prepared.action, (prepared.form, false), making)
                            .await?;
                        performed.result.outputs
                    }
                    None => making().await?.outputs,
                })
            }));
        }
        let mut outputs = Vec::new();
        for one in running {
            let made = one.await.map_err(Failure::internal)?;
            outputs.extend(made?);
        }
        Ok(outputs)
    }

    /// What is known under `key` that can spare work, and never changes what it makes: here,
    /// or else with a published package. Nothing for work that is forced.
    pub(crate) async fn hints(&self, key: &ActionKey) -> Result<Vec<Output>, Failure> {
        let Some(site) = self.site.as_ref().filter(|site| !site.options.force) else {
            return Ok(Vec::new());
        };
        if let Some(stored) = site.stored_outputs(key, OutputForm::Blobs)? {
            return Ok(stored);
        }
        let published = site.published.get();
        let outputs = published.and_then(|published| published.outputs(key));
        let from = published.and_then(|published| published.repository());
        match from.zip(outputs) {
            Some((from, outputs)) if site.fetch_outputs(from, outputs).await => {
                Ok(outputs.to_vec())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A permit for work that needs a processor and a lot of memory.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let cpu = Arc::clone(&self.site.as_ref()?.cpu);
        cpu.acquire_owned().await.ok()
    }
}
