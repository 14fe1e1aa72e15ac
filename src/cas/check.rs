//! Reads every blob and removes damaged ones, so that they are recreated.

use std::io;

use rayon::prelude::*;

use super::prune::Usage;
use super::store::{Cas, CasError, is_damage};
use crate::disk;
use crate::oci::Digest;

/// The result of checking the whole store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The blobs that were read.
    pub read: Usage,
    /// Removed blobs, whose content did not match their names.
    pub damaged: Vec<Digest>,
}

impl Cas {
    /// Reads and digests every blob; damaged ones are removed.
    ///
    /// # Errors
    ///
    /// The store cannot be listed or read.
    pub fn check(&self) -> Result<Checked, CasError> {
        let blobs = self.list()?;
        let read = Usage::of(&blobs);
        let damaged: Result<Vec<Option<Digest>>, CasError> = blobs
            .par_iter()
            .map(|(digest, _)| {
                let mut blob = match self.open_blob(digest) {
                    Ok(blob) => blob,
                    // Another process has removed it since.
                    Err(CasError::Missing(_)) => return Ok(None),
                    Err(error) => return Err(error),
                };
                match io::copy(&mut blob, &mut io::sink()) {
                    Ok(_) => Ok(None),
                    Err(error) if is_damage(&error) => Ok(Some(*digest)),
                    Err(error) => Err(disk::at(self.root())(error).into()),
                }
            })
            .collect();
        Ok(Checked {
            read,
            damaged: damaged?.into_iter().flatten().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;

    #[test]
    fn a_flipped_bit_is_found_and_the_blob_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"abc");
        Cas::open(dir.path())
            .unwrap()
            .put(&Descriptor::of("x", b"abc"), &b"abc"[..])
            .unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        assert_eq!(cas.check().unwrap().damaged, []);
        let hex = digest.hex();
        let path = dir
            .path()
            .join("v1/blobs/sha256")
            .join(&hex[..2])
            .join(&hex);
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        std::fs::set_permissions(&path, permissions).unwrap();
        std::fs::write(&path, "abd").unwrap();
        // A fresh process: nothing is known to be sound.
        let cas = Cas::open(dir.path()).unwrap();
        assert_eq!(cas.check().unwrap().damaged, [digest]);
        assert!(!path.exists());
    }
}
