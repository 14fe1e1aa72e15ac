//! The settings of a component that determine the bytes of its tar: not its
//! description, its images, or the order of other keys.

use crate::action::fields;
use crate::kinds::component::files::is_remote;
use crate::package::{Chart, Component, DataInjection, File, Manifest, RepoUrl, RepoUrlError};
use crate::text::public_url;

fields! {
    /// The settings that determine a component's tar.
    pub(crate) struct ComponentSettings {
        name: String = "name",
        files: Vec<FileSettings> = "files",
        data_injections: Vec<DataSettings> = "dataInjections",
        manifests: Vec<ManifestSettings> = "manifests",
        charts: Vec<ChartSettings> = "charts",
        /// The folders of its repositories, as their URLs may contain credentials.
        repos: Vec<String> = "repos",
        /// The parts that are tars of the content at their path.
        trees: Vec<String> = "trees",
    }

    pub(crate) struct FileSettings {
        source: String = "source",
        shasum: String = "shasum",
        target: String = "target",
        executable: bool = "executable",
        extract_path: String = "extractPath",
    }

    pub(crate) struct DataSettings {
        source: String = "source",
        target: String = "target.path",
    }

    pub(crate) struct ManifestSettings {
        name: String = "name",
        files: Vec<String> = "files",
        kustomizations: u32 = "kustomizations",
    }

    pub(crate) struct ChartSettings {
        name: String = "name",
        version: String = "version",
        local_path: String = "localPath",
        values_files: Vec<String> = "valuesFiles",
    }
}

// Taken apart without `..`: a new field does not compile here until it is listed
// as one that changes the bytes or one that does not.

impl ComponentSettings {
    /// Whether the component lists nothing that goes into a tar.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
            && self.data_injections.is_empty()
            && self.manifests.is_empty()
            && self.charts.is_empty()
            && self.repos.is_empty()
    }

    pub(crate) fn of(component: &Component, trees: Vec<String>) -> Result<Self, RepoUrlError> {
        let Component {
            name,
            files,
            data_injections,
            manifests,
            charts,
            description: _,
            default: _,
            required: _,
            only: _,
            group: _,
            cosign_key_path: _,
            import: _,
            images: _,
            image_archives: _,
            repos,
            health_checks: _,
            state_access: _,
            extensions: _,
            scripts: _,
            actions: _,
            extra: _,
        } = component;
        let folders = repos.iter().map(|url| Ok(RepoUrl::parse(url)?.folder()));
        Ok(Self {
            name: name.clone(),
            files: files.iter().map(FileSettings::of).collect(),
            data_injections: data_injections.iter().map(DataSettings::of).collect(),
            manifests: manifests.iter().map(ManifestSettings::of).collect(),
            charts: charts.iter().map(ChartSettings::of).collect(),
            repos: folders.collect::<Result<_, _>>()?,
            trees,
        })
    }
}

impl FileSettings {
    fn of(file: &File) -> Self {
        let File {
            source,
            shasum,
            target,
            executable,
            extract_path,
            symlinks: _,
            template: _,
            extra: _,
        } = file;
        Self {
            source: public(source),
            shasum: shasum.clone(),
            target: target.clone(),
            executable: *executable,
            extract_path: extract_path.clone(),
        }
    }
}

impl DataSettings {
    fn of(data: &DataInjection) -> Self {
        let DataInjection {
            source,
            target,
            compress: _,
            extra: _,
        } = data;
        Self {
            source: public(source),
            target: target.path.clone(),
        }
    }
}

impl ManifestSettings {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let Manifest {
            name,
            files,
            kustomizations,
            namespace: _,
            kustomize_allow_any_directory: _,
            no_wait: _,
            server_side_apply: _,
            template: _,
            enable_kustomize_plugins: _,
            extra: _,
        } = manifest;
        Self {
            name: name.clone(),
            files: files.iter().map(|source| public(source)).collect(),
            kustomizations: u32::try_from(kustomizations.len()).unwrap_or(u32::MAX),
        }
    }
}

impl ChartSettings {
    fn of(chart: &Chart) -> Self {
        let Chart {
            name,
            version,
            local_path,
            values_files: _,
            url: _,
            repo_name: _,
            git_path: _,
            namespace: _,
            release_name: _,
            no_wait: _,
            templated_values_files: _,
            variables: _,
            values: _,
            schema_validation: _,
            server_side_apply: _,
            extra: _,
        } = chart;
        Self {
            name: name.clone(),
            version: version.clone(),
            local_path: local_path.clone(),
            values_files: chart
                .all_values_files()
                .map(|source| public(source))
                .collect(),
        }
    }
}

/// A source in the form for keys and tars: URLs without credentials.
fn public(source: &str) -> String {
    if is_remote(source) {
        public_url(source)
    } else {
        source.to_owned()
    }
}
