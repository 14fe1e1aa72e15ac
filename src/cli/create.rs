//! `jackal package create`: builds the package of one folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::carry_out::{Logs, ReportArgs, carry_out};
use super::command_error::CommandError;
use super::environment::{build_facts, current_folder};
use super::exit::Exit;
use super::opened::documents;
use super::options::{BuildCacheArgs, PlanArgs, RunArgs, SplitArgs, UploadPlaceArgs};
use super::output::note;
use super::prepare::Questions;
use super::publish;
use super::remote::RemoteArgs;
use super::signing::SignArgs;
use crate::app::{
    self, Base, BuildOptions, Check, Destination, Existing, Opened, OutputOptions, Policy,
    ReadOptions, Reference, SignOptions, SkeletonOptions, Target, host_architecture,
};
use crate::text::with_causes;

const SETTINGS_HELP: &str = "\
Configuration:
  Flags can have defaults in jackal-config.toml, .yaml or .json, in this folder
  or in ~/.jackal; JACKAL_CONFIG names another file. Keys that name the cache,
  say whom to trust or override registries are only read from ~/.jackal or that
  other file, and so are places for results outside this folder. Run `jackal dev
  generate-config` for a file with every key. A variable such as
  JACKAL_PACKAGE_CREATE_FLAVOR overrides the file, and a flag overrides both.";

/// Arguments of `jackal package create`.
#[derive(Args)]
#[command(after_help = SETTINGS_HELP)]
pub(super) struct CreateArgs {
    /// Definition, by folder or file
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder for the archive, oci://HOST/PATH or oci-layout:DIR [default: .]
    #[arg(long, short, value_name = "DIR", alias = "output-directory")]
    output: Option<PathBuf>,
    /// Create a skeleton for others to import; requires -o oci-layout:DIR
    ///
    /// A skeleton is the definition with its local files.
    #[arg(long)]
    skeleton: bool,
    /// Do not ask for missing template values; fail instead
    #[arg(long, short)]
    confirm: bool,
    /// Move the tag in the registry if it names another package
    #[arg(long)]
    move_tag: bool,
    /// Leave out images and repositories that an earlier package contains
    ///
    /// Images with a mutable tag and repositories with a branch are kept. PACKAGE has
    /// the same forms as for `jackal package inspect`.
    #[arg(long, value_name = "PACKAGE", conflicts_with = "skeleton")]
    differential: Option<String>,
    /// Also write the SBOM documents to DIR/<package name>/
    #[arg(long, value_name = "DIR", conflicts_with = "skip_sbom")]
    sbom_out: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    signing: SignArgs,
    /// Older names of `--signing-key` and its password: here, `-k` is no public key.
    #[arg(long = "key", short = 'k', hide = true, conflicts_with = "signing_key")]
    older_key: Option<String>,
    #[arg(long = "key-pass", hide = true, conflicts_with = "signing_key_pass")]
    older_key_pass: Option<String>,
    /// Zarf opens a browser then; here, the page is one command away.
    #[arg(long = "sbom", short = 's', hide = true)]
    tell_of_sboms: bool,
    /// Also sign the provenance and the SBOMs
    #[arg(long, help_heading = "Signing options")]
    attest: bool,
    #[command(flatten)]
    cache: BuildCacheArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    place: UploadPlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[arg(skip)]
    of_checkout: OfCheckout,
}

/// Places for results that the configuration file of a checkout names.
#[derive(Default)]
pub(super) struct OfCheckout {
    pub(super) output: Option<PathBuf>,
    pub(super) sbom_out: Option<PathBuf>,
}

impl CreateArgs {
    /// Puts `set` before the values of `--set`, which then override it, and fills in
    /// places that the user did not name.
    pub(super) fn add_settings(&mut self, set: Vec<String>, of_checkout: OfCheckout) {
        self.plan.variant.add_templates(set);
        self.of_checkout = of_checkout;
    }
}

