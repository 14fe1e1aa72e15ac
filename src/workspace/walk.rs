//! A parallel walk of a root with one stat call per entry.
//!
//! Yields relative paths in byte order, including empty folders, without files that
//! `.gitignore` excludes. It never follows a link and never opens a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::{WalkBuilder, WalkState};
use serde::{Deserialize, Serialize};

use super::git::checkout;

use crate::disk::{self, TEMPORARY_PREFIX, look};

/// File times may lag behind the clock by a kernel tick, at most 10 ms.
const TICK: i64 = 20_000_000;

/// A whole second in nanoseconds: a time without a fraction may come from a file
/// system that keeps no finer ones.
const SECOND: i64 = 1_000_000_000;

/// How far such a time may lag: FAT keeps every other second.
const COARSE_TICK: i64 = 2 * SECOND + TICK;

/// Why a root could not be walked or a pattern is invalid.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// An entry could not be read.
    #[error("cannot list files")]
    Walk(#[from] ignore::Error),
    /// A link could not be read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// A path that is not UTF-8, which keys cannot represent on every machine.
    #[error("path {0:?} is not UTF-8: rename it, or add it to .gitignore")]
    NotUtf8(PathBuf),
    /// An entry is not a file, folder or link.
    #[error("{0:?} is a socket, pipe or device; expected a file, folder or link")]
    Special(PathBuf),
    /// A link that may not be followed.
    #[error("{link:?} is a link to {target:?}, which is outside {bound:?}: replace it with a copy")]
    LeadsOut {
        link: PathBuf,
        /// Its target, as stored.
        target: PathBuf,
        /// The folder that it must not leave.
        bound: PathBuf,
    },
    /// A link to what a task makes, which may not be there, or not be as it will be.
    #[error(
        "{link:?} leads to {real:?}, which a task makes or where it writes: name what the task \
         makes instead of the link"
    )]
    Made {
        link: PathBuf,
        /// Without links.
        real: PathBuf,
    },
    /// A link to nothing.
    #[error("{link:?} is a link to {target:?}, which does not exist: correct or remove the link")]
    Dangling {
        link: PathBuf,
        /// Its target, as stored.
        target: PathBuf,
    },
    /// A link to a folder that contains it.
    #[error("{0:?} leads to a folder that contains it: remove the link")]
    LinkCycle(PathBuf),
    /// A pattern that leads outside the root, or is empty.
    #[error("pattern `{0}` leads out of its folder; expected a relative path without `..`")]
    Escapes(String),
    /// A pattern that is not a valid glob.
    #[error("invalid glob pattern")]
    Glob(#[from] globset::Error),
}

disk::from_disk_error!(WalkError);

/// Metadata that changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
    pub inode: u64,
    pub device: u64,
    /// Type and permission bits.
    pub mode: u32,
}

impl Stat {
    /// Converts the result of a stat call.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        let nanos = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            size: metadata.len(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
            mode: metadata.mode(),
        }
    }
}

impl Stat {
    /// Length of [`bytes`](Self::bytes).
    pub(crate) const BYTES: usize = 44;

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.mode.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.size.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.mtime.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.ctime.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.inode.to_le_bytes());
        bytes[36..].copy_from_slice(&self.device.to_le_bytes());
        bytes
    }

    /// The mode in what [`bytes`](Self::bytes) returned.
    pub(crate) fn mode_in(bytes: &[u8; Self::BYTES]) -> u32 {
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Inode and device in what [`bytes`](Self::bytes) returned.
    pub(crate) fn identity_in(bytes: &[u8; Self::BYTES]) -> &[u8] {
        &bytes[28..]
    }

    /// Whether it changed so long before `at`, in nanoseconds since the epoch, that a
    /// change since then would be seen. What is kept with it must have been read after `at`.
    #[must_use]
    pub fn is_settled(&self, at: i64) -> bool {
        let times = [self.mtime, self.ctime];
        let tick = match times.iter().any(|time| time % SECOND == 0) {
            true => COARSE_TICK,
            false => TICK,
        };
        self.mtime.max(self.ctime) < at.saturating_sub(tick)
    }
}

impl From<&rustix::fs::Stat> for Stat {
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the fields differ between machines"
    )]
    fn from(stat: &rustix::fs::Stat) -> Self {
        let nanos = |s: i64, ns: i64| s.saturating_mul(SECOND).saturating_add(ns);
        Self {
            size: stat.st_size.cast_unsigned(),
            mtime: nanos(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: nanos(stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: stat.st_ino,
            device: stat.st_dev,
            mode: stat.st_mode,
        }
    }
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
    Directory,
    /// A symbolic link, not followed.
    Link {
        /// The target, as written.
        target: String,
    },
}

/// One entry below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root, with `/` between names.
    pub path: String,
    pub kind: Kind,
    /// From the single stat call.
    pub stat: Stat,
}

/// What a walk found, sorted by path, and what cannot be an input.
pub type Walked = (Vec<Entry>, Vec<(PathBuf, WalkError)>);

