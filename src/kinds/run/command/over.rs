//! Large inputs, staged once: a base that commands see as the lower folder of an
//! overlay, and what differs from it in the upper one.
//!
//! A base holds exactly the tree that its name is the hash of, at the fixed time, and
//! nothing writes to it. See adr/0050, "Inputs are staged once".

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::stage::{self, Layout, ROOT};
use super::{DeclaredOutput, RunError};
use crate::action::InputNode;
use crate::cas::tree::{Tree, TreeEntry, TreeKind, make_parents};
use crate::cas::{Base, Cas, Stage};
use crate::disk::at;
use crate::ground::apart;
use crate::ground::inputs::Inputs;
use crate::ground::sandbox::{self, Overlay};

/// The folder that the kernel needs beside the upper one.
const WORK: &str = "work";

/// Minimum number of entries of inputs that are worth a base: to mount an overlay and
/// to look for a base costs as much as to copy some hundred small files.
const MIN_ENTRIES: usize = 400;

/// Maximum number of differences from a base, beyond which another one is made, as a
/// part of its entries: to copy differences for each command costs more and more.
const MAX_DIFFERENCES: usize = 16;

/// The tree of a base.
const LISTING: &str = "listing";

/// Inputs that are to be staged over a base.
pub(crate) struct Over {
    found: Found,
    tree: Tree,
}

/// A base, and how a tree differs from it.
struct Found {
    base: Base,
    /// What the base holds and the command must not see.
    removed: Vec<String>,
    /// What it lacks, or holds with another content.
    different: Vec<TreeEntry>,
}

impl From<Base> for Found {
    fn from(base: Base) -> Self {
        Self {
            base,
            removed: Vec::new(),
            different: Vec::new(),
        }
    }
}

impl Over {
    /// Finds or makes a base for `inputs`; `None`: they are staged at a lower cost, or
    /// must be, without one. `task` names the base that the task used last.
    pub(crate) fn of(
        cas: &Cas,
        task: &str,
        layout: &Layout,
        inputs: &Inputs,
        outputs: &[DeclaredOutput],
        writable: &[String],
    ) -> Result<Option<Self>, RunError> {
        let tree = stage::tree(layout, inputs);
        if tree.entries.len() < MIN_ENTRIES || cas.refuses_overlays() {
            return Ok(None);
        }
        // Outputs are read from the upper folder alone.
        if outputs
            .iter()
            .any(|output| overlaps(&tree, &layout.below_top(&output.path)))
        {
            return Ok(None);
        }
        let writable: Vec<String> = writable.iter().map(|path| layout.below_top(path)).collect();
        let is_writable = |path: &str| {
            let mut folders = writable.iter();
            folders.any(|folder| folder.is_empty() || Path::new(path).starts_with(folder))
        };
        let (copied, lower): (Vec<_>, Option<Tree>) = match writable.is_empty() {
            true => (Vec::new(), None),
            false => {
                let all = tree.entries.iter().cloned();
                let (copied, entries) = all.partition(|entry| is_writable(&entry.path));
                (copied, Some(Tree { entries }))
            }
        };
        let lower = lower.as_ref().unwrap_or(&tree);
        if lower.entries.len() < MIN_ENTRIES {
            return Ok(None);
        }
        let found = match Self::near(cas, task, lower)? {
            Some(found) => Some(found),
            None => made(cas, lower, inputs, layout)?.map(Found::from),
        };
        Ok(found.map(|mut found| {
            cas.note_base(task, found.base.name());
            found.different.extend(copied);
            found
                .different
                .sort_by(|one, other| one.path.cmp(&other.path));
            Self { found, tree }
        }))
    }

    /// The base with this tree, or the one that the task used last, with its differences
    /// unless they are many.
    fn near(cas: &Cas, task: &str, lower: &Tree) -> Result<Option<Found>, RunError> {
        if let Some(base) = cas.base(&name(lower))? {
            return Ok(Some(base.into()));
        }
        let Some(base) = cas.last_base(task)? else {
            return Ok(None);
        };
        let listing = fs::read(base.path().join(LISTING)).ok();
        let Some(held) = listing.and_then(|bytes| Tree::decode(&bytes).ok()) else {
            return Ok(None);
        };
        let (removed, different) = difference(&held, lower);
        let count = removed.len() + different.len();
        let few = count <= lower.entries.len() / MAX_DIFFERENCES;
        Ok(few.then_some(Found {
            base,
            removed,
            different,
        }))
    }

