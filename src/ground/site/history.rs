//! The last runs of tasks in this workspace, which explain why a task runs again.
//!
//! A run is one record: its key, the run as JSON on one line, and the action, in the ledger
//! [`Cas::history`](crate::cas::Cas::history). An action with many inputs has a file of its
//! own, which the next run replaces; the record has its digest, since a process may be
//! killed after it has written one of the two.

use std::fs;
use std::path::{Path, PathBuf};

use super::Site;
use crate::action::{Action, ActionKey, ActionResult, FieldChange, Past, PastRun, changes};
use crate::cas::{Evicted, HISTORY, Key, LedgerKey};
use crate::text::first_of;

/// Longest action that is part of its run, in bytes: most are shorter.
const MAX_ACTION: usize = 4 << 10;

/// How a run ended.
pub(crate) struct Ended<'r> {
    /// Why it failed; empty: it succeeded.
    pub(crate) failure: &'r str,
    pub(crate) took_ms: u64,
}

/// An action, compared with the last run of its task.
pub(crate) struct LookedBack {
    /// Why it runs, if its result is not cached.
    pub(crate) reason: String,
    /// What changed; `None`: there was no run, or what it read is not known any more.
    pub(crate) changes: Option<Vec<FieldChange>>,
    /// The key of the run that it was compared with.
    before: Option<String>,
    /// The action as text, which the next run is compared with.
    explained: Vec<u8>,
}

impl Site {
    /// The file with the last action of a task, if that is long.
    fn action_file(&self, task: &LedgerKey) -> PathBuf {
        let name = blake3::Hash::from_bytes(*task).to_hex();
        self.cas.root().join(HISTORY).join(name.as_str())
    }

    /// The last run of a task, and its action.
    fn last_run(&self, task: &LedgerKey) -> (Option<PastRun>, Option<Vec<u8>>) {
        let value = self.cas.history().last(task).ok().flatten();
        let Some((run, action)) = value.and_then(|value| {
            let recorded = Recorded::parse(&value)?;
            Some((recorded.run()?, recorded.action.to_owned()))
        }) else {
            return (None, None);
        };
        let action = match digest_in(&action) {
            Some(digest) => {
                let text = fs::read(self.action_file(task)).ok();
                text.filter(|text| blake3::hash(text).to_hex().as_bytes() == digest)
            }
            // Older versions wrote nothing for one that has a file.
            None => Some(action).filter(|action| !action.is_empty()),
        };
        (Some(run), action)
    }

    /// Compares `action`, which has no cached result, with the last run of `step` here.
    /// `unchanged` is the reason if nothing changed; `None`: the result is missing.
    pub(crate) fn look_back(
        &self,
        home: &Path,
        step: &str,
        unchanged: Option<&str>,
        action: &Action,
    ) -> LookedBack {
        let (last, action_before) = self.last_run(&key_of(home, step));
        let before = last.as_ref().map(|last| last.key.clone());
        let explained = action.explain();
        let changes = action_before.and_then(|before| changes(&before, &explained));
        LookedBack {
            reason: match self.options.force {
                true => "--force".to_owned(),
                false => self.reason(last, unchanged, action, changes.as_deref()),
            },
            changes,
            before,
            explained,
        }
    }

    fn reason(
        &self,
        last: Option<PastRun>,
        unchanged: Option<&str>,
        action: &Action,
        changed: Option<&[FieldChange]>,
    ) -> String {
        let Some(changed) = changed else {
            return match last {
                None => "never run here".to_owned(),
                Some(_) => "what its last run read is not known".to_owned(),
            };
        };
        let failure = last.as_ref().map_or("", |last| last.failure.as_str());
        if changed.is_empty() {
            return match (failure, unchanged) {
                ("", Some(unchanged)) => unchanged.to_owned(),
                ("", None) => self.evicted(&action.key()),
                (failure, _) => format!("it failed last time: {}", shown_failure(failure)),
            };
        }
        let failed = match failure {
            "" => "",
            _ => "; it failed last time",
        };
        if changed.iter().any(FieldChange::is_of_format) {
            let by = last.map_or_else(String::new, |last| format!(", by jackal {}", last.jackal));
            return format!("its last result was made with another key format{by}{failed}");
        }
        format!("{}{failed}", shown_reasons(changed))
    }

