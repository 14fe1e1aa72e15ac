//! Runs a plan: starts steps in the order of the schedule, and reports what happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::graph::GraphError;
use crate::ground::site::Site;
use crate::ground::threads::{alone, blocking};
use crate::ground::{Class, Failure, RECALLED, Stop};
use crate::kinds::{Kind as _, Results, Work};
use crate::plan::{Plan, Step};
use crate::run::attempt::{Ended, millis, one, skipped};
use crate::run::event::Event;
use crate::run::record::{RECORD_VERSION, RunRecord, Status, TaskRecord};
use crate::run::schedule::{Limits, Needs, OnFailure, Outcome, Schedule};
use crate::run::watched::Watched;
use crate::text::with_causes;

/// The settings of a run.
pub struct How {
    /// Continue with steps that do not depend on a failed one.
    pub keep_going: bool,
    pub events: mpsc::UnboundedSender<Event>,
    /// Cancellation of the run.
    pub stop: watch::Receiver<Stop>,
    /// The watcher of its files, if there is one.
    pub(crate) watched: Option<Arc<Watched>>,
}

/// The outcome of a run.
pub struct Ran {
    pub record: RunRecord,
    /// The failures, in the order in which they happened.
    pub failures: Vec<(String, Failure)>,
    /// A failure was caused by damaged blobs in the cache, which have been removed:
    /// another run recreates them.
    pub healing: bool,
    /// The results of the steps that have any.
    pub(crate) results: Results,
}

/// Runs every step of `plan`.
///
/// # Errors
///
/// [`GraphError`]: the steps form a cycle. Failures of steps are in [`Ran`].
pub async fn run(site: &Arc<Site>, plan: &Plan, how: &How) -> Result<Ran, GraphError> {
    let start_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis);
    let mut drive = Drive::new(site, plan, how)?;
    drive.send(Event::Planned {
        tasks: plan.steps.len(),
    });
    site.stop_with(how.stop.clone());
    let mut stop = how.stop.clone();
    loop {
        drive.start_ready();
        tokio::select! {
            // Check signals first: otherwise the end of the interrupted steps could be
            // mistaken for the end of the run.
            biased;
            wanted = stronger_stop(&mut stop, drive.stopped), if drive.stopped != Stop::Now => {
                drive.stop(wanted);
            }
            () = held(how.watched.as_deref()), if !drive.held => drive.hold(),
            ended = drive.running.join_next_with_id() => {
                let Some(ended) = ended else { break };
                drive.joined(ended).await;
            }
        }
    }
    Ok(Ran {
        record: RunRecord {
            version: RECORD_VERSION,
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            start_ms,
            wall_ms: millis(drive.start.elapsed()),
            tasks: drive.tasks,
        },
        failures: drive.failures,
        healing: drive.healing,
        results: drive.results,
    })
}

struct Drive<'r> {
    site: &'r Arc<Site>,
    plan: &'r Plan,
    how: &'r How,
    start: Instant,
    schedule: Schedule<String>,
    results: Results,
    running: JoinSet<Ended>,
    /// Steps by the runtime's task, to identify steps that panic.
    names: HashMap<tokio::task::Id, String>,
    tasks: Vec<TaskRecord>,
    failures: Vec<(String, Failure)>,
    stopped: Stop,
    /// Damaged blobs were removed: another run recreates them.
    healing: bool,
    /// Inputs changed, and nothing more starts.
    held: bool,
}

