//! What a command uses: it runs in the checkout itself, without a sandbox, and is
//! observed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::command::{mask, matcher};
use super::programs::Programs;
use super::{RUN_FORMAT, RunWork, services, task, written};
use crate::action::Action;
use crate::disk;
use crate::ground::confine::is_of_system;
use crate::ground::folders::{lexical, relative_to};
use crate::ground::inputs::Inputs;
use crate::ground::launch::Seen;
use crate::ground::process::{Ending, Process};
use crate::ground::site::Site;
use crate::ground::source::bound;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, log};
use crate::kinds::Prepared;
use crate::workspace::{self, Globs, Stat};

/// Maximum size of what was seen, in bytes: 64 MiB; a path has about a hundred.
const MAX_SEEN_BYTES: u64 = 64 << 20;

/// How many files of one folder are listed before a pattern is written for them.
const MAX_LISTED: usize = 8;

/// What a command used, beside what its task declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Patterns of what it read in the checkout and did not change.
    pub inputs: Vec<UsedName>,
    /// What it made or changed there, without reports of tests.
    pub outputs: Vec<UsedName>,
    /// Declared patterns of reports that it made.
    pub reports: Vec<String>,
    /// What it made or changed above the folder of the pipeline, where outputs cannot be.
    pub outside: Vec<String>,
    /// Programs from elsewhere.
    pub tools: Vec<UsedName>,
    /// Patterns of what it read in the checkout where a declared tool has it, which needs
    /// no input.
    pub brought: Vec<String>,
    /// Whether it read the repository of Git, and the task does not declare that.
    pub repository: bool,
    /// Declared patterns of inputs that select nothing it used.
    pub unused: Vec<String>,
    /// The output of the command.
    pub log: String,
    /// How it ended, unless it succeeded.
    pub failed: Option<String>,
}

/// A pattern or a name, as a pipeline has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedName {
    /// With a `/` at the end for a folder.
    pub name: String,
    /// Whether the task declares it already.
    pub declared: bool,
    /// How many files a pattern selects, of which how many were used, if these differ.
    pub wider: Option<(usize, usize)>,
}

impl UsedName {
    fn exact(name: String, declared: bool) -> Self {
        Self {
            name,
            declared,
            wider: None,
        }
    }
}

/// Runs the command of `work` in the checkout, and finds out what it uses.
pub(crate) async fn observe(site: &Site, work: &RunWork) -> Result<Used, Failure> {
    let Some(through) = site.options.program.clone() else {
        return Err(Failure::internal("this program does not know its own path"));
    };
    let stage = site.stage().await?;
    let seen = stage.path().join("seen");
    let prepared = Prepared::of(Action::new("run", RUN_FORMAT), Inputs::new(&site.cas));
    let task = task(site, work, &prepared)?;
    let mut env = task.env;
    // What is not declared yet is to be found as well.
    let folders = work.path.iter().map(|folder| folder.to_string_lossy());
    let folders = env.get("PATH").map(Into::into).into_iter().chain(folders);
    let path = folders.collect::<Vec<_>>().join(":");
    env.insert("PATH".to_owned(), path);
    if let Some(home) = site.options.environment.get("HOME") {
        env.entry("HOME".to_owned()).or_insert(home.clone());
    }
    let top = bound(&work.folder, &site.own_files().cache)?;
    let before = state(site, &top);
    let names = task.services.iter().map(|service| service.name.as_str());
    let prefixes = services::prefixes(names);
    let process = Process {
        argv: task.argv,
        env,
        cwd: work.folder.join(&work.workdir),
        timeout: Some(work.timeout),
        grace: work.grace,
        confinement: None,
        root: None,
        observed: Some(seen.clone()),
        services: task.services,
        through: Some(through),
    };
    let finished = process.run(site.stopped()).await;
    let finished = finished.map_err(|error| Failure::caused_by(Class::Environment, &error))?;
    let failed = match finished.ending {
        Ending::Exited(0) => None,
        Ending::Exited(code) => Some(format!("it exited with code {code}")),
        Ending::Signaled(signal) => Some(format!("signal {signal} killed it")),
        Ending::TimedOut => Some("it timed out".to_owned()),
        Ending::Unready => {
            let lost = finished.lost.iter().find(|lost| !lost.later);
            let named = lost.and_then(|lost| Some((work.services.get(lost.service)?, lost.how)));
            named.map(|(service, how)| format!("the service `{}` {how}", service.name))
        }
        Ending::Cancelled => return Err(Failure::new(Class::Cancelled, "stopped")),
    };
    let text = blocking(move || {
        let text = disk::read_text(&seen, MAX_SEEN_BYTES);
        text.map_err(|error| Failure::caused_by(Class::Environment, &error))
    })
    .await?;
    let seen: Seen = serde_json::from_str(&text)
        .map_err(|error| Failure::caused_by(Class::Environment, &error))?;
    let after = state(site, &top);
    let folder = fs::canonicalize(&work.folder)?;
    let declared = Programs::of(site, work)?;
    let checkout = Checkout {
        work,
        folder: &folder,
        top: &top,
        before: &before,
        after: &after,
        declared: &declared,
        is_report: &matcher(&work.reports),
    };
    let (inputs, unused) = checkout.inputs(site, &seen)?;
    let (outside, outputs): (Vec<_>, Vec<_>) =
        (checkout.outputs().into_iter()).partition(|output| output.name.starts_with("../"));
    Ok(Used {
        inputs,
        unused,
        outputs,
        outside: outside.into_iter().map(|output| output.name).collect(),
        reports: checkout.reports(),
        brought: checkout.brought(site, &seen),
        repository: !work.git && checkout.reads_repository(&seen),
        tools: checkout.tools(&seen),
        log: log::text(&mask::pieces(&finished, &task.secrets, &prefixes)),
        failed,
    })
}

