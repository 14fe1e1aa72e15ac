//! Which tasks of a plan read which files, as their last look at them says.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::ground::folders::lexical;
use crate::ground::inputs::{Inputs, OnDisk};
use crate::kinds::Work;
use crate::plan::Plan;

/// Files by their path without links, with the tasks that read them.
#[derive(Default)]
pub(super) struct Reads {
    by_path: HashMap<PathBuf, Vec<Reader>>,
    by_step: HashMap<String, Read>,
    /// Folders without links in their path.
    real: HashMap<PathBuf, PathBuf>,
}

struct Read {
    inputs: Inputs,
    paths: Vec<PathBuf>,
}

/// A task that reads a file.
pub(super) struct Reader {
    pub(super) step: String,
    inputs: Inputs,
    /// The file's path among the inputs.
    path: String,
}

impl Reader {
    /// Whether the file is no longer what the task has read.
    pub(super) fn differs(&self, now: &OnDisk) -> bool {
        self.inputs.differs(&self.path, now)
    }
}

impl Reads {
    /// The tasks that read `path`.
    pub(super) fn of(&self, path: &Path) -> &[Reader] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether it is known what the task reads.
    pub(super) fn has_looked(&self, step: &str) -> bool {
        self.by_step.contains_key(step)
    }

    /// Whether the task reads something in a folder that `path` is in, at any depth.
    pub(super) fn reads_near(&self, step: &str, path: &Path) -> bool {
        let read = self.by_step.get(step);
        let mut folders = read
            .iter()
            .flat_map(|read| &read.paths)
            .map(|one| one.parent());
        folders.any(|folder| folder.is_some_and(|folder| path.starts_with(folder)))
    }

    /// Takes over what the tasks have read; returns the folders of files that are new.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        inputs: HashMap<String, Inputs>,
    ) -> BTreeSet<PathBuf> {
        let gone: Vec<String> = (self.by_step.iter())
            .filter(|(step, read)| {
                !inputs
                    .get(*step)
                    .is_some_and(|new| new.is_same(&read.inputs))
            })
            .map(|(step, _)| step.clone())
            .collect();
        for step in gone {
            self.remove(&step);
        }
        let mut folders = BTreeSet::new();
        for (step, inputs) in inputs {
            if self.by_step.contains_key(&step) {
                continue;
            }
            // Commands get links as they are; other work follows some.
            let work = plan.steps.get(&step).map(|step| &step.work);
            let follows = !matches!(work, Some(Work::Run(_)));
            let mut paths = Vec::new();
            for (path, on_disk) in inputs.of_checkout() {
                for real in self.places(on_disk, follows) {
                    folders.extend(real.parent().map(Path::to_owned));
                    self.by_path.entry(real.clone()).or_default().push(Reader {
                        step: step.clone(),
                        inputs: inputs.clone(),
                        path: path.to_owned(),
                    });
                    paths.push(real);
                }
            }
            self.by_step.insert(step, Read { inputs, paths });
        }
        folders
    }

    fn remove(&mut self, step: &str) {
        let Some(read) = self.by_step.remove(step) else {
            return;
        };
        for path in read.paths {
            if let Some(readers) = self.by_path.get_mut(&path) {
                readers.retain(|reader| reader.step != step);
                if readers.is_empty() {
                    self.by_path.remove(&path);
                }
            }
        }
    }

    /// Where a change of the file is seen: in its folder, and where a link leads.
    fn places(&mut self, on_disk: &Path, follows: bool) -> Vec<PathBuf> {
        let full = lexical(on_disk);
        let (Some(folder), Some(name)) = (full.parent(), full.file_name()) else {
            return Vec::new();
        };
        let real = match self.real.get(folder) {
            Some(real) => real,
            None => {
                let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
                self.real.entry(folder.to_owned()).or_insert(real)
            }
        };
        let mut places = vec![real.join(name)];
        if follows
            && places[0].is_symlink()
            && let Ok(target) = fs::canonicalize(&places[0])
        {
            places.push(target);
        }
        places
    }
}
