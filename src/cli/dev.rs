//! `jackal dev`: tools for package authors.

use std::path::PathBuf;

use clap::Subcommand;

use super::command_error::CommandError;
use super::dev_tools::{self, DevToolsArgs};
use super::environment::runtime;
use super::find_images::{self, FindImagesArgs};
use super::generate::{self, GenerateArgs};
use super::generate_config;
use super::inputs::{self, InputsArgs};
use super::lint::{self, LintArgs};
use super::make_legacy::{self, MakeLegacyArgs};
use super::output::print;
use super::patch_git::{self, PatchGitArgs};
use super::registry::{self, RegistryArgs};
use crate::app;

#[derive(Subcommand)]
pub(super) enum DevCommand {
    /// Run a small local registry for testing publish and pull
    ///
    /// It imitates a kind of registry, and can inject faults.
    Registry(Box<RegistryArgs>),
    /// Find the images used by the manifests and charts of a package
    #[command(visible_alias = "f")]
    FindImages(Box<FindImagesArgs>),
    /// Generate a definition for a Helm chart, including its images
    #[command(visible_alias = "g")]
    Generate(Box<GenerateArgs>),
    /// Generate a configuration file with every key commented out
    #[command(visible_alias = "gc")]
    GenerateConfig {
        /// File to create; .toml, .yaml or .yml
        #[arg(default_value = "jackal-config.toml")]
        file: PathBuf,
    },
    /// Rewrite Git URLs to point to a cluster's Git server
    #[command(visible_aliases = ["p", "git-links"])]
    PatchGit(PatchGitArgs),
    /// Run a task in the checkout, and print the inputs, outputs and tools it uses
    ///
    /// The command runs without a sandbox, with the task's variables and your HOME and
    /// PATH, and every file that it opens is recorded. Build the tasks that it depends
    /// on first, and remove its outputs: a command that finds its work done reads fewer
    /// files.
    Inputs(Box<InputsArgs>),
    /// Check definitions, pipelines and the workspace for mistakes and risks
    ///
    /// Checks all that is in the current folder and below it, and what that imports or
    /// includes. Only components of the given architecture and flavor are checked. The
    /// exit code is 1 if there are errors, and 0 if there are only warnings.
    /// `jackal explain CODE` says more about a finding.
    #[command(visible_alias = "l")]
    Lint(Box<LintArgs>),
    /// Write a package as a program of an earlier version did, to test what reads it
    ///
    /// From v0.25.0 on, what was published is written as well, to the image layout
    /// `published`. Contents stay as they are.
    #[command(hide = true)]
    MakeLegacy(Box<MakeLegacyArgs>),
    /// Print the SHA-256 checksum of a file or URL
    #[command(visible_alias = "s")]
    Sha256sum {
        /// File, or http:// or https:// URL
        source: String,
        /// Checksum of this file in the archive, as for `extractPath`
        #[arg(long, short, value_name = "PATH")]
        extract_path: Option<String>,
    },
    /// Print what tools resolve to, and why
    ///
    /// Tools are resolved as for a task whose command starts in this folder: the program,
    /// what identifies it in keys, and what it reads and sets in a sandbox.
    #[command(visible_alias = "t")]
    Tools(Box<DevToolsArgs>),
}

pub(super) fn run(command: DevCommand) -> Result<(), CommandError> {
    match command {
        DevCommand::Registry(args) => registry::run(*args),
        DevCommand::FindImages(args) => find_images::run(*args),
        DevCommand::Generate(args) => generate::run(*args),
        DevCommand::GenerateConfig { file } => generate_config::run(&file),
        DevCommand::PatchGit(args) => patch_git::run(&args),
        DevCommand::Inputs(args) => inputs::run(*args),
        DevCommand::Lint(args) => lint::run(*args),
        DevCommand::MakeLegacy(args) => make_legacy::run(*args),
        DevCommand::Sha256sum {
            source,
            extract_path,
        } => {
            let sum = app::sha256sum(&source, extract_path.as_deref());
            let sum = runtime()?.block_on(sum)?;
            print(&format!("{}\n", sum.hex()))
        }
        DevCommand::Tools(args) => dev_tools::run(*args),
    }
}
