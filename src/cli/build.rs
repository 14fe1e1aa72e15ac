//! `jackal build`, `why`, `graph`, `update`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, watch};

use super::exit::Exit;
use super::progress::Progress;
use crate::app::{self, BuildError, BuildOptions, Prepared};
use crate::exec::plan::BuildFacts;
use crate::exec::record::{RunRecord, Status};
use crate::exec::run::Verdict;
use crate::exec::site::Wishes;
use crate::exec::{Class, Failure};

/// What every command that makes a plan understands.
#[derive(Args)]
pub(super) struct PlanArgs {
    /// Folders with packages; without any, every package of the workspace
    paths: Vec<PathBuf>,
    /// A pipeline file, instead of the implied pipeline of each package
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Value of a pipeline's parameter (may be repeated)
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Only this task and what it needs (may be repeated)
    #[arg(long = "task", value_name = "NAME")]
    tasks: Vec<String>,
    /// Folder for archives
    #[arg(long, short, value_name = "DIR", default_value = "dist")]
    output: PathBuf,
    /// Cache folder (default: ~/.cache/jackal)
    #[arg(long, value_name = "DIR", env = "JACKAL_CACHE")]
    cache_dir: Option<PathBuf>,
    /// Work on so many things at once (default: the number of processors)
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
    /// Run every task, and replace what is cached
    #[arg(long)]
    force: bool,
    /// Fail if jackal.lock lacks a pin
    #[arg(long)]
    locked: bool,
    /// Use no network
    #[arg(long)]
    offline: bool,
    /// Speak HTTP instead of HTTPS to every registry
    #[arg(long)]
    plain_http: bool,
    /// Architecture of the package, such as amd64 or arm64
    #[arg(long, short, value_name = "ARCH")]
    architecture: Option<String>,
    /// Take components of this flavor as well
    #[arg(long, value_name = "NAME", default_value = "")]
    flavor: String,
    /// Make no SBOMs
    #[arg(long)]
    skip_sbom: bool,
    /// Split archives into files of this many megabytes (1,000,000 bytes)
    #[arg(long, short, value_name = "MB")]
    max_package_size: Option<u64>,
    /// Record host and user in the package: it is then no longer reproducible
    #[arg(long)]
    with_build_machine_info: bool,
}

/// Arguments of `jackal build`.
#[derive(Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Go on with what does not depend on a failed task
    #[arg(long)]
    keep_going: bool,
    /// Write the run record to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write events to this file as they happen, one JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Say what would run and why, and run nothing
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    dry_run: Option<DryRun>,
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

/// An exit code with what to say.
pub(super) type Refused = (Exit, String);

fn exit_of(class: Class) -> Exit {
    match class {
        Class::Task => Exit::Task,
        Class::Configuration => Exit::Configuration,
        Class::Environment => Exit::Environment,
        Class::Verification => Exit::Verification,
        Class::Timeout => Exit::Timeout,
        Class::Cancelled => Exit::Interrupted,
    }
}

fn refused(error: &BuildError) -> Refused {
    (exit_of(error.class()), error.to_string())
}

