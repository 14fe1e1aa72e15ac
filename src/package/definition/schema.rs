//! What the JSON Schema of a definition says beyond keys and types: what a key
//! is for, which values it takes, and what is deprecated.
//!
//! A row here for a key that is not read, or a key without a row, fails a test.

use serde_json::{Map, Value as Json, json};

/// A name of a package or component; templates make up names, too.
const NAME: &str = "^([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]|.*###.*)$";

/// A variable's name.
const VARIABLE: &str = "^([A-Z0-9_]+|.*###.*)$";

/// What can be part of a file name.
const PLAIN: &str = r"^[^/\\]*$";

/// A checksum of a file.
const SHASUM: &str = "^([0-9a-fA-F]{64}|.*###.*)?$";

/// Where a skeleton package is.
const SKELETON_URL: &str = "^oci:.+$";

/// What restricts a value.
enum Rule {
    Pattern(&'static str),
    OneOf(&'static [&'static str]),
    AtLeast(i64),
    Deprecated,
    /// Read and kept, refused when a package is made.
    Unbuilt,
}

use Rule::{AtLeast, Deprecated, OneOf, Pattern, Unbuilt};

const KINDS: &[&str] = &[
    "JackalPackageConfig",
    "JackalInitConfig",
    "ZarfPackageConfig",
    "ZarfInitConfig",
];

const RULES: &[(&str, &str, Rule)] = &[
    ("Definition", "kind", OneOf(KINDS)),
    ("Definition", "values", Unbuilt),
    ("Definition", "documentation", Unbuilt),
    ("Metadata", "name", Pattern(NAME)),
    ("Metadata", "version", Pattern(PLAIN)),
    ("Metadata", "architecture", Pattern(PLAIN)),
    ("Component", "name", Pattern(NAME)),
    ("Component", "group", Deprecated),
    ("Component", "cosignKeyPath", Deprecated),
    ("Component", "scripts", Deprecated),
    ("Component", "imageArchives", Unbuilt),
    ("Component", "extensions", Unbuilt),
    ("Only", "localOS", OneOf(&["linux", "darwin", "windows"])),
    ("Import", "url", Pattern(SKELETON_URL)),
    ("File", "shasum", Pattern(SHASUM)),
    ("Chart", "templatedValuesFiles", Unbuilt),
    (
        "Chart",
        "serverSideApply",
        OneOf(&["true", "false", "auto"]),
    ),
    (
        "Manifest",
        "serverSideApply",
        OneOf(&["true", "false", "auto"]),
    ),
    ("Manifest", "enableKustomizePlugins", Unbuilt),
    ("ActionDefaults", "maxTotalSeconds", AtLeast(0)),
    ("ActionDefaults", "maxRetries", AtLeast(0)),
    ("Action", "maxTotalSeconds", AtLeast(0)),
    ("Action", "maxRetries", AtLeast(0)),
    ("Action", "setVariable", Pattern(VARIABLE)),
    ("Action", "setVariable", Deprecated),
    ("SetVariable", "name", Pattern(VARIABLE)),
    ("SetVariable", "type", OneOf(&["raw", "file"])),
    ("Variable", "name", Pattern(VARIABLE)),
    ("Variable", "type", OneOf(&["raw", "file"])),
    ("Constant", "name", Pattern(VARIABLE)),
    ("ChartVariable", "name", Pattern(VARIABLE)),
    ("WaitNetwork", "protocol", OneOf(&["tcp", "http", "https"])),
    ("WaitNetwork", "code", AtLeast(0)),
    ("Scripts", "timeoutSeconds", AtLeast(0)),
];

