//! Files that a log mentions, that exist on this machine, and that the command could
//! not see.

use std::path::{Path, PathBuf};

use super::super::place;
use super::{MAX_CAUSES, Scene};
use crate::ground::folders::{lexical, relative_to};
use crate::ground::sandbox::{HOME, Level, WORK};
use crate::ground::source::bound;
use crate::ground::tools;
use crate::ground::{Cause, CauseKind};
use crate::workspace;

/// What programs print of files that they cannot open, in lower case.
const REFUSALS: [&str; 14] = [
    "no such file",
    "not found",
    "cannot open",
    "can't open",
    "cannot find",
    "can't find",
    "could not find",
    "couldn't read",
    "does not exist",
    "doesn't exist",
    "no rule to make target",
    "no module named",
    "enoent",
    "permission denied",
];

/// What a name in a message about a module may lack: its ending.
const MODULE_ENDINGS: [&str; 9] = [
    ".py",
    "/__init__.py",
    ".ts",
    ".tsx",
    ".js",
    ".mjs",
    ".json",
    "/index.ts",
    "/index.js",
];

/// Messages, in lower case, about files that the program looks for and does not name.
const UNNAMED: [(&str, &[&str]); 3] = [
    ("no makefile found", MAKEFILES),
    ("no rule to make target", MAKEFILES),
    ("there is no pom in this directory", &["pom.xml"]),
];
/// The files that `make` looks for, in this order.
pub(crate) const MAKEFILES: &[&str] = &["GNUmakefile", "makefile", "Makefile"];

/// Maximum number of files of the workspace that a name without a folder may stand for:
/// among more, the one that is meant cannot be told.
const MAX_ALIKE: usize = 3;

/// The lines of a log that tell of files that cannot be opened: a command prints other
/// paths for any reason.
pub(super) fn refusals(log: &str) -> String {
    log.lines()
        .filter(|line| refuses(line))
        .collect::<Vec<_>>()
        .join("\n")
}

fn refuses(line: &str) -> bool {
    let line = line.to_lowercase();
    REFUSALS.iter().any(|text| line.contains(text))
}

/// Where a path that a command used is on this machine, outside of its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// In the workspace, relative to the pipeline's folder; not among the inputs.
    Workspace(String),
    /// In the workspace and among the inputs, under the path of this machine.
    Elsewhere {
        written: String,
        input: String,
    },
    /// In the user's home, relative to it.
    Home(String),
    Machine(PathBuf),
}

/// Files that the log mentions; what the command line names, if it mentions none.
pub(super) fn causes(scene: &Scene<'_>, log: &str) -> Vec<Cause> {
    let search = Search::of(scene);
    let mut found: Vec<Found> = Vec::new();
    for line in log.lines() {
        search.line(line, &mut found);
    }
    if found.is_empty() {
        for word in scene.work.verb.argv.iter().flat_map(|word| words(word)) {
            let named = search.locate(word).filter(|_| is_path(word));
            found.extend(named.filter(|found| search.is_file(found)));
        }
    }
    let mut seen = Vec::new();
    for each in found {
        if !seen.contains(&each) {
            seen.push(each);
        }
    }
    seen.truncate(MAX_CAUSES);
    seen.iter().map(|found| search.cause(found)).collect()
}

/// The file at `path`, which a command could not see.
pub(super) fn named(scene: &Scene<'_>, path: &str) -> Option<Cause> {
    let search = Search::of(scene);
    search.locate(path).map(|found| search.cause(&found))
}

struct Search<'s> {
    scene: &'s Scene<'s>,
    /// The folder that the command finds at the top of its own.
    top: PathBuf,
    /// What paths of the workspace do not lead out of.
    bound: PathBuf,
    home: Option<PathBuf>,
}

impl<'s> Search<'s> {
    fn of(scene: &'s Scene<'s>) -> Self {
        let (site, work) = (scene.site, scene.work);
        let up = Path::new(&place(work)).components().count();
        let top = work.folder.ancestors().nth(up);
        let bound = bound(&work.folder, &site.own_files().cache);
        let home = site.options.environment.get("HOME").map(PathBuf::from);
        Self {
            scene,
            top: top.unwrap_or(&work.folder).to_owned(),
            bound: bound.unwrap_or_else(|_| work.folder.clone()),
            home: home.filter(|home| home.is_absolute() && home.parent().is_some()),
        }
    }

