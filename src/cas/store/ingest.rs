//! Writing a blob: completely, flushed, and under its digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Cas, CasError, locked, sync_dir};
use crate::action::Output;
use crate::disk::at;
use crate::oci::{Digest, Hasher};
use crate::text::with_causes;

/// A blob that is being written; nothing is stored if it is dropped without a
/// [`commit`](Self::commit).
pub struct Ingest<'a> {
    cas: &'a Cas,
    pub(super) path: PathBuf,
    file: File,
    hasher: Hasher,
    size: u64,
}

impl<'a> Ingest<'a> {
    /// Begins an empty blob in `file`, which is at `path`.
    pub(super) fn new(cas: &'a Cas, path: PathBuf, file: File) -> Self {
        Self {
            cas,
            path,
            file,
            hasher: Hasher::default(),
            size: 0,
        }
    }

    /// Stores the bytes written so far, if they match the descriptor.
    ///
    /// # Errors
    ///
    /// [`CasError::Mismatch`]: nothing is stored then; or as [`commit`](Self::commit).
    pub fn commit_as(self, expected: &Digest, expected_size: u64) -> Result<(), CasError> {
        let (found, found_size) = (self.hasher.clone().finish(), self.size);
        if found == *expected && found_size == expected_size {
            return self.commit().map(|_| ());
        }
        Err(CasError::Mismatch {
            found,
            found_size,
            expected: *expected,
            expected_size,
        })
    }

    /// Stores the bytes written so far as the output `name`.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn output(self, name: impl Into<String>) -> Result<Output, CasError> {
        Ok(Output::new(name, self.commit()?))
    }

    /// Stores the bytes written so far durably.
    ///
    /// # Errors
    ///
    /// The file cannot be flushed or moved into place.
    pub fn commit(self) -> Result<(Digest, u64), CasError> {
        let digest = self.hasher.clone().finish();
        let known = locked(&self.cas.verified).contains(&digest);
        if known && self.cas.contains(&digest, self.size)? {
            return Ok((digest, self.size));
        }
        self.cas.touch(&digest)?;
        self.file.sync_all().map_err(at(&self.path))?;
        let target = self.cas.path_of(&digest);
        let blobs = self.cas.blobs();
        let dir = target.parent().unwrap_or(&blobs);
        if !dir.exists() {
            fs::create_dir_all(dir).map_err(at(dir))?;
            sync_dir(&blobs)?;
        }
        // An existing file has the same bytes, or is damaged and gets replaced.
        fs::rename(&self.path, &target).map_err(at(&target))?;
        sync_dir(dir)?;
        locked(&self.cas.verified).insert(digest);
        locked(&self.cas.damaged).remove(&digest);
        Ok((digest, self.size))
    }
}

impl Write for Ingest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The path says which disk is full.
        let named = |error: io::Error| {
            let message = format!(
                "cannot write `{}`: {error}",
                self.path.display(),
                error = with_causes(&error)
            );
            io::Error::new(error.kind(), message)
        };
        let count = self.file.write(bytes).map_err(named)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest<'_> {
    fn drop(&mut self) {
        // After a commit, the file has been renamed.
        let _ = fs::remove_file(&self.path);
    }
}
