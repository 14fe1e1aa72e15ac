//! A run as a trace, for the viewers of Chrome's format: one row for each task that ran at
//! the same time, and the slowest path marked.
//!
//! Source: "Trace Event Format", the object form with complete events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::graph::Graph;
use crate::run::record::{RunRecord, TaskRecord};

/// The trace of a run, in which each task waited for those in `after`.
#[must_use]
pub fn chrome_trace(record: &RunRecord, after: &BTreeMap<String, Vec<String>>) -> String {
    let slowest = slowest_path(record, after);
    let rows = rows(record);
    let mut events = Vec::with_capacity(rows.len());
    for task in in_order(record) {
        let row = rows.get(task.task.as_str()).copied().unwrap_or(0);
        let on_path = slowest.contains(&task.task.as_str());
        let mut event = json!({
            "name": task.task,
            "cat": task.verb,
            "ph": "X",
            "ts": task.start_ms * 1000,
            "dur": task.wall_ms * 1000,
            "pid": 1,
            "tid": row + 1,
            "args": {
                "reason": task.reason,
                "attempts": task.attempts,
                "bytesMade": task.bytes_made,
                "bytesFetched": task.bytes_fetched,
                "slowestPath": on_path,
            },
        });
        if on_path {
            event["cname"] = json!("terrible");
        }
        events.push(event);
    }
    events.push(json!({
        "name": "process_name", "ph": "M", "pid": 1, "args": {"name": "jackal"},
    }));
    let trace = json!({
        "displayTimeUnit": "ms",
        "otherData": {"jackal": record.jackal, "slowestPath": slowest},
        "traceEvents": Value::from(events),
    });
    format!("{trace}\n")
}

/// Tasks that ran, by their start.
fn in_order(record: &RunRecord) -> Vec<&TaskRecord> {
    let mut tasks: Vec<&TaskRecord> = (record.tasks.iter())
        .filter(|task| task.status.ran())
        .collect();
    tasks.sort_by_key(|task| (task.start_ms, &task.task));
    tasks
}

/// The row of each task that ran: tasks in one row ran one after the other.
pub(super) fn rows(record: &RunRecord) -> BTreeMap<&str, usize> {
    // When each row is free again.
    let mut ends: Vec<u64> = Vec::new();
    let mut rows = BTreeMap::new();
    for task in in_order(record) {
        let free = ends.iter().position(|end| *end <= task.start_ms);
        let row = free.unwrap_or_else(|| {
            ends.push(0);
            ends.len() - 1
        });
        ends[row] = task.start_ms + task.wall_ms;
        rows.insert(task.task.as_str(), row);
    }
    rows
}

/// The tasks whose times add up to the most, each of which waited for the one before.
fn slowest_path<'r>(record: &'r RunRecord, after: &BTreeMap<String, Vec<String>>) -> Vec<&'r str> {
    let times: BTreeMap<&str, u64> = (record.tasks.iter())
        .map(|task| (task.task.as_str(), task.wall_ms))
        .collect();
    let edges = times.keys().flat_map(|task| {
        let before = after.get(*task).into_iter().flatten();
        let before = before.filter_map(|on| times.get_key_value(on.as_str()));
        before.map(|(on, _)| (*task, *on))
    });
    let time = |task: &&str| times.get(*task).copied().unwrap_or(0);
    // What ran has no cycles.
    let Ok(graph) = Graph::build(times.keys().copied(), edges) else {
        return Vec::new();
    };
    let (_, path) = graph.longest_path(time);
    path.into_iter()
        .copied()
        .filter(|task| time(task) > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::record::Status;

    fn task(name: &str, start_ms: u64, wall_ms: u64) -> TaskRecord {
        TaskRecord {
            status: Status::Executed,
            start_ms,
            wall_ms,
            ..TaskRecord::new(name, "run")
        }
    }

    #[test]
    fn rows_are_used_again_and_the_slowest_path_is_marked() {
        let record = RunRecord {
            version: 1,
            jackal: "0".to_owned(),
            start_ms: 0,
            wall_ms: 50,
            tasks: vec![
                task("a", 0, 10),
                task("b", 0, 20),
                task("c", 10, 30),
                task("d", 20, 5),
            ],
        };
        let after = [("c", vec!["a"]), ("d", vec!["b"])];
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let after = after
            .map(|(name, before)| (name.to_owned(), owned(before)))
            .into();
        assert_eq!(slowest_path(&record, &after), ["a", "c"]);
        let trace: Value = serde_json::from_str(&chrome_trace(&record, &after)).unwrap();
        let row = |name: &str| {
            let events = trace["traceEvents"].as_array().unwrap();
            let event = events.iter().find(|event| event["name"] == name).unwrap();
            (
                event["tid"].as_u64().unwrap(),
                event["args"]["slowestPath"].as_bool().unwrap(),
            )
        };
        assert_eq!(row("a"), (1, true));
        assert_eq!(row("b"), (2, false));
        assert_eq!(row("c"), (1, true));
        assert_eq!(row("d"), (2, false));
    }
}
