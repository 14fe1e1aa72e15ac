//! Where packages are: the workspace, and the folders with a definition in it.
//!
//! Source: docs/spec/pipeline.md, "Workspace".

use std::fs;
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::options::Place;
use crate::disk::{self, DiskError};
use crate::package::{Dialect, MAX_DEFINITION_BYTES};
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

/// The folder of a package that the user named explicitly.
pub(super) fn lone(place: &Place, folder: &Path) -> Result<PathBuf, BuildError> {
    let folder = resolved(place, folder)?;
    if plan::definition_in(&folder).is_none() {
        return Err(BuildError::NoPackage(folder));
    }
    Ok(folder)
}

/// The packages in and below `paths`.
pub(super) fn packages(place: &Place, paths: &[PathBuf]) -> Result<Vec<PathBuf>, BuildError> {
    let mut folders = Vec::new();
    for path in paths {
        let full = resolved(place, path)?;
        if full.is_file() {
            folders.extend(full.parent().map(Path::to_owned));
        } else if plan::definition_in(&full).is_some() {
            folders.push(full);
        } else {
            folders.extend(below(&full)?);
        }
    }
    folders.sort();
    folders.dedup();
    Ok(folders)
}

/// Every folder with a definition, `root` among them.
pub(super) fn below(root: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut folders = Vec::new();
    if plan::definition_in(root).is_some() {
        folders.push(root.to_owned());
    }
    for entry in workspace::walk(root)? {
        let Some((folder, name)) = entry.path.rsplit_once('/') else {
            continue;
        };
        let folder = root.join(folder);
        if Dialect::of_definition_file(name).is_some() && plan::definition_in(&folder).is_some() {
            folders.push(folder);
        }
    }
    if folders.is_empty() {
        return Err(BuildError::NoPackage(root.to_owned()));
    }
    folders.sort();
    folders.dedup();
    Ok(folders)
}
