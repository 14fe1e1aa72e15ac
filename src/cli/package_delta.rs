//! `jackal package delta` and `jackal package join`.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::output::print;
use crate::app;

/// Arguments of `jackal package delta`.
#[derive(Args)]
pub(super) struct DeltaArgs {
    /// Archive that the receiver already has
    #[arg(long, value_name = "OLD")]
    have: PathBuf,
    /// Archive to recreate
    new: PathBuf,
    /// Delta file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Arguments of `jackal package join`.
#[derive(Args)]
pub(super) struct JoinArgs {
    /// Archive that the delta was created for
    old: PathBuf,
    /// Delta file
    delta: PathBuf,
    /// Archive to write
    #[arg(long, short, value_name = "NEW")]
    output: PathBuf,
}

pub(super) fn delta(args: &DeltaArgs) -> Result<(), CommandError> {
    let made = app::package_delta(&args.have, &args.new, &args.output)?;
    print(&format!(
        "{}: {} of {} bytes; the new archive has sha256 {}\n",
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
