//! The run record: what a run did, task by task.
//!
//! Source: docs/spec/pipeline.md, "Run record". The user, time and place of a run
//! belong here and never in a package.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ground::{Cause, CauseKind};

/// Version of the record format; incremented when a field changes its meaning.
pub const RECORD_VERSION: u32 = 1;

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunRecord {
    /// `RECORD_VERSION`.
    pub version: u32,
    /// Version of the program.
    pub jackal: String,
    /// Start, in milliseconds since the Unix epoch.
    pub start_ms: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Tasks in the order in which they ended.
    pub tasks: Vec<TaskRecord>,
}

/// How one task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskRecord {
    pub task: String,
    pub verb: String,
    pub status: Status,
    /// The reason why it ran, was skipped or failed; empty if it was cached.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why earlier attempts failed; a task that then succeeded is flaky.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<String>,
    /// What probably made its command fail; `reason` mentions each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Hex of its action key; absent if it was never known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
    /// Delivered archives, and places that packages were published to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Warnings about the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the result is made from what a task kept of an earlier run, or from
    /// something made so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incremental: bool,
    /// Start, in milliseconds after the start of the run.
    pub start_ms: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Attempts made; 0 for a cached or skipped task.
    pub attempts: u32,
    /// Size of the outputs, if the task ran.
    pub bytes_made: u64,
    /// Number of downloaded bytes.
    pub bytes_fetched: u64,
    /// The captured log of a `run` task, lossily as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputRecord {
    pub name: String,
    /// Digest of its bytes.
    pub digest: String,
    /// Length in bytes.
    pub size: u64,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ran and succeeded.
    Executed,
    /// A cached result was used.
    Cached,
    /// Its condition was false, or a dependency failed.
    Skipped,
    /// It ran and failed.
    Failed,
}

impl RunRecord {
    /// The JSON Schema of a run record.
    #[must_use]
    pub fn json_schema() -> String {
        let text = json!({"type": "string"});
        let number = json!({"type": "integer", "minimum": 0});
        let object = |required: &[&str], properties: Value| {
            json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            })
        };
        let output = object(
            &["name", "digest", "size"],
            json!({"name": text, "digest": text, "size": number}),
        );
        let cause = object(
            &["kind", "message"],
            json!({"kind": {"enum": CauseKind::WORDS}, "message": text, "help": text}),
        );
        let task = object(
            &[
                "task",
                "verb",
                "status",
                "startMs",
                "wallMs",
                "attempts",
                "bytesMade",
                "bytesFetched",
            ],
            json!({
                "task": text, "verb": text, "reason": text, "actionKey": text, "log": text,
                "status": {"enum": ["executed", "cached", "skipped", "failed"]},
                "causes": {"type": "array", "items": cause},
                "outputs": {"type": "array", "items": output},
                "files": {"type": "array", "items": text},
                "retried": {"type": "array", "items": text},
                "warnings": {"type": "array", "items": text},
                "incremental": {"type": "boolean"},
                "startMs": number, "wallMs": number, "attempts": number,
                "bytesMade": number, "bytesFetched": number,
            }),
        );
        let mut schema = object(
            &["version", "jackal", "startMs", "wallMs", "tasks"],
            json!({
                "version": {"const": RECORD_VERSION}, "jackal": text,
                "startMs": number, "wallMs": number,
                "tasks": {"type": "array", "items": task},
            }),
        );
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!("A run record of jackal (run.json)");
        format!("{schema:#}\n")
    }

    /// The number of tasks with `status`.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.tasks.iter().filter(|t| t.status == status).count()
    }
}
