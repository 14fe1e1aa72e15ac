//! What a folder of the checkout holds, for patterns to choose from.
//!
//! That is what `.gitignore` does not name, and what Git tracks all the same. What
//! cannot be an input is kept apart: it is an error only for a pattern that selects
//! it.

use std::collections::BTreeSet;
use std::path::Path;

use super::git::checkout;
use super::index::tracked;
use super::walk::{Entry, Kind, WalkError, Walked, entry_at, walk};
use crate::disk::look;

/// The content of one folder, at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Sockets, pipes, unreadable folders and names that are not UTF-8.
    pub odd: Vec<Odd>,
    /// Files that Git tracks although `.gitignore` names them.
    pub tracked_ignored: BTreeSet<String>,
    /// Folders that `.gitignore` names and that are here for tracked files alone.
    pub partial: BTreeSet<String>,
}

/// Something that cannot be an input.
#[derive(Debug)]
pub struct Odd {
    /// Relative to the folder; what is not UTF-8 is replaced.
    pub path: String,
    pub why: WalkError,
}

impl Snapshot {
    /// Looks at `root`, without what `own` is true for: files of this program itself,
    /// by their paths relative to it.
    #[must_use]
    pub fn of(root: &Path, own: &dyn Fn(&Path) -> bool) -> Self {
        Self::of_walked(root, walk(root), own)
    }

    /// The same, of what a walk has found there.
    #[must_use]
    pub fn of_walked(root: &Path, (mut entries, odd): Walked, own: &dyn Fn(&Path) -> bool) -> Self {
        entries.retain(|entry| !own(Path::new(&entry.path)));
        let odd = odd.into_iter().filter_map(|(path, why)| {
            let path = path.strip_prefix(root).unwrap_or(&path);
            (!own(path)).then(|| Odd {
                path: path.to_string_lossy().into_owned(),
                why,
            })
        });
        let mut snapshot = Self {
            odd: odd.collect(),
            entries,
            tracked_ignored: BTreeSet::new(),
            partial: BTreeSet::new(),
        };
        snapshot.add_tracked(root);
        snapshot
    }

    /// What a walk of its folder `below` would find; `None`: that can only be told by a
    /// walk, since other rules may hold there.
    #[must_use]
    pub fn below(&self, root: &Path, below: &str) -> Option<Self> {
        let start = place(&self.entries, below).ok()?;
        let is_plain = self.entries[start].kind == Kind::Directory && !self.partial.contains(below);
        let inside = format!("{below}/");
        // Without a checkout, files that ignore count only from the folder on.
        let same = || Some(checkout(root)?.root == checkout(&root.join(below))?.root);
        let odd = self.odd.iter().any(|odd| odd.path.starts_with(&inside));
        if !is_plain || odd || !same()? {
            return None;
        }
        let cut = |path: &str| path.strip_prefix(&inside).map(str::to_owned);
        let start = self.entries.partition_point(|entry| entry.path < inside);
        let entries = self.entries[start..].iter().map_while(|entry| {
            Some(Entry {
                path: cut(&entry.path)?,
                ..entry.clone()
            })
        });
        let paths = |set: &BTreeSet<String>| {
            set.range(inside.clone()..)
                .map_while(|path| cut(path))
                .collect()
        };
        Some(Self {
            entries: entries.collect(),
            odd: Vec::new(),
            tracked_ignored: paths(&self.tracked_ignored),
            partial: paths(&self.partial),
        })
    }

    /// Takes over the new metadata of the entry at `path`, which was written; `false`: it is
    /// something else now, or was not known.
    pub fn rewritten(&mut self, root: &Path, path: &str) -> bool {
        let Ok(at) = place(&self.entries, path) else {
            return false;
        };
        let entries = &mut self.entries;
        let full = root.join(path);
        let found = look::symlink_metadata(&full).ok();
        let found = found.and_then(|metadata| entry_at(root, &full, &metadata).ok());
        let same = |found: &Entry| {
            std::mem::discriminant(&found.kind) == std::mem::discriminant(&entries[at].kind)
        };
        let found = found.filter(same);
        let known = found.is_some();
        if let Some(found) = found {
            entries[at] = found;
        }
        known
    }

    fn add_tracked(&mut self, root: &Path) {
        let entries = &self.entries;
        let known = |path: &str| place(entries, path).is_ok();
        // Git's index has the same order, so one pass leaves the few to look for.
        let mut listed = self.entries.iter().map(|entry| &*entry.path).peekable();
        let missing = tracked(root)
            .unwrap_or_default()
            .into_iter()
            .filter(|path| {
                while listed.next_if(|listed| *listed < path.as_str()).is_some() {}
                listed.peek() != Some(&path.as_str()) && !known(path)
            });
        let missing: Vec<String> = missing.collect();
        let mut added = BTreeSet::new();
        let mut found = Vec::new();
        for path in missing {
            // One that was deleted, or has become something else.
            let full = root.join(&path);
            let Ok(metadata) = look::symlink_metadata(&full) else {
                continue;
            };
            if metadata.is_dir() {
                continue;
            }
            let Ok(entry) = entry_at(root, &full, &metadata) else {
                continue;
            };
            for (at, _) in path.match_indices('/') {
                let above = &path[..at];
                let folder = root.join(above);
                if !known(above)
                    && added.insert(above.to_owned())
                    && let Ok(metadata) = look::symlink_metadata(&folder)
                    && let Ok(entry) = entry_at(root, &folder, &metadata)
                {
                    found.push(entry);
                }
            }
            found.push(entry);
            self.tracked_ignored.insert(path);
        }
        self.partial = added;
        if !found.is_empty() {
            self.entries.extend(found);
            self.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        }
    }

