//! The folders with a component's sources: the package's own, and those
//! of the definitions it imports.
//!
//! Sources are named as in the composed definition, such as `../common/x`, on every
//! machine; this module maps them to paths on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::generated::Generated;
pub use super::path::{lexical, relative_to};
use crate::package::is_archive_name;

/// Folders by the prefix of their sources.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// The package's folder, for sources that match no other prefix.
    pub own: PathBuf,
    /// Folders of imported definitions, by their path from the package's folder.
    pub imported: BTreeMap<String, PathBuf>,
    /// How the names of the package's archives begin; empty: it has none.
    pub archive: String,
    /// What tasks write.
    pub made: MadePaths,
}

/// What tasks write, as far as it concerns one step.
#[derive(Clone, Debug, Default)]
pub struct MadePaths {
    /// Outputs that it reads by their paths, or that lie in what it reads.
    pub read: Arc<Vec<MadePath>>,
    /// All outputs of the workspace.
    pub all: Arc<Generated>,
}

/// A declared output of a task, as a place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePath {
    /// Without `.` and `..`.
    pub at: PathBuf,
    /// The step that makes it.
    pub step: String,
    /// Its name among the step's outputs.
    pub output: String,
}

/// The location of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// A folder on this machine.
    pub root: &'a Path,
    /// The source, relative to it.
    pub below: &'a str,
    /// The part of the source before `below`; empty for the package folder.
    pub prefix: &'a str,
}

impl From<PathBuf> for Folders {
    fn from(own: PathBuf) -> Self {
        Self {
            own,
            ..Self::default()
        }
    }
}

impl Folders {
    /// The folder `own` alone, and what tasks write.
    #[must_use]
    pub fn over(own: PathBuf, made: MadePaths) -> Self {
        Self {
            made,
            ..Self::from(own)
        }
    }

    /// The folder of `source`: the longest matching prefix.
    #[must_use]
    pub fn find<'a>(&'a self, source: &'a str) -> Found<'a> {
        let mut found = Found {
            root: &self.own,
            below: source,
            prefix: "",
        };
        for (prefix, root) in &self.imported {
            let Some(rest) = source.strip_prefix(prefix.as_str()) else {
                continue;
            };
            let below = match rest {
                "" => ".",
                rest => match rest.strip_prefix('/') {
                    Some(below) => below,
                    None => continue,
                },
            };
            if prefix.len() > found.prefix.len() {
                found = Found {
                    root,
                    below,
                    prefix,
                };
            }
        }
        found
    }
}

impl Folders {
    /// Whether a file called `name` is an archive of the package.
    #[must_use]
    pub fn wrote(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.archive.as_str());
        let own = rest.is_some_and(|rest| rest.starts_with(['-', '.']));
        own && !self.archive.is_empty() && is_archive_name(name)
    }
}

impl Found<'_> {
    /// The name in the definition of `path`, which is relative to the root.
    #[must_use]
    pub fn named(&self, path: &str) -> String {
        match self.prefix {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_in_the_folder_with_the_longest_matching_prefix() {
        let folders = Folders {
            own: "/w/pkg".into(),
            imported: ["..", "../a", "../a/b"]
                .map(|prefix| (prefix.to_owned(), PathBuf::from(format!("/real/{prefix}"))))
                .into(),
            archive: "jackal-package-app-amd64".to_owned(),
            made: MadePaths::default(),
        };
        assert!(folders.wrote("jackal-package-app-amd64-1.0.0.tar.zst.part001"));
        assert!(folders.wrote("jackal-package-app-amd64.tar"));
        for other in [
            "jackal-package-app-amd64x.tar.zst",
            "jackal-package-apps-amd64-1.0.0.tar.zst",
            "jackal-package-app-amd64-1.0.0.md",
        ] {
            assert!(!folders.wrote(other), "{other}");
        }
        for (source, root, below) in [
            ("x/y", "/w/pkg", "x/y"),
            ("../a/b/x", "/real/../a/b", "x"),
            ("../a/bc", "/real/../a", "bc"),
            ("../ab", "/real/..", "ab"),
            ("../a", "/real/../a", "."),
            ("..x", "/w/pkg", "..x"),
        ] {
            let found = folders.find(source);
            assert_eq!(
                (found.root, found.below),
                (Path::new(root), below),
                "{source}"
            );
        }
    }
}
