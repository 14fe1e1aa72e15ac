//! Small values by key, many in one file.
//!
//! A file for each would cost the file system more than a task that does nothing. There
//! are 64 files, by the first bits of the key: few enough that thousands of records create
//! hardly any, and enough that one is read quickly. A record is appended with one write, and
//! the last one of a key counts. Each has a checksum over key and value: one that is
//! torn or damaged was never written. For what can be lost: see adr/0084, "Cheap tasks
//! create no files".

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::disk;

/// Begins each record.
const MAGIC: &[u8; 4] = b"jkl\x01";

/// Bytes of a checksum: it finds damage, not malice.
const SUM: usize = 16;

/// Where the length of the value is, after magic number and key; the checksum follows.
const LENGTH_AT: usize = MAGIC.len() + 32;

/// Bytes before the value.
const HEADER: usize = LENGTH_AT + 4 + SUM;

/// Maximum length of a value, in bytes: one write takes it, and a longer one is worth a
/// file of its own.
pub(crate) const MAX_VALUE: usize = 64 << 10;

/// The key of a record.
pub(crate) type LedgerKey = [u8; 32];

/// Values by key, in the files of a folder.
pub(crate) struct Ledger {
    folder: PathBuf,
    /// Bytes of one file, after which old records are dropped.
    limit: u64,
    /// How many records of a key are kept then.
    kept: usize,
    books: Mutex<HashMap<u8, Book>>,
}

/// Where the records of one file are, as far as it was read.
#[derive(Default)]
struct Book {
    /// The file that was read.
    file: Option<Identity>,
    read: u64,
    /// Offset and length of each record, by key, the oldest first.
    places: HashMap<LedgerKey, Vec<(u64, usize)>>,
}

/// Which file has the records of `key`.
fn book_of(key: &LedgerKey) -> u8 {
    key[0] >> 2
}

/// Device, inode and time of birth: an inode may be used again.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(facts: &Metadata) -> Identity {
    (facts.dev(), facts.ino(), facts.created().ok())
}

impl Ledger {
    pub(super) fn new(folder: PathBuf, limit: u64, kept: usize) -> Self {
        Self {
            folder,
            limit,
            kept,
            books: Mutex::default(),
        }
    }

    /// The file that has the records of `key`.
    pub(super) fn path(&self, key: &LedgerKey) -> PathBuf {
        self.folder.join(format!("{:02x}.log", book_of(key)))
    }

    /// The last value of `key`; `None`: there is none.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be read.
    pub(crate) fn last(&self, key: &LedgerKey) -> io::Result<Option<Vec<u8>>> {
        let values = self.values(key, 1)?;
        Ok(values.into_iter().next_back())
    }

    /// All values of `key` that are still there, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`last`](Self::last).
    pub(crate) fn all(&self, key: &LedgerKey) -> io::Result<Vec<Vec<u8>>> {
        self.values(key, usize::MAX)
    }

    /// Whether there is a value of `key`.
    pub(crate) fn has(&self, key: &LedgerKey) -> bool {
        let path = self.path(key);
        let facts = fs::metadata(&path);
        let Some(facts) = facts.ok().filter(|facts| facts.len() <= self.most()) else {
            return false;
        };
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books.entry(book_of(key)).or_default();
        let is_read = book.file == Some(identity(&facts)) && book.read == facts.len();
        let read = is_read || File::open(&path).is_ok_and(|file| book.read(&file).is_ok());
        read && book.places.contains_key(key)
    }

