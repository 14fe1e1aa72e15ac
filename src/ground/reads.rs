//! What work reads of the checkout, by name: what would be an input of it if it existed.
//!
//! With that, a list of changed files is enough to say which work they affect, and a file
//! that is gone counts like one that changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::folders::{Folders, lexical};
use crate::workspace::{Climbing, WalkError};

/// Maximum number of links that are followed to find what is read.
const MAX_LINKS: usize = 4096;

/// Changed files of a checkout, by their full paths.
#[derive(Debug, Default)]
pub struct Changed {
    /// Sorted; text, because patterns match text.
    paths: Vec<String>,
    /// Folders that are one entry of the list: what changed in them is not known.
    folders: BTreeSet<String>,
    /// Folders with a changed file of patterns that Git ignores.
    rules: BTreeSet<String>,
}

impl Changed {
    /// Files by their full paths.
    #[must_use]
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut changed = Self::default();
        for path in paths {
            let text = path.to_string_lossy().into_owned();
            if path.file_name().is_some_and(|name| name == ".gitignore") {
                let folder = path.parent().unwrap_or(Path::new("/"));
                changed.rules.insert(folder.to_string_lossy().into_owned());
            }
            if path.is_dir() && !path.is_symlink() {
                changed.folders.insert(text.clone());
            }
            changed.paths.push(text);
        }
        changed.paths.sort();
        changed
    }

    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether this file has changed.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let found = self.paths.binary_search_by(|own| own.as_str().cmp(&path));
        found.is_ok() || self.folder_of(&path).is_some()
    }

    /// The entry of the list that is a folder above `path`.
    fn folder_of(&self, path: &str) -> Option<&str> {
        let mut folders = self.folders.iter();
        let found = folders.find(|folder| is_below(path, folder));
        found.map(String::as_str)
    }

    /// Those that begin with `prefix`.
    fn beginning(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let start = self.paths.partition_point(|path| path.as_str() < prefix);
        let rest = self.paths[start..].iter().map(String::as_str);
        let prefix = prefix.to_owned();
        rest.take_while(move |path| path.starts_with(&prefix))
    }
}

/// Whether `path` lies in `folder`, or is it.
fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

/// What some work reads of the checkout.
#[derive(Debug, Default)]
pub(crate) struct CheckoutReads {
    patterns: Vec<Climbing>,
    /// Files, and folders with everything in them.
    places: BTreeSet<PathBuf>,
    /// Any file may be read: the reason.
    anything: Option<&'static str>,
    /// Whether the commit that is checked out is read.
    commit: bool,
    /// Files of these names, in this folder and in those above it.
    selectors: Option<(PathBuf, Vec<&'static str>)>,
}

impl CheckoutReads {
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    pub(crate) fn anything(why: &'static str) -> Self {
        Self {
            anything: Some(why),
            ..Self::default()
        }
    }

    /// Adds the commit that is checked out.
    pub(crate) fn add_commit(&mut self) {
        self.commit = true;
    }

    /// Adds a file, or a folder with everything in it, and what links in it lead to.
    pub(crate) fn add_place(&mut self, path: &Path) {
        let mut open = vec![lexical(path)];
        while let Some(path) = open.pop() {
            if self.places.len() > MAX_LINKS || !self.places.insert(path.clone()) {
                continue;
            }
            match fs::canonicalize(&path) {
                Ok(real) if real != path => open.push(real),
                Ok(real) => linked(&real, &mut open),
                // It may be what is missing.
                Err(_) => {}
            }
        }
    }

    /// Adds a file. What a link there leads to belongs to whoever reads it.
    pub(crate) fn add_file(&mut self, path: &Path) {
        self.places.insert(lexical(path));
    }

    /// Adds files of these names in `folder` and above it.
    pub(crate) fn add_selectors(&mut self, folder: &Path, names: Vec<&'static str>) {
        self.selectors = Some((lexical(folder), names));
    }

    /// Adds a source of a definition.
    pub(crate) fn add_source(&mut self, folders: &Folders, source: &str) {
        let found = folders.find(source);
        self.add_place(&found.root.join(found.below));
    }

    /// Adds patterns, each relative to the folder that it climbs to from `folder`.
    pub(crate) fn add_patterns(
        &mut self,
        folder: &Path,
        globs: &[String],
    ) -> Result<(), WalkError> {
        self.patterns.push(Climbing::new(folder, globs)?);
        Ok(())
    }

    /// Why it is affected; `moved`: another commit is checked out.
    pub(crate) fn affected_by(&self, changed: &Changed, moved: bool) -> Option<String> {
        if self.commit && (moved || !changed.is_empty()) {
            return Some("the commit, or whether files differ from it".to_owned());
        }
        if let Some(why) = self.anything
            && !changed.is_empty()
        {
            return Some(why.to_owned());
        }
        let mut places = self.places.iter();
        let place = places.find_map(|place| of_place(&place.to_string_lossy(), changed));
        place
            .or_else(|| self.of_selectors(changed))
            .or_else(|| self.of_patterns(changed))
    }

    fn of_selectors(&self, changed: &Changed) -> Option<String> {
        let (folder, names) = self.selectors.as_ref()?;
        let selects = |path: &&String| {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            names.contains(&name) && folder.starts_with(if above.is_empty() { "/" } else { above })
        };
        changed.paths.iter().find(selects).cloned()
    }

