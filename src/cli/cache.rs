//! `jackal cache du`, `prune`, `verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::cache_folder;
use super::output::print;
use crate::app;
use crate::cas::Limits;
use crate::pipeline::{duration, size};

/// Arguments of `jackal cache`.
#[derive(Args)]
pub(super) struct CacheArgs {
    /// Cache folder (default: ~/.cache/jackal)
    #[arg(long, value_name = "DIR", env = "JACKAL_CACHE", global = true)]
    cache_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    /// Print how much the cache holds
    Du,
    /// Remove what was not used for longest
    Prune {
        /// Keep at most this much, such as 20GiB
        #[arg(long, value_name = "SIZE", default_value = "20GiB")]
        max_size: String,
        /// Remove what was not used for longer than this, such as 720h
        #[arg(long, value_name = "TIME")]
        max_age: Option<String>,
    },
    /// Read every byte; damaged blobs are removed, to be made again
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
            let max_bytes = size::parse(&max_size)
                .map_err(|error| CommandError::usage(format!("--max-size: {error}")))?;
            let max_age = max_age
                .map(|text| duration::parse(&text))
                .transpose()
                .map_err(|error| CommandError::usage(format!("--max-age: {error}")))?;
            let limits = Limits {
                max_bytes: Some(max_bytes),
                max_age: max_age.map(|age| age.as_secs()),
            };
            let gone = app::cache_prune(&folder, limits)?;
            print(&format!(
                "removed {} bytes in {} blobs\n",
                gone.bytes, gone.blobs
            ))
        }
        CacheCommand::Verify => {
            let found = app::cache_verify(&folder)?;
            print(&format!(
                "read {} bytes in {} blobs\n",
                found.read.bytes, found.read.blobs
            ))?;
            if found.damaged.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
            let message = format!(
                "{} damaged blobs were removed and will be made again: {}",
                names.len(),
                names.join(", ")
            );
            Err(CommandError::new(Exit::Verification, message))
        }
    }
}
