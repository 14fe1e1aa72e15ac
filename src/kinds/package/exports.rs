//! Records of written archives, to detect whether they still exist unchanged.
//!
//! For each archive, the cache stores the stats of its files and the package it
//! contains, so that a build with nothing to do reads and writes no archive.

use std::fs;
use std::path::{Path, PathBuf};

use crate::action::Output;
use crate::cas::Cas;
use crate::disk::{self, look};
use crate::ground::{Stays, Withdrawal};
use crate::workspace::{Stat, UnreadIndex};

/// What an archive is besides its content.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    /// The maximum size of its files in bytes.
    pub(crate) split: Option<u64>,
    /// The mode of its files, less the user's umask.
    pub(crate) mode: u32,
}

/// Records about archives, in the cache.
pub(crate) struct Exports<'c> {
    cas: &'c Cas,
}

impl<'c> Exports<'c> {
    pub(crate) fn of(cas: &'c Cas) -> Self {
        Self { cas }
    }

    fn note(&self, archive: &Path) -> PathBuf {
        let name = blake3::hash(archive.as_os_str().as_encoded_bytes()).to_hex();
        self.cas.root().join("exports").join(name.as_str())
    }

    /// The files of `archive`, if they are unchanged since they were written from
    /// exactly `outputs`.
    pub(crate) fn current(
        &self,
        archive: &Path,
        outputs: &[Output],
        form: Form,
    ) -> Option<Vec<PathBuf>> {
        let text = fs::read_to_string(self.note(archive)).ok()?;
        let mut lines = text.lines();
        if lines.next()? != identity(outputs, form) {
            return None;
        }
        let files: Option<Vec<PathBuf>> = lines.map(unchanged).collect();
        files.filter(|files| !files.is_empty())
    }

    /// The files that were written for `archive`, whatever from, and are unchanged.
    pub(crate) fn written(&self, archive: &Path) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.note(archive)).unwrap_or_default();
        text.lines().skip(1).filter_map(unchanged).collect()
    }

    /// Records that `files` were written from `outputs`. Losing the record costs only a
    /// rewrite of the archive, so I/O errors are ignored.
    pub(crate) fn keep(&self, archive: &Path, outputs: &[Output], form: Form, files: &[PathBuf]) {
        if self.cas.is_read_only() {
            return;
        }
        let mut text = identity(outputs, form);
        text.push('\n');
        for file in files {
            let (Some(stamp), Some(name)) = (stamp(file), file.to_str()) else {
                return;
            };
            text.push_str(&format!("{stamp} {name}\n"));
        }
        drop(disk::write_hint(&self.note(archive), text.as_bytes()));
    }

    /// Removes the files that were written for `archive` and are unchanged, unless Git
    /// tracks them.
    pub(crate) fn withdraw(
        &self,
        archive: &Path,
        withdrawal: &mut Withdrawal,
    ) -> Result<(), UnreadIndex> {
        let note = self.note(archive);
        let text = fs::read_to_string(&note).unwrap_or_default();
        let folder = archive.parent().unwrap_or(Path::new("/"));
        let left = withdrawal.left();
        for line in text.lines().skip(1) {
            let Some((_, file)) = line.split_once(' ') else {
                continue;
            };
            let file = Path::new(file);
            let name = file.file_name().and_then(|name| name.to_str());
            let (Some(name), true) = (name, file.parent() == Some(folder)) else {
                continue;
            };
            let stays = match unchanged(line) {
                Some(_) if !withdrawal.tracked(folder)?.contains(name) => None,
                Some(_) => Some(Stays::Tracked),
                None => Some(Stays::Changed),
            };
            match stays {
                None => withdrawal.file(file),
                Some(why) if look::symlink_metadata(file).is_ok() => withdrawal.leave(file, why),
                Some(_) => {}
            }
        }
        if withdrawal.left() == left {
            withdrawal.forget(&note);
        }
        Ok(())
    }
}

/// The file in a line of a record, if it is unchanged.
fn unchanged(line: &str) -> Option<PathBuf> {
    let (stat, path) = line.split_once(' ')?;
    let path = PathBuf::from(path);
    (stat == stamp(&path)?).then_some(path)
}

fn identity(outputs: &[Output], form: Form) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&form.split.unwrap_or(0).to_le_bytes());
    hasher.update(&form.mode.to_le_bytes());
    for output in outputs {
        hasher.update(output.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(output.digest.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

pub(super) fn stamp(path: &Path) -> Option<String> {
    let stat = Stat::of(&look::symlink_metadata(path).ok()?);
    let Stat {
        size,
        mtime,
        ctime,
        inode,
        device,
        mode,
    } = stat;
    Some(format!("{size}:{mtime}:{ctime}:{inode}:{device}:{mode}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn a_touched_archive_and_another_package_are_not_current() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cache")).unwrap();
        let archive = dir.path().join("a.tar.zst");
        fs::write(&archive, "one").unwrap();
        let output = |bytes: &[u8]| Output {
            name: "jackal.yaml".into(),
            digest: Digest::of(bytes),
            size: 1,
        };
        let (first, second) = ([output(b"1")], [output(b"2")]);
        let exports = Exports::of(&cas);
        let files = vec![archive.clone()];
        let (form, split, mode) = (
            Form::default(),
            Form {
                split: Some(1),
                ..Form::default()
            },
            Form {
                mode: 0o600,
                ..Form::default()
            },
        );
        assert_eq!(exports.current(&archive, &first, form), None);
        exports.keep(&archive, &first, form, &files);
        assert_eq!(exports.current(&archive, &first, form), Some(files.clone()));
        assert_eq!(exports.current(&archive, &second, form), None);
        assert_eq!(exports.current(&archive, &first, split), None);
        assert_eq!(exports.current(&archive, &first, mode), None);
        assert_eq!(exports.written(&archive), files);
        fs::write(&archive, "two!").unwrap();
        assert_eq!(exports.current(&archive, &first, form), None);
        assert!(exports.written(&archive).is_empty());
    }
}
