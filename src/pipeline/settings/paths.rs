//! Paths and patterns of files in the keys of commands.

use crate::archive::SafePath;
use crate::pipeline::reader::Reader;
use crate::yaml::Fields;

/// Paths below the pipeline's folder; `.` is the folder.
pub(super) fn input_folders(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<String> {
    let mut paths = Vec::new();
    for node in Reader::nodes(f, key) {
        let text = node.scalar().unwrap_or_default();
        match SafePath::parse(text) {
            Ok(safe) => paths.push(safe.to_string()),
            Err(_) if text == "." => paths.push(String::new()),
            Err(error) => {
                let message = format!("`{text}` in `{key}` is not a folder: {error}");
                r.at(node.span, message, "Name a folder below the pipeline's.");
            }
        }
    }
    paths
}

/// Patterns of files below the pipeline's folder.
pub(super) fn reports(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<String> {
    let mut patterns = Vec::new();
    for node in Reader::nodes(f, key) {
        let text = node.scalar().unwrap_or_default();
        let pattern = text.strip_prefix('!').unwrap_or(text);
        let why = match SafePath::parse(pattern) {
            Err(error) => Some(error.to_string()),
            Ok(_) => globset::Glob::new(pattern)
                .err()
                .map(|error| error.to_string()),
        };
        match why {
            None => patterns.push(text.to_owned()),
            Some(why) => r.at(
                node.span,
                format!("`{text}` in `{key}` is not a pattern of files: {why}"),
                "Name files below the pipeline file, such as build/test-results/*.xml.",
            ),
        }
    }
    patterns
}

/// Paths below the pipeline's folder or the command's home, without a `/` at the end.
pub(super) fn kept_paths(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<String> {
    let mut paths = Vec::new();
    for node in Reader::nodes(f, key) {
        let text = node.scalar().unwrap_or_default();
        let below = text.strip_prefix("~/").unwrap_or(text);
        match SafePath::parse(below) {
            Ok(safe) if text.starts_with("~/") => paths.push(format!("~/{safe}")),
            Ok(safe) => paths.push(safe.to_string()),
            Err(error) => r.at(
                node.span,
                format!("`{text}` in `{key}` is not a path to keep: {error}"),
                "Name a path relative to the pipeline file, or `~/...`; `incremental: true` keeps everything.",
            ),
        }
    }
    paths
}
