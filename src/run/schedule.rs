//! Decides which task runs next: a state machine without clock, thread or file.
//!
//! Tasks go from waiting to ready to running, and end as done, failed or skipped. With
//! counters of open dependencies, a finished task costs only its own edges; a task that
//! waits for a pool or lock is parked there instead of being polled. Equal calls give
//! equal results.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::graph::Graph;
use crate::pipeline::RunsAfter;

/// The resources of a running task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// CPU slots; a request for more than the run has counts as all of them.
    pub cpu: u32,
    /// Bytes of memory; a request for more than the run has counts as all of it.
    pub memory: u64,
    /// The pool in which it uses a slot.
    pub pool: Option<String>,
    /// The lock it holds.
    pub mutex: Option<String>,
    /// Length of the critical path from here; tasks with a longer one start first.
    pub weight: u64,
    /// The outcomes of its dependencies after which it runs.
    pub when: RunsAfter,
}

/// Whether a task runs after the worst outcome of its dependencies.
fn fits(when: RunsAfter, worst: Outcome) -> bool {
    match worst {
        Outcome::Done => when.success,
        Outcome::Skipped => when.skipped,
        Outcome::Failed => when.failure,
    }
}

/// Whether it may still run, given the worst outcome so far.
fn may_fit(when: RunsAfter, worst: Outcome) -> bool {
    match worst {
        Outcome::Done => true,
        Outcome::Skipped => when.skipped || when.failure,
        Outcome::Failed => when.failure,
    }
}

/// The resources of the whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU slots; 0 counts as 1.
    pub cpu: u32,
    /// Bytes of memory for all running tasks together.
    pub memory: u64,
    /// Slots of each named pool.
    pub pools: BTreeMap<String, u32>,
    /// The effect of a failure on tasks that do not depend on it.
    pub on_failure: OnFailure,
}

/// The effect of a failure on tasks that do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// No more tasks start.
    FailFast,
    KeepGoing,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Wanted,
    Ready,
    Running,
    Done,
    Failed,
    /// Not run.
    Skipped,
}

/// The outcome of a task; worse outcomes compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Done,
    /// Its condition was false.
    Skipped,
    Failed,
}

/// Why a schedule cannot be made, or a call is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("task `{task}` uses pool `{pool}`, expected one named in `pools`")]
    UnknownPool {
        task: String,
        /// The pool it names.
        pool: String,
    },
    /// A pool without slots.
    #[error("pool `{0}` has no slots, expected at least 1")]
    EmptyPool(String),
    /// The task is not running.
    #[error("task `{0}` is not running, expected one that is")]
    NotRunning(String),
}

/// Ready tasks, heaviest first, then by name: indices are in the order of names.
type Queue = BTreeSet<(Reverse<u64>, usize)>;

/// A pool or lock, and the ready tasks that wait for it.
struct Resource {
    free: u32,
    parked: Queue,
}

struct Slot<N> {
    name: N,
    needs: Needs,
    /// Indices into `resources`.
    holds: Vec<usize>,
    open: usize,
    /// The worst outcome of its finished dependencies.
    worst: Outcome,
    after: Vec<usize>,
    state: State,
}

/// The state of the tasks of a run.
pub struct Schedule<N> {
    slots: Vec<Slot<N>>,
    places: BTreeMap<N, usize>,
    ready: Queue,
    resources: Vec<Resource>,
    cpu_free: u32,
    memory_free: u64,
    running: usize,
    on_failure: OnFailure,
}

