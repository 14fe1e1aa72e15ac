//! The journal of a release: its artifacts and its progress.
//!
//! Each release has one file, named by a digest of its artifacts, so that the
//! same release finds it again. Each step is a line of JSON, synced before the
//! next step starts. A line that a crash cut short is ignored.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, Foreign, OwnerError};
use crate::oci::{Digest, Hasher};
use crate::signers::Seal;

/// Maximum size of a journal, in bytes: 64 MiB, more than the steps of a hundred
/// thousand packages need.
const MAX_JOURNAL_BYTES: u64 = 64 << 20;

const FORMAT: u32 = 1;

/// The artifacts of a release, and the command that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begun {
    /// Version of this encoding.
    pub format: u32,
    /// The packages as the user named them, relative to `here`.
    pub sources: Vec<String>,
    /// The destinations as the user named them.
    pub destinations: Vec<String>,
    /// The working directory of the command.
    pub here: String,
    /// The architecture to take from indexes.
    pub architecture: String,
    /// Overrides the tags of the packages.
    pub tag: Option<String>,
    /// Whether tags that name something else are moved.
    pub move_tag: bool,
    /// Whether files too large for a layer are split.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split_layers: bool,
    /// Formats of SBOMs to attach, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sbom_formats: Vec<String>,
    /// Whether SBOM documents are attested. They are not stored here, and may be files of
    /// the user, so that only the command itself can continue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attested: bool,
    /// The signer, if any; resuming needs the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Where the signatures are stored; `None` in journals of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The artifacts with their places.
    pub items: Vec<Known>,
}

/// Where the signatures of a release are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signed {
    /// Only beside the packages.
    Beside,
    /// In the packages as well.
    Within(Seal),
}

impl Signed {
    /// The signature that is stored in packages.
    #[must_use]
    pub fn seal(self) -> Option<Seal> {
        match self {
            Self::Beside => None,
            Self::Within(seal) => Some(seal),
        }
    }
}

