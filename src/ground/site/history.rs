//! The last runs of tasks in this workspace, which explain why a task runs again.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::Site;
use crate::action::{Action, ActionKey, ActionResult, FieldChange, Past, PastRun, changes};
use crate::cas::{Evicted, Key};
use crate::text::first_of;

/// Bytes of the runs of one task, after which the older ones are dropped: 128 KiB.
const MAX_HISTORY: u64 = 128 << 10;

/// Bytes in which the last run is looked for first; no run that is written is longer.
const LAST: u64 = 32 << 10;

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
    /// The action as text, which the next run is compared with.
    explained: Vec<u8>,
}

impl Site {
    fn action_file(&self, home: &Path, task: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(home.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(task.as_bytes());
        let name = hasher.finalize().to_hex();
        self.cas.root().join("why").join(name.as_str())
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
        let file = self.action_file(home, step);
        let explained = action.explain();
        let before = fs::read(&file).ok();
        let changes = before.and_then(|before| changes(&before, &explained));
        LookedBack {
            reason: match self.options.force {
                true => "--force".to_owned(),
                false => self.reason(&file, unchanged, action, changes.as_deref()),
            },
            changes,
            explained,
        }
    }

    fn reason(
        &self,
        file: &Path,
        unchanged: Option<&str>,
        action: &Action,
        changed: Option<&[FieldChange]>,
    ) -> String {
        let Some(changed) = changed else {
            return "never run here".to_owned();
        };
        let last = last_run(file);
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
        last_run(&self.action_file(home, task)).map(|last| last.took_ms)
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
        let path = self.action_file(home, task);
        drop(self.cas.write_hint(&path, &back.explained));
        let run = PastRun {
            at: (self.clock)(),
            key: key.to_string(),
            took_ms: ended.took_ms,
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            failure: ended.failure.chars().take(MAX_FAILURE).collect(),
            changes: back.changes,
        };
        let Ok(mut line) = serde_json::to_vec(&run.bounded()) else {
            return;
        };
        line.push(b'\n');
        let path = runs_beside(&path);
        if fs::metadata(&path).is_ok_and(|found| found.len() > MAX_HISTORY) {
            let lines = past(&path).runs().iter().map(serde_json::to_vec).collect();
            let lines: Vec<Vec<u8>> = Result::unwrap_or_default(lines);
            let mut all = lines.join(&b'\n');
            all.push(b'\n');
            all.extend(line);
            drop(self.cas.write_hint(&path, &all));
        } else {
            drop(self.cas.append_hint(&path, &line));
        }
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
        past(&runs_beside(&self.action_file(home, task)))
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

/// The file with the runs of a task.
fn runs_beside(action: &Path) -> PathBuf {
    action.with_extension("runs")
}

/// Runs that cannot be read, such as those of another version, are left out. What changed
/// since one of them is then not known.
fn past(path: &Path) -> Past {
    let bytes = fs::read(path).unwrap_or_default();
    let mut runs: Vec<PastRun> = Vec::new();
    let mut gap = false;
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match serde_json::from_slice::<PastRun>(line) {
            Ok(mut run) => {
                run.changes = run.changes.filter(|_| !gap);
                gap = false;
                runs.push(run);
            }
            Err(_) => gap = true,
        }
    }
    Past::new(runs)
}

/// The last run of a task, without reading those before.
fn last_run(action: &Path) -> Option<PastRun> {
    let mut file = File::open(runs_beside(action)).ok()?;
    let length = file.metadata().ok()?.len();
    // Older versions wrote longer ones.
    [LAST, MAX_HISTORY].into_iter().find_map(|most| {
        let start = SeekFrom::Start(length.saturating_sub(most));
        file.seek(start).ok()?;
        let mut bytes = Vec::new();
        (&mut file).take(most).read_to_end(&mut bytes).ok()?;
        let mut lines = bytes.split(|byte| *byte == b'\n').rev();
        lines.find_map(|line| serde_json::from_slice(line).ok())
    })
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

    #[test]
    fn the_last_run_is_known_however_much_changed_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, dir.path(), SiteOptions::default());
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
        let ended = Ended {
            failure: &failure,
            took_ms: 7,
        };
        let run = |value: &str| {
            let action = many(value);
            let back = site.look_back(home, "t", None, &action);
            let changes = back.changes.clone();
            site.record_action(home, "t", &action.key(), back, &ended);
            changes
        };
        run("1");
        let changes = run("2");
        assert_eq!(changes.as_ref().map(Vec::len), Some(150));
        let path = site.action_file(home, "t");
        let text = fs::read_to_string(runs_beside(&path)).unwrap();
        assert!(text.lines().all(|line| (line.len() as u64) < LAST));
        assert_eq!(site.last_took_ms(home, "t"), Some(7));

        // One that an older version wrote.
        let mut run = last_run(&path).unwrap();
        (run.changes, run.took_ms) = (changes, 8);
        let line = serde_json::to_string(&run).unwrap();
        assert!(line.len() as u64 > LAST);
        fs::write(runs_beside(&path), format!("{text}{line}\n")).unwrap();
        assert_eq!(last_run(&path), Some(run));
    }

    #[test]
    fn the_runs_of_a_task_are_bounded_and_torn_lines_are_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, dir.path(), SiteOptions::default());
        let home = Path::new("/w");
        let long = "x".repeat(5000);
        for number in 0..400 {
            let action = action(number);
            let back = site.look_back(home, "t", None, &action);
            match number {
                0 => assert_eq!(back.reason, "never run here"),
                _ => assert_eq!(back.reason, "env `N` changed; it failed last time"),
            }
            let ended = Ended {
                failure: &long,
                took_ms: 7,
            };
            site.record_action(home, "t", &action.key(), back, &ended);
        }
        let path = runs_beside(&site.action_file(home, "t"));
        assert!(fs::metadata(&path).unwrap().len() < MAX_HISTORY + 8192);
        let past = site.past(home, "t");
        assert_eq!(past.runs().len(), 32);
        assert!(past.runs().iter().all(|run| run.changes.is_some()));
        assert_eq!(
            last_run(&site.action_file(home, "t")).unwrap(),
            past.runs()[31]
        );
        let text = fs::read_to_string(&path).unwrap();
        let torn = text.trim_end().rsplit_once('\n').unwrap().0;
        let kept = torn.len() - 100;
        let last = text.trim_end().rsplit_once('\n').unwrap().1;
        fs::write(&path, format!("{}\n{last}\n", &text[..kept])).unwrap();
        let past = site.past(home, "t");
        assert_eq!(past.runs().last().unwrap().changes, None);
    }
}
