//! The document of a folder or file on disk, scanned as the files of a component are.
//!
//! Links are not followed. What cannot be read is listed in the document, which must not
//! look whole without it.

use std::fs::{DirEntry, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::archive::{BLOCK, EntryKind, TarError, header_bytes, padding};
use crate::disk::{self, look};
use crate::sbom::document::{Annotations, Evidence, Location, Unknown};
use crate::sbom::format::syft;
use crate::sbom::layer::LayerError;
use crate::sbom::scan;

/// Why a folder or file has no document.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The name of a file cannot be part of a document.
    #[error("`{}` cannot be scanned", .path.display())]
    Name { path: PathBuf, source: TarError },
    #[error("`{}` cannot be scanned", .path.display())]
    Scan { path: PathBuf, source: LayerError },
    #[error("cannot write the document")]
    Write(#[source] io::Error),
}

/// The syft-JSON document of the folder or file at `path`, called `name`.
///
/// # Errors
///
/// [`TreeError`]
pub fn tree_sbom(path: &Path, name: &str) -> Result<Vec<u8>, TreeError> {
    let mut tree = Tree::of(path)?;
    let scanned = scan::tree(
        name,
        BufReader::with_capacity(64 << 10, &mut tree),
        &|input| {
            let file = super::unnamed(input)?;
            Ok(Box::new(file))
        },
    );
    // A walk that failed says more than the scan of what came of it.
    if let Some(error) = tree.failed {
        return Err(error);
    }
    let unread = std::mem::take(&mut tree.unread);
    let mut document = scanned.map_err(|source| TreeError::Scan {
        path: path.to_owned(),
        source,
    })?;
    if !look::is_dir(path) {
        document.source.kind = "file";
    }
    document.unknowns.extend(unread);
    (document.unknowns).sort_by(|a, b| (&a.location, &a.reason).cmp(&(&b.location, &b.reason)));
    let mut json = Vec::new();
    syft::write(document, env!("CARGO_PKG_VERSION"), &mut json).map_err(TreeError::Write)?;
    Ok(json)
}

/// What is at a path, read as a tar: at any depth, the names of each folder in order, and a
/// folder before what is in it. Nothing is copied on the way.
struct Tree {
    root: PathBuf,
    /// What is left of each folder on the path to the current entry.
    open: Vec<std::vec::IntoIter<DirEntry>>,
    /// The file at `root`, if that is no folder.
    only: bool,
    /// Blocks that come first.
    blocks: io::Cursor<Vec<u8>>,
    /// The content that follows, its path, and how much of it is left.
    file: Option<(File, PathBuf, u64)>,
    /// The bytes that fill its last block.
    padding: usize,
    ended: bool,
    /// What could not be read so far.
    unread: Vec<Unknown>,
    /// Why reading ended early.
    failed: Option<TreeError>,
}

impl Tree {
    fn of(root: &Path) -> Result<Self, TreeError> {
        let is_folder = look::is_dir(root);
        let open = match is_folder {
            true => vec![sorted(root)?],
            false => Vec::new(),
        };
        Ok(Self {
            root: root.to_owned(),
            open,
            only: !is_folder,
            blocks: io::Cursor::default(),
            file: None,
            padding: 0,
            ended: false,
            unread: Vec::new(),
            failed: None,
        })
    }

    /// Goes on to the next entry, or to the end.
    fn advance(&mut self) -> Result<(), TreeError> {
        if std::mem::take(&mut self.only) {
            let path = self.root.clone();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return self.begin(&path, &name);
        }
        let Some(entries) = self.open.last_mut() else {
            self.ended = true;
            self.blocks = io::Cursor::new(vec![0; 2 * BLOCK]);
            return Ok(());
        };
        let Some(entry) = entries.next() else {
            self.open.pop();
            return Ok(());
        };
        let path = entry.path();
        let below = path.strip_prefix(&self.root).unwrap_or(&path);
        let name = below.to_string_lossy().into_owned();
        let reason = match self.entry(&entry, &path, &name) {
            Err(TreeError::Read { source, .. }) => format!("it cannot be read: {source}"),
            // A name that cannot be part of a tar.
            Err(TreeError::Name { source, .. }) => format!("it cannot be scanned: {source}"),
            done => return done,
        };
        self.unread.push(unknown(&name, reason));
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, path: &Path, name: &str) -> Result<(), TreeError> {
        let failed = |source| TreeError::Read {
            path: path.to_owned(),
            source,
        };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            self.head(path, name, (0o755, 0), EntryKind::Directory)?;
            self.open.push(sorted(path)?);
        } else if kind.is_symlink() {
            let target = look::read_link(path).map_err(failed)?;
            let target = target.to_string_lossy();
            self.head(path, name, (0o777, 0), EntryKind::Symlink(&target))?;
        } else if kind.is_file() {
            self.begin(path, name)?;
        }
        Ok(())
    }

    fn head(
        &mut self,
        path: &Path,
        name: &str,
        (mode, size): (u32, u64),
        kind: EntryKind<'_>,
    ) -> Result<(), TreeError> {
        let bytes = header_bytes(name, mode, size, kind).map_err(|source| TreeError::Name {
            path: path.to_owned(),
            source,
        })?;
        self.blocks = io::Cursor::new(bytes);
        Ok(())
    }

    fn begin(&mut self, path: &Path, name: &str) -> Result<(), TreeError> {
        let failed = |source| TreeError::Read {
            path: path.to_owned(),
            source,
        };
        let content: File = look::open(path).map_err(failed)?;
        let facts = content.metadata().map_err(failed)?;
        let mode = if disk::is_program(&facts) {
            0o755
        } else {
            0o644
        };
        let size = facts.len();
        self.head(path, name, (mode, size), EntryKind::File)?;
        self.padding = padding(size);
        self.file = Some((content, path.to_owned(), size));
        Ok(())
    }

    /// Reads from the file, which may grow meanwhile but must not shrink.
    fn content(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        let Some((file, path, left)) = &mut self.file else {
            return Ok(0);
        };
        let most = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = match most {
            0 => 0,
            most => file
                .read(&mut buffer[..most])
                .map_err(|source| TreeError::Read {
                    path: path.clone(),
                    source,
                })?,
        };
        *left -= count as u64;
        if count == 0 && *left > 0 {
            let source = io::Error::other("it became shorter while it was read");
            let path = path.clone();
            return Err(TreeError::Read { path, source });
        }
        if *left == 0 {
            self.file = None;
            self.blocks = io::Cursor::new(vec![0; std::mem::take(&mut self.padding)]);
        }
        Ok(count)
    }
}

