//! `jackal schedule`: the schedules of a workspace, their next times, and their
//! configuration for schedulers elsewhere.

mod export;
mod github;
mod gitlab;
mod kubernetes;
mod needs;
mod quote;
mod systemd;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::build_options::Target;
use super::find;
use super::options::Place;
use crate::cron::{self, Shift};
use crate::pipeline::{self, Pipeline, Schedule, Scheduled};
use crate::plan::{Candidate, Chosen, Selection};
use crate::registry::Connection;
use crate::yaml::SourceText;

use export::Named;

pub use export::{ExportError, ExportOptions, Exported, Scheduler};

/// A schedule, and the pipeline that it belongs to.
#[derive(Clone, Debug)]
pub struct FoundSchedule {
    /// Its name in the file.
    pub name: String,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The pipeline file, relative to the root of the workspace.
    pub file: PathBuf,
    /// The root of the workspace.
    pub root: PathBuf,
    /// Times, tasks and parameters.
    pub schedule: Schedule,
}

impl FoundSchedule {
    /// The command that it runs at the root of the workspace.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let mut command = vec!["jackal".to_owned(), "build".to_owned()];
        for (name, value) in &self.schedule.params {
            command.extend(["--param".to_owned(), format!("{name}={value}")]);
        }
        match &self.schedule.runs {
            Scheduled::Tasks(tasks) => {
                let file = self.file.to_string_lossy().into_owned();
                command.extend(["--pipeline".to_owned(), file]);
                let tasks = tasks
                    .iter()
                    .flat_map(|task| ["--task".to_owned(), task.clone()]);
                command.extend(tasks);
            }
            Scheduled::Targets(targets) => {
                command.push("--".to_owned());
                command.extend(targets.iter().cloned());
            }
        }
        command
    }

    /// What it runs, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.schedule.runs {
            Scheduled::Tasks(tasks) if tasks.is_empty() => "all tasks".to_owned(),
            Scheduled::Tasks(names) | Scheduled::Targets(names) => names.join(", "),
        }
    }
}

/// One run of a schedule.
#[derive(Clone, Debug)]
pub struct NextRun<'s> {
    pub of: &'s FoundSchedule,
    pub at: jiff::Zoned,
    /// What a change of the clocks does to it.
    pub note: Option<&'static str>,
}

/// The schedules of the pipelines with a task that `words` select, by file and name. The
/// words are those of `jackal build`.
///
/// # Errors
///
/// [`BuildError`]: a word names nothing, or one of these pipelines cannot be read, or has
/// mistakes.
pub fn schedules(here: &Path, words: &[String]) -> Result<Vec<FoundSchedule>, BuildError> {
    let place = place(here);
    let target = Target::Words {
        words: words.to_vec(),
        params: BTreeMap::new(),
    };
    let root = target.workspace(&place);
    let settings = find::settings(&root, here)?;
    let (mut selection, files) = find::words(&place, &root, words, &settings)?;
    for named in &mut selection.chosen {
        // A pipeline has tasks, and a plan the values of their matrices.
        if let Chosen::Task { name, .. } = &mut named.chosen {
            name.truncate(name.find('[').unwrap_or(name.len()));
        }
    }
    let read = files.with_included(&files.pipelines, false, |file, include| {
        let name = find::shown(here, &file).to_string_lossy();
        let read = find::read_text(&file)
            .and_then(|text| Ok(pipeline::parse_in(&SourceText::new(name, text), &settings)?));
        let folder = file.parent().unwrap_or(&root).to_owned();
        // A mistake elsewhere stops nothing here.
        if read.is_err() && !selection.may_be_in(&folder, &file) {
            return None;
        }
        if let Ok(pipeline) = &read {
            for pattern in &pipeline.include {
                include(pattern);
            }
        }
        Some(read.map(|pipeline| Read {
            folder,
            file,
            pipeline,
        }))
    });
    let all: Vec<Read> = read.into_iter().flatten().collect::<Result<_, _>>()?;
    for named in &selection.chosen {
        let known = named.known_among(all.iter().flat_map(Read::tasks));
        known.map_err(BuildError::Task)?;
    }
    let chosen = all.iter().filter(|read| read.is_in(&selection));
    let mut found: Vec<FoundSchedule> = chosen
        .flat_map(|read| read.pipeline.schedules.iter().map(move |one| (read, one)))
        .map(|(read, (name, schedule))| FoundSchedule {
            name: name.clone(),
            pipeline: read.pipeline.name.clone(),
            file: read
                .file
                .strip_prefix(&root)
                .unwrap_or(&read.file)
                .to_owned(),
            root: root.clone(),
            schedule: schedule.clone(),
        })
        .collect();
    found.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    Ok(found)
}