fn failed(failure: &Failure) -> Refused {
    (exit_of(failure.class), failure.message.clone())
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The cache folder: flag, `JACKAL_CACHE`, `XDG_CACHE_HOME`, `HOME`.
pub(super) fn cache_folder(given: Option<PathBuf>) -> Result<PathBuf, Refused> {
    given
        .or_else(|| environment("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("jackal")))
        .or_else(|| environment("HOME").map(|dir| PathBuf::from(dir).join(".cache/jackal")))
        .ok_or_else(|| {
            let message = "there is no HOME to keep a cache in: give --cache-dir";
            (Exit::Usage, message.to_owned())
        })
}

impl PlanArgs {
    fn into_options(self) -> Result<BuildOptions, Refused> {
        let here = std::env::current_dir()
            .map_err(|error| (Exit::Environment, format!("the current folder: {error}")))?;
        let docker = environment("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".docker")));
        let docker_config =
            docker.and_then(|dir| std::fs::read_to_string(dir.join("config.json")).ok());
        let path = environment("PATH").unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let split = match self.max_package_size {
            Some(0) | None => None,
            Some(megabytes) => Some(
                megabytes
                    .checked_mul(1_000_000)
                    .ok_or_else(|| (Exit::Usage, "--max-package-size is too large".to_owned()))?,
            ),
        };
        // What is not UTF-8 cannot be part of a key, and is not passed on.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let params = params(&self.params, &environment)?;
        Ok(BuildOptions {
            pipeline: self.pipeline,
            params,
            environment,
            here: std::fs::canonicalize(&here).unwrap_or(here),
            cache: cache_folder(self.cache_dir)?,
            wishes: Wishes {
                force: self.force,
                locked: self.locked,
                offline: self.offline,
                jobs: self.jobs.unwrap_or(processors).max(1),
            },
            facts: facts(self.with_build_machine_info)?,
            helper_folders: std::env::split_paths(&path).collect(),
            paths: self.paths,
            tasks: self.tasks,
            output: self.output,
            keep_going: false,
            plain_http: self.plain_http,
            architecture: self.architecture,
            flavor: self.flavor,
            skip_sbom: self.skip_sbom,
            docker_config,
            split,
        })
    }
}

/// `--param` before `JACKAL_PARAM_*`.
fn params(
    given: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refused> {
    let mut params: BTreeMap<String, String> = environment
        .iter()
        .filter_map(|(name, value)| {
            Some((
                name.strip_prefix("JACKAL_PARAM_")?.to_owned(),
                value.clone(),
            ))
        })
        .collect();
    for text in given {
        let Some((name, value)) = text.split_once('=') else {
            let message = format!("--param `{text}` is not of the form NAME=VALUE");
            return Err((Exit::Usage, message));
        };
        params.insert(name.to_owned(), value.to_owned());
    }
    Ok(params)
}

/// The build section's facts: `SOURCE_DATE_EPOCH`, else the epoch.
fn facts(machine: bool) -> Result<BuildFacts, Refused> {
    let timestamp = match environment("SOURCE_DATE_EPOCH") {
        None => 0,
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                let message = format!(
                    "SOURCE_DATE_EPOCH is `{}`, expected whole seconds since 1970",
                    text.to_string_lossy()
                );
                (Exit::Usage, message)
            })?,
    };
    let text = |name| environment(name).map(|text| text.to_string_lossy().into_owned());
    let host = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    Ok(BuildFacts {
        timestamp,
        terminal: machine.then(host),
        user: if machine { text("USER") } else { None },
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Refused> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| (Exit::Environment, format!("threads cannot start: {error}")))
}

fn prepare(plan: PlanArgs) -> Result<(Prepared, BuildOptions), Refused> {
    let options = plan.into_options()?;
    // A second global pool is an error that changes nothing.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.wishes.jobs)
        .build_global();
    let prepared = app::prepare(&options).map_err(|error| refused(&error))?;
    Ok((prepared, options))
}

pub(super) fn print(text: &str) -> Result<(), Refused> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| (Exit::Environment, format!("stdout: {error}")))
}

pub(super) fn build(args: BuildArgs) -> Result<(), Refused> {
    let runtime = runtime()?;
    let (prepared, _) = prepare(args.plan)?;
    if let Some(form) = args.dry_run {
        let verdicts = runtime
            .block_on(prepared.assess())
            .map_err(|error| refused(&error))?;
        return print(&dry_run(&verdicts, form));
    }
    let (events, mut happened) = mpsc::unbounded_channel();
    let (stop, cancelled) = watch::channel(false);
    let mut progress = Progress::new(
        std::io::stderr().is_terminal() && environment("CI").is_none(),
        args.events.as_deref(),
    )?;
    let built = runtime.block_on(async {
        let drawn = tokio::spawn(async move {
            while let Some(event) = happened.recv().await {
                progress.draw(&event);
            }
            progress
        });
        tokio::spawn(async move {
            super::signal::wait().await;
            // A run that has ended needs no stopping.
            let _ = stop.send(true);
            super::signal::wait().await;
            std::process::exit(Exit::Interrupted as i32);
        });
        let built = prepared.build(args.keep_going, events, cancelled).await;
        if let Ok(mut progress) = drawn.await {
            progress.close();
        }
        built
    });
    let built = built.map_err(|error| refused(&error))?;
    if let Some(file) = &args.summary {
        write_summary(file, &built.record)?;
    }
    report(&built.record)?;
    match built.failures.first() {
        None => Ok(()),
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
            Err((exit_of(first.class), texts.join("\nerror: ")))
        }
    }
}

fn write_summary(file: &std::path::Path, record: &RunRecord) -> Result<(), Refused> {
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| (Exit::Environment, error.to_string()))?;
    std::fs::write(file, text + "\n").map_err(|error| {
        let message = format!("--summary `{}`: {error}", file.display());
        (Exit::Environment, message)
    })
}

/// Archives on stdout; the count of what was done on stderr.
fn report(record: &RunRecord) -> Result<(), Refused> {
    let mut err = std::io::stderr().lock();
    // A closed stderr has nobody to tell.
    let _ = writeln!(
        err,
        "{} executed, {} cached, {} skipped, {} failed in {:.2} s",
        record.count(Status::Executed),
        record.count(Status::Cached),
        record.count(Status::Skipped),
        record.count(Status::Failed),
        std::time::Duration::from_millis(record.wall_ms).as_secs_f64(),
    );
    drop(err);
    let files: String = record
        .tasks
        .iter()
        .flat_map(|task| &task.files)
        .map(|file| format!("{file}\n"))
        .collect();
    print(&files)
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

pub(super) fn why(mut args: WhyArgs) -> Result<(), Refused> {
    let runtime = runtime()?;
    args.plan.tasks = vec![args.task.clone()];
    let (prepared, _) = prepare(args.plan)?;
    let verdicts = runtime
        .block_on(prepared.assess())
        .map_err(|error| refused(&error))?;
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

pub(super) fn graph(args: GraphArgs) -> Result<(), Refused> {
    let (prepared, _) = prepare(args.plan)?;
    let graph = prepared
        .plan()
        .graph()
        .map_err(|error| (Exit::Configuration, error.to_string()))?;
    print(&match args.format {
        GraphFormat::Dot => graph.render_dot(),
        GraphFormat::Json => graph.render_json(),
        GraphFormat::Mermaid => graph.render_mermaid(),
    })
}

pub(super) fn update(args: UpdateArgs) -> Result<(), Refused> {
    let runtime = runtime()?;
    let (prepared, _) = prepare(args.plan)?;
    let moved = runtime
        .block_on(prepared.update(&args.images))
        .map_err(|failure| failed(&failure))?;
    let lines: String = moved
        .iter()
        .map(|pin| match pin.from {
            Some(from) if from == pin.to => {
                format!("{} {}: unchanged\n", pin.reference, pin.platform)
            }
            Some(from) => format!("{} {}: {from} -> {}\n", pin.reference, pin.platform, pin.to),
            None => format!("{} {}: pinned to {}\n", pin.reference, pin.platform, pin.to),
        })
        .collect();
    print(&lines)
}
