//! Predicts what a run would do with each step.

use std::sync::Arc;

use super::attempt::{task_of, unchanged};
use super::why::{Found, Known};
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

/// A step, and what a run would do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessed {
    pub task: String,
    pub verdict: Verdict,
    /// What its last runs say, if that was asked.
    pub known: Option<Known>,
}

/// Predicts what [`run`](super::run()) would do: executes and writes nothing, but
/// resolves references without a pin, as a run would. Looks back on the last runs of the
/// steps that `asks` is true for.
///
/// # Errors
///
/// [`GraphError`]
pub(crate) async fn assess(
    site: &Arc<Site>,
    plan: &Plan,
    asks: impl Fn(&str) -> bool,
) -> Result<Vec<Assessed>, GraphError> {
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
        let asked = asks(id);
        let (verdict, mut known) = match open.is_empty() {
            true => match judge(site, step, &results, asked).await {
                Ok(judgement) => {
                    let done = judgement.done.map(|done| (id.clone(), Arc::new(done)));
                    results.extend(done);
                    (judgement.verdict, judgement.known)
                }
                Err(failure) if failure.class == Class::Configuration => {
                    (Verdict::Refused(failure.message), None)
                }
                Err(failure) => (Verdict::Unknown(failure.message), None),
            },
            false => (Verdict::After(open), None),
        };
        if asked && known.is_none() {
            let (site, step) = (Arc::clone(site), step.clone());
            let found = blocking(move || Ok(Known::of(&site, &step, &Found::Nothing))).await;
            // What was is not worth a failure.
            known = found.ok();
        }
        verdicts.push(Assessed {
            task: id.clone(),
            verdict,
            known,
        });
    }
    Ok(verdicts)
}

/// The step `id`, prepared from the results of its dependencies, which must be in the
/// cache.
pub(crate) async fn ready(site: &Arc<Site>, plan: &Plan, id: &str) -> Result<Prepared, Failure> {
    let internal = |error: GraphError| Failure::caused_by(Class::Configuration, &error);
    let graph = plan.graph().map_err(internal)?;
    let needed = plan.with_ancestors(&[id.to_owned()]);
    let mut results = Results::new();
    for task in graph.tasks().filter(|task| needed.contains(task)) {
        let Some(step) = plan.steps.get(task) else {
            continue;
        };
        if task == id {
            return task_of(site, step, &results).prepare().await;
        }
        let done = judge(site, step, &results, false).await?.done;
        results.extend(done.map(|done| (task.clone(), Arc::new(done))));
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

struct Judgement {
    verdict: Verdict,
    /// Its result, if that is cached.
    done: Option<Done>,
    known: Option<Known>,
}

/// Looks a step up whose dependencies are all in `results`, and back on its last runs if
/// `asked`.
async fn judge(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
    asked: bool,
) -> Result<Judgement, Failure> {
    let task = task_of(site, step, results);
    let mut prepared = task.prepare().await?;
    let (shared, own) = (Arc::clone(site), step.clone());
    let (query, unchanged) = (prepared.clone(), unchanged(step, &prepared));
    let (found, known) = blocking(move || {
        let known = |found: Found<'_>| asked.then(|| Known::of(&shared, &own, &found));
        Ok(match query.remembered(&shared)? {
            Some((action, remembered)) => {
                let known = known(Found::Hit(action.key()));
                (Ok((action, remembered.result)), known)
            }
            None => {
                let back = shared.look_back(&own.home, &own.name, unchanged, &query.action);
                let changes = back.changes.as_deref().unwrap_or_default();
                let known = known(Found::Miss(changes, query.form));
                (Err(back.reason), known)
            }
        })
    })
    .await?;
    let (verdict, done) = match found {
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
    };
    Ok(Judgement {
        verdict,
        done,
        known,
    })
}
