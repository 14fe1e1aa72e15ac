//! `jackal package sign`: archives, folders, and packages in registries.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::connection::UploadArgs;
use super::output::{note, print};
use super::publish::republish;
use super::read::ReadArgs;
use super::signing::SignArgs;
use crate::app::{self, Check, PackageSignOptions, Republished};

/// Arguments of `jackal package sign`.
#[derive(Args)]
pub(super) struct PackageSignArgs {
    #[arg(help = app::package_help("Package"), long_help = source_help())]
    source: String,
    /// Folder for the signed archive [default: its own folder]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Do not ask for confirmation
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    signing: SignArgs,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    upload: UploadArgs,
}

fn source_help() -> String {
    format!(
        "{}\n\nIn a registry or an image layout, the tag moves to the signed package, unless \
         --signature detached is given. To sign a package on a web server, pull it first.",
        app::package_help("Package")
    )
}

pub(super) fn run(args: PackageSignArgs) -> Result<(), CommandError> {
    if !args.signing.signs() {
        return Err(
            CommandError::usage("no signer specified").hint("add --signing-key or --keyless")
        );
    }
    let (here, in_place) = (args.signing.seal(false), args.signing.seal(true));
    let Some(signer) = args.signing.into_signer(args.confirm)? else {
        return Ok(());
    };
    // The new signature replaces the old one, which is verified only on request.
    let mut read = args.read.into_options(Check::Look)?;
    args.upload.limit(&mut read.connection);
    let opened = app::Opened::open(&args.source, &read)?;
    if let Some(Republished { destination, tag }) = opened.package.place() {
        if args.output.is_some() {
            return Err(CommandError::usage(
                "--output cannot be used with a package in a registry or an image layout, which is signed in place",
            ));
        }
        let Some(tag) = tag else {
            return Err(CommandError::usage(
                "a package in a registry or an image layout is signed by tag, not by digest",
            )
            .hint("name the package by its tag"));
        };
        drop(opened);
        return republish(args.source, destination, tag, read, signer, in_place);
    }
    let options = PackageSignOptions {
        signer,
        seal: here,
        output: args.output,
    };
    let signed = app::package_sign(&opened, &read, &options)?;
    note(&format!(
        "{}: all files verified; before: {}",
        args.source,
        signed.package.signature().summary()
    ));
    if signed.dropped > 0 {
        note(&format!(
            "warning: dropped {} attestations: signing changed the definition that they cover\n\
             help: attest the package again, or sign it with --signature detached",
            signed.dropped
        ));
    }
    let lines: String = signed
        .files
        .iter()
        .map(|file| format!("{}\n", file.display()))
        .collect();
    print(&lines)
}
