//! Delivers a task's outputs to the workspace, and records what was delivered.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::RunWork;
use super::command::{Placing, Wanted};
use crate::action::Output;
use crate::cas::tree::{Tree, TreeEntry, TreeKind};
use crate::disk;
use crate::ground::Failure;
use crate::ground::site::Site;
use crate::workspace::{self, Entry, Stat};

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
    let tracked = OnceCell::new();
    let tracked = |path: &str| {
        let list = || -> BTreeSet<String> {
            let all = workspace::tracked(&work.folder);
            all.unwrap_or_default().into_iter().collect()
        };
        tracked.get_or_init(list).contains(path)
    };
    let placing = Placing {
        cas: &site.cas,
        root: &work.folder,
        same: &|path, there, entry| same(site, path, there, entry),
        placed: &|path| {
            let bytes = fs::read(note(site, &work.folder, path)).ok()?;
            Tree::decode(&bytes).ok()
        },
        tracked: &tracked,
        clean: site.options.clean_outputs,
    };
    let repaired = placing.all(&wanted)?;
    for Wanted { path, tree } in wanted {
        let note = note(site, &work.folder, path);
        // Without this record, the file is never removed again.
        match tree {
            Some(tree) if repaired > 0 || !note.exists() => {
                drop(disk::write_hint(&note, &tree.encode()));
            }
            None if note.exists() => drop(fs::remove_file(&note)),
            _ => {}
        }
    }
    Ok(())
}

/// The record of what was last placed at `path`.
fn note(site: &Site, folder: &Path, path: &str) -> PathBuf {
    let name = blake3::hash(folder.join(path).as_os_str().as_encoded_bytes());
    site.cas.root().join("placed").join(name.to_hex().as_str())
}

/// Whether the file at `path` has the entry's bytes.
fn same(site: &Site, path: &Path, there: &fs::Metadata, expected: &TreeEntry) -> bool {
    let TreeKind::File { digest, .. } = &expected.kind else {
        return false;
    };
    let entry = Entry {
        path: path.to_string_lossy().into_owned(),
        kind: workspace::Kind::File { executable: false },
        stat: Stat::of(there),
    };
    site.digests(Path::new("/"), &[&entry])
        .is_ok_and(|found| found.first() == Some(digest))
}
