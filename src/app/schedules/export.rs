//! What the files of all schedulers share: options, names and logins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{FoundSchedule, quote};
use crate::app::build_error::BuildError;
use crate::pipeline::{Needs, Place};
use crate::text::shell_word;

/// A scheduler whose configuration can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A workflow for each schedule.
    GithubActions,
    /// A file for `include`, with a job for each schedule.
    Gitlab,
    /// A cron job for each schedule.
    Kubernetes,
    /// A service and a timer for each schedule.
    Systemd,
}

/// What the files should say.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    pub to: Scheduler,
    /// The container image in which jackal runs.
    pub image: Option<String>,
    /// The URL of the Git repository to clone.
    pub git: Option<String>,
    /// The absolute path of the checkout on the machine with the timer; `None`: this one.
    pub checkout: Option<PathBuf>,
    /// The user of the service; `None`: the owner of this workspace, if `checkout` is
    /// `None` too, else root.
    pub user: Option<String>,
}

/// Files for a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Names and texts.
    pub files: BTreeMap<String, String>,
    /// What the scheduler does in another way than the pipeline says.
    pub warnings: Vec<String>,
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is nothing to export.
    #[error("no schedules: add `schedules:` to a pipeline")]
    Nothing,
    /// A flag is missing.
    #[error("{to} needs {flag}: {why}")]
    Missing {
        to: &'static str,
        flag: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// Two schedules would have the same file.
    #[error("two schedules would be named `{0}`: give their pipelines different names")]
    Twice(String),
    /// A path that cannot be written in a unit file.
    #[error(
        "`{0}` cannot be the folder of a service: it must be absolute, without control characters or spaces at its end"
    )]
    Folder(String),
    /// A secret would replace a variable that the scheduler needs.
    #[error(
        "{at}: a scheduler cannot pass the secret in `{variable}`, which it or its shell needs: use another variable"
    )]
    Reserved { at: Place, variable: String },
    /// GitHub has names of its own.
    #[error(
        "GitHub has no secret named `{0}`, since names with GITHUB_ are its own: use another variable"
    )]
    GithubName(String),
    #[error("`{0}` cannot be the name of a user: it has letters, digits, `_`, `-` and `.`")]
    User(String),
    /// The workspace cannot be read any more.
    #[error(transparent)]
    Workspace(#[from] BuildError),
    /// The address holds a login.
    #[error(
        "the address in --git contains a login or a query, which the file would show: remove it"
    )]
    Login,
}

/// A schedule with the name of its files.
pub(super) struct Named<'s> {
    pub id: String,
    pub of: &'s FoundSchedule,
    /// Of the tasks that it builds.
    pub needs: Needs,
}

impl Named<'_> {
    /// Where the file comes from, for its first line.
    pub(super) fn origin(&self) -> String {
        let file = quote::remark(&self.of.file.to_string_lossy());
        format!(
            "Written by `jackal schedule export` from `schedules.{}` of {file}.",
            self.of.name
        )
    }

    /// A line about it.
    pub(super) fn title(&self) -> String {
        let text = self
            .of
            .schedule
            .description
            .as_deref()
            .unwrap_or(&self.of.pipeline);
        format!("jackal {} ({})", self.of.name, quote::remark(text))
    }
}

/// The variables with the login for a host: its user and password.
pub(super) fn login_variables(host: &str) -> [String; 2] {
    let name = host.chars().map(|c| match c.to_ascii_uppercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    });
    let name: String = name.collect();
    // A variable cannot begin with a digit, and an address may.
    [
        format!("LOGIN_{name}_USER"),
        format!("LOGIN_{name}_PASSWORD"),
    ]
}

/// Lines of a shell that log in to registries for the commands after them, without a file.
pub(super) fn login_script(needs: &Needs) -> String {
    if needs.registries.is_empty() {
        return String::new();
    }
    let entries: Vec<&str> = needs
        .registries
        .iter()
        .map(|_| "\"%s\":{\"auth\":\"%s\"}")
        .collect();
    let mut script =
        String::from("login() { printf '%s:%s' \"$1\" \"$2\" | base64 | tr -d '\\n'; }\n");
    script.push_str(&format!(
        "DOCKER_AUTH_CONFIG=$(printf '{{\"auths\":{{{}}}}}'",
        entries.join(",")
    ));
    for host in &needs.registries {
        let [user, password] = login_variables(host);
        script.push_str(&format!(
            " \\\n  {} \"$(login \"${user}\" \"${password}\")\"",
            shell_word(host)
        ));
    }
    script.push_str(")\nexport DOCKER_AUTH_CONFIG\n");
    script
}
