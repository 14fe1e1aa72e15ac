//! `jackal internal`: one action, apart from the build that it belongs to.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::command_error::CommandError;
use super::environment::{program, runtime};
use super::options::PlannedArgs;
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app;

#[derive(Subcommand)]
pub(super) enum InternalCommand {
    /// Write the action of a task, and its blobs, into a folder
    Pack(Box<PackArgs>),
    /// Make the outputs of a packed action
    Action(ActionArgs),
}

#[derive(Args)]
pub(super) struct PackArgs {
    /// Task, as named by `jackal graph`
    task: String,
    /// Folder to write to
    #[arg(long)]
    to: PathBuf,
    #[command(flatten)]
    planned: PlannedArgs,
}

#[derive(Args)]
pub(super) struct ActionArgs {
    /// Folder with the action
    folder: PathBuf,
    /// Cache that receives the outputs
    // `--cache` is Zarf's name of `--cache-dir`.
    #[arg(long = "into")]
    cache: PathBuf,
}

/// Runs the helper that this program starts itself as, without reading any settings: it
/// has no environment.
pub(super) fn at_once() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != "internal" {
        return None;
    }
    match args.next()?.to_str()? {
        "launcher" => {
            let program = program().unwrap_or_else(|| "/proc/self/exe".into());
            let args: Vec<OsString> = args.collect();
            Some(app::launcher(&program, &args))
        }
        _ => None,
    }
}

pub(super) fn internal(command: InternalCommand) -> Result<(), CommandError> {
    match command {
        InternalCommand::Pack(args) => pack(*args),
        InternalCommand::Action(args) => action(&args),
    }
}

fn pack(args: PackArgs) -> Result<(), CommandError> {
    let options = args.planned.options(&args.task)?;
    let prepared = prepare(&options, Questions::Never)?;
    runtime()?.block_on(prepared.pack(&args.task, &args.to))?;
    Ok(())
}

fn action(args: &ActionArgs) -> Result<(), CommandError> {
    let made = runtime()?.block_on(app::carry_out(&args.folder, &args.cache))?;
    for (name, digest, size) in made {
        let line = json!({ "name": name, "digest": digest, "size": size });
        print(&format!("{line}\n"))?;
    }
    Ok(())
}