/// A pipeline of the workspace.
struct Read {
    folder: PathBuf,
    file: PathBuf,
    pipeline: Pipeline,
}

impl Read {
    fn tasks(&self) -> impl Iterator<Item = Candidate<'_>> + Clone {
        self.pipeline.tasks.iter().map(|(name, task)| Candidate {
            folder: &self.folder,
            file: &self.file,
            name: name.as_str(),
            tags: &task.settings.tags,
        })
    }

    /// Whether any of its tasks is selected, or it is itself and has none.
    fn is_in(&self, selection: &Selection) -> bool {
        let itself = Candidate {
            folder: &self.folder,
            file: &self.file,
            name: "",
            tags: &[],
        };
        match self.pipeline.tasks.is_empty() {
            true => selection.takes(&itself, false),
            false => self.tasks().any(|task| selection.takes(&task, false)),
        }
    }
}

/// A place to read a workspace from: nothing is run or fetched.
fn place(here: &Path) -> Place {
    Place {
        here: here.to_owned(),
        cache: PathBuf::new().into(),
        connection: Connection::default(),
        program: None,
        environment: BTreeMap::new(),
        content_limit: None,
    }
}

/// The next `count` runs of all these schedules together, in order.
#[must_use]
pub fn next_runs(
    found: &[FoundSchedule],
    after: jiff::Timestamp,
    count: usize,
) -> Vec<NextRun<'_>> {
    let mut runs = Vec::new();
    for one in found {
        // The checker has found the zone.
        let Ok((_, zone)) = cron::zone(&one.schedule.timezone) else {
            continue;
        };
        let own = one.schedule.cron.runs_after(&zone, after).take(count);
        runs.extend(own.map(|run| NextRun {
            of: one,
            at: run.at,
            note: match run.shift {
                Shift::None => None,
                Shift::Skipped => Some("the clocks skip this time: runs after the change"),
                Shift::Repeated => Some("this time occurs twice: runs the first time"),
            },
        }));
    }
    runs.sort_by_key(|run| run.at.timestamp());
    runs.truncate(count);
    runs
}

/// Writes the configuration of `options.to` for these schedules.
///
/// # Errors
///
/// [`ExportError`]
pub fn export(found: &[FoundSchedule], options: &ExportOptions) -> Result<Exported, ExportError> {
    if found.is_empty() {
        return Err(ExportError::Nothing);
    }
    let mut ids = BTreeSet::new();
    let mut all = Vec::new();
    for (of, needs) in found.iter().zip(needs::all(found)?) {
        let id = id(of);
        if !ids.insert(id.clone()) {
            return Err(ExportError::Twice(id));
        }
        all.push(Named { id, of, needs });
    }
    match options.to {
        Scheduler::GithubActions => github::export(&all, options),
        Scheduler::Gitlab => Ok(gitlab::export(&all, options)),
        Scheduler::Kubernetes => kubernetes::export(&all, options),
        Scheduler::Systemd => systemd::export(&all, options),
    }
}

/// Longest part of a name that comes from a pipeline: with a schedule's, a cron job's name
/// has at most 52 characters.
const MAX_PIPELINE: usize = 20;

/// The name of a schedule among those of all pipelines.
fn id(of: &FoundSchedule) -> String {
    let name = of.pipeline.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let name: String = name.take(MAX_PIPELINE).collect();
    match name.trim_matches('-') {
        "" => of.name.clone(),
        pipeline => format!("{pipeline}-{}", of.name),
    }
}
