//! Why a command failed, as far as its end, its log and this machine tell.
//!
//! The one place where causes are made. Each says what was found and what to change; a
//! log can mention anything, so a cause is a probable one.

mod files;
mod outputs;
mod programs;
mod services;
mod system;

use super::RunWork;
use super::command::{Failed, Mask, Remains, RunError, RunTask};
use crate::ground::confine::Confinement;
use crate::ground::inputs::Inputs;
use crate::ground::link::Lost;
use crate::ground::process::ProcessError;
use crate::ground::sandbox::Level;
use crate::ground::site::Site;
use crate::ground::{Again, Cause, CauseKind, Failure, Reported};
use crate::junit::Report;
pub(crate) use files::MAKEFILES;

/// Maximum number of causes in a failure; more do not help.
const MAX_CAUSES: usize = 5;

/// How much of a log is searched at its beginning and at its end, in bytes: 64 KiB each.
const MAX_SEARCHED: usize = 64 << 10;

/// A command that ran, with what it could see.
pub(super) struct Scene<'s> {
    site: &'s Site,
    work: &'s RunWork,
    inputs: Inputs,
    level: Level,
    rules: Confinement,
    shims: Vec<String>,
    secrets: Vec<String>,
}

impl<'s> Scene<'s> {
    /// What `task`, which is about to run, can see.
    pub(super) fn of(site: &'s Site, work: &'s RunWork, task: &RunTask) -> Self {
        system::begin();
        Self {
            site,
            work,
            inputs: task.inputs.clone(),
            level: task.level,
            rules: Confinement {
                readable: task.readable.clone(),
                writable: Vec::new(),
            },
            shims: task.shims.clone(),
            secrets: task.secrets.clone(),
        }
    }

    /// The failure of a command, with its causes.
    pub(super) fn failure(&self, failed: Failed) -> Failure {
        let Failed { error, remains } = failed;
        let Remains {
            stage,
            reported,
            lost,
        } = *remains;
        let mut causes = self.causes(&error, &lost);
        if matches!(error, RunError::Exit { .. }) {
            let report = reported.report.as_deref();
            causes.splice(0..0, report.and_then(failed_tests));
        }
        let is_exit = matches!(error, RunError::Exit { .. });
        let mut failure = Failure::from(error);
        if is_exit && causes.is_empty() && !failure.log.is_empty() {
            failure.message.push_str("; see its log");
        }
        failure.stage = stage.map(Box::new);
        let warnings = self.work.about_reports(&reported);
        failure.reported = Some(Box::new(Reported {
            warnings,
            ..reported
        }));
        self.masked(failure.because(causes))
    }

    /// Names of files can be made from secrets, and links can point to such names.
    fn masked(&self, mut failure: Failure) -> Failure {
        let mask = Mask::of(&self.secrets);
        failure.message = mask.line(&failure.message);
        for cause in &mut failure.causes {
            cause.message = mask.line(&cause.message);
            cause.help = mask.line(&cause.help);
        }
        failure
    }

    /// What the log of a command that succeeded tells of files that it missed.
    pub(super) fn warnings(&self, log: &str, lost: &[Lost]) -> Vec<String> {
        let lost = lost.iter();
        let lost = lost.filter_map(|lost| services::cause(self, *lost, log));
        let lost = lost.map(|cause| format!("{}: {}", cause.message, cause.help));
        let mask = Mask::of(&self.secrets);
        let all = lost.chain(self.refused(log));
        all.map(|text| mask.line(&text)).collect()
    }

    /// What the log tells of files that the sandbox refused.
    fn refused(&self, log: &str) -> Option<String> {
        if self.level == Level::Free {
            return None;
        }
        let log = services::plain(self, log);
        let refused = self.rules.refused_in(&files::refusals(&log));
        let names: Vec<String> = refused
            .iter()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        (!names.is_empty()).then(|| format!(
            "the command succeeded, but its log mentions {}, which the task did not declare and cannot open: add files to `inputs`, programs to `tools`, or set `sandbox: none`",
            names.join(", ")
        ))
    }

    fn causes(&self, error: &RunError, lost: &[Lost]) -> Vec<Cause> {
        let log = match error {
            RunError::Exit { log, .. }
            | RunError::Signaled { log, .. }
            | RunError::TimedOut { log, .. }
            | RunError::Unready { log, .. } => log.as_str(),
            _ => "",
        };
        let lost = lost.iter();
        let lost = lost.filter_map(|lost| services::cause(self, *lost, log));
        let mut found: Vec<Cause> = lost.collect();
        found.extend(self.of_command(error));
        found.truncate(MAX_CAUSES);
        found
    }

