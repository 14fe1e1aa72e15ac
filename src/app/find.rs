//! Where packages are: the definitions in the workspace, and those that are named.
//!
//! Source: docs/spec/pipeline.md, "Workspace".

use std::fs;
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::options::Place;
use crate::disk::{self, DiskError};
use crate::package::{Dialect, MAX_DEFINITION_BYTES};
use crate::yaml::{Node, SourceText, parse_first};
use crate::{plan, workspace};

/// The text of a definition or pipeline, within its limit.
pub(super) fn read_text(path: &Path) -> Result<String, BuildError> {
    disk::read_text(path, MAX_DEFINITION_BYTES).map_err(unreadable)
}

/// `path` as seen from `here`, for messages.
pub(super) fn shown<'a>(here: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(here).unwrap_or(path)
}

fn resolved(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    let path = place.here.join(path);
    let real = fs::canonicalize(&path);
    real.map_err(|error| unreadable(disk::at(&path)(error)))
}

fn unreadable(error: DiskError) -> BuildError {
    match error.source.kind() {
        std::io::ErrorKind::NotFound => BuildError::Absent(error.path),
        _ => error.into(),
    }
}

/// The definition that `path` names: a file, or the one in a folder.
pub(super) fn definition(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    let full = place.here.join(path);
    if full.is_file() {
        return named(place, path);
    }
    let folder = resolved(place, path)?;
    let found = plan::definition_in(&folder);
    let (_, path) = found.ok_or(BuildError::NoPackage(folder))?;
    Ok(path)
}

/// The definition file `path`. Its folder has no link in its path.
fn named(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    if is_pipeline(&place.here.join(path)) {
        return Err(BuildError::IsPipeline(path.to_owned()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => resolved(place, folder)?,
        _ => resolved(place, Path::new("."))?,
    };
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// Whether the file at `path` is a pipeline, by its `kind`.
#[must_use]
pub fn is_pipeline(path: &Path) -> bool {
    let text = path.is_file().then(|| read_text(path).ok()).flatten();
    let node = text.and_then(|text| parse_first(&SourceText::new("", text)).ok().flatten());
    let kind = node.as_ref().and_then(|node| node.get("kind"));
    kind.and_then(Node::scalar) == Some("JackalPipeline")
}

/// The definitions that `paths` name: files, and those in and below folders.
pub(super) fn definitions(place: &Place, paths: &[PathBuf]) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    for path in paths {
        if place.here.join(path).is_file() {
            found.push(named(place, path)?);
            continue;
        }
        let folder = resolved(place, path)?;
        match plan::definition_in(&folder) {
            Some((_, path)) => found.push(path),
            None => found.extend(below(&folder)?),
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The definition of every folder that has one, `root` among them.
pub(super) fn below(root: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    found.extend(plan::definition_in(root).map(|(_, path)| path));
    for entry in workspace::walk(root).0 {
        let Some((folder, name)) = entry.path.rsplit_once('/') else {
            continue;
        };
        let folder = root.join(folder);
        if Dialect::of_definition_file(name).is_some() {
            found.extend(plan::definition_in(&folder).map(|(_, path)| path));
        }
    }
    if found.is_empty() {
        return Err(BuildError::NoPackage(root.to_owned()));
    }
    found.sort();
    found.dedup();
    Ok(found)
}
