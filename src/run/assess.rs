//! Predicts what a run would do with each step.

use std::sync::Arc;

use super::attempt::{task_of, unchanged};
use crate::action::ActionKey;
use crate::graph::GraphError;
use crate::ground::site::{Performed, Site};
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::{Done, Prepared, Results};
use crate::plan::{Plan, Step};

/// The prediction for one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its result is cached under this key.
    Cached(ActionKey),
    /// It would run, for this reason.
    Runs {
        /// The key of its result.
        key: ActionKey,
        reason: String,
    },
    /// It depends on the outputs of these steps.
    After(Vec<String>),
    Unknown(String),
    /// A build would refuse it, for this reason.
    Refused(String),
}

/// Predicts what [`run`](super::run()) would do: executes and writes nothing, but
/// resolves references without a pin, as a run would.
///
/// # Errors
///
/// [`GraphError`]
pub async fn assess(site: &Arc<Site>, plan: &Plan) -> Result<Vec<(String, Verdict)>, GraphError> {
    let graph = plan.graph()?;
    let mut results = Results::new();
    let mut verdicts = Vec::new();
    for id in graph.tasks() {
        let Some(step) = plan.steps.get(id) else {
            continue;
        };
        let open: Vec<String> = step
            .after
            .iter()
            .filter(|on| !results.contains_key(*on))
            .cloned()
            .collect();
        let verdict = if open.is_empty() {
            match judge(site, step, &results).await {
                Ok((verdict, Some(done))) => {
                    results.insert(id.clone(), Arc::new(done));
                    verdict
                }
                Ok((verdict, None)) => verdict,
                Err(failure) if failure.class == Class::Configuration => {
                    Verdict::Refused(failure.message)
                }
                Err(failure) => Verdict::Unknown(failure.message),
            }
        } else {
            Verdict::After(open)
        };
        verdicts.push((id.clone(), verdict));
    }
    Ok(verdicts)
}

/// The step `id`, prepared from the results of its dependencies, which must be in the
/// cache.
pub(crate) async fn ready(site: &Arc<Site>, plan: &Plan, id: &str) -> Result<Prepared, Failure> {
    let internal = |error: GraphError| Failure::caused_by(Class::Configuration, &error);
    let graph = plan.graph().map_err(internal)?;
    let mut results = Results::new();
    for task in graph.tasks() {
        let Some(step) = plan.steps.get(task) else {
            continue;
        };
        if task == id {
            return task_of(site, step, &results).prepare().await;
        }
        if let (Verdict::Cached(_), Some(done)) = judge(site, step, &results).await? {
            results.insert(task.clone(), Arc::new(done));
        }
    }
    let message = format!("no task `{id}`: `jackal graph` lists them");
    Err(Failure::new(Class::Configuration, message))
}

/// The step, prepared from the results of those before it.
pub(crate) async fn prepare(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
) -> Result<Prepared, Failure> {
    task_of(site, step, results).prepare().await
}

async fn judge(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
) -> Result<(Verdict, Option<Done>), Failure> {
    let task = task_of(site, step, results);
    let mut prepared = task.prepare().await?;
    let (shared, own) = (Arc::clone(site), step.clone());
    let (query, unchanged) = (prepared.clone(), unchanged(step, &prepared));
    let found = blocking(move || {
        Ok(match query.remembered(&shared)? {
            Some((action, known)) => Ok((action, known.result)),
            None => {
                let back = shared.look_back(&own.home, &own.name, unchanged, &query.action);
                Err(back.reason)
            }
        })
    })
    .await?;
    Ok(match found {
        Ok((action, result)) => {
            let key = action.key();
            prepared.action = action;
            let performed = Performed {
                result,
                cached: true,
                log: String::new(),
                fetched: 0,
                warnings: Vec::new(),
                report: None,
            };
            let done = task.done(prepared, performed, key);
            (Verdict::Cached(key), Some(done))
        }
        Err(reason) => {
            let key = prepared.action.key();
            (Verdict::Runs { key, reason }, None)
        }
    })
}
