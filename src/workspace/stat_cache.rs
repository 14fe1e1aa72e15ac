//! Caches digests of files, so that unchanged files need not be read again.
//!
//! One checksummed file, loaded once and saved only if it changed; a damaged file
//! counts as empty. An entry is valid only if its file had not changed recently when it
//! was hashed: a younger file may have changed again within the same tick of the clock,
//! and is read again.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use crate::codec::{CodecError, Reader, Writer};
use crate::disk;
use crate::oci::{Digest, Hasher};

use super::walk::Stat;

/// Magic number of the file; changes with its layout.
const MAGIC: &[u8; 8] = b"jkstat\x02\n";

/// Maximum length of a path, in bytes: 64 KiB, far more than Linux's `PATH_MAX`.
const MAX_PATH: u64 = 64 << 10;

/// Maximum number of attempts to read a file that changes meanwhile.
const ATTEMPTS: usize = 3;

/// The digests of one file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigest {
    pub blake3: [u8; 32],
    /// Digest for blobs; computed on demand.
    pub sha256: Option<Digest>,
}

#[derive(Clone, Copy)]
struct Known {
    stat: Stat,
    /// The time before the file was read.
    hashed: i64,
    digest: FileDigest,
}

impl Known {
    fn settled(&self) -> bool {
        self.stat.is_settled(self.hashed)
    }
}

/// Digests by path, each with the stat data it belongs to.
pub struct StatCache {
    file: PathBuf,
    known: HashMap<String, Known>,
    changed: bool,
}

impl StatCache {
    /// Loads `file`; a missing, damaged or foreign file counts as empty.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        let known = fs::read(file).ok().and_then(|bytes| decode(&bytes).ok());
        Self {
            file: file.to_owned(),
            known: known.unwrap_or_default(),
            changed: false,
        }
    }

    /// Digests the regular files `paths` (relative to `root`) in parallel, in
    /// their order; reads only those whose stat data have changed.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or keeps changing while it is read.
    pub fn digest(
        &mut self,
        root: &Path,
        files: &[(&str, Stat)],
        sha256: bool,
    ) -> io::Result<Vec<FileDigest>> {
        let known = &self.known;
        let sound = |path: &str, stat: &Stat| {
            let entry = known.get(path)?;
            let complete = !sha256 || entry.digest.sha256.is_some();
            (complete && entry.stat == *stat && entry.settled()).then_some(*entry)
        };
        // A lookup is cheaper than waking another thread; reading is not.
        let mut found: Vec<Option<Known>> =
            files.iter().map(|(path, stat)| sound(path, stat)).collect();
        let missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
        let read: Vec<(usize, Known)> = missing
            .par_iter()
            .map(|at| {
                let full = root.join(files[*at].0);
                let named = |error: io::Error| {
                    let text = format!("cannot read `{}`: {error}", full.display());
                    io::Error::new(error.kind(), text)
                };
                Ok((*at, hash(&full, sha256).map_err(named)?))
            })
            .collect::<io::Result<_>>()?;
        for (at, entry) in read {
            found[at] = Some(entry);
            // A recently changed entry is never valid: storing it would only make every
            // run write.
            if entry.settled() {
                self.known.insert(files[at].0.to_owned(), entry);
                self.changed = true;
            }
        }
        Ok(found
            .into_iter()
            .flatten()
            .map(|entry| entry.digest)
            .collect())
    }

    /// Forgets the file at `path`, so that it is read again.
    pub fn forget(&mut self, path: &str) {
        self.changed |= self.known.remove(path).is_some();
    }

    /// Writes the cache atomically if it has changed since it was loaded.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        disk::write_hint(&self.file, &encode(&self.known))?;
        self.changed = false;
        Ok(())
    }
}

fn hash(path: &Path, sha256: bool) -> io::Result<Known> {
    for _ in 0..ATTEMPTS {
        let hashed = SystemTime::now().duration_since(UNIX_EPOCH);
        let hashed = hashed.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        let mut file = disk::look::open(path)?;
        let stat = Stat::of(&file.metadata()?);
        let (mut fast, mut named) = (blake3::Hasher::new(), sha256.then(Hasher::default));
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            fast.update(&buffer[..count]);
            if let Some(hasher) = &mut named {
                hasher.update(&buffer[..count]);
            }
        }
        if Stat::of(&file.metadata()?) == stat {
            let digest = FileDigest {
                blake3: *fast.finalize().as_bytes(),
                sha256: named.map(Hasher::finish),
            };
            return Ok(Known {
                stat,
                hashed,
                digest,
            });
        }
    }
    Err(io::Error::other(format!(
        "`{}` keeps changing while it is read",
        path.display()
    )))
}