    /// Adds what `line` mentions.
    fn line(&self, line: &str, found: &mut Vec<Found>) {
        let refuses = refuses(line);
        let before = found.len();
        for word in words(line) {
            let located = self.locate(word).filter(|each| match each {
                Found::Workspace(_) => refuses || is_path(word) && self.is_file(each),
                Found::Elsewhere { .. } | Found::Home(_) => refuses,
                Found::Machine(_) => refuses || self.is_file(each),
            });
            found.extend(located);
        }
        if found.len() == before {
            let lower = line.to_lowercase();
            let unnamed = UNNAMED.iter().filter(|(text, _)| lower.contains(text));
            let names = unnamed.flat_map(|(_, names)| *names);
            found.extend(names.filter_map(|name| self.locate(name)));
        }
        if refuses && found.len() == before {
            let modules = line.to_lowercase().contains("module");
            for word in words(line) {
                found.extend(self.alike(word, modules).into_iter().map(Found::Workspace));
            }
        }
    }

    /// What a word of a message stands for; `None`: nothing, or what the command sees.
    fn locate(&self, word: &str) -> Option<Found> {
        let sees_all = self.scene.level == Level::Free;
        if let Some(below) = word.strip_prefix("~/") {
            return self.in_home(below);
        }
        if !word.starts_with('/') {
            let folder = &self.scene.work.folder;
            let started = folder.join(&self.scene.work.workdir);
            return [started.as_path(), folder]
                .iter()
                .find_map(|from| self.in_workspace(&from.join(word)));
        }
        if let Some(below) = below(word, WORK) {
            return self.in_workspace(&self.top.join(below));
        }
        if let Some(below) = below(word, HOME) {
            return self.in_home(below);
        }
        let path = lexical(Path::new(word));
        let cache = self.scene.site.cas.root();
        if let Ok(staged) = path.strip_prefix(cache) {
            return self.in_stage(staged);
        }
        let exists = path.parent().is_some() && path.symlink_metadata().is_ok();
        if sees_all || !exists || self.scene.rules.allows(&path) {
            return None;
        }
        if path.starts_with(&self.bound) {
            let input = relative_to(&self.scene.work.folder, &path);
            return match self.scene.inputs.tree.get(&input) {
                Some(_) if !input.is_empty() => Some(Found::Elsewhere {
                    written: word.to_owned(),
                    input,
                }),
                _ => self.in_workspace(&path),
            };
        }
        Some(Found::Machine(path))
    }

    /// A path of a stage, relative to the cache: below a folder of the stage's own is
    /// what the command sees.
    fn in_stage(&self, path: &Path) -> Option<Found> {
        let names: Vec<_> = path.iter().collect();
        let at = names
            .iter()
            .position(|name| *name == "root" || *name == "home")?;
        let below: PathBuf = names[at + 1..].iter().collect();
        match names[at].to_str() {
            Some("root") => self.in_workspace(&self.top.join(below)),
            _ => self.in_home(&below.to_string_lossy()),
        }
    }

    /// A file of the workspace that is no input, and no output of the task.
    fn in_workspace(&self, path: &Path) -> Option<Found> {
        let path = lexical(path);
        let work = self.scene.work;
        let input = relative_to(&work.folder, &path);
        let own = |output: &str| Path::new(&input).starts_with(output.trim_end_matches('/'));
        let left_out = input.is_empty()
            || Path::new(&input).iter().all(|name| name == "..")
            || !path.starts_with(&self.bound)
            || path.symlink_metadata().is_err()
            || self.scene.inputs.tree.get(&input).is_some()
            || work.outputs.iter().any(|output| own(&output.path))
            || self.scene.site.is_own(&path);
        (!left_out).then_some(Found::Workspace(input))
    }

    fn in_home(&self, below: &str) -> Option<Found> {
        let exists = self.home.as_ref()?.join(below).symlink_metadata().is_ok();
        let plain = Path::new(below)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        (exists && plain && !below.is_empty()).then(|| Found::Home(below.to_owned()))
    }

