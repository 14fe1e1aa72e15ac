//! `jackal dev generate`: a first definition for a chart.

use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::{PinArgs, PlaceArgs};
use super::output::{note, print};
use crate::app::{self, FindOptions, GenerateOptions, Variant};

/// Arguments of `jackal dev generate`.
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// Name of the package and its chart
    name: String,
    /// Chart repository, oci:// reference, or Git repository
    #[arg(long)]
    url: String,
    /// Version of the chart
    #[arg(long)]
    version: String,
    /// Folder of the chart in the Git repository
    #[arg(
        long = "gitPath",
        alias = "git-path",
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    git_path: String,
    /// Folder for the definition
    #[arg(long, value_name = "DIR")]
    output_directory: PathBuf,
    /// Kubernetes version to render the chart for
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    #[command(flatten)]
    pins: PinArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(args: GenerateArgs) -> Result<(), CommandError> {
    let options = GenerateOptions {
        name: args.name,
        url: args.url,
        version: args.version,
        git_path: args.git_path,
        output: args.output_directory.clone(),
        find: FindOptions {
            place: args.place.into_place()?,
            variant: Variant::default(),
            pins: args.pins.pins(),
            folder: args.output_directory,
            deploy_set: Default::default(),
            skip_cosign: false,
            registry_url: "127.0.0.1:31999".to_owned(),
            kube_version: args.kube_version,
        },
    };
    let generated = app::generate(options)?;
    let (search, _folder) = generated.search()?;
    let found = runtime()?.block_on(search.run());
    let generated = generated.complete(&found)?;
    for error in &generated.errors {
        note(&format!("warning: {error}"));
    }
    note(&format!("found {} images", generated.images));
    print(&format!("{}\n", generated.file.display()))
}
