//! Shows the events of a build: live on a terminal, or a line or block for each
//! finished task, or as JSON.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::ci::CiService;
use super::command_error::CommandError;
use super::live::Live;
use super::output::{inert, one_line, without_logins};
use super::paint::{Meaning, Paint};
use super::screen::{Screen, Size};
use crate::app::{Event, Forecast, Status, TaskRecord, TestsRecord};
use crate::text::{Escapes, first_of, printed_line};

/// Shortest time between two repaints of a terminal.
const PACE: Duration = Duration::from_millis(50);

/// Time between repaints while nothing happens: times and log lines go on.
const TICK: Duration = Duration::from_millis(250);

/// How long a run must take before it is shown live: what is quick would only flicker.
const PATIENCE: Duration = Duration::from_millis(150);

/// How the progress of a build is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines that change at the bottom, below those that stay.
    Live,
    /// Only lines that stay.
    Plain,
    /// Events, one JSON object a line.
    Json,
    Nothing,
}

/// Which tasks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Failed ones.
    Failures,
    /// And those that ran.
    Usual,
    /// And cached and skipped ones, with keys.
    Everything,
}

/// What is shown, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) form: Form,
    pub(super) detail: Detail,
    /// Whether logs of commands that succeeded are shown.
    pub(super) logs: bool,
    pub(super) paint: Paint,
}

/// Shows progress on stderr, and writes NDJSON for `--events`.
pub(super) struct Progress {
    manner: Manner,
    live: Live,
    screen: Screen,
    /// Lines that stay, and are not yet written.
    above: String,
    /// Whether something happened since the last repaint.
    is_dirty: bool,
    begun: Instant,
    painted: Option<Instant>,
    /// The service that reads the log.
    service: Option<CiService>,
    events: Option<BufWriter<File>>,
}

impl Progress {
    pub(super) fn new(manner: Manner, events: Option<&Path>) -> Result<Self, CommandError> {
        let open = |path: &Path| {
            let opened = crate::disk::stream(path).map(BufWriter::new);
            opened.map_err(|error| {
                CommandError::io(format!("--events `{}`", path.display()), error.source)
            })
        };
        let now = Instant::now();
        Ok(Self {
            manner,
            live: Live::new(now),
            screen: Screen::default(),
            above: String::new(),
            is_dirty: false,
            begun: now,
            painted: None,
            service: CiService::here(),
            events: events.map(open).transpose()?,
        })
    }

    /// Whether it needs a [`Forecast`].
    pub(super) fn foresees(&self) -> bool {
        self.manner.form == Form::Live
    }

    pub(super) fn set_forecast(&mut self, forecast: Forecast) {
        self.live.set_forecast(forecast);
        self.is_dirty = true;
    }

    /// What was foreseen does not hold for the next run.
    pub(super) fn forget_forecast(&mut self) {
        self.live.forget_forecast();
    }

    pub(super) fn take(&mut self, event: &Event, now: Instant) {
        let as_json = self.events.is_some() || self.manner.form == Form::Json;
        if as_json && let Ok(line) = serde_json::to_string(event) {
            if let Some(file) = &mut self.events {
                // A full disk must not stop the build.
                let _ = writeln!(file, "{line}").and_then(|()| file.flush());
            }
            if self.manner.form == Form::Json {
                self.above.push_str(&line);
                self.above.push('\n');
            }
        }
        self.is_dirty = true;
        match event {
            Event::Planned { tasks } => {
                self.begun = now;
                self.live.planned(*tasks, now);
            }
            Event::Started { task, activity, .. } => self.live.started(task, activity, now),
            Event::Finished { record } => {
                self.live.finished(&record.task, record.status);
                if matches!(self.manner.form, Form::Live | Form::Plain) {
                    let text = self.ended(record);
                    self.above.push_str(&text);
                }
            }
        }
        if self.manner.form != Form::Live {
            self.write_above();
        }
    }

