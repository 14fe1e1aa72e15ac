//! Events of a run, as they happen.
//!
//! `cli` draws events: live on a terminal, one block a task in CI, or as NDJSON.

use std::sync::Arc;

use serde::Serialize;

use crate::content::activity::Activity;
use crate::run::record::TaskRecord;

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// The plan is made.
    Planned { tasks: usize },
    /// A task has started; a task whose result is cached never starts.
    Started {
        task: String,
        /// The reason for running it.
        reason: String,
        /// What it is doing.
        #[serde(skip)]
        activity: Arc<Activity>,
    },
    /// A task has ended.
    Finished { record: Box<TaskRecord> },
}
