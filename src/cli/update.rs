//! `jackal update`: resolves references again and moves their pins.

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::{OverrideArgs, PlaceArgs, TargetArgs, TaskArgs, VariantArgs};
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::{BuildOptions, Pins};

/// Arguments of `jackal update`.
#[derive(Args)]
pub(super) struct UpdateArgs {
    /// Only this reference (repeatable)
    #[arg(long = "image", value_name = "REFERENCE")]
    images: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tasks: TaskArgs,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    overrides: OverrideArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn update(args: UpdateArgs) -> Result<(), CommandError> {
    let options = BuildOptions {
        tasks: args.tasks.tasks,
        // Imported definitions are resolved again only along with everything else.
        pins: match args.images.is_empty() {
            true => Pins::Update,
            false => Pins::Add,
        },
        variant: args.variant.into_variant()?,
        content: args.overrides.into_content()?,
        ..BuildOptions::new(args.place.into_place()?, args.target.into_target()?)
    };
    let prepared = prepare(&options, Questions::Allowed)?;
    let moved = runtime()?.block_on(prepared.update(&args.images))?;
    let lines: String = moved
        .iter()
        .map(|pin| {
            let what = match (&pin.from, &pin.to) {
                (Some(from), Some(to)) if from == to => "unchanged".to_owned(),
                (Some(from), Some(to)) => format!("{from} -> {to}"),
                (None, Some(to)) => format!("pinned to {to}"),
                (Some(from), None) => format!("dropped, was pinned to {from}"),
                (None, None) => "has no pin".to_owned(),
            };
            format!("{} {}: {what}\n", pin.reference, pin.platform)
        })
        .collect();
    print(&lines)
}
