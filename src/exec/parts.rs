//! The steps of one component: what its parts are made by, and its tar.
//!
//! Implied and declared plans both come here, so a component is made in the
//! same way in both. A part is a step of its own: to change a chart's values
//! packages no other chart and clones no repository again.

use std::collections::BTreeMap;

use super::executors;
use super::folders::Folders;
use super::plan::{Part, PartKind, PartWork, Plan, PlanError, Step, Work};
use crate::package::{Component, RepoUrl};

impl Plan {
    /// Adds the steps of `component`; its tar is made by the one called `id`.
    pub(super) fn component(
        &mut self,
        id: &str,
        folders: Folders,
        component: &Component,
        step: impl Fn(String, Vec<String>, Work) -> Step,
    ) -> Result<(), PlanError> {
        let made = made(&folders, component)?;
        let mut parts = Vec::with_capacity(made.len());
        for (name, place, work) in made {
            let of = format!("{id}:{name}");
            self.add(step(of.clone(), Vec::new(), work));
            parts.push(Part { place, of });
        }
        let after = parts.iter().map(|part| part.of.clone()).collect();
        let work = Work::Component {
            folders,
            component: Box::new(component.clone()),
            parts,
        };
        self.add(step(id.to_owned(), after, work));
        Ok(())
    }
}

/// What steps make of the component: the step's name, the place, the work.
fn made(
    folders: &Folders,
    component: &Component,
) -> Result<Vec<(String, String, Work)>, PlanError> {
    let mut made = Vec::new();
    let part = |kind| {
        Work::Part(Box::new(PartWork {
            folders: folders.clone(),
            kind,
        }))
    };
    for chart in &component.charts {
        if executors::is_archive(&chart.local_path) {
            continue;
        }
        let file = executors::chart_file(chart);
        let work = Work::Chart {
            folders: folders.clone(),
            chart: Box::new(chart.clone()),
        };
        let name = file.trim_end_matches(".tgz");
        made.push((format!("chart:{name}"), format!("charts/{file}"), work));
    }
    // One URL may be listed twice: it is one folder.
    let mut repositories = BTreeMap::new();
    for text in &component.repos {
        let url = RepoUrl::parse(text).map_err(|source| PlanError::Repository {
            component: component.name.clone(),
            source,
        })?;
        repositories.insert(url.folder(), url);
    }
    for (folder, url) in repositories {
        let work = part(PartKind::Repository(url));
        made.push((format!("repo:{folder}"), format!("repos/{folder}"), work));
    }
    for (index, file) in component.files.iter().enumerate() {
        if !file.extract_path.is_empty() {
            let work = part(PartKind::Member(Box::new(file.clone())));
            made.push((format!("file:{index}"), executors::extracted(index), work));
        }
    }
    for manifest in &component.manifests {
        for (index, source) in manifest.kustomizations.iter().enumerate() {
            let file = executors::kustomized(&manifest.name, index);
            let work = part(PartKind::Kustomization {
                source: source.clone(),
                any_folder: manifest.kustomize_allow_any_directory,
            });
            let name = file.trim_end_matches(".yaml");
            made.push((name.to_owned(), format!("manifests/{file}"), work));
        }
    }
    Ok(made)
}
