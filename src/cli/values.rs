//! Values of flags that clap does not parse by itself.

use std::collections::BTreeMap;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::command_error::CommandError;
use crate::app::{self, SbomFormat};
use crate::text::with_causes;

/// A format of SBOMs for programs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SbomFormatArg(pub(super) SbomFormat);

impl ValueEnum for SbomFormatArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: &[SbomFormatArg] = &[
            SbomFormatArg(SbomFormat::SyftJson),
            SbomFormatArg(SbomFormat::SpdxJson),
            SbomFormatArg(SbomFormat::Spdx3Json),
            SbomFormatArg(SbomFormat::CycloneDxJson),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            SbomFormat::SyftJson => "What packages hold; syft and grype read it",
            SbomFormat::SpdxJson => "SPDX 2.3",
            SbomFormat::Spdx3Json => "SPDX 3.0.1",
            SbomFormat::CycloneDxJson => "CycloneDX 1.6",
            SbomFormat::Table => "For people",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

/// The size that `flag` gives, in bytes.
pub(super) fn size(flag: &str, given: Option<String>) -> Result<Option<u64>, CommandError> {
    let parsed = given.map(|text| app::parse_size(&text)).transpose();
    parsed.map_err(|error| {
        CommandError::usage(format!("{flag}: {error}", error = with_causes(&error)))
    })
}

/// `--max-package-size` in bytes; 0 is no limit.
pub(super) fn megabytes(given: Option<u64>) -> Result<Option<u64>, CommandError> {
    let bytes = given.filter(|megabytes| *megabytes > 0).map(|megabytes| {
        let bytes = megabytes.checked_mul(1_000_000);
        bytes.ok_or_else(|| CommandError::usage("--max-package-size is too large"))
    });
    bytes.transpose()
}

/// `NAME=VALUE` texts of a repeated flag; the last value of a name counts.
pub(super) fn pairs(
    flag: &str,
    given: &[String],
) -> Result<BTreeMap<String, String>, CommandError> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(CommandError::usage(format!(
                "{flag} `{text}`: expected NAME=VALUE"
            ))),
        })
        .collect()
}

/// `--set` values by upper-case name, as [`listed_pairs`].
pub(super) fn templates(given: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let set = listed_pairs("--set", given)?;
    Ok(set
        .into_iter()
        .map(|(name, value)| (name.to_ascii_uppercase(), value))
        .collect())
}

/// The pairs of a repeated flag. One flag may hold several, as one record of
/// comma-separated values: `A=x,B=y`, and with quotes `"A=x,y",B=z`. A text with a single
/// `=` is one pair, whose value may have commas: `A=x,y`.
pub(super) fn listed_pairs(
    flag: &str,
    given: &[String],
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut fields = Vec::new();
    for text in given {
        if text.matches('=').count() == 1 && !text.starts_with('"') {
            fields.push(text.clone());
            continue;
        }
        fields.extend(record(text).ok_or_else(|| {
            CommandError::usage(format!("{flag} `{text}`: a quote is not closed"))
        })?);
    }
    pairs(flag, &fields)
}

/// The fields of one CSV record; `None` if a quote stays open.
fn record(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if start => quoted = true,
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            ',' if !quoted => {
                fields.push(String::new());
                start = true;
                continue;
            }
            c => field.push(c),
        }
        start = false;
    }
    (!quoted).then_some(fields)
}

/// Takes `[HOST=]VALUE` apart.
pub(super) fn per_host(text: &str) -> (Option<String>, &str) {
    match text.rsplit_once('=') {
        Some((host, value)) => (Some(host.to_owned()).filter(|h| !h.is_empty()), value),
        None => (None, text),
    }
}

/// `[HOST=]SIZE`, in bytes.
pub(super) fn size_per_host(text: &str) -> Result<(Option<String>, u64), String> {
    let (host, size) = per_host(text);
    match app::parse_size(size) {
        Ok(0) => Err("expected more than 0 bytes".to_owned()),
        Ok(size) => Ok((host, size)),
        Err(error) => Err(with_causes(&error)),
    }
}

/// `[HOST=]N`, in requests a second.
pub(super) fn rate_per_host(text: &str) -> Result<(Option<String>, f64), String> {
    let (host, number) = per_host(text);
    let rate = number.parse::<f64>().ok();
    // Less than one request an hour is as good as none.
    let rate = rate.filter(|rate| (1.0 / 3600.0..=1e6).contains(rate));
    let rate = rate.ok_or("expected requests per second, such as 5, 0.5 or r.example=5")?;
    Ok((host, rate))
}

/// A number of parallel transfers.
pub(super) fn transfers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

/// A tag of a registry.
pub(super) fn tag(text: &str) -> Result<String, String> {
    use crate::oci::{TAG_RULE, is_tag};
    match is_tag(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected {TAG_RULE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_flag_is_one_record_of_comma_separated_values() {
        let given = [
            "a=1,B=x=y",
            "\"C=v,w\"",
            "D=say \"hi\"",
            "\"E=\"\"q\"\"\"",
            "a=2",
        ];
        let set = templates(&given.map(str::to_owned)).unwrap();
        let expected = [
            ("A", "2"),
            ("B", "x=y"),
            ("C", "v,w"),
            ("D", "say \"hi\""),
            ("E", "\"q\""),
        ];
        assert_eq!(set, expected.map(|(k, v)| (k.into(), v.into())).into());
        assert!(templates(&["\"a=1".to_owned()]).is_err());
        assert!(templates(&["a".to_owned()]).is_err());
    }
}
