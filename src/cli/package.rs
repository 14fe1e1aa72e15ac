//! `jackal package`: make a package the classic way, and look at finished ones.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::build::{Logs, Questions, Refused, ReportArgs, carry_out, note, print};
use super::exit::Exit;
use super::options::SharedArgs;
use super::package_delta::{DeltaArgs, JoinArgs, delta, join};
use super::package_diff::{DiffArgs, diff};
use super::publish::{PublishArgs, publish};
use crate::app::{self, BuildOptions, ExtractOptions, PackageReadError, Target};
use crate::layout::LayoutError;
use crate::package::{Base, Definition};
use crate::verify::{Scope, Signature, VerifiedPackage};

/// Where flags may be given as well.
const SETTINGS_HELP: &str = "\
Settings may stand in jackal-config.toml, .yaml or .json, in this folder or in
~/.jackal (JACKAL_CONFIG names another file), below `package.create`: flavor,
max_package_size, output, registry_override, sbom_output, set, skip_sbom, differential; and
above it architecture, jackal_cache. A variable such as
JACKAL_PACKAGE_CREATE_FLAVOR counts before the file, a flag before both.";

#[derive(Subcommand)]
pub(super) enum PackageCommand {
    /// Build the package of one folder
    #[command(visible_alias = "c")]
    Create(Box<CreateArgs>),
    /// Check every file of a package against its checksums and definition
    Verify {
        /// A package: folder, `.tar`, `.tar.zst` or a part of a split one
        source: PathBuf,
        /// Say what was checked as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what is in a package: its definition, or what a sub-command says
    #[command(visible_alias = "i")]
    Inspect(InspectArgs),
    /// Say what changed between two packages
    Diff(DiffArgs),
    /// Write what turns one archive into another, for where the first one is
    Delta(DeltaArgs),
    /// Make the archive that a delta was made of, byte for byte
    Join(JoinArgs),
    /// Put packages into registries or image layouts, as one release
    #[command(visible_alias = "p")]
    Publish(Box<PublishArgs>),
    /// Verify a package, or some of its files, and write them to a folder
    Extract(ExtractArgs),
}

/// Arguments of `jackal package create`.
#[derive(Args)]
#[command(after_help = SETTINGS_HELP)]
pub(super) struct CreateArgs {
    /// The folder with the definition
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder for the archive
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Make a skeleton: the definition with its local files, for others to
    /// import; needs -o oci-layout:DIR
    #[arg(long)]
    skeleton: bool,
    /// Ask nothing: a template without value is an error
    #[arg(long)]
    confirm: bool,
    /// Leave out images and repositories that this earlier package carries,
    /// but for those whose tag or branch moves
    #[arg(long, value_name = "PACKAGE", conflicts_with = "skeleton")]
    differential: Option<PathBuf>,
    /// Write the SBOM documents to DIR/<package name>/ as well
    #[arg(long, value_name = "DIR", conflicts_with = "skip_sbom")]
    sbom_out: Option<PathBuf>,
    #[command(flatten)]
    shared: SharedArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Arguments of `jackal package inspect`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct InspectArgs {
    #[command(subcommand)]
    what: Option<InspectCommand>,
    /// A package; its definition is printed
    #[arg(required = true)]
    source: Option<PathBuf>,
}

#[derive(Subcommand)]
enum InspectCommand {
    /// The definition, byte for byte, or as JSON
    Definition(SourceArgs),
    /// The images, by component
    Images(SourceArgs),
    /// The variables and constants
    Variables(SourceArgs),
    /// Every file with its digest
    Files(SourceArgs),
    /// Write the SBOM documents to a folder
    Sbom {
        /// A package
        source: PathBuf,
        /// Where the folder, called like the package, is made
        #[arg(long, short, value_name = "DIR", default_value = ".")]
        output: PathBuf,
    },
}

#[derive(Args)]
struct SourceArgs {
    /// A package: folder, `.tar`, `.tar.zst` or a part of a split one
    source: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `jackal package extract`.
#[derive(Args)]
pub(super) struct ExtractArgs {
    /// A package: folder, `.tar`, `.tar.zst` or a part of a split one
    source: PathBuf,
    /// Only these files, or folders of them, such as `sboms.tar` or `images`
    paths: Vec<String>,
    /// The folder to make (default: the package's file name without its ending)
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Unpack component tars and SBOMs as well
    #[arg(long, visible_alias = "unarchive-all")]
    unarchive: bool,
    /// Replace the folder if it is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(command: PackageCommand) -> Result<(), Refused> {
    match command {
        PackageCommand::Create(args) => create(*args),
        PackageCommand::Verify { source, json } => verify(&source, json),
        PackageCommand::Inspect(args) => inspect(args),
        PackageCommand::Diff(args) => diff(&args),
        PackageCommand::Delta(args) => delta(&args),
        PackageCommand::Join(args) => join(&args),
        PackageCommand::Publish(args) => publish(*args),
        PackageCommand::Extract(args) => extract(args),
    }
}

pub(super) fn refused(error: &PackageReadError) -> Refused {
    let exit = match error {
        PackageReadError::Layout(
            LayoutError::Absent(_) | LayoutError::Io { .. } | LayoutError::Output { .. },
        )
        | PackageReadError::Write { .. } => Exit::Environment,
        // It was read, and is made as no package should be.
        PackageReadError::Layout(_) => Exit::Verification,
        PackageReadError::Exists(_) | PackageReadError::NoFile(..) => Exit::Usage,
        PackageReadError::Refused(_)
        | PackageReadError::Definition(_)
        | PackageReadError::NoSbom(_)
        | PackageReadError::Document { .. }
        | PackageReadError::Name(_) => Exit::Verification,
    };
    (exit, error.to_string())
}

impl CreateArgs {
    /// Puts `set` before what `--set` says, which counts.
    pub(super) fn add_templates(&mut self, set: Vec<String>) {
        self.shared.add_templates(set);
    }
}

/// Makes a skeleton; its place and digest are told on stdout.
fn skeleton(args: CreateArgs, layout: Option<PathBuf>) -> Result<(), Refused> {
    let Some(layout) = layout.filter(|layout| !layout.as_os_str().is_empty()) else {
        let message = "--skeleton needs a layout to write to: give -o oci-layout:DIR";
        return Err((Exit::Usage, message.to_owned()));
    };
    let source = args.folder.to_string_lossy().into_owned();
    let build = args
        .shared
        .into_options(Target::Package(args.folder), PathBuf::from("."))?;
    super::publish::into_layout(build, source, &layout)
}

fn create(args: CreateArgs) -> Result<(), Refused> {
    let layout = args
        .output
        .to_str()
        .and_then(|text| text.strip_prefix("oci-layout:"))
        .map(PathBuf::from);
    if args.skeleton {
        return skeleton(args, layout);
    }
    if layout.is_some() {
        let message = "-o oci-layout: is for --skeleton only: name a folder";
        return Err((Exit::Usage, message.to_owned()));
    }
    if args.sbom_out.is_some() && args.shared.skips_sbom() {
        // Of flags, clap says so; these are two settings.
        let message = "the settings say both skip_sbom and sbom_output: take one of them out";
        return Err((Exit::Usage, message.to_owned()));
    }
    let differential = args.differential.as_deref().map(base).transpose()?;
    let options = BuildOptions {
        differential,
        ..args
            .shared
            .into_options(Target::Package(args.folder), args.output)?
    };
    let questions = match args.confirm {
        true => Questions::Never,
        false => Questions::Asked,
    };
    let archives = carry_out(&options, &args.report, Logs::NewOnly, questions)?;
    let Some(to) = args.sbom_out else {
        return Ok(());
    };
    for archive in archives.iter().take(1) {
        let folder = app::package_sboms(Path::new(archive), &to).map_err(|e| refused(&e))?;
        note(&format!("SBOMs are in {}", folder.display()));
    }
    Ok(())
}

/// What a differential package builds upon, with a word on what was checked.
fn base(source: &Path) -> Result<Base, Refused> {
    let package = documents(source)?;
    let definition = app::package_definition(&package).map_err(|error| refused(&error))?;
    Base::of(&definition).map_err(|error| {
        let message = format!("--differential {}: {error}", source.display());
        (Exit::Configuration, message)
    })
}

fn signature(package: &VerifiedPackage) -> &'static str {
    match package.signature() {
        Signature::Absent => "not signed",
        Signature::NotChecked => "signature NOT checked",
    }
}

fn verify(source: &Path, as_json: bool) -> Result<(), Refused> {
    let package = app::package_verify(source).map_err(|error| refused(&error))?;
    let bytes: u64 = package.files().values().map(|(_, size)| size).sum();
    let files = package.files().len();
    if as_json {
        let told = json!({
            "source": source.to_string_lossy(),
            "dialect": package.dialect().word(),
            "files": files,
            "bytes": bytes,
            "checks": ["aggregateChecksum", "checksums", "missing", "extra"],
            "signature": signature(&package),
        });
        return print(&format!("{told:#}\n"));
    }
    print(&format!(
        "{}: {files} files, {bytes} bytes, all as listed; {}\n",
        source.display(),
        signature(&package),
    ))
}

fn inspect(args: InspectArgs) -> Result<(), Refused> {
    match (args.what, args.source) {
        (None, None) => Err((Exit::Usage, "name a package".to_owned())),
        (None, Some(source)) => definition(&SourceArgs {
            source,
            json: false,
        }),
        (Some(InspectCommand::Definition(args)), _) => definition(&args),
        (Some(InspectCommand::Images(args)), _) => listing(&args, &images),
        (Some(InspectCommand::Variables(args)), _) => listing(&args, &variables),
        (Some(InspectCommand::Files(args)), _) => files(&args),
        (Some(InspectCommand::Sbom { source, output }), _) => {
            let folder = app::package_sboms(&source, &output).map_err(|e| refused(&e))?;
            note(&partly(&source, "sboms.tar was checked"));
            print(&format!("{}\n", folder.display()))
        }
    }
}

fn partly(source: &Path, checked: &str) -> String {
    format!(
        "{}: {checked}; for the rest, run `jackal package verify`",
        source.display()
    )
}

/// The documents of a package, with a word on what was checked.
fn documents(source: &Path) -> Result<VerifiedPackage, Refused> {
    let package = app::package_documents(source).map_err(|error| refused(&error))?;
    let checked = format!("{}; only the definition was checked", signature(&package));
    note(&partly(source, &checked));
    Ok(package)
}

fn definition(args: &SourceArgs) -> Result<(), Refused> {
    let package = documents(&args.source)?;
    if args.json {
        let read = app::package_definition(&package).map_err(|error| refused(&error))?;
        return print(&format!("{:#}\n", read.to_json()));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(package.definition())
        .and_then(|()| out.flush())
        .map_err(|error| (Exit::Environment, format!("stdout: {error}")))
}

/// Prints what `select` takes from the definition: a line a text, or JSON.
fn listing(
    args: &SourceArgs,
    select: &dyn Fn(&Definition) -> (Value, Vec<String>),
) -> Result<(), Refused> {
    let package = documents(&args.source)?;
    let read = app::package_definition(&package).map_err(|error| refused(&error))?;
    let (value, lines) = select(&read);
    if args.json {
        return print(&format!("{value:#}\n"));
    }
    print(
        &lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
}

fn images(definition: &Definition) -> (Value, Vec<String>) {
    let components = definition.components.iter();
    let by_component: Value = components
        .clone()
        .filter(|component| !component.images.is_empty())
        .map(|component| json!({"component": component.name, "images": component.images}))
        .collect();
    let mut names: Vec<String> = components.flat_map(|c| c.images.iter().cloned()).collect();
    names.sort();
    names.dedup();
    (by_component, names)
}

fn variables(definition: &Definition) -> (Value, Vec<String>) {
    let mut lines = Vec::new();
    let mut variables = Vec::new();
    for variable in &definition.variables {
        // What is sensitive stands in the definition, yet not in every log.
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

fn files(args: &SourceArgs) -> Result<(), Refused> {
    let package = documents(&args.source)?;
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

/// The file name without what says how it is packed.
fn bare_name(source: &Path) -> PathBuf {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let whole = match name.rsplit_once(".part") {
        Some((whole, number)) if number.len() == 3 => whole,
        _ => &name,
    };
    let bare = whole.strip_suffix(".zst").unwrap_or(whole);
    PathBuf::from(bare.strip_suffix(".tar").unwrap_or(bare))
}

fn extract(args: ExtractArgs) -> Result<(), Refused> {
    let options = ExtractOptions {
        to: args.output.unwrap_or_else(|| bare_name(&args.source)),
        source: args.source,
        only: args.paths,
        unarchive: args.unarchive,
        force: args.force,
    };
    let package = app::package_extract(&options).map_err(|error| refused(&error))?;
    match package.scope() {
        Scope::Given if !options.only.is_empty() => {
            note(&partly(&options.source, "what was extracted was checked"));
        }
        _ => note(&format!(
            "{}: {}",
            options.source.display(),
            signature(&package)
        )),
    }
    print(&format!("{}\n", options.to.display()))
}
