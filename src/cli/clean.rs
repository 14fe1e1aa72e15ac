//! `jackal clean`: removes what builds put into the workspace.

use std::path::{Path, PathBuf};

use clap::Args;

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::{PlaceArgs, TargetArgs, VariantArgs};
use super::output::{note, print};
use super::prepare::{Questions, prepare};
use crate::app::{ARCHIVES, BuildOptions, OutputOptions, Withdrawal};

/// Number of files that are named among those that are left.
const NAMED: usize = 10;

/// Arguments of `jackal clean`.
#[derive(Args)]
pub(super) struct CleanArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Folder for archives [default: dist]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Only print what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn clean(args: CleanArgs) -> Result<(), CommandError> {
    let options = BuildOptions {
        unnamed: true,
        output: OutputOptions {
            named: args.output.is_some(),
            folder: args.output.unwrap_or_else(|| ARCHIVES.into()),
            ..OutputOptions::default()
        },
        variant: args.variant.into_variant()?,
        ..BuildOptions::new(args.place.into_place()?, args.target.into_target()?)
    };
    let prepared = prepare(&options, Questions::Allowed)?;
    let withdrawal = match args.dry_run {
        true => Withdrawal::rehearsed(),
        false => Withdrawal::default(),
    };
    let Withdrawal {
        removed,
        kept,
        failed,
        ..
    } = prepared.clean(withdrawal)?;
    let here = &options.place.here;
    let shown = |path: &Path| {
        path.strip_prefix(here)
            .unwrap_or(path)
            .display()
            .to_string()
    };
    let lines = removed.iter().map(|path| format!("{}\n", shown(path)));
    print(&lines.collect::<String>())?;
    for (path, stays) in kept.iter().take(NAMED) {
        note(&format!(
            "note: left `{}`, which {}",
            shown(path),
            stays.why()
        ));
    }
    if kept.len() > NAMED {
        note(&format!("note: left {} more", kept.len() - NAMED));
    }
    match failed.into_iter().next() {
        Some(error) => Err(CommandError::new(Exit::Environment, error)),
        None => Ok(()),
    }
}