impl<'r> Drive<'r> {
    fn new(site: &'r Arc<Site>, plan: &'r Plan, how: &'r How) -> Result<Self, GraphError> {
        let graph = plan.graph()?;
        let paths = graph.critical_path(|_| 1);
        let limits = Limits {
            // A step mostly waits for the network, for a processor, or for its own
            // parallel parts, each of which is limited; twice as many jobs keep all of
            // them busy.
            cpu: u32::try_from(site.options.jobs.max(1) * 2).unwrap_or(u32::MAX),
            memory: rustix::system::sysinfo().totalram,
            pools: plan.pools.clone(),
            on_failure: if how.keep_going {
                OnFailure::KeepGoing
            } else {
                OnFailure::FailFast
            },
        };
        let needs = |id: &String| {
            // The graph was made from these steps.
            needs(&plan.steps[id], paths.get(id).copied().unwrap_or(1))
        };
        let schedule = match Schedule::new(&graph, &limits, needs) {
            Ok(schedule) => schedule,
            Err(error) => unreachable_schedule(&error)?,
        };
        Ok(Self {
            site,
            plan,
            how,
            start: Instant::now(),
            schedule,
            results: Results::new(),
            running: JoinSet::new(),
            names: HashMap::new(),
            tasks: Vec::new(),
            failures: Vec::new(),
            stopped: Stop::No,
            healing: false,
            held: false,
        })
    }

    fn send(&self, event: Event) {
        // The receiver is gone only if the caller is.
        drop(self.how.events.send(event));
    }

    fn report(&mut self, record: TaskRecord) {
        self.send(Event::Finished {
            record: Box::new(record.clone()),
        });
        self.tasks.push(record);
    }

    /// Starts every step that is ready.
    fn start_ready(&mut self) {
        while let Some(id) = self.schedule.start() {
            let Some(step) = self.plan.steps.get(&id) else {
                continue;
            };
            if step.skipped {
                let record = skipped(self.plan, &id, "its condition is false", self.start);
                self.report(record);
                self.finish(&id, Outcome::Skipped, &format!("`{id}` was skipped"));
                continue;
            }
            let inputs: Results = step
                .after
                .iter()
                .filter_map(|on| Some((on.clone(), Arc::clone(self.results.get(on)?))))
                .collect();
            let (site, step, start) = (Arc::clone(self.site), Arc::new(step.clone()), self.start);
            let (events, watched) = (self.how.events.clone(), self.how.watched.clone());
            // Other work needs some of the runtime's threads, too.
            let has_thread =
                matches!(step.work, Work::Run(_)) && self.site.options.jobs <= MAX_ALONE;
            // It is large, and is handed on several times.
            let done = Box::pin(async move {
                let patient = step.work.stops_itself();
                tokio::select! {
                    ended = one(&site, &step, inputs, (&events, watched.as_deref()), start) => ended,
                    () = site.stopped(), if !patient => stopped_step(&step, start),
                }
            });
            let spawned = match has_thread {
                true => self.running.spawn(alone(done)),
                false => self.running.spawn(done),
            };
            self.names.insert(spawned.id(), id);
        }
    }

    /// Reports the outcome of `id` to the schedule, and the steps that are skipped
    /// because of it as events.
    fn finish(&mut self, id: &str, outcome: Outcome, why: &str) {
        let ended = self.schedule.finish(&id.to_owned(), outcome);
        for task in ended.unwrap_or_default() {
            let record = skipped(self.plan, &task, why, self.start);
            self.report(record);
        }
    }

    fn stop(&mut self, wanted: Stop) {
        if self.stopped == Stop::No {
            let failure = Failure::new(Class::Cancelled, "stopped by a signal");
            self.failures.push((String::new(), failure));
            for task in self.schedule.cancel() {
                self.tasks
                    .push(skipped(self.plan, &task, STOPPED, self.start));
            }
        }
        if wanted == Stop::Now {
            self.running.abort_all();
        }
        self.stopped = wanted;
    }

    /// Starts nothing more: the inputs of some steps have changed.
    fn hold(&mut self) {
        self.held = true;
        for task in self.schedule.cancel() {
            let record = skipped(self.plan, &task, RECALLED, self.start);
            self.report(record);
        }
    }

