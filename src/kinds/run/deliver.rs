//! Delivers a task's outputs to the workspace, and records what was delivered.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::RunWork;
use super::command::{Placing, Wanted};
use crate::action::Output;
use crate::cas::tree::Tree;
use crate::disk::{self, look};
use crate::ground::generated::{listed, note, placed, same, undeclared};
use crate::ground::site::Site;
use crate::ground::{Class, Failure, Withdrawal};
use crate::workspace::{self, UnreadIndex};

/// Makes the workspace hold the declared outputs as recorded, no more and no less.
/// For correct outputs, it only calls `stat`.
pub(super) fn deliver(
    site: &Site,
    work: &RunWork,
    outputs: &[Output],
    trees: &[Tree],
) -> Result<(), Failure> {
    let wanted = work.outputs.iter().map(|declared| {
        let mut found = outputs.iter().zip(trees);
        let found = found.find(|(output, _)| output.name == declared.path);
        Wanted {
            path: &declared.path,
            tree: found.map(|(_, tree)| tree),
        }
    });
    let wanted: Vec<Wanted<'_>> = wanted.collect();
    let list = OnceCell::new();
    // If it cannot be known, nothing is removed that Git might track.
    let tracked = |path: &str| match list.get_or_init(|| workspace::tracked_files(&work.folder)) {
        Ok(list) => list.contains(path),
        Err(_) => site.options.clean_outputs,
    };
    let place = || placing(site, &work.folder, &tracked, |placing| placing.all(&wanted));
    let repaired = look::placing(place)?;
    if site.cas.is_read_only() {
        return Ok(());
    }
    for Wanted { path, tree } in wanted {
        let note = note(&site.cas, &work.folder, path);
        // Without this record, the file is never removed again.
        match tree {
            Some(tree) if repaired > 0 || !note.exists() => {
                drop(disk::write_hint(&note, &tree.encode()));
            }
            None if note.exists() => drop(fs::remove_file(&note)),
            _ => {}
        }
        let listed = listed(&site.cas, &work.folder, path);
        if tree.is_some() && !listed.exists() {
            drop(disk::write_hint(&listed, path.as_bytes()));
        }
    }
    Ok(())
}

/// Takes back what results put at the declared outputs; if everything is cleaned, also
/// what they put at paths that no task declares any more.
pub(super) fn withdraw(
    site: &Site,
    work: &RunWork,
    withdrawal: &mut Withdrawal,
) -> Result<(), Failure> {
    let folder = &work.folder;
    let tracked = withdrawal.tracked(folder).map_err(unread)?;
    let mut paths: BTreeSet<String> = work
        .outputs
        .iter()
        .map(|output| output.path.clone())
        .collect();
    if withdrawal.whole && withdrawal.is_first(folder) {
        paths.extend(undeclared(&site.cas, folder, &work.generated.paths));
    }
    for path in paths {
        let Some(tree) = placed(&site.cas, folder, &path) else {
            continue;
        };
        let left = withdrawal.left();
        placing(site, folder, &|path| tracked.contains(path), |placing| {
            placing.withdraw(&path, &tree, withdrawal)
        })?;
        if withdrawal.left() == left {
            withdrawal.forget(&note(&site.cas, folder, &path));
            withdrawal.forget(&listed(&site.cas, folder, &path));
        }
    }
    Ok(())
}

fn unread(error: UnreadIndex) -> Failure {
    Failure::caused_by(Class::Environment, &error)
}

/// How outputs are put into `folder`, and taken from it.
fn placing<R>(
    site: &Site,
    folder: &Path,
    tracked: &dyn Fn(&str) -> bool,
    with: impl FnOnce(&Placing<'_>) -> R,
) -> R {
    with(&Placing {
        cas: &site.cas,
        root: folder,
        same: &|path, there, entry| same(&|entry| site.digest(entry), path, there, entry),
        placed: &|path| placed(&site.cas, folder, path),
        tracked,
        clean: site.options.clean_outputs,
    })
}
