//! Disk usage and pruning.
//!
//! Selects blobs by the access log, never by file times. It keeps everything that this
//! process uses or that another running process may rely on.

use std::collections::HashMap;
use std::fs;

use crate::disk::{self, at};
use crate::oci::Digest;

use super::access;
use super::kept::KeptFolder;
use super::store::{Cas, CasError, TOUCH_GRAIN, locked, now};

/// The file with the time of the last prune.
pub const PRUNED: &str = "pruned";

/// The file with the last evicted blobs, in the form of the access log.
const EVICTED: &str = "evicted.log";

/// Maximum number of evicted blobs that are known: 1.5 MiB of records.
const MAX_EVICTED: usize = 32_768;

/// In the time of a record: the blob was evicted because of its age. No clock reaches it.
const OLD: u64 = 1 << 63;

/// Why a blob is not stored any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// When it was evicted, in seconds since the Unix epoch.
    pub at: u64,
    /// Whether it had not been used for too long; else the cache was too large.
    pub old: bool,
}

/// What is stored or was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub blobs: u64,
    /// Number of kept folders.
    pub folders: u64,
    /// The bytes of both.
    pub bytes: u64,
}

impl Usage {
    pub(super) fn of(blobs: &[(Digest, u64)]) -> Self {
        Self {
            blobs: blobs.len() as u64,
            folders: 0,
            bytes: blobs.iter().map(|(_, size)| size).sum(),
        }
    }
}

/// Limits of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// In bytes; the least recently used blobs are removed first. `None`: no limit.
    pub max_bytes: Option<u64>,
    /// Seconds since the last access. `None`: no limit.
    pub max_age: Option<u64>,
}

/// What can be evicted.
enum Held {
    Blob(Digest),
    Folder(KeptFolder),
}

impl Held {
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Blob(digest) => Some(*digest),
            Self::Folder(_) => None,
        }
    }
}

impl Cas {
    /// The number and total size of all blobs and kept folders.
    ///
    /// # Errors
    ///
    /// The store cannot be listed.
    pub fn usage(&self) -> Result<Usage, CasError> {
        let mut usage = Usage::of(&self.list()?);
        for folder in self.kept_folders(true)? {
            usage.folders += 1;
            usage.bytes += folder.bytes;
        }
        Ok(usage)
    }

    /// Removes blobs and kept folders until `limits` hold; returns what was removed. A result that names
    /// a removed blob becomes a miss, and is replaced when its action runs again.
    ///
    /// Keeps blobs that this process used or wrote. While another process has the store
    /// open, it also keeps blobs that were used so recently that the process may rely
    /// on them.
    ///
    /// # Errors
    ///
    /// The store cannot be listed, or a blob cannot be removed.
    pub fn prune(&self, limits: Limits) -> Result<Usage, CasError> {
        self.prune_at(limits, now())
    }

    fn prune_at(&self, limits: Limits, now: u64) -> Result<Usage, CasError> {
        // Locked, so that no access is recorded between reading the log and removing
        // blobs.
        let _gate = self.gate(true)?;
        self.reap()?;
        let alone = self.users.try_lock().is_ok();
        let pruned = self.prune_gated(limits, now, alone);
        let users = self.root().join("users.lock");
        self.users.lock_shared().map_err(at(&users))?;
        pruned
    }

    fn prune_gated(&self, limits: Limits, now: u64, alone: bool) -> Result<Usage, CasError> {
        let wanted = locked(&self.wanted).clone();
        let accesses: HashMap<Digest, u64> = self.accesses()?;
        // A blob without a record counts as used now.
        let age = |digest: &Digest| now.saturating_sub(*accesses.get(digest).unwrap_or(&now));
        let blobs = self.list()?.into_iter();
        let blobs = blobs.map(|(digest, size)| (age(&digest), size, Held::Blob(digest)));
        let folders = self.kept_folders(false)?.into_iter().map(|folder| {
            let age = folder.age.map_or(u64::MAX, |age| {
                u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
            });
            (age, folder.bytes, Held::Folder(folder))
        });
        let mut all: Vec<_> = blobs.chain(folders).collect();
        let mut held: u64 = all.iter().map(|(_, size, _)| size).sum();
        all.sort_by_key(|(age, _, what)| (std::cmp::Reverse(*age), what.digest()));
        let mut removed = Usage::default();
        let mut evicted = Vec::new();
        for (age, size, what) in all {
            let old = limits.max_age.is_some_and(|max| age / 1000 > max);
            let over = limits.max_bytes.is_some_and(|max| held > max);
            if !(old || over) && age < u64::MAX {
                continue;
            }
            match what {
                Held::Blob(digest) => {
                    let recent = !alone && age < 2 * TOUCH_GRAIN;
                    if recent || wanted.contains(&digest) {
                        continue;
                    }
                    let path = self.path_of(&digest);
                    // First, so that a prune that is interrupted is known too.
                    if removed.blobs == 0 {
                        self.note_prune(now)?;
                    }
                    match fs::remove_file(&path) {
                        // A reader that found it damaged has removed it.
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        outcome => outcome.map_err(at(&path))?,
                    }
                    removed.blobs += 1;
                    evicted.push(access::record(&digest, now | if old { OLD } else { 0 }));
                }
                Held::Folder(folder) if folder.evict()? => removed.folders += 1,
                Held::Folder(_) => continue,
            }
            held -= size;
            removed.bytes += size;
        }
        if removed.blobs > 0 {
            self.forget(&accesses)?;
            self.bury(evicted)?;
        }
        Ok(removed)
    }

