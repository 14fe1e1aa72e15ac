//! Whether the checkout still is what the inputs say.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::open::note_changed;
use super::{Inputs, digest_of};
use crate::action::InputNode;
use crate::ground::Failure;
use crate::ground::site::Site;
use crate::oci::Digest;
use crate::workspace::{Entry, Kind, Stat};

/// What is at a path now, read at most once.
pub(crate) struct OnDisk {
    path: PathBuf,
    /// Of what a link there leads to.
    metadata: Option<fs::Metadata>,
    digest: OnceCell<Option<Digest>>,
}

impl OnDisk {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            metadata: fs::metadata(path).ok(),
            digest: OnceCell::new(),
        }
    }

    /// The digest of the file; `None`: there is none, or it cannot be read.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let is_file = self.metadata.as_ref().is_some_and(fs::Metadata::is_file);
        let read = || is_file.then(|| digest_of(&self.path).ok()).flatten();
        *self.digest.get_or_init(read)
    }
}

impl Inputs {
    /// Compares the files and links of the checkout with the tree again, for work
    /// that may have read them without this type's check. Reads only those whose
    /// metadata changed, and notes the first that has changed.
    pub(crate) fn check_again(&self, site: &Site) -> Result<(), Failure> {
        let changed = |on_disk: &Path| {
            note_changed(&self.changed, on_disk);
            Failure::changed(on_disk.to_owned())
        };
        let (mut entries, mut expected) = (Vec::new(), Vec::new());
        for (path, on_disk) in &*self.on_disk {
            let metadata = fs::symlink_metadata(on_disk).map_err(|_| changed(on_disk))?;
            match self.tree.get(path) {
                Some(InputNode::File(file)) if metadata.is_file() => {
                    let executable = metadata.mode() & 0o100 != 0;
                    if executable != file.executable {
                        return Err(changed(on_disk));
                    }
                    entries.push(Entry {
                        path: on_disk.to_string_lossy().into_owned(),
                        kind: Kind::File { executable },
                        stat: Stat::of(&metadata),
                    });
                    expected.push((on_disk, file.digest));
                }
                Some(InputNode::Link(target))
                    if fs::read_link(on_disk).is_ok_and(|found| found == Path::new(target)) => {}
                _ => return Err(changed(on_disk)),
            }
        }
        let found = site.digests(Path::new("/"), &entries.iter().collect::<Vec<_>>())?;
        let mut pairs = expected.iter().zip(found);
        match pairs.find(|((_, expected), found)| expected != found) {
            Some(((on_disk, _), _)) => Err(changed(on_disk)),
            None => Ok(()),
        }
    }

    /// Whether what is on the disk is not what the tree has at `path`.
    pub(crate) fn differs(&self, path: &str, now: &OnDisk) -> bool {
        match (self.tree.get(path), &now.metadata) {
            (Some(InputNode::File(file)), Some(metadata)) => {
                let mode = metadata.mode();
                let same = metadata.is_file()
                    && metadata.len() == file.size
                    && (mode & 0o100 != 0) == file.executable
                    && (self.privacy && mode & 0o077 == 0) == file.private;
                !same || now.digest() != Some(file.digest)
            }
            (Some(InputNode::Link(target)), _) => {
                !fs::read_link(&now.path).is_ok_and(|found| found == Path::new(target))
            }
            _ => true,
        }
    }
}
