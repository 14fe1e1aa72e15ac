//! `jackal schedule`: the schedules of a workspace, their next times, and their
//! configuration for schedulers elsewhere.

mod export;
mod github;
mod gitlab;
mod kubernetes;
mod quote;
mod systemd;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::find;
use super::options::Place;
use crate::cron::{self, Shift};
use crate::pipeline::{self, Needs, Schedule, Scheduled};
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
    needs: Needs,
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

/// The schedules of the pipelines that `words` name, by file and name.
///
/// # Errors
///
/// [`BuildError`]: one of these pipelines cannot be read, or has mistakes.
pub fn schedules(here: &Path, words: &[String]) -> Result<Vec<FoundSchedule>, BuildError> {
    let place = Place {
        here: here.to_owned(),
        cache: PathBuf::new().into(),
        connection: Connection::default(),
        program: None,
        environment: Default::default(),
        content_limit: None,
    };
    let first = words.iter().map(|word| here.join(word));
    let first = first
        .filter(|path| path.exists())
        .map(|path| find::real(&path))
        .next();
    let first = first.map(|path| match path.is_dir() {
        true => path,
        false => path.parent().map(Path::to_owned).unwrap_or_default(),
    });
    let root = place.workspace_of(first.as_deref().unwrap_or(here));
    let settings = find::settings(&root, here)?;
    let (selection, files) = find::words(&place, &root, words, &settings)?;
    let mut open: Vec<PathBuf> = files.pipelines.clone();
    let mut seen: BTreeSet<PathBuf> = open.iter().cloned().collect();
    let mut found = Vec::new();
    while let Some(file) = open.pop() {
        let folder = file.parent().unwrap_or(&root);
        let name = find::shown(here, &file).to_string_lossy();
        let text = SourceText::new(name, find::read_text(&file)?);
        let parsed = pipeline::parse_in(&text, &settings);
        let chosen = selection.may_be_in(folder, &file);
        let pipeline = match parsed {
            // A mistake elsewhere stops nothing here.
            Err(_) if !chosen => continue,
            parsed => parsed?,
        };
        for pattern in &pipeline.include {
            let included = files.included(folder, pattern, false);
            open.extend(
                included
                    .into_iter()
                    .filter(|file| seen.insert(file.clone())),
            );
        }
        let needs = pipeline.needs();
        let own = pipeline.schedules.into_iter().filter(|_| chosen);
        found.extend(own.map(|(name, schedule)| FoundSchedule {
            name,
            pipeline: pipeline.name.clone(),
            file: file.strip_prefix(&root).unwrap_or(&file).to_owned(),
            root: root.clone(),
            schedule,
            needs: needs.clone(),
        }));
    }
    found.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    Ok(found)
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
    for of in found {
        let id = id(of);
        if !ids.insert(id.clone()) {
            return Err(ExportError::Twice(id));
        }
        all.push(Named { id, of });
    }
    let mut exported = match options.to {
        Scheduler::GithubActions => github::export(&all, options),
        Scheduler::Gitlab => gitlab::export(&all, options),
        Scheduler::Kubernetes => kubernetes::export(&all, options)?,
        Scheduler::Systemd => systemd::export(&all, options)?,
    };
    let elsewhere = found
        .iter()
        .filter(|one| matches!(one.schedule.runs, Scheduled::Targets(_)));
    exported.warnings.extend(elsewhere.map(|one| {
        format!(
            "`{}` runs targets: logins and secrets of tasks in other files are not in it",
            one.name
        )
    }));
    Ok(exported)
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
