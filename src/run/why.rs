//! What the past of a step says about its next run.

use std::sync::Arc;

use super::assess::{Verdict, ready};
use crate::action::{ActionKey, Advice, DirtyReason, PastRun};
use crate::ground::Failure;
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::plan::{Plan, Step};

/// What is known of earlier runs of a step in this workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The present, in seconds since the Unix epoch.
    pub now: u64,
    pub last: Option<PastRun>,
    /// The run that made the cached result; `None`: it was made elsewhere, or too long ago.
    pub made: Option<PastRun>,
    /// A run whose result is cached, and what would have to be as it was then.
    pub nearest: Option<(PastRun, Vec<DirtyReason>)>,
    /// What would have made the most of the last misses hits.
    pub advice: Option<Advice>,
}

/// What is known of the step `id`, which has this verdict.
///
/// # Errors
///
/// [`Failure`]: its action cannot be determined.
pub(crate) async fn known(
    site: &Arc<Site>,
    plan: &Plan,
    id: &str,
    verdict: &Verdict,
) -> Result<Known, Failure> {
    let Some(step) = plan.steps.get(id) else {
        return Ok(Known::default());
    };
    let (shared, home, name) = (Arc::clone(site), step.home.clone(), step.name.clone());
    let past = blocking(move || Ok(shared.past(&home, &name))).await?;
    let mut known = Known {
        now: site.now(),
        last: past.runs().last().cloned(),
        advice: past.advice(),
        ..Known::default()
    };
    match verdict {
        Verdict::Cached(key) => known.made = past.made(key).cloned(),
        Verdict::Runs { .. } => {
            let prepared = ready(site, plan, id).await?;
            let (site, step): (_, Step) = (Arc::clone(site), step.clone());
            known.nearest = blocking(move || {
                let back = site.look_back(&step.home, &step.name, None, &prepared.action);
                let changes = back.changes.filter(|changes| !changes.is_empty());
                let is_cached = |run: &PastRun| {
                    let key = run.key.parse::<ActionKey>();
                    key.is_ok_and(|key| {
                        let found = site.remembered(&key, prepared.form);
                        found.is_ok_and(|found| found.is_some())
                    })
                };
                let nearest = changes.and_then(|changes| {
                    let nearest = past.nearest(&changes, is_cached)?;
                    Some((nearest.run.clone(), nearest.reasons))
                });
                Ok(nearest)
            })
            .await?;
        }
        _ => {}
    }
    Ok(known)
}
