//! The last runs of a task, and what would have happened without some of what changed
//! between them.
//!
//! A run is known by what changed since the one before, so that many runs take little
//! space; together they say for each run what was as in another one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ActionKey;
use super::explain::{DirtyReason, FieldChange, Subject, reason_of};

/// Maximum number of runs that are looked back on.
pub const MAX_RUNS: usize = 32;

/// Maximum number of changes between two runs that are kept; more have no single cause.
const MAX_CHANGES: usize = 200;

/// Maximum size of these changes, as JSON: with them, a run fits in what is read of a file
/// to find the last one.
const MAX_CHANGES_BYTES: usize = 24 << 10;

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// When it ended, in seconds since the Unix epoch.
    pub at: u64,
    /// The key of its action.
    pub key: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The version of jackal.
    pub jackal: String,
    /// Why it failed; empty: it succeeded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// What changed since the run before; `None`: too much, or that is not known.
    pub changes: Option<Vec<FieldChange>>,
}

impl PastRun {
    /// The same without changes that are too many, or too long.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.changes = self.changes.filter(|all| {
            all.len() <= MAX_CHANGES
                && serde_json::to_vec(all).is_ok_and(|json| json.len() <= MAX_CHANGES_BYTES)
        });
        self
    }

    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.failure.is_empty()
    }
}

/// The last runs of a task, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    runs: Vec<PastRun>,
}

/// What was what in a run, of all that ever changed.
type State<'p> = BTreeMap<Place<'p>, Option<&'p str>>;

type Place<'p> = (Subject, &'p str);

/// The states of a series of runs. All of them have the same places.
#[derive(Default)]
struct States<'p>(Vec<State<'p>>);

impl<'p> States<'p> {
    /// Adds the state that these changes made of the last one.
    fn add(&mut self, changes: &'p [FieldChange]) {
        let mut now = self.0.last().cloned().unwrap_or_default();
        for change in changes {
            let place = (change.subject, change.name.as_str());
            if !now.contains_key(&place) {
                // Before it changed first, it was what it was then.
                for state in &mut self.0 {
                    state.insert(place, change.before.as_deref());
                }
            }
            now.insert(place, change.after.as_deref());
        }
        self.0.push(now);
    }
}

/// What would have made misses hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to leave out of the key.
    pub without: Without,
    /// How many misses would have been hits.
    pub gone: usize,
    /// Of how many.
    pub misses: usize,
}

/// What could be left out of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Without {
    File(String),
    Env(String),
    /// All files in a folder.
    Folder(String),
}

impl Without {
    /// Everything that makes two runs equal if it is left out, given all places in which
    /// they differ: at most one for each level of folders, and the place itself.
    fn all_of(differing: &[Place<'_>]) -> BTreeSet<Self> {
        let mut found = BTreeSet::new();
        match differing {
            [(Subject::File, name)] => drop(found.insert(Self::File((*name).to_owned()))),
            [(Subject::Env, name)] => drop(found.insert(Self::Env((*name).to_owned()))),
            _ => {}
        }
        let (Some((_, first)), true) = (
            differing.first(),
            differing
                .iter()
                .all(|(subject, _)| *subject == Subject::File),
        ) else {
            return found;
        };
        let folders = first.match_indices('/').map(|(at, _)| &first[..=at]);
        let shared =
            folders.filter(|folder| differing.iter().all(|(_, name)| name.starts_with(folder)));
        found.extend(shared.map(|folder| Self::Folder(folder[..folder.len() - 1].to_owned())));
        found
    }
}

/// The run that is most like an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest<'p> {
    pub run: &'p PastRun,
    /// What differs from it.
    pub reasons: Vec<DirtyReason>,
}

impl Past {
    /// The last of these runs, which are in the order in which they ended.
    #[must_use]
    pub fn new(mut runs: Vec<PastRun>) -> Self {
        runs.drain(..runs.len().saturating_sub(MAX_RUNS));
        Self { runs }
    }

