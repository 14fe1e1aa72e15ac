//! `jackal package list-tags`.

use clap::Args;
use serde_json::json;

use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use super::output::print;
use crate::app;

/// Arguments of `jackal package list-tags`.
#[derive(Args)]
pub(super) struct ListTagsArgs {
    /// Repository or image layout: oci://HOST/PATH or oci-layout:DIR
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: ListTagsArgs) -> Result<(), CommandError> {
    let tags = app::package_tags(&args.source, &args.connection.into_connection()?)?;
    if args.json {
        return print(&format!("{:#}\n", json!(tags)));
    }
    let lines: String = tags.iter().map(|tag| format!("{tag}\n")).collect();
    print(&lines)
}
