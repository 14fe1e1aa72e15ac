//! `jackal package sign`: archives, folders, and packages in registries.

use std::path::{Path, PathBuf};

use clap::Args;

use super::command_error::CommandError;
use super::connection::UploadArgs;
use super::output::{note, print};
use super::publish::republish;
use super::read::ReadArgs;
use super::signing::SignArgs;
use crate::app::{self, Check, PackageSignOptions, Reference};

/// Arguments of `jackal package sign`.
#[derive(Args)]
pub(super) struct PackageSignArgs {
    /// Package: archive, folder, or oci://HOST/PATH:TAG
    ///
    /// In a registry, the tag moves to the signed package, unless --signature
    /// detached is given.
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

pub(super) fn run(args: PackageSignArgs) -> Result<(), CommandError> {
    if !args.signing.signs() {
        return Err(
            CommandError::usage("no signer specified").hint("add --signing-key or --keyless")
        );
    }
    let remote = Reference::url_path(&args.source);
    let seal = args.signing.seal(remote.is_some());
    let Some(signer) = args.signing.into_signer(args.confirm)? else {
        return Ok(());
    };
    // The new signature replaces the old one, which is verified only on request.
    let mut read = args.read.into_options(Check::Look)?;
    args.upload.limit(&mut read.connection);
    if let Some(rest) = remote {
        if args.output.is_some() {
            return Err(CommandError::usage(
                "--output cannot be used with a package in a registry, which is signed in place",
            ));
        }
        let reference = Reference::hosted(rest)
            .map_err(|error| CommandError::usage(format!("`{}`: {error}", args.source)))?;
        let Some(tag) = reference.tag().map(str::to_owned) else {
            return Err(CommandError::usage(
                "a package in a registry is signed by tag, not by digest",
            )
            .hint("pass oci://HOST/PATH:TAG"));
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
    let signed = app::package_sign(Path::new(&args.source), &read, &options)?;
    note(&format!(
        "{}: all files verified; before: {}",
        args.source,
        signed.package.signature().summary()
    ));
    if signed.dropped > 0 {
        note(&format!(
            "warning: dropped {} attestations: signing changed the definition that they are about\n\
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
