//! `jackal package inspect`: shows the content of a package; reads only its documents.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::is_shown;
use super::exit::Exit;
use super::opened::{SourceArgs, documents, note_sboms, open, open_to_write, package_help};
use super::output::{note, one_line, print, print_bytes};
use super::read::ReadArgs;
use super::sbom;
use crate::app::{self, Check, Definition, Existing, Opened};
use crate::disk;
use crate::text::with_causes;

/// Arguments of `jackal package inspect`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct InspectArgs {
    #[command(subcommand)]
    what: Option<InspectCommand>,
    #[arg(required = true, help = package_help())]
    source: Option<String>,
    /// Also write the SBOM documents to DIR/<package name>/
    #[arg(long, value_name = "DIR")]
    sbom_out: Option<PathBuf>,
    /// List the images, as `inspect images` does
    #[arg(long)]
    list_images: bool,
    /// Jackal v0.32.7 opens a browser then; here, the page is one command away.
    #[arg(long, short, hide = true)]
    sbom: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// Arguments of `jackal package inspect sbom`.
#[derive(Args)]
struct SbomArgs {
    #[arg(help = package_help())]
    source: String,
    /// Folder in which to create a folder named after the package
    ///
    /// Without it, a terminal shows a table; elsewhere, the documents are written to a
    /// folder named after the package in the current folder.
    #[arg(long, short, value_name = "DIR", visible_alias = "sbom-out")]
    output: Option<PathBuf>,
    /// Write one page with all documents for a browser, `-` for stdout
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    html: Option<PathBuf>,
    /// Also show on the page what changed since this package
    #[arg(long, value_name = "PACKAGE", requires = "html")]
    against: Option<String>,
    /// Replace a folder that jackal made, if nothing in it has changed
    #[arg(long, conflicts_with = "html")]
    force: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Subcommand)]
enum InspectCommand {
    /// Show the definition
    Definition(SourceArgs),
    /// Print the digest of the manifest of a package in a registry or image layout
    Digest(SourceArgs),
    /// List the images
    Images(SourceArgs),
    /// List the variables and constants
    Variables(SourceArgs),
    /// List the files with their digests
    Files(SourceArgs),
    /// Show the SBOMs as a table or a page, or write the documents to a folder
    Sbom(SbomArgs),
}

pub(super) fn run(args: InspectArgs) -> Result<(), CommandError> {
    match (args.what, args.source) {
        (None, None) => Err(CommandError::usage("no package specified")),
        (None, Some(source)) => {
            if args.sbom {
                note(&format!(
                    "help: run `jackal package inspect sbom --html FILE {source}` for a page with the SBOMs"
                ));
            }
            let named = |source, read| SourceArgs {
                source,
                json: false,
                read,
            };
            match args.sbom_out {
                Some(to) => with_sboms(&source, &to, args.read),
                None if args.list_images => listing(named(source, args.read), &images),
                None => definition(named(source, args.read)),
            }
        }
        (Some(InspectCommand::Digest(args)), _) => digest(args),
        (Some(InspectCommand::Definition(args)), _) => definition(args),
        (Some(InspectCommand::Images(args)), _) => listing(args, &images),
        (Some(InspectCommand::Variables(args)), _) => listing(args, &variables),
        (Some(InspectCommand::Files(args)), _) => files(args),
        (Some(InspectCommand::Sbom(args)), _) => sboms(args),
    }
}

/// Prints the digest of the manifest, which is what `cosign` signs.
fn digest(args: SourceArgs) -> Result<(), CommandError> {
    let opened = open(&args.source, args.read, Check::Look)?;
    documents(&opened)?;
    let Some(digest) = opened.package.manifest() else {
        let message = format!("`{}` has no manifest until it is published", args.source);
        return Err(CommandError::usage(message)
            .hint("name the published package; `jackal package publish` prints its digest"));
    };
    match args.json {
        true => print(&format!("{:#}\n", json!({"manifest": digest.to_string()}))),
        false => print(&format!("{digest}\n")),
    }
}

/// Writes the SBOM documents, and shows the definition.
fn with_sboms(source: &str, to: &Path, read: ReadArgs) -> Result<(), CommandError> {
    let opened = open_to_write(source, read, Check::Look)?;
    let folder = app::package_sboms(&opened, to, Existing::ReplaceOurs)?;
    note(&format!("wrote the SBOMs to {}", folder.display()));
    print_bytes(documents(&opened)?.definition())
}

