//! Tars of components and of documents, written from entries in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::LayoutError;
use crate::archive::{TarEntry, TarError, TarKind, TarWriter};
use crate::package::Dialect;

/// Maximum length of the paths of all entries, in bytes: 64 MiB. Folders that are only
/// implied by paths count.
const MAX_BYTES: usize = 64 << 20;

/// Memory for an entry in addition to its path, in bytes.
const COST: usize = 100;

/// Mode of folders that no entry names, as programs of that time made them.
const FOLDER: u32 = 0o700;

/// One entry of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// With its mode.
    Folder(u32),
    /// With its target.
    Link(String),
    File {
        mode: u32,
        /// Where its content is in the file without a name.
        at: u64,
        size: u64,
    },
}

/// Why an entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarsFault {
    /// Another entry has its name.
    Twice,
    /// There are too many.
    TooMany,
}

impl TarsFault {
    /// The same for the entry `entry` of `package`.
    #[must_use]
    pub fn at(self, package: &Path, entry: &str) -> LayoutError {
        match self {
            Self::Twice => LayoutError::Twice {
                path: package.to_owned(),
                entry: entry.escape_debug().to_string(),
            },
            Self::TooMany => LayoutError::too_large(
                package,
                format!(
                    "the paths in its components take more than {} MiB",
                    MAX_BYTES >> 20
                ),
            ),
        }
    }
}

/// Entries by path. Slashes are NUL bytes, so that their order is that of a walk: a
/// folder, what is in it, then its neighbours.
type Entries = BTreeMap<String, Node>;

/// Tars whose entries are known in part; the contents are in a file without a name.
#[derive(Debug)]
pub struct Tars {
    content: File,
    len: u64,
    by_name: BTreeMap<String, Entries>,
    bytes: usize,
}

impl Tars {
    /// None yet.
    ///
    /// # Errors
    ///
    /// There is no place for temporary files.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            content: tempfile::tempfile()?,
            len: 0,
            by_name: BTreeMap::new(),
            bytes: 0,
        })
    }

    /// What `entry` is, with the content of a file kept; `None`: it is nothing that a tar may
    /// have.
    ///
    /// # Errors
    ///
    /// The content cannot be read or kept.
    pub fn node(&mut self, entry: &TarEntry, content: &mut dyn Read) -> io::Result<Option<Node>> {
        let mode = entry.mode & 0o777;
        Ok(match entry.kind {
            TarKind::File => Some(self.keep(mode, entry.size, content)?),
            TarKind::Directory => Some(Node::Folder(mode)),
            TarKind::Symlink => Some(Node::Link(entry.link_lossy())),
            _ => None,
        })
    }

    /// Keeps the content of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read or kept.
    pub fn keep(&mut self, mode: u32, size: u64, content: &mut dyn Read) -> io::Result<Node> {
        let copied = io::copy(&mut content.take(size), &mut self.content)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = self.len;
        self.len += size;
        Ok(Node::File { mode, at, size })
    }

    /// Adds the entry at `path` to a tar; an empty path is the folder itself.
    ///
    /// # Errors
    ///
    /// [`TarsFault`]
    pub fn add(&mut self, tar: &str, path: &str, node: Node) -> Result<(), TarsFault> {
        if !self.by_name.contains_key(tar) {
            self.spend(tar)?;
        }
        for (slash, _) in path.match_indices('/') {
            self.insert(tar, &path[..slash], Node::Folder(FOLDER), true)?;
        }
        if path.is_empty() {
            self.by_name.entry(tar.to_owned()).or_default();
            return Ok(());
        }
        self.insert(tar, path, node, false)
    }

    fn spend(&mut self, path: &str) -> Result<(), TarsFault> {
        self.bytes += path.len() + COST;
        match self.bytes <= MAX_BYTES {
            true => Ok(()),
            false => Err(TarsFault::TooMany),
        }
    }

    fn insert(
        &mut self,
        tar: &str,
        path: &str,
        node: Node,
        is_implied: bool,
    ) -> Result<(), TarsFault> {
        let key = path.replace('/', "\0");
        let entries = self.by_name.entry(tar.to_owned()).or_default();
        match (entries.get_mut(&key), node) {
            (Some(Node::Folder(_)), Node::Folder(_)) if is_implied => Ok(()),
            (Some(Node::Folder(known)), Node::Folder(mode)) => {
                *known = mode;
                Ok(())
            }
            (Some(_), _) => Err(TarsFault::Twice),
            (None, node) => {
                entries.insert(key, node);
                self.spend(path)
            }
        }
    }

    /// The names of all tars.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Writes the tar `name`.
    ///
    /// # Errors
    ///
    /// Its content cannot be read, or `out` failed.
    pub fn write(&self, name: &str, out: impl Write) -> io::Result<()> {
        let none = Entries::new();
        let entries = self.by_name.get(name).unwrap_or(&none);
        let top = Dialect::component_of(name);
        let below = top.map_or_else(String::new, |top| format!("{top}/"));
        write(&self.content, (top.unwrap_or("."), &below), entries, out)
    }

    /// Writes the tar without a name: a whole package, after the folder `first`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_all(&self, first: &str, out: impl Write) -> io::Result<()> {
        let none = Entries::new();
        let entries = self.by_name.get("").unwrap_or(&none);
        write(&self.content, (first, ""), entries, out)
    }
}

/// Writes one tar: the folder `first`, and the entries with `below` before their names.
fn write(
    mut content: &File,
    (first, below): (&str, &str),
    entries: &Entries,
    out: impl Write,
) -> io::Result<()> {
    let tarred = |error: TarError| match error {
        TarError::Read { source, .. } | TarError::Write(source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    };
    let mut tar = TarWriter::new(BufWriter::with_capacity(1 << 17, out));
    tar.directory(first, FOLDER).map_err(tarred)?;
    for (key, node) in entries {
        let path = format!("{below}{}", key.replace('\0', "/"));
        match node {
            Node::Folder(mode) => tar.directory(&path, *mode),
            Node::Link(target) => tar.symlink(&path, target),
            Node::File { mode, at, size } => {
                content.seek(SeekFrom::Start(*at))?;
                tar.file(&path, *mode, *size, &mut content.take(*size))
            }
        }
        .map_err(tarred)?;
    }
    tar.finish().map(drop).map_err(tarred)
}
