//! `jackal sbom`: the document of a folder, a file, an image or a package.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::carry_out::{self, Logs, ReportArgs};
use super::command_error::CommandError;
use super::environment::{build_facts, current_folder, is_shown, program, runtime, variables};
use super::exit::Exit;
use super::opened::note_sboms;
use super::output::{note, one_line, print, print_bytes};
use super::package_diff;
use super::read::ReadArgs;
use super::values::SbomFormatArg;
use crate::app::{
    self, CacheFolder, Catalogue, Check, Opened, Place, ReadOptions, SbomDocument, SbomFormat,
    SbomSubject, Variant, rfc3339,
};
use crate::disk::{self, look};
use crate::text::with_causes;

/// Arguments of `jackal sbom`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SbomCommandArgs {
    #[command(subcommand)]
    what: Option<SbomCommand>,
    #[arg(required = true, help = SUBJECT, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Format [default: a table on a terminal, otherwise syft-json]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatArg>,
    /// Of a package: the document of this image or component
    ///
    /// Needed for a package with several, unless they are shown as tables.
    #[arg(long, value_name = "NAME")]
    select: Option<String>,
    /// Write to FILE instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Subcommand)]
enum SbomCommand {
    /// Compare two documents: which packages came, went and changed
    Diff {
        #[arg(help = SUBJECT)]
        first: String,
        /// What to compare it with
        second: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        read: ReadArgs,
    },
}

const SUBJECT: &str = "Folder, file, image (with `oci:`, `oci-archive:` or `docker-archive:` \
    for one on disk), package, or syft-JSON document";

#[derive(Clone, Copy, PartialEq, Eq)]
struct FormatArg(SbomFormat);

impl ValueEnum for FormatArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: &[FormatArg] = &[
            FormatArg(SbomFormat::SyftJson),
            FormatArg(SbomFormat::SpdxJson),
            FormatArg(SbomFormat::Spdx3Json),
            FormatArg(SbomFormat::CycloneDxJson),
            FormatArg(SbomFormat::Table),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        SbomFormatArg(self.0).to_possible_value()
    }
}

pub(super) fn run(args: SbomCommandArgs) -> Result<(), CommandError> {
    let subject = match (args.what, args.subject) {
        (
            Some(SbomCommand::Diff {
                first,
                second,
                json,
                read,
            }),
            _,
        ) => return diff(&first, &second, json, read),
        (None, None) => return Err(CommandError::usage("no subject given")),
        (None, Some(subject)) => subject,
    };
    let format = match args.format {
        Some(FormatArg(format)) => format,
        None if args.output.is_none() && is_shown() => SbomFormat::Table,
        None => SbomFormat::SyftJson,
    };
    let mut documents = Vec::new();
    let options = args.read.into_options(Check::Look)?;
    each(
        &subject,
        &options,
        args.select.as_deref(),
        &mut |document| {
            documents.push(document);
        },
    )?;
    for document in &documents {
        note_lacking(&document.json, format);
    }
    let out = match (format, &documents[..]) {
        (SbomFormat::Table, documents) => tables(documents)?,
        (_, [document]) => written(document, format)?,
        (_, several) => {
            let names: Vec<String> = (several.iter())
                .map(|document| format!("`{}`", one_line(&document.name)))
                .collect();
            let message = format!(
                "`{subject}` has {} documents: choose one with --select, of {}",
                names.len(),
                names.join(", ")
            );
            return Err(CommandError::usage(message));
        }
    };
    match args.output.filter(|file| file.as_os_str() != "-") {
        None => print_bytes(&out),
        Some(file) if file.parent().is_some_and(is_missing) => {
            let message = format!("cannot write `{}`: there is no such folder", file.display());
            Err(CommandError::usage(message))
        }
        Some(file) => disk::write(&file, &out)
            .map_err(|error| CommandError::new(Exit::Environment, with_causes(&error))),
    }
}

fn is_missing(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && !look::exists(folder)
}

fn written(document: &SbomDocument, format: SbomFormat) -> Result<Vec<u8>, CommandError> {
    let created = build_facts(false)?.timestamp;
    let created = rfc3339(created).unwrap_or_default();
    app::sbom_as(document, format, &created).map_err(|error| {
        let message = format!("`{}` is not syft-JSON: {error}", document.name);
        CommandError::new(Exit::Verification, message)
    })
}

/// Prints every document of a package as a table.
pub(super) fn show(opened: &Opened) -> Result<(), CommandError> {
    let mut documents = Vec::new();
    app::package_documents_of(opened, None, &mut |document| {
        documents.push(document);
        Ok(())
    })?;
    note_sboms(opened);
    print_bytes(&tables(&documents)?)
}

fn tables(documents: &[SbomDocument]) -> Result<Vec<u8>, CommandError> {
    let mut out = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if documents.len() > 1 {
            let gap = if index > 0 { "\n" } else { "" };
            out.extend(format!("{gap}{}:\n", one_line(&document.name)).bytes());
        }
        out.extend(written(document, SbomFormat::Table)?);
    }
    Ok(out)
}