    /// How many milliseconds a task took when it last ran here, and succeeded or failed.
    pub(crate) fn last_took_ms(&self, home: &Path, task: &str) -> Option<u64> {
        let (last, _) = self.last_run(&key_of(home, task));
        last.map(|last| last.took_ms)
    }

    /// Why the result under `key`, which was there, is not any more.
    fn evicted(&self, key: &ActionKey) -> String {
        let now = (self.clock)();
        let since = |at: u64| ago(now.saturating_sub(at));
        match self.tombstone(key) {
            Some(Evicted { at, old: true }) => format!(
                "its result was evicted from the cache {}, because it had not been used for long",
                since(at)
            ),
            Some(Evicted { at, old: false }) => format!(
                "its result was evicted from the cache {}, which was larger than its limit",
                since(at)
            ),
            None => match self.cas.last_pruned() {
                Some(at) => format!(
                    "its result is no longer in the cache, which was pruned {}",
                    since(at)
                ),
                None => "its result is no longer in the cache".to_owned(),
            },
        }
    }

    /// When a blob of the result under `key` was evicted, if that is why it is missing.
    fn tombstone(&self, key: &ActionKey) -> Option<Evicted> {
        let bytes = self.cas.result(&Key(*key.as_bytes())).ok()??;
        let result = ActionResult::decode(&bytes).ok()?;
        let evicted = self.cas.evicted();
        let named = result.outputs.iter().map(|output| output.digest);
        let named = named.chain(result.log).chain(result.reports);
        let found = named.filter_map(|digest| evicted.get(&digest).copied());
        found.max_by_key(|evicted| evicted.at)
    }

    /// Records a run of the action `key`, for the next [`look_back`](Self::look_back).
    /// Losing it costs only an explanation, so I/O errors are ignored.
    pub(crate) fn record_action(
        &self,
        home: &Path,
        task: &str,
        key: &ActionKey,
        back: LookedBack,
        ended: &Ended<'_>,
    ) {
        let task = key_of(home, task);
        let action = match back.explained.len() > MAX_ACTION {
            true => {
                let file = self.action_file(&task);
                drop(self.cas.write_hint(&file, &back.explained));
                action_elsewhere(&back.explained)
            }
            false => back.explained,
        };
        let run = PastRun {
            at: (self.clock)(),
            key: key.to_string(),
            took_ms: ended.took_ms,
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            failure: ended.failure.chars().take(MAX_FAILURE).collect(),
            changes: back.changes,
        };
        let Ok(run) = serde_json::to_vec(&run.bounded()) else {
            return;
        };
        let recorded = Recorded {
            before: back.before.as_deref().unwrap_or_default().as_bytes(),
            action: &action,
            run: &run,
        };
        drop(self.cas.add_history(&task, &recorded.write()));
    }

    /// What differs between `action` and the run that made the result under `then`.
    pub(crate) fn differs(
        &self,
        home: &Path,
        task: &str,
        then: &ActionKey,
        action: &Action,
    ) -> String {
        let back = self.look_back(home, task, None, action);
        let then = then.to_string();
        let past = self.past(home, task);
        let nearest = back.changes.as_deref();
        let nearest = nearest.and_then(|changes| past.nearest(changes, |run| run.key == then));
        match nearest {
            Some(nearest) if !nearest.reasons.is_empty() => shown_reasons(&nearest.reasons),
            _ => back.reason,
        }
    }

    /// The last runs of a task.
    pub(crate) fn past(&self, home: &Path, task: &str) -> Past {
        let values = self.cas.history().all(&key_of(home, task));
        past(&values.unwrap_or_default())
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }
}

