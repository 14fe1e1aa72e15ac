//! The folders that jackal created, and whether they have been changed since.
//!
//! A folder made by an extraction carries a digest of its content: names, kinds, sizes,
//! inodes and change times, which no program can set. It is an extended attribute, so
//! that the folder holds nothing but the package, and moves with the folder. Where
//! there are no extended attributes, no folder counts as jackal's.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

/// The attribute. Its value: a version, the digest in hex, and the time at which it
/// was recorded, in seconds and nanoseconds.
const ATTRIBUTE: &str = "user.jackal.made";

/// Version of the digest.
const VERSION: &str = "1";

/// What is known about a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// jackal made it, and nothing in it has changed since.
    Ours,
    /// jackal made it, and something in it has changed: this file or folder, if it
    /// still exists.
    Changed(Option<PathBuf>),
    /// jackal did not make it, or does not know.
    Foreign,
}

/// Records that jackal made the folder at `path` and everything in it.
///
/// # Errors
///
/// It cannot be read, or the file system has no attributes.
pub fn note_made(path: &Path) -> io::Result<()> {
    let found = look(path, None)?;
    let (seconds, nanoseconds) = found.latest;
    let value = format!("{VERSION} {} {seconds} {nanoseconds}", found.digest);
    let folder = File::open(path)?;
    rustix::fs::fsetxattr(&folder, ATTRIBUTE, value.as_bytes(), XattrFlags::empty())?;
    Ok(())
}

/// Whether jackal made the entry at `path`.
///
/// # Errors
///
/// Something in it cannot be read.
pub fn made(path: &Path) -> io::Result<Made> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(Made::Foreign);
    }
    let mut value = Vec::with_capacity(256);
    let noted = rustix::fs::lgetxattr(path, ATTRIBUTE, rustix::buffer::spare_capacity(&mut value));
    let text = String::from_utf8_lossy(&value);
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_default();
    if noted.is_err() || word() != VERSION {
        return Ok(Made::Foreign);
    }
    let digest = word();
    let time = (word().parse(), word().parse());
    let (Ok(seconds), Ok(nanoseconds)) = time else {
        return Ok(Made::Foreign);
    };
    let found = look(path, Some((seconds, nanoseconds)))?;
    Ok(match found.digest == digest {
        true => Made::Ours,
        false => Made::Changed(found.later),
    })
}

/// The content of a folder.
struct Look {
    digest: String,
    /// The last change of anything in it.
    latest: (i64, i64),
    /// Something that changed after a given time.
    later: Option<PathBuf>,
}

fn look(top: &Path, since: Option<(i64, i64)>) -> io::Result<Look> {
    let mut hasher = blake3::Hasher::new();
    let mut open = vec![top.to_owned()];
    let (mut latest, mut later) = ((0, 0), None);
    while let Some(folder) = open.pop() {
        let mut entries = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, facts) = (entry.path(), entry.metadata()?);
            let below = path.strip_prefix(top).unwrap_or(&path).as_os_str();
            hasher.update(&(below.len() as u64).to_le_bytes());
            hasher.update(below.as_bytes());
            hasher.update(&facts.mode().to_le_bytes());
            // Moving a folder, or a name in it, changes its times, so only its names
            // count.
            if facts.is_dir() {
                open.push(path);
                continue;
            }
            let changed = (facts.ctime(), facts.ctime_nsec());
            for number in [facts.ino(), facts.size()] {
                hasher.update(&number.to_le_bytes());
            }
            hasher.update(&changed.0.to_le_bytes());
            hasher.update(&changed.1.to_le_bytes());
            latest = latest.max(changed);
            if since.is_some_and(|since| changed > since) {
                later.get_or_insert(path);
            }
        }
    }
    Ok(Look {
        digest: hasher.finalize().to_hex().to_string(),
        latest,
        later,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_ours_until_something_in_it_changes() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("made");
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/f"), "1").unwrap();
        assert_eq!(made(&path).unwrap(), Made::Foreign);
        if note_made(&path).is_err() {
            return; // A file system without attributes.
        }
        let moved = around.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(made(&moved).unwrap(), Made::Ours);
        type Change<'c> = &'c dyn Fn(&Path) -> io::Result<()>;
        let changes: [Change<'_>; 5] = [
            &|top| fs::write(top.join("mine"), "x"),
            &|top| fs::write(top.join("a/f"), "2"),
            &|top| fs::remove_dir(top.join("a/b")),
            &|top| fs::create_dir(top.join("a/c")),
            &|top| std::os::unix::fs::symlink("a", top.join("l")),
        ];
        for (number, change) in changes.iter().enumerate() {
            note_made(&moved).unwrap();
            assert_eq!(made(&moved).unwrap(), Made::Ours);
            change(&moved).unwrap();
            let found = made(&moved).unwrap();
            assert!(matches!(found, Made::Changed(_)), "{number}: {found:?}");
        }
        std::os::unix::fs::symlink(&moved, around.path().join("link")).unwrap();
        note_made(&moved).unwrap();
        assert_eq!(made(&around.path().join("link")).unwrap(), Made::Foreign);
    }
}
