//! `jackal cache du`, `prune`, `verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::command_error::CommandError;
use super::environment::cache_folder;
use super::exit::Exit;
use super::output::print;
use crate::app::{self, Limits};

/// Arguments of `jackal cache`.
#[derive(Args)]
pub(super) struct CacheArgs {
    /// Cache folder [default: ~/.cache/jackal]
    #[arg(
        long,
        value_name = "DIR",
        env = "JACKAL_CACHE",
        hide_env_values = true,
        global = true
    )]
    cache_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    /// Show the size of the cache
    Du,
    /// Remove the least recently used data
    Prune {
        /// Maximum size to keep
        #[arg(long, value_name = "SIZE", default_value = "20GiB")]
        max_size: String,
        /// Remove data not used for this long, such as 720h
        #[arg(long, value_name = "TIME")]
        max_age: Option<String>,
    },
    /// Verify every blob and remove damaged ones
    Verify,
}

pub(super) fn run(args: CacheArgs) -> Result<(), CommandError> {
    let folder = cache_folder(args.cache_dir)?;
    match args.command {
        CacheCommand::Du => {
            let held = app::cache_usage(&folder)?;
            print(&format!("{} bytes in {} blobs\n", held.bytes, held.blobs))
        }
        CacheCommand::Prune { max_size, max_age } => {
            let max_bytes = app::parse_size(&max_size)
                .map_err(|error| CommandError::usage(format!("--max-size: {error}")))?;
            let max_age = max_age
                .map(|text| app::parse_duration(&text))
                .transpose()
                .map_err(|error| CommandError::usage(format!("--max-age: {error}")))?;
            let limits = Limits {
                max_bytes: Some(max_bytes),
                max_age: max_age.map(|age| age.as_secs()),
            };
            let removed = app::cache_prune(&folder, limits)?;
            print(&format!(
                "removed {} bytes in {} blobs\n",
                removed.bytes, removed.blobs
            ))
        }
        CacheCommand::Verify => {
            let found = app::cache_verify(&folder)?;
            print(&format!(
                "verified {} bytes in {} blobs\n",
                found.read.bytes, found.read.blobs
            ))?;
            if found.damaged.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
            let message = format!(
                "removed {} damaged blobs, which the next build recreates: {}",
                names.len(),
                names.join(", ")
            );
            Err(CommandError::new(Exit::Verification, message))
        }
    }
}
