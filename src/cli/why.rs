//! `jackal why`: whether a task would run, and for what reason.

use std::time::Duration;

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::PlannedArgs;
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::{
    Advice, Assessed, Known, PastRun, Verdict, Without, ago, rfc3339, shown_failure, shown_reasons,
};

/// Arguments of `jackal why`.
#[derive(Args)]
pub(super) struct WhyArgs {
    /// Task, as named by `jackal graph`
    task: String,
    #[command(flatten)]
    planned: PlannedArgs,
}

pub(super) fn why(args: WhyArgs) -> Result<(), CommandError> {
    let options = args.planned.options(&args.task)?;
    let prepared = prepare(&options, Questions::Allowed)?;
    let suffix = format!(":{}", args.task);
    let named = |task: &str| task == args.task || task.ends_with(&suffix);
    let judged = runtime()?.block_on(prepared.explain(named))?;
    let mut text = String::new();
    for Assessed {
        task,
        verdict,
        known,
    } in &judged
    {
        // A dependency is shown only if it is the reason.
        if !named(task) && matches!(verdict, Verdict::Cached(_)) {
            continue;
        }
        text.push_str(&line(task, verdict));
        if let Verdict::Cached(key) = verdict {
            text.push_str(&format!(
                ": inputs, settings and tools are unchanged; key {key}"
            ));
        }
        text.push('\n');
        let step = prepared.plan().steps.get(task);
        let verb = step.map_or("", |step| step.verb());
        for line in known.iter().flat_map(|known| details(verdict, known, verb)) {
            text.push_str(&format!("         {line}\n"));
        }
    }
    print(&text)
}

/// One line about a task.
pub(super) fn line(task: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Cached(_) => format!("cached   {task}"),
        Verdict::Runs { reason, .. } => format!("runs     {task}: {reason}"),
        Verdict::After(steps) => format!("depends  {task}: on {}", steps.join(", ")),
        Verdict::Unknown(why) => format!("unknown  {task}: {why}"),
        Verdict::Refused(why) => format!("refused  {task}: {why}"),
    }
}

/// What the past says, line by line.
fn details(verdict: &Verdict, known: &Known, verb: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let cached = matches!(verdict, Verdict::Cached(_));
    match (&known.made, &known.last) {
        (Some(made), _) => lines.push(format!(
            "made {} in {}, by jackal {}",
            when(known.now, made.at),
            seconds(made.took_ms),
            made.jackal
        )),
        (None, _) if cached => lines.push(
            "made in another folder or on another machine, or too long ago to be known".to_owned(),
        ),
        (None, Some(last)) => lines.push(last_run(known.now, last)),
        (None, None) => {}
    }
    if let Some((run, reasons)) = &known.nearest {
        lines.push(format!(
            "the nearest cached result is of {}; since then: {}",
            when(known.now, run.at),
            shown_reasons(reasons)
        ));
    }
    lines.extend(known.advice.as_ref().map(|advice| shown(advice, verb)));
    lines
}

fn last_run(now: u64, last: &PastRun) -> String {
    let (when, took) = (when(now, last.at), seconds(last.took_ms));
    match last.has_succeeded() {
        true => format!("last run {when}: succeeded after {took}"),
        false => {
            let failure = shown_failure(&last.failure);
            format!("last run {when}: failed after {took}: {failure}")
        }
    }
}

fn shown(advice: &Advice, verb: &str) -> String {
    let Advice {
        without,
        gone,
        misses,
    } = advice;
    let misses = format!("{gone} of the last {misses} misses would have been hits without");
    let unless = "if the result does not need it";
    match (without, verb) {
        (Without::File(path), "run") => {
            format!("{misses} file `{path}`: exclude `!{path}` in `inputs`, {unless}")
        }
        (Without::Folder(path), "run") => {
            format!("{misses} folder `{path}`: exclude `!{path}/**` in `inputs`, {unless}")
        }
        (Without::Env(name), _) => format!(
            "{misses} the value of `{name}` in the key: name it in `passThroughEnv` instead of `env`, {unless}"
        ),
        (Without::File(path), _) => format!("{misses} file `{path}`"),
        (Without::Folder(path), _) => format!("{misses} folder `{path}`"),
    }
}

fn when(now: u64, at: u64) -> String {
    let past = ago(now.saturating_sub(at));
    match i64::try_from(at).ok().and_then(rfc3339) {
        Some(time) => format!("{time} ({past})"),
        None => past,
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.2} s", Duration::from_millis(milliseconds).as_secs_f64())
}
