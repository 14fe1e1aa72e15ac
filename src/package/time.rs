//! Times in the formats of Go: RFC 1123 with a zone in definitions, RFC 3339 in
//! annotations. Source: docs/spec/package.md, "Build section";
//! docs/spec/registry.md, "Configuration and manifest".

/// `2006-01-02T15:04:05Z`; `None` outside 1970 to 9999.
#[must_use]
pub fn rfc3339(seconds: i64) -> Option<String> {
    let text = rfc1123z(seconds)?;
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, _] = parts[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some(format!("{year}-{month:02}-{day}T{time}Z"))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Mon, 02 Jan 2006 15:04:05 -0700`, in UTC; `None` outside 1970 to 9999.
#[must_use]
pub fn rfc1123z(seconds: i64) -> Option<String> {
    const MAX: i64 = 253_402_300_799;
    if !(0..=MAX).contains(&seconds) {
        return None;
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday =
        ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).ok()?];
    // Counted from 1 March of the year 0, so that a leap day ends a year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = usize::try_from((shifted_month + 2) % 12).ok()?;
    let year = year_of_era + era * 400 + i64::from(shifted_month >= 10);
    let name = MONTHS[month];
    Some(format!(
        "{weekday}, {day:02} {name} {year:04} {:02}:{:02}:{:02} +0000",
        second / 3600,
        second / 60 % 60,
        second % 60
    ))
}

/// Seconds since the Unix epoch of `Mon, 02 Jan 2006 15:04:05 -0700`; `None` for
/// other formats and outside 1970 to 9999.
#[must_use]
pub fn parse_rfc1123z(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, clock, zone] = parts[..] else {
        return None;
    };
    let number = |text: &str| {
        let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, year) = (number(day)?, number(year)?);
    let clock: Vec<i64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let west = zone.strip_prefix('-');
    let zone = number(west.or_else(|| zone.strip_prefix('+'))?)?;
    let offset = (zone / 100 * 60 + zone % 100) * 60;
    let offset = if west.is_some() { -offset } else { offset };
    // Counted from 1 March, so that a leap day ends a year.
    let (shifted_year, shifted_month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    rfc1123z(seconds).map(|_| seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_704_164_645, "Tue, 02 Jan 2024 03:04:05 +0000"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 +0000"),
        ] {
            assert_eq!(rfc1123z(seconds).as_deref(), Some(text));
        }
        assert_eq!(rfc1123z(-1), None);
        assert_eq!(rfc1123z(i64::MAX), None);
    }

    #[test]
    fn times_are_read_whatever_their_zone() {
        for seconds in [0, 951_782_400, 1_704_164_645, 4_102_444_799] {
            let text = rfc1123z(seconds).unwrap();
            assert_eq!(parse_rfc1123z(&text), Some(seconds), "{text}");
        }
        let west = "Tue, 02 Jan 2024 01:04:05 -0200";
        let east = "Tue, 02 Jan 2024 08:34:05 +0530";
        for text in [west, east] {
            assert_eq!(parse_rfc1123z(text), Some(1_704_164_645), "{text}");
        }
        assert_eq!(rfc3339(1_704_164_645).unwrap(), "2024-01-02T03:04:05Z");
        for text in [
            "",
            "2024-01-02T03:04:05Z",
            "Tue, 02 Foo 2024 01:04:05 +0000",
        ] {
            assert_eq!(parse_rfc1123z(text), None, "{text}");
        }
    }
}
