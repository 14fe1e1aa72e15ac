//! Where the tasks of a plan are written, for messages and the run record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::build_error::{BuildError, locate_error, place};
use super::definitions;
use super::find::shown;
use crate::ground::folders::lexical;
use crate::package::Dialect;
use crate::pipeline::Place;
use crate::plan::{PlanError, Step, Unit};
use crate::yaml::SourceText;

/// The files of a plan.
pub(super) struct Places(Vec<Written>);

struct Written {
    file: PathBuf,
    shown: String,
    ids: BTreeSet<String>,
    /// The definitions that each of its tasks is made from.
    definitions: BTreeMap<String, BTreeSet<PathBuf>>,
    source: Option<SourceText>,
}

/// What may be the name of the task that a step belongs to: several steps of one have
/// names that begin with its own.
fn names(step: &str) -> impl Iterator<Item = &str> {
    let ends = step.match_indices(':').map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain([step.len()]).collect();
    ends.into_iter().rev().map(|end| &step[..end])
}

/// The definitions that each task of a unit is made from.
fn definitions(unit: &Unit) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let of = unit.instances.iter().map(|instance| {
        let named = definitions::named(instance);
        let named = named.map(|name| lexical(&unit.folder.join(name)));
        let composed = unit.definitions.get(&instance.id).into_iter();
        let imported = composed.flat_map(|composed| composed.imported.values());
        let imported = imported.flat_map(|folder| {
            let files = Dialect::ALL.into_iter().map(Dialect::definition_file);
            files.map(|file| lexical(&folder.join(file)))
        });
        (
            instance.id.clone(),
            named.into_iter().chain(imported).collect(),
        )
    });
    of.collect()
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
    /// definitions that its task names.
    pub(super) fn files_of(&self, step: &Step) -> Vec<PathBuf> {
        let mut files = vec![step.file.clone()];
        let written = self.0.iter().find(|written| written.file == step.file);
        if let Some(written) = written {
            let mut names = names(&step.id);
            let definitions = names.find_map(|name| written.definitions.get(name));
            files.extend(definitions.into_iter().flatten().cloned());
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
        let mut names = names(task);
        names.find_map(|name| {
            let written = self.0.iter().find(|written| written.ids.contains(name))?;
            Some(place(written.source.as_ref()?, Some((name, ""))).to_string())
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
                at: Place {
                    file: written.shown.clone(),
                    span: None,
                },
                also: None,
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
