//! `jackal init`: a first pipeline for a folder.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::output::{note, print};
use crate::app;

/// Arguments of `jackal init`.
#[derive(Args)]
pub(super) struct InitArgs {
    /// Folder with a project, or with projects in its subfolders
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Kind of project to look for (repeatable) [default: all]
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
    /// List the kinds of projects, and the files that identify them
    #[arg(long)]
    list: bool,
}

pub(super) fn run(args: &InitArgs) -> Result<(), CommandError> {
    if args.list {
        let lines = app::TEMPLATES.iter();
        let lines = lines.map(|row| format!("{:8}{}\n", row.name, row.marks.join(" or ")));
        return print(&lines.collect::<String>());
    }
    let done = app::init(&args.folder, &args.template)?;
    for (name, at) in &done.found {
        let at = if at.is_empty() { "." } else { at };
        note(&format!("found `{name}` in `{at}`"));
    }
    for text in &done.notes {
        note(&format!("warning: {text}"));
    }
    let files = done.files.iter();
    print(
        &files
            .map(|file| format!("{}\n", file.display()))
            .collect::<String>(),
    )?;
    note(&format!("build it with: {}", done.command));
    Ok(())
}
