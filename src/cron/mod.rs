//! Cron expressions: when a schedule runs.
//!
//! An expression is read once, in the strict form that cron, Kubernetes, GitHub, GitLab
//! and systemd understand alike, so that none of them runs it at other times. Times are
//! computed from a given one: nothing here reads a clock, and rules of time zones come
//! from the database in the program.

mod field;
mod next;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use field::{DAYS, Field, HOURS, MINUTES, MONTHS, WEEKDAYS};

pub use next::{Runs, Shift};

/// Why a text is not a cron expression or time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it, as a sentence.
    pub help: String,
}

impl CronError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// A cron expression with at least one date on which it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// The names for common expressions.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The most days of each month.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads five fields (minute, hour, day of the month, month, day of the week), or a
    /// name such as `@daily`.
    ///
    /// # Errors
    ///
    /// [`CronError`]: not an expression, one that schedulers read in different ways, or
    /// one that never runs.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        if text.starts_with('@') {
            let named = NAMES.iter().find(|(name, _)| *name == text);
            let (_, fields) = named.ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                CronError::new(
                    format!("`{text}` is not a name of a cron expression"),
                    format!("Use one of {}, or five fields.", names.join(", ")),
                )
            })?;
            return Self::parse(fields);
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            let found = fields.len();
            return Err(CronError::new(
                format!("a cron expression has five fields, and `{text}` has {found}"),
                "Write minute, hour, day of the month, month and day of the week, such as `0 3 * * *`.",
            ));
        };
        let cron = Self {
            minutes: Field::parse(minutes, &MINUTES)?,
            hours: Field::parse(hours, &HOURS)?,
            days: Field::parse(days, &DAYS)?,
            months: Field::parse(months, &MONTHS)?,
            weekdays: Field::parse(weekdays, &WEEKDAYS)?,
        };
        // With two fields of days, schedulers run on days that match either. Some take any
        // field that begins with `*` for one that says nothing, others only `*` itself; and
        // a field that lists every day says nothing here, and matches every day there.
        let texts = [(days, &cron.days), (weekdays, &cron.weekdays)];
        let beside = texts.iter().any(|(_, field)| !field.is_any());
        let odd = texts
            .iter()
            .find(|(text, field)| beside && text.starts_with('*') != field.is_any());
        let both = texts.iter().all(|(text, _)| **text != "*");
        if let Some((text, _)) = odd.filter(|_| both) {
            return Err(CronError::new(
                format!("schedulers disagree about `{text}` beside another field of days"),
                "List the days, or write `*` in one of the two fields.",
            ));
        }
        cron.runs_at_all()?;
        Ok(cron)
    }

    fn runs_at_all(&self) -> Result<(), CronError> {
        let mut months = LENGTHS.into_iter().zip(1..);
        let exists =
            |(length, month)| self.months.has(month) && (1..=length).any(|day| self.days.has(day));
        if months.any(exists) {
            return Ok(());
        }
        Err(CronError::new(
            format!(
                "no month of this schedule has day {}",
                self.days.shown(",", "-")
            ),
            "Correct the day or the month.",
        ))
    }

    /// The expression in digits, without names and steps.
    #[must_use]
    pub fn canonical(&self) -> String {
        let fields = [
            &self.minutes,
            &self.hours,
            &self.days,
            &self.months,
            &self.weekdays,
        ];
        fields.map(|field| field.shown(",", "-")).join(" ")
    }

    /// The expression as calendar events of systemd, in this time zone. A schedule runs
    /// at each of them.
    ///
    /// Source: systemd.time(7), "Calendar Events".
    #[must_use]
    pub fn calendar_events(&self, zone: &str) -> Vec<String> {
        const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let date = |days: &str| format!("*-{}-{days}", self.months.shown(",", ".."));
        let (hours, minutes) = (self.hours.shown(",", ".."), self.minutes.shown(",", ".."));
        let on = |when: String| format!("{when} {hours}:{minutes}:00 {zone}");
        let days = self.days.shown(",", "..");
        let weekdays = (0..7).filter(|day| self.weekdays.has(*day));
        let weekdays: Vec<&str> = weekdays.map(|day| NAMES[day as usize]).collect();
        let weekdays = format!("{} {}", weekdays.join(","), date("*"));
        match (self.days.is_any(), self.weekdays.is_any()) {
            (_, true) => vec![on(date(&days))],
            (true, false) => vec![on(weekdays)],
            (false, false) => vec![on(date(&days)), on(weekdays)],
        }
    }

    /// The least number of minutes between two runs; 60, if there are no two runs within an
    /// hour.
    #[must_use]
    pub fn least_minutes_apart(&self) -> u32 {
        let minutes: Vec<u32> = (0..60).filter(|minute| self.minutes.has(*minute)).collect();
        let apart = minutes.windows(2).map(|pair| pair[1] - pair[0]);
        let around = match (minutes.first(), minutes.last()) {
            (Some(first), Some(last)) if self.has_hours_in_a_row() => first + 60 - last,
            _ => 60,
        };
        apart.chain([around]).min().unwrap_or(60)
    }

    /// Whether it runs in an hour and in the next one.
    fn has_hours_in_a_row(&self) -> bool {
        let within = (1..24).any(|hour| self.hours.has(hour - 1) && self.hours.has(hour));
        within || self.hours.has(23) && self.hours.has(0) && self.has_days_in_a_row()
    }

    fn has_days_in_a_row(&self) -> bool {
        // In 28 years each date is on each day of the week, and the next 28 are the same.
        let first = jiff::civil::date(2000, 1, 1);
        let days = first.series(jiff::ToSpan::day(1)).take(28 * 1461 / 4 + 1);
        let mut on = days.map(|day| self.is_on(day));
        let mut previous = on.next().unwrap_or(false);
        on.any(|on| std::mem::replace(&mut previous, on) && on)
    }

    /// The runs after a time, in order.
    #[must_use]
    pub fn runs_after(&self, zone: &TimeZone, after: jiff::Timestamp) -> Runs<'_> {
        Runs::new(self, zone, after)
    }

    fn is_on(&self, date: jiff::civil::Date) -> bool {
        let has = |field: &Field, value: i8| u32::try_from(value).is_ok_and(|v| field.has(v));
        let day = has(&self.days, date.day());
        let weekday = has(&self.weekdays, date.weekday().to_sunday_zero_offset());
        // A field with `*` says nothing about the day.
        let on = match (self.days.is_any(), self.weekdays.is_any()) {
            (false, false) => day || weekday,
            _ => day && weekday,
        };
        on && has(&self.months, date.month())
    }
}