impl<N: Ord + Clone + Display> Schedule<N> {
    /// Schedules every task of `graph`, each with its resources.
    ///
    /// # Errors
    ///
    /// - [`ScheduleError::UnknownPool`]: a task names a pool without a limit.
    /// - [`ScheduleError::EmptyPool`]: a pool's limit is 0.
    pub fn new(
        graph: &Graph<N>,
        limits: &Limits,
        needs: impl Fn(&N) -> Needs,
    ) -> Result<Self, ScheduleError> {
        let mut resources = Vec::new();
        let mut named = BTreeMap::new();
        for (pool, free) in &limits.pools {
            if *free == 0 {
                return Err(ScheduleError::EmptyPool(pool.clone()));
            }
            named.insert((false, pool.clone()), resources.len());
            resources.push(Resource::new(*free));
        }
        let names: BTreeSet<&N> = graph.tasks().collect();
        let places: BTreeMap<N, usize> = names.into_iter().cloned().zip(0..).collect();
        let cpu = limits.cpu.max(1);
        let mut slots = Vec::with_capacity(places.len());
        let mut ready = Queue::new();
        for (name, place) in &places {
            let mut needs = needs(name);
            needs.cpu = needs.cpu.min(cpu);
            needs.memory = needs.memory.min(limits.memory);
            let mut holds = Vec::new();
            if let Some(pool) = &needs.pool {
                let known = named.get(&(false, pool.clone()));
                holds.push(*known.ok_or_else(|| ScheduleError::UnknownPool {
                    task: name.to_string(),
                    pool: pool.clone(),
                })?);
            }
            if let Some(mutex) = &needs.mutex {
                holds.push(*named.entry((true, mutex.clone())).or_insert_with(|| {
                    resources.push(Resource::new(1));
                    resources.len() - 1
                }));
            }
            let open = graph.dependencies(name).len();
            if open == 0 {
                ready.insert((Reverse(needs.weight), *place));
            }
            slots.push(Slot {
                name: name.clone(),
                needs,
                holds,
                open,
                worst: Outcome::Done,
                after: graph.dependants(name).iter().map(|n| places[*n]).collect(),
                state: if open == 0 {
                    State::Ready
                } else {
                    State::Wanted
                },
            });
        }
        Ok(Self {
            slots,
            places,
            ready,
            resources,
            cpu_free: cpu,
            memory_free: limits.memory,
            running: 0,
            on_failure: limits.on_failure,
        })
    }

    /// Returns the next task to start, if the free resources suffice for one.
    ///
    /// A task that only lacks CPU slots or memory is not overtaken by smaller ones, so
    /// that it cannot wait forever.
    pub fn start(&mut self) -> Option<N> {
        while let Some(entry) = self.ready.pop_first() {
            let slot = &mut self.slots[entry.1];
            let full = |at: &&usize| self.resources[**at].free == 0;
            if let Some(full) = slot.holds.iter().find(full) {
                self.resources[*full].parked.insert(entry);
                continue;
            }
            if slot.needs.cpu > self.cpu_free || slot.needs.memory > self.memory_free {
                self.ready.insert(entry);
                return None;
            }
            for at in &slot.holds {
                self.resources[*at].free -= 1;
            }
            self.cpu_free -= slot.needs.cpu;
            self.memory_free -= slot.needs.memory;
            self.running += 1;
            slot.state = State::Running;
            return Some(slot.name.clone());
        }
        None
    }

    /// Records a running task's outcome; returns the tasks skipped because of it, by
    /// name.
    ///
    /// A failure under [`OnFailure::FailFast`] skips every task that has not started,
    /// except those that run after failures.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::NotRunning`]: the task has not been started, or has already
    /// ended.
    pub fn finish(&mut self, task: &N, outcome: Outcome) -> Result<Vec<N>, ScheduleError> {
        let running = |place: &usize| self.slots[*place].state == State::Running;
        let place = self.places.get(task).copied().filter(running);
        let place = place.ok_or_else(|| ScheduleError::NotRunning(task.to_string()))?;
        self.release(place);
        self.slots[place].state = match outcome {
            Outcome::Done => State::Done,
            Outcome::Failed => State::Failed,
            Outcome::Skipped => State::Skipped,
        };
        let mut ended = vec![(place, outcome)];
        let mut skipped = BTreeSet::new();
        if outcome == Outcome::Failed && self.on_failure == OnFailure::FailFast {
            for at in self.waiting() {
                if !self.slots[at].needs.when.failure {
                    skipped.insert(at);
                    ended.push((at, Outcome::Failed));
                }
            }
            self.ready.retain(|(_, at)| !skipped.contains(at));
            for resource in &mut self.resources {
                resource.parked.retain(|(_, at)| !skipped.contains(at));
            }
            self.skip(skipped.clone());
        }
        self.settle(ended, &mut skipped);
        Ok(self.skip(skipped))
    }

    fn waiting(&self) -> BTreeSet<usize> {
        let waits =
            |place: &usize| matches!(self.slots[*place].state, State::Wanted | State::Ready);
        (0..self.slots.len()).filter(waits).collect()
    }

    /// Skips every task that has not started; returns them by name.
    pub fn cancel(&mut self) -> Vec<N> {
        let waiting = self.waiting();
        self.ready.clear();
        self.resources.iter_mut().for_each(|r| r.parked.clear());
        self.skip(waiting)
    }

    /// The state of a task; `None`: no such task.
    #[cfg(test)]
    fn state(&self, task: &N) -> Option<State> {
        self.places.get(task).map(|place| self.slots[*place].state)
    }

