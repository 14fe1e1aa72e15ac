//! Version constraints of charts, as Helm reads them.
//!
//! Source: `github.com/Masterminds/semver`, which Helm uses. A bare `1.2` means
//! any `1.2.x`; pre-releases match only if the comparison has one.

use std::cmp::Ordering;

use semver::Version;

/// Parses a chart version; a leading `v` and missing parts are allowed.
#[must_use]
pub fn chart_version(text: &str) -> Option<Version> {
    let text = text.trim();
    let bare = text.strip_prefix('v').unwrap_or(text);
    let end = bare.find(['-', '+']).unwrap_or(bare.len());
    let (core, rest) = bare.split_at(end);
    let zeros = match core.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(&format!("{core}{zeros}{rest}")).ok()
}

/// Sets of comparisons; a version must match all comparisons of one set.
#[derive(Clone, Debug)]
pub struct ChartConstraint(Vec<Vec<Comparison>>);

#[derive(Clone, Debug)]
struct Comparison {
    operator: Operator,
    version: Version,
    /// Number of parts given: major, minor, patch.
    given: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Not,
    Greater,
    AtLeast,
    Less,
    AtMost,
    Tilde,
    Caret,
}

/// Longest first: `>=` begins with `>`.
const OPERATORS: [(&str, Operator); 12] = [
    ("!=", Operator::Not),
    (">=", Operator::AtLeast),
    ("=>", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("~>", Operator::Tilde),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
    ("", Operator::Equal),
];

impl ChartConstraint {
    /// Parses a constraint; `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sets: Option<Vec<_>> = text.split("||").map(set).collect();
        sets.map(Self)
    }

    /// Whether `version` satisfies the constraint.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        let all = |set: &Vec<Comparison>| set.iter().all(|one| one.matches(version));
        self.0.iter().any(all)
    }
}

/// Comparisons with spaces or commas between them, or `A - B`.
fn set(text: &str) -> Option<Vec<Comparison>> {
    if let Some((from, to)) = text.split_once(" - ") {
        let from = comparison(Operator::AtLeast, from.trim())?;
        return Some(vec![from, comparison(Operator::AtMost, to.trim())?]);
    }
    let mut found = Vec::new();
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let (begin, operator) = OPERATORS
            .iter()
            .find(|(begin, _)| word.starts_with(begin))?;
        let rest = &word[begin.len()..];
        // `>= 1.2` has a space after the sign.
        let version = if rest.is_empty() { words.next()? } else { rest };
        found.push(comparison(*operator, version)?);
    }
    (!found.is_empty()).then_some(found)
}

fn comparison(operator: Operator, text: &str) -> Option<Comparison> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let end = bare.find(['-', '+']).unwrap_or(bare.len());
    let parts = bare[..end].split('.');
    let open = |part: &&str| !matches!(*part, "x" | "X" | "*");
    let given: Vec<&str> = parts.take_while(open).collect();
    let text = match given.len() {
        0 => "0".to_owned(),
        3 => bare.to_owned(),
        _ => given.join("."),
    };
    Some(Comparison {
        operator,
        version: chart_version(&text)?,
        given: given.len(),
    })
}

impl Comparison {
    fn matches(&self, found: &Version) -> bool {
        if self.given == 0 {
            return found.pre.is_empty() && self.operator != Operator::Not;
        }
        if !found.pre.is_empty() && self.version.pre.is_empty() {
            return false;
        }
        let wanted = &self.version;
        let order = found.cmp_precedence(wanted);
        // Whether the first parts are equal.
        let same = |count: usize| {
            let parts = |v: &Version| [v.major, v.minor, v.patch];
            parts(found)[..count] == parts(wanted)[..count]
        };
        let whole = self.given == 3;
        match self.operator {
            Operator::Equal if whole => order == Ordering::Equal,
            Operator::Equal => same(self.given),
            Operator::Not if whole => order != Ordering::Equal,
            Operator::Not => !same(self.given),
            Operator::Greater => order == Ordering::Greater && (whole || !same(self.given)),
            Operator::AtLeast => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater || !whole && same(self.given),
            Operator::Tilde => order != Ordering::Less && same(self.given.min(2)),
            Operator::Caret => {
                // The first part that is not zero must be equal.
                let fixed = match (wanted.major, wanted.minor, self.given) {
                    (1.., _, _) | (_, _, 1) => 1,
                    (0, 1.., _) | (_, _, 2) => 2,
                    _ => 3,
                };
                order != Ordering::Less && same(fixed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_match_the_versions_that_helm_matches() {
        for (constraint, inside, outside) in [
            ("1.2.3", "1.2.3", "1.2.4"),
            ("1.2", "1.2.9", "1.3.0"),
            ("1.x", "1.9.0", "2.0.0"),
            ("*", "7.0.0", "7.0.0-rc.1"),
            ("^1.2.3", "1.9.0", "1.2.2"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0", "0.9.0", "1.0.0"),
            ("~1.2.3", "1.2.9", "1.3.0"),
            ("~1", "1.9.0", "2.0.0"),
            (">= 1.2, < 2", "1.9.9", "2.0.0"),
            (">1.2", "1.3.0", "1.2.9"),
            ("<=1.2", "1.2.9", "1.3.0"),
            ("1.2 - 1.4.5", "1.4.5", "1.4.6"),
            ("<1 || >=3", "3.0.0", "2.0.0"),
            ("!=1.2.3", "1.2.4", "1.2.3"),
            (">=1.0.0-0", "1.1.0-rc.1", "0.9.0"),
            (">=1.0.0", "1.1.0", "1.1.0-rc.1"),
            ("v1.2.3", "1.2.3+build", "1.2.3-rc.1"),
        ] {
            let parsed = ChartConstraint::parse(constraint).unwrap();
            let has = |text: &str| parsed.matches(&chart_version(text).unwrap());
            assert!(has(inside) && !has(outside), "{constraint}");
        }
        for wrong in ["", "a.b", ">", "1.2.3.4", "||"] {
            assert!(ChartConstraint::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(chart_version("v1.2-rc"), Version::parse("1.2.0-rc").ok());
    }
}
