//! What a command reads: what other tasks made, as it was recorded, and files of
//! the workspace that its patterns select.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RunWork;
use crate::cas::tree::{self, Tree, TreeEntry};
use crate::disk::look;
use crate::ground::folders::{lexical, relative_to};
use crate::ground::generated::{Delivered, within};
use crate::ground::inputs::Inputs;
use crate::ground::site::Site;
use crate::ground::source::{LocalSourceError, behind_links, bound};
use crate::ground::{Class, Failure};
use crate::kinds::{Results, of};
use crate::text::first_of;
use crate::workspace::{self, Climbing, Entry, Globs, Kind, Snapshot, WalkError, taken_apart};

/// The inputs of `work`. If a file of the workspace and an output have the same path,
/// the output is used.
pub(super) fn read(site: &Site, work: &RunWork, results: &Results) -> Result<Inputs, Failure> {
    let mut made = BTreeMap::new();
    for task in &work.input_tasks {
        for output in &of(results, &task.task)?.outputs {
            let path = match &task.outputs {
                Some(folder) => format!("{folder}/{}", output.name),
                None => output.name.clone(),
            };
            made.insert(path, tree::load(&site.cas, &output.digest)?);
        }
    }
    let mut entries = matched(site, work)?;
    entries.retain(|entry| !within(&entry.path, |folder| made.contains_key(folder)));
    let mut inputs = Inputs::new(&site.cas).without_privacy();
    inputs.entries(site, &work.folder, &entries, str::to_owned)?;
    for (path, tree) in &made {
        inputs.recorded(path, tree)?;
    }
    for named in &work.by_path {
        let outputs = &of(results, &named.task)?.outputs;
        let found = outputs.iter().find(|output| output.name == named.output);
        // An optional output may be missing.
        let Some(found) = found.filter(|_| !made.contains_key(&named.path)) else {
            continue;
        };
        let tree = tree::load(&site.cas, &found.digest)?;
        let selected = selected(&tree, &work.folder, &named.path, &named.globs)?;
        if selected.is_empty() && !tree.entries.is_empty() {
            return Err(nothing(work, &named.globs.join("`, `"), ""));
        }
        for (path, entry) in selected {
            let single = Tree {
                entries: vec![TreeEntry {
                    path: String::new(),
                    kind: entry.kind.clone(),
                }],
            };
            match entry.kind {
                tree::TreeKind::Directory => inputs.recorded(&path, &Tree::default())?,
                _ => inputs.recorded(&path, &single)?,
            }
        }
    }
    Ok(inputs)
}

/// The part of the output `name` that the patterns select: each is relative to the folder
/// that it climbs to from `folder`.
fn selected<'t>(
    tree: &'t Tree,
    folder: &Path,
    name: &str,
    globs: &[String],
) -> Result<Vec<(String, &'t TreeEntry)>, Failure> {
    let globs = Climbing::new(folder, globs)?;
    let is_selected = |path: &str| globs.matches(&lexical(&folder.join(path)));
    let full = |entry: &TreeEntry| match entry.path.as_str() {
        "" => name.to_owned(),
        below => format!("{name}/{below}"),
    };
    let all = tree.entries.iter().map(|entry| (full(entry), entry));
    Ok(all.filter(|(path, _)| is_selected(path)).collect())
}

/// A pattern taken apart.
struct Pattern<'p> {
    /// As it is written.
    text: &'p str,
    /// Relative to the folder that it climbs to, without a `/` at its end.
    bare: &'p str,
    /// What of that comes before the first wildcard.
    fixed: &'p str,
}

impl<'p> Pattern<'p> {
    fn of(text: &'p str) -> Self {
        let (_, rest) = workspace::climbed(text);
        let bare = rest.trim_end_matches('/');
        let fixed = workspace::fixed_part(bare);
        Self { text, bare, fixed }
    }

    fn is_literal(&self) -> bool {
        self.fixed.len() == self.bare.len()
    }

