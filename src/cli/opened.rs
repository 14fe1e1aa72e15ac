//! Opens the package that a command reads, and says what was verified of it.

use clap::Args;

use super::command_error::CommandError;
use super::output::note;
use super::read::ReadArgs;
use super::signal::asks_to_stop;
use crate::app::{self, Check, Opened, ReadOptions, Signature, VerifiedPackage};

/// A package and how to print what it holds.
#[derive(Args)]
pub(super) struct SourceArgs {
    #[arg(help = package_help())]
    pub(super) source: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

/// Help for the name of a package.
pub(super) fn package_help() -> String {
    app::package_help("Package")
}

pub(super) fn open(source: &str, read: ReadArgs, check: Check) -> Result<Opened, CommandError> {
    Ok(Opened::open(source, &read.into_options(check)?)?)
}

/// Opens a package whose files are written to the disk: a signal stops the
/// writing, and what was written is removed.
pub(super) fn open_to_write(
    source: &str,
    read: ReadArgs,
    check: Check,
) -> Result<Opened, CommandError> {
    let options = ReadOptions {
        stop: asks_to_stop(),
        ..read.into_options(check)?
    };
    Ok(Opened::open(source, &options)?)
}

/// Prints what the user should know about a verified package.
pub(super) fn note_warnings(package: &VerifiedPackage) {
    for text in package.notes() {
        note(&format!("warning: {text}"));
    }
}

/// Notes that only a part of the package was verified.
pub(super) fn note_partly(source: &str, verified: &str) {
    note(&format!(
        "{source}: {verified}; run `jackal package verify` for the rest"
    ));
}

/// Notes that the SBOMs of a package were verified, and nothing else of it.
pub(super) fn note_sboms(opened: &Opened) {
    match opened.without_checksums() {
        Some(warning) => note(&format!("warning: {warning}")),
        None => note_partly(&opened.name, "sboms.tar was verified"),
    }
}

/// The documents of a package, with a note about what was verified.
pub(super) fn documents(opened: &Opened) -> Result<VerifiedPackage, CommandError> {
    let package = app::package_documents(opened)?;
    note_warnings(&package);
    let how = match package.signature() {
        Signature::NotChecked | Signature::Unsearched => {
            " (--key or --certificate-identity checks it)"
        }
        Signature::Absent | Signature::Checked(_) => "",
    };
    let what = match package.has_checksums() {
        true => "only the definition was verified",
        false => "nothing was verified",
    };
    let verified = format!("{}{how}; {what}", package.signature().summary());
    note_partly(&opened.name, &verified);
    Ok(package)
}
