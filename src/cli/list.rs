//! `jackal list`: the names of tasks.

use clap::{Args, ValueEnum};

use super::affected::{self, AffectedArgs};
use super::command_error::CommandError;
use super::environment::runtime;
use super::options::{PinArgs, PlaceArgs, TargetArgs, VariantArgs};
use super::output::{columns, print};
use super::prepare::{Questions, prepare};
use crate::app::BuildOptions;

/// Arguments of `jackal list`.
#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,
    #[command(flatten)]
    affected: AffectedArgs,
    #[command(flatten)]
    pins: PinArgs,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ListFormat {
    /// A line for each task: its name, and what it does
    Text,
    /// JSON
    Json,
}

pub(super) fn list(args: ListArgs) -> Result<(), CommandError> {
    let since = args.affected.since()?;
    let options = BuildOptions {
        unnamed: true,
        pins: args.pins.pins(),
        variant: args.variant.into_variant()?,
        ..BuildOptions::new(args.place.into_place()?, args.target.into_target()?)
    };
    let mut prepared = prepare(&options, Questions::Allowed)?;
    if let Some(since) = since {
        let affected = affected::find(&prepared, &since, &runtime()?)?;
        prepared.show_only(&affected);
    }
    let plan = prepared.plan();
    let steps = plan.chosen.iter().filter_map(|id| plan.steps.get(id));
    print(&match args.format {
        ListFormat::Text => {
            let lines = steps.map(|step| [step.id.clone(), step.verb().to_owned()]);
            columns(&lines.collect::<Vec<_>>())
        }
        ListFormat::Json => {
            let here = &options.place.here;
            let tasks: Vec<_> = steps
                .map(|step| {
                    let file = step.file.strip_prefix(here).unwrap_or(&step.file);
                    serde_json::json!({
                        "task": step.id,
                        "verb": step.verb(),
                        "file": file,
                        "tags": step.tags,
                        "after": step.after,
                        "skipped": step.skipped,
                    })
                })
                .collect();
            format!("{:#}\n", serde_json::Value::from(tasks))
        }
    })
}
