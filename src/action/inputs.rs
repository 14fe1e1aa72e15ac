//! Input trees: exactly the files that an action reads.
//!
//! A tree has the shape of `Directory` in the Remote Execution API v2: it maps names to
//! files, links and directories. A file has a digest and a size but no location. Only
//! `ground` knows where the bytes are, so an action can run wherever they are
//! available.
//!
//! The root has three kinds of entries: paths of the checkout; `:..`, the parent of the
//! folder that paths are relative to; and `:NAME`, a blob that another action made or
//! that was downloaded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::oci::Digest;

/// Prefix of the name of a blob at the root of a tree.
const BLOB: char = ':';

/// Stands for `..`, which is not a valid entry name.
const PARENT: &str = ":..";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Whether group and others have no permissions.
    pub private: bool,
}

impl InputFile {
    /// A file that anyone may read.
    #[must_use]
    pub fn plain(digest: Digest, size: u64) -> Self {
        Self {
            digest,
            size,
            executable: false,
            private: false,
        }
    }

    /// Its mode in archives: a umask must not change their bytes.
    #[must_use]
    pub fn mode(&self) -> u32 {
        mode(self.executable, self.private)
    }
}

/// A mode keeps only the owner's permission to execute, and whether group and others
/// have any permission.
fn mode(executable: bool, private: bool) -> u32 {
    match (executable, private) {
        (true, false) => 0o755,
        (false, false) => 0o644,
        (true, true) => 0o700,
        (false, true) => 0o600,
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputNode {
    File(InputFile),
    /// The target of a symbolic link, as stored in the link.
    Link(String),
    /// A directory with its entries.
    Directory(InputDirectory),
}

/// A directory of an input tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputDirectory {
    /// Whether group and others have no permissions.
    pub private: bool,
    entries: BTreeMap<String, InputNode>,
}

impl InputDirectory {
    /// A directory without entries.
    #[must_use]
    pub fn empty(private: bool) -> Self {
        Self {
            private,
            entries: BTreeMap::new(),
        }
    }

    /// Its mode in archives.
    #[must_use]
    pub fn mode(&self) -> u32 {
        mode(true, self.private)
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds `node`, which the tree has at `path`, as `name`.
    fn add(&mut self, name: &str, node: InputNode, path: &str) -> Result<(), InputError> {
        match (self.entries.get_mut(name), node) {
            (None, node) => {
                self.entries.insert(name.to_owned(), node);
            }
            (Some(InputNode::Directory(known)), InputNode::Directory(directory)) => {
                known.private |= directory.private;
            }
            (Some(known), node) if *known == node => {}
            (Some(_), _) => return Err(InputError::Conflict(path.to_owned())),
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputTree {
    root: InputNode,
}

impl Default for InputTree {
    fn default() -> Self {
        Self {
            root: InputNode::Directory(InputDirectory::default()),
        }
    }
}

/// Why an entry cannot be added to a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Not a valid path.
    #[error("`{0}` is not a valid input path: expected names separated by `/`")]
    Path(String),
    /// Two different entries at one path.
    #[error("two different inputs of one action have the path `{0}`: rename one of them")]
    Conflict(String),
}

impl InputTree {
    /// Adds `node` at `path`, which may begin with `..`, and creates the directories
    /// above it. The same entry may be added twice.
    ///
    /// # Errors
    ///
    /// [`InputError`]
    pub fn insert(&mut self, path: &str, node: InputNode) -> Result<(), InputError> {
        let wrong = || InputError::Path(path.to_owned());
        let mut names = path.split('/').filter(|name| *name != ".").peekable();
        let mut directory = match &mut self.root {
            InputNode::Directory(root) => root,
            _ => return Err(wrong()),
        };
        let last = loop {
            let name = match names.next() {
                Some("") => return Err(wrong()),
                Some("..") => PARENT,
                Some(name) => name,
                None => {
                    let InputNode::Directory(node) = node else {
                        return Err(wrong());
                    };
                    directory.private |= node.private;
                    return Ok(());
                }
            };
            if names.peek().is_none() {
                break name;
            }
            // Most inputs share their directories: a name is copied once.
            if !directory.entries.contains_key(name) {
                let empty = InputNode::Directory(InputDirectory::default());
                directory.entries.insert(name.to_owned(), empty);
            }
            match directory.entries.get_mut(name) {
                Some(InputNode::Directory(inner)) => directory = inner,
                _ => return Err(InputError::Conflict(path.to_owned())),
            }
        };
        directory.add(last, node, path)
    }

    /// Adds entries as [`insert`](Self::insert) does. Those of one directory that
    /// follow one another cost one search for it.
    ///
    /// # Errors
    ///
    /// [`InputError`]
    pub fn insert_all(
        &mut self,
        entries: impl IntoIterator<Item = (String, InputNode)>,
    ) -> Result<(), InputError> {
        let mut entries = entries.into_iter().peekable();
        while let Some((first, node)) = entries.next() {
            self.insert(&first, node)?;
            let parent = first.rsplit_once('/').map_or("", |(parent, _)| parent);
            let Some(InputNode::Directory(directory)) = self.get_mut(parent) else {
                continue;
            };
            let beside = |(path, _): &(String, InputNode)| name_in(parent, path).is_some();
            while let Some((path, node)) = entries.next_if(beside) {
                let name = name_in(parent, &path).unwrap_or_default();
                directory.add(name, node, &path)?;
            }
        }
        Ok(())
    }

    /// Adds a blob at the root, under any name.
    ///
    /// # Errors
    ///
    /// [`InputError::Conflict`]
    pub fn insert_blob(&mut self, name: &str, digest: Digest, size: u64) -> Result<(), InputError> {
        let node = InputNode::File(InputFile::plain(digest, size));
        self.insert(&blob_path(name), node)
    }

    /// The blob called `name`.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<&InputFile> {
        match self.get(&blob_path(name)) {
            Some(InputNode::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Every blob by its name, in the order of the tree.
    pub fn blobs(&self) -> impl Iterator<Item = (String, &InputFile)> {
        let entries = self.root.entries();
        entries.filter_map(|(path, node)| match node {
            InputNode::File(file) => Some((blob_name(path)?, file)),
            _ => None,
        })
    }

    /// As [`get`](Self::get), to be changed; the root for an empty path.
    fn get_mut(&mut self, path: &str) -> Option<&mut InputNode> {
        let mut found = &mut self.root;
        let names = path.split('/');
        for name in names.filter(|name| !matches!(*name, "." | "")) {
            let name = if name == ".." { PARENT } else { name };
            let InputNode::Directory(directory) = found else {
                return None;
            };
            found = directory.entries.get_mut(name)?;
        }
        Some(found)
    }

    /// The entry at `path`; the root for `.`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&InputNode> {
        let mut found = &self.root;
        for name in path.split('/').filter(|name| *name != ".") {
            let name = if name == ".." { PARENT } else { name };
            let InputNode::Directory(directory) = found else {
                return None;
            };
            found = directory.entries.get(name)?;
        }
        Some(found)
    }

    /// The entry at `path` and everything below it, parents first and names sorted
    /// bytewise, each with its path below `path`, as [`get`](Self::get) takes it: empty
    /// for `path` itself.
    #[must_use]
    pub fn walk(&self, path: &str) -> Vec<(String, &InputNode)> {
        let mut found = Vec::new();
        if let Some(node) = self.get(path) {
            visit(node, &mut String::new(), &mut |path, node| {
                found.push((written(path).into_owned(), node));
            });
        }
        found
    }

    /// Calls `put` with everything that is not implied by what is below it: the
    /// path as a definition would write it, whether it is a blob, and the entry.
    pub(super) fn each<'t>(&'t self, mut put: impl FnMut(&str, bool, &'t InputNode)) {
        let mut path = String::new();
        for (name, node) in self.root.entries() {
            if let (InputNode::File(_), Some(blob)) = (node, blob_name(name)) {
                put(&blob, true, node);
                continue;
            }
            path.clear();
            path.push_str(if name == PARENT { ".." } else { name });
            visit(node, &mut path, &mut |path, node| {
                let implied = match node {
                    InputNode::Directory(inner) => !inner.private && !inner.is_empty(),
                    _ => false,
                };
                if !implied {
                    put(&written(path), false, node);
                }
            });
        }
    }

    /// Every file that is not a blob, by its path as a definition would write it.
    #[must_use]
    pub fn sources(&self) -> Vec<(String, &InputFile)> {
        let mut found = Vec::new();
        self.each(|path, blob, node| match node {
            InputNode::File(file) if !blob => found.push((path.to_owned(), file)),
            _ => {}
        });
        found
    }

    /// Every file by its path.
    #[must_use]
    pub fn files(&self) -> Vec<(String, &InputFile)> {
        let all = self.walk(".").into_iter();
        all.filter_map(|(path, node)| match node {
            InputNode::File(file) => Some((path, file)),
            _ => None,
        })
        .collect()
    }
}

impl InputNode {
    /// The entries of a directory; none for anything else.
    fn entries(&self) -> impl Iterator<Item = (&String, &Self)> {
        let entries = match self {
            Self::Directory(directory) => Some(directory.entries.iter()),
            _ => None,
        };
        entries.into_iter().flatten()
    }
}

/// Calls `put` for `node`, which is at `path`, and for all below it, parents first.
fn visit<'t>(node: &'t InputNode, path: &mut String, put: &mut impl FnMut(&str, &'t InputNode)) {
    put(path, node);
    let length = path.len();
    for (name, node) in node.entries() {
        if length > 0 {
            path.push('/');
        }
        path.push_str(name);
        visit(node, path, put);
        path.truncate(length);
    }
}

/// The name of what is directly in the directory `parent`, if `path` is that.
fn name_in<'p>(parent: &str, path: &'p str) -> Option<&'p str> {
    let name = match parent {
        "" => path,
        parent => path.strip_prefix(parent)?.strip_prefix('/')?,
    };
    (!name.contains('/') && !matches!(name, "" | "." | "..")).then_some(name)
}

/// A path of the tree as a definition would write it.
fn written(path: &str) -> Cow<'_, str> {
    if !path.contains(PARENT) {
        return Cow::Borrowed(path);
    }
    let names = path.split('/');
    let names = names.map(|name| if name == PARENT { ".." } else { name });
    Cow::Owned(names.collect::<Vec<_>>().join("/"))
}

/// The path of a blob: a single component, whatever characters it has.
fn blob_path(name: &str) -> String {
    let escaped = name.replace('%', "%25").replace('/', "%2F");
    format!("{BLOB}{escaped}")
}

fn blob_name(path: &str) -> Option<String> {
    let name = path.strip_prefix(BLOB).filter(|_| path != PARENT)?;
    Some(name.replace("%2F", "/").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> InputNode {
        InputNode::File(InputFile::plain(
            Digest::of(text.as_bytes()),
            text.len() as u64,
        ))
    }

    #[test]
    fn paths_beside_the_folder_and_blobs_of_any_name_are_entries() {
        let mut tree = InputTree::default();
        tree.insert("a/b", file("1")).unwrap();
        tree.insert("../common/x", file("2")).unwrap();
        let url = "https://h/x%2F?y";
        tree.insert_blob(url, Digest::of(b"3"), 1).unwrap();
        assert_eq!(tree.get("../common/x"), Some(&file("2")));
        assert_eq!(
            tree.blob(url).map(|file| file.digest),
            Some(Digest::of(b"3"))
        );
        tree.insert("a:..b", file("4")).unwrap();
        for (path, file) in tree.files() {
            assert_eq!(tree.get(&path), Some(&InputNode::File(*file)), "{path}");
        }
        let mut shown = Vec::new();
        tree.each(|path, blob, _| shown.push((path.to_owned(), blob)));
        let expected = [
            ("../common/x", false),
            (url, true),
            ("a/b", false),
            ("a:..b", false),
        ];
        assert_eq!(shown, expected.map(|(path, blob)| (path.to_owned(), blob)));
    }

    #[test]
    fn entries_added_together_are_those_added_one_by_one() {
        let folder = || InputNode::Directory(InputDirectory::empty(false));
        let entries = [
            ("..", folder()),
            ("../b", file("1")),
            ("../c", file("2")),
            ("./a", file("1")),
            ("a.b", file("3")),
            ("d", folder()),
            ("d/./e", file("4")),
            ("d/e", file("4")),
            ("d/f", folder()),
            ("d/f/g", file("5")),
            ("d/h", file("6")),
            (".", folder()),
            ("i", file("7")),
        ];
        let mut single = InputTree::default();
        for (path, node) in entries.clone() {
            single.insert(path, node).unwrap();
        }
        let mut together = InputTree::default();
        let all = entries.map(|(path, node)| (path.to_owned(), node));
        together.insert_all(all).unwrap();
        assert_eq!(together, single);
        for wrong in ["d/e", "d//x", "d/h/x"] {
            let entries = [("d/h", file("6")), (wrong, file("8"))];
            let entries = entries.map(|(path, node)| (path.to_owned(), node));
            let refused = together.clone().insert_all(entries).unwrap_err();
            assert_eq!(
                refused,
                single.clone().insert(wrong, file("8")).unwrap_err()
            );
        }
    }

    #[test]
    fn a_path_has_one_entry() {
        let mut tree = InputTree::default();
        tree.insert("a", file("1")).unwrap();
        tree.insert("a", file("1")).unwrap();
        for (path, node) in [("a", file("2")), ("a/b", file("1"))] {
            let refused = tree.insert(path, node).unwrap_err();
            assert_eq!(refused, InputError::Conflict(path.to_owned()));
        }
        for path in ["", "a//b", "/a"] {
            assert!(tree.insert(path, file("1")).is_err(), "{path}");
        }
        let below: Vec<String> = tree.walk(".").into_iter().map(|(path, _)| path).collect();
        assert_eq!(below, ["", "a"]);
    }
}
