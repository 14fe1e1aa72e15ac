//! What the program reads from its environment: variables, folders, terminal.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::Resettable;
use clap::{Command, Id};

use super::command_error::CommandError;
use crate::app::{BuildFacts, Dialect, KeySources, runtime};

/// The value of a variable; `None` if it is unset or empty.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// `command`, whose flags take no value from variables that are empty: CI sets a
/// missing secret or input to an empty string.
pub(super) fn without_empty_variables(mut command: Command) -> Command {
    let empty: Vec<Id> = (command.get_arguments())
        .filter(|arg| arg.get_env().is_some_and(is_empty))
        .map(|arg| arg.get_id().clone())
        .collect();
    for id in empty {
        command = command.mut_arg(id, |arg| arg.env(Resettable::Reset));
    }
    let names: Vec<String> = (command.get_subcommands())
        .map(|below| below.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, without_empty_variables);
    }
    command
}

/// What shells set for each command that they start: it says nothing about the user.
const OF_SHELLS: [&str; 3] = ["_", "OLDPWD", "SHLVL"];

/// Every variable that is UTF-8 text, but those [`OF_SHELLS`]. Others cannot be part of an
/// action key.
pub(super) fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter(|(name, _)| OF_SHELLS.iter().all(|own| name != own))
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(super) fn current_folder() -> Result<PathBuf, CommandError> {
    let here = std::env::current_dir()
        .map_err(|error| CommandError::io("cannot read the current folder", error))?;
    Ok(std::fs::canonicalize(&here).unwrap_or(here))
}

pub(super) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// Whether the user speaks Zarf's dialect: the program was called by its name, or the
/// current folder has only its definition.
pub(super) fn speaks_zarf() -> bool {
    let has = |dialect: Dialect| Path::new(dialect.definition_file()).is_file();
    is_called_zarf() || has(Dialect::Zarf) && !has(Dialect::Jackal)
}

/// Whether the program was called by Zarf's name.
pub(super) fn is_called_zarf() -> bool {
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.as_deref().and_then(Path::file_stem);
    called.is_some_and(|name| name == "zarf")
}

/// The folders of `PATH`.
pub(super) fn program_folders() -> Vec<PathBuf> {
    std::env::split_paths(&variable("PATH").unwrap_or_default()).collect()
}

/// Where keys are looked up by reference.
pub(super) fn key_sources() -> KeySources {
    KeySources {
        environment: variables(),
        folders: program_folders(),
    }
}

/// The cache folder: flag or `JACKAL_CACHE`, `XDG_CACHE_HOME`, `HOME`.
pub(super) fn cache_folder(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    let usual = || below("XDG_CACHE_HOME", "jackal").or_else(|| below("HOME", ".cache/jackal"));
    given.or_else(usual).ok_or_else(|| {
        CommandError::usage("no cache folder: HOME is not set").hint("set --cache-dir")
    })
}

/// The folder for the journals of releases: flag or `JACKAL_STATE_DIR`,
/// `XDG_STATE_HOME`, `HOME`; where none of these can be written, as in many
/// containers, a folder of the cache.
pub(super) fn state_folder(
    given: Option<PathBuf>,
    cache: Option<&Path>,
    purpose: Journals,
) -> Result<PathBuf, CommandError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let usual = below("XDG_STATE_HOME", "jackal/releases")
        .or_else(|| below("HOME", ".local/state/jackal/releases"));
    let cache = cache.map(Path::to_owned);
    let cache = cache.or_else(|| cache_folder(variable("JACKAL_CACHE").map(PathBuf::from)).ok());
    let other = cache.map(|cache| cache.join("journals"));
    let places = [usual.clone(), other];
    let mut usable = places.into_iter().flatten().filter(|place| match purpose {
        Journals::Written => can_be_written(place),
        Journals::Read => place.is_dir(),
    });
    match (usable.next(), usual) {
        (Some(found), _) => Ok(found),
        (None, Some(usual)) if purpose == Journals::Read => Ok(usual),
        (None, usual) => {
            let why = match usual {
                Some(usual) => format!("`{}` cannot be written", usual.display()),
                None => "HOME is not set".to_owned(),
            };
            let error =
                CommandError::usage(format!("no folder for the journals of releases: {why}"));
            Err(error.hint("set --state-dir or JACKAL_STATE_DIR"))
        }
    }
}

/// How a command uses the journals in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Journals {
    /// They are only read, or removed.
    Read,
    /// New ones are written.
    Written,
}

/// Whether files can be made in `folder`. Makes the folder.
fn can_be_written(folder: &Path) -> bool {
    use rustix::fs::{Access, access};
    std::fs::create_dir_all(folder).is_ok()
        && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn below(variable_name: &str, path: &str) -> Option<PathBuf> {
    variable(variable_name).map(|folder| PathBuf::from(folder).join(path))
}

/// Whether the user turned the live view off, by a flag or a setting.
static DRAWS_NOTHING: AtomicBool = AtomicBool::new(false);

/// Draws no progress from now on.
pub(super) fn draw_nothing() {
    DRAWS_NOTHING.store(true, Ordering::Relaxed);
}

/// Whether progress can be drawn on stderr.
pub(super) fn draws() -> bool {
    if DRAWS_NOTHING.load(Ordering::Relaxed) {
        return false;
    }
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb && variable("CI").is_none()
}

/// Whether there is a user to answer questions.
pub(super) fn interactive() -> bool {
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    terminal && variable("CI").is_none()
}

/// Facts for the build section of packages; `SOURCE_DATE_EPOCH` or 0 is the time.
pub(super) fn build_facts(machine: bool) -> Result<BuildFacts, CommandError> {
    let timestamp = match variable("SOURCE_DATE_EPOCH") {
        None => 0,
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                CommandError::usage(format!(
                    "SOURCE_DATE_EPOCH is `{}`, expected whole seconds since 1970",
                    text.to_string_lossy()
                ))
            })?,
    };
    let host = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let user = || variable("USER").map(|text| text.to_string_lossy().into_owned());
    Ok(BuildFacts {
        timestamp,
        terminal: machine.then(host),
        user: machine.then(user).flatten(),
    })
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    runtime::threads().map_err(|error| CommandError::io("cannot start threads", error))
}

/// The path of this program.
pub(super) fn program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// Whether a person reads stdout.
pub(super) fn is_shown() -> bool {
    std::io::stdout().is_terminal()
}

/// The title of a page about the current folder.
pub(super) fn page_title(what: &str) -> String {
    let here = current_folder().unwrap_or_default();
    let name = here.file_name().unwrap_or(here.as_os_str());
    format!("{what}: {}", name.to_string_lossy())
}