    /// The folder that it must lie in, without a `/` at its end.
    fn folder(&self) -> &'p str {
        self.fixed.rfind('/').map_or("", |at| &self.fixed[..at])
    }

    /// Its glob, relative to the folder that it climbs to.
    fn glob(&self) -> Result<Globs, Failure> {
        let (_, rest) = workspace::climbed(self.text);
        Ok(Globs::new(&[rest])?)
    }
}

/// The folder of the pipeline, or one above it that patterns climb to.
struct Level {
    folder: PathBuf,
    snapshot: Arc<Snapshot>,
    /// What the patterns that climb here exclude.
    excluded: Globs,
}

/// The levels that patterns climb to, each by how many folders.
fn levels(site: &Site, work: &RunWork) -> Result<BTreeMap<usize, Level>, Failure> {
    let mut levels = BTreeMap::new();
    for glob in &work.globs {
        let (up, _) = taken_apart(glob);
        if levels.contains_key(&up) {
            continue;
        }
        let folder = work.folder.ancestors().nth(up);
        let bound = match up {
            0 => None,
            _ => Some(bound(&work.folder, &site.own_files().cache)?),
        };
        let inside = folder.filter(|folder| bound.iter().all(|bound| folder.starts_with(bound)));
        let Some(folder) = inside else {
            let error = LocalSourceError::LeadsOut {
                path: glob.clone(),
                bound: bound.unwrap_or_default(),
            };
            let message = format!("{}{error}", work.place.of("inputs"));
            return Err(Failure::new(Class::Configuration, message));
        };
        let own = work.globs.iter().map(|glob| (glob, taken_apart(glob)));
        let own: Vec<_> = own.filter(|(_, (climbs, _))| *climbs == up).collect();
        let (mut all, mut excluded) = (Vec::new(), Vec::new());
        for (glob, (_, rest)) in own {
            match glob.starts_with('!') {
                true => {
                    all.push(format!("!{rest}"));
                    excluded.push(rest);
                }
                false => all.push(rest.to_owned()),
            }
        }
        let level = Level {
            snapshot: site.snapshot(folder),
            folder: folder.to_owned(),
            excluded: Globs::new(&excluded)?,
        };
        if !level.snapshot.odd.is_empty() {
            let globs = Globs::new(&all)?;
            if let Some(odd) = level.snapshot.refused(|path| globs.matches(path)) {
                let message = format!("{}{}", work.place.of("inputs"), odd.why);
                return Err(Failure::new(Class::Configuration, message));
            }
        }
        levels.insert(up, level);
    }
    Ok(levels)
}

/// What the patterns of one command select.
struct Selection<'s> {
    site: &'s Site,
    work: &'s RunWork,
    levels: BTreeMap<usize, Level>,
    delivered: &'s Delivered,
    found: Vec<Entry>,
}

/// Files of the workspace that the patterns name.
fn matched(site: &Site, work: &RunWork) -> Result<Vec<Entry>, Failure> {
    if work.globs.is_empty() {
        return Ok(Vec::new());
    }
    let by_path = |pattern: &str| {
        let mut named = work.by_path.iter();
        named.any(|named| named.globs.iter().any(|glob| glob == pattern))
    };
    let mut selection = Selection {
        site,
        work,
        levels: levels(site, work)?,
        delivered: work.generated.delivered(&site.cas),
        found: Vec::new(),
    };
    for text in work.globs.iter().filter(|glob| !glob.starts_with('!')) {
        let (up, _) = workspace::climbed(text);
        if let Some(level) = selection.levels.remove(&up).filter(|_| !by_path(text)) {
            let done = selection.add(&level, &Pattern::of(text));
            selection.levels.insert(up, level);
            done?;
        }
    }
    Ok(selection.finish())
}

