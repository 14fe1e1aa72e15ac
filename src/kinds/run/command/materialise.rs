//! Updates the checkout with a task's outputs, whether or not the task ran.
//!
//! Compares first and writes only differences. New files are written and verified in a
//! staging folder before any old file is changed.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;

use crate::cas::Cas;
use crate::cas::tree::{self, Staging, Tree, TreeEntry, TreeKind, make_parents, place_entry};
use crate::disk::at;
use crate::kinds::run::command::{RunError, named};

/// Makes each declared path below `root` equal to its tree: restores missing and
/// different entries, and removes stray entries in folders. Returns the number of
/// repaired entries.
///
/// `same` tells whether the file at a path, whose type, size and executable bit match,
/// has the content of the entry. Correct outputs are not written to.
///
/// # Errors
///
/// [`RunError`]; an output whose content is not completely in `cas` is unchanged.
pub fn materialise(
    cas: &Cas,
    root: &Path,
    outputs: &[(String, Tree)],
    same: &dyn Fn(&Path, &TreeEntry) -> bool,
) -> Result<usize, RunError> {
    let mut repaired = 0;
    for (path, tree) in outputs {
        let path = named(path)?;
        tree.check()?;
        repaired += repair(cas, root, path.as_str(), tree, same)?;
    }
    Ok(repaired)
}

fn repair(
    cas: &Cas,
    root: &Path,
    path: &str,
    tree: &Tree,
    same: &dyn Fn(&Path, &TreeEntry) -> bool,
) -> Result<usize, RunError> {
    let to = root.join(path);
    // Follows no links.
    let reachable = parents_are_folders(root, path)?;
    let there = if reachable { stat(&to)? } else { None };
    if let Some(entry) = tree.single() {
        if there.is_some_and(|there| matches(&to, entry, &there, same)) {
            return Ok(0);
        }
    } else if there.as_ref().is_some_and(fs::Metadata::is_dir) {
        let mut found = Difference::default();
        compare(&to, tree, same, &mut found)?;
        let count = found.wrong.len() + found.strays.len();
        if count > 0 {
            apply(cas, &to, &found)?;
        }
        return Ok(count);
    }
    make_parents(root, path)?;
    tree::restore(cas, tree, &to)?;
    Ok(tree.entries.len().max(1))
}

/// Whether all folders above `root/path` exist; a link or file among them is an error.
fn parents_are_folders(root: &Path, path: &str) -> Result<bool, RunError> {
    let mut folder = root.to_owned();
    let mut names = path.split('/').peekable();
    while let (Some(name), Some(_)) = (names.next(), names.peek()) {
        folder.push(name);
        match stat(&folder)? {
            None => return Ok(false),
            Some(metadata) if metadata.is_dir() => {}
            Some(_) => {
                return Err(at(&folder)(io::ErrorKind::NotADirectory.into()).into());
            }
        }
    }
    Ok(true)
}

fn stat(path: &Path) -> Result<Option<fs::Metadata>, RunError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(at(path)(error).into()),
    }
}

fn matches(
    path: &Path,
    entry: &TreeEntry,
    there: &fs::Metadata,
    same: &dyn Fn(&Path, &TreeEntry) -> bool,
) -> bool {
    match &entry.kind {
        TreeKind::Directory => there.is_dir(),
        TreeKind::Symlink { target } => {
            there.is_symlink() && fs::read_link(path).is_ok_and(|found| found == Path::new(target))
        }
        TreeKind::File {
            size, executable, ..
        } => {
            there.is_file()
                && there.len() == *size
                && (there.mode() & 0o100 != 0) == *executable
                && same(path, entry)
        }
    }
}

#[derive(Default)]
struct Difference<'a> {
    /// In the tree's order; includes everything below a wrong folder.
    wrong: Vec<&'a TreeEntry>,
    strays: Vec<PathBuf>,
}

fn compare<'a>(
    top: &Path,
    tree: &'a Tree,
    same: &dyn Fn(&Path, &TreeEntry) -> bool,
    found: &mut Difference<'a>,
) -> Result<(), RunError> {
    let known: HashSet<&str> = tree.entries.iter().map(|e| e.path.as_str()).collect();
    let mut missing = HashSet::new();
    strays(top, "", &known, found)?;
    for entry in &tree.entries {
        let parent = entry.path.rsplit_once('/').map(|(parent, _)| parent);
        let path = top.join(&entry.path);
        let right = !parent.is_some_and(|parent| missing.contains(parent))
            && stat(&path)?.is_some_and(|there| matches(&path, entry, &there, same));
        let folder = entry.kind == TreeKind::Directory;
        if right {
            if folder {
                strays(&path, &entry.path, &known, found)?;
            }
            continue;
        }
        if folder {
            missing.insert(entry.path.as_str());
        }
        found.wrong.push(entry);
    }
    Ok(())
}

/// Finds entries of `folder`, which is `path` in the tree, that are not in the tree.
fn strays(
    folder: &Path,
    path: &str,
    known: &HashSet<&str>,
    found: &mut Difference<'_>,
) -> Result<(), RunError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name();
        let expected = name.to_str().is_some_and(|name| {
            if path.is_empty() {
                known.contains(name)
            } else {
                known.contains(format!("{path}/{name}").as_str())
            }
        });
        if !expected {
            found.strays.push(folder.join(name));
        }
    }
    Ok(())
}

fn apply(cas: &Cas, to: &Path, found: &Difference<'_>) -> Result<(), RunError> {
    let staging = Staging::beside(to.parent().unwrap_or(Path::new("/")))?;
    let held = |index: usize| staging.join(&format!("new-{index}"));
    found
        .wrong
        .par_iter()
        .enumerate()
        .try_for_each(|(index, entry)| place_entry(cas, &entry.kind, &held(index)))?;
    for (index, stray) in found.strays.iter().enumerate() {
        staging.discard(stray, &format!("stray-{index}"))?;
    }
    for (index, entry) in found.wrong.iter().enumerate() {
        let path = to.join(&entry.path);
        let folder = entry.kind == TreeKind::Directory;
        // A rename replaces a file or link by itself, in one step.
        if folder || stat(&path)?.is_some_and(|there| there.is_dir()) {
            staging.discard(&path, &format!("old-{index}"))?;
        }
        let outcome = if folder {
            fs::create_dir(&path)
        } else {
            fs::rename(held(index), &path)
        };
        outcome.map_err(at(&path))?;
    }
    Ok(())
}
