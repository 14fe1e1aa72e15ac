//! The JSON Schema of pipeline files, for editors and other programs.
//!
//! It describes what `check` accepts key by key. Mistakes that only the whole file
//! shows, such as a reference to an unknown task, are found by `check` alone.

use serde_json::{Map, Value, json};

use super::check::SCHEDULE_NAME;
use super::kinds::duration_schema;
use super::record::{Beside, Keys, Record, Written, described, object};
use super::settings::{OF_COMMANDS, Settings, size_schema, whole_schema};
use super::verb::Verb;

/// The JSON Schema (2020-12) of a pipeline file, with a line break at its end.
#[must_use]
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A jackal pipeline",
        "type": "object",
        "required": ["kind", "version", "tasks"],
        "properties": top(),
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

/// The JSON Schema (2020-12) of `jackal-workspace.yaml`, with a line break at its end.
#[must_use]
pub fn workspace_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A jackal workspace",
        "type": ["object", "null"],
        "properties": {
            "kind": {"const": "JackalWorkspace", "description": "The type of the file."},
            "version": {"const": 1, "description": "The version of this schema."},
            "requires": requires(),
            "exclude": texts("Patterns of files and folders in which no package or pipeline is looked for."),
            "include": texts("Patterns of pipeline files with other names than jackal.pipeline.yaml."),
            "output": text("The folder for archives, relative to this file. dist by default."),
            "defaults": defaults(),
            "toolchains": toolchains(),
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

fn requires() -> Value {
    text("The versions of jackal that can read the file, such as >=0.2.")
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

/// A list, or one string that stands for a list of one.
fn one_or_many(description: &str) -> Value {
    json!({
        "type": ["string", "array"],
        "items": {"type": "string"},
        "description": description,
    })
}

fn map(description: &str) -> Value {
    json!({
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": description,
    })
}

/// Inputs: texts, and globs that may match nothing.
fn inputs() -> Value {
    let glob = mapping(
        json!({
            "glob": text("The pattern."),
            "optional": {"type": "boolean", "description": "The pattern may match nothing."},
        }),
        "A pattern that may match nothing.",
    );
    let mut item = glob;
    item["type"] = json!(["string", "object"]);
    item["required"] = json!(["glob"]);
    json!({
        "type": ["string", "array"],
        "items": item,
        "description": "Globs relative to the file, !globs, task:NAME, param:NAME, env:NAME.",
    })
}

/// A mapping with optional keys.
fn mapping(properties: Value, description: &str) -> Value {
    let mut form = object(description, Keys::default());
    form["properties"] = properties;
    form
}

/// Keys of a task that the file can set for all of them.
fn defaults() -> Value {
    let of_tasks = shared();
    let keys = ["timeout", "timeout-minutes", "retries", "platform", "cache"];
    let mut keys: Map<String, Value> = keys
        .into_iter()
        .map(|key| (key.to_owned(), of_tasks[key].clone()))
        .collect();
    let shell = text("The shell that runs scripts, such as: sh -e.");
    keys.insert("shell".to_owned(), shell);
    mapping(Value::Object(keys), "Defaults for tasks.")
}

fn top() -> Value {
    json!({
        "kind": {"const": "JackalPipeline", "description": "The type of the file."},
        "version": {"const": 1, "description": "The version of this schema."},
        "name": text("The name of the pipeline. It becomes part of the names of images built here."),
        "requires": requires(),
        "include": texts("Patterns of pipeline files that belong to the same graph, relative to this file."),
        "params": {
            "type": "object",
            "additionalProperties": mapping(
                json!({
                    "type": {"enum": ["string", "number", "bool", "boolean", "enum"], "description": "`string` by default."},
                    "default": {"type": ["string", "number", "boolean"], "description": "Default value."},
                    "required": {"type": "boolean", "description": "Whether the run must set a value."},
                    "pattern": text("A regular expression that the value must match."),
                    "enum": texts("The allowed values."),
                    "description": text("A description for readers of the file."),
                }),
                "A parameter of the run.",
            ),
            "description": "Parameters of the run: --param NAME=VALUE or JACKAL_PARAM_NAME.",
        },
        "env": map("Environment variables for every task. They are part of every key."),
        "passThroughEnv": texts("Environment variables to pass through to every task. Only their names are part of the keys."),
        "globalInputs": one_or_many("Inputs of every `run` task."),
        "defaults": defaults(),
        "cache": mapping(
            json!({
                "salt": text("Part of every key."),
                "maxSize": described(size_schema(), "Maximum size of the cache after a run, such as 20GiB."),
                "maxAge": described(duration_schema(), "Remove results that have not been used for this long."),
                "verify": {"const": "always", "description": "Every blob is verified when it is read. This cannot be turned off."},
            }),
            "Cache salt and limits.",
        ),
        "allowUnpinned": {
            "type": "boolean",
            "description": "Whether `publish` tasks accept what is made by tasks with `network: true`. By default they refuse it, as nothing pins what the network gives.",
        },
        "trustIncremental": {
            "type": "boolean",
            "description": "Whether incremental tasks also run from what they kept under CI=true and for `publish` tasks. By default they run from scratch there.",
        },
        "toolchains": toolchains(),
        "pools": {
            "type": "object",
            "additionalProperties": described(whole_schema(1), "Maximum number of tasks that use it at the same time."),
            "description": "Named limits on parallel tasks.",
        },
        "tasks": {
            "type": "object",
            "additionalProperties": task(),
            "description": "The tasks, in any order.",
        },
        "schedules": schedules(),
    })
}

fn schedules() -> Value {
    let mut schedule = mapping(
        json!({
            "cron": text("Five fields (minute, hour, day of the month, month, day of the week), or a name such as @daily."),
            "timezone": text("The IANA name of the time zone, such as Europe/Berlin. UTC by default."),
            "tasks": one_or_many("Tasks of this file to run. All of them by default."),
            "targets": one_or_many("What to run instead, as on the command line at the root of the workspace: FOLDER, FOLDER:TASK, :TASK, tag:NAME."),
            "params": {
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean"]},
                "description": "Values of parameters.",
            },
            "description": text("A description for readers of the file."),
        }),
        "When something should run.",
    );
    schedule["required"] = json!(["cron"]);
    json!({
        "type": "object",
        "propertyNames": {"pattern": SCHEDULE_NAME},
        "additionalProperties": schedule,
        "description": "When a scheduler elsewhere should run which tasks; `jackal schedule export` writes its configuration.",
    })
}

fn toolchains() -> Value {
    json!({
        "type": "object",
        "additionalProperties": mapping(
            json!({
                "mounts": texts("Files and folders that commands may read, at their own paths."),
                "identity": {
                    "type": ["array", "object"],
                    "items": {"type": "string"},
                    "properties": {"run": texts("A command whose output identifies it. It runs once in each build, outside of the sandbox.")},
                    "additionalProperties": false,
                    "description": "Files that identify it, or a command. The content of all mounts by default.",
                },
                "path": texts("Folders for PATH, before all others."),
                "env": map("Variables for commands that use it."),
            }),
            "A toolchain: paths are relative to the file, or to the home of the user after ~/.",
        ),
        "description": "Toolchains that tasks name in `tools`.",
    })
}

/// The keys that a task with any verb may have.
fn shared() -> Map<String, Value> {
    let mut keys = Settings::<Written>::keys().properties;
    for (key, value) in [
        ("inputs", inputs()),
        (
            "env",
            map("Environment variables for the task. They are part of its key."),
        ),
        (
            "if",
            text("Expression; if it is false, the task is skipped."),
        ),
        ("platform", text("os/arch[/variant], or any.")),
        (
            "matrix",
            json!({
                "type": "object",
                "properties": {
                    "include": {"type": "array", "items": {"type": "object"}, "description": "Rows to add."},
                    "exclude": {"type": "array", "items": {"type": "object"}, "description": "Rows to leave out."},
                },
                "additionalProperties": texts("Values of the axis."),
                "description": "One instance of the task for each combination of values.",
            }),
        ),
    ] {
        keys.insert(key.to_owned(), value);
    }
    keys
}

/// One form for each verb, so that an editor explains mistakes in the verb that
/// was meant.
fn task() -> Value {
    let forms = Verb::forms().into_iter().map(|form| {
        let mut keys = Keys {
            properties: shared(),
            required: vec![form.verb],
        };
        if form.verb != "run" {
            for key in OF_COMMANDS {
                keys.properties.remove(key);
            }
        }
        keys.properties.insert(form.verb.to_owned(), form.value);
        for Beside {
            key,
            required,
            schema,
        } in form.beside
        {
            keys.required.extend(required.then_some(key));
            keys.properties
                .extend(schema.map(|schema| (key.to_owned(), schema)));
        }
        object("A task.", keys)
    });
    json!({"oneOf": forms.collect::<Vec<_>>()})
}
