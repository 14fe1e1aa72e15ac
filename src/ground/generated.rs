//! What tasks write into the workspace: the outputs that are declared, and what recorded
//! results left at other paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::path::lexical;
use crate::archive::SafePath;
use crate::cas::Cas;
use crate::cas::tree::{Tree, TreeEntry, TreeKind};
use crate::disk::look;
use crate::oci::Digest;
use crate::workspace::{self, Entry, Stat};

/// The digest of a file by its full path, if it can be read.
pub(crate) type DigestOf<'d> = &'d dyn Fn(&Entry) -> Option<Digest>;

/// What was last placed at `path`.
pub(crate) fn placed(cas: &Cas, folder: &Path, path: &str) -> Option<Tree> {
    Tree::decode(&fs::read(note(cas, folder, path)).ok()?).ok()
}

/// The record of what was last placed at `path`.
pub(crate) fn note(cas: &Cas, folder: &Path, path: &str) -> PathBuf {
    cas.root().join("placed").join(hashed(folder, path))
}

/// The folder that lists the paths in `folder` at which outputs were placed.
fn listing(cas: &Cas, folder: &Path) -> PathBuf {
    cas.root().join("placed-in").join(hashed(folder, ""))
}

/// The entry of `path` in that list.
pub(crate) fn listed(cas: &Cas, folder: &Path, path: &str) -> PathBuf {
    listing(cas, folder).join(hashed(folder, path))
}

/// Paths in `folder` at which outputs were placed that are not `declared` any more.
pub(crate) fn undeclared(
    cas: &Cas,
    folder: &Path,
    declared: &BTreeSet<String>,
) -> impl Iterator<Item = String> + use<> {
    let names = fs::read_dir(listing(cas, folder)).into_iter().flatten();
    let declared = declared.iter();
    let declared: BTreeSet<String> = declared.map(|path| hashed(folder, path)).collect();
    names
        .flatten()
        .filter(move |name| {
            let name = name.file_name();
            name.to_str().is_none_or(|name| !declared.contains(name))
        })
        .filter_map(|name| fs::read_to_string(name.path()).ok())
        .filter(|path| SafePath::parse(path).is_ok_and(|safe| safe.as_str() == path))
}

fn hashed(folder: &Path, path: &str) -> String {
    let name = blake3::hash(folder.join(path).as_os_str().as_encoded_bytes());
    name.to_hex().to_string()
}

/// The outputs of every task of the workspace, as a pipeline sees them.
#[derive(Default)]
pub struct Generated {
    /// Those in its folder, relative to it.
    pub paths: BTreeSet<String>,
    folder: PathBuf,
    places: Arc<BTreeSet<PathBuf>>,
    /// What is left of others; found out once for all tasks.
    delivered: OnceLock<Delivered>,
}

impl fmt::Debug for Generated {
    /// Without what is the same for all tasks of a workspace, and what is found out later.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { paths, folder, .. } = self;
        let mut shown = f.debug_struct("Generated");
        shown.field("paths", paths).field("folder", folder);
        shown.finish_non_exhaustive()
    }
}

impl Generated {
    /// What of `places` a pipeline in `folder` sees.
    pub(crate) fn of(folder: &Path, places: &Arc<BTreeSet<PathBuf>>) -> Self {
        let from = (Bound::Included(folder), Bound::Unbounded);
        let own = places
            .range::<Path, _>(from)
            .map_while(|at| at.strip_prefix(folder).ok());
        Self {
            paths: own
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            folder: folder.to_owned(),
            places: Arc::clone(places),
            delivered: OnceLock::new(),
        }
    }

    /// Whether a task makes `path`, which is relative to the folder of the pipeline, or a
    /// folder that it is in.
    pub(crate) fn has(&self, path: &str) -> bool {
        if path.starts_with("../") {
            let full = lexical(&self.folder.join(path));
            return full.ancestors().any(|at| self.places.contains(at));
        }
        within(path, |folder| self.paths.contains(folder))
    }

    /// Whether a task makes what is at the full path `at`, or a folder that it is in.
    pub(crate) fn makes(&self, at: &Path) -> bool {
        at.ancestors().any(|at| self.places.contains(at))
    }

