//! Runs one step: computes its key, looks up its result or makes it with retries,
//! delivers its outputs, and records it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::action::Output;
use crate::cas::tree::{Tree, TreeKind};
use crate::content::activity::Activity;
use crate::disk::look;
use crate::ground::marks::{Mark, Marks};
use crate::ground::site::history::{self, LookedBack};
use crate::ground::site::{Performed, Site};
use crate::ground::threads::blocking;
use crate::ground::{Again, Class, Failure, Readers, shown};
use crate::junit::Report;
use crate::kinds::package::marked;
use crate::kinds::{Context, Done, Kind as _, Prepared, Results, Task};
use crate::pipeline::{Retries, RetryOn};
use crate::plan::{Plan, Step};
use crate::run::damage::{is_damage, may_be_damage};
use crate::run::event::Event;
use crate::run::record::{OutputRecord, Status, TaskRecord};
use crate::run::watched::Watched;

pub(super) struct Ended {
    pub(super) task: String,
    pub(super) done: Result<(Done, Status), Failure>,
    pub(super) record: TaskRecord,
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn skipped(plan: &Plan, task: &str, why: &str, start: Instant) -> TaskRecord {
    let verb = plan.steps.get(task).map_or("", |step| step.work.verb());
    TaskRecord {
        reason: why.to_owned(),
        start_ms: millis(start.elapsed()),
        ..TaskRecord::new(task, verb)
    }
}

/// Looks up or makes the result of a step.
pub(super) async fn one(
    site: &Arc<Site>,
    step: &Arc<Step>,
    results: Results,
    (events, watched): (&mpsc::UnboundedSender<Event>, Option<&Watched>),
    start: Instant,
) -> Ended {
    let began = Instant::now();
    let mut record = skipped(&Plan::default(), &step.id, "", start);
    record.verb = step.work.verb().to_owned();
    let activity = Arc::new(Activity::default());
    let started = &|reason: &str| {
        drop(events.send(Event::Started {
            activity: Arc::clone(&activity),
            task: step.id.clone(),
            reason: reason.to_owned(),
        }));
    };
    let try_it = async |record: &mut TaskRecord| {
        // It is large, and is handed on.
        let tried = Box::pin(attempt(site, step, &results, record, (started, watched)));
        activity.during(tried).await
    };
    let mut done = try_it(&mut record).await;
    if let Err(Failure {
        changed: Some(path),
        ..
    }) = &done
    {
        // Compute the key again from the current sources, but only once, because
        // something may write to them all the time.
        site.forget(path);
        record.attempts = 0;
        record.retried.clear();
        done = try_it(&mut record).await;
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
            record.causes = failure.causes.clone();
            record.log = failure.log.clone();
            if let Some(reported) = &failure.reported {
                record.warnings = reported.warnings.clone();
                record.take_report(reported.report.clone());
            }
            Status::Failed
        }
    };
    Ended {
        task: step.id.clone(),
        done,
        record,
    }
}

/// Delivered outputs, with their entries in the record.
struct Placed {
    files: Vec<String>,
    outputs: Vec<OutputRecord>,
    warnings: Vec<String>,
}

fn place(
    site: &Site,
    step: &Step,
    outputs: &[Output],
    trees: &[Tree],
    readers: Readers,
    marks: Marks,
) -> Result<Placed, Failure> {
    let recorded = outputs.iter().enumerate().map(|(at, output)| {
        // A tree that is one file counts as that file.
        let tree = trees.get(at);
        let single = tree.and_then(Tree::single);
        let (digest, size, tree) = match (single.map(|entry| &entry.kind), tree) {
            (Some(TreeKind::File { digest, size, .. }), _) => (digest, *size, None),
            (_, Some(tree)) => (&output.digest, tree.size(), Some(output.digest)),
            (_, None) => (&output.digest, output.size, None),
        };
        OutputRecord {
            name: output.name.clone(),
            digest: digest.to_string(),
            size,
            files: Vec::new(),
            tree,
        }
    });
    let files = step.work.deliver(site, outputs, trees, readers)?;
    marked::note(&site.cas, &files, marks.without(step.trusts));
    Ok(Placed {
        files,
        outputs: recorded.collect(),
        warnings: step.work.warnings(site, outputs),
    })
}

async fn attempt(
    site: &Arc<Site>,
    step: &Arc<Step>,
    results: &Results,
    record: &mut TaskRecord,
    (started, watched): (&(impl Fn(&str) + Sync), Option<&Watched>),
) -> Result<(Done, Status), Failure> {
    let task = task_of(site, step, results);
    if let Some(watched) = watched {
        watched.begin(&step.id);
    }
    let mut prepared = task.prepare().await?;
    if let Some(watched) = watched {
        watched.reads(&step.id, &prepared.inputs);
    }
    let files = prepared.inputs.of_checkout();
    look::read_by(&step.id, files.map(|(_, path)| path));
    record.incremental = prepared.marks.has(Mark::Incremental);
    record.unpinned = prepared.marks.has(Mark::Unpinned);
    let (shared, own) = (Arc::clone(site), Arc::clone(step));
    let remembers = task.remembers(&prepared);
    let query = prepared.clone();
    let readers = task.readers(&prepared);
    let marks = prepared.marks;
    let (unchanged, action) = (unchanged(step, &prepared), prepared.action.clone());
    // Each piece of blocking work wakes another thread, so there are few.
    let known = blocking(move || {
        let known = match remembers {
            true => query.remembered(&shared)?,
            false => None,
        };
        let Some((action, known)) = known else {
            return Ok(Err(
                shared.look_back(&own.home, &own.name, unchanged, &action)
            ));
        };
        let placed = place(
            &shared,
            &own,
            &known.result.outputs,
            &known.trees,
            readers,
            marks,
        )?;
        Ok(Ok((action, known.result, known.report, placed)))
    })
    .await?;
    if let Ok((action, ..)) = &known {
        prepared.action = action.clone();
    }
    let key = prepared.action.key();
    record.action_key = Some(key.to_string());
    record.level = prepared.level().map(str::to_owned);
    let (performed, placed) = match known {
        Ok((_, result, report, placed)) => {
            let performed = Performed {
                log: site.replayed(&result),
                result,
                cached: true,
                fetched: 0,
                warnings: Vec::new(),
                report,
            };
            (performed, placed)
        }
        Err(back) => {
            record.reason.clone_from(&back.reason);
            started(&record.reason);
            let placing = (readers, marks);
            executed(&task, step, &prepared, record, watched, back, placing).await?
        }
    };
    enter(record, placed, &performed);
    let status = if performed.cached {
        Status::Cached
    } else {
        Status::Executed
    };
    Ok((task.done(prepared, performed, key), status))
}

