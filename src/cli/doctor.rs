//! `jackal doctor`: one line for each feature that publishing and pulling need, or that
//! sharing results needs.

use clap::Args;

use super::command_error::CommandError;
use super::connection::{ConnectionArgs, UploadArgs};
use super::environment::runtime;
use super::exit::Exit;
use super::output::print;
use super::remote::RemoteServerArgs;
use crate::app;
use crate::text::with_causes;

/// Arguments of `jackal doctor`.
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Repository or remote cache to check: oci://HOST/PATH, grpcs://HOST[:PORT]
    #[arg(value_name = "SERVER")]
    server: String,
    /// Skip the upload tests
    ///
    /// At a registry, an upload is started and cancelled. In a remote cache, two blobs and a
    /// result are stored.
    #[arg(long)]
    read_only: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    upload: UploadArgs,
    #[command(flatten)]
    remote: RemoteServerArgs,
}

pub(super) fn run(args: DoctorArgs) -> Result<(), CommandError> {
    let mut connection = args.connection.into_connection()?;
    args.upload.limit(&mut connection);
    let (server, write) = (args.server, !args.read_only);
    let is_remote = server.starts_with("grpc://") || server.starts_with("grpcs://");
    let checked = match is_remote {
        true => {
            let options = args.remote.into_options(&server, connection.hosts)?;
            let checking = runtime()?.block_on(app::doctor_remote(&options, write));
            checking.map_err(|error| CommandError::new(Exit::Environment, with_causes(&error)))?
        }
        false => runtime()?.block_on(app::doctor(&server, &connection, write))?,
    };
    let failed: Vec<&str> = checked
        .iter()
        .filter(|probe| probe.found.is_err())
        .map(|probe| probe.what)
        .collect();
    let result = |found: &Result<String, String>| match found {
        Ok(found) | Err(found) => found.clone(),
    };
    let text = if args.json {
        let probes = checked.iter().map(|probe| {
            serde_json::json!({
                "what": probe.what,
                "ok": probe.found.is_ok(),
                "found": result(&probe.found),
            })
        });
        format!("{:#}\n", probes.collect::<serde_json::Value>())
    } else {
        let lines = checked.iter().map(|probe| {
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
            let message = format!("{server}: {what} failed");
            Err(CommandError::new(Exit::Environment, message))
        }
    }
}
