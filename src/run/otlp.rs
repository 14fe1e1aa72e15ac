//! A run as an OpenTelemetry trace: a span for the run, and one for each task that ran or
//! failed, with links to the tasks that it waited for.
//!
//! Source: OpenTelemetry protocol 1.x, `ExportTraceServiceRequest` in its JSON form.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::run::record::{RunRecord, Status, TaskRecord};

/// Spans of one request, as other exporters send them.
const BATCH: usize = 512;

/// What a trace belongs to.
#[derive(Debug)]
pub struct Trace {
    pub id: u128,
    /// The span, made by another program, that the run is a part of.
    pub parent: Option<u64>,
    /// Attributes of what made the trace, such as `service.name`.
    pub resource: BTreeMap<String, String>,
}

/// The bodies of the requests that export the run, in which each task waited for those in
/// `after`.
#[must_use]
pub fn otlp(
    record: &RunRecord,
    after: &BTreeMap<String, Vec<String>>,
    trace: &Trace,
) -> Vec<String> {
    let ids: BTreeMap<&str, u64> = (record.tasks.iter())
        .filter(|task| task.status.ran())
        .map(|task| (task.task.as_str(), span_id(trace, &task.task)))
        .collect();
    // No task has an empty name.
    let run = span_id(trace, "");
    let mut spans = vec![root(record, trace, run)];
    spans.extend(record.tasks.iter().filter_map(|task| {
        let id = *ids.get(task.task.as_str())?;
        let before = after.get(&task.task).into_iter().flatten();
        let links: Vec<Value> = before
            .filter_map(|name| ids.get(name.as_str()))
            .map(|&id| json!({"traceId": trace_id(trace), "spanId": shown(id)}))
            .collect();
        let mut span = of_task(record, task, links);
        span["traceId"] = json!(trace_id(trace));
        span["spanId"] = json!(shown(id));
        span["parentSpanId"] = json!(shown(run));
        Some(span)
    }));
    let resource: Vec<Value> = (trace.resource.iter())
        .map(|(name, value)| attribute(name, json!({"stringValue": value})))
        .collect();
    spans
        .chunks(BATCH)
        .map(|spans| {
            let scope = json!({"name": "jackal", "version": record.jackal});
            let all = json!({"resourceSpans": [{
                "resource": {"attributes": resource},
                "scopeSpans": [{"scope": scope, "spans": spans}],
            }]});
            all.to_string()
        })
        .collect()
}

fn root(record: &RunRecord, trace: &Trace, id: u64) -> Value {
    let failed = record.count(Status::Failed) > 0;
    let counts = [
        Status::Executed,
        Status::Cached,
        Status::Skipped,
        Status::Failed,
    ];
    let attributes: Vec<Value> = counts
        .into_iter()
        .map(|status| {
            number(
                &format!("jackal.{}", status.word()),
                record.count(status) as u64,
            )
        })
        .collect();
    let mut span = json!({
        "traceId": trace_id(trace),
        "spanId": shown(id),
        "name": "jackal build",
        "kind": 1,
        "startTimeUnixNano": nanos(record.start_ms),
        "endTimeUnixNano": nanos(record.start_ms + record.wall_ms),
        "attributes": attributes,
        "status": {"code": if failed { 2 } else { 1 }},
    });
    if let Some(parent) = trace.parent {
        span["parentSpanId"] = json!(shown(parent));
    }
    span
}

/// The span of a task, without ids.
fn of_task(record: &RunRecord, task: &TaskRecord, links: Vec<Value>) -> Value {
    let start = record.start_ms + task.start_ms;
    let text = |name: &str, value: &str| attribute(name, json!({"stringValue": value}));
    let mut attributes = vec![
        text("jackal.task", &task.task),
        text("jackal.verb", &task.verb),
        text("jackal.status", task.status.word()),
        text("jackal.reason", &task.reason),
        number("jackal.attempts", u64::from(task.attempts)),
        number("jackal.bytes_made", task.bytes_made),
        number("jackal.bytes_fetched", task.bytes_fetched),
    ];
    if let Some(key) = &task.action_key {
        attributes.push(text("jackal.action_key", key));
    }
    let status = match task.status {
        Status::Failed => json!({"code": 2, "message": task.reason}),
        _ => json!({"code": 1}),
    };
    json!({
        "name": task.task,
        "kind": 1,
        "startTimeUnixNano": nanos(start),
        "endTimeUnixNano": nanos(start + task.wall_ms),
        "attributes": attributes,
        "links": links,
        "status": status,
    })
}