impl Read for Tree {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.failed.is_some() {
            return Ok(0);
        }
        loop {
            let count = self.blocks.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let more = match self.file.is_some() {
                true => self.content(buffer),
                false if self.ended => return Ok(0),
                false => self.advance().map(|()| 0),
            };
            match more {
                Ok(0) => {}
                Ok(count) => return Ok(count),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("the walk failed"));
                }
            }
        }
    }
}

/// What the document says about a file or folder that cannot be read.
fn unknown(name: &str, reason: String) -> Unknown {
    let path = format!("/{name}");
    Unknown {
        location: Location {
            access_path: path.clone(),
            path,
            layer: None,
            annotations: Annotations {
                evidence: Evidence::Primary,
            },
        },
        reason,
    }
}

/// What is in the folder `at`, by name.
fn sorted(at: &Path) -> Result<std::vec::IntoIter<DirEntry>, TreeError> {
    let read = || -> io::Result<Vec<DirEntry>> { look::read_dir(at)?.collect() };
    let mut entries = read().map_err(|source| TreeError::Read {
        path: at.to_owned(),
        source,
    })?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_file_are_scanned_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("deep/er");
        std::fs::create_dir_all(&below).unwrap();
        let package = br#"{"name":"left-pad","version":"1.3.0"}"#;
        std::fs::write(below.join("package.json"), package).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        // A folder is not taken for that of a component.
        let json = tree_sbom(&folder.path().join("deep"), "er").unwrap();
        let found: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let place = &found["artifacts"][0]["locations"][0]["path"];
        assert_eq!(place, "/er/package.json");
        for path in [folder.path().to_owned(), below.join("package.json")] {
            let json = tree_sbom(&path, "x").unwrap();
            let found: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(found["artifacts"][0]["name"], "left-pad", "{found}");
            assert_eq!(found["source"]["name"], "x");
        }
        let missing = tree_sbom(&folder.path().join("no"), "x").unwrap_err();
        assert!(missing.to_string().contains("cannot read"), "{missing}");
    }

    #[test]
    fn what_cannot_be_read_is_listed_and_the_rest_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let package = br#"{"name":"left-pad","version":"1.3.0"}"#;
        std::fs::write(folder.path().join("package.json"), package).unwrap();
        // Too long a path for the system, which no user can read.
        let deep = |root: &str| {
            let path = folder.path().join(root);
            let path = (0..11).fold(path, |path, _| path.join("e".repeat(200)));
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let first = deep("first");
        deep("second");
        std::fs::rename(folder.path().join("second"), first.join("second")).unwrap();
        let json = tree_sbom(folder.path(), "x").unwrap();
        let found: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(found["artifacts"][0]["name"], "left-pad", "{found}");
        let files = found["files"].as_array().unwrap();
        let unknown: Vec<_> = files
            .iter()
            .filter(|file| file["unknowns"].is_array())
            .collect();
        assert_eq!(unknown.len(), 1, "{found}");
        let reason = unknown[0]["unknowns"][0].as_str().unwrap();
        assert!(reason.contains("it cannot be"), "{reason}");
    }
}
