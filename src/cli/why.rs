//! `jackal why`: whether a task would run, and for what reason.

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::PlannedArgs;
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::Verdict;

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
    let verdicts = runtime()?.block_on(prepared.assess())?;
    let mut text = String::new();
    for (task, verdict) in &verdicts {
        let named = *task == args.task || task.ends_with(&format!(":{}", args.task));
        let cached = matches!(verdict, Verdict::Cached(_));
        // A dependency is shown only if it is the reason.
        if !named && cached {
            continue;
        }
        text.push_str(&line(task, verdict));
        if let Verdict::Cached(key) = verdict {
            text.push_str(&format!(
                ": inputs, settings and tools are unchanged; key {key}"
            ));
        }
        text.push('\n');
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