/// Keys without which a record says nothing.
const REQUIRED: &[(&str, &[&str])] = &[
    ("Definition", &["kind", "metadata", "components"]),
    ("Metadata", &["name"]),
    ("Component", &["name"]),
    ("File", &["source", "target"]),
    ("Chart", &["name", "namespace", "version"]),
    ("Manifest", &["name"]),
    ("DataInjection", &["source", "target"]),
    (
        "DataTarget",
        &["namespace", "selector", "container", "path"],
    ),
    ("Variable", &["name"]),
    ("Constant", &["name", "value"]),
    ("SetVariable", &["name"]),
    ("WaitCluster", &["kind", "name"]),
    ("WaitNetwork", &["protocol", "address"]),
    ("BigBang", &["version"]),
    ("ImageArchive", &["path", "images"]),
    ("HealthCheck", &["apiVersion", "kind", "namespace", "name"]),
    ("ChartVariable", &["name", "path"]),
    ("ChartValue", &["sourcePath", "targetPath"]),
];

/// Every record with its keys and what they are for.
const DESCRIPTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "Definition",
        &[
            ("apiVersion", "Version of this format; may be left out"),
            (
                "kind",
                "What the package is: an ordinary one, or one that prepares a cluster",
            ),
            ("metadata", "What the package is called and says of itself"),
            ("build", "How the package was made; written by the program"),
            (
                "components",
                "The parts of the package, deployed in this order",
            ),
            (
                "constants",
                "Values that are fixed when the package is made",
            ),
            (
                "variables",
                "Values that are set when the package is deployed",
            ),
            (
                "values",
                "Values of the whole package, for charts and templates",
            ),
            (
                "documentation",
                "Files that explain the package, by a key of your own",
            ),
        ],
    ),
    (
        "Values",
        &[
            ("files", "YAML files, each laid over those before it"),
            ("schema", "JSON Schema that the values must fit"),
        ],
    ),
    (
        "Metadata",
        &[
            (
                "name",
                "The package's name: lowercase letters, digits and inner hyphens",
            ),
            ("description", "One sentence for people"),
            (
                "version",
                "The package's version; in quotes if it looks like a number",
            ),
            ("url", "Where the packaged software is at home"),
            ("image", "A picture for the package; not used"),
            ("uncompressed", "Write a plain tar, not a Zstandard one"),
            (
                "architecture",
                "Architecture of the target, such as amd64 or arm64",
            ),
            (
                "yolo",
                "Deploy without jackal's own registry and Git server",
            ),
            ("authors", "Who made the package"),
            ("documentation", "URL of the documentation"),
            ("source", "URL of the source code"),
            ("vendor", "Who distributes the software"),
            (
                "annotations",
                "Further facts, also written into the OCI manifest",
            ),
            (
                "allowNamespaceOverride",
                "Whether deploying may choose another namespace",
            ),
            (
                "aggregateChecksum",
                "Digest of checksums.txt; written by the program",
            ),
        ],
    ),
    (
        "Build",
        &[
            ("terminal", "Host that made the package"),
            ("user", "User that made the package"),
            ("architecture", "Architecture of the package"),
            ("timestamp", "When the package was made"),
            ("version", "Version of the program"),
            ("migrations", "Migrations of deprecated keys that were done"),
            (
                "registryOverrides",
                "Registries that images were pulled from instead",
            ),
            (
                "differential",
                "Whether only what differs from another version is in it",
            ),
            (
                "differentialPackageVersion",
                "The version that it differs from",
            ),
            (
                "differentialPackageChecksum",
                "The aggregate checksum of the package that it differs from",
            ),
            ("differentialMissing", "Components that are not in it"),
            (
                "lastNonBreakingVersion",
                "Oldest program that can deploy it",
            ),
            ("flavor", "The flavor that was chosen"),
            ("signed", "Whether the package is signed"),
            (
                "versionRequirements",
                "Programs that are needed to deploy it, and why",
            ),
            (
                "provenanceFiles",
                "Files of the package that speak of how it was made",
            ),
        ],
    ),
    (
        "VersionRequirement",
        &[
            ("version", "Oldest version that will do"),
            ("reason", "What needs it"),
        ],
    ),
    (
        "Component",
        &[
            ("name", "The component's name, unique in the package"),
            ("description", "One sentence for people"),
            (
                "default",
                "Whether it is chosen unless the user says otherwise",
            ),
            ("required", "Whether it is always deployed"),
            ("only", "Where the component applies"),
            (
                "group",
                "Of the components of a group, one is deployed. Use only.flavor",
            ),
            ("cosignKeyPath", "Key for downloads; not used any more"),
            (
                "import",
                "A component of another definition that this one builds on",
            ),
            ("manifests", "Kubernetes manifests"),
            ("charts", "Helm charts"),
            ("dataInjections", "Data copied into running containers"),
            ("files", "Files put on the machine that deploys"),
            ("images", "Container images, best with a digest"),
            ("imageArchives", "Images in archives on the disk"),
            (
                "repos",
                "Git repositories, with @ref for a tag, commit or reference",
            ),
            (
                "healthChecks",
                "Resources that are waited for after the charts",
            ),
            (
                "stateAccess",
                "What of the cluster's state templates may read",
            ),
            (
                "extensions",
                "Large sets of components, made from a few settings",
            ),
            ("scripts", "Commands around a deployment. Use actions"),
            (
                "actions",
                "Commands and waits around the life of the component",
            ),
        ],
    ),
    (
        "ImageArchive",
        &[
            ("path", "An OCI or Docker archive"),
            ("images", "References of the images in it"),
        ],
    ),
    (
        "HealthCheck",
        &[
            ("apiVersion", "API version of the resource"),
            ("kind", "Kind of the resource"),
            ("namespace", "Namespace of the resource"),
            ("name", "Name of the resource"),
        ],
    ),
    (
        "Only",
        &[
            ("localOS", "System of the machine that deploys"),
            ("cluster", "The clusters that it applies to"),
            (
                "flavor",
                "Taken only if this flavor is chosen when the package is made",
            ),
        ],
    ),
    (
        "OnlyCluster",
        &[
            (
                "architecture",
                "Taken only if the package is made for this architecture",
            ),
            ("distros", "Kinds of cluster; not used"),
        ],
    ),
    (
        "Import",
        &[
            ("name", "The component's name there, if it differs"),
            (
                "path",
                "Folder with the other definition, relative to this file's",
            ),
            (
                "url",
                "A published skeleton, oci://REGISTRY/PATH:TAG, or oci:FOLDER:TAG",
            ),
        ],
    ),
    (
        "Manifest",
        &[
            (
                "name",
                "Name of the release that the manifests become, up to 40 bytes",
            ),
            ("namespace", "Namespace for what names none"),
            ("files", "Files or URLs of manifests"),
            (
                "kustomizeAllowAnyDirectory",
                "Let kustomizations read outside of their folder",
            ),
            ("kustomizations", "Folders or URLs of kustomizations"),
            ("noWait", "Do not wait until what was deployed is ready"),
            ("serverSideApply", "Whether the cluster joins the fields"),
            ("template", "Fill the templates in the files when deploying"),
            ("enableKustomizePlugins", "Let kustomize run plugins"),
        ],
    ),
    (
        "Chart",
        &[
            ("name", "Name of the chart, up to 40 bytes"),
            (
                "version",
                "Version of the chart, in quotes if it looks like a number",
            ),
            ("url", "Chart repository, OCI chart, or Git repository"),
            (
                "repoName",
                "The chart's name in its repository, if it differs",
            ),
            ("gitPath", "Folder of the chart in its Git repository"),
            ("localPath", "Folder or archive of a chart beside this file"),
            ("namespace", "Namespace of the release"),
            (
                "releaseName",
                "Name of the release, if it differs from the chart's",
            ),
            ("noWait", "Do not wait until what was deployed is ready"),
            (
                "valuesFiles",
                "Files or URLs of values, each laid over those before it",
            ),
            (
                "templatedValuesFiles",
                "Values files whose templates are filled when deploying",
            ),
            ("variables", "Variables that are written into the values"),
            (
                "values",
                "Values of the package that become values of the chart",
            ),
            ("schemaValidation", "Hold the values to the chart's schema"),
            ("serverSideApply", "Whether the cluster joins the fields"),
        ],
    ),
    (
        "ChartVariable",
        &[
            ("name", "Name of the variable"),
            ("description", "One sentence for people"),
            ("path", "Dotted path in the values"),
        ],
    ),
    (
        "ChartValue",
        &[
            ("sourcePath", "Dotted path in the package's values"),
            ("targetPath", "Dotted path in the chart's values"),
            ("excludePaths", "Dotted paths that are left out"),
        ],
    ),
    (
        "DataInjection",
        &[
            ("source", "File, folder or URL"),
            ("target", "The container that receives the data"),
            ("compress", "Compress the data on its way"),
        ],
    ),
    (
        "DataTarget",
        &[
            ("namespace", "Namespace of the pod"),
            ("selector", "Labels of the pod, as in app=web"),
            ("container", "Name of the container"),
            ("path", "Where the data goes in the container"),
        ],
    ),
    (
        "File",
        &[
            ("source", "File or folder beside this file, or a URL"),
            ("shasum", "SHA-256 of the file, in hex"),
            ("target", "Where it goes, with the file's name"),
            ("executable", "Whether it may be run"),
            ("symlinks", "Links that are made to it"),
            (
                "extractPath",
                "The member to take if the source is an archive",
            ),
            ("template", "Fill the templates in the file when deploying"),
        ],
    ),
    ("Extensions", &[("bigbang", "The Big Bang platform")]),
    (
        "BigBang",
        &[
            ("version", "Version of Big Bang"),
            ("repo", "Git repository of Big Bang"),
            ("valuesFiles", "Files of values"),
            ("skipFlux", "Leave Flux out"),
            ("fluxPatchFiles", "Patches for Flux"),
        ],
    ),
    (
        "Scripts",
        &[
            ("showOutput", "Show what the scripts print"),
            ("timeoutSeconds", "Longest time for one script"),
            ("retry", "Run a failed script again, without end"),
            ("prepare", "Run when the package is made"),
            ("before", "Run before the component is deployed"),
            ("after", "Run after the component is deployed"),
        ],
    ),
    (
        "Actions",
        &[
            ("onCreate", "Around the making of the component"),
            ("onDeploy", "Around the deployment"),
            ("onRemove", "Around the removal"),
        ],
    ),
    (
        "ActionSet",
        &[
            (
                "defaults",
                "What holds for each action that says nothing else",
            ),
            ("before", "Run first"),
            ("after", "Run last"),
            ("onSuccess", "Run if all went well"),
            ("onFailure", "Run if something failed"),
        ],
    ),
    (
        "ActionDefaults",
        &[
            ("mute", "Hide what the commands print"),
            (
                "maxTotalSeconds",
                "Longest time, with all retries; 0: no limit",
            ),
            ("maxRetries", "Further attempts after a failure"),
            ("dir", "Folder to run in"),
            ("env", "Variables of the environment, NAME=VALUE"),
            ("shell", "The shell for each system"),
        ],
    ),
    (
        "Shell",
        &[
            ("windows", "Shell on Windows"),
            ("linux", "Shell on Linux"),
            ("darwin", "Shell on macOS"),
        ],
    ),
    (
        "Action",
        &[
            ("mute", "Hide what the command prints"),
            (
                "maxTotalSeconds",
                "Longest time, with all retries; 0: no limit",
            ),
            ("maxRetries", "Further attempts after a failure"),
            ("dir", "Folder to run in"),
            ("env", "Variables of the environment, NAME=VALUE"),
            ("cmd", "The command; not together with wait"),
            ("shell", "The shell for each system"),
            (
                "setVariable",
                "Variable that takes the output. Use setVariables",
            ),
            ("setVariables", "Variables that take the output"),
            ("setValues", "Values of the package that take the output"),
            ("template", "Fill the templates in the command"),
            (
                "description",
                "One sentence for people, shown instead of the command",
            ),
            ("wait", "What to wait for; not together with cmd"),
        ],
    ),
    (
        "SetVariable",
        &[
            ("name", "Name of the variable"),
            (
                "type",
                "Whether the value is text or the path of a file with the text",
            ),
            (
                "pattern",
                "Regular expression that must be found in the value",
            ),
            ("sensitive", "Never show the value"),
            (
                "autoIndent",
                "Indent further lines of the value like the first",
            ),
        ],
    ),
    (
        "Wait",
        &[
            ("cluster", "A resource in the cluster"),
            ("network", "An address that answers"),
        ],
    ),
    (
        "WaitCluster",
        &[
            ("kind", "Kind of the resource"),
            ("name", "Name of the resource, or label=selector"),
            ("namespace", "Namespace of the resource"),
            (
                "condition",
                "Condition or {jsonpath}=value; without one, that it exists",
            ),
        ],
    ),
    (
        "WaitNetwork",
        &[
            ("protocol", "How to connect"),
            ("address", "Host and port, or what follows the scheme"),
            ("code", "Status that is expected; without one, any success"),
        ],
    ),
    (
        "Variable",
        &[
            ("name", "Name, for ###JACKAL_VAR_NAME###"),
            ("description", "One sentence for people"),
            ("default", "Value if none is set"),
            ("prompt", "Ask for the value"),
            ("sensitive", "Never show the value"),
            (
                "autoIndent",
                "Indent further lines of the value like the first",
            ),
            (
                "pattern",
                "Regular expression that must be found in the value",
            ),
            (
                "type",
                "Whether the value is text or the path of a file with the text",
            ),
        ],
    ),
    (
        "Constant",
        &[
            ("name", "Name, for ###JACKAL_CONST_NAME###"),
            ("value", "The value"),
            ("description", "One sentence for people"),
            (
                "autoIndent",
                "Indent further lines of the value like the first",
            ),
            (
                "pattern",
                "Regular expression that must be found in the value",
            ),
        ],
    ),
];

