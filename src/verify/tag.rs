//! Whether a tag belongs to the version of the package that it names.
//!
//! Only the definition is signed: anyone who can write to a registry can move any tag
//! to any package that was ever signed. Source: docs/spec/signing.md, "Policy".

use super::Refusal;
use super::signature::{Facts, shown};

/// Words that may precede the version in a tag.
const WORDS: [&str; 4] = ["version", "release", "ver", "v"];

/// Separates the parts of a tag. A tag cannot contain `+`, so `_` replaces it.
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// How a tag relates to the version of a package.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The tag is the version, in any spelling.
    Same,
    /// The tag says nothing about versions, or gives only the leading numbers of this
    /// one.
    Open,
    /// The tag is another version.
    Other,
}

/// Compares `tag` with the signed `facts`: refuses another version, and returns a
/// warning about a tag that names no version.
pub(super) fn compare(tag: &str, facts: &Facts) -> Result<Option<String>, Refusal> {
    let version = match facts.version.as_str() {
        "" => "no version".to_owned(),
        version => format!("version `{}`", shown(version)),
    };
    match relation(tag, facts) {
        Relation::Same => Ok(None),
        Relation::Open => Ok(Some(format!(
            "the signature does not cover the tag `{}`: the signed package has {version}",
            shown(tag)
        ))),
        Relation::Other => Err(Refusal::Tag {
            tag: shown(tag),
            version,
        }),
    }
}

fn relation(tag: &str, facts: &Facts) -> Relation {
    let versioned = numbered(tag, &facts.name);
    let own = plain(&facts.version);
    let own = numbered(&own, "").unwrap_or(own);
    let wanted = versioned.clone().unwrap_or_else(|| plain(tag));
    let fits = |version: &str| {
        let rest = wanted.strip_prefix(version);
        rest.is_some_and(|rest| is_of_build(rest, facts))
    };
    if !own.is_empty() && fits(&own) {
        return Relation::Same;
    }
    if versioned.is_none() {
        return Relation::Open;
    }
    // A moving tag: `1.2` of 1.2.3, but not 1.2.3 of 1.2.3-rc.1.
    let core = own.split('_').next().unwrap_or_default();
    let is_core = core.chars().all(|c| c.is_ascii_digit() || c == '.');
    let mut shorter = core.match_indices('.').map(|(at, _)| &core[..at]);
    match is_core && shorter.any(fits) {
        true => Relation::Open,
        false => Relation::Other,
    }
}

/// Whether `rest`, which follows the version in a tag, is the flavor and optionally
/// the architecture, in any order.
fn is_of_build(rest: &str, facts: &Facts) -> bool {
    let flavor = plain(&facts.flavor);
    let architecture = plain(&facts.architecture);
    let without = |rest: &str, part: &str| {
        let inner = rest.strip_prefix(SEPARATORS)?.strip_prefix(part)?;
        Some(inner.to_owned())
    };
    let flavored = |rest: &str| match flavor.as_str() {
        "" => Some(rest.to_owned()),
        flavor => without(rest, flavor),
    };
    let built = |rest: &str| match architecture.as_str() {
        "" => None,
        architecture => without(rest, architecture),
    };
    let ends = |rest: Option<String>| rest.is_some_and(|rest| rest.is_empty());
    ends(flavored(rest))
        || ends(flavored(rest).and_then(|rest| built(&rest)))
        || ends(built(rest).and_then(|rest| flavored(&rest)))
}

/// Lower case, and `_` for `+`.
fn plain(text: &str) -> String {
    text.to_lowercase().replace('+', "_")
}