    /// Removes unfinished files in the folders of the cache that commands write to.
    /// Blobs are started in `ingest/`, so their folders need no search, and what is in
    /// kept folders belongs to commands.
    fn reap(&self) -> Result<(), CasError> {
        let root = self.root();
        for entry in fs::read_dir(root).map_err(at(root))? {
            let path = entry.map_err(at(root))?.path();
            if path.is_dir() && !path.ends_with("blobs") && !path.ends_with("kept") {
                disk::reap_below(&path).map_err(at(&path))?;
            }
        }
        Ok(disk::reap(root).map_err(at(root))?)
    }

    /// Records the time of a prune, which explains later misses, and ends what is
    /// remembered of builds.
    fn note_prune(&self, now: u64) -> Result<(), CasError> {
        let time = (now / 1000).to_string();
        Ok(disk::write_hint(
            &self.root().join(PRUNED),
            time.as_bytes(),
        )?)
    }

    /// Drops the records of removed blobs.
    fn forget(&self, accesses: &HashMap<Digest, u64>) -> Result<(), CasError> {
        let mut log = Vec::new();
        for (digest, time) in accesses {
            if self.path_of(digest).exists() {
                log.extend(access::record(digest, *time));
            }
        }
        Ok(disk::write_hint(&self.root().join("access.log"), &log)?)
    }

    /// Adds records of evicted blobs, and drops the oldest ones.
    fn bury(&self, records: Vec<[u8; access::RECORD]>) -> Result<(), CasError> {
        let path = self.root().join(EVICTED);
        let mut log = fs::read(&path).unwrap_or_default();
        log.extend(records.into_iter().flatten());
        let most = MAX_EVICTED * access::RECORD;
        let start = log.len().saturating_sub(most);
        Ok(disk::write_hint(&path, &log[start..])?)
    }

    /// The blobs that were evicted last.
    #[must_use]
    pub fn evicted(&self) -> HashMap<Digest, Evicted> {
        let log = fs::read(self.root().join(EVICTED)).unwrap_or_default();
        let records = access::parse(&log).into_iter();
        let evicted = records.map(|(digest, time)| {
            let (at, old) = ((time & !OLD) / 1000, time & OLD != 0);
            (digest, Evicted { at, old })
        });
        evicted.collect()
    }

    /// When blobs were last pruned, in seconds since the Unix epoch.
    #[must_use]
    pub fn last_pruned(&self) -> Option<u64> {
        let text = fs::read_to_string(self.root().join(PRUNED)).ok()?;
        text.trim().parse().ok()
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
                // Removed since it was listed, or not ours: not counted.
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

    fn put(cas: &Cas, bytes: &[u8]) -> Digest {
        cas.put(&Descriptor::of("x", bytes), bytes).unwrap();
        Digest::of(bytes)
    }

    #[test]
    fn the_least_recently_used_blobs_go_first_and_those_in_use_stay() {
        let dir = tempfile::tempdir().unwrap();
        let limits = |max_bytes| Limits {
            max_bytes: Some(max_bytes),
            max_age: None,
        };
        let cas = Cas::open(dir.path()).unwrap();
        let [a, b] = [&b"abc"[..], b"defg"].map(|bytes| put(&cas, bytes));
        let (bytes, blobs, folders) = (7, 2, 0);
        let expected = Usage {
            blobs,
            folders,
            bytes,
        };
        assert_eq!(cas.usage().unwrap(), expected);
        assert_eq!(cas.prune(limits(0)).unwrap(), Usage::default());
        assert_eq!(cas.last_pruned(), None);
        drop(cas);
        let cas = Cas::open(dir.path()).unwrap();
        assert!(cas.contains(&b, 4).unwrap());
        assert_eq!(cas.prune_at(limits(4), 77_000).unwrap().bytes, 3);
        assert!(!cas.contains(&a, 3).unwrap() && cas.contains(&b, 4).unwrap());
        assert_eq!(cas.last_pruned(), Some(77));
        let size = Evicted { at: 77, old: false };
        assert_eq!(cas.evicted(), HashMap::from([(a, size)]));
        let accesses = cas.accesses().unwrap();
        assert!(accesses.contains_key(&b) && !accesses.contains_key(&a));
    }

    #[test]
    fn blobs_that_another_process_may_rely_on_stay_until_they_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let first = Cas::open(dir.path()).unwrap();
        put(&first, b"abc");
        let second = Cas::open(dir.path()).unwrap();
        let limits = Limits {
            max_bytes: Some(0),
            max_age: None,
        };
        assert_eq!(second.prune(limits).unwrap(), Usage::default());
        let later = now() + 3 * TOUCH_GRAIN;
        assert_eq!(second.prune_at(limits, later).unwrap().bytes, 3);
    }

    #[test]
    fn blobs_that_exceed_the_maximum_age_are_removed_at_any_size() {
        let dir = tempfile::tempdir().unwrap();
        put(&Cas::open(dir.path()).unwrap(), b"abc");
        let cas = Cas::open(dir.path()).unwrap();
        let limits = Limits {
            max_bytes: None,
            max_age: Some(60),
        };
        assert_eq!(cas.prune(limits).unwrap(), Usage::default());
        assert_eq!(cas.prune_at(limits, now() + 61_000).unwrap().blobs, 1);
    }
}
