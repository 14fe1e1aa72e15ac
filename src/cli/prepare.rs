//! From options to a plan, with warnings and questions on the terminal.

use std::num::NonZero;

use super::command_error::CommandError;
use super::environment::interactive;
use super::output::{note, prompt};
use crate::app::{self, BuildOptions, Partly, Prepared};

/// Whether the user may be asked for missing values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Questions {
    /// If there is a terminal, and this is not CI.
    Allowed,
    Never,
}

/// Makes the plan, and prints what there is to say about it.
pub(super) fn prepare(
    options: &BuildOptions,
    questions: Questions,
) -> Result<Prepared, CommandError> {
    let prepared = planned(options, questions)?;
    remarks(&prepared).iter().for_each(|remark| note(remark));
    Ok(prepared)
}

pub(super) fn planned(
    options: &BuildOptions,
    questions: Questions,
) -> Result<Prepared, CommandError> {
    limit_threads(options);
    let asks = questions == Questions::Allowed && interactive();
    let mut ask = |template: &str| asks.then(|| answer(template)).flatten();
    Ok(app::prepare(options, &mut ask)?)
}

/// The plan of what the changes since the last build concern; `None`: everything must be
/// planned.
pub(super) fn part(options: &BuildOptions, partly: &Partly) -> Option<Prepared> {
    limit_threads(options);
    partly.prepare(options)
}

/// Makes as many threads as jobs are allowed, and no more than the processors can use.
pub(super) fn limit_threads(options: &BuildOptions) {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.saturating_mul(2).max(4);
    // An error means that the pool exists already, which is fine.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.run.jobs.min(threads))
        .build_global();
}

/// What the user should know of a plan.
pub(super) fn remarks(prepared: &Prepared) -> Vec<String> {
    let warnings = prepared.warnings().iter();
    let mut remarks: Vec<String> = warnings.map(|text| format!("warning: {text}")).collect();
    if let Some(first) = prepared.unnamed().first() {
        let tasks: Vec<String> = (prepared.unnamed().iter())
            .map(|task| format!("`{task}`"))
            .collect();
        let name = match first.contains(':') {
            true => first.clone(),
            false => format!(":{first}"),
        };
        remarks.push(format!(
            "note: left out: {}. Tasks that publish run only if they are named, as in `jackal build {name}`",
            tasks.join(", ")
        ));
    }
    if prepared.unconfined() {
        remarks.push(
            "warning: commands are not confined to their declared inputs: this machine has neither user namespaces nor Landlock".to_owned(),
        );
    }
    remarks
}

/// Asks on the terminal; an empty line is no answer.
fn answer(template: &str) -> Option<String> {
    prompt(&format!("Value for the template {template}: "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok()?;
    let line = line.trim_end_matches(['\r', '\n']);
    (!line.is_empty()).then(|| line.to_owned())
}