/// The tag from the first digit of its version; `None`: it does not look like a
/// version.
fn numbered(tag: &str, name: &str) -> Option<String> {
    let tag = plain(tag);
    let mut rest = tag.as_str();
    let name = plain(name);
    if let Some(inner) = rest.strip_prefix(&name).filter(|_| !name.is_empty())
        && let Some(inner) = inner.strip_prefix(SEPARATORS)
    {
        rest = inner;
    }
    if let Some(inner) = WORDS.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = inner.trim_start_matches(SEPARATORS);
    }
    // An abbreviated commit is not a version.
    let hex = rest.chars().all(|c| c.is_ascii_hexdigit());
    let commit = hex && rest.len() >= 7 && rest.contains(|c: char| c.is_ascii_alphabetic());
    let begins = rest.starts_with(|c: char| c.is_ascii_digit());
    (begins && !commit).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: &str, flavor: &str) -> Facts {
        Facts {
            name: "demo".into(),
            architecture: "amd64".into(),
            version: version.into(),
            flavor: flavor.into(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_tag_that_looks_like_a_version_must_be_the_packages_own() {
        use Relation::{Open, Other, Same};
        for (version, flavor, tag, expected) in [
            ("1.0.0", "", "1.0.0", Same),
            ("1.0.0", "", "v1.0.0", Same),
            ("v1.0.0", "", "1.0.0", Same),
            ("1.0.0", "", "V1.0.0", Same),
            ("1.0.0", "", "release-1.0.0", Same),
            ("1.0.0", "", "demo-1.0.0", Same),
            ("1.0.0", "", "1.0.0-amd64", Same),
            ("1.0.0", "", "1.0.0_amd64", Same),
            ("1.0.0+b5", "", "1.0.0_b5", Same),
            ("1.0.0+b5", "", "1.0.0_b5-amd64", Same),
            ("1.0.0", "big", "1.0.0-big", Same),
            ("1.0.0", "big", "1.0.0-amd64-big", Same),
            ("1.0.0", "big", "1.0.0-big-amd64", Same),
            ("2023.9", "", "2023.9", Same),
            ("alpha", "", "alpha", Same),
            ("alpha", "", "latest", Open),
            ("1.0.0", "", "latest", Open),
            ("1.0.0", "", "stable-1", Open),
            ("1.0.0", "", "3f2a9bc", Open),
            ("1.2.3", "", "1", Open),
            ("1.2.3", "", "v1.2", Open),
            ("1.2.3", "", "1.2-amd64", Open),
            ("1.2.3", "big", "1.2-big", Open),
            ("1.2.3+b5", "", "1.2", Open),
            ("2023.9", "", "2024.1", Other),
            ("2023.9", "", "v2024.1", Other),
            ("2023.9", "", "2024.1-amd64", Other),
            ("2023.9", "", "version_2024.1", Other),
            ("2023.9", "", "demo-2024.1", Other),
            ("2023.9", "", "20231", Other),
            ("2023.9", "", "2023.90", Other),
            ("2023.9", "", "2023.9-arm64", Other),
            ("2023.9", "", "2023.9.1", Other),
            ("2023.9", "", "202", Other),
            ("1.0.0-rc.1", "", "1.0.0", Other),
            ("1.0.0-rc.1", "", "1.0", Other),
            ("1.0.0", "", "1.0.0-rc.1", Other),
            ("1.0.0+b5", "", "1.0.0_b6", Other),
            ("1.0.0+b5", "", "1.0.0", Other),
            ("1.0.0", "big", "1.0.0", Other),
            ("1.0.0", "", "1.0.0-big", Other),
            ("1.2.3", "", "1.3", Other),
            ("1.2.3", "", "20240101", Other),
            ("alpha", "", "1.0.0", Other),
            ("", "", "1.0.0", Other),
            ("", "", "latest", Open),
        ] {
            let found = relation(tag, &facts(version, flavor));
            assert_eq!(found, expected, "{version} {flavor} under {tag}");
        }
    }

    #[test]
    fn warnings_and_refusals_name_the_tag_and_the_version() {
        let warning = compare("latest", &facts("1.0.0", "")).unwrap().unwrap();
        assert!(warning.contains("`latest`") && warning.contains("`1.0.0`"));
        let refusal = compare("2.0.0", &facts("1.0.0", "")).unwrap_err();
        let refusal = refusal.to_string();
        assert!(refusal.contains("`2.0.0`") && refusal.contains("`1.0.0`"));
    }
}
