//! Updates the checkout with a task's outputs, whether or not the task ran.
//!
//! Compares first and writes only what differs. Everything new is written and
//! verified in a staging folder before anything old is touched, and nothing is
//! removed that a task did not make.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;

use crate::cas::Cas;
use crate::cas::tree::{self, Staging, Tree, TreeEntry, TreeKind, make_parents, place_entry};
use crate::disk::{at, look};
use crate::ground::{Stays, Withdrawal};
use crate::kinds::run::command::{RunError, named};
use crate::pipeline::is_of_git;

pub(crate) struct Wanted<'w> {
    /// Relative to the workspace.
    pub(crate) path: &'w str,
    /// What was recorded; `None`: the command left nothing there.
    pub(crate) tree: Option<&'w Tree>,
}

/// How outputs are put into the workspace.
pub(crate) struct Placing<'p> {
    pub(crate) cas: &'p Cas,
    /// The folder that paths are relative to.
    pub(crate) root: &'p Path,
    /// Whether the file at a path, of the right kind, size and executable bit, has
    /// the entry's bytes.
    pub(crate) same: &'p dyn Fn(&Path, &fs::Metadata, &TreeEntry) -> bool,
    /// What an earlier result put at a path.
    pub(crate) placed: &'p dyn Fn(&str) -> Option<Tree>,
    /// Whether Git tracks a path.
    pub(crate) tracked: &'p dyn Fn(&str) -> bool,
    /// What Git does not track may be removed.
    pub(crate) clean: bool,
}

