//! What a tar inside a package may hold: a component, the SBOMs, documentation.
//!
//! `verify` refuses by these rules, and the code that unpacks such a tar writes only
//! what they accept, so a package that passes one passes the other. Memory is bounded
//! by [`MAX_NODES`] and [`MAX_LINK_BYTES`].
//!
//! Source: docs/spec/package.md, "Extraction", "Limits".

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{SafePath, TarEntry, TarKind};

/// Maximum number of files, links and folders, those that are only implied by paths
/// included: 3.5 million. They take up to 120 MB while the table grows, and a tar has
/// at most two million headers.
const MAX_NODES: usize = 3_500_000;

/// Maximum size of the names and targets of links, with [`LINK_COST`] for each: 64 MiB.
/// They are held in memory until the end. A system with two hundred thousand links
/// needs a third of that.
const MAX_LINK_BYTES: usize = 64 << 20;

/// Memory for a link in addition to its strings, in bytes.
const LINK_COST: usize = 96;

/// Maximum length of one name of a path in bytes: Linux's `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;

/// What a tar may contain besides files and folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents<'t> {
    /// Files, folders and symbolic links that lead anywhere, all below a folder of this
    /// name: the tar of a component.
    Component(&'t str),
    /// Files and folders only: programs that open these documents must not be led
    /// elsewhere.
    Documents,
}

/// Why a tar inside a package is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainedFault {
    /// A name that is not relative, or leads out of the folder.
    #[error("its entry `{0}` leads out of the package")]
    Unsafe(String),
    /// Two entries have the same name.
    #[error("it has two entries named `{0}`")]
    Twice(String),
    /// An entry that is never unpacked.
    #[error("its entry `{entry}` is {what}")]
    Foreign { entry: String, what: &'static str },
    #[error("{0}")]
    TooLarge(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    FileOrLink,
}

/// The entries of a tar so far.
pub struct Contained<'t> {
    contents: Contents<'t>,
    /// By the first half of the BLAKE3 hash of the path: the paths themselves could
    /// take gigabytes.
    nodes: HashMap<[u8; 16], Node>,
    link_bytes: usize,
    most_nodes: usize,
    most_link_bytes: usize,
}

impl<'t> Contained<'t> {
    /// Nothing yet, of a tar that may have these `contents`.
    #[must_use]
    pub fn new(contents: Contents<'t>) -> Self {
        Self {
            contents,
            nodes: HashMap::new(),
            link_bytes: 0,
            most_nodes: MAX_NODES,
            most_link_bytes: MAX_LINK_BYTES,
        }
    }

    /// The path of an entry to be unpacked; `None`: there is nothing to unpack.
    ///
    /// The verdict on a set of entries does not depend on their order.
    ///
    /// # Errors
    ///
    /// [`ContainedFault`]
    pub fn accept(&mut self, entry: &TarEntry) -> Result<Option<SafePath>, ContainedFault> {
        // The first entry of an SBOM archive is the folder itself.
        if entry.kind == TarKind::Global || matches!(&entry.name[..], b"." | b"./") {
            return Ok(None);
        }
        let at = self.path(entry)?;
        let node = match entry.kind {
            TarKind::Directory => Node::Folder,
            _ => Node::FileOrLink,
        };
        self.insert(&at, node)?;
        if entry.kind == TarKind::Symlink {
            self.link_bytes += entry.name.len() + entry.link.len() + LINK_COST;
            if self.link_bytes > self.most_link_bytes {
                let what = "the names and targets of its links take too much memory";
                return Err(ContainedFault::TooLarge(what));
            }
        }
        Ok(Some(at))
    }

