//! Results of finished work, by key.
//!
//! Built on the blob store: a result is opaque bytes here, and is recorded only after
//! the blobs it needs are stored. It counts completely or not at all, and a damaged one is
//! a miss. This module knows nothing about the meaning of keys.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{self, at, look};
use crate::oci::Digest;

use super::ledger::MAX_VALUE;
use super::store::{Cas, CasError, RESULTS, sync_dir};

/// Magic number of result files; changes with their layout.
const MAGIC: &[u8; 8] = b"jkres\0\x01\n";

/// Results list outputs and do not contain them, so a larger file is damaged.
const MAX_RESULT: u64 = 64 << 20;

/// Room that most results fit in, so that one read gets them, in bytes.
const USUAL_RESULT: usize = 4 << 10;

/// Identifies work, as a `Digest` identifies bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When a result must be on the disk. One that is lost, or damaged, is a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Before it is used.
    Now,
    /// When the system writes it, some seconds later: what it names costs less to make
    /// again than to wait for. A small one has no file of its own.
    Later,
}

/// How a result got its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    Linked,
    Renamed,
    /// There is one already.
    Known,
}

impl Cas {
    /// The result under `key`; a missing, damaged or foreign one is `None`.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be read.
    pub fn result(&self, key: &Key) -> Result<Option<Vec<u8>>, CasError> {
        let path = self.result_path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.cheap_result(key),
            Err(error) => return Err(at(&path)(error).into()),
        };
        look::note(&path, true);
        let mut bytes = Vec::with_capacity(USUAL_RESULT);
        let limit = MAX_RESULT + HEADER as u64;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(at(&path))?;
        if bytes.len() < HEADER || bytes.len() as u64 > limit {
            return Ok(None);
        }
        let value = bytes.split_off(HEADER);
        Ok((bytes == header(key, &value)).then_some(value))
    }

    /// Whether there is a result under `key`, which may turn out to be damaged.
    #[must_use]
    pub fn has_result(&self, key: &Key) -> bool {
        self.cheap.has(&key.0) || self.result_path(key).exists()
    }

    /// The result under `key`, if it is one that may be lost.
    fn cheap_result(&self, key: &Key) -> Result<Option<Vec<u8>>, CasError> {
        let path = self.cheap.path(&key.0);
        let found = self.cheap.last(&key.0).map_err(at(&path))?;
        if found.is_some() {
            look::note(&path, true);
        }
        Ok(found)
    }

    /// Records `value` under `key`, unless a valid result exists.
    ///
    /// `needs` are the blobs that the result refers to. Returns whether it was written.
    ///
    /// # Errors
    ///
    /// [`CasError::Missing`] for a blob in `needs` that is not stored,
    /// [`CasError::TooLarge`], or the file cannot be written.
    pub fn put_result(
        &self,
        key: &Key,
        value: &[u8],
        needs: &[(Digest, u64)],
        flush: Flush,
    ) -> Result<bool, CasError> {
        self.write_result(key, value, needs, flush, false)
    }

    /// Records `value` under `key`, replacing an existing result (`--force`).
    ///
    /// # Errors
    ///
    /// As [`put_result`](Self::put_result).
    pub fn replace_result(
        &self,
        key: &Key,
        value: &[u8],
        needs: &[(Digest, u64)],
        flush: Flush,
    ) -> Result<(), CasError> {
        self.write_result(key, value, needs, flush, true)
            .map(|_| ())
    }

    fn write_result(
        &self,
        key: &Key,
        value: &[u8],
        needs: &[(Digest, u64)],
        flush: Flush,
        replace: bool,
    ) -> Result<bool, CasError> {
        if value.len() as u64 > MAX_RESULT {
            return Err(CasError::TooLarge(value.len() as u64, MAX_RESULT));
        }
        for (digest, size) in needs {
            if !self.contains(digest, *size)? {
                return Err(CasError::Missing(*digest));
            }
        }
        if !replace && self.result(key)?.is_some() {
            return Ok(false);
        }
        let target = self.result_path(key);
        if flush == Flush::Later && value.len() <= MAX_VALUE && !target.exists() {
            self.writable()?;
            let path = self.cheap.path(&key.0);
            self.cheap.append(&key.0, value).map_err(at(&path))?;
            return Ok(true);
        }
        let mut bytes = header(key, value);
        bytes.extend_from_slice(value);
        let temp = self.temp_path()?;
        let written = disk::create_private(&temp).and_then(|mut file| {
            file.write_all(&bytes)?;
            match flush {
                Flush::Now => file.sync_all(),
                Flush::Later => Ok(()),
            }
        });
        let written = written.map_err(|error| CasError::from(at(&temp)(error)));
        let placed = written.and_then(|()| self.place_result(key, &temp, &target, replace));
        if !matches!(placed, Ok(Placed::Renamed)) {
            let _ = fs::remove_file(&temp);
        }
        let placed = placed?;
        if flush == Flush::Now {
            let results = self.results();
            sync_dir(target.parent().unwrap_or(&results))?;
            sync_dir(&results)?;
        }
        Ok(placed != Placed::Known)
    }

    /// Gives the unfinished file `temp` its name.
    fn place_result(
        &self,
        key: &Key,
        temp: &Path,
        target: &Path,
        replace: bool,
    ) -> Result<Placed, CasError> {
        let results = self.results();
        let dir = target.parent().unwrap_or(&results);
        // Most times, the folder is there.
        let in_folder = |place: &dyn Fn() -> io::Result<()>| match place() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir)?;
                place()
            }
            done => done,
        };
        if !replace {
            // A link never replaces a file: of two writers, the first one wins.
            match in_folder(&|| fs::hard_link(temp, target)) {
                Ok(()) => return Ok(Placed::Linked),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if self.result(key)?.is_some() {
                        return Ok(Placed::Known);
                    }
                }
                // The file system has no hard links: use a rename.
                Err(_) => {}
            }
        }
        in_folder(&|| fs::rename(temp, target)).map_err(at(target))?;
        Ok(Placed::Renamed)
    }

    fn results(&self) -> PathBuf {
        self.root().join(RESULTS)
    }

    fn result_path(&self, key: &Key) -> PathBuf {
        let hex = key.to_string();
        self.results().join(&hex[..2]).join(&hex)
    }
}

