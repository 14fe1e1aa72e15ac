//! The folder that a command runs in: a new stage, or one that is kept between runs and
//! brought up to date.
//!
//! A kept folder is compared as it is, not as it was left: what a command did to its
//! inputs is undone. What differs gets the present time, as tools that compare times
//! expect; nothing in it has the fixed time of staged files.

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;

use super::over::Over;
use super::stage::{self, HOME, Layout, MADE_ON, ROOT, SECRETS, TEMPORARY};
use super::{DeclaredOutput, RunError};
use crate::action::InputNode;
use crate::cas::tree::{Tree, TreeEntry, TreeKind};
use crate::cas::{Cas, Kept, Stage};
use crate::disk::{self, Enclosure, at};
use crate::ground::inputs::Inputs;
use crate::ground::sandbox::Overlay;
use crate::kinds::run::KeptPaths;
use crate::kinds::run::caches::{self, Open, Store};
use crate::workspace::{Stat, StatCache};

/// The part of a kept folder that the command may change.
const STAGE: &str = "stage";

/// The file with the inputs that were staged last.
const STAGED: &str = "staged";

/// The file with the digests of staged files.
const STATS: &str = "stats";

/// A kept folder and what it must belong to.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    pub name: String,
    pub identity: String,
    pub paths: KeptPaths,
    /// Whether it is kept after a failure of the command.
    pub recovers: bool,
    /// Start from nothing.
    pub clean: bool,
}

/// How the inputs of a task are staged.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    /// Names the base that it used last.
    pub task: String,
    /// Inputs, relative to its folder, that it may rename.
    pub writable: Vec<String>,
}

/// The folders of one command.
pub(crate) struct Room {
    own: Own,
    stores: Vec<(Store, Option<Open>)>,
}

/// How a command left its folders.
#[derive(Clone, Copy)]
pub(crate) struct After {
    pub succeeded: bool,
    /// Nothing else has the folders open, and another command may get them.
    pub alone: bool,
}

/// The folder with its inputs.
enum Own {
    New(Stage),
    /// Over a base.
    Over(Stage, Over),
    Kept(Kept, Keep),
}

impl Room {
    /// A kept folder, unless nothing is kept or another process uses it; and `stores`.
    pub(crate) fn of(cas: &Cas, keep: Option<Keep>, stores: Vec<Store>) -> Result<Self, RunError> {
        let kept = match keep {
            None => None,
            Some(keep) => {
                if keep.clean {
                    cas.forget_kept(&keep.name)?;
                }
                let kept = cas.kept(&keep.name, &keep.identity)?;
                kept.map(|kept| Own::Kept(kept, keep))
            }
        };
        let own = match kept {
            Some(kept) => kept,
            None => Own::New(cas.stage_with(&stage::PARTS)?),
        };
        let open = |store: Store| Ok((store.clone(), Open::new(cas, store)?));
        let stores = stores.into_iter().map(open);
        Ok(Self {
            own,
            stores: stores.collect::<Result<_, RunError>>()?,
        })
    }

