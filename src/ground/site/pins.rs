//! The lock files of a run, and the times when references were last resolved.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Site, held};
use crate::disk;
use crate::ground::lockfile::{LOCK_FILE, Lockfile, lock_folder};
use crate::ground::{Class, Failure};

impl Site {
    /// Reads or changes the pins of what is in `folder`.
    pub(crate) fn pins<T>(
        &self,
        folder: &Path,
        use_pins: impl FnOnce(&mut Lockfile) -> T,
    ) -> Result<T, Failure> {
        let folder = self.lock_folder(folder);
        let mut locks = held(&self.locks);
        if !locks.contains_key(&folder) {
            locks.insert(folder.clone(), Lockfile::load(&folder)?);
        }
        locks
            .get_mut(&folder)
            .map(use_pins)
            .ok_or_else(|| Failure::internal("no lock file"))
    }

    /// The folder of the lock file that has the pins of what is in `folder`.
    pub(crate) fn lock_folder(&self, folder: &Path) -> PathBuf {
        let mut known = held(&self.lock_folders);
        if let Some(found) = known.get(folder) {
            return found.clone();
        }
        let found = lock_folder(folder).to_owned();
        known.insert(folder.to_owned(), found.clone());
        found
    }

    /// Limits the age of the pins of `reference`; of several limits, the shortest counts.
    pub(crate) fn limit_age(&self, reference: String, age: Duration) {
        let mut ages = held(&self.ages);
        let known = ages.entry(reference).or_insert(age);
        *known = age.min(*known);
    }

    /// The maximum age of the pins of `reference`; `None`: unlimited.
    pub(crate) fn age_of(&self, reference: &str) -> Option<Duration> {
        held(&self.ages).get(reference).copied()
    }

    /// Whether `reference` was never resolved, or longer than `age` ago. The time is
    /// stored in the cache: in jackal.lock, every check would change a file under
    /// version control.
    pub(crate) fn is_outdated(&self, reference: &str, age: Duration) -> bool {
        disk::look::beyond_files();
        let resolved = fs::read_to_string(self.resolved_file(reference)).ok();
        let resolved = resolved.and_then(|text| text.trim().parse::<u64>().ok());
        let now = (self.clock)();
        // A time in the future cannot be trusted.
        resolved.is_none_or(|resolved| now < resolved || now - resolved > age.as_secs())
    }

    /// Records that `reference` was resolved now. Losing the record costs one request.
    pub(crate) fn note_resolved(&self, reference: &str) {
        let now = (self.clock)().to_string();
        drop(disk::write_hint(
            &self.resolved_file(reference),
            now.as_bytes(),
        ));
    }

    fn resolved_file(&self, reference: &str) -> PathBuf {
        let name = blake3::hash(reference.as_bytes()).to_hex();
        self.cas.root().join("resolved").join(name.as_str())
    }

    /// The error for a reference that must not be resolved now.
    pub(crate) fn unpinned(&self, reference: &str, folder: &Path) -> Option<Failure> {
        let lock = self.lock_folder(folder).join(LOCK_FILE);
        let why = if self.options.locked {
            "--locked"
        } else if self.options.offline {
            "--offline"
        } else {
            return None;
        };
        Some(Failure::new(
            Class::Configuration,
            format!(
                "`{reference}` has no pin in {}, and {why} forbids resolving it: \
                 run `jackal update` with network access first",
                lock.display()
            ),
        ))
    }
}
