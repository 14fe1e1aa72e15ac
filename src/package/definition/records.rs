//! The records of a definition: every key of `jackal.yaml`, one row each.
//!
//! Rows are in the order in which a definition is written. Each record keeps the
//! keys it does not know, so that a definition of a newer program can be read,
//! changed and written without loss. Nothing here checks a value.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::emit::{Tree, emit};
use super::part::{Part, Visited, records};
use super::reading::Reading;
use super::row::Rule::{
    Appends, AtLeast, Deprecated, OneOf, Own, Path, Pattern, Replaces, Required, Unbuilt, UnbuiltIn,
};
use super::row::{FILE_NAME, PLAIN_NAME, RELEASE, Row, Rule, SHASUM, SKELETON_URL, VARIABLE};
use super::schema;
use crate::yaml::Node;

const KINDS: &[&str] = &[
    "JackalPackageConfig",
    "JackalInitConfig",
    "ZarfPackageConfig",
    "ZarfInitConfig",
];
/// What Zarf's schema lists; other architectures have no cluster that it deploys to.
const ARCHITECTURES: &[&str] = &["amd64", "arm64"];
const SYSTEMS: &[&str] = &["linux", "darwin", "windows"];
const VALUE_TYPES: &[&str] = &["raw", "file"];
const SERVER_SIDE_APPLY: &[&str] = &["true", "false", "auto"];
const PROTOCOLS: &[&str] = &["tcp", "http", "https"];