    fn of_patterns(&self, changed: &Changed) -> Option<String> {
        for patterns in &self.patterns {
            for beginning in patterns.beginnings() {
                let mut all = changed.beginning(beginning.trim_end_matches('/'));
                let found = all.find(|path| patterns.matches(Path::new(path)));
                if let Some(path) = found {
                    return Some(path.to_owned());
                }
                let near = |folder: &&String| {
                    is_below(beginning.trim_end_matches('/'), folder)
                        || folder.starts_with(beginning)
                };
                if let Some(folder) = changed.folders.iter().find(near) {
                    return Some(folder.clone());
                }
                // What is ignored is no input, and what no longer is ignored is one.
                if let Some(folder) = changed.rules.iter().find(near) {
                    return Some(format!("{folder}/.gitignore"));
                }
            }
        }
        None
    }
}

/// The changed file that is the place, lies in it, or is a link on the way to it.
fn of_place(place: &str, changed: &Changed) -> Option<String> {
    let mut beginning = changed.beginning(place);
    let below = beginning.find(|path| is_below(path, place));
    let mut above = Path::new(place).ancestors().skip(1);
    let found = below.map(str::to_owned);
    found.or_else(|| {
        above.find_map(|path| {
            let path = path.to_string_lossy();
            let found = changed
                .paths
                .binary_search_by(|own| own.as_str().cmp(&path));
            found.ok().map(|_| path.into_owned())
        })
    })
}

/// Adds what links in a folder lead to.
fn linked(folder: &Path, open: &mut Vec<PathBuf>) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_symlink() {
                open.extend(fs::canonicalize(entry.path()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(paths: &[&str]) -> Changed {
        Changed::of(paths.iter().map(PathBuf::from))
    }

    fn reads(globs: &[&str]) -> CheckoutReads {
        let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
        let mut reads = CheckoutReads::nothing();
        reads.add_patterns(Path::new("/w/app"), &globs).unwrap();
        reads
    }

    #[test]
    fn patterns_match_what_is_changed_also_where_they_climb_and_not_what_they_exclude() {
        let own = reads(&[
            "src/**",
            "!src/*.md",
            "../lib/*.h",
            "!../lib/x.h",
            "Makefile",
        ]);
        let by = |path: &str| own.affected_by(&changed(&[path]), true);
        for path in [
            "/w/app/src/a.c",
            "/w/app/src/b/c.md",
            "/w/lib/a.h",
            "/w/app/Makefile",
        ] {
            assert_eq!(by(path).as_deref(), Some(path));
        }
        for path in [
            "/w/app/src/a.md",
            "/w/app/srcs",
            "/w/lib/x.h",
            "/w/lib/b/a.h",
            "/w/app/Makefile.am",
            "/w/appx/src/a.c",
            "/w/src/a.c",
        ] {
            assert_eq!(by(path), None, "{path}");
        }
    }

    #[test]
    fn rules_of_what_is_ignored_count_where_a_pattern_looks() {
        let own = reads(&["src/**"]);
        let by = |path: &str| own.affected_by(&changed(&[path]), false);
        assert!(by("/w/.gitignore").is_some() && by("/w/app/src/a/.gitignore").is_some());
        assert_eq!(by("/w/app/docs/.gitignore"), None);
        assert_eq!(by("/w/lib/.gitignore"), None);
    }

    #[test]
    fn a_place_is_what_lies_in_it_and_what_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(root.join("other")).unwrap();
        fs::write(root.join("other/f"), "").unwrap();
        fs::write(root.join("g"), "").unwrap();
        std::os::unix::fs::symlink("../../other", root.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink("a", root.join("way")).unwrap();
        let mut own = CheckoutReads::nothing();
        own.add_place(&root.join("way/b"));
        let by = |path: &str| {
            let changed = Changed::of([root.join(path)]);
            own.affected_by(&changed, false).is_some()
        };
        for path in ["a/b/new", "a/b/deleted/x", "other/f", "way", "a/b/link"] {
            assert!(by(path), "{path}");
        }
        for path in ["g", "a/bc", "a/c"] {
            assert!(!by(path), "{path}");
        }
    }

    #[test]
    fn selectors_count_in_the_folder_and_above_it() {
        let mut own = CheckoutReads::nothing();
        own.add_selectors(Path::new("/w/app/./x"), vec![".nvmrc"]);
        let by = |path: &str| own.affected_by(&changed(&[path]), false).is_some();
        assert!(by("/w/app/x/.nvmrc") && by("/w/.nvmrc"));
        assert!(!by("/w/app/x/y/.nvmrc") && !by("/w/lib/.nvmrc") && !by("/w/app/x/nvmrc"));
    }

    #[test]
    fn a_folder_that_is_one_entry_counts_for_all_that_may_be_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("sub/src")).unwrap();
        let mut own = CheckoutReads::nothing();
        own.add_patterns(&root, &["sub/src/*.c".to_owned()])
            .unwrap();
        let by = |path: &str| own.affected_by(&Changed::of([root.join(path)]), false);
        assert!(by("sub").is_some());
        assert!(Changed::of([root.join("sub")]).has(&root.join("sub/x")));
    }
}
