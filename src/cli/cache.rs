//! `jackal cache du`, `prune`, `verify`.

use clap::{Args, Subcommand};

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::OwnCacheArgs;
use super::output::{note, print};
use super::values::size;
use crate::app::{self, Limits};

/// Arguments of `jackal cache`.
#[derive(Args)]
#[command(mut_arg("cache_dir", |arg| arg.global(true)))]
pub(super) struct CacheArgs {
    #[command(flatten)]
    folder: OwnCacheArgs,
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    /// Show the size of the cache
    Du,
    /// Remove the least recently used data
    Prune {
        #[arg(
            long,
            help = format!("Maximum size to keep [default: {}GiB]", app::CACHE_GIB),
            value_name = "SIZE"
        )]
        max_size: Option<String>,
        /// Remove data not used for this long, such as 720h
        #[arg(long, value_name = "TIME")]
        max_age: Option<String>,
    },
    /// Verify every blob and remove damaged ones
    Verify,
}

pub(super) fn run(args: CacheArgs) -> Result<(), CommandError> {
    let folder = args.folder.into_path()?;
    match args.command {
        CacheCommand::Du => {
            let held = app::cache_usage(&folder)?;
            for other in app::CacheFolder::from(&folder).of_other_versions() {
                note(&format!(
                    "note: not counted: `{}`, which another version of jackal made; remove it if \
                     that version is not used any more",
                    other.display()
                ));
            }
            print(&format!("{}\n", shown(&held)))
        }
        CacheCommand::Prune { max_size, max_age } => {
            let max_bytes = size("--max-size", max_size)?.unwrap_or(app::CACHE_GIB << 30);
            let max_age = max_age
                .map(|text| app::parse_duration(&text))
                .transpose()
                .map_err(|error| CommandError::usage(format!("--max-age: {error}")))?;
            let limits = Limits {
                max_bytes: Some(max_bytes),
                max_age: max_age.map(|age| age.as_secs()),
            };
            let removed = app::cache_prune(&folder, limits)?;
            print(&format!("removed {}\n", shown(&removed)))
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

/// Removes everything from the cache.
pub(super) fn clear(folder: OwnCacheArgs) -> Result<(), CommandError> {
    let limits = Limits {
        max_bytes: Some(0),
        max_age: None,
    };
    let removed = app::cache_prune(&folder.into_path()?, limits)?;
    print(&format!("removed {}\n", shown(&removed)))
}

/// How much `usage` is.
fn shown(usage: &app::Usage) -> String {
    let folders = match usage.folders {
        0 => String::new(),
        1 => " and 1 kept folder".to_owned(),
        count => format!(" and {count} kept folders"),
    };
    format!("{} bytes in {} blobs{folders}", usage.bytes, usage.blobs)
}
