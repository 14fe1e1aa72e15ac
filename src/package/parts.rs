//! Where the parts of a component are in its tar.
//!
//! Source: docs/spec/package.md, "Parts of a component". These names are decided
//! here alone: what is written and what `verify` expects must not differ.

use super::{Component, RepoUrl};

/// A part that a component declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPart {
    /// What it is, for messages.
    pub what: String,
    /// Its path in the component's tar, below the name of the component.
    pub path: String,
    /// Whether it has bytes: a component without any byte has no tar.
    pub has_bytes: bool,
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

/// The parts that the tar of `component` holds.
#[must_use]
pub fn declared_parts(component: &Component) -> Vec<DeclaredPart> {
    let mut parts = Vec::new();
    let mut add = |what: String, path: String, has_bytes| {
        parts.push(DeclaredPart {
            what,
            path,
            has_bytes,
        });
    };
    for chart in &component.charts {
        let (name, version) = (&chart.name, &chart.version);
        let file = chart_file(name, version);
        add(format!("chart `{name}`"), format!("charts/{file}"), true);
        for (index, source) in chart.values_files.iter().enumerate() {
            let file = values_file(name, version, index);
            let what = format!("values file `{source}`");
            add(what, format!("values/{file}"), false);
        }
    }
    for (index, data) in component.data_injections.iter().enumerate() {
        if let Some(base) = last_name(&data.target.path) {
            let what = format!("data injection `{}`", data.source);
            add(what, format!("data/{index}/{base}"), false);
        }
    }
    for (index, file) in component.files.iter().enumerate() {
        if let Some(base) = last_name(&file.target) {
            let what = format!("file `{}`", file.target);
            add(what, format!("files/{index}/{base}"), false);
        }
    }
    for manifest in &component.manifests {
        let name = &manifest.name;
        for (index, source) in manifest.files.iter().enumerate() {
            let what = format!("manifest `{source}`");
            add(what, format!("manifests/{name}-{index}.yaml"), false);
        }
        for (index, source) in manifest.kustomizations.iter().enumerate() {
            let what = format!("kustomization `{source}`");
            add(what, format!("manifests/{}", kustomized(name, index)), true);
        }
    }
    for text in &component.repos {
        // An old package may list a URL of another form.
        if let Ok(url) = RepoUrl::parse(text) {
            let what = format!("repository `{}`", url.folder());
            add(what, format!("repos/{}", url.folder()), true);
        }
    }
    parts
}
