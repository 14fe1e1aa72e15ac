//! Where the parts of a component are in its tar.
//!
//! Source: docs/spec/package.md, "Parts of a component". These names are decided
//! here alone: what is written and what `verify` expects must not differ.

use super::{Component, RepoUrl};
use crate::archive::SafePath;
use crate::text::without_logins;

/// A part that a component declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPart {
    /// What it is, for messages.
    pub what: String,
    /// Its path in the component's tar, below the name of the component.
    pub path: String,
    /// Its paths in packages from before v0.27, where those were others.
    pub older: Vec<String>,
}

/// The file name of a chart's archive in a component.
#[must_use]
pub fn chart_file(name: &str, version: &str) -> String {
    format!("{}.tgz", versioned(name, version))
}

/// The name of a values file in a component, from the name and version of its chart.
#[must_use]
pub fn values_file(name: &str, version: &str, index: usize) -> String {
    format!("{}-{index}", versioned(name, version))
}

/// Charts in folders may leave their version to `Chart.yaml`.
fn versioned(name: &str, version: &str) -> String {
    match version {
        "" => name.to_owned(),
        version => format!("{name}-{version}"),
    }
}

/// The file name of a built kustomization.
#[must_use]
pub fn kustomized(manifest: &str, index: usize) -> String {
    format!("kustomization-{manifest}-{index}.yaml")
}

/// The last name of a target, if it has one.
#[must_use]
pub fn last_name(target: &str) -> Option<&str> {
    let base = target.trim_end_matches('/').rsplit('/').next();
    base.filter(|base| !matches!(*base, "" | "." | ".."))
}

/// The parts that the tar of `component` holds. A component without any has no tar.
#[must_use]
pub fn declared_parts(component: &Component) -> Vec<DeclaredPart> {
    let mut parts = Vec::new();
    let mut add = |what: String, path: String, older: Vec<String>| {
        parts.push(DeclaredPart { what, path, older });
    };
    for chart in &component.charts {
        let (name, version) = (&chart.name, &chart.version);
        let file = chart_file(name, version);
        add(
            format!("chart `{name}`"),
            format!("charts/{file}"),
            Vec::new(),
        );
        for (index, source) in chart.all_values_files().enumerate() {
            let file = values_file(name, version, index);
            add(
                format!("values file `{source}`"),
                format!("values/{file}"),
                Vec::new(),
            );
        }
    }
    for (index, data) in component.data_injections.iter().enumerate() {
        let what = format!("data injection `{}`", data.source);
        let older = last_name(&data.target.path).map(|base| format!("data/{base}"));
        let older = older.into_iter().collect();
        add(what, numbered("data", index, &data.target.path), older);
    }
    for (index, file) in component.files.iter().enumerate() {
        let what = format!("file `{}`", file.target);
        let older = vec![format!("files/{index}")];
        add(what, numbered("files", index, &file.target), older);
    }
    for manifest in &component.manifests {
        let name = &manifest.name;
        for (index, source) in manifest.files.iter().enumerate() {
            let what = format!("manifest `{source}`");
            let older = SafePath::parse(source).ok();
            let older = older.map(|source| format!("manifests/{}", source.as_str()));
            let older = older.into_iter().collect();
            add(what, format!("manifests/{name}-{index}.yaml"), older);
        }
        for (index, source) in manifest.kustomizations.iter().enumerate() {
            let what = format!("kustomization `{source}`");
            add(
                what,
                format!("manifests/{}", kustomized(name, index)),
                Vec::new(),
            );
        }
    }
    for text in &component.repos {
        // An old package may list a URL of another form.
        let url = RepoUrl::parse(text).ok();
        let path = url.as_ref().map_or_else(
            || "repos".to_owned(),
            |url| format!("repos/{}", url.folder()),
        );
        let older = url.as_ref().map_or_else(Vec::new, |url| {
            // Of v0.22, then of v0.24.
            let folders = [url.older_folder(), url.server_name()];
            folders.map(|folder| format!("repos/{folder}")).into()
        });
        // A URL may hold a login.
        let shown = url.map_or_else(|| text.clone(), |url| url.folder());
        add(
            format!("repository `{}`", without_logins(&shown)),
            path,
            older,
        );
    }
    parts
}

/// The path of an entry of a list, by its target.
fn numbered(folder: &str, index: usize, target: &str) -> String {
    match last_name(target) {
        Some(base) => format!("{folder}/{index}/{base}"),
        None => format!("{folder}/{index}"),
    }
}

/// Whether programs of this version wrote no list of checksums: before v0.25.1.
#[must_use]
pub fn lacks_checksums(version: &str) -> bool {
    before(version, 25, 1)
}

/// Whether programs of this version used other names for some parts: before v0.27.
#[must_use]
pub fn has_older_names(version: &str) -> bool {
    before(version, 27, 0)
}

fn before(version: &str, minor: u64, patch: u64) -> bool {
    let version = semver::Version::parse(version.trim_start_matches('v'));
    version.is_ok_and(|version| version < semver::Version::new(0, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_can_be_read_are_older() {
        for (version, checksums, names) in [
            ("v0.22.2", true, true),
            ("0.25.0", true, true),
            ("v0.25.1", false, true),
            ("v0.27.0", false, false),
            ("v1.0.0", false, false),
            ("", false, false),
            ("UnknownVersion", false, false),
        ] {
            let found = (lacks_checksums(version), has_older_names(version));
            assert_eq!(found, (checksums, names), "{version}");
        }
    }
}
