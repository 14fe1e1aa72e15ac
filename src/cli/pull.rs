//! `jackal package pull` and `list-tags`: from registries to here.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::build::runtime;
use super::command_error::CommandError;
use super::connection::{ConnectionArgs, ReadArgs};
use super::options::megabytes;
use super::output::{note, print};
use super::package::signature;
use super::signal::{Signals, stop_then_end};
use crate::app::{self, PullOptions};
use crate::verify::Check;

/// Arguments of `jackal package pull`.
#[derive(Args)]
pub(super) struct PullArgs {
    /// oci://HOST/PATH:TAG or oci://HOST/PATH@DIGEST
    source: String,
    /// Folder for the archive
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Split the archive into files of this many megabytes (1,000,000 bytes)
    #[arg(long, short, value_name = "MB")]
    max_package_size: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn pull(args: PullArgs) -> Result<(), CommandError> {
    let (stopping, stop) = tokio::sync::watch::channel(false);
    let options = PullOptions {
        to: args.output,
        split: megabytes(args.max_package_size)?,
        stop,
        writing: Arc::default(),
    };
    let read = args.read.into_options(Check::Use)?;
    let runtime = runtime()?;
    let signals = Signals::heard(&runtime);
    runtime.spawn(stop_then_end(
        signals,
        stopping,
        Arc::clone(&options.writing),
    ));
    let pulled = app::package_pull(&args.source, &read, &options);
    let pulled = pulled?;
    for text in &pulled.notes {
        note(&format!("warning: {text}"));
    }
    note(&format!(
        "{}: every file as listed; {}",
        args.source,
        pulled.package.signature().told()
    ));
    let files: Vec<String> = pulled
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if args.json {
        let told = json!({
            "source": args.source,
            "manifest": pulled.manifest.to_string(),
            "files": files,
            "blobs": {
                "fetched": pulled.fetched,
                "fetchedBytes": pulled.fetched_bytes,
                "cached": pulled.cached,
            },
            "signature": signature(pulled.package.signature()),
        });
        return print(&format!("{told:#}\n"));
    }
    print(
        &files
            .iter()
            .map(|file| format!("{file}\n"))
            .collect::<String>(),
    )
}

/// Arguments of `jackal package list-tags`.
#[derive(Args)]
pub(super) struct ListTagsArgs {
    /// oci://HOST/PATH
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn list_tags(args: ListTagsArgs) -> Result<(), CommandError> {
    let tags = app::package_tags(&args.source, &args.connection.into_connection()?);
    let tags = tags?;
    if args.json {
        return print(&format!("{:#}\n", json!(tags)));
    }
    print(
        &tags
            .iter()
            .map(|tag| format!("{tag}\n"))
            .collect::<String>(),
    )
}
