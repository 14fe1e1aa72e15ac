//! Draws the events of a build: a live line on a terminal, and a line or block for
//! each finished task.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use super::ci::Service;
use super::command_error::CommandError;
use super::output::{inert, one_line, without_logins};
use crate::app::{Event, Status, TestsRecord};
use crate::text::steers;

/// Draws on stderr, and writes NDJSON for `--events`.
pub(super) struct Progress {
    live: bool,
    logs: bool,
    running: BTreeSet<String>,
    planned: usize,
    ended: usize,
    /// The service that reads the log.
    service: Option<Service>,
    /// When each running task started.
    since: BTreeMap<String, Instant>,
    events: Option<BufWriter<File>>,
}

impl Progress {
    pub(super) fn new(live: bool, logs: bool, events: Option<&Path>) -> Result<Self, CommandError> {
        let open = |path: &Path| {
            let opened = crate::disk::stream(path).map(BufWriter::new);
            opened.map_err(|error| {
                CommandError::io(format!("--events `{}`", path.display()), error.source)
            })
        };
        Ok(Self {
            live,
            logs,
            running: BTreeSet::new(),
            planned: 0,
            ended: 0,
            service: Service::here(),
            since: BTreeMap::new(),
            events: events.map(open).transpose()?,
        })
    }

    pub(super) fn draw(&mut self, event: &Event) {
        if let Some(file) = &mut self.events
            && let Ok(line) = serde_json::to_string(event)
        {
            // A full disk must not stop the build.
            let _ = writeln!(file, "{line}").and_then(|()| file.flush());
        }
        let mut text = String::new();
        match event {
            Event::Planned { tasks } => self.planned = *tasks,
            Event::Started { task, .. } => {
                self.running.insert(task.clone());
                self.since.insert(task.clone(), Instant::now());
            }
            Event::Finished { record } => {
                self.running.remove(&record.task);
                self.since.remove(&record.task);
                self.ended += 1;
                let task = one_line(&record.task);
                let seconds = std::time::Duration::from_millis(record.wall_ms).as_secs_f64();
                match record.status {
                    // Hits are not listed; the summary counts them.
                    Status::Cached if record.log.is_empty() => {}
                    Status::Cached => text = format!("cached   {task}\n"),
                    Status::Skipped => {}
                    Status::Executed => {
                        text = format!(
                            "executed {task} ({seconds:.2} s): {}\n",
                            one_line(&record.reason)
                        );
                    }
                    Status::Failed => {
                        let reason = one_line(&without_logins(&record.reason));
                        text = format!("FAILED   {task} ({seconds:.2} s): {reason}\n");
                        text.push_str(
                            &record.tests.as_ref().map_or_else(String::new, failed_tests),
                        );
                    }
                }
                text = inert(text);
                if (self.logs || record.status == Status::Failed) && !record.log.is_empty() {
                    let log = block(&record.log, self.live);
                    text = match self.service {
                        // What failed is to be seen.
                        Some(service) if record.status != Status::Failed => {
                            service.folded(text.trim_end(), &log, &record.task, seconds_now())
                        }
                        _ => text + &log,
                    };
                }
            }
        }
        let mut err = std::io::stderr().lock();
        // A closed stderr must not stop the build.
        let _ = if self.live {
            let names: Vec<&str> = self.running.iter().map(String::as_str).collect();
            let mut line = format!("[{}/{}] {}", self.ended, self.planned, names.join(", "));
            line = one_line(&line).chars().take(78).collect();
            write!(err, "\r\x1b[K{text}{line}").and_then(|()| err.flush())
        } else {
            err.write_all(text.as_bytes())
        };
    }

    /// Shows what runs, where no live line does: a CI service ends a job that is silent.
    pub(super) fn beat(&self) {
        if !self.live && !self.since.is_empty() {
            let text = still_running(&self.since, Instant::now());
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Clears the live line.
    pub(super) fn close(&mut self) {
        if self.live {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Number of running tasks that a sign of life names.
const NAMED: usize = 5;

fn still_running(since: &BTreeMap<String, Instant>, now: Instant) -> String {
    let mut tasks: Vec<_> = since.iter().collect();
    tasks.sort_by_key(|(task, start)| (**start, *task));
    let named = tasks.iter().take(NAMED).map(|(task, start)| {
        let seconds = now.saturating_duration_since(**start).as_secs();
        format!("{} ({seconds} s)", one_line(task))
    });
    let named: Vec<String> = named.collect();
    let more = match tasks.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("running  {}{more}\n", named.join(", "))
}

fn seconds_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Number of failed tests that are shown: about half of a terminal.
const SHOWN_TESTS: usize = 20;

/// The failed tests of a task, one a line.
pub(super) fn failed_tests(tests: &TestsRecord) -> String {
    let mut text = String::new();
    for test in tests.failed.iter().take(SHOWN_TESTS) {
        let mut line = format!("failed test: {}", test.name);
        if !test.place.is_empty() {
            let _ = write!(line, " at {}", test.place);
        }
        if !test.message.is_empty() {
            let _ = write!(line, ": {}", test.message);
        }
        let line = one_line(&without_logins(&line));
        let _ = writeln!(text, "  {line}");
    }
    let failed = tests.failures + tests.errors;
    let shown = tests.failed.len().min(SHOWN_TESTS) as u64;
    if failed > shown {
        let _ = writeln!(text, "  and {} more failed tests", failed - shown);
    }
    text
}

/// A log below the line of its task. Each line has a mark and no characters that
/// control the terminal; colours are kept on a terminal, and reset at the end of the
/// line.
pub(super) fn block(log: &str, colours: bool) -> String {
    let mut text = String::new();
    for line in log.lines() {
        text.push_str("  | ");
        let mut rest = line.chars();
        let mut coloured = false;
        while let Some(c) = rest.next() {
            if c == '\u{1b}' {
                let sequence = escape(&mut rest);
                if colours && sequence.starts_with('[') && sequence.ends_with('m') {
                    coloured = true;
                    text.push(c);
                    text.push_str(&sequence);
                }
            } else if c == '\t' || !steers(c) {
                text.push(c);
            }
        }
        text.push_str(if coloured { "\x1b[0m\n" } else { "\n" });
    }
    inert(text)
}

/// The rest of an escape sequence, up to the letter that ends it.
fn escape(rest: &mut std::str::Chars<'_>) -> String {
    let mut sequence = String::new();
    for c in rest.by_ref() {
        sequence.push(c);
        let opens = sequence.len() == 1 && c == '[';
        if !opens && ('@'..='~').contains(&c) {
            break;
        }
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_names_what_runs_longest() {
        let now = Instant::now();
        let ago = |seconds| now - std::time::Duration::from_secs(seconds);
        let since = (0..7).map(|n| (format!("t{n}"), ago(10 * n)));
        assert_eq!(
            still_running(&since.collect(), now),
            "running  t6 (60 s), t5 (50 s), t4 (40 s), t3 (30 s), t2 (20 s) and 2 more\n"
        );
    }

    #[test]
    fn a_log_is_shown_by_line_without_control_characters() {
        let log = "a\x1b[31mred\x1b[0m\x1b[2J\x1b[1;1Hb\rc\x07\nlast";
        assert_eq!(block(log, false), "  | aredbc\n  | last\n");
        assert_eq!(
            block(log, true),
            "  | a\x1b[31mred\x1b[0mbc\x1b[0m\n  | last\n"
        );
        assert_eq!(block("open\x1b[", true), "  | open\n");
        assert_eq!(block("a\u{202e}b\u{2066}", true), "  | ab\n");
    }
}
