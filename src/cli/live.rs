//! What a build shows while it runs: its tasks, how far it is, and how long it may take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::output::{one_line, without_logins};
use super::paint::Meaning;
use super::screen::{Line, Size, cut};
use crate::app::{Activity, Forecast, Outlook, Status};
use crate::text::{Escapes, printed_line};

/// Most tasks that are shown.
const MAX_SHOWN: usize = 12;

/// Time between two looks at how long the rest will take.
const OUTLOOK: Duration = Duration::from_secs(1);

/// Time over which a rate is measured.
const SAMPLE: Duration = Duration::from_secs(1);

/// Narrowest terminal on which rates and log lines are shown.
const WIDE: usize = 60;

/// What is known of a run.
pub(super) struct Live {
    begin: Instant,
    planned: usize,
    counts: BTreeMap<&'static str, usize>,
    running: Vec<Running>,
    ended: HashSet<String>,
    forecast: Option<Forecast>,
    outlook: Option<(Instant, Outlook)>,
    stopping: bool,
}

struct Running {
    task: String,
    since: Instant,
    activity: Arc<Activity>,
    sampled: (Instant, u64),
    /// Bytes in a second.
    rate: u64,
}

impl Live {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begin: now,
            planned: 0,
            counts: BTreeMap::new(),
            running: Vec::new(),
            ended: HashSet::new(),
            forecast: None,
            outlook: None,
            stopping: false,
        }
    }

    /// A run of so many tasks begins.
    pub(super) fn planned(&mut self, tasks: usize, now: Instant) {
        *self = Self {
            planned: tasks,
            // It may have come before.
            forecast: self.forecast.take(),
            stopping: self.stopping,
            ..Self::new(now)
        };
    }

    /// What was foreseen does not hold for the next run.
    pub(super) fn forget_forecast(&mut self) {
        self.forecast = None;
        self.outlook = None;
    }

    pub(super) fn set_forecast(&mut self, forecast: Forecast) {
        self.forecast = Some(forecast);
        self.outlook = None;
    }

    pub(super) fn stopping(&mut self) {
        self.stopping = true;
    }

    pub(super) fn started(&mut self, task: &str, activity: &Arc<Activity>, now: Instant) {
        // It may start once more, because its inputs changed.
        self.running.retain(|running| running.task != task);
        self.running.push(Running {
            task: task.to_owned(),
            since: now,
            activity: Arc::clone(activity),
            sampled: (now, 0),
            rate: 0,
        });
    }

    pub(super) fn finished(&mut self, task: &str, status: Status) {
        self.running.retain(|running| running.task != task);
        self.ended.insert(task.to_owned());
        let word = match status {
            Status::Executed => "done",
            Status::Cached => "cached",
            Status::Skipped => "skipped",
            Status::Failed => "failed",
        };
        *self.counts.entry(word).or_default() += 1;
    }

    /// Running tasks, with the time since each started.
    pub(super) fn running(&self, now: Instant) -> Vec<(&str, Duration)> {
        let all = self.running.iter();
        all.map(|one| (one.task.as_str(), now.saturating_duration_since(one.since)))
            .collect()
    }

    /// The lines for a terminal of this size.
    pub(super) fn frame(&mut self, now: Instant, size: Size) -> Vec<Line> {
        self.look_ahead(now);
        let slow: HashSet<&str> = match &self.outlook {
            Some((_, outlook)) => outlook.path.iter().map(String::as_str).collect(),
            None => HashSet::new(),
        };
        // Half of the terminal stays for what has ended.
        let room = (size.rows / 2).saturating_sub(1).clamp(1, MAX_SHOWN);
        let hidden = self.running.len().saturating_sub(room);
        let shown = match hidden {
            0 => self.running.len(),
            _ => room.saturating_sub(1),
        };
        let names = self.running.iter().take(shown);
        let widest = names.map(|one| one_line(&one.task).chars().count()).max();
        let name_width = widest.unwrap_or(0).min(size.columns / 3).max(8);
        let mut lines = Vec::new();
        for one in self.running.iter_mut().take(shown) {
            let is_slow = slow.contains(one.task.as_str());
            lines.push(one.line(now, size, name_width, is_slow));
        }
        if hidden > 0 {
            let mut line = Line::default();
            let more = self.running.len() - shown;
            line.add(Some(Meaning::Minor), format!("  and {more} more tasks"));
            lines.push(line);
        }
        lines.push(self.status(now, size));
        lines
    }

    fn status(&self, now: Instant, size: Size) -> Line {
        let ended: usize = self.counts.values().sum();
        let mut line = Line::default();
        if self.planned == 0 {
            let time = clock(now.saturating_duration_since(self.begin));
            line.add(None, format!("preparing, {time}"));
            return line;
        }
        line.add(None, format!("[{ended}/{}]", self.planned));
        let add = |line: &mut Line, meaning, text: String| {
            let begin = if line.width() > 0 { " " } else { "" };
            if line.width() + begin.len() + text.len() < size.columns {
                line.add(None, begin);
                line.add(meaning, text);
            }
        };
        if self.stopping {
            let text = "stopping; press Ctrl-C again to stop at once".to_owned();
            add(&mut line, Some(Meaning::Warning), text);
        }
        let count = |word| self.counts.get(word).copied().unwrap_or(0);
        let words = [
            ("failed", Some(Meaning::Bad)),
            ("done", Some(Meaning::Good)),
            ("cached", None),
            ("skipped", Some(Meaning::Minor)),
        ];
        add(&mut line, None, format!("{} running", self.running.len()));
        for (word, meaning) in words {
            if count(word) > 0 {
                add(&mut line, meaning, format!("{} {word}", count(word)));
            }
        }
        add(
            &mut line,
            Some(Meaning::Minor),
            clock(now.saturating_duration_since(self.begin)),
        );
        if let Some((_, outlook)) = &self.outlook {
            if let Some(left) = outlook.left {
                add(&mut line, None, format!("about {} left", clock(left)));
            }
            if outlook.path.len() > 1 {
                let path = outlook.path.iter().take(4).map(|task| one_line(task));
                let path = path.collect::<Vec<_>>().join(" > ");
                let dots = if outlook.path.len() > 4 { " > ..." } else { "" };
                let text = format!("slowest: {path}{dots}");
                add(&mut line, Some(Meaning::Minor), text);
            }
        }
        line
    }

    /// Estimates the rest again, if the last estimate is too old.
    fn look_ahead(&mut self, now: Instant) {
        let Some(forecast) = &self.forecast else {
            return;
        };
        let fresh = |(at, _): &(Instant, Outlook)| now.saturating_duration_since(*at) < OUTLOOK;
        if self.outlook.as_ref().is_some_and(fresh) {
            return;
        }
        let running: HashMap<&str, Duration> = (self.running(now)).into_iter().collect();
        let outlook = forecast.outlook(&self.ended, &running);
        self.outlook = Some((now, outlook));
    }
}

