//! The programs of a command: which ones it declares, what they add to its key, and what
//! they need to run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RunWork;
use crate::action::Action;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::Site;
use crate::ground::tools::{self, Declared, Search, Tool};
use crate::ground::{Class, Failure};
use crate::pipeline::verb::Run;
use crate::pipeline::{Identity, Probe, Service, Toolchain};

/// What a package of the system is called among the tools of an action.
const PACKAGE: &str = "package:";

/// The programs of a command, in the order of `PATH`, each with the name that the task
/// has for it.
#[derive(Default)]
pub(super) struct Programs {
    tools: Vec<(String, Arc<Tool>)>,
    /// Files and folders that they read, at their own paths.
    pub(super) readable: Vec<PathBuf>,
}

/// Adds the identities of all programs to the key.
pub(super) fn enter(site: &Site, work: &RunWork, action: &mut Action) -> Result<(), Failure> {
    let programs = Programs::of(site, work)?;
    // The first program of a name is the one that a command finds.
    action.settings.put("path", programs.order());
    for (name, tool) in programs.tools {
        action.tools.insert(name, tool.digest);
    }
    for name in &work.packages {
        let package =
            tools::package(site, name).map_err(|failure| located(work, failure, "packages"))?;
        let name = format!("{PACKAGE}{name}");
        action.tools.insert(name, package.identity);
    }
    Ok(())
}

/// Adds what of the checkout selects programs, or is one of a declared toolchain.
pub(super) fn read(work: &RunWork, reads: &mut CheckoutReads) {
    if !work.tools.is_empty() {
        let names = tools::selectors(&work.tools);
        reads.add_selectors(&folder(work), names);
    }
    for toolchain in work.toolchains.values() {
        let files = match &toolchain.identity {
            tools::Identity::Files(files) => files.as_slice(),
            _ => &[],
        };
        let all = files.iter().chain(&toolchain.mounts).chain(&toolchain.path);
        all.for_each(|path| reads.add_file(path));
    }
}

/// Looks up all programs again: if one was replaced while a command ran, another program
/// than the key names may have made the result.
pub(super) fn check_again(site: &Site, work: &RunWork, action: &Action) -> Result<(), Failure> {
    tools::look_again(site);
    let folder = folder(work);
    let search = search(site, work, &folder);
    for (name, digest) in &action.tools {
        match name.strip_prefix(PACKAGE) {
            Some(name) if tools::package(site, name)?.identity != *digest => {
                return Err(Failure::changed(PathBuf::from(name)));
            }
            Some(_) => {}
            None => search.check_again(name, digest)?,
        }
    }
    Ok(())
}

/// `failure`, which is a mistake in `key`, with the line of the key.
fn located(work: &RunWork, failure: Failure, key: &str) -> Failure {
    match failure.class {
        Class::Configuration => failure.at(&work.place.of(key)),
        _ => failure,
    }
}

/// Where the command starts: files beside it and above may select versions.
pub(super) fn folder(work: &RunWork) -> PathBuf {
    work.folder.join(&work.workdir)
}

pub(super) fn search<'a>(site: &'a Site, work: &'a RunWork, folder: &'a Path) -> Search<'a> {
    Search {
        site,
        path: &work.path,
        env: &work.env,
        folder,
        declared: &work.toolchains,
    }
}

/// The toolchains among `tools`, with the paths of this machine.
pub(super) fn toolchains(
    declared: &BTreeMap<String, Toolchain>,
    tools: &[String],
    folder: &Path,
    home: &str,
) -> BTreeMap<String, Declared> {
    let located = |paths: &[String]| -> Vec<PathBuf> {
        let paths = paths.iter();
        paths
            .map(|path| tools::located(path, folder, home))
            .collect()
    };
    let text = |text: &String| match text.starts_with("~/") {
        true => tools::located(text, folder, home)
            .to_string_lossy()
            .into_owned(),
        false => text.clone(),
    };
    let chosen = declared.iter().filter(|(name, _)| tools.contains(name));
    let resolved = chosen.map(|(name, toolchain)| {
        let identity = match &toolchain.identity {
            Identity::Content => tools::Identity::Content,
            Identity::Files(files) => tools::Identity::Files(located(files)),
            Identity::Command(argv) => tools::Identity::Command(argv.iter().map(text).collect()),
        };
        let env = toolchain.env.iter();
        let declared = Declared {
            mounts: located(&toolchain.mounts),
            identity,
            path: located(&toolchain.path),
            env: env
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        };
        (name.clone(), declared)
    });
    resolved.collect()
}

