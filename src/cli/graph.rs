//! `jackal graph`: the tasks of a plan and their dependencies.

use clap::{Args, ValueEnum};

use super::affected::{self, AffectedArgs};
use super::command_error::CommandError;
use super::environment::{page_title, runtime};
use super::options::{PinArgs, PlaceArgs, SbomArgs, TargetArgs, TaskArgs, VariantArgs};
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::{BuildOptions, ContentOptions, Planned, plan_page};

/// Arguments of `jackal graph`.
#[derive(Args)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tasks: TaskArgs,
    /// Output format
    #[arg(long, value_enum, default_value = "dot")]
    format: GraphFormat,
    #[command(flatten)]
    affected: AffectedArgs,
    #[command(flatten)]
    pins: PinArgs,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    sbom: SbomArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum GraphFormat {
    /// Graphviz
    Dot,
    /// JSON
    Json,
    /// Mermaid, for Markdown
    Mermaid,
    /// A page for a browser
    Html,
}

pub(super) fn graph(args: GraphArgs) -> Result<(), CommandError> {
    let since = args.affected.since()?;
    let options = BuildOptions {
        unnamed: true,
        tasks: args.tasks.tasks,
        pins: args.pins.pins(),
        variant: args.variant.into_variant()?,
        content: ContentOptions {
            skip_sbom: args.sbom.skip_sbom,
            ..ContentOptions::default()
        },
        ..BuildOptions::new(args.place.into_place()?, args.target.into_target()?)
    };
    let mut prepared = prepare(&options, Questions::Allowed)?;
    if let Some(since) = since {
        let affected = affected::find(&prepared, &since, &runtime()?)?;
        prepared.show_only(&affected);
    }
    let plan = prepared.plan();
    let graph = plan.graph()?;
    print(&match args.format {
        GraphFormat::Dot => graph.render_dot(),
        GraphFormat::Json => graph.render_json(),
        GraphFormat::Mermaid => graph.render_mermaid(),
        GraphFormat::Html => {
            let steps = plan.steps.values();
            let tasks: Vec<Planned<'_>> = steps
                .map(|step| Planned {
                    id: &step.id,
                    verb: step.verb(),
                    after: step.after.iter().map(String::as_str).collect(),
                })
                .collect();
            plan_page(&page_title("Tasks"), &tasks)
        }
    })
}