    /// The number of running tasks.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.running
    }

    fn release(&mut self, place: usize) {
        self.running -= 1;
        self.cpu_free += self.slots[place].needs.cpu;
        self.memory_free += self.slots[place].needs.memory;
        for at in &self.slots[place].holds {
            let resource = &mut self.resources[*at];
            resource.free += 1;
            self.ready.append(&mut resource.parked);
        }
    }

    /// Updates the dependents of finished tasks; each edge is counted once.
    ///
    /// Tasks that can no longer run end as skipped, which is propagated in the same
    /// way: as a failure, if that is the reason.
    fn settle(&mut self, mut ended: Vec<(usize, Outcome)>, skipped: &mut BTreeSet<usize>) {
        while let Some((place, outcome)) = ended.pop() {
            for next in self.slots[place].after.clone() {
                let slot = &mut self.slots[next];
                slot.open -= 1;
                slot.worst = slot.worst.max(outcome);
                if slot.state != State::Wanted {
                    continue;
                }
                let when = slot.needs.when;
                if !may_fit(when, slot.worst) || slot.open == 0 && !fits(when, slot.worst) {
                    slot.state = State::Skipped;
                    skipped.insert(next);
                    ended.push((next, slot.worst.max(Outcome::Skipped)));
                } else if slot.open == 0 {
                    slot.state = State::Ready;
                    self.ready.insert((Reverse(slot.needs.weight), next));
                }
            }
        }
    }

    fn skip(&mut self, places: BTreeSet<usize>) -> Vec<N> {
        let skip = |place: usize| {
            self.slots[place].state = State::Skipped;
            self.slots[place].name.clone()
        };
        places.into_iter().map(skip).collect()
    }
}

impl Resource {
    fn new(free: u32) -> Self {
        let parked = Queue::new();
        Self { free, parked }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs(weight: u64) -> Needs {
        Needs {
            cpu: 1,
            pool: None,
            mutex: None,
            memory: 0,
            weight,
            when: RunsAfter::SUCCESS,
        }
    }

    fn limits(on_failure: OnFailure) -> Limits {
        Limits {
            cpu: 2,
            memory: 100,
            pools: BTreeMap::from([("net".into(), 2)]),
            on_failure,
        }
    }

    fn fork(on_failure: OnFailure) -> Schedule<&'static str> {
        let graph = Graph::build(["a", "b", "c", "d"], [("c", "a"), ("d", "c")]).unwrap();
        Schedule::new(&graph, &limits(on_failure), |_| needs(1)).unwrap()
    }

    #[test]
    fn the_heavier_task_starts_first_and_equals_start_by_name() {
        let graph = Graph::build(["a", "b", "c"], []).unwrap();
        let weigh = |n: &&str| needs(u64::from(*n == "c"));
        let mut run = Schedule::new(&graph, &limits(OnFailure::KeepGoing), weigh).unwrap();
        assert_eq!(
            [run.start(), run.start(), run.start()],
            [Some("c"), Some("a"), None]
        );
    }

    #[test]
    fn a_failure_skips_its_dependants_and_others_go_on() {
        let mut run = fork(OnFailure::KeepGoing);
        assert_eq!(run.start(), Some("a"));
        assert_eq!(run.finish(&"a", Outcome::Failed), Ok(vec!["c", "d"]));
        assert_eq!(run.start(), Some("b"));
        assert!(run.finish(&"a", Outcome::Done).is_err());
    }

    #[test]
    fn a_failure_under_fail_fast_starts_nothing_more() {
        let mut run = fork(OnFailure::FailFast);
        run.start();
        assert_eq!(run.finish(&"a", Outcome::Failed), Ok(vec!["b", "c", "d"]));
        assert_eq!(run.start(), None);
    }

    #[test]
    fn an_unknown_pool_and_an_empty_pool_are_refused() {
        let graph = Graph::build(["a"], []).unwrap();
        let mut limits = limits(OnFailure::KeepGoing);
        let pooled = |_: &&str| Needs {
            pool: Some("disk".into()),
            ..needs(1)
        };
        assert!(Schedule::new(&graph, &limits, pooled).is_err());
        limits.pools.insert("disk".into(), 0);
        assert!(Schedule::new(&graph, &limits, pooled).is_err());
    }

    /// No condition, always(), failure(), and one that a skipped dependency allows.
    const WHENS: [RunsAfter; 4] = [
        RunsAfter::SUCCESS,
        RunsAfter {
            success: true,
            failure: true,
            skipped: true,
        },
        RunsAfter {
            success: false,
            failure: true,
            skipped: false,
        },
        RunsAfter {
            success: true,
            failure: false,
            skipped: true,
        },
    ];

