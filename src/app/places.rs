//! Where the tasks of a plan are written, for messages and the run record.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::build_error::{BuildError, locate_error, place};
use super::find::shown;
use crate::plan::{PlanError, Unit};
use crate::yaml::SourceText;

/// The files of a plan.
pub(super) struct Places(Vec<Written>);

struct Written {
    file: PathBuf,
    shown: String,
    ids: BTreeSet<String>,
    source: Option<SourceText>,
}

impl Places {
    pub(super) fn of(here: &Path, units: &[Unit]) -> Self {
        let written = units.iter().map(|unit| Written {
            file: unit.file.clone(),
            shown: shown(here, &unit.file).display().to_string(),
            ids: (unit.instances.iter())
                .map(|instance| instance.id.clone())
                .collect(),
            source: unit.source.clone(),
        });
        Self(written.collect())
    }

    /// The folders of the files.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let files = self.0.iter();
        files
            .filter_map(|written| Some(written.file.parent()?.to_owned()))
            .collect()
    }

    /// The file, line and column of a task of a pipeline file.
    pub(super) fn of_task(&self, task: &str) -> Option<String> {
        // A task may have several steps, whose names begin with its own.
        let ends = task.match_indices(':').map(|(at, _)| at);
        let names = std::iter::once(task.len()).chain(ends.collect::<Vec<_>>().into_iter().rev());
        let mut names = names.map(|end| &task[..end]);
        names.find_map(|name| {
            let written = self.0.iter().find(|written| written.ids.contains(name))?;
            Some(place(written.source.as_ref()?, Some((name, ""))))
        })
    }

    /// The error of a plan, with the file of the task that it is about, and the line.
    pub(super) fn locate(&self, error: PlanError) -> BuildError {
        let task = error.about().map(|(task, _)| task);
        let found = match task {
            Some(task) => (self.0.iter()).find(|written| written.ids.contains(task)),
            None if self.0.len() == 1 => self.0.first(),
            None => None,
        };
        match found {
            Some(Written {
                source: Some(text), ..
            }) => locate_error(text, error),
            Some(written) => BuildError::Plan {
                at: written.shown.clone(),
                source: Box::new(error),
            },
            None => BuildError::Unpublishable(Box::new(error)),
        }
    }

    /// The same for what only shows when the whole plan is known: a package that has no
    /// pipeline has no line for it.
    pub(super) fn locate_whole(&self, error: PlanError) -> BuildError {
        match self.0.iter().any(|written| written.source.is_some()) {
            true => self.locate(error),
            false => BuildError::Unpublishable(Box::new(error)),
        }
    }
}
