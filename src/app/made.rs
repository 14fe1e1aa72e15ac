//! What the tasks of a workspace make, for checks that do not plan.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// What the tasks of a workspace make.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub places: BTreeSet<PathBuf>,
    /// Folders of pipelines with mistakes: their outputs are not all known.
    pub unknown: Vec<PathBuf>,
}

impl Made {
    /// Whether a task may make what is at `place`, or something in it.
    pub(super) fn has(&self, place: &Path) -> bool {
        let from = (Bound::Included(place), Bound::Unbounded);
        let below = || self.places.range::<Path, _>(from).next();
        place.ancestors().any(|at| self.places.contains(at))
            || below().is_some_and(|at| at.starts_with(place))
            || self.unknown.iter().any(|folder| place.starts_with(folder))
    }
}
