//! `jackal build`, and how every command that builds reports what it does.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, watch};

use super::affected::{self, AffectedArgs};
use super::ci;
use super::command_error::CommandError;
use super::environment::{draws, runtime};
use super::exit::{Exit, ToExit as _};
use super::options::{
    BuildCacheArgs, PlanArgs, RunArgs, SplitArgs, TargetArgs, TaskArgs, UploadPlaceArgs,
};
use super::output::{note, print};
use super::prepare::{Questions, prepare};
use super::progress::{Progress, block, failed_tests};
use super::signal::{self, Signals};
use super::{shell, watch as watching, why};
use crate::app::{
    BuildOptions, Built, Event, Failure, Prepared, RunOptions, RunRecord, Status, Stop,
    TestsRecord, Verdict, chrome_trace, junit,
};

/// Time to kill running commands after a second signal.
const KILLING: std::time::Duration = std::time::Duration::from_millis(200);

/// Time between signs of life where there is no terminal.
const BEAT: std::time::Duration = std::time::Duration::from_secs(30);

/// Lines of the log of a failed task that the error at the end repeats: about as many
/// as a terminal shows.
const REPEATED_LINES: usize = 40;

/// Arguments of `jackal build`.
#[derive(Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tasks: TaskArgs,
    /// Folder for archives [default: dist]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    affected: AffectedArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Continue with tasks that do not depend on a failed one
    #[arg(long)]
    keep_going: bool,
    /// Remove files that Git does not track from output folders of commands
    #[arg(long)]
    clean_outputs: bool,
    /// Build incremental tasks, and what depends on them, from scratch
    #[arg(long)]
    clean: bool,
    /// Keep the folders of a command that fails, and print their path
    #[arg(long)]
    keep_stage: bool,
    /// Open a shell where TASK would run, once all before it is built
    #[arg(long, value_name = "TASK", conflicts_with_all = ["dry_run", "tasks", "affected"])]
    shell: Option<String>,
    /// Build again whenever a file changes that a task reads
    #[arg(long, short, conflicts_with_all = ["dry_run", "shell", "affected"])]
    watch: bool,
    /// Show what would run and why, without running it
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    dry_run: Option<DryRun>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    cache: BuildCacheArgs,
    #[command(flatten)]
    place: UploadPlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
    /// Which logs of commands to show
    #[arg(
        long,
        value_enum,
        default_value = "new-only",
        help_heading = "Report options"
    )]
    logs: Logs,
}

/// Which logs of commands are shown. Logs of failed commands always are, at once, and
/// their last lines again at the end.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Logs {
    /// All logs, including those of cached results
    Full,
    /// Logs of commands that ran
    NewOnly,
    /// Logs of commands that failed
    ErrorsOnly,
}

/// Where a build is reported besides the terminal.
#[derive(Args)]
#[command(next_help_heading = "Report options")]
pub(super) struct ReportArgs {
    /// Write the run record to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write JUnit XML to FILE: all tasks, and the tests of those with `reports`
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a trace of the run to FILE, for chrome://tracing or Perfetto
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Write events to FILE as they happen, one JSON object per line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// How `--dry-run` answers.
#[derive(Clone, Copy, ValueEnum)]
enum DryRun {
    /// One line per task
    Text,
    /// A JSON array
    Json,
}

impl ReportArgs {
    /// The files that are written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = [&self.summary, &self.junit, &self.profile, &self.events];
        files.into_iter().flatten().cloned().collect()
    }

    pub(super) fn progress(&self, logs: Logs) -> Result<Progress, CommandError> {
        Progress::new(draws(), logs != Logs::ErrorsOnly, self.events.as_deref())
    }
}