/// Calls `take` with every document of a subject that `select` names.
fn each(
    subject: &str,
    options: &ReadOptions,
    select: Option<&str>,
    take: &mut dyn FnMut(SbomDocument),
) -> Result<(), CommandError> {
    let here = current_folder()?;
    let found = SbomSubject::of(subject, &here);
    if select.is_some() && found != SbomSubject::Package {
        return Err(CommandError::usage(format!(
            "--select chooses a document of a package; `{subject}` is not a package"
        )));
    }
    let name = subject.to_owned();
    match found {
        SbomSubject::Package => {
            let opened = Opened::open(subject, options)?;
            app::package_documents_of(&opened, select, &mut |document| {
                take(document);
                Ok(())
            })?;
            note_sboms(&opened);
        }
        SbomSubject::Document(path) => {
            let json = app::read_document(&path)
                .map_err(|error| CommandError::io(format!("cannot read `{subject}`"), error))?;
            take(SbomDocument { name, json });
        }
        SbomSubject::Tree(path) => {
            let json = app::tree_sbom(&path, subject)?;
            take(SbomDocument { name, json });
        }
        SbomSubject::Missing if subject.is_empty() => {
            return Err(CommandError::usage("no subject given: it is empty"));
        }
        SbomSubject::Missing => {
            return Err(CommandError::usage(format!(
                "there is no file or folder `{subject}`"
            )));
        }
        SbomSubject::Foreign(format) => {
            return Err(CommandError::usage(format!(
                "`{subject}` is a document in {format}; only syft-JSON can be read: pass what it is about, or a document made with --format syft-json"
            )));
        }
        SbomSubject::Image(image) => {
            if !subject.contains(['/', ':']) {
                note(&format!(
                    "there is no file or folder `{subject}` here: asking a registry"
                ));
            }
            let json = of_image(&image, options, here.clone())?;
            note_attached(&image, &place_of(options, here)?, &json)?;
            take(SbomDocument { name, json });
        }
        SbomSubject::Layout(path, wanted) => {
            let (wanted, arch) = (wanted.as_deref(), options.architecture.as_str());
            let place = place_of(options, here)?;
            let making = app::layout_sbom(&place, (&path, subject), wanted, arch)?;
            let made = runtime()?.block_on(making)?;
            let json = made.ok_or_else(|| no_file_system(subject))?;
            take(SbomDocument { name, json });
        }
    }
    Ok(())
}

/// Names what a document lacks that is shown in `format`.
fn note_lacking(json: &[u8], format: SbomFormat) {
    // What cannot be parsed is an error later.
    let Ok((unread, any)) = app::unread(json) else {
        return;
    };
    if !any {
        note("warning: no packages were found");
    }
    // A table lists them all.
    if let Some(warning) = app::unread_warning(&unread).filter(|_| format != SbomFormat::Table) {
        note(&format!("warning: {warning}"));
    }
}

/// Most attached SBOMs, and most problems with them, that are named.
const NAMED: usize = 5;

/// Names the SBOMs that are attached to an image, which are not used: the document says
/// what jackal found.
fn note_attached(image: &str, place: &Place, json: &[u8]) -> Result<(), CommandError> {
    let attached = match runtime()?.block_on(app::attached_sboms(place, image, json)) {
        Ok(attached) => attached,
        Err(error) => {
            let reason = with_causes(&error);
            note(&format!(
                "warning: `{image}` may have an SBOM of its publisher: {reason}"
            ));
            return Ok(());
        }
    };
    for sbom in attached.found.iter().take(NAMED) {
        let (format, digest, size) = (&sbom.format, sbom.digest, sbom.size);
        let shown = format!("{format}, {digest}, {size} bytes ({})", sbom.place);
        note(&format!(
            "an SBOM is attached to `{image}`, not verified and not used: {shown}"
        ));
    }
    for problem in attached.problems.iter().take(NAMED) {
        note(&format!(
            "warning: of what is attached to `{image}`, {problem}"
        ));
    }
    Ok(())
}

fn place_of(options: &ReadOptions, here: PathBuf) -> Result<Place, CommandError> {
    Ok(Place {
        here,
        cache: cache_of(options)?,
        connection: options.connection.clone(),
        program: program(),
        environment: variables(),
        content_limit: options.content_limit,
    })
}

fn of_image(image: &str, options: &ReadOptions, here: PathBuf) -> Result<Vec<u8>, CommandError> {
    let place = place_of(options, here)?;
    let variant = Variant {
        architecture: Some(options.architecture.clone()),
        ..Variant::default()
    };
    let planned = app::image_sbom(place, variant, image)?;
    let built = carry_out::run(planned.prepared, &ReportArgs::quiet(), Logs::ErrorsOnly)?;
    app::sbom_of_build(&built)?.ok_or_else(|| no_file_system(image))
}

fn no_file_system(image: &str) -> CommandError {
    let message = format!("`{image}` has no file system to catalogue");
    CommandError::new(Exit::Verification, message)
}

fn cache_of(options: &ReadOptions) -> Result<CacheFolder, CommandError> {
    let cache = options.cache.clone();
    cache.ok_or_else(|| CommandError::usage("there is no folder for the cache: pass --cache-dir"))
}

fn diff(first: &str, second: &str, json: bool, read: ReadArgs) -> Result<(), CommandError> {
    let options = read.into_options(Check::Look)?;
    let here = current_folder()?;
    let listed = |subject: &str| -> Result<Catalogue, CommandError> {
        if SbomSubject::of(subject, &here) == SbomSubject::Package {
            return Ok(app::listed_in(&Opened::open(subject, &options)?)?);
        }
        let mut documents = Vec::new();
        each(subject, &options, None, &mut |document| {
            note_lacking(&document.json, SbomFormat::SyftJson);
            documents.push(document);
        })?;
        app::listed(&documents).map_err(|error| {
            let message = format!("`{subject}` cannot be compared: {error}");
            CommandError::new(Exit::Verification, message)
        })
    };
    let changes = app::sbom_diff(listed(first)?, listed(second)?);
    if json {
        return print(&format!("{:#}\n", app::changes_as_json(&changes)));
    }
    let mut text = package_diff::lines("", &changes, |versions| versions.join(", "));
    if changes.is_empty() {
        text.push_str(package_diff::SAME);
    }
    print(&text)
}