    /// The folder with its inputs.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.own {
            Own::New(stage) | Own::Over(stage, _) => stage.path().to_owned(),
            Own::Kept(kept, _) => kept.path().join(STAGE),
        }
    }

    /// The folders that the command may change.
    pub(crate) fn writable(&self) -> Vec<PathBuf> {
        // Not the folder with them: it could replace them by links.
        let stage = self.path();
        let own = [ROOT, HOME, TEMPORARY].map(|name| stage.join(name));
        let stores = self.store_folders().map(|(folder, _)| folder);
        own.into_iter().chain(stores).collect()
    }

    /// The folders of stores, each with its place in the home of the command.
    pub(crate) fn store_folders(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let open = self.stores.iter().filter_map(|(_, open)| open.as_ref());
        open.flat_map(Open::folders)
    }

    /// Variables that name stores, each with its place in the home.
    pub(crate) fn store_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self
            .stores
            .iter()
            .filter_map(|(store, _)| store.variable.as_ref());
        variables.map(|(name, folder)| (name.as_str(), folder.as_str()))
    }

    /// Makes places for the stores in the home of a command: folders, or links for one
    /// that has no root.
    pub(crate) fn place_stores(&self, linked: bool) -> Result<(), RunError> {
        let home = self.path().join(HOME);
        let mut open = self.stores.iter().filter_map(|(_, open)| open.as_ref());
        Ok(open.try_for_each(|open| caches::place(open, &home, linked))?)
    }

    /// Stages the inputs; returns the working directory of the command.
    pub(crate) fn prepare(
        &self,
        layout: &Layout,
        inputs: &Inputs,
        outputs: &[DeclaredOutput],
        workdir: &str,
    ) -> Result<PathBuf, RunError> {
        match &self.own {
            Own::New(stage) => stage::prepare(stage.path(), layout, inputs, outputs, workdir),
            Own::Over(stage, over) => over.prepare(stage.path(), layout, inputs, outputs, workdir),
            Own::Kept(kept, keep) => {
                update(kept.path(), &keep.paths, layout, inputs)?;
                stage::places(layout, outputs, workdir)
            }
        }
    }

    /// Stages the inputs over a base, if that costs less. Before
    /// [`prepare`](Self::prepare).
    pub(crate) fn over(
        self,
        cas: &Cas,
        staging: &Staging,
        layout: &Layout,
        inputs: &Inputs,
        outputs: &[DeclaredOutput],
    ) -> Result<Self, RunError> {
        let Own::New(stage) = self.own else {
            return Ok(self);
        };
        let Staging { task, writable } = staging;
        let own = match Over::of(cas, task, layout, inputs, outputs, writable)? {
            Some(over) => Own::Over(stage, over),
            None => Own::New(stage),
        };
        Ok(Self { own, ..self })
    }

    /// What the command sees as its workspace, if that is not [`ROOT`].
    pub(crate) fn overlay(&self) -> Option<Overlay> {
        match &self.own {
            Own::Over(stage, over) => Some(over.overlay(stage)),
            Own::New(_) | Own::Kept(..) => None,
        }
    }

    /// Whether it holds what an earlier run left.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.own, Own::Kept(..))
    }

    /// Whether what is at `path`, relative to the command's folder, is kept.
    pub(crate) fn keeps(&self, path: &str) -> bool {
        match &self.own {
            Own::New(_) | Own::Over(..) => false,
            Own::Kept(_, keep) => match &keep.paths {
                KeptPaths::All => true,
                KeptPaths::Some(paths) => {
                    let mut paths = paths.iter();
                    paths.any(|kept| Path::new(path).starts_with(kept))
                }
            },
        }
    }

    /// Keeps the folder as it is under `name`, for the user to look at; returns where.
    pub(crate) fn preserve(self, cas: &Cas, name: &str) -> Result<PathBuf, RunError> {
        cas.forget_kept(name)?;
        let Some(kept) = cas.kept(name, name)? else {
            return Err(RunError::BrokenOff);
        };
        let to = kept.path().join(STAGE);
        // It may hold secrets.
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(kept.path(), private).map_err(at(&to))?;
        fs::rename(self.path(), &to).map_err(at(&to))?;
        kept.keep()?;
        Ok(to)
    }

    /// Keeps what is for the next run, and removes the rest, once the command has ended.
    pub(crate) fn settle(self, cas: &Cas, after: After) -> Result<(), RunError> {
        // Tools check what they find in their stores, or write it in one step.
        for (_, open) in self.stores {
            if let Some(open) = open {
                open.settle(cas)?;
            }
        }
        match self.own {
            Own::Kept(kept, keep) if after.succeeded || keep.recovers => Ok(kept.keep()?),
            Own::New(stage) if after.alone => {
                cas.give_back(stage);
                Ok(())
            }
            Own::New(_) | Own::Kept(..) | Own::Over(..) => Ok(()),
        }
    }
}

/// Brings the folder up to date.
fn update(
    folder: &Path,
    kept: &KeptPaths,
    layout: &Layout,
    inputs: &Inputs,
) -> Result<(), RunError> {
    let stage = folder.join(STAGE);
    fs::create_dir_all(&stage).map_err(at(&stage))?;
    for name in [TEMPORARY, MADE_ON, SECRETS] {
        disk::remove(&stage.join(name)).map_err(at(&stage))?;
    }
    for name in stage::PARTS {
        let path = stage.join(name);
        if !there(&path)?.is_some_and(|there| there.is_dir()) {
            disk::remove(&path).map_err(at(&path))?;
            fs::create_dir(&path).map_err(at(&path))?;
        }
        usual_mode(&path)?;
    }
    usual_mode(&stage)?;
    let tree = stage::tree(layout, inputs);
    let wanted: HashSet<&str> = tree
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    let staged = folder.join(STAGED);
    let before = fs::read(&staged)
        .ok()
        .and_then(|bytes| Tree::decode(&bytes).ok());
    // Folders after what is in them.
    for entry in before.unwrap_or_default().entries.iter().rev() {
        if !wanted.contains(entry.path.as_str()) {
            remove_staged(layout.top(), entry)?;
        }
    }
    if let KeptPaths::Some(paths) = kept {
        let (home, work): (Vec<&String>, Vec<&String>) =
            paths.iter().partition(|path| path.starts_with("~/"));
        let work: Vec<String> = work.iter().map(|path| layout.below_top(path)).collect();
        clear(layout.top(), &wanted, &work)?;
        let home: Vec<String> = home.iter().map(|path| path[2..].to_owned()).collect();
        clear(&stage.join(HOME), &HashSet::new(), &home)?;
    }
    let mut stats = StatCache::load(&folder.join(STATS));
    let wrong = differences(layout.top(), &tree, &mut stats)?;
    wrong.par_iter().try_for_each(|entry| {
        let full = layout.top().join(&entry.path);
        disk::remove(&full).map_err(at(&full))?;
        let path = layout.below_own(&entry.path);
        match inputs.tree.get(&path) {
            Some(node @ (InputNode::File(_) | InputNode::Link(_))) => {
                stage::put(inputs, &path, node, layout)
            }
            _ => Ok(()),
        }
    })?;
    // Without it, the files are read again.
    let _ = stats.save();
    disk::write_hint(&staged, &tree.encode())?;
    Ok(())
}