/// All toolchains of a pipeline, with the paths of this machine.
pub(crate) fn toolchains_in(
    declared: &BTreeMap<String, Toolchain>,
    folder: &Path,
    home: &str,
) -> BTreeMap<String, Declared> {
    let names: Vec<String> = declared.keys().cloned().collect();
    toolchains(declared, &names, folder, home)
}

impl Programs {
    /// Whether a program is declared under this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|(own, _)| own == name)
    }

    /// Whether `path` is among what the programs read, and so is visible with them.
    pub(super) fn bring(&self, path: &Path) -> bool {
        self.readable.iter().any(|own| path.starts_with(own))
    }

    /// The name of the program or toolchain that has the file at `path`.
    pub(super) fn that_has(&self, path: &Path) -> Option<&str> {
        let mut tools = self.tools.iter();
        let found = tools.find(|(_, tool)| tool.readable.iter().any(|own| path.starts_with(own)));
        found.map(|(name, _)| name.as_str())
    }

    pub(super) fn of(site: &Site, work: &RunWork) -> Result<Self, Failure> {
        let folder = folder(work);
        let search = search(site, work, &folder);
        let names = names(work).into_iter();
        let tools = names.map(|name| match search.find(&name) {
            Ok(tool) => Ok((name, tool)),
            Err(failure) => Err(located(work, failure, "tools")),
        });
        let mut tools: Vec<_> = tools.collect::<Result<_, _>>()?;
        // Of one folder, they stay in the order of their names.
        tools.sort_by_key(|(_, tool)| tool.place);
        let readable = tools.iter().flat_map(|(_, tool)| tool.readable.clone());
        let mut readable: Vec<PathBuf> = readable.collect();
        for name in &work.packages {
            let package = tools::package(site, name);
            let package = package.map_err(|failure| located(work, failure, "packages"))?;
            readable.extend(package.settings);
        }
        Ok(Self { tools, readable })
    }

    /// The order of tools on `PATH`, without the paths of this machine.
    fn order(&self) -> String {
        let folders = self
            .tools
            .chunk_by(|(_, one), (_, other)| one.place == other.place);
        let names = folders.map(|tools| {
            let names = tools.iter().map(|(name, _)| name.as_str());
            names.collect::<Vec<_>>().join(" ")
        });
        names.collect::<Vec<_>>().join(":")
    }

    /// The path of the program that the task calls `name`.
    pub(super) fn path_of(&self, name: &str) -> Option<String> {
        let mut tools = self.tools.iter();
        let (_, tool) = tools.find(|(known, _)| known == name)?;
        Some(tool.path.to_string_lossy().into_owned())
    }

    /// Adds the variables that the programs need, unless the task sets them.
    pub(super) fn set_variables(&self, env: &mut BTreeMap<String, String>) {
        let folders = self.tools.iter().flat_map(|(_, tool)| &tool.folders);
        let mut placed: Vec<_> = folders.collect();
        placed.sort_by_key(|(place, _)| *place);
        let mut folders: Vec<String> = Vec::new();
        for (_, folder) in placed {
            let folder = folder.to_string_lossy().into_owned();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for (_, tool) in &self.tools {
            for (name, value) in &tool.env {
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        if !folders.is_empty() {
            env.entry("PATH".to_owned())
                .or_insert_with(|| folders.join(":"));
        }
    }

    /// Those that may look for their programs where no sandbox has them.
    pub(super) fn shims(&self) -> Vec<String> {
        let shims = self.tools.iter().filter(|(_, tool)| tool.may_be_shim);
        shims.map(|(name, _)| name.clone()).collect()
    }
}

/// The commands that services start, with those of their probes.
fn commands(services: &[Service]) -> impl Iterator<Item = &Run> {
    services.iter().flat_map(|service| {
        let probe = match &service.probe {
            Probe::Run(command) => Some(command),
            Probe::Tcp(_) | Probe::Http(_) => None,
        };
        [Some(&service.command), probe].into_iter().flatten()
    })
}

/// Declared tools, and the programs and shells of the command and of what runs beside it.
pub(super) fn names(work: &RunWork) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = work.tools.iter().cloned().collect();
    for command in std::iter::once(&work.verb).chain(commands(&work.services)) {
        match (&command.shell, command.argv.first()) {
            (Some(shell), _) => {
                names.extend(shell.split_whitespace().next().map(str::to_owned));
            }
            // A program with a slash is a file of the workspace: an input, not a tool.
            (None, Some(program)) if !program.contains('/') || program.starts_with('/') => {
                names.insert(program.clone());
            }
            _ => {}
        }
    }
    names
}
