//! The folder that a template looks at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};
use crate::package::MAX_DEFINITION_BYTES;
use crate::yaml::{Node, SourceText, parse_first};

/// A folder with the names in it.
pub(super) struct Folder {
    path: PathBuf,
    /// Where it is, relative to the folder of the pipeline; empty: it is that.
    pub(super) at: String,
    names: Vec<String>,
}

impl Folder {
    pub(super) fn open(top: &Path, at: &str) -> Result<Self, DiskError> {
        let path = match at {
            "" => top.to_owned(),
            at => top.join(at),
        };
        let entries = fs::read_dir(&path).map_err(disk::at(&path))?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(Self {
            path,
            at: at.to_owned(),
            names,
        })
    }

    /// The name of the folder, as a package may be called.
    pub(super) fn name(&self) -> String {
        let real = fs::canonicalize(&self.path);
        let real = real.as_ref().unwrap_or(&self.path);
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        plain(&name)
    }

    /// The visible folders in it.
    pub(super) fn folders(&self) -> Vec<String> {
        let visible = self.names.iter().filter(|name| !name.starts_with('.'));
        visible
            .filter(|name| self.path.join(name).is_dir())
            .cloned()
            .collect()
    }

    /// The folder `path` in it.
    pub(super) fn below(&self, path: &str) -> Result<Self, DiskError> {
        Self::open(&self.path, path)
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        self.path.join(path).is_dir()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.path.join(path).exists()
    }

    /// The patterns among `patterns` that select something: `NAME` or `NAME/**`.
    pub(super) fn present(&self, patterns: &[&str]) -> Vec<String> {
        let there = patterns
            .iter()
            .filter(|pattern| self.has(pattern.strip_suffix("/**").unwrap_or(pattern)));
        there.map(|pattern| (*pattern).to_owned()).collect()
    }

    /// Whether a file in it has this extension.
    pub(super) fn has_any(&self, extension: &str) -> bool {
        let named = |name: &String| {
            Path::new(name)
                .extension()
                .is_some_and(|own| own == extension)
        };
        self.names.iter().any(named)
    }

    /// The text of a file; `None`: there is none, or it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        disk::read_text(&self.path.join(path), MAX_DEFINITION_BYTES).ok()
    }

    /// The first YAML document in a file.
    pub(super) fn yaml(&self, path: &str) -> Option<Node> {
        let text = self.text(path)?;
        parse_first(&SourceText::new(path, text)).ok().flatten()
    }
}

/// `text` with only what the name of a package may have.
pub(super) fn plain(text: &str) -> String {
    let kept = text.to_lowercase();
    let kept = kept
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let kept: String = kept.collect();
    match kept.trim_matches('-') {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}
