//! The content of a toolchain's folder: digested once, and then compared by the metadata
//! of its files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::closure::Tree;
use super::elf;
use super::memory::{self, Memory, Walked, now};
use crate::disk::look;
use crate::ground::{Failure, of_io};
use crate::oci::Digest;
use crate::workspace::Stat;

/// An error about the file at `path`.
fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| {
        let message = format!("cannot read `{}` of a toolchain: {error}", path.display());
        Failure::new(of_io(&error), message)
    }
}

/// Something in a tree.
struct Found {
    path: PathBuf,
    stat: Stat,
    kind: fs::FileType,
}

/// The parts of the folder `root`, without folders called as in `skipped`; no parts: all
/// of it.
pub(super) fn read(
    memory: &Memory,
    root: &Path,
    parts: &[String],
    skipped: &[&str],
) -> Result<Tree, Failure> {
    // One at a time: they read the same files.
    let _alone = memory.alone();
    let started = now();
    let name = format!("{}\n{}", root.display(), parts.join("\n"));
    if let Some(tree) = unchanged(memory, &name) {
        return Ok(tree);
    }
    let mut found = Vec::new();
    match parts {
        [] => walk(root, skipped, &mut found)?,
        parts => {
            for part in parts {
                walk(&root.join(part), skipped, &mut found)?;
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let seen = seen(&found);
    let known = memory.hold().facts().trees.get(&name).cloned();
    let tree = match known.filter(|known| known.seen == seen) {
        Some(known) => known,
        None => digest(root, &found, seen)?,
    };
    let settled = |found: &Found| found.stat.is_settled(started);
    let mut held = memory.hold();
    let facts = held.facts();
    if facts.trees.get(&name) != Some(&tree) && found.iter().all(settled) {
        facts.trees.insert(name.clone(), tree.clone());
        facts.changed = true;
    }
    let folders = found.iter().filter(|found| found.kind.is_dir());
    let folders = folders.map(|found| (found.path.clone(), found.stat));
    let walked = Walked {
        tree: tree.clone(),
        folders: folders.collect(),
        at: facts.round,
    };
    facts.walked.insert(name, walked);
    Ok(tree)
}

/// The tree if it was walked in this run, and no file in it was replaced since: a new
/// file changes its folder.
fn unchanged(memory: &Memory, name: &str) -> Option<Tree> {
    let mut held = memory.hold();
    let facts = held.facts();
    let round = facts.round;
    let walked = facts.walked.get_mut(name)?;
    if walked.at != round {
        let mut folders = walked.folders.iter();
        let same = folders.all(|(path, seen)| memory::seen(path) == Some(*seen));
        if !same {
            return None;
        }
        walked.at = round;
    } else {
        look::note_all(walked.folders.iter().map(|(path, _)| path), true);
    }
    Some(walked.tree.clone())
}

fn walk(path: &Path, skipped: &[&str], found: &mut Vec<Found>) -> Result<(), Failure> {
    let facts = look::symlink_metadata(path).map_err(at(path))?;
    let mut open = vec![Found {
        path: path.to_owned(),
        stat: Stat::of(&facts),
        kind: facts.file_type(),
    }];
    while let Some(next) = open.pop() {
        if next.kind.is_dir() {
            let entries = look::read_dir(&next.path).map_err(at(&next.path))?;
            for entry in entries {
                let entry = entry.map_err(at(&next.path))?;
                let name = entry.file_name();
                if skipped.iter().any(|skipped| name == *skipped) {
                    continue;
                }
                let path = entry.path();
                let facts = entry.metadata().map_err(at(&path))?;
                open.push(Found {
                    path,
                    stat: Stat::of(&facts),
                    kind: facts.file_type(),
                });
            }
        }
        look::note(&next.path, true);
        found.push(next);
    }
    Ok(())
}

/// The metadata of all files and links; those of folders change with what is skipped.
fn seen(found: &[Found]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for each in found.iter().filter(|found| !found.kind.is_dir()) {
        hasher.update(each.path.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(&each.stat.bytes());
    }
    Digest::of(hasher.finalize().as_bytes())
}

fn digest(root: &Path, found: &[Found], seen: Digest) -> Result<Tree, Failure> {
    let one = |found: &Found| -> Result<(Vec<u8>, Vec<PathBuf>), io::Error> {
        let below = found.path.strip_prefix(root).unwrap_or(&found.path);
        let mut line = below.as_os_str().as_encoded_bytes().to_vec();
        let mut libraries = Vec::new();
        if found.kind.is_dir() {
            line.extend(b"\0d");
        } else if found.kind.is_symlink() {
            line.extend(b"\0l");
            line.extend(look::read_link(&found.path)?.as_os_str().as_encoded_bytes());
        } else if found.kind.is_file() {
            let executable = found.stat.mode & 0o111 != 0;
            line.extend(if executable { b"\0x" } else { b"\0f" });
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(look::open(&found.path)?)?;
            line.extend(hasher.finalize().as_bytes());
            if executable || found.path.to_string_lossy().contains(".so") {
                libraries = elf::read(&found.path).files(&found.path);
                libraries.retain(|library| {
                    let real = look::canonicalize(library);
                    real.is_ok_and(|real| !real.starts_with(root))
                });
            }
        }
        line.push(b'\n');
        Ok((line, libraries))
    };
    let lines: Vec<_> = found
        .par_iter()
        .map(|found| one(found).map_err(at(&found.path)))
        .collect::<Result<_, _>>()?;
    let mut hasher = blake3::Hasher::new();
    let mut libraries = BTreeSet::new();
    for (line, more) in lines {
        hasher.update(&line);
        libraries.extend(more);
    }
    Ok(Tree {
        digest: Digest::of(hasher.finalize().as_bytes()),
        libraries: libraries.into_iter().collect(),
        seen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_identified_by_its_content_and_notices_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("bin/tool", "x");
        put("lib/a.py", "one");
        put("share/doc", "text");
        let memory = Memory::new(folder.path().join("memory"));
        let parts = ["bin".to_owned(), "lib".to_owned()];
        let read = |memory: &Memory| {
            memory.hold().facts().round += 1;
            read(memory, &root, &parts, &["__pycache__"])
                .unwrap()
                .digest
        };
        let first = read(&memory);
        put("share/doc", "other");
        put("lib/__pycache__/a.pyc", "compiled");
        assert_eq!(read(&memory), first, "not among the parts, or skipped");
        put("lib/b.py", "two");
        let second = read(&memory);
        assert_ne!(second, first, "a new file");
        fs::remove_file(root.join("lib/b.py")).unwrap();
        assert_eq!(read(&memory), first);
        // In place: the folder says nothing, so that another run finds it.
        put("lib/a.py", "two");
        let other = Memory::new(folder.path().join("memory"));
        assert_ne!(read(&other), first, "other content");
    }
}
