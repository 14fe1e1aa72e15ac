//! `jackal package`: its commands, and how they open a package.

use clap::Subcommand;

use super::command_error::CommandError;
use super::create::{self, CreateArgs};
use super::extract::{self, ExtractArgs};
use super::heartbeat::{self, HeartbeatArgs};
use super::inspect::{self, InspectArgs};
use super::list_tags::{self, ListTagsArgs};
use super::package_delta::{self, DeltaArgs, JoinArgs};
use super::package_diff::{self, DiffArgs};
use super::package_migrate::{self, MigrateArgs};
use super::package_sign::{self, PackageSignArgs};
use super::publish::{self, PublishArgs};
use super::pull::{self, PullArgs};
use super::verify::{self, VerifyArgs};

#[derive(Subcommand)]
pub(super) enum PackageCommand {
    /// Build the package of one folder
    #[command(visible_alias = "c")]
    Create(Box<CreateArgs>),
    /// Verify every file of a package, and its signature
    #[command(visible_alias = "v")]
    Verify(Box<VerifyArgs>),
    /// Show the definition, images, variables, files or SBOMs of a package
    #[command(visible_alias = "i")]
    Inspect(Box<InspectArgs>),
    /// Show what changed between two packages
    Diff(Box<DiffArgs>),
    /// Create a delta that turns archive OLD into archive NEW
    Delta(DeltaArgs),
    /// Recreate archive NEW from archive OLD and a delta
    Join(JoinArgs),
    /// Write a package of an earlier version in today's form
    ///
    /// Files, and the configurations and layers of images, stay as they are. What was changed
    /// is printed, and named in `build.migrations` of its definition. A package without
    /// checksums gets them from what is found, so check first that it is what you expect.
    Migrate(Box<MigrateArgs>),
    /// Sign an existing package without repacking it
    #[command(visible_alias = "s")]
    Sign(Box<PackageSignArgs>),
    /// Publish packages to registries or image layouts, as one release
    #[command(visible_aliases = ["p", "push"])]
    Publish(Box<PublishArgs>),
    /// Download a package from a registry as a verified archive
    Pull(Box<PullArgs>),
    /// Show when a published package was last found to be current
    ///
    /// A `publish` task with `heartbeat: true` signs that for each package that it publishes,
    /// or finds unchanged. Verifies the definition of the package and the signature with
    /// --key, and that the heartbeat names this tag.
    Heartbeat(Box<HeartbeatArgs>),
    /// List the tags of a repository, sorted by version
    ListTags(Box<ListTagsArgs>),
    /// Verify a package, or some of its files, and extract them
    Extract(Box<ExtractArgs>),
}

pub(super) fn run(command: PackageCommand) -> Result<(), CommandError> {
    match command {
        PackageCommand::Create(args) => create::run(*args),
        PackageCommand::Verify(args) => verify::run(*args),
        PackageCommand::Inspect(args) => inspect::run(*args),
        PackageCommand::Diff(args) => package_diff::run(*args),
        PackageCommand::Delta(args) => package_delta::delta(&args),
        PackageCommand::Join(args) => package_delta::join(&args),
        PackageCommand::Migrate(args) => package_migrate::run(*args),
        PackageCommand::Sign(args) => package_sign::run(*args),
        PackageCommand::Publish(args) => publish::run(*args),
        PackageCommand::Pull(args) => pull::run(*args),
        PackageCommand::Heartbeat(args) => heartbeat::run(*args),
        PackageCommand::ListTags(args) => list_tags::run(*args),
        PackageCommand::Extract(args) => extract::run(*args),
    }
}
