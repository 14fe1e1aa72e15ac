//! Skeletons: a component's local files, for other packages to import.
//!
//! Writes the tar described in docs/spec/package.md, "Skeletons", and rewrites the
//! paths in the definition. Uses no network: URLs are kept. Members of local archives
//! and kustomizations are made by earlier steps and added as parts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use crate::action::Output;
use crate::ground::Failure;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::site::Site;
use crate::kinds::TREE;
use crate::kinds::component::ManifestSettings;
use crate::kinds::component::write::{
    ComponentError, Entries, Modes, extracted, is_url, kustomized, last_name, manifests,
};
use crate::package::{Component, File};
use crate::workspace::Links;

/// Modes, as Zarf writes them: only those of the owner matter.
const FOLDER: u32 = 0o700;
const MODES: Modes = Modes {
    top_file: None,
    top_folder: None,
    all: Some((0o600, FOLDER)),
};

/// The path in the tar and the source of each file of a component, as a tree of names.
type Places = BTreeMap<Vec<String>, From>;

enum From {
    /// A path from the definition.
    Source(String),
    /// The result of a step.
    Part(String),
}

/// Rewrites `component` so that its local sources are inside its tar, and writes the
/// tar. `None`: it has no local files.
///
/// # Errors
///
/// [`ComponentError`]; the output in `out` is then incomplete.
pub(crate) fn write_skeleton<W: Write>(
    site: &Site,
    folders: &Folders,
    component: &mut Component,
    parts: &BTreeMap<String, Output>,
    out: W,
) -> Result<Option<W>, Failure> {
    let places = moved(component)?;
    let mut inputs = Inputs::new(&site.cas);
    for place in places.values() {
        if let From::Source(source) = place {
            inputs.source(site, folders, source, Links::Packed)?;
        }
    }
    let written = written(&component.name, &places, &inputs, parts, out);
    match inputs.changed() {
        Some(path) => Err(Failure::changed(path)),
        None => Ok(written?),
    }
}

fn written<W: Write>(
    name: &str,
    places: &Places,
    inputs: &Inputs,
    parts: &BTreeMap<String, Output>,
    out: W,
) -> Result<Option<W>, ComponentError> {
    let mut entries = Entries::new(out);
    entries.tar.directory(name, FOLDER)?;
    let mut made = BTreeSet::new();
    // Older programs write this folder, and some depend on it.
    let mut steps: Vec<(Vec<String>, Option<&From>)> = places
        .iter()
        .map(|(path, source)| (path.clone(), Some(source)))
        .collect();
    steps.push((vec!["temp".to_owned()], None));
    steps.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (path, source) in steps {
        let folders_above = match source {
            Some(_) => path.len() - 1,
            None => path.len(),
        };
        for depth in 1..=folders_above {
            let folder = path[..depth].join("/");
            if made.insert(folder.clone()) {
                entries.tar.directory(&format!("{name}/{folder}"), FOLDER)?;
            }
        }
        if let Some(source) = source {
            let to = format!("{name}/{}", path.join("/"));
            match source {
                From::Source(source) => {
                    let source = source.trim_end_matches('/');
                    entries.source(inputs, source, &to, MODES, |_| Ok(()))?;
                }
                From::Part(place) => {
                    let part = parts.get(place);
                    let part = part.ok_or_else(|| ComponentError::NotMade {
                        component: name.to_owned(),
                        place: place.clone(),
                    })?;
                    let content = (part.size, inputs.cas().open_blob(&part.digest)?);
                    entries.made(content, part.name == TREE, place, &to, MODES)?;
                }
            }
        }
    }
    let out = entries.finish()?;
    Ok((!places.is_empty()).then_some(out))
}

/// Sets the path in the skeleton of every local source.
fn moved(component: &mut Component) -> Result<Places, ComponentError> {
    // Refuses duplicate manifest names.
    let named: Vec<ManifestSettings> = component
        .manifests
        .iter()
        .map(ManifestSettings::of)
        .collect();
    manifests(&named)?;
    let mut places = Places::new();
    let mut made = Vec::new();
    let mut place = |source: &mut String, path: &[&str]| {
        if source.is_empty() || is_url(source) {
            return;
        }
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        let new = path.join("/");
        let old = std::mem::replace(source, new);
        places.insert(path, From::Source(old));
    };
    for (index, chart) in component.charts.iter_mut().enumerate() {
        let plain = |text: &str| !text.contains('/') && !matches!(text, "" | "." | "..");
        if !plain(&chart.name) || chart.version.contains('/') {
            return Err(ComponentError::Name(chart.name.clone()));
        }
        let folder = format!("{}-{index}", chart.name);
        place(&mut chart.local_path, &["charts", &folder]);
        let plain = chart.values_files.iter_mut();
        let all = plain.chain(&mut chart.templated_values_files);
        for (number, file) in all.enumerate() {
            let name = format!("{}-{}-{number}", chart.name, chart.version);
            place(file, &["values", &name]);
        }
    }
    for (index, file) in component.files.iter_mut().enumerate() {
        let base = last_name(&file.target)?.to_owned();
        if is_made(file) {
            made.push((
                vec!["files".to_owned(), index.to_string(), base.clone()],
                extracted(index),
            ));
            file.source = format!("files/{index}/{base}");
            file.extract_path.clear();
            continue;
        }
        place(&mut file.source, &["files", &index.to_string(), &base]);
    }
    for (index, data) in component.data_injections.iter_mut().enumerate() {
        let base = last_name(&data.target.path)?.to_owned();
        place(&mut data.source, &["data", &index.to_string(), &base]);
    }
    for manifest in &mut component.manifests {
        for (index, file) in manifest.files.iter_mut().enumerate() {
            let name = format!("{}-{index}.yaml", manifest.name);
            place(file, &["manifests", &name]);
        }
        // Older programs drop them, and importers would not have the files.
        for index in 0..std::mem::take(&mut manifest.kustomizations).len() {
            let name = kustomized(&manifest.name, index);
            let new = format!("manifests/{name}");
            made.push((vec!["manifests".to_owned(), name], new.clone()));
            manifest.files.push(new);
        }
        manifest.kustomize_allow_any_directory = false;
    }
    place(&mut component.cosign_key_path, &["cosign.pub"]);
    let create = &mut component.actions.on_create;
    create.defaults.dir.clear();
    for list in [
        &mut create.before,
        &mut create.after,
        &mut create.on_success,
        &mut create.on_failure,
    ] {
        for action in list {
            action.dir = None;
        }
    }
    let made = made.into_iter();
    places.extend(made.map(|(path, place)| (path, From::Part(place))));
    Ok(places)
}

/// Whether a file is extracted from a local archive for a skeleton.
#[must_use]
pub fn is_made(file: &File) -> bool {
    !file.extract_path.is_empty() && !is_url(&file.source)
}
