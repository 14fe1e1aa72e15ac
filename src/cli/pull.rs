//! `jackal package pull`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::command_error::CommandError;
use super::environment::runtime;
use super::options::SplitArgs;
use super::output::{note, print};
use super::read::ReadArgs;
use super::signal::{Signals, stop_then_end};
use super::verify::signature;
use crate::app::{self, Check, PullOptions};

/// Arguments of `jackal package pull`.
#[derive(Args)]
pub(super) struct PullArgs {
    #[arg(help = app::package_help("Package"))]
    source: String,
    /// Folder for the archive
    #[arg(
        long,
        short,
        value_name = "DIR",
        default_value = ".",
        alias = "output-directory"
    )]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(args: PullArgs) -> Result<(), CommandError> {
    let (stopping, stop) = tokio::sync::watch::channel(false);
    let options = PullOptions {
        to: args.output,
        split: args.split.bytes()?,
        stop,
        writing: Arc::default(),
    };
    let read = args.read.into_options(Check::Use)?;
    let runtime = runtime()?;
    let signals = Signals::handle(&runtime);
    runtime.spawn(stop_then_end(
        signals,
        stopping,
        Arc::clone(&options.writing),
    ));
    let pulled = app::package_pull(&args.source, &read, &options)?;
    for text in &pulled.notes {
        note(&format!("warning: {text}"));
    }
    let what = match pulled.package.has_checksums() {
        true => "all files verified",
        false => "no checksums to verify the files by",
    };
    note(&format!(
        "{}: {what}; {}",
        args.source,
        pulled.package.signature().summary()
    ));
    let files: Vec<String> = pulled
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if args.json {
        let report = json!({
            "source": args.source,
            "manifest": pulled.manifest.map(|digest| digest.to_string()),
            "files": files,
            "blobs": {
                "fetched": pulled.fetched,
                "fetchedBytes": pulled.fetched_bytes,
                "cached": pulled.cached,
            },
            "signature": signature(pulled.package.signature()),
        });
        return print(&format!("{report:#}\n"));
    }
    let lines: String = files.iter().map(|file| format!("{file}\n")).collect();
    print(&lines)
}
