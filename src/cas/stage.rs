//! Working folders, one for each running command, removed when it ends.
//!
//! A stage is in the session folder of the store, so the stages of killed processes,
//! including read-only folders, are removed when the store is opened again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::{at, remove};

use super::store::{Cas, CasError};

/// A private folder on the file system of the store, empty at first; removed when
/// dropped.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
}

impl Stage {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // If this fails, the folder is removed when the store is next opened.
        let _ = remove(&self.path);
    }
}

impl Cas {
    /// Makes a working folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn stage(&self) -> Result<Stage, CasError> {
        let path = self.temp_path()?;
        fs::create_dir(&path).map_err(at(&path))?;
        Ok(Stage { path })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_stage_is_removed_with_the_read_only_folders_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let stage = cas.stage().unwrap();
        let folder = stage.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("f"), "x").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        let path = stage.path().to_owned();
        drop(stage);
        assert!(!path.exists());
    }

    #[test]
    fn files_of_a_killed_process_are_reaped_when_the_store_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join("v1/ingest/.jackal-tmp-dead");
        fs::create_dir_all(dead.join("0/closed/below")).unwrap();
        fs::write(dead.join("alive"), b"").unwrap();
        let closed = fs::Permissions::from_mode(0o500);
        fs::set_permissions(dead.join("0/closed"), closed).unwrap();
        let _cas = Cas::open(dir.path()).unwrap();
        assert!(!dead.exists());
    }
}
