//! The definition of a package, typed.
//!
//! Field order is the order in which a definition is written. Each record keeps
//! the keys it does not know, so that a definition of a newer program can be
//! read, changed and written without loss. Nothing here checks a value.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::emit::{Tree, emit};
use super::parse::{self, Reading};
use super::schema;
use crate::yaml::{Node, Value};

/// What a value of a definition can do.
pub(crate) trait Part: Sized {
    /// Whether the value is left out when written.
    fn blank(&self) -> bool;
    /// The value as it is written.
    fn tree(&self) -> Tree;
    /// Reads the value of `key`; what is wrong is noted and reads as blank.
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self;
    /// What JSON Schema says of such a value.
    fn schema() -> Json;
}

impl Part for String {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::Text(self.clone())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        parse::text(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Part for bool {
    fn blank(&self) -> bool {
        !*self
    }
    fn tree(&self) -> Tree {
        Tree::Literal(self.to_string())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        parse::boolean(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "boolean"})
    }
}

impl Part for i64 {
    fn blank(&self) -> bool {
        *self == 0
    }
    fn tree(&self) -> Tree {
        Tree::Literal(self.to_string())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        parse::integer(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "integer"})
    }
}

impl<T: Part> Part for Option<T> {
    fn blank(&self) -> bool {
        self.is_none()
    }
    fn tree(&self) -> Tree {
        self.as_ref()
            .map_or(Tree::Literal("null".into()), Part::tree)
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        Some(T::read(node, key, reading))
    }
    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Part> Part for Vec<T> {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::List(self.iter().map(Part::tree).collect())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        if !matches!(node.value, Value::Sequence(_)) {
            reading.wrong(node, key, "a list");
        }
        node.items()
            .iter()
            .map(|item| T::read(item, key, reading))
            .collect()
    }
    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
}

impl<T: Part> Part for BTreeMap<String, T> {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::Map(self.iter().map(|(k, v)| (k.clone(), v.tree())).collect())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        let pairs = reading.pairs(node, key);
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), T::read(value, name, reading)))
            .collect()
    }
    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": T::schema()})
    }
}

/// Any value: what is kept without being understood.
impl Part for Tree {
    fn blank(&self) -> bool {
        false
    }
    fn tree(&self) -> Tree {
        self.clone()
    }
    fn read(node: &Node, _: &str, _: &mut Reading) -> Self {
        parse::tree(node)
    }
    fn schema() -> Json {
        json!({})
    }
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty = $key:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("The value of `", $key, "`.")] pub $field: $kind,)*
            /// Keys that are not known here, kept as they were read.
            pub extra: Vec<(String, Tree)>,
        }

        impl Part for $name {
            fn blank(&self) -> bool {
                $(self.$field.blank() &&)* self.extra.is_empty()
            }
            fn tree(&self) -> Tree {
                let mut pairs = Vec::new();
                $(if !self.$field.blank() {
                    pairs.push(($key.to_owned(), self.$field.tree()));
                })*
                pairs.extend(self.extra.iter().cloned());
                Tree::Map(pairs)
            }
            fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
                let mut record = Self::default();
                for (name, value) in reading.pairs(node, key) {
                    match name {
                        $($key if value.is_null() => {})*
                        $($key => record.$field = Part::read(value, $key, reading),)*
                        _ => record.extra.extend(reading.unknown(node, value, name, &[$($key),*])),
                    }
                }
                record
            }
            fn schema() -> Json {
                let mut properties = serde_json::Map::new();
                $(properties.insert(
                    $key.to_owned(),
                    schema::property(stringify!($name), $key, <$kind as Part>::schema()),
                );)*
                schema::record(stringify!($name), properties)
            }
        }
    )*};
}

