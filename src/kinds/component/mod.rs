//! `component`: the tar of one component.
//!
//! Charts, repositories, members of archives and kustomizations are work of
//! their own; their results are put into the tar here.

pub(crate) mod files;
pub(crate) mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use files::{FileQuestion, is_remote, stored};

use crate::action::{Action, Input, InputKind, Output};
use crate::ground::checkout::inputs;
use crate::ground::folders::{Folders, Found};
use crate::ground::site::{Made, Site};
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Context, Kind, Prepared, Results, of};
use crate::package::{Chart, Component, DataInjection, File, Manifest};
use crate::workspace::{self, Entry};

/// Version of what is written; raised when its bytes change.
const COMPONENT_FORMAT: u32 = 1;

/// What a component's tar is made from.
#[derive(Clone, Debug)]
pub struct ComponentWork {
    /// Where its sources are.
    pub folders: Folders,
    /// The component, composed.
    pub component: Component,
    /// What other steps make of it.
    pub parts: Vec<Part>,
}

/// What a component holds and another step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its path in the component.
    pub place: String,
    /// The step whose first output it is.
    pub of: String,
}

impl ComponentWork {
    /// The URLs that the component itself downloads.
    fn questions(&self) -> Result<Vec<FileQuestion>, Failure> {
        let urls = sources(&self.component).filter(|source| is_remote(source));
        urls.map(|url| FileQuestion::of_component(&self.component, url))
            .collect()
    }
}

impl Kind for ComponentWork {
    fn verb(&self) -> &'static str {
        "component"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let questions = self.questions()?.into_iter();
        Ok(questions
            .map(|question| Pin::of(&self.folders.own, question))
            .collect())
    }

    /// Names the tar: digests local files, and asks what an unpinned URL holds.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (site, own) = (Arc::clone(cx.site), self.clone());
        let mut action =
            blocking(move || local_action(&site, &own.folders, &own.component)).await?;
        for question in self.questions()? {
            let pin = answer(cx.site, &self.folders.own, &question).await?;
            action.inputs.push(Input {
                path: question.url,
                kind: InputKind::Blob { digest: pin.digest },
            });
        }
        for part in &self.parts {
            let made = one(cx.results, part)?;
            action.inputs.push(Input {
                path: part.place.clone(),
                kind: InputKind::Blob {
                    digest: made.digest,
                },
            });
        }
        Ok(action.into())
    }

    /// Writes the tar; downloads what it lacks first.
    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let mut brought = write::Brought::default();
        for question in self.questions()? {
            let pin = answer(cx.site, &self.folders.own, &question).await?;
            let output = stored(cx.site, &question.url, &pin).await?;
            brought.files.insert(question.url, output);
        }
        for part in &self.parts {
            let made = one(cx.results, part)?.clone();
            brought.parts.insert(part.place.clone(), made);
        }
        let (cas, own, name) = (Arc::clone(&cx.site.cas), self.clone(), cx.id.to_owned());
        blocking(move || {
            let ingest = cas.ingest()?;
            let written =
                write::write_component(&own.folders, &own.component, &brought, &cas, ingest)?;
            // Without any byte there is no tar (docs/spec/package.md, "Component
            // tar").
            let Some(ingest) = written else {
                return Ok(Made::default());
            };
            let (digest, size) = ingest.commit()?;
            Ok(vec![Output { name, digest, size }].into())
        })
        .await
    }

    fn rechecked(&self) -> bool {
        true
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        files::materials(action)
    }
}

/// What the step of a part made.
fn one<'r>(results: &'r Results, part: &Part) -> Result<&'r Output, Failure> {
    of(results, &part.of)?.outputs.first().ok_or_else(|| {
        let message = format!("internal error: `{}` made nothing", part.of);
        Failure::new(Class::Task, message)
    })
}

/// Everything in a definition's component that decides its tar's bytes: not
/// its description, its images, or the order of other keys.
fn component_settings(component: &Component) -> Vec<(String, String)> {
    // Taken apart without `..`: a new field does not compile here until it is
    // listed as one that changes the bytes or one that does not.
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
        repos: _,
        health_checks: _,
        state_access: _,
        extensions: _,
        scripts: _,
        actions: _,
        extra: _,
    } = component;
    let mut settings = vec![("name".to_owned(), name.clone())];
    for (index, file) in files.iter().enumerate() {
        let at = |key: &str| format!("files.{index}.{key}");
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
        settings.push((at("source"), source.clone()));
        settings.push((at("shasum"), shasum.clone()));
        settings.push((at("target"), target.clone()));
        settings.push((at("executable"), executable.to_string()));
        settings.push((at("extractPath"), extract_path.clone()));
    }
    for (index, data) in data_injections.iter().enumerate() {
        let at = |key: &str| format!("dataInjections.{index}.{key}");
        let DataInjection {
            source,
            target,
            compress: _,
            extra: _,
        } = data;
        settings.push((at("source"), source.clone()));
        settings.push((at("target.path"), target.path.clone()));
    }
    for (index, manifest) in manifests.iter().enumerate() {
        let at = |key: &str| format!("manifests.{index}.{key}");
        let Manifest {
            name,
            files,
            namespace: _,
            kustomize_allow_any_directory: _,
            kustomizations: _,
            no_wait: _,
            server_side_apply: _,
            template: _,
            enable_kustomize_plugins: _,
            extra: _,
        } = manifest;
        settings.push((at("name"), name.clone()));
        settings.extend(files.iter().map(|file| (at("file"), file.clone())));
    }
    for (index, chart) in charts.iter().enumerate() {
        chart_settings(index, chart, &mut settings);
    }
    settings
}

fn chart_settings(index: usize, chart: &Chart, settings: &mut Vec<(String, String)>) {
    let at = |key: &str| format!("charts.{index}.{key}");
    let Chart {
        name,
        version,
        local_path,
        values_files,
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
    settings.push((at("name"), name.clone()));
    settings.push((at("version"), version.clone()));
    settings.push((at("localPath"), local_path.clone()));
    let files = values_files.iter();
    settings.extend(files.map(|file| (at("valuesFile"), file.clone())));
}

/// Sources that are read here, not by a step of their own.
fn sources(component: &Component) -> impl Iterator<Item = &str> {
    let files = component.files.iter();
    let files = files.filter(|file| file.extract_path.is_empty());
    let files = files.map(|file| &file.source);
    let data = component.data_injections.iter().map(|data| &data.source);
    let manifests = component.manifests.iter().flat_map(|m| &m.files);
    let packaged = component.charts.iter().map(|chart| &chart.local_path);
    let packaged = packaged.filter(|path| write::is_archive(path));
    let values = component.charts.iter().flat_map(|c| &c.values_files);
    let all = files.chain(data).chain(manifests);
    all.chain(packaged).chain(values).map(String::as_str)
}

fn local_action(site: &Site, folders: &Folders, component: &Component) -> Result<Action, Failure> {
    let mut action = Action::new("component", COMPONENT_FORMAT);
    action.settings = component_settings(component);
    let mut entries: BTreeMap<&str, (Found<'_>, Vec<Entry>)> = BTreeMap::new();
    for source in sources(component).filter(|source| !is_remote(source)) {
        let found = folders.inside(source)?;
        let (_, entries) = entries
            .entry(found.prefix)
            .or_insert_with(|| (found, Vec::new()));
        entries.extend(workspace::list(found.root, found.below)?);
    }
    for (found, mut entries) in entries.into_values() {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        let named = inputs(site, found.root, &entries)?.into_iter();
        action.inputs.extend(named.map(|input| Input {
            path: found.named(&input.path),
            ..input
        }));
    }
    Ok(action)
}