    /// The last values of `key`, at most `most`.
    fn values(&self, key: &LedgerKey, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let path = self.path(key);
        let facts = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            facts => facts?,
        };
        if facts.len() > self.most() {
            return Ok(Vec::new());
        }
        // A book is whole between statements, so a poisoned lock is harmless.
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books.entry(book_of(key)).or_default();
        let is_read = book.file == Some(identity(&facts)) && book.read == facts.len();
        if is_read && !book.places.contains_key(key) {
            return Ok(Vec::new());
        }
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        book.read(&file)?;
        let places = book.places.get(key).map_or(&[][..], Vec::as_slice);
        let places = places.iter().rev();
        let values = places.filter_map(|(at, length)| {
            let mut record = vec![0; *length];
            file.read_exact_at(&mut record, *at).ok()?;
            value(&record, key).map(<[u8]>::to_vec)
        });
        // What is damaged does not count.
        let mut values: Vec<_> = values.take(most).collect();
        values.reverse();
        Ok(values)
    }

    /// Adds a value of `key`.
    ///
    /// # Errors
    ///
    /// It is too long, or the disk refused.
    pub(crate) fn append(&self, key: &LedgerKey, value: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let record = record(key, value)?;
        let mut file = match disk::append(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                disk::append(&path)?
            }
            file => file?,
        };
        file.write_all(&record)?;
        if file.metadata()?.len() > self.limit {
            // The value is written; another time will do for the old ones.
            let _ = self.shorten(&path, &file);
        }
        Ok(())
    }

    /// The largest file that is read, in bytes: writers shorten it long before.
    fn most(&self) -> u64 {
        self.limit.saturating_mul(4)
    }

    /// Drops old records of the file at `path`. What is appended meanwhile may be lost.
    fn shorten(&self, path: &Path, file: &File) -> io::Result<()> {
        // Another process that does the same is enough.
        if file.try_lock().is_err() {
            return Ok(());
        }
        let file = File::open(path)?;
        let mut book = Book::default();
        if file.metadata()?.len() <= self.most() {
            book.read(&file)?;
        }
        let kept = book.places.values().flat_map(|places| {
            let first = places.len().saturating_sub(self.kept);
            places[first..].iter().copied()
        });
        let mut kept: Vec<(u64, usize)> = kept.collect();
        kept.sort_unstable();
        let mut left = self.limit / 2;
        let newest = kept.iter().rev().take_while(|(_, length)| {
            let fits = left >= *length as u64;
            left = left.saturating_sub(*length as u64);
            fits
        });
        let first = kept.len() - newest.count();
        let mut text = Vec::new();
        for (at, length) in &kept[first..] {
            let start = text.len();
            text.resize(start + length, 0);
            file.read_exact_at(&mut text[start..], *at)?;
        }
        disk::write_hint(path, &text).map_err(io::Error::other)
    }
}

impl Book {
    /// Reads what was added to `file`, or all of it if it is another one.
    fn read(&mut self, file: &File) -> io::Result<()> {
        let facts = file.metadata()?;
        let own = Some(identity(&facts));
        if self.file != own || facts.len() < self.read {
            *self = Self {
                file: own,
                ..Self::default()
            };
        }
        if facts.len() == self.read {
            return Ok(());
        }
        let mut text = Vec::new();
        let mut from = file;
        from.seek(SeekFrom::Start(self.read))?;
        (&mut from)
            .take(facts.len() - self.read)
            .read_to_end(&mut text)?;
        let mut rest = text.as_slice();
        loop {
            let passed = match next(rest) {
                Next::Record(key, length) => {
                    let place = (self.read, length);
                    self.places.entry(key).or_default().push(place);
                    length
                }
                Next::Damage(length) => length,
                // Another process may be about to write the rest of it.
                Next::End => return Ok(()),
            };
            self.read += passed as u64;
            rest = &rest[passed..];
        }
    }
}

/// What a part of a file begins with.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A record of a key, and its length.
    Record(LedgerKey, usize),
    /// So many bytes that belong to no record.
    Damage(usize),
    /// At most the beginning of a record.
    End,
}

fn next(text: &[u8]) -> Next {
    let begins = text.len().min(MAGIC.len());
    if text[..begins] == MAGIC[..begins] {
        let Some(length) = length(text) else {
            return Next::End;
        };
        if let Some(record) = text.get(..length) {
            let key = key_of(record);
            if value(record, &key).is_some() {
                return Next::Record(key, length);
            }
        } else if length <= HEADER + MAX_VALUE && following(text).is_none() {
            return Next::End;
        }
    }
    // It was torn, and others follow where it should go on.
    Next::Damage(following(text).unwrap_or(text.len().max(1)))
}

/// Where another record may begin, behind the beginning of `text`.
fn following(text: &[u8]) -> Option<usize> {
    let found = memchr::memmem::find(text.get(1..)?, MAGIC);
    found.map(|at| at + 1)
}