    /// The runs, the oldest first.
    #[must_use]
    pub fn runs(&self) -> &[PastRun] {
        &self.runs
    }

    /// The runs that can be compared with each other.
    fn comparable(&self) -> &[PastRun] {
        // The first one of them is a beginning, whatever it changed.
        let cut = self.runs.iter().rposition(|run| run.changes.is_none());
        &self.runs[cut.unwrap_or(0)..]
    }

    /// What was what in each of the comparable runs.
    fn states(&self) -> States<'_> {
        let mut states = States::default();
        for (at, run) in self.comparable().iter().enumerate() {
            let changes = run.changes.as_deref().filter(|_| at > 0);
            states.add(changes.unwrap_or_default());
        }
        states
    }

    /// How many of the runs found no result, and how many of these would have found one
    /// without something in the key, by what that is. The first run is a beginning, and
    /// runs that had a result and ran all the same, as with `--force`, are no misses.
    fn replay(&self) -> (usize, BTreeMap<Without, usize>) {
        let (runs, states) = (self.comparable(), self.states().0);
        let (mut misses, mut gone) = (0, BTreeMap::new());
        for (at, now) in states.iter().enumerate().skip(1) {
            let made = runs[..at].iter().zip(&states);
            let made = made.filter(|(run, _)| run.has_succeeded());
            let differing = made.map(|(_, then)| -> Vec<Place<'_>> {
                let places = now.iter().zip(then.values());
                let places = places.filter(|((_, value), then)| value != then);
                places.map(|((place, _), _)| *place).collect()
            });
            let differing: Vec<_> = differing.collect();
            if differing.iter().any(Vec::is_empty) {
                continue;
            }
            misses += 1;
            let hits: BTreeSet<Without> = (differing.iter())
                .flat_map(|places| Without::all_of(places))
                .collect();
            for without in hits {
                *gone.entry(without).or_default() += 1;
            }
        }
        (misses, gone)
    }

    /// What would have made the most misses hits, if it was at least two of them. Of equal
    /// ones, a file counts before a variable, and that before a folder; of folders the
    /// deepest, since the least is to be left out.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        let (misses, gone) = self.replay();
        let worthy = gone.into_iter().filter(|(_, gone)| *gone > 1);
        let rank = |without: &Without| match without {
            Without::File(_) => (0, Reverse(0)),
            Without::Env(_) => (1, Reverse(0)),
            Without::Folder(path) => (2, Reverse(path.len())),
        };
        // The first by name of equal ones.
        let best = worthy.min_by_key(|(without, gone)| (Reverse(*gone), rank(without)));
        let (without, gone) = best?;
        Some(Advice {
            without,
            gone,
            misses,
        })
    }

    /// The successful run that differs least from an action, of those that `is` is true
    /// for; `changes` is what changed since the last run.
    #[must_use]
    pub fn nearest(
        &self,
        changes: &[FieldChange],
        is: impl Fn(&PastRun) -> bool,
    ) -> Option<Nearest<'_>> {
        let (runs, mut states) = (self.comparable(), self.states());
        states.add(changes);
        let now = states.0.pop()?;
        let differing = |state: &State<'_>| -> Vec<DirtyReason> {
            let all = now.iter().filter_map(|(place, value)| {
                let then = state.get(place).copied().flatten();
                reason_of(place.0, place.1, then, *value)
            });
            all.collect()
        };
        let found = runs.iter().zip(&states.0).rev();
        let found = found.filter(|(run, _)| run.has_succeeded() && is(run));
        let found = found.map(|(run, state)| Nearest {
            run,
            reasons: differing(state),
        });
        found.min_by_key(|nearest| nearest.reasons.len())
    }

    /// The last run that made this result.
    #[must_use]
    pub fn made(&self, key: &ActionKey) -> Option<&PastRun> {
        let key = key.to_string();
        let mut runs = self.runs.iter().rev();
        runs.find(|run| run.key == key && run.has_succeeded())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::explain::changes;
    use crate::action::{Action, InputFile, InputNode, InputTree};
    use crate::oci::Digest;

    const FILES: [&str; 4] = ["README.md", "docs/a", "docs/b", "src/c"];

    /// Whether `without` leaves out what is at a place.
    fn takes(without: &Without, (subject, name): Place<'_>) -> bool {
        match (without, subject) {
            (Without::File(own), Subject::File) | (Without::Env(own), Subject::Env) => own == name,
            (Without::Folder(folder), Subject::File) => {
                let below = name.strip_prefix(folder.as_str());
                below.is_some_and(|below| below.starts_with('/'))
            }
            _ => false,
        }
    }

    /// An action that reads these contents, without what is left out.
    fn action(contents: [u8; 4], variable: u8, without: Option<&Without>) -> Action {
        let mut tree = InputTree::default();
        for (name, content) in FILES.iter().zip(contents) {
            let is_left_out = without.is_some_and(|without| takes(without, (Subject::File, name)));
            // An absent file is one more content.
            if content > 0 && !is_left_out {
                let file = InputFile::plain(Digest::of(&[content]), 1);
                tree.insert(name, InputNode::File(file)).unwrap();
            }
        }
        let mut action = Action::new("run", 1);
        action.argv = vec!["cc".into()];
        action.inputs = tree.into();
        if without.is_none_or(|without| !takes(without, (Subject::Env, "N"))) {
            action.env.insert("N".into(), variable.to_string());
        }
        action
    }

    /// A build: what the task reads, and whether it succeeds if it runs.
    type Build = ([u8; 4], u8, bool);

    /// The runs of builds with a cache, and what is known of them.
    fn history(builds: &[Build]) -> Past {
        let (mut stored, mut runs) = (BTreeSet::new(), Vec::new());
        let mut last: Option<Vec<u8>> = None;
        for (at, (contents, variable, succeeds)) in builds.iter().enumerate() {
            let action = action(*contents, *variable, None);
            let key = action.key();
            if stored.contains(&key) {
                continue;
            }
            let explained = action.explain();
            let changes = last.as_ref().map(|last| changes(last, &explained).unwrap());
            last = Some(explained);
            if *succeeds {
                stored.insert(key);
            }
            runs.push(PastRun {
                at: at as u64,
                key: key.to_string(),
                took_ms: 1,
                jackal: "1".into(),
                failure: if *succeeds { "" } else { "no" }.into(),
                changes,
            });
        }
        Past::new(runs)
    }

    /// How many runs of the history would have found a result, made by real keys.
    fn simulated(past: &Past, builds: &[Build], without: &Without) -> (usize, usize) {
        let (mut stored, mut stored_without) = (BTreeSet::new(), BTreeSet::new());
        let (mut misses, mut gone) = (0, 0);
        for (number, run) in past.runs().iter().enumerate() {
            let (contents, variable, _) = builds[run.at as usize];
            let whole = action(contents, variable, None).key();
            let part = action(contents, variable, Some(without)).key();
            if number > 0 && !stored.contains(&whole) {
                misses += 1;
                gone += usize::from(stored_without.contains(&part));
            }
            if run.failure.is_empty() {
                stored.insert(whole);
                stored_without.insert(part);
            }
        }
        (misses, gone)
    }

    fn any_build() -> impl Strategy<Value = Build> {
        (
            prop::array::uniform4(0u8..3),
            0u8..2,
            prop::bool::weighted(0.8),
        )
    }

    proptest! {
        #[test]
        fn advice_predicts_exactly_what_keys_without_it_would_have_hit(
            builds in prop::collection::vec(any_build(), 1..20),
        ) {
            let past = history(&builds);
            let all = FILES.iter().map(|name| Without::File((*name).to_owned()));
            let all = all.chain([Without::Folder("docs".into()), Without::Env("N".into())]);
            let (misses, gone) = past.replay();
            let mut most = 0;
            for without in all {
                let predicted = (misses, gone.get(&without).copied().unwrap_or(0));
                prop_assert_eq!(predicted, simulated(&past, &builds, &without), "{:?}", without);
                most = most.max(predicted.1);
            }
            let advised = past.advice().map_or(0, |advice| advice.gone);
            prop_assert_eq!(advised, if most < 2 { 0 } else { most });
        }

        #[test]
        fn the_nearest_run_differs_in_what_its_action_differs_in(
            builds in prop::collection::vec(any_build(), 1..12), now in any_build(),
        ) {
            let past = history(&builds);
            let explained = |build: &Build| action(build.0, build.1, None).explain();
            let last = past.runs().last().unwrap();
            let now = explained(&now);
            let changed = changes(&explained(&builds[last.at as usize]), &now).unwrap();
            for wanted in past.runs().iter().filter(|run| run.failure.is_empty()) {
                let nearest = past.nearest(&changed, |run| run.at == wanted.at).unwrap();
                let then = explained(&builds[wanted.at as usize]);
                let expected = crate::action::explain::diff(&then, &now).unwrap();
                prop_assert_eq!(nearest.reasons, expected);
            }
        }
    }

    #[test]
    fn a_file_that_changes_with_every_build_is_named_with_its_cost() {
        // The documentation changes every time, the source three times.
        let builds: Vec<Build> = (0..18u8)
            .map(|at| ([at + 1, 1, 1, 1 + at / 6], 0, true))
            .collect();
        let past = history(&builds);
        let advice = past.advice().unwrap();
        assert_eq!(advice.without, Without::File("README.md".into()));
        assert_eq!((advice.gone, advice.misses), (15, 17));
    }

    #[test]
    fn the_largest_history_takes_no_replay_for_each_file() {
        // Each run changes files of its own, deep in a folder that all have in common.
        let deep = "folder/".repeat(20);
        let change = |run: usize, file: usize| FieldChange {
            subject: Subject::File,
            name: format!("{deep}{run}/{file}"),
            before: None,
            after: Some("1".into()),
        };
        let runs = (0..MAX_RUNS).map(|run| PastRun {
            at: run as u64,
            key: run.to_string(),
            took_ms: 1,
            jackal: "1".into(),
            failure: String::new(),
            changes: Some((0..MAX_CHANGES).map(|file| change(run, file)).collect()),
        });
        let advice = Past::new(runs.collect()).advice().unwrap();
        let expected = deep.trim_end_matches('/').to_owned();
        assert_eq!(advice.without, Without::Folder(expected));
        assert_eq!((advice.gone, advice.misses), (MAX_RUNS - 1, MAX_RUNS - 1));
    }

    #[test]
    fn runs_after_a_gap_are_a_new_beginning_and_old_ones_are_dropped() {
        let builds: Vec<Build> = (0..40u8).map(|at| ([at + 1, 1, 1, 1], 0, true)).collect();
        let past = history(&builds);
        assert_eq!(past.runs().len(), MAX_RUNS);
        assert_eq!(past.advice().unwrap().misses, MAX_RUNS - 1);
        let mut runs = past.runs().to_vec();
        runs[30].changes = None;
        let past = Past::new(runs);
        assert_eq!(past.replay().0, 1);
        assert_eq!(past.advice(), None);
        assert_eq!(Past::default().advice(), None);
        assert_eq!(Past::default().nearest(&[], |_| true), None);
    }

    #[test]
    fn a_run_with_very_many_changes_keeps_none() {
        let change = |at: usize| FieldChange {
            subject: Subject::File,
            name: at.to_string(),
            before: None,
            after: Some("1".into()),
        };
        let mut run = history(&[([1; 4], 0, true)]).runs()[0].clone();
        run.changes = Some((0..MAX_CHANGES).map(change).collect());
        assert!(run.clone().bounded().changes.is_some());
        run.changes = Some((0..=MAX_CHANGES).map(change).collect());
        assert!(run.bounded().changes.is_none());
    }
}
