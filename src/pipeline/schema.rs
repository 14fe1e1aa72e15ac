//! The JSON Schema of pipeline files, for editors and other programs.
//!
//! Says what `check` accepts key by key; what only the whole file shows, such
//! as a task that is not there, `check` alone knows.

use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of a pipeline file, with a line break at its end.
#[must_use]
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of jackal",
        "type": "object",
        "required": ["kind", "version", "tasks"],
        "properties": top(),
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
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

fn duration(description: &str) -> Value {
    json!({
        "type": "string",
        "pattern": "^([0-9]+(d|h|ms|m|s))+$",
        "description": description,
    })
}

fn size(description: &str) -> Value {
    json!({
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(B|[kKMGT]B|[KMGT]iB)?$",
        "minimum": 0,
        "description": description,
    })
}

fn whole(minimum: i64, description: &str) -> Value {
    json!({"type": "integer", "minimum": minimum, "description": description})
}

fn object(properties: Value, required: &[&str], description: &str) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
        "description": description,
    })
}

fn retries() -> Value {
    let mut form = object(
        json!({
            "attempts": whole(0, "Attempts after the first."),
            "backoff": duration("Before the second attempt; doubles from then on. 1s when not given."),
            "maxDelay": duration("The longest wait. 30s when not given."),
            "only": {
                "type": ["string", "array"],
                "pattern": "^(network|timeout|exit:-?[0-9]+)$",
                "items": {"type": "string", "pattern": "^(network|timeout|exit:-?[0-9]+)$"},
                "description": "After these failures only.",
            },
        }),
        &[],
        "Attempts after a failure that another attempt may mend.",
    );
    form["type"] = json!(["integer", "object"]);
    form["minimum"] = json!(0);
    form
}

fn caching() -> Value {
    let mut form = object(
        json!({
            "salt": text("Part of the key: change it to make every result again."),
            "fresh": duration("Mutable references are asked again when they were last asked longer ago."),
            "allow": {
                "type": ["string", "array"],
                "enum": ["secrets", ["secrets"]],
                "description": "Keep results of a task that sees secrets.",
            },
        }),
        &[],
        "Whether and how results are kept.",
    );
    form["type"] = json!(["boolean", "string", "object"]);
    form
}

fn top() -> Value {
    json!({
        "kind": {"const": "JackalPipeline", "description": "What the file is."},
        "version": {"const": 1, "description": "Version of this schema."},
        "name": text("Name of the pipeline; part of the names of images built here."),
        "params": {
            "type": "object",
            "additionalProperties": object(
                json!({
                    "type": {"enum": ["string", "number", "bool", "enum"], "description": "string when not given."},
                    "default": {"type": ["string", "number", "boolean"], "description": "When the run gives none."},
                    "required": {"type": "boolean", "description": "Whether the run must give it."},
                    "pattern": text("A regular expression that the value must match."),
                    "enum": texts("The values allowed."),
                    "description": text("For people."),
                }),
                &[],
                "A typed input of the run.",
            ),
            "description": "Typed inputs: --param NAME=VALUE or JACKAL_PARAM_NAME.",
        },
        "env": map("Variables of every task, and part of every key."),
        "passThroughEnv": texts("Variables that every task sees; names in the key, values not."),
        "globalInputs": one_or_many("Inputs of every run task."),
        "defaults": object(
            json!({
                "timeout": duration("Longest time of one attempt. 15m when not given."),
                "timeout-minutes": whole(1, "The same in minutes."),
                "retries": retries(),
                "platform": text("os/arch[/variant], or any."),
                "cache": caching(),
                "shell": text("Takes scripts that are written as one string."),
            }),
            &[],
            "What tasks have that say nothing themselves.",
        ),
        "cache": object(
            json!({
                "salt": text("Part of every key."),
                "maxSize": size("What the cache may hold after a run, such as 20GiB."),
                "maxAge": duration("What was not used for longer is removed after a run."),
                "verify": {"const": "always", "description": "Every blob is verified when it is read."},
            }),
            &[],
            "What the cache may hold.",
        ),
        "pools": {
            "type": "object",
            "additionalProperties": whole(1, "How many tasks may use it at once."),
            "description": "Named limits.",
        },
        "tasks": {
            "type": "object",
            "additionalProperties": task(),
            "description": "The tasks; their order means nothing.",
        },
    })
}