/// One artifact of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Known {
    /// The place where it becomes visible.
    pub place: String,
    /// Its entry in the index there.
    pub architecture: String,
    /// Digest of its manifest.
    pub manifest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The first line; again when other options continue the release.
    Begun(Begun),
    /// The artifact was transferred completely and read back by its digest.
    Staged(Known),
    /// A bundle about it was made, but perhaps not attached.
    Signed(Known, String),
    /// Its tag names it.
    Visible(Known),
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot use the journal `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// Someone else may change the folder.
    #[error(
        "folder of journals {0}: remove write permission for others with `chmod go-w`, or choose a folder of your own with --state-dir"
    )]
    Foreign(Foreign),
    /// It is not a valid journal.
    #[error("journal `{path}` cannot be read: {what}; remove the file to discard the release")]
    Malformed { path: PathBuf, what: String },
    /// Another process is working on the same release.
    #[error("journal `{0}`: another process is working on this release; wait for it to finish")]
    Busy(PathBuf),
    #[error("no unfinished release `{0}`: see `jackal release status`")]
    Unknown(String),
}

disk::from_disk_error!(JournalError);

impl From<OwnerError> for JournalError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Foreign(error) => Self::Foreign(error),
            OwnerError::Io(error) => error.into(),
        }
    }
}

/// The journal of a release, locked by this process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    begun: Begun,
    steps: Vec<Step>,
}

impl Journal {
    /// Creates the journal of a release in `folder`, or continues it.
    ///
    /// # Errors
    ///
    /// [`JournalError`]
    pub fn begin(folder: &Path, begun: Begun) -> Result<Self, JournalError> {
        let path = folder.join(format!("{}.journal", id(&begun.items)));
        disk::private_folder(folder)?;
        let mut file = disk::append(&path).map_err(disk::at(&path))?;
        let steps = locked(&path, &mut file)?;
        if let Some(found) = begun_of(&steps).cloned() {
            // The same artifacts and places: only the options may differ.
            let begun = Begun {
                move_tag: begun.move_tag,
                sbom_formats: begun.sbom_formats,
                attested: begun.attested,
                signer: begun.signer,
                signed: begun.signed,
                ..found.clone()
            };
            let mut journal = Self {
                path,
                file,
                begun: begun.clone(),
                steps,
            };
            if begun != found {
                journal.note(Step::Begun(begun))?;
            }
            return Ok(journal);
        }
        let mut journal = Self {
            path: path.clone(),
            file,
            begun: begun.clone(),
            steps: Vec::new(),
        };
        journal.note(Step::Begun(begun))?;
        // The file name must survive a crash, too.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(disk::at(folder))?;
        Ok(journal)
    }

    /// Opens the journal `id` to continue it.
    ///
    /// # Errors
    ///
    /// [`JournalError`]
    pub fn open(folder: &Path, id: &str) -> Result<Self, JournalError> {
        disk::owner(folder)?;
        let path = folder.join(format!("{id}.journal"));
        let known = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let file = OpenOptions::new().read(true).append(true).open(&path);
        let mut file = match file {
            Ok(file) if known => file,
            _ => return Err(JournalError::Unknown(id.to_owned())),
        };
        let steps = locked(&path, &mut file)?;
        match begun_of(&steps) {
            Some(begun) => Ok(Self {
                begun: begun.clone(),
                path,
                file,
                steps,
            }),
            _ => Err(JournalError::Malformed {
                path,
                what: "it is empty".to_owned(),
            }),
        }
    }

    /// Removes the journal of a release that is complete: a crash came between
    /// its last tag and the removal.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: an I/O error, or another process has it open.
    pub fn forget(folder: &Path, id: &str) -> Result<(), JournalError> {
        match Self::open(folder, id) {
            Ok(journal) => journal.end(),
            Err(JournalError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads the journal `id`, even while another process writes to it; `None`:
    /// it is empty or complete.
    ///
    /// # Errors
    ///
    /// [`JournalError`]
    pub fn peek(folder: &Path, id: &str) -> Result<Option<(Begun, Vec<Step>)>, JournalError> {
        disk::owner(folder)?;
        let path = folder.join(format!("{id}.journal"));
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(disk::at(&path))?,
        };
        let (steps, _) = steps(&path, &mut file)?;
        Ok(begun_of(&steps).cloned().map(|begun| (begun, steps)))
    }

    /// The ids of the unfinished releases in `folder`, sorted.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn unfinished(folder: &Path) -> Result<Vec<String>, JournalError> {
        disk::owner(folder)?;
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(disk::at(folder))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(disk::at(folder))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".journal"));
            ids.extend(id.map(str::to_owned));
        }
        ids.sort();
        Ok(ids)
    }

    /// The artifacts of the release and its options.
    #[must_use]
    pub fn begun(&self) -> &Begun {
        &self.begun
    }

    /// Whether all of `item` is staged.
    #[must_use]
    pub fn is_staged(&self, item: &Known) -> bool {
        self.has(|step| matches!(step, Step::Staged(found) if found == item))
    }

    /// The bundles that were made for the artifact `manifest`, at any place.
    #[must_use]
    pub fn bundles(&self, manifest: &Digest) -> Vec<String> {
        let made = self.steps.iter().filter_map(|step| match step {
            Step::Signed(item, bundle) if item.manifest == *manifest => Some(bundle.clone()),
            _ => None,
        });
        made.collect()
    }

    /// Whether the tag of `item` names it.
    #[must_use]
    pub fn is_visible(&self, item: &Known) -> bool {
        self.has(|step| matches!(step, Step::Visible(found) if found == item))
    }

    fn has(&self, is: impl Fn(&Step) -> bool) -> bool {
        self.steps.iter().any(is)
    }

    /// Appends a step; returns once it would survive a crash.
    ///
    /// # Errors
    ///
    /// The disk refused.
    pub fn note(&mut self, step: Step) -> Result<(), JournalError> {
        self.note_all(vec![step])
    }

    /// The same for several steps.
    ///
    /// # Errors
    ///
    /// As [`note`](Self::note).
    pub fn note_all(&mut self, steps: Vec<Step>) -> Result<(), JournalError> {
        if steps.is_empty() {
            return Ok(());
        }
        let at = disk::at(&self.path);
        let mut lines = Vec::new();
        for step in &steps {
            let line = serde_json::to_vec(step).map_err(|error| at(error.into()))?;
            lines.extend(line);
            lines.push(b'\n');
        }
        self.file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data())
            .map_err(at)?;
        self.steps.extend(steps);
        Ok(())
    }

    /// Completes the release and removes its journal.
    ///
    /// # Errors
    ///
    /// The disk refused.
    pub fn end(self) -> Result<(), JournalError> {
        Ok(fs::remove_file(&self.path).map_err(disk::at(&self.path))?)
    }
}

impl Begun {
    /// A release of these artifacts.
    #[must_use]
    pub fn new(mut items: Vec<Known>) -> Self {
        items.sort();
        Self {
            format: FORMAT,
            sources: Vec::new(),
            destinations: Vec::new(),
            here: String::new(),
            architecture: String::new(),
            tag: None,
            move_tag: false,
            split_layers: false,
            sbom_formats: Vec::new(),
            attested: false,
            signer: None,
            signed: None,
            items,
        }
    }

    /// The id of the release.
    #[must_use]
    pub fn id(&self) -> String {
        id(&self.items)
    }
}

/// The same artifacts at the same places are the same release.
fn id(items: &[Known]) -> String {
    let mut hasher = Hasher::default();
    for item in items {
        let line = format!("{}\n{}\n{}\n", item.place, item.architecture, item.manifest);
        hasher.update(line.as_bytes());
    }
    hasher.finish().hex()[..16].to_owned()
}

/// Locks the file and reads its steps. The first one, if any, is `Begun`.
fn locked(path: &Path, file: &mut File) -> Result<Vec<Step>, JournalError> {
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Busy(path.to_owned())),
        Err(fs::TryLockError::Error(error)) => return Err(disk::at(path)(error).into()),
    }
    let (steps, whole) = steps(path, file)?;
    // A crash cut the rest short. The lock excludes other writers.
    file.set_len(whole).map_err(disk::at(path))?;
    Ok(steps)
}

/// How the release was last begun.
fn begun_of(steps: &[Step]) -> Option<&Begun> {
    steps.iter().rev().find_map(|step| match step {
        Step::Begun(begun) => Some(begun),
        _ => None,
    })
}

/// The complete steps, and the offset of their end.
fn steps(path: &Path, file: &mut File) -> Result<(Vec<Step>, u64), JournalError> {
    let malformed = |what| JournalError::Malformed {
        path: path.to_owned(),
        what,
    };
    let mut text = Vec::new();
    file.take(MAX_JOURNAL_BYTES)
        .read_to_end(&mut text)
        .map_err(disk::at(path))?;
    let end = text.iter().rposition(|byte| *byte == b'\n');
    let whole = &text[..end.map_or(0, |end| end + 1)];
    let lines = whole.split(|byte| *byte == b'\n');
    let steps: Vec<Step> = lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            let read = serde_json::from_slice(line);
            read.map_err(|_| malformed(format!("line {} is not a step of a release", number + 1)))
        })
        .collect::<Result<_, _>>()?;
    match steps.first() {
        None => {}
        Some(Step::Begun(begun)) if begun.format == FORMAT => {}
        Some(_) => {
            return Err(malformed(
                "it was written by another version of jackal".to_owned(),
            ));
        }
    }
    Ok((steps, whole.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Known {
        Known {
            place: format!("oci://r.io/{name}:1"),
            architecture: "amd64".to_owned(),
            manifest: Digest::of(name.as_bytes()),
        }
    }

    #[test]
    fn a_journal_is_found_again_and_a_truncated_line_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Begun::new(vec![item("b"), item("a")]);
        let mut journal = Journal::begin(dir.path(), begun.clone()).unwrap();
        journal.note(Step::Staged(item("a"))).unwrap();
        let id = journal.begun().id();
        assert!(matches!(
            Journal::begin(dir.path(), begun.clone()),
            Err(JournalError::Busy(_))
        ));
        // Reading needs no lock.
        let (read, steps) = Journal::peek(dir.path(), &id).unwrap().unwrap();
        assert_eq!((read, steps.len()), (begun.clone(), 2));
        drop(journal);
        let path = dir.path().join(format!("{id}.journal"));
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"staged":{"pl"#);
        fs::write(&path, &text).unwrap();
        let mut again = Journal::begin(dir.path(), begun).unwrap();
        assert!(again.is_staged(&item("a")) && !again.is_staged(&item("b")));
        again.note(Step::Visible(item("a"))).unwrap();
        drop(again);
        assert_eq!(Journal::unfinished(dir.path()).unwrap(), [&id[..]]);
        let again = Journal::open(dir.path(), &id).unwrap();
        assert!(again.is_visible(&item("a")));
        again.end().unwrap();
        assert!(Journal::unfinished(dir.path()).unwrap().is_empty());
        assert!(matches!(
            Journal::open(dir.path(), "../x"),
            Err(JournalError::Unknown(_))
        ));
    }

    #[test]
    fn a_journal_without_a_first_line_is_empty_and_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Begun::new(vec![item("a")]);
        let id = begun.id();
        fs::write(dir.path().join(format!("{id}.journal")), "{\"beg").unwrap();
        assert_eq!(Journal::peek(dir.path(), &id).unwrap(), None);
        drop(Journal::begin(dir.path(), begun).unwrap());
        assert!(Journal::peek(dir.path(), &id).unwrap().is_some());
    }

    #[test]
    fn a_release_is_resumed_with_the_options_that_last_continued_it() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Begun::new(vec![item("a")]);
        let mut journal = Journal::begin(dir.path(), begun.clone()).unwrap();
        journal.note(Step::Staged(item("a"))).unwrap();
        let id = journal.begun().id();
        drop(journal);
        let other = Begun {
            attested: true,
            sbom_formats: vec!["spdx-json".to_owned()],
            ..begun
        };
        drop(Journal::begin(dir.path(), other.clone()).unwrap());
        let (read, steps) = Journal::peek(dir.path(), &id).unwrap().unwrap();
        assert_eq!((read, steps.len()), (other.clone(), 3));
        let again = Journal::open(dir.path(), &id).unwrap();
        assert_eq!(again.begun(), &other);
        assert!(again.is_staged(&item("a")));
        drop(again);
        // Without a change, nothing is added.
        drop(Journal::begin(dir.path(), other).unwrap());
        let (_, steps) = Journal::peek(dir.path(), &id).unwrap().unwrap();
        assert_eq!(steps.len(), 3);
    }

    #[test]
    fn another_set_of_artifacts_is_another_release() {
        let dir = tempfile::tempdir().unwrap();
        let one = Journal::begin(dir.path(), Begun::new(vec![item("a")])).unwrap();
        let two = Journal::begin(dir.path(), Begun::new(vec![item("b")])).unwrap();
        assert_ne!(one.begun().id(), two.begun().id());
    }
}