pub(super) fn run(mut args: CreateArgs) -> Result<(), CommandError> {
    args.signing
        .or_older(args.older_key.take(), args.older_key_pass.take());
    let output = args.output.as_deref().and_then(Path::to_str);
    let output = output.unwrap_or_default();
    if args.skeleton {
        let layout = output.strip_prefix(app::place::LAYOUT).map(PathBuf::from);
        return skeleton(args, layout);
    }
    let publish = match output {
        text if text.starts_with(app::place::LAYOUT) || Reference::url_path(text).is_some() => {
            let parsed = Destination::parse(text, &current_folder()?);
            Some(parsed.map_err(CommandError::usage)?)
        }
        _ => None,
    };
    let sboms = sbom_folder(&args)?;
    if publish.is_some() && sboms.is_some() {
        return Err(
            CommandError::usage("--sbom-out cannot be used with a published package")
                .hint("run `jackal package inspect sbom` once it is published"),
        );
    }
    if sboms.is_some() && args.plan.content.sbom.skip_sbom {
        // Clap refuses the flags; these are defaults of the configuration.
        return Err(
            CommandError::usage("the configuration sets both skip_sbom and sbom_output")
                .hint("remove one of them"),
        );
    }
    let seal = args.signing.seal(publish.is_some());
    let sign = args.signing.into_signer(args.confirm)?;
    if sign.is_none() && args.attest {
        return Err(CommandError::usage("--attest requires a signer")
            .hint("add --signing-key or --keyless"));
    }
    let place = args.place.into_place()?;
    let usual = args.of_checkout.output.unwrap_or(PathBuf::from("."));
    let mut options = BuildOptions {
        run: args.run.into_run(),
        output: OutputOptions {
            publish,
            move_tag: args.move_tag,
            sign: sign.map(|signer| SignOptions {
                signer,
                seal,
                attest: args.attest,
            }),
            ..args.split.output_to(args.output, usual)?
        },
        cache_size: args.cache.max_size()?,
        cache_from: args.cache.cache_from,
        remote: args.remote.into_options(&place.connection.hosts)?,
        ..args.plan.options(place, Target::Package(args.folder))?
    };
    if let Some(source) = &args.differential {
        options.content.differential = Some(differential_base(source, &options)?);
    }
    let questions = match args.confirm {
        true => Questions::Never,
        false => Questions::Allowed,
    };
    let archives = carry_out(&options, &args.report, Logs::NewOnly, questions)?;
    if let (true, Some(archive)) = (args.tell_of_sboms, archives.first()) {
        note(&format!(
            "help: run `jackal package inspect sbom --html FILE {archive}` for a page with the SBOMs"
        ));
    }
    if let (Some(to), Some(archive)) = (sboms, archives.first()) {
        let opened = Opened::here(Path::new(archive), &reading(&options))?;
        let folder = app::package_sboms(&opened, &to, Existing::ReplaceOurs)?;
        note(&format!("wrote the SBOMs to {}", folder.display()));
    }
    Ok(())
}

/// The folder for SBOMs: the one that the user named, or that of the checkout.
fn sbom_folder(args: &CreateArgs) -> Result<Option<PathBuf>, CommandError> {
    if args.sbom_out.is_some() {
        return Ok(args.sbom_out.clone());
    }
    let folder = args.of_checkout.sbom_out.clone();
    if let Some(folder) = &folder {
        app::stays_within(&current_folder()?, folder).map_err(|error| {
            let message = format!("the folder for SBOMs is refused: {error}");
            CommandError::new(Exit::Configuration, message)
                .hint("name the folder with --sbom-out, or remove the link")
        })?;
    }
    Ok(folder)
}

/// How a build reads packages whose content it does not use.
fn reading(options: &BuildOptions) -> ReadOptions {
    let architecture = options.variant.architecture.as_deref();
    ReadOptions {
        here: PathBuf::new(),
        connection: options.place.connection.clone(),
        architecture: architecture.unwrap_or(host_architecture()).to_owned(),
        cache: Some(options.place.cache.clone()),
        shasum: None,
        concurrency: 1,
        policy: Arc::new(Policy::without_signers(Check::Look)),
        bundles: Vec::new(),
        content_limit: None,
        stop: Arc::default(),
    }
}

/// The package whose images and repositories a differential package leaves out.
fn differential_base(source: &str, options: &BuildOptions) -> Result<Base, CommandError> {
    let opened = Opened::open(source, &reading(options))?;
    let definition = app::package_definition(&documents(&opened)?)?;
    Base::of(&definition).map_err(|error| {
        let message = format!(
            "--differential {source}: {error}",
            error = with_causes(&error)
        );
        CommandError::new(Exit::Configuration, message)
    })
}

/// Creates a skeleton in an image layout, and prints its place and digest.
fn skeleton(args: CreateArgs, layout: Option<PathBuf>) -> Result<(), CommandError> {
    let Some(layout) = layout.filter(|layout| !layout.as_os_str().is_empty()) else {
        return Err(CommandError::usage("--skeleton requires an image layout")
            .hint("pass -o oci-layout:DIR"));
    };
    let source = args.folder.to_string_lossy().into_owned();
    let seal = args.signing.seal(true);
    let signer = args.signing.into_signer(args.confirm)?;
    let skeletons = SkeletonOptions {
        variant: args.plan.variant.into_variant()?,
        pins: args.plan.pins.pins(),
        facts: build_facts(false)?,
    };
    let place = args.place.into_place()?;
    publish::into_layout(place, skeletons, source, &layout, signer, seal)
}
