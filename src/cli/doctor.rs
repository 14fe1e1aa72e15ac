//! `jackal doctor`: one line for each feature that publishing and pulling need.

use clap::Args;

use super::command_error::CommandError;
use super::connection::{ConnectionArgs, UploadArgs};
use super::environment::runtime;
use super::exit::Exit;
use super::output::print;
use crate::app;
use crate::text::with_causes;

/// Arguments of `jackal doctor`.
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Repository to check: oci://HOST/PATH
    registry: String,
    /// Skip the upload test, which starts an upload and cancels it
    #[arg(long)]
    read_only: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    upload: UploadArgs,
}

pub(super) fn run(args: DoctorArgs) -> Result<(), CommandError> {
    let mut connection = args.connection.into_connection()?;
    args.upload.limit(&mut connection);
    let probing = app::doctor(&args.registry, &connection, !args.read_only);
    let probes = runtime()?.block_on(probing)?;
    let failed: Vec<&str> = probes
        .iter()
        .filter(|probe| probe.found.is_err())
        .map(|probe| probe.what)
        .collect();
    let result = |found: &Result<String, _>| match found {
        Ok(found) => found.clone(),
        Err(error) => with_causes(&error),
    };
    let text = if args.json {
        let probes = probes.iter().map(|probe| {
            serde_json::json!({
                "what": probe.what,
                "ok": probe.found.is_ok(),
                "found": result(&probe.found),
            })
        });
        format!("{:#}\n", probes.collect::<serde_json::Value>())
    } else {
        let lines = probes.iter().map(|probe| {
            let verdict = if probe.found.is_ok() { "ok" } else { "FAILED" };
            format!("{verdict:<7} {:<11} {}\n", probe.what, result(&probe.found))
        });
        lines.collect()
    };
    print(&text)?;
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            let what = failed.join(", ");
            let message = format!("{}: {what} failed", args.registry);
            Err(CommandError::new(Exit::Environment, message))
        }
    }
}
