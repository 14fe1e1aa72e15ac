//! `jackal schedule`: schedules of pipelines, and their configuration elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::current_folder;
use super::output::{columns, note, print};
use crate::app::{self, ExportError, ExportOptions, FoundSchedule, Scheduler};
use crate::disk;

#[derive(Subcommand)]
pub(super) enum ScheduleCommand {
    /// List schedules, and when each runs next
    List {
        #[command(flatten)]
        which: WhichArgs,
        #[command(flatten)]
        time: TimeArgs,
    },
    /// Print the next times of all schedules
    Next {
        #[command(flatten)]
        which: WhichArgs,
        #[command(flatten)]
        time: TimeArgs,
        /// Number of times to print
        #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
        count: usize,
    },
    /// Write the configuration of a scheduler
    ///
    /// jackal itself starts nothing at a time of day: a scheduler runs the command of each
    /// schedule. Without --output, the files are printed.
    Export(ExportArgs),
}

/// Which schedules.
#[derive(Args)]
pub(super) struct WhichArgs {
    /// Targets, as for `jackal build` [default: all below the current folder]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Only schedules with this name (repeatable)
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
}

/// From when, and in which format.
#[derive(Args)]
pub(super) struct TimeArgs {
    /// Print times after this one, such as 2026-03-28T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    after: Option<jiff::Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The scheduler
    #[arg(long, value_enum, value_name = "SCHEDULER")]
    to: To,
    /// Write the files into this folder
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Container image to run in, with jackal and git
    #[arg(long, value_name = "REFERENCE")]
    image: Option<String>,
    /// Git repository to clone (kubernetes)
    #[arg(long, value_name = "URL")]
    git: Option<String>,
    /// Checkout on the machine with the timer (systemd) [default: this workspace]
    #[arg(long, value_name = "DIR")]
    checkout: Option<PathBuf>,
    /// User of the service (systemd) [default: owner of this workspace]
    ///
    /// With --checkout, which is on another machine, the default is root.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// A workflow for each schedule
    GithubActions,
    /// Jobs for scheduled pipelines, to be included in .gitlab-ci.yml
    Gitlab,
    /// A CronJob for each schedule
    Kubernetes,
    /// A service and a timer for each schedule
    Systemd,
}

impl TimeArgs {
    fn after(&self) -> jiff::Timestamp {
        self.after.unwrap_or_else(jiff::Timestamp::now)
    }
}

pub(super) fn run(command: ScheduleCommand) -> Result<(), CommandError> {
    match command {
        ScheduleCommand::List { which, time } => list(&which.found()?, &time),
        ScheduleCommand::Next { which, time, count } => next(&which.found()?, &time, count),
        ScheduleCommand::Export(args) => export(args),
    }
}

impl WhichArgs {
    fn found(self) -> Result<Vec<FoundSchedule>, CommandError> {
        let mut found = app::schedules(&current_folder()?, &self.targets)?;
        for name in &self.names {
            if !found.iter().any(|one| one.name == *name) {
                let known: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
                let known = match known.as_slice() {
                    [] => "there are none".to_owned(),
                    known => format!("there are: {}", known.join(", ")),
                };
                let message = format!("no schedule named `{name}`; {known}");
                return Err(CommandError::usage(message));
            }
        }
        found.retain(|one| self.names.is_empty() || self.names.contains(&one.name));
        Ok(found)
    }
}

/// The moment as in `2026-12-01 03:00+01:00`.
fn local(at: &jiff::Zoned) -> String {
    at.strftime("%F %H:%M%:z").to_string()
}

fn list(found: &[FoundSchedule], time: &TimeArgs) -> Result<(), CommandError> {
    let next = |one: &FoundSchedule| {
        let runs = app::next_runs(std::slice::from_ref(one), time.after(), 1);
        runs.into_iter().next().map(|run| run.at)
    };
    if time.json {
        let all: Value = found.iter().map(|one| described(one, next(one))).collect();
        return print(&format!("{all:#}\n"));
    }
    let rows = found.iter().map(|one| {
        [
            one.name.clone(),
            one.schedule.cron.canonical(),
            one.schedule.timezone.clone(),
            next(one).map_or_else(|| "never".to_owned(), |at| format!("next {}", local(&at))),
            format!("{}: {}", one.file.display(), one.what()),
        ]
    });
    print(&columns(&rows.collect::<Vec<_>>()))
}

fn described(one: &FoundSchedule, next: Option<jiff::Zoned>) -> Value {
    json!({
        "name": one.name,
        "file": one.file,
        "pipeline": one.pipeline,
        "cron": one.schedule.cron.canonical(),
        "timezone": one.schedule.timezone,
        "description": one.schedule.description,
        "command": one.command(),
        "next": next.map(|at| at.timestamp().to_string()),
    })
}

fn next(found: &[FoundSchedule], time: &TimeArgs, count: usize) -> Result<(), CommandError> {
    let runs = app::next_runs(found, time.after(), count);
    if time.json {
        let all = runs.iter().map(|run| {
            json!({
                "name": run.of.name,
                "file": run.of.file,
                "at": run.at.timestamp().to_string(),
                "local": local(&run.at),
                "timezone": run.of.schedule.timezone,
                "note": run.note,
            })
        });
        return print(&format!("{:#}\n", all.collect::<Value>()));
    }
    let rows = runs.iter().map(|run| {
        let note = run
            .note
            .map_or_else(String::new, |note| format!(" ({note})"));
        [
            local(&run.at),
            run.of.schedule.timezone.clone(),
            run.at.timestamp().to_string(),
            run.of.name.clone(),
            format!("{}{note}", run.of.file.display()),
        ]
    });
    print(&columns(&rows.collect::<Vec<_>>()))
}

fn export(args: ExportArgs) -> Result<(), CommandError> {
    let here = current_folder()?;
    let found = args.which.found()?;
    let options = ExportOptions {
        to: match args.to {
            To::GithubActions => Scheduler::GithubActions,
            To::Gitlab => Scheduler::Gitlab,
            To::Kubernetes => Scheduler::Kubernetes,
            To::Systemd => Scheduler::Systemd,
        },
        image: args.image,
        git: args.git,
        checkout: args.checkout.map(|folder| here.join(folder)),
        user: args.user,
    };
    let exported = app::export_schedules(&found, &options).map_err(|error| match error {
        ExportError::Workspace(error) => error.into(),
        error => CommandError::usage(error.to_string()),
    })?;
    for warning in &exported.warnings {
        note(&format!("warning: {warning}"));
    }
    let Some(folder) = args.output.map(|folder| here.join(folder)) else {
        let many = exported.files.len() > 1;
        let texts = exported.files.iter().map(|(name, text)| match many {
            true => format!("# File: {name}\n{text}\n"),
            false => text.clone(),
        });
        return print(&texts.collect::<String>());
    };
    std::fs::create_dir_all(&folder).map_err(CommandError::file(&folder))?;
    let mut written = String::new();
    for (name, text) in &exported.files {
        let path = folder.join(name);
        disk::write(&path, text.as_bytes())
            .map_err(|error| CommandError::file(&error.path)(error.source))?;
        written.push_str(&format!("{}\n", path.display()));
    }
    print(&written)
}
