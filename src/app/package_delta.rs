//! `jackal package delta` and `join`: carry a new version to where an earlier
//! one is.
//!
//! Both packages are verified whole before a delta is made, and what a join
//! makes before it takes its name.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::package_read::PackageReadError;
use crate::layout::{self, Delta, DeltaError, LayoutError};
use crate::verify::{self, Check, Evidence, Policy, Scope};

/// One buffer between a file and what reads or writes it, in bytes: 1 MiB.
const BUFFER_BYTES: usize = 1 << 20;

/// Why there is no delta, or no package of one.
#[derive(Debug, thiserror::Error)]
pub enum PackageDeltaError {
    /// A package cannot be read, or must not be trusted.
    #[error(transparent)]
    Package(#[from] PackageReadError),
    /// The delta cannot be made or used.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// What is to be written is there already.
    #[error("`{0}` is there already: remove it, or give -o another name")]
    Exists(PathBuf),
    /// The disk refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl From<LayoutError> for PackageDeltaError {
    fn from(error: LayoutError) -> Self {
        Self::Package(error.into())
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PackageDeltaError + '_ {
    move |source| PackageDeltaError::Io {
        path: path.to_owned(),
        source,
    }
}

fn verified(path: &Path) -> Result<(), PackageDeltaError> {
    sound(layout::read(path)?)
}

/// Checks that all is as listed. Who made it, is checked where it is used.
fn sound(evidence: Evidence) -> Result<(), PackageDeltaError> {
    let policy = Policy::without_signers(Check::Look);
    let judged = verify::verify(evidence, Scope::Whole, &policy);
    judged.map_err(PackageReadError::Refused)?;
    Ok(())
}

/// Writes to `to` what turns the archive `old` into the archive `new`.
///
/// # Errors
///
/// [`PackageDeltaError`]; nothing is left behind then.
pub fn package_delta(old: &Path, new: &Path, to: &Path) -> Result<Delta, PackageDeltaError> {
    verified(old)?;
    verified(new)?;
    let (old, new) = (layout::open(old)?, layout::open(new)?);
    let mut file = Unnamed::beside(to)?;
    let made = layout::write_delta(&old, &new, to, &mut file.writer())?;
    file.keep()?;
    Ok(made)
}

/// Writes to `to` the archive that `delta` makes of `old`.
///
/// # Errors
///
/// [`PackageDeltaError`]; nothing is left behind then.
pub fn package_join(old: &Path, delta: &Path, to: &Path) -> Result<Delta, PackageDeltaError> {
    let old = layout::open(old)?;
    let mut content = BufReader::new(File::open(delta).map_err(io_error(delta))?);
    let mut file = Unnamed::beside(to)?;
    let made = layout::apply_delta(&old, &mut content, delta, &mut file.writer())?;
    // It is what the delta says, and is it a sound package?
    let evidence = layout::read(file.temp.path())?;
    sound(evidence)?;
    file.keep()?;
    Ok(made)
}

/// A file that takes its name when it is whole; else it goes away.
struct Unnamed<'t> {
    temp: tempfile::NamedTempFile,
    folder: &'t Path,
    to: &'t Path,
}

impl<'t> Unnamed<'t> {
    fn beside(to: &'t Path) -> Result<Self, PackageDeltaError> {
        if std::fs::symlink_metadata(to).is_ok() {
            return Err(PackageDeltaError::Exists(to.to_owned()));
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let temp = tempfile::Builder::new()
            .prefix(".jackal-delta-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(io_error(to))?;
        Ok(Self { temp, folder, to })
    }

    fn writer(&mut self) -> BufWriter<&mut File> {
        BufWriter::with_capacity(BUFFER_BYTES, self.temp.as_file_mut())
    }

    fn keep(self) -> Result<(), PackageDeltaError> {
        let Self {
            mut temp,
            folder,
            to,
        } = self;
        temp.flush()
            .and_then(|()| temp.as_file().sync_all())
            .map_err(io_error(to))?;
        temp.persist_noclobber(to)
            .map_err(|failed| match failed.error.kind() {
                io::ErrorKind::AlreadyExists => PackageDeltaError::Exists(to.to_owned()),
                _ => io_error(to)(failed.error),
            })?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(to))
    }
}
