//! Runs a plan: starts steps in the order of the schedule, and reports what happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::action::Output;
use crate::graph::GraphError;
use crate::ground::form::OutputForm;
use crate::ground::site::{Performed, Site};
use crate::ground::threads::blocking;
use crate::ground::{Again, Class, Failure, Stop, shown};
use crate::kinds::{Context, Done, Kind as _, Prepared, Results, Task};
use crate::pipeline::{Retries, RetryOn};
use crate::plan::{Plan, Step};
use crate::run::damage::{is_damage, may_be_damage};
use crate::run::event::Event;
use crate::run::record::{OutputRecord, RECORD_VERSION, RunRecord, Status, TaskRecord};
use crate::run::schedule::{Limits, Needs, OnFailure, Outcome, Schedule};

/// The settings of a run.
pub struct How {
    /// Continue with steps that do not depend on a failed one.
    pub keep_going: bool,
    pub events: mpsc::UnboundedSender<Event>,
    /// Cancellation of the run.
    pub stop: watch::Receiver<Stop>,
}

/// The outcome of a run.
pub struct Ran {
    pub record: RunRecord,
    /// The failures, in the order in which they happened.
    pub failures: Vec<(String, Failure)>,
    /// A failure was caused by damaged blobs in the cache, which have been removed:
    /// another run recreates them.
    pub healing: bool,
}

struct Ended {
    task: String,
    done: Result<(Done, Status), Failure>,
    record: TaskRecord,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
    drive.tell(Event::Planned {
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
            wanted = wish(&mut stop, drive.stopped), if drive.stopped != Stop::Now => {
                drive.stop(wanted);
            }
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
    })
}

/// A run in progress.
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
}

