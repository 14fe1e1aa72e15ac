//! Makes a tool of a program: what it belongs to, what it loads, and what identifies it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::closure::Tool;
use super::elf::{self, Linked};
use super::memory::{Facts, Memory, now, seen};
use super::packages::{self, Package};
use super::toolchains::Toolchain;
use super::{script, tree};
use crate::codec::Writer;
use crate::disk::look;
use crate::ground::site::Site;
use crate::ground::{Failure, confine};
use crate::oci::Digest;
use crate::workspace::{self, Entry, Stat};

/// Maximum number of files of one tool: programs load a few hundred libraries at most.
const MAX_FILES: usize = 1024;

/// What a program and what it leads to consist of.
#[derive(Default)]
pub(super) struct Parts {
    /// Programs, interpreters and libraries, as they are named.
    files: Vec<PathBuf>,
    /// How many of them are programs.
    programs: usize,
    /// The packages that they belong to.
    packages: BTreeMap<String, Package>,
    /// Programs that a script leads to, and that are tools by themselves.
    tools: Vec<Tool>,
    /// The folder that identifies what is in it.
    root: Option<PathBuf>,
    reasons: Vec<String>,
}

/// The package of the system that the file at `path` belongs to.
pub(super) fn owner(memory: &Memory, path: &Path) -> Option<Package> {
    let real = look::canonicalize(path).ok()?;
    packages::owner(memory, Path::new(packages::ROOT), &real)
}

/// The tool at `path`, which is a program. `lead` resolves the programs that a script
/// leads to, if they are tools by themselves.
pub(super) fn resolve(
    site: &Site,
    folders: &[PathBuf],
    path: PathBuf,
    lead: &dyn Fn(&Path) -> Result<Option<Tool>, Failure>,
) -> Result<Tool, Failure> {
    let parts = Parts::of(site, folders, &path, None, lead)?;
    parts.into_tool(site, path, None)
}

/// The tool that is a program of a toolchain.
pub(super) fn of_toolchain(
    site: &Site,
    folders: &[PathBuf],
    found: Toolchain,
    lead: &dyn Fn(&Path) -> Result<Option<Tool>, Failure>,
) -> Result<Tool, Failure> {
    let tree = tree::read(&site.memory, &found.root, &found.parts, found.skipped)?;
    let mut parts = Parts::of(site, folders, &found.program, Some(&found.root), lead)?;
    for library in &tree.libraries {
        parts.add(library);
    }
    parts.follow_all(&site.memory)?;
    let mut identity = Writer::default();
    identity.text(&found.kind);
    identity.text(found.version.as_deref().unwrap_or_default());
    identity.text(std::env::consts::ARCH);
    // It is seen at its own path.
    identity.text(&found.program.to_string_lossy());
    identity.digest(&tree.digest);
    identity.text(found.selected.as_deref().unwrap_or_default());
    for (name, value) in &found.env {
        identity.text(name);
        identity.text(value);
    }
    let mut tool = parts.into_tool(site, found.program, Some(identity))?;
    let own = found.parts.iter().map(|part| found.root.join(part));
    tool.readable.extend(own);
    if found.parts.is_empty() {
        tool.readable.push(found.root);
    }
    let env = found.env.into_iter();
    tool.env
        .extend(env.map(|(name, value)| (name.to_owned(), value)));
    tool.version = found.version;
    tool.mains = found.mains;
    tool.by_folder |= found.by_folder;
    tool.reasons = [found.reasons, tool.reasons].concat();
    tool.may_be_shim = false;
    Ok(tool)
}

impl Parts {
    fn of(
        site: &Site,
        folders: &[PathBuf],
        path: &Path,
        root: Option<&Path>,
        lead: &dyn Fn(&Path) -> Result<Option<Tool>, Failure>,
    ) -> Result<Self, Failure> {
        let mut parts = Self {
            root: root.map(|root| look::canonicalize(root).unwrap_or_else(|_| root.to_owned())),
            ..Self::default()
        };
        // Beside itself, a script of a toolchain finds the toolchain's programs first.
        let own = path.parent().filter(|_| root.is_some());
        let own = own.map(Path::to_owned).into_iter();
        let folders: Vec<PathBuf> = own.chain(folders.iter().cloned()).collect();
        for (at, file) in script::parts(&folders, path).into_iter().enumerate() {
            let led = match at > 0 && !parts.is_within(&file) {
                true => lead(&file)?,
                false => None,
            };
            if let Some(tool) = led {
                parts.reasons.extend(tool.reasons.iter().cloned());
                parts.tools.push(tool);
                continue;
            }
            parts.files.push(file);
        }
        // The interpreter of a virtual environment is a link to its toolchain.
        let real = look::canonicalize(path)?;
        if root.is_some()
            && !parts.is_within(&real)
            && let Some(tool) = lead(&real)?
        {
            parts.reasons.extend(tool.reasons.iter().cloned());
            parts.tools.push(tool);
        }
        parts.programs = parts.files.len();
        parts.follow_all(&site.memory)?;
        Ok(parts)
    }

