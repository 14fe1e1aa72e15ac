//! `jackal package delta` and `join`: update a package on a machine that has an earlier
//! version.
//!
//! Both packages are verified completely before a delta is made, and the result of a
//! join is verified before it gets its name.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::package_read::package_verify;
use super::read_error::PackageReadError;
use crate::disk::{DiskError, NewFile, at};
use crate::layout::{self, Delta, DeltaError, LayoutError, PackageFile};
use crate::source::Opened;

/// Size of the buffer for reading and writing files, in bytes: 1 MiB.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a delta was not created or not applied.
#[derive(Debug, thiserror::Error)]
pub enum PackageDeltaError {
    /// A package cannot be read, or must not be trusted.
    #[error(transparent)]
    Package(#[from] PackageReadError),
    /// The delta cannot be made or used.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The output file exists already.
    #[error("`{0}` already exists")]
    Exists(PathBuf),
    #[error(transparent)]
    Io(#[from] DiskError),
}

impl From<LayoutError> for PackageDeltaError {
    fn from(error: LayoutError) -> Self {
        Self::Package(error.into())
    }
}

/// Opens a package after verifying its content against its checksums. Its signature is
/// verified where it is used.
fn verified(path: &Path) -> Result<PackageFile, PackageDeltaError> {
    let opened = Opened::unsigned(path).map_err(PackageReadError::from)?;
    package_verify(&opened)?;
    Ok(layout::open(path)?)
}

/// Writes to `to` the delta that turns the archive `old` into `new`.
///
/// # Errors
///
/// [`PackageDeltaError`]; nothing is left behind then.
pub fn package_delta(old: &Path, new: &Path, to: &Path) -> Result<Delta, PackageDeltaError> {
    let (old, new) = (verified(old)?, verified(new)?);
    let mut file = begin(to, old.mode() & new.mode())?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, &mut file);
    let made = layout::write_delta(&old, &new, to, &mut out)?;
    out.flush().map_err(at(to))?;
    drop(out);
    keep(file)?;
    Ok(made)
}

/// Writes to `to` the archive that applying `delta` to `old` gives.
///
/// # Errors
///
/// [`PackageDeltaError`]; nothing is left behind then.
pub fn package_join(old: &Path, delta: &Path, to: &Path) -> Result<Delta, PackageDeltaError> {
    let old = layout::open(old)?;
    let content = File::open(delta).map_err(at(delta))?;
    // The result is for those who may read both.
    let mode = content.metadata().map_err(at(delta))?.mode() | 0o600;
    let mut content = BufReader::new(content);
    let mut file = begin(to, old.mode() & mode)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, &mut file);
    let made = layout::apply_delta(&old, &mut content, delta, &mut out)?;
    out.flush().map_err(at(to))?;
    drop(out);
    // The bytes match the digest in the delta; the package itself is not verified yet.
    verified(file.path())?;
    keep(file)?;
    Ok(made)
}

fn begin(to: &Path, mode: u32) -> Result<NewFile, PackageDeltaError> {
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(PackageDeltaError::Exists(to.to_owned()));
    }
    Ok(NewFile::with_mode(to, mode)?)
}

fn keep(file: NewFile) -> Result<(), PackageDeltaError> {
    file.keep_new().map_err(|error| match error.source.kind() {
        io::ErrorKind::AlreadyExists => PackageDeltaError::Exists(error.path),
        _ => error.into(),
    })
}