impl<'r> Drive<'r> {
    fn new(site: &'r Arc<Site>, plan: &'r Plan, how: &'r How) -> Result<Self, GraphError> {
        let graph = plan.graph()?;
        let paths = graph.critical_path(|_| 1);
        let limits = Limits {
            // A step mostly waits for the network, for a processor, or for its own
            // parallel parts, each of which is limited; twice as many jobs keep all of
            // them busy.
            cpu: u32::try_from(site.wishes.jobs.max(1) * 2).unwrap_or(u32::MAX),
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
        })
    }

    fn tell(&self, event: Event) {
        // The receiver is gone only if the caller is.
        drop(self.how.events.send(event));
    }

    fn report(&mut self, record: TaskRecord) {
        self.tell(Event::Finished {
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
            let (site, step, start) = (Arc::clone(self.site), step.clone(), self.start);
            let events = self.how.events.clone();
            let spawned = self.running.spawn(async move {
                let patient = step.work.stops_itself();
                tokio::select! {
                    ended = one(&site, &step, inputs, &events, start) => ended,
                    () = site.stopped(), if !patient => stopped_step(&step, start),
                }
            });
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

/// The reason for ending a task of a stopped run.
const STOPPED: &str = "the run was stopped";

/// Waits until a stronger stop than `so_far` is requested; forever, if there is no
/// stronger one.
async fn wish(stop: &mut watch::Receiver<Stop>, so_far: Stop) -> Stop {
    if let Ok(wanted) = stop.wait_for(|wanted| *wanted > so_far).await {
        return *wanted;
    }
    std::future::pending().await
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
        task: error.to_string(),
        by: None,
    })
}

fn skipped(plan: &Plan, task: &str, why: &str, start: Instant) -> TaskRecord {
    let verb = plan.steps.get(task).map_or("", |step| step.work.verb());
    TaskRecord {
        task: task.to_owned(),
        verb: verb.to_owned(),
        status: Status::Skipped,
        reason: why.to_owned(),
        action_key: None,
        outputs: Vec::new(),
        files: Vec::new(),
        warnings: Vec::new(),
        start_ms: millis(start.elapsed()),
        wall_ms: 0,
        attempts: 0,
        bytes_made: 0,
        bytes_fetched: 0,
        log: String::new(),
    }
}

async fn one(
    site: &Arc<Site>,
    step: &Step,
    results: Results,
    events: &mpsc::UnboundedSender<Event>,
    start: Instant,
) -> Ended {
    let began = Instant::now();
    let mut record = skipped(&Plan::default(), &step.id, "", start);
    record.verb = step.work.verb().to_owned();
    let told = &|reason: &str| {
        drop(events.send(Event::Started {
            task: step.id.clone(),
            reason: reason.to_owned(),
        }));
    };
    let mut done = attempt(site, step, &results, &mut record, told).await;
    if let Err(Failure {
        changed: Some(path),
        ..
    }) = &done
    {
        // Compute the key again from the current sources, but only once, because
        // something may write to them all the time.
        site.forget(path);
        record.attempts = 0;
        done = attempt(site, step, &results, &mut record, told).await;
    }
    if let Err(failure) = &mut done
        && may_be_damage(step, failure)
        && is_damage(&task_of(site, step, &results)).await
    {
        failure.class = Class::Verification;
    }
    record.wall_ms = millis(began.elapsed());
    record.status = match &done {
        Ok((_, status)) => *status,
        Err(failure) => {
            record.reason = failure.message.clone();
            record.log = failure.log.clone();
            Status::Failed
        }
    };
    Ended {
        task: step.id.clone(),
        done,
        record,
    }
}

/// Outputs in their places, with what the record says of them.
struct Placed {
    files: Vec<String>,
    outputs: Vec<Output>,
    warnings: Vec<String>,
}

fn place(
    site: &Site,
    step: &Step,
    form: OutputForm,
    outputs: &[Output],
) -> Result<Placed, Failure> {
    Ok(Placed {
        files: step.work.deliver(site, outputs)?,
        outputs: site.shown_outputs(form, outputs),
        warnings: step.work.warnings(site, outputs),
    })
}

async fn attempt(
    site: &Arc<Site>,
    step: &Step,
    results: &Results,
    record: &mut TaskRecord,
    told: &(impl Fn(&str) + Sync),
) -> Result<(Done, Status), Failure> {
    let task = task_of(site, step, results);
    let prepared = task.prepare().await?;
    let key = prepared.action.key();
    record.action_key = Some(key.to_string());
    let (asked, looked, own) = (Arc::clone(site), prepared.action.clone(), step.clone());
    let (form, remembers) = (prepared.form, task.remembers(&prepared));
    let known = blocking(move || {
        if !remembers {
            return Ok(None);
        }
        let Some(result) = asked.remembered(&looked, form)? else {
            return Ok(None);
        };
        let placed = place(&asked, &own, form, &result.outputs)?;
        Ok(Some((result, placed)))
    })
    .await?;
    let (performed, placed) = match known {
        Some((result, placed)) => {
            let performed = Performed {
                log: site.replayed(&result),
                result,
                cached: true,
                fetched: 0,
            };
            (performed, placed)
        }
        None => {
            let made = make(&task, step, &prepared, record, told).await;
            if let Err(failure) = &made
                && !matches!(failure.class, Class::Cancelled | Class::Verification)
            {
                tell(site, step, &prepared, failure.message.clone()).await?;
            }
            let performed = made?;
            let (shared, own) = (Arc::clone(site), step.clone());
            let outputs = performed.result.outputs.clone();
            let placed = blocking(move || place(&shared, &own, form, &outputs)).await?;
            (performed, placed)
        }
    };
    record.files = placed.files;
    record.warnings = placed.warnings;
    let outputs = placed.outputs.iter();
    record.outputs = outputs
        .map(|output| OutputRecord {
            name: output.name.clone(),
            digest: output.digest.to_string(),
            size: output.size,
        })
        .collect();
    record.log = shown(&performed.log);
    record.bytes_fetched = performed.fetched;
    if !performed.cached {
        record.bytes_made = record.outputs.iter().map(|output| output.size).sum();
        tell(site, step, &prepared, String::new()).await?;
    } else {
        record.reason.clear();
        record.attempts = 0;
    }
    let status = if performed.cached {
        Status::Cached
    } else {
        Status::Executed
    };
    Ok((task.done(&prepared, &performed), status))
}

/// Keeps what a step was, and the message of its failure, for later explanations.
async fn tell(
    site: &Arc<Site>,
    step: &Step,
    prepared: &Prepared,
    failed: String,
) -> Result<(), Failure> {
    let (site, step, action) = (Arc::clone(site), step.clone(), prepared.action.clone());
    blocking(move || {
        site.tell(&step.home, &step.name, &action, &failed);
        Ok(())
    })
    .await
}

/// Executes the step, which has no result, with its retries.
async fn make(
    task: &Task<'_>,
    step: &Step,
    prepared: &Prepared,
    record: &mut TaskRecord,
    told: &(impl Fn(&str) + Sync),
) -> Result<Performed, Failure> {
    let (shared, own) = (Arc::clone(task.cx.site), step.clone());
    let (unchanged, action) = (unchanged(step, prepared), prepared.action.clone());
    let reason = move || Ok(shared.reason(&own.home, &own.name, unchanged, &action));
    record.reason = blocking(reason).await?;
    told(&record.reason);
    loop {
        record.attempts += 1;
        match within(step.timeout, task.perform(prepared)).await {
            Ok(performed) => return Ok(performed),
            Err(failure)
                if record.attempts <= step.retries.attempts
                    && retryable(&failure, &step.retries) =>
            {
                tokio::time::sleep(pause(record.attempts, &step.retries)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// What `work` makes, unless it takes longer than `limit`.
async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return work.await;
    };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Failure {
            again: Some(Again::Timeout),
            ..Failure::new(
                Class::Timeout,
                format!(
                    "timed out after {limit:?}: raise `timeout`, or check what the task is waiting for"
                ),
            )
        }),
    }
}

/// Whether a retry may succeed and the task allows one.
fn retryable(failure: &Failure, retries: &Retries) -> bool {
    let only = &retries.only;
    match failure.again {
        None => false,
        Some(_) if only.is_empty() => true,
        Some(Again::Network) => only.contains(&RetryOn::Network),
        Some(Again::Timeout) => only.contains(&RetryOn::Timeout),
        Some(Again::Exit(code)) => only.contains(&RetryOn::Exit(code)),
    }
}

/// The delay before the next attempt.
fn pause(attempts: u32, retries: &Retries) -> Duration {
    let doubled = 1_u32 << attempts.saturating_sub(1).min(20);
    retries
        .backoff
        .saturating_mul(doubled)
        .min(retries.max_delay)
}

pub(super) fn task_of<'a>(site: &'a Arc<Site>, step: &'a Step, results: &'a Results) -> Task<'a> {
    Task {
        work: &step.work,
        cx: Context {
            site,
            cpu: step.resources.cpu,
            results,
        },
        cached: step.cached,
        salts: &step.salts,
    }
}