    /// Fills the folder `stage`, whose part [`ROOT`] becomes the upper folder;
    /// returns the working directory of the command.
    pub(crate) fn prepare(
        &self,
        stage: &Path,
        layout: &Layout,
        inputs: &Inputs,
        outputs: &[DeclaredOutput],
        workdir: &str,
    ) -> Result<PathBuf, RunError> {
        let work = stage.join(WORK);
        fs::create_dir(&work).map_err(at(&work))?;
        let top = layout.top();
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        let paths = self.found.different.iter().map(|entry| entry.path.as_str());
        for path in paths.chain(self.found.removed.iter().map(String::as_str)) {
            let above = path.match_indices('/').map(|(end, _)| &path[..end]);
            folders.extend(above);
        }
        let made = self
            .found
            .different
            .iter()
            .filter(|entry| entry.kind == TreeKind::Directory);
        folders.extend(made.map(|entry| entry.path.as_str()));
        for folder in &folders {
            make_parents(top, &format!("{folder}/x"))?;
        }
        self.found.different.par_iter().try_for_each(|entry| {
            let path = layout.below_own(&entry.path);
            match inputs.tree.get(&path) {
                Some(node @ (InputNode::File(_) | InputNode::Link(_))) => {
                    stage::put(inputs, &path, node, layout)?;
                    stage::fix_time(&top.join(&entry.path))
                }
                _ => Ok(()),
            }
        })?;
        for path in &self.found.removed {
            hide(&top.join(path))?;
        }
        let cwd = stage::places(layout, outputs, workdir)?;
        if !apart::has_usual_umask() {
            stage::open_folders(stage)?;
        }
        self.fix_folders(layout, &folders, outputs, workdir)?;
        Ok(cwd)
    }

    /// Gives the folders of the upper folder that are inputs the fixed time: they hide
    /// those below.
    fn fix_folders(
        &self,
        layout: &Layout,
        folders: &BTreeSet<&str>,
        outputs: &[DeclaredOutput],
        workdir: &str,
    ) -> Result<(), RunError> {
        let own = outputs.iter().map(|output| layout.below_top(&output.path));
        let own: Vec<String> = own.chain([layout.below_top(workdir)]).collect();
        let mut made: BTreeSet<&str> = folders.clone();
        for path in &own {
            made.insert(path);
            made.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
        }
        for folder in made {
            let entries = &self.tree.entries;
            let place = entries.binary_search_by(|entry| entry.path.as_str().cmp(folder));
            if place.is_ok_and(|place| entries[place].kind == TreeKind::Directory) {
                stage::fix_time(&layout.top().join(folder))?;
            }
        }
        stage::fix_time(layout.top())
    }

    /// What the root of the command shows as its workspace.
    pub(crate) fn overlay(&self, stage: &Stage) -> Overlay {
        Overlay {
            lower: vec![self.found.base.path().join(ROOT)],
            upper: stage.path().join(ROOT),
            work: stage.path().join(WORK),
            to: sandbox::WORK.into(),
        }
    }
}

/// Whether an input is at `path`, in it, or a file above it.
fn overlaps(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let entries = &tree.entries;
    let found = |path: &str| entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
    let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
    let below = format!("{path}/");
    let next = found(&below).unwrap_or_else(|place| place);
    found(path).is_ok()
        || entries
            .get(next)
            .is_some_and(|entry| entry.path.starts_with(&below))
        || above.any(|folder| {
            found(folder).is_ok_and(|place| entries[place].kind != TreeKind::Directory)
        })
}

/// The name of the base with this tree.
fn name(tree: &Tree) -> String {
    blake3::hash(&tree.encode()).to_hex().to_string()
}

/// What is only in `held`, without what is in such a folder; and what `wanted` has
/// otherwise or alone.
fn difference(held: &Tree, wanted: &Tree) -> (Vec<String>, Vec<TreeEntry>) {
    let (mut removed, mut different) = (BTreeSet::new(), Vec::new());
    let mut old = held.entries.iter().peekable();
    let mut gone = |entry: &TreeEntry| {
        let mut above = entry
            .path
            .match_indices('/')
            .map(|(end, _)| &entry.path[..end]);
        if !above.any(|folder| removed.contains(folder)) {
            removed.insert(entry.path.clone());
        }
    };
    for entry in &wanted.entries {
        while let Some(before) = old.next_if(|old| old.path < entry.path) {
            gone(before);
        }
        match old.next_if(|old| old.path == entry.path) {
            Some(before) if before.kind == entry.kind => {}
            _ => different.push(entry.clone()),
        }
    }
    old.for_each(gone);
    // What replaces a folder hides what was in it.
    removed.retain(|path| {
        let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
        !above.any(|folder| {
            let place = wanted
                .entries
                .binary_search_by(|entry| entry.path.as_str().cmp(folder));
            place.is_ok_and(|place| wanted.entries[place].kind != TreeKind::Directory)
        })
    });
    (removed.into_iter().collect(), different)
}

