//! `--affected`, for every command that takes it.

use clap::Args;
use tokio::runtime::Runtime;

use super::command_error::CommandError;
use super::output::note;
use crate::app::{Affected, Prepared, Since};

/// The value of `--affected` if none is given; no revision has a space.
const LAST_GOOD_RUN: &str = "the last good run";

/// Only tasks that changes affect.
#[derive(Args)]
pub(super) struct AffectedArgs {
    /// Only tasks that changes affect [since: the last good run]
    ///
    /// Compares what tasks read with the last run without failures, as the cache has it,
    /// and needs no Git. With a revision, such as origin/main, compares files with that:
    /// committed, staged, other and untracked changes count. What a task needs is built
    /// with it.
    #[arg(
        long,
        value_name = "REVISION",
        help_heading = "Affected tasks",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = LAST_GOOD_RUN
    )]
    affected: Option<String>,
    /// Compare with what is published, instead of the last good run (repeatable)
    ///
    /// `published` is where the tasks of the workspace publish. Else oci://HOST/PATH, which
    /// holds the packages, or one package, as oci://HOST/PATH/NAME:TAG.
    #[arg(
        long,
        value_name = "PLACE",
        help_heading = "Affected tasks",
        requires = "affected"
    )]
    against: Vec<String>,
}

impl AffectedArgs {
    /// What to compare with; `None`: all tasks are meant.
    pub(super) fn since(&self) -> Result<Option<Since>, CommandError> {
        let Some(affected) = &self.affected else {
            return Ok(None);
        };
        Ok(Some(match (affected.as_str(), self.against.as_slice()) {
            (LAST_GOOD_RUN, []) => Since::LastGoodRun,
            (LAST_GOOD_RUN, places) => Since::Published(places.to_vec()),
            ("", _) => {
                let error = "--affected=: expected a revision after `=`";
                return Err(CommandError::usage(error)
                    .hint("leave out `=` to compare with the last good run"));
            }
            (revision, []) => Since::Revision(revision.to_owned()),
            _ => {
                let error = "--against compares with what is published, and --affected=REVISION with a revision";
                return Err(CommandError::usage(error).hint("leave out one of them"));
            }
        }))
    }
}

/// The affected tasks, with notes about the comparison on the terminal.
pub(super) fn find(
    prepared: &Prepared,
    since: &Since,
    runtime: &Runtime,
) -> Result<Affected, CommandError> {
    let affected = runtime.block_on(prepared.affected(since))?;
    for text in &affected.notes {
        note(&format!("note: {text}"));
    }
    Ok(affected)
}

/// One line for each task.
pub(super) fn lines(affected: &Affected) -> String {
    let tasks = affected.tasks.iter();
    tasks
        .map(|task| format!("affected {}: {}\n", task.chosen.task, task.reason))
        .collect()
}
