//! `checksums.txt`: the list of all files in a package with their digests.
//!
//! The definition has the digest of this list, so that a signature of the
//! definition covers all files. Never reads the files themselves.

use std::collections::BTreeMap;

use crate::archive::MAX_PATH_BYTES;
use crate::oci::{Digest, DigestError};

/// Maximum number of files in a package: a quarter of a million. Their paths are held
/// in memory, several times.
pub const MAX_FILES: usize = 250_000;

/// The digests of the files of a package, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    files: BTreeMap<String, Digest>,
}

/// Why a text is not a list of checksums, or a path cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumsError {
    /// The file is not text.
    #[error("the checksums are not UTF-8 text")]
    NotText,
    /// A line does not have two fields.
    #[error("line {line} of the checksums: expected a hash, one space and a path without spaces")]
    Fields {
        /// From 1.
        line: usize,
    },
    /// The first field of a line is not a SHA-256 hash in hex.
    #[error("line {line} of the checksums has an invalid hash")]
    Hash {
        /// From 1.
        line: usize,
        source: DigestError,
    },
    /// A path leads out of the package or cannot be written to a list.
    #[error(
        "invalid path `{0}`: expected a relative path with `/` and without spaces, `.` or `..`"
    )]
    Path(String),
    /// More than [`MAX_FILES`].
    #[error("the checksums list more than {MAX_FILES} files")]
    TooMany,
    /// A path is listed more than once.
    #[error("`{0}` is listed more than once")]
    Twice(String),
}

impl Checksums {
    /// Adds a file.
    ///
    /// # Errors
    ///
    /// [`ChecksumsError::Path`] and [`ChecksumsError::Twice`].
    pub fn insert(&mut self, path: &str, digest: Digest) -> Result<(), ChecksumsError> {
        let shown = || path.chars().take(200).collect::<String>();
        if !is_plain(path) {
            return Err(ChecksumsError::Path(shown()));
        }
        if self.files.contains_key(path) {
            return Err(ChecksumsError::Twice(shown()));
        }
        if self.files.len() >= MAX_FILES {
            return Err(ChecksumsError::TooMany);
        }
        self.files.insert(path.to_owned(), digest);
        Ok(())
    }

    /// Reads the text of `checksums.txt`. Lines may be in any order, empty, and end
    /// in LF or CRLF.
    ///
    /// # Errors
    ///
    /// The first invalid line.
    pub fn parse(text: &[u8]) -> Result<Self, ChecksumsError> {
        let text = std::str::from_utf8(text).map_err(|_| ChecksumsError::NotText)?;
        let mut checksums = Self::default();
        for (index, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let number = index + 1;
            let (hash, path) = line
                .split_once(' ')
                .filter(|(hash, path)| !hash.is_empty() && !path.is_empty() && !path.contains(' '))
                .ok_or(ChecksumsError::Fields { line: number })?;
            let digest = Digest::from_hex(hash).map_err(|source| ChecksumsError::Hash {
                line: number,
                source,
            })?;
            checksums.insert(path, digest)?;
        }
        Ok(checksums)
    }

    /// The text of `checksums.txt`: lines sorted by hash, then path.
    #[must_use]
    pub fn render(&self) -> String {
        let mut lines: Vec<String> = self
            .files
            .iter()
            .map(|(path, digest)| format!("{} {path}", digest.hex()))
            .collect();
        lines.sort_unstable();
        let mut text = lines.join("\n");
        text.push('\n');
        text
    }

    /// The digest of the rendered list, for `metadata.aggregateChecksum`. To
    /// verify a list that was read, digest the bytes that were read instead.
    #[must_use]
    pub fn aggregate(&self) -> Digest {
        Digest::of(self.render().as_bytes())
    }

    /// The digest of the file at `path`, if it is listed.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Digest> {
        self.files.get(path)
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.files
            .iter()
            .map(|(path, digest)| (path.as_str(), digest))
    }
}

