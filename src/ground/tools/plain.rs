//! A program that no manager of versions brings: it belongs to a package of the system,
//! or is identified by its content and the libraries that it loads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::closure::Tool;
use super::elf::{self, Linked};
use super::memory::{Facts, Memory, Seen, now};
use super::packages::{self, Package};
use super::script;
use crate::codec::Writer;
use crate::ground::site::Site;
use crate::ground::{Failure, confine};
use crate::oci::Digest;
use crate::workspace::{self, Entry, Stat};

/// Maximum number of files of one tool: programs load a few hundred libraries at most.
const MAX_FILES: usize = 1024;

/// What a program and what it leads to consist of.
#[derive(Default)]
struct Parts {
    /// Programs, interpreters and libraries, as they are named.
    files: Vec<PathBuf>,
    /// The packages that they belong to.
    packages: BTreeMap<String, Package>,
    reasons: Vec<String>,
}

/// The tool at `path`, which is a program.
pub(super) fn resolve(site: &Site, folders: &[PathBuf], path: PathBuf) -> Result<Tool, Failure> {
    let mut parts = Parts {
        files: script::parts(folders, &path),
        ..Parts::default()
    };
    let programs = parts.files.len();
    let mut next = 0;
    while let Some(file) = parts.files.get(next).cloned() {
        next += 1;
        follow(&site.memory, &mut parts, &file, next <= programs)?;
    }
    let settings = parts
        .packages
        .values()
        .flat_map(|package| &package.settings);
    let settings: Vec<PathBuf> = settings.filter(|path| path.is_file()).cloned().collect();
    let mut all = parts.files.clone();
    all.extend(settings);
    all[programs..].sort();
    all.dedup();
    let digests = digests(site, &all)?;
    let digest = match digests.as_slice() {
        [own] if parts.packages.is_empty() => *own,
        all => {
            let mut writer = Writer::default();
            all.iter().for_each(|digest| writer.digest(digest));
            for package in parts.packages.values() {
                writer.digest(&package.identity);
            }
            Digest::of(&writer.into_bytes())
        }
    };
    Ok(Tool {
        may_be_shim: programs > 1 && !confine::is_of_system(&path),
        folders: path.parent().map(Path::to_owned).into_iter().collect(),
        path,
        place: 0,
        digest,
        readable: all,
        env: BTreeMap::new(),
        reasons: parts.reasons,
    })
}

/// Finds out what the file belongs to, or else what it loads.
fn follow(
    memory: &Memory,
    parts: &mut Parts,
    file: &Path,
    is_program: bool,
) -> Result<(), Failure> {
    let real = std::fs::canonicalize(file)?;
    let shown = match real == file {
        true => file.display().to_string(),
        false => format!("{} -> {}", file.display(), real.display()),
    };
    if let Some(package) = packages::owner(memory, Path::new(packages::ROOT), &real) {
        if is_program {
            let reason = format!(
                "{shown}: {}, and {} packages that it needs",
                package.label, package.dependencies
            );
            parts.reasons.push(reason);
        }
        parts.packages.insert(package.label.clone(), package);
        return Ok(());
    }
    let linked = linked(memory, &real);
    let before = parts.files.len();
    for library in linked.files(&real) {
        if parts.files.len() < MAX_FILES && !parts.files.contains(&library) {
            parts.files.push(library);
        }
    }
    if is_program {
        let reason = match parts.files.len() - before {
            0 => format!("{shown}: identified by its content"),
            count => format!("{shown}: identified by its content and that of {count} libraries"),
        };
        parts.reasons.push(reason);
    }
    Ok(())
}

/// The libraries that the file names, read once for each of its states.
fn linked(memory: &Memory, file: &Path) -> Linked {
    let Some(seen) = Seen::of(file) else {
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
    if seen.is_settled(now()) {
        linked.insert(file.to_owned(), (seen, found.clone()));
        *changed = true;
    }
    found
}

/// The digests of files, links followed.
fn digests(site: &Site, files: &[PathBuf]) -> Result<Vec<Digest>, Failure> {
    let mut entries = Vec::with_capacity(files.len());
    for file in files {
        let real = std::fs::canonicalize(file)?;
        entries.push(Entry {
            path: real.to_string_lossy().into_owned(),
            kind: workspace::Kind::File { executable: true },
            stat: Stat::of(&std::fs::metadata(&real)?),
        });
    }
    site.digests(Path::new("/"), &entries.iter().collect::<Vec<_>>())
}
