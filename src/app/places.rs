//! Where the tasks of a plan are written, for messages and the run record.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::build_error::{BuildError, locate_error, place};
use super::definitions;
use super::find::shown;
use crate::ground::folders::lexical;
use crate::kinds::Work;
use crate::package::Dialect;
use crate::plan::{PlanError, Step, Unit};
use crate::yaml::SourceText;

/// The files of a plan.
pub(super) struct Places(Vec<Written>);

struct Written {
    file: PathBuf,
    shown: String,
    ids: BTreeSet<String>,
    /// Definitions that its packages are composed of.
    definitions: BTreeSet<PathBuf>,
    source: Option<SourceText>,
}

/// The definitions that the packages of a unit are composed of.
fn definitions(unit: &Unit) -> BTreeSet<PathBuf> {
    let named = unit.instances.iter().filter_map(definitions::named);
    let named = named.map(|name| lexical(&unit.folder.join(name)));
    let imported = unit
        .definitions
        .values()
        .flat_map(|composed| composed.imported.values());
    let imported = imported.flat_map(|folder| {
        let names = Dialect::ALL.into_iter().map(Dialect::definition_file);
        names.map(|name| lexical(&folder.join(name)))
    });
    named.chain(imported).collect()
}

impl Places {
    pub(super) fn of(here: &Path, units: &[Unit]) -> Self {
        let written = units.iter().map(|unit| Written {
            file: unit.file.clone(),
            shown: shown(here, &unit.file).display().to_string(),
            ids: (unit.instances.iter())
                .map(|instance| instance.id.clone())
                .collect(),
            definitions: definitions(unit),
            source: unit.source.clone(),
        });
        Self(written.collect())
    }

    /// The files that a step is made from: its pipeline file or definition, and the
    /// definitions that its package is composed of.
    pub(super) fn files_of(&self, step: &Step) -> Vec<PathBuf> {
        let mut files = vec![step.file.clone()];
        let of_package = !matches!(step.work, Work::Run(_) | Work::Sign(_) | Work::Publish(_));
        let written = self.0.iter().find(|written| written.file == step.file);
        if let Some(written) = written.filter(|_| of_package) {
            files.extend(written.definitions.iter().cloned());
        }
        files
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
