//! `jackal dev make-legacy`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::command_error::CommandError;
use super::opened::package_help;
use super::output::{note, print};
use super::read::ReadArgs;
use super::signal::asks_to_stop;
use crate::app::{self, Check, Opened, ReadOptions};

/// Arguments of `jackal dev make-legacy`.
#[derive(Args)]
pub(super) struct MakeLegacyArgs {
    #[arg(help = package_help())]
    source: String,
    /// Version whose structure is written
    #[arg(long, value_name = "VERSION", value_parser = PossibleValuesParser::new(app::legacy_formats()))]
    format: String,
    /// Folder for the archive, and for `published`
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(args: MakeLegacyArgs) -> Result<(), CommandError> {
    let read = ReadOptions {
        stop: asks_to_stop(),
        ..args.read.into_options(Check::Use)?
    };
    let opened = Opened::open(&args.source, &read)?;
    let made = app::make_legacy(&opened, &read, &args.format, &args.output)?;
    if let Some((folder, tag)) = &made.published {
        note(&format!("published: oci-layout:{}:{tag}", folder.display()));
    }
    print(&format!("{}\n", made.archive.display()))
}
