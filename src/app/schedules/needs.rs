//! What the tasks that a schedule builds need of the place where they run: logins, secrets
//! and an identity.
//!
//! Without a plan, which may need a registry: tasks depend on each other by names and by
//! paths, and both are in pipelines. What a definition reads is known only once it is
//! composed, so a task that reads one counts as if it read all that tasks of its file make.
//! If a file cannot be expanded here, all of its tasks count.

use std::collections::{BTreeMap, BTreeSet};

use super::export::ExportError;
use super::{FoundSchedule, place};
use crate::app::find;
use crate::app::survey::{Survey, Surveyed};
use crate::ground::marks::Marks;
use crate::pipeline::verb::ImagesFrom;
use crate::pipeline::{self, Instance, Needs, Scheduled, Verb};
use crate::plan::{Candidate, Chosen, Named, Outputs, Selection, Unit};

/// Variables that shells and loaders act on: a secret in one of them would stop the command
/// of the schedule, or change what it runs.
const RESERVED: [&str; 15] = [
    "BASH_ENV",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_CONFIG",
    "ENV",
    "HOME",
    "HOSTNAME",
    "IFS",
    "JACKAL_CACHE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "OLDPWD",
    "PATH",
    "PWD",
    "SHELL",
    "TMPDIR",
];

/// What each of these schedules of one workspace needs.
///
/// # Errors
///
/// [`ExportError::Reserved`]; [`ExportError::Workspace`]: a word names nothing.
pub(super) fn all(found: &[FoundSchedule]) -> Result<Vec<Needs>, ExportError> {
    let Some(first) = found.first() else {
        return Ok(Vec::new());
    };
    let place = place(&first.root);
    let survey = Survey::of(&place, &first.root, &[], &find::Texts::default())?;
    let needs = found.iter().map(|one| {
        let selection = selection(one)?;
        Closure::of(&survey, &selection, &one.schedule.params).needs()
    });
    needs.collect()
}

/// What the command of a schedule builds.
fn selection(one: &FoundSchedule) -> Result<Selection, ExportError> {
    let file = one.root.join(&one.file);
    Ok(match &one.schedule.runs {
        Scheduled::Targets(words) => find::selection(&place(&one.root), &one.root, words)?,
        Scheduled::Tasks(names) if names.is_empty() => Selection::one(Chosen::File(file)),
        Scheduled::Tasks(names) => {
            let folder = file.parent();
            let named = names.iter().map(|name| Named {
                word: name.clone(),
                chosen: Chosen::Task {
                    folder: folder.map(ToOwned::to_owned),
                    name: name.clone(),
                },
                needs: false,
            });
            Selection {
                chosen: named.collect(),
                left_out: Vec::new(),
            }
        }
    })
}

/// Chosen tasks, and those that they depend on.
struct Closure<'s> {
    /// By the names of instances.
    all: BTreeMap<String, (&'s Surveyed, Instance)>,
    /// Files that cannot be expanded.
    broken: Vec<&'s Surveyed>,
    /// Files of which all tasks count.
    whole: Vec<&'s Surveyed>,
    open: Vec<String>,
}

impl<'s> Closure<'s> {
    fn of(survey: &'s Survey, selection: &Selection, params: &BTreeMap<String, String>) -> Self {
        let expanded = survey.expanded(params);
        let parts = expanded.iter();
        let parts = parts.map(|(read, made)| (read.folder.as_path(), made.instances.as_slice()));
        let (outputs, _) = Outputs::all(parts);
        let mut closure = Self {
            all: BTreeMap::new(),
            broken: Vec::new(),
            whole: Vec::new(),
            open: Vec::new(),
        };
        for (read, made) in expanded {
            if !made.mistakes.is_empty() {
                closure.broken.push(read);
                let concerned = selection.may_be_in(&read.folder, &read.file);
                closure.whole.extend(concerned.then_some(read));
            }
            let mut unit = unit(read, made.instances);
            outputs.link(&mut unit);
            for instance in unit.instances {
                let name = instance.id.strip_prefix(&read.prefix);
                let candidate = Candidate {
                    folder: &read.folder,
                    file: &read.file,
                    name: name.unwrap_or(&instance.id),
                    tags: &instance.settings.tags,
                };
                let publishes = matches!(instance.verb, Verb::Publish(_));
                if selection.takes(&candidate, publishes) {
                    closure.open.push(instance.id.clone());
                }
                closure.all.insert(instance.id.clone(), (read, instance));
            }
        }
        closure
    }

    fn needs(mut self) -> Result<Needs, ExportError> {
        let mut needs = Needs::default();
        let mut seen: BTreeSet<String> = self.open.iter().cloned().collect();
        while let Some(id) = self.open.pop() {
            let Some((read, instance)) = self.all.get(&id) else {
                // A package without a pipeline, or in a file that cannot be expanded.
                let broken = self.broken.iter();
                let of = broken.filter(|read| id.starts_with(&read.prefix));
                self.whole.extend(of.copied());
                continue;
            };
            let mut next: Vec<&String> = instance.depends_on.iter().collect();
            if reads_definition(&instance.verb) {
                let beside = self
                    .all
                    .iter()
                    .filter(|(_, (other, one))| other.file == read.file && !one.outputs.is_empty());
                next.extend(beside.map(|(id, _)| id));
            }
            let new = next.into_iter().filter(|id| seen.insert((*id).clone()));
            let new: Vec<String> = new.cloned().collect();
            needs.extend(of_task(read, &id)?);
            self.open.extend(new);
        }
        for read in self.whole {
            for task in read.pipeline.iter().flat_map(|one| one.tasks.keys()) {
                needs.extend(of_task(read, task)?);
            }
        }
        Ok(needs)
    }
}

/// What the task of an instance needs.
fn of_task(read: &Surveyed, instance: &str) -> Result<Needs, ExportError> {
    let name = instance.strip_prefix(&read.prefix).unwrap_or(instance);
    let name = name.split('[').next().unwrap_or(name);
    let task = read.pipeline.as_ref().and_then(|one| one.tasks.get(name));
    let needs = task.map(|task| task.needs()).unwrap_or_default();
    let mut secrets = needs.secrets.iter();
    match secrets.find(|(name, _)| RESERVED.contains(&name.as_str())) {
        Some((variable, key)) => Err(ExportError::Reserved {
            at: pipeline::place(&read.text, name, key),
            variable: variable.clone(),
        }),
        None => Ok(needs),
    }
}

fn reads_definition(verb: &Verb) -> bool {
    match verb {
        Verb::Component(_) | Verb::Package(_) => true,
        Verb::Images(images) => matches!(images.from, ImagesFrom::Definition(_)),
        _ => false,
    }
}

/// A unit whose definitions are not composed.
fn unit(read: &Surveyed, instances: Vec<Instance>) -> Unit {
    Unit {
        file: read.file.clone(),
        folder: read.folder.clone(),
        name: String::new(),
        prefix: read.prefix.clone(),
        source: None,
        instances,
        definitions: BTreeMap::new(),
        parameters: BTreeMap::new(),
        trusts: Marks::default(),
        path_edges: BTreeMap::new(),
    }
}