fn encode(known: &HashMap<String, Known>) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u64(known.len() as u64);
    for (
        path,
        Known {
            stat,
            hashed,
            digest,
        },
    ) in known
    {
        let Stat {
            size,
            mtime,
            ctime,
            inode,
            device,
            mode,
        } = *stat;
        writer.text(path);
        for number in [size, inode, device] {
            writer.u64(number);
        }
        for time in [mtime, ctime, *hashed] {
            writer.i64(time);
        }
        writer.u32(mode);
        writer.array(&digest.blake3);
        writer.flag(digest.sha256.is_some());
        if let Some(digest) = &digest.sha256 {
            writer.digest(digest);
        }
    }
    let body = writer.into_bytes();
    [&MAGIC[..], blake3::hash(&body).as_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Result<HashMap<String, Known>, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.magic(MAGIC, "the first bytes of a stat cache, `jkstat`")?;
    let sum: [u8; 32] = reader.array("a checksum")?;
    let body = &bytes[MAGIC.len() + sum.len()..];
    if *blake3::hash(body).as_bytes() != sum {
        return Err(CodecError::malformed(
            MAGIC.len() as u64,
            "the checksum of the rest",
        ));
    }
    let known = reader.list(|reader| {
        let path = reader.text(MAX_PATH, "a path")?;
        let size = reader.u64("a size")?;
        let inode = reader.u64("an inode")?;
        let device = reader.u64("a device")?;
        let mtime = reader.i64("a time")?;
        let ctime = reader.i64("a time")?;
        let hashed = reader.i64("a time")?;
        let mode = reader.u32("a mode")?;
        let stat = Stat {
            size,
            mtime,
            ctime,
            inode,
            device,
            mode,
        };
        let blake3 = reader.array("a BLAKE3 digest")?;
        let sha256 = match reader.flag()? {
            true => Some(reader.digest()?),
            false => None,
        };
        let digest = FileDigest { blake3, sha256 };
        Ok((
            path,
            Known {
                stat,
                hashed,
                digest,
            },
        ))
    })?;
    reader.end()?;
    Ok(known.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &Path) -> Stat {
        Stat::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn a_recently_changed_file_is_read_again_and_a_settled_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut cache = StatCache::load(&dir.path().join("cache"));
        fs::write(&path, "one").unwrap();
        let files = [("f", stat(&path))];
        cache.digest(dir.path(), &files, false).unwrap();
        assert!(cache.known.is_empty(), "too young to be believed");
        std::thread::sleep(std::time::Duration::from_millis(60));
        let first = cache.digest(dir.path(), &files, true).unwrap();
        assert_eq!(first[0].sha256, Some(Digest::of(b"one")));
        cache.save().unwrap();
        let mut again = StatCache::load(&dir.path().join("cache"));
        assert_eq!(again.digest(dir.path(), &files, true).unwrap(), first);
        assert!(!again.changed, "nothing was read");
    }

    #[test]
    fn times_of_whole_seconds_settle_after_two() {
        let digest = FileDigest {
            blake3: [0; 32],
            sha256: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let stat = stat(dir.path());
        let settled = |mtime, ctime, hashed| {
            let stat = Stat {
                mtime,
                ctime,
                ..stat
            };
            Known {
                stat,
                hashed,
                digest,
            }
            .settled()
        };
        const SECOND: i64 = 1_000_000_000;
        let at = 1_000 * SECOND;
        assert!(settled(at + 1, at + 1, at + 30_000_000));
        assert!(!settled(at, at + 1, at + 30_000_000));
        assert!(!settled(at + 1, at, at + 2 * SECOND));
        assert!(settled(at, at, at + 3 * SECOND));
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join("f"), dir.path().join("cache"));
        fs::write(&path, "one").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let mut cache = StatCache::load(&file);
        let files = [("f", stat(&path))];
        cache.digest(dir.path(), &files, true).unwrap();
        cache.save().unwrap();
        let sound = fs::read(&file).unwrap();
        assert_eq!(StatCache::load(&file).known.len(), 1);
        for index in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[index] ^= 1;
            assert!(decode(&bytes).is_err());
            assert!(decode(&sound[..index]).is_err());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = StatCache::load(&dir.path().join("cache"));
        let stat = Stat::of(&fs::metadata(dir.path()).unwrap());
        let error = cache
            .digest(dir.path(), &[("absent", stat)], true)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error.to_string().contains("cannot read `") && error.to_string().contains("absent`")
        );
    }
}
