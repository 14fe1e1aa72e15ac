//! Reports of tests that a command left, whether it succeeded or not.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;

use super::mask::Mask;
use super::named;
use super::stage::{Layout, ROOT};
use crate::action::InputNode;
use crate::disk::{self, Enclosure};
use crate::ground::Reported;
use crate::ground::inputs::Inputs;
use crate::junit::{self, Budget, MAX_FILE_BYTES, Report};
use crate::oci::Digest;
use crate::workspace::Globs;

/// Maximum number of files and folders that are looked at.
const MAX_VISITED: usize = 1_000_000;

/// Maximum number of warnings about files that are not reports.
const MAX_WARNINGS: usize = 5;

/// The reports that match `patterns`, which are relative to the command's folder, in the
/// order of their paths; with `secrets` masked.
///
/// A file that is an input and still has its content was not made by the command.
pub(super) fn collect(
    layout: &Layout,
    inputs: &Inputs,
    patterns: &[String],
    secrets: &[String],
) -> Reported {
    let (mut budget, mut report) = (Budget::default(), Report::default());
    let (mut read, mut warnings) = (Vec::new(), Vec::new());
    for path in find(layout, patterns) {
        let suites = match contents(layout, &path) {
            Ok(bytes) if is_input(inputs, &path, &bytes) => continue,
            Ok(bytes) => junit::read(&bytes, &mut budget).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        match suites {
            Ok(suites) => report.suites.extend(suites),
            Err(why) => warnings.push(format!("`{path}` is not a report of tests: {why}")),
        }
        read.push(path);
    }
    let others = warnings.len().saturating_sub(MAX_WARNINGS);
    let is_report = warnings.len() < read.len();
    warnings.truncate(MAX_WARNINGS);
    if others > 0 {
        warnings.push(format!("{others} more files are not reports of tests"));
    }
    if !secrets.is_empty() {
        let mask = Mask::of(secrets);
        report.each_text(&|text| *text = mask.report_text(text));
    }
    Reported {
        report: is_report.then(|| Arc::new(report)),
        warnings,
        missing: missing(patterns, &read),
    }
}

/// The patterns that match none of `paths`.
fn missing(patterns: &[String], paths: &[String]) -> Vec<String> {
    let wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
    let misses = |pattern: &&String| {
        let globs = Globs::new(&[pattern]);
        globs.is_ok_and(|globs| !paths.iter().any(|path| globs.matches(path)))
    };
    wanted.filter(misses).cloned().collect()
}

/// Whether a path, relative to the command's folder, is that of a report.
pub(in crate::kinds::run) fn matcher(patterns: &[String]) -> impl Fn(&str) -> bool {
    let globs = Globs::new(patterns).ok();
    move |path| globs.as_ref().is_some_and(|globs| globs.matches(path))
}

/// Removes reports of an earlier run from a folder that was kept.
pub(super) fn clear(layout: &Layout, inputs: &Inputs, patterns: &[String]) -> std::io::Result<()> {
    for path in find(layout, patterns) {
        if inputs.tree.get(&path).is_none() {
            disk::remove(&layout.own().join(&path))?;
        }
    }
    Ok(())
}

/// The files that match, relative to the command's folder, in order. Follows no links.
fn find(layout: &Layout, patterns: &[String]) -> Vec<String> {
    let Ok(globs) = Globs::new(patterns) else {
        return Vec::new();
    };
    let (mut found, mut visited) = (Vec::new(), 0);
    let wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
    let mut open: Vec<String> = wanted.map(|text| literal(text).to_owned()).collect();
    open.retain(|folder| is_folder(layout, folder));
    open.sort_unstable();
    // A folder below another one is reached from there.
    let mut last: Option<String> = None;
    open.retain(|folder| {
        let is_below = last
            .as_ref()
            .is_some_and(|last| Path::new(folder).starts_with(last));
        if !is_below {
            last = Some(folder.clone());
        }
        !is_below
    });
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(layout.own().join(&folder));
        for entry in entries.into_iter().flatten().flatten() {
            visited += 1;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = match folder.as_str() {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && visited < MAX_VISITED => open.push(path),
                Ok(kind) if kind.is_file() && globs.matches(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    found
}

/// The folders before the first name with a wildcard.
fn literal(pattern: &str) -> &str {
    let pattern = pattern.trim_start_matches("./");
    let wild = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern[..wild]
        .rsplit_once('/')
        .map_or("", |(above, _)| above)
}

/// Whether a folder of the command is one, without links on the way.
fn is_folder(layout: &Layout, path: &str) -> bool {
    let below = layout.below_top(path);
    let full = Path::new(ROOT).join(below);
    let kind = named(&full.to_string_lossy()).and_then(|full| {
        let stage = Enclosure::open(layout.stage()).map_err(disk::at(layout.stage()))?;
        Ok(stage.kind(&full).map_err(disk::at(layout.stage()))?)
    });
    kind.is_ok_and(|kind| kind == FileType::Directory)
}

fn contents(layout: &Layout, path: &str) -> Result<Vec<u8>, String> {
    let full = format!("{ROOT}/{}", layout.below_top(path));
    let full = named(&full).map_err(|error| error.to_string())?;
    let open = || Enclosure::open(layout.stage())?.read(&full);
    let mut bytes = Vec::new();
    let read = open().and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err("it is larger than 64 MiB".to_owned()),
        false => Ok(bytes),
    }
}

fn is_input(inputs: &Inputs, path: &str, bytes: &[u8]) -> bool {
    match inputs.tree.get(path) {
        Some(InputNode::File(file)) => {
            file.size == bytes.len() as u64 && file.digest == Digest::of(bytes)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_begins_where_a_pattern_has_no_wildcards() {
        for (pattern, folder) in [
            ("build/test-results/*.xml", "build/test-results"),
            ("**/surefire-reports/*.xml", ""),
            ("a/b*/c.xml", "a"),
            ("./a/report.xml", "a"),
            ("report.xml", ""),
        ] {
            assert_eq!(literal(pattern), folder, "{pattern}");
        }
    }
}
