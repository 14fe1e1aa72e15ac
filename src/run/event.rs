//! What happens in a run, as it happens.
//!
//! `cli` draws events: live on a terminal, one block a task in CI, or as NDJSON.

use serde::Serialize;

use crate::run::record::TaskRecord;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// The plan is made.
    Planned {
        /// How many tasks it holds.
        tasks: usize,
    },
    /// A task is being run; a task whose result is cached never starts.
    Started {
        /// The task.
        task: String,
        /// Why it must run.
        reason: String,
    },
    /// A task ended, in whatever way.
    Finished {
        /// How it ended.
        record: Box<TaskRecord>,
    },
}
