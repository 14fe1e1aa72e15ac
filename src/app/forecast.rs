//! How long a run may take, from how long its tasks took before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::graph::Graph;
use crate::ground::site::Site;
use crate::plan::Plan;

/// What each task waits for, and how long tasks took before.
#[derive(Debug)]
pub struct Forecast {
    after: BTreeMap<String, Vec<String>>,
    /// The tasks that ran before, with what they took in milliseconds.
    millis: BTreeMap<String, u64>,
    /// How many tasks run at once.
    jobs: usize,
}

/// What is left of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// `None`: too little is known.
    pub left: Option<Duration>,
    /// The tasks that take longest one after the other.
    pub path: Vec<String>,
}

impl Forecast {
    #[must_use]
    pub fn new(
        after: BTreeMap<String, Vec<String>>,
        millis: BTreeMap<String, u64>,
        jobs: usize,
    ) -> Self {
        Self {
            after,
            millis,
            jobs,
        }
    }

    /// What reads how long the tasks of `plan` took when they last ran, for which it reads
    /// files.
    pub(super) fn reading(site: &Arc<Site>, plan: &Plan) -> impl FnOnce() -> Self + use<> {
        let site = Arc::clone(site);
        let steps: Vec<_> = (plan.running())
            .map(|step| {
                let id = (step.id.clone(), step.after.clone());
                (id, step.home.clone(), step.name.clone())
            })
            .collect();
        move || {
            let took = steps.iter().filter_map(|((task, _), home, name)| {
                let took = site.last_took_ms(home, name)?;
                Some((task.clone(), took))
            });
            let millis = took.collect();
            let after = steps.into_iter().map(|(waits, ..)| waits).collect();
            Self::new(after, millis, site.options.jobs)
        }
    }

    /// What is left when these tasks have ended, and those run for so long, if each task
    /// takes as long as before. Nothing is said while less than half of the open tasks have
    /// run before; the others count as the mean.
    #[must_use]
    pub fn outlook(&self, ended: &HashSet<String>, running: &HashMap<&str, Duration>) -> Outlook {
        let open: Vec<&String> = self
            .after
            .keys()
            .filter(|task| !ended.contains(*task))
            .collect();
        let known: Vec<u64> = open
            .iter()
            .filter_map(|task| self.millis.get(*task).copied())
            .collect();
        if open.is_empty() || known.len() * 2 < open.len() {
            return Outlook::default();
        }
        let mean = known.iter().sum::<u64>() / known.len().max(1) as u64;
        let left = |task: &&String| {
            let took = self.millis.get(*task).copied().unwrap_or(mean);
            let since = running.get(task.as_str()).map_or(0, |time| {
                u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
            });
            took.saturating_sub(since)
        };
        let is_open = |task: &&String| !ended.contains(*task) && self.after.contains_key(*task);
        let edges = open.iter().flat_map(|task| {
            let before = self.after.get(*task).into_iter().flatten();
            before.filter(is_open).map(|on| (*task, on))
        });
        let Ok(graph) = Graph::build(open.iter().copied(), edges) else {
            return Outlook::default();
        };
        let (longest, path) = graph.longest_path(left);
        let all: u64 = open.iter().map(left).sum();
        let time = longest.max(all / self.jobs.max(1) as u64);
        Outlook {
            left: Some(Duration::from_millis(time)),
            path: path.into_iter().copied().cloned().collect(),
        }
    }
}
