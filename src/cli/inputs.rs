//! `jackal dev inputs`: what a task uses, as lines for its pipeline.

use std::fmt::Write as _;

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::PlannedArgs;
use super::output::{note, print};
use super::prepare::{Questions, prepare};
use crate::app::{Used, UsedName};
use crate::yaml::scalar;

/// Arguments of `jackal dev inputs`.
#[derive(Args)]
pub(super) struct InputsArgs {
    /// Task of kind `run`, as named by `jackal graph`
    task: String,
    #[command(flatten)]
    planned: PlannedArgs,
}

pub(super) fn run(args: InputsArgs) -> Result<(), CommandError> {
    let options = args.planned.options(&args.task)?;
    let prepared = prepare(&options, Questions::Allowed)?;
    let used = runtime()?.block_on(prepared.observe(&args.task))?;
    for line in used.log.lines() {
        note(&format!("  | {line}"));
    }
    if let Some(why) = &used.failed {
        note(&format!(
            "warning: the command failed, so it may use more than this: {why}"
        ));
    }
    print(&lines(&args.task, &used))
}

/// The keys of the task, with a remark at each line that it lacks.
fn lines(task: &str, used: &Used) -> String {
    let mut text = format!("# what the command used; copy it into the task `{task}`\n");
    for (key, names) in [
        ("inputs", &used.inputs),
        ("outputs", &used.outputs),
        ("tools", &used.tools),
    ] {
        match names.as_slice() {
            [] => drop(writeln!(text, "{key}: []")),
            names => {
                let _ = writeln!(text, "{key}:");
                for name in names {
                    let _ = writeln!(text, "- {}{}", scalar(&name.name), remark(name));
                }
            }
        }
    }
    if !used.reports.is_empty() {
        let _ = writeln!(text, "reports:");
        for pattern in &used.reports {
            let _ = writeln!(text, "- {}", scalar(pattern));
        }
    }
    if used.repository {
        let _ = writeln!(
            text,
            "# it read the repository: if its result depends on that, add `git: true`"
        );
    }
    for path in &used.outside {
        let _ = writeln!(
            text,
            "# written above the folder of the pipeline, where no output can be: {path}"
        );
    }
    for pattern in &used.brought {
        let _ = writeln!(
            text,
            "# it belongs to a tool, and is an input only if the command names it by a relative path: {pattern}"
        );
    }
    for pattern in &used.unused {
        let _ = writeln!(text, "# declared, but not used: {pattern}");
    }
    text
}

fn remark(name: &UsedName) -> String {
    let mut remarks = Vec::new();
    if !name.declared {
        remarks.push("not declared".to_owned());
    }
    if let Some((all, used)) = name.wider {
        remarks.push(format!("selects {all} files, of which {used} were used"));
    }
    match remarks.is_empty() {
        true => String::new(),
        false => format!("    # {}", remarks.join("; ")),
    }
}
