//! One source of a component or layer: listed, read, and seen to stay the same.
//!
//! Stands between `workspace`, which lists, and the writers of tars. Never
//! follows a link out of the root, and never lets a file pass that changed
//! after it was listed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component as Part, Path, PathBuf};

use rustix::fs::OFlags;

use crate::workspace::{self, Entry, Stat, WalkError};

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A source leads out of its folder.
    #[error("`{0}` leads out of the package folder: copy what it names into the folder")]
    Outside(String),
    /// Something was written, replaced, added or removed meanwhile.
    #[error("`{0}` changed while it was read: wait until nothing writes to it, then build again")]
    Changed(PathBuf),
    /// The disk refused.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Something that cannot be packed.
    #[error(transparent)]
    Walk(WalkError),
}

impl SourceError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<WalkError> for SourceError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io { path, source } => Self::Io { path, source },
            other => Self::Walk(other),
        }
    }
}

/// A file, link or whole folder below a root, as it was when it was listed.
pub(crate) struct Tree<'a> {
    root: &'a Path,
    source: &'a str,
    entries: Vec<Entry>,
}

impl<'a> Tree<'a> {
    /// Lists `source`, which must be below `root` without climbing, even
    /// through links.
    pub(crate) fn list(root: &'a Path, source: &'a str) -> Result<Self, SourceError> {
        if !is_inside(source) {
            return Err(SourceError::Outside(source.to_owned()));
        }
        // With a slash at its end, a link would be followed.
        let source = source.trim_end_matches('/');
        let resolved = |path: &Path| fs::canonicalize(path).map_err(SourceError::io(path));
        let full = root.join(source);
        let parent = full.parent().filter(|parent| parent.starts_with(root));
        if !resolved(parent.unwrap_or(root))?.starts_with(resolved(root)?) {
            return Err(SourceError::Outside(source.to_owned()));
        }
        Ok(Self {
            root,
            source,
            entries: workspace::list(root, source)?,
        })
    }

    /// Every entry with its path below the source, which is empty for the first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|entry| {
            let below = entry.path.get(self.source.len()..).unwrap_or_default();
            (below.trim_start_matches('/'), entry)
        })
    }

    /// The source itself.
    pub(crate) fn top(&self) -> &Entry {
        // `workspace::list` begins with what it was asked to list.
        self.entries.first().expect("a listing has its first entry")
    }

    /// Where `entry` is on the disk.
    pub(crate) fn path(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.path)
    }

    /// Opens a regular file, if it still is the one that was listed.
    pub(crate) fn open(&self, entry: &Entry) -> Result<File, SourceError> {
        let path = self.path(entry);
        // A pipe put in its place must neither be followed nor waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SourceError::Changed(path));
            }
            opened => opened.map_err(SourceError::io(&path))?,
        };
        let found = file.metadata().map_err(SourceError::io(&path))?;
        if Stat::of(&found) == entry.stat {
            Ok(file)
        } else {
            Err(SourceError::Changed(path))
        }
    }

    /// Lists again, after everything was read, and compares.
    pub(crate) fn settle(self) -> Result<(), SourceError> {
        let again = workspace::list(self.root, self.source)
            .map_err(|_| SourceError::Changed(self.root.join(self.source)))?;
        if again == self.entries {
            return Ok(());
        }
        let differs = |(one, two): &(&Entry, &Entry)| one != two;
        let pair = self.entries.iter().zip(&again).find(differs);
        let path = pair.map_or(self.source, |(entry, _)| &entry.path);
        Err(SourceError::Changed(self.root.join(path)))
    }
}

/// Whether a source is a relative path without `..`.
fn is_inside(source: &str) -> bool {
    let within = |part| matches!(part, Part::Normal(_) | Part::CurDir);
    !source.is_empty() && Path::new(source).components().all(within)
}

/// Refuses a source that is absolute or leads out of its folder.
///
/// # Errors
///
/// [`SourceError::Outside`]
pub fn inside(source: &str) -> Result<(), SourceError> {
    if is_inside(source) {
        Ok(())
    } else {
        Err(outside(source))
    }
}

/// The error for a source that [`inside`] would refuse.
#[must_use]
pub fn outside(source: &str) -> SourceError {
    SourceError::Outside(source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_on_the_way_that_leaves_the_root_is_refused_and_one_inside_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(root.join("real/f"), "f").unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("real", root.join("alias")).unwrap();
        let outside = Tree::list(&root, "up/secret").err().unwrap();
        assert!(matches!(outside, SourceError::Outside(_)), "{outside}");
        assert_eq!(Tree::list(&root, "alias/f").unwrap().top().stat.size, 1);
        let whole = Tree::list(&root, "./").unwrap();
        let paths: Vec<&str> = whole.entries().map(|(below, _)| below).collect();
        assert_eq!(paths, ["", "alias", "real", "real/f", "up"]);
    }

    #[test]
    fn a_file_that_is_replaced_added_or_removed_after_the_listing_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t/f");
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(&file, "one").unwrap();
        let listed = || Tree::list(dir.path(), "t").unwrap();
        let tree = listed();
        fs::write(&file, "other").unwrap();
        assert!(matches!(
            tree.open(&tree.entries[1]),
            Err(SourceError::Changed(path)) if path == file
        ));
        let tree = listed();
        fs::write(dir.path().join("t/g"), "new").unwrap();
        assert!(matches!(tree.settle(), Err(SourceError::Changed(_))));
        let tree = listed();
        fs::remove_file(&file).unwrap();
        assert!(matches!(tree.settle(), Err(SourceError::Changed(_))));
        listed().settle().unwrap();
    }
}