impl Selection<'_> {
    /// Adds what the pattern selects.
    fn add(&mut self, level: &Level, pattern: &Pattern<'_>) -> Result<(), Failure> {
        let (site, work) = (self.site, self.work);
        let own = pattern.glob()?;
        // Only what begins like the pattern's fixed part can match it.
        let prefix = match pattern.is_literal() {
            true => pattern.bare.to_owned(),
            false if pattern.folder().is_empty() => String::new(),
            false => format!("{}/", pattern.folder()),
        };
        let entries = &level.snapshot.entries;
        let start = entries.partition_point(|entry| entry.path < prefix);
        let begin = entries[start..].iter();
        let begin = begin.take_while(|entry| entry.path.starts_with(&prefix));
        let (mut any, before) = (false, self.found.len());
        for entry in begin.filter(|entry| own.matches(&entry.path)) {
            // What a task made that does not make it any more is no source either.
            let old = !pattern.is_literal()
                && self.delivered.has(
                    &|entry| site.digest(entry),
                    &level.folder,
                    entry,
                    pattern.folder(),
                );
            // What tasks make does not count: it is not there before they run.
            any |= !old && self.take(level, entry);
        }
        let ignored = ignored(site, work, level, pattern, self.found.len() > before)?;
        if ignored.is_empty() {
            self.warn_of_left_out(level, pattern);
        }
        for entry in &ignored {
            any |= self.take(level, entry);
        }
        let made = generated(work, &shown(work, level, pattern.bare));
        if !any && !work.optional_globs.contains(pattern.text) && !made {
            let why = why_nothing(work, level, pattern, &own);
            return Err(nothing(work, pattern.text, &why));
        }
        Ok(())
    }

    /// Adds an entry of `level`, unless a pattern excludes it; `false`: a task makes it.
    fn take(&mut self, level: &Level, entry: &Entry) -> bool {
        if level.excluded.matches(&entry.path) || self.is_excluded_elsewhere(level, entry) {
            return true;
        }
        let path = shown(self.work, level, &entry.path);
        let entry = Entry {
            path,
            ..entry.clone()
        };
        let own = !left_out(self.work, &entry);
        if own {
            self.found.push(entry);
        }
        own
    }

    /// Whether a pattern that climbs elsewhere excludes the entry. Its own level is not
    /// among the others meanwhile.
    fn is_excluded_elsewhere(&self, level: &Level, entry: &Entry) -> bool {
        let mut others = self.levels.values().peekable();
        if others.peek().is_none() {
            return false;
        }
        let full = level.folder.join(&entry.path);
        others.any(|other| {
            let below = full.strip_prefix(&other.folder).ok();
            let below = below.and_then(Path::to_str);
            below.is_some_and(|below| other.excluded.matches(below))
        })
    }

    /// Warns of what is in a folder that is named literally, but ignored by Git.
    fn warn_of_left_out(&self, level: &Level, pattern: &Pattern<'_>) {
        if !pattern.is_literal() {
            return;
        }
        let mut left = level.snapshot.left_out(&level.folder, pattern.bare);
        left.retain(|path| {
            let excluded = |path: &str| level.excluded.matches(path);
            !excluded(path)
                && !excluded(&format!("{path}/x"))
                && !generated(self.work, &shown(self.work, level, path))
                && !self.site.is_own(&level.folder.join(path))
        });
        let Some(first) = left.first() else {
            return;
        };
        let first = shown(self.work, level, first);
        let all = left
            .iter()
            .map(|path| format!("`{}`", shown(self.work, level, path)));
        let all = first_of(all, 1);
        self.site.note(format!(
            "{}`{}` in `inputs` leaves out {all}, which .gitignore names: name them \
             literally to include them, or exclude them with `!{first}`",
            self.work.place.of("inputs"),
            pattern.text,
        ));
    }

    fn finish(self) -> Vec<Entry> {
        let mut found = self.found;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        let levels = self.levels.values();
        // Most times, there are none, and many inputs.
        let marked = levels.filter(|level| !level.snapshot.tracked_ignored.is_empty());
        let marked: Vec<&Level> = marked.collect();
        let tracked = |entry: &&Entry| {
            if marked.is_empty() {
                return false;
            }
            let full = lexical(&self.work.folder.join(&entry.path));
            marked.iter().any(|level| {
                let below = full.strip_prefix(&level.folder).ok();
                let below = below.and_then(Path::to_str);
                below.is_some_and(|below| level.snapshot.tracked_ignored.contains(below))
            })
        };
        let tracked = found.iter().filter(tracked);
        let tracked = first_of(tracked.map(|entry| format!("`{}`", entry.path)), 1);
        if !tracked.is_empty() {
            self.site.note(format!(
                "{tracked} is an input because Git tracks it, although .gitignore names it: \
                 sources without Git would give another result"
            ));
        }
        found
    }
}