impl Placing<'_> {
    /// Makes each path match its tree: restores what is missing or different, and
    /// removes what an earlier result put there and has not changed since. Returns the
    /// number of repairs. Correct outputs are not written to.
    ///
    /// # Errors
    ///
    /// [`RunError::Foreign`] for anything else that is in the way. An output that is
    /// in error, or whose bytes are not all in the cache, is left as it was.
    pub(crate) fn all(&self, wanted: &[Wanted<'_>]) -> Result<usize, RunError> {
        let mut repaired = 0;
        for Wanted { path, tree } in wanted {
            let path = named(path)?;
            if let Some(tree) = tree {
                tree.check()?;
                let mut entries = tree.entries.iter();
                if let Some(entry) = entries.find(|entry| is_of_git(&entry.path)) {
                    return Err(RunError::OfGit {
                        path: format!("{path}/{}", entry.path),
                    });
                }
            }
            repaired += self.repair(path.as_str(), *tree)?;
        }
        Ok(repaired)
    }

    /// Takes back `placed`, which an earlier result put at `path`. What has changed since, is
    /// tracked by Git, or lies in another repository, stays.
    ///
    /// # Errors
    ///
    /// The tree is malformed, or a file cannot be looked at.
    pub(crate) fn withdraw(
        &self,
        path: &str,
        placed: &Tree,
        withdrawal: &mut Withdrawal,
    ) -> Result<(), RunError> {
        placed.check()?;
        let mut folders = Vec::new();
        if placed.single().is_none() {
            folders.push(path.to_owned());
        }
        let mut repositories = HashMap::new();
        for entry in &placed.entries {
            let shown = match entry.path.as_str() {
                "" => path.to_owned(),
                below => format!("{path}/{below}"),
            };
            // A link in its place, or above it, is the user's.
            if !self.is_reachable(&shown) {
                continue;
            }
            let full = self.root.join(&shown);
            let Some(there) = stat(&full)? else { continue };
            let unchanged = matches(&full, entry, &there, self.same);
            let stays = if !unchanged {
                Some(Stays::Changed)
            } else if (self.tracked)(&shown) {
                Some(Stays::Tracked)
            } else {
                let is_nested = self.is_nested(&shown, &mut repositories);
                is_nested.then_some(Stays::Nested)
            };
            if let Some(why) = stays {
                withdrawal.leave(&full, why);
            } else if entry.kind == TreeKind::Directory {
                folders.push(shown);
            } else {
                withdrawal.file(&full);
            }
        }
        // The folders above it were made for it.
        let above = Path::new(path).ancestors().skip(1);
        let above = above
            .filter_map(Path::to_str)
            .filter(|path| !path.is_empty());
        let all = folders.iter().rev().map(String::as_str).chain(above);
        for folder in all.filter(|folder| self.is_reachable(folder)) {
            withdrawal.folder(&self.root.join(folder));
        }
        Ok(())
    }

    /// Whether all above `path` are folders, not links.
    fn is_reachable(&self, path: &str) -> bool {
        matches!(parents_are_folders(self.root, path), Ok(true))
    }

    /// Whether a folder above `path`, but below the root, is a checkout of its own.
    fn is_nested(&self, path: &str, known: &mut HashMap<String, bool>) -> bool {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        above.into_iter().any(|folder| {
            *known.entry(folder.to_owned()).or_insert_with(|| {
                let git = self.root.join(folder).join(".git");
                look::symlink_metadata(&git).is_ok()
            })
        })
    }

    fn repair(&self, path: &str, tree: Option<&Tree>) -> Result<usize, RunError> {
        let to = self.root.join(path);
        // Follows no link: checks the path from the root down.
        let reachable = parents_are_folders(self.root, path)?;
        let there = if reachable { stat(&to)? } else { None };
        let Some(tree) = tree else {
            let Some(there) = there else { return Ok(0) };
            let placed = (self.placed)(path);
            self.refuse(path, self.foreign(path, "", &there, placed.as_ref())?)?;
            let staging = Staging::beside(to.parent().unwrap_or(Path::new("/")))?;
            staging.discard(&to, "gone")?;
            return Ok(1);
        };
        if let (Some(entry), Some(there)) = (tree.single(), &there) {
            if matches(&to, entry, there, self.same) {
                return Ok(0);
            }
            // The command owns the declared file, but not what is in a folder of that
            // name.
            if there.is_dir() {
                let placed = (self.placed)(path);
                self.refuse(path, self.foreign(path, "", there, placed.as_ref())?)?;
            }
        } else if let Some(there) = &there {
            if there.is_dir() {
                return self.repair_folder(path, tree);
            }
            let placed = (self.placed)(path);
            self.refuse(path, self.foreign(path, "", there, placed.as_ref())?)?;
        }
        make_parents(self.root, path)?;
        tree::restore(self.cas, tree, &to)?;
        Ok(tree.entries.len().max(1))
    }

    fn repair_folder(&self, path: &str, tree: &Tree) -> Result<usize, RunError> {
        let to = self.root.join(path);
        let mut found = Difference::default();
        compare(&to, tree, self.same, &mut found)?;
        let count = found.wrong.len() + found.strays.len();
        if count == 0 {
            return Ok(0);
        }
        let placed = (self.placed)(path);
        let mut foreign = Vec::new();
        for stray in &found.strays {
            let below = stray.strip_prefix(&to).unwrap_or(stray).to_string_lossy();
            if let Some(there) = stat(stray)? {
                foreign.extend(self.foreign(path, &below, &there, placed.as_ref())?);
            }
        }
        for entry in &found.wrong {
            let Some(there) = stat(&to.join(&entry.path))? else {
                continue;
            };
            // What was placed there, or what Git has, may be brought up to date.
            let full = format!("{path}/{}", entry.path);
            let brought = placed
                .as_ref()
                .is_some_and(|placed| has(placed, &entry.path));
            if there.is_dir() || !brought && !(self.tracked)(&full) {
                foreign.extend(self.foreign(path, &entry.path, &there, placed.as_ref())?);
            }
        }
        self.refuse(path, foreign)?;
        apply(self.cas, &to, &found)?;
        Ok(count)
    }

    /// What is at `below` in the output at `path`, or in it, and may not be removed:
    /// neither an earlier result put it there, nor was it cleared for removal.
    fn foreign(
        &self,
        path: &str,
        below: &str,
        there: &fs::Metadata,
        placed: Option<&Tree>,
    ) -> Result<Vec<String>, RunError> {
        let shown = match below {
            "" => path.to_owned(),
            below => format!("{path}/{below}"),
        };
        let full = self.root.join(&shown);
        if there.is_dir() {
            let mut found = Vec::new();
            for entry in look::read_dir(&full).map_err(at(&full))? {
                let name = entry.map_err(at(&full))?.file_name();
                let name = name.to_string_lossy();
                let inner = match below {
                    "" => name.into_owned(),
                    below => format!("{below}/{name}"),
                };
                if let Some(there) = stat(&self.root.join(path).join(&inner))? {
                    found.extend(self.foreign(path, &inner, &there, placed)?);
                }
            }
            return Ok(found);
        }
        let mut entries = placed.iter().flat_map(|placed| &placed.entries);
        let unchanged = entries
            .find(|entry| entry.path == below)
            .is_some_and(|entry| matches(&full, entry, there, self.same));
        if unchanged || self.clean && !(self.tracked)(&shown) {
            return Ok(Vec::new());
        }
        Ok(vec![shown])
    }

    fn refuse(&self, output: &str, foreign: Vec<String>) -> Result<(), RunError> {
        let Some(path) = foreign.first() else {
            return Ok(());
        };
        Err(RunError::Foreign {
            path: path.clone(),
            output: output.to_owned(),
            others: foreign.len() - 1,
        })
    }
}

fn has(tree: &Tree, path: &str) -> bool {
    tree.entries.iter().any(|entry| entry.path == path)
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
    match look::symlink_metadata(path) {
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
    same: &dyn Fn(&Path, &fs::Metadata, &TreeEntry) -> bool,
) -> bool {
    match &entry.kind {
        TreeKind::Directory => there.is_dir(),
        TreeKind::Symlink { target } => {
            there.is_symlink()
                && look::read_link(path).is_ok_and(|found| found == Path::new(target))
        }
        TreeKind::File {
            size, executable, ..
        } => {
            there.is_file()
                && there.len() == *size
                && (there.mode() & 0o100 != 0) == *executable
                && same(path, there, entry)
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
    same: &dyn Fn(&Path, &fs::Metadata, &TreeEntry) -> bool,
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
    for entry in look::read_dir(folder).map_err(at(folder))? {
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