pub(super) fn build(args: BuildArgs) -> Result<(), CommandError> {
    let place = args.place.into_place()?;
    if args.shell.is_some() && !shell::has_terminal() {
        return Err(CommandError::usage("--shell needs a terminal"));
    }
    let since = args.affected.since()?;
    let options = BuildOptions {
        tasks: match &args.shell {
            Some(task) => vec![task.clone()],
            None => args.tasks.tasks,
        },
        output: args.split.output_to(args.output, PathBuf::from("dist"))?,
        cache_size: args.cache.max_size()?,
        cache_from: args.cache.cache_from,
        run: RunOptions {
            replay: args.logs == Logs::Full,
            keep_going: args.keep_going,
            clean_outputs: args.clean_outputs,
            keep_stage: args.keep_stage,
            shell: args.shell,
            clean: args.clean,
            ..args.run.into_run()
        },
        ..args.plan.options(place, args.target.into_target()?)?
    };
    if args.watch {
        return watching::watch(options, &args.report, args.logs);
    }
    let mut prepared = prepare(&options, Questions::Allowed)?;
    if let Some(since) = since {
        let affected = affected::find(&prepared, &since, &runtime()?)?;
        match args.dry_run {
            Some(DryRun::Text) => return print(&affected::lines(&affected)),
            Some(DryRun::Json) => return print(&affected.to_json()),
            None => {}
        }
        if affected.tasks.is_empty() {
            note("nothing is affected");
        }
        prepared.narrow_to(&affected);
    }
    match args.dry_run {
        Some(format) => {
            let verdicts = runtime()?.block_on(prepared.assess())?;
            print(&dry_run(&verdicts, format))?;
            let mut refused = verdicts.iter().filter_map(|(task, verdict)| match verdict {
                Verdict::Refused(why) => Some(format!("task `{task}`: {why}")),
                _ => None,
            });
            match refused.next() {
                Some(first) => Err(CommandError::new(Exit::Configuration, first)),
                None => Ok(()),
            }
        }
        None => {
            let built = run(prepared, &args.report, args.logs)?;
            built.shell.as_ref().map_or(Ok(()), shell::open)
        }
    }
}

/// Builds, prints the paths of archives on stdout, and returns them.
pub(super) fn carry_out(
    options: &BuildOptions,
    reports: &ReportArgs,
    logs: Logs,
    questions: Questions,
) -> Result<Vec<String>, CommandError> {
    let prepared = prepare(options, questions)?;
    run(prepared, reports, logs).map(|built| archives(&built.record))
}

fn run(prepared: Prepared, reports: &ReportArgs, logs: Logs) -> Result<Built, CommandError> {
    let runtime = runtime()?;
    let (events, received) = mpsc::unbounded_channel();
    let progress = reports.progress(logs)?;
    let signals = Signals::handle(&runtime);
    let built = runtime.block_on(async {
        let drawn = tokio::spawn(drawn(progress, received));
        let built = prepared.build(events, stop_at(signals)).await;
        // Only a panic while drawing is an error here, and it was printed.
        drop(drawn.await);
        built
    });
    conclude(built?, reports)
}

/// Draws the events of a run to their end.
pub(super) async fn drawn(
    mut progress: Progress,
    mut received: mpsc::UnboundedReceiver<Event>,
) -> Progress {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first comes at once.
    beats.tick().await;
    loop {
        tokio::select! {
            event = received.recv() => match event {
                Some(event) => progress.draw(&event),
                None => break,
            },
            _ = beats.tick() => progress.beat(),
        }
    }
    progress.close();
    progress
}

/// Stops runs at signals; the second one ends the program.
pub(super) fn stop_at(mut signals: Signals) -> watch::Receiver<Stop> {
    let (stopping, stop) = watch::channel(Stop::No);
    tokio::spawn(async move {
        // Once the run has ended, the receiver is gone: nothing is left to stop.
        signals.next().await;
        let _ = stopping.send(Stop::Soon);
        signals.next().await;
        let _ = stopping.send(Stop::Now);
        // Time to kill running commands; then the program ends in any case.
        tokio::time::sleep(KILLING).await;
        std::process::exit(signal::exit() as i32);
    });
    stop
}

/// Writes the reports of a run, and prints what it made, or why it failed.
pub(super) fn conclude(mut built: Built, reports: &ReportArgs) -> Result<Built, CommandError> {
    for text in &built.notes {
        note(&format!("warning: {text}"));
    }
    if let Some(file) = &reports.summary {
        let listed = built.list_files();
        listed.map_err(|error| CommandError::io("--summary", error))?;
        let text = serde_json::to_string_pretty(&built.record)
            .map_err(|error| CommandError::new(Exit::Environment, error))?;
        write_report("--summary", file, &text)?;
    }
    if let Some(file) = &reports.junit {
        write_report("--junit", file, junit(&built.record).trim_end())?;
    }
    if let Some(file) = &reports.profile {
        let text = chrome_trace(&built.record, &built.after);
        write_report("--profile", file, text.trim_end())?;
    }
    ci::annotate_tasks(&built.record);
    ci::summarize(&built.record);
    report(&built.record)?;
    match built.failures.first() {
        None => Ok(built),
        Some((_, first)) => {
            let failures = built.failures.iter();
            let texts: Vec<String> = failures
                .map(|(task, failure)| text_of_failure(task, failure, &built.record))
                .collect();
            Err(CommandError::new(
                first.class.into(),
                texts.join(
                    "
error: ",
                ),
            ))
        }
    }
}