    /// Files of the workspace whose path ends with `word`, or with the module of that
    /// name; none, if an input does too.
    fn alike(&self, word: &str, modules: bool) -> Vec<String> {
        let name = word.trim_start_matches("../").trim_start_matches("./");
        if name.len() < 3 || name.starts_with(['/', '~', '-']) || !(modules || name.contains('.')) {
            return Vec::new();
        }
        let mut endings = vec![name.to_owned()];
        if modules {
            // Python writes the folders of a module with dots.
            let dotted = name.replace('.', "/");
            for base in [name, dotted.as_str()] {
                endings.extend(
                    MODULE_ENDINGS
                        .iter()
                        .map(|ending| format!("{base}{ending}")),
                );
            }
        }
        let ends = |path: &str| {
            endings.iter().any(|ending| {
                path.strip_suffix(ending.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('/'))
            })
        };
        let snapshot = self.scene.site.snapshot(&self.scene.work.folder);
        let files = snapshot
            .entries
            .iter()
            .filter(|entry| !matches!(entry.kind, workspace::Kind::Directory) && ends(&entry.path));
        let found: Vec<String> = files
            .map(|entry| entry.path.clone())
            .take(MAX_ALIKE + 1)
            .collect();
        let is_input = |path: &String| self.scene.inputs.tree.get(path).is_some();
        match found.len() > MAX_ALIKE || found.iter().any(is_input) {
            true => Vec::new(),
            false => found,
        }
    }

    fn is_file(&self, found: &Found) -> bool {
        let path = match found {
            Found::Workspace(path) => self.scene.work.folder.join(path),
            Found::Elsewhere { input, .. } => self.scene.work.folder.join(input),
            Found::Home(path) => self.home.iter().map(|home| home.join(path)).collect(),
            Found::Machine(path) => path.clone(),
        };
        path.is_file()
    }

    fn cause(&self, found: &Found) -> Cause {
        let place = |key| self.scene.work.place.at(key);
        match found {
            Found::Workspace(path) => {
                let full = self.scene.work.folder.join(path);
                let glob = if full.is_dir() { "/**" } else { "" };
                Cause {
                    kind: CauseKind::UndeclaredInput,
                    message: format!(
                        "`{path}` exists in the workspace, but is not an input of the task"
                    ),
                    help: format!("add `{path}{glob}` to `inputs`{}", place("inputs")),
                }
            }
            Found::Elsewhere { written, input } => Cause {
                kind: CauseKind::UndeclaredInput,
                message: format!("`{written}` is a path on this machine, not in the sandbox"),
                help: format!("write `{input}` instead, which is relative to the task's folder"),
            },
            Found::Home(path) => Cause {
                kind: CauseKind::UndeclaredFile,
                message: format!(
                    "`~/{path}` exists on this machine, but the HOME of a command is empty"
                ),
                help: format!(
                    "pass what the task needs from `~/{path}` with `inputs`, `env` or `secrets`"
                ),
            },
            Found::Machine(path) => {
                let shown = path.display();
                let runs = tools::is_program(path);
                Cause {
                    kind: CauseKind::UndeclaredFile,
                    message: format!(
                        "`{shown}` exists on this machine, but the task did not declare it and cannot open it"
                    ),
                    help: match runs {
                        true => format!("add `{shown}` to `tools`{}", place("tools")),
                        false => format!(
                            "copy `{shown}` into the workspace and add it to `inputs`, or set `sandbox: none`"
                        ),
                    },
                }
            }
        }
    }
}

/// The rest of `word`, an absolute path, below `folder`.
fn below<'w>(word: &'w str, folder: &str) -> Option<&'w str> {
    let rest = word.strip_prefix(folder)?;
    match rest.strip_prefix('/') {
        Some(below) => Some(below),
        None => rest.is_empty().then_some(""),
    }
}

/// Whether a word can only be meant as a path.
fn is_path(word: &str) -> bool {
    word.contains('/') || word.contains('.')
}

/// The words of a message that may be paths.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || "'\"`()[]<>{},;:=|&*?‘’“”".contains(c);
    line.split(ends)
        .map(|word| word.trim_end_matches(['.', '!', '/']))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_between_quotes_and_positions() {
        let found = |line| words(line).filter(|word| is_path(word)).collect::<Vec<_>>();
        for (line, expected) in [
            ("cat: 'conf/a.toml': No such file", vec!["conf/a.toml"]),
            (
                "src/x.c:3:10: fatal error: y.h: No such",
                vec!["src/x.c", "y.h"],
            ),
            ("open(\"/etc/x\"): ENOENT.", vec!["/etc/x"]),
            ("--config=a/b.", vec!["a/b"]),
            ("nothing here", vec![]),
        ] {
            assert_eq!(found(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_about_missing_files_are_told_from_others() {
        let log =
            "reading a\na: No such file or directory\nModuleNotFoundError: No module named 'b'";
        assert_eq!(refusals(log).lines().count(), 2);
    }
}
