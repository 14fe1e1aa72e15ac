//! Secrets that a command sees as files.
//!
//! In a root of its own they are in memory. Elsewhere they are in a folder of the stage
//! that the command may only read, and that is removed when it ends. What it finds in its
//! home, which may be kept, are links to them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::stage::{HOME, SECRETS};
use super::{RunError, named};
use crate::archive::SafePath;
use crate::disk::{self, Enclosure, at};
use crate::ground::sandbox::{PRIVATE, Root};

/// A secret with the path at which the command sees it.
#[derive(Clone)]
pub(crate) struct Private {
    /// `~/` and a path below the home, or an absolute path.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Shows `files` in the home of `stage`, or with a root, in that. Returns the folder that
/// the command must be able to read.
pub(super) fn place(
    files: &[Private],
    stage: &Path,
    mut root: Option<&mut Root>,
) -> Result<Option<PathBuf>, RunError> {
    if files.is_empty() {
        return Ok(None);
    }
    let folder = match &root {
        Some(_) => PathBuf::from(PRIVATE),
        None => {
            let folder = stage.join(SECRETS);
            disk::remove(&folder).map_err(at(&folder))?;
            fs::create_dir(&folder).map_err(at(&folder))?;
            folder
        }
    };
    let home = stage.join(HOME);
    let inside = Enclosure::open(&home).map_err(at(&home))?;
    for (index, file) in files.iter().enumerate() {
        // The name of a secret is any text, not that of a file.
        let held = folder.join(index.to_string());
        match root.as_mut() {
            Some(root) => root.private(held.clone(), file.text.clone()),
            None => {
                let mut made = disk::create_private(&held).map_err(at(&held))?;
                made.write_all(file.text.as_bytes()).map_err(at(&held))?;
            }
        }
        let Some(below) = file.path.strip_prefix("~/") else {
            if let Some(root) = root.as_mut() {
                let path = PathBuf::from(&file.path);
                // It hides what the system has there.
                root.shared.links.push((held, path));
            }
            continue;
        };
        let below = named(below)?;
        let link = || {
            if let Some((above, _)) = below.as_str().rsplit_once('/') {
                let above = SafePath::parse(above).map_err(io::Error::other)?;
                inside.replace_with_folder(&above)?;
            }
            inside.remove_all(&below)?;
            inside.link(&below, held.as_os_str().as_bytes())
        };
        link().map_err(at(&home.join(below.as_path())))?;
    }
    Ok(root.is_none().then_some(folder))
}

/// Removes them from `stage`. What the command did to the links is its own: nothing is
/// behind them any more.
pub(super) fn remove(files: &[Private], stage: &Path) -> Result<(), RunError> {
    let folder = stage.join(SECRETS);
    disk::remove(&folder).map_err(at(&folder))?;
    let Ok(inside) = Enclosure::open(&stage.join(HOME)) else {
        return Ok(());
    };
    for file in files {
        if let Some(below) = file.path.strip_prefix("~/") {
            let _ = inside.remove(&named(below)?);
        }
    }
    Ok(())
}