/// A failure with the tests that failed, the end of its log, and its own hints below it.
fn text_of_failure(task: &str, failure: &Failure, record: &RunRecord) -> String {
    let mut text = match task {
        "" => failure.message.clone(),
        task => {
            let mut records = record.tasks.iter();
            let record = records.find(|record| record.task == task);
            let tests = record.and_then(|record| record.tests.as_ref());
            let tests = tests.map_or_else(String::new, failed_tests);
            let log = block(&tail(&failure.log), false);
            format!("task `{task}`: {failure}\n{tests}{log}")
        }
    };
    text.truncate(text.trim_end().len());
    let hints: BTreeSet<String> = failure.hints().into_iter().collect();
    for hint in hints {
        text.push_str(&format!("\nhelp: {hint}"));
    }
    text
}

/// The last lines of a log, which was shown as a whole when its task ended.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    match lines.len().saturating_sub(REPEATED_LINES) {
        0 | 1 => log.to_owned(),
        before => format!("[{before} lines before]\n{}", lines[before..].join("\n")),
    }
}

fn write_report(option: &str, file: &Path, text: &str) -> Result<(), CommandError> {
    let written = crate::disk::stream(file)
        .map_err(|error| error.source)
        .and_then(|mut out| writeln!(out, "{text}"));
    written.map_err(|error| CommandError::io(format!("{option} `{}`", file.display()), error))
}

/// Prints archives on stdout and a summary on stderr.
fn report(record: &RunRecord) -> Result<(), CommandError> {
    note(&format!(
        "{} executed, {} cached, {} skipped, {} failed{} in {:.2} s",
        record.count(Status::Executed),
        record.count(Status::Cached),
        record.count(Status::Skipped),
        record.count(Status::Failed),
        match record.flaky() {
            0 => String::new(),
            flaky => format!(", {flaky} flaky"),
        },
        std::time::Duration::from_millis(record.wall_ms).as_secs_f64(),
    ));
    if let Some(line) = tests_line(record) {
        note(&line);
    }
    let files: Vec<String> = archives(record)
        .iter()
        .map(|file| format!("{file}\n"))
        .collect();
    print(&files.concat())
}

/// The tests of all tasks, if any have reports.
fn tests_line(record: &RunRecord) -> Option<String> {
    let tests = || record.tasks.iter().filter_map(|task| task.tests.as_ref());
    tests().next()?;
    let sum = |count: fn(&TestsRecord) -> u64| tests().map(count).sum::<u64>();
    let failed = sum(|tests| tests.failures + tests.errors);
    let (all, skipped) = (sum(|tests| tests.tests), sum(|tests| tests.skipped));
    let flaky = match sum(|tests| tests.flaky) {
        0 => String::new(),
        flaky => format!(" ({flaky} flaky)"),
    };
    let passed = all - failed - skipped;
    Some(format!(
        "tests: {passed} passed{flaky}, {failed} failed, {skipped} skipped"
    ))
}

fn archives(record: &RunRecord) -> Vec<String> {
    let files = record.tasks.iter().flat_map(|task| &task.files);
    files.cloned().collect()
}

/// The answer of `--dry-run`.
fn dry_run(verdicts: &[(String, Verdict)], format: DryRun) -> String {
    match format {
        DryRun::Text => verdicts
            .iter()
            .map(|(task, verdict)| format!("{}\n", why::line(task, verdict)))
            .collect(),
        DryRun::Json => {
            let tasks: Vec<_> = verdicts
                .iter()
                .map(|(task, verdict)| {
                    let (status, key, reason) = match verdict {
                        Verdict::Cached(key) => ("cached", Some(key), String::new()),
                        Verdict::Runs { key, reason } => ("runs", Some(key), reason.clone()),
                        Verdict::After(steps) => ("after", None, steps.join(", ")),
                        Verdict::Unknown(why) => ("unknown", None, why.clone()),
                        Verdict::Refused(why) => ("refused", None, why.clone()),
                    };
                    serde_json::json!({
                        "task": task,
                        "status": status,
                        "actionKey": key.map(ToString::to_string),
                        "reason": reason,
                    })
                })
                .collect();
            format!("{:#}\n", serde_json::Value::from(tasks))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_at_the_end_repeats_the_last_lines_of_a_log() {
        let log = |count: usize| (0..count).map(|n| format!("{n}\n")).collect::<String>();
        assert_eq!(tail(&log(41)), log(41));
        let long = tail(&log(100));
        assert!(long.starts_with("[60 lines before]\n60\n"), "{long}");
        assert!(long.ends_with("\n99"), "{long}");
    }
}
