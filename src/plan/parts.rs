//! The steps of one component: its actions, its parts and its tar.
//!
//! Each part is a separate step, so that a change to one chart's values neither
//! packages another chart nor clones a repository again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::Output;
use crate::ground::Failure;
use crate::ground::folders::Folders;
use crate::ground::site::Site;
use crate::kinds::actions::{ActionsWork, Command};
use crate::kinds::chart::ChartWork;
use crate::kinds::clone::CloneWork;
use crate::kinds::component::{ComponentWork, Part, write};
use crate::kinds::kustomization::KustomizationWork;
use crate::kinds::member::MemberWork;
use crate::kinds::package::skeleton::is_made;
use crate::kinds::{self, Work};
use crate::package::{Action, Component, File, ImportedCommands, RepoUrl};
use crate::pipeline::{Retries, RunsAfter};
use crate::plan::{Plan, PlanError, Step};

/// Whether commands run when the component is made.
pub(crate) fn has_actions(component: &Component) -> bool {
    let set = &component.actions.on_create;
    [&set.before, &set.after, &set.on_success, &set.on_failure]
        .iter()
        .any(|list| !list.is_empty())
}

/// Whether the component has a tar.
pub(crate) fn has_content(component: &Component) -> bool {
    !(component.files.is_empty()
        && component.data_injections.is_empty()
        && component.manifests.is_empty()
        && component.charts.is_empty()
        && component.repos.is_empty())
}

/// The actions of one list, of which the first ones were `imported` from a skeleton.
fn commands(list: &[Action], imported: usize) -> Vec<Command> {
    let marked = list.iter().enumerate().map(|(index, action)| Command {
        action: action.clone(),
        imported: index < imported,
    });
    marked.collect()
}

/// The files and folders that a component reads, as the definition has them.
pub(crate) fn local_paths(component: &Component) -> Vec<&str> {
    let files = component.files.iter().map(|file| &file.source);
    let data = component.data_injections.iter().map(|data| &data.source);
    let manifests = component.manifests.iter();
    let manifests = manifests.flat_map(|one| one.files.iter().chain(&one.kustomizations));
    let charts = component.charts.iter();
    let charts =
        charts.flat_map(|chart| std::iter::once(&chart.local_path).chain(chart.all_values_files()));
    let all = files.chain(data).chain(manifests).chain(charts);
    let local = all.filter(|source| !source.is_empty() && !source.contains("://"));
    local.map(String::as_str).collect()
}

impl Plan {
    /// Adds the steps of `component`, the first of which wait for `waits`; the step
    /// `id` makes its tar. Returns the steps after which the component is complete.
    pub(crate) fn component(
        &mut self,
        id: &str,
        folders: Folders,
        component: &Component,
        [before, after, success, failure]: ImportedCommands,
        mut waits: Vec<String>,
        step: impl Fn(String, Vec<String>, Work) -> Step,
    ) -> Result<Vec<String>, PlanError> {
        let set = &component.actions.on_create;
        let actions = |actions: Vec<Command>, on_failure| {
            Work::from(ActionsWork {
                folders: folders.clone(),
                component: id.to_owned(),
                defaults: set.defaults.clone(),
                actions,
                on_failure,
            })
        };
        // Actions are never cached, and have retries of their own.
        let uncached = |step: Step| Step {
            cached: false,
            retries: Retries::plain(0),
            ..step
        };
        let mut own = Vec::new();
        if !set.before.is_empty() || !set.on_failure.is_empty() {
            let first = format!("{id}:before");
            let work = actions(commands(&set.before, before), false);
            self.add(uncached(step(first.clone(), waits, work)));
            own.push(first.clone());
            waits = vec![first];
        }
        let made = made(&folders, component)?;
        let mut parts = Vec::with_capacity(made.len());
        let mut needs = waits.clone();
        for (name, place, work) in made {
            let of = format!("{id}:{name}");
            self.add(step(of.clone(), waits.clone(), work));
            needs.push(of.clone());
            own.push(of.clone());
            parts.push(Part { place, of });
        }
        let work = Work::from(ComponentWork {
            folders: folders.clone(),
            component: component.clone(),
            parts,
        });
        self.add(step(id.to_owned(), needs, work));
        own.push(id.to_owned());
        let mut ends = vec![id.to_owned()];
        let mut last = commands(&set.after, after);
        last.extend(commands(&set.on_success, success));
        if !last.is_empty() {
            let end = format!("{id}:after");
            let work = actions(last, false);
            self.add(uncached(step(end.clone(), ends.clone(), work)));
            own.push(end.clone());
            ends.push(end);
        }
        if !set.on_failure.is_empty() {
            let work = actions(commands(&set.on_failure, failure), true);
            let failed = Step {
                when: RunsAfter {
                    success: false,
                    failure: true,
                    skipped: false,
                },
                may_fail: true,
                ..uncached(step(format!("{id}:failure"), own, work))
            };
            self.add(failed);
        }
        Ok(ends)
    }
}

