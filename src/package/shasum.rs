//! `shasum`: what a file of a definition must digest to.

use crate::oci::Digest;

/// The digest in a `shasum`: 64 hex digits, as older programs compare them, and
/// no name of an algorithm. Empty: none.
///
/// # Errors
///
/// What is wrong with it.
pub fn shasum(text: &str) -> Result<Option<Digest>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    Digest::from_hex(&text.to_ascii_lowercase())
        .map(Some)
        .map_err(|_| {
            let shown: String = text.chars().take(100).collect();
            format!("shasum is `{shown}`, expected 64 hex digits alone")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_64_hex_digits_alone() {
        let digest = Digest::of(b"x");
        for text in [digest.hex(), digest.hex().to_uppercase()] {
            assert_eq!(shasum(&text), Ok(Some(digest)), "{text}");
        }
        assert_eq!(shasum(""), Ok(None));
        for text in ["abc", &digest.to_string()] {
            assert!(shasum(text).is_err(), "{text}");
        }
    }
}