    /// The lines of a task that has ended.
    fn ended(&self, record: &TaskRecord) -> String {
        let Manner {
            detail,
            logs,
            paint,
            ..
        } = self.manner;
        let task = one_line(&record.task);
        let seconds = Duration::from_millis(record.wall_ms).as_secs_f64();
        let reason = one_line(&without_logins(&record.reason));
        let key = record.action_key.as_deref().unwrap_or_default();
        let everything = detail == Detail::Everything;
        let word = |meaning, word: &str| paint.as_meaning(meaning, word);
        let head = match record.status {
            Status::Failed => {
                let word = word(Meaning::Bad, "FAILED  ");
                let tests = record.tests.as_ref().map_or_else(String::new, failed_tests);
                format!("{word} {task} ({seconds:.2} s): {reason}\n{tests}")
            }
            _ if detail == Detail::Failures => String::new(),
            Status::Executed => {
                let word = word(Meaning::Good, "executed");
                format!("{word} {task} ({seconds:.2} s): {reason}\n")
            }
            // Hits are not listed; the summary counts them.
            Status::Cached if everything => {
                format!("{} {task}: {key}\n", word(Meaning::Minor, "cached  "))
            }
            Status::Cached if !record.log.is_empty() => {
                format!("{} {task}\n", word(Meaning::Minor, "cached  "))
            }
            Status::Skipped if everything => {
                format!("{} {task}: {reason}\n", word(Meaning::Minor, "skipped "))
            }
            Status::Cached | Status::Skipped => String::new(),
        };
        let text = inert(head);
        let shows_log = logs && detail > Detail::Failures || record.status == Status::Failed;
        if !shows_log || record.log.is_empty() {
            return text;
        }
        let log = block(&record.log, paint);
        match self.service {
            // What failed is to be seen.
            Some(service) if record.status != Status::Failed => {
                service.folded(text.trim_end(), &log, &record.task, seconds_now())
            }
            _ => text + &log,
        }
    }

    /// When to paint next; `None`: when something happens.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.manner.form != Form::Live {
            return None;
        }
        Some(match self.painted {
            None => self.begun + PATIENCE,
            Some(painted) if self.is_dirty => painted + PACE,
            Some(painted) => painted + TICK,
        })
    }

    /// Brings the terminal up to date.
    pub(super) fn paint(&mut self, now: Instant) {
        let size = Size::of_stderr().unwrap_or(Size {
            columns: 80,
            rows: 24,
        });
        let out = self.painted_at(now, size);
        if !out.is_empty() {
            // A closed stderr must not stop the build.
            let _ = std::io::stderr().lock().write_all(&out);
        }
    }

    /// What to write at this time.
    fn painted_at(&mut self, now: Instant, size: Size) -> Vec<u8> {
        let lines = self.live.frame(now, size);
        let above = std::mem::take(&mut self.above);
        self.is_dirty = false;
        self.painted = Some(now);
        (self.screen).update(&above, &lines, self.manner.paint, size.columns)
    }

    fn write_above(&mut self) {
        let above = std::mem::take(&mut self.above);
        let _ = std::io::stderr().lock().write_all(above.as_bytes());
    }

    /// Shows what runs, where no live line does: a CI service ends a job that is silent.
    pub(super) fn beat(&self) {
        let now = Instant::now();
        let running = self.live.running(now);
        let shown = self.manner.form == Form::Plain && self.manner.detail > Detail::Failures;
        if shown && !running.is_empty() {
            let text = still_running(running);
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Says that the run is being stopped.
    pub(super) fn stopping(&mut self) {
        self.live.stopping();
        self.is_dirty = true;
        let running = self.live.running(Instant::now()).len();
        if self.manner.form == Form::Plain && running > 0 {
            self.above
                .push_str("stopping; interrupt again to stop at once\n");
            self.write_above();
        }
    }

    /// How long to wait before [`close`](Self::close), so that repaints keep their pace.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let last = self.painted.filter(|_| !self.screen.is_empty());
        last.map_or(Duration::ZERO, |painted| {
            (painted + PACE).saturating_duration_since(now)
        })
    }

    /// Leaves only the lines that stay.
    pub(super) fn close(&mut self) {
        let above = std::mem::take(&mut self.above);
        let columns = Size::of_stderr().map_or(80, |size| size.columns);
        let out = self.screen.update(&above, &[], self.manner.paint, columns);
        self.painted = None;
        let _ = std::io::stderr().lock().write_all(&out);
    }
}

/// Number of running tasks that a sign of life names.
const NAMED: usize = 5;