/// The files and links that are not as `tree` has them. Makes its folders, each before
/// anything in it is looked at: what a command left may be a link that leads elsewhere.
fn differences<'t>(
    top: &Path,
    tree: &'t Tree,
    stats: &mut StatCache,
) -> Result<Vec<&'t TreeEntry>, RunError> {
    let (mut wrong, mut files, mut facts) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &tree.entries {
        let full = top.join(&entry.path);
        let there = there(&full)?;
        match (&entry.kind, there) {
            (TreeKind::Directory, Some(there)) if there.is_dir() => {
                if there.mode() & 0o7777 != 0o755 {
                    usual_mode(&full)?;
                }
            }
            (TreeKind::Directory, _) => {
                disk::remove(&full).map_err(at(&full))?;
                fs::create_dir(&full).map_err(at(&full))?;
                usual_mode(&full)?;
            }
            (TreeKind::Symlink { target }, Some(there))
                if there.is_symlink()
                    && fs::read_link(&full).is_ok_and(|found| found == Path::new(target)) => {}
            // A file with another name may be written to under that one.
            (TreeKind::File { size, .. }, Some(there))
                if there.is_file() && there.len() == *size && there.nlink() == 1 =>
            {
                files.push((entry.path.as_str(), Stat::of(&there)));
                facts.push((entry, there.mode() & 0o7777));
            }
            _ => wrong.push(entry),
        }
    }
    let found = stats.digest(top, &files, true).map_err(at(top))?;
    for ((entry, mode), found) in facts.into_iter().zip(found) {
        match &entry.kind {
            TreeKind::File {
                digest, executable, ..
            } if found.sha256 == Some(*digest) => {
                let usual = if *executable { 0o755 } else { 0o644 };
                if mode != usual {
                    let full = top.join(&entry.path);
                    let usual = fs::Permissions::from_mode(usual);
                    fs::set_permissions(&full, usual).map_err(at(&full))?;
                }
            }
            _ => wrong.push(entry),
        }
    }
    Ok(wrong)
}

fn there(path: &Path) -> Result<Option<fs::Metadata>, RunError> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error).into()),
    }
}

/// Gives a folder the mode that it has under the usual umask; it is no link to one.
fn usual_mode(folder: &Path) -> Result<(), RunError> {
    let open = Enclosure::open(folder).map_err(at(folder))?;
    Ok(open.set_mode(0o755).map_err(at(folder))?)
}

/// Removes an input that is none any more; of a folder, what the command made in it
/// stays.
fn remove_staged(top: &Path, entry: &TreeEntry) -> Result<(), RunError> {
    let mut above = top.to_owned();
    let mut names = entry.path.split('/').peekable();
    while let (Some(name), Some(_)) = (names.next(), names.peek()) {
        above.push(name);
        // Nothing of what was staged is behind a link.
        if !there(&above)?.is_some_and(|there| there.is_dir()) {
            return Ok(());
        }
    }
    let full = top.join(&entry.path);
    if entry.kind == TreeKind::Directory {
        // It is not empty, or is none.
        let _ = fs::remove_dir(&full);
        return Ok(());
    }
    Ok(disk::remove(&full).map_err(at(&full))?)
}

/// Removes what is in `top` and neither `wanted` nor `kept`.
fn clear(top: &Path, wanted: &HashSet<&str>, kept: &[String]) -> Result<(), RunError> {
    let leads_to_kept = |path: &str| kept.iter().any(|kept| Path::new(kept).starts_with(path));
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        let full = top.join(&folder);
        for entry in fs::read_dir(&full).map_err(at(&full))? {
            let entry = entry.map_err(at(&full))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = match folder.as_str() {
                "" => name.into_owned(),
                folder => format!("{folder}/{name}"),
            };
            if kept.contains(&path) {
                continue;
            }
            let full = entry.path();
            let on_the_way = wanted.contains(path.as_str()) || leads_to_kept(&path);
            if !on_the_way {
                disk::remove(&full).map_err(at(&full))?;
            } else if entry.file_type().map_err(at(&full))?.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(())
}