    fn path(&self, entry: &TarEntry) -> Result<SafePath, ContainedFault> {
        let shown = || {
            let text: String = entry.name_lossy().chars().take(200).collect();
            text.escape_debug().to_string()
        };
        let foreign = |what| ContainedFault::Foreign {
            entry: shown(),
            what,
        };
        let text = std::str::from_utf8(&entry.name);
        let text = text.map_err(|_| foreign("a name that is not UTF-8"))?;
        let at = SafePath::parse(text).map_err(|_| ContainedFault::Unsafe(shown()))?;
        if at
            .as_str()
            .split('/')
            .any(|name| name.len() > MAX_NAME_BYTES)
        {
            return Err(foreign("a name longer than 255 bytes"));
        }
        match (entry.kind, self.contents) {
            (TarKind::Symlink, _) if entry.link.is_empty() => {
                return Err(foreign("a link without a target"));
            }
            (TarKind::Symlink, _) if entry.link.contains(&0) => {
                return Err(foreign("a link with a NUL byte in its target"));
            }
            (TarKind::Symlink, Contents::Documents) => {
                return Err(foreign("a link, where only files are expected"));
            }
            (TarKind::File | TarKind::Directory | TarKind::Symlink, _) => {}
            (TarKind::Hardlink, _) => return Err(foreign("a hard link")),
            (TarKind::Sparse, _) => return Err(foreign("a sparse file")),
            _ => return Err(foreign("neither a file, a folder nor a link")),
        }
        if let Contents::Component(top) = self.contents {
            let (first, below) = at.as_str().split_once('/').unwrap_or((at.as_str(), ""));
            if first != top || below.is_empty() && entry.kind != TarKind::Directory {
                return Err(foreign("outside the folder of its component"));
            }
        }
        Ok(at)
    }

    fn insert(&mut self, at: &SafePath, node: Node) -> Result<(), ContainedFault> {
        let mut path = at.as_str();
        match self.nodes.entry(key(path)) {
            Entry::Occupied(found) if node == Node::Folder && *found.get() == node => return Ok(()),
            Entry::Occupied(_) => return Err(ContainedFault::Twice(path.to_owned())),
            Entry::Vacant(free) => drop(free.insert(node)),
        }
        // The folders above a known one are known.
        while let Some((above, _)) = path.rsplit_once('/') {
            match self.nodes.entry(key(above)) {
                Entry::Occupied(found) if *found.get() == Node::Folder => break,
                Entry::Occupied(_) => {
                    return Err(ContainedFault::Foreign {
                        entry: at.to_string(),
                        what: "below a file or a link",
                    });
                }
                Entry::Vacant(free) => drop(free.insert(Node::Folder)),
            }
            path = above;
        }
        match self.nodes.len() > self.most_nodes {
            true => Err(ContainedFault::TooLarge(
                "it has more than 3.5 million files and folders",
            )),
            false => Ok(()),
        }
    }
}

fn key(path: &str) -> [u8; 16] {
    let hash = blake3::hash(path.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: TarKind, name: &str, link: &str) -> TarEntry {
        TarEntry {
            name: name.into(),
            kind,
            link: link.into(),
            size: 0,
            stated: 0,
            mode: 0o644,
            owner: (0, 0),
            offset: 0,
        }
    }

    #[test]
    fn the_limits_of_files_and_links_count_what_is_held() {
        let mut tar = Contained::new(Contents::Component("a"));
        tar.most_nodes = 5;
        for name in ["a/b/c/d", "a/b/c/e"] {
            let accepted = tar.accept(&entry(TarKind::File, name, ""));
            assert!(accepted.unwrap().is_some(), "{name}");
        }
        let full = tar.accept(&entry(TarKind::File, "a/b/f", ""));
        assert!(matches!(full, Err(ContainedFault::TooLarge(_))));
        let mut tar = Contained::new(Contents::Component("a"));
        tar.most_link_bytes = 299;
        tar.accept(&entry(TarKind::Symlink, "a/1", "x")).unwrap();
        tar.accept(&entry(TarKind::Symlink, "a/2", "x")).unwrap();
        let full = tar.accept(&entry(TarKind::Symlink, "a/3", "x"));
        assert!(matches!(full, Err(ContainedFault::TooLarge(_))));
    }

    #[test]
    fn names_that_no_disk_takes_are_refused() {
        let mut tar = Contained::new(Contents::Documents);
        let long = "n".repeat(256);
        assert!(tar.accept(&entry(TarKind::File, &long, "")).is_err());
        assert!(tar.accept(&entry(TarKind::File, &long[1..], "")).is_ok());
    }
}
