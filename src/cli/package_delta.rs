//! `jackal package delta` and `jackal package join`.

use std::path::PathBuf;

use clap::Args;

use super::build::Refused;
use super::exit::Exit;
use super::output::print;
use super::package::refused;
use crate::app::{self, PackageDeltaError};
use crate::layout::DeltaError;

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

pub(super) fn delta(args: &DeltaArgs) -> Result<(), Refused> {
    let made =
        app::package_delta(&args.have, &args.new, &args.output).map_err(|error| told(&error))?;
    print(&format!(
        "{}: carries {} of {} bytes; makes sha256 {}\n",
        args.output.display(),
        made.carried,
        made.new.size,
        made.new.digest.hex(),
    ))
}

pub(super) fn join(args: &JoinArgs) -> Result<(), Refused> {
    let made =
        app::package_join(&args.old, &args.delta, &args.output).map_err(|error| told(&error))?;
    print(&format!(
        "{}: {} bytes, sha256 {}, verified\n",
        args.output.display(),
        made.new.size,
        made.new.digest.hex(),
    ))
}

fn told(error: &PackageDeltaError) -> Refused {
    let exit = match error {
        PackageDeltaError::Package(error) => return refused(error),
        PackageDeltaError::Exists(_)
        | PackageDeltaError::Delta(
            DeltaError::Folder(_) | DeltaError::NoFrames(_) | DeltaError::Repeats(_),
        ) => Exit::Usage,
        PackageDeltaError::Delta(
            DeltaError::Malformed { .. }
            | DeltaError::OtherOld { .. }
            | DeltaError::OtherNew { .. },
        ) => Exit::Verification,
        PackageDeltaError::Delta(_) | PackageDeltaError::Io { .. } => Exit::Environment,
    };
    (exit, error.to_string())
}