/// The schema of the key `key` of `record`, whose type has the schema `kind`.
pub(super) fn property(record: &str, key: &str, mut kind: Json) -> Json {
    let mut description = described(record, key).unwrap_or_default().to_owned();
    for (_, _, rule) in RULES.iter().filter(|(r, k, _)| *r == record && *k == key) {
        match rule {
            Pattern(pattern) => kind["pattern"] = json!(pattern),
            OneOf(values) => kind["enum"] = json!(values),
            AtLeast(least) => kind["minimum"] = json!(least),
            Deprecated => {
                description = format!("Deprecated. {description}");
                kind["deprecated"] = json!(true);
            }
            Unbuilt => description = format!("{description}. Cannot be built yet"),
        }
    }
    kind["description"] = json!(description);
    kind
}

/// The schema of a record with these properties.
pub(super) fn record(record: &str, properties: Map<String, Json>) -> Json {
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    if let Some((_, keys)) = REQUIRED.iter().find(|(name, _)| *name == record) {
        schema["required"] = json!(keys);
    }
    schema
}

fn described(record: &str, key: &str) -> Option<&'static str> {
    let (_, keys) = DESCRIPTIONS.iter().find(|(name, _)| *name == record)?;
    let (_, text) = keys.iter().find(|(name, _)| *name == key)?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Definition;

    /// Every property of a schema, at any depth.
    fn properties(schema: &Json, found: &mut Vec<(String, Json)>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push((key.clone(), property.clone()));
            properties(property, found);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                properties(&schema[inner], found);
            }
        }
    }

    #[test]
    fn every_key_is_described_and_every_row_is_used() {
        let schema: Json = serde_json::from_str(&Definition::json_schema()).unwrap();
        let mut found = Vec::new();
        properties(&schema, &mut found);
        assert!(found.len() > 250, "{}", found.len());
        for (key, property) in &found {
            let text = property["description"].as_str().unwrap();
            assert!(!text.is_empty(), "`{key}` has no description");
        }
        for (record, rows) in DESCRIPTIONS {
            for (key, text) in *rows {
                let used = found.iter().any(|(name, property)| {
                    name == key && property["description"].as_str().unwrap().contains(text)
                });
                assert!(used, "{record}.{key}");
            }
        }
        for (record, key, _) in RULES {
            assert!(described(record, key).is_some(), "{record}.{key}");
        }
        for (record, keys) in REQUIRED {
            for key in *keys {
                assert!(described(record, key).is_some(), "{record}.{key}");
            }
        }
    }
}
