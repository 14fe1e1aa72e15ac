//! Toolchains: folders that belong together, such as a release of Go, and the managers of
//! versions that select one of them.

mod aliases;
mod installed;
mod layouts;
mod managers;
mod selectors;
mod version;

use std::path::{Path, PathBuf};

use crate::ground::Failure;

pub(super) use version::{Wanted, is_met, number};

/// Files that may select versions of these tools, in the folder of a command or above it.
pub(crate) fn selectors_of(tools: &[String]) -> Vec<&'static str> {
    let has = |names: &[&str]| {
        let mut tools = tools.iter();
        tools.any(|tool| names.contains(&tool.split('@').next().unwrap_or(tool)))
    };
    let mut names: Vec<&str> = managers::selectors().collect();
    // These two are much more than a selection.
    names.retain(|name| *name != "package.json" || has(&["node", "npm", "npx", "yarn", "pnpm"]));
    if has(&["go", "gofmt"]) {
        names.extend(["go.mod", "go.work"]);
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// What a program is looked up with.
pub(super) struct Query<'a> {
    /// The name of the program.
    pub(super) name: &'a str,
    /// The version that it must have.
    pub(super) version: Option<&'a str>,
    /// Where `PATH` has it.
    pub(super) at: &'a Path,
    /// The same, links resolved.
    pub(super) real: &'a Path,
    pub(super) home: &'a Path,
    /// The folder that the command starts in.
    pub(super) folder: &'a Path,
    /// Variables of the task, else of the user.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A program of a toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toolchain {
    /// What kind of toolchain it is, or who manages it.
    pub(super) kind: String,
    pub(super) root: PathBuf,
    pub(super) program: PathBuf,
    pub(super) version: Option<String>,
    /// The names of programs that have this version.
    pub(super) mains: &'static [&'static str],
    /// What is needed of it, below the root; empty: all.
    pub(super) parts: Vec<String>,
    /// Names of folders whose content follows from other files.
    pub(super) skipped: &'static [&'static str],
    /// Variables that it needs.
    pub(super) env: Vec<(&'static str, String)>,
    /// The version that a file or variable asks for, which is part of the key.
    pub(super) selected: Option<String>,
    /// Whether the folder of the command has an influence.
    pub(super) by_folder: bool,
    pub(super) reasons: Vec<String>,
}

/// What a manager says of a program.
pub(super) enum Managed {
    /// It is not one of a manager's.
    No,
    /// The manager leaves it to the rest of `PATH`.
    Elsewhere,
    Found(Box<Toolchain>),
}

/// The toolchain that a manager selects, or an environment that somebody made of one.
pub(super) fn managed(query: &Query<'_>) -> Result<Managed, Failure> {
    if let Some(environment) = layouts::environment(query.at) {
        return Ok(Managed::Found(Box::new(environment)));
    }
    let found = managers::select(query)?;
    Ok(match found {
        managers::Selection::No => Managed::No,
        managers::Selection::Elsewhere => Managed::Elsewhere,
        managers::Selection::Found(chosen) => {
            let mut toolchain = layouts::describe(chosen.root, chosen.program);
            if toolchain.version.is_none() || chosen.manager == "pyenv" {
                toolchain.version = number(&chosen.version).or(Some(chosen.version));
            }
            toolchain.kind = format!("{} by {}", toolchain.kind, chosen.manager);
            toolchain.selected = chosen.selected;
            toolchain.by_folder = true;
            toolchain.reasons.insert(0, chosen.reason);
            Managed::Found(Box::new(toolchain))
        }
    })
}

/// The toolchain that the program at `real`, which no package brings, is in.
///
/// # Errors
///
/// A file of the workspace requires another version of it.
pub(super) fn unmanaged(query: &Query<'_>) -> Result<Option<Toolchain>, Failure> {
    let Some(toolchain) = layouts::find(query.real) else {
        return Ok(None);
    };
    match toolchain.kind.as_str() {
        "Go" => selectors::go_mod(query, toolchain, &|root, program| {
            layouts::describe(root, program)
        })
        .map(Some),
        _ => Ok(Some(toolchain)),
    }
}

#[cfg(test)]
mod tests;
