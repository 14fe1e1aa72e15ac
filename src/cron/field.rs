//! One field of a cron expression, as the set of its values.

use super::CronError;

/// What a field may hold.
pub(super) struct Range {
    what: &'static str,
    first: u32,
    last: u32,
    /// Names of values, from the first on.
    names: &'static [&'static str],
    /// The last number accepted. Sunday is 0 and 7.
    accepted: u32,
}

const fn numbers(what: &'static str, first: u32, last: u32) -> Range {
    Range {
        what,
        first,
        last,
        names: &[],
        accepted: last,
    }
}

pub(super) const MINUTES: Range = numbers("minute", 0, 59);
pub(super) const HOURS: Range = numbers("hour", 0, 23);
pub(super) const DAYS: Range = numbers("day of the month", 1, 31);
pub(super) const MONTHS: Range = Range {
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    ..numbers("month", 1, 12)
};
pub(super) const WEEKDAYS: Range = Range {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    accepted: 7,
    ..numbers("day of the week", 0, 6)
};

impl Range {
    fn value(&self, text: &str) -> Result<u32, CronError> {
        let named = self.names.iter().zip(self.first..);
        let mut named = named.filter(|(name, _)| name.eq_ignore_ascii_case(text));
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| (self.first..=self.accepted).contains(number));
        named
            .next()
            .map(|(_, value)| value)
            .or(number)
            .ok_or_else(|| self.not_a_value(text))
    }

    fn not_a_value(&self, text: &str) -> CronError {
        let (first, last) = (self.first, self.accepted);
        let names = match self.names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        CronError::new(
            format!(
                "`{text}` is not a {}: expected {first} to {last}{names}",
                self.what
            ),
            "A field is `*`, a value, a range such as 1-5, a step such as */15, or a list of these.",
        )
    }
}

/// The values of a field, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    bits: u64,
    first: u32,
    last: u32,
}

impl Field {
    pub(super) fn parse(text: &str, range: &Range) -> Result<Self, CronError> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= values(part, range)?;
        }
        Ok(Self {
            bits,
            first: range.first,
            last: range.last,
        })
    }

    pub(super) fn has(&self, value: u32) -> bool {
        value < u64::BITS && self.bits & (1 << value) != 0
    }

    /// Whether it has every value.
    pub(super) fn is_any(&self) -> bool {
        (self.first..=self.last).all(|value| self.has(value))
    }

    /// Its values, with ranges of three or more; `*` for all.
    pub(super) fn shown(&self, comma: &str, dash: &str) -> String {
        if self.is_any() {
            return "*".to_owned();
        }
        let mut parts = Vec::new();
        let mut at = self.first;
        while at <= self.last {
            if !self.has(at) {
                at += 1;
                continue;
            }
            let end = (at..=self.last).take_while(|value| self.has(*value)).last();
            let end = end.unwrap_or(at);
            match end - at {
                0 | 1 => parts.extend((at..=end).map(|value| value.to_string())),
                _ => parts.push(format!("{at}{dash}{end}")),
            }
            at = end + 1;
        }
        parts.join(comma)
    }
}

/// The values of one part between commas.
fn values(part: &str, range: &Range) -> Result<u64, CronError> {
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => (span, Some(step)),
        None => (part, None),
    };
    let (from, to) = match span.split_once('-') {
        _ if span == "*" => (range.first, range.last),
        Some((from, to)) => (range.value(from)?, range.value(to)?),
        None => {
            let value = range.value(span)?;
            // Some schedulers read it as `VALUE-LAST/STEP`, others refuse it.
            if let Some(step) = step {
                return Err(CronError::new(
                    format!("`{part}` has a step and no range"),
                    format!("Write `{value}-{}/{step}`.", range.last),
                ));
            }
            (value, value)
        }
    };
    // A week may end with Sunday.
    let to = match range.accepted > range.last && to == range.first {
        true if from > to => range.accepted,
        _ => to,
    };
    if to < from {
        let help = "Write two ranges, separated by a comma.";
        return Err(CronError::new(
            format!("`{span}` ends before it begins"),
            help,
        ));
    }
    let step = match step {
        None => 1,
        Some(text) => {
            let number: Option<u32> = text.parse().ok();
            let most = range.last - range.first;
            number
                .filter(|step| (1..=most).contains(step) && !text.starts_with('+'))
                .ok_or_else(|| {
                    CronError::new(
                        format!("`{text}` is not a step: expected 1 to {most}"),
                        "Write how many values lie between two runs, such as */15.",
                    )
                })?
        }
    };
    let mut bits = 0;
    for value in (from..=to).step_by(step as usize) {
        let value = if value > range.last {
            range.first
        } else {
            value
        };
        bits |= 1 << value;
    }
    Ok(bits)
}