/// The time zone with an IANA name, and the name as the database writes it.
///
/// # Errors
///
/// [`CronError`]: there is no such zone.
pub fn zone(name: &str) -> Result<(String, TimeZone), CronError> {
    let found = TimeZoneDatabase::bundled().get(name);
    let found = found.ok().and_then(|zone| {
        let name = zone.iana_name()?.to_owned();
        Some((name, zone))
    });
    found.ok_or_else(|| {
        CronError::new(
            format!("there is no time zone `{name}`"),
            "Write an IANA name, such as Europe/Berlin or UTC.",
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    fn cron(text: &str) -> Cron {
        Cron::parse(text).unwrap()
    }

    fn refused(text: &str) -> String {
        let error = Cron::parse(text).unwrap_err();
        format!("{}\n{}", error.message, error.help)
    }

    #[test]
    fn expressions_have_one_canonical_form() {
        for (text, expected) in [
            ("0 3 * * *", "0 3 * * *"),
            ("@daily", "0 0 * * *"),
            ("@weekly", "0 0 * * 0"),
            ("*/15 9-17 * * MON-FRI", "0,15,30,45 9-17 * * 1-5"),
            ("5 4 1,15 jan,Jul *", "5 4 1,15 1,7 *"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
            ("0 0 29 2 *", "0 0 29 2 *"),
            ("0 0 31 2,3 *", "0 0 31 2,3 *"),
            ("0-59/1 0-23 1-31 * *", "* * * * *"),
            ("10-20/5 * * * *", "10,15,20 * * * *"),
        ] {
            assert_eq!(cron(text).canonical(), expected, "{text}");
            assert_eq!(cron(expected), cron(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_or_never_runs_is_refused_with_its_reason() {
        for (text, part) in [
            ("0 3 * *", "has 4"),
            ("0 0 3 * * *", "has 6"),
            ("", "has 0"),
            ("@reboot", "`@reboot` is not a name"),
            ("@every 5m", "@hourly"),
            ("60 * * * *", "`60` is not a minute: expected 0 to 59"),
            ("0 24 * * *", "expected 0 to 23"),
            ("0 0 0 * *", "expected 1 to 31"),
            ("0 0 * 13 *", "expected 1 to 12 or JAN to DEC"),
            ("0 0 * * 8", "expected 0 to 7 or SUN to SAT"),
            ("0 0 * * MOON", "`MOON` is not a day of the week"),
            ("5-1 * * * *", "`5-1` ends before it begins"),
            ("*/0 * * * *", "`0` is not a step"),
            ("*/60 * * * *", "`60` is not a step"),
            ("5/10 * * * *", "5-59/10"),
            ("1,,2 * * * *", "`` is not a minute"),
            ("+1 * * * *", "`+1` is not a minute"),
            ("0 0 L * *", "`L` is not a day of the month"),
            ("0 0 ? * 1", "`?` is not a day of the month"),
            ("0 0 30 2 *", "no month of this schedule has day 30"),
            ("0 0 31 4,6,9,11 *", "no month of this schedule has day 31"),
            ("0 0 30 FEB MON", "no month of this schedule has day 30"),
            ("0 0 */2 * MON", "schedulers disagree about `*/2`"),
            ("0 0 1 * */2", "schedulers disagree about `*/2`"),
            ("0 0 1-31 * MON", "schedulers disagree about `1-31`"),
            ("0 0 1 * 0-6", "schedulers disagree about `0-6`"),
        ] {
            assert!(refused(text).contains(part), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn calendar_events_say_the_same() {
        for (text, expected) in [
            ("30 3 * * *", &["*-*-* 3:30:00 UTC"][..]),
            (
                "*/30 9-17 * * 1-5",
                &["Mon,Tue,Wed,Thu,Fri *-*-* 9..17:0,30:00 UTC"],
            ),
            ("0 0 1,15 1-6 *", &["*-1..6-1,15 0:0:00 UTC"]),
            ("0 0 1 * MON", &["*-*-1 0:0:00 UTC", "Mon *-*-* 0:0:00 UTC"]),
        ] {
            assert_eq!(cron(text).calendar_events("UTC"), expected, "{text}");
        }
    }

    #[test]
    fn the_least_distance_counts_the_change_of_the_hour() {
        assert_eq!(cron("0 3 * * *").least_minutes_apart(), 60);
        assert_eq!(cron("*/5 * * * *").least_minutes_apart(), 5);
        assert_eq!(cron("1,58 * * * *").least_minutes_apart(), 3);
        assert_eq!(cron("1,58 3 * * *").least_minutes_apart(), 57);
    }

    /// Each minute of a week of March, and of the day after it, tried.
    fn by_brute_force(cron: &Cron) -> u32 {
        let first = jiff::civil::date(2026, 3, 4);
        let minutes = (0..8 * 24 * 60).filter(|minute: &i64| {
            let at = first.at(0, 0, 0, 0) + minute.minutes();
            let has = |field: &Field, value: i8| field.has(u32::try_from(value).unwrap());
            has(&cron.minutes, at.minute()) && has(&cron.hours, at.hour()) && cron.is_on(at.date())
        });
        let minutes: Vec<i64> = minutes.collect();
        let apart = minutes.windows(2).map(|pair| pair[1] - pair[0]);
        u32::try_from(apart.min().unwrap_or(60).min(60)).unwrap()
    }

    #[test]
    fn the_least_distance_is_that_of_all_minutes_of_a_week() {
        for (text, expected) in [
            ("*/7 * * * *", 4),
            ("*/7 9-10 * * *", 4),
            ("*/7 9 * * *", 7),
            ("*/7 9,11 * * *", 7),
            ("*/7 0,23 * * *", 4),
            ("*/7 0,23 * * 1", 7),
            ("*/7 0,23 * * 1,2", 4),
            ("*/7 0,23 * * 0,6", 4),
            ("59 23,0 * * *", 60),
            ("0,59 0,23 * * 1,3,5", 59),
            ("0,30 */2 * * *", 30),
            ("5 * * * *", 60),
            ("0 3 * * 1", 60),
        ] {
            let cron = cron(text);
            let found = by_brute_force(&cron);
            assert_eq!(found, expected, "{text}");
            assert_eq!(cron.least_minutes_apart(), expected, "{text}");
        }
        // Days in a row that no week of March has.
        assert_eq!(cron("*/7 0,23 28,29 2 *").least_minutes_apart(), 4);
        assert_eq!(cron("*/7 0,23 31 1 *").least_minutes_apart(), 7);
        assert_eq!(cron("*/7 0,23 31,1 1,2 *").least_minutes_apart(), 4);
    }

    proptest::proptest! {
        #[test]
        fn any_least_distance_is_that_of_a_week(
            minutes in "[0-9]|[1-5][0-9]|\\*/([2-9]|[1-4][0-9])|[0-2]?[0-9],[3-5][0-9]",
            hours in "[0-9]|1[0-9]|2[0-3]|\\*/[2-9]|0,23|([0-9],1[0-9])",
            days in "\\*|[0-6]|0,6|[1-2],[3-4]|\\*/2",
        ) {
            let cron = cron(&format!("{minutes} {hours} * * {days}"));
            let found = by_brute_force(&cron);
            assert_eq!(cron.least_minutes_apart(), found);
        }
    }

    /// crontab(5): with two fields of days, a line runs on days that match either, unless
    /// one of them begins with `*`.
    #[test]
    fn a_range_of_all_days_is_never_taken_for_a_star() {
        for full in ["1-31", "1-15,16-31", "1-31/1"] {
            assert!(refused(&format!("0 0 {full} * 1")).contains("schedulers disagree"));
            assert_eq!(cron(&format!("0 0 {full} * *")), cron("0 0 * * *"));
        }
        for full in ["0-6", "1-7", "0-7", "mon-sun", "0-3,4-6"] {
            assert!(refused(&format!("0 0 1 * {full}")).contains("schedulers disagree"));
            assert_eq!(cron(&format!("0 0 * * {full}")), cron("0 0 * * *"));
        }
        // Months are no field of days: a full range of them and `*` are the same.
        assert_eq!(cron("0 0 1 1-12 1"), cron("0 0 1 * 1"));
        // A field that begins with `*` says nothing, and is exported as `*` alone.
        for star in ["*/1", "*,5"] {
            assert_eq!(cron(&format!("0 0 {star} * 1")).canonical(), "0 0 * * 1");
        }
    }

    #[test]
    fn a_zone_is_found_by_its_name_however_it_is_written() {
        assert_eq!(zone("europe/berlin").unwrap().0, "Europe/Berlin");
        assert_eq!(zone("UTC").unwrap().0, "UTC");
        for name in ["Mars/Olympus", "", "+01:00", "../etc/passwd"] {
            assert!(zone(name).is_err(), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_a_canonical_form_is_its_own(text in "[0-9*/,@a-zA-Z -]{0,40}") {
            if let Ok(cron) = Cron::parse(&text) {
                assert_eq!(Cron::parse(&cron.canonical()).unwrap(), cron);
            }
        }
    }
}
