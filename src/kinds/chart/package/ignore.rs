//! `.helmignore`: excludes files of a chart's folder from the chart.
//!
//! The rules are Helm's, not Git's: the first rule that matches decides, a rule with
//! `!` matches everything that its pattern does *not* match, and `**` is an error.
//! Source: Helm v3, `internal/ignore`. Looks only at names.

/// The rules of one chart, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: String,
    /// Matches everything that the pattern does not match.
    negated: bool,
    /// Matches folders only.
    folders: bool,
    part: Part,
}

/// What a pattern is matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Path,
    Name,
}

impl Rules {
    /// Parses the rules, and adds the built-in one for hidden files among the
    /// templates.
    ///
    /// # Errors
    ///
    /// The line number, from 1, and the problem.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (place, line) in text.lines().chain(["templates/.?*"]).enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err((place + 1, "Helm does not support `**`"));
            }
            if matches(line, "abc").is_none() {
                return Err((place + 1, "unclosed bracket, or a backslash at the end"));
            }
            let (negated, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let (folders, rest) = match rest.strip_suffix('/') {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            let part = if rest.contains('/') {
                Part::Path
            } else {
                Part::Name
            };
            rules.push(Rule {
                pattern: rest.strip_prefix('/').unwrap_or(rest).to_owned(),
                negated,
                folders,
                part,
            });
        }
        Ok(Self(rules))
    }

    /// Whether `path`, relative to the chart's folder, is excluded; an excluded folder
    /// excludes everything in it.
    pub(crate) fn ignores(&self, path: &str, folder: bool) -> bool {
        for rule in &self.0 {
            let text = match rule.part {
                Part::Path => path,
                Part::Name => path.rsplit('/').next().unwrap_or(path),
            };
            let matched = matches(&rule.pattern, text) == Some(true);
            if rule.negated {
                if rule.folders && !folder || !matched {
                    return true;
                }
            } else if matched && (folder || !rule.folders) {
                return true;
            }
        }
        false
    }
}

/// Matches a pattern like Go's `filepath.Match`: `*` and `?` do not match `/`. `None`:
/// the part of the pattern that was evaluated is malformed.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    well_formed(&pattern)?;
    // One position for backtracking is enough: a later `*` can match everything that an
    // earlier one could.
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            star = Some((at, read));
            continue;
        }
        if at == pattern.len() && read == text.len() {
            return Some(true);
        }
        if let Some(&found) = text.get(read)
            && let Some(next) = one(&pattern, at, found)
        {
            at = next;
            read += 1;
            continue;
        }
        match star {
            Some((after, from)) if text.get(from).is_some_and(|c| *c != '/') => {
                star = Some((after, from + 1));
                (at, read) = (after, from + 1);
            }
            _ => return Some(false),
        }
    }
}

/// The position in the pattern after it matched `found` at `at`.
fn one(pattern: &[char], at: usize, found: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => (found != '/').then_some(at + 1),
        '\\' => (*pattern.get(at + 1)? == found).then_some(at + 2),
        '[' => {
            let mut place = at + 1;
            let negated = pattern.get(place) == Some(&'^');
            place += usize::from(negated);
            let (mut hit, mut first) = (false, true);
            while first || pattern.get(place) != Some(&']') {
                first = false;
                let (low, next) = letter(pattern, place)?;
                let (high, next) = match pattern.get(next) {
                    Some('-') => letter(pattern, next + 1)?,
                    _ => (low, next),
                };
                hit |= (low..=high).contains(&found);
                place = next;
            }
            (hit != negated).then_some(place + 1)
        }
        plain => (*plain == found).then_some(at + 1),
    }
}

/// One character inside brackets, and the position after it.
fn letter(pattern: &[char], at: usize) -> Option<(char, usize)> {
    match pattern.get(at)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(at + 1)?, at + 2)),
        plain => Some((*plain, at + 1)),
    }
}

/// Whether brackets are closed and backslashes are followed by a character.
fn well_formed(pattern: &[char]) -> Option<()> {
    let mut at = 0;
    while let Some(found) = pattern.get(at) {
        at = match found {
            '\\' => {
                pattern.get(at + 1)?;
                at + 2
            }
            '[' => {
                let mut place = at + 1 + usize::from(pattern.get(at + 1) == Some(&'^'));
                let mut first = true;
                while first || *pattern.get(place)? != ']' {
                    first = false;
                    let (_, next) = letter(pattern, place)?;
                    place = match pattern.get(next) {
                        Some('-') => letter(pattern, next + 1)?.1,
                        _ => next,
                    };
                }
                place + 1
            }
            _ => at + 1,
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_helms() {
        let rules = Rules::parse("# c\n\n*.bak\n/only\nci/\ndocs/*.md\n.git\n").unwrap();
        for (path, folder, ignored) in [
            ("a.bak", false, true),
            ("deep/a.bak", false, true),
            ("only", false, true),
            ("deep/only", false, false),
            ("ci", true, true),
            ("ci", false, false),
            ("deep/ci", true, true),
            ("docs/a.md", false, true),
            ("docs/b/a.md", false, false),
            ("templates/.hidden", false, true),
            (".gitignore", false, false),
            ("Chart.yaml", false, false),
        ] {
            assert_eq!(rules.ignores(path, folder), ignored, "{path}");
        }
        // Helm's `!` takes all that it does not match.
        let rules = Rules::parse("!*.yaml").unwrap();
        assert!(rules.ignores("x.txt", false) && !rules.ignores("x.yaml", false));
    }

    #[test]
    fn patterns_are_gos() {
        for (pattern, text, expected) in [
            ("a*c*d", "abcbcd", Some(true)),
            ("a*", "a/b", Some(false)),
            ("[a-c]?", "b1", Some(true)),
            ("[^a-c]", "b", Some(false)),
            (r"\*", "*", Some(true)),
            ("[]a]", "]", None),
            ("[a", "a", None),
            ("a\\", "a", None),
            ("*/b", "a/b", Some(true)),
            ("", "", Some(true)),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
        assert_eq!(Rules::parse("a\nb/**/c").unwrap_err().0, 2);
    }
}
