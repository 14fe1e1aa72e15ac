//! Groups of flags that several commands share. A command takes only the groups
//! that it uses, so that its help lists nothing without effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::command_error::CommandError;
use super::connection::{ConnectionArgs, UploadArgs};
use super::environment::{build_facts, cache_folder, current_folder, program, variables};
use super::values::{SbomFormatArg, listed_pairs, megabytes, pairs, size, templates};
use crate::app::{
    self, BuildOptions, CacheFolder, ContentOptions, Growth, MAX_DOWNLOAD_BYTES, OutputOptions,
    Pins, Place, RunOptions, SbomFormat, SkeletonOptions, Target, TrustedImports, Variant,
    is_pipeline,
};

/// Which packages or tasks a plan is made of.
#[derive(Args)]
pub(super) struct TargetArgs {
    /// What to plan: folders, definitions, pipeline files, or tasks
    ///
    /// FOLDER is everything in a folder and below it, FOLDER:TASK and :TASK a task in one
    /// folder or in all, tag:NAME all tasks with a tag. !TARGET leaves out. Without
    /// targets: the current folder and everything below it. Tasks that publish must be
    /// named, directly or by their file.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Plan this pipeline file
    #[arg(long, value_name = "FILE", conflicts_with = "targets")]
    pipeline: Option<PathBuf>,
    /// Set a pipeline parameter (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

impl TargetArgs {
    pub(super) fn into_target(self) -> Result<Target, CommandError> {
        let params = params_of(&self.params)?;
        let words = self.targets;
        Ok(match (self.pipeline, words.as_slice()) {
            (Some(file), _) => Target::Pipeline { file, params },
            (None, [file]) if is_pipeline(Path::new(file)) => Target::Pipeline {
                file: file.into(),
                params,
            },
            (None, _) => Target::Words { words, params },
        })
    }
}

/// Parameters set by `--param`, and by environment variables.
pub(super) fn params_of(given: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let mut params = params_of_environment();
    params.extend(pairs("--param", given)?);
    Ok(params)
}

/// Parameters set by environment variables.
fn params_of_environment() -> BTreeMap<String, String> {
    let given = variables().into_iter();
    let given = given.filter(|(_, value)| !value.is_empty());
    let params = given.filter_map(|(name, value)| {
        let name = name.strip_prefix("JACKAL_PARAM_")?;
        Some((name.to_owned(), value))
    });
    params.collect()
}

/// Selected tasks of a plan.
#[derive(Args)]
pub(super) struct TaskArgs {
    /// Only this task and its dependencies (repeatable)
    #[arg(long = "task", value_name = "NAME")]
    pub(super) tasks: Vec<String>,
}

/// Which variant of a package.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct VariantArgs {
    /// Architecture of the package, such as amd64 or arm64
    #[arg(long, short, value_name = "ARCH")]
    pub(super) architecture: Option<String>,
    /// Include components of this flavor
    #[arg(
        long,
        short,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    flavor: String,
    /// Set a package template: A=VALUE fills ###JACKAL_PKG_TMPL_A### (repeatable)
    #[arg(long = "set", value_name = "A=VALUE", alias = "create-set")]
    set: Vec<String>,
    /// Templates of the configuration file, which `--set` overrides
    #[arg(skip)]
    configured: Vec<String>,
    /// Allow commands of imported skeletons: all, or those under URL (repeatable)
    ///
    /// `onCreate` actions of a skeleton run on this machine. They are refused unless
    /// allowed here, and can then access only the files of the skeleton and declared
    /// variables.
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ALL_IMPORTS,
        env = "JACKAL_ALLOW_IMPORT_ACTIONS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    allow_import_actions: Vec<String>,
}

/// The value of `--allow-import-actions` if none is given.
const ALL_IMPORTS: &str = "*";

/// Which skeletons' commands may run. An empty variable counts as unset.
fn trusted(mut urls: Vec<String>) -> TrustedImports {
    urls.retain(|url| !url.is_empty());
    match urls.iter().any(|url| url == ALL_IMPORTS) {
        true => TrustedImports::Everything,
        false if urls.is_empty() => TrustedImports::Nothing,
        false => TrustedImports::Below(urls),
    }
}

impl VariantArgs {
    pub(super) fn add_templates(&mut self, configured: Vec<String>) {
        self.configured = configured;
    }

    pub(super) fn into_variant(self) -> Result<Variant, CommandError> {
        let named = templates(&self.set)?;
        let given = named.keys().cloned().collect();
        let mut set = templates(&self.configured)?;
        set.extend(named);
        Ok(Variant {
            architecture: self.architecture,
            flavor: self.flavor,
            set,
            given,
            trusted_imports: trusted(self.allow_import_actions),
        })
    }
}

