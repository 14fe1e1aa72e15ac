//! `jackal build`, `why`, `graph`, `update`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, watch};

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::{PlanArgs, environment};
use super::output::{note, print};
use super::progress::Progress;
use super::signal::Signals;
use crate::app::{self, BuildOptions, Prepared};
use crate::ground::Stop;
use crate::run::Verdict;
use crate::run::record::RunRecord;
use crate::run::record::Status;

/// After a second signal, the time in which commands are killed.
const KILLING: std::time::Duration = std::time::Duration::from_millis(200);

/// Arguments of `jackal build`.
#[derive(Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Go on with what does not depend on a failed task
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    report: ReportArgs,
    /// Which logs of commands are shown
    #[arg(long, value_enum, default_value = "new-only")]
    logs: Logs,
    /// Say what would run and why, and run nothing
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    dry_run: Option<DryRun>,
}

/// Which logs are shown; those of failures always are, at the end.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Logs {
    /// Of commands that run, and of those that ran before.
    Full,
    /// Of commands that run.
    NewOnly,
    /// Of commands that fail.
    ErrorsOnly,
}

/// Where a build is told of, beside the terminal.
#[derive(Args)]
pub(super) struct ReportArgs {
    /// Write the run record to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write events to this file as they happen, one JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// How `--dry-run` answers.
#[derive(Clone, Copy, ValueEnum)]
enum DryRun {
    /// One line a task.
    Text,
    /// A JSON array.
    Json,
}

/// Arguments of `jackal why`.
#[derive(Args)]
pub(super) struct WhyArgs {
    /// The task, as `jackal graph` names it
    task: String,
    #[command(flatten)]
    plan: PlanArgs,
}

/// Arguments of `jackal graph`.
#[derive(Args)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value = "dot")]
    format: GraphFormat,
}

/// What a graph is written as.
#[derive(Clone, Copy, ValueEnum)]
enum GraphFormat {
    /// For Graphviz.
    Dot,
    /// For programs.
    Json,
    /// For Markdown.
    Mermaid,
}

/// Arguments of `jackal update`.
#[derive(Args)]
pub(super) struct UpdateArgs {
    /// Only this reference (may be repeated)
    #[arg(long = "image", value_name = "REFERENCE")]
    images: Vec<String>,
    #[command(flatten)]
    plan: PlanArgs,
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::io("threads cannot start", error))
}

/// Whether the user may be asked for what is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Questions {
    /// If there is a terminal, and no CI.
    Asked,
    /// Never.
    Never,
}

/// Makes the plan; what is to be said of definitions is said on stderr.
fn prepare(options: &BuildOptions, questions: Questions) -> Result<Prepared, CommandError> {
    // A second global pool is an error that changes nothing.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.wishes.jobs)
        .build_global();
    let interactive = questions == Questions::Asked
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal()
        && environment("CI").is_none();
    let mut ask = |template: &str| interactive.then(|| answer(template)).flatten();
    let prepared = app::prepare(options, &mut ask)?;
    for warning in prepared.warnings() {
        note(&format!("warning: {warning}"));
    }
    if prepared.unconfined() {
        let text = "this kernel has no Landlock: commands may open files that they do not declare";
        note(&format!("warning: {text}"));
    }
    Ok(prepared)
}

/// Asks on the terminal; an empty line is no answer.
fn answer(template: &str) -> Option<String> {
    {
        // Free again while somebody thinks: a signal may have to be told.
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "Value for the template {template}: ");
        let _ = err.flush();
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok()?;
    let line = line.trim_end_matches(['\r', '\n']);
    (!line.is_empty()).then(|| line.to_owned())
}

pub(super) fn build(args: BuildArgs) -> Result<(), CommandError> {
    let mut options = BuildOptions {
        keep_going: args.keep_going,
        ..args.plan.into_options()?
    };
    options.wishes.replay = args.logs == Logs::Full;
    match args.dry_run {
        Some(form) => {
            let runtime = runtime()?;
            let verdicts = runtime.block_on(prepare(&options, Questions::Asked)?.assess())?;
            print(&dry_run(&verdicts, form))
        }
        None => carry_out(&options, &args.report, args.logs, Questions::Asked).map(drop),
    }
}