records! {
    /// A whole definition.
    Definition {
        api_version: String = "apiVersion", "Version of the definition format; optional";
        kind: String = "kind", "Kind of package: an ordinary one, or one that initializes a cluster",
            Required, OneOf(KINDS);
        metadata: Metadata = "metadata", "Name and description of the package", Required;
        build: Build = "build", "How the package was built; written by jackal";
        components: Vec<Component> = "components", "Components of the package, in order of deployment",
            Required;
        constants: Vec<Constant> = "constants", "Values that are fixed when the package is built";
        variables: Vec<Variable> = "variables", "Values that are set when the package is deployed";
        values: Values = "values", "Values of the whole package, for charts and templates";
        documentation: BTreeMap<String, String> = "documentation",
            "Documentation files of the package, under keys of your choice";
    }
    /// Values of the whole package, for charts and templates.
    Values {
        files: Vec<String> = "files", "YAML files of values; later files override earlier ones", Path, Appends;
        schema: String = "schema", "JSON Schema for the values", Path;
    }
    /// Name and description of a package.
    Metadata {
        name: String = "name", "Package name, made of lowercase letters, digits and inner hyphens",
            Required, Pattern(&PLAIN_NAME);
        description: String = "description", "One-sentence description";
        version: String = "version", "Package version; quote it if it looks like a number",
            Pattern(&FILE_NAME);
        url: String = "url", "Home page of the packaged software";
        image: String = "image", "URL of an image for the package; not used";
        uncompressed: bool = "uncompressed", "Write a plain tar archive instead of a Zstandard one";
        architecture: String = "architecture", "Target architecture, such as amd64 or arm64",
            Pattern(&FILE_NAME);
        yolo: bool = "yolo", "Deploy without an initialized cluster: no internal registry or Git server";
        authors: String = "authors", "Authors of the package";
        documentation: String = "documentation", "URL of the documentation";
        source: String = "source", "URL of the source code";
        vendor: String = "vendor", "Distributor of the software";
        annotations: BTreeMap<String, String> = "annotations",
            "Annotations, also written to the OCI manifest";
        allow_namespace_override: Option<bool> = "allowNamespaceOverride",
            "Whether a deployment may choose another namespace";
        aggregate_checksum: String = "aggregateChecksum",
            "SHA-256 digest of checksums.txt; written by jackal";
    }
    /// How a package was built. `Some("")` is written, `None` is not.
    Build {
        terminal: Option<String> = "terminal", "Host that built the package";
        user: Option<String> = "user", "User that built the package";
        architecture: Option<String> = "architecture", "Architecture of the package";
        timestamp: Option<String> = "timestamp", "Time of the build";
        version: Option<String> = "version", "Version of the program that built the package";
        migrations: Vec<String> = "migrations", "Migrations of deprecated keys that were applied";
        registry_overrides: BTreeMap<String, String> = "registryOverrides",
            "Registries that images were pulled from, keyed by the registry they replace";
        differential: bool = "differential", "Whether the package holds only changes from a base package";
        differential_package_version: String = "differentialPackageVersion",
            "Version of the base package";
        differential_package_checksum: String = "differentialPackageChecksum",
            "Aggregate checksum of the base package";
        differential_missing: Vec<String> = "differentialMissing",
            "Components left out because the base package has them";
        last_non_breaking_version: String = "lastNonBreakingVersion",
            "Oldest program version that can deploy the package";
        flavor: String = "flavor", "Flavor that was selected for the build";
        signed: Option<bool> = "signed", "Whether the package is signed";
        version_requirements: Vec<VersionRequirement> = "versionRequirements",
            "Program versions that a deployment requires";
        provenance_files: Vec<String> = "provenanceFiles",
            "Files of the package that document how it was built";
    }
    /// A program version that a package requires.
    VersionRequirement {
        version: String = "version", "Oldest version that is sufficient";
        reason: String = "reason", "Feature that requires it";
    }
    /// One part of a package, deployed as a whole.
    Component {
        name: String = "name", "Component name, unique in the package", Required, Pattern(&PLAIN_NAME), Own;
        description: String = "description", "One-sentence description";
        default: bool = "default", "Whether the component is selected by default", Own;
        required: Option<bool> = "required", "Whether the component is always deployed", Own;
        only: Only = "only", "Conditions for including or deploying the component";
        group: String = "group", "Group of which only one component is deployed. Use only.flavor",
            Deprecated, Own;
        cosign_key_path: String = "cosignKeyPath", "Public key for verifying downloads; not used",
            Deprecated, Path;
        import: Import = "import", "Component of another definition that this one extends";
        manifests: Vec<Manifest> = "manifests", "Kubernetes manifests to deploy";
        charts: Vec<Chart> = "charts", "Helm charts to deploy";
        data_injections: Vec<DataInjection> = "dataInjections", "Data to copy into running containers",
            Appends;
        files: Vec<File> = "files", "Files to place on the machine that runs the deployment", Appends;
        images: Vec<String> = "images", "Container images, preferably pinned by digest", Appends;
        image_archives: Vec<ImageArchive> = "imageArchives", "Images from local archives", Appends;
        repos: Vec<String> = "repos", "Git repositories; append @ and a tag, commit or ref to pin one",
            Appends;
        health_checks: Vec<HealthCheck> = "healthChecks", "Resources to wait for after deploying the charts",
            Appends;
        state_access: Vec<Tree> = "stateAccess", "Parts of the cluster state that templates may read",
            Appends;
        extensions: Extensions = "extensions", "Sets of components generated from a few settings";
        scripts: Scripts = "scripts", "Commands around a deployment. Use actions", Deprecated;
        actions: Actions = "actions", "Commands and waits in the component's life cycle";
    }
    /// Images from a local archive.
    ImageArchive {
        path: String = "path", "OCI or Docker archive", Required, Path;
        images: Vec<String> = "images", "References of the images to take from the archive", Required;
    }
    /// A resource to wait for after deploying the charts.
    HealthCheck {
        api_version: String = "apiVersion", "API version of the resource", Required;
        kind: String = "kind", "Kind of the resource", Required;
        namespace: String = "namespace", "Namespace of the resource", Required;
        name: String = "name", "Name of the resource", Required;
    }
    /// Conditions for including or deploying a component.
    Only {
        local_os: String = "localOS", "Operating system of the machine that runs the deployment",
            OneOf(SYSTEMS);
        cluster: OnlyCluster = "cluster", "Clusters that the component applies to";
        flavor: String = "flavor", "Include the component only in builds of this flavor";
    }
    /// Clusters that a component applies to.
    OnlyCluster {
        architecture: String = "architecture", "Include the component only in builds for this architecture",
            OneOf(ARCHITECTURES);
        distros: Vec<String> = "distros", "Kubernetes distributions; not used";
    }
    /// A component of another definition that this one extends.
    Import {
        name: String = "name", "Name of the imported component, if it differs";
        path: String = "path", "Folder of the other definition, relative to this file";
        url: String = "url", "Published skeleton package: oci://REGISTRY/PATH:TAG or oci:FOLDER:TAG",
            Pattern(&SKELETON_URL);
    }
    /// Kubernetes manifests, deployed as one release.
    Manifest {
        name: String = "name", "Name of the release for the manifests, up to 40 bytes", Required;
        namespace: String = "namespace", "Default namespace of the resources", Replaces;
        files: Vec<String> = "files", "Manifest files or URLs", Path, Appends;
        kustomize_allow_any_directory: bool = "kustomizeAllowAnyDirectory",
            "Allow kustomizations to read files outside their folder";
        kustomizations: Vec<String> = "kustomizations", "Kustomization folders or URLs", Appends;
        no_wait: bool = "noWait", "Do not wait until the resources are ready";
        server_side_apply: String = "serverSideApply", "Whether to use server-side apply",
            OneOf(SERVER_SIDE_APPLY), Replaces;
        template: bool = "template", "Fill templates in the files at deployment", Replaces;
        enable_kustomize_plugins: bool = "enableKustomizePlugins", "Allow kustomize to run plugins",
            Unbuilt, Replaces;
    }
    /// A Helm chart.
    Chart {
        name: String = "name", "Chart name, up to 40 bytes", Required;
        version: String = "version",
            "Chart version; quote it if it looks like a number [default for local charts: that of Chart.yaml]";
        url: String = "url", "Chart repository, OCI chart or Git repository";
        repo_name: String = "repoName", "Name of the chart in its repository, if it differs";
        git_path: String = "gitPath", "Folder of the chart in its Git repository";
        local_path: String = "localPath", "Local chart folder or archive", Path;
        namespace: String = "namespace", "Namespace of the release", Required, Replaces;
        release_name: String = "releaseName", "Name of the release, if it differs from the chart name",
            Replaces, Pattern(&RELEASE);
        no_wait: bool = "noWait", "Do not wait until the resources are ready";
        values_files: Vec<String> = "valuesFiles",
            "Values files or URLs; later files override earlier ones", Path, Appends;
        templated_values_files: Vec<String> = "templatedValuesFiles",
            "Values files with templates that are filled at deployment", Path, Appends;
        variables: Vec<ChartVariable> = "variables", "Variables to set in the chart's values", Appends;
        values: Vec<ChartValue> = "values", "Package values to copy to the chart's values", Appends;
        schema_validation: Option<bool> = "schemaValidation",
            "Whether to validate the values against the chart's schema", Replaces;
        server_side_apply: String = "serverSideApply", "Whether to use server-side apply",
            OneOf(SERVER_SIDE_APPLY), Replaces;
    }
    /// A variable to set in a chart's values.
    ChartVariable {
        name: String = "name", "Variable name", Required, Pattern(&VARIABLE);
        description: String = "description", "One-sentence description", Required;
        path: String = "path", "Dotted path in the chart's values", Required;
    }
    /// Package values to copy to a chart's values.
    ChartValue {
        source_path: String = "sourcePath", "Dotted path in the package values", Required;
        target_path: String = "targetPath", "Dotted path in the chart's values", Required;
        exclude_paths: Vec<String> = "excludePaths", "Dotted paths to leave out";
    }
    /// Data to copy into a running container.
    DataInjection {
        source: String = "source", "File, folder or URL", Required, Path;
        target: DataTarget = "target", "Container that receives the data", Required;
        compress: bool = "compress", "Compress the data in transit";
    }
    /// The container that receives data.
    DataTarget {
        namespace: String = "namespace", "Namespace of the pod", Required;
        selector: String = "selector", "Label selector of the pod, such as app=web", Required;
        container: String = "container", "Name of the container", Required;
        path: String = "path", "Destination path in the container", Required;
    }
    /// A file to place on the machine that runs the deployment.
    File {
        source: String = "source", "Local file or folder, or a URL", Required, Path;
        shasum: String = "shasum", "SHA-256 checksum of the file, in hex", Pattern(&SHASUM);
        target: String = "target", "Destination path, including the file name", Required;
        executable: bool = "executable", "Make the file executable";
        symlinks: Vec<String> = "symlinks", "Symbolic links to create to the file";
        extract_path: String = "extractPath", "Archive member to take, if the source is an archive";
        template: bool = "template", "Fill templates in the file at deployment";
    }
    /// Sets of components generated from a few settings.
    Extensions {
        bigbang: Option<BigBang> = "bigbang", "Big Bang platform", Unbuilt;
    }
    /// Settings of the Big Bang extension.
    BigBang {
        version: String = "version", "Version of Big Bang", Required;
        repo: String = "repo", "Git repository of Big Bang";
        values_files: Vec<String> = "valuesFiles", "Values files", Path, Appends;
        skip_flux: bool = "skipFlux", "Leave out Flux";
        flux_patch_files: Vec<String> = "fluxPatchFiles", "Patch files for Flux", Path, Appends;
    }
    /// The deprecated form of [`Actions`].
    Scripts {
        show_output: bool = "showOutput", "Show the output of the scripts";
        timeout_seconds: i64 = "timeoutSeconds", "Time limit for each script, in seconds", AtLeast(0);
        retry: bool = "retry", "Retry failed scripts without limit";
        prepare: Vec<String> = "prepare", "Commands to run when the package is built";
        before: Vec<String> = "before", "Commands to run before the component is deployed", Appends;
        after: Vec<String> = "after", "Commands to run after the component is deployed", Appends;
    }
    /// Actions in the life cycle of a component.
    Actions {
        on_create: ActionSet = "onCreate", "Actions to run when the package is built";
        on_deploy: ActionSet = "onDeploy", "Actions to run when the component is deployed";
        on_remove: ActionSet = "onRemove", "Actions to run when the component is removed";
    }
    /// Actions around one event.
    ActionSet {
        defaults: ActionDefaults = "defaults", "Default settings of the actions";
        before: Vec<Action> = "before", "Actions to run first";
        after: Vec<Action> = "after", "Actions to run last";
        on_success: Vec<Action> = "onSuccess", "Actions to run after success";
        on_failure: Vec<Action> = "onFailure", "Actions to run after a failure";
    }
    /// Default settings of the actions in a set.
    ActionDefaults {
        mute: bool = "mute", "Hide the output of the commands";
        max_total_seconds: i64 = "maxTotalSeconds",
            "Time limit including retries, in seconds; 0 means no limit", AtLeast(0);
        max_retries: i64 = "maxRetries", "Number of retries after a failure", AtLeast(0);
        dir: String = "dir", "Working directory";
        env: Vec<String> = "env", "Environment variables, as NAME=VALUE";
        shell: Shell = "shell", "Shell for each operating system";
    }
    /// The shell for each operating system.
    Shell {
        windows: String = "windows", "Shell on Windows";
        linux: String = "linux", "Shell on Linux";
        darwin: String = "darwin", "Shell on macOS";
    }
    /// One command or wait. `None` leaves the set's default in force.
    Action {
        mute: Option<bool> = "mute", "Hide the output of the command";
        max_total_seconds: Option<i64> = "maxTotalSeconds",
            "Time limit including retries, in seconds; 0 means no limit", AtLeast(0);
        max_retries: Option<i64> = "maxRetries", "Number of retries after a failure", AtLeast(0);
        dir: Option<String> = "dir", "Working directory";
        env: Vec<String> = "env", "Environment variables, as NAME=VALUE";
        cmd: String = "cmd", "Command to run; cannot be combined with wait";
        shell: Option<Shell> = "shell", "Shell for each operating system";
        set_variable: String = "setVariable", "Variable that receives the output. Use setVariables",
            Deprecated, Pattern(&VARIABLE);
        set_variables: Vec<SetVariable> = "setVariables", "Variables that receive the output";
        set_values: Vec<Tree> = "setValues", "Package values that receive the output",
            UnbuiltIn("onCreate");
        template: bool = "template", "Fill templates in the command", UnbuiltIn("onCreate");
        description: String = "description", "One-sentence description, shown instead of the command";
        wait: Option<Wait> = "wait", "Condition to wait for; cannot be combined with cmd";
    }
    /// A variable that receives the output of a command.
    SetVariable {
        name: String = "name", "Variable name", Required, Pattern(&VARIABLE);
        kind: String = "type", "Whether the value is the text itself or the path of a file that contains it",
            OneOf(VALUE_TYPES);
        pattern: String = "pattern", "Regular expression that the value must match";
        sensitive: bool = "sensitive", "Never show the value";
        auto_indent: bool = "autoIndent", "Indent later lines of the value like the first";
    }
    /// A condition that an action waits for.
    Wait {
        cluster: Option<WaitCluster> = "cluster", "Resource in the cluster";
        network: Option<WaitNetwork> = "network", "Network address that responds";
    }
    /// A resource in the cluster.
    WaitCluster {
        kind: String = "kind", "Kind of the resource", Required;
        name: String = "name", "Name of the resource, or a label selector", Required;
        namespace: String = "namespace", "Namespace of the resource";
        condition: String = "condition", "Condition or {jsonpath}=value [default: the resource exists]";
    }
    /// A network address that responds.
    WaitNetwork {
        protocol: String = "protocol", "Protocol to connect with", Required, OneOf(PROTOCOLS);
        address: String = "address", "Host and port, or the URL without its scheme", Required;
        code: i64 = "code", "Expected status code [default: any successful one]", AtLeast(0);
    }
    /// A value that is set when the package is deployed.
    Variable {
        name: String = "name", "Name, used as ###JACKAL_VAR_NAME###", Required, Pattern(&VARIABLE);
        description: String = "description", "One-sentence description";
        default: String = "default", "Default value";
        prompt: bool = "prompt", "Prompt for the value";
        sensitive: bool = "sensitive", "Never show the value";
        auto_indent: bool = "autoIndent", "Indent later lines of the value like the first";
        pattern: String = "pattern", "Regular expression that the value must match";
        kind: String = "type", "Whether the value is the text itself or the path of a file that contains it",
            OneOf(VALUE_TYPES);
    }
    /// A value that is fixed when the package is built. `Some("")` is written.
    Constant {
        name: String = "name", "Name, used as ###JACKAL_CONST_NAME###", Required, Pattern(&VARIABLE);
        value: Option<String> = "value", "Value", Required;
        description: String = "description", "One-sentence description";
        auto_indent: bool = "autoIndent", "Indent later lines of the value like the first";
        pattern: String = "pattern", "Regular expression that the value must match";
    }
}

