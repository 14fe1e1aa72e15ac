//! `jackal package sign`: archives, folders, and packages in registries.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::command_error::CommandError;
use super::connection::UploadArgs;
use super::exit::Exit;
use super::output::{note, print};
use super::publish::republish;
use super::read::ReadArgs;
use super::signing::SignArgs;
use crate::app::{self, Attested, Check, PackageSignOptions, Republished, SbomFormat};

/// Arguments of `jackal package sign`.
#[derive(Args)]
pub(super) struct PackageSignArgs {
    #[arg(help = app::package_help("Package"), long_help = source_help())]
    source: String,
    /// Folder for the signed archive [default: its own folder]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    confirm: bool,
    /// A flag of Zarf without effect: a new signature always replaces the old one.
    #[arg(long, hide = true)]
    overwrite: bool,
    #[arg(
        help = "Also sign the package's SBOM in FORMAT, or the one in FILE (repeatable)",
        long_help = attest_help(),
        long,
        value_name = "FORMAT[=FILE]",
        value_parser = attested,
        help_heading = "Signing options"
    )]
    attest: Vec<(SbomFormat, Option<PathBuf>)>,
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

/// The formats that can be attested, in words.
fn possible() -> String {
    let all = SbomFormat::DOCUMENTS.into_iter();
    let all = all.filter(|format| Attested::is_possible(*format));
    let names: Vec<&str> = all.map(SbomFormat::name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn attest_help() -> String {
    format!(
        "Also sign the package's SBOM in FORMAT, or the one in FILE (repeatable)\n\n\
         FORMAT is {}. Without FILE: the document that the package has in this format, or the \
         one that is made of its SBOMs.",
        possible()
    )
}

/// A format, and perhaps a file.
fn attested(text: &str) -> Result<(SbomFormat, Option<PathBuf>), String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name, Some(PathBuf::from(file))),
        None => (text, None),
    };
    match SbomFormat::named(name).filter(|format| Attested::is_possible(*format)) {
        Some(format) => Ok((format, file)),
        None => Err(format!("expected {}", possible())),
    }
}

/// Reads the documents that were given.
fn read_attested(
    wanted: Vec<(SbomFormat, Option<PathBuf>)>,
) -> Result<Vec<Attested>, CommandError> {
    let mut all = Vec::new();
    for (format, file) in wanted {
        let mut document = None;
        if let Some(file) = file {
            let shown = file.display();
            let json = app::read_document(&file)
                .map_err(|error| CommandError::io(format!("cannot read `{shown}`"), error))?;
            let parsed: Option<Value> = serde_json::from_slice(&json).ok();
            document = parsed.filter(|parsed| Attested::says(parsed, format));
            if document.is_none() {
                let message = format!("`{shown}` is not a document in {}", format.name());
                return Err(CommandError::new(Exit::Configuration, message));
            }
        }
        all.push(Attested { format, document });
    }
    Ok(all)
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
    let attest = read_attested(args.attest)?;
    // The new signature replaces the old one, which is verified only on request.
    // Who names an architecture signs that alone.
    let whole = !args.read.has_architecture();
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
        return republish(
            args.source,
            destination,
            tag,
            (read, whole),
            signer,
            (in_place, attest),
        );
    }
    let options = PackageSignOptions {
        signer,
        seal: here,
        attest,
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
