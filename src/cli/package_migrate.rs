//! `jackal package migrate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::command_error::CommandError;
use super::opened::note_warnings;
use super::output::{note, print};
use super::publish;
use super::read::ReadArgs;
use super::signal::asks_to_stop;
use crate::app::{self, Check, Opened, ReadOptions};
use crate::disk;

/// Arguments of `jackal package migrate`.
#[derive(Args)]
pub(super) struct MigrateArgs {
    #[arg(help = super::opened::package_help())]
    source: String,
    /// Publish it to oci://HOST/PATH or oci-layout:DIR instead
    #[arg(conflicts_with = "output")]
    destination: Option<String>,
    /// Archive to write, or folder for it
    #[arg(long, short, value_name = "NEW", default_value = ".")]
    output: PathBuf,
    /// Print JSON
    #[arg(long, conflicts_with = "destination")]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(args: MigrateArgs) -> Result<(), CommandError> {
    let read = ReadOptions {
        stop: asks_to_stop(),
        ..args.read.into_options(Check::Use)?
    };
    let opened = Opened::open(&args.source, &read)?;
    // Removed when it is dropped, after its content was published.
    let (scratch, output) = match &args.destination {
        Some(_) => {
            let scratch = disk::scratch_folder()
                .map_err(|error| CommandError::io("a temporary folder", error.source))?;
            let folder = scratch.path().to_owned();
            (Some(scratch), folder)
        }
        None => (None, args.output),
    };
    let made = app::package_migrate(&opened, &read, &output)?;
    note_warnings(&made.package);
    if args.json {
        let report = json!({
            "source": args.source,
            "archive": made.archive,
            "changes": made.changes,
        });
        return print(&format!("{report:#}\n"));
    }
    for change in &made.changes {
        note(&format!("changed: {change}"));
    }
    if made.changes.is_empty() {
        note("nothing was changed: the files were in today's form");
    }
    let archive = made.archive.display().to_string();
    match args.destination {
        Some(destination) => publish::plainly(archive, destination, read)?,
        None => print(&format!("{archive}\n"))?,
    }
    drop(scratch);
    Ok(())
}
