//! What the past of a step says about its next run.

use crate::action::{ActionKey, Advice, DirtyReason, FieldChange, PastRun};
use crate::ground::form::OutputForm;
use crate::ground::site::Site;
use crate::plan::Step;

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

/// What the cache has for a step.
pub(super) enum Found<'c> {
    /// The result of this action.
    Hit(ActionKey),
    /// None; these things changed since the last run, and results have this form.
    Miss(&'c [FieldChange], OutputForm),
    /// Its action is not known.
    Nothing,
}

impl Known {
    /// What is known of `step`.
    pub(super) fn of(site: &Site, step: &Step, found: &Found<'_>) -> Self {
        let past = site.past(&step.home, &step.name);
        let (mut made, mut nearest) = (None, None);
        match found {
            Found::Hit(key) => made = past.made(key).cloned(),
            Found::Miss(changes, form) if !changes.is_empty() => {
                let is_cached = |run: &PastRun| {
                    let key = run.key.parse::<ActionKey>();
                    key.is_ok_and(|key| {
                        let found = site.remembered(&key, *form);
                        found.is_ok_and(|found| found.is_some())
                    })
                };
                let found = past.nearest(changes, is_cached);
                nearest = found.map(|nearest| (nearest.run.clone(), nearest.reasons));
            }
            Found::Miss(..) | Found::Nothing => {}
        }
        Self {
            now: site.now(),
            last: past.runs().last().cloned(),
            made,
            nearest,
            advice: past.advice(),
        }
    }
}