/// Makes the base with the tree `lower`.
fn made(
    cas: &Cas,
    lower: &Tree,
    inputs: &Inputs,
    layout: &Layout,
) -> Result<Option<Base>, RunError> {
    let encoded = lower.encode();
    let base = cas.make_base(&name(lower), |folder| {
        let root = folder.join(ROOT);
        fs::create_dir(&root).map_err(at(&root))?;
        for entry in &lower.entries {
            if entry.kind == TreeKind::Directory {
                let path = root.join(&entry.path);
                fs::create_dir(&path).map_err(at(&path))?;
            }
        }
        lower.entries.par_iter().try_for_each(|entry| {
            let path = layout.below_own(&entry.path);
            match inputs.tree.get(&path) {
                Some(node @ (InputNode::File(_) | InputNode::Link(_))) => {
                    stage::put_at(inputs, &path, node, &entry.path, &root.join(&entry.path))
                }
                _ => Ok(()),
            }
        })?;
        if !apart::has_usual_umask() {
            stage::open_folders(&root)?;
        }
        lower
            .entries
            .par_iter()
            .try_for_each(|entry| stage::fix_time(&root.join(&entry.path)))?;
        stage::fix_time(&root)?;
        crate::disk::write_hint(&folder.join(LISTING), &encoded)?;
        Ok::<(), RunError>(())
    })?;
    Ok(base)
}

/// Hides what is at `path` in a lower folder.
fn hide(path: &Path) -> Result<(), RunError> {
    let made = mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0);
    Ok(made.map_err(io::Error::from).map_err(at(path))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    /// `name/` is a folder, `name=x` a file with that content.
    fn tree(entries: &[&str]) -> Tree {
        let entry = |text: &&str| match text.split_once('=') {
            Some((path, content)) => TreeEntry {
                path: path.to_owned(),
                kind: TreeKind::File {
                    digest: Digest::of(content.as_bytes()),
                    size: 1,
                    executable: false,
                },
            },
            None => TreeEntry {
                path: text.trim_end_matches('/').to_owned(),
                kind: TreeKind::Directory,
            },
        };
        let mut entries: Vec<TreeEntry> = entries.iter().map(entry).collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Tree { entries }
    }

    #[test]
    fn differences_name_each_removed_folder_once_and_nothing_below_what_replaces_it() {
        let held = tree(&[
            "a/", "a.txt=1", "a/b=1", "a/c=1", "d/", "d/e=1", "f=1", "k/", "k/l=1",
        ]);
        for (wanted, removed, different) in [
            (held.clone(), vec![], vec![]),
            (
                tree(&["f=1", "k/", "k/l=1"]),
                vec!["a", "a.txt", "d"],
                vec![],
            ),
            (
                tree(&[
                    "a/", "a.txt=1", "a/c=2", "d=1", "f/", "f/g=1", "k/", "k/l=1",
                ]),
                vec!["a/b"],
                vec!["a/c", "d", "f", "f/g"],
            ),
            (tree(&[]), vec!["a", "a.txt", "d", "f", "k"], vec![]),
        ] {
            let found = difference(&held, &wanted);
            let paths: Vec<&str> = found.1.iter().map(|entry| entry.path.as_str()).collect();
            assert_eq!(
                (found.0.as_slice(), paths),
                (
                    removed
                        .iter()
                        .map(|s| (*s).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                    different
                )
            );
        }
    }

    #[test]
    fn an_output_overlaps_with_inputs_at_in_and_above_it() {
        let inputs = tree(&["a/", "a.txt=1", "a/b=1", "c=1"]);
        for (path, expected) in [
            ("a", true),
            ("a/b", true),
            ("a/b/c", true),
            ("a/c", false),
            ("c/d/", true),
            ("d/", false),
            ("a.t", false),
        ] {
            assert_eq!(overlaps(&inputs, path), expected, "{path}");
        }
    }
}
