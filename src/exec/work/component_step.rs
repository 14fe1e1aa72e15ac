//! `component` steps: which files decide a component's tar, and the writing of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Results, inputs, of};
use crate::action::{Action, Input, InputKind, Output};
use crate::exec::executors;
use crate::exec::folders::{Folders, Found};
use crate::exec::lockfile::FilePin;
use crate::exec::plan::Part;
use crate::exec::site::{Made, Site, blocking};
use crate::exec::{Class, Failure};
use crate::oci::Digest;
use crate::package::{Chart, Component, DataInjection, File, Manifest};
use crate::registry;
use crate::workspace::{self, Entry};

/// Version of what is written; raised when its bytes change.
const COMPONENT_FORMAT: u32 = 1;

/// Names the tar: digests local files, and asks what an unpinned URL holds.
pub(super) async fn action(
    site: &Arc<Site>,
    folders: &Folders,
    component: &Component,
    parts: &[Part],
    results: &Results,
) -> Result<Action, Failure> {
    let (shared, roots, own) = (Arc::clone(site), folders.clone(), component.clone());
    let mut action = blocking(move || local_action(&shared, &roots, &own)).await?;
    for url in sources(component).filter(|source| remote(source)) {
        let pin = pinned(site, &folders.own, Some(component), url).await?;
        action.inputs.push(Input {
            path: url.to_owned(),
            kind: InputKind::Blob { digest: pin.digest },
        });
    }
    for part in parts {
        let made = one(results, part)?;
        action.inputs.push(Input {
            path: part.place.clone(),
            kind: InputKind::Blob {
                digest: made.digest,
            },
        });
    }
    Ok(action)
}

/// What the step of a part made.
fn one<'r>(results: &'r Results, part: &Part) -> Result<&'r Output, Failure> {
    of(results, &part.of)?.outputs.first().ok_or_else(|| {
        let message = format!("internal error: `{}` made nothing", part.of);
        Failure::new(Class::Task, message)
    })
}

/// Where an archive is that something is taken out of.
pub(super) enum Archive {
    /// In the store.
    Blob(Digest),
    /// On the disk.
    File(PathBuf),
}

/// Finds `source`, downloading it if it is not stored.
pub(super) async fn archive(
    site: &Arc<Site>,
    folders: &Folders,
    source: &str,
) -> Result<Archive, Failure> {
    if !remote(source) {
        let found = folders.find(source);
        executors::inside(found.below).map_err(|_| executors::outside(source))?;
        return Ok(Archive::File(found.root.join(found.below)));
    }
    let pin = pinned(site, &folders.own, None, source).await?;
    Ok(Archive::Blob(stored(site, source, &pin).await?.digest))
}

/// The digest of what `url` holds, by its pin.
pub(super) async fn pinned_url(
    site: &Arc<Site>,
    folder: &Path,
    url: &str,
) -> Result<Digest, Failure> {
    Ok(pinned(site, folder, None, url).await?.digest)
}

pub(super) fn remote(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}

/// What `url` holds: by its pin, else by looking.
async fn pinned(
    site: &Arc<Site>,
    folder: &Path,
    component: Option<&Component>,
    url: &str,
) -> Result<FilePin, Failure> {
    let sum = component
        .into_iter()
        .flat_map(|component| &component.files)
        .find(|file| file.source == url && !file.shasum.is_empty())
        .map(|file| &file.shasum);
    let sum: Option<Digest> = match sum {
        None => None,
        Some(text) => Some(
            Digest::from_hex(&text.to_ascii_lowercase()).map_err(|error| {
                Failure::new(Class::Configuration, format!("shasum of `{url}`: {error}"))
            })?,
        ),
    };
    let known = site.pins(folder, |lock| lock.file(url).cloned())?;
    if let Some(pin) = known.filter(|pin| sum.is_none_or(|sum| sum == pin.digest)) {
        return Ok(pin);
    }
    if let Some(failure) = site.unpinned(url, folder) {
        return Err(failure);
    }
    let found = download(site, url, sum).await?;
    let pin = FilePin {
        digest: found.digest,
        size: found.size,
    };
    site.pins(folder, |lock| lock.pin_file(url, pin.clone()))?;
    Ok(pin)
}

/// What is pinned, from the store, else from the network.
async fn stored(site: &Arc<Site>, url: &str, pin: &FilePin) -> Result<Output, Failure> {
    let (cas, digest, size) = (Arc::clone(&site.cas), pin.digest, pin.size);
    if blocking(move || Ok(cas.contains(&digest, size)?)).await? {
        let name = url.to_owned();
        return Ok(Output { name, digest, size });
    }
    if site.wishes.offline {
        let message = format!(
            "`{url}` is not in the cache and --offline forbids fetching it: \
             build once with network access"
        );
        return Err(Failure::new(Class::Environment, message));
    }
    download(site, url, Some(digest)).await
}

async fn download(site: &Arc<Site>, url: &str, sum: Option<Digest>) -> Result<Output, Failure> {
    Ok(registry::download(&site.registry, url, sum, &site.cas, &site.transfers).await?)
}

/// Writes the tar; brings what it lacks from the network first.
pub(super) async fn make(
    site: &Arc<Site>,
    folders: &Folders,
    component: &Component,
    parts: &[Part],
    results: &Results,
    id: &str,
) -> Result<Made, Failure> {
    let mut fetched = BTreeMap::new();
    for url in sources(component).filter(|source| remote(source)) {
        let pin = pinned(site, &folders.own, Some(component), url).await?;
        let output = stored(site, url, &pin).await?;
        fetched.insert(url.to_owned(), output);
    }
    let mut brought = executors::Brought {
        files: fetched,
        ..Default::default()
    };
    for part in parts {
        let made = one(results, part)?.clone();
        brought.parts.insert(part.place.clone(), made);
    }
    let (cas, folders) = (Arc::clone(&site.cas), folders.clone());
    let (component, name) = (component.clone(), id.to_owned());
    blocking(move || {
        let ingest = cas.ingest()?;
        let written = executors::write_component(&folders, &component, &brought, &cas, ingest)?;
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
    let packaged = packaged.filter(|path| executors::is_archive(path));
    let values = component.charts.iter().flat_map(|c| &c.values_files);
    let all = files.chain(data).chain(manifests);
    all.chain(packaged).chain(values).map(String::as_str)
}

fn local_action(site: &Site, folders: &Folders, component: &Component) -> Result<Action, Failure> {
    let mut action = Action::new("component", COMPONENT_FORMAT);
    action.settings = component_settings(component);
    let mut entries: BTreeMap<&str, (Found<'_>, Vec<Entry>)> = BTreeMap::new();
    for source in sources(component).filter(|source| !remote(source)) {
        let found = folders.find(source);
        executors::inside(found.below).map_err(|_| executors::outside(source))?;
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
