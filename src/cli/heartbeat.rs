//! `jackal package heartbeat`.

use clap::Args;
use serde_json::json;

use super::command_error::CommandError;
use super::exit::Exit;
use super::opened::{SourceArgs, open};
use super::output::print;
use crate::app::{self, Check};

/// How far the clock of another machine may be ahead, in seconds.
const MAX_SKEW: i64 = 300;

/// Arguments of `jackal package heartbeat`.
#[derive(Args)]
pub(super) struct HeartbeatArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Fail if the package was last checked longer ago, such as 26h
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
}

pub(super) fn run(args: HeartbeatArgs) -> Result<(), CommandError> {
    let SourceArgs { source, json, read } = args.source;
    let most = args.max_age.as_deref().map(app::parse_duration).transpose();
    let most = most.map_err(|error| CommandError::usage(format!("--max-age: {error}")))?;
    let opened = open(&source, read, Check::Use)?;
    let heartbeat = app::package_heartbeat(&opened)?;
    let refused = |what: String| CommandError::new(Exit::Verification, format!("{source}: {what}"));
    let age = jiff::Timestamp::now().as_second() - heartbeat.checked_at.as_second();
    if age < -MAX_SKEW {
        return Err(refused(format!(
            "checked at {}, which is in the future",
            heartbeat.checked_at
        )));
    }
    let limit = most.map(|most| i64::try_from(most.as_secs()).unwrap_or(i64::MAX));
    if limit.is_some_and(|limit| age > limit) {
        let given = args.max_age.unwrap_or_default();
        return Err(refused(format!(
            "checked at {}, longer than {given} ago",
            heartbeat.checked_at
        )));
    }
    if json {
        let report = json!({"source": source, "heartbeat": heartbeat});
        return print(&format!("{report:#}\n"));
    }
    let (checked, read) = (heartbeat.checked_at, heartbeat.signatures_read_at);
    print(&format!(
        "{source}: checked at {checked}, signatures read at {read}\n"
    ))
}
