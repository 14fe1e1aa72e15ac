//! Byte sizes in files and flags: `2GiB`, `500MB`, `4096`.
//!
//! Used by the checker for memory and cache limits. It never rounds.

/// Maximum length of the text; a real size has a few characters.
const MAX_TEXT: usize = 64;

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// The text is not a whole number followed by a unit.
    #[error(
        "`{0}` is not a size: write a whole number and a unit from B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 2GiB"
    )]
    Shape(String),
    /// The value does not fit.
    #[error("`{0}` is too large: the limit is 2^64 bytes")]
    TooLarge(String),
}

/// Parses a size, in bytes. A number without a unit is a number of bytes.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let shape = || SizeError::Shape(text.chars().take(MAX_TEXT).collect());
    if text.len() > MAX_TEXT {
        return Err(shape());
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(shape());
    }
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(shape()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_differ() {
        assert_eq!(parse("2GiB").unwrap(), 2 << 30);
        assert_eq!(parse("500MB").unwrap(), 500_000_000);
        assert_eq!(parse("4096").unwrap(), 4096);
    }

    #[test]
    fn other_units_and_overflow_are_refused() {
        for bad in ["", "GiB", "2 GiB", "2G", "1.5GiB", "-1B"] {
            assert!(matches!(parse(bad), Err(SizeError::Shape(_))), "{bad}");
        }
        assert!(matches!(parse("99999999TiB"), Err(SizeError::TooLarge(_))));
    }
}