    /// What is in the folder `below` of `root`, at any depth, but not among the entries:
    /// what `.gitignore` names, without what is in it.
    #[must_use]
    pub fn left_out(&self, root: &Path, below: &str) -> Vec<String> {
        let inside = format!("{below}/");
        let start = self
            .entries
            .partition_point(|entry| entry.path.as_str() < below);
        let all = self.entries[start..].iter();
        let near = all.take_while(|entry| entry.path.starts_with(below));
        let folders = near.filter(|entry| {
            let here = entry.path == below || entry.path.starts_with(&inside);
            here && entry.kind == Kind::Directory
        });
        let mut found = Vec::new();
        for folder in folders {
            let names = look::read_dir(&root.join(&folder.path))
                .into_iter()
                .flatten();
            for name in names.flatten().map(|entry| entry.file_name()) {
                let path = format!("{}/{}", folder.path, name.to_string_lossy());
                let entries = &self.entries;
                let known = entries.binary_search_by(|entry| entry.path.as_str().cmp(&path));
                let odd = self.odd.iter().any(|odd| odd.path == path);
                if known.is_err() && !odd && name != ".git" {
                    found.push(path);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// What is selected, by its path, and cannot be an input.
    #[must_use]
    pub fn refused(&self, selects: impl Fn(&str) -> bool) -> Option<&Odd> {
        self.odd.iter().find(|odd| {
            // Of a folder that cannot be read, what is in it counts.
            selects(&odd.path) || selects(&format!("{}/x", odd.path))
        })
    }
}

/// Where the entry of `path` is, or would be.
fn place(entries: &[Entry], path: &str) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.path.as_str().cmp(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use std::process::Command;

    #[test]
    fn odd_things_are_errors_only_for_what_selects_them_and_own_files_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/f"), "f").unwrap();
        fs::write(root.join("own"), "f").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("a/s")).unwrap();
        let snapshot = Snapshot::of(root, &|path| path == Path::new("own"));
        let paths: Vec<&str> = snapshot.entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/f"]);
        assert!(snapshot.refused(|path| path == "a/f").is_none());
        let refused = snapshot.refused(|path| path.starts_with("a/")).unwrap();
        assert!(refused.why.to_string().contains("a/s"), "{refused:?}");
    }

    #[test]
    fn a_folder_of_a_snapshot_is_what_a_walk_of_it_finds() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for path in [
            "a/b/f",
            "a/b/x.log",
            "a/kept.log",
            "a.txt",
            "a-b/f",
            "out/f",
            "a/own/f",
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        fs::write(root.join(".gitignore"), "*.log\nout\n/a/c\n").unwrap();
        fs::write(root.join("a/.gitignore"), "!kept.log\n").unwrap();
        let whole = || Snapshot::of(&root, &|_| false);
        // Without a checkout, what ignores files of the folder is not known.
        assert!(whole().below(&root, "a").is_none());
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command
                .args(arguments)
                .current_dir(&root)
                .env("HOME", &root);
            assert!(command.output().unwrap().status.success());
        };
        git(&["init", "-q"]);
        git(&["add", "-f", "a/b/x.log", "out/f"]);
        for below in ["a", "a/b", "a-b"] {
            let (cut, walked) = (
                whole().below(&root, below).unwrap(),
                Snapshot::of(&root.join(below), &|_| false),
            );
            assert_eq!(cut.entries, walked.entries, "{below}");
            assert_eq!(cut.tracked_ignored, walked.tracked_ignored, "{below}");
            assert_eq!(cut.partial, walked.partial, "{below}");
        }
        assert!(whole().below(&root, "out").is_none(), "only a part of it");
        assert!(whole().below(&root, "absent").is_none());
        fs::create_dir(root.join("a/own/.git")).unwrap();
        assert!(whole().below(&root, "a/own").is_none(), "another checkout");
    }

    #[test]
    fn a_file_that_git_tracks_is_there_although_it_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("site")).unwrap();
        for path in ["site/page", "site/other", "gone.log", "kept"] {
            fs::write(root.join(path), "x").unwrap();
        }
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(arguments).current_dir(root).env("HOME", root);
            assert!(command.output().unwrap().status.success());
        };
        git(&["init", "-q"]);
        git(&["add", "site/page", "gone.log", "kept"]);
        fs::write(root.join(".gitignore"), "site/\n*.log\n").unwrap();
        fs::remove_file(root.join("gone.log")).unwrap();
        let snapshot = Snapshot::of(root, &|_| false);
        let paths: Vec<&str> = snapshot.entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "kept", "site", "site/page"]);
        assert_eq!(snapshot.tracked_ignored, ["site/page".to_owned()].into());
    }
}
