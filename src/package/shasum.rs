//! `shasum`: the digest that a file of a definition must have, given beside its
//! source or at the end of its address.

use crate::oci::Digest;

/// The digest in a `shasum`: 64 hex digits without the name of an algorithm, as older
/// programs expect. Empty: none.
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

/// An address, and the checksum that may be at its end: `URL@HEX` or
/// `URL@sha256:HEX`. Any other text after `@` is part of the address.
#[must_use]
pub fn address_and_sum(url: &str) -> (&str, Option<Digest>) {
    let split = url.rsplit_once('@').and_then(|(address, sum)| {
        let hex = sum.strip_prefix("sha256:").unwrap_or(sum);
        let digest = Digest::from_hex(&hex.to_ascii_lowercase()).ok()?;
        Some((address, Some(digest)))
    });
    split.unwrap_or((url, None))
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

    #[test]
    fn a_sum_at_the_end_of_an_address_may_name_its_algorithm() {
        let digest = Digest::of(b"x");
        for sum in [
            digest.hex(),
            digest.hex().to_uppercase(),
            digest.to_string(),
        ] {
            let url = format!("https://u:p@h.io/f@{sum}");
            let expected = ("https://u:p@h.io/f", Some(digest));
            assert_eq!(address_and_sum(&url), expected, "{sum}");
        }
        for url in [
            "https://u@h.io/f",
            "https://h.io/f@v1",
            "https://h.io/f@sha512:00",
        ] {
            assert_eq!(address_and_sum(url), (url, None));
        }
    }
}