/// Builds what `options` ask for; archives are told on stdout, and returned.
pub(super) fn carry_out(
    options: &BuildOptions,
    tell: &ReportArgs,
    logs: Logs,
    questions: Questions,
) -> Result<Vec<String>, CommandError> {
    let runtime = runtime()?;
    let prepared = prepare(options, questions)?;
    let (events, mut happened) = mpsc::unbounded_channel();
    let (wish, stop) = watch::channel(Stop::No);
    let mut progress = Progress::new(
        std::io::stderr().is_terminal() && environment("CI").is_none(),
        logs != Logs::ErrorsOnly,
        tell.events.as_deref(),
    )?;
    let mut signals = Signals::heard(&runtime);
    let built = runtime.block_on(async {
        let drawn = tokio::spawn(async move {
            while let Some(event) = happened.recv().await {
                progress.draw(&event);
            }
            progress
        });
        tokio::spawn(async move {
            // A run that has ended needs no stopping.
            signals.next().await;
            let _ = wish.send(Stop::Soon);
            signals.next().await;
            let _ = wish.send(Stop::Now);
            // Time to kill what runs; nothing is waited for beyond that.
            tokio::time::sleep(KILLING).await;
            std::process::exit(Exit::Interrupted as i32);
        });
        let built = prepared.build(options.keep_going, events, stop).await;
        if let Ok(mut progress) = drawn.await {
            progress.close();
        }
        built
    });
    let built = built?;
    for text in &built.notes {
        note(&format!("warning: {text}"));
    }
    if let Some(file) = &tell.summary {
        write_summary(file, &built.record)?;
    }
    report(&built.record)?;
    match built.failures.first() {
        None => Ok(archives(&built.record)),
        Some((_, first)) => {
            let texts: Vec<String> = built
                .failures
                .iter()
                .map(
                    |(task, failure)| match (task.as_str(), failure.log.as_str()) {
                        ("", _) => failure.message.clone(),
                        (task, "") => format!("task `{task}`: {failure}"),
                        (task, log) => format!("task `{task}`: {failure}\n{}", log.trim_end()),
                    },
                )
                .collect();
            Err(CommandError::new(
                first.class.into(),
                texts.join("\nerror: "),
            ))
        }
    }
}

fn write_summary(file: &std::path::Path, record: &RunRecord) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| CommandError::new(Exit::Environment, error))?;
    let written = crate::disk::stream(file)
        .map_err(|error| error.source)
        .and_then(|mut out| writeln!(out, "{text}"));
    written.map_err(|error| CommandError::io(format!("--summary `{}`", file.display()), error))
}

/// Archives on stdout; the count of what was done on stderr.
fn report(record: &RunRecord) -> Result<(), CommandError> {
    note(&format!(
        "{} executed, {} cached, {} skipped, {} failed in {:.2} s",
        record.count(Status::Executed),
        record.count(Status::Cached),
        record.count(Status::Skipped),
        record.count(Status::Failed),
        std::time::Duration::from_millis(record.wall_ms).as_secs_f64(),
    ));
    let files: Vec<String> = archives(record)
        .iter()
        .map(|file| format!("{file}\n"))
        .collect();
    print(&files.concat())
}

fn archives(record: &RunRecord) -> Vec<String> {
    let files = record.tasks.iter().flat_map(|task| &task.files);
    files.cloned().collect()
}

fn dry_run(verdicts: &[(String, Verdict)], form: DryRun) -> String {
    match form {
        DryRun::Text => verdicts
            .iter()
            .map(|(task, verdict)| format!("{}\n", line(task, verdict)))
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

fn line(task: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Cached(_) => format!("cached   {task}"),
        Verdict::Runs { reason, .. } => format!("runs     {task}: {reason}"),
        Verdict::After(steps) => format!("depends  {task}: on {}", steps.join(", ")),
        Verdict::Unknown(why) => format!("unknown  {task}: {why}"),
    }
}

pub(super) fn why(mut args: WhyArgs) -> Result<(), CommandError> {
    let runtime = runtime()?;
    args.plan.tasks = vec![args.task.clone()];
    let prepared = prepare(&args.plan.into_options()?, Questions::Asked)?;
    let verdicts = runtime.block_on(prepared.assess())?;
    // What the task depends on is told only where it is the cause.
    let mut text = String::new();
    for (task, verdict) in &verdicts {
        let asked = *task == args.task || task.ends_with(&format!(":{}", args.task));
        if asked || !matches!(verdict, Verdict::Cached(_)) {
            text.push_str(&line(task, verdict));
            if let (true, Verdict::Cached(key)) = (asked, verdict) {
                text.push_str(&format!(
                    ": every input, setting and tool is as it was; key {key}"
                ));
            }
            text.push('\n');
        }
    }
    print(&text)
}

pub(super) fn graph(args: GraphArgs) -> Result<(), CommandError> {
    let prepared = prepare(&args.plan.into_options()?, Questions::Asked)?;
    let graph = prepared.plan().graph()?;
    print(&match args.format {
        GraphFormat::Dot => graph.render_dot(),
        GraphFormat::Json => graph.render_json(),
        GraphFormat::Mermaid => graph.render_mermaid(),
    })
}

pub(super) fn update(args: UpdateArgs) -> Result<(), CommandError> {
    let runtime = runtime()?;
    let options = BuildOptions {
        move_pins: args.images.is_empty(),
        ..args.plan.into_options()?
    };
    let prepared = prepare(&options, Questions::Asked)?;
    let moved = runtime.block_on(prepared.update(&args.images))?;
    let lines: String = moved
        .iter()
        .map(|pin| match &pin.from {
            Some(from) if *from == pin.to => {
                format!("{} {}: unchanged\n", pin.reference, pin.platform)
            }
            Some(from) => format!("{} {}: {from} -> {}\n", pin.reference, pin.platform, pin.to),
            None => format!("{} {}: pinned to {}\n", pin.reference, pin.platform, pin.to),
        })
        .collect();
    print(&lines)
}
