//! `jackal package`: make a package the classic way, and look at finished ones.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::build::{Logs, Questions, ReportArgs, carry_out};
use super::command_error::CommandError;
use super::connection::ReadArgs;
use super::exit::Exit;
use super::options::SharedArgs;
use super::output::{note, one_line, print};
use super::package_delta::{DeltaArgs, JoinArgs, delta, join};
use super::package_diff::{DiffArgs, diff};
use super::package_sign::{PackageSignArgs, sign};
use super::publish::{PublishArgs, publish};
use super::pull::{ListTagsArgs, PullArgs, list_tags, pull};
use super::signing::SignArgs;
use crate::app::{self, BuildOptions, ExtractOptions, Opened, ReadOptions, Target};
use crate::kinds::sign::Attest;
use crate::kinds::sign::SignWork;
use crate::kinds::sign::provenance::Asked;
use crate::kinds::sign::provenance::BUILDER;
use crate::kinds::sign::signer::SignerFrom;
use crate::kinds::sign::signer::SignerNamed;
use crate::package::{Base, Definition, time};
use crate::plan::implied::host_architecture;
use crate::release::Destination;
use crate::verify::{By, Check, Policy, Scope, Signature, VerifiedPackage};

/// Where flags may be given as well.
const SETTINGS_HELP: &str = "\
Settings may stand in jackal-config.toml, .yaml or .json, in this folder or in
~/.jackal (JACKAL_CONFIG names another file), below `package.create`: flavor,
max_package_size, output, registry_override, sbom_output, set, skip_sbom, differential, signing_key, signing_key_password;
below `package.publish`: signing_key, signing_key_password; in `package`: public_key; and above
it architecture, jackal_cache. A variable such as
JACKAL_PACKAGE_CREATE_FLAVOR counts before the file, a flag before both.";

#[derive(Subcommand)]
pub(super) enum PackageCommand {
    /// Build the package of one folder
    #[command(visible_alias = "c")]
    Create(Box<CreateArgs>),
    /// Check every file of a package against its checksums and definition
    Verify(Box<SourceArgs>),
    /// Print what is in a package: its definition, or what a sub-command says
    #[command(visible_alias = "i")]
    Inspect(Box<InspectArgs>),
    /// Say what changed between two packages
    Diff(Box<DiffArgs>),
    /// Write what turns one archive into another, for where the first one is
    Delta(DeltaArgs),
    /// Make the archive that a delta was made of, byte for byte
    Join(JoinArgs),
    /// Sign a package that is there, without packing it anew
    Sign(Box<PackageSignArgs>),
    /// Put packages into registries or image layouts, as one release
    #[command(visible_alias = "p")]
    Publish(Box<PublishArgs>),
    /// Fetch a package from a registry, verified, into an archive
    Pull(Box<PullArgs>),
    /// List the tags of a repository, versions in their order
    ListTags(Box<ListTagsArgs>),
    /// Verify a package, or some of its files, and write them to a folder
    Extract(Box<ExtractArgs>),
}

/// Arguments of `jackal package create`.
#[derive(Args)]
#[command(after_help = SETTINGS_HELP)]
pub(super) struct CreateArgs {
    /// The folder with the definition
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder for the archive; or oci://HOST/PATH or oci-layout:DIR, where the
    /// package is published instead
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Make a skeleton: the definition with its local files, for others to
    /// import; needs -o oci-layout:DIR
    #[arg(long)]
    skeleton: bool,
    /// Ask nothing: a template without value is an error
    #[arg(long)]
    confirm: bool,
    /// Leave out images and repositories that this earlier package (path, oci://
    /// or https://) carries, but for those whose tag or branch moves
    #[arg(long, value_name = "PACKAGE", conflicts_with = "skeleton")]
    differential: Option<String>,
    /// Write the SBOM documents to DIR/<package name>/ as well
    #[arg(long, value_name = "DIR", conflicts_with = "skip_sbom")]
    sbom_out: Option<PathBuf>,
    /// Attest as well what the package is made of, and what is inside
    #[arg(long)]
    attest: bool,
    #[command(flatten)]
    signing: SignArgs,
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
    /// A package: path, oci:// or https://; its definition is printed
    #[arg(required = true)]
    source: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
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
        /// A package: path, oci:// or https://
        source: String,
        /// Where the folder, called like the package, is made
        #[arg(long, short, value_name = "DIR", default_value = ".")]
        output: PathBuf,
        #[command(flatten)]
        read: ReadArgs,
    },
}