    async fn joined(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) {
        let ended = match ended {
            Ok((_, ended)) => ended,
            // An aborted task reports nothing more.
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                let task = self.names.remove(&error.id()).unwrap_or_default();
                died(task, self.start)
            }
        };
        let outcome = match ended.done {
            Ok((done, _)) => {
                self.results.insert(ended.task.clone(), Arc::new(done));
                Outcome::Done
            }
            Err(failure) if failure.recalled => {
                self.hold();
                self.report(skipped(self.plan, &ended.task, RECALLED, self.start));
                self.finish(&ended.task, Outcome::Skipped, RECALLED);
                return;
            }
            Err(failure) if failure.class == Class::Cancelled => {
                let record = skipped(self.plan, &ended.task, STOPPED, self.start);
                self.tasks.push(record);
                drop(self.schedule.finish(&ended.task, Outcome::Skipped));
                return;
            }
            Err(failure) => self.failed(&ended.task, failure).await,
        };
        if self.healing {
            // A failure that the next run repairs is not reported.
            self.schedule.cancel();
            drop(self.schedule.finish(&ended.task, outcome));
            return;
        }
        self.report(ended.record);
        let why = match outcome {
            Outcome::Failed => format!("`{}` failed", ended.task),
            _ => format!("its condition is false after `{}`", ended.task),
        };
        self.finish(&ended.task, outcome, &why);
    }

    /// Checks the cache for damage, and returns whether the failure counts.
    async fn failed(&mut self, task: &str, failure: Failure) -> Outcome {
        if failure.class == Class::Verification && !self.healing {
            let site = Arc::clone(self.site);
            let damaged = blocking(move || Ok(site.evict_damaged())).await;
            self.healing = damaged.is_ok_and(|count| count > 0);
        }
        let may_fail = self.plan.steps.get(task).is_some_and(|step| step.may_fail);
        if may_fail && !self.healing {
            return Outcome::Skipped;
        }
        self.failures.push((task.to_owned(), failure));
        Outcome::Failed
    }
}

/// Maximum number of steps with a thread of their own: a quarter of the threads that the
/// runtime has for blocking work, since each step may need one more.
const MAX_ALONE: usize = 128;

/// The reason for ending a task of a stopped run.
const STOPPED: &str = "the run was stopped";

/// Waits until a stronger stop than `so_far` is requested; forever, if there is no
/// stronger one.
async fn stronger_stop(stop: &mut watch::Receiver<Stop>, so_far: Stop) -> Stop {
    if let Ok(wanted) = stop.wait_for(|wanted| *wanted > so_far).await {
        return *wanted;
    }
    std::future::pending().await
}

/// Waits until steps are called back; forever, if nobody watches.
async fn held(watched: Option<&Watched>) {
    match watched {
        Some(watched) => watched.held().await,
        None => std::future::pending().await,
    }
}

fn stopped_step(step: &Step, start: Instant) -> Ended {
    Ended {
        task: step.id.clone(),
        done: Err(Failure::new(Class::Cancelled, STOPPED)),
        record: skipped(&Plan::default(), &step.id, STOPPED, start),
    }
}

/// The failure of a step that panicked.
fn died(task: String, start: Instant) -> Ended {
    const WHY: &str = "internal error: the task stopped unexpectedly; please report this bug";
    let record = TaskRecord {
        status: Status::Failed,
        ..skipped(&Plan::default(), &task, WHY, start)
    };
    Ended {
        task,
        done: Err(Failure::new(Class::Task, WHY)),
        record,
    }
}

/// The resources of a step. It takes its processors when it is executed, not while its
/// result is looked up.
fn needs(step: &Step, length: u64) -> Needs {
    // A priority outweighs any path length.
    let rank = u64::from(step.priority.wrapping_sub(i32::MIN).cast_unsigned());
    Needs {
        cpu: 1,
        memory: step.resources.memory,
        pool: step.pool.clone(),
        mutex: step.mutex.clone(),
        weight: rank << 32 | length.min(u64::from(u32::MAX)),
        when: step.when,
    }
}

fn unreachable_schedule<T>(error: &super::schedule::ScheduleError) -> Result<T, GraphError> {
    Err(GraphError::Unknown {
        task: with_causes(&error),
        by: None,
    })
}