impl Component {
    /// The images that the component declares, of registries and of archives.
    pub fn declared_images(&self) -> impl Iterator<Item = &String> {
        let archives = self.image_archives.iter();
        let archived = archives.flat_map(|archive| &archive.images);
        self.images.iter().chain(archived)
    }
}

impl Chart {
    /// Its values files in the order in which they are packed: plain ones, then those with
    /// templates.
    pub fn all_values_files(&self) -> impl Iterator<Item = &String> {
        self.values_files.iter().chain(&self.templated_values_files)
    }
}

impl Definition {
    /// The files that the package holds beside its components, as the definition names them:
    /// values, their schema, and documentation.
    pub fn attached(&self) -> impl Iterator<Item = &String> {
        let values = self.values.files.iter().chain([&self.values.schema]);
        let all = values.chain(self.documentation.values());
        all.filter(|source| !source.is_empty())
    }

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
    fn the_images_of_archives_are_declared_as_well() {
        let component = Component {
            images: vec!["b:1".into()],
            image_archives: vec![ImageArchive {
                path: "i.tar".into(),
                images: vec!["c:1".into(), "d:1".into()],
                ..ImageArchive::default()
            }],
            ..Component::default()
        };
        let images: Vec<&String> = component.declared_images().collect();
        assert_eq!(images, ["b:1", "c:1", "d:1"]);
    }

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