/// Pins and the network.
#[derive(Args)]
pub(super) struct PinArgs {
    /// Fail if jackal.lock lacks a pin
    #[arg(long)]
    locked: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
}

impl PinArgs {
    pub(super) fn pins(&self) -> Pins {
        match (self.offline, self.locked) {
            (true, _) => Pins::Offline,
            (false, true) => Pins::Locked,
            (false, false) => Pins::Add,
        }
    }
}

/// The cache folder.
#[derive(Args)]
pub(super) struct OwnCacheArgs {
    /// Cache folder [default: ~/.cache/jackal]
    #[arg(
        long,
        value_name = "DIR",
        env = "JACKAL_CACHE",
        hide_env_values = true,
        aliases = ["cache", "jackal-cache", "zarf-cache"]
    )]
    cache_dir: Option<PathBuf>,
}

impl OwnCacheArgs {
    pub(super) fn into_path(self) -> Result<PathBuf, CommandError> {
        cache_folder(self.cache_dir)
    }
}

/// The cache folder, or one of others.
#[derive(Args)]
#[command(next_help_heading = "Cache options")]
pub(super) struct CacheDirArgs {
    #[command(flatten)]
    own: OwnCacheArgs,
    /// Read this cache, even if others can write to it; store nothing in it
    ///
    /// Without this flag, jackal refuses a cache that another user owns or may
    /// write to, because it could hold false results.
    #[arg(long, value_name = "DIR")]
    shared_cache: Option<PathBuf>,
}

impl CacheDirArgs {
    pub(super) fn into_folder(self) -> Result<CacheFolder, CommandError> {
        match self.shared_cache {
            Some(path) => Ok(CacheFolder { path, shared: true }),
            None => Ok(self.own.into_path()?.into()),
        }
    }
}

fn content_limits() -> String {
    format!(
        "Maximum size of a download, and of what an archive or layer unpacks to\n\n\
         Default: {}GiB for a download; for an archive with extractPath, {}; for the SBOM of a layer, {}",
        MAX_DOWNLOAD_BYTES >> 30,
        Growth::EXTRACTED,
        Growth::LAYER
    )
}

/// The environment of a command.
#[derive(Args)]
pub(super) struct PlaceArgs {
    #[command(flatten)]
    cache: CacheDirArgs,
    /// Maximum size of a download, and of what an archive or layer unpacks to
    #[arg(
        long,
        long_help = content_limits(),
        value_name = "SIZE",
        help_heading = "Limits",
        env = "JACKAL_MAX_CONTENT_SIZE",
        hide_env_values = true
    )]
    max_content_size: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl PlaceArgs {
    pub(super) fn into_place(self) -> Result<Place, CommandError> {
        Ok(Place {
            here: current_folder()?,
            cache: self.cache.into_folder()?,
            connection: self.connection.into_connection()?,
            program: program(),
            environment: variables(),
            content_limit: size("--max-content-size", self.max_content_size)?,
        })
    }
}

/// The same for a command that also uploads.
#[derive(Args)]
pub(super) struct UploadPlaceArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    upload: UploadArgs,
}

impl UploadPlaceArgs {
    pub(super) fn into_place(self) -> Result<Place, CommandError> {
        let mut place = self.place.into_place()?;
        self.upload.limit(&mut place.connection);
        Ok(place)
    }
}

/// Flags that change what a package holds.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct ContentArgs {
    #[command(flatten)]
    pub(super) sbom: SbomArgs,
    #[command(flatten)]
    formats: SbomFormatArgs,
    #[command(flatten)]
    overrides: OverrideArgs,
    /// Pack a page that shows the SBOMs in a browser
    ///
    /// `jackal package inspect sbom --html` makes it of any package.
    #[arg(long, conflicts_with = "skip_sbom")]
    sbom_viewer: bool,
    /// Record host and user name in the package (makes it non-reproducible)
    #[arg(long)]
    with_build_machine_info: bool,
}

/// Whether there are SBOMs.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct SbomArgs {
    /// Do not create SBOMs
    #[arg(long)]
    pub(super) skip_sbom: bool,
}

/// The formats of SBOMs besides syft-JSON.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct SbomFormatArgs {
    /// Formats of SBOMs to add to packages, separated by commas
    ///
    /// Packages always have their SBOMs in syft-json. Published packages and images get
    /// these documents attached.
    #[arg(
        long = "sbom-format",
        value_name = "FORMAT",
        value_enum,
        value_delimiter = ','
    )]
    sbom_formats: Vec<SbomFormatArg>,
}

impl SbomFormatArgs {
    pub(super) fn formats(&self) -> BTreeSet<SbomFormat> {
        self.sbom_formats.iter().map(|format| format.0).collect()
    }
}

