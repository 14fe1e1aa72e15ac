//! What is taken back from the user's folders: files that results put there.
//!
//! Each kind compares what it delivered with what is there; files are removed only
//! here, so that a rehearsal cannot remove any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{DiskError, at};
use crate::workspace::{self, UnreadIndex};

/// Why a file stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is not what was written, or not known to be.
    Changed,
    Tracked,
    /// It is in a repository inside of this one.
    Nested,
}

impl Stays {
    /// The same, after the name of the file.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Changed => "has changed since it was written",
            Self::Tracked => "is tracked by Git",
            Self::Nested => "is in another Git repository",
        }
    }
}

/// What is removed from folders of the user, and what is not.
#[derive(Debug, Default)]
pub struct Withdrawal {
    rehearsed: bool,
    /// Whether every task of the workspace is cleaned.
    pub(crate) whole: bool,
    /// Files and links that results put there, and that were as then.
    pub removed: Vec<PathBuf>,
    pub kept: Vec<(PathBuf, Stays)>,
    /// Those that could not be removed.
    pub failed: Vec<DiskError>,
    /// What Git tracks in folders, read once.
    tracked: BTreeMap<PathBuf, Rc<BTreeSet<String>>>,
    visited: BTreeSet<PathBuf>,
}

impl Withdrawal {
    /// One that only tells what it would remove.
    #[must_use]
    pub fn rehearsed() -> Self {
        Self {
            rehearsed: true,
            ..Self::default()
        }
    }

    /// The files in and below `folder` that Git tracks, relative to it.
    pub(crate) fn tracked(&mut self, folder: &Path) -> Result<Rc<BTreeSet<String>>, UnreadIndex> {
        if let Some(known) = self.tracked.get(folder) {
            return Ok(Rc::clone(known));
        }
        let found = Rc::new(workspace::tracked_files(folder)?);
        self.tracked.insert(folder.to_owned(), Rc::clone(&found));
        Ok(found)
    }

    /// Whether `folder` is asked about for the first time.
    pub(crate) fn is_first(&mut self, folder: &Path) -> bool {
        self.visited.insert(folder.to_owned())
    }

    /// Removes a file or link.
    pub(crate) fn file(&mut self, path: &Path) {
        let removed = match self.rehearsed {
            true => Ok(()),
            false => fs::remove_file(path),
        };
        match removed {
            Ok(()) => self.removed.push(path.to_owned()),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed.push(at(path)(error)),
        }
    }

    /// Leaves a file, link or folder to the user.
    pub(crate) fn leave(&mut self, path: &Path, why: Stays) {
        self.kept.push((path.to_owned(), why));
    }

    /// The number of files that stay.
    pub(crate) fn left(&self) -> usize {
        self.kept.len() + self.failed.len()
    }

    /// Removes a folder if nothing is left in it. One that cannot be removed stays: it is
    /// empty.
    pub(crate) fn folder(&self, path: &Path) {
        if !self.rehearsed {
            let _ = fs::remove_dir(path);
        }
    }

    /// Forgets a record of what was delivered. One that stays names nothing.
    pub(crate) fn forget(&self, path: &Path) {
        if !self.rehearsed {
            let _ = fs::remove_file(path);
        }
    }
}