/// Enters a result in the record of its step.
fn enter(record: &mut TaskRecord, placed: Placed, performed: &Performed) {
    record.files = placed.files;
    record.warnings = placed.warnings;
    record.warnings.extend(performed.warnings.iter().cloned());
    record.outputs = placed.outputs;
    record.take_report(performed.report.clone());
    record.log = shown(&performed.log);
    record.bytes_fetched = performed.fetched;
    if !performed.cached {
        record.bytes_made = record.outputs.iter().map(|output| output.size).sum();
    } else {
        record.reason.clear();
        record.attempts = 0;
    }
}

/// Executes a step that has no result, delivers what it makes, and records the run.
async fn executed(
    task: &Task<'_>,
    step: &Arc<Step>,
    prepared: &Prepared,
    record: &mut TaskRecord,
    watched: Option<&Watched>,
    back: LookedBack,
    (readers, marks): (Readers, Marks),
) -> Result<(Performed, Placed), Failure> {
    let site = task.cx.site;
    let began = Instant::now();
    let made = tokio::select! {
        made = make(task, step, prepared, record) => made,
        () = recalled(step, watched) => Err(Failure::recalled()),
    };
    let took_ms = millis(began.elapsed());
    let (shared, own, key) = (Arc::clone(site), Arc::clone(step), prepared.action.key());
    let noted = move |failure: &str| {
        let ended = history::Ended { failure, took_ms };
        shared.record_action(&own.home, &own.name, &key, back, &ended);
    };
    let performed = match made {
        Ok(performed) => performed,
        Err(failure) => {
            // Work that was stopped says nothing about the next run.
            if !matches!(failure.class, Class::Cancelled | Class::Verification) {
                let message = failure.message.clone();
                blocking(move || {
                    noted(&message);
                    Ok(())
                })
                .await?;
            }
            return Err(failure);
        }
    };
    let (shared, own, form) = (Arc::clone(site), Arc::clone(step), prepared.form);
    let (outputs, cached) = (performed.result.outputs.clone(), performed.cached);
    let placed = blocking(move || {
        let trees = shared.trees(form, &outputs)?;
        let placed = place(&shared, &own, &outputs, &trees, readers, marks)?;
        if !cached {
            noted("");
        }
        Ok(placed)
    });
    Ok((performed, placed.await?))
}

/// Completes when the step is called back, unless it changes something elsewhere: that
/// comes to its end.
async fn recalled(step: &Step, watched: Option<&Watched>) {
    match watched.filter(|_| !step.work.has_effects()) {
        Some(watched) => watched.recalled(&step.id).await,
        None => std::future::pending().await,
    }
}

/// Executes the step, which has no result, with its retries.
async fn make(
    task: &Task<'_>,
    step: &Arc<Step>,
    prepared: &Prepared,
    record: &mut TaskRecord,
) -> Result<Performed, Failure> {
    let mut earlier: Vec<Report> = Vec::new();
    loop {
        record.attempts += 1;
        match within(step.timeout, task.perform(prepared)).await {
            Ok(mut performed) => {
                performed.warnings.extend(flaky(&step.id, record));
                follow(&mut performed.report, &earlier);
                return Ok(performed);
            }
            Err(failure)
                if record.attempts <= step.retries.attempts
                    && retryable(&failure, &step.retries) =>
            {
                let report = failure.reported.and_then(|reported| reported.report);
                earlier.push(report.map_or_else(Report::default, |report| report.carried()));
                record.retried.push(failure.message);
                tokio::time::sleep(pause(record.attempts, &step.retries)).await;
            }
            Err(mut failure) => {
                if let Some(reported) = &mut failure.reported {
                    follow(&mut reported.report, &earlier);
                }
                return Err(failure);
            }
        }
    }
}

/// Marks the tests of the last attempt that failed in an earlier one.
fn follow(report: &mut Option<Arc<Report>>, earlier: &[Report]) {
    if let Some(report) = report
        && !earlier.is_empty()
    {
        Arc::make_mut(report).follow(earlier);
    }
}

/// The warning about a task that succeeded after others of its attempts failed.
fn flaky(task: &str, record: &TaskRecord) -> Option<String> {
    let last = record.retried.last()?;
    Some(format!(
        "task `{task}` is flaky: it succeeded in attempt {}, after: {last}",
        record.attempts
    ))
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
        local: step.local,
        salts: &step.salts,
        order: &step.order,
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
