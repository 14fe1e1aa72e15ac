//! Skeletons: a component's own files as they are, for others to build on.
//!
//! Writes what package.md 2.9 lays out, and says what the definition names the
//! files by then. Asks no network: URLs stay URLs. What would have to be made
//! first, as kustomizations, is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::component::source::Tree;
use super::component::{ComponentError, manifests, outside};
use crate::archive::TarWriter;
use crate::exec::folders::Folders;
use crate::package::Component;
use crate::workspace::Kind;

/// Modes of everything, as Zarf writes them: only the owner counts.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// Where each file of a component goes in its tar, by the names on the way, and
/// the source it is read from.
type Places = BTreeMap<Vec<String>, String>;

/// Rewrites `component` so that its local sources are inside of its tar, and
/// writes that tar. `None`: it has no local file.
///
/// # Errors
///
/// [`ComponentError`]; what was written to `out` is then of no use.
pub fn write_skeleton<W: Write>(
    folders: &Folders,
    component: &mut Component,
    out: W,
) -> Result<Option<W>, ComponentError> {
    let places = moved(component)?;
    let name = &component.name;
    let mut tar = TarWriter::new(out);
    tar.directory(name, FOLDER)?;
    let mut made = BTreeSet::new();
    let mut bytes = 0;
    // Older programs leave this folder behind, and some count on it.
    let mut steps: Vec<(Vec<String>, Option<&String>)> = places
        .iter()
        .map(|(path, source)| (path.clone(), Some(source)))
        .collect();
    steps.push((vec!["temp".to_owned()], None));
    steps.sort();
    for (path, source) in steps {
        let folders_above = match source {
            Some(_) => path.len() - 1,
            None => path.len(),
        };
        for depth in 1..=folders_above {
            let folder = path[..depth].join("/");
            if made.insert(folder.clone()) {
                tar.directory(&format!("{name}/{folder}"), FOLDER)?;
            }
        }
        if let Some(source) = source {
            let to = format!("{name}/{}", path.join("/"));
            bytes += copy(&mut tar, folders, source, &to)?;
        }
    }
    let out = tar.finish()?;
    Ok((bytes > 0).then_some(out))
}

/// Adds a source with all below it; gives the bytes of its files and links.
fn copy<W: Write>(
    tar: &mut TarWriter<W>,
    folders: &Folders,
    source: &str,
    to: &str,
) -> Result<u64, ComponentError> {
    let found = folders.find(source);
    let tree = Tree::list(found.root, found.below).map_err(|error| match error {
        super::SourceError::Outside(_) => outside(source),
        other => other.into(),
    })?;
    let mut bytes = 0;
    for (below, entry) in tree.entries() {
        let path = match below {
            "" => to.to_owned(),
            below => format!("{to}/{below}"),
        };
        match &entry.kind {
            Kind::Link { target } => {
                bytes += target.len() as u64;
                tar.symlink(&path, target)?;
            }
            Kind::Directory => tar.directory(&path, FOLDER)?,
            Kind::File { executable } => {
                let mode = if *executable { FOLDER } else { FILE };
                let mut file = tree.open(entry)?;
                bytes += entry.stat.size;
                tar.file(&path, mode, entry.stat.size, &mut file)?;
            }
        }
    }
    tree.settle()?;
    Ok(bytes)
}

/// Gives every local source its name in the skeleton.
fn moved(component: &mut Component) -> Result<Places, ComponentError> {
    let not_yet = |key: &'static str| ComponentError::NotYet {
        component: component.name.clone(),
        key,
    };
    let extract = |file: &crate::package::File| !file.extract_path.is_empty();
    let mut files = component.files.iter();
    if files.any(|file| extract(file) && !is_url(&file.source)) {
        return Err(not_yet("files.extractPath"));
    }
    let mut all = component.manifests.iter();
    if all.any(|manifest| !manifest.kustomizations.is_empty()) {
        return Err(not_yet("manifests.kustomizations"));
    }
    // Refuses names that two manifests would share.
    manifests(&component.manifests)?;
    let mut places = Places::new();
    let mut place = |source: &mut String, path: &[&str]| {
        if source.is_empty() || is_url(source) {
            return;
        }
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        let new = path.join("/");
        places.insert(path, std::mem::replace(source, new));
    };
    for (index, chart) in component.charts.iter_mut().enumerate() {
        let plain = |text: &str| !text.contains('/') && !matches!(text, "" | "." | "..");
        if !plain(&chart.name) || chart.version.contains('/') {
            return Err(ComponentError::Name(chart.name.clone()));
        }
        let folder = format!("{}-{index}", chart.name);
        place(&mut chart.local_path, &["charts", &folder]);
        for (number, file) in chart.values_files.iter_mut().enumerate() {
            let name = format!("{}-{}-{number}", chart.name, chart.version);
            place(file, &["values", &name]);
        }
    }
    for (index, file) in component.files.iter_mut().enumerate() {
        let base = last_name(&file.target)?.to_owned();
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
    Ok(places)
}

fn last_name(target: &str) -> Result<&str, ComponentError> {
    let base = target.trim_end_matches('/').rsplit('/').next();
    base.filter(|base| !matches!(*base, "" | "." | ".."))
        .ok_or_else(|| ComponentError::Target(target.to_owned()))
}

fn is_url(source: &str) -> bool {
    source.contains("://")
}
