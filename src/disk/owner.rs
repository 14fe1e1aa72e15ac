//! The owners of folders whose content jackal trusts.
//!
//! A result in a cache replaces the work, so caches and journals are in folders that
//! only this user can change, as `ssh` and `git` require for theirs. It never looks at
//! what is in them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{DiskError, at};

/// Mode of a folder that only its owner may enter.
const PRIVATE_FOLDER: u32 = 0o700;

/// Permissions of group and others to write.
const OTHERS_WRITE: u32 = 0o022;

/// Permissions of group and others.
const OTHERS: u32 = 0o077;

/// Who may change a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This user alone.
    Own,
    /// Root alone, and this user is not root.
    Root,
}

/// A folder that someone else may change.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` {how}, so that others could put false data into it")]
pub struct Foreign {
    pub path: PathBuf,
    /// Who may change it.
    pub how: String,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Someone else may change it.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// It cannot be read or made.
    #[error(transparent)]
    Io(#[from] DiskError),
}

/// Whose `folder` is; `None`: it does not exist.
///
/// # Errors
///
/// [`OwnerError::Foreign`]: another user owns it, or others may write to it.
pub fn owner(folder: &Path) -> Result<Option<Owner>, OwnerError> {
    let facts = match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        facts => facts.map_err(at(folder))?,
    };
    let own = rustix::process::geteuid().as_raw();
    judge(folder, facts.uid(), facts.mode(), own).map(Some)
}

fn judge(folder: &Path, uid: u32, mode: u32, own: u32) -> Result<Owner, OwnerError> {
    let foreign = |how: String| {
        Err(OwnerError::Foreign(Foreign {
            path: folder.to_owned(),
            how,
        }))
    };
    if uid != own && uid != 0 {
        return foreign(format!("belongs to another user ({uid})"));
    }
    if mode & OTHERS_WRITE != 0 {
        return foreign(format!(
            "may be written by others (mode {:o})",
            mode & 0o7777
        ));
    }
    Ok(match uid == own {
        true => Owner::Own,
        false => Owner::Root,
    })
}

/// Makes `folder` if it is missing, and those above it; only its owner may enter it.
///
/// # Errors
///
/// As [`owner`]; or it cannot be made.
pub fn private_folder(folder: &Path) -> Result<Owner, OwnerError> {
    if let Some(parent) = folder.parent().filter(|_| !folder.exists()) {
        fs::create_dir_all(parent).map_err(at(folder))?;
    }
    let mut builder = DirBuilder::new();
    match builder.mode(PRIVATE_FOLDER).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // A read-only file system is reported first.
            match owner(folder)? {
                Some(owner) => return Ok(owner),
                None => return Err(at(folder)(error).into()),
            }
        }
        _ => {}
    }
    owner(folder)?.ok_or_else(|| at(folder)(io::ErrorKind::NotFound.into()).into())
}

/// Removes the permissions of others for a folder that this program made.
pub fn make_private(folder: &Path) {
    let mode = fs::metadata(folder).map(|facts| facts.mode());
    if mode.is_ok_and(|mode| mode & OTHERS != 0) {
        // A file system without modes has no permissions to remove.
        let _ = fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_only_if_no_one_else_may_change_it() {
        let judged = |uid, mode, own| judge(Path::new("x"), uid, mode, own).ok();
        for mode in [0o40700, 0o40755, 0o40500, 0o41755] {
            assert_eq!(judged(7, mode, 7), Some(Owner::Own), "{mode:o}");
            assert_eq!(judged(0, mode, 7), Some(Owner::Root), "{mode:o}");
            assert_eq!(judged(8, mode, 7), None, "{mode:o}");
            assert_eq!(judged(8, mode, 0), None, "{mode:o}");
        }
        for mode in [0o40777, 0o41777, 0o40775, 0o40770, 0o40702] {
            assert_eq!(judged(7, mode, 7), None, "{mode:o}");
            assert_eq!(judged(0, mode, 7), None, "{mode:o}");
            assert_eq!(judged(0, mode, 0), None, "{mode:o}");
        }
        let error = judge(Path::new("x"), 8, 0o40700, 7).unwrap_err();
        assert!(error.to_string().contains("belongs to another user (8)"));
        let error = judge(Path::new("x"), 7, 0o40777, 7).unwrap_err();
        assert!(error.to_string().contains("mode 777"), "{error}");
    }

    #[test]
    fn a_new_folder_is_private_and_an_old_one_is_made_so() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        assert_eq!(owner(&folder).unwrap(), None);
        assert_eq!(private_folder(&folder).unwrap(), Owner::Own);
        let mode = || fs::metadata(&folder).unwrap().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(private_folder(&folder).unwrap(), Owner::Own);
        make_private(&folder);
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            private_folder(&folder),
            Err(OwnerError::Foreign(_))
        ));
        // Something other than a folder stays as it is.
        fs::write(dir.path().join("f"), "").unwrap();
        assert!(private_folder(&dir.path().join("f/g")).is_err());
    }
}
