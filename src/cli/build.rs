//! `jackal build`: its arguments, and what `--dry-run` prints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::affected::{self, AffectedArgs};
use super::carry_out::{Logs, ReportArgs, announce, run, warn};
use super::command_error::CommandError;
use super::environment::runtime;
use super::exit::Exit;
use super::options::{
    BuildCacheArgs, PlanArgs, RunArgs, SplitArgs, TargetArgs, TaskArgs, UploadPlaceArgs,
};
use super::output::{note, print};
use super::prepare::{Questions, part, planned, remarks};
use super::remote::RemoteArgs;
use super::{shell, watch, why};
use crate::app::{
    ARCHIVES, BuildOptions, KnownOutcome, OutcomePlace, RunOptions, Unchanged, Verdict,
};

/// Arguments of `jackal build`.
#[derive(Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tasks: TaskArgs,
    #[command(flatten)]
    affected: AffectedArgs,
    /// Folder for archives [default: dist]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
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
    remote: RemoteArgs,
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

/// How `--dry-run` answers.
#[derive(Clone, Copy, ValueEnum)]
enum DryRun {
    /// One line per task
    Text,
    /// A JSON array
    Json,
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
        output: args.split.output_to(args.output, ARCHIVES.into())?,
        cache_size: args.cache.max_size()?,
        cache_from: args.cache.cache_from,
        remote: args.remote.into_options(&place.connection.hosts)?,
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
        return watch::watch(options, &args.report, args.logs);
    }
    let mut watched = None;
    if since.is_none()
        && let Some(place) = OutcomePlace::of(&options)
    {
        let start = Instant::now();
        let tells = args.report.tell_of_each_task();
        let known = (!tells).then(|| place.known()).flatten();
        let partly = match known {
            Some(KnownOutcome::Unchanged(unchanged)) => {
                if let Some(done) = without_plan(unchanged, start, args.dry_run, &args.report) {
                    return done;
                }
                None
            }
            Some(KnownOutcome::Partly(partly)) if args.dry_run.is_none() => Some(partly),
            _ => None,
        };
        watched = place.watch();
        if let Some(partly) = partly
            && let Some(prepared) = part(&options, &partly)
        {
            partly.remarks().iter().for_each(|remark| note(remark));
            let built = run(prepared, &args.report, args.logs)?;
            if let Some(watched) = watched {
                watched.renew(&partly, &built);
            }
            return Ok(());
        }
    }
    let mut prepared = planned(&options, Questions::Allowed)?;
    let (order, remarks) = (prepared.order(), remarks(&prepared));
    remarks.iter().for_each(|remark| note(remark));
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
            if let Some(watched) = watched {
                watched.keep(&order, &remarks, &built);
            }
            built.shell.as_ref().map_or(Ok(()), shell::open)
        }
    }
}

/// Answers without a plan: the last build had nothing to do, and nothing has changed.
fn without_plan(
    unchanged: Unchanged,
    start: Instant,
    format: Option<DryRun>,
    reports: &ReportArgs,
) -> Option<Result<(), CommandError>> {
    let verdicts = unchanged.verdicts()?;
    unchanged.remarks.iter().for_each(|remark| note(remark));
    Some(match format {
        Some(format) => print(&dry_run(&verdicts, format)),
        None => {
            let (notes, record) = unchanged.into_outcome(start.elapsed());
            warn(&notes);
            announce(&record, &BTreeMap::new(), reports)
        }
    })
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
