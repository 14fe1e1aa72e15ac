//! Secrets that a command sees as files.
//!
//! In a root of its own they are in memory, and links lead to them. Elsewhere they are
//! files in the command's home, and removed when it ends.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{RunError, named};
use crate::cas::tree::make_parents;
use crate::disk::{self, at};
use crate::ground::sandbox::Root;

/// A secret with the path at which the command sees it.
#[derive(Clone)]
pub(crate) struct Private {
    pub(crate) name: String,
    /// `~/` and a path below the home, or an absolute path.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Where the files are in a root.
const FOLDER: &str = "/jackal/secrets";

/// Shows `files` in the folder `home`, or with a root, in that.
pub(super) fn place(
    files: &[Private],
    home: &Path,
    mut root: Option<&mut Root>,
) -> Result<(), RunError> {
    for file in files {
        let held = Path::new(FOLDER).join(&file.name);
        if let Some(root) = root.as_mut() {
            root.files.push((held.clone(), file.text.clone()));
        }
        let Some(below) = file.path.strip_prefix("~/") else {
            if let Some(root) = root.as_mut() {
                let path = PathBuf::from(&file.path);
                // What the system has there is hidden.
                root.files.retain(|(known, _)| *known != path);
                root.links.push((held, path));
            }
            continue;
        };
        let below = named(below)?;
        make_parents(home, below.as_str())?;
        let path = home.join(below.as_path());
        gone(&path)?;
        match root {
            Some(_) => symlink(&held, &path).map_err(at(&path))?,
            None => {
                let mut made = disk::create_private(&path).map_err(at(&path))?;
                made.write_all(file.text.as_bytes()).map_err(at(&path))?;
            }
        }
    }
    Ok(())
}

/// Removes them from the folder `home`.
pub(super) fn remove(files: &[Private], home: &Path) -> Result<(), RunError> {
    for file in files {
        if let Some(below) = file.path.strip_prefix("~/") {
            gone(&home.join(named(below)?.as_path()))?;
        }
    }
    Ok(())
}

fn gone(path: &Path) -> Result<(), RunError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error).into()),
        _ => Ok(()),
    }
}