/// Keys that every task may have.
fn shared() -> Map<String, Value> {
    let value = json!({
        "dependsOn": one_or_many("Tasks that go first, for order only: task, or task[axis=value]."),
        "needs": one_or_many("The same as dependsOn."),
        "deps": one_or_many("The same as dependsOn."),
        "inputs": one_or_many("Globs relative to the file, !globs, task:NAME, param:NAME, env:NAME."),
        "env": map("Variables of the task, and part of its key."),
        "passThroughEnv": texts("Variables that the task sees; names in the key, values not."),
        "secrets": {
            "type": "object",
            "additionalProperties": {
                "oneOf": [
                    object(json!({"env": text("A variable of the run.")}), &["env"], "From a variable."),
                    object(json!({"file": text("A file, relative to this one.")}), &["file"], "From a file."),
                ],
            },
            "description": "Values that the command sees, that no log shows, and that no key holds.",
        },
        "tools": texts("Programs looked up on PATH; their digests are in the key."),
        "matrix": {
            "type": "object",
            "properties": {
                "include": {"type": "array", "items": {"type": "object"}, "description": "Rows to add."},
                "exclude": {"type": "array", "items": {"type": "object"}, "description": "Rows to leave out."},
            },
            "additionalProperties": texts("Values of the axis."),
            "description": "One instance of the task for each combination of values.",
        },
        "if": text("An expression; when false the task is skipped."),
        "platform": text("os/arch[/variant], or any."),
        "cache": caching(),
        "timeout": duration("Longest time of one attempt. 15m when not given."),
        "timeout-minutes": whole(1, "The same in minutes."),
        "grace": duration("Between asking a command to stop and killing it. 10s when not given."),
        "sandbox": {
            "enum": ["strict", "warn", "none"],
            "description": "Whether a command may open only what it declares and the system's own files. warn when not given: where the kernel can.",
        },
        "retries": retries(),
        "resources": object(
            json!({
                "cpu": whole(1, "Processors."),
                "memory": size("Memory, such as 2GiB."),
            }),
            &[],
            "What the task occupies while it runs.",
        ),
        "pool": text("The pool it takes a slot of."),
        "mutex": text("A lock across the run."),
        "concurrency": text("The same as mutex."),
        "priority": {"type": "integer", "description": "Among ready tasks the larger goes first."},
        "continueOnError": {"type": "boolean", "description": "Its failure does not fail the run."},
        "continue-on-error": {"type": "boolean", "description": "The same as continueOnError."},
        "allowFailure": {"type": "boolean", "description": "The same as continueOnError."},
        "workdir": text("Folder it runs in, relative to the file."),
        "description": text("For people."),
        "tags": texts("Words that --task tag:WORD selects by."),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// One form for each verb, so that an editor says what is wrong with the verb
/// that was meant.
#[expect(clippy::too_many_lines, reason = "to be shortened")]
fn task() -> Value {
    let layer = object(
        json!({
            "from": text("task:NAME, or a path relative to the file."),
            "to": text("Where it goes in the image."),
            "owner": text("uid:gid in numbers."),
            "mode": {"type": "string", "pattern": "^[0-7]{1,4}$", "description": "Permission bits of every file, in quotes."},
        }),
        &["from", "to"],
        "One layer.",
    );
    let config = object(
        json!({
            "entrypoint": one_or_many("The program with its first arguments."),
            "cmd": one_or_many("Default arguments."),
            "env": map("Variables in the image."),
            "user": text("User to run as."),
            "workdir": text("Folder to start in."),
            "labels": map("Labels."),
            "ports": one_or_many("Ports, such as 8080/tcp."),
        }),
        &[],
        "How the image is run.",
    );
    let verbs = [
        (
            "run",
            json!({
                "type": ["array", "string"],
                "items": {"type": "string"},
                "description": "Program and arguments; one string is a script, and needs `shell`.",
            }),
            &["inputs"][..],
            vec![
                ("shell", text("Takes the script, such as: sh -e.")),
                (
                    "outputs",
                    json!({
                        "type": ["string", "array", "object"],
                        "items": {
                            "type": ["string", "object"],
                            "properties": {
                                "path": text("The path."),
                                "optional": {"type": "boolean", "description": "It may be missing."},
                            },
                            "required": ["path"],
                            "additionalProperties": false,
                        },
                        "description": "What the command leaves: paths; a slash at the end means a folder.",
                    }),
                ),
            ],
        ),
        (
            "component",
            object(
                json!({
                    "definition": text("A package definition, relative to the file."),
                    "name": text("A component of it."),
                }),
                &["definition", "name"],
                "Makes a component's tar.",
            ),
            &[],
            vec![],
        ),
        (
            "images",
            object(
                json!({
                    "from": one_or_many("A package definition, or a list of references, task:NAME, oci:DIR:REFERENCE, oci-archive: and docker-archive: ones."),
                    "platform": text("os/arch[/variant]."),
                }),
                &["from"],
                "Fetches images and flattens them into one layout.",
            ),
            &[],
            vec![],
        ),
        (
            "image",
            object(
                json!({
                    "base": text("scratch, a reference, or task:NAME."),
                    "platform": text("os/arch[/variant]."),
                    "layers": {"type": "array", "items": layer, "description": "Lowest first."},
                    "config": config,
                }),
                &["base"],
                "Builds an image without a daemon.",
            ),
            &[],
            vec![],
        ),
        (
            "sbom",
            object(
                json!({
                    "of": one_or_many("Tasks that make components or images."),
                    "formats": {"type": "array", "items": {"enum": ["syft-json"]}, "description": "Formats to write."},
                }),
                &["of"],
                "Lists what is inside.",
            ),
            &[],
            vec![],
        ),
        (
            "package",
            object(
                json!({
                    "definition": text("The package definition, relative to the file."),
                    "set": map("Values for it."),
                    "components": one_or_many("Tasks that make its components."),
                    "images": one_or_many("Tasks that bring its images."),
                    "sboms": one_or_many("Tasks that list its contents."),
                }),
                &["definition"],
                "Puts a package together.",
            ),
            &[],
            vec![],
        ),
        (
            "sign",
            object(
                json!({
                    "subjects": one_or_many("Tasks that make the packages."),
                    "key": text("The private key: a file relative to this one, env://NAME, hashivault://KEY, or what a program sigstore-kms-NAME keeps. Its password is in `passwordFile`, else in COSIGN_PASSWORD."),
                    "passwordFile": text("The file with the key's password."),
                    "keyless": {"type": "boolean", "description": "Sign with a certificate for an identity token, which is logged in public."},
                    "identity": text("Whom the certificate must name, or no tag moves."),
                    "issuer": text("Who must vouch for that name."),
                    "trustConfig": text("A private Sigstore, in one file."),
                    "annotations": map("What the signature says of the packages besides."),
                    "builder": text("Who builds, as provenance says: an address that consumers know."),
                    "provenance": {"type": "boolean", "description": "Attest what the packages were made of, and how (SLSA provenance v1)."},
                    "sbom": {"type": "boolean", "description": "Attest what is inside (SPDX)."},
                    "inPackage": {"type": "boolean", "description": "Write a key's signature into the packages as well, as Jackal v0.32.7 reads it."},
                }),
                &["subjects"],
                "Signs packages; archives are written with their signature.",
            ),
            &[],
            vec![],
        ),
        (
            "publish",
            object(
                json!({
                    "packages": one_or_many("Tasks that make the packages: one release."),
                    "signatures": one_or_many("Tasks that sign them: nothing becomes visible without its signature."),
                    "to": text("oci://HOST/PATH, or oci-layout:FOLDER relative to the file."),
                    "mirrors": one_or_many("Publish there as well."),
                    "tags": one_or_many("Tags, instead of each package's version and flavor."),
                    "moveTags": {"type": "boolean", "description": "Move tags that name another package."},
                    "splitLayers": {"type": "boolean", "description": "Put files larger than a registry takes in one layer into several, which jackal alone joins again."},
                    "when": {"enum": ["changed"], "description": "Nothing is written where the package is there."},
                }),
                &["packages", "to"],
                "Publishes packages, all of them or none: tags move last.",
            ),
            &[],
            vec![],
        ),
    ];
    let forms: Vec<Value> = verbs
        .into_iter()
        .map(|(verb, form, more, keys)| {
            let mut properties = shared();
            properties.insert(verb.to_owned(), form);
            for (key, value) in keys {
                properties.insert(key.to_owned(), value);
            }
            let required: Vec<&str> = [verb].into_iter().chain(more.iter().copied()).collect();
            object(Value::Object(properties), &required, "A task.")
        })
        .collect();
    json!({"oneOf": forms})
}
