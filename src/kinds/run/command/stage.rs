//! The stage of one command: putting inputs in, looking at outputs, and
//! whether the checkout is still what was staged.

use std::collections::HashSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;

use crate::cas::Cas;
use crate::cas::tree::{self, TreeError, make_parents, stays_inside};
use crate::ground::is_of_disk;
use crate::kinds::run::command::{DeclaredOutput, RunError, Staged, at, named, relative};
use crate::workspace::{Entry, Kind, Stat};

/// The folder of a stage that the command takes for the workspace.
pub(crate) const ROOT: &str = "root";
pub(crate) const HOME: &str = "home";
/// Where its temporary files go.
pub(crate) const TEMPORARY: &str = "tmp";

/// Fills the empty folder `stage`; returns where the command is to run.
pub(crate) fn prepare(
    cas: &Cas,
    stage: &Path,
    inputs: &[Staged],
    outputs: &[DeclaredOutput],
    workdir: &str,
) -> Result<PathBuf, RunError> {
    for folder in [ROOT, HOME, TEMPORARY] {
        let folder = stage.join(folder);
        fs::create_dir(&folder).map_err(at(&folder))?;
    }
    let root = stage.join(ROOT);
    let mut produced = Vec::new();
    for input in inputs {
        produced.extend(put_produced(cas, &root, input)?);
    }
    let from_workspace = |input: &'_ Staged| match input {
        Staged::Workspace { root, entry } => Some((root.clone(), entry.clone())),
        _ => None,
    };
    let taken = |path: &str| {
        let within = |at: &String| {
            path.strip_prefix(at.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        produced.iter().any(within)
    };
    let entries: Vec<(PathBuf, Entry)> = inputs
        .iter()
        .filter_map(from_workspace)
        .filter(|(_, entry)| !taken(&entry.path))
        .collect();
    put_workspace(&root, &entries)?;
    for output in outputs {
        make_parents(&root, named(&output.path)?.as_str())?;
    }
    match relative(workdir)? {
        None => Ok(root),
        Some(path) => {
            make_parents(&root, &format!("{path}/x"))?;
            Ok(root.join(path.as_path()))
        }
    }
}

/// Stages what other tasks made; returns the path it took, unless that is the root.
fn put_produced(cas: &Cas, root: &Path, input: &Staged) -> Result<Option<String>, RunError> {
    let (path, tree) = match input {
        Staged::Workspace { .. } => return Ok(None),
        Staged::Tree { at, tree } => (relative(at)?, tree),
    };
    let to = match &path {
        Some(path) => {
            make_parents(root, path.as_str())?;
            root.join(path.as_path())
        }
        None => root.to_owned(),
    };
    let overlap = |error| match error {
        TreeError::Io { path, source } if source.kind() == io::ErrorKind::AlreadyExists => {
            let path = path.strip_prefix(root).unwrap_or(&path);
            let path = path.display().to_string();
            RunError::Overlap { path }
        }
        error => error.into(),
    };
    tree::place(cas, tree, &to).map_err(overlap)?;
    Ok(path.map(|path| path.to_string()))
}

fn put_workspace(root: &Path, entries: &[(PathBuf, Entry)]) -> Result<(), RunError> {
    let mut made = HashSet::new();
    for (_, entry) in entries {
        named(&entry.path)?;
        let folder = match &entry.kind {
            Kind::Directory => Some(entry.path.as_str()),
            _ => entry.path.rsplit_once('/').map(|(folder, _)| folder),
        };
        if let Some(folder) = folder.filter(|folder| made.insert(*folder)) {
            make_parents(root, &format!("{folder}/x"))?;
        }
    }
    entries.par_iter().try_for_each(|(from, entry)| {
        let to = root.join(&entry.path);
        // Another task's output, staged at the root, may hold this path already.
        if entry.kind == Kind::Directory || fs::symlink_metadata(&to).is_ok() {
            return Ok(());
        }
        match &entry.kind {
            Kind::Directory => Ok(()),
            Kind::Link { target } if stays_inside(&entry.path, target) => {
                symlink(target, &to).map_err(at(&to))
            }
            Kind::Link { target } => Err(RunError::Tree(TreeError::Escapes {
                path: entry.path.clone(),
                target: target.clone(),
            })),
            Kind::File { executable } => put_file(&from.join(&entry.path), &to, *executable)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => RunError::InputChanged {
                        path: entry.path.clone(),
                    },
                    kind if is_of_disk(kind) => at(&to)(error),
                    _ => at(&from.join(&entry.path))(error),
                }),
        }
    })
}

fn put_file(from: &Path, to: &Path, executable: bool) -> io::Result<()> {
    // Shares the blocks where the file system can; never the inode, through
    // which the command could write into the checkout.
    fs::copy(from, to)?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// Checks that every input from the checkout is as the walk found it.
pub(crate) fn unchanged(inputs: &[Staged]) -> Result<(), RunError> {
    inputs.par_iter().try_for_each(|input| {
        let Staged::Workspace { root, entry } = input else {
            return Ok(());
        };
        let metadata = fs::symlink_metadata(root.join(&entry.path));
        let same = metadata.is_ok_and(|metadata| match entry.kind {
            // A folder's times and size follow what is in it, inputs or not.
            Kind::Directory => metadata.is_dir(),
            _ => Stat::of(&metadata) == entry.stat,
        });
        if same {
            return Ok(());
        }
        let path = entry.path.clone();
        Err(RunError::InputChanged { path })
    })
}

/// Looks for one output; `None`: it is missing, and optional.
pub(crate) fn find(
    root: &Path,
    path: &str,
    output: &DeclaredOutput,
) -> Result<Option<PathBuf>, RunError> {
    let mut full = root.to_owned();
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        full.push(name);
        let metadata = match fs::symlink_metadata(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if output.optional {
                    return Ok(None);
                }
                let path = output.path.clone();
                return Err(RunError::Missing { path });
            }
            metadata => metadata.map_err(at(&full))?,
        };
        // A link on the way may lead out of the stage.
        let last = names.peek().is_none();
        let folder = output.directory || !last;
        if metadata.is_dir() != folder {
            let what = |folder| if folder { "a folder" } else { "a file or link" };
            return Err(RunError::WrongKind {
                path: full
                    .strip_prefix(root)
                    .unwrap_or(&full)
                    .display()
                    .to_string(),
                found: what(metadata.is_dir()),
                expected: what(folder),
            });
        }
    }
    Ok(Some(full))
}