impl Running {
    fn line(&mut self, now: Instant, size: Size, name_width: usize, is_slow: bool) -> Line {
        let mut line = Line::default();
        // A mark beside the colour: what the end waits for.
        match is_slow {
            true => line.add(Some(Meaning::Warning), ">"),
            false => line.add(None, " "),
        }
        line.add(None, " ");
        let name = cut(&one_line(&self.task), name_width);
        line.add(None, format!("{name:<name_width$}"));
        let time = clock(now.saturating_duration_since(self.since));
        line.add(None, format!(" {time:>6}"));
        if size.columns < WIDE {
            return line;
        }
        self.sample(now);
        let moved = self.activity.moved();
        if moved > 0 {
            let rate = format!(
                " {:>8} {:>10}",
                bytes(moved),
                format!("{}/s", bytes(self.rate))
            );
            line.add(Some(Meaning::Advice), rate);
        }
        let last = printed_line(&self.activity.line(), Escapes::None);
        let last = without_logins(&last.replace('\t', " "));
        if !last.is_empty() {
            line.add(Some(Meaning::Minor), format!("  {last}"));
        }
        line
    }

    fn sample(&mut self, now: Instant) {
        let (at, before) = self.sampled;
        let elapsed = now.saturating_duration_since(at);
        if elapsed >= SAMPLE {
            let moved = self.activity.moved();
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let new = (moved - before).saturating_mul(1000) / millis.max(1);
            // The mean with the last one, so that it does not jump.
            self.rate = if self.rate == 0 {
                new
            } else {
                (self.rate + new) / 2
            };
            self.sampled = (now, moved);
        }
    }
}

