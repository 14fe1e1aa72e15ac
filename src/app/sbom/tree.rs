//! The document of a folder or file on disk, scanned as the files of a component are.
//!
//! Links are not followed. What cannot be read is an error: a document that leaves files
//! out must not look whole.

use std::fs::{DirEntry, File};
use std::io::{self, BufReader, PipeWriter, Read as _};
use std::path::{Path, PathBuf};

use crate::archive::{TarError, TarWriter};
use crate::disk::{self, look};
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
    let failed = |source| TreeError::Read {
        path: path.to_owned(),
        source,
    };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let (walked, scanned) = std::thread::scope(|scope| {
        let walk = scope.spawn(|| walk(path, writer));
        let reader = BufReader::with_capacity(256 << 10, reader);
        let scanned = scan::tree(name, reader, &|input| {
            let file = super::unnamed(input)?;
            Ok(Box::new(file))
        });
        (walk.join(), scanned)
    });
    // A walk that failed says more than the scan of what came of it.
    match walked {
        Ok(walked) => walked?,
        Err(_) => return Err(failed(io::Error::other("the walk was interrupted"))),
    }
    let mut document = scanned.map_err(|source| TreeError::Scan {
        path: path.to_owned(),
        source,
    })?;
    if !look::is_dir(path) {
        document.source.kind = "file";
    }
    let mut json = Vec::new();
    syft::write(document, env!("CARGO_PKG_VERSION"), &mut json).map_err(TreeError::Write)?;
    Ok(json)
}

/// Writes what is at `root` as a tar.
fn walk(root: &Path, out: PipeWriter) -> Result<(), TreeError> {
    let mut tar = TarWriter::new(io::BufWriter::with_capacity(256 << 10, out));
    let done = match look::is_dir(root) {
        true => folder(root, &mut tar),
        false => {
            let name = root.file_name().unwrap_or_default().to_string_lossy();
            file(root, &name, &mut tar)
        }
    };
    match done.and_then(|()| match tar.finish() {
        Ok(_) => Ok(()),
        Err(source) => Err(TreeError::Name {
            path: root.to_owned(),
            source,
        }),
    }) {
        // The scan has ended, and says why.
        Err(TreeError::Name {
            source: TarError::Write(_) | TarError::Broken,
            ..
        }) => Ok(()),
        done => done,
    }
}

type Tar = TarWriter<io::BufWriter<PipeWriter>>;

/// Writes what is below `root`, at any depth: the names of each folder in order, and a
/// folder before what is in it.
fn folder(root: &Path, tar: &mut Tar) -> Result<(), TreeError> {
    let mut open = vec![sorted(root)?];
    while let Some(entries) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let path = entry.path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        let name = below.to_string_lossy().into_owned();
        let failed = |source| TreeError::Read {
            path: path.clone(),
            source,
        };
        let named = |source| TreeError::Name {
            path: path.clone(),
            source,
        };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            tar.directory(&name, 0o755).map_err(named)?;
            open.push(sorted(&path)?);
        } else if kind.is_symlink() {
            let target = look::read_link(&path).map_err(failed)?;
            tar.symlink(&name, &target.to_string_lossy())
                .map_err(named)?;
        } else if kind.is_file() {
            file(&path, &name, tar)?;
        }
    }
    Ok(())
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

fn file(path: &Path, name: &str, tar: &mut Tar) -> Result<(), TreeError> {
    let failed = |source| TreeError::Read {
        path: path.to_owned(),
        source,
    };
    let mut content: File = look::open(path).map_err(failed)?;
    let facts = content.metadata().map_err(failed)?;
    let mode = if disk::is_program(&facts) {
        0o755
    } else {
        0o644
    };
    let size = facts.len();
    // It may grow while it is read.
    tar.file(name, mode, size, &mut (&mut content).take(size))
        .map_err(|source| TreeError::Name {
            path: path.to_owned(),
            source,
        })
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
}