fn still_running(mut tasks: Vec<(&str, Duration)>) -> String {
    tasks.sort_by_key(|(task, time)| (std::cmp::Reverse(*time), *task));
    let named = tasks
        .iter()
        .map(|(task, time)| format!("{} ({} s)", one_line(task), time.as_secs()));
    format!("running  {}\n", first_of(named, NAMED))
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
/// control the terminal; its colours are kept where texts are coloured.
pub(super) fn block(log: &str, paint: Paint) -> String {
    let escapes = match paint {
        Paint(true) => Escapes::Colours,
        Paint(false) => Escapes::None,
    };
    let mut text = String::new();
    for line in log.lines() {
        let _ = writeln!(text, "  | {}", printed_line(line, escapes));
    }
    inert(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SIZE: Size = Size {
        columns: 80,
        rows: 24,
    };

    #[test]
    fn a_sign_of_life_names_what_runs_longest() {
        let names: Vec<String> = (0..7).map(|n| format!("t{n}")).collect();
        let tasks = names.iter().zip(0_u64..);
        let tasks = tasks.map(|(name, n)| (name.as_str(), Duration::from_secs(10 * n)));
        assert_eq!(
            still_running(tasks.collect()),
            "running  t6 (60 s), t5 (50 s), t4 (40 s), t3 (30 s), t2 (20 s) and 2 more\n"
        );
    }

    #[test]
    fn a_log_is_shown_by_line_without_control_characters() {
        let log = "a\x1b[31mred\x1b[0m\x1b[2J\x1b[1;1Hb\rc\x07\nlast";
        assert_eq!(block(log, Paint(false)), "  | c\n  | last\n");
        let log = "a\x1b[31mred\x1b[0m\x1b[2Jb\nlast";
        assert_eq!(block(log, Paint(false)), "  | aredb\n  | last\n");
        assert_eq!(
            block(log, Paint(true)),
            "  | a\x1b[31mred\x1b[0mb\x1b[0m\n  | last\n"
        );
    }

    fn progress(form: Form, detail: Detail) -> Progress {
        let manner = Manner {
            form,
            detail,
            logs: true,
            paint: Paint(false),
        };
        Progress::new(manner, None).unwrap()
    }

    fn started(task: &str) -> Event {
        Event::Started {
            task: task.to_owned(),
            reason: String::new(),
            activity: Arc::default(),
        }
    }

    fn finished(task: &str, status: Status) -> Event {
        let record = TaskRecord {
            status,
            reason: "why".to_owned(),
            ..TaskRecord::new(task, "run")
        };
        Event::Finished {
            record: Box::new(record),
        }
    }

    #[test]
    fn a_terminal_is_repainted_at_its_pace_and_no_line_that_stays_is_written_twice() {
        let mut progress = progress(Form::Live, Detail::Usual);
        let begin = Instant::now();
        progress.take(&Event::Planned { tasks: 1000 }, begin);
        let (mut repaints, mut written, mut now) = (Vec::new(), String::new(), begin);
        for n in 0..1000 {
            progress.take(&started(&format!("t{n}")), now);
            now += Duration::from_millis(3);
            progress.take(&finished(&format!("t{n}"), Status::Executed), now);
            // As the loop does that waits for events.
            if progress.due().is_some_and(|due| due <= now) {
                let out = progress.painted_at(now, SIZE);
                if !out.is_empty() {
                    repaints.push(now);
                    written.push_str(&String::from_utf8(out).unwrap());
                }
            }
        }
        now += progress.pause(now);
        written.push_str(&String::from_utf8(progress.painted_at(now, SIZE)).unwrap());
        repaints.push(now);
        assert!(repaints[0] - begin >= PATIENCE);
        let gaps = repaints.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.min().unwrap() >= PACE);
        for n in 0..1000 {
            let line = format!("executed t{n} (");
            assert_eq!(written.matches(&line).count(), 1, "{line}");
        }
    }

    #[test]
    fn a_run_without_news_is_repainted_for_its_times_only() {
        let mut progress = progress(Form::Live, Detail::Usual);
        let begin = Instant::now();
        progress.take(&Event::Planned { tasks: 1 }, begin);
        progress.take(&started("t"), begin);
        let first = begin + PATIENCE;
        assert!(!progress.painted_at(first, SIZE).is_empty());
        assert_eq!(progress.due(), Some(first + TICK));
        assert!(progress.painted_at(first + TICK, SIZE).is_empty());
        assert!(
            !progress
                .painted_at(begin + Duration::from_secs(2), SIZE)
                .is_empty()
        );
    }

    #[test]
    fn each_level_of_detail_shows_its_tasks() {
        let shown = |detail| {
            let progress = progress(Form::Plain, detail);
            let all = [
                Status::Executed,
                Status::Cached,
                Status::Skipped,
                Status::Failed,
            ];
            let texts = all.map(|status| match finished("t", status) {
                Event::Finished { record } => progress.ended(&record),
                _ => String::new(),
            });
            texts.concat()
        };
        let failed = "FAILED   t (0.00 s): why\n";
        assert_eq!(shown(Detail::Failures), failed);
        assert_eq!(
            shown(Detail::Usual),
            format!("executed t (0.00 s): why\n{failed}")
        );
        let all = format!("executed t (0.00 s): why\ncached   t: \nskipped  t: why\n{failed}");
        assert_eq!(shown(Detail::Everything), all);
    }
}
