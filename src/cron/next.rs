//! The times at which an expression runs, in a time zone with its daylight saving.
//!
//! A time that the clocks skip becomes the same distance after the change; one that
//! occurs twice counts once, the first time. If a schedule runs in every hour, it runs in
//! each hour that passes: in none that is skipped, and in both of a repeated one.

use std::collections::VecDeque;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::Cron;

/// The longest time without a run, in days: 29 February, around a year such as 2100.
const MAX_DAYS: u32 = 8 * 366 + 2;

/// One run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub at: Zoned,
    /// What a change of the clocks does to it.
    pub shift: Shift,
}

/// What a change of the clocks does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    None,
    /// The time is skipped on this day, and the run is later.
    Skipped,
    /// The time occurs twice on this day, and this is the first.
    Repeated,
}

/// The runs of a schedule, in order.
#[derive(Debug)]
pub struct Runs<'c> {
    cron: &'c Cron,
    zone: TimeZone,
    last: Timestamp,
    day: Option<Date>,
    ready: VecDeque<(Timestamp, Shift)>,
}

impl<'c> Runs<'c> {
    pub(super) fn new(cron: &'c Cron, zone: &TimeZone, after: Timestamp) -> Self {
        Self {
            cron,
            zone: zone.clone(),
            last: after,
            day: Some(after.to_zoned(zone.clone()).date()),
            ready: VecDeque::new(),
        }
    }

    /// Every run of a local day, in order.
    fn of_day(&self, date: Date) -> Vec<(Timestamp, Shift)> {
        let mut found = Vec::new();
        let every_hour = self.cron.hours.is_any();
        for hour in (0_i8..24).filter(|hour| self.cron.hours.has(hour.unsigned_abs().into())) {
            let minutes = (0_i8..60).filter(|at| self.cron.minutes.has(at.unsigned_abs().into()));
            for minute in minutes {
                let at = self
                    .zone
                    .to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
                let (shift, both) = match at.offset() {
                    AmbiguousOffset::Unambiguous { .. } => (Shift::None, false),
                    AmbiguousOffset::Gap { .. } if every_hour => continue,
                    AmbiguousOffset::Gap { .. } => (Shift::Skipped, false),
                    AmbiguousOffset::Fold { .. } if every_hour => (Shift::None, true),
                    AmbiguousOffset::Fold { .. } => (Shift::Repeated, false),
                };
                // Only times at the ends of the calendar are errors.
                if both {
                    found.extend(at.later().ok().map(|at| (at, shift)));
                }
                found.extend(at.compatible().ok().map(|at| (at, shift)));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found.dedup_by_key(|(at, _)| *at);
        found
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        for _ in 0..MAX_DAYS {
            while let Some((at, shift)) = self.ready.pop_front() {
                // A day may end after the next one begins, if clocks skip midnight.
                if at > self.last {
                    self.last = at;
                    let at = at.to_zoned(self.zone.clone());
                    return Some(Run { at, shift });
                }
            }
            let day = self.day?;
            if self.cron.is_on(day) {
                self.ready.extend(self.of_day(day));
            }
            self.day = day.checked_add(1.day()).ok();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone;
    use super::*;

    fn runs(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(text).unwrap();
        let (_, zone) = zone(name).unwrap();
        let runs = cron.runs_after(&zone, after.parse().unwrap());
        let shown = runs.take(count).map(|run| {
            let mark = match run.shift {
                Shift::None => "",
                Shift::Skipped => " skipped",
                Shift::Repeated => " repeated",
            };
            format!("{}{mark}", run.at.strftime("%F %H:%M%:z"))
        });
        shown.collect()
    }

    #[test]
    fn runs_follow_the_local_clock_and_never_include_the_given_time() {
        assert_eq!(
            runs("0 3 * * *", "Europe/Berlin", "2026-10-24T01:00:00Z", 3),
            [
                "2026-10-25 03:00+01:00",
                "2026-10-26 03:00+01:00",
                "2026-10-27 03:00+01:00"
            ]
        );
        assert_eq!(
            runs("30 5 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 2),
            ["2026-01-02 05:30+05:30", "2026-01-03 05:30+05:30"]
        );
        assert_eq!(
            runs("0 0 1 * MON", "UTC", "2026-11-30T00:00:00Z", 3),
            [
                "2026-12-01 00:00+00:00",
                "2026-12-07 00:00+00:00",
                "2026-12-14 00:00+00:00"
            ]
        );
    }

    #[test]
    fn a_skipped_time_runs_after_the_change_and_a_repeated_one_runs_once() {
        assert_eq!(
            runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29 03:30+02:00 skipped", "2026-03-30 02:30+02:00"]
        );
        assert_eq!(
            runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25 02:30+02:00 repeated", "2026-10-26 02:30+01:00"]
        );
        // Both times are the same moment on that day.
        assert_eq!(
            runs("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29 03:00+02:00 skipped", "2026-03-30 02:00+02:00"]
        );
    }

    #[test]
    fn an_hourly_schedule_runs_in_each_hour_that_passes() {
        assert_eq!(
            runs("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 3),
            [
                "2026-03-29 01:00+01:00",
                "2026-03-29 03:00+02:00",
                "2026-03-29 04:00+02:00"
            ]
        );
        assert_eq!(
            runs("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4),
            [
                "2026-10-25 02:00+02:00",
                "2026-10-25 02:00+01:00",
                "2026-10-25 03:00+01:00",
                "2026-10-25 04:00+01:00"
            ]
        );
    }

    #[test]
    fn rare_days_are_found_and_a_skipped_midnight_is_in_order() {
        assert_eq!(
            runs("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1),
            ["2104-02-29 00:00+00:00"]
        );
        // Cairo skips the hour after midnight.
        assert_eq!(
            runs("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2),
            ["2026-04-24 01:00+03:00 skipped", "2026-04-25 00:00+03:00"]
        );
        assert_eq!(runs("0 0 * * *", "UTC", "9999-12-30T00:00:00Z", 5).len(), 0);
    }
}