/// The files below `top`, by their absolute paths, but for those of this program.
fn state(site: &Site, top: &Path) -> BTreeMap<PathBuf, Stat> {
    let all = workspace::walk_all(top).into_iter();
    let facts = all.filter_map(|path| {
        let path = top.join(path);
        let facts = fs::symlink_metadata(&path).ok()?;
        (!facts.is_dir() && !site.is_own(&path)).then(|| (path, Stat::of(&facts)))
    });
    facts.collect()
}

/// The checkout before the command and after it.
struct Checkout<'a> {
    work: &'a RunWork,
    /// The folder of the pipeline, with its links resolved: the command's paths are.
    folder: &'a Path,
    /// What contains every file that the task may name.
    top: &'a Path,
    before: &'a BTreeMap<PathBuf, Stat>,
    after: &'a BTreeMap<PathBuf, Stat>,
    declared: &'a Programs,
    /// Whether a path, as the pipeline has it, is that of a report of tests.
    is_report: &'a dyn Fn(&str) -> bool,
}

impl Checkout<'_> {
    /// Whether the command changed the file, made it or removed it.
    fn changed(&self, path: &Path) -> bool {
        self.before.get(path) != self.after.get(path)
    }

    /// A path as the pipeline has it.
    fn shown(&self, path: &Path) -> String {
        relative_to(self.folder, path)
    }

    /// Whether a pattern of the task selects the path.
    fn declares(&self, globs: &[(usize, Globs)], shown: &str) -> bool {
        globs.iter().any(|(up, globs)| {
            let mut rest = Some(shown);
            for _ in 0..*up {
                rest = rest.and_then(|rest| rest.strip_prefix("../"));
            }
            rest.is_some_and(|rest| globs.matches(rest))
        })
    }

    /// The files of the checkout that it read and did not change.
    fn read<'s>(&self, seen: &'s Seen) -> impl Iterator<Item = &'s Path> {
        let own = seen.read.iter().filter(|path| path.starts_with(self.top));
        own.map(PathBuf::as_path)
            .filter(|path| self.before.contains_key(*path) && !self.changed(path))
    }

    /// What it read, as patterns; and the declared patterns that select nothing of it.
    fn inputs(&self, site: &Site, seen: &Seen) -> Result<(Vec<UsedName>, Vec<String>), Failure> {
        let own = self.read(seen).filter(|path| !self.declared.bring(path));
        let outputs: BTreeSet<String> = self.work.outputs.iter().map(|o| o.path.clone()).collect();
        let within = |shown: &str, output: &String| {
            let below = shown.strip_prefix(output.as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let (mut files, mut made) = (BTreeSet::new(), BTreeSet::new());
        for path in own {
            let shown = self.shown(path);
            // What it made before is no source.
            let is_output = outputs.iter().any(|output| within(&shown, output));
            if is_output || (self.is_report)(&shown) {
                continue;
            }
            let mut others = self.work.generated.paths.iter();
            match others.find(|output| within(&shown, output)) {
                Some(output) => drop(made.insert(output.clone())),
                None => drop(files.insert(shown)),
            }
        }
        let mut compiled = Vec::new();
        for glob in self.work.globs.iter().filter(|glob| !glob.starts_with('!')) {
            let (up, rest) = workspace::taken_apart(glob);
            compiled.push((glob, (up, Globs::new(&[rest])?)));
        }
        let unused = compiled.iter().filter(|(glob, one)| {
            let one = std::slice::from_ref(one);
            let of_task = made.iter().any(|output| glob.starts_with(output.as_str()));
            !of_task && !files.iter().any(|file| self.declares(one, file))
        });
        let unused = unused.map(|(glob, _)| (*glob).clone()).collect();
        let globs: Vec<_> = compiled.into_iter().map(|(_, one)| one).collect();
        let named = |output: &String| {
            let mut by_path = self.work.by_path.iter();
            by_path.any(|named| named.output == *output) || !self.work.input_tasks.is_empty()
        };
        let mut found: Vec<UsedName> = made
            .into_iter()
            .map(|output| UsedName::exact(output.clone(), named(&output)))
            .collect();
        let available = self.available(site, &files);
        let declared = |file: &str| self.declares(&globs, file);
        fold("", &files, &available, &declared, &mut found);
        Ok((found, unused))
    }

    /// What it read where a declared tool has it, as patterns.
    fn brought(&self, site: &Site, seen: &Seen) -> Vec<String> {
        let own = self.read(seen).filter(|path| self.declared.bring(path));
        let files: BTreeSet<String> = own.map(|path| self.shown(path)).collect();
        let mut found = Vec::new();
        if !files.is_empty() {
            let available = self.available(site, &files);
            fold("", &files, &available, &|_| true, &mut found);
        }
        found.into_iter().map(|name| name.name).collect()
    }

    fn reads_repository(&self, seen: &Seen) -> bool {
        let mut paths = seen.read.iter().map(PathBuf::as_path);
        // A program that looks for a repository asks about the folder itself.
        paths.any(|path| {
            path.starts_with(self.top)
                && path.file_name().is_some_and(|name| name == "HEAD")
                && path.parent().is_some_and(|folder| folder.ends_with(".git"))
        })
    }

    /// The declared patterns of reports that select something it made.
    fn reports(&self) -> Vec<String> {
        let made = self.after.keys().filter(|path| self.changed(path));
        let made: Vec<String> = made.map(|path| self.shown(path)).collect();
        let patterns = self.work.reports.iter();
        let found = patterns.filter(|pattern| {
            let is_it = matcher(std::slice::from_ref(*pattern));
            pattern.starts_with('!') || made.iter().any(|path| is_it(path))
        });
        found.cloned().collect()
    }

    /// What patterns could select: files that Git does not ignore, and those in folders
    /// that it ignores as a whole.
    fn available(&self, site: &Site, used: &BTreeSet<String>) -> BTreeSet<String> {
        let snapshot = site.snapshot(self.top);
        let listed = snapshot.entries.iter();
        let listed = listed.filter(|entry| entry.kind != workspace::Kind::Directory);
        let mut found: BTreeSet<String> = listed
            .map(|entry| self.shown(&self.top.join(&entry.path)))
            .collect();
        let seen = found.clone();
        let ignored = self.before.keys().map(|path| self.shown(path));
        let beside = |path: &str| {
            let Some((folder, _)) = path.rsplit_once('/') else {
                return true;
            };
            let from = format!("{folder}/");
            let next = seen.range(from.clone()..).next();
            next.is_some_and(|next| next.starts_with(&from))
        };
        let ignored: Vec<String> = ignored.filter(|path| !beside(path)).collect();
        found.extend(ignored);
        found.extend(used.iter().cloned());
        found.retain(|path| !self.changed(&lexical(&self.folder.join(path))));
        found
    }

    /// What it made or changed: whole folders where it made those as well.
    fn outputs(&self) -> Vec<UsedName> {
        let folders: BTreeSet<&Path> = self
            .before
            .keys()
            .flat_map(|path| path.ancestors().skip(1))
            .collect();
        let mut found = BTreeSet::new();
        for path in self.after.keys().filter(|path| self.changed(path)) {
            let above = path.ancestors().skip(1);
            let own = above.take_while(|folder| {
                folder.starts_with(self.top) && *folder != self.top && !folders.contains(folder)
            });
            let shown = self.shown(path);
            if (self.is_report)(&shown) {
                continue;
            }
            let mut declared = self.work.outputs.iter();
            let declared = declared.find(|output| Path::new(&shown).starts_with(&output.path));
            found.insert(match (declared, own.last()) {
                (Some(output), _) => written(output),
                (None, Some(folder)) => format!("{}/", self.shown(folder)),
                (None, None) => shown,
            });
        }
        let declared = |name: &str| self.work.outputs.iter().any(|own| written(own) == name);
        // A new folder that holds an output is where the command works.
        found.retain(|name| {
            let mut outputs = self.work.outputs.iter();
            declared(name) || !outputs.any(|own| own.path.starts_with(name.as_str()))
        });
        let names = found.into_iter();
        names
            .map(|name| UsedName::exact(name.clone(), declared(&name)))
            .collect()
    }

    /// The programs that it started from outside of the checkout: by name, if they are on
    /// PATH; and declared ones inside of it.
    fn tools(&self, seen: &Seen) -> Vec<UsedName> {
        let mut names = BTreeSet::new();
        for path in &seen.started {
            names.extend(self.declared.that_has(path).map(str::to_owned));
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.starts_with(self.top) {
                continue;
            }
            let mut folders = self.work.path.iter();
            if folders.any(|folder| folder.join(name) == *path) {
                names.insert(name.to_owned());
            } else if !is_of_system(path) {
                names.insert(path.to_string_lossy().into_owned());
            }
        }
        // What another program brings along needs no line.
        names.retain(|name| self.declared.has(name) || !self.declared.bring(Path::new(name)));
        let names = names.into_iter();
        names
            .map(|name| UsedName::exact(name.clone(), self.declared.has(&name)))
            .collect()
    }
}

/// Writes patterns for the `used` files of `folder`, which is empty or ends in `/`.
fn fold(
    folder: &str,
    used: &BTreeSet<String>,
    available: &BTreeSet<String>,
    declared: &dyn Fn(&str) -> bool,
    found: &mut Vec<UsedName>,
) {
    let below = |files: &BTreeSet<String>| -> BTreeSet<String> {
        let files = files.range(folder.to_owned()..);
        let files = files.take_while(|file| file.starts_with(folder));
        files.cloned().collect()
    };
    let (used, available) = (below(used), below(available));
    if used.is_empty() {
        return;
    }
    if !folder.is_empty() && used.len() > 1 && used == available && !folder.ends_with("../") {
        let all = used.iter().all(|file| declared(file));
        found.push(UsedName::exact(format!("{folder}**"), all));
        return;
    }
    let direct = |file: &&String| !file[folder.len()..].contains('/');
    let here: Vec<&String> = used.iter().filter(direct).collect();
    if here.len() > MAX_LISTED {
        let all = available.iter().filter(direct).count();
        let mut name =
            UsedName::exact(format!("{folder}*"), here.iter().all(|file| declared(file)));
        name.wider = (all > here.len()).then_some((all, here.len()));
        found.push(name);
    } else {
        let names = here.into_iter();
        found.extend(names.map(|file| UsedName::exact(file.clone(), declared(file))));
    }
    let inner: BTreeSet<String> = used
        .iter()
        .filter_map(|file| {
            let (name, _) = file[folder.len()..].split_once('/')?;
            Some(format!("{folder}{name}/"))
        })
        .collect();
    for inner in inner {
        fold(&inner, &used, &available, declared, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_folders_become_patterns_and_others_are_listed() {
        let set = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect();
        let used: BTreeSet<String> = set(&[
            "../lib/a",
            "../lib/b",
            "Makefile",
            "src/a.c",
            "src/deep/b.c",
            "src/deep/c.c",
        ]);
        let mut available: BTreeSet<String> = set(&["README", "src/notes"]);
        available.extend(used.iter().cloned());
        let mut found = Vec::new();
        fold(
            "",
            &used,
            &available,
            &|file| file == "Makefile",
            &mut found,
        );
        let found: Vec<_> = found
            .iter()
            .map(|name| (name.name.as_str(), name.declared))
            .collect();
        assert_eq!(
            found,
            [
                ("Makefile", true),
                ("../lib/**", false),
                ("src/a.c", false),
                ("src/deep/**", false),
            ]
        );
    }

    #[test]
    fn a_pattern_says_when_it_is_wider_than_what_was_used() {
        let name = |number: usize| format!("f{number:02}");
        let available: BTreeSet<String> = (0..20).map(name).collect();
        let used: BTreeSet<String> = (0..12).map(name).collect();
        let mut found = Vec::new();
        fold("", &used, &available, &|_| false, &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].wider),
            ("*", Some((20, 12)))
        );
    }
}
