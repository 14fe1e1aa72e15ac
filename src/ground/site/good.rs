//! What the last good run made: the key of each task's result, for `--affected`.
//!
//! Only a run without failures changes it, and only for its own tasks, so a failed run
//! and a run of one folder lose nothing. A run that changed nothing writes nothing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Site;
use crate::action::ActionKey;
use crate::disk;

/// Version of the file; another one counts as no earlier run.
const FORMAT: u32 = 1;

/// Largest file that is read, in bytes: half a million tasks.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    tasks: BTreeMap<String, String>,
}

/// The keys of the tasks of one variant of a workspace, by folder and name.
pub(crate) type Good = BTreeMap<String, ActionKey>;

/// The folder of these states, in the cache.
pub(crate) const GOOD: &str = "good";

impl Site {
    /// What a task is called in the state: its folder in the workspace, and its name there.
    pub(crate) fn good_name(&self, home: &Path, name: &str) -> String {
        let folder = home.strip_prefix(&self.workspace).unwrap_or(home);
        format!("{}:{name}", folder.display())
    }

    fn good_file(&self, variant: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.workspace.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(variant.as_bytes());
        let name = hasher.finalize().to_hex();
        self.cas.root().join(GOOD).join(name.as_str())
    }

    /// The last good state; `None`: there is none, or it cannot be read.
    pub(crate) fn good(&self, variant: &str) -> Option<Good> {
        let text = disk::read_text(&self.good_file(variant), MAX_BYTES).ok()?;
        let (_, json) = text.split_once('\n')?;
        let document: Document = serde_json::from_str(json).ok()?;
        let tasks = document.tasks.into_iter();
        let tasks = tasks.filter_map(|(name, key)| Some((name, key.parse().ok()?)));
        (document.format == FORMAT).then(|| tasks.collect())
    }

    /// Records the tasks of a good run. Losing this costs only time, so I/O errors are
    /// ignored.
    pub(crate) fn record_good(&self, variant: &str, tasks: &Good) {
        if tasks.is_empty() {
            return;
        }
        // The first line says what was recorded last: often that is all to be read.
        let mut hasher = blake3::Hasher::new();
        for (name, key) in tasks {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
            hasher.update(key.as_bytes());
        }
        let last = hasher.finalize().to_hex();
        let path = self.good_file(variant);
        // It says what `--affected` compares with, so it is part of what a run looks at.
        let _ = disk::look::metadata(&path);
        if first_line(&path).is_some_and(|line| line.trim_end() == last.as_str()) {
            return;
        }
        let mut all = self.good(variant).unwrap_or_default();
        let before = all.len();
        let mut changed = false;
        for (name, key) in tasks {
            changed |= all.insert(name.clone(), *key) != Some(*key);
        }
        if !changed && all.len() == before {
            return;
        }
        let tasks = all.iter();
        let document = Document {
            format: FORMAT,
            tasks: tasks
                .map(|(name, key)| (name.clone(), key.to_string()))
                .collect(),
        };
        if let Ok(json) = serde_json::to_string(&document) {
            drop(
                self.cas
                    .write_hint(&path, format!("{last}\n{json}\n").as_bytes()),
            );
        }
    }
}

fn first_line(path: &Path) -> Option<String> {
    let mut line = String::new();
    let file = std::fs::File::open(path).ok()?;
    BufReader::with_capacity(128, file.take(128))
        .read_line(&mut line)
        .ok()?;
    Some(line)
}
