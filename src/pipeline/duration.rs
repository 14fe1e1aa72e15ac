//! Spans of time in files and flags: `15m`, `1h30m`, `30d`.
//!
//! Used by the checker for timeouts, ages and delays. It never reads a clock.

use std::time::Duration;

/// Maximum length of the text; a real duration has a few characters.
const MAX_TEXT: usize = 64;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text does not have the shape of number and unit pairs.
    #[error(
        "`{0}` is not a duration: write whole numbers with the units d, h, m, s or ms, such as 1h30m"
    )]
    Shape(String),
    /// Units repeat or grow from left to right.
    #[error("`{0}` has its units out of order: write larger units first, and each unit once")]
    Order(String),
    /// The value does not fit.
    #[error("`{0}` is too long: the limit is 2^64 milliseconds")]
    TooLong(String),
}

/// Parses a duration such as `15m`, `1h30m`, `24h` or `250ms`.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(DurationError::Shape(text.chars().take(MAX_TEXT).collect()));
    }
    let shape = || DurationError::Shape(text.to_owned());
    let mut rest = text;
    let mut last = u64::MAX;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(shape());
        }
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let scale: u64 = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(shape()),
        };
        if scale >= last {
            return Err(DurationError::Order(text.to_owned()));
        }
        last = scale;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(scale))
            .and_then(|n| total.checked_add(n))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse("15m").unwrap(), Duration::from_secs(900));
        assert_eq!(parse("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse("1d250ms").unwrap(), Duration::from_millis(86_400_250));
    }

    #[test]
    fn a_bare_number_or_an_unknown_unit_is_refused() {
        for bad in ["", "15", "m", "15 m", "1w", "-1s", "1.5h", "15µ"] {
            assert!(matches!(parse(bad), Err(DurationError::Shape(_))), "{bad}");
        }
    }

    #[test]
    fn units_out_of_order_and_overflow_are_named() {
        assert!(matches!(parse("1m1h"), Err(DurationError::Order(_))));
        assert!(matches!(parse("1m1m"), Err(DurationError::Order(_))));
        assert!(matches!(
            parse("99999999999999999d"),
            Err(DurationError::TooLong(_))
        ));
    }
}
