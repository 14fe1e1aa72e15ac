//! `jackal package delta` and `jackal package join`.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::output::print;
use crate::app;

/// Arguments of `jackal package delta`.
#[derive(Args)]
pub(super) struct DeltaArgs {
    /// The archive that is there already where the delta goes to
    #[arg(long, value_name = "OLD")]
    have: PathBuf,
    /// The archive that is wanted there
    new: PathBuf,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Arguments of `jackal package join`.
#[derive(Args)]
pub(super) struct JoinArgs {
    /// The archive that the delta was made for
    old: PathBuf,
    /// The delta
    delta: PathBuf,
    /// The archive to write
    #[arg(long, short, value_name = "NEW")]
    output: PathBuf,
}

pub(super) fn delta(args: &DeltaArgs) -> Result<(), CommandError> {
    let made = app::package_delta(&args.have, &args.new, &args.output)?;
    print(&format!(
        "{}: carries {} of {} bytes; makes sha256 {}\n",
        args.output.display(),
        made.carried,
        made.new.size,
        made.new.digest.hex(),
    ))
}

pub(super) fn join(args: &JoinArgs) -> Result<(), CommandError> {
    let made = app::package_join(&args.old, &args.delta, &args.output)?;
    print(&format!(
        "{}: {} bytes, sha256 {}, verified\n",
        args.output.display(),
        made.new.size,
        made.new.digest.hex(),
    ))
}