const HEADER: usize = MAGIC.len() + 32;

/// Covers the key as well, so that a result under the wrong name is detected.
fn header(key: &Key, value: &[u8]) -> Vec<u8> {
    let sum = blake3::Hasher::new()
        .update(&key.0)
        .update(value)
        .finalize();
    [&MAGIC[..], sum.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    #[test]
    fn a_result_is_written_once_and_force_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        assert_eq!(cas.result(&KEY).unwrap(), None);
        assert!(cas.put_result(&KEY, b"one", &[], Flush::Now).unwrap());
        assert!(!cas.put_result(&KEY, b"two", &[], Flush::Later).unwrap());
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"one");
        cas.replace_result(&KEY, b"two", &[], Flush::Later).unwrap();
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"two");
    }

    #[test]
    fn a_result_that_may_be_lost_has_no_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        assert!(cas.put_result(&KEY, b"one", &[], Flush::Later).unwrap());
        assert!(!cas.put_result(&KEY, b"two", &[], Flush::Later).unwrap());
        let others =
            (1..50).map(|number| Key([[7; 31].as_slice(), &[number]].concat().try_into().unwrap()));
        for key in others {
            cas.put_result(&key, b"other", &[], Flush::Later).unwrap();
        }
        let files = fs::read_dir(cas.results()).unwrap();
        assert_eq!(files.count(), 1);
        let cas = Cas::open(dir.path()).unwrap();
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"one");
        // One that has a file counts from then on.
        cas.replace_result(&KEY, b"two", &[], Flush::Now).unwrap();
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"two");
        cas.replace_result(&KEY, b"three", &[], Flush::Later)
            .unwrap();
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"three");
    }

    #[test]
    fn a_result_without_its_blobs_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let needs = [(Digest::of(b"abc"), 3)];
        assert!(matches!(
            cas.put_result(&KEY, b"one", &needs, Flush::Later),
            Err(CasError::Missing(_))
        ));
        let mut ingest = cas.ingest().unwrap();
        ingest.write_all(b"abc").unwrap();
        ingest.commit().unwrap();
        assert!(cas.put_result(&KEY, b"one", &needs, Flush::Later).unwrap());
    }

    #[test]
    fn a_damaged_result_is_a_miss_and_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        cas.put_result(&KEY, b"one", &[], Flush::Now).unwrap();
        let path = cas.result_path(&KEY);
        let sound = fs::read(&path).unwrap();
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert_eq!(cas.result(&KEY).unwrap(), None);
        }
        assert!(cas.put_result(&KEY, b"one", &[], Flush::Now).unwrap());
        assert_eq!(cas.result(&KEY).unwrap().unwrap(), b"one");
    }
}
