//! The record of the last run, which the cache keeps.

use crate::cas::Cas;
use crate::disk;
use crate::run::record::{RunRecord, Status, TaskRecord};

/// Counts as executed what an earlier round of this run executed.
pub(super) fn executed_before(record: &mut RunRecord, earlier: Vec<TaskRecord>) {
    for old in earlier {
        let cached = |task: &&mut TaskRecord| {
            task.task == old.task && task.status == Status::Cached && old.status == Status::Executed
        };
        if let Some(task) = record.tasks.iter_mut().find(cached) {
            *task = old;
        }
    }
}

/// Stores the record in the cache if anything ran. An I/O error loses only the record.
pub(super) fn keep_record(cas: &Cas, record: &RunRecord) {
    if !record.tasks.iter().any(|task| task.status.ran()) {
        return;
    }
    let Ok(text) = serde_json::to_vec(record) else {
        return;
    };
    drop(disk::write_hint(&cas.root().join("runs/run.json"), &text));
}
