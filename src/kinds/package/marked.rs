//! The marks of archives that were written on this machine, for `package publish`: an
//! archive itself says nothing of how it was made, so that equal content is equal bytes.
//!
//! Notes in the cache. One counts only while its archive is as it was written.

use std::fs;
use std::path::{Path, PathBuf};

use super::exports::stamp;
use crate::cas::Cas;
use crate::disk::{self, look};
use crate::ground::marks::{Mark, Marks};

/// The folder of all notes.
fn notes(cas: &Cas) -> PathBuf {
    cas.root().join("marked")
}

/// The note of an archive and what the archive is now, whatever links lead to it.
fn note_of(cas: &Cas, archive: &Path) -> Option<(PathBuf, String)> {
    let full = look::canonicalize(archive).ok()?;
    let name = blake3::hash(full.as_os_str().as_encoded_bytes()).to_hex();
    let note = notes(cas).join(name.as_str());
    Some((note, stamp(&full)?))
}

/// Notes the marks of `files`, which were delivered. Writes nothing if they are noted.
pub(crate) fn note(cas: &Cas, files: &[String], marks: Marks) {
    // Most archives have no marks, and most caches no notes.
    if marks.is_empty() && !notes(cas).exists() {
        return;
    }
    for file in files.iter().map(Path::new) {
        let Some((note, stamp)) = note_of(cas, file) else {
            continue;
        };
        let names: Vec<&str> = marks.all().map(Mark::name).collect();
        let text = format!("{stamp} {}", names.join(","));
        let known = fs::read_to_string(&note).ok();
        match (known, marks.is_empty()) {
            (None, true) => {}
            (Some(known), false) if known == text => {}
            // A note that stays although it is wrong makes publishing fail, no more.
            (Some(_), true) => drop(fs::remove_file(&note)),
            _ => drop(disk::write_hint(&note, text.as_bytes())),
        }
    }
}

/// The marks of the archive at `path`, as far as this machine knows.
pub(crate) fn marks_of(cas: &Cas, path: &Path) -> Vec<Mark> {
    let read = || {
        let (note, stamp) = note_of(cas, path)?;
        let text = fs::read_to_string(note).ok()?;
        let (known, names) = text.split_once(' ')?;
        let is_same = known == stamp;
        is_same.then(|| names.split(',').filter_map(Mark::named).collect())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_while_its_archive_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cache")).unwrap();
        let archive = dir.path().join("a.tar.zst");
        fs::write(&archive, "one").unwrap();
        let files = [archive.to_string_lossy().into_owned()];
        assert_eq!(marks_of(&cas, &archive), []);
        let marks = Marks::with(Mark::Unpinned, true);
        note(&cas, &files, marks);
        assert_eq!(marks_of(&cas, &archive), [Mark::Unpinned]);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&archive, &link).unwrap();
        assert_eq!(marks_of(&cas, &link), [Mark::Unpinned]);
        note(&cas, &files, Marks::default());
        assert_eq!(marks_of(&cas, &archive), []);
        note(&cas, &files, marks);
        fs::write(&archive, "another").unwrap();
        assert_eq!(marks_of(&cas, &archive), []);
    }
}
