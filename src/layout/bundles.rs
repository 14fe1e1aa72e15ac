//! The file of bundles beside an archive, which is copied along with it.
//!
//! One bundle per line. Source: docs/spec/signing.md, "Statements and
//! envelopes".

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::read::read_some;
use super::{LayoutError, open, parts};
use crate::disk::{self, look};
use crate::oci::Digest;
use crate::signing::{Bundle, Claims, MAX_ATTESTATION_BYTES};
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

/// What a new archive does to the file of bundles beside it.
#[derive(Debug)]
pub struct Beside {
    archive: PathBuf,
    /// `None`: the file stays as it is.
    bundles: Option<Vec<Vec<u8>>>,
    /// Whether there are others than the archive's own.
    mixed: bool,
}

impl Beside {
    /// Decides what becomes of the bundles beside the archive at `archive`, before
    /// an archive with the bundles `own` and a definition with the digest `definition`
    /// takes its place. `ours`: the file is as this program wrote it with an earlier
    /// archive.
    ///
    /// Bundles about the archive that is replaced go with it. All others stay, because
    /// others may have added them.
    ///
    /// # Errors
    ///
    /// [`LayoutError::InTheWay`]: the file has something else than bundles.
    pub fn plan(
        archive: &Path,
        own: &[Vec<u8>],
        definition: Digest,
        ours: bool,
    ) -> Result<Self, LayoutError> {
        let file = bundles_beside(archive);
        let mut plan = Self {
            archive: archive.to_owned(),
            bundles: Some(own.to_vec()),
            mixed: false,
        };
        if ours || look::symlink_metadata(&file).is_err() {
            return Ok(plan);
        }
        let found = match read_bundles(&file) {
            Ok(found) => found,
            Err(_) if own.is_empty() => {
                plan.bundles = None;
                return Ok(plan);
            }
            Err(_) => return Err(LayoutError::InTheWay { path: file }),
        };
        let about = |digest: Digest| ("sha256", digest.hex());
        let replaced = definition_of(archive).filter(|old| *old != definition);
        let replaced = replaced.map(about);
        let mut bundles = own.to_vec();
        for bundle in found {
            let known = own
                .iter()
                .any(|own| own.trim_ascii() == bundle.trim_ascii());
            let old =
                |old| Claims::name(&bundle, old) && !Claims::name(&bundle, &about(definition));
            if !known && !replaced.as_ref().is_some_and(old) {
                plan.mixed = true;
                bundles.push(bundle);
            }
        }
        check_bundles(archive, &bundles)?;
        plan.bundles = Some(bundles);
        Ok(plan)
    }

    /// Whether the file has bundles that others added.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Writes or removes the file.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: an I/O error.
    pub fn write(&self) -> Result<Option<PathBuf>, LayoutError> {
        match &self.bundles {
            Some(bundles) => write_bundles(&self.archive, bundles),
            None => Ok(None),
        }
    }
}

/// The digest of the definition of the package at `path`, if there is one.
fn definition_of(path: &Path) -> Option<Digest> {
    let package = open(path).ok()?;
    let evidence = read_some(&package, &[], |_, _| Ok(std::io::sink())).ok()?;
    evidence.definition.map(|(_, bytes)| Digest::of(&bytes))
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
    let there = look::metadata(&beside).map(|facts| facts.len()).ok();
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
