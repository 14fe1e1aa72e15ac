//! `jackal dev tools`: what tools resolve to, and why.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::program_folders;
use super::exit::Exit;
use super::options::PlaceArgs;
use super::output::print;
use crate::app::{self, ResolvedTool};

/// Arguments of `jackal dev tools`.
#[derive(Args)]
pub(super) struct DevToolsArgs {
    /// Tools as in `tools` of a task [default: well-known ones that are installed]
    names: Vec<String>,
    /// Pipeline file with `toolchains` [default: those in this folder]
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(args: DevToolsArgs) -> Result<(), CommandError> {
    let place = args.place.into_place()?;
    let found = app::dev_tools(
        &place,
        &program_folders(),
        &args.names,
        args.pipeline.as_deref(),
    )?;
    let (mut tools, mut errors) = (Vec::new(), Vec::new());
    for each in found {
        match each {
            Ok(tool) => tools.push(tool),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let text = match args.json {
        true => format!("{:#}\n", tools.iter().map(as_json).collect::<Value>()),
        false => tools.iter().map(lines).collect(),
    };
    print(&text)?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(CommandError::new(
            Exit::Configuration,
            errors.join("\nerror: "),
        )),
    }
}

fn as_json(tool: &ResolvedTool) -> Value {
    json!({
        "name": tool.name,
        "path": tool.path,
        "identity": tool.identity,
        "folders": tool.folders,
        "readable": tool.readable,
        "env": tool.env,
        "reasons": tool.reasons,
    })
}

fn lines(tool: &ResolvedTool) -> String {
    let mut text = format!("{}\n", tool.name);
    let mut line = |title: &str, value: &str| {
        text.push_str(&format!("  {title:<9} {value}\n"));
    };
    line("program", &tool.path.display().to_string());
    line("identity", &tool.identity);
    for reason in &tool.reasons {
        line("because", reason);
    }
    for path in &tool.readable {
        line("reads", &path.display().to_string());
    }
    for (name, value) in &tool.env {
        line("sets", &format!("{name}={value}"));
    }
    text
}