/// Longest text of a failure that is kept, in characters.
const MAX_FAILURE: usize = 1000;

/// Longest text of a failure in a line, in characters.
const MAX_SHOWN: usize = 200;

/// Maximum number of reasons that are named.
const MAX_REASONS: usize = 5;

/// The first of these reasons.
pub fn shown_reasons(reasons: &[impl ToString]) -> String {
    first_of(reasons.iter().map(ToString::to_string), MAX_REASONS)
}

/// What a line has room for of why a task failed.
pub fn shown_failure(failure: &str) -> String {
    let line = failure.lines().next().unwrap_or_default();
    line.chars().take(MAX_SHOWN).collect()
}

/// What the history knows a task by.
fn key_of(home: &Path, task: &str) -> LedgerKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(home.as_os_str().as_encoded_bytes());
    hasher.update(&[0]);
    hasher.update(task.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A run as it is recorded.
struct Recorded<'r> {
    /// The key of the run before; empty: none is known.
    before: &'r [u8],
    /// As [`Action::explain`] writes it, or [`action_elsewhere`].
    action: &'r [u8],
    /// As JSON.
    run: &'r [u8],
}

impl<'r> Recorded<'r> {
    fn write(&self) -> Vec<u8> {
        [self.before, b"\n", self.run, b"\n", self.action].concat()
    }

    fn parse(value: &'r [u8]) -> Option<Self> {
        let mut parts = value.splitn(3, |byte| *byte == b'\n');
        Some(Self {
            before: parts.next()?,
            run: parts.next()?,
            action: parts.next()?,
        })
    }

    /// `None`: it cannot be read, such as one of another version.
    fn run(&self) -> Option<PastRun> {
        serde_json::from_slice(self.run).ok()
    }
}

/// The first bytes of a record whose action is in a file. [`Action::explain`] never begins
/// like this.
const ELSEWHERE: &[u8] = b"blake3:";

/// What a record has in place of an action that is in a file: its digest.
fn action_elsewhere(explained: &[u8]) -> Vec<u8> {
    [ELSEWHERE, blake3::hash(explained).to_hex().as_bytes()].concat()
}

/// The digest in such a record, in hex.
fn digest_in(action: &[u8]) -> Option<&[u8]> {
    action.strip_prefix(ELSEWHERE)
}

/// The runs that can be read. What changed since one that is missing is not known.
fn past(values: &[Vec<u8>]) -> Past {
    let mut runs: Vec<PastRun> = Vec::new();
    for recorded in values.iter().filter_map(|value| Recorded::parse(value)) {
        let Some(mut run) = recorded.run() else {
            continue;
        };
        let before = runs.last().map_or("", |last| last.key.as_str());
        run.changes = run.changes.filter(|_| recorded.before == before.as_bytes());
        runs.push(run);
    }
    Past::new(runs)
}

