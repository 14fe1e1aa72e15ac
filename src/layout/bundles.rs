//! The file of bundles beside an archive, which is copied along with it.
//!
//! One bundle per line. Source: docs/spec/signing.md, "Statements and
//! envelopes".

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::{LayoutError, parts};
use crate::disk;
use crate::signing::{Bundle, MAX_ATTESTATION_BYTES};
use crate::verify::MAX_ATTACHED;

/// Maximum number of bundles in a file, as for a registry.
const MAX_BUNDLES: usize = MAX_ATTACHED;

/// Maximum size of the file, in bytes: as much as may be attached in a registry, with
/// line ends.
const MAX_FILE_BYTES: u64 = MAX_ATTESTATION_BYTES + (1 << 20);

/// The file with the bundles about the archive at `path`, or about the one that
/// `path` is a part of.
#[must_use]
pub fn bundles_beside(path: &Path) -> PathBuf {
    // A trailing slash or dot would name a folder.
    let path: PathBuf = path.components().collect();
    let path = match path.file_name() {
        Some(_) => path,
        None => fs::canonicalize(&path).unwrap_or(path),
    };
    let whole = parts::stem(&path).unwrap_or(path);
    let mut name = whole.into_os_string();
    name.push(".sigstore.jsonl");
    PathBuf::from(name)
}

/// The bundles in the file at `path`: JSON, one per line, or a single one over several
/// lines.
///
/// # Errors
///
/// [`LayoutError`]: it cannot be read, or is too large.
pub fn read_bundles(path: &Path) -> Result<Vec<Vec<u8>>, LayoutError> {
    let io = |error| LayoutError::io(path, error);
    let text = disk::read(path, MAX_FILE_BYTES).map_err(|error| io(error.source))?;
    let mut bundles: Vec<Vec<u8>> = Vec::new();
    for value in serde_json::Deserializer::from_slice(&text).into_iter::<Box<RawValue>>() {
        let value = value.map_err(|error| io(error.into()))?;
        if bundles.len() == MAX_BUNDLES {
            let what = format!("more than {MAX_BUNDLES} bundles");
            return Err(LayoutError::too_large(path, what));
        }
        if !Bundle::is_called(value.get().as_bytes()) {
            let count = bundles.len() + 1;
            let what = format!("bundle number {count} is not a Sigstore bundle: remove it");
            return Err(io(std::io::Error::other(what)));
        }
        bundles.push(value.get().as_bytes().to_vec());
    }
    Ok(bundles)
}

/// Checks that [`write_bundles`] would accept `bundles`.
///
/// # Errors
///
/// [`LayoutError`]: there are too many, or they are too large.
pub fn check_bundles(path: &Path, bundles: &[Vec<u8>]) -> Result<(), LayoutError> {
    let bytes: usize = bundles.iter().map(|bundle| bundle.len() + 1).sum();
    let what = match () {
        () if bundles.len() > MAX_BUNDLES => format!("more than {MAX_BUNDLES} bundles"),
        () if bytes as u64 > MAX_FILE_BYTES => format!("larger than {MAX_FILE_BYTES} bytes"),
        () => return Ok(()),
    };
    Err(LayoutError::too_large(&bundles_beside(path), what))
}

/// Replaces the bundles beside the archive at `path`. Without `bundles`, removes the
/// file.
///
/// # Errors
///
/// [`LayoutError`]: an I/O error.
pub fn write_bundles(path: &Path, bundles: &[Vec<u8>]) -> Result<Option<PathBuf>, LayoutError> {
    let beside = bundles_beside(path);
    let io = |error| LayoutError::write(&beside, error);
    // A build without changes writes nothing.
    let there = beside.metadata().map(|facts| facts.len()).ok();
    if bundles.is_empty() {
        if there.is_some() {
            fs::remove_file(&beside).map_err(io)?;
        }
        return Ok(None);
    }
    check_bundles(path, bundles)?;
    let mut text = Vec::new();
    for bundle in bundles {
        // One line each. A line break in JSON is always between members: inside
        // a string it is escaped.
        let line = bundle.trim_ascii().iter();
        text.extend(line.map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        text.push(b'\n');
    }
    if there == Some(text.len() as u64) && fs::read(&beside).map_err(io)? == text {
        return Ok(Some(beside));
    }
    disk::write(&beside, &text).map_err(|error| io(error.source))?;
    Ok(Some(beside))
}