    /// Whether the toolchain has `path`, links resolved.
    fn is_within(&self, path: &Path) -> bool {
        let root = self.root.as_ref();
        let real = look::canonicalize(path);
        root.is_some_and(|root| real.is_ok_and(|real| real.starts_with(root)))
    }

    fn add(&mut self, file: &Path) {
        let known = self.files.iter().any(|known| known == file);
        if !known && self.files.len() < MAX_FILES {
            self.files.push(file.to_owned());
        }
    }

    /// Finds out what each file belongs to, or else what it loads.
    fn follow_all(&mut self, memory: &Memory) -> Result<(), Failure> {
        let mut next = 0;
        while let Some(file) = self.files.get(next).cloned() {
            next += 1;
            self.follow(memory, &file, next <= self.programs)?;
        }
        Ok(())
    }

    fn follow(&mut self, memory: &Memory, file: &Path, is_program: bool) -> Result<(), Failure> {
        if self.is_within(file) {
            return Ok(());
        }
        let real = look::canonicalize(file)?;
        let shown = match real == file {
            true => file.display().to_string(),
            false => format!("{} -> {}", file.display(), real.display()),
        };
        let reason = match packages::owner(memory, Path::new(packages::ROOT), &real) {
            Some(package) => {
                let needs = package.dependencies;
                let reason = format!(
                    "{shown}: {}, and {needs} packages that it needs",
                    package.label
                );
                self.packages.insert(package.label.clone(), package);
                reason
            }
            None => {
                let before = self.files.len();
                for library in linked(memory, &real).files(&real) {
                    self.add(&library);
                }
                match self.files.len() - before {
                    0 => format!("{shown}: identified by its content"),
                    count => {
                        format!("{shown}: identified by its content and that of {count} libraries")
                    }
                }
            }
        };
        if is_program && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        Ok(())
    }

    /// The tool that starts at `path`, with what identifies it besides its parts.
    fn into_tool(
        self,
        site: &Site,
        path: PathBuf,
        identity: Option<Writer>,
    ) -> Result<Tool, Failure> {
        let settings = self.packages.values().flat_map(|package| &package.settings);
        let settings = settings.filter(|path| look::is_file(path)).cloned();
        let mut all = self.files.clone();
        all.retain(|file| !self.is_within(file));
        let programs = all.len().min(self.programs);
        all.extend(settings);
        all[programs..].sort();
        all.dedup();
        let digests = digests(site, &all)?;
        let is_simple = identity.is_none() && self.packages.is_empty() && self.tools.is_empty();
        let mut writer = identity.unwrap_or_default();
        let digest = match digests.as_slice() {
            [own] if is_simple => *own,
            all => {
                all.iter().for_each(|digest| writer.digest(digest));
                for package in self.packages.values() {
                    writer.digest(&package.identity);
                }
                for tool in &self.tools {
                    writer.digest(&tool.digest);
                }
                Digest::of(&writer.into_bytes())
            }
        };
        let mut tool = Tool {
            may_be_shim: self.programs > 1 && !confine::is_of_system(&path),
            folders: path
                .parent()
                .map(|folder| (0, folder.to_owned()))
                .into_iter()
                .collect(),
            mains: &[],
            path,
            place: 0,
            digest,
            readable: all,
            env: BTreeMap::new(),
            version: None,
            by_folder: false,
            reasons: self.reasons,
        };
        for led in self.tools {
            tool.folders.extend(led.folders);
            tool.readable.extend(led.readable);
            tool.env.extend(led.env);
            tool.by_folder |= led.by_folder;
        }
        Ok(tool)
    }
}

/// The libraries that the file names, read once for each of its states.
fn linked(memory: &Memory, file: &Path) -> Linked {
    let began = now();
    let Some(seen) = seen(file) else {
        return Linked::default();
    };
    let mut held = memory.hold();
    let Facts {
        linked, changed, ..
    } = held.facts();
    if let Some((_, known)) = linked.get(file).filter(|(then, _)| *then == seen) {
        return known.clone();
    }
    let found = elf::read(file);
    if seen.is_settled(began) {
        linked.insert(file.to_owned(), (seen, found.clone()));
        *changed = true;
    }
    found
}

/// The digests of files, links followed.
pub(super) fn digests(site: &Site, files: &[PathBuf]) -> Result<Vec<Digest>, Failure> {
    let mut entries = Vec::with_capacity(files.len());
    for file in files {
        let real = look::canonicalize(file)?;
        entries.push(Entry {
            path: real.to_string_lossy().into_owned(),
            kind: workspace::Kind::File { executable: true },
            stat: Stat::of(&look::metadata(&real)?),
        });
    }
    site.digests(Path::new("/"), &entries.iter().collect::<Vec<_>>())
}