    #[test]
    fn tasks_for_failures_run_after_one_and_only_then() {
        for on_failure in [OnFailure::FailFast, OnFailure::KeepGoing] {
            for outcome in [Outcome::Done, Outcome::Failed] {
                let edges = [("mend", "a"), ("b", "a"), ("clean", "b")];
                let graph = Graph::build(["a", "b", "clean", "mend"], edges).unwrap();
                let shape = |n: &&str| Needs {
                    when: match *n {
                        "clean" => WHENS[1],
                        "mend" => WHENS[2],
                        _ => RunsAfter::SUCCESS,
                    },
                    ..needs(1)
                };
                let mut run = Schedule::new(&graph, &limits(on_failure), shape).unwrap();
                assert_eq!(run.start(), Some("a"));
                let skipped = run.finish(&"a", outcome).unwrap();
                let failed = outcome == Outcome::Failed;
                assert_eq!(skipped, [if failed { "b" } else { "mend" }]);
                let next = [run.start(), run.start()];
                let expected = if failed {
                    [Some("clean"), Some("mend")]
                } else {
                    [Some("b"), None]
                };
                assert_eq!(next, expected);
            }
        }
    }

    #[test]
    fn tasks_that_ask_for_more_memory_than_is_left_wait() {
        let graph = Graph::build(["a", "b", "c"], []).unwrap();
        let shape = |n: &&str| Needs {
            memory: if *n == "c" { 1000 } else { 60 },
            ..needs(1)
        };
        let mut run = Schedule::new(&graph, &limits(OnFailure::KeepGoing), shape).unwrap();
        assert_eq!([run.start(), run.start()], [Some("a"), None]);
        run.finish(&"a", Outcome::Done).unwrap();
        assert_eq!([run.start(), run.start()], [Some("b"), None]);
        run.finish(&"b", Outcome::Done).unwrap();
        assert_eq!(run.start(), Some("c"));
    }

    proptest! {
        #[test]
        fn tasks_run_once_after_their_dependencies_within_limits_and_all_end(
            edges in prop::collection::vec((0usize..12, 0usize..12), 0..25),
            shapes in prop::collection::vec((0u32..4, any::<bool>(), any::<bool>(), 0u64..4, 0u8..8, 0usize..4), 12),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 12),
            fast in any::<bool>(),
        ) {
            let edges: Vec<_> = edges.into_iter().filter(|(a, b)| a > b).collect();
            let graph = Graph::build(0..12, edges).unwrap();
            let limits = limits(if fast { OnFailure::FailFast } else { OnFailure::KeepGoing });
            let shape = |n: &usize| Needs {
                cpu: shapes[*n].0,
                pool: shapes[*n].1.then(|| "net".into()),
                mutex: shapes[*n].2.then(|| "lock".into()),
                weight: shapes[*n].3,
                when: WHENS[shapes[*n].5],
                ..needs(0)
            };
            let mut run = Schedule::new(&graph, &limits, shape).unwrap();
            let (mut active, mut started) = (Vec::new(), BTreeSet::new());
            loop {
                while let Some(task) = run.start() {
                    prop_assert!(started.insert(task));
                    let before: Vec<_> =
                        graph.dependencies(&task).iter().map(|on| run.state(on)).collect();
                    let ended = |state: &Option<State>| {
                        matches!(state, Some(State::Done | State::Failed | State::Skipped))
                    };
                    prop_assert!(before.iter().all(ended));
                    if WHENS[shapes[task].5] == RunsAfter::SUCCESS {
                        prop_assert!(before.iter().all(|state| *state == Some(State::Done)));
                    }
                    if before.contains(&Some(State::Failed)) {
                        prop_assert!(WHENS[shapes[task].5].failure);
                    }
                    active.push(task);
                    prop_assert!(active.iter().map(|n| shapes[*n].0.min(2)).sum::<u32>() <= 2);
                    prop_assert!(active.iter().filter(|n| shapes[**n].1).count() <= 2);
                    prop_assert!(active.iter().filter(|n| shapes[**n].2).count() <= 1);
                }
                if active.is_empty() {
                    break;
                }
                let task = active.remove(picks[started.len() - 1].index(active.len()));
                let outcome = if shapes[task].4 == 0 { Outcome::Failed } else { Outcome::Done };
                run.finish(&task, outcome).unwrap();
            }
            prop_assert_eq!(run.running(), 0);
            for task in 0..12 {
                let ended = matches!(run.state(&task), Some(State::Done | State::Failed | State::Skipped));
                prop_assert!(ended);
            }
        }
    }
}