records! {
    /// A whole definition.
    Definition {
        api_version: String = "apiVersion",
        kind: String = "kind",
        metadata: Metadata = "metadata",
        build: Build = "build",
        components: Vec<Component> = "components",
        constants: Vec<Constant> = "constants",
        variables: Vec<Variable> = "variables",
        values: Values = "values",
        documentation: BTreeMap<String, String> = "documentation",
    }
    /// Values of the whole package, for charts and templates.
    Values {
        files: Vec<String> = "files",
        schema: String = "schema",
    }
    /// What a package is called and says of itself.
    Metadata {
        name: String = "name",
        description: String = "description",
        version: String = "version",
        url: String = "url",
        image: String = "image",
        uncompressed: bool = "uncompressed",
        architecture: String = "architecture",
        yolo: bool = "yolo",
        authors: String = "authors",
        documentation: String = "documentation",
        source: String = "source",
        vendor: String = "vendor",
        annotations: BTreeMap<String, String> = "annotations",
        allow_namespace_override: Option<bool> = "allowNamespaceOverride",
        aggregate_checksum: String = "aggregateChecksum",
    }
    /// How the package was made. `Some("")` is written, `None` is not.
    Build {
        terminal: Option<String> = "terminal",
        user: Option<String> = "user",
        architecture: Option<String> = "architecture",
        timestamp: Option<String> = "timestamp",
        version: Option<String> = "version",
        migrations: Vec<String> = "migrations",
        registry_overrides: BTreeMap<String, String> = "registryOverrides",
        differential: bool = "differential",
        differential_package_version: String = "differentialPackageVersion",
        differential_package_checksum: String = "differentialPackageChecksum",
        differential_missing: Vec<String> = "differentialMissing",
        last_non_breaking_version: String = "lastNonBreakingVersion",
        flavor: String = "flavor",
        signed: Option<bool> = "signed",
        version_requirements: Vec<VersionRequirement> = "versionRequirements",
        provenance_files: Vec<String> = "provenanceFiles",
    }
    /// The program that a package needs.
    VersionRequirement {
        version: String = "version",
        reason: String = "reason",
    }
    /// One part of a package, deployed as a whole.
    Component {
        name: String = "name",
        description: String = "description",
        default: bool = "default",
        required: Option<bool> = "required",
        only: Only = "only",
        group: String = "group",
        cosign_key_path: String = "cosignKeyPath",
        import: Import = "import",
        manifests: Vec<Manifest> = "manifests",
        charts: Vec<Chart> = "charts",
        data_injections: Vec<DataInjection> = "dataInjections",
        files: Vec<File> = "files",
        images: Vec<String> = "images",
        image_archives: Vec<ImageArchive> = "imageArchives",
        repos: Vec<String> = "repos",
        health_checks: Vec<HealthCheck> = "healthChecks",
        state_access: Vec<Tree> = "stateAccess",
        extensions: Extensions = "extensions",
        scripts: Scripts = "scripts",
        actions: Actions = "actions",
    }
    /// Images in an archive on the disk.
    ImageArchive {
        path: String = "path",
        images: Vec<String> = "images",
    }
    /// A resource that is waited for after the charts.
    HealthCheck {
        api_version: String = "apiVersion",
        kind: String = "kind",
        namespace: String = "namespace",
        name: String = "name",
    }
    /// Where a component applies.
    Only {
        local_os: String = "localOS",
        cluster: OnlyCluster = "cluster",
        flavor: String = "flavor",
    }
    /// The clusters that a component applies to.
    OnlyCluster {
        architecture: String = "architecture",
        distros: Vec<String> = "distros",
    }
    /// Another package's component that this one builds upon.
    Import {
        name: String = "name",
        path: String = "path",
        url: String = "url",
    }
    /// Kubernetes manifests, deployed as one release.
    Manifest {
        name: String = "name",
        namespace: String = "namespace",
        files: Vec<String> = "files",
        kustomize_allow_any_directory: bool = "kustomizeAllowAnyDirectory",
        kustomizations: Vec<String> = "kustomizations",
        no_wait: bool = "noWait",
        server_side_apply: String = "serverSideApply",
        template: bool = "template",
        enable_kustomize_plugins: bool = "enableKustomizePlugins",
    }
    /// A Helm chart.
    Chart {
        name: String = "name",
        version: String = "version",
        url: String = "url",
        repo_name: String = "repoName",
        git_path: String = "gitPath",
        local_path: String = "localPath",
        namespace: String = "namespace",
        release_name: String = "releaseName",
        no_wait: bool = "noWait",
        values_files: Vec<String> = "valuesFiles",
        templated_values_files: Vec<String> = "templatedValuesFiles",
        variables: Vec<ChartVariable> = "variables",
        values: Vec<ChartValue> = "values",
        schema_validation: Option<bool> = "schemaValidation",
        server_side_apply: String = "serverSideApply",
    }
    /// A variable that is written into a chart's values.
    ChartVariable {
        name: String = "name",
        description: String = "description",
        path: String = "path",
    }
    /// Values of the package that become values of a chart.
    ChartValue {
        source_path: String = "sourcePath",
        target_path: String = "targetPath",
        exclude_paths: Vec<String> = "excludePaths",
    }
    /// Data copied into a running container.
    DataInjection {
        source: String = "source",
        target: DataTarget = "target",
        compress: bool = "compress",
    }
    /// The container that receives data.
    DataTarget {
        namespace: String = "namespace",
        selector: String = "selector",
        container: String = "container",
        path: String = "path",
    }
    /// A file put on the machine that deploys.
    File {
        source: String = "source",
        shasum: String = "shasum",
        target: String = "target",
        executable: bool = "executable",
        symlinks: Vec<String> = "symlinks",
        extract_path: String = "extractPath",
        template: bool = "template",
    }
    /// What is expanded into a component at create.
    Extensions {
        bigbang: Option<BigBang> = "bigbang",
    }
    /// Settings of the Big Bang extension.
    BigBang {
        version: String = "version",
        repo: String = "repo",
        values_files: Vec<String> = "valuesFiles",
        skip_flux: bool = "skipFlux",
        flux_patch_files: Vec<String> = "fluxPatchFiles",
    }
    /// The deprecated form of [`Actions`].
    Scripts {
        show_output: bool = "showOutput",
        timeout_seconds: i64 = "timeoutSeconds",
        retry: bool = "retry",
        prepare: Vec<String> = "prepare",
        before: Vec<String> = "before",
        after: Vec<String> = "after",
    }
    /// Commands around the life of a component.
    Actions {
        on_create: ActionSet = "onCreate",
        on_deploy: ActionSet = "onDeploy",
        on_remove: ActionSet = "onRemove",
    }
    /// Commands around one event.
    ActionSet {
        defaults: ActionDefaults = "defaults",
        before: Vec<Action> = "before",
        after: Vec<Action> = "after",
        on_success: Vec<Action> = "onSuccess",
        on_failure: Vec<Action> = "onFailure",
    }
    /// What holds for each action of a set that says nothing else.
    ActionDefaults {
        mute: bool = "mute",
        max_total_seconds: i64 = "maxTotalSeconds",
        max_retries: i64 = "maxRetries",
        dir: String = "dir",
        env: Vec<String> = "env",
        shell: Shell = "shell",
    }
    /// The shell for each system.
    Shell {
        windows: String = "windows",
        linux: String = "linux",
        darwin: String = "darwin",
    }
    /// One command or wait. `None` leaves the set's default in force.
    Action {
        mute: Option<bool> = "mute",
        max_total_seconds: Option<i64> = "maxTotalSeconds",
        max_retries: Option<i64> = "maxRetries",
        dir: Option<String> = "dir",
        env: Vec<String> = "env",
        cmd: String = "cmd",
        shell: Option<Shell> = "shell",
        set_variable: String = "setVariable",
        set_variables: Vec<SetVariable> = "setVariables",
        set_values: Vec<Tree> = "setValues",
        template: bool = "template",
        description: String = "description",
        wait: Option<Wait> = "wait",
    }
    /// A variable that takes a command's output.
    SetVariable {
        name: String = "name",
        kind: String = "type",
        pattern: String = "pattern",
        sensitive: bool = "sensitive",
        auto_indent: bool = "autoIndent",
    }
    /// What an action waits for.
    Wait {
        cluster: Option<WaitCluster> = "cluster",
        network: Option<WaitNetwork> = "network",
    }
    /// A resource in the cluster.
    WaitCluster {
        kind: String = "kind",
        name: String = "name",
        namespace: String = "namespace",
        condition: String = "condition",
    }
    /// An address that answers.
    WaitNetwork {
        protocol: String = "protocol",
        address: String = "address",
        code: i64 = "code",
    }
    /// A value that is set at deploy.
    Variable {
        name: String = "name",
        description: String = "description",
        default: String = "default",
        prompt: bool = "prompt",
        sensitive: bool = "sensitive",
        auto_indent: bool = "autoIndent",
        pattern: String = "pattern",
        kind: String = "type",
    }
    /// A value that is fixed at create. `Some("")` is written.
    Constant {
        name: String = "name",
        value: Option<String> = "value",
        description: String = "description",
        auto_indent: bool = "autoIndent",
        pattern: String = "pattern",
    }
}

impl Definition {
    /// The JSON Schema of a definition: the keys and types that are read, made
    /// from the same table as the reading of them.
    #[must_use]
    pub fn json_schema() -> String {
        let mut schema = Self::schema();
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!("A package definition of jackal (jackal.yaml)");
        format!("{schema:#}\n")
    }

    /// The definition as a JSON value, with the keys of the YAML.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.tree().to_json()
    }

    /// The YAML text of the definition, the same for equal definitions.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        emit(&self.tree())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_values_are_left_out_and_unknown_keys_are_kept() {
        let definition = Definition {
            kind: "JackalPackageConfig".into(),
            metadata: Metadata {
                name: "demo".into(),
                version: "1.10".into(),
                ..Metadata::default()
            },
            build: Build {
                user: Some(String::new()),
                ..Build::default()
            },
            components: vec![Component {
                name: "a".into(),
                required: Some(false),
                extra: vec![("futureChecks".into(), Tree::List(vec![]))],
                ..Component::default()
            }],
            ..Definition::default()
        };
        let text = "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.10\"\n\
                    build:\n  user: \"\"\ncomponents:\n- name: a\n  required: false\n  \
                    futureChecks: []\n";
        assert_eq!(definition.to_yaml(), text);
    }
}