#[derive(Args)]
pub(super) struct SourceArgs {
    /// A package: folder, `.tar`, `.tar.zst`, a part of a split one,
    /// oci://HOST/PATH:TAG, https://ADDRESS@sha256:HEX
    pub(super) source: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

/// Arguments of `jackal package extract`.
#[derive(Args)]
pub(super) struct ExtractArgs {
    /// A package: folder, `.tar`, `.tar.zst`, a part of a split one, oci:// or https://
    source: String,
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
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(command: PackageCommand) -> Result<(), CommandError> {
    match command {
        PackageCommand::Create(args) => create(*args),
        PackageCommand::Verify(args) => verify(*args),
        PackageCommand::Inspect(args) => inspect(*args),
        PackageCommand::Diff(args) => diff(*args),
        PackageCommand::Delta(args) => delta(&args),
        PackageCommand::Join(args) => join(&args),
        PackageCommand::Sign(args) => sign(*args),
        PackageCommand::Publish(args) => publish(*args),
        PackageCommand::Pull(args) => pull(*args),
        PackageCommand::ListTags(args) => list_tags(*args),
        PackageCommand::Extract(args) => extract(*args),
    }
}

/// Opens a package by what the user calls it.
fn opened(source: &str, read: ReadArgs, check: Check) -> Result<Opened, CommandError> {
    let options = read.into_options(check)?;
    opened_as(source, &options)
}

/// The same for whoever writes what is in it, and stops when he is told to.
fn opened_to_write(source: &str, read: ReadArgs, check: Check) -> Result<Opened, CommandError> {
    let options = ReadOptions {
        stop: super::signal::asks_to_stop(),
        ..read.into_options(check)?
    };
    opened_as(source, &options)
}

fn opened_as(source: &str, options: &ReadOptions) -> Result<Opened, CommandError> {
    Ok(Opened::open(source, options)?)
}

impl CreateArgs {
    /// Puts `set` before what `--set` says, which counts.
    pub(super) fn add_templates(&mut self, set: Vec<String>) {
        self.shared.add_templates(set);
    }
}

/// Makes a skeleton; its place and digest are told on stdout.
fn skeleton(args: CreateArgs, layout: Option<PathBuf>) -> Result<(), CommandError> {
    let Some(layout) = layout.filter(|layout| !layout.as_os_str().is_empty()) else {
        let message = "--skeleton needs a layout to write to: give -o oci-layout:DIR";
        return Err(CommandError::usage(message));
    };
    let source = args.folder.to_string_lossy().into_owned();
    let seal = args.signing.seal(true);
    let signer = args.signing.into_signer(args.confirm)?;
    let build = args
        .shared
        .into_options(Target::Package(args.folder), PathBuf::from("."))?;
    super::publish::into_layout(build, source, &layout, signer, seal)
}

fn create(args: CreateArgs) -> Result<(), CommandError> {
    let layout = args
        .output
        .to_str()
        .and_then(|text| text.strip_prefix("oci-layout:"))
        .map(PathBuf::from);
    if args.skeleton {
        return skeleton(args, layout);
    }
    let here = super::options::here()?;
    let publish = match args.output.to_str() {
        Some(text) if layout.is_some() || text.starts_with("oci://") => {
            let read = Destination::parse(text, &here);
            Some(read.map_err(CommandError::usage)?)
        }
        _ => None,
    };
    if publish.is_some() && args.sbom_out.is_some() {
        let message = "--sbom-out is for archives: `package inspect sbom` reads published packages";
        return Err(CommandError::usage(message));
    }
    if args.sbom_out.is_some() && args.shared.skips_sbom() {
        // Of flags, clap says so; these are two settings.
        let message = "the settings say both skip_sbom and sbom_output: take one of them out";
        return Err(CommandError::usage(message));
    }
    let seal = args.signing.seal(publish.is_some());
    let sign = match args.signing.into_signer(args.confirm)? {
        None if args.attest => {
            let message = "--attest needs somebody who signs: give --signing-key or --keyless";
            return Err(CommandError::usage(message));
        }
        None => None,
        Some(signer) => Some(SignWork {
            task: "sign".to_owned(),
            packages: Vec::new(),
            signer: SignerFrom::new(SignerNamed::Given(signer), None),
            seal,
            attest: Attest {
                provenance: args.attest,
                sbom: args.attest,
            },
            asked: Asked {
                builder: BUILDER.to_owned(),
                ..Asked::default()
            },
            annotations: Default::default(),
        }),
    };
    let options = args
        .shared
        .into_options(Target::Package(args.folder), args.output)?;
    let differential = match &args.differential {
        Some(source) => Some(base(source, &options)?),
        None => None,
    };
    let options = BuildOptions {
        differential,
        publish,
        sign,
        ..options
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
        let opened = Opened::here(Path::new(archive), &reading(&options))?;
        let folder = app::package_sboms(&opened, &to)?;
        note(&format!("SBOMs are in {}", folder.display()));
    }
    Ok(())
}

/// How a build looks into packages, of which nothing is used.
fn reading(options: &BuildOptions) -> ReadOptions {
    let architecture = options.architecture.as_deref();
    ReadOptions {
        connection: options.connection.clone(),
        architecture: architecture.unwrap_or(host_architecture()).to_owned(),
        cache: Some(options.cache.clone()),
        shasum: None,
        concurrency: 1,
        policy: Arc::new(Policy::without_signers(Check::Look)),
        bundles: Vec::new(),
        content_limit: None,
        stop: Arc::default(),
    }
}

/// What a differential package builds upon, with a word on what was checked.
fn base(source: &str, options: &BuildOptions) -> Result<Base, CommandError> {
    let opened = Opened::open(source, &reading(options))?;
    let package = documents(&opened)?;
    let definition = app::package_definition(&package)?;
    Base::of(&definition).map_err(|error| {
        let message = format!("--differential {source}: {error}");
        CommandError::new(Exit::Configuration, message)
    })
}

/// Who signed, when, with what, and what of it was checked.
pub(super) fn signature(found: &Signature) -> Value {
    let told = found.told();
    let Signature::Checked(signed) = found else {
        return json!({"verified": false, "told": told});
    };
    let by = match &signed.by {
        By::Key {
            name,
            fingerprint,
            algorithm,
        } => json!({"key": name, "fingerprint": fingerprint.to_string(), "algorithm": algorithm}),
        By::Identity {
            identity,
            issuer,
            claims,
        } => {
            let claims: serde_json::Map<String, Value> = claims
                .iter()
                .map(|(name, text)| ((*name).to_owned(), json!(text)))
                .collect();
            json!({"identity": identity, "issuer": issuer, "claims": claims})
        }
    };
    let times = signed.times.iter().map(|time| time::rfc3339(*time));
    let attestations = signed.attestations.iter();
    let attestations: Value = attestations
        .map(|found| json!({"predicateType": found.predicate_type, "builder": found.builder}))
        .collect();
    let root = signed.root.as_ref();
    json!({
        "verified": true,
        "told": told,
        "by": by,
        "foundIn": signed.found_in,
        "signedAt": times.collect::<Value>(),
        "checks": signed.checks,
        "trustedRoot": root.map(|(name, digest)| json!({"name": name, "digest": digest.to_string()})),
        "attestations": attestations,
    })
}

fn verify(args: SourceArgs) -> Result<(), CommandError> {
    let (source, as_json) = (args.source, args.json);
    let opened = opened(&source, args.read, Check::Use)?;
    let package = app::package_verify(&opened)?;
    let bytes: u64 = package.files().values().map(|(_, size)| size).sum();
    let files = package.files().len();
    if as_json {
        let told = json!({
            "source": source,
            "dialect": package.dialect().word(),
            "files": files,
            "bytes": bytes,
            "checks": ["aggregateChecksum", "checksums", "missing", "extra"],
            "signature": signature(package.signature()),
        });
        return print(&format!("{told:#}\n"));
    }
    print(&format!(
        "{source}: {files} files, {bytes} bytes, all as listed; {}\n",
        package.signature().told(),
    ))
}

fn inspect(args: InspectArgs) -> Result<(), CommandError> {
    match (args.what, args.source) {
        (None, None) => Err(CommandError::usage("name a package")),
        (None, Some(source)) => definition(SourceArgs {
            source,
            json: false,
            read: args.read,
        }),
        (Some(InspectCommand::Definition(args)), _) => definition(args),
        (Some(InspectCommand::Images(args)), _) => listing(args, &images),
        (Some(InspectCommand::Variables(args)), _) => listing(args, &variables),
        (Some(InspectCommand::Files(args)), _) => files(args),
        (
            Some(InspectCommand::Sbom {
                source,
                output,
                read,
            }),
            _,
        ) => {
            let opened = opened_to_write(&source, read, Check::Look)?;
            let folder = app::package_sboms(&opened, &output)?;
            note(&partly(&source, "sboms.tar was checked"));
            print(&format!("{}\n", folder.display()))
        }
    }
}

fn partly(source: &str, checked: &str) -> String {
    format!("{source}: {checked}; for the rest, run `jackal package verify`")
}

/// The documents of a package, with a word on what was checked.
fn documents(opened: &Opened) -> Result<VerifiedPackage, CommandError> {
    let package = app::package_documents(opened)?;
    let checked = format!(
        "{}; only the definition was checked",
        package.signature().told()
    );
    note(&partly(&opened.name, &checked));
    Ok(package)
}

fn definition(args: SourceArgs) -> Result<(), CommandError> {
    let package = documents(&opened(&args.source, args.read, Check::Look)?)?;
    if args.json {
        let read = app::package_definition(&package)?;
        return print(&format!("{:#}\n", read.to_json()));
    }
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        drop(out);
        return print(&String::from_utf8_lossy(package.definition()));
    }
    out.write_all(package.definition())
        .and_then(|()| out.flush())
        .map_err(|error| CommandError::io("stdout", error))
}

/// Prints what `select` takes from the definition: a line a text, or JSON.
fn listing(
    args: SourceArgs,
    select: &dyn Fn(&Definition) -> (Value, Vec<String>),
) -> Result<(), CommandError> {
    let package = documents(&opened(&args.source, args.read, Check::Look)?)?;
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

fn files(args: SourceArgs) -> Result<(), CommandError> {
    let package = documents(&opened(&args.source, args.read, Check::Look)?)?;
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
fn bare_name(source: &str) -> PathBuf {
    let address = source.contains("://");
    // Of an address, the last word without tag or digest.
    let source = match address {
        true => source.split('@').next().unwrap_or(source),
        false => source,
    };
    let name = Path::new(source).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let name = match name.split_once(':') {
        Some((name, _)) if address => name.to_owned(),
        _ => name.into_owned(),
    };
    let whole = match name.rsplit_once(".part") {
        Some((whole, number)) if number.len() == 3 => whole,
        _ => name.as_str(),
    };
    let bare = whole.strip_suffix(".zst").unwrap_or(whole);
    PathBuf::from(bare.strip_suffix(".tar").unwrap_or(bare))
}

fn extract(args: ExtractArgs) -> Result<(), CommandError> {
    let options = ExtractOptions {
        to: args.output.unwrap_or_else(|| bare_name(&args.source)),
        only: args.paths,
        unarchive: args.unarchive,
        force: args.force,
    };
    let opened = opened_to_write(&args.source, args.read, Check::Use)?;
    let package = app::package_extract(&opened, &options)?;
    match package.scope() {
        Scope::Given if !options.only.is_empty() => {
            note(&partly(&args.source, "what was extracted was checked"));
        }
        _ => note(&format!("{}: {}", args.source, package.signature().told())),
    }
    print(&format!("{}\n", options.to.display()))
}