/// Walks `root`; the root itself and `.git` are left out. Each thing that cannot be
/// an input comes as its error, with its path.
pub fn walk(root: &Path) -> Walked {
    // They may count, from the nearest up to the root of the file system.
    for above in root.ancestors().skip(1) {
        let _ = look::symlink_metadata(&above.join(".gitignore"));
    }
    let (sender, receiver) = mpsc::channel();
    WalkBuilder::new(root)
        .standard_filters(false)
        .git_ignore(true)
        // Above a checkout no file counts, and without one it cannot be known where
        // the sources end.
        .parents(checkout(root).is_some())
        .require_git(false)
        .filter_entry(|entry| {
            let name = entry.file_name();
            // What the program itself is writing is soon gone, or has another name.
            name != ".git"
                && !name
                    .as_encoded_bytes()
                    .starts_with(TEMPORARY_PREFIX.as_bytes())
        })
        .build_parallel()
        .run(|| {
            let sender = sender.clone();
            Box::new(move |found| {
                let found = match found {
                    Ok(found) => {
                        let path = found.path().to_owned();
                        match entry(root, &found) {
                            Err(WalkError::Walk(error)) if is_gone(&error) => Ok(None),
                            found => found.map_err(|error| (path, error)),
                        }
                    }
                    Err(error) if is_gone(&error) => Ok(None),
                    Err(error) => {
                        let path = path_in(&error).unwrap_or(root).to_owned();
                        Err((path, error.into()))
                    }
                };
                match sender.send(found) {
                    Ok(()) => WalkState::Continue,
                    Err(_) => WalkState::Quit,
                }
            })
        });
    drop(sender);
    let (mut entries, mut odd) = (Vec::new(), Vec::new());
    for found in receiver {
        match found {
            Ok(entry) => entries.extend(entry),
            Err(error) => odd.push(error),
        }
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    look::note_listed(std::iter::once(root));
    // One that ignores itself counts, and is not among the entries.
    let folders = entries.iter().filter(|entry| entry.kind == Kind::Directory);
    let folders = folders.map(|entry| entry.path.as_str());
    for folder in std::iter::once("").chain(folders) {
        let _ = look::symlink_metadata(&root.join(folder).join(".gitignore"));
    }
    look::note_listed(entries.iter().map(|entry| root.join(&entry.path)));
    look::note_all(odd.iter().map(|(path, _)| path), true);
    (entries, odd)
}

/// Every path below `root`, ignored or not: for messages about what was left out.
#[must_use]
pub fn walk_all(root: &Path) -> Vec<String> {
    let all = WalkBuilder::new(root)
        .standard_filters(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let below = |entry: ignore::DirEntry| {
        let path = entry.path().strip_prefix(root).ok()?.to_str()?;
        (!path.is_empty()).then(|| path.to_owned())
    };
    all.flatten().filter_map(below).collect()
}

/// How many folders a pattern climbs at its start, and what comes after that.
#[must_use]
pub fn climbed(pattern: &str) -> (usize, &str) {
    let (mut up, mut rest) = (0, pattern.trim_start_matches("./"));
    while let Some(after) = rest.strip_prefix("../") {
        up += 1;
        rest = after.trim_start_matches("./");
    }
    (up, rest)
}

/// The same, whether the pattern excludes or not.
#[must_use]
pub fn taken_apart(pattern: &str) -> (usize, &str) {
    climbed(pattern.strip_prefix('!').unwrap_or(pattern))
}

/// What comes before the first wildcard of a pattern.
#[must_use]
pub fn fixed_part(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', '{']);
    end.map_or(pattern, |end| &pattern[..end])
}

/// Whether something was there a moment ago, and is not any more.
fn is_gone(error: &ignore::Error) -> bool {
    let io = error.io_error().map(io::Error::kind);
    io == Some(io::ErrorKind::NotFound)
}

/// What could not be read.
fn path_in(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            path_in(err)
        }
        _ => None,
    }
}

fn entry(root: &Path, found: &ignore::DirEntry) -> Result<Option<Entry>, WalkError> {
    let full = found.path();
    if found.depth() == 0 {
        return Ok(None);
    }
    entry_at(root, full, &found.metadata()?).map(Some)
}

/// The entry of what is at `full`, below `root`.
pub(super) fn entry_at(
    root: &Path,
    full: &Path,
    metadata: &fs::Metadata,
) -> Result<Entry, WalkError> {
    let path = full.strip_prefix(root).unwrap_or(full);
    let path = path
        .to_str()
        .ok_or_else(|| WalkError::NotUtf8(full.to_owned()))?;
    Entry::of(path, full, metadata)
}

impl Entry {
    /// The entry at `full`, which is called `path`.
    pub(super) fn of(path: &str, full: &Path, metadata: &fs::Metadata) -> Result<Self, WalkError> {
        let file_type = metadata.file_type();
        let kind = if file_type.is_file() {
            let executable = metadata.mode() & 0o100 != 0;
            Kind::File { executable }
        } else if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_symlink() {
            let target = look::read_link(full).map_err(disk::at(full))?;
            let target = target.to_str().map(str::to_owned);
            let target = target.ok_or_else(|| WalkError::NotUtf8(full.to_owned()))?;
            Kind::Link { target }
        } else {
            return Err(WalkError::Special(full.to_owned()));
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
            stat: Stat::of(metadata),
        })
    }
}