/// Whether a path stays inside the package, including on Windows, fits a file
/// system, and survives a round trip.
fn is_plain(path: &str) -> bool {
    let drive = matches!(path.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
    !drive
        && path.len() <= MAX_PATH_BYTES
        && !path.contains(|c: char| c == ' ' || c == '\\' || c.is_control())
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SBOMS: &str = "9f3f02e684b7fe56949e48843bdf36fa7e0cc8825e0071348d5bb5c98db7cd12";
    const DEMO: &str = "d227e21658bb8e82f7da4090fcf5b9c61cbb3e53c8d9af10c4d9a3758ebf4ffc";

    #[test]
    fn more_files_than_a_package_has_are_refused() {
        let hash = "0".repeat(64);
        let lines: String = (0..=MAX_FILES).map(|n| format!("{hash} f{n}\n")).collect();
        let refused = Checksums::parse(lines.as_bytes());
        assert_eq!(refused, Err(ChecksumsError::TooMany));
    }

    #[test]
    fn lines_are_sorted_by_hash_and_the_aggregate_is_the_known_one() {
        let mut sums = Checksums::default();
        let demo = Digest::from_hex(DEMO).unwrap();
        sums.insert("components/demo.tar", demo).unwrap();
        sums.insert("sboms.tar", Digest::from_hex(SBOMS).unwrap())
            .unwrap();
        let text = format!("{SBOMS} sboms.tar\n{DEMO} components/demo.tar\n");
        assert_eq!(sums.render(), text);
        assert_eq!(
            sums.aggregate().hex(),
            "078881b596b1eade717246d6ef6b541580920f5e0a3c350bd0e8b1b5c3960a19"
        );
        assert_eq!(Checksums::parse(text.as_bytes()).unwrap(), sums);
        assert_eq!(sums.get("components/demo.tar"), Some(&demo));
    }

    #[test]
    fn an_empty_list_is_a_single_line_end() {
        let sums = Checksums::default();
        assert_eq!(sums.render(), "\n");
        assert_eq!(
            sums.aggregate().hex(),
            "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"
        );
        assert_eq!(Checksums::parse(b"\n").unwrap(), sums);
    }

    #[test]
    fn empty_lines_and_carriage_returns_are_skipped() {
        let text = format!("\r\n{SBOMS} b\r\n\n{DEMO} a");
        assert_eq!(Checksums::parse(text.as_bytes()).unwrap().iter().count(), 2);
    }

    #[test]
    fn a_line_of_one_three_or_empty_fields_is_refused_with_its_number() {
        for line in [
            SBOMS.to_owned(),
            format!("{SBOMS}  a"),
            format!("{SBOMS} a b"),
            format!(" {SBOMS} a"),
            format!("{SBOMS} "),
        ] {
            let text = format!("\n{line}\n");
            assert_eq!(
                Checksums::parse(text.as_bytes()),
                Err(ChecksumsError::Fields { line: 2 }),
                "{line:?}"
            );
        }
        assert!(matches!(
            Checksums::parse(b"abc a\n"),
            Err(ChecksumsError::Hash { line: 1, .. })
        ));
        assert_eq!(Checksums::parse(b"\xff"), Err(ChecksumsError::NotText));
    }

    #[test]
    fn paths_that_leave_the_package_and_duplicates_are_refused() {
        let long = "a".repeat(MAX_PATH_BYTES + 1);
        for path in [
            "../a", "/a", "a//b", "a/./b", "a\\b", "a\tb", "a/", "c:/a", &long,
        ] {
            assert!(
                matches!(
                    Checksums::parse(format!("{SBOMS} {path}").as_bytes()),
                    Err(ChecksumsError::Path(_))
                ),
                "{path:?}"
            );
        }
        let twice = format!("{SBOMS} a\n{DEMO} a\n");
        assert_eq!(
            Checksums::parse(twice.as_bytes()),
            Err(ChecksumsError::Twice("a".to_owned()))
        );
    }
}