/// A time in whole seconds.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A number of bytes in the unit that fits.
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    let found = UNITS.iter().find(|(size, _)| count >= *size);
    match found {
        Some((size, unit)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        columns: 80,
        rows: 24,
    };

    fn texts(live: &mut Live, now: Instant, size: Size) -> Vec<String> {
        let mut screen = super::super::screen::Screen::default();
        let lines = live.frame(now, size);
        let paint = super::super::paint::Paint(false);
        let out = screen.update("", &lines, paint, size.columns);
        let out = String::from_utf8(out).unwrap();
        let out = out.replace("\u{1b}[?2026h\u{1b}[1G\u{1b}[J", "");
        out.replace("\u{1b}[?2026l", "")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn forecast(millis: &[(&str, u64)]) -> Forecast {
        let after = [
            ("a", vec![]),
            ("b", vec!["a"]),
            ("c", vec!["b"]),
            ("d", vec![]),
        ];
        let named = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Forecast::new(
            after.map(|(task, on)| (task.to_owned(), named(on))).into(),
            millis
                .iter()
                .map(|(task, time)| ((*task).to_owned(), *time))
                .collect(),
            2,
        )
    }

    #[test]
    fn running_tasks_and_counts_are_shown_in_the_room_there_is() {
        let now = Instant::now();
        let later = now + Duration::from_secs(75);
        let mut live = Live::new(now);
        live.planned(9, now);
        let activity = Arc::new(Activity::default());
        for task in [
            "compile",
            "a-task-with-a-name-that-is-far-too-long-for-any-terminal",
        ] {
            live.started(task, &activity, now);
        }
        live.finished("x", Status::Cached);
        live.finished("y", Status::Failed);
        assert_eq!(
            texts(&mut live, later, SIZE),
            [
                "  compile                     1m15s",
                "  a-task-with-a-name-that...  1m15s",
                "[2/9] 2 running 1 failed 1 cached 1m15s",
            ]
        );
        let narrow = Size {
            columns: 24,
            rows: 4,
        };
        assert_eq!(
            texts(&mut live, later, narrow),
            ["  and 2 more tasks", "[2/9] 2 running 1m15s",]
        );
        live.stopping();
        let last = texts(&mut live, later, SIZE).pop().unwrap();
        assert_eq!(
            last,
            "[2/9] stopping; press Ctrl-C again to stop at once 2 running 1 failed 1 cached"
        );
    }

    #[test]
    fn the_rest_is_as_long_as_its_slowest_path_or_its_work() {
        let now = Instant::now();
        let mut live = Live::new(now);
        let known = [("a", 10_000), ("b", 20_000), ("c", 5_000), ("d", 30_000)];
        live.set_forecast(forecast(&known));
        let early = texts(&mut live, now, SIZE);
        assert_eq!(early, ["preparing, 0s"]);
        live.planned(4, now);
        let activity = Arc::new(Activity::default());
        live.started("a", &activity, now);
        live.started("d", &activity, now);
        let at = now + Duration::from_secs(4);
        assert_eq!(
            texts(&mut live, at, SIZE),
            [
                "> a            4s",
                "  d            4s",
                "[0/4] 2 running 4s about 31s left slowest: a > b > c",
            ]
        );
        live.finished("a", Status::Cached);
        live.finished("b", Status::Cached);
        let at = now + Duration::from_secs(6);
        let last = texts(&mut live, at, SIZE).pop().unwrap();
        assert_eq!(last, "[2/4] 1 running 2 cached 6s about 24s left");
        assert_eq!(
            forecast(&[("a", 1)]).outlook(&HashSet::new(), &HashMap::new()),
            Outlook::default()
        );
    }

    #[test]
    fn bytes_and_the_last_line_of_a_log_are_shown_and_cannot_steer() {
        let now = Instant::now();
        let mut live = Live::new(now);
        let activity = Arc::new(Activity::default());
        live.started("pull\u{1b}[2J", &activity, now);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(activity.during(async {
            crate::content::activity::moved(12_400_000);
            let mut lines = crate::content::activity::Lines::default();
            lines.take(b"\x1b[31mred\x1b[0m \x1b]0;title\x07and https://u:p@h/x\n");
        }));
        let at = now + Duration::from_secs(2);
        assert_eq!(
            texts(&mut live, at, SIZE)[0],
            "  pull\u{fffd}[2J     2s  12.4 MB   6.2 MB/s  red and https://***@h/x"
        );
    }

    #[test]
    fn times_and_sizes_are_short() {
        let times = [5, 65, 3700].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(times, ["5s", "1m05s", "1h01m"]);
        assert_eq!(
            [9, 1500, 2_000_000_000].map(bytes),
            ["9 B", "1.5 kB", "2.0 GB"]
        );
    }
}