/// Patterns relative to the root; those that begin with `!` exclude.
#[derive(Debug)]
pub struct Globs {
    include: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    /// Compiles `patterns`; a pattern without wildcards or with a trailing `/` also
    /// matches everything below it.
    ///
    /// # Errors
    ///
    /// [`WalkError::Escapes`] and [`WalkError::Glob`].
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, WalkError> {
        let (mut include, mut exclude) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for written in patterns {
            let written = written.as_ref();
            let (set, pattern) = match written.strip_prefix('!') {
                Some(rest) => (&mut exclude, rest),
                None => (&mut include, written),
            };
            let bare = pattern.trim_end_matches('/').trim_start_matches("./");
            let escapes = pattern.starts_with('/') || bare.split('/').any(|part| part == "..");
            if escapes || bare.is_empty() {
                return Err(WalkError::Escapes(written.to_owned()));
            }
            let glob = |text: &str| GlobBuilder::new(text).literal_separator(true).build();
            set.add(glob(bare)?);
            if pattern.ends_with('/') || !bare.contains(['*', '?', '[', '{']) {
                set.add(glob(&format!("{bare}/**"))?);
            }
        }
        Ok(Self {
            include: include.build()?,
            exclude: exclude.build()?,
        })
    }

    /// Whether `path` is included and not excluded.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.include.is_match(path) && !self.excludes(path)
    }

    /// Whether a pattern that begins with `!` names `path`.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        self.exclude.is_match(path)
    }
}

/// Patterns relative to a folder, which may climb out of it.
#[derive(Debug)]
pub struct Climbing {
    /// By the folder that they climb to.
    levels: Vec<(PathBuf, Globs)>,
    beginnings: Vec<String>,
}

impl Climbing {
    /// Compiles `patterns`, which are relative to `folder`.
    ///
    /// # Errors
    ///
    /// [`WalkError::Escapes`] and [`WalkError::Glob`].
    pub fn new<S: AsRef<str>>(folder: &Path, patterns: &[S]) -> Result<Self, WalkError> {
        let mut by_climb: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut beginnings = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let (sign, bare) = match pattern.strip_prefix('!') {
                Some(bare) => ("!", bare),
                None => ("", pattern),
            };
            let (up, rest) = climbed(bare);
            let level = by_climb.entry(up).or_default();
            level.push(format!("{sign}{rest}"));
            if let (Some(level), "") = (folder.ancestors().nth(up), sign) {
                let level = level.to_string_lossy();
                beginnings.push(format!(
                    "{}/{}",
                    level.trim_end_matches('/'),
                    fixed_part(rest)
                ));
            }
        }
        let mut levels = Vec::new();
        for (up, globs) in by_climb {
            if let Some(level) = folder.ancestors().nth(up) {
                levels.push((level.to_owned(), Globs::new(&globs)?));
            }
        }
        Ok(Self { levels, beginnings })
    }

    /// What full paths begin with that a pattern may match, one for each pattern.
    pub fn beginnings(&self) -> impl Iterator<Item = &str> {
        self.beginnings.iter().map(String::as_str)
    }

    /// Whether a pattern includes `full`, and none excludes it.
    #[must_use]
    pub fn matches(&self, full: &Path) -> bool {
        let below = |level: &Path| full.strip_prefix(level).ok().and_then(Path::to_str);
        let mut named =
            (self.levels.iter()).filter_map(|(level, globs)| Some((below(level)?, globs)));
        !named.clone().any(|(path, globs)| globs.excludes(path))
            && named.any(|(path, globs)| globs.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_sorted_keeps_empty_folders_and_does_not_follow_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/empty")).unwrap();
        fs::write(root.join("b.txt"), "b").unwrap();
        fs::write(root.join("c.log"), "c").unwrap();
        fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let (entries, odd) = walk(root);
        assert!(odd.is_empty(), "{odd:?}");
        let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "a", "a/empty", "b.txt", "link"]);
        let target = "/etc".to_owned();
        assert_eq!(entries[4].kind, Kind::Link { target });
    }

    #[test]
    fn patterns_exclude_and_never_leave_the_root() {
        let globs = Globs::new(&["web/**", "!web/**/*.test.ts", "dist/"]).unwrap();
        assert!(globs.matches("web/a/b.ts") && globs.matches("dist/x/y"));
        assert!(!globs.matches("web/a/b.test.ts") && !globs.matches("other"));
        for pattern in ["../x", "/etc", "a/../../b", ""] {
            assert!(Globs::new(&[pattern]).is_err());
        }
    }
}
