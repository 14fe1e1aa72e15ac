//! The blob store: one file per digest, written completely or not at all.
//!
//! Blobs are written under `ingest/`, flushed, then renamed into place, so a blob under
//! its final name is complete. Several processes can share a store: each has a folder
//! for unfinished files, whose lock ends with the process, and the next process to open
//! the store removes folders without an owner.

mod error;
mod ingest;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::content::{Fetch, Push, VerifyReader};
use crate::disk::{self, TemporaryFolder, at};
use crate::oci::{Descriptor, Digest};

use super::access;
use super::folder::{Access, CacheFolder};
use super::ledger::{Ledger, LedgerKey};
use super::stage::Stage;
use crate::action::{MAX_RUNS, Output};

pub use error::{CasError, is_damage};
pub use ingest::Ingest;

/// Minimum age of a recorded access before it is recorded again, in milliseconds: one
/// hour, so that a build with nothing to do writes nothing. While another process has
/// the store open, pruning keeps blobs with an access within twice this time.
pub(super) const TOUCH_GRAIN: u64 = 3_600_000;

/// Bytes of one of the 64 files with results that may be lost: about 180,000 results in all
/// of them.
const MAX_CHEAP: u64 = 512 << 10;

/// The folder of the results, in the cache.
pub const RESULTS: &str = "results";

/// The folder of the last runs of tasks, in the cache.
pub(crate) const HISTORY: &str = "why";

/// Bytes of one of the 64 files with the last runs of tasks.
const MAX_HISTORY: u64 = 1 << 20;

/// Room beyond the end of a file without which `read_to_end` probes for it with small
/// reads, in bytes.
const PROBE_BYTES: usize = 32;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every guarded value is consistent between statements, so a poisoned lock is
    // harmless.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Flushes a folder, so that a rename in it survives a power failure.
pub(super) fn sync_dir(dir: &Path) -> Result<(), CasError> {
    Ok(File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(at(dir))?)
}

/// Milliseconds since the Unix epoch, so that builds in quick succession have an order.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A content-addressed store on disk, shared by threads and processes.
pub struct Cas {
    root: PathBuf,
    /// This process's folder under `ingest/`.
    session: Mutex<Option<TemporaryFolder>>,

    /// Blobs found damaged or missing and not stored again since. Those that cannot be
    /// removed count as missing, too.
    damaged: Mutex<HashSet<Digest>>,
    /// Number of blobs ever found damaged or missing.
    found_damaged: AtomicUsize,
    /// Digests of blobs that this process has verified, while writing or reading.
    verified: Mutex<HashSet<Digest>>,
    /// Last accesses, loaded when the first access is recorded.
    accessed: Mutex<Option<HashMap<Digest, u64>>>,
    /// Blobs that this process used or wrote, and does not prune.
    pub(super) wanted: Mutex<HashSet<Digest>>,
    /// A shared lock, held by every process that has the store open.
    pub(super) users: File,
    /// Working folders that were given back.
    pub(super) stages: Mutex<Vec<Stage>>,
    /// Results that may be lost.
    pub(super) cheap: Ledger,
    history: Ledger,
    access: Access,
}

impl Cas {
    /// Refuses content of `needed` bytes if the disk has less room, before any of them is
    /// received.
    ///
    /// # Errors
    ///
    /// [`CasError::Full`]
    pub fn make_sure_of(&self, needed: u64) -> Result<(), CasError> {
        match crate::disk::free_bytes(self.root()) {
            Some(free) if free < needed => Err(CasError::Full { needed, free }),
            _ => Ok(()),
        }
    }

