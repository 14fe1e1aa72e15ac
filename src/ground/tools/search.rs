//! Looks tools up by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::closure::Tool;
use super::declared::{self, Declared};
use super::memory::now;
use super::run::printed;
use super::toolchains::{self, Managed, Query, Toolchain, Wanted, is_met, number};
use super::{make, script};
use crate::disk::look;
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::oci::Digest;
use crate::workspace::Footprint;

/// How many scripts may lead to each other before one is taken as it is.
const MAX_DEPTH: usize = 4;

/// Where and how tools are looked up.
pub(crate) struct Search<'a> {
    pub(crate) site: &'a Site,
    /// The folders of `PATH`.
    pub(crate) path: &'a [PathBuf],
    /// Variables of the task, which may select versions.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// The folder that the command starts in: files there and above may select versions.
    pub(crate) folder: &'a Path,
    /// Toolchains that the pipeline declares, and whose folders come first in `path`.
    pub(crate) declared: &'a BTreeMap<String, Declared>,
}

impl Search<'_> {
    /// The tool called `name`, looked up once in a run.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Tool>, Failure> {
        let own = || self.own_name(name);
        // Another task may find another program under the name.
        let is_own = !self.declared.is_empty();
        let known = self.site.known_tool(name).filter(|_| !is_own);
        if let Some(tool) = known.or_else(|| self.site.known_tool(&own())) {
            return Ok(tool);
        }
        let (tool, footprint) = self.look_with_footprint(name)?;
        let name = match tool.by_folder || is_own {
            true => own(),
            false => name.to_owned(),
        };
        self.site.keep_tool(name, &tool, footprint);
        Ok(tool)
    }

    /// Looks a tool up, with everything that is looked at for it; `None`: that cannot be
    /// compared with later.
    fn look_with_footprint(&self, name: &str) -> Result<(Arc<Tool>, Option<Footprint>), Failure> {
        let began = now();
        let (tool, paths) = look::traced(|| self.look(name));
        // A declared one may be identified by what a program prints.
        let is_found = !self.declared.contains_key(name);
        Ok((
            Arc::new(tool?),
            is_found
                .then(|| Footprint::as_found(paths, began))
                .flatten(),
        ))
    }

    /// A name for what depends on the folder and on variables of the task.
    fn own_name(&self, name: &str) -> String {
        let mut own = format!("{name}\0{}", self.folder.display());
        for (name, value) in self.env {
            own.push_str(&format!("\0{name}={value}"));
        }
        for (name, declared) in self.declared {
            own.push_str(&format!("\0{name}: {declared:?}"));
        }
        own
    }

    /// Looks `name` up again, and fails if it is not what `digest` identifies.
    pub(crate) fn check_again(&self, name: &str, digest: &Digest) -> Result<(), Failure> {
        let known = [name.to_owned(), self.own_name(name)];
        let mut names = known.iter();
        if names.any(|known| self.site.is_same_tool(known, digest)) {
            return Ok(());
        }
        let now = self.look_with_footprint(name);
        match now {
            Ok((tool, footprint)) if tool.digest == *digest => {
                // The next time, this is what it is compared with.
                for known in known {
                    if self.site.known_tool(&known).is_some() {
                        self.site.keep_tool(known, &tool, footprint.clone());
                    }
                }
                Ok(())
            }
            now => {
                self.site.forget_tool(name);
                let path = now.map_or_else(|_| PathBuf::from(name), |(tool, _)| tool.path.clone());
                Err(Failure::changed(path))
            }
        }
    }

    pub(super) fn look(&self, name: &str) -> Result<Tool, Failure> {
        if let Some(declared) = self.declared.get(name) {
            return declared::resolve(self.site, name, declared);
        }
        let wanted = Wanted::of(name);
        for path in script::candidates(self.path, wanted.name) {
            let Some(real) = script::program(&path) else {
                continue;
            };
            let mut tool = match self.toolchain(&wanted, &path, &real)? {
                Answer::Elsewhere => continue,
                Answer::Toolchain(found) => {
                    make::of_toolchain(self.site, self.path, *found, &|led| self.led(led, 1))?
                }
                Answer::Program => {
                    make::resolve(self.site, self.path, path.clone(), &|led| self.led(led, 1))?
                }
            };
            self.place(&mut tool, &path);
            self.meet(&wanted, name, &mut tool)?;
            return Ok(tool);
        }
        let name = wanted.name;
        let message = format!("the tool `{name}` is not on PATH: install it, or correct `tools`");
        Err(Failure::new(Class::Configuration, message))
    }

    /// Notes where `PATH` has the tool, of which `path` was found there.
    fn place(&self, tool: &mut Tool, path: &Path) {
        let mut folders = self.path.iter();
        let folder = folders.position(|folder| Some(folder.as_path()) == path.parent());
        tool.place = folder.map_or(0, |at| at + 1);
        // Those of programs that it leads to have their places already.
        for (place, _) in tool.folders.iter_mut().filter(|(place, _)| *place == 0) {
            *place = tool.place;
        }
    }

    /// What a script leads to, if it is a tool by itself.
    fn led(&self, path: &Path, depth: usize) -> Result<Option<Tool>, Failure> {
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(real)) = (name, script::program(path)) else {
            return Ok(None);
        };
        let wanted = Wanted {
            name,
            version: None,
        };
        // A script may name what it does not start.
        let Ok(Answer::Toolchain(found)) = self.toolchain(&wanted, path, &real) else {
            return Ok(None);
        };
        let lead = |led: &Path| match depth < MAX_DEPTH {
            true => self.led(led, depth + 1),
            false => Ok(None),
        };
        let mut tool = make::of_toolchain(self.site, self.path, *found, &lead)?;
        self.place(&mut tool, path);
        Ok(Some(tool))
    }

    /// The toolchain of the program that `PATH` has at `path`.
    fn toolchain(&self, wanted: &Wanted<'_>, path: &Path, real: &Path) -> Result<Answer, Failure> {
        let user = &self.site.options.environment;
        let variable = |name: &str| {
            let found = self.env.get(name).or_else(|| user.get(name));
            found.cloned()
        };
        let home = variable("HOME").unwrap_or_default();
        let query = Query {
            name: path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or(wanted.name),
            version: wanted.version,
            at: path,
            real,
            home: Path::new(&home),
            folder: self.folder,
            variable: &variable,
        };
        match toolchains::managed(&query)? {
            Managed::Elsewhere => return Ok(Answer::Elsewhere),
            Managed::Found(found) => return Ok(Answer::Toolchain(found)),
            Managed::No => {}
        }
        if make::owner(&self.site.memory, real).is_some() {
            return Ok(Answer::Program);
        }
        let found = toolchains::unmanaged(&query)?;
        Ok(found.map_or(Answer::Program, |found| Answer::Toolchain(Box::new(found))))
    }

    /// Checks that the tool has the version that is asked for.
    fn meet(&self, wanted: &Wanted<'_>, name: &str, tool: &mut Tool) -> Result<(), Failure> {
        let Some(version) = wanted.version else {
            return Ok(());
        };
        if !tool.is_main(wanted.name) || tool.version.is_none() {
            tool.version = self.said(wanted.name, tool);
        }
        let found = match &tool.version {
            Some(found) if is_met(version, found) => return Ok(()),
            Some(found) => format!("has version {found}"),
            None => "does not print its version".to_owned(),
        };
        let path = tool.path.display();
        let message = format!(
            "the tool `{name}`: `{path}` {found}: install version {version}, or correct `tools`"
        );
        Err(Failure::new(Class::Configuration, message))
    }

    /// The version that the program says it has, asked once for each of its states.
    fn said(&self, name: &str, tool: &Tool) -> Option<String> {
        let identity = format!("{name} {}", tool.digest);
        let known = self
            .site
            .memory
            .hold()
            .facts()
            .versions
            .get(&identity)
            .cloned();
        if known.is_some() {
            return known;
        }
        let folders = tool.folders.iter().map(|(_, folder)| folder);
        let path: Vec<String> = folders
            .chain(self.path)
            .map(|folder| folder.to_string_lossy().into_owned())
            .collect();
        let arguments = match name {
            "go" => "version",
            "java" | "javac" => "-version",
            _ => "--version",
        };
        let mut command = Command::new(&tool.path);
        command
            .arg(arguments)
            .env_clear()
            .envs(&tool.env)
            .env("PATH", path.join(":"))
            .env("LC_ALL", "C");
        let (_, text) = printed(command)?;
        let version = number(&text)?;
        let mut held = self.site.memory.hold();
        let facts = held.facts();
        facts.versions.insert(identity, version.clone());
        facts.changed = true;
        Some(version)
    }
}

enum Answer {
    /// The manager of it leaves it to the rest of `PATH`.
    Elsewhere,
    Toolchain(Box<Toolchain>),
    /// It is in no toolchain.
    Program,
}