/// Which registries images come from.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct OverrideArgs {
    /// Pull from TO images whose names begin with FROM (repeatable)
    ///
    /// The package keeps the original names. The longest match wins.
    #[arg(long = "registry-override", value_name = "FROM=TO")]
    registry_overrides: Vec<String>,
}

impl OverrideArgs {
    pub(super) fn into_content(self) -> Result<ContentOptions, CommandError> {
        Ok(ContentOptions {
            registry_overrides: listed_pairs("--registry-override", &self.registry_overrides)?,
            ..ContentOptions::default()
        })
    }
}

impl ContentArgs {
    pub(super) fn into_content(self) -> Result<ContentOptions, CommandError> {
        let sbom_formats = self.formats.formats();
        if self.sbom.skip_sbom && !sbom_formats.is_empty() {
            let message = "--sbom-format cannot be used with --skip-sbom";
            return Err(CommandError::usage(message).hint("remove one of them"));
        }
        Ok(ContentOptions {
            skip_sbom: self.sbom.skip_sbom,
            sbom_viewer: self.sbom_viewer,
            sbom_formats,
            facts: build_facts(self.with_build_machine_info)?,
            ..self.overrides.into_content()?
        })
    }
}

/// What a plan consists of besides its packages.
#[derive(Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) pins: PinArgs,
    #[command(flatten)]
    pub(super) variant: VariantArgs,
    #[command(flatten)]
    pub(super) content: ContentArgs,
}

impl PlanArgs {
    pub(super) fn options(
        self,
        place: Place,
        target: Target,
    ) -> Result<BuildOptions, CommandError> {
        Ok(BuildOptions {
            pins: self.pins.pins(),
            variant: self.variant.into_variant()?,
            content: self.content.into_content()?,
            ..BuildOptions::new(place, target)
        })
    }
}

/// One task of a plan to inspect without running it.
#[derive(Args)]
pub(super) struct PlannedArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

impl PlannedArgs {
    pub(super) fn options(self, task: &str) -> Result<BuildOptions, CommandError> {
        let place = self.place.into_place()?;
        Ok(BuildOptions {
            tasks: vec![task.to_owned()],
            ..self.plan.options(place, self.target.into_target()?)?
        })
    }
}

/// How archives are split.
#[derive(Args)]
#[command(next_help_heading = "Package options")]
pub(super) struct SplitArgs {
    /// Split archives into files of at most MB megabytes (1,000,000 bytes)
    #[arg(long, short, value_name = "MB")]
    max_package_size: Option<u64>,
}

impl SplitArgs {
    pub(super) fn bytes(&self) -> Result<Option<u64>, CommandError> {
        megabytes(self.max_package_size)
    }

    /// The folder that the user named, or `usual`.
    pub(super) fn output_to(
        &self,
        named: Option<PathBuf>,
        usual: PathBuf,
    ) -> Result<OutputOptions, CommandError> {
        Ok(OutputOptions {
            named: named.is_some(),
            folder: named.unwrap_or(usual),
            split: self.bytes()?,
            ..OutputOptions::default()
        })
    }
}

/// How tasks run.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Maximum number of parallel jobs [default: number of CPUs]
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
    /// Run every task and replace cached results
    #[arg(long)]
    force: bool,
}

impl RunArgs {
    pub(super) fn into_run(self) -> RunOptions {
        RunOptions {
            force: self.force,
            jobs: self.jobs.map_or(0, |jobs| jobs.max(1)),
            ..RunOptions::default()
        }
    }
}

/// What a build takes from caches, and leaves in them.
#[derive(Args)]
#[command(next_help_heading = "Cache options")]
pub(super) struct BuildCacheArgs {
    /// Reuse results published with the package oci://HOST/PATH:TAG (repeatable)
    ///
    /// Anyone who can push to that repository can influence your build.
    #[arg(long, value_name = "PACKAGE")]
    pub(super) cache_from: Vec<String>,
    #[arg(
        long,
        help = format!("Maximum size of the cache after the build [default: {}GiB]", app::CACHE_GIB),
        value_name = "SIZE",
        env = "JACKAL_CACHE_MAX_SIZE",
        hide_env_values = true
    )]
    cache_max_size: Option<String>,
}

impl BuildCacheArgs {
    pub(super) fn max_size(&self) -> Result<Option<u64>, CommandError> {
        size("--cache-max-size", self.cache_max_size.clone())
    }
}

/// How folders become skeletons.
pub(super) fn skeletons(variant: Variant) -> Result<SkeletonOptions, CommandError> {
    Ok(SkeletonOptions {
        variant,
        pins: Pins::Add,
        facts: build_facts(false)?,
    })
}