    /// Opens the store under `root`, creating it if necessary, and removes the
    /// unfinished files of killed processes.
    ///
    /// # Errors
    ///
    /// The folders cannot be created or read.
    pub fn open(folder: impl Into<CacheFolder>) -> Result<Self, CasError> {
        let folder = folder.into();
        // Commands that run elsewhere get paths of what is in it.
        let root = folder.versioned();
        let new = |root: PathBuf, users: File, access: Access| Self {
            session: Mutex::default(),
            damaged: Mutex::default(),
            found_damaged: AtomicUsize::new(0),
            verified: Mutex::default(),
            accessed: Mutex::default(),
            wanted: Mutex::default(),
            stages: Mutex::default(),
            cheap: Ledger::new(root.join(RESULTS), MAX_CHEAP, 1),
            history: Ledger::new(root.join(HISTORY), MAX_HISTORY, MAX_RUNS),
            root,
            users,
            access,
        };
        let access = folder.access(&root)?;
        if access == Access::Read {
            // Its owner may prune it meanwhile; a missing blob is a cache miss.
            let users = File::open(&root).map_err(at(&root))?;
            return Ok(new(root, users, access));
        }
        for dir in [root.join("blobs/sha256"), root.join("ingest")] {
            fs::create_dir_all(&dir).map_err(at(&dir))?;
        }
        let path = root.join("users.lock");
        // Opened for reading if it exists: a build with nothing to do writes nothing,
        // and may have no write permission.
        let users = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A cache that cannot be written to cannot be pruned either.
                disk::append(&path).or_else(|error| match disk::refuses_writing(&error) {
                    true => File::open(&root),
                    false => Err(error),
                })
            }
            opened => opened,
        };
        let users = users.map_err(at(&path))?;
        users.lock_shared().map_err(at(&path))?;
        let cas = new(root, users, access);
        let ingest = cas.root.join("ingest");
        match disk::reap(&ingest) {
            Err(error) if !disk::refuses_writing(&error) => Err(at(&ingest)(error).into()),
            _ => Ok(cas),
        }
    }

    /// Whether nothing is stored in it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.access == Access::Read
    }

    pub(super) fn writable(&self) -> Result<(), CasError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(CasError::ReadOnly(self.root.clone())),
        }
    }

    /// The last runs of tasks.
    pub(crate) fn history(&self) -> &Ledger {
        &self.history
    }

    /// Records a run of a task. Losing it is harmless.
    pub(crate) fn add_history(&self, key: &LedgerKey, value: &[u8]) -> Result<(), CasError> {
        self.writable()?;
        let added = self.history.append(key, value);
        Ok(added.map_err(at(&self.history.path(key)))?)
    }

    /// The versioned folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    /// The file of a blob, for programs that need a path. It is not verified, and may be
    /// pruned once it is old enough.
    #[must_use]
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs().join(&hex[..2]).join(&hex)
    }

    /// Replaces the content of the file `path` below the store, as `disk::write_hint` does.
    ///
    /// # Errors
    ///
    /// The old file then stays as it was.
    pub(crate) fn write_hint(&self, path: &Path, bytes: &[u8]) -> Result<(), CasError> {
        // The folder of this process protects it: no lock of its own is needed.
        let temp = self.temp_path()?;
        let written = disk::create_private(&temp).and_then(|mut file| file.write_all(bytes));
        let placed = written.and_then(|()| match fs::rename(&temp, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                fs::rename(&temp, path)
            }
            renamed => renamed,
        });
        if placed.is_err() {
            let _ = fs::remove_file(&temp);
        }
        Ok(placed.map_err(at(path))?)
    }

    /// The lock between processes; released when the file is dropped.
    pub(super) fn gate(&self, exclusive: bool) -> Result<File, CasError> {
        self.writable()?;
        let path = self.root.join("gate.lock");
        let gate = disk::append(&path).map_err(at(&path))?;
        if exclusive {
            gate.lock().map_err(at(&path))?;
        } else {
            gate.lock_shared().map_err(at(&path))?;
        }
        Ok(gate)
    }

    /// A new path for an unfinished file, in the folder of this process.
    pub(super) fn temp_path(&self) -> Result<PathBuf, CasError> {
        self.writable()?;
        let mut session = locked(&self.session);
        let folder = match &mut *session {
            Some(folder) => folder,
            empty => empty.insert(TemporaryFolder::new(&self.root.join("ingest"))?),
        };
        Ok(folder.next_path())
    }

    /// Whether a blob of this digest and size is stored; if so, marks it as used.
    ///
    /// # Errors
    ///
    /// The access log cannot be written.
    pub fn contains(&self, digest: &Digest, size: u64) -> Result<bool, CasError> {
        let there = || fs::metadata(self.path_of(digest)).is_ok_and(|m| m.len() == size);
        if locked(&self.damaged).contains(digest) || !there() {
            return Ok(false);
        }
        // After a new record of the access, check again: a prune in between has either
        // seen the record or removed the blob. It has seen an earlier one.
        Ok(!self.touch(digest)? || there())
    }

    /// Records an access to `digest` in the access log; `false`: a recent one is there.
    pub(super) fn touch(&self, digest: &Digest) -> Result<bool, CasError> {
        locked(&self.wanted).insert(*digest);
        if self.is_read_only() {
            return Ok(false);
        }
        let path = self.root.join("access.log");
        let now = now();
        let mut accessed = locked(&self.accessed);
        let map = match &mut *accessed {
            Some(map) => map,
            empty => empty.insert(self.accesses()?),
        };
        let recent = |last: &u64| now >= *last && now - last < TOUCH_GRAIN;
        if map.get(digest).is_some_and(recent) {
            return Ok(false);
        }
        let written = self.gate(false).and_then(|_gate| {
            let written =
                disk::append(&path).and_then(|mut log| log.write_all(&access::record(digest, now)));
            Ok(written.map_err(at(&path))?)
        });
        match written {
            // A cache that cannot be written to can be read all the same.
            Err(CasError::Io { source, .. }) if disk::refuses_writing(&source) => {}
            written => written?,
        }
        map.insert(*digest, now);
        Ok(true)
    }

    /// How many blobs this process found damaged or missing so far.
    #[must_use]
    pub fn found_damaged(&self) -> usize {
        self.found_damaged.load(Ordering::Relaxed)
    }

    fn note_damage(&self, digest: Digest) {
        if locked(&self.damaged).insert(digest) {
            self.found_damaged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last access of every digest, from the log.
    pub(super) fn accesses(&self) -> Result<HashMap<Digest, u64>, CasError> {
        let path = self.root.join("access.log");
        match fs::read(&path) {
            Ok(log) => Ok(access::parse(&log)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
            Err(error) => Err(at(&path)(error).into()),
        }
    }

    /// Opens a blob. Reading verifies it and removes it if it is damaged.
    ///
    /// # Errors
    ///
    /// [`CasError::Missing`], or the file cannot be read.
    pub fn open_blob(&self, digest: &Digest) -> Result<Blob<'_>, CasError> {
        let path = self.path_of(digest);
        if locked(&self.damaged).contains(digest) {
            return Err(CasError::Missing(*digest));
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.note_damage(*digest);
                return Err(CasError::Missing(*digest));
            }
            Err(error) => return Err(at(&path)(error).into()),
        };
        self.touch(digest)?;
        let metadata = file.metadata().map_err(at(&path))?;
        let source = if locked(&self.verified).contains(digest) {
            BlobFile::Known(file)
        } else {
            let descriptor = Descriptor::blob(*digest, metadata.len());
            BlobFile::Checked(VerifyReader::new(file, &descriptor))
        };
        Ok(Blob {
            cas: self,
            digest: *digest,
            path,
            inode: metadata.ino(),
            size: metadata.len(),
            source,
        })
    }

    /// Starts a blob whose digest is not known yet.
    ///
    /// # Errors
    ///
    /// The unfinished file cannot be created.
    pub fn ingest(&self) -> Result<Ingest<'_>, CasError> {
        let path = self.temp_path()?;
        let file = disk::create_private(&path).map_err(at(&path))?;
        Ok(Ingest::new(self, path, file))
    }

    /// A file without a name in the cache's folder, gone when it is closed.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub fn unnamed(&self) -> Result<File, CasError> {
        let path = self.temp_path()?;
        let folder = path.parent().unwrap_or(&self.root);
        Ok(tempfile::tempfile_in(folder).map_err(at(folder))?)
    }

    /// Stores the content that `descriptor` describes, unless it is stored already;
    /// reads at most one byte past its size.
    ///
    /// # Errors
    ///
    /// [`CasError::Mismatch`] for other content; nothing is stored then.
    pub fn put(&self, descriptor: &Descriptor, content: impl Read) -> Result<(), CasError> {
        if self.contains(&descriptor.digest, descriptor.size)? {
            return Ok(());
        }
        let mut ingest = self.ingest()?;
        let mut content = content.take(descriptor.size.saturating_add(1));
        io::copy(&mut content, &mut ingest).map_err(at(&self.root))?;
        ingest.commit_as(&descriptor.digest, descriptor.size)
    }

    /// Stores `bytes` as the output `name`.
    ///
    /// # Errors
    ///
    /// As [`ingest`](Self::ingest) and [`Ingest::commit`].
    pub fn store(&self, name: impl Into<String>, bytes: &[u8]) -> Result<Output, CasError> {
        let mut ingest = self.ingest()?;
        ingest.write_all(bytes).map_err(at(&self.root))?;
        ingest.output(name)
    }

    /// The verified bytes of a blob of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`CasError::Missing`], also for a damaged blob; [`CasError::TooLarge`]; or the
    /// file cannot be read.
    pub fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, CasError> {
        let mut blob = self.open_blob(digest)?;
        if blob.size > limit {
            return Err(CasError::TooLarge(blob.size, limit));
        }
        // With room for all of it and more, one read gets it and the next one ends it.
        let room = usize::try_from(blob.size).unwrap_or_default() + PROBE_BYTES;
        let mut bytes = Vec::with_capacity(room);
        match blob.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) if is_damage(&error) => Err(CasError::Missing(*digest)),
            Err(error) => Err(at(&blob.path)(error).into()),
        }
    }
}