/// The reason for running the step although nothing changed; `None`: its result is
/// missing.
pub(super) fn unchanged(step: &Step, prepared: &Prepared) -> Option<&'static str> {
    let uncached = (!step.cached).then_some("caching is disabled for this task");
    step.work.always_runs().or(uncached).or(prepared.uncached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_a_retry_may_fix_are_retried() {
        let failed = |again| Failure {
            again,
            ..Failure::new(Class::Task, "x")
        };
        let any = Retries::plain(3);
        let some = Retries {
            only: vec![RetryOn::Network, RetryOn::Exit(75)],
            ..Retries::plain(3)
        };
        for (again, by_any, by_some) in [
            (None, false, false),
            (Some(Again::Network), true, true),
            (Some(Again::Timeout), true, false),
            (Some(Again::Exit(75)), true, true),
            (Some(Again::Exit(1)), true, false),
        ] {
            let found = [&any, &some].map(|retries| retryable(&failed(again), retries));
            assert_eq!(found, [by_any, by_some], "{again:?}");
        }
    }

    #[tokio::test]
    async fn work_without_an_end_fails_at_its_timeout_and_may_be_tried_again() {
        let limit = Some(Duration::from_millis(1));
        let endless = within(limit, std::future::pending::<Result<(), Failure>>());
        let failure = endless.await.unwrap_err();
        assert_eq!(failure.class, Class::Timeout);
        assert_eq!(failure.again, Some(Again::Timeout));
        assert!(failure.message.contains("timed out after 1ms"), "{failure}");
        let quick = within(Some(Duration::MAX), async { Ok(1) });
        assert_eq!(quick.await.unwrap(), 1);
    }

    #[test]
    fn the_wait_doubles_up_to_its_longest() {
        let retries = Retries {
            backoff: Duration::from_secs(5),
            max_delay: Duration::from_secs(12),
            ..Retries::plain(9)
        };
        let waits = [1, 2, 3, 90].map(|attempts| pause(attempts, &retries).as_secs());
        assert_eq!(waits, [5, 10, 12, 12]);
    }
}
