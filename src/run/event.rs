//! Events of a run, as they happen.
//!
//! `cli` draws events: live on a terminal, one block a task in CI, or as NDJSON.

use serde::Serialize;

use crate::run::record::TaskRecord;

/// An event.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// The plan is made.
    Planned {
        /// The number of tasks.
        tasks: usize,
    },
    /// A task has started; a task whose result is cached never starts.
    Started {
        /// The task.
        task: String,
        /// The reason for running it.
        reason: String,
    },
    /// A task has ended.
    Finished {
        /// Its outcome.
        record: Box<TaskRecord>,
    },
}