fn attribute(name: &str, value: Value) -> Value {
    json!({"key": name, "value": value})
}

/// 64-bit numbers are strings in the JSON form.
fn number(name: &str, value: u64) -> Value {
    attribute(name, json!({"intValue": value.to_string()}))
}

fn nanos(ms: u64) -> String {
    u128::from(ms).saturating_mul(1_000_000).to_string()
}

/// The id of a task's span in the trace.
fn span_id(trace: &Trace, task: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&trace.id.to_be_bytes());
    hasher.update(task.as_bytes());
    let mut id = [0; 8];
    hasher.finalize_xof().fill(&mut id);
    u64::from_be_bytes(id)
}

fn trace_id(trace: &Trace) -> String {
    format!("{:032x}", trace.id)
}

/// The id of a span in the JSON form: 16 hex digits.
fn shown(id: u64) -> String {
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, status: Status) -> TaskRecord {
        TaskRecord {
            status,
            start_ms: 10,
            wall_ms: 5,
            ..TaskRecord::new(name, "run")
        }
    }

    fn spans(tasks: Vec<TaskRecord>, after: &BTreeMap<String, Vec<String>>) -> Vec<Vec<Value>> {
        let record = RunRecord {
            version: 1,
            jackal: "0".to_owned(),
            start_ms: 1000,
            wall_ms: 50,
            tasks,
        };
        let trace = Trace {
            id: u128::from_be_bytes([0xab; 16]),
            parent: Some(0x0101_0101_0101_0101),
            resource: [("service.name".to_owned(), "ci".to_owned())].into(),
        };
        let bodies = otlp(&record, after, &trace);
        let read = |body: &String| -> Vec<Value> {
            let body: Value = serde_json::from_str(body).unwrap();
            let all = &body["resourceSpans"][0];
            assert_eq!(
                all["resource"]["attributes"][0]["value"]["stringValue"],
                "ci"
            );
            let spans = all["scopeSpans"][0]["spans"].as_array().unwrap();
            spans.clone()
        };
        bodies.iter().map(read).collect()
    }

    #[test]
    fn tasks_are_below_the_run_and_linked_to_what_they_waited_for() {
        let after = [("b".to_owned(), vec!["a".to_owned(), "c".to_owned()])].into();
        let tasks = vec![
            task("a", Status::Executed),
            task("b", Status::Failed),
            task("c", Status::Cached),
        ];
        let all = spans(tasks, &after).concat();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0]["parentSpanId"], "0101010101010101");
        assert_eq!(all[0]["status"]["code"], 2);
        assert_eq!(all[1]["parentSpanId"], all[0]["spanId"]);
        assert_eq!(all[1]["startTimeUnixNano"], "1010000000");
        assert_eq!(all[1]["endTimeUnixNano"], "1015000000");
        assert_eq!(all[2]["links"].as_array().unwrap().len(), 1);
        assert_eq!(all[2]["links"][0]["spanId"], all[1]["spanId"]);
        assert_eq!(all[2]["status"]["code"], 2);
        assert_eq!(all[2]["traceId"].as_str().unwrap().len(), 32);
    }

    #[test]
    fn many_tasks_take_several_requests() {
        let tasks = (0..1200).map(|n| task(&n.to_string(), Status::Executed));
        let sizes = spans(tasks.collect(), &BTreeMap::new());
        let sizes: Vec<usize> = sizes.iter().map(Vec::len).collect();
        assert_eq!(sizes, [512, 512, 177]);
    }
}
