//! `jackal build --watch`: one build after the other, until a signal.

use std::collections::BTreeSet;
use std::path::Path;

use tokio::sync::mpsc;

use super::carry_out::{Logs, ReportArgs, conclude, drawn, foresee, stop_at};
use super::command_error::CommandError;
use super::environment::runtime;
use super::exit::Exit;
use super::output::{note, one_line};
use super::prepare::{limit_threads, remarks};
use super::signal::{self, Signals};
use crate::app::{BuildOptions, Cause, Stop, Watch};
use crate::text::first_of;

/// Number of changed files that a round names.
const NAMED: usize = 3;

pub(super) fn watch(
    options: BuildOptions,
    reports: &ReportArgs,
    logs: Logs,
) -> Result<(), CommandError> {
    let runtime = runtime()?;
    limit_threads(&options);
    let here = options.place.here.clone();
    let mut progress = reports.progress(logs)?;
    let signals = Signals::handle(&runtime);
    let ended = runtime.block_on(async {
        let mut stop = stop_at(signals);
        let mut watch = Watch::start(options, reports.files())?;
        // What was said of the plan before is not said again.
        let (mut said, mut first) = (BTreeSet::new(), true);
        loop {
            match watch.plan(&mut |_| None) {
                Err(error) => {
                    let error = CommandError::from(error);
                    // A file can be mended; a missing one, or the network, is not awaited.
                    if first && error.exit() != Exit::Configuration {
                        return Err(error);
                    }
                    note(&error.to_string());
                }
                Ok(planned) => {
                    progress.forget_forecast();
                    let foreseen = planned.filter(|_| progress.foresees());
                    let foreseen = foreseen.map(foresee);
                    let remarks = planned.map(remarks).unwrap_or_default();
                    for remark in remarks {
                        if !said.contains(&remark) {
                            note(&remark);
                            said.insert(remark);
                        }
                    }
                    let (events, received) = mpsc::unbounded_channel();
                    let drawing = tokio::spawn(drawn(progress, received, stop.clone(), foreseen));
                    let built = watch.round(events, stop.clone()).await;
                    progress = drawing
                        .await
                        .map_err(|error| CommandError::new(Exit::Environment, error))?;
                    let concluded = conclude(built?, reports);
                    if *stop.borrow() != Stop::No {
                        return concluded.map(drop);
                    }
                    if let Err(error) = concluded {
                        note(&error.to_string());
                    }
                }
            }
            match first {
                true => note(&format!(
                    "watching {} folders; press Ctrl-C to stop",
                    watch.folders()
                )),
                false => note("waiting for changes"),
            }
            first = false;
            tokio::select! {
                cause = watch.changed() => note(&line(&here, &cause?)),
                _ = stop.wait_for(|stop| *stop != Stop::No) => return Ok(()),
            }
        }
    });
    match signal::exit() {
        // Ctrl-C is how it ends.
        Exit::Interrupted => ended,
        other if ended.is_ok() => Err(CommandError::new(other, "stopped by a signal")),
        _ => ended,
    }
}

/// Why the next round begins.
fn line(here: &Path, cause: &Cause) -> String {
    let shown = |path: &Path| {
        let path = path.strip_prefix(here).unwrap_or(path);
        format!("`{}`", one_line(&path.to_string_lossy()))
    };
    let paths = first_of(cause.paths.iter().map(|path| shown(path)), NAMED);
    match (cause.paths.is_empty(), cause.loops) {
        (true, _) => "too many changes at once: looking at everything again".to_owned(),
        (false, false) => format!("changed: {paths}"),
        (false, true) => format!(
            "warning: {paths} changed in several builds in a row while the tasks that read it \
             were running; does a task write its own inputs?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_says_what_changed() {
        let cause = |count: usize, loops| Cause {
            paths: (0..count).map(|n| format!("/w/f{n}").into()).collect(),
            loops,
        };
        let here = Path::new("/w");
        assert_eq!(line(here, &cause(1, false)), "changed: `f0`");
        assert_eq!(
            line(here, &cause(5, false)),
            "changed: `f0`, `f1`, `f2` and 2 more"
        );
        assert!(line(here, &cause(0, false)).starts_with("too many changes"));
        assert!(line(here, &cause(1, true)).starts_with("warning: `f0` changed in several"));
    }
}
