//! The paths that Git tracks, read from its index without running Git.
//!
//! Source: Git's documentation, "gitformat-index", versions 2 to 4.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::git::checkout;
use crate::disk::{self, look};

/// Largest index that is read, in bytes: 1 GiB, which is some ten million files.
const MAX_INDEX_BYTES: u64 = 1 << 30;

/// Largest configuration of a repository that is read, in bytes: 1 MiB.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Bytes of an entry before its object's name.
const STAT_BYTES: usize = 40;

/// Where the mode is in an entry.
const MODE_AT: usize = 24;

/// The files and links that Git tracks in and below `folder`, relative to it. `None`
/// outside of a checkout, or if its index cannot be read.
#[must_use]
pub fn tracked(folder: &Path) -> Option<Vec<String>> {
    let folder = look::canonicalize(folder).ok()?;
    let found = checkout(&folder)?;
    let path = found.git.join("index");
    let config =
        disk::read_text(&found.common.join("config"), MAX_CONFIG_BYTES).unwrap_or_default();
    let object = if config.to_ascii_lowercase().contains("sha256") {
        32
    } else {
        20
    };
    let below = folder.strip_prefix(&found.root).ok()?.to_str()?;
    let inside = match below {
        "" => String::new(),
        below => format!("{below}/"),
    };
    let index = disk::read(&path, MAX_INDEX_BYTES).ok()?;
    entries(&index, object, inside.as_bytes())
}

/// Git's index of this checkout cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` cannot be read, so jackal cannot tell which files Git tracks: run `git update-index --no-split-index`, or repair the index"
)]
pub struct UnreadIndex(PathBuf);

/// The files and links that Git tracks in and below `folder`, relative to it: none
/// outside of a checkout, and where nothing was ever added.
///
/// # Errors
///
/// The index exists and cannot be read, for instance because it is split.
pub fn tracked_files(folder: &Path) -> Result<BTreeSet<String>, UnreadIndex> {
    match tracked(folder) {
        Some(found) => Ok(found.into_iter().collect()),
        None => {
            let full = look::canonicalize(folder).ok();
            let index = full.and_then(|full| Some(checkout(&full)?.git.join("index")));
            match index.filter(|index| look::symlink_metadata(index).is_ok()) {
                Some(index) => Err(UnreadIndex(index)),
                None => Ok(BTreeSet::new()),
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(found.try_into().ok()?))
}

/// The paths in an index whose objects have names of `object` bytes: those that begin with
/// `inside`, without that. Names that are not UTF-8 are left out.
fn entries(index: &[u8], object: usize, inside: &[u8]) -> Option<Vec<String>> {
    let version = number(index, 4)?;
    if !index.starts_with(b"DIRC") || !(2..=4).contains(&version) {
        return None;
    }
    let (mut paths, mut last, mut at) = (Vec::new(), Vec::new(), 12);
    for _ in 0..number(index, 8)? {
        let mode = number(index, at + MODE_AT)?;
        let flags = at + STAT_BYTES + object;
        let extended = *index.get(flags)? & 0x40 != 0;
        let mut name = flags + if extended { 4 } else { 2 };
        if version == 4 {
            let (cut, length) = varint(index.get(name..)?)?;
            name += length;
            last.truncate(last.len().checked_sub(cut)?);
        } else {
            last.clear();
        }
        let length = memchr::memchr(0, index.get(name..)?)?;
        last.extend_from_slice(&index[name..name + length]);
        let end = name + length;
        at = match version {
            4 => end + 1,
            // One to eight zeros make the entry's length a multiple of eight.
            _ => at + (end - at) / 8 * 8 + 8,
        };
        // Neither a folder of a sparse index nor another repository is a file.
        let file = matches!(mode & 0o170_000, 0o100_000 | 0o120_000);
        if let (true, Some(path)) = (file, last.strip_prefix(inside))
            && let Ok(path) = std::str::from_utf8(path)
        {
            paths.push(path.to_owned());
        }
    }
    // The entries of a split index are in another file.
    let mut extension = at;
    while let Some(size) = number(index, extension + 4) {
        if index.get(extension..extension + 4)? == b"link" {
            return None;
        }
        extension = extension.checked_add(8)?.checked_add(size as usize)?;
    }
    Some(paths)
}

/// A number in the encoding of version 4, and the number of its bytes.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = usize::from(bytes.first()? & 0x7f);
    let mut length = 1;
    while bytes[length - 1] & 0x80 != 0 {
        let next = usize::from(bytes.get(length)? & 0x7f);
        value = value.checked_add(1)?.checked_mul(128)?.checked_add(next)?;
        length += 1;
    }
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use std::process::Command;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(folder).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = command.env("PATH", path).env("HOME", folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn every_version_of_the_index_gives_the_tracked_paths() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/deep")).unwrap();
        for path in ["a/deep/one", "a/deep/other", "a/e", "top", "a/ignored.log"] {
            fs::write(root.join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("top", root.join("link")).unwrap();
        fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        git(root, &["init", "-q"]);
        git(root, &["add", "-A"]);
        assert!(!tracked(root).unwrap().contains(&"a/ignored.log".to_owned()));
        git(root, &["add", "-f", "a/ignored.log", "."]);
        git(root, &["add", "-N", "."]);
        for version in ["2", "3", "4"] {
            git(root, &["update-index", "--index-version", version]);
            let expected = [
                ".gitignore",
                "a/deep/one",
                "a/deep/other",
                "a/e",
                "a/ignored.log",
                "link",
                "top",
            ];
            assert_eq!(tracked(root).unwrap(), expected, "version {version}");
            let below = ["deep/one", "deep/other", "e", "ignored.log"];
            assert_eq!(tracked(&root.join("a")).unwrap(), below);
        }
        let index = fs::read(root.join(".git/index")).unwrap();
        for end in 0..index.len() {
            let _ = entries(&index[..end], 20, b"");
        }
        assert_eq!(entries(b"DIRC\0\0\0\x05\0\0\0\0", 20, b""), None);
    }

    #[test]
    fn a_folder_without_git_has_no_tracked_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tracked(dir.path()), None);
        assert_eq!(tracked_files(dir.path()).unwrap(), BTreeSet::new());
    }
}