/// `path`, which is relative to a level, relative to the folder of the pipeline.
fn shown(work: &RunWork, level: &Level, path: &str) -> String {
    match level.folder == work.folder {
        true => path.to_owned(),
        false => relative_to(&work.folder, &level.folder.join(path)),
    }
}

/// The ignored files that a pattern selects: those it names literally, and those in the
/// folder that it begins with.
fn ignored(
    site: &Site,
    work: &RunWork,
    level: &Level,
    pattern: &Pattern<'_>,
    found: bool,
) -> Result<Vec<Entry>, Failure> {
    let (start, known) = match pattern.is_literal() {
        true => (pattern.bare, found),
        false => (pattern.folder(), false),
    };
    let snapshot = &level.snapshot;
    let listed = |path: &str| {
        let entries = &snapshot.entries;
        let place = entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
        place.is_ok() && !snapshot.partial.contains(path)
    };
    let exists = |path: &str| look::symlink_metadata(&level.folder.join(path)).is_ok();
    let made = generated(work, &shown(work, level, start));
    if start.is_empty() || known || made || listed(start) {
        return Ok(Vec::new());
    }
    let full = lexical(&level.folder.join(start));
    let real = behind_links(&full);
    if let Some(real) = real.filter(|real| work.generated.touches(real)) {
        let error = WalkError::Made { link: full, real };
        let message = format!("{}{error}", work.place.of("inputs"));
        return Err(Failure::new(Class::Configuration, message));
    }
    if !exists(start) {
        return Ok(Vec::new());
    }
    let mut entries = workspace::list(&level.folder, start)?;
    entries.retain(|entry| !site.is_own(&level.folder.join(&entry.path)));
    let own = pattern.glob()?;
    entries.retain(|entry| own.matches(&entry.path));
    Ok(entries)
}

/// What `.gitignore` leaves out of a pattern, if that is why it selects nothing.
fn why_nothing(work: &RunWork, level: &Level, pattern: &Pattern<'_>, own: &Globs) -> String {
    let below = format!("{}/", pattern.bare);
    let mut made = work.generated.paths.iter();
    if level.folder == work.folder
        && let Some(path) = made.find(|path| path.starts_with(&below) || own.matches(path))
    {
        return of_a_task(path);
    }
    let all = workspace::walk_all(&level.folder).into_iter();
    let ignored: Vec<String> = all.filter(|path| own.matches(path)).collect();
    let shown_first = ignored.first().map(|first| shown(work, level, first));
    if let Some(path) = shown_first.filter(|path| generated(work, path)) {
        return of_a_task(&path);
    }
    let count = ignored.len();
    ignored.first().map_or_else(String::new, |first| {
        let first = shown(work, level, first);
        format!("; .gitignore leaves out {count} that it would match, such as `{first}`: name them, or their folder, literally")
    })
}

fn of_a_task(path: &str) -> String {
    format!(
        "; `{path}` is the output of a task, which patterns leave out: name it, or the task as \
         `task:NAME`, instead of the pattern"
    )
}

/// The failure for a pattern that selects nothing.
fn nothing(work: &RunWork, glob: &str, why: &str) -> Failure {
    let help = match why {
        "" => format!(": correct it, or write `{{ glob: '{glob}', optional: true }}`"),
        why => why.to_owned(),
    };
    let place = work.place.of("inputs");
    let message = format!("{place}`{glob}` in `inputs` matches nothing{help}");
    Failure::new(Class::Configuration, message)
}

/// Whether a pattern skips an entry that it matches: outputs of tasks, and folders that
/// exist only for them.
fn left_out(work: &RunWork, entry: &Entry) -> bool {
    if generated(work, &entry.path) {
        return true;
    }
    if entry.kind != Kind::Directory {
        return false;
    }
    work.generated.is_above(&entry.path)
}

/// Whether some task makes `path`, or a folder that it is in.
fn generated(work: &RunWork, path: &str) -> bool {
    work.generated.has(path)
}