/// The length of the record that `text` begins with, if its header is there.
fn length(text: &[u8]) -> Option<usize> {
    let bytes = text.get(..HEADER)?.get(LENGTH_AT..LENGTH_AT + 4)?;
    let value = u32::from_le_bytes(bytes.try_into().ok()?);
    usize::try_from(value).ok()?.checked_add(HEADER)
}

/// The key of a record whose header is whole.
fn key_of(record: &[u8]) -> LedgerKey {
    let mut key = [0; 32];
    key.copy_from_slice(&record[MAGIC.len()..LENGTH_AT]);
    key
}

/// The value of a whole record, if it is sound and that of `key`.
fn value<'r>(record: &'r [u8], key: &LedgerKey) -> Option<&'r [u8]> {
    let (header, value) = record.split_at_checked(HEADER)?;
    let sum = &header[LENGTH_AT + 4..];
    (key_of(header) == *key && sum == checksum(key, value)).then_some(value)
}

fn record(key: &LedgerKey, value: &[u8]) -> io::Result<Vec<u8>> {
    if value.len() > MAX_VALUE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let length = u32::try_from(value.len()).map_err(io::Error::other)?;
    let sum = checksum(key, value);
    Ok([MAGIC, &key[..], &length.to_le_bytes(), &sum, value].concat())
}

fn checksum(key: &LedgerKey, value: &[u8]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(value);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LedgerKey = [7; 32];

    fn ledger(folder: &Path) -> Ledger {
        Ledger::new(folder.to_owned(), 1 << 20, 2)
    }

    #[test]
    fn the_last_value_of_a_key_counts_for_every_process() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (ledger(dir.path()), ledger(dir.path()));
        assert_eq!(one.last(&KEY).unwrap(), None);
        assert!(!one.has(&KEY));
        for value in ["a", "b"] {
            other.append(&KEY, value.as_bytes()).unwrap();
            assert!(one.has(&KEY));
            // Of the same file.
            other
                .append(&[7, 1].repeat(16).try_into().unwrap(), b"x")
                .unwrap();
            assert_eq!(one.last(&KEY).unwrap().unwrap(), value.as_bytes());
        }
        assert_eq!(one.all(&KEY).unwrap(), [b"a", b"b"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(one.path(&KEY)).unwrap();
        assert_eq!(one.last(&KEY).unwrap(), None);
        other.append(&KEY, b"c").unwrap();
        assert_eq!(one.all(&KEY).unwrap(), [b"c"]);
    }

    #[test]
    fn a_record_that_was_torn_anywhere_is_no_record_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let whole = record(&KEY, b"torn").unwrap();
        let first = record(&KEY, b"first").unwrap();
        let path = ledger(dir.path()).path(&KEY);
        for length in 0..whole.len() {
            fs::write(&path, [&first[..], &whole[..length]].concat()).unwrap();
            let own = ledger(dir.path());
            assert_eq!(own.all(&KEY).unwrap(), [b"first"], "{length}");
            for _ in 0..3 {
                own.append(&KEY, b"next").unwrap();
            }
            // One that read the torn one before, and one that did not.
            for reader in [own, ledger(dir.path())] {
                let expected = [&b"first"[..], b"next", b"next", b"next"];
                assert_eq!(reader.all(&KEY).unwrap(), expected, "{length}");
            }
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, [&first[..], &damaged, &first].concat()).unwrap();
            let found = ledger(dir.path()).all(&KEY).unwrap();
            assert_eq!(found, [b"first", b"first"], "{at}");
        }
    }

    #[test]
    fn a_long_file_loses_its_oldest_records() {
        let dir = tempfile::tempdir().unwrap();
        let own = Ledger::new(dir.path().to_owned(), 4096, 2);
        let key = |number: u8| [[7; 31].as_slice(), &[number]].concat().try_into().unwrap();
        for number in 0..100 {
            own.append(&key(number % 10), &[number; 100]).unwrap();
            assert_eq!(own.last(&key(number % 10)).unwrap().unwrap(), [number; 100]);
            assert!(fs::metadata(own.path(&KEY)).unwrap().len() <= 4096);
        }
        for number in 90..100 {
            assert_eq!(own.last(&key(number % 10)).unwrap().unwrap(), [number; 100]);
        }
    }
}
