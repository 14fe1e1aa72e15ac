//! Entry names that cannot leave the directory they are unpacked into.
//!
//! Used by everything that reads or writes archive entries. It checks only the text,
//! never the disk, so a caller that unpacks must still refuse to write through
//! symlinks.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Longest path or link target, in bytes: Linux's `PATH_MAX`. Longer ones cannot exist
/// on a disk.
pub const MAX_PATH_BYTES: usize = 4096;

/// A relative path of plain names, joined by single slashes.
///
/// Each path has one spelling (`./a//b/` becomes `a/b`), so readers can find duplicate
/// entries by comparing values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(String);

/// Why a string is not a [`SafePath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has no names, as in `` or `./`.
    #[error("path is empty; expected at least one file name")]
    Empty,
    /// It is absolute: it starts with a slash, a backslash or a drive letter.
    #[error("path {0:?} is absolute; expected a relative one")]
    Absolute(String),
    /// It has a `..` between slashes or backslashes.
    #[error("path {0:?} leads out of the archive with `..`")]
    Climbs(String),
    /// It contains a NUL byte, where other programs would end the name.
    #[error("path {0:?} contains a NUL byte")]
    Nul(String),
    /// It is longer than any file system accepts.
    #[error("path has {0} bytes, expected at most {MAX_PATH_BYTES}")]
    TooLong(usize),
}

impl SafePath {
    /// Checks and normalises `text`.
    ///
    /// # Errors
    ///
    /// [`PathError`]: empty, absolute, with `..`, too long, or with a NUL byte.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong(text.len()));
        }
        let shown = || text.chars().take(100).collect::<String>();
        if text.contains('\0') {
            return Err(PathError::Nul(shown()));
        }
        let drive = matches!(text.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
        if drive || text.starts_with(['/', '\\']) {
            return Err(PathError::Absolute(shown()));
        }
        if text.split(['/', '\\']).any(|name| name == "..") {
            return Err(PathError::Climbs(shown()));
        }
        let mut path = String::with_capacity(text.len());
        for name in text.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if path.is_empty() {
                // `./\x` must not become absolute by losing its dot.
                if name.starts_with('\\') {
                    return Err(PathError::Absolute(shown()));
                }
            } else {
                path.push('/');
            }
            path.push_str(name);
        }
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        Ok(Self(path))
    }

    /// The path, with `/` between names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same path for use below a directory: `directory.join(path.as_path())`.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for SafePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for SafePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

/// Whether a link at `path` with this `target` stays below the folder that `path` is
/// relative to, even if it leads through other such links.
///
/// `..` is taken only at the target's start: there it climbs real folders, while
/// after a name it would climb from wherever a link of that name leads.
#[must_use]
pub fn stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut room = path.matches('/').count();
    let mut named = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if named || room == 0 => return false,
            ".." => room -= 1,
            _ => named = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_equal() {
        for text in ["a/b", "./a/b", "././a//b/", "a/./b/."] {
            assert_eq!(SafePath::parse(text).unwrap().as_str(), "a/b", "{text}");
        }
        let path: SafePath = "..a/b..".parse().unwrap();
        assert_eq!(path.as_str(), "..a/b..");
    }

    #[test]
    fn names_that_could_leave_the_root_are_refused() {
        for text in ["/a", "//a", "\\a", "C:\\a", "c:/a", "./\\a"] {
            assert!(
                matches!(SafePath::parse(text), Err(PathError::Absolute(_))),
                "{text}"
            );
        }
        for text in ["..", "a/..", "./../a", "a\\..\\b", "..\\a", "a/../b"] {
            assert!(
                matches!(SafePath::parse(text), Err(PathError::Climbs(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn empty_long_and_nul_names_are_refused() {
        for text in ["", ".", "./", "././/"] {
            assert_eq!(SafePath::parse(text), Err(PathError::Empty), "{text}");
        }
        assert!(matches!(SafePath::parse("a\0b"), Err(PathError::Nul(_))));
        assert_eq!(
            SafePath::parse(&"a".repeat(4097)),
            Err(PathError::TooLong(4097))
        );
    }
}
