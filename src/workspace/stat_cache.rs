//! Caches digests of files, so that unchanged files need not be read again.
//!
//! One sorted file, in which entries are looked up as it is, and a small one with what was
//! added since. Each entry has a checksum, and a damaged one counts as unknown. An entry is valid only if its file had not changed recently when it
//! was hashed: a younger file may have changed again within the same tick of the clock,
//! and is read again.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
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
const MAGIC: &[u8; 8] = b"jkstat\x03\n";

/// Maximum length of a path, in bytes: 64 KiB, far more than Linux's `PATH_MAX`.
const MAX_PATH: u64 = 64 << 10;

/// Bytes of a checksum: it finds damage, not malice.
const SUM: usize = 8;

/// Where the places of entries are in the file, after magic number and count.
const PLACES_AT: usize = MAGIC.len() + 8;

/// Number of entries from which on others are added in a file of their own, and how many
/// that has at most: then writing it costs little compared with what was read.
const LARGE: usize = 4096;
const MAX_ADDED: usize = 1024;

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
    stored: Stored,
    /// What is not stored, or differs.
    added: BTreeMap<String, Known>,
    forgotten: HashSet<String>,
    changed: bool,
}

impl StatCache {
    /// Loads `file`; a missing, damaged or foreign file counts as empty.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        Self {
            stored: Stored::read(file),
            added: Stored::read(&added_beside(file)).all(),
            file: file.to_owned(),
            forgotten: HashSet::new(),
            changed: false,
        }
    }

    fn known(&self, path: &str) -> Option<Known> {
        let added = self.added.get(path).copied();
        added.or_else(|| match self.forgotten.contains(path) {
            true => None,
            false => self.stored.get(path),
        })
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
        let sound = |path: &str, stat: &Stat| {
            let entry = self.known(path)?;
            let complete = !sha256 || entry.digest.sha256.is_some();
            (complete && entry.stat == *stat && entry.settled()).then_some(entry)
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
                self.added.insert(files[at].0.to_owned(), entry);
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
        if self.known(path).is_some() {
            self.added.remove(path);
            self.forgotten.insert(path.to_owned());
            self.changed = true;
        }
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
        let beside = added_beside(&self.file);
        let few = self.added.len() <= MAX_ADDED && self.forgotten.is_empty();
        if few && self.stored.count() >= LARGE {
            disk::write_hint(&beside, &encode(self.added.iter().map(entry)))?;
        } else {
            let bytes = encode(self.merged());
            disk::write_hint(&self.file, &bytes)?;
            let _ = fs::remove_file(&beside);
            self.stored = Stored::of(bytes);
            self.added.clear();
            self.forgotten.clear();
        }
        self.changed = false;
        Ok(())
    }

    /// All entries, sorted by path.
    fn merged(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        let mut stored = (0..self.stored.count())
            .filter_map(|at| Some((self.stored.path(at)?, self.stored.sound(at)?)))
            .filter(|(path, _)| !self.added.contains_key(*path) && !self.forgotten.contains(*path))
            .map(|(path, bytes)| (path, bytes.to_vec()))
            .peekable();
        let mut added = self.added.iter().map(entry).peekable();
        std::iter::from_fn(move || {
            let first = match (stored.peek(), added.peek()) {
                (Some((one, _)), Some((other, _))) => one < other,
                (one, _) => one.is_some(),
            };
            match first {
                true => stored.next(),
                false => added.next(),
            }
        })
    }
}

/// The file with what was added to `file`.
fn added_beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".added");
    name.into()
}

fn hash(path: &Path, sha256: bool) -> io::Result<Known> {
    for _ in 0..ATTEMPTS {
        let hashed = SystemTime::now().duration_since(UNIX_EPOCH);
        let hashed = hashed.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        let mut file = fs::File::open(path)?;
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

/// The entries of a file, sorted by path, as they are in it.
#[derive(Default)]
struct Stored(Vec<u8>);

impl Stored {
    fn read(file: &Path) -> Self {
        Self::of(fs::read(file).unwrap_or_default())
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self(match bytes.starts_with(MAGIC) {
            true => bytes,
            false => Vec::new(),
        })
    }

    fn count(&self) -> usize {
        let count = self.number(MAGIC.len()).unwrap_or_default();
        // A wrong one must not be believed.
        count.min(self.0.len() / 8)
    }

    fn number(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    }

    /// The bytes of the entry at a place, and what follows.
    fn from(&self, at: usize) -> Option<&[u8]> {
        let start = self.number(at.checked_mul(8)?.checked_add(PLACES_AT)?)?;
        self.0.get(start..)
    }

    fn path(&self, at: usize) -> Option<&str> {
        let path = Reader::new(self.from(at)?).slice(MAX_PATH, "a path").ok()?;
        std::str::from_utf8(path).ok()
    }

    /// The bytes of the entry at a place, if its checksum is right.
    fn sound(&self, at: usize) -> Option<&[u8]> {
        let bytes = self.from(at)?;
        let mut reader = Reader::new(bytes);
        decode(&mut reader).ok()?;
        let end = usize::try_from(reader.at()).ok()?;
        let sum: [u8; SUM] = reader.array("a checksum").ok()?;
        (checksum(&bytes[..end]) == sum).then(|| &bytes[..end + SUM])
    }

    fn entry(&self, at: usize) -> Option<(&str, Known)> {
        decode(&mut Reader::new(self.sound(at)?)).ok()
    }

    fn get(&self, path: &str) -> Option<Known> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.path(middle)?.cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let (own, known) = self.entry(middle)?;
                    return (own == path).then_some(known);
                }
            }
        }
        None
    }

    /// All entries that are sound.
    fn all(&self) -> BTreeMap<String, Known> {
        let all = (0..self.count()).filter_map(|at| self.entry(at));
        all.map(|(path, known)| (path.to_owned(), known)).collect()
    }
}