    /// The same, or whether a task makes something in it.
    pub(crate) fn touches(&self, at: &Path) -> bool {
        self.makes(at) || self.is_in(at)
    }

    fn is_in(&self, folder: &Path) -> bool {
        let from = (Bound::Excluded(folder), Bound::Unbounded);
        let next = self.places.range::<Path, _>(from).next();
        next.is_some_and(|at| at.starts_with(folder))
    }

    /// Whether a task makes something in the folder `path`.
    pub(crate) fn is_above(&self, path: &str) -> bool {
        if path.starts_with("..") {
            return self.is_in(&lexical(&self.folder.join(path)));
        }
        let below = format!("{path}/");
        let mut made = self.paths.range(below.clone()..);
        made.next().is_some_and(|path| path.starts_with(&below))
    }

    /// What results put into the folder of the pipeline, at other paths.
    pub(crate) fn delivered(&self, cas: &Cas) -> &Delivered {
        let find = || Delivered::of(cas, &self.folder, &self.paths);
        self.delivered.get_or_init(find)
    }
}

/// What recorded results put into the workspace at paths that no task declares any more.
#[derive(Debug)]
pub(crate) struct Delivered {
    folder: PathBuf,
    /// The entries of each tree, by their paths below its own.
    trees: Vec<(String, BTreeMap<String, TreeEntry>)>,
    tracked: BTreeSet<String>,
}

impl Delivered {
    fn of(cas: &Cas, folder: &Path, declared: &BTreeSet<String>) -> Self {
        let trees: Vec<_> = undeclared(cas, folder, declared)
            .filter_map(|path| {
                let entries = placed(cas, folder, &path)?.entries.into_iter();
                Some((
                    path,
                    entries.map(|entry| (entry.path.clone(), entry)).collect(),
                ))
            })
            .collect();
        let tracked = match trees.is_empty() {
            true => BTreeSet::new(),
            false => workspace::tracked_files(folder).unwrap_or_default(),
        };
        Self {
            folder: folder.to_owned(),
            trees,
            tracked,
        }
    }

    /// Whether the entry of `root` is as a result put it there, and a pattern that lies
    /// in its folder `begin` does not name it. What Git tracks is a source.
    pub(crate) fn has(
        &self,
        digest: DigestOf<'_>,
        root: &Path,
        entry: &Entry,
        begin: &str,
    ) -> bool {
        if self.trees.is_empty() {
            return false;
        }
        let full = lexical(&root.join(&entry.path));
        let named = lexical(&root.join(begin));
        self.trees.iter().any(|(path, tree)| {
            let at = self.folder.join(path);
            let Ok(below) = full.strip_prefix(&at) else {
                return false;
            };
            let own = full.strip_prefix(&self.folder).ok().and_then(Path::to_str);
            if named.starts_with(&at) || own.is_some_and(|own| self.tracked.contains(own)) {
                return false;
            }
            let below = below.to_string_lossy();
            match (tree.get(below.as_ref()), &entry.kind) {
                (_, workspace::Kind::Directory) if below.is_empty() => true,
                (Some(placed), workspace::Kind::Directory) => placed.kind == TreeKind::Directory,
                (Some(placed), workspace::Kind::Link { target }) => {
                    placed.kind
                        == TreeKind::Symlink {
                            target: target.clone(),
                        }
                }
                (Some(placed), workspace::Kind::File { .. }) => {
                    let there = look::symlink_metadata(&full);
                    there.is_ok_and(|there| same(digest, &full, &there, placed))
                }
                (None, _) => false,
            }
        })
    }
}

/// Whether the file at `path` has the entry's bytes.
pub(crate) fn same(
    digest: DigestOf<'_>,
    path: &Path,
    there: &fs::Metadata,
    expected: &TreeEntry,
) -> bool {
    let TreeKind::File { digest: known, .. } = &expected.kind else {
        return false;
    };
    let entry = Entry {
        path: path.to_string_lossy().into_owned(),
        kind: workspace::Kind::File { executable: false },
        stat: Stat::of(there),
    };
    digest(&entry).as_ref() == Some(known)
}

/// Whether `path`, or a folder that it is in, is one of those.
pub(crate) fn within(path: &str, of_those: impl Fn(&str) -> bool) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    above.chain([path]).any(of_those)
}
