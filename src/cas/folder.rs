//! The folder of a cache, and whether it is only read.
//!
//! A result in a cache replaces the work, so only this user may be able to write there.
//! Other users read a cache of root and never write to it. A cache of another user is
//! read if the user allows that.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::{self, Owner, OwnerError};

/// The folder of the store. A version of jackal that cannot share a store with this one
/// has another folder, so that both can use one cache.
const FORMAT: &str = "v1";

/// A cache, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFolder {
    pub path: PathBuf,
    /// Others may write there, so it is only read (`--shared-cache`).
    pub shared: bool,
}

impl From<&Path> for CacheFolder {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&PathBuf> for CacheFolder {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&CacheFolder> for CacheFolder {
    fn from(folder: &CacheFolder) -> Self {
        folder.clone()
    }
}

impl From<PathBuf> for CacheFolder {
    fn from(path: PathBuf) -> Self {
        Self {
            path,
            shared: false,
        }
    }
}

/// Whether a cache may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

impl CacheFolder {
    /// The folder of this version's store.
    pub(super) fn versioned(&self) -> PathBuf {
        let root = self.path.join(FORMAT);
        std::path::absolute(&root).unwrap_or(root)
    }

    /// The stores of other versions. Nothing reads, changes or removes them.
    #[must_use]
    pub fn of_other_versions(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let is_version = |name: &String| {
            let number = name.strip_prefix('v');
            name != FORMAT && number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let mut found: Vec<_> = names.filter(is_version).collect();
        found.sort_unstable();
        found.iter().map(|name| self.path.join(name)).collect()
    }

    /// The folder of this version's store, if this user alone has made it and may change
    /// it. Nothing is made or locked.
    #[must_use]
    pub fn own(&self) -> Option<PathBuf> {
        let versioned = self.versioned();
        let own = |folder: &Path| matches!(disk::owner(folder), Ok(Some(Owner::Own)));
        (!self.shared && own(&self.path) && own(&versioned)).then_some(versioned)
    }

    /// Makes `versioned`, which is in the folder, private; or determines that both are
    /// only read.
    pub(super) fn access(&self, versioned: &Path) -> Result<Access, OwnerError> {
        if self.shared {
            return Ok(Access::Read);
        }
        let outer = disk::private_folder(&self.path)?;
        let inner = disk::private_folder(versioned)?;
        if (outer, inner) != (Owner::Own, Owner::Own) {
            return Ok(Access::Read);
        }
        disk::make_private(versioned);
        Ok(Access::Write)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cas::{Cas, CasError, Flush, Key};
    use crate::oci::Digest;

    const KEY: Key = Key([7; 32]);

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn filled(path: &Path) -> Digest {
        let cas = Cas::open(path).unwrap();
        let mut ingest = cas.ingest().unwrap();
        ingest.write_all(b"abc").unwrap();
        let (digest, size) = ingest.commit().unwrap();
        cas.put_result(&KEY, b"result", &[(digest, size)], Flush::Now)
            .unwrap();
        digest
    }

    #[test]
    fn the_store_of_another_version_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CacheFolder::from(dir.path().join("cache"));
        filled(&folder.path);
        assert!(folder.of_other_versions().is_empty());
        for name in ["v2", "v0", "vendor"] {
            fs::create_dir(folder.path.join(name)).unwrap();
            fs::write(folder.path.join(name).join("f"), name).unwrap();
        }
        let cas = Cas::open(&folder).unwrap();
        cas.prune(crate::cas::Limits {
            max_bytes: Some(0),
            max_age: Some(0),
        })
        .unwrap();
        assert!(cas.check().unwrap().damaged.is_empty());
        let others = folder.of_other_versions();
        assert_eq!(others, ["v0", "v2"].map(|name| folder.path.join(name)));
        for other in others {
            assert!(other.join("f").exists(), "{}", other.display());
        }
    }

    #[test]
    fn others_can_neither_read_nor_write_a_cache() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        let digest = filled(&root);
        let cas = Cas::open(&root).unwrap();
        let blob = cas.path_of(&digest);
        drop(cas);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&root), mode(&root.join("v1")), mode(&blob)),
            (0o700, 0o700, 0o600)
        );
        // Others lose their permissions for a folder that an older version made.
        set_mode(&root.join("v1"), 0o755);
        drop(Cas::open(&root).unwrap());
        assert_eq!(mode(&root.join("v1")), 0o700);
        for (path, open) in [
            (root.clone(), 0o777),
            (root.clone(), 0o770),
            (root.join("v1"), 0o702),
        ] {
            set_mode(&path, open);
            let error = Cas::open(&root).err().unwrap().to_string();
            assert!(error.contains("may be written by others"), "{error}");
            assert!(error.contains("--shared-cache"), "{error}");
            set_mode(&path, 0o700);
        }
    }

    #[test]
    fn a_shared_cache_is_only_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        let digest = filled(&root);
        set_mode(&root, 0o777);
        let listed = || {
            let mut found = Vec::new();
            let mut open = vec![root.clone()];
            while let Some(folder) = open.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    found.push((path.clone(), fs::metadata(&path).unwrap().len()));
                    if path.is_dir() {
                        open.push(path);
                    }
                }
            }
            found.sort();
            found
        };
        let before = listed();
        let folder = CacheFolder {
            path: root.clone(),
            shared: true,
        };
        let cas = Cas::open(&folder).unwrap();
        assert!(cas.contains(&digest, 3).unwrap());
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"result");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut cas.open_blob(&digest).unwrap(), &mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(matches!(cas.ingest(), Err(CasError::ReadOnly(_))));
        assert!(matches!(cas.stage(), Err(CasError::ReadOnly(_))));
        assert!(cas.prune(crate::cas::Limits::default()).is_err());
        assert_eq!(listed(), before);
        // A damaged blob is a miss, and is left for its owner.
        let path = cas.path_of(&digest);
        fs::write(&path, b"abd").unwrap();
        let cas = Cas::open(&folder).unwrap();
        let mut blob = cas.open_blob(&digest).unwrap();
        assert!(std::io::Read::read_to_string(&mut blob, &mut text).is_err());
        assert!(path.exists());
        let nothing = CacheFolder {
            path: dir.path().join("none"),
            shared: true,
        };
        assert!(Cas::open(&nothing).is_err());
        assert!(!nothing.path.exists());
    }
}