    /// Causes that are not of its services.
    fn of_command(&self, error: &RunError) -> Vec<Cause> {
        let searched = |log: &str| searched(&services::plain(self, log));
        match error {
            RunError::Exit { code, log } => self.of_exit(*code, searched(log)),
            RunError::Unready {
                again: Some(Again::Exit(code)),
                log,
            } => self.of_exit(*code, searched(log)),
            RunError::Signaled { signal, log } => system::killed(*signal, &searched(log))
                .into_iter()
                .collect(),
            RunError::TimedOut { running, .. } => vec![Cause {
                kind: CauseKind::Running,
                message: match running.is_empty() {
                    true => "what it was running is not known".to_owned(),
                    false => format!("it was running {}", running.join(", ")),
                },
                help: format!(
                    "raise `timeout`{}, or check what the command waits for",
                    self.work.place.at("timeout")
                ),
            }],
            RunError::Unkept(unkept) => outputs::causes(self, &unkept.error, &unkept.left),
            RunError::Process(ProcessError::Start { program, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                files::named(self, program).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn of_exit(&self, code: i32, log: String) -> Vec<Cause> {
        let mut found: Vec<Cause> = Vec::new();
        // A shell says of a command that a signal killed: 128 and its number.
        found.extend(system::killed(code - 128, &log));
        found.extend(system::disk_full(&log, self.site.cas.root()));
        found.extend(programs::causes(self, &log));
        found.extend(files::causes(self, &log));
        if !self.work.git && log.contains(WITHOUT_REPOSITORY) {
            found.push(Cause {
                kind: CauseKind::UndeclaredInput,
                message: "it sees no Git repository".to_owned(),
                help: format!(
                    "add `git: true` to the task{} if it asks Git for its commit",
                    self.work.place.at("git")
                ),
            });
        }
        let offline = self.level == Level::Namespaces && !self.work.network;
        if offline && misses_network(&log) {
            found.push(Cause {
                kind: CauseKind::NoNetwork,
                message: "it has no network".to_owned(),
                help: format!(
                    "add `network: true` to the task{} if it needs the network",
                    self.work.place.at("network")
                ),
            });
        } else if found.is_empty() && self.level != Level::Free {
            found.extend(self.of_shims());
        }
        found
    }

    /// What the scripts among the tools may have looked for.
    fn of_shims(&self) -> Option<Cause> {
        let names: Vec<String> = self.shims.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| Cause {
            kind: CauseKind::ScriptTool,
            message: format!(
                "{} may look for another program in HOME, which is empty in the sandbox",
                names.join(", ")
            ),
            help: format!(
                "add that program's path to `tools`{}",
                self.work.place.at("tools")
            ),
        })
    }
}

/// How many tests failed, if any did. The record and the command line list them.
fn failed_tests(report: &Report) -> Option<Cause> {
    let counts = report.counts();
    let failed = counts.failures + counts.errors;
    (failed > 0).then(|| Cause {
        kind: CauseKind::FailedTests,
        message: match counts.tests {
            1 => "its only test failed".to_owned(),
            tests => format!("{failed} of {tests} tests failed"),
        },
        help: String::new(),
    })
}

/// The parts of a log that are searched: its beginning and its end.
fn searched(log: &str) -> String {
    if log.len() <= 2 * MAX_SEARCHED {
        return log.to_owned();
    }
    let (mut begin, mut end) = (MAX_SEARCHED, log.len() - MAX_SEARCHED);
    while !log.is_char_boundary(begin) {
        begin -= 1;
    }
    while !log.is_char_boundary(end) {
        end += 1;
    }
    format!("{}\n{}", &log[..begin], &log[end..])
}

/// What common programs print without a network, in lower case.
const WITHOUT_NETWORK: [&str; 9] = [
    "could not resolve",
    "couldn't resolve",
    "eai_again",
    "getaddrinfo",
    "name or service not known",
    "name resolution",
    "network is unreachable",
    "no such host",
    "unable to resolve",
];

/// What Git prints outside of a repository.
const WITHOUT_REPOSITORY: &str = "not a git repository";

fn misses_network(log: &str) -> bool {
    let log = log.to_lowercase();
    WITHOUT_NETWORK.iter().any(|text| log.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_searched() {
        let log = format!("first\n{}\nlast", "é".repeat(MAX_SEARCHED + 1));
        let found = searched(&log);
        assert!(found.starts_with("first\n") && found.ends_with("\nlast"));
        assert!(found.len() <= 2 * MAX_SEARCHED + 1);
        assert_eq!(searched("short"), "short");
    }
}