impl Fetch for Cas {
    fn fetch(&self, descriptor: &Descriptor) -> io::Result<Box<dyn Read + Send + '_>> {
        let mut blob = self.open_blob(&descriptor.digest)?;
        if blob.size != descriptor.size {
            // Either the file is truncated, and reading it removes it, or the
            // descriptor is wrong, and verification fails.
            if io::copy(&mut blob, &mut io::sink()).is_err() {
                return Err(CasError::Missing(descriptor.digest).into());
            }
            blob = self.open_blob(&descriptor.digest)?;
        }
        Ok(Box::new(blob))
    }

    fn fetch_from(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn Read + Send + '_>> {
        let mut file = File::open(self.open_blob(&descriptor.digest)?.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

impl Push for Cas {
    fn contains(&self, descriptor: &Descriptor) -> io::Result<bool> {
        Ok(Cas::contains(self, &descriptor.digest, descriptor.size)?)
    }

    fn push(&self, descriptor: &Descriptor, content: &mut dyn Read) -> io::Result<()> {
        Ok(self.put(descriptor, content)?)
    }
}

/// A stored blob that is being read.
pub struct Blob<'a> {
    cas: &'a Cas,
    digest: Digest,
    path: PathBuf,
    inode: u64,
    size: u64,
    source: BlobFile,
}

enum BlobFile {
    Known(File),
    Checked(VerifyReader<File>),
}

impl Blob<'_> {
    /// Length of the stored file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.source {
            BlobFile::Known(file) => return file.read(buffer),
            BlobFile::Checked(reader) => reader,
        };
        let result = reader.read(buffer);
        match &result {
            Ok(0) if !buffer.is_empty() => {
                locked(&self.cas.verified).insert(self.digest);
            }
            // Another process may have replaced it: remove only the file that was read.
            Err(error)
                if is_damage(error)
                    && fs::metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) =>
            {
                self.cas.note_damage(self.digest);
                if !self.cas.is_read_only() {
                    let _ = fs::remove_file(&self.path);
                }
            }
            _ => {}
        }
        result
    }
}

#[cfg(test)]
mod tests;
