//! What a command reads: what other tasks made, as it was recorded, and files of
//! the workspace that its patterns select.

use std::collections::BTreeMap;

use super::RunWork;
use crate::cas::tree::{self, Tree, TreeEntry};
use crate::ground::inputs::Inputs;
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::kinds::{Results, of};
use crate::workspace::{self, Entry, Globs, Kind, WalkError};

/// The inputs of `work`. If a file of the workspace and an output have the same path,
/// the output is used.
pub(super) fn read(site: &Site, work: &RunWork, results: &Results) -> Result<Inputs, Failure> {
    let mut made = BTreeMap::new();
    for task in &work.input_tasks {
        for output in &of(results, task)?.outputs {
            made.insert(output.name.clone(), tree::load(&site.cas, &output.digest)?);
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
        let Some(found) = found.filter(|found| !made.contains_key(&found.name)) else {
            continue;
        };
        let tree = tree::load(&site.cas, &found.digest)?;
        let selected = selected(&tree, &found.name, &named.globs)?;
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

/// The part of the output `name` that the patterns select.
fn selected<'t>(
    tree: &'t Tree,
    name: &str,
    globs: &[String],
) -> Result<Vec<(String, &'t TreeEntry)>, Failure> {
    let globs = Globs::new(globs)?;
    let full = |entry: &TreeEntry| match entry.path.as_str() {
        "" => name.to_owned(),
        below => format!("{name}/{below}"),
    };
    let all = tree.entries.iter().map(|entry| (full(entry), entry));
    Ok(all.filter(|(path, _)| globs.matches(path)).collect())
}

/// A pattern taken apart.
struct Pattern<'p> {
    /// Without `./` and a `/` at its end.
    bare: &'p str,
    /// What comes before the first wildcard.
    fixed: &'p str,
}

impl<'p> Pattern<'p> {
    fn of(text: &'p str) -> Self {
        let bare = text.trim_start_matches("./").trim_end_matches('/');
        let fixed = workspace::fixed_part(bare);
        Self { bare, fixed }
    }

    fn is_literal(&self) -> bool {
        self.fixed.len() == self.bare.len()
    }

    /// The folder that it must lie in, without a `/` at its end.
    fn folder(&self) -> &'p str {
        self.fixed.rfind('/').map_or("", |at| &self.fixed[..at])
    }
}

/// Files of the workspace that the patterns name.
fn matched(site: &Site, work: &RunWork) -> Result<Vec<Entry>, Failure> {
    if work.globs.is_empty() {
        return Ok(Vec::new());
    }
    let (excluding, including): (Vec<&String>, Vec<&String>) =
        work.globs.iter().partition(|glob| glob.starts_with('!'));
    let excluded = Globs::new(&excluding)?;
    let including = including.into_iter();
    let including = including.map(|text| Ok((text, Globs::new(&[text])?)));
    let including = including.collect::<Result<Vec<_>, WalkError>>()?;
    let snapshot = site.snapshot(&work.folder);
    let selects = |path: &str| {
        !excluded.excludes(path) && including.iter().any(|(_, globs)| globs.matches(path))
    };
    if let Some(odd) = snapshot.refused(selects) {
        let message = format!("{}{}", work.place.of("inputs"), odd.why);
        return Err(Failure::new(Class::Configuration, message));
    }
    // What a pattern matches, the task takes unless another pattern excludes it.
    let taken = |entry: &Entry| !excluded.excludes(&entry.path) && !left_out(work, entry);
    let by_path = |pattern: &str| {
        let mut named = work.by_path.iter();
        named.any(|named| named.globs.iter().any(|glob| glob == pattern))
    };
    let mut found: Vec<Entry> = Vec::new();
    for (text, own) in &including {
        if by_path(text) {
            continue;
        }
        let pattern = Pattern::of(text);
        let before = found.len();
        // Only what begins like the pattern's fixed part can match it.
        let prefix = match pattern.is_literal() {
            true => pattern.bare.to_owned(),
            false if pattern.folder().is_empty() => String::new(),
            false => format!("{}/", pattern.folder()),
        };
        let entries = &snapshot.entries;
        let start = entries.partition_point(|entry| entry.path < prefix);
        let begin = entries[start..].iter();
        let begin = begin.take_while(|entry| entry.path.starts_with(&prefix));
        let mut any = false;
        for entry in begin.filter(|entry| own.matches(&entry.path)) {
            any = true;
            if taken(entry) {
                found.push(entry.clone());
            }
        }
        let ignored = ignored(site, work, &pattern, found.len() > before)?;
        any |= !ignored.is_empty();
        found.extend(ignored.into_iter().filter(taken));
        if !any && !work.optional_globs.contains(*text) && !generated(work, pattern.bare) {
            return Err(nothing(work, text, &why_nothing(work, &pattern, own)));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    let tracked = found.iter();
    let mut tracked = tracked.filter(|entry| snapshot.tracked_ignored.contains(&entry.path));
    if let Some(first) = tracked.next() {
        let more = match tracked.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        site.note(format!(
            "`{}`{more} is an input because Git tracks it, although .gitignore names it: sources \
             without Git would give another result",
            first.path
        ));
    }
    Ok(found)
}

/// The ignored files that a pattern selects: those it names literally, and those in the
/// folder that it begins with.
fn ignored(
    site: &Site,
    work: &RunWork,
    pattern: &Pattern<'_>,
    found: bool,
) -> Result<Vec<Entry>, Failure> {
    let (start, known) = match pattern.is_literal() {
        true => (pattern.bare, found),
        false => (pattern.folder(), false),
    };
    let snapshot = site.snapshot(&work.folder);
    let listed = |path: &str| {
        let entries = &snapshot.entries;
        let place = entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
        place.is_ok() && !snapshot.partial.contains(path)
    };
    let exists = |path: &str| work.folder.join(path).symlink_metadata().is_ok();
    if start.is_empty() || known || generated(work, start) || listed(start) || !exists(start) {
        return Ok(Vec::new());
    }
    let mut entries = workspace::list(&work.folder, start)?;
    entries.retain(|entry| !site.is_own(&work.folder.join(&entry.path)));
    let own = Globs::new(&[pattern.bare])?;
    entries.retain(|entry| own.matches(&entry.path));
    Ok(entries)
}

/// What `.gitignore` leaves out of a pattern, if that is why it selects nothing.
fn why_nothing(work: &RunWork, pattern: &Pattern<'_>, own: &Globs) -> String {
    let below = format!("{}/", pattern.bare);
    let mut made = work.generated.iter();
    if let Some(path) = made.find(|path| path.starts_with(&below) || own.matches(path)) {
        return format!("; `{path}` is the output of a task: name it, or the task as `task:NAME`");
    }
    let all = workspace::walk_all(&work.folder).into_iter();
    let ignored: Vec<String> = all.filter(|path| own.matches(path)).collect();
    let count = ignored.len();
    ignored.first().map_or_else(String::new, |first| {
        format!("; .gitignore leaves out {count} that it would match, such as `{first}`: name them, or their folder, literally")
    })
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
    let below = format!("{}/", entry.path);
    let mut made = work.generated.range(below.clone()..);
    made.next().is_some_and(|path| path.starts_with(&below))
}

/// Whether some task makes `path`, or a folder that it is in.
fn generated(work: &RunWork, path: &str) -> bool {
    within(path, |folder| work.generated.contains(folder))
}

/// Whether `path`, or a folder that it is in, is one of those.
fn within(path: &str, of_those: impl Fn(&str) -> bool) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    above.chain([path]).any(of_those)
}
