//! Which steps differ from an earlier state, by the keys of their actions.
//!
//! A key covers everything that a result depends on, so no history is needed, and a
//! checkout without Git gives the same answer. The answer does not depend on what is
//! cached either: what follows a changed step counts as affected, even if the step may
//! turn out to make what it made before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attempt::task_of;
use crate::action::{ActionKey, ActionResult, Output};
use crate::graph::GraphError;
use crate::ground::Failure;
use crate::ground::form::OutputForm;
use crate::ground::published::Earlier;
use crate::ground::site::{Good, Performed, Site};
use crate::ground::threads::blocking;
use crate::kinds::{Done, Prepared, Results, Work};
use crate::plan::{Plan, Step};

pub(crate) enum Baseline {
    /// The last good run.
    Run(Good),
    Published(Earlier),
}

/// Why a step is affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What it reads or does is not what it was.
    Changed(String),
    /// The earlier state does not have it.
    New(String),
    /// These steps are, whose results it reads.
    Upstream(Vec<String>),
    /// It cannot be compared.
    Unknown(String),
}

impl Cause {
    /// As JSON has it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Changed(_) => "changed",
            Self::New(_) => "new",
            Self::Upstream(_) => "upstream",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// The steps of `plan` that differ from `baseline`, each with its cause. Executes and
/// writes nothing.
///
/// # Errors
///
/// [`GraphError`]
pub(crate) async fn differing(
    site: &Arc<Site>,
    plan: &Plan,
    baseline: &Baseline,
) -> Result<BTreeMap<String, Cause>, GraphError> {
    let mut affected: BTreeMap<String, Cause> = BTreeMap::new();
    let mut results = Results::new();
    for id in plan.graph()?.tasks() {
        let Some(step) = plan.steps.get(id).filter(|step| !step.skipped) else {
            continue;
        };
        let upstream = upstream(step, |on| affected.contains_key(on));
        if !upstream.is_empty() {
            affected.insert(id.clone(), Cause::Upstream(upstream));
            continue;
        }
        match compare(site, step, &results, baseline).await {
            Ok(Comparison::Same(done)) => {
                results.extend(done.map(|done| (id.clone(), Arc::new(*done))));
            }
            Ok(Comparison::Differs(cause)) => drop(affected.insert(id.clone(), cause)),
            Err(failure) => {
                let cause = Cause::Unknown(failure.message);
                affected.insert(id.clone(), cause);
            }
        }
    }
    Ok(affected)
}

/// The steps whose results `step` reads and that `is` is true for.
pub(crate) fn upstream(step: &Step, is: impl Fn(&str) -> bool) -> Vec<String> {
    let named: BTreeSet<&String> = step.reads().filter(|on| is(on)).collect();
    named.into_iter().cloned().collect()
}

enum Comparison {
    /// As it was, with its result if that can be had.
    Same(Option<Box<Done>>),
    Differs(Cause),
}

async fn compare(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
    baseline: &Baseline,
) -> Result<Comparison, Failure> {
    if let (Baseline::Published(_), Work::Sign(_) | Work::Publish(_)) = (baseline, &step.work) {
        // Signatures are not compared: what they sign is as it was published.
        return Ok(Comparison::Same(None));
    }
    let task = task_of(site, step, results);
    let mut prepared = task.prepare().await?;
    if let Some(why) = prepared.uncached {
        return Ok(Comparison::Differs(Cause::Unknown(why.to_owned())));
    }
    let keys = prepared.keys();
    let found = match baseline {
        Baseline::Run(good) => {
            let known = good.get(&site.good_name(&step.home, &step.name));
            let Some(known) = known else {
                let why = match good.is_empty() {
                    true => "no good run is recorded",
                    false => "no good run had it",
                };
                return Ok(Comparison::Differs(Cause::New(why.to_owned())));
            };
            keys.iter().find(|key| *key == known)
        }
        Baseline::Published(earlier) => keys.iter().find(|key| earlier.has(key)),
    };
    let Some(key) = found.copied() else {
        let cause = match baseline {
            Baseline::Run(good) => {
                let then = good.get(&site.good_name(&step.home, &step.name));
                let key_then = then.copied().unwrap_or_else(|| prepared.action.key());
                let (site, own, action) = (Arc::clone(site), step.clone(), prepared.action.clone());
                let reason =
                    blocking(move || Ok(site.differs(&own.home, &own.name, &key_then, &action)));
                Cause::Changed(reason.await?)
            }
            Baseline::Published(earlier) => Cause::Changed(earlier.without()),
        };
        return Ok(Comparison::Differs(cause));
    };
    let outputs = outputs(site, &prepared, key, baseline).await?;
    let done = outputs.map(|outputs| {
        prepared.with_key(key);
        let performed = Performed {
            result: ActionResult {
                outputs,
                log: None,
                reports: None,
                wall_ms: 0,
            },
            cached: true,
            log: String::new(),
            fetched: 0,
            warnings: Vec::new(),
            report: None,
        };
        Box::new(task.done(prepared, performed, key))
    });
    Ok(Comparison::Same(done))
}

/// The outputs of the action `key`: they are in the keys of later steps. Only lists of
/// files and documents are fetched.
async fn outputs(
    site: &Arc<Site>,
    prepared: &Prepared,
    key: ActionKey,
    baseline: &Baseline,
) -> Result<Option<Vec<Output>>, Failure> {
    if let Baseline::Published(earlier) = baseline
        && let Some((from, outputs)) = earlier.outputs(&key)
    {
        let whole = prepared.form != OutputForm::Blobs;
        let fetched = match whole {
            true => site.fetch_outputs(from, outputs).await,
            false => true,
        };
        return Ok(fetched.then(|| outputs.to_vec()));
    }
    let (site, form) = (Arc::clone(site), prepared.form);
    blocking(move || site.stored_outputs(&key, form)).await
}
