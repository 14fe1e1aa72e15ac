//! `jackal package sign`: archives, folders, and packages in registries.

use std::path::{Path, PathBuf};

use clap::Args;

use super::command_error::CommandError;
use super::connection::ReadArgs;
use super::output::{note, print};
use super::publish::republish;
use super::signing::SignArgs;
use crate::app::{self, PackageSignOptions};
use crate::release::hosted;
use crate::verify::Check;

/// Arguments of `jackal package sign`.
#[derive(Args)]
pub(super) struct PackageSignArgs {
    /// A package: archive, folder, or oci://HOST/PATH:TAG, whose tag moves to
    /// the signed package unless --signature detached
    source: String,
    /// Folder for the signed archive (default: where it is)
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Ask nothing
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    signing: SignArgs,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn sign(args: PackageSignArgs) -> Result<(), CommandError> {
    if !args.signing.signs() {
        let message = "nobody signs: give --signing-key or --keyless";
        return Err(CommandError::usage(message));
    }
    let remote = args.source.strip_prefix("oci://");
    let seal = args.signing.seal(remote.is_some());
    let signer = args.signing.into_signer(args.confirm)?;
    let Some(signer) = signer else {
        return Ok(());
    };
    // What is signed anew, need not be checked by the old signature; if there
    // is something to check it with, it must pass.
    let read = args.read.into_options(Check::Look)?;
    if let Some(rest) = remote {
        if args.output.is_some() {
            let message = "-o is for archives: a package in a registry is signed where it is";
            return Err(CommandError::usage(message));
        }
        let reference = hosted(rest)
            .map_err(|error| CommandError::usage(format!("`{}`: {error}", args.source)))?;
        let Some(tag) = reference.tag().map(str::to_owned) else {
            let message = "a package in a registry is signed by its tag: name one";
            return Err(CommandError::usage(message));
        };
        let path = reference
            .repository()
            .rsplit_once('/')
            .map(|(path, _)| path);
        let to = match path {
            Some(path) => format!("oci://{}/{path}", reference.registry()),
            None => format!("oci://{}", reference.registry()),
        };
        return republish(args.source, to, tag, read, signer, seal);
    }
    let options = PackageSignOptions {
        signer,
        seal,
        output: args.output,
    };
    let signed = app::package_sign(Path::new(&args.source), &read, &options);
    let signed = signed?;
    note(&format!(
        "{}: every file as listed; it was: {}",
        args.source,
        signed.package.signature().told()
    ));
    if signed.dropped > 0 {
        note(&dropped(signed.dropped));
    }
    let lines: String = signed
        .files
        .iter()
        .map(|file| format!("{}\n", file.display()))
        .collect();
    print(&lines)
}

/// What no longer fits a package that says of itself that it is signed.
fn dropped(count: usize) -> String {
    format!(
        "warning: signing changes this definition, so {count} attestations about it as it was are left out: attest it again, or sign it with --signature detached"
    )
}