fn checksum(entry: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&blake3::hash(entry).as_bytes()[..SUM]);
    sum
}

/// The bytes of an entry, with its checksum.
fn entry<'e>((path, known): (&'e String, &Known)) -> (&'e str, Vec<u8>) {
    let Known {
        stat,
        hashed,
        digest,
    } = known;
    let Stat {
        size,
        mtime,
        ctime,
        inode,
        device,
        mode,
    } = *stat;
    let mut writer = Writer::default();
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
    let mut bytes = writer.into_bytes();
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    (path, bytes)
}

/// The file of entries that are sorted by path.
fn encode<'e>(entries: impl Iterator<Item = (&'e str, Vec<u8>)>) -> Vec<u8> {
    let (mut places, mut body) = (Vec::new(), Vec::new());
    for (_, entry) in entries {
        places.push(body.len());
        body.extend_from_slice(&entry);
    }
    let start = PLACES_AT + 8 * places.len();
    let mut writer = Writer::new(MAGIC);
    writer.u64(places.len() as u64);
    for place in places {
        writer.u64((start + place) as u64);
    }
    writer.array(&body);
    writer.into_bytes()
}

fn decode<'e>(reader: &mut Reader<&'e [u8]>) -> Result<(&'e str, Known), CodecError> {
    let at = reader.at();
    let path = std::str::from_utf8(reader.slice(MAX_PATH, "a path")?);
    let path = path.map_err(|_| CodecError::malformed(at, "a path"))?;
    let size = reader.u64("a size")?;
    let inode = reader.u64("an inode")?;
    let device = reader.u64("a device")?;
    let mtime = reader.i64("a time")?;
    let ctime = reader.i64("a time")?;
    let hashed = reader.i64("a time")?;
    let mode = reader.u32("a mode")?;
    let blake3 = reader.array("a BLAKE3 digest")?;
    let sha256 = match reader.flag()? {
        true => Some(reader.digest()?),
        false => None,
    };
    let known = Known {
        stat: Stat {
            size,
            mtime,
            ctime,
            inode,
            device,
            mode,
        },
        hashed,
        digest: FileDigest { blake3, sha256 },
    };
    Ok((path, known))
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
        assert!(cache.added.is_empty(), "too young to be believed");
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
        let known = StatCache::load(&file).known("f").unwrap().digest;
        for index in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[index] ^= 1;
            for damaged in [&bytes[..], &sound[..index]] {
                fs::write(&file, damaged).unwrap();
                let found = StatCache::load(&file).known("f");
                assert!(found.is_none_or(|found| found.digest == known), "{index}");
            }
        }
        // A place that leads nowhere, and one that leads to itself.
        for place in [u64::MAX, 0, sound.len() as u64] {
            let mut bytes = sound.clone();
            bytes[PLACES_AT..PLACES_AT + 8].copy_from_slice(&place.to_le_bytes());
            fs::write(&file, bytes).unwrap();
            assert!(StatCache::load(&file).known("f").is_none());
        }
    }

    #[test]
    fn entries_that_are_added_to_many_are_written_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cache");
        let known = |size: u64| Known {
            stat: Stat {
                size,
                ..stat(dir.path())
            },
            hashed: 0,
            digest: FileDigest {
                blake3: [0; 32],
                sha256: None,
            },
        };
        let mut cache = StatCache::load(&file);
        let add = |cache: &mut StatCache, path: String, size| {
            cache.added.insert(path, known(size));
            cache.changed = true;
        };
        for at in 0..LARGE {
            add(&mut cache, format!("f{at:05}"), 1);
        }
        cache.save().unwrap();
        let size = |path: &str| {
            let found = StatCache::load(&file).known(path);
            found.map(|known| known.stat.size)
        };
        let whole = fs::read(&file).unwrap();
        for (path, of) in [("f00007", 2), ("f", 3), ("z", 4)] {
            add(&mut cache, path.to_owned(), of);
            cache.save().unwrap();
            assert_eq!(fs::read(&file).unwrap(), whole);
            assert_eq!((size(path), size("f00008")), (Some(of), Some(1)));
        }
        // What is forgotten is so for all, and everything is in one file again.
        let mut cache = StatCache::load(&file);
        cache.forget("f00008");
        cache.forget("z");
        cache.save().unwrap();
        assert!(!added_beside(&file).exists());
        let sizes = ["f00007", "f00008", "f", "z", "f00009"].map(size);
        assert_eq!(sizes, [Some(2), None, Some(3), None, Some(1)]);
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
