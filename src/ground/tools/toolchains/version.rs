//! Versions: of a tool that is asked for, and of what is found.

/// A name with the version that is asked for, such as `go@1.26`.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        match text.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() && !version.contains('/') => Self {
                name,
                version: Some(version),
            },
            _ => Self {
                name: text,
                version: None,
            },
        }
    }
}

/// Whether `found` has all components of `wanted`, in their order from the first: 1.2 is
/// met by 1.2 and 1.2.3, and not by 1.20.
pub(crate) fn is_met(wanted: &str, found: &str) -> bool {
    let (wanted, found) = (bare(wanted), bare(found));
    match found.strip_prefix(wanted) {
        Some(rest) => !rest.starts_with(|c: char| c.is_ascii_digit()) || wanted.is_empty(),
        None => false,
    }
}

/// A version without what is written before its number.
fn bare(text: &str) -> &str {
    // Debian counts renumberings before a colon.
    let text = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => text,
    };
    let text = text.strip_prefix("go").unwrap_or(text);
    text.strip_prefix('v').unwrap_or(text)
}

/// The first number with dots in a text, such as the one that `--version` prints.
pub(crate) fn number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c: char| !is_part(c));
    let mut numbers = words.map(|word| word.trim_matches('.'));
    numbers.find(|word| word.contains('.')).map(str::to_owned)
}

/// The components of a version, for comparison.
pub(super) fn components(text: &str) -> Vec<u64> {
    let parts = bare(text).split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_components() {
        for (wanted, found, met) in [
            ("1.26", "1.26.1", true),
            ("1.26", "go1.26", true),
            ("1.2", "1.26.1", false),
            ("20", "v20.11.0", true),
            ("2", "20", false),
            ("12", "4:12.2.0-14+deb12u1", true),
            ("17.0.1-tem", "17.0.1-tem", true),
            ("", "1", true),
        ] {
            assert_eq!(is_met(wanted, found), met, "{wanted} {found}");
        }
        assert_eq!(number("cmake version 3.25.1\n"), Some("3.25.1".into()));
        assert_eq!(number("no number 5"), None);
        assert!(components("v3.11.7") > components("3.9.18"));
    }

    #[test]
    fn a_name_may_have_a_version() {
        let parts = |text| {
            let wanted = Wanted::of(text);
            (wanted.name, wanted.version)
        };
        assert_eq!(parts("go@1.26"), ("go", Some("1.26")));
        assert_eq!(parts("go"), ("go", None));
        assert_eq!(parts("/a@b/c"), ("/a@b/c", None));
    }
}
