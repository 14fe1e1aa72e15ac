//! Disk use, and making room.
//!
//! Chooses by the access log alone. It never takes a pinned blob, nor one
//! wanted so recently that a running build may count on it.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::oci::Digest;

use super::store::{Cas, CasError, TOUCH_GRAIN, at, now};

/// What is held, or was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How much may stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Bytes; the longest unused blobs go first. `None`: no limit.
    pub max_bytes: Option<u64>,
    /// Seconds since the last access. `None`: no limit.
    pub max_age: Option<u64>,
}

impl Cas {
    /// How many blobs are held and how long they are.
    ///
    /// # Errors
    ///
    /// The store cannot be listed.
    pub fn usage(&self) -> Result<Usage, CasError> {
        let mut usage = Usage::default();
        for (_, size) in self.list()? {
            usage.blobs += 1;
            usage.bytes += size;
        }
        Ok(usage)
    }

    /// Removes blobs until `limits` hold, sparing `pinned` and recent ones;
    /// returns what was removed.
    ///
    /// # Errors
    ///
    /// The store cannot be listed, or a blob not removed.
    pub fn prune(&self, limits: Limits, pinned: &HashSet<Digest>) -> Result<Usage, CasError> {
        self.prune_at(limits, pinned, now())
    }

    fn prune_at(
        &self,
        limits: Limits,
        pinned: &HashSet<Digest>,
        now: u64,
    ) -> Result<Usage, CasError> {
        // No touch can slip in between reading the log and removing.
        let _gate = self.gate(true)?;
        let accesses: HashMap<Digest, u64> = self.accesses()?;
        // A blob the log has lost counts as wanted now.
        let age = |digest: &Digest| now.saturating_sub(*accesses.get(digest).unwrap_or(&now));
        let mut blobs = self.list()?;
        let mut held: u64 = blobs.iter().map(|(_, size)| size).sum();
        blobs.sort_by_key(|(digest, _)| (std::cmp::Reverse(age(digest)), *digest));
        let mut removed = Usage::default();
        for (digest, size) in blobs {
            let old = limits.max_age.is_some_and(|max| age(&digest) > max);
            let over = limits.max_bytes.is_some_and(|max| held > max);
            let spared = pinned.contains(&digest) || age(&digest) < 2 * TOUCH_GRAIN;
            if spared || !(old || over) {
                continue;
            }
            let path = self.blob_path(&digest);
            match fs::remove_file(&path) {
                // A reader found it damaged and was first.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome.map_err(at(&path))?,
            }
            held -= size;
            removed.blobs += 1;
            removed.bytes += size;
        }
        Ok(removed)
    }

    pub(super) fn list(&self) -> Result<Vec<(Digest, u64)>, CasError> {
        let mut blobs = Vec::new();
        let root = self.blobs();
        for dir in fs::read_dir(&root).map_err(at(&root))? {
            let dir = dir.map_err(at(&root))?.path();
            for file in fs::read_dir(&dir).map_err(at(&dir))? {
                let file = file.map_err(at(&dir))?;
                let name = file.file_name();
                let digest = name.to_str().and_then(|hex| Digest::from_hex(hex).ok());
                // Gone since it was listed, or not ours: not counted.
                if let (Some(digest), Ok(metadata)) = (digest, file.metadata()) {
                    blobs.push((digest, metadata.len()));
                }
            }
        }
        Ok(blobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;

    #[test]
    fn old_blobs_go_and_pinned_and_recent_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        for bytes in [&b"abc"[..], b"defg"] {
            cas.put(&Descriptor::of("x", bytes), bytes).unwrap();
        }
        let (bytes, blobs) = (7, 2);
        assert_eq!(cas.usage().unwrap(), Usage { blobs, bytes });
        let limits = Limits {
            max_bytes: Some(0),
            max_age: None,
        };
        let none = HashSet::new();
        assert_eq!(cas.prune(limits, &none).unwrap(), Usage::default());
        let pinned = HashSet::from([Digest::of(b"abc")]);
        let later = now() + 3 * TOUCH_GRAIN;
        assert_eq!(cas.prune_at(limits, &pinned, later).unwrap().bytes, 4);
        assert!(cas.contains(&Digest::of(b"abc"), 3).unwrap());
        let limits = Limits {
            max_bytes: None,
            max_age: Some(2 * TOUCH_GRAIN),
        };
        assert_eq!(cas.prune_at(limits, &none, later).unwrap().blobs, 1);
    }
}