/// How long something is past, in its largest fitting unit.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cas::Cas;
    use crate::ground::site::SiteOptions;
    use crate::registry::{Options, Registry};

    fn action(variable: usize) -> Action {
        let mut action = Action::new("run", 1);
        action.env.insert("N".into(), variable.to_string());
        action
    }

    #[test]
    fn a_result_of_another_key_format_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, dir.path(), SiteOptions::default());
        let (home, mut action) = (Path::new("/w"), action(1));
        let ended = Ended {
            failure: "",
            took_ms: 1,
        };
        let back = site.look_back(home, "t", None, &action);
        site.record_action(home, "t", &action.key(), back, &ended);
        action.format += 1;
        action.argv.push("x".into());
        let reason = site.look_back(home, "t", None, &action).reason;
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("its last result was made with another key format, by jackal {version}");
        assert_eq!(reason, expected);
    }

    fn site(cache: &Path) -> Arc<Site> {
        let cas = Arc::new(Cas::open(cache).unwrap());
        let registry = Registry::new(Options::default());
        Site::new(cas, registry, cache, SiteOptions::default())
    }

    /// Records a run of `task`, and returns what it looked back on.
    fn record(site: &Site, task: &str, action: &Action, failure: &str) -> LookedBack {
        let home = Path::new("/w");
        let back = site.look_back(home, task, None, action);
        let ended = Ended {
            failure,
            took_ms: 7,
        };
        let again = site.look_back(home, task, None, action);
        site.record_action(home, task, &action.key(), again, &ended);
        back
    }

    #[test]
    fn the_last_run_is_known_however_much_changed_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path());
        let home = Path::new("/w");
        let many = |value: &str| {
            let mut action = action(0);
            for number in 0..150 {
                let name = format!("{}{number}", "N".repeat(200));
                action.env.insert(name, value.to_owned());
            }
            action
        };
        // Each control character is six bytes of JSON.
        let failure = "\u{1}".repeat(5000);
        let run = |action: &Action| record(&site, "t", action, &failure);
        run(&many("1"));
        assert_eq!(run(&many("2")).changes.unwrap().len(), 150);
        assert_eq!(site.last_took_ms(home, "t"), Some(7));
        assert_eq!(run(&many("2")).changes, Some(Vec::new()));
        // A short one after long ones.
        run(&action(1));
        let reason = run(&action(2)).reason;
        assert_eq!(reason, "env `N` changed; it failed last time");
    }

    #[test]
    fn runs_create_few_files() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path());
        for number in 0..2000 {
            record(&site, &number.to_string(), &action(number), "");
        }
        let files = fs::read_dir(site.cas.root().join(HISTORY)).unwrap().count();
        assert!(files <= 64, "{files}");
    }

    #[test]
    fn an_action_of_another_run_than_the_recorded_one_explains_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path());
        let home = Path::new("/w");
        let long = |value: usize| {
            let mut action = action(value);
            for number in 0..100 {
                action
                    .env
                    .insert(format!("{}{number}", "M".repeat(50)), "x".to_owned());
            }
            action
        };
        record(&site, "t", &long(1), "");
        let reason = |value| site.look_back(home, "t", None, &long(value)).reason;
        assert_eq!(reason(2), "env `N` changed");
        // The process was killed before it recorded the run of this action.
        let file = site.action_file(&key_of(home, "t"));
        fs::write(&file, long(2).explain()).unwrap();
        let unknown = "what its last run read is not known";
        assert_eq!([reason(2), reason(3)], [unknown, unknown]);
        assert_eq!(site.last_took_ms(home, "t"), Some(7));
        assert_eq!(record(&site, "t", &long(3), "").changes, None);
        assert_eq!(reason(4), "env `N` changed");
        fs::remove_file(&file).unwrap();
        assert_eq!(reason(4), unknown);
    }

    #[test]
    fn what_changed_since_a_run_that_was_lost_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path());
        let home = Path::new("/w");
        let key = key_of(home, "t");
        let long = "x".repeat(5000);
        let mut lost = None;
        for number in 0..40 {
            let action = action(number);
            let reason = record(&site, "t", &action, &long).reason;
            match number {
                0 => assert_eq!(reason, "never run here"),
                _ => assert_eq!(reason, "env `N` changed; it failed last time"),
            }
            if number == 38 {
                lost = site.cas.history().last(&key).unwrap();
            }
        }
        let past_runs = site.past(home, "t");
        assert_eq!(past_runs.runs().len(), 32);
        assert!(past_runs.runs().iter().all(|run| run.changes.is_some()));
        assert_eq!(site.last_run(&key).0.unwrap(), past_runs.runs()[31]);
        let mut values = site.cas.history().all(&key).unwrap();
        values.retain(|value| Some(value) != lost.as_ref());
        assert_eq!(past(&values).runs().last().unwrap().changes, None);
    }
}
