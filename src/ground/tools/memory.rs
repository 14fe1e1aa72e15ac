//! What was found out about installed programs, so that it need not be read again.
//!
//! One checksummed file for all workspaces. Each fact is kept with the stat identity of
//! what it was read from; a file that was changed a moment ago is not remembered,
//! because it may change again without a trace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::closure::Tree;
use super::elf::Linked;
use super::packages::{Listing, Package};
use crate::disk::{self, look};
use crate::workspace::Stat;

/// Changes with what is remembered, or how it is found out.
const MAGIC: &str = "jktools3";

/// Maximum size of the file, in bytes: 64 MiB, for thousands of tools.
const MAX_BYTES: u64 = 64 << 20;

/// The metadata of what is at `path`, links followed.
pub(super) fn seen(path: &Path) -> Option<Stat> {
    Some(Stat::of(&look::metadata(path).ok()?))
}

/// Nanoseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
    })
}

/// What is remembered.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The databases of packages that the next two were read from.
    pub(super) databases: Vec<(PathBuf, Stat)>,
    /// The packages that files belong to; `None`: to none.
    pub(super) owners: BTreeMap<PathBuf, Option<Package>>,
    /// The libraries that programs name.
    pub(super) linked: BTreeMap<PathBuf, (Stat, Linked)>,
    /// Toolchains by their folder, and the parts of it that count.
    pub(super) trees: BTreeMap<String, Tree>,
    /// What programs say their version is, by their identity.
    pub(super) versions: BTreeMap<String, String>,
    /// Whether anything is to be written.
    #[serde(skip)]
    pub(super) changed: bool,
    /// How often things were to be compared with the disk again, in this run.
    #[serde(skip)]
    pub(super) round: u64,
    /// When `databases` was compared with the disk.
    #[serde(skip)]
    pub(super) checked: Option<u64>,
    /// The same, in nanoseconds since the epoch.
    #[serde(skip)]
    pub(super) checked_at: i64,
    /// Trees that were walked in this run.
    #[serde(skip)]
    pub(super) walked: BTreeMap<String, Walked>,
    /// All packages, if they were read in this run.
    #[serde(skip)]
    pub(super) listing: Option<Listing>,
}

/// A tree that was walked in this run.
pub(super) struct Walked {
    pub(super) tree: Tree,
    /// Its folders, which change when a file in them is replaced.
    pub(super) folders: Vec<(PathBuf, Stat)>,
    /// The round in which they were compared.
    pub(super) at: u64,
}

/// The facts, loaded when they are first needed.
pub(crate) struct Memory {
    file: PathBuf,
    reading: Mutex<()>,
    facts: Mutex<Option<Facts>>,
}

/// The facts, while nobody else uses them.
pub(super) struct Held<'m>(MutexGuard<'m, Option<Facts>>);

impl Held<'_> {
    pub(super) fn facts(&mut self) -> &mut Facts {
        self.0.get_or_insert_default()
    }
}

impl Memory {
    /// The facts in `file`, which need not exist.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self {
            file,
            reading: Mutex::default(),
            facts: Mutex::default(),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        // Facts are whole between statements, so a poisoned lock is harmless.
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.is_none() {
            *facts = load(&self.file);
        }
        Held(facts)
    }

    /// Keeps other threads from reading a tree.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is new. Losing it costs finding it out again.
    pub(crate) fn save(&self) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(facts) = facts.as_mut().filter(|facts| facts.changed) else {
            return;
        };
        if let Ok(text) = serde_json::to_string(facts) {
            let sum = blake3::hash(text.as_bytes()).to_hex();
            let _ = disk::write_hint(&self.file, format!("{MAGIC} {sum}\n{text}").as_bytes());
        }
        facts.changed = false;
    }
}

/// A missing, damaged or foreign file counts as empty.
fn load(file: &Path) -> Option<Facts> {
    let bytes = disk::read(file, MAX_BYTES).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let (head, body) = text.split_once('\n')?;
    let sum = head.strip_prefix(MAGIC)?.trim_start();
    let sound = *sum == *blake3::hash(body.as_bytes()).to_hex();
    sound.then(|| serde_json::from_str(body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tools");
        let memory = Memory::new(file.clone());
        {
            let mut held = memory.hold();
            held.facts().owners.insert("/bin/x".into(), None);
            held.facts().changed = true;
        }
        memory.save();
        let sound = std::fs::read(&file).unwrap();
        assert_eq!(load(&file).unwrap().owners.len(), 1);
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, &bytes).unwrap();
            assert!(load(&file).is_none(), "byte {at}");
            std::fs::write(&file, &sound[..at]).unwrap();
            assert!(load(&file).is_none(), "{at} bytes");
        }
    }
}