fn sboms(args: SbomArgs) -> Result<(), CommandError> {
    let SbomArgs {
        source,
        output,
        html,
        against,
        force,
        read,
    } = args;
    if let Some(file) = html {
        return page(&source, &file, against.as_deref(), read);
    }
    if output.is_none() && !force && is_shown() {
        let opened = open(&source, read, Check::Look)?;
        return sbom::show(&opened);
    }
    let existing = match force {
        true => Existing::ReplaceOurs,
        false => Existing::Refuse,
    };
    let opened = open_to_write(&source, read, Check::Look)?;
    let output = output.unwrap_or_else(|| PathBuf::from("."));
    let folder = app::package_sboms(&opened, &output, existing)?;
    note_sboms(&opened);
    print(&format!("{}\n", folder.display()))
}

/// Writes the page of a package's SBOMs.
fn page(
    source: &str,
    file: &Path,
    against: Option<&str>,
    read: ReadArgs,
) -> Result<(), CommandError> {
    let options = read.into_options(Check::Look)?;
    let opened = Opened::open(source, &options)?;
    let since = against.map(|since| Opened::open(since, &options));
    let since = since.transpose()?;
    if file.as_os_str() == "-" {
        let mut out = Vec::new();
        app::package_page(&opened, since.as_ref(), (&mut out, "-"))?;
        print_bytes(&out)?;
    } else {
        let failed = |error: &dyn std::error::Error| {
            let message = format!("cannot write the page: {}", with_causes(error));
            CommandError::new(Exit::Environment, message)
        };
        let new = disk::NewFile::begin(file).map_err(|error| failed(&error))?;
        let named = file.to_string_lossy();
        app::package_page(&opened, since.as_ref(), (new.file(), &named))?;
        new.keep().map_err(|error| failed(&error))?;
    }
    note_sboms(&opened);
    Ok(())
}

fn definition(args: SourceArgs) -> Result<(), CommandError> {
    let package = documents(&open(&args.source, args.read, Check::Look)?)?;
    if args.json {
        let definition = app::package_definition(&package)?;
        return print(&format!("{:#}\n", definition.to_json()));
    }
    // Byte for byte, so that its digest can be checked.
    print_bytes(package.definition())
}

/// Prints a part of the definition: one text per line, or JSON.
fn listing(
    args: SourceArgs,
    select: &dyn Fn(&Definition) -> (Value, Vec<String>),
) -> Result<(), CommandError> {
    let package = documents(&open(&args.source, args.read, Check::Look)?)?;
    let read = app::package_definition(&package)?;
    let (value, lines) = select(&read);
    if args.json {
        return print(&format!("{value:#}\n"));
    }
    print(
        &lines
            .iter()
            .map(|line| format!("{}\n", one_line(line)))
            .collect::<String>(),
    )
}

fn images(definition: &Definition) -> (Value, Vec<String>) {
    let components = definition.components.iter();
    let listed = components.map(|component| {
        let images: Vec<&String> = component.declared_images().collect();
        (&component.name, images)
    });
    let listed = listed.filter(|(_, images)| !images.is_empty());
    let by_component: Value = listed
        .clone()
        .map(|(component, images)| json!({"component": component, "images": images}))
        .collect();
    let mut names: Vec<String> = listed
        .flat_map(|(_, images)| images.into_iter().cloned())
        .collect();
    names.sort();
    names.dedup();
    (by_component, names)
}

fn variables(definition: &Definition) -> (Value, Vec<String>) {
    let mut lines = Vec::new();
    let mut variables = Vec::new();
    for variable in &definition.variables {
        // The definition holds sensitive values, but terminals and logs must not.
        let shown = if variable.sensitive {
            "****"
        } else {
            &variable.default
        };
        lines.push(format!(
            "{}={shown}  {}",
            variable.name, variable.description
        ));
        variables.push(json!({
            "name": variable.name, "default": shown, "description": variable.description,
            "prompt": variable.prompt, "sensitive": variable.sensitive, "pattern": variable.pattern,
        }));
    }
    let mut constants = Vec::new();
    for constant in &definition.constants {
        let value = constant.value.clone().unwrap_or_default();
        lines.push(format!(
            "{}={value} (constant)  {}",
            constant.name, constant.description
        ));
        constants.push(json!({
            "name": constant.name, "value": value, "description": constant.description,
            "pattern": constant.pattern,
        }));
    }
    let lines = lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect();
    (
        json!({"variables": variables, "constants": constants}),
        lines,
    )
}

fn files(args: SourceArgs) -> Result<(), CommandError> {
    let package = documents(&open(&args.source, args.read, Check::Look)?)?;
    let listed = package.checksums().iter();
    if args.json {
        let files: Value = listed
            .map(|(path, digest)| json!({"path": path, "digest": digest.to_string()}))
            .collect();
        return print(&format!("{files:#}\n"));
    }
    let lines: String = listed
        .map(|(path, digest)| format!("{}  {path}\n", digest.hex()))
        .collect();
    print(&lines)
}
