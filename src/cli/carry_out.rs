//! How every command that builds shows what it does, and reports what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::ci;
use super::command_error::CommandError;
use super::environment::{draws, page_title, runtime, variables};
use super::exit::{Exit, ToExit as _};
use super::output::{Level, note, print, shows};
use super::paint::Paint;
use super::prepare::{Questions, prepare};
use super::progress::{Detail, Form, Manner, Progress, block, failed_tests};
use super::signal::{self, Signals};
use crate::app::{
    BuildOptions, Built, Event, Failure, Forecast, Prepared, RunRecord, Status, Stop, TestsRecord,
    chrome_trace, export_trace, junit, run_page,
};

/// Time to kill running commands after a second signal.
const KILLING: std::time::Duration = std::time::Duration::from_millis(200);

/// Time between signs of life where there is no terminal.
const BEAT: std::time::Duration = std::time::Duration::from_secs(30);

/// Lines of the log of a failed task that the error at the end repeats: about as many
/// as a terminal shows.
const REPEATED_LINES: usize = 40;

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
    /// Write a report of the run to FILE: one page for a browser, which loads nothing
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write events to FILE as they happen, one JSON object per line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto")]
    progress: Shown,
    /// Print only failures, warnings and results
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Show cached and skipped tasks too, with their action keys
    #[arg(long, short)]
    verbose: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// Live on a terminal, else plain
    Auto,
    /// A line or block for each finished task
    Plain,
    /// Events, one JSON object per line
    Json,
    /// Nothing but failures at the end
    None,
}

impl ReportArgs {
    /// Nothing but failures, warnings and progress on a terminal.
    pub(super) fn quiet() -> Self {
        Self {
            summary: None,
            junit: None,
            profile: None,
            report: None,
            events: None,
            progress: Shown::Auto,
            quiet: true,
            verbose: false,
        }
    }

    /// The files that are written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = [
            &self.summary,
            &self.junit,
            &self.profile,
            &self.report,
            &self.events,
        ];
        files.into_iter().flatten().cloned().collect()
    }

    pub(super) fn progress(&self, logs: Logs) -> Result<Progress, CommandError> {
        let quiet = self.quiet || !shows(Level::Info);
        let detail = match (quiet, self.verbose || shows(Level::Debug)) {
            (true, _) => Detail::Failures,
            (false, false) => Detail::Usual,
            (false, true) => Detail::Everything,
        };
        let manner = Manner {
            form: match self.progress {
                Shown::Auto if quiet => Form::Nothing,
                Shown::Auto if draws() => Form::Live,
                Shown::Auto | Shown::Plain => Form::Plain,
                Shown::Json => Form::Json,
                Shown::None => Form::Nothing,
            },
            detail,
            logs: logs != Logs::ErrorsOnly,
            paint: Paint::of_stderr(),
        };
        Progress::new(manner, self.events.as_deref())
    }

    /// Whether what is reported names tasks that did nothing.
    pub(super) fn tell_of_each_task(&self) -> bool {
        !self.files().is_empty() || self.verbose || self.progress == Shown::Json
    }

    /// Whether the summary at the end is left out.
    fn is_quiet(&self) -> bool {
        self.quiet || !shows(Level::Info) || self.progress == Shown::Json
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

/// The same, and all that is known of the build.
pub(super) fn run(
    prepared: Prepared,
    reports: &ReportArgs,
    logs: Logs,
) -> Result<Built, CommandError> {
    let runtime = runtime()?;
    let (events, received) = mpsc::unbounded_channel();
    let progress = reports.progress(logs)?;
    let signals = Signals::handle(&runtime);
    let built = runtime.block_on(async {
        let stop = stop_at(signals);
        let foreseen = progress.foresees().then(|| foresee(&prepared));
        let drawn = tokio::spawn(drawn(progress, received, stop.clone(), foreseen));
        let built = prepared.build(events, stop).await;
        // Only a panic while drawing is an error here, and it was printed.
        drop(drawn.await);
        built
    });
    conclude(built?, reports)
}

/// Reads how long the tasks of a plan took before.
pub(super) fn foresee(prepared: &Prepared) -> JoinHandle<Forecast> {
    tokio::task::spawn_blocking(prepared.forecast())
}

/// Shows the events of a run to their end.
pub(super) async fn drawn(
    mut progress: Progress,
    mut received: mpsc::UnboundedReceiver<Event>,
    mut stop: watch::Receiver<Stop>,
    mut foreseen: Option<JoinHandle<Forecast>>,
) -> Progress {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first comes at once.
    beats.tick().await;
    let mut stopping = false;
    loop {
        let due = progress.due();
        tokio::select! {
            // Painting comes first: events could keep it from the terminal for ever.
            biased;
            () = until(due) => progress.paint(Instant::now()),
            event = received.recv() => match event {
                Some(event) => progress.take(&event, Instant::now()),
                None => break,
            },
            forecast = ready(&mut foreseen) => progress.set_forecast(forecast),
            _ = stop.wait_for(|stop| *stop != Stop::No), if !stopping => {
                stopping = true;
                progress.stopping();
            }
            _ = beats.tick() => progress.beat(),
        }
    }
    tokio::time::sleep(progress.pause(Instant::now())).await;
    progress.close();
    progress
}

/// Waits for a time; forever, if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The forecast, once; a thread that panics makes none.
async fn ready(foreseen: &mut Option<JoinHandle<Forecast>>) -> Forecast {
    if let Some(handle) = foreseen {
        let read = handle.await;
        *foreseen = None;
        if let Ok(forecast) = read {
            return forecast;
        }
    }
    std::future::pending().await
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
pub(super) fn conclude(built: Built, reports: &ReportArgs) -> Result<Built, CommandError> {
    warn(&built.notes);
    if let Some(file) = &reports.summary {
        let record = built.whole_record();
        let record = record.map_err(|error| CommandError::io("--summary", error))?;
        let text = serde_json::to_string_pretty(&record)
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
    if let Some(file) = &reports.report {
        let title = page_title("Build");
        let page = run_page(&title, &built.record, &built.after);
        write_report("--report", file, page.trim_end())?;
    }
    announce(&built.record, &built.after, reports)?;
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

pub(super) fn warn(notes: &[String]) {
    for text in notes {
        note(&format!("warning: {text}"));
    }
}

/// Tells CI services and the user what a run did.
pub(super) fn announce(
    record: &RunRecord,
    after: &BTreeMap<String, Vec<String>>,
    reports: &ReportArgs,
) -> Result<(), CommandError> {
    if let Err(error) = export_trace(&variables(), record, after) {
        note(&format!("warning: {error}"));
    }
    ci::annotate_tasks(record);
    ci::summarize(record);
    report(record, reports.is_quiet() || record.tasks.is_empty())
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
            let log = block(&tail(&failure.log), Paint(false));
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
fn report(record: &RunRecord, quiet: bool) -> Result<(), CommandError> {
    if !quiet {
        note(&summary(record));
        if let Some(line) = tests_line(record) {
            note(&line);
        }
    }
    let files: Vec<String> = archives(record)
        .iter()
        .map(|file| format!("{file}\n"))
        .collect();
    print(&files.concat())
}

fn summary(record: &RunRecord) -> String {
    format!(
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
    )
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
