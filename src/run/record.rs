//! The run record: what a run did, task by task.
//!
//! Source: docs/spec/pipeline.md, "Run record". The user, time and place of a run
//! belong here and never in a package.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ground::{Cause, CauseKind};
use crate::junit::{Case, Report, place};
use crate::oci::Digest;
use crate::text::excerpt;

/// Maximum number of failed tests in the record of a task; `--junit` has all.
const MAX_FAILED: usize = 100;

/// Maximum length of a message of a failed test, in characters.
const MAX_MESSAGE: usize = 300;

/// Version of the record format; incremented when a field changes its meaning.
pub const RECORD_VERSION: u32 = 1;

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunRecord {
    /// `RECORD_VERSION`.
    pub version: u32,
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
    /// Where a failed task is written: file, line and column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
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
    /// The level of the sandbox at which its result was made, if it runs a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
    /// Delivered archives, and places that packages were published to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Those of them that are files, with digests. Only in records that are written for the
    /// user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<FileRecord>,
    /// What the tests of its command reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsRecord>,
    /// The same as a whole; not in the record.
    #[serde(skip)]
    pub report: Option<Arc<Report>>,
    /// Warnings about the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the result is made from what a task kept of an earlier run, or from
    /// something made so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incremental: bool,
    /// Whether the result is made from what a task got from the network, which nothing
    /// pins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpinned: bool,
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

/// What the tests of a task reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestsRecord {
    /// Suites that have tests of their own.
    pub suites: u64,
    pub tests: u64,
    /// Tests that failed.
    pub failures: u64,
    /// Tests that could not be run to their end.
    pub errors: u64,
    /// Tests that were skipped.
    pub skipped: u64,
    /// Tests that passed after they failed.
    pub flaky: u64,
    /// What the reports say, in milliseconds.
    pub time_ms: u64,
    /// The first tests that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedTest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailedTest {
    pub suite: String,
    /// Its class, module, file or package, and its name.
    pub name: String,
    /// File and line, if the report says them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// The first line of its message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl TestsRecord {
    /// The record of `report`.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let counts = report.counts();
        let failed = report.failed().take(MAX_FAILED);
        Self {
            suites: counts.suites,
            tests: counts.tests,
            failures: counts.failures,
            errors: counts.errors,
            skipped: counts.skipped,
            flaky: counts.flaky,
            time_ms: counts.time / 1000,
            failed: failed
                .map(|(suite, case)| FailedTest::of(suite, case))
                .collect(),
        }
    }
}

impl FailedTest {
    fn of(suite: &str, case: &Case) -> Self {
        let (class, name) = (case.class.as_str(), case.name.as_str());
        let is_named = class.is_empty() || name.starts_with(class);
        let reason = case.reason();
        let message = reason.map_or("", |reason| match reason.message.trim() {
            "" => reason.text.trim_start(),
            message => message,
        });
        Self {
            suite: excerpt(suite, MAX_MESSAGE),
            name: match is_named {
                true => excerpt(name, MAX_MESSAGE),
                false => excerpt(&format!("{class} > {name}"), MAX_MESSAGE),
            },
            place: place(case).unwrap_or_default(),
            message: excerpt(message.lines().next().unwrap_or_default(), MAX_MESSAGE),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputRecord {
    pub name: String,
    /// Digest of its bytes; of a folder, that of its tree.
    pub digest: String,
    /// Length in bytes; of a folder, that of all files in it.
    pub size: u64,
    /// The files of a folder, with their paths in it. Only in records that are written for
    /// the user: there may be very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRecord>,
    /// The tree of a folder; not in the record.
    #[serde(skip)]
    pub tree: Option<Digest>,
}

/// A file that a task made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRecord {
    pub path: String,
    /// Digest of its bytes.
    pub digest: String,
    /// Length in bytes.
    pub size: u64,
}

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

impl Status {
    /// As the record writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Cached => "cached",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// Whether its work was done in this run, and not in an earlier one.
    #[must_use]
    pub fn ran(self) -> bool {
        matches!(self, Self::Executed | Self::Failed)
    }

    #[must_use]
    pub fn has_result(self) -> bool {
        matches!(self, Self::Executed | Self::Cached)
    }
}

impl TaskRecord {
    /// The record of a task that has not run.
    #[must_use]
    pub fn new(task: &str, verb: &str) -> Self {
        Self {
            task: task.to_owned(),
            verb: verb.to_owned(),
            status: Status::Skipped,
            place: None,
            reason: String::new(),
            retried: Vec::new(),
            causes: Vec::new(),
            action_key: None,
            level: None,
            outputs: Vec::new(),
            files: Vec::new(),
            delivered: Vec::new(),
            tests: None,
            report: None,
            warnings: Vec::new(),
            incremental: false,
            unpinned: false,
            start_ms: 0,
            wall_ms: 0,
            attempts: 0,
            bytes_made: 0,
            bytes_fetched: 0,
            log: String::new(),
        }
    }

    /// Records what its tests reported.
    pub(super) fn take_report(&mut self, report: Option<Arc<Report>>) {
        self.tests = report.as_deref().map(TestsRecord::of);
        self.report = report;
    }
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
        let file = object(
            &["path", "digest", "size"],
            json!({"path": text, "digest": text, "size": number}),
        );
        let files = json!({"type": "array", "items": file});
        let output = object(
            &["name", "digest", "size"],
            json!({"name": text, "digest": text, "size": number, "files": files}),
        );
        let cause = object(
            &["kind", "message"],
            json!({"kind": {"enum": CauseKind::WORDS}, "message": text, "help": text}),
        );
        let failed = object(
            &["suite", "name"],
            json!({"suite": text, "name": text, "place": text, "message": text}),
        );
        let counts = [
            "suites", "tests", "failures", "errors", "skipped", "flaky", "timeMs",
        ];
        let mut tests = object(
            &counts,
            json!({"failed": {"type": "array", "items": failed}}),
        );
        for count in counts {
            tests["properties"][count] = number.clone();
        }
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
                "task": text, "verb": text, "place": text, "reason": text, "actionKey": text,
                "log": text,
                "level": {"enum": ["namespaces", "landlock", "none"]},
                "status": {"enum": ["executed", "cached", "skipped", "failed"]},
                "causes": {"type": "array", "items": cause},
                "outputs": {"type": "array", "items": output},
                "files": {"type": "array", "items": text},
                "delivered": files,
                "retried": {"type": "array", "items": text},
                "tests": tests,
                "warnings": {"type": "array", "items": text},
                "incremental": {"type": "boolean"},
                "unpinned": {"type": "boolean"},
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
