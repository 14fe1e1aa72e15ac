//! The last actions of tasks in this workspace, which explain why a task runs again.

use std::fs;
use std::path::{Path, PathBuf};

use super::Site;
use crate::action::{Action, diff};

impl Site {
    fn action_file(&self, home: &Path, task: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(home.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(task.as_bytes());
        let name = hasher.finalize().to_hex();
        self.cas.root().join("why").join(name.as_str())
    }

    /// Why `action` has no cached result, compared with the last run of `step` here.
    /// `unchanged` is the reason if nothing changed; `None`: the result is missing.
    pub(crate) fn reason(
        &self,
        home: &Path,
        step: &str,
        unchanged: Option<&str>,
        action: &Action,
    ) -> String {
        if self.options.force {
            return "--force".to_owned();
        }
        let bytes = fs::read(self.action_file(home, step)).ok();
        let compare = |old: Vec<u8>| diff(&old, &action.explain());
        let Some(reasons) = bytes.and_then(compare) else {
            return "never run here".to_owned();
        };
        let failure = self.last_failure(home, step);
        if let (Some(failure), true) = (&failure, reasons.is_empty()) {
            return format!("it failed last time: {failure}");
        }
        match reasons.len() {
            0 if unchanged.is_some() => unchanged.unwrap_or_default().to_owned(),
            0 => match self.cas.last_pruned() {
                Some(at) => format!(
                    "its result is no longer in the cache, which was pruned {}",
                    ago((self.clock)().saturating_sub(at))
                ),
                None => "its result is no longer in the cache".to_owned(),
            },
            count => {
                let shown: Vec<String> = reasons.iter().take(5).map(ToString::to_string).collect();
                let more = if count > 5 {
                    format!(" and {} more", count - 5)
                } else {
                    String::new()
                };
                let failed = failure.map_or("", |_| "; it failed last time");
                format!("{}{more}{failed}", shown.join(", "))
            }
        }
    }

    /// Records `action`, and its failure if it failed, for the next
    /// [`reason`](Self::reason). Losing it costs only an explanation, so I/O errors are
    /// ignored.
    pub(crate) fn record_action(&self, home: &Path, task: &str, action: &Action, failed: &str) {
        let path = self.action_file(home, task);
        drop(self.cas.write_hint(&path, &action.explain()));
        let path = failure_beside(&path);
        if !failed.is_empty() {
            drop(self.cas.write_hint(&path, failed.as_bytes()));
        } else if path.exists() {
            drop(fs::remove_file(&path));
        }
    }

    fn last_failure(&self, home: &Path, task: &str) -> Option<String> {
        let path = failure_beside(&self.action_file(home, task));
        let text = fs::read_to_string(path).ok()?;
        Some(text.lines().next()?.chars().take(MAX_SHOWN).collect())
    }
}

/// Longest text of a failure in an explanation, in characters.
const MAX_SHOWN: usize = 200;

/// The file with the message of the last failure.
fn failure_beside(action: &Path) -> PathBuf {
    action.with_extension("failed")
}

/// A duration in its largest fitting unit.
fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
