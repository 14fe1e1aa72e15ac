//! `jackal run`: a task's program on the user's terminal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::carry_out::{Logs, ReportArgs, run as build};
use super::command_error::CommandError;
use super::options::{PlanArgs, RunArgs, UploadPlaceArgs, params_of};
use super::prepare::{Questions, prepare};
use super::shell;
use crate::app::{ARCHIVES, BuildOptions, OutputOptions, RunOptions, Target, Wanted};

/// Arguments of `jackal run`.
#[derive(Args)]
pub(super) struct RunTaskArgs {
    /// Task to run: NAME, FOLDER:NAME or :NAME
    #[arg(value_name = "TASK")]
    task: String,
    /// Further arguments for its command
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<String>,
    /// Plan this pipeline file
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Set a pipeline parameter (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    place: UploadPlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
}

pub(super) fn run(args: RunTaskArgs) -> Result<(), CommandError> {
    let params: BTreeMap<String, String> = params_of(&args.params)?;
    let (target, tasks) = match args.pipeline {
        Some(file) => (Target::Pipeline { file, params }, vec![args.task.clone()]),
        None => {
            let words = vec![args.task.clone()];
            (Target::Words { words, params }, Vec::new())
        }
    };
    let options = BuildOptions {
        tasks,
        output: OutputOptions {
            folder: ARCHIVES.into(),
            ..OutputOptions::default()
        },
        run: RunOptions {
            shell: Some(args.task),
            ..args.run.into_run()
        },
        ..args.plan.options(args.place.into_place()?, target)?
    };
    let prepared = prepare(&options, Questions::Allowed)?;
    let built = build(prepared, &args.report, Logs::NewOnly)?;
    let Some(place) = &built.shell else {
        return Ok(());
    };
    let code = shell::connect(place, &Wanted::Command(args.args))?;
    if code == 0 {
        return Ok(());
    }
    // The folders of the program go first, then this one, with its code.
    drop(built);
    crate::app::finish_commands();
    std::process::exit(code);
}