/// Makes the parts of a component that a skeleton contains: members of local
/// archives, and kustomizations.
///
/// # Errors
///
/// The first that cannot be made.
pub async fn make_for_skeleton(
    site: &Arc<Site>,
    folders: &Folders,
    component: &Component,
) -> Result<BTreeMap<String, Output>, Failure> {
    let mut made = BTreeMap::new();
    for (_, place, work) in brought(folders, component, is_made) {
        let output = kinds::output(site, &work).await?;
        made.insert(place, output);
    }
    Ok(made)
}

/// The step name, the path in the component, and the work of each member of an
/// archive whose file is `taken`, and of each kustomization.
fn brought(
    folders: &Folders,
    component: &Component,
    taken: impl Fn(&File) -> bool,
) -> Vec<(String, String, Work)> {
    let mut brought = Vec::new();
    for (index, file) in component.files.iter().enumerate() {
        if taken(file) {
            let work = Work::from(MemberWork {
                folders: folders.clone(),
                file: file.clone(),
            });
            brought.push((format!("file:{index}"), write::extracted(index), work));
        }
    }
    for manifest in &component.manifests {
        for (index, source) in manifest.kustomizations.iter().enumerate() {
            let file = write::kustomized(&manifest.name, index);
            let work = Work::from(KustomizationWork {
                folders: folders.clone(),
                source: source.clone(),
                any_folder: manifest.kustomize_allow_any_directory,
            });
            let name = file.trim_end_matches(".yaml");
            brought.push((name.to_owned(), format!("manifests/{file}"), work));
        }
    }
    brought
}

/// The step name, the path in the component, and the work of each of its parts.
fn made(
    folders: &Folders,
    component: &Component,
) -> Result<Vec<(String, String, Work)>, PlanError> {
    let mut made = Vec::new();
    for chart in &component.charts {
        if write::is_archive(&chart.local_path) {
            continue;
        }
        let file = write::chart_file(&chart.name, &chart.version);
        let work = Work::from(ChartWork {
            folders: folders.clone(),
            chart: chart.clone(),
        });
        let name = file.trim_end_matches(".tgz");
        made.push((format!("chart:{name}"), format!("charts/{file}"), work));
    }
    // A URL that is listed twice is one folder.
    let mut repositories = BTreeMap::new();
    for text in &component.repos {
        let url = RepoUrl::parse(text).map_err(|source| PlanError::Repository {
            component: component.name.clone(),
            source,
        })?;
        repositories.insert(url.folder(), url);
    }
    for (folder, url) in repositories {
        let work = Work::from(CloneWork {
            folders: folders.clone(),
            url,
        });
        made.push((format!("repo:{folder}"), format!("repos/{folder}"), work));
    }
    let brought = brought(folders, component, |file| !file.extract_path.is_empty());
    made.extend(brought);
    Ok(made)
}
